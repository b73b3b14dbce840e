"""VGG-19: the user's files by a tested table, and features that agree."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import torch
from safetensors.torch import save_file
from scipy.io import savemat

from gpcis_training.diversity.vgg19 import (
    TABLE,
    TAPS,
    WIDTHS,
    load_vgg19,
    random_vgg19,
)
from gpcis_training.initial_weights.files import read_state_dict
from napari_gpcis.errors import CheckpointError

if TYPE_CHECKING:
    from pathlib import Path

# torchvision.models.vgg19().features: "M" is a pooling, each convolution has a ReLU
CFG_E: list[Any] = [64, 64, "M", 128, 128, "M", *[256] * 4, "M", *[512] * 4, "M"]
CFG_E += [*[512] * 4, "M"]


@pytest.fixture(scope="module")
def torchvision_state() -> dict[str, torch.Tensor]:
    """The state dict that torchvision's construction of VGG-19 gives."""
    ours = random_vgg19(3)
    layers, inputs = [], 3
    for width in CFG_E:
        if width == "M":
            layers.append(torch.nn.MaxPool2d(2))
        else:
            layers += [torch.nn.Conv2d(inputs, width, 3, padding=1), torch.nn.ReLU()]
            inputs = width
    features = torch.nn.Sequential(*layers)
    state = {f"features.{k}": v for k, v in features.state_dict().items()}
    for name, number in TABLE.items():
        for part in ("weight", "bias"):
            state[f"features.{number}.{part}"] = ours.state_dict()[
                f"layers.{name}.{part}"
            ]
    state["classifier.6.bias"] = torch.zeros(1000)
    return state


def test_the_table_has_the_places_of_torchvision() -> None:
    places, block, layer, number = {}, 1, 1, 0
    for width in CFG_E:
        if width == "M":
            block, layer, number = block + 1, 1, number + 1
        else:
            places[f"conv{block}_{layer}"] = number
            layer, number = layer + 1, number + 2
    assert {name: places[name] for name in TABLE} == TABLE
    assert [TABLE[name] for name in TAPS] == [2, 7, 12, 21, 30]


def test_taps_have_1472_channels_at_their_own_resolution() -> None:
    taps = random_vgg19()(torch.zeros(1, 3, 37, 50))
    assert [tap.shape[1] for tap in taps] == list(WIDTHS)
    assert sum(WIDTHS) == 1472
    assert [tuple(tap.shape[2:]) for tap in taps] == [
        (37, 50),
        (18, 25),
        (9, 12),
        (4, 6),
        (2, 3),
    ]
    assert random_vgg19()(torch.zeros(1, 3, 5, 3))[-1].shape == (1, 512, 1, 1)


@pytest.mark.parametrize("suffix", [".pth", ".safetensors"])
def test_features_are_those_of_torchvision(
    tmp_path: Path, torchvision_state: dict[str, torch.Tensor], suffix: str
) -> None:
    path = tmp_path / f"vgg19{suffix}"
    if suffix == ".pth":
        torch.save(torchvision_state, path)
    else:
        save_file(torchvision_state, path)
    network = load_vgg19(path)
    assert network.source.kind == "torchvision"
    assert len(network.source.sha256) == 64
    assert network.source.sha256 in str(network.source)
    image = torch.rand(1, 3, 32, 32) * 255
    mean, std = torch.tensor([0.485, 0.456, 0.406]), torch.tensor([0.229, 0.224, 0.225])
    x = (image / 255 - mean[:, None, None]) / std[:, None, None]
    expected, number = [], 0
    for width in CFG_E:
        if width == "M":
            x, number = torch.nn.functional.max_pool2d(x, 2), number + 1
            continue
        weight = torchvision_state[f"features.{number}.weight"]
        bias = torchvision_state[f"features.{number}.bias"]
        x = torch.nn.functional.conv2d(x, weight, bias, padding=1).relu()
        if number in (2, 7, 12, 21, 30):
            expected.append(x)
        number += 2
        if number > 30:
            break
    for tap, value in zip(network(image), expected, strict=True):
        torch.testing.assert_close(tap, value, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("old", [False, True])
def test_features_are_those_of_matconvnet(tmp_path: Path, old: bool) -> None:
    ours = random_vgg19(5).state_dict()
    layers = np.empty((1, 2 * len(TABLE)), dtype=object)
    for k, name in enumerate(TABLE):
        kernel = ours[f"layers.{name}.weight"].numpy().transpose(2, 3, 1, 0)
        bias = ours[f"layers.{name}.bias"].numpy()[None]
        pair = np.empty((1, 2), dtype=object)
        pair[0, 0], pair[0, 1] = kernel, bias
        parts = {"filters": kernel, "biases": bias} if old else {"weights": pair}
        layers[0, 2 * k] = {"type": "conv", "name": name, **parts}
        layers[0, 2 * k + 1] = {"type": "relu", "name": f"relu{name[4:]}"}
    path = tmp_path / "imagenet-vgg-verydeep-19.mat"
    savemat(path, {"layers": layers})
    network = load_vgg19(path)
    assert network.source.kind == "matconvnet"
    for name, tensor in ours.items():
        torch.testing.assert_close(network.state_dict()[name], tensor)
    image = torch.rand(1, 3, 16, 16) * 255
    x = image - torch.tensor([123.68, 116.779, 103.939])[:, None, None]
    conv = torch.nn.functional.conv2d
    for name in ("conv1_1", "conv1_2"):
        weight, bias = ours[f"layers.{name}.weight"], ours[f"layers.{name}.bias"]
        x = conv(x, weight, bias, padding=1).relu()
    first, second, *_ = network(image)
    torch.testing.assert_close(first, x / 255, rtol=1e-4, atol=1e-4)
    x = torch.nn.functional.avg_pool2d(x, 2)
    for name in ("conv2_1", "conv2_2"):
        weight, bias = ours[f"layers.{name}.weight"], ours[f"layers.{name}.bias"]
        x = conv(x, weight, bias, padding=1).relu()
    torch.testing.assert_close(second, x / 255, rtol=1e-4, atol=1e-4)


def test_other_and_damaged_files_are_one_line(
    tmp_path: Path, torchvision_state: dict[str, torch.Tensor]
) -> None:
    (tmp_path / "half.pth").write_bytes(b"\x80\x02}q\x00X\x04")
    (tmp_path / "text.pth").write_text("hello")
    (tmp_path / "half.safetensors").write_bytes(b"12")
    (tmp_path / "half.mat").write_bytes(b"MATLAB 5.0 MAT-file" + bytes(200))
    savemat(tmp_path / "other.mat", {"layers": np.zeros((2, 2))})
    savemat(tmp_path / "empty.mat", {"x": 1})
    torch.save({"features.0.weight": torch.zeros(64, 3, 3, 3)}, tmp_path / "small.pth")
    wrong = {**torchvision_state, "features.0.bias": torch.zeros(3)}
    torch.save(wrong, tmp_path / "shape.pth")
    bad = torchvision_state["features.0.bias"].clone()
    bad[0] = torch.nan
    torch.save({**torchvision_state, "features.0.bias": bad}, tmp_path / "nan.pth")
    files = sorted(tmp_path.iterdir())
    assert len(files) == 9
    for path in [*files, tmp_path / "missing.pth"]:
        with pytest.raises(CheckpointError) as caught:
            load_vgg19(path)
        assert path.name in str(caught.value)
        assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    "content",
    [b"", b"\x80\x02h\x07.", b"\x80\x02]q\x00K\x01e.", b"PK\x03\x04", b"\x80"],
)
def test_no_damaged_state_dict_raises_an_error_of_its_own(
    tmp_path: Path, content: bytes
) -> None:
    path = tmp_path / "weights.pth"
    path.write_bytes(content)
    with pytest.raises(CheckpointError, match=r"weights\.pth"):
        read_state_dict(path)
