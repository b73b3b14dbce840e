"""The two towers: encoder, similarity maps, crops of features."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pytest
import torch
from skimage.io import imread
from skimage.transform import resize
from torch import nn
from torch.nn import functional

from gpcis_training.initial_weights import load_initial_weights
from gpcis_training.initial_weights.efficientnet_lite import NORM_EPS, convolution_names
from napari_gpcis.backbones import create_backbone
from napari_gpcis.backbones.efficientnet_lite import Join, TwoTowers, similarity_maps
from napari_gpcis.errors import CheckpointError, InputError
from napari_gpcis.model import build_model

if TYPE_CHECKING:
    from napari_gpcis.backbones._efficientnet_lite import EfficientNetLite

DATA = Path(__file__).parents[1] / "data"
POINTS = torch.tensor([[[20.0, 30, 0], [-1, -1, -1], [40, 9, 1], [47.5, 60.9, 2]]])


@pytest.fixture(scope="module")
def towers() -> TwoTowers:
    torch.manual_seed(0)
    return TwoTowers().eval()


def published_state(encoder: EfficientNetLite) -> dict[str, torch.Tensor]:
    """Random weights under the published names, with batch norms."""
    generator = torch.Generator().manual_seed(1)

    def draw(*shape: int) -> torch.Tensor:
        return torch.randn(*shape, generator=generator)

    own, state = encoder.state_dict(), {}
    for name, (convolution, norm) in convolution_names(encoder):
        weight = own[f"{name}.weight"]
        channels = len(weight)
        fan_in = weight[0].numel()
        state[f"{convolution}.weight"] = draw(*weight.shape) / fan_in**0.5
        state[f"{norm}.weight"] = 1 + 0.1 * draw(channels)
        state[f"{norm}.bias"] = 0.1 * draw(channels)
        state[f"{norm}.running_mean"] = 0.1 * draw(channels)
        state[f"{norm}.running_var"] = 1 + 0.2 * draw(channels).abs()
    return state


def plain_forward(
    encoder: EfficientNetLite, state: dict[str, torch.Tensor], rgb: torch.Tensor
) -> torch.Tensor:
    """The last map of the network as published: convolution, batch norm, ReLU6."""

    def layer(maps, convolution, norm, stride=1, groups=1):
        kernel = state[f"{convolution}.weight"]
        side = kernel.shape[-1]
        pads = []
        for length in (maps.shape[-1], maps.shape[-2]):
            total = max((-(-length // stride) - 1) * stride + side - length, 0)
            pads += [total // 2, total - total // 2]
        maps = functional.conv2d(
            functional.pad(maps, pads), kernel, None, stride, groups=groups
        )
        return functional.batch_norm(
            maps,
            state[f"{norm}.running_mean"],
            state[f"{norm}.running_var"],
            state[f"{norm}.weight"],
            state[f"{norm}.bias"],
            eps=1e-3,
        )

    maps = layer((255 * rgb - 127) / 128, "_conv_stem", "_bn0", stride=2).clamp(0, 6)
    for index, block in enumerate(encoder.blocks):
        name, hidden = f"_blocks.{index}", maps
        if block.expand is not None:
            hidden = layer(hidden, f"{name}._expand_conv", f"{name}._bn0").clamp(0, 6)
        hidden = layer(
            hidden,
            f"{name}._depthwise_conv",
            f"{name}._bn1",
            stride=block.depthwise.stride[0],
            groups=hidden.shape[1],
        ).clamp(0, 6)
        hidden = layer(hidden, f"{name}._project_conv", f"{name}._bn2")
        maps = maps + hidden if block.residual else hidden
    return maps


@pytest.mark.parametrize("variant", ["lite0", "lite2"])
def test_folded_weights_give_the_maps_of_the_published_network(variant, tmp_path):
    model = build_model(f"efficientnet_{variant}")
    encoder = model.get_submodule("model.image_tower.encoder")
    state = published_state(encoder)
    torch.save(state, tmp_path / "weights.pth")
    count = load_initial_weights(model, tmp_path / "weights.pth")
    assert count == sum(isinstance(m, torch.nn.Conv2d) for m in encoder.modules())
    rgb = torch.rand(1, 3, 61, 80)
    with torch.no_grad():
        found = encoder(rgb)
        expected = plain_forward(encoder, state, rgb)
    assert [tuple(m.shape[-2:]) for m in found] == [(16, 20), (8, 10), (4, 5), (2, 3)]
    torch.testing.assert_close(found[-1], expected, rtol=1e-4, atol=1e-4)
    assert NORM_EPS == 1e-3


@pytest.mark.skipif(
    "GPCIS_EFFICIENTNET_LITE0" not in os.environ,
    reason="GPCIS_EFFICIENTNET_LITE0 names no file of the published weights",
)
def test_published_weights_classify_as_published():
    """Logits of *efficientnet-lite-pytorch* 0.1.0 for a sample image of 224 pixels."""
    file = Path(os.environ["GPCIS_EFFICIENTNET_LITE0"])
    model = build_model("efficientnet_lite0").eval()
    load_initial_weights(model, file)
    state = torch.load(file, map_location="cpu", weights_only=True)
    stored = json.loads((DATA / "efficientnet_lite0_logits.json").read_text())
    samples = Path(__file__).parents[2] / "src/napari_gpcis/plugin/samples"
    image = imread(samples / stored["image"])[..., :3]
    image = resize(image, (224, 224), order=1, anti_aliasing=True, preserve_range=True)
    rgb = torch.from_numpy((image / 255).astype(np.float32).transpose(2, 0, 1))[None]
    with torch.no_grad():
        maps = model.get_submodule("model.image_tower.encoder")(rgb)[-1]
        maps = functional.conv2d(maps, state["_conv_head.weight"])
        norm = [state[f"_bn1.{k}"] for k in ("running_mean", "running_var")]
        norm += [state[f"_bn1.{k}"] for k in ("weight", "bias")]
        maps = functional.batch_norm(maps, *norm, eps=1e-3).clamp(0, 6)
        logits = functional.linear(
            maps.mean((2, 3)), state["_fc.weight"], state["_fc.bias"]
        )[0]
    places = torch.tensor(stored["classes"])
    expected = torch.tensor(stored["logits"])
    torch.testing.assert_close(logits[places], expected, rtol=0, atol=1e-3)
    assert int(logits.argmax()) == stored["classes"][0]


def test_weights_of_another_size_are_refused(tmp_path):
    other = build_model("efficientnet_lite2").get_submodule("model.image_tower.encoder")
    torch.save(published_state(other), tmp_path / "lite2.pth")
    model = build_model("efficientnet_lite0")
    before = {k: v.clone() for k, v in model.state_dict().items()}
    with pytest.raises(CheckpointError, match=r"lite2\.pth"):
        load_initial_weights(model, tmp_path / "lite2.pth")
    torch.save({"conv1.weight": torch.zeros(1)}, tmp_path / "other.pth")
    with pytest.raises(CheckpointError, match="no EfficientNet-Lite state dict"):
        load_initial_weights(model, tmp_path / "other.pth")
    assert all(torch.equal(before[k], v) for k, v in model.state_dict().items())


# -- towers ----------------------------------------------------------------------------


@pytest.mark.parametrize("size", [(64, 96), (45, 62), (33, 31)])
def test_maps_have_their_strides(towers, size):
    encoded = towers.encode(torch.rand(2, 3, *size))
    shapes = [tuple(maps.shape) for maps in encoded]
    grids = [tuple(-(-side // s) for side in size) for s in (4, 8, 16, 8, 4, 8, 16)]
    channels = (48, 64, 96, 32, 64, 64, 96)
    assert shapes == [(2, c, *g) for c, g in zip(channels, grids, strict=True)]
    length = towers.keys(encoded).norm(dim=1)
    torch.testing.assert_close(length, torch.ones_like(length))
    guidance = towers.make_maps_transform().eval()(torch.rand(2, 3, *size))
    attended = towers.attend(encoded, POINTS.repeat(2, 1, 1))
    assert towers.fuse(attended, guidance).shape == (2, 48, *grids[0])
    known = towers.context(encoded, POINTS.repeat(2, 1, 1))
    assert [id(maps) for maps in known[:3]] == [id(maps) for maps in encoded[:3]]
    torch.testing.assert_close(known[3], attended[3])


@pytest.mark.parametrize("folded", [False, True])
@pytest.mark.parametrize("size", [(12, 16), (11, 13)])
def test_a_join_is_the_convolution_of_all_maps_enlarged(size, folded):
    torch.manual_seed(3)
    join = Join((5, 4, 3), 6)
    for values in (join[1].weight, join[1].bias, join[1].running_mean):
        nn.init.normal_(values)
    join.eval()
    half = tuple(-(-side // 2) for side in size)
    parts = torch.randn(2, 5, *size), torch.randn(2, 4, *size), torch.randn(2, 3, *half)
    enlarged = functional.interpolate(parts[2], size=size, mode="bilinear")
    together = torch.cat([*parts[:2], enlarged], dim=1)
    expected = functional.relu(join[1](join[0](together)))
    if folded:
        join.fold()
        assert not any(isinstance(part, nn.BatchNorm2d) for part in join)
    found = join(join.share(parts[0]), *parts[1:])
    torch.testing.assert_close(found, expected, rtol=1e-5, atol=1e-5)


def test_a_join_is_trained_through_all_its_maps():
    join = Join((2, 2), 3)
    first, second = (torch.randn(2, 2, 4, 4, requires_grad=True) for _ in range(2))
    join(join.share(first), second).square().sum().backward()
    assert (join[0].weight.grad.abs().sum((0, 2, 3)) > 0).all()
    assert float(first.grad.abs().sum()) > 0
    assert float(second.grad.abs().sum()) > 0


@pytest.mark.parametrize("name", ["efficientnet_lite0", "efficientnet_lite0_deep"])
def test_parameters_fit_into_nine_megabytes_of_float16(name):
    count = sum(p.numel() for p in create_backbone(name).parameters())
    assert 2 * count < 8e6


def test_the_deep_network_begins_as_the_one_without_its_blocks(towers):
    deep = TwoTowers(deep=True).eval()
    lacking = deep.load_state_dict(towers.state_dict(), strict=False)
    assert not lacking.unexpected_keys
    assert lacking.missing_keys
    assert all(name.startswith(deep.additions) for name in lacking.missing_keys)
    assert towers.additions == ()
    rgb, guidance = torch.rand(1, 3, 64, 96), torch.rand(1, 32, 16, 24)
    expected, found = towers.encode(rgb), deep.encode(rgb)
    torch.testing.assert_close(found, expected)
    answers = [n.fuse(n.attend(expected, POINTS), guidance) for n in (towers, deep)]
    torch.testing.assert_close(*answers)


def test_each_added_block_of_the_deep_network_is_used():
    deep = TwoTowers(deep=True)
    added = {
        name: parameter
        for name, parameter in deep.named_parameters()
        if name.startswith(deep.additions)
    }
    for parameter in added.values():  # no longer the identity
        nn.init.normal_(parameter, std=0.1)
    encoded = deep.encode(torch.rand(2, 3, 64, 64))
    points, guidance = POINTS.repeat(2, 1, 1), torch.rand(2, 32, 16, 16)
    deep.fuse(deep.attend(encoded, points), guidance).square().sum().backward()
    assert all(float(p.grad.abs().sum()) > 0 for p in added.values())


def test_similarity_is_the_largest_cosine_to_clicked_keys():
    keys = functional.normalize(
        torch.randn(1, 5, 6, 8, generator=torch.Generator().manual_seed(0)), dim=1
    )
    maps = similarity_maps(keys, POINTS, 8)
    assert maps.shape == (1, 2, 6, 8)
    expected = torch.einsum("chw,c->hw", keys[0], keys[0, :, 2, 3])
    torch.testing.assert_close(maps[0, 0], expected)
    negatives = [keys[0, :, 5, 1], keys[0, :, 5, 7]]
    both = torch.stack([torch.einsum("chw,c->hw", keys[0], k) for k in negatives])
    torch.testing.assert_close(maps[0, 1], both.amax(0))
    assert maps[0, 0, 2, 3] == pytest.approx(1)


@pytest.mark.parametrize("place", [(-1, -1), (48, 3), (3, 64), (-0.5, 10)])
def test_clicks_outside_resemble_nothing(place):
    keys = functional.normalize(torch.randn(1, 5, 6, 8), dim=1)
    points = torch.tensor([[[*place, 0.0], [-1, -1, -1]]])
    assert (similarity_maps(keys, points, 8) == -1).all()


def test_without_similarity_clicks_change_nothing_there():
    plain = TwoTowers(similarity=False).eval()
    encoded = plain.encode(torch.rand(1, 3, 64, 64))
    assert (plain.attend(encoded, POINTS)[3] == -1).all()


def test_a_crop_of_features_is_a_part_of_them(towers):
    encoded = towers.encode(torch.rand(1, 3, 96, 128))
    cut = towers.crop(encoded, (32, 16, 80, 96))
    whole_points = torch.tensor([[[40.0, 50, 0], [60, 90, 1]]])
    moved = whole_points - torch.tensor([32.0, 16, 0])
    for whole, part, stride in zip(encoded, cut, (4, 8, 16, 8, 4, 8, 16), strict=True):
        rows = slice(32 // stride, 80 // stride)
        cols = slice(16 // stride, 96 // stride)
        assert torch.equal(part, whole[..., rows, cols])
    similar = towers.attend(encoded, whole_points)[3][..., 4:10, 2:12]
    torch.testing.assert_close(towers.attend(cut, moved)[3], similar)
    with pytest.raises(InputError, match="multiples of 16"):
        towers.crop(encoded, (8, 16, 80, 96))
