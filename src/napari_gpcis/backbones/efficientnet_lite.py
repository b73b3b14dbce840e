"""Two towers: an image tower that runs once, a click tower that runs for each click.

The image tower is EfficientNet-Lite with a light feature pyramid (Lin et al. 2017) down
to stride 4; it sees no clicks. It also gives a *key* of each pixel, a short vector of
length 1. The click tower sees the pyramid, the previous mask, the disks of the clicks
and two similarity maps: how much the key of a pixel resembles those at the positive
clicks, and those at the negative ones. It begins with pointwise convolutions of all of
them; what the pyramid gives to these is the same for all clicks, so it belongs to the
encoding.
"""

from __future__ import annotations

from functools import partial
from itertools import pairwise
from typing import TYPE_CHECKING, Any, ClassVar, NamedTuple

import torch
from torch import nn
from torch.nn import functional
from torch.nn.utils.fusion import fuse_conv_bn_eval

from napari_gpcis.backbones._efficientnet_lite import EfficientNetLite
from napari_gpcis.backbones._inverted_residual import DepthwiseConv, InvertedResidual
from napari_gpcis.backbones.base import Backbone, register
from napari_gpcis.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from torch import Tensor

KEY_STRIDE = 8
_KEYS = 32  # length of a key
_PYRAMID = (48, 64, 96, 128)  # channels at strides 4, 8, 16 and 32
_GUIDE = (32, 48, 64)  # channels of the guidance at strides 4, 8 and 16
_FUSED = (64, 64, 96)  # channels of the click tower at strides 4, 8 and 16
_DILATIONS = (1, 2, 4)
_FEATURES = 48
# blocks and their expansion, of the deep network; at strides 4, 8, 16, 32, and 8, 16
_DEEPER_PYRAMID = ((1, 3), (2, 3), (2, 4), (2, 4))
_DEEPER_FUSED = ((1, 2), (2, 2))


class TowerMaps(NamedTuple):
    """Encoding of an image by the image tower."""

    fine: Tensor
    """Shape ``(B, 48, ceil(H/4), ceil(W/4))``."""
    middle: Tensor
    """Shape ``(B, 64, ceil(H/8), ceil(W/8))``."""
    coarse: Tensor
    """Shape ``(B, 96, ceil(H/16), ceil(W/16))``."""
    keys: Tensor
    """Vectors of length 1, shape ``(B, 32, ceil(H/8), ceil(W/8))``."""


class Encoding(NamedTuple):
    """Encoding of an image by both towers: all that does not depend on clicks."""

    fine: Tensor
    """See `TowerMaps`, as the next three."""
    middle: Tensor
    coarse: Tensor
    keys: Tensor
    fine_share: Tensor
    """What the click tower makes of ``fine``, ``(B, 64, ceil(H/4), ceil(W/4))``."""
    middle_share: Tensor
    """The same of ``middle``, ``(B, 64, ceil(H/8), ceil(W/8))``."""
    coarse_share: Tensor
    """The same of ``coarse``, ``(B, 96, ceil(H/16), ceil(W/16))``."""

    @property
    def pyramid(self) -> tuple[Tensor, Tensor, Tensor]:
        """The maps of the image tower, at strides 4, 8 and 16."""
        return self.fine, self.middle, self.coarse

    @property
    def shares(self) -> tuple[Tensor, Tensor, Tensor]:
        """What the click tower makes of them."""
        return self.fine_share, self.middle_share, self.coarse_share


class TwoTowers(Backbone):
    """The network that encodes once and answers many clicks.

    Parameters
    ----------
    variant
        Of the encoder, ``"lite0"`` or ``"lite2"``.
    similarity
        ``False`` leaves the similarity maps at their value for no click (for
        comparison).
    deep
        ``True`` puts inverted residual blocks behind those of the pyramid and of the
        click tower. They begin as the identity, so that the network may start from
        the weights of the one without.
    """

    feature_dim = _FEATURES
    stride = 4
    gp_defaults: ClassVar[Mapping[str, Any]] = {
        "gp_stride": 4,
        "linear_basis": True,
        "basis": 0,
        "quality": True,
    }

    def __init__(
        self, variant: str = "lite0", *, similarity: bool = True, deep: bool = False
    ) -> None:
        super().__init__()
        self.image_tower = ImageTower(variant, deep=deep)
        self.click_tower = ClickTower(deep=deep)
        self._similarity = similarity
        if deep:
            self.additions = ("image_tower.deeper.", "click_tower.deeper.")

    def make_maps_transform(self) -> nn.Module:
        """Return two convolutions to 32 channels at stride 4."""
        return nn.Sequential(
            nn.Conv2d(3, 16, 3, stride=2, padding=1),
            nn.ReLU(inplace=True),
            nn.Conv2d(16, _GUIDE[0], 3, stride=2, padding=1, bias=False),
            nn.BatchNorm2d(_GUIDE[0]),
            nn.ReLU(inplace=True),
        )

    def encode(self, rgb: Tensor) -> tuple[Tensor, ...]:
        """Return pyramid, keys and what the click tower makes of it, see `Encoding`."""
        maps: TowerMaps = self.image_tower(rgb)
        return Encoding(*maps, *self.click_tower.shares(maps))

    def keys(self, encoded: tuple[Tensor, ...]) -> Tensor:
        """Return the keys, ``(B, 32, ceil(H/8), ceil(W/8))``: features without clicks.

        Parameters
        ----------
        encoded
            From :meth:`encode`.
        """
        return Encoding(*encoded).keys

    def attend(self, encoded: tuple[Tensor, ...], points: Tensor) -> tuple[Tensor, ...]:
        """Return what the click tower sees of the image, and the two similarity maps.

        Shapes ``(B, 64, ceil(H/4), ceil(W/4))``, ``(B, 64, ceil(H/8), ceil(W/8))``,
        ``(B, 96, ceil(H/16), ceil(W/16))`` and ``(B, 2, ceil(H/8), ceil(W/8))``.
        """
        parts = Encoding(*encoded)
        return *parts.shares, self._similar(parts, points)

    def context(
        self, encoded: tuple[Tensor, ...], points: Tensor
    ) -> tuple[Tensor, ...]:
        """Return the pyramid and the two similarity maps."""
        parts = Encoding(*encoded)
        return *parts.pyramid, self._similar(parts, points)

    def _similar(self, encoded: Encoding, points: Tensor) -> Tensor:
        """Return the similarity maps, ``(B, 2, ceil(H/8), ceil(W/8))``."""
        if not self._similarity:
            points = torch.full_like(points, -1)
        return similarity_maps(encoded.keys, points, KEY_STRIDE)

    def crop(
        self, encoded: tuple[Tensor, ...], box: tuple[int, int, int, int]
    ) -> tuple[Tensor, ...]:
        """Return the encoding of a part of the image, without encoding it anew.

        It is that of the whole image cut out: pixels at its border still know their
        surroundings beyond it.

        Parameters
        ----------
        encoded
            From :meth:`encode`.
        box
            ``(top, left, bottom, right)`` in network pixels, multiples of 16.

        Raises
        ------
        InputError
            If a side of the box is no multiple of 16.
        """
        if any(side % 16 for side in box):
            msg = f"a crop of features needs multiples of 16 pixels, got {box}"
            raise InputError(msg)
        top, left, bottom, right = box
        strides = (4, 8, 16, KEY_STRIDE, 4, 8, 16)
        return tuple(
            maps[..., top // s : bottom // s, left // s : right // s]
            for maps, s in zip(encoded, strides, strict=True)
        )

    def fuse(self, encoded: tuple[Tensor, ...], guidance: Tensor) -> Tensor:
        """Return raw features ``(B, 48, ceil(H/4), ceil(W/4))``.

        Parameters
        ----------
        encoded
            From :meth:`attend`.
        guidance
            From the module of :meth:`make_maps_transform`.
        """
        features: Tensor = self.click_tower(encoded, guidance)
        return features


class ImageTower(nn.Module):
    """Encoder and pyramid, without clicks.

    Parameters
    ----------
    variant
        Of the encoder.
    deep
        Whether more blocks follow those of the pyramid.
    """

    def __init__(self, variant: str, *, deep: bool = False) -> None:
        super().__init__()
        self.encoder = EfficientNetLite(variant)
        widths = list(zip(self.encoder.channels, _PYRAMID, strict=True))
        self.lateral = nn.ModuleList(_pointwise(*width) for width in widths)
        self.context = nn.Conv2d(self.encoder.channels[-1], _PYRAMID[-1], 1)
        self.down = nn.ModuleList(
            nn.Conv2d(coarse, fine, 1, bias=False)
            for fine, coarse in pairwise(_PYRAMID)
        )
        self.refine = nn.ModuleList(ResidualBlock(width) for width in _PYRAMID)
        self.deeper = nn.ModuleList(
            _further_blocks(width, *extra) if deep else nn.Identity()
            for width, extra in zip(_PYRAMID, _DEEPER_PYRAMID, strict=True)
        )
        self.key = nn.Conv2d(_PYRAMID[1], _KEYS, 1)

    def forward(self, rgb: Tensor) -> TowerMaps:
        """Return the encoding of an image, ``(B, 3, H, W)`` in [0, 1]."""
        found = self.encoder(rgb)
        context = functional.relu(self.context(found[-1].mean((2, 3), keepdim=True)))
        maps = self.deeper[-1](self.refine[-1](self.lateral[-1](found[-1]) + context))
        levels = []
        for level in (2, 1, 0):
            above = _resize(self.down[level](maps), found[level])
            maps = self.refine[level](self.lateral[level](found[level]) + above)
            maps = self.deeper[level](maps)
            levels.append(maps)
        coarse, middle, fine = levels
        keys = functional.normalize(self.key(middle).float(), dim=1)
        return TowerMaps(fine, middle, coarse, keys)


class ClickTower(nn.Module):
    """Clicks, previous mask and similarity maps meet the pyramid.

    Parameters
    ----------
    deep
        Whether more blocks follow at strides 8 and 16.
    """

    def __init__(self, *, deep: bool = False) -> None:
        super().__init__()
        fine, middle, coarse = _GUIDE
        self.guide8 = _strided(fine, middle)
        self.guide16 = _strided(middle, coarse)
        self.join16 = Join((_PYRAMID[2], coarse + 2), _FUSED[2])
        self.blocks16 = nn.Sequential(
            *(ResidualBlock(_FUSED[2], dilation) for dilation in _DILATIONS)
        )
        self.join8 = Join((_PYRAMID[1], middle + 2, _FUSED[2]), _FUSED[1])
        self.blocks8 = nn.Sequential(ResidualBlock(_FUSED[1]), ResidualBlock(_FUSED[1]))
        self.join4 = Join((_PYRAMID[0], fine, 2 + _FUSED[1]), _FUSED[0])
        self.blocks4 = nn.Sequential(ResidualBlock(_FUSED[0]), ResidualBlock(_FUSED[0]))
        self.deeper = nn.ModuleList(
            _further_blocks(width, *extra) if deep else nn.Identity()
            for width, extra in zip(_FUSED[1:], _DEEPER_FUSED, strict=True)
        )
        self.head = nn.Conv2d(_FUSED[0], _FEATURES, 1)

    def shares(self, maps: TowerMaps) -> tuple[Tensor, Tensor, Tensor]:
        """Return what the pyramid gives to the joins at strides 4, 8 and 16."""
        return (
            self.join4.share(maps.fine),
            self.join8.share(maps.middle),
            self.join16.share(maps.coarse),
        )

    def forward(self, encoded: tuple[Tensor, ...], guidance: Tensor) -> Tensor:
        """Return features ``(B, 48, ceil(H/4), ceil(W/4))``.

        Parameters
        ----------
        encoded
            What :meth:`shares` returns, and similarity maps.
        guidance
            Shape ``(B, 32, ceil(H/4), ceil(W/4))``.
        """
        fine, middle, coarse, similar = encoded
        guide8 = self.guide8(guidance)
        guide16 = self.guide16(guide8)
        similar = similar.to(guidance.dtype)
        if guidance.is_contiguous(memory_format=torch.channels_last):
            # so that what is joined with them, and all after it, is laid out as well
            similar = similar.contiguous(memory_format=torch.channels_last)
        guide16 = torch.cat([guide16, _resize(similar, coarse)], dim=1)
        maps = self.deeper[1](self.blocks16(self.join16(coarse, guide16)))
        guide8 = torch.cat([guide8, similar], dim=1)
        maps = self.deeper[0](self.blocks8(self.join8(middle, guide8, maps)))
        maps = torch.cat([similar, maps], dim=1)
        maps = self.blocks4(self.join4(fine, guidance, maps))
        features: Tensor = self.head(maps)
        return features


class Join(nn.Sequential):
    """A pointwise convolution of several maps, smaller ones enlarged, and what follows.

    It is linear, so each group of maps is convolved at its own size, and the results
    are enlarged and added. That is the convolution of all maps enlarged and put
    together, for less: the first group does not depend on the clicks, and enlarged maps
    have four times as many pixels.

    Parameters
    ----------
    widths
        Channels of the groups, in the order of the weights.
    outputs
        Channels of the result.
    """

    def __init__(self, widths: tuple[int, ...], outputs: int) -> None:
        conv = nn.Conv2d(sum(widths), outputs, 1, bias=False)
        super().__init__(conv, nn.BatchNorm2d(outputs), nn.ReLU(inplace=True))
        self._widths = list(widths)

    def share(self, maps: Tensor) -> Tensor:
        """Return what the first group gives, ``(B, outputs, h, w)``."""
        return functional.conv2d(maps, self._weights()[0])

    def forward(self, share: Tensor, *groups: Tensor) -> Tensor:
        """Return shape ``(B, outputs, h, w)``.

        Parameters
        ----------
        share
            From :meth:`share`.
        *groups
            The other groups, of any size.
        """
        found = share
        for group, weight in zip(groups, self._weights()[1:], strict=True):
            found = found + _resize(functional.conv2d(group, weight), share)
        bias = self._convolution.bias
        if bias is not None:
            found = found + bias[:, None, None]
        for layer in list(self.children())[1:]:
            found = layer(found)
        return found

    @property
    def _convolution(self) -> nn.Conv2d:
        convolution = self[0]
        assert isinstance(convolution, nn.Conv2d)
        return convolution

    def _weights(self) -> Sequence[Tensor]:
        """Return the weights of each group."""
        return torch.split(self._convolution.weight, self._widths, dim=1)

    def fold(self) -> None:
        """Multiply the batch norm into the convolution, not to be trained again."""
        norm = self[1]
        if isinstance(norm, nn.BatchNorm2d):
            self[0] = fuse_conv_bn_eval(self._convolution, norm)
            self[1] = nn.Identity()


class ResidualBlock(nn.Module):
    """A depthwise 5x5 and a pointwise convolution, added to their input.

    Parameters
    ----------
    channels
        Number of channels.
    dilation
        Of the depthwise convolution.
    """

    def __init__(self, channels: int, dilation: int = 1) -> None:
        super().__init__()
        self.depthwise = DepthwiseConv(channels, 1, dilation, kernel=5)
        self.norm: nn.Module = nn.BatchNorm2d(channels)
        self.pointwise = nn.Conv2d(channels, channels, 1, bias=False)
        self.norm2: nn.Module = nn.BatchNorm2d(channels)

    def forward(self, maps: Tensor) -> Tensor:
        """Return maps of the same shape."""
        hidden = functional.relu(self.norm(self.depthwise(maps)), inplace=True)
        return functional.relu(maps + self.norm2(self.pointwise(hidden)), inplace=True)

    def fold(self) -> None:
        """Multiply the batch norms into the convolutions, not to be trained again."""
        if isinstance(self.norm, nn.BatchNorm2d):
            self.depthwise = fuse_conv_bn_eval(self.depthwise, self.norm)
            self.norm = nn.Identity()
        if isinstance(self.norm2, nn.BatchNorm2d):
            self.pointwise = fuse_conv_bn_eval(self.pointwise, self.norm2)
            self.norm2 = nn.Identity()


def similarity_maps(keys: Tensor, points: Tensor, stride: int) -> Tensor:
    """Return the largest cosine similarity to the keys at the clicks of either sign.

    Parameters
    ----------
    keys
        Vectors of length 1, shape ``(B, c, h, w)``.
    points
        Clicks, shape ``(B, 2 N, 3)``, network pixels; positives, then negatives;
        unused rows are -1. Clicks outside the image count for nothing.
    stride
        Network pixels per key.

    Returns
    -------
    Tensor
        Positive and negative map, shape ``(B, 2, h, w)``; -1 where there is no click.
    """
    batch, length, height, width = keys.shape
    rows, cols = points[..., 0].floor().long(), points[..., 1].floor().long()
    rows, cols = (
        rows.div(stride, rounding_mode="floor"),
        cols.div(stride, rounding_mode="floor"),
    )
    inside = (rows >= 0) & (cols >= 0) & (rows < height) & (cols < width)
    index = (rows * width + cols) * inside
    flat = keys.flatten(2)
    clicked = flat.gather(2, index[:, None].expand(-1, length, -1))
    similar = clicked.transpose(1, 2) @ flat
    similar = torch.where(inside[..., None], similar, -1.0)
    best = similar.reshape(batch, 2, -1, height * width).amax(dim=2)
    return best.reshape(batch, 2, height, width)


def _pointwise(inputs: int, outputs: int) -> nn.Sequential:
    return nn.Sequential(
        nn.Conv2d(inputs, outputs, 1, bias=False),
        nn.BatchNorm2d(outputs),
        nn.ReLU(inplace=True),
    )


def _further_blocks(channels: int, count: int, expansion: int) -> nn.Sequential:
    """Return inverted residual blocks that begin as the identity."""
    blocks = [
        InvertedResidual(channels, channels, expansion, 1, kernel=5)
        for _ in range(count)
    ]
    for block in blocks:
        nn.init.zeros_(block.project.weight)
        if block.project.bias is not None:
            nn.init.zeros_(block.project.bias)
    return nn.Sequential(*blocks)


def _strided(inputs: int, outputs: int) -> nn.Sequential:
    """Return a convolution to half the size, rounded up."""
    return nn.Sequential(
        nn.Conv2d(inputs, outputs, 3, stride=2, padding=1, bias=False),
        nn.BatchNorm2d(outputs),
        nn.ReLU(inplace=True),
    )


def _resize(maps: Tensor, like: Tensor) -> Tensor:
    """Resize maps to the size of others."""
    if maps.shape[-2:] == like.shape[-2:]:
        return maps
    return functional.interpolate(maps, size=like.shape[-2:], mode="bilinear")


register("efficientnet_lite0", partial(TwoTowers, "lite0"))
register("efficientnet_lite0_deep", partial(TwoTowers, "lite0", deep=True))
register("efficientnet_lite2", partial(TwoTowers, "lite2"))
