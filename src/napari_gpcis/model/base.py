"""ClickNetwork: from an image, clicks and a previous mask to features."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import TYPE_CHECKING, NamedTuple

import torch
from torch import nn

from napari_gpcis.backbones.base import ColourNormalisation
from napari_gpcis.clicks import disk_maps

if TYPE_CHECKING:
    from collections.abc import Callable

    from torch import Tensor

    from napari_gpcis.backbones.base import Backbone
    from napari_gpcis.model.grid import GPScores

TRAINING_EPSILON2 = 1e-2


class ClickNetwork(nn.Module, ABC):
    """A feature network into which clicks are fused; subclasses score its features.

    Parameters
    ----------
    backbone
        Feature network.
    gp_stride
        Network pixels per pixel at which features are scored, see
        :class:`napari_gpcis.model.GPCIS`.

    Attributes
    ----------
    model : Backbone
        The feature network.
    maps_transform : torch.nn.Module
        From previous mask and clicks to the guidance that the backbone takes.
    epsilon2 : float
        Noise added to ``K_nn``: 1e-2 for training (the default), 1e-7 to predict.
    """

    def __init__(self, backbone: Backbone, gp_stride: int) -> None:
        super().__init__()
        self.epsilon2 = TRAINING_EPSILON2
        self.gp_stride = gp_stride
        self.model = backbone
        self.maps_transform = backbone.make_maps_transform()
        self.normalise = ColourNormalisation()

    def encode(self, rgb: Tensor) -> Encoded:
        """Return the encoding of an image, without clicks.

        Parameters
        ----------
        rgb
            Shape ``(B, 3, H, W)`` in [0, 1].
        """
        return Encoded(self.normalise(rgb), self.model.encode(rgb))

    def features(self, encoded: Encoded, points: Tensor, previous: Tensor) -> Tensor:
        """Return the raw features of the clicks, previous mask and image.

        Parameters
        ----------
        encoded
            From :meth:`encode`.
        points
            Clicks, shape ``(B, 2 N, 3)``.
        previous
            Previous mask probability, shape ``(B, 1, H, W)``.

        Returns
        -------
        Tensor
            Shape ``(B, d, ceil(H/4), ceil(W/4))``.
        """
        height, width = encoded.rgb.shape[-2:]
        disks = disk_maps(points, (height, width))
        guidance = self.maps_transform(torch.cat([previous, disks], dim=1))
        return self.model.fuse(self.model.attend(encoded.features, points), guidance)

    pixels = features  # the former name

    def keys(self, encoded: Encoded) -> Tensor | None:
        """Return features without clicks, ``(B, c, h, w)``; ``None`` without any.

        Parameters
        ----------
        encoded
            From :meth:`encode`.
        """
        return self.model.keys(encoded.features)

    def forward(self, x: Tensor, points: Tensor) -> GPScores:
        """Return scores for image and previous mask in one tensor.

        Parameters
        ----------
        x
            Shape ``(B, 4, H, W)``: RGB in [0, 1], previous mask probability.
        points
            Clicks, shape ``(B, 2 N, 3)``.
        """
        return self.predict(self.encode(x[:, :3]), points, x[:, 3:])[0]

    @abstractmethod
    def predict(
        self,
        encoded: Encoded,
        points: Tensor,
        previous: Tensor,
        variance: bool = False,
    ) -> tuple[GPScores, Tensor | None]:
        """Return the scores given clicks and previous mask; nothing is drawn.

        Parameters
        ----------
        encoded, points, previous
            See :meth:`features`.
        variance
            Also return the variance, ``(B, 1, H, W)``.
        """

    @abstractmethod
    def learn(
        self,
        encoded: Encoded,
        points: Tensor,
        previous: Tensor,
        *,
        sample: bool = True,
        draws: Draws | None = None,
    ) -> Learned:
        """Return the answer to clicks in training.

        Parameters
        ----------
        encoded, points, previous
            See :meth:`features`.
        sample
            Draw what is random in training; its mean otherwise.
        draws
            The random numbers to use; by default new ones.
        """

    def forward_train(
        self,
        x: Tensor,
        points: Tensor,
        *,
        sample: bool = True,
        draws: Draws | None = None,
    ) -> tuple[GPScores, Tensor]:
        """Return scores and a loss of the network's own, a scalar.

        Parameters
        ----------
        x, points
            See :meth:`forward`.
        sample, draws
            See :meth:`learn`.
        """
        encoded = self.encode(x[:, :3])
        found = self.learn(encoded, points, x[:, 3:], sample=sample, draws=draws)
        return found.scores, found.loss

    def unroll(
        self,
        rgb: Tensor,
        first: ClickInput,
        follow: Callable[[Learned], ClickInput | None],
    ) -> list[Learned]:
        """Return the answers to several clicks, one after the other, in training.

        The image is encoded once, and all answers can be learned from in one backward
        pass.

        Parameters
        ----------
        rgb
            Shape ``(B, 3, H, W)`` in [0, 1].
        first
            Clicks and mask of the first pass.
        follow
            Called with each answer; returns the next input, or ``None`` to end.
        """
        encoded = self.encode(rgb)
        answers: list[Learned] = []
        following: ClickInput | None = first
        while following is not None:
            points, previous, draws, chosen = following
            if chosen is not None:
                encoded = encoded.of(chosen)
            answers.append(self.learn(encoded, points, previous, draws=draws))
            following = follow(answers[-1])
        return answers


class Encoded(NamedTuple):
    """Encoding of an image, which depends on the image alone."""

    rgb: Tensor
    """ImageNet-normalised colour, ``(B, 3, H, W)``."""
    features: tuple[Tensor, ...]
    """From the backbone's ``encode``."""

    def of(self, chosen: Tensor) -> Encoded:
        """Return the encoding of some of its images, by their numbers ``(C,)``."""
        return Encoded(self.rgb[chosen], tuple(part[chosen] for part in self.features))


class FeatureSource(NamedTuple):
    """Features of one network input, for what proposes other masks."""

    raw: Tensor
    """From :meth:`ClickNetwork.features`, shape ``(1, d, h, w)``."""
    context: Callable[[Tensor], tuple[Tensor, ...]]
    """From clicks ``(1, 2 N, 3)`` to the encoding with what depends on them."""


class Learned(NamedTuple):
    """Answer of a network in training."""

    scores: GPScores
    """Scores of all pixels."""
    loss: Tensor
    """Loss of the network's own, a scalar (the variational term, times 1e-3)."""
    quality: Tensor | None = None
    """Logit of the expected IoU, ``(B,)``, of a network that predicts it."""


class ClickInput(NamedTuple):
    """Input of a network in training, besides the image."""

    points: Tensor
    """Clicks, ``(B, 2 N, 3)``."""
    previous: Tensor
    """Previous mask probability, ``(B, 1, H, W)``."""
    draws: Draws | None = None
    """Random numbers; by default new ones."""
    chosen: Tensor | None = None
    """Samples that go on, ``(C,)``, as numbers of those of the input before; the
    other entries are those of these samples. By default all go on."""


class Draws(NamedTuple):
    """Standard normal numbers for one training pass."""

    clicks: Tensor
    """For the target of each click, ``(B, 2 N)``."""
    basis: Tensor | None
    """For the weight of each basis function, ``(l, 1)``; ``None`` draws new ones."""
