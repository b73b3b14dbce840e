"""The hypercolumn of a VGG-19: its maps before each pooling, from weights of the user.

The weights come as torchvision's state dict (``.pth``, ``.pt``, ``.safetensors``) or as
MatConvNet's ``imagenet-vgg-verydeep-19.mat``. Neither is executed.
"""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import torch
from scipy.io import loadmat
from torch import nn
from torch.nn import functional

from gpcis_training.initial_weights.files import read_state_dict
from napari_gpcis.errors import CheckpointError, InputError

if TYPE_CHECKING:
    from torch import Tensor

LAYERS = (
    ("conv1_1", 0, 3, 64),
    ("conv1_2", 2, 64, 64),
    ("conv2_1", 5, 64, 128),
    ("conv2_2", 7, 128, 128),
    ("conv3_1", 10, 128, 256),
    ("conv3_2", 12, 256, 256),
    ("conv3_3", 14, 256, 256),
    ("conv3_4", 16, 256, 256),
    ("conv4_1", 19, 256, 512),
    ("conv4_2", 21, 512, 512),
    ("conv4_3", 23, 512, 512),
    ("conv4_4", 25, 512, 512),
    ("conv5_1", 28, 512, 512),
    ("conv5_2", 30, 512, 512),
)
"""Name in MatConvNet, number in torchvision's ``features``, channels in and out."""
TAPS = ("conv1_2", "conv2_2", "conv3_2", "conv4_2", "conv5_2")
"""Layers whose maps, after ReLU, make up the hypercolumn."""
WIDTHS = (64, 128, 256, 512, 512)
RANDOM = "random"
"""Stands for random weights where a file is asked for."""


class Form(NamedTuple):
    """How a network was trained to see an image."""

    mean: tuple[float, float, float]
    """Mean of red, green and blue, of 255."""
    deviation: tuple[float, float, float]
    """What colours are divided by, of 255."""
    average: bool
    """Pool by the mean, instead of the maximum."""
    scale: float
    """What the maps are divided by before the network that reads them."""


MATCONVNET = Form((123.68, 116.779, 103.939), (1.0, 1.0, 1.0), True, 255.0)
"""As the paper's code uses it; colours are given as red, green, blue."""
TORCHVISION = Form((123.675, 116.28, 103.53), (58.395, 57.12, 57.375), False, 1.0)


class VGG19(nn.Module):
    """VGG-19 up to ``conv5_2``, frozen.

    Parameters
    ----------
    form
        How it sees an image.
    source
        SHA-256 of the weights' file, or ``"random"``.
    """

    def __init__(self, form: Form = MATCONVNET, source: str = RANDOM) -> None:
        super().__init__()
        self.form, self.source = form, source
        self.layers = nn.ModuleDict(
            {name: nn.Conv2d(ins, outs, 3, padding=1) for name, _, ins, outs in LAYERS}
        )
        self.requires_grad_(False)

    @torch.no_grad()
    def forward(self, image: Tensor) -> tuple[Tensor, ...]:
        """Return the maps of the hypercolumn, each at its own resolution.

        Parameters
        ----------
        image
            Shape ``(B, 3, H, W)``: red, green, blue from 0 to 255.

        Returns
        -------
        tuple of tensors
            Shapes ``(B, C, H / 2^k, W / 2^k)`` (rounded up), C from `WIDTHS`, k from 0
            to 4, already divided by the form's scale.
        """
        mean = image.new_tensor(self.form.mean).reshape(1, 3, 1, 1)
        deviation = image.new_tensor(self.form.deviation).reshape(1, 3, 1, 1)
        x = (image - mean) / deviation
        maps: list[Tensor] = []
        for name, layer in self.layers.items():
            if name.endswith("_1") and maps:
                x = self._pooled(x)
            x = functional.relu(layer(x))
            if name in TAPS:
                maps.append(x / self.form.scale)
        return tuple(maps)

    def _pooled(self, x: Tensor) -> Tensor:
        if self.form.average:
            return functional.avg_pool2d(x, 2, ceil_mode=True, count_include_pad=False)
        return functional.max_pool2d(x, 2, ceil_mode=True)


def random_vgg19(seed: int = 0) -> VGG19:
    """Return a network with random weights, the same for a seed."""
    network = VGG19()
    rng = torch.Generator().manual_seed(seed)
    for layer in network.layers.values():
        assert isinstance(layer, nn.Conv2d)
        nn.init.kaiming_normal_(layer.weight, nonlinearity="relu", generator=rng)
        assert layer.bias is not None
        nn.init.zeros_(layer.bias)
    return network


def load_vgg19(path: str | Path) -> VGG19:
    """Return a network with the weights of a file.

    Parameters
    ----------
    path
        torchvision's ``vgg19`` state dict, MatConvNet's ``.mat``, or ``"random"``.

    Raises
    ------
    CheckpointError
        If the file is missing, damaged or another network's.
    """
    if str(path) == RANDOM:
        return random_vgg19()
    path = Path(path).expanduser()
    if not path.is_file():
        msg = f"VGG-19: no file {str(path)!r}"
        raise CheckpointError(msg)
    if path.suffix == ".mat":
        form, state = MATCONVNET, _from_matconvnet(path)
    else:
        form, state = TORCHVISION, _from_torchvision(path)
    with path.open("rb") as stream:
        digest = hashlib.file_digest(stream, "sha256").hexdigest()
    network = VGG19(form, digest)
    for name, _, ins, outs in LAYERS:
        shapes = {"weight": (outs, ins, 3, 3), "bias": (outs,)}
        for part, shape in shapes.items():
            found = tuple(state[f"{name}.{part}"].shape)
            if found != shape:
                msg = f"{path.name}: {name}.{part} has shape {found}, not {shape}"
                raise CheckpointError(msg)
    network.layers.load_state_dict(state)
    return network


def check_same(network: VGG19, source: str) -> None:
    """Raise `InputError` unless a network has the weights that another was fed by."""
    if network.source != source:
        msg = (
            f"VGG-19 must have the weights of the training, SHA-256 {source[:16]}, got "
            f"{network.source[:16]}"
        )
        raise InputError(msg)


def _from_torchvision(path: Path) -> dict[str, Tensor]:
    """Return the weights under our names."""
    state, found = read_state_dict(path), {}
    for name, number, *_ in LAYERS:
        for part in ("weight", "bias"):
            key = f"features.{number}.{part}"
            if key not in state:
                msg = f"{path.name}: no VGG-19 of torchvision, {key} is missing"
                raise CheckpointError(msg)
            found[f"{name}.{part}"] = state[key].float()
    return found


def _from_matconvnet(path: Path) -> dict[str, Tensor]:
    """Return the weights under our names; kernels are stored as (H, W, in, out)."""
    try:
        content = loadmat(path, variable_names=["layers"])
    except Exception as error:  # damaged files make it raise nearly anything
        reason = str(error).partition("\n")[0]
        msg = f"{path.name} is no readable MATLAB file: {reason}"
        raise CheckpointError(msg) from error
    stored = _matconvnet_layers(content)
    found = {}
    for name, *_ in LAYERS:
        if name not in stored:
            msg = f"{path.name}: no VGG-19 of MatConvNet, layer {name} is missing"
            raise CheckpointError(msg)
        kernel, bias = stored[name]
        if kernel.ndim != 4:
            msg = f"{path.name}: {name} has a kernel of shape {kernel.shape}"
            raise CheckpointError(msg)
        kernel = np.ascontiguousarray(kernel.transpose(3, 2, 0, 1), dtype=np.float32)
        found[f"{name}.weight"] = torch.from_numpy(kernel)
        found[f"{name}.bias"] = torch.from_numpy(bias.astype(np.float32).ravel())
    return found


def _matconvnet_layers(content: dict[str, Any]) -> dict[str, tuple[Any, Any]]:
    """Return kernel and bias of each convolution; what looks otherwise is left out."""
    found = {}
    for cell in np.asarray(content.get("layers", [])).ravel():
        names = getattr(getattr(cell, "dtype", None), "names", None) or ()
        if "name" not in names or "weights" not in names or cell.size == 0:
            continue
        layer = cell.ravel()[0]
        name, weights = np.ravel(layer["name"]), np.ravel(layer["weights"])
        if name.size == 1 and weights.size == 2:
            found[str(name[0])] = (np.asarray(weights[0]), np.asarray(weights[1]))
    return found
