"""The published backbone: dilated ResNet50-v1s with a DeepLabV3+ decoder."""

from __future__ import annotations

from typing import TYPE_CHECKING

from torch import nn
from torch.nn import functional

from napari_gpcis.backbones._deeplab import ASPP, SeparableHead, SkipProject
from napari_gpcis.backbones._resnet import STEM_CHANNELS, DilatedResNet50
from napari_gpcis.backbones.base import (
    Backbone,
    ColourNormalisation,
    ScaleLayer,
    initialise,
    register,
)

if TYPE_CHECKING:
    from torch import Tensor

_MAP_CHANNELS = 256
_LEAKY_SLOPE = 0.2


class _LeadingConv2d(nn.Conv2d):
    """A convolution of which only the first output channels are computed.

    The published Conv1S branch has 256 output channels and uses the first 128;
    all weights are kept so that published checkpoints load.
    """

    def __init__(self, inputs: int, outputs: int, used: int) -> None:
        super().__init__(inputs, outputs, 3, padding=1)
        self.used = used

    def forward(self, x: Tensor) -> Tensor:
        """Return the first ``used`` output channels."""
        bias = None if self.bias is None else self.bias[: self.used]
        return functional.conv2d(x, self.weight[: self.used], bias, padding=1)


class ResNet50(Backbone):
    """ResNet50-v1s (output stride 8) and DeepLabV3+, as published.

    The image passes the stem alone; the click maps are added to the activations
    of the stem (Conv1S fusion), so what follows depends on the clicks.
    """

    feature_dim = 48
    stride = 4

    def __init__(self) -> None:
        super().__init__()
        self.backbone = DilatedResNet50()
        self.aspp = ASPP(inputs=2048)
        self.skip_project = SkipProject(inputs=256)
        self.head = SeparableHead(self.feature_dim)
        self.normalise = ColourNormalisation()
        initialise(self)

    def make_maps_transform(self) -> nn.Module:
        """Return Conv1S: previous mask and click maps to the stem's resolution.

        Returns
        -------
        nn.Module
            Maps ``(B, 3, H, W)`` to ``(B, 128, ceil(H/2), ceil(W/2))``.
        """
        transform = nn.Sequential(
            nn.Conv2d(3, 16, 3, stride=2, padding=1),
            nn.LeakyReLU(_LEAKY_SLOPE),
            _LeadingConv2d(16, _MAP_CHANNELS, used=STEM_CHANNELS),
            ScaleLayer(),
        )
        initialise(transform)
        return transform

    def encode(self, rgb: Tensor) -> tuple[Tensor, ...]:
        """Return the activations of the stem.

        Parameters
        ----------
        rgb
            Image in [0, 1], ``(B, 3, H, W)``; normalised here.

        Returns
        -------
        tuple of Tensor
            One tensor, ``(B, 128, ceil(H/2), ceil(W/2))``.
        """
        return (self.backbone.stem(self.normalise(rgb)),)

    def fuse(self, encoded: tuple[Tensor, ...], guidance: Tensor) -> Tensor:
        """Return the features of the image under the clicks.

        Parameters
        ----------
        encoded
            What :meth:`encode` returned; not changed.
        guidance
            Output of the Conv1S branch, ``(B, 128, ceil(H/2), ceil(W/2))``.

        Returns
        -------
        Tensor
            Raw features, ``(B, 48, ceil(H/4), ceil(W/4))``.
        """
        (stem,) = encoded
        c1, c4 = self.backbone.trunk(stem + guidance)
        features: Tensor = self.head(self.aspp(c4), self.skip_project(c1))
        return features


register("resnet50", ResNet50)
