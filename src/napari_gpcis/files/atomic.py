"""Atomic writes, and the folder in which results of equal names are told apart."""

from __future__ import annotations

import os
import zlib
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

LONGEST, SHORT = 255, 40
"""Bytes that a name may have; characters that are kept of a longer one."""


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
    name = f".{path.stem}.{os.getpid()}{path.suffix}"
    if len(os.fsencode(name)) > LONGEST:
        told_apart = f"{zlib.crc32(os.fsencode(path.name)):08x}"
        name = f".{path.stem[:SHORT]}.{told_apart}.{os.getpid()}{path.suffix}"
    return name


def common_folder(files: Sequence[Path]) -> Path | None:
    """Return the folder below which files of equal names are told apart.

    Parameters
    ----------
    files
        Their names count without the last suffix, since results get one of their own.

    Returns
    -------
    Path or None
        The innermost folder that holds all files, absolute; ``None`` if names differ
        anyway, or there is no such folder.
    """
    stems = [file.stem for file in files]
    if len(set(stems)) == len(stems):
        return None
    try:
        return Path(os.path.commonpath([file.absolute().parent for file in files]))
    except ValueError:  # on several drives
        return None
