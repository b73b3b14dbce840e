"""Writing and loading the weights of a model."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save

from napari_gpcis.checkpoints.download import ProgressBar
from napari_gpcis.checkpoints.info import make_header, read_info
from napari_gpcis.checkpoints.load import download_model
from napari_gpcis.checkpoints.registry import PUBLISHED, find_checkpoint
from napari_gpcis.errors import CheckpointError, UnknownModelError
from napari_gpcis.files import replacing
from napari_gpcis.model.gpcis import build_model

if TYPE_CHECKING:
    import os

    from torch import Tensor

    from napari_gpcis.checkpoints.info import ModelInfo
    from napari_gpcis.model.gpcis import ClickNetwork


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
    file = Path(path).expanduser()
    state = {name: _stored(t, half) for name, t in model.state_dict().items()}
    content = save(state, make_header(info))
    try:
        with replacing(file) as temporary:
            temporary.write_bytes(content)
    except OSError as error:
        msg = f"checkpoint {file} cannot be written: {error.strerror}"
        raise CheckpointError(msg) from error


def load_checkpoint(
    path_or_name: str | os.PathLike[str],
) -> tuple[ClickNetwork, ModelInfo]:
    """Load a model that is ready to predict.

    Nothing in the file is executed, and the random state is left as it was. A
    published model that is not here is downloaded, with a bar on the terminal.

    Parameters
    ----------
    path_or_name
        Name of a model, or a path that ends in ``.safetensors``.

    Returns
    -------
    model : ClickNetwork
        In evaluation mode, float32, on the CPU, `epsilon2` and `gp_stride` set as
        the checkpoint says.
    info : ModelInfo
        What the file says about itself.

    Raises
    ------
    UnknownModelError
        If no model has that name.
    CheckpointError
        If the file is missing, damaged, or does not fit the network it names; its
        subclass `DownloadError` if a model cannot be downloaded.
    """
    file = _locate(path_or_name)
    info = read_info(file)
    model = build_network(info, file)
    fill_network(model, _read(file), file)
    model.epsilon2 = info.inference.epsilon2
    model.gp_stride = info.inference.gp_stride
    return model.eval(), info


def _locate(path_or_name: str | os.PathLike[str]) -> Path:
    """Return the file of a model, downloaded if it is a published one."""
    if isinstance(path_or_name, str) and path_or_name in PUBLISHED:
        with ProgressBar(path_or_name) as bar:
            return download_model(path_or_name, bar)
    return find_checkpoint(path_or_name)


def _stored(tensor: Tensor, half: bool) -> Tensor:
    """Return the form of a tensor that goes into the file."""
    tensor = tensor.detach().cpu()
    if half and tensor.is_floating_point():
        small = tensor.to(torch.float16)
        if bool(torch.isfinite(small).all()):
            tensor = small
    return tensor.clone(memory_format=torch.contiguous_format)


def _read(file: Path) -> dict[str, Tensor]:
    """Return the tensors of a file, floating-point ones as float32."""
    try:
        state = load_file(file)
    except (OSError, SafetensorError) as error:
        msg = f"checkpoint {file} is damaged: {error}"
        raise CheckpointError(msg) from error
    return {n: t.float() if t.is_floating_point() else t for n, t in state.items()}


def build_network(info: ModelInfo, file: Path) -> ClickNetwork:
    """Return the network that a checkpoint names, weights still random."""
    try:
        with torch.random.fork_rng(devices=[]):
            return build_model(info.architecture, **info.options)
    except (UnknownModelError, TypeError, ValueError) as error:
        msg = f"checkpoint {file} needs a network that cannot be built: {error}"
        raise CheckpointError(msg) from error


def fill_network(model: ClickNetwork, state: dict[str, Tensor], file: Path) -> None:
    """Copy the weights into the network, all of them or none."""
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
