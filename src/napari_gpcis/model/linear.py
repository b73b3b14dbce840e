"""LinearNetwork: the control, with a linear classifier in place of the GP."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import nn
from torch.nn import functional

from napari_gpcis.backbones.base import initialise
from napari_gpcis.model.base import ClickNetwork, Learned
from napari_gpcis.model.grid import GPScores

if TYPE_CHECKING:
    from torch import Tensor

    from napari_gpcis.backbones.base import Backbone
    from napari_gpcis.model.base import Draws, Encoded


class LinearNetwork(ClickNetwork):
    """A 1x1 classifier on the raw features, as in RITM (Sofiiuk et al. 2022).

    What the Gaussian process gains is measured against it: same backbone, data and
    schedule. Clicks reach it only through the guidance maps, so it may ignore them.

    Parameters
    ----------
    backbone
        Feature network.
    gp_stride
        Scores are linear in the features, so it is all the same whether features or
        scores are upsampled; 1 aligns corners (as published), otherwise pixel
        centres.

    Attributes
    ----------
    linear : torch.nn.Linear
        The classifier.
    """

    def __init__(self, backbone: Backbone, gp_stride: int = 1) -> None:
        super().__init__(backbone, gp_stride)
        self.linear = nn.Linear(backbone.feature_dim, 1)
        initialise(self.linear)

    def predict(
        self,
        encoded: Encoded,
        points: Tensor,
        previous: Tensor,
        variance: bool = False,
    ) -> tuple[GPScores, Tensor | None]:
        """Return the scores: ``prior`` is the logit, ``update`` is 0.

        Parameters
        ----------
        encoded, points, previous
            See :meth:`features`.
        variance
            Also return ``p (1 - p)``, the variance of the label, ``(B, 1, H, W)``.
            It stands in for the variance of the logit, which this network has not.
        """
        raw = self.features(encoded, points, previous)
        scores = self._scores(raw.float(), encoded.rgb)
        if not variance:
            return scores, None
        probability = scores.logits.sigmoid()
        return scores, probability * (1 - probability)

    def learn(
        self,
        encoded: Encoded,
        points: Tensor,
        previous: Tensor,
        *,
        sample: bool = True,
        draws: Draws | None = None,
    ) -> Learned:
        """Return scores and a loss of 0: there is no variational term.

        Parameters
        ----------
        encoded, points, previous
            See :meth:`features`.
        sample, draws
            Change nothing: nothing is drawn.
        """
        del sample, draws
        raw = self.features(encoded, points, previous)
        with torch.autocast(raw.device.type, enabled=False):
            scores = self._scores(raw.float(), encoded.rgb)
        return Learned(scores, scores.logits.new_zeros(()))

    def _scores(self, raw: Tensor, like: Tensor) -> GPScores:
        """Score features ``(B, d, h, w)`` and bring them to the size of ``like``."""
        scores = self.linear(raw.movedim(1, -1)).movedim(-1, 1)
        logits = functional.interpolate(
            scores,
            size=like.shape[-2:],
            mode="bilinear",
            align_corners=self.gp_stride == 1,
        )
        return GPScores(logits, logits, torch.zeros_like(logits))
