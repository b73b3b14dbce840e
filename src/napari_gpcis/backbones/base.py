"""The contract between a network and the Gaussian process, and the registry.

A backbone turns an image and a guidance map (the clicks and the previous mask after
``maps_transform``) into ``feature_dim`` features a pixel of its grid. What depends on
the image alone is `encode`; what a click changes is `fuse`. A network that looks its
encoding up at the clicks does so in `attend`, between the two.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from importlib import import_module
from typing import TYPE_CHECKING, Any, ClassVar

import torch
from torch import nn

from napari_gpcis.errors import UnknownModelError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from torch import Tensor


RGB_MEAN = (0.485, 0.456, 0.406)
RGB_STD = (0.229, 0.224, 0.225)


class Backbone(nn.Module, ABC):
    """A feature network with clicks fused into it."""

    feature_dim: int
    """Number of features ``d``."""
    stride: int
    """Network pixels per feature (4)."""
    gp_defaults: ClassVar[Mapping[str, Any]] = {}
    """Options of the Gaussian process that suit this network."""
    additions: tuple[str, ...] = ()
    """Beginnings of the names of parameters that a smaller network lacks: this one is
    the same with blocks added that begin as the identity."""

    @abstractmethod
    def make_maps_transform(self) -> nn.Module:
        """Return Conv1S: previous mask and disks ``(B, 3, H, W)`` to guidance."""

    @abstractmethod
    def encode(self, rgb: Tensor) -> tuple[Tensor, ...]:
        """Return the encoding of an image, without clicks.

        Parameters
        ----------
        rgb
            Shape ``(B, 3, H, W)`` in [0, 1], not normalised.
        """

    def keys(self, encoded: tuple[Tensor, ...]) -> Tensor | None:
        """Return features without clicks, ``(B, c, h, w)``; ``None`` without any.

        Parameters
        ----------
        encoded
            From :meth:`encode`.
        """
        del encoded
        return None

    def attend(self, encoded: tuple[Tensor, ...], points: Tensor) -> tuple[Tensor, ...]:
        """Return the encoding with what depends on the places of the clicks.

        By default the encoding as it is. No parameters are used here.

        Parameters
        ----------
        encoded
            From :meth:`encode`.
        points
            Clicks, shape ``(B, 2 N, 3)``, network pixels.
        """
        del points
        return encoded

    def context(
        self, encoded: tuple[Tensor, ...], points: Tensor
    ) -> tuple[Tensor, ...]:
        """Return what is known of image and clicks besides the features.

        A head that proposes other masks sees it. By default that of :meth:`attend`.

        Parameters
        ----------
        encoded, points
            See :meth:`attend`.
        """
        return self.attend(encoded, points)

    @abstractmethod
    def fuse(self, encoded: tuple[Tensor, ...], guidance: Tensor) -> Tensor:
        """Return raw features ``(B, d, ceil(H/4), ceil(W/4))``, not normalised.

        Parameters
        ----------
        encoded
            From :meth:`attend`.
        guidance
            From the module of :meth:`make_maps_transform`.
        """


class ColourNormalisation(nn.Module):
    """Centre and scale colours in [0, 1] as ImageNet networks expect them.

    The constants are no part of the state dict.
    """

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("mean", _per_channel(RGB_MEAN), persistent=False)
        self.register_buffer("std", _per_channel(RGB_STD), persistent=False)
        self.mean: Tensor
        self.std: Tensor

    def forward(self, rgb: Tensor) -> Tensor:
        """Return ``(rgb - mean) / std``, shape ``(B, 3, H, W)``."""
        return (rgb - self.mean) / self.std


def _per_channel(values: tuple[float, ...]) -> Tensor:
    """Return one constant per channel, shape ``(1, C, 1, 1)``."""
    return torch.tensor(values).reshape(1, -1, 1, 1)


class ScaleLayer(nn.Module):
    """Multiply by ``|scale|``, a learned scalar that starts small."""

    def __init__(self, initial: float = 0.05) -> None:
        super().__init__()
        self.scale = nn.Parameter(torch.full((1,), initial))

    def forward(self, maps: Tensor) -> Tensor:
        """Return ``maps * |scale|``, same shape."""
        return maps * self.scale.abs()


_MODULES = {
    "resnet50": "napari_gpcis.backbones.resnet50",
    "hrnet18s": "napari_gpcis.backbones.hrnet18s",
    "segformer_b0": "napari_gpcis.backbones.segformer_b0",
    "mobilenet_v2": "napari_gpcis.backbones.mobilenet_v2",
    "efficientnet_lite0": "napari_gpcis.backbones.efficientnet_lite",
    "efficientnet_lite0_deep": "napari_gpcis.backbones.efficientnet_lite",
    "efficientnet_lite2": "napari_gpcis.backbones.efficientnet_lite",
}
_FACTORIES: dict[str, Callable[..., Backbone]] = {}


def register(name: str, factory: Callable[..., Backbone]) -> None:
    """Make ``factory(**options)`` available as backbone ``name``."""
    _FACTORIES[name] = factory


def available() -> tuple[str, ...]:
    """Return the names of all backbones, sorted."""
    return tuple(sorted({*_MODULES, *_FACTORIES}))


def create_backbone(name: str, **options: Any) -> Backbone:
    """Build a backbone with random weights.

    Raises
    ------
    UnknownModelError
        If no backbone has that name.
    """
    if name not in _FACTORIES and name in _MODULES:
        import_module(_MODULES[name])
    if name not in _FACTORIES:
        known = ", ".join(available())
        msg = f"unknown network {name!r}; known networks: {known}"
        raise UnknownModelError(msg)
    return _FACTORIES[name](**options)


_NORMS = (nn.BatchNorm2d, nn.LayerNorm)


def initialise(module: nn.Module) -> None:
    """Draw the weights of all layers of a module, in place, as published.

    Weights of convolutions and linear layers are normal with variance
    ``2 / ((fan_in + fan_out) / 2)`` (Gaussian Xavier of magnitude 2), their biases 0;
    norm layers start as the identity. Other parameters are left as they are.

    Parameters
    ----------
    module
        A network or a part of one; itself and all modules in it are visited.
    """
    for layer in module.modules():
        if isinstance(layer, (nn.Conv2d, nn.Linear)):
            nn.init.xavier_normal_(layer.weight, gain=math.sqrt(2))
            if layer.bias is not None:
                nn.init.zeros_(layer.bias)
        elif isinstance(layer, _NORMS):
            nn.init.ones_(layer.weight)
            nn.init.zeros_(layer.bias)
