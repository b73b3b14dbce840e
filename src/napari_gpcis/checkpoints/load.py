"""Loading a model by name or path, downloaded and converted if needed."""

from __future__ import annotations

import shutil
from typing import TYPE_CHECKING

from napari_gpcis.checkpoints.cache import cache_folder, writing
from napari_gpcis.checkpoints.download import ProgressBar, fetch, stored_size
from napari_gpcis.checkpoints.registry import (
    PUBLISHED,
    SUFFIX,
    find_bundled,
    find_checkpoint,
    is_usable,
    known_info,
    unknown_model,
)
from napari_gpcis.errors import DownloadError

if TYPE_CHECKING:
    import os
    from pathlib import Path

    from napari_gpcis.checkpoints.download import Progress
    from napari_gpcis.checkpoints.info import ModelInfo
    from napari_gpcis.checkpoints.registry import PublishedModel
    from napari_gpcis.model import ClickNetwork


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
        raise unknown_model(name)
    target = cache_folder() / f"{name}{SUFFIX}"
    if is_usable(target):
        return target
    with writing(name) as folder:
        if not is_usable(target):
            _download_and_convert(PUBLISHED[name], folder, target, progress)
    return target


def load_checkpoint(
    path_or_name: str | os.PathLike[str],
) -> tuple[ClickNetwork, ModelInfo]:
    """Load a model that is ready to predict.

    Nothing in the file is executed, and the random state is left as it was. A
    published model that is not here is downloaded, with a bar on the terminal.

    Parameters
    ----------
    path_or_name
        Name of a model, or a path that ends in ``.safetensors``.

    Returns
    -------
    model : ClickNetwork
        In evaluation mode, float32, on the CPU, `epsilon2` and `gp_stride` set as
        the checkpoint says.
    info : ModelInfo
        What the file says about itself. Its name is the one in `list_models`, if the
        file is listed there.

    Raises
    ------
    UnknownModelError
        If no model has that name.
    CheckpointError
        If the file is missing, damaged, or does not fit the network it names; its
        subclass `DownloadError` if a model cannot be downloaded.
    """
    from napari_gpcis.checkpoints.weights import (  # heavy: needs PyTorch
        build_network,
        fill_network,
        read_weights,
    )

    file = _locate(path_or_name)
    info = known_info(file)
    model = build_network(info, file)
    fill_network(model, read_weights(file), file)
    model.epsilon2 = info.inference.epsilon2
    model.gp_stride = info.inference.gp_stride
    return model.eval(), info


def _locate(path_or_name: str | os.PathLike[str]) -> Path:
    """Return the file of a model, downloaded if it is a published one."""
    if isinstance(path_or_name, str) and path_or_name in PUBLISHED:
        with ProgressBar(path_or_name) as bar:
            return download_model(path_or_name, bar)
    return find_checkpoint(path_or_name)


def _download_and_convert(
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
