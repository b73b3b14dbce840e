"""The Semantic Boundaries Dataset (SBD): lists of images, and their instances.

The folder holds ``img/NAME.jpg``, ``inst/NAME.mat`` and lists of names such as
``train.txt`` and ``val.txt``, as the set is distributed [1]_.

References
----------
.. [1] Hariharan et al., "Semantic contours from inverse detectors", ICCV 2011.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from scipy.io import loadmat

from napari_gpcis.errors import InputError

if TYPE_CHECKING:
    import os

    from numpy.typing import NDArray

_FIELD = "GTinst"


class SBDFile(NamedTuple):
    """An image of the set and its instances."""

    image: Path
    instances: Path


def list_sbd(root: str | os.PathLike[str], split: str) -> list[SBDFile]:
    """Return the files of a split, in the order of its list.

    Parameters
    ----------
    root
        Folder with ``img``, ``inst`` and ``SPLIT.txt``, or one whose folder
        ``dataset`` holds them.
    split
        ``"train"``, ``"val"`` or the name of another list without its ``.txt``.

    Raises
    ------
    InputError
        If a folder or the list is missing, the list is empty, or it names an image
        that is not there.
    """
    folder = _dataset_folder(Path(root))
    try:
        names = (folder / f"{split}.txt").read_text("utf-8").split()
    except OSError as error:
        found = ", ".join(sorted(path.stem for path in folder.glob("*.txt")))
        msg = f"split must be a list in {folder} (there: {found}), got {split!r}"
        raise InputError(msg) from error
    files = [
        SBDFile(folder / "img" / f"{name}.jpg", folder / "inst" / f"{name}.mat")
        for name in names
    ]
    lost = [str(path) for file in files for path in file if not path.is_file()]
    if lost or not files:
        what = f"{len(lost)} files are missing, first {lost[0]}" if lost else "no name"
        msg = f"list {split}.txt in {folder}: {what}"
        raise InputError(msg)
    return files


def _dataset_folder(root: Path) -> Path:
    """Return the folder with ``img`` and ``inst``: the root or ``dataset`` in it."""
    for folder in (root, root / "dataset"):
        if (folder / "img").is_dir() and (folder / "inst").is_dir():
            return folder
    msg = f"root must hold the folders img and inst of SBD, got {root}"
    raise InputError(msg)


def read_sbd_instances(path: str | os.PathLike[str]) -> NDArray[np.uint8 | np.uint16]:
    """Read the instances of one image.

    Parameters
    ----------
    path
        A file of the folder ``inst``.

    Returns
    -------
    array
        Shape ``(H, W)``: 0 background, each other number one instance. No pixel is
        marked as ignored.

    Raises
    ------
    InputError
        If the file cannot be read or holds no instances.
    """
    try:
        content = loadmat(path, variable_names=[_FIELD])
        labels = np.asarray(content[_FIELD][0, 0]["Segmentation"])
    except Exception as error:  # damaged files make it raise nearly anything
        msg = f"path must be an instance file of SBD, got {path}: {error!r}"
        raise InputError(msg) from error
    if labels.ndim != 2 or labels.size == 0 or labels.dtype.kind not in "bui":
        msg = f"{path}: {labels.dtype} of shape {labels.shape} is no label image"
        raise InputError(msg)
    return labels.astype(np.uint8 if labels.max() < 256 else np.uint16)
