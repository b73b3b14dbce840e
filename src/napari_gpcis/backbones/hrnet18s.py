"""HRNet-W18-small-v2 with the object-contextual head, as in RITM and FocalClick.

The paper's network HRNet18s-S2, of which no code was published. Its features are 48
wide, made by the last 1x1 convolution in place of the classifier.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import nn

from napari_gpcis.backbones._deeplab import resize
from napari_gpcis.backbones._hrnet import STEM_CHANNELS, WIDTHS, HRNetW18Small
from napari_gpcis.backbones._ocr import OCRHead
from napari_gpcis.backbones.base import (
    Backbone,
    ColourNormalisation,
    ScaleLayer,
    initialise,
    register,
)

if TYPE_CHECKING:
    from torch import Tensor

__all__ = ["HRNet18s", "OCRHead"]

_LEAKY_SLOPE = 0.2


class HRNet18s(Backbone):
    """HRNet-W18-small-v2 and OCR head: about 4.2 million parameters.

    The image passes the first convolution alone; the click maps are added to its
    activations (Conv1S fusion), so what follows depends on the clicks.
    """

    feature_dim = 48
    stride = 4

    def __init__(self) -> None:
        super().__init__()
        self.backbone = HRNetW18Small()
        self.ocr = OCRHead(sum(WIDTHS), self.feature_dim)
        self.normalise = ColourNormalisation()
        initialise(self)

    def make_maps_transform(self) -> nn.Module:
        """Return Conv1S in RITM's form, which keeps full resolution at first.

        Returns
        -------
        nn.Module
            Maps ``(B, 3, H, W)`` to ``(B, 64, ceil(H/2), ceil(W/2))``.
        """
        transform = nn.Sequential(
            nn.Conv2d(3, 16, 1),
            nn.LeakyReLU(_LEAKY_SLOPE),
            nn.Conv2d(16, STEM_CHANNELS, 3, stride=2, padding=1),
            ScaleLayer(),
        )
        initialise(transform)
        return transform

    def encode(self, rgb: Tensor) -> tuple[Tensor, ...]:
        """Return the activations of the first convolution.

        Parameters
        ----------
        rgb
            Image in [0, 1], ``(B, 3, H, W)``; normalised here.

        Returns
        -------
        tuple of Tensor
            One tensor, ``(B, 64, ceil(H/2), ceil(W/2))``.
        """
        return (self.backbone.stem(self.normalise(rgb)),)

    def fuse(self, encoded: tuple[Tensor, ...], guidance: Tensor) -> Tensor:
        """Return the features of the image under the clicks.

        Parameters
        ----------
        encoded
            What :meth:`encode` returned; not changed.
        guidance
            Output of the Conv1S branch, ``(B, 64, ceil(H/2), ceil(W/2))``.

        Returns
        -------
        Tensor
            Raw features, ``(B, 48, ceil(H/4), ceil(W/4))``.
        """
        (stem,) = encoded
        branches = self.backbone.trunk(stem + guidance)
        size = (branches[0].shape[-2], branches[0].shape[-1])
        coarser = (resize(branch, size) for branch in branches[1:])
        features: Tensor = self.ocr(torch.cat([branches[0], *coarser], dim=1))
        return features


register("hrnet18s", HRNet18s)
