"""SegFormer-B0: MiT-B0 and its all-linear decoder (Xie et al. 2021).

The paper's network SegFormerB0-S2, of which no code was published. Clicks enter as in
FocalClick, which it builds on, rather than through the Conv1S that the paper names for
all its networks: embedded like an image and added between stages 1 and 2. So stage 1,
the finest and dearest one, depends on the image alone.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar

from torch import nn
from torch.nn import functional

from napari_gpcis.backbones._mit import STAGES, MiTB0, PatchEmbedding, initialise
from napari_gpcis.backbones.base import Backbone, ColourNormalisation, register

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from torch import Tensor

_DECODER = 256
_DROPOUT = 0.1


class LinearDecoder(nn.Module):
    """Bring the four stages to 256 channels at stride 4, fuse them, classify.

    The fusing 1x1 convolution of the concatenated stages is the sum of a part for
    each stage, and a 1x1 convolution and bilinear resizing may change places. So each
    part is computed at the resolution of its stage, and that of stage 1 ahead of the
    clicks.

    Parameters
    ----------
    outputs
        Channels of the output.
    """

    def __init__(self, outputs: int) -> None:
        super().__init__()
        self.project = nn.ModuleList(
            nn.Linear(stage.width, _DECODER) for stage in STAGES
        )
        # Its input channels are those of stages 4, 3, 2, 1.
        self.fuse = nn.Conv2d(len(STAGES) * _DECODER, _DECODER, 1, bias=False)
        self.norm = nn.BatchNorm2d(_DECODER)
        self.dropout = nn.Dropout2d(_DROPOUT)
        self.predict = nn.Conv2d(_DECODER, outputs, 1)

    def part(self, index: int, maps: Tensor) -> Tensor:
        """Return what a stage adds to the fused features, at its own resolution.

        Parameters
        ----------
        index
            Which of the four stages, from 0.
        maps
            Output of that stage, ``(B, width, h, w)``.

        Returns
        -------
        Tensor
            Shape ``(B, 256, h, w)``.
        """
        projected: Tensor = self.project[index](maps.movedim(1, -1))
        start = (len(STAGES) - 1 - index) * _DECODER
        weight = self.fuse.weight[:, start : start + _DECODER]
        return functional.conv2d(projected.movedim(-1, 1), weight)

    def forward(self, finest: Tensor, coarser: Sequence[Tensor]) -> Tensor:
        """Return features at the resolution of stage 1.

        Parameters
        ----------
        finest
            ``part(0, c1)``, shape ``(B, 256, h, w)``.
        coarser
            Outputs of stages 2 to 4.

        Returns
        -------
        Tensor
            Shape ``(B, outputs, h, w)``.
        """
        size = finest.shape[-2:]
        fused = finest
        for index, maps in enumerate(coarser, start=1):
            fused = fused + functional.interpolate(
                self.part(index, maps), size=size, mode="bilinear"
            )
        features: Tensor = self.predict(self.dropout(functional.relu(self.norm(fused))))
        return features


class SegFormerB0(Backbone):
    """MiT-B0 and linear decoder: about 3.7 million parameters."""

    feature_dim = 96
    stride = 4
    gp_defaults: ClassVar[Mapping[str, Any]] = {"basis": 128, "paper_init": True}

    def __init__(self) -> None:
        super().__init__()
        self.backbone = MiTB0()
        self.decoder = LinearDecoder(self.feature_dim)
        self.normalise = ColourNormalisation()
        initialise(self)

    def make_maps_transform(self) -> nn.Module:
        """Return the patch embedding of previous mask and click maps.

        Returns
        -------
        nn.Module
            Maps ``(B, 3, H, W)`` to ``(B, 32, ceil(H/4), ceil(W/4))``.
        """
        embedding = PatchEmbedding(3, STAGES[0].width, kernel=7, stride=4)
        initialise(embedding)
        return embedding

    def encode(self, rgb: Tensor) -> tuple[Tensor, ...]:
        """Return stage 1 and what it adds to the decoder.

        Parameters
        ----------
        rgb
            Image in [0, 1], ``(B, 3, H, W)``; normalised here.

        Returns
        -------
        tuple of Tensor
            ``(B, 32, ceil(H/4), ceil(W/4))`` and ``(B, 256, ceil(H/4), ceil(W/4))``.
        """
        c1: Tensor = self.backbone.stages[0](self.normalise(rgb))
        return c1, self.decoder.part(0, c1)

    def fuse(self, encoded: tuple[Tensor, ...], guidance: Tensor) -> Tensor:
        """Return the features of the image under the clicks.

        Parameters
        ----------
        encoded
            What :meth:`encode` returned; not changed.
        guidance
            Embedded clicks, ``(B, 32, ceil(H/4), ceil(W/4))``. They reach the
            decoder through stages 2 to 4 alone.

        Returns
        -------
        Tensor
            Raw features, ``(B, 96, ceil(H/4), ceil(W/4))``.
        """
        c1, finest = encoded
        maps = c1 + guidance
        coarser: list[Tensor] = []
        for stage in self.backbone.stages[1:]:
            maps = stage(maps)
            coarser.append(maps)
        features: Tensor = self.decoder(finest, coarser)
        return features


register("segformer_b0", SegFormerB0)
