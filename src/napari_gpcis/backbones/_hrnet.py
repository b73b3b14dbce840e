"""The trunk HRNet-W18-small-v2 (Wang et al. 2020): branches that stay in parallel.

Names of submodules are those of the published weights.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from torch import nn

from napari_gpcis.backbones._deeplab import resize
from napari_gpcis.backbones._resnet import EXPANSION, Bottleneck

if TYPE_CHECKING:
    from collections.abc import Sequence

    from torch import Tensor

STEM_CHANNELS = 64
"""Channels of the first convolution, to which the click maps are added."""

WIDTHS = (18, 36, 72, 144)
"""Channels of the branches at strides 4, 8, 16 and 32."""

_BLOCKS = 2
_MODULES = (1, 3, 2)  # of stages 2, 3 and 4


class _BasicBlock(nn.Module):
    """Two 3x3 convolutions around an identity."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(width, width, 3, padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(width)
        self.conv2 = nn.Conv2d(width, width, 3, padding=1, bias=False)
        self.bn2 = nn.BatchNorm2d(width)
        self.relu = nn.ReLU(inplace=True)

    def forward(self, maps: Tensor) -> Tensor:
        """Return features of the same shape."""
        out: Tensor = self.relu(self.bn1(self.conv1(maps)))
        out = self.bn2(self.conv2(out)) + maps
        activated: Tensor = self.relu(out)
        return activated


def _conv_bn(inputs: int, outputs: int, kernel: int, stride: int = 1) -> nn.Sequential:
    """Return a bias-free convolution with batch norm."""
    convolution = nn.Conv2d(inputs, outputs, kernel, stride, kernel // 2, bias=False)
    return nn.Sequential(convolution, nn.BatchNorm2d(outputs))


def _conv_bn_relu(inputs: int, outputs: int, stride: int = 1) -> nn.Sequential:
    """Return a bias-free 3x3 convolution with batch norm and ReLU."""
    layers = _conv_bn(inputs, outputs, 3, stride)
    return layers.append(nn.ReLU(inplace=True))


def _exchange(source: int, target: int) -> nn.Module:
    """Return the way from one branch to another, without the upsampling."""
    inputs, outputs = WIDTHS[source], WIDTHS[target]
    if source == target:
        return nn.Identity()
    if source > target:
        return _conv_bn(inputs, outputs, 1)
    halvings: list[nn.Module] = [
        _conv_bn_relu(inputs, inputs, stride=2) for _ in range(target - source - 1)
    ]
    return nn.Sequential(*halvings, _conv_bn(inputs, outputs, 3, stride=2))


class _Receive(nn.ModuleList):
    """Sum of all branches at the resolution of one.

    Coarser branches come resized bilinearly with aligned corners, as in RITM; the
    ImageNet network repeats pixels instead.
    """

    def __init__(self, target: int, branches: int) -> None:
        super().__init__(_exchange(source, target) for source in range(branches))
        self.target = target

    def forward(self, branches: Sequence[Tensor]) -> Tensor:
        """Return features of the shape of the branch that receives."""
        own = branches[self.target]
        size = (own.shape[-2], own.shape[-1])
        parts = [way(branch) for way, branch in zip(self, branches, strict=True)]
        total: Tensor = parts[0]
        for source, part in enumerate(parts[1:], start=1):
            total = total + (resize(part, size) if source > self.target else part)
        return total.relu()


class _HighResolutionModule(nn.Module):
    """Blocks in each branch, then an exchange between all branches."""

    def __init__(self, branches: int) -> None:
        super().__init__()
        self.branches = nn.ModuleList(
            nn.Sequential(*(_BasicBlock(width) for _ in range(_BLOCKS)))
            for width in WIDTHS[:branches]
        )
        self.fuse_layers = nn.ModuleList(
            _Receive(target, branches) for target in range(branches)
        )

    def forward(self, branches: Sequence[Tensor]) -> list[Tensor]:
        """Return as many branches, of the same shapes."""
        pairs = zip(self.branches, branches, strict=True)
        maps = [blocks(branch) for blocks, branch in pairs]
        return [receive(maps) for receive in self.fuse_layers]


class _Modules(nn.Sequential):
    """The modules of one stage."""

    def __init__(self, stage: int) -> None:
        modules = (_HighResolutionModule(stage) for _ in range(_MODULES[stage - 2]))
        super().__init__(*modules)


class _Transition(nn.ModuleList):
    """Add one branch: a strided convolution of the coarsest one."""

    def __init__(self, branches: int) -> None:
        new = nn.Sequential(_conv_bn_relu(WIDTHS[branches - 1], WIDTHS[branches], 2))
        super().__init__([*(nn.Identity() for _ in range(branches)), new])

    def forward(self, branches: list[Tensor]) -> list[Tensor]:
        """Return one more branch."""
        return [*branches, self[-1](branches[-1])]


class HRNetW18Small(nn.Module):
    """HRNet-W18-small-v2 without a classifier, cut where click maps are added."""

    def __init__(self) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(3, STEM_CHANNELS, 3, 2, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(STEM_CHANNELS)
        self.conv2 = nn.Conv2d(STEM_CHANNELS, STEM_CHANNELS, 3, 2, 1, bias=False)
        self.bn2 = nn.BatchNorm2d(STEM_CHANNELS)
        self.relu = nn.ReLU(inplace=True)
        wide = EXPANSION * STEM_CHANNELS
        self.layer1 = nn.Sequential(
            Bottleneck(STEM_CHANNELS, STEM_CHANNELS, 1, 1, project=True),
            Bottleneck(wide, STEM_CHANNELS, 1, 1, project=False),
        )
        self.transition1 = nn.ModuleList(
            [
                _conv_bn_relu(wide, WIDTHS[0]),
                nn.Sequential(_conv_bn_relu(wide, WIDTHS[1], stride=2)),
            ]
        )
        self.stage2 = _Modules(2)
        self.transition2 = _Transition(2)
        self.stage3 = _Modules(3)
        self.transition3 = _Transition(3)
        self.stage4 = _Modules(4)

    def stem(self, image: Tensor) -> Tensor:
        """Return the activations of the first convolution.

        Parameters
        ----------
        image
            Normalised image, ``(B, 3, H, W)``.

        Returns
        -------
        Tensor
            Shape ``(B, 64, ceil(H/2), ceil(W/2))``.
        """
        activated: Tensor = self.relu(self.bn1(self.conv1(image)))
        return activated

    def trunk(self, stem: Tensor) -> list[Tensor]:
        """Return the four branches.

        Parameters
        ----------
        stem
            Activations of :meth:`stem`, click maps added.

        Returns
        -------
        list of Tensor
            Channels 18, 36, 72 and 144 at strides 4, 8, 16 and 32.
        """
        maps: Tensor = self.layer1(self.relu(self.bn2(self.conv2(stem))))
        branches: list[Tensor] = [enter(maps) for enter in self.transition1]
        branches = self.transition2(self.stage2(branches))
        branches = self.transition3(self.stage3(branches))
        last: list[Tensor] = self.stage4(branches)
        return last
