"""A backbone that is fast, and whose features do not depend on the clicks."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import nn
from torch.nn import functional

from napari_gpcis.backbones import Backbone
from napari_gpcis.model.gpcis import GPCIS

if TYPE_CHECKING:
    from torch import Tensor


class ToyBackbone(Backbone):
    """Features are two convolutions of the image; guidance is ignored."""

    feature_dim = 6
    stride = 4

    def __init__(self) -> None:
        super().__init__()
        self.layers = nn.Sequential(
            nn.Conv2d(3, 8, 3, stride=2, padding=1),
            nn.Tanh(),
            nn.Conv2d(8, self.feature_dim, 3, stride=2, padding=1),
        )

    def make_maps_transform(self) -> nn.Module:
        return nn.Identity()

    def encode(self, rgb: Tensor) -> tuple[Tensor, ...]:
        return (self.layers(functional.normalize(rgb - 0.5, dim=1)),)

    def fuse(self, encoded: tuple[Tensor, ...], guidance: Tensor) -> Tensor:
        del guidance
        return encoded[0]


def make_toy_model(seed: int = 0, gp_stride: int = 1) -> GPCIS:
    """Return a model in evaluation mode with the epsilon of prediction."""
    torch.manual_seed(seed)
    model = GPCIS(ToyBackbone(), basis=32, gp_stride=gp_stride, paper_init=True)
    model.epsilon2 = 1e-7
    return model.eval()
