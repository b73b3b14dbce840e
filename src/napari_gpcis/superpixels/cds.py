"""CDS: superpixels from content that is freed of the style of an image.

Xu, Wei, Wu, Ren, Song and Jia: Learning Invariant Inter-pixel Correlations for
Superpixel Generation (AAAI 2024). The authors' code is the reference; parameters and
their order are its own, under other names.
"""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING, NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.nn.utils.fusion import fuse_conv_bn_eval

from napari_gpcis.superpixels.association import CELL, mask_outside

if TYPE_CHECKING:
    from collections.abc import Iterator

MEAN = (0.411, 0.432, 0.450)
"""Subtracted from red, green and blue in [0, 1]."""
_SLOPE = 0.1
_STAGES = 4  # from cells of 16 pixels to pixels


class PairOutput(NamedTuple):
    """Outputs of both modalities in training."""

    association: Tensor
    """Of the image, shape ``(B, 9, H, W)``."""
    content: Tensor
    """Of the image, shape ``(B, C, H, W)``."""
    style: Tensor
    """Of the image, shape ``(B, C)``."""
    embedding: Tensor
    """Features of the image for the head, shape ``(B, C, H, W)``."""
    auxiliary_association: Tensor
    auxiliary_content: Tensor
    auxiliary_style: Tensor


class CDS(nn.Module):
    """The network: encoder, content-selective gate, decoder and head.

    Parameters
    ----------
    width
        Channels of the encoder (published: 64; cds-lite: 32).
    content
        Channels of content, decoder and embedding (published: 32; cds-lite: 16).
    auxiliary
        Whether it has a second encoder, for the auxiliary modality. Only training
        needs it.
    gate
        Whether content is separated from style; otherwise all features are content.
    strict_reference
        As the published code: probability may go to superpixels outside the grid,
        where it is lost.
    own_statistics
        Whether the auxiliary modality leaves the running statistics of the decoder
        alone, which otherwise mix both modalities, as published.
    """

    def __init__(
        self,
        width: int = 64,
        content: int = 32,
        *,
        auxiliary: bool = False,
        gate: bool = True,
        strict_reference: bool = False,
        own_statistics: bool = False,
    ) -> None:
        super().__init__()
        self.encoder = Encoder(width, content)
        self.auxiliary_encoder = Encoder(width, content) if auxiliary else None
        self.gate = Gate(content) if gate else None
        self.decoder = Decoder(content)
        self.head = nn.Conv2d(content, 9, 3, padding=1)
        self.strict_reference = strict_reference
        self.own_statistics = own_statistics
        self.apply(_initialise)

    def forward(
        self,
        image: Tensor,
        grid: tuple[int, int] | None = None,
        attention: Tensor | None = None,
    ) -> Tensor:
        """Return the soft association ``Q``.

        Parameters
        ----------
        image
            Normalised RGB, shape ``(B, 3, H, W)``; ``H`` and ``W`` multiples of 16.
        grid
            Cells in each direction; by default ``(H / 16, W / 16)``.
        attention
            Of the gate for the whole image, where this is a part of it.

        Returns
        -------
        Tensor
            Shape ``(B, 9, 16 gh, 16 gw)``, sum 1 over the channels.
        """
        features = self.encoder(image)
        content, _ = self._separate(features, attention)
        return self._associate(self.decoder(content, grid))

    def forward_pair(self, image: Tensor, auxiliary: Tensor) -> PairOutput:
        """Return the outputs for an image and its auxiliary modality.

        Parameters
        ----------
        image, auxiliary
            Shape ``(B, 3, H, W)`` each.

        Returns
        -------
        PairOutput
            Associations, contents and styles of both.
        """
        assert self.auxiliary_encoder is not None, "made without a second encoder"
        with _kept_statistics(self.decoder, kept=self.own_statistics):
            features = self.auxiliary_encoder(auxiliary)
            other_content, other_style = self._separate(features)
            other = self._associate(self.decoder(other_content))
        content, style = self._separate(self.encoder(image))
        embedding = self.decoder(content)
        return PairOutput(
            self._associate(embedding),
            content,
            style,
            embedding,
            other,
            other_content,
            other_style,
        )

    def embed(self, image: Tensor) -> tuple[Tensor, Tensor]:
        """Return the association and the embedding that the head sees."""
        content, _ = self._separate(self.encoder(image))
        embedding = self.decoder(content)
        return self._associate(embedding), embedding

    def content(self, image: Tensor, attention: Tensor | None = None) -> Tensor:
        """Return the content of an image, features that are freed of its style.

        Parameters
        ----------
        image, attention
            See :meth:`forward`.

        Returns
        -------
        Tensor
            Shape ``(B, content, H, W)``.
        """
        return self._separate(self.encoder(image), attention)[0]

    def _separate(
        self, features: Tensor, attention: Tensor | None = None
    ) -> tuple[Tensor, Tensor]:
        """Return content ``F (1 - y)`` and the style vector, the mean of ``F y``."""
        if self.gate is None:
            return features, features.new_zeros(features.shape[:2])
        if attention is None:
            attention = self.gate(features)
        style = (features.mean(dim=(2, 3), keepdim=True) * attention).flatten(1)
        return features * (1 - attention), style

    def _associate(self, embedding: Tensor) -> Tensor:
        logits: Tensor = self.head(embedding)
        if not self.strict_reference:
            logits = mask_outside(logits)
        return logits.softmax(dim=1)


class Encoder(nn.Module):
    """Three levels of two convolutions, fused at full resolution.

    Parameters
    ----------
    width, content
        Channels of the levels, and of the output.
    """

    def __init__(self, width: int, content: int) -> None:
        super().__init__()
        self.levels = nn.ModuleList(
            nn.Sequential(_block(inner, width), _block(width, width))
            for inner in (3, width, width)
        )
        self.fuse = _block(3 * width, content)
        self.join = _block(content + 3, content, bias=True)

    def forward(self, image: Tensor) -> Tensor:
        """Return features of shape ``(B, content, H, W)``."""
        height, width = image.shape[-2:]
        level, levels = image, []
        for index, convolutions in enumerate(self.levels):
            if index:
                level = functional.max_pool2d(level, 3, stride=2, padding=1)
            level = convolutions(level)
            levels.append(level)
        enlarged = [levels[0]] + [
            functional.interpolate(level, size=(height, width)) for level in levels[1:]
        ]
        fused = self.fuse(torch.cat(enlarged, dim=1))
        joined: Tensor = self.join(torch.cat([fused, image], dim=1))
        return joined


class Gate(nn.Module):
    """Content-selective gate: attention of each channel to style.

    Parameters
    ----------
    channels
        Of the features.
    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.inner = nn.Linear(channels, channels, bias=False)
        self.outer = nn.Linear(channels, channels, bias=False)

    def forward(self, features: Tensor) -> Tensor:
        """Return ``y``, shape ``(B, C, 1, 1)``, of features ``(B, C, H, W)``."""
        return self.of_mean(features.mean(dim=(2, 3)))

    def of_mean(self, mean: Tensor) -> Tensor:
        """Return ``y`` of the mean of the features over an image, ``(B, C)``."""
        attention: Tensor = self.outer(self.inner(mean).relu()).sigmoid()
        return attention[..., None, None]


class Decoder(nn.Module):
    """Content resized to the grid, then doubled until it has pixels again.

    Parameters
    ----------
    channels
        Of content and output.
    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.stages = nn.ModuleList(_Stage(channels) for _ in range(_STAGES))

    def forward(self, content: Tensor, grid: tuple[int, int] | None = None) -> Tensor:
        """Return the embedding, shape ``(B, C, 16 gh, 16 gw)``."""
        if grid is None:
            grid = content.shape[-2] // CELL, content.shape[-1] // CELL
        flow = functional.interpolate(content, size=grid, mode="bilinear")
        for stage in self.stages:
            flow = stage(content, flow)
        return flow


class _Stage(nn.Module):
    """Twice the resolution, and a look at the content at that size."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.enlarge = nn.ConvTranspose2d(channels, channels, 4, stride=2, padding=1)
        self.fuse = _block(2 * channels, channels)

    def forward(self, content: Tensor, flow: Tensor) -> Tensor:
        flow = functional.leaky_relu(self.enlarge(flow), _SLOPE)
        resized = content
        if content.shape[-2:] != flow.shape[-2:]:
            size = (flow.shape[-2], flow.shape[-1])
            resized = functional.interpolate(content, size=size, mode="bilinear")
        fused: Tensor = self.fuse(torch.cat([resized, flow], dim=1))
        return fused


def _block(inputs: int, outputs: int, *, bias: bool = False) -> nn.Sequential:
    """Return 3 x 3 convolution, batch norm and leaky ReLU."""
    return nn.Sequential(
        nn.Conv2d(inputs, outputs, 3, padding=1, bias=bias),
        nn.BatchNorm2d(outputs),
        nn.LeakyReLU(_SLOPE),
    )


def fused(network: CDS) -> CDS:
    """Return a network with batch norms that are part of the convolutions before them.

    It computes the same, in half the time on a CPU.

    Parameters
    ----------
    network
        In evaluation mode; it is changed.
    """
    for block in network.modules():
        if not (isinstance(block, nn.Sequential) and len(block) == 3):
            continue
        convolution, norm, activation = block
        if (
            isinstance(convolution, nn.Conv2d)
            and isinstance(norm, nn.BatchNorm2d)
            and isinstance(activation, nn.LeakyReLU)
        ):
            block[0], block[1] = fuse_conv_bn_eval(convolution, norm), nn.Identity()
            block[2] = nn.LeakyReLU(activation.negative_slope, inplace=True)
    # PyTorch's own annotation of Module.to() does not know this argument
    return network.to(memory_format=torch.channels_last)  # type: ignore[call-overload,no-any-return]


def _initialise(module: nn.Module) -> None:
    """Initialise convolutions as published: Kaiming normal for a slope of 0.1."""
    if isinstance(module, nn.Conv2d | nn.ConvTranspose2d):
        nn.init.kaiming_normal_(module.weight, _SLOPE)
        if module.bias is not None:
            nn.init.zeros_(module.bias)


@contextmanager
def _kept_statistics(module: nn.Module, *, kept: bool) -> Iterator[None]:
    """Let batch norm layers keep their running statistics within."""
    layers = [m for m in module.modules() if isinstance(m, nn.BatchNorm2d)]
    momenta = [layer.momentum for layer in layers]
    if kept:
        for layer in layers:
            layer.momentum = 0.0
    try:
        yield
    finally:
        for layer, momentum in zip(layers, momenta, strict=True):
            layer.momentum = momentum


def count_parameters(model: CDS) -> int:
    """Return the number of parameters that inference needs."""
    return sum(
        parameter.numel()
        for name, parameter in model.named_parameters()
        if not name.startswith("auxiliary_encoder.")
    )
