"""Atomic writes: a failure leaves the old file as it was."""

from __future__ import annotations

import os
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """Write a temporary file that replaces `path` once it is complete.

    Parameters
    ----------
    path
        The file to be written; its folder must exist.

    Yields
    ------
    Path
        A file beside `path`, with the same suffix, to be written by the caller.
        When the block ends it takes the place of `path` in one step; when the
        block raises it is removed, and `path` is what it was before.

    Raises
    ------
    OSError
        If the disk refuses (no folder, no permission, no space).
    """
    temporary = path.with_name(f".{path.stem}.{os.getpid()}{path.suffix}")
    try:
        yield temporary
        with temporary.open("rb+") as stream:
            os.fsync(stream.fileno())
        temporary.replace(path)
    except BaseException:
        with suppress(OSError):
            temporary.unlink(missing_ok=True)
        raise
