"""The user's own models: files in a folder, found by the name in their header."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from napari_gpcis.checkpoints._header import read_info
from napari_gpcis.checkpoints.cache import cache_folder
from napari_gpcis.errors import CheckpointError, InputError

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator
    from pathlib import Path

    from napari_gpcis.checkpoints.info import ModelInfo

SUFFIX = ".safetensors"
_NAME = re.compile(r"\w[\w .+-]*", re.ASCII)


def user_model_folder() -> Path:
    """Return the folder of the user's own models; it need not exist."""
    return cache_folder() / "models"


def user_model_file(name: str) -> Path:
    """Return the file for a new model of the user; its folder is made.

    Parameters
    ----------
    name
        Letters, digits, spaces, ``_``, ``.``, ``+`` and ``-``.

    Raises
    ------
    InputError
        If that is no name for a model, or a model of the package has it.
    CheckpointError
        If the folder cannot be made.
    """
    from napari_gpcis.checkpoints.registry import reserved_names

    if not _NAME.fullmatch(name) or name != name.strip():
        msg = (
            "a model's name may have letters, digits, spaces, _ . + and -, and begins "
            f"with a letter or digit; got {name!r}"
        )
        raise InputError(msg)
    if name in reserved_names():
        msg = f"the name {name!r} is taken by a model that comes with the package"
        raise InputError(msg)
    folder = user_model_folder()
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        msg = f"models cannot be stored in {folder}: {error.strerror}"
        raise CheckpointError(msg) from error
    return folder / f"{name}{SUFFIX}"


def user_models(taken: Collection[str] = ()) -> dict[str, tuple[Path, ModelInfo]]:
    """Return the user's models by name; damaged files are left out.

    A model is known by the name in its header. Where another model has that name, it
    is known by the name of its file instead.

    Parameters
    ----------
    taken
        Names of other models.
    """
    found: dict[str, tuple[Path, ModelInfo]] = {}
    for file in _files():
        try:
            info = read_info(file)
        except CheckpointError:
            continue
        free = [n for n in (info.name, file.stem) if n not in found and n not in taken]
        if free:
            found[free[0]] = file, info
    return found


def broken_user_models() -> dict[Path, str]:
    """Return the files in the user's folder that are no usable models, and why."""
    broken: dict[Path, str] = {}
    for file in _files():
        try:
            read_info(file)
        except CheckpointError as error:
            broken[file] = str(error)
    return broken


def _files() -> Iterator[Path]:
    """Yield the files in the order of their names, without those being written."""
    files = sorted(user_model_folder().glob(f"*{SUFFIX}"))
    return (file for file in files if not file.name.startswith("."))
