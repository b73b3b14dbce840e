"""Conversion of published weights into checkpoints, without executing code."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from napari_gpcis.checkpoints.cache import writing
from napari_gpcis.checkpoints.download import file_sha256
from napari_gpcis.checkpoints.info import InferenceSettings, ModelInfo
from napari_gpcis.checkpoints.registry import PUBLISHED, SUFFIX
from napari_gpcis.checkpoints.weights import (
    build_network,
    fill_network,
    save_checkpoint,
)
from napari_gpcis.errors import CheckpointError
from napari_gpcis.files import fitting_stem

if TYPE_CHECKING:
    import os

_AS_PUBLISHED = InferenceSettings(infer_size=384, gp_stride=1, antialias=False)


def convert_checkpoint(
    source: str | os.PathLike[str],
    target: str | os.PathLike[str] | None = None,
    *,
    overwrite: bool = False,
) -> Path:
    """Convert weights in the form of the published code into a checkpoint.

    Parameters
    ----------
    source
        A ``.pth`` file: that of a published model, or one trained with the published
        code for the ResNet50. It is kept.
    target
        The ``.safetensors`` file to write. By default a published model, known by
        its SHA-256, goes where downloaded ones are and can be used by its name;
        any other goes beside `source`.
    overwrite
        Whether a file that exists may be replaced. A published model in its own
        place always is.

    Returns
    -------
    Path
        The checkpoint, float32.

    Raises
    ------
    CheckpointError
        If the file is missing or damaged, holds anything but tensors and plain
        values, does not fit the network, or the checkpoint cannot be written.
    """
    file = Path(source).expanduser()
    info = _describe(file)
    if target is None and info.name in PUBLISHED:
        with writing(info.name) as folder:
            return write_converted(file, folder / f"{info.name}{SUFFIX}", info)
    beside = file.with_name(fitting_stem(file.stem, SUFFIX) + SUFFIX)
    out = beside if target is None else Path(target).expanduser()
    check_target(out, overwrite=overwrite)
    return write_converted(file, out, info)


def write_converted(source: Path, target: Path, info: ModelInfo) -> Path:
    """Convert one file, described already; return `target`."""
    state = read_tensors(source)
    model = build_network(info, source)
    fill_network(model, state, source)
    check_finite(model.state_dict(), source)
    save_checkpoint(target, model, info, half=False)
    return target


def _describe(file: Path) -> ModelInfo:
    """Return what is known about a file of weights."""
    try:
        digest = file_sha256(file)
    except OSError as error:
        msg = f"weights {file} cannot be read: {error.strerror}"
        raise CheckpointError(msg) from error
    for published in PUBLISHED.values():
        if published.file.sha256 == digest:
            return published.info
    return ModelInfo(
        name=file.stem,
        architecture="resnet50",
        inference=_AS_PUBLISHED,
        description=f"Converted from {file.name}.",
        extra={"source_sha256": digest, "fingerprint": digest[:16]},
    )


def check_target(target: Path, *, overwrite: bool) -> None:
    """Raise `CheckpointError` unless a checkpoint may be written there."""
    if target.suffix != SUFFIX:
        msg = f"target {target} must end in {SUFFIX}"
        raise CheckpointError(msg)
    if target.exists() and not overwrite:
        msg = f"target {target} exists; overwrite replaces it"
        raise CheckpointError(msg)


def read_tensors(file: Path) -> dict[str, Tensor]:
    """Return the tensors of a file (its ``config`` names a class: not looked at)."""
    try:
        content = torch.load(file, map_location="cpu", weights_only=True)
    except Exception as error:  # damaged files make it raise nearly anything
        msg = (
            f"weights {file} cannot be loaded: the file is damaged, or holds code or "
            "objects other than tensors, which are never loaded"
        )
        raise CheckpointError(msg) from error
    state = content.get("state_dict", content) if isinstance(content, dict) else None
    if not isinstance(state, dict) or not all(
        isinstance(name, str) and isinstance(tensor, Tensor)
        for name, tensor in state.items()
    ):
        msg = f"weights {file} hold no state dict: names with tensors"
        raise CheckpointError(msg)
    return state


def check_finite(state: dict[str, Tensor], file: Path) -> None:
    """Raise `CheckpointError` if a weight is infinite or not a number."""
    for name, tensor in state.items():
        if not bool(torch.isfinite(tensor).all()):
            msg = f"weights {file} hold numbers that are not finite, in {name}"
            raise CheckpointError(msg)
