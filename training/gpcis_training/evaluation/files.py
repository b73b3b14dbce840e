"""Layouts of data sets: folders of images and labels, readers of ground truth.

The rules for the four sets of the paper are those of the published code.
"""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from skimage.io import imread

from gpcis_training.data.folders import label_plane, read_labels
from gpcis_training.data.sbd import read_sbd_instances
from napari_gpcis import imagefiles
from napari_gpcis.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from numpy.typing import NDArray

    GroundTruth = NDArray[np.int8]

LABELS = "labels"
"""The form of this package: ``images`` and ``labels``."""
FILES = "files"
"""Any folders: objects name their files."""
_UNSURE = 128


class Form(NamedTuple):
    """Layout of one kind of data set on disk."""

    images: str
    """Folder of the images, below that of the set."""
    labels: str
    """Folder of the label files."""
    read: Callable[[Path, tuple[int, ...]], GroundTruth]
    """Returns the ground truth of one object: 1 on it, -1 ignored, 0 elsewhere."""
    load: Callable[[Path], NDArray[np.generic]]
    """Reads an image: ``(H, W)`` or ``(H, W, C)``, any dtype."""


def _channels(path: Path) -> NDArray[np.integer | np.bool_]:
    """Read a mask file, shape ``(H, W, C)`` without transparency."""
    array = np.asarray(imread(path))
    planes = array[..., None] if array.ndim == 2 else array
    if planes.ndim != 3 or planes.dtype.kind not in "bui":
        msg = f"{path}: {array.dtype} of shape {array.shape} is no mask"
        raise InputError(msg)
    if planes.shape[-1] in (2, 4):
        return planes[..., :-1]
    return planes


def read_ids(path: Path, ids: tuple[int, ...]) -> GroundTruth:
    """Return the union of some labels of a label image."""
    return np.isin(read_labels(path), ids).astype(np.int8)


def read_trimap(path: Path) -> GroundTruth:
    """Return the object of a mask whose first channel is 128 where it is unsure."""
    plane = _channels(path)[..., 0]
    bright = plane if plane.dtype == bool else plane > _UNSURE
    truth = np.asarray(bright, dtype=np.int8)
    truth[np.asarray(plane == _UNSURE)] = -1
    return truth


def read_any(path: Path) -> GroundTruth:
    """Return all that is not black, as one object."""
    shown = (_channels(path) != 0).any(axis=-1)
    return np.asarray(shown, dtype=np.int8)


_instances = lru_cache(maxsize=4)(read_sbd_instances)


def read_instance(path: Path, ids: tuple[int, ...]) -> GroundTruth:
    """Return one instance of SBD; the others are background."""
    return np.isin(_instances(path), ids).astype(np.int8)


def _whole(
    read: Callable[[Path], GroundTruth],
) -> Callable[[Path, tuple[int, ...]], GroundTruth]:
    """Return a reader of files that hold one object each, which needs no ids."""
    return lambda path, _ids: read(path)


def read_picture(path: Path) -> NDArray[np.generic]:
    """Read an image file as it is."""
    return np.asarray(imread(path))


def read_plane(path: Path) -> NDArray[np.integer]:
    """Read a label image of any kind that the package reads, shape ``(H, W)``.

    Raises
    ------
    InputError
        If the file is not one plane of integers.
    """
    return label_plane(imagefiles.read_image(path), path)


def _read_plane_ids(path: Path, ids: tuple[int, ...]) -> GroundTruth:
    """Return the union of some labels of a label image of any kind."""
    return np.isin(read_plane(path), ids).astype(np.int8)


FORMS = {
    LABELS: Form("images", "labels", read_ids, read_picture),
    FILES: Form("", "", _read_plane_ids, imagefiles.read_image),
    "grabcut": Form("data_GT", "boundary_GT", _whole(read_trimap), read_picture),
    "berkeley": Form("images", "masks", _whole(read_trimap), read_picture),
    "davis": Form("img", "gt", _whole(read_any), read_picture),
    "sbd": Form("img", "inst", read_instance, read_picture),
}
"""All forms by name."""
