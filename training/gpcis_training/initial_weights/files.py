"""State dicts: read from files without executing them, copied into a network."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file

from napari_gpcis.errors import CheckpointError

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping
    from pathlib import Path

    from torch import Tensor, nn

_COUNTER = "num_batches_tracked"


def read_state_dict(path: Path) -> dict[str, Tensor]:
    """Return the tensors of a file without executing anything in it.

    A state dict may be alone in the file or beside other entries, as ``state_dict``.

    Raises
    ------
    CheckpointError
        If the file cannot be read or holds no state dict.
    """
    if path.suffix == ".safetensors":
        content = _read_safetensors(path)
    else:
        content = _read_pickle(path)
    if isinstance(content, dict) and isinstance(content.get("state_dict"), dict):
        content = content["state_dict"]
    if not isinstance(content, dict):
        msg = f"{path.name}: no state dict but a {type(content).__name__}"
        raise CheckpointError(msg)
    return {
        str(key): value
        for key, value in content.items()
        if isinstance(value, torch.Tensor)
    }


def _read_safetensors(path: Path) -> Any:
    try:
        return load_file(path)
    except (OSError, SafetensorError) as error:
        msg = f"{path.name} is no readable safetensors file: {error}"
        raise CheckpointError(msg) from error


def _read_pickle(path: Path) -> Any:
    try:
        return torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # damaged files make it raise nearly anything
        reason = str(error).partition("\n")[0] or type(error).__name__
        msg = f"{path.name} is no PyTorch file of plain tensors: {reason}"
        raise CheckpointError(msg) from error


def fill(
    module: nn.Module, state: Mapping[str, Tensor], names: Collection[str], source: str
) -> int:
    """Copy tensors into a network, all of ``names`` or none.

    Parameters
    ----------
    module
        The network.
    state
        Tensors under the network's names; others than ``names`` must not be there.
    names
        Names that the source must give. Counters of batches may be missing: files from
        before PyTorch 0.4.1 have none.
    source
        Description of the file, for messages.

    Returns
    -------
    int
        Number of layers that were set.

    Raises
    ------
    CheckpointError
        If a tensor is missing, has no place or another shape.
    """
    own = module.state_dict()
    needed = [name for name in names if not name.endswith(_COUNTER)]
    problems = [f"{name} is missing" for name in needed if name not in state]
    problems += [f"{name} has no place" for name in state if name not in names]
    problems += [
        f"{name} has shape {tuple(state[name].shape)}, not {tuple(own[name].shape)}"
        for name in names
        if name in state and state[name].shape != own[name].shape
    ]
    if problems:
        more = f" and {len(problems) - 3} more" if len(problems) > 3 else ""
        msg = f"not {source}: {'; '.join(problems[:3])}{more}"
        raise CheckpointError(msg)
    module.load_state_dict(dict(state), strict=False)
    return len({name.rpartition(".")[0] for name in state})
