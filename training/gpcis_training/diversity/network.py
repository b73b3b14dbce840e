"""Context aggregation networks: one proposes M masks, another selects among them.

Layers of the published Table 1: a 1 x 1 convolution to 64 channels, nine 3 x 3 ones of
dilation 1, 2, 4, 8, 16, 32, 64, 128 and 1, and a 1 x 1 one to M channels, all at full
resolution. Each but the last is followed by adaptive normalisation and LeakyReLU, and
starts as the identity.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from torch import nn
from torch.nn import functional

from gpcis_training.diversity.guidance import FAR
from gpcis_training.diversity.vgg19 import WIDTHS
from napari_gpcis.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from torch import Tensor

WIDTH = 64
DILATIONS = (1, 2, 4, 8, 16, 32, 64, 128, 1)
SIGMOID, CLIPPED_TANH = "sigmoid", "clipped_tanh"
OUTPUTS = (SIGMOID, CLIPPED_TANH)
_COLOURS = 3
_SLOPE = 0.2
_EPSILON = 1e-3


@dataclass(frozen=True)
class Design:
    """Inputs and outputs of the networks.

    Parameters
    ----------
    masks
        Number M of masks that are proposed.
    vgg
        Whether the features of VGG-19 are an input.
    distances, clicks
        Whether distance maps and click maps are inputs.
    output
        ``"sigmoid"`` as in the paper; ``"clipped_tanh"`` as in the published code:
        tanh, cut to [0, 1].
    far
        Distances are truncated here, pixels, and divided by it (published: 255).
        Smaller for much smaller images, in which all distances would be nearly alike.
    """

    masks: int = 6
    vgg: bool = True
    distances: bool = True
    clicks: bool = True
    output: str = SIGMOID
    far: float = FAR

    def __post_init__(self) -> None:
        """Check the values."""
        if self.masks < 1:
            msg = f"masks must be at least 1, got {self.masks}"
            raise InputError(msg)
        if not self.far > 0:
            msg = f"far must be above 0, got {self.far}"
            raise InputError(msg)
        if self.output not in OUTPUTS:
            msg = f"output must be one of {', '.join(OUTPUTS)}, got {self.output!r}"
            raise InputError(msg)
        if not self.distances and not self.clicks:
            msg = (
                "distances and clicks must not both be false: no input shows the clicks"
            )
            raise InputError(msg)

    @property
    def guidance(self) -> int:
        """Number of distance and click maps."""
        return 2 * self.distances + 2 * self.clicks

    @property
    def channels(self) -> int:
        """Channels of the first layer.

        All inputs together are 1,479: 3 colours, 4 maps and 1,472 features, as in the
        published code. The paper's text says 1,477.
        """
        return _COLOURS + self.guidance + self.vgg * sum(WIDTHS)


class AdaptiveNorm(nn.Module):
    """``w0 x + w1 BN(x)``: batch normalisation that may be left out.

    The numbers w0 and w1 are learned from 1 and 0. Mean and variance are those of the
    present batch, when predicting as well. A shift for each channel is learned, as
    TensorFlow's layer has by default.
    """

    def __init__(self, width: int) -> None:
        super().__init__()
        self.identity = nn.Parameter(torch.ones(()))
        self.normalised = nn.Parameter(torch.zeros(()))
        self.shift = nn.Parameter(torch.zeros(width, 1, 1))

    def forward(self, x: Tensor) -> Tensor:
        """Return the normalised features, shape as before."""
        normal = functional.batch_norm(x, None, None, training=True, eps=_EPSILON)
        return self.identity * x + self.normalised * (normal + self.shift)


class ContextAggregation(nn.Module):
    """The dilated layers and the last one.

    Parameters
    ----------
    inputs, outputs
        Channels.
    """

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        self.convolutions = nn.ModuleList()
        for dilation in DILATIONS:
            layer = nn.Conv2d(
                inputs, WIDTH, 3, padding=dilation, dilation=dilation, bias=False
            )
            set_identity(layer)
            self.convolutions.append(layer)
            inputs = WIDTH
        self.norms = nn.ModuleList(AdaptiveNorm(WIDTH) for _ in DILATIONS)
        self.last = nn.Conv2d(WIDTH, outputs, 1)
        nn.init.xavier_uniform_(self.last.weight)
        assert self.last.bias is not None
        nn.init.zeros_(self.last.bias)

    def forward(self, x: Tensor) -> Tensor:
        """Map ``(N, inputs, H, W)`` to ``(N, outputs, H, W)``."""
        for convolution, norm in zip(self.convolutions, self.norms, strict=True):
            x = functional.leaky_relu(norm(convolution(x)), _SLOPE)
        return self.last(x)  # type: ignore[no-any-return]


class Proposals(nn.Module):
    """The network that proposes masks.

    What depends on the image alone is computed by :meth:`project`, once an image. The
    first layer and bilinear interpolation are linear and commute, so that features are
    brought to 64 channels at their own resolution before they are enlarged: the input
    of 1,479 channels never exists.

    Parameters
    ----------
    design
        Inputs and outputs.
    """

    def __init__(self, design: Design) -> None:
        super().__init__()
        self.design = design
        self.first = nn.Conv2d(design.channels, WIDTH, 1, bias=False)
        set_identity(self.first)
        self.norm = AdaptiveNorm(WIDTH)
        self.context = ContextAggregation(WIDTH, design.masks)

    def project(self, image: Tensor, taps: Sequence[Tensor] = ()) -> Tensor:
        """Return the part of the first layer that no click changes.

        Parameters
        ----------
        image
            RGB in [0, 1], shape ``(N, 3, H, W)``.
        taps
            Features of VGG-19, see :meth:`.VGG19.forward`; none if the design has
            none.

        Returns
        -------
        Tensor
            Shape ``(N, 64, H, W)``.
        """
        if len(taps) != self.design.vgg * len(WIDTHS):
            msg = f"taps must be {self.design.vgg * len(WIDTHS)} maps, got {len(taps)}"
            raise InputError(msg)
        weight, size = self.first.weight, image.shape[-2:]
        total = functional.conv2d(image, weight[:, :_COLOURS])
        start = _COLOURS + self.design.guidance
        for features in taps:
            stop = start + features.shape[1]
            small = functional.conv2d(features, weight[:, start:stop])
            total = total + enlarge(small, size)
            start = stop
        return total

    def forward(self, projected: Tensor, guidance: Tensor) -> Tensor:
        """Return the masks.

        Parameters
        ----------
        projected
            From :meth:`project`.
        guidance
            Distance and click maps, shape ``(N, 4, H, W)``, fewer if the design has
            fewer.

        Returns
        -------
        Tensor
            Shape ``(N, M, H, W)``, in [0, 1].
        """
        stop = _COLOURS + self.design.guidance
        x = projected + functional.conv2d(guidance, self.first.weight[:, _COLOURS:stop])
        x = self.context(functional.leaky_relu(self.norm(x), _SLOPE))
        if self.design.output == CLIPPED_TANH:
            return torch.tanh(x).clamp(0, 1)
        return torch.sigmoid(x)


class Selector(nn.Module):
    """The network that selects among proposed masks, by global average pooling.

    Parameters
    ----------
    design
        Of the network that proposes. Features of VGG-19 are no input of this one.
    """

    def __init__(self, design: Design) -> None:
        super().__init__()
        self.design = design
        inputs = _COLOURS + design.guidance + design.masks
        self.context = ContextAggregation(inputs, design.masks)

    def forward(self, image: Tensor, guidance: Tensor, masks: Tensor) -> Tensor:
        """Return a logit for each mask, shape ``(N, M)``.

        Parameters
        ----------
        image
            RGB in [0, 1], shape ``(N, 3, H, W)``.
        guidance
            As for :class:`Proposals`.
        masks
            Shape ``(N, M, H, W)``, in [0, 1].
        """
        x = torch.cat([image, guidance, masks], dim=1)
        return self.context(x).mean(dim=(2, 3))  # type: ignore[no-any-return]


def enlarge(features: Tensor, size: Sequence[int]) -> Tensor:
    """Interpolate features bilinearly to a height and a width."""
    return functional.interpolate(
        features, size=list(size), mode="bilinear", align_corners=False
    )


@torch.no_grad()
def set_identity(layer: nn.Conv2d) -> None:
    """Let a convolution pass channel i on as channel i, in place."""
    nn.init.zeros_(layer.weight)
    centre = layer.kernel_size[0] // 2
    for channel in range(min(layer.weight.shape[:2])):
        layer.weight[channel, channel, centre, centre] = 1


def count_parameters(network: nn.Module) -> int:
    """Return the number of parameters."""
    return sum(parameter.numel() for parameter in network.parameters())
