"""VGG-19: weights of two forms, by a table of names, and errors in one line."""

import hashlib

import numpy as np
import pytest
import torch
from safetensors.torch import save_file
from scipy.io import savemat

from gpcis_training.diversity import vgg19
from gpcis_training.diversity.vgg19 import (
    LAYERS,
    MATCONVNET,
    TORCHVISION,
    WIDTHS,
    check_same,
    load_vgg19,
    random_vgg19,
)
from napari_gpcis.errors import CheckpointError, InputError

_NARROW = tuple(
    (name, number, ins if ins == 3 else ins // 32, outs // 32)
    for name, number, ins, outs in LAYERS
)


@pytest.fixture
def narrow(monkeypatch):
    """Let all layers have a 32nd of their channels, so that files are small."""
    monkeypatch.setattr(vgg19, "LAYERS", _NARROW)
    return random_vgg19(seed=3)


def _torchvision(network):
    state = {"classifier.0.weight": torch.zeros(2, 2)}
    for name, number, *_ in _NARROW:
        layer = network.layers[name]
        state[f"features.{number}.weight"] = layer.weight.clone()
        state[f"features.{number}.bias"] = layer.bias.clone() + number
    return state


def _matconvnet(network):
    kind = [("type", "O"), ("name", "O"), ("weights", "O")]
    cells = []
    for name, number, *_ in _NARROW:
        weights = np.empty((1, 2), dtype=object)
        weights[0, 0] = network.layers[name].weight.numpy().transpose(2, 3, 1, 0)
        weights[0, 1] = (network.layers[name].bias + number).numpy()[None]
        cells.append(np.array([[("conv", name, weights)]], dtype=kind))
        cells.append(np.array([[("relu",)]], dtype=[("type", "O")]))
    layers = np.empty((1, len(cells)), dtype=object)
    layers[0, :] = cells
    return {"layers": layers}


def test_the_table_is_that_of_torchvision_and_its_taps_make_1472_channels():
    assert [number for _, number, *_ in LAYERS] == [
        *(0, 2, 5, 7, 10, 12, 14, 16, 19, 21, 23, 25, 28, 30)
    ]
    widths = [outs for name, _, _, outs in LAYERS if name in vgg19.TAPS]
    assert widths == list(WIDTHS)
    assert sum(WIDTHS) == 1472


@pytest.mark.parametrize("suffix", [".pth", ".safetensors"])
def test_torchvision_weights_go_to_their_layers(tmp_path, narrow, suffix):
    path = tmp_path / f"vgg19{suffix}"
    state = _torchvision(narrow)
    if suffix == ".pth":
        torch.save(state, path)
    else:
        save_file(state, path)
    loaded = load_vgg19(path)
    assert loaded.form == TORCHVISION
    assert loaded.source == hashlib.sha256(path.read_bytes()).hexdigest()
    for name, number, *_ in _NARROW:
        assert torch.equal(loaded.layers[name].weight, narrow.layers[name].weight)
        assert (loaded.layers[name].bias == number).all()


def test_matconvnet_kernels_are_turned(tmp_path, narrow):
    path = tmp_path / "vgg.mat"
    savemat(path, _matconvnet(narrow))
    loaded = load_vgg19(path)
    assert loaded.form == MATCONVNET
    for name, number, *_ in _NARROW:
        assert torch.equal(loaded.layers[name].weight, narrow.layers[name].weight)
        assert (loaded.layers[name].bias == number).all()


@pytest.mark.usefixtures("narrow")
@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("no.pth", None, "no file"),
        ("cut.pth", b"PK\x03\x04 cut off", "no PyTorch file"),
        ("cut.safetensors", b"\x01", "no readable safetensors"),
        ("cut.mat", b"not MATLAB at all" * 20, "no readable MATLAB"),
        ("other.mat", {"x": np.eye(2)}, "no VGG-19 of MatConvNet, layer conv1_1"),
        ("other.pth", {"conv1.weight": torch.zeros(1)}, "features.0.weight is missing"),
    ],
)
def test_other_files_are_one_line(tmp_path, name, content, message):
    path = tmp_path / name
    if isinstance(content, bytes):
        path.write_bytes(content)
    elif name.endswith(".mat"):
        savemat(path, content)
    elif content is not None:
        torch.save(content, path)
    with pytest.raises(CheckpointError, match=message) as caught:
        load_vgg19(path)
    assert "\n" not in str(caught.value)


def test_another_vgg_is_refused_by_its_shapes(tmp_path, narrow):
    state = _torchvision(narrow)
    state["features.12.weight"] = state["features.12.weight"][:-1]
    torch.save(state, tmp_path / "vgg.pth")
    with pytest.raises(CheckpointError, match=r"conv3_2.weight has shape \(7, 8"):
        load_vgg19(tmp_path / "vgg.pth")


def test_a_file_that_would_run_code_is_refused(tmp_path, narrow):
    torch.save(narrow, tmp_path / "whole.pth")
    with pytest.raises(CheckpointError, match="plain tensors"):
        load_vgg19(tmp_path / "whole.pth")


def test_the_maps_have_halving_sizes_and_are_not_negative():
    maps = random_vgg19()(torch.rand(1, 3, 17, 24) * 255)
    assert [tuple(part.shape[1:]) for part in maps] == [
        *((64, 17, 24), (128, 9, 12), (256, 5, 6), (512, 3, 3), (512, 2, 2))
    ]
    assert all(bool((part >= 0).all()) and bool(part.any()) for part in maps)


def test_average_pooling_leaves_the_rim_out_and_means_are_red_green_blue(narrow):
    x = torch.tensor([[[[1.0, 3.0, 8.0]]]])
    assert narrow._pooled(x).tolist() == [[[[2.0, 8.0]]]]
    with torch.no_grad():
        narrow.layers["conv1_1"].weight.fill_(0)
        narrow.layers["conv1_2"].weight.fill_(0)
        narrow.layers["conv1_1"].weight[0, 0, 1, 1] = 1
        narrow.layers["conv1_2"].weight[0, 0, 1, 1] = 1
    image = torch.tensor([133.68, 0, 0]).reshape(1, 3, 1, 1)
    assert narrow(image)[0][0, 0, 0, 0].item() == pytest.approx(10 / 255, rel=1e-4)


def test_other_weights_than_those_of_the_training_are_refused(narrow):
    check_same(narrow, "random")
    with pytest.raises(InputError, match="weights of the training"):
        check_same(narrow, "0123456789abcdef")
