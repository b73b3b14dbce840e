"""Getting a published model: downloaded, verified, converted, kept."""

from __future__ import annotations

import shutil
from typing import TYPE_CHECKING

from napari_gpcis.checkpoints.cache import cache_folder, writing
from napari_gpcis.checkpoints.download import fetch, stored_size
from napari_gpcis.checkpoints.registry import (
    PUBLISHED,
    SUFFIX,
    find_bundled,
    is_usable,
    unknown,
)
from napari_gpcis.errors import DownloadError

if TYPE_CHECKING:
    from pathlib import Path

    from napari_gpcis.checkpoints.download import Progress
    from napari_gpcis.checkpoints.registry import PublishedModel


def download_model(name: str, progress: Progress | None = None) -> Path:
    """Return the file of a published model; download it if it is not here.

    The folder is that of the environment variable ``NAPARI_GPCIS_HOME``, or the
    user's cache. Two processes may ask at once: one downloads, the other waits. A
    download that was interrupted goes on where it ended.

    Parameters
    ----------
    name
        Name of a model of `list_models`.
    progress
        Called with the number of bytes that are here and in total.

    Raises
    ------
    UnknownModelError
        If no model has that name.
    DownloadError
        If it cannot be downloaded.
    CheckpointError
        If it cannot be converted or stored.
    """
    bundled = find_bundled(name)
    if bundled is not None:
        return bundled
    if name not in PUBLISHED:
        raise unknown(name)
    target = cache_folder() / f"{name}{SUFFIX}"
    if is_usable(target):
        return target
    with writing(name) as folder:
        if not is_usable(target):
            _obtain(PUBLISHED[name], folder, target, progress)
    return target


def _obtain(
    published: PublishedModel, folder: Path, target: Path, progress: Progress | None
) -> None:
    """Download and convert; the download is deleted once the checkpoint is there."""
    from napari_gpcis.checkpoints.convert import write_converted

    raw = folder / published.file.name
    if not published.file.is_at(raw):
        _check_space(published, folder, raw)
        fetch(published.file, raw, progress)
    write_converted(raw, target, published.info)
    raw.unlink(missing_ok=True)


def _check_space(published: PublishedModel, folder: Path, raw: Path) -> None:
    """Raise `DownloadError` if the file and its converted copy cannot both fit."""
    here = stored_size(raw.with_name(f"{raw.name}.part"))
    needed = 2 * published.file.size - here
    free = shutil.disk_usage(folder).free
    if free < needed:
        msg = (
            f"{published.name} needs {needed / 1e6:.0f} MB in {folder}, where "
            f"{free / 1e6:.0f} MB are free"
        )
        raise DownloadError(msg)
