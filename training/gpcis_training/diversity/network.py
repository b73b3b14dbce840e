"""The two networks: proposals from image and clicks, and the selector among them."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import nn
from torch.nn import functional

from gpcis_training.diversity.vgg19 import WIDTHS
from napari_gpcis.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from torch import Tensor

DILATIONS = (1, 2, 4, 8, 16, 32, 64, 128, 1)
WIDTH = 64
MASKS = 6
COLOURS, GUIDANCE = 3, 4
OUTPUTS = ("sigmoid", "tanh")
"""Last step of the proposals: that of the paper, and that of its code, cut at 0."""
_BYTE = 255.0


class AdaptiveNorm(nn.Module):
    """A learned mixture ``w0 x + w1 BN(x)``, the identity at first.

    The statistics are always those of the batch, in use as in training.
    """

    def __init__(self) -> None:
        super().__init__()
        self.w0 = nn.Parameter(torch.ones(()))
        self.w1 = nn.Parameter(torch.zeros(()))

    def forward(self, x: Tensor) -> Tensor:
        """Return the mixture; shape ``(B, C, H, W)`` in and out."""
        if x[:, 0].numel() == 1:  # one value has no variance
            return self.w0 * x
        normed = functional.batch_norm(x, None, None, training=True, eps=1e-3)
        return self.w0 * x + self.w1 * normed


class Block(nn.Module):
    """Dilated 3 x 3 convolution without bias, adaptive norm, leaky ReLU."""

    def __init__(self, ins: int, outs: int, dilation: int) -> None:
        super().__init__()
        self.conv = nn.Conv2d(
            ins, outs, 3, padding=dilation, dilation=dilation, bias=False
        )
        start_as_identity(self.conv)
        self.norm = AdaptiveNorm()

    def forward(self, x: Tensor) -> Tensor:
        """Return the block's output, of the same height and width."""
        return functional.leaky_relu(self.norm(self.conv(x)), 0.2)


class Proposals(nn.Module):
    """Context aggregation network f: M masks.

    The first layer mixes image, maps of the clicks and hypercolumn, 1,479 channels. As
    mixing channels and enlarging maps commute, each map of the hypercolumn is mixed at
    its own resolution and then enlarged; the result is that of the whole hypercolumn.

    Parameters
    ----------
    masks
        Number of masks M.
    features
        Use the hypercolumn.
    distances, clicks
        Use the distance maps, the maps of the clicks themselves.
    output
        One of `OUTPUTS`.
    dilations
        One a layer.

    Raises
    ------
    InputError
        If there is no such output.
    """

    def __init__(
        self,
        masks: int = MASKS,
        *,
        features: bool = True,
        distances: bool = True,
        clicks: bool = True,
        output: str = "sigmoid",
        dilations: Sequence[int] = DILATIONS,
    ) -> None:
        if output not in OUTPUTS:
            msg = f"output must be one of {', '.join(OUTPUTS)}, got {output!r}"
            raise InputError(msg)
        super().__init__()
        self.features, self.output = features, output
        used = [*range(2 * distances), *(2 + k for k in range(2 * clicks))]
        self._guidance = used
        channels = COLOURS + len(used) + (sum(WIDTHS) if features else 0)
        self.first = nn.Conv2d(channels, WIDTH, 1, bias=False)
        start_as_identity(self.first)
        self.norm = AdaptiveNorm()
        self.blocks = nn.Sequential(*(Block(WIDTH, WIDTH, d) for d in dilations))
        self.last = _last(masks)

    @property
    def channels(self) -> int:
        """Channels of the input."""
        return self.first.in_channels

    def encode(self, image: Tensor, maps: Sequence[Tensor] = ()) -> Tensor:
        """Return what the first layer makes of the image: the same for all clicks.

        Parameters
        ----------
        image
            Shape ``(B, 3, H, W)``, from 0 to 255.
        maps
            The hypercolumn, see :class:`.VGG19`; none if the network uses none.

        Returns
        -------
        tensor
            Shape ``(B, 64, H, W)``.
        """
        weight = self.first.weight
        total = functional.conv2d(image / _BYTE, weight[:, :COLOURS])
        begin = COLOURS + len(self._guidance)
        for part in maps:
            end = begin + part.shape[1]
            mixed = functional.conv2d(part, weight[:, begin:end])
            total = total + enlarged(mixed, image.shape[-2:])
            begin = end
        if begin != self.channels:
            msg = f"image and maps must have {self.channels} channels, got {begin}"
            raise InputError(msg)
        return total

    def forward(self, encoded: Tensor, guidance: Tensor) -> Tensor:
        """Return the masks.

        Parameters
        ----------
        encoded
            From :meth:`encode`.
        guidance
            Maps of the clicks, see :func:`.click_maps`, ``(B, 4, H, W)``.

        Returns
        -------
        tensor
            Shape ``(B, M, H, W)``, from 0 to 1; 0.5 is the border of the object.
        """
        used = self._guidance
        if used:
            weight = self.first.weight[:, COLOURS : COLOURS + len(used)]
            encoded = encoded + functional.conv2d(guidance[:, used] / _BYTE, weight)
        x = self.blocks(functional.leaky_relu(self.norm(encoded), 0.2))
        found: Tensor = self.last(x)
        if self.output == "tanh":
            return torch.tanh(found).clamp(min=0)
        return torch.sigmoid(found)


class Selector(nn.Module):
    """Network g: a score for each of M masks, by global average pooling.

    Parameters
    ----------
    masks
        Number of masks M.
    dilations
        One a layer.
    """

    def __init__(
        self, masks: int = MASKS, *, dilations: Sequence[int] = DILATIONS
    ) -> None:
        super().__init__()
        widths = [COLOURS + GUIDANCE + masks] + [WIDTH] * (len(dilations) - 1)
        self.blocks = nn.Sequential(
            *(Block(ins, WIDTH, d) for ins, d in zip(widths, dilations, strict=True))
        )
        self.last = _last(masks)

    def forward(self, image: Tensor, guidance: Tensor, masks: Tensor) -> Tensor:
        """Return the scores.

        Parameters
        ----------
        image
            Shape ``(B, 3, H, W)``, from 0 to 255.
        guidance
            Maps of the clicks, ``(B, 4, H, W)``.
        masks
            From :class:`Proposals`, ``(B, M, H, W)``.

        Returns
        -------
        tensor
            Logits, ``(B, M)``.
        """
        seen = torch.cat([image / _BYTE, guidance / _BYTE, masks], dim=1)
        found: Tensor = self.last(self.blocks(seen))
        return found.mean(dim=(2, 3))


def enlarged(part: Tensor, size: Sequence[int]) -> Tensor:
    """Return a map at another size, interpolated linearly."""
    if tuple(part.shape[-2:]) == tuple(size):
        return part
    return functional.interpolate(
        part, list(size), mode="bilinear", align_corners=False
    )


@torch.no_grad()
def start_as_identity(conv: nn.Conv2d) -> None:
    """Let channel i be channel i of the input, as far as there are that many."""
    row, col = (size // 2 for size in conv.weight.shape[2:])
    nn.init.zeros_(conv.weight)
    for k in range(min(conv.weight.shape[:2])):
        conv.weight[k, k, row, col] = 1


def _last(masks: int) -> nn.Conv2d:
    last = nn.Conv2d(WIDTH, masks, 1)
    nn.init.xavier_uniform_(last.weight)
    assert last.bias is not None
    nn.init.zeros_(last.bias)
    return last
