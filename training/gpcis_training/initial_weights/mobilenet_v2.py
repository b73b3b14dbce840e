"""Initial weights of MobileNetV2 from published classification or VOC networks.

Two sources are understood: an ``.npz`` with arrays in operator order and batch norm
folded (``NN_CONV_2D_w``, ``NN_DEPTHWISE_CONV_2D_w``, ``NN_..._b``, channels last, as
exported from TensorFlow), and a PyTorch state dict in the common
``features.N.conv...`` layout, whose batch norm is folded while loading.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import nn

from gpcis_training.initial_weights.files import read_state_dict
from napari_gpcis.backbones.mobilenet_v2 import MobileNetV2
from napari_gpcis.errors import CheckpointError

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

    from napari_gpcis.model import ClickNetwork

_FOLDED_EPS = 1e-5
_VOC_OPERATORS = 55


def load_mobilenet_v2(model: ClickNetwork, path: Path) -> int:
    """Fill the encoder; return the number of convolutions that were set.

    Raises
    ------
    CheckpointError
        If the file holds no such weights or a shape differs.
    """
    backbone = model.model
    assert isinstance(backbone, MobileNetV2)
    if path.suffix == ".npz":
        return _load_operators(backbone, path)
    return _load_state_dict(backbone, path)


def encoder_convolutions(backbone: MobileNetV2) -> Iterator[nn.Conv2d]:
    """Yield the encoder's convolutions in the order in which they run."""
    yield backbone.stem
    for block in backbone.blocks:
        for layer in block.children():  # expand, where there is one, depthwise, project
            if isinstance(layer, nn.Conv2d):
                yield layer


def _load_operators(backbone: MobileNetV2, path: Path) -> int:
    with np.load(path) as data:
        names = sorted(name for name in data.files if name.endswith("_w"))
        weights = [_torch_layout(name, data[name]) for name in names]
        biases = [torch.from_numpy(data[name[:-2] + "_b"]) for name in names]
    layers = list(encoder_convolutions(backbone))
    if len(names) == _VOC_OPERATORS:  # DeepLabv3: 1x1, pooled branch, projection
        layers += [backbone.aspp, backbone.aspp_pool, backbone.aspp_project]
        projection = weights[len(layers) - 1]
        half = projection.shape[1] // 2  # stored (pooled, local), ours (local, pooled)
        swapped = torch.cat([projection[:, half:], projection[:, :half]], dim=1)
        weights[len(layers) - 1] = swapped
    if len(weights) < len(layers):
        msg = f"{path.name}: {len(weights)} convolutions, expected {len(layers)}"
        raise CheckpointError(msg)
    for layer, weight, bias in zip(layers, weights, biases, strict=False):
        _assign(layer, weight, bias, path.name)
    return len(layers)


def _torch_layout(name: str, array: np.ndarray) -> torch.Tensor:
    """Bring a channels-last kernel to ``(out, in, kh, kw)``."""
    axes = (3, 0, 1, 2) if "DEPTHWISE" in name else (0, 3, 1, 2)
    return torch.from_numpy(np.ascontiguousarray(array.transpose(axes)))


def _load_state_dict(backbone: MobileNetV2, path: Path) -> int:
    state = read_state_dict(path)
    kernels = [key for key in state if key.startswith("features.")]
    kernels = [key for key in kernels if state[key].ndim == 4]
    kernels.sort(key=_running_order)
    layers = list(encoder_convolutions(backbone))
    if len(kernels) < len(layers):
        msg = f"{path.name}: no MobileNetV2 state dict (keys 'features.N.conv...')"
        raise CheckpointError(msg)
    for layer, key in zip(layers, kernels, strict=False):
        _assign(layer, *_fold(state, key), path.name)
    return len(layers)


def _running_order(key: str) -> tuple[int, ...]:
    """Sort ``features.2.conv.0.0.weight`` by its numbers."""
    return tuple(int(part) for part in key.split(".") if part.isdigit())


def _fold(
    state: Mapping[str, torch.Tensor], key: str
) -> tuple[torch.Tensor, torch.Tensor]:
    """Fold the batch norm that follows convolution ``key`` into it."""
    stem, index = key.removesuffix(".weight").rsplit(".", 1)
    norm = f"{stem}.{int(index) + 1}"
    scale = (
        state[f"{norm}.weight"] / (state[f"{norm}.running_var"] + _FOLDED_EPS).sqrt()
    )
    bias = state[f"{norm}.bias"] - state[f"{norm}.running_mean"] * scale
    return state[key] * scale.reshape(-1, 1, 1, 1), bias


def _assign(
    layer: nn.Conv2d, weight: torch.Tensor, bias: torch.Tensor, source: str
) -> None:
    if layer.weight.shape != weight.shape:
        msg = (
            f"{source}: kernel of shape {tuple(weight.shape)} does not fit the "
            f"network's {tuple(layer.weight.shape)}"
        )
        raise CheckpointError(msg)
    layer.load_state_dict({"weight": weight, "bias": bias})
