"""Context aggregation networks: parameters, start, and the projection of features."""

from __future__ import annotations

import pytest
import torch
from torch.nn import functional

from gpcis_training.diversity.network import (
    AdaptiveNorm,
    Design,
    Proposals,
    Selector,
    count_parameters,
    enlarge,
)
from gpcis_training.diversity.vgg19 import random_vgg19
from napari_gpcis.errors import InputError


def test_the_first_layer_has_1479_channels() -> None:
    assert Design().channels == 1479
    assert Design(vgg=False).channels == 7
    assert Design(vgg=False, distances=False).channels == 5


def test_parameters_are_those_of_the_published_layers() -> None:
    layers = 9 * 64 * 64 * 9
    first, last = 1479 * 64, 64 * 6 + 6
    norms = 64 + 2  # a shift for each channel, and two numbers
    proposals = count_parameters(Proposals(Design()))
    assert proposals == first + layers + last + 10 * norms
    assert round(proposals / 1e6, 2) == 0.43
    selector = count_parameters(Selector(Design()))
    assert selector == 13 * 64 * 9 + 8 * 64 * 64 * 9 + last + 9 * norms
    assert round(selector / 1e6, 2) == 0.30


def test_projecting_first_is_projecting_last() -> None:
    torch.manual_seed(0)
    network = Proposals(Design())
    torch.nn.init.normal_(network.first.weight, std=0.05)
    image, maps = torch.rand(1, 3, 40, 52), torch.rand(1, 4, 40, 52)
    taps = random_vgg19()(image * 255)
    large = [enlarge(tap, (40, 52)) for tap in taps]
    naive = network.first(torch.cat([image, maps, *large], dim=1))
    weight = network.first.weight[:, 3:7]
    ours = network.project(image, taps) + functional.conv2d(maps, weight)
    assert torch.cat([image, maps, *large], dim=1).shape[1] == 1479
    torch.testing.assert_close(ours, naive, rtol=1e-4, atol=1e-4)


def test_the_projection_holds_no_click() -> None:
    network = Proposals(Design(vgg=False))
    projected = network.project(torch.rand(1, 3, 16, 16))
    kept = projected.clone()
    first = network(projected, torch.zeros(1, 4, 16, 16))
    second = network(projected, torch.rand(1, 4, 16, 16))
    assert torch.equal(projected, kept)
    assert not torch.equal(first, second)
    assert first.shape == (1, 6, 16, 16)


def test_layers_start_as_the_identity() -> None:
    network = Proposals(Design(vgg=False))
    x = torch.rand(1, 64, 20, 20)
    passed = x
    for convolution, norm in zip(
        network.context.convolutions, network.context.norms, strict=True
    ):
        passed = functional.leaky_relu(norm(convolution(passed)), 0.2)
    torch.testing.assert_close(passed, x)
    dilations = [layer.dilation[0] for layer in network.context.convolutions]
    assert dilations == [1, 2, 4, 8, 16, 32, 64, 128, 1]


def test_normalisation_uses_the_statistics_of_the_batch_when_predicting() -> None:
    norm = AdaptiveNorm(2).eval()
    x = torch.rand(1, 2, 8, 8) * 5
    assert torch.equal(norm(x), x)
    with torch.no_grad():
        norm.identity.fill_(0)
        norm.normalised.fill_(1)
    found = norm(x)
    torch.testing.assert_close(found.mean((0, 2, 3)), torch.zeros(2), atol=1e-5, rtol=0)
    std = found.std((0, 2, 3), correction=0)
    torch.testing.assert_close(std, torch.ones(2), atol=1e-2, rtol=0)


def test_outputs_are_masks() -> None:
    for output in ("sigmoid", "clipped_tanh"):
        network = Proposals(Design(masks=3, vgg=False, output=output))
        masks = network(
            network.project(torch.randn(1, 3, 9, 9)), torch.rand(1, 4, 9, 9)
        )
        assert masks.min() >= 0
        assert masks.max() <= 1


def test_the_selector_averages_over_all_pixels() -> None:
    selector = Selector(Design(vgg=False))
    args = torch.rand(1, 3, 12, 12), torch.rand(1, 4, 12, 12), torch.rand(1, 6, 12, 12)
    expected = selector.context(torch.cat(args, dim=1)).mean((2, 3))
    torch.testing.assert_close(selector(*args), expected)


def test_designs_that_cannot_work_are_refused() -> None:
    for wrong in ({"masks": 0}, {"output": "x"}, {"distances": False, "clicks": False}):
        with pytest.raises(InputError):
            Design(**wrong)  # type: ignore[arg-type]
    with pytest.raises(InputError, match="taps"):
        Proposals(Design()).project(torch.zeros(1, 3, 8, 8))
