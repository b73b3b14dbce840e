"""The networks of latent diversity: counts, identity start, the linear shortcut."""

import math

import pytest
import torch
from torch.nn import functional

from gpcis_training.diversity.maps import click_maps
from gpcis_training.diversity.network import (
    DILATIONS,
    AdaptiveNorm,
    Block,
    Proposals,
    Selector,
    enlarged,
)
from gpcis_training.diversity.vgg19 import random_vgg19
from napari_gpcis.clicks import Click
from napari_gpcis.errors import InputError


def _count(network):
    return sum(parameter.numel() for parameter in network.parameters())


def test_counts_of_channels_and_parameters():
    f, g = Proposals(), Selector()
    assert f.channels == 1479
    assert _count(f) == 1479 * 64 + 9 * 64 * 64 * 9 + 10 * 2 + 64 * 6 + 6
    assert _count(g) == 13 * 64 * 9 + 8 * 64 * 64 * 9 + 9 * 2 + 64 * 6 + 6
    rounded_up = [math.ceil(_count(each) / 1e4) / 100 for each in (f, g)]
    assert rounded_up == [0.43, 0.31]  # millions


def test_the_receptive_field_is_513_pixels():
    assert 1 + 2 * sum(DILATIONS) == 513


@torch.no_grad()
def test_mixing_before_enlarging_is_mixing_the_whole_hypercolumn():
    torch.manual_seed(0)
    f, vgg = Proposals(dilations=(1, 2)), random_vgg19()
    torch.nn.init.normal_(f.first.weight, std=0.05)
    image = torch.rand(1, 3, 21, 34) * 255
    guidance = click_maps([Click(3, 4, True), Click(9, 30, False)], (21, 34))
    maps = vgg(image)
    whole = [enlarged(part, (21, 34)) for part in maps]
    naive = torch.cat([image / 255, guidance / 255, *whole], dim=1)
    assert naive.shape[1] == 1479
    mixed = functional.leaky_relu(f.norm(f.first(naive)), 0.2)
    expected = torch.sigmoid(f.last(f.blocks(mixed)))
    encoded = f.encode(image, maps)
    assert torch.allclose(f(encoded, guidance), expected, atol=1e-4)
    fewer = click_maps([Click(3, 4, True)], (21, 34))  # the encoding serves all clicks
    assert torch.equal(f(encoded, fewer), f(f.encode(image, maps), fewer))
    assert not torch.allclose(f(encoded, fewer), f(encoded, guidance), atol=1e-6)


@pytest.mark.parametrize(
    ("options", "channels"),
    [({"distances": False}, 1477), ({"clicks": False}, 1477), ({"features": False}, 7)],
)
def test_parts_of_the_input_can_be_left_out(options, channels):
    f = Proposals(dilations=(1,), **options)
    assert f.channels == channels
    image, maps = torch.rand(1, 3, 16, 16), ()
    if f.features:
        maps = random_vgg19()(image)
    assert f(f.encode(image, maps), torch.rand(1, 4, 16, 16)).shape == (1, 6, 16, 16)


def test_left_out_maps_do_not_matter():
    f = Proposals(2, dilations=(1,), features=False, distances=False)
    image, guidance = torch.rand(1, 3, 8, 8), torch.rand(1, 4, 8, 8) * 255
    other = guidance.clone()
    other[:, :2] = 0
    assert torch.equal(f(f.encode(image), guidance), f(f.encode(image), other))
    other[:, 2:] = 0
    assert not torch.equal(f(f.encode(image), guidance), f(f.encode(image), other))


def test_a_missing_hypercolumn_is_one_line():
    with pytest.raises(InputError, match="must have 1479 channels, got 7"):
        Proposals(dilations=(1,)).encode(torch.rand(1, 3, 8, 8))
    with pytest.raises(InputError, match="output must be one of"):
        Proposals(output="softmax")


def test_a_block_starts_as_the_identity():
    x = torch.rand(1, 5, 9, 9)
    assert torch.equal(Block(5, 5, 4)(x), x)
    wider = Block(5, 7, 4)(x)
    assert torch.equal(wider[:, :5], x)
    assert not wider[:, 5:].any()
    assert torch.allclose(Block(5, 5, 2)(-x), -0.2 * x)


def test_the_norm_takes_the_statistics_of_the_batch_in_use_too():
    norm = AdaptiveNorm().eval()
    with torch.no_grad():
        norm.w0.fill_(0)
        norm.w1.fill_(1)
    found = norm(torch.randn(1, 3, 20, 20) * 50 + 7)
    assert found.mean(dim=(2, 3)).abs().max() < 1e-4
    assert torch.allclose(found.std(dim=(2, 3)), torch.ones(1, 3), atol=1e-2)


def test_the_output_of_the_code_is_cut_at_0():
    f = Proposals(3, features=False, output="tanh", dilations=(1,))
    torch.nn.init.constant_(f.last.bias, -100)
    image = torch.rand(1, 3, 8, 8)
    assert not f(f.encode(image), torch.zeros(1, 4, 8, 8)).any()


def test_the_selector_is_the_same_after_a_permutation_and_its_inverse():
    g = Selector(4, dilations=(1, 2))
    image, guidance = torch.rand(1, 3, 8, 9) * 255, torch.rand(1, 4, 8, 9) * 255
    masks, order = torch.rand(1, 4, 8, 9), torch.tensor([2, 0, 3, 1])
    there = masks[:, order]
    back = there[:, torch.argsort(order)]
    scores = g(image, guidance, masks)
    assert scores.shape == (1, 4)
    assert torch.equal(g(image, guidance, back), scores)
    assert not torch.equal(g(image, guidance, there), scores)


def test_scores_are_means_over_the_image():
    g = Selector(2, dilations=(1,))
    one = [torch.full((1, n, 1, 1), 90.0) for n in (3, 4)] + [torch.ones(1, 2, 1, 1)]
    kernel = g.blocks[0].conv.weight
    assert kernel[:, :, 1, 1].any()  # a start that reads its own pixel alone
    large = [part.expand(-1, -1, 6, 5) for part in one]
    assert torch.allclose(g(*one), g(*large), atol=1e-5)


def test_maps_of_clicks():
    maps = click_maps([Click(1, 1, True)], (3, 400))
    assert maps.shape == (1, 4, 3, 400)
    assert maps[0, 0, 1, 4] == 3
    assert maps[0, 0, 1, 399] == 255  # truncated
    assert (maps[0, 1] == 255).all()  # no negative click
    assert (maps[0, 2] == 0).sum() == 1
    assert maps[0, 2, 1, 1] == 0
    assert (maps[0, 3] == 255).all()
    assert (click_maps([], (4, 5)) == 255).all()
