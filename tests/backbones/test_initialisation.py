"""Random initialisation as published."""

from __future__ import annotations

import math

import pytest
import torch
from torch import nn

from napari_gpcis.backbones.base import initialise
from napari_gpcis.model.gpcis import build_model


@pytest.mark.parametrize(
    ("layer", "fan_in", "fan_out"),
    [
        (nn.Linear(100, 300), 100, 300),
        (nn.Conv2d(32, 64, 3), 32 * 9, 64 * 9),
        (nn.Conv2d(256, 256, 3, groups=256), 9, 256 * 9),
        (nn.Conv2d(64, 256, 1, bias=False), 64, 256),
    ],
)
def test_weights_are_normal_with_the_published_variance(
    layer: nn.Conv2d | nn.Linear, fan_in: int, fan_out: int
) -> None:
    torch.manual_seed(0)
    initialise(layer)
    expected = math.sqrt(2 / ((fan_in + fan_out) / 2))
    weight = layer.weight.detach()
    assert weight.std().item() == pytest.approx(expected, rel=0.05)
    assert abs(weight.mean().item()) < 0.1 * expected
    assert weight.abs().max().item() > 2.5 * expected
    assert layer.bias is None or not layer.bias.detach().any()


def test_norm_layers_start_as_the_identity() -> None:
    norm = nn.BatchNorm2d(8)
    nn.init.normal_(norm.weight)
    nn.init.normal_(norm.bias)
    initialise(nn.Sequential(nn.Sequential(norm)))
    assert torch.equal(norm.weight, torch.ones(8))
    assert torch.equal(norm.bias, torch.zeros(8))


def test_published_network_starts_as_published() -> None:
    torch.manual_seed(0)
    model = build_model("resnet50")
    assert model.theta.weight.std().item() == pytest.approx(0.114, rel=0.05)
    assert not model.theta.bias.detach().any()
    assert model.omega.std().item() == pytest.approx(0.25, rel=0.15)
    assert model.omega_var.item() == pytest.approx(0.025)
    assert torch.equal(model.logsigma2.detach(), torch.ones(48))
    assert torch.equal(model.weights.detach(), torch.zeros(1))
    assert model.maps_transform[3].scale.item() == pytest.approx(0.05)
    stem = model.model.backbone.conv1[0].weight
    expected = math.sqrt(2 / ((27 + 576) / 2))
    assert stem.std().item() == pytest.approx(expected, rel=0.1)
