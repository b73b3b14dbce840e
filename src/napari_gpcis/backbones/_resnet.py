"""The dilated Gluon ResNet50-v1s trunk (output stride 8)."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from torch import nn

if TYPE_CHECKING:
    from torch import Tensor

EXPANSION = 4
"""Output channels of a bottleneck over its width."""

STEM_CHANNELS = 128
"""Channels of the stem, to which the click maps are added."""


class _Stage(NamedTuple):
    """One of the four residual stages."""

    width: int
    blocks: int
    stride: int
    first_dilation: int
    dilation: int


# Stages 3 and 4 trade their stride for dilation. The first 3x3 of a stage still
# sees the dilation of the stage before.
_STAGES = (
    _Stage(width=64, blocks=3, stride=1, first_dilation=1, dilation=1),
    _Stage(width=128, blocks=4, stride=2, first_dilation=1, dilation=1),
    _Stage(width=256, blocks=6, stride=1, first_dilation=1, dilation=2),
    _Stage(width=512, blocks=3, stride=1, first_dilation=2, dilation=4),
)


class Bottleneck(nn.Module):
    """A residual block: 1x1, 3x3, 1x1 convolutions around a shortcut.

    Parameters
    ----------
    inputs
        Channels of the input.
    width
        Channels between the convolutions; the output has ``4 * width``.
    stride
        Stride of the 3x3 convolution and of the shortcut.
    dilation
        Dilation (and padding) of the 3x3 convolution.
    project
        Whether the shortcut is a strided 1x1 convolution rather than the identity.
    """

    def __init__(
        self, inputs: int, width: int, stride: int, dilation: int, *, project: bool
    ) -> None:
        super().__init__()
        outputs = EXPANSION * width
        self.conv1 = nn.Conv2d(inputs, width, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(width)
        self.conv2 = nn.Conv2d(
            width, width, 3, stride, padding=dilation, dilation=dilation, bias=False
        )
        self.bn2 = nn.BatchNorm2d(width)
        self.conv3 = nn.Conv2d(width, outputs, 1, bias=False)
        self.bn3 = nn.BatchNorm2d(outputs)
        self.relu = nn.ReLU(inplace=True)
        self.downsample: nn.Module | None = None
        if project:
            self.downsample = nn.Sequential(
                nn.Conv2d(inputs, outputs, 1, stride, bias=False),
                nn.BatchNorm2d(outputs),
            )

    def forward(self, x: Tensor) -> Tensor:
        """Return the block's features, ``(B, 4 * width, h, w)``."""
        shortcut = x if self.downsample is None else self.downsample(x)
        out: Tensor = self.relu(self.bn1(self.conv1(x)))
        out = self.relu(self.bn2(self.conv2(out)))
        out = self.bn3(self.conv3(out))
        activated: Tensor = self.relu(out + shortcut)
        return activated


def _stem() -> nn.Sequential:
    """Return the deep stem: three 3x3 convolutions, stride 2, up to ``bn1``."""
    half = STEM_CHANNELS // 2
    return nn.Sequential(
        nn.Conv2d(3, half, 3, stride=2, padding=1, bias=False),
        nn.BatchNorm2d(half),
        nn.ReLU(inplace=True),
        nn.Conv2d(half, half, 3, padding=1, bias=False),
        nn.BatchNorm2d(half),
        nn.ReLU(inplace=True),
        nn.Conv2d(half, STEM_CHANNELS, 3, padding=1, bias=False),
    )


def _layer(inputs: int, stage: _Stage) -> nn.Sequential:
    """Return the blocks of one stage; the first one changes stride and width."""
    first = Bottleneck(
        inputs, stage.width, stage.stride, stage.first_dilation, project=True
    )
    others = (
        Bottleneck(
            EXPANSION * stage.width, stage.width, 1, stage.dilation, project=False
        )
        for _ in range(stage.blocks - 1)
    )
    return nn.Sequential(first, *others)


class DilatedResNet50(nn.Module):
    """ResNet50-v1s with output stride 8, cut where click maps are added.

    The names of the submodules are those of the published weights, so that both
    the ImageNet file (without its ``fc``) and a GPCIS checkpoint load.
    """

    def __init__(self) -> None:
        super().__init__()
        self.conv1 = _stem()
        self.bn1 = nn.BatchNorm2d(STEM_CHANNELS)
        self.relu = nn.ReLU(inplace=True)
        self.maxpool = nn.MaxPool2d(3, stride=2, padding=1)
        inputs = [STEM_CHANNELS, *(EXPANSION * stage.width for stage in _STAGES)]
        self.layer1 = _layer(inputs[0], _STAGES[0])
        self.layer2 = _layer(inputs[1], _STAGES[1])
        self.layer3 = _layer(inputs[2], _STAGES[2])
        self.layer4 = _layer(inputs[3], _STAGES[3])

    def stem(self, image: Tensor) -> Tensor:
        """Return the stem's activations.

        Parameters
        ----------
        image
            Normalised image, ``(B, 3, H, W)``.

        Returns
        -------
        Tensor
            Shape ``(B, 128, ceil(H/2), ceil(W/2))``.
        """
        activated: Tensor = self.relu(self.bn1(self.conv1(image)))
        return activated

    def trunk(self, stem: Tensor) -> tuple[Tensor, Tensor]:
        """Return the features after the first and after the last stage.

        Parameters
        ----------
        stem
            Activations of :meth:`stem`, click maps added.

        Returns
        -------
        tuple of Tensor
            ``c1`` with 256 channels at stride 4, ``c4`` with 2048 at stride 8.
        """
        c1: Tensor = self.layer1(self.maxpool(stem))
        c4: Tensor = self.layer4(self.layer3(self.layer2(c1)))
        return c1, c4
