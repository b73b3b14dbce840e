import numpy as np
import pytest
import torch

from gpcis_training.initial_weights import load_initial_weights
from gpcis_training.initial_weights.mobilenet_v2 import encoder_convolutions
from napari_gpcis.errors import CheckpointError
from napari_gpcis.model.gpcis import build_model


def _operators(backbone, extra=()):
    """The arrays of a TensorFlow export with known values."""
    arrays = {}
    rng = np.random.default_rng(0)
    for index, layer in enumerate([*encoder_convolutions(backbone), *extra]):
        weight = rng.standard_normal(layer.weight.shape, dtype=np.float32)
        depthwise = layer.groups > 1
        name = f"{index:02d}_{'DEPTHWISE_' if depthwise else ''}CONV_2D"
        arrays[f"{name}_w"] = weight.transpose(
            (1, 2, 3, 0) if depthwise else (0, 2, 3, 1)
        )
        arrays[f"{name}_b"] = rng.standard_normal(len(weight), dtype=np.float32)
    return arrays


def test_operator_order(tmp_path):
    model = build_model("mobilenet_v2")
    backbone = model.model
    arrays = _operators(backbone)
    np.savez(tmp_path / "w.npz", **arrays)
    assert load_initial_weights(model, tmp_path / "w.npz") == 51
    assert np.allclose(
        backbone.blocks[0].depthwise.weight.detach().numpy()[:, 0],
        arrays["01_DEPTHWISE_CONV_2D_w"][0].transpose(2, 0, 1),
    )
    last = backbone.blocks[-1].project
    assert np.allclose(last.bias.detach(), arrays["50_CONV_2D_b"])


def test_torch_layout_folds_batch_norm(tmp_path):
    model = build_model("mobilenet_v2")
    backbone = model.model
    state, generator = {}, torch.Generator().manual_seed(0)
    layers = list(encoder_convolutions(backbone))
    names = ["features.0.0"]
    for index, block in enumerate(backbone.blocks, start=1):
        prefix = f"features.{index}.conv"
        if block.expand is None:
            names += [f"{prefix}.0.0", f"{prefix}.1"]
        else:
            names += [f"{prefix}.0.0", f"{prefix}.1.0", f"{prefix}.2"]
    for name, layer in zip(names, layers, strict=True):
        stem, index = name.rsplit(".", 1)
        norm = f"{stem}.{int(index) + 1}"
        channels = len(layer.weight)
        state[f"{name}.weight"] = torch.randn(layer.weight.shape, generator=generator)
        state[f"{norm}.weight"] = torch.rand(channels, generator=generator) + 0.5
        state[f"{norm}.bias"] = torch.randn(channels, generator=generator)
        state[f"{norm}.running_mean"] = torch.randn(channels, generator=generator)
        state[f"{norm}.running_var"] = torch.rand(channels, generator=generator) + 0.5
    torch.save(state, tmp_path / "w.pth")
    assert load_initial_weights(model, tmp_path / "w.pth") == 51
    maps = torch.randn(1, 24, 8, 8, generator=generator)
    convolved = torch.nn.functional.conv2d(maps, state["features.3.conv.0.0.weight"])
    expected = torch.nn.functional.batch_norm(
        convolved,
        state["features.3.conv.0.1.running_mean"],
        state["features.3.conv.0.1.running_var"],
        state["features.3.conv.0.1.weight"],
        state["features.3.conv.0.1.bias"],
    )
    assert torch.allclose(backbone.blocks[2].expand(maps), expected, atol=1e-4)


def test_missing_and_foreign_files_are_refused(tmp_path):
    model = build_model("mobilenet_v2")
    backbone = model.model
    with pytest.raises(CheckpointError, match="no file"):
        load_initial_weights(model, tmp_path / "none.npz")
    torch.save({"layer1.weight": torch.zeros(3)}, tmp_path / "other.pth")
    with pytest.raises(CheckpointError, match="no MobileNetV2 state dict"):
        load_initial_weights(model, tmp_path / "other.pth")
    arrays = _operators(backbone)
    arrays["02_CONV_2D_w"] = np.zeros((5, 1, 1, 32), np.float32)
    np.savez(tmp_path / "w.npz", **arrays)
    with pytest.raises(CheckpointError, match=r"\(5, 32, 1, 1\) does not fit"):
        load_initial_weights(model, tmp_path / "w.npz")
