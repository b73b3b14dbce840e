"""State dict to and from safetensors; a network built and filled with it."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save

from napari_gpcis.checkpoints.info import make_header
from napari_gpcis.errors import CheckpointError, UnknownModelError
from napari_gpcis.files import replacing
from napari_gpcis.model.gpcis import build_model

if TYPE_CHECKING:
    import os

    from torch import Tensor, nn

    from napari_gpcis.checkpoints.info import ModelInfo
    from napari_gpcis.model.base import ClickNetwork


def save_checkpoint(
    path: str | os.PathLike[str],
    model: ClickNetwork,
    info: ModelInfo,
    *,
    half: bool = True,
) -> None:
    """Write a model and its description to one safetensors file.

    Parameters
    ----------
    path
        The file to write. One that is there is replaced only when the new one is
        complete.
    model
        The network; its `epsilon2` and `gp_stride` are those of `info.inference`
        after loading.
    info
        What the file says about itself. `info.architecture` and `info.options` must
        build this network.
    half
        Store floating-point tensors as float16. A tensor with values too large for
        it stays float32, and integers stay as they are.

    Raises
    ------
    CheckpointError
        If the file cannot be written.
    """
    save_weights(Path(path).expanduser(), model.state_dict(), info, half=half)


def save_weights(
    file: Path, state: dict[str, Tensor], info: ModelInfo, *, half: bool
) -> None:
    """Write tensors and their description to one safetensors file.

    Parameters
    ----------
    file
        The file to write. One that is there is replaced only when the new one is
        complete.
    state
        Tensors by name.
    info
        What the file says about itself.
    half
        Store floating-point tensors as float16, see :func:`save_checkpoint`.

    Raises
    ------
    CheckpointError
        If the file cannot be written.
    """
    content = save({n: _stored(t, half) for n, t in state.items()}, make_header(info))
    try:
        with replacing(file) as temporary:
            temporary.write_bytes(content)
    except OSError as error:
        msg = f"checkpoint {file} cannot be written: {error.strerror}"
        raise CheckpointError(msg) from error


def _stored(tensor: Tensor, half: bool) -> Tensor:
    """Return the form of a tensor that goes into the file."""
    tensor = tensor.detach().cpu()
    if half and tensor.is_floating_point():
        small = tensor.to(torch.float16)
        if bool(torch.isfinite(small).all()):
            tensor = small
    return tensor.clone(memory_format=torch.contiguous_format)


def read_weights(file: Path) -> dict[str, Tensor]:
    """Return the tensors of a file by name, floating-point ones as float32.

    Raises
    ------
    CheckpointError
        If the file is missing or damaged.
    """
    try:
        state = load_file(file)
    except (OSError, SafetensorError) as error:
        msg = f"checkpoint {file} is damaged: {error}"
        raise CheckpointError(msg) from error
    return {n: t.float() if t.is_floating_point() else t for n, t in state.items()}


def build_network(info: ModelInfo, file: Path) -> ClickNetwork:
    """Return the network that a checkpoint names, weights still random.

    Parameters
    ----------
    info
        Architecture and options of the network.
    file
        The checkpoint, for the error.

    Raises
    ------
    CheckpointError
        If there is no such network, or it has no such options.
    """
    try:
        with torch.random.fork_rng(devices=[]):
            return build_model(info.architecture, **info.options)
    except (UnknownModelError, TypeError, ValueError) as error:
        msg = f"checkpoint {file} needs a network that cannot be built: {error}"
        raise CheckpointError(msg) from error


def fill_network(model: nn.Module, state: dict[str, Tensor], file: Path) -> None:
    """Copy the weights into the network, all of them or none.

    Parameters
    ----------
    model
        The network; changed.
    state
        Tensors by name.
    file
        The checkpoint, for the error.

    Raises
    ------
    CheckpointError
        If a tensor is missing, unknown or of another shape.
    """
    expected = model.state_dict()
    problems = [f"{name} is missing" for name in expected if name not in state]
    problems += [f"{name} is not known" for name in state if name not in expected]
    problems += [
        f"{name} has shape {tuple(state[name].shape)}, not {tuple(tensor.shape)}"
        for name, tensor in expected.items()
        if name in state and state[name].shape != tensor.shape
    ]
    if problems:
        more = f" and {len(problems) - 3} more" if len(problems) > 3 else ""
        msg = (
            f"checkpoint {file} does not fit the network it names: "
            f"{'; '.join(problems[:3])}{more}"
        )
        raise CheckpointError(msg)
    model.load_state_dict(state)
