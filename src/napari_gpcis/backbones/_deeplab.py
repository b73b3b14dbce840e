"""The DeepLabV3+ decoder of the published ResNet50 model."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import nn
from torch.nn import functional

if TYPE_CHECKING:
    from torch import Tensor

_DILATIONS = (12, 24, 36)
_ASPP_CHANNELS = 256
_SKIP_CHANNELS = 32


def _conv_bn_relu(
    inputs: int, outputs: int, kernel: int = 1, dilation: int = 1
) -> nn.Sequential:
    """Return a bias-free convolution of equal size, batch norm and ReLU."""
    padding = dilation * (kernel // 2)
    return nn.Sequential(
        nn.Conv2d(
            inputs, outputs, kernel, padding=padding, dilation=dilation, bias=False
        ),
        nn.BatchNorm2d(outputs),
        nn.ReLU(inplace=True),
    )


def resize(x: Tensor, size: tuple[int, int]) -> Tensor:
    """Resize bilinearly with aligned corners, as everywhere in the published model."""
    return functional.interpolate(x, size=size, mode="bilinear", align_corners=True)


class _GlobalPooling(nn.Module):
    """The image-level branch of ASPP: one vector for all positions."""

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        self.gap = nn.Sequential(
            nn.AdaptiveAvgPool2d(1), *_conv_bn_relu(inputs, outputs)
        )

    def forward(self, x: Tensor) -> Tensor:
        """Return the pooled features at the size of ``x``."""
        pooled: Tensor = self.gap(x)
        return pooled.expand(-1, -1, *x.shape[-2:])


class ASPP(nn.Module):
    """Atrous spatial pyramid pooling: five branches, then a projection.

    In training mode the pooled branch has one value per image and channel, so a
    batch needs at least two images (or batch norm in evaluation mode).

    Parameters
    ----------
    inputs
        Channels of the input.
    outputs
        Channels of each branch and of the output.
    """

    def __init__(self, inputs: int, outputs: int = _ASPP_CHANNELS) -> None:
        super().__init__()
        # The name is spelt as in the published state dict.
        self.concurent = nn.ModuleList(
            [
                _conv_bn_relu(inputs, outputs),
                *(_conv_bn_relu(inputs, outputs, 3, rate) for rate in _DILATIONS),
                _GlobalPooling(inputs, outputs),
            ]
        )
        self.project = _conv_bn_relu(len(self.concurent) * outputs, outputs)

    def forward(self, x: Tensor) -> Tensor:
        """Return features of the same height and width, ``(B, outputs, h, w)``."""
        branches = torch.cat([branch(x) for branch in self.concurent], dim=1)
        projected: Tensor = self.project(branches)
        return projected


class SkipProject(nn.Module):
    """Reduce the fine features before they meet the coarse ones."""

    def __init__(self, inputs: int, outputs: int = _SKIP_CHANNELS) -> None:
        super().__init__()
        self.skip_project = _conv_bn_relu(inputs, outputs)

    def forward(self, x: Tensor) -> Tensor:
        """Return features of the same height and width, ``(B, outputs, h, w)``."""
        projected: Tensor = self.skip_project(x)
        return projected


class _SeparableConv(nn.Module):
    """Depthwise 3x3 and pointwise 1x1 convolution, batch norm and ReLU."""

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        self.body = nn.Sequential(
            nn.Conv2d(inputs, inputs, 3, padding=1, groups=inputs, bias=False),
            *_conv_bn_relu(inputs, outputs),
        )

    def forward(self, x: Tensor) -> Tensor:
        """Return features of the same height and width."""
        features: Tensor = self.body(x)
        return features


class SeparableHead(nn.Module):
    """Two separable convolutions and a 1x1 convolution to the GP features.

    Parameters
    ----------
    outputs
        Channels of the output.
    """

    def __init__(self, outputs: int) -> None:
        super().__init__()
        self.block = nn.Sequential(
            _SeparableConv(_ASPP_CHANNELS + _SKIP_CHANNELS, _ASPP_CHANNELS),
            _SeparableConv(_ASPP_CHANNELS, _ASPP_CHANNELS),
            nn.Conv2d(_ASPP_CHANNELS, outputs, 1),
        )

    def forward(self, coarse: Tensor, fine: Tensor) -> Tensor:
        """Return features at the size of ``fine``.

        Parameters
        ----------
        coarse
            ASPP features, ``(B, 256, h, w)``, resized to ``fine`` here.
        fine
            Projected features of the first stage, ``(B, 32, h', w')``.

        Returns
        -------
        Tensor
            Shape ``(B, outputs, h', w')``.
        """
        size = (fine.shape[-2], fine.shape[-1])
        features: Tensor = self.block(torch.cat([resize(coarse, size), fine], dim=1))
        return features
