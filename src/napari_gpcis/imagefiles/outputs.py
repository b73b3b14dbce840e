"""Files about to be written: nothing that is to be kept is replaced."""

from __future__ import annotations

from typing import TYPE_CHECKING

from napari_gpcis.errors import InputError
from napari_gpcis.files.names import check_length
from napari_gpcis.imagefiles.ome_zarr import LABELS, ZARR, is_zarr
from napari_gpcis.imagefiles.reading import TIFF, check_suffix

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

WRITABLE = (*TIFF, ".png", ".npy", ZARR)


def check_output(path: Path) -> None:
    """Raise `InputError` unless labels can be written to a file of this name."""
    check_length(path, "output")
    check_suffix(path, WRITABLE, "output")
    if path.name == LABELS and is_zarr(path.parent):
        msg = f"output {path} is the group of all labels: name one, as {path / 'cells'}"
        raise InputError(msg)
    check_folder(path, "output")


def check_folder(path: Path, role: str) -> None:
    """Raise `InputError` unless a file can be there: its folder is, it is none itself.

    Parameters
    ----------
    path
        The file, or the group in OME-Zarr.
    role
        What errors call it.
    """
    check_length(path, role)
    folder = path.parent
    if folder.name == LABELS and is_zarr(folder):
        folder = folder.parent  # the group of labels is made with the first of them
    if not folder.is_dir():
        msg = f"{role} {path}: the folder {folder} does not exist"
        raise InputError(msg)
    if path.is_dir() and not is_zarr(path):
        msg = f"{role} {path} is a folder"
        raise InputError(msg)


def check_kept(path: Path, kept: Mapping[str, Path | None], role: str) -> None:
    """Raise `InputError` if writing a file would destroy one that is to be kept.

    Parameters
    ----------
    path
        What is to be written.
    kept
        Files that are read, or written by the same command, by what errors call
        them; ``None`` where there is none.
    role
        What errors call the file.
    """
    for name, file in kept.items():
        if file is None:
            continue
        if is_same_file(path, file):
            msg = f"{role} {path} is {name} itself"
            raise InputError(msg)
        own, other = path.resolve(), file.resolve()
        if own in other.parents:
            msg = f"{role} {path} is the folder of {name}"
            raise InputError(msg)
        if other in own.parents and path.exists() and path.parent.name != LABELS:
            msg = f"{role} {path} is a part of {name}"
            raise InputError(msg)


def check_free(
    path: Path, kept: Mapping[str, Path | None], role: str, *, overwrite: bool
) -> None:
    """Raise `InputError` unless a file can be written and nothing is lost by it.

    Parameters
    ----------
    path, kept, role
        See `check_kept`.
    overwrite
        Whether the user wants another file of this name replaced.
    """
    check_folder(path, role)
    group = path.parent
    if path.is_dir() and is_zarr(group) and group.name != LABELS:
        msg = f"{role} {path} is a part of {group}; labels go to {group / LABELS}/NAME"
        raise InputError(msg)
    check_kept(path, kept, role)
    if path.exists() and not overwrite:
        msg = f"{role} {path} exists; --overwrite replaces it"
        raise InputError(msg)


def is_same_file(path: Path, file: Path) -> bool:
    """Return whether two paths name one file; it need not be there."""
    if path.exists() and file.exists():
        return path.samefile(file)
    return path.resolve() == file.resolve()
