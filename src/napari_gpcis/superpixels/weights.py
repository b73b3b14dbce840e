"""Weights of learned superpixels: files, and the networks they fill."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import torch

from napari_gpcis.checkpoints import read_info
from napari_gpcis.checkpoints.cache import cache_folder
from napari_gpcis.checkpoints.weights import read_weights, save_weights
from napari_gpcis.errors import CheckpointError
from napari_gpcis.superpixels.cds import CDS

if TYPE_CHECKING:
    import os

    from torch import Tensor

    from napari_gpcis.checkpoints import ModelInfo

ARCHITECTURE = "cds"
SUFFIX = ".safetensors"
_FOLDER = Path(__file__).parent
_TRAINING_ONLY = "auxiliary_encoder."


def find_weights(method: str) -> Path:
    """Return the file of a method's weights.

    Raises
    ------
    CheckpointError
        If they are not here.
    """
    name = f"{method}{SUFFIX}"
    for file in (_FOLDER / name, converted_file(method)):
        if file.is_file():
            return file
    msg = (
        f"the weights of {method} are not here; napari-gpcis convert makes them of a "
        "checkpoint of the published code (rookiie/CDSpixel on GitHub)"
    )
    raise CheckpointError(msg)


def converted_file(method: str) -> Path:
    """Return the file for a method's converted weights; it need not exist."""
    return cache_folder() / "superpixels" / f"{method}{SUFFIX}"


def save_superpixels(
    path: str | os.PathLike[str], network: CDS, info: ModelInfo, *, half: bool = True
) -> None:
    """Write a network and its description to one safetensors file.

    The second encoder, which only training needs, is left out.

    Parameters
    ----------
    path
        The file to write; one that is there is replaced when the new one is complete.
    network
        The network.
    info
        Its architecture is ``"cds"``, its options are the keyword arguments of
        `napari_gpcis.superpixels.cds.CDS`.
    half
        Store floating-point tensors as float16.

    Raises
    ------
    CheckpointError
        If the file cannot be written.
    """
    state = network.state_dict()
    kept = {n: t for n, t in state.items() if not n.startswith(_TRAINING_ONLY)}
    save_weights(Path(path).expanduser(), kept, info, half=half)


def load_superpixels(path: str | os.PathLike[str]) -> tuple[CDS, ModelInfo]:
    """Load a network of superpixels; nothing in the file is executed.

    Returns
    -------
    network : CDS
        In evaluation mode, float32, on the CPU.
    info : ModelInfo
        What the file says about itself.

    Raises
    ------
    CheckpointError
        If the file is missing, damaged or of another kind of model.
    """
    file = Path(path).expanduser()
    info = read_info(file)
    if info.architecture != ARCHITECTURE:
        msg = f"checkpoint {file} is a {info.architecture} network, not {ARCHITECTURE}"
        raise CheckpointError(msg)
    network = _build(info, file)
    fill(network, read_weights(file), file)
    return network.eval(), info


def fill(network: CDS, state: dict[str, Tensor], file: Path) -> None:
    """Copy weights into a network, all of them or none.

    Raises
    ------
    CheckpointError
        If a tensor is missing, unknown or of another shape.
    """
    try:
        network.load_state_dict(state)
    except RuntimeError as error:
        reason = " ".join(str(error).split())[:300]
        msg = f"checkpoint {file} does not fit its network: {reason}"
        raise CheckpointError(msg) from error


def _build(info: ModelInfo, file: Path) -> CDS:
    """Return the network that a checkpoint names, weights still random."""
    try:
        with torch.random.fork_rng(devices=[]):
            return CDS(**info.options)
    except (TypeError, ValueError, RuntimeError) as error:
        msg = f"checkpoint {file} needs a network that cannot be built: {error}"
        raise CheckpointError(msg) from error
