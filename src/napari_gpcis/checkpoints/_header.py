"""Reading the header of a checkpoint file: no tensors, no PyTorch."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING

from napari_gpcis.checkpoints.info import ModelInfo
from napari_gpcis.errors import CheckpointError, InputError

if TYPE_CHECKING:
    import os

FORMAT = "gpcis-checkpoint"
VERSION = "1"

_LENGTH_BYTES = 8
_PICKLES = (b"PK\x03\x04", b"\x80\x02", b"\x80\x03", b"\x80\x04", b"\x80\x05")


def make_header(info: ModelInfo) -> dict[str, str]:
    """Return the safetensors metadata of a checkpoint."""
    return {"format": FORMAT, "version": VERSION, "info": json.dumps(info.to_dict())}


def read_info(path: str | os.PathLike[str]) -> ModelInfo:
    """Return what a checkpoint file says about itself.

    The whole layout is checked (a truncated file is found out), but no tensor is
    read and PyTorch is not imported.

    Parameters
    ----------
    path
        A checkpoint file; ``~`` stands for the home folder.

    Raises
    ------
    CheckpointError
        If the file is missing, damaged, or not a checkpoint of this program.
    """
    from safetensors import SafetensorError, safe_open

    file = Path(path).expanduser()
    _check_container(file)
    try:
        with safe_open(file, framework="np") as opened:
            metadata = opened.metadata() or {}
    except (OSError, SafetensorError) as error:
        msg = f"checkpoint {file} is damaged: {error}"
        raise CheckpointError(msg) from error
    return _parse(metadata, file)


def _check_container(file: Path) -> None:
    """Raise `CheckpointError` unless the file can be a complete safetensors file."""
    try:
        size = file.stat().st_size
        with file.open("rb") as stream:
            start = stream.read(_LENGTH_BYTES + 1)
    except FileNotFoundError as error:
        msg = f"checkpoint {file} does not exist"
        raise CheckpointError(msg) from error
    except OSError as error:
        msg = f"checkpoint {file} cannot be read: {error.strerror}"
        raise CheckpointError(msg) from error
    if start.startswith(_PICKLES):
        msg = (
            f"checkpoint {file} is a pickle (as torch.save writes), whatever its name; "
            "it may contain code and is not opened. A safetensors file is needed: "
            "napari-gpcis convert makes one of published weights"
        )
        raise CheckpointError(msg)
    if len(start) > _LENGTH_BYTES and start[-1:] != b"{":
        msg = f"checkpoint {file} is not a safetensors file"
        raise CheckpointError(msg)
    length = int.from_bytes(start[:_LENGTH_BYTES], "little")
    if size < _LENGTH_BYTES + max(length, 2):
        msg = f"checkpoint {file} is truncated: only {size} bytes long"
        raise CheckpointError(msg)


def _parse(metadata: dict[str, str], file: Path) -> ModelInfo:
    """Return the information in safetensors metadata."""
    if metadata.get("format") != FORMAT:
        msg = (
            f"{file} is a safetensors file, but not a checkpoint of napari-gpcis: "
            f"its format is {metadata.get('format')!r}, not {FORMAT!r}"
        )
        raise CheckpointError(msg)
    if metadata.get("version") != VERSION:
        msg = (
            f"checkpoint {file} has format version {metadata.get('version')!r}; this "
            f"version of napari-gpcis reads {VERSION!r}"
        )
        raise CheckpointError(msg)
    try:
        return ModelInfo.from_dict(json.loads(metadata.get("info", "")))
    except (InputError, TypeError, ValueError) as error:
        msg = f"checkpoint {file} has unreadable model information: {error}"
        raise CheckpointError(msg) from error
