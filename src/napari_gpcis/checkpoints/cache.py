"""The user's folder of models that were downloaded or converted."""

from __future__ import annotations

import os
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from napari_gpcis.errors import CheckpointError

if TYPE_CHECKING:
    from collections.abc import Iterator

VARIABLE = "NAPARI_GPCIS_HOME"


def cache_folder() -> Path:
    """Return the folder of the user's models; it need not exist.

    It is that of the environment variable ``NAPARI_GPCIS_HOME``, or the one that the
    operating system has for such files.
    """
    home = os.environ.get(VARIABLE)
    if home:
        return Path(home).expanduser()
    from platformdirs import user_cache_path

    return user_cache_path("napari-gpcis", appauthor=False)


@contextmanager
def writing(name: str) -> Iterator[Path]:
    """Lock the folder for one process at a time; others wait.

    Parameters
    ----------
    name
        The model that is to be written; others may be written at the same time.

    Yields
    ------
    Path
        The folder; it exists and can be written to.

    Raises
    ------
    CheckpointError
        If it cannot.
    """
    from filelock import FileLock

    folder = cache_folder()
    lock = FileLock(folder / f".{name}.lock")
    try:
        folder.mkdir(parents=True, exist_ok=True)
        lock.acquire()
    except OSError as error:
        msg = (
            f"models cannot be stored in {folder}: {error.strerror}. The environment "
            f"variable {VARIABLE} names another folder"
        )
        raise CheckpointError(msg) from error
    try:
        yield folder
    finally:
        lock.release()
