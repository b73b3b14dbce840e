"""The models there are: with the package, in the user's folder, on the web."""

from __future__ import annotations

import os
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from napari_gpcis.checkpoints._header import read_info
from napari_gpcis.checkpoints._published import PUBLISHED
from napari_gpcis.checkpoints._user_models import user_models
from napari_gpcis.checkpoints.cache import cache_folder
from napari_gpcis.errors import CheckpointError, UnknownModelError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from napari_gpcis.checkpoints.info import ModelInfo

FOLDER = Path(__file__).parent
SUFFIX = ".safetensors"
_PATH_SUFFIXES = (SUFFIX, ".pth", ".pt")


@dataclass(frozen=True)
class ModelEntry:
    """A model of the list.

    Parameters
    ----------
    info
        What it is.
    size
        Bytes of its file, or of the download.
    file
        Its file; ``None`` if it is to be downloaded first.
    """

    info: ModelInfo
    size: int
    file: Path | None

    @property
    def name(self) -> str:
        """What a user types."""
        return self.info.name

    @property
    def is_here(self) -> bool:
        """Whether it can be used without a network."""
        return self.file is not None


def list_models() -> list[ModelEntry]:
    """Return all models by name: bundled, downloaded, to be downloaded, the user's own.

    Reads file headers only; PyTorch is not imported, and the network is not asked.
    A damaged file in the user's folder is left out; `broken_user_models` names it.

    Examples
    --------
    >>> from napari_gpcis import list_models
    >>> names = [model.name for model in list_models() if model.is_here]
    """
    entries = {
        name: ModelEntry(published.info, published.file.size, None)
        for name, published in PUBLISHED.items()
    }
    for file in _cached_files():
        if is_usable(file):
            entries[file.stem] = _entry(file)
    for file in _bundled_files():
        entries[file.stem] = _entry(file)
    for name, (file, info) in user_models(entries).items():
        size = file.stat().st_size
        entries[name] = ModelEntry(replace(info, name=name), size, file)
    return [entries[name] for name in sorted(entries)]


def find_checkpoint(path_or_name: str | os.PathLike[str]) -> Path:
    """Return the file of a checkpoint; nothing is downloaded.

    Parameters
    ----------
    path_or_name
        Name of a model, or a path (``~`` stands for the home folder). A string is a
        path when it ends in ``.safetensors``, ``.pth`` or ``.pt``, or holds a
        separator.

    Raises
    ------
    UnknownModelError
        If no model has that name. A path is not looked at.
    CheckpointError
        If the model is to be downloaded first.
    """
    if not isinstance(path_or_name, str) or _is_path(path_or_name):
        return Path(path_or_name).expanduser()
    bundled = find_bundled(path_or_name)
    if bundled is not None:
        return bundled
    cached = cache_folder() / f"{path_or_name}{SUFFIX}"
    if cached.is_file():
        return cached
    own = user_models(reserved_names()).get(path_or_name)
    if own is not None:
        return own[0]
    if path_or_name not in PUBLISHED:
        raise unknown(path_or_name)
    msg = (
        f"model {path_or_name!r} is not here yet: napari-gpcis models download "
        f"{path_or_name}"
    )
    raise CheckpointError(msg)


def find_bundled(name: str) -> Path | None:
    """Return the file of a model that comes with the package."""
    file = FOLDER / f"{name}{SUFFIX}"
    return file if file.is_file() else None


def is_usable(file: Path) -> bool:
    """Return whether a file is a whole checkpoint that this version reads."""
    try:
        read_info(file)
    except CheckpointError:
        return False
    return True


def unknown(name: str) -> UnknownModelError:
    """Return the error for a name that no model has."""
    reserved = reserved_names()
    names = sorted({*reserved, *user_models(reserved)})
    msg = (
        f"unknown model {name!r}; known models: {', '.join(names) or 'none'}. A path "
        f"to a checkpoint must end in {SUFFIX}"
    )
    return UnknownModelError(msg)


def reserved_names() -> set[str]:
    """Return the names of all models but the user's own."""
    files = (*_bundled_files(), *_cached_files())
    return {*(file.stem for file in files), *PUBLISHED}


def _entry(file: Path) -> ModelEntry:
    """Describe a file; its name is the one by which it is found."""
    info = read_info(file)
    return ModelEntry(replace(info, name=file.stem), file.stat().st_size, file)


def _bundled_files() -> Iterator[Path]:
    """Yield the checkpoints that come with the package."""
    return FOLDER.glob(f"*{SUFFIX}")


def _cached_files() -> Iterator[Path]:
    """Yield the user's checkpoints, without those that are being written."""
    files = cache_folder().glob(f"*{SUFFIX}")
    return (file for file in files if not file.name.startswith("."))


def _is_path(text: str) -> bool:
    """Tell whether a string is meant as a path rather than a name."""
    separators = {os.sep, os.altsep, "/"} - {None}
    return text.endswith(_PATH_SUFFIXES) or any(s in text for s in separators if s)
