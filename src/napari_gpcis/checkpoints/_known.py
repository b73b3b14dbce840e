"""The models that come with the package."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

from napari_gpcis.checkpoints._header import read_info
from napari_gpcis.errors import UnknownModelError

if TYPE_CHECKING:
    from napari_gpcis.checkpoints._info import ModelInfo

FOLDER = Path(__file__).parent
SUFFIX = ".safetensors"


def list_models() -> list[ModelInfo]:
    """Return the models that come with the package, by name.

    Reads file headers only; PyTorch is not imported.

    Examples
    --------
    >>> from napari_gpcis import list_models
    >>> names = [info.name for info in list_models()]
    """
    infos = (read_info(file) for file in FOLDER.glob(f"*{SUFFIX}"))
    return sorted(infos, key=lambda info: info.name)


def find_checkpoint(path_or_name: str | os.PathLike[str]) -> Path:
    """Return the file of a checkpoint.

    Parameters
    ----------
    path_or_name
        Name of a bundled model, or a path (``~`` stands for the home folder). A
        string is a path when it ends in ``.safetensors`` or holds a separator.

    Raises
    ------
    UnknownModelError
        If a name is not that of a bundled model. A path is not looked at.
    """
    if not isinstance(path_or_name, str) or _is_path(path_or_name):
        return Path(path_or_name).expanduser()
    file = FOLDER / f"{path_or_name}{SUFFIX}"
    if file.is_file():
        return file
    known = ", ".join(sorted(file.stem for file in FOLDER.glob(f"*{SUFFIX}")))
    msg = (
        f"unknown model {path_or_name!r}; known models: {known or 'none'}. A path to a "
        f"checkpoint must end in {SUFFIX}"
    )
    raise UnknownModelError(msg)


def _is_path(text: str) -> bool:
    """Tell whether a string is meant as a path rather than a name."""
    separators = {os.sep, os.altsep, "/"} - {None}
    return text.endswith(SUFFIX) or any(sep in text for sep in separators if sep)
