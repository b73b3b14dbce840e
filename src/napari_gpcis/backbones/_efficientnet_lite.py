"""EfficientNet-Lite encoders: EfficientNet without squeeze-and-excitation, ReLU6.

Tan & Le 2019 (EfficientNet); the Lite variants are Google's for mobile devices. Batch
norm is folded into the convolutions, so that tiny batches train safely.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from torch import nn
from torch.nn import functional

from napari_gpcis.backbones._inverted_residual import InvertedResidual, SameConv

if TYPE_CHECKING:
    from torch import Tensor

STEM = 32
_MEAN, _SCALE = 127 / 255, 255 / 128  # the published input is (x - 127) / 128


class Stage(NamedTuple):
    """Blocks of one width."""

    expansion: int
    channels: int
    repeats: int
    stride: int
    """Of the first block."""
    kernel: int


STAGES = {
    "lite0": (
        Stage(1, 16, 1, 1, 3),
        Stage(6, 24, 2, 2, 3),
        Stage(6, 40, 2, 2, 5),
        Stage(6, 80, 3, 2, 3),
        Stage(6, 112, 3, 1, 5),
        Stage(6, 192, 4, 2, 5),
        Stage(6, 320, 1, 1, 3),
    ),
    "lite2": (
        Stage(1, 16, 1, 1, 3),
        Stage(6, 24, 3, 2, 3),
        Stage(6, 48, 3, 2, 5),
        Stage(6, 88, 4, 2, 3),
        Stage(6, 120, 4, 1, 5),
        Stage(6, 208, 5, 2, 5),
        Stage(6, 352, 1, 1, 3),
    ),
}
"""Stages of each variant."""
_TAPS = (1, 2, 4, 6)  # stages whose outputs are the last at strides 4, 8, 16 and 32


class EfficientNetLite(nn.Module):
    """Encoder with outputs at strides 4, 8, 16 and 32.

    Parameters
    ----------
    variant
        ``"lite0"`` or ``"lite2"``.

    Attributes
    ----------
    channels : tuple of int
        Channels of the four outputs.
    """

    def __init__(self, variant: str) -> None:
        super().__init__()
        self.stem = SameConv(3, STEM, 3, stride=2)
        blocks: list[nn.Module] = []
        taps: list[int] = []
        inputs = STEM
        for number, stage in enumerate(STAGES[variant]):
            for index in range(stage.repeats):
                stride = stage.stride if index == 0 else 1
                blocks.append(
                    InvertedResidual(
                        inputs,
                        stage.channels,
                        stage.expansion,
                        stride,
                        kernel=stage.kernel,
                    )
                )
                inputs = stage.channels
            if number in _TAPS:
                taps.append(len(blocks) - 1)
        self.blocks = nn.ModuleList(blocks)
        self._taps = tuple(taps)
        self.channels = tuple(STAGES[variant][tap].channels for tap in _TAPS)

    def forward(self, rgb: Tensor) -> list[Tensor]:
        """Return the maps at strides 4, 8, 16 and 32.

        Parameters
        ----------
        rgb
            Shape ``(B, 3, H, W)`` in [0, 1].

        Returns
        -------
        list of Tensor
            Shapes ``(B, C, ceil(H/s), ceil(W/s))``.
        """
        maps = functional.relu6(self.stem((rgb - _MEAN) * _SCALE))
        found = []
        for index, block in enumerate(self.blocks):
            maps = block(maps)
            if index in self._taps:
                found.append(maps)
        return found
