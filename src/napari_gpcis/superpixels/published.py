"""Conversion of published CDS checkpoints, by a table of names.

For checkpoints of the authors' code (``rookiie/CDSpixel``) and of that of the Laplacian
loss, which uses the same network. The second encoder and the estimator of mutual
information, which only training needs, are left out.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING

from napari_gpcis.checkpoints import ModelInfo
from napari_gpcis.checkpoints.convert import check_finite, check_target, read_tensors
from napari_gpcis.checkpoints.download import file_sha256
from napari_gpcis.errors import CheckpointError
from napari_gpcis.superpixels.cds import CDS
from napari_gpcis.superpixels.weights import (
    ARCHITECTURE,
    converted_file,
    fill,
    save_superpixels,
)

if TYPE_CHECKING:
    import os
    from collections.abc import Mapping

    from torch import Tensor

NAMES = (
    (r"encoder\.conv(\d)a\.", r"encoder.levels.\1.0."),
    (r"encoder\.conv(\d)b\.", r"encoder.levels.\1.1."),
    (r"encoder\.head0\.", "encoder.fuse."),
    (r"encoder\.head1\.", "encoder.join."),
    (r"MI\.fc\.0\.", "gate.inner."),
    (r"MI\.fc\.2\.", "gate.outer."),
    (r"decoder\.up\.(\d)\.conv_up\.0\.", r"decoder.stages.\1.enlarge."),
    (r"decoder\.up\.(\d)\.fusion\.", r"decoder.stages.\1.fuse."),
    (r"head\.0\.", "head."),
)
"""Beginnings of published names and of ours."""
TRAINING_ONLY = (
    "encoder_assit.",
    "mi_estimator.",
    "train_sp_ids",
    "val_sp_ids",
    "coords_",
    "b_idx_",
    "c_idx_",
    "n_idx_",
)
"""Beginnings of what only training needs."""
_WRAPPERS = ("module.", "model.")
_WIDTH_FROM, _CONTENT_FROM = "encoder.conv0a.0.weight", "head.0.weight"


def is_published(source: str | os.PathLike[str]) -> bool:
    """Return whether a file holds a published CDS network; ``False`` if unreadable."""
    try:
        state = _unwrapped(read_tensors(Path(source).expanduser()))
    except CheckpointError:
        return False
    return {_WIDTH_FROM, _CONTENT_FROM} <= state.keys()


def convert_superpixels(
    source: str | os.PathLike[str],
    target: str | os.PathLike[str] | None = None,
    *,
    overwrite: bool = False,
) -> Path:
    """Convert a published checkpoint into one of ours, without executing code.

    Parameters
    ----------
    source
        A ``.tar``, ``.pth`` or ``.ckpt`` file; it is kept.
    target
        The ``.safetensors`` file to write; by default the one that the method
        ``"cds"`` reads.
    overwrite
        Whether a target that is given and exists may be replaced.

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
    state = _unwrapped(read_tensors(file))
    check_finite(state, file)
    network = _network(state, file)
    fill(network, translated(state), file)
    out = converted_file("cds") if target is None else Path(target).expanduser()
    check_target(out, overwrite=overwrite or target is None)
    try:
        out.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        msg = f"checkpoint {out} cannot be written: {error.strerror}"
        raise CheckpointError(msg) from error
    save_superpixels(out, network, _describe(file, state), half=False)
    return out


def translated(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Return tensors under our names; those that only training needs are left out.

    Names that are in no table stay as they are, so that filling a network with them
    fails.
    """
    return {
        _translate(name): tensor
        for name, tensor in state.items()
        if not name.startswith(TRAINING_ONLY)
    }


def _translate(name: str) -> str:
    for published, own in NAMES:
        changed, count = re.subn(f"^{published}", own, name)
        if count:
            return changed
    return name


def _unwrapped(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Return tensors without what wrappers put before their names."""
    found = {}
    for name, tensor in state.items():
        inner = name
        for wrapper in _WRAPPERS:
            inner = inner.removeprefix(wrapper)
        found[inner] = tensor
    return found


def _options(state: Mapping[str, Tensor]) -> dict[str, int]:
    """Return the widths of the network that the tensors are of."""
    return {
        "width": state[_WIDTH_FROM].shape[0],
        "content": state[_CONTENT_FROM].shape[1],
    }


def _network(state: Mapping[str, Tensor], file: Path) -> CDS:
    """Return a network of the right widths."""
    if not {_WIDTH_FROM, _CONTENT_FROM} <= state.keys():
        msg = f"weights {file} are not of a CDS network: no {_WIDTH_FROM} in them"
        raise CheckpointError(msg)
    options = _options(state)
    return CDS(options["width"], options["content"]).eval()


def _describe(file: Path, state: Mapping[str, Tensor]) -> ModelInfo:
    """Return what is known about a published checkpoint."""
    return ModelInfo(
        name="cds",
        architecture=ARCHITECTURE,
        options=_options(state),
        description=f"Superpixels. Converted from {file.name}.",
        extra={"source_sha256": file_sha256(file)},
    )
