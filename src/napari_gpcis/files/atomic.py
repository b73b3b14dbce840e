"""Atomic writes."""

from __future__ import annotations

import os
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING

from napari_gpcis.files.names import fitting_stem

if TYPE_CHECKING:
    from collections.abc import Iterator


@contextmanager
def replacing(path: str | os.PathLike[str]) -> Iterator[Path]:
    """Write a temporary file that replaces `path` once it is complete.

    Parameters
    ----------
    path
        The file to be written; its folder must exist, ``~`` is the home folder.

    Yields
    ------
    Path
        A file beside `path`, with the same suffix, to be written by the caller.
        When the block ends it takes the place of `path` in one step; when the
        block raises it is removed, and `path` is what it was before.

    Raises
    ------
    OSError
        If the disk refuses (no folder, no permission, no space). It names `path`, not
        the temporary file.
    """
    path = Path(path).expanduser()
    temporary = path.with_name(_temporary_name(path))
    try:
        yield temporary
        with temporary.open("rb+") as stream:
            os.fsync(stream.fileno())
        temporary.replace(path)
    except BaseException as error:
        with suppress(OSError):
            temporary.unlink(missing_ok=True)
        if isinstance(error, OSError) and str(error.filename) == str(temporary):
            raise OSError(error.errno, error.strerror, str(path)) from error
        raise


def _temporary_name(path: Path) -> str:
    """Return a name beside a file; never one too long where that of the file is not."""
    stem = fitting_stem(f".{path.stem}.{os.getpid()}", path.suffix)
    return f"{stem}{path.suffix}"
