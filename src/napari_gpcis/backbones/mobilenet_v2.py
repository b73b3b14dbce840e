"""MobileNetV2 at output stride 16 with a light DeepLabV3+ decoder to stride 4.

Sandler et al. 2018 (MobileNetV2), Chen et al. 2018 (DeepLabV3+). Two deliberate
differences: the encoder has no batch norm (published weights are taken with it
folded into the convolutions, so tiny batches train safely), and the guidance enters
twice, after the stem as in the paper and again at stride 4 of the decoder, so that
fine clicks and the previous mask reach the output without crossing the encoder.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar

import torch
from torch import nn
from torch.nn import functional

from napari_gpcis.backbones._inverted_residual import InvertedResidual, SameConv
from napari_gpcis.backbones.base import Backbone, ScaleLayer, register

if TYPE_CHECKING:
    from collections.abc import Mapping

    from torch import Tensor

STEM = 32
# expansion, output channels, repeats, stride of the first, dilation
STAGES = (
    (1, 16, 1, 1, 1),
    (6, 24, 2, 2, 1),
    (6, 32, 3, 2, 1),
    (6, 64, 4, 2, 1),
    (6, 96, 3, 1, 1),
    (6, 160, 1, 1, 1),
    (6, 160, 2, 1, 2),
    (6, 320, 1, 1, 2),
)
_SKIP4, _SKIP8 = 2, 5  # last blocks at strides 4 and 8
_ASPP = 256
_NARROW = 96
_DECODER8 = 64
_DECODER = 96
_SKIP8_WIDTH, _SKIP4_WIDTH, _GUIDE_WIDTH = 32, 24, 16


def _pointwise(inputs: int, outputs: int) -> nn.Sequential:
    return nn.Sequential(
        nn.Conv2d(inputs, outputs, 1, bias=False),
        nn.BatchNorm2d(outputs),
        nn.ReLU(inplace=True),
    )


def _separable(inputs: int, outputs: int) -> nn.Sequential:
    depthwise = nn.Conv2d(inputs, inputs, 3, padding=1, groups=inputs, bias=False)
    return nn.Sequential(depthwise, *_pointwise(inputs, outputs))


class MobileNetV2(Backbone):
    """The small network: about 2.2 million parameters."""

    feature_dim = 48
    stride = 4
    gp_defaults: ClassVar[Mapping[str, Any]] = {
        "gp_stride": 4,
        "linear_basis": True,
        "paper_init": True,
    }

    def __init__(self) -> None:
        super().__init__()
        self.stem = SameConv(3, STEM, 3, stride=2)
        blocks: list[nn.Module] = []
        inputs = STEM
        for expansion, outputs, repeats, stride, dilation in STAGES:
            for index in range(repeats):
                step = stride if index == 0 else 1
                blocks.append(
                    InvertedResidual(inputs, outputs, expansion, step, dilation)
                )
                inputs = outputs
        self.blocks = nn.ModuleList(blocks)
        self.aspp = nn.Conv2d(inputs, _ASPP, 1)
        self.aspp_pool = nn.Conv2d(inputs, _ASPP, 1)
        self.aspp_project = nn.Conv2d(2 * _ASPP, _ASPP, 1)
        self.narrow = _pointwise(_ASPP, _NARROW)
        self.skip8 = _pointwise(32, _SKIP8_WIDTH)
        self.decode8 = _separable(_NARROW + _SKIP8_WIDTH, _DECODER8)
        self.skip4 = _pointwise(24, _SKIP4_WIDTH)
        self.guide4 = nn.Conv2d(STEM, _GUIDE_WIDTH, 3, stride=2, padding=1)
        joined = _DECODER8 + _SKIP4_WIDTH + _GUIDE_WIDTH
        self.decode4 = nn.Sequential(
            _separable(joined, _DECODER), _separable(_DECODER, _DECODER)
        )
        self.head = nn.Conv2d(_DECODER, self.feature_dim, 1)

    def make_maps_transform(self) -> nn.Module:
        """Return Conv1S to the stem's 32 channels at stride 2."""
        return nn.Sequential(
            nn.Conv2d(3, 16, 3, stride=2, padding=1),
            nn.LeakyReLU(0.2, inplace=True),
            nn.Conv2d(16, STEM, 3, padding=1),
            ScaleLayer(),
        )

    def encode(self, rgb: Tensor) -> tuple[Tensor, ...]:
        """Return the stem's output ``(B, 32, ceil(H/2), ceil(W/2))``."""
        return (functional.relu6(self.stem(2 * rgb - 1)),)

    def fuse(self, encoded: tuple[Tensor, ...], guidance: Tensor) -> Tensor:
        """Return features ``(B, 48, ceil(H/4), ceil(W/4))``."""
        (stem,) = encoded
        maps = stem + guidance
        skips: dict[int, Tensor] = {}
        for index, block in enumerate(self.blocks):
            maps = block(maps)
            if index in (_SKIP4, _SKIP8):
                skips[index] = maps
        maps = self.decode8(
            _join(self.narrow(self._context(maps)), [self.skip8(skips[_SKIP8])])
        )
        guide = functional.relu(self.guide4(guidance))
        maps = self.decode4(_join(maps, [self.skip4(skips[_SKIP4]), guide]))
        features: Tensor = self.head(maps)
        return features

    def _context(self, maps: Tensor) -> Tensor:
        """Atrous pooling without the 3x3 branches: local and whole-image context."""
        local = functional.relu(self.aspp(maps))
        pooled = functional.relu(self.aspp_pool(maps.mean((2, 3), keepdim=True)))
        joined = torch.cat([local, pooled.expand_as(local)], dim=1)
        return functional.relu(self.aspp_project(joined))


def _join(coarse: Tensor, fine: list[Tensor]) -> Tensor:
    """Upsample ``coarse`` to the size of ``fine`` and concatenate."""
    size = fine[0].shape[-2:]
    upsampled = functional.interpolate(coarse, size=size, mode="bilinear")
    return torch.cat([upsampled, *fine], dim=1)


register("mobilenet_v2", MobileNetV2)
