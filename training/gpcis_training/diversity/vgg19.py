"""VGG-19 up to ``conv5_2``, for hypercolumns, with weights from a user's file.

No weights come with this package. Two kinds of files are understood, and none is
executed: the state dict of torchvision (``.pth``, ``.safetensors``) and the MATLAB file
of MatConvNet (``imagenet-vgg-verydeep-19.mat``), with which the published system was
trained. They differ in colours and pooling:

================  ==========================  ========  ==================
file              colours                     pooling   features
================  ==========================  ========  ==================
torchvision       mean and std of ImageNet    maximum   as they are
MatConvNet        0 to 255 less a mean colour average   divided by 255
================  ==========================  ========  ==================
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import torch
from scipy.io import loadmat
from torch import nn
from torch.nn import functional

from gpcis_training.initial_weights.files import read_state_dict
from napari_gpcis.checkpoints.download import file_sha256
from napari_gpcis.errors import CheckpointError

if TYPE_CHECKING:
    import os

    from torch import Tensor

TABLE = {
    "conv1_1": 0,
    "conv1_2": 2,
    "conv2_1": 5,
    "conv2_2": 7,
    "conv3_1": 10,
    "conv3_2": 12,
    "conv3_3": 14,
    "conv3_4": 16,
    "conv4_1": 19,
    "conv4_2": 21,
    "conv4_3": 23,
    "conv4_4": 25,
    "conv5_1": 28,
    "conv5_2": 30,
}
"""Name of each convolution in MatConvNet's file -> its number in torchvision's."""
TAPS = ("conv1_2", "conv2_2", "conv3_2", "conv4_2", "conv5_2")
"""Convolutions after whose ReLU the features are taken."""
WIDTHS = (64, 128, 256, 512, 512)
"""Channels of each tap; 1,472 together."""
RANDOM, TORCHVISION, MATCONVNET = "random", "torchvision", "matconvnet"
_KERNEL = 3


class Source(NamedTuple):
    """Origin of the weights of a network."""

    kind: str
    """``"torchvision"``, ``"matconvnet"`` or ``"random"``."""
    sha256: str = ""
    """Hash of the file; empty for random weights."""

    def __str__(self) -> str:
        """Return kind and hash for a message."""
        return f"{self.kind}, SHA-256 {self.sha256}" if self.sha256 else self.kind


class VGG19(nn.Module):
    """VGG-19 up to ``conv5_2``, frozen.

    Parameters
    ----------
    source
        Origin of the weights, which decides colours and pooling. Random weights are
        used as those of torchvision are.
    """

    mean: Tensor
    std: Tensor

    def __init__(self, source: Source = Source(RANDOM)) -> None:  # noqa: B008
        super().__init__()
        self.source = source
        inputs, layers = 3, {}
        for name in TABLE:
            outputs = WIDTHS[int(name[4]) - 1]
            layers[name] = nn.Conv2d(inputs, outputs, _KERNEL, padding=1)
            inputs = outputs
        self.layers = nn.ModuleDict(layers)
        if source.kind == MATCONVNET:
            mean, std = (123.68, 116.779, 103.939), (1.0, 1.0, 1.0)
        else:
            mean, std = (123.675, 116.28, 103.53), (58.395, 57.12, 57.375)
        self.register_buffer("mean", torch.tensor(mean).reshape(3, 1, 1), False)
        self.register_buffer("std", torch.tensor(std).reshape(3, 1, 1), False)
        self.requires_grad_(False)

    @torch.no_grad()
    def forward(self, image: Tensor) -> tuple[Tensor, ...]:
        """Return the features of the taps, each at its own resolution.

        Parameters
        ----------
        image
            RGB from 0 to 255, shape ``(N, 3, H, W)``.

        Returns
        -------
        tuple of Tensor
            Shapes ``(N, 64, H, W)``, ``(N, 128, H // 2, W // 2)`` and so on to
            ``(N, 512, H // 16, W // 16)``, at least one pixel each.
        """
        published = self.source.kind == MATCONVNET
        pool = functional.avg_pool2d if published else functional.max_pool2d
        values, taps = (image - self.mean) / self.std, []
        for name, layer in self.layers.items():
            if name.endswith("_1") and name != "conv1_1":
                height, width = values.shape[-2:]
                values = pool(values, (min(2, height), min(2, width)))
            values = functional.relu(layer(values))
            if name in TAPS:
                taps.append(values / 255 if published else values)
        return tuple(taps)


def random_vgg19(seed: int = 0) -> VGG19:
    """Return a network of random weights that keep the size of the features.

    For tests, and to see what the architecture alone gives.
    """
    network = VGG19()
    generator = torch.Generator().manual_seed(seed)
    for layer in network.layers.values():
        assert isinstance(layer, nn.Conv2d)
        nn.init.kaiming_normal_(layer.weight, generator=generator)
        assert layer.bias is not None
        nn.init.zeros_(layer.bias)
    return network


def load_vgg19(path: str | os.PathLike[str]) -> VGG19:
    """Return the network with the weights of a file.

    Parameters
    ----------
    path
        ``.mat`` of MatConvNet; ``.pth``, ``.pt`` or ``.safetensors`` of torchvision.

    Returns
    -------
    VGG19
        Its ``source`` holds the kind and the hash of the file.

    Raises
    ------
    CheckpointError
        If the file is missing, damaged or not one of VGG-19.
    """
    file = Path(path).expanduser()
    try:
        digest = file_sha256(file)
    except OSError as error:
        msg = f"VGG-19 weights {str(file)!r} cannot be read: {error.strerror}"
        raise CheckpointError(msg) from error
    if file.suffix == ".mat":
        network = VGG19(Source(MATCONVNET, digest))
        found = _read_matconvnet(file)
    else:
        network = VGG19(Source(TORCHVISION, digest))
        found = _read_torchvision(file)
    own = network.state_dict()
    for name, tensor in found.items():
        if tensor.shape != own[name].shape:
            shapes = f"{tuple(tensor.shape)}, not {tuple(own[name].shape)}"
            msg = f"{file.name} is not VGG-19: {_plain(name)} has shape {shapes}"
            raise CheckpointError(msg)
        if not bool(torch.isfinite(tensor).all()):
            msg = f"{file.name}: {_plain(name)} holds numbers that are not finite"
            raise CheckpointError(msg)
    network.load_state_dict(found)
    return network


def _read_torchvision(file: Path) -> dict[str, Tensor]:
    """Return the tensors under our names; the rest of the file is left out."""
    state, found = read_state_dict(file), {}
    for name, number in TABLE.items():
        for part in ("weight", "bias"):
            key = f"features.{number}.{part}"
            if key not in state:
                msg = f"{file.name} is no VGG-19 of torchvision: {key} is missing"
                raise CheckpointError(msg)
            found[f"layers.{name}.{part}"] = state[key].float()
    return found


def _read_matconvnet(file: Path) -> dict[str, Tensor]:
    """Return the tensors under our names, kernels turned from HWIO to OIHW."""
    try:
        layers = loadmat(file, variable_names=["layers"])["layers"].ravel()
        arrays = dict(filter(None, map(_matconvnet_layer, layers)))
    except Exception as error:  # damaged files make it raise nearly anything
        reason = str(error).partition("\n")[0]
        msg = f"{file.name} is no VGG-19 of MatConvNet, or damaged: {reason}"
        raise CheckpointError(msg) from error
    found: dict[str, Tensor] = {}
    for name in TABLE:
        if name not in arrays:
            msg = f"{file.name} is no VGG-19 of MatConvNet: {name} is missing"
            raise CheckpointError(msg)
        kernel, bias = arrays[name]
        if kernel.ndim != 4:
            msg = f"{file.name} is not VGG-19: {name} has shape {kernel.shape}"
            raise CheckpointError(msg)
        weight = np.ascontiguousarray(kernel.transpose(3, 2, 0, 1), np.float32)
        found[f"layers.{name}.weight"] = torch.from_numpy(weight)
        flat = np.ascontiguousarray(bias.ravel(), np.float32)
        found[f"layers.{name}.bias"] = torch.from_numpy(flat)
    return found


def _matconvnet_layer(entry: Any) -> tuple[str, tuple[Any, Any]] | None:
    """Return name, kernel and bias of a layer of the file; ``None`` without them.

    Newer files hold a cell of both (``weights``), older ones each in a field.
    """
    layer = entry.ravel()[0]
    fields = layer.dtype.names
    if "weights" in fields:
        arrays = layer["weights"].ravel()
        # a structure in a cell may be wrapped once more
        arrays = arrays[0].ravel() if len(arrays) == 1 else arrays
    elif "filters" in fields:
        arrays = [layer["filters"], layer["biases"]]
    else:
        return None
    if len(arrays) != 2:
        return None
    return str(layer["name"].ravel()[0]), (np.asarray(arrays[0]), np.asarray(arrays[1]))


def _plain(name: str) -> str:
    return name.removeprefix("layers.")
