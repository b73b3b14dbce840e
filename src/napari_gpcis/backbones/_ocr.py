"""The object-contextual head of HRNet (Yuan et al. 2020) with one region: the object.

Names of submodules are those of RITM's and FocalClick's checkpoints.
"""

from __future__ import annotations

from itertools import pairwise
from typing import TYPE_CHECKING

import torch
from torch import nn

if TYPE_CHECKING:
    from torch import Tensor

WIDTH = 96
"""Channels of the head."""

_KEY = 48
_DROPOUT = 0.05


def _bn_relu(channels: int) -> nn.Sequential:
    return nn.Sequential(nn.BatchNorm2d(channels), nn.ReLU(inplace=True))


def _pointwise(*channels: int) -> nn.Sequential:
    """Return bias-free 1x1 convolutions, each with batch norm and ReLU."""
    layers: list[nn.Module] = []
    for inputs, outputs in pairwise(channels):
        layers += [nn.Conv2d(inputs, outputs, 1, bias=False), _bn_relu(outputs)]
    return nn.Sequential(*layers)


class _ObjectAttention(nn.Module):
    """Attention of pixels to object regions.

    With one region the softmax over regions is 1 whatever the pixel's query and the
    region's key are. So ``f_pixel`` and ``f_object``, which make them, are neither
    computed nor trained; they are there for the checkpoints that hold them.
    """

    def __init__(self) -> None:
        super().__init__()
        self.f_pixel = _pointwise(WIDTH, _KEY, _KEY).requires_grad_(False)
        self.f_object = _pointwise(WIDTH, _KEY, _KEY).requires_grad_(False)
        self.f_down = _pointwise(WIDTH, _KEY)
        self.f_up = _pointwise(_KEY, WIDTH)

    def forward(self, region: Tensor) -> Tensor:
        """Return the context, ``(B, 96, 1, 1)``, of a region of that shape."""
        context: Tensor = self.f_up(self.f_down(region))
        return context


class _Distribute(nn.Module):
    """Join pixels with the context of their region."""

    def __init__(self) -> None:
        super().__init__()
        self.object_context_block = _ObjectAttention()
        self.conv_bn_dropout = _pointwise(2 * WIDTH, WIDTH).append(
            nn.Dropout2d(_DROPOUT)
        )

    def forward(self, pixels: Tensor, region: Tensor) -> Tensor:
        """Return shape ``(B, 96, h, w)``."""
        context = self.object_context_block(region).expand_as(pixels)
        joined: Tensor = self.conv_bn_dropout(torch.cat([context, pixels], dim=1))
        return joined


class OCRHead(nn.Module):
    """A coarse guess of the object, its mean feature, and pixels that know it.

    In training mode batch norm sees one value per image and channel of the region, so
    a batch needs at least two images (or batch norm in evaluation mode).

    Parameters
    ----------
    inputs
        Channels of the input.
    outputs
        Channels of the output.
    """

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        self.aux_head = nn.Sequential(
            nn.Conv2d(inputs, inputs, 1),
            nn.BatchNorm2d(inputs),
            nn.ReLU(inplace=True),
            nn.Conv2d(inputs, 1, 1),
        )
        self.conv3x3_ocr = nn.Sequential(
            nn.Conv2d(inputs, WIDTH, 3, padding=1),
            nn.BatchNorm2d(WIDTH),
            nn.ReLU(inplace=True),
        )
        self.ocr_distri_head = _Distribute()
        self.cls_head = nn.Conv2d(WIDTH, outputs, 1)

    def forward(self, maps: Tensor) -> Tensor:
        """Return shape ``(B, outputs, h, w)`` for maps ``(B, inputs, h, w)``."""
        guess: Tensor = self.aux_head(maps)
        pixels: Tensor = self.conv3x3_ocr(maps)
        share = guess.flatten(2).softmax(dim=-1)  # (B, 1, h * w)
        region = (pixels.flatten(2) @ share.transpose(1, 2)).unsqueeze(-1)
        features: Tensor = self.cls_head(self.ocr_distri_head(pixels, region))
        return features
