"""Label files of other programs: whole numbers, 0 for background."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from napari_gpcis.errors import InputError
from napari_gpcis.imagefiles.planes import CHANNELS, plane_index
from napari_gpcis.imagefiles.reading import read_file

if TYPE_CHECKING:
    import os
    from collections.abc import Sequence

    from numpy.typing import NDArray


def read_labels(
    path: str | os.PathLike[str], plane: Sequence[int] = ()
) -> NDArray[np.integer[Any]]:
    """Read one plane of a label file.

    Parameters
    ----------
    path
        As for `read_image`. Palette pictures give their indices, grey pictures saved
        as colour their grey level; whole numbers may be stored as floating point.
    plane
        That of the image; labels of two axes are those of the plane already.

    Returns
    -------
    ndarray
        Integers, shape ``(rows, columns)``.

    Raises
    ------
    InputError
        If the file cannot be read, holds other than whole numbers from 0, or `plane`
        does not choose one plane of it.
    """
    labels, axes = read_label_file(path)
    if labels.ndim > 2:
        axes = axes or "Q" * (labels.ndim - 2) + "YX"  # labels have no channels
        try:
            labels = labels[plane_index(labels.shape, axes, plane)]
        except InputError as error:
            msg = f"labels {path}: {error}"
            raise InputError(msg) from error
    if labels.ndim == 3 and labels.shape[-1] == 1:
        labels = labels[..., 0]
    return whole_numbers(labels, f"labels {path}")


def read_label_file(path: str | os.PathLike[str]) -> tuple[NDArray[Any], str]:
    """Read all of a label file, and a letter for each axis (as `read_array`).

    Raises
    ------
    InputError
        If it cannot be read.
    """
    array, axes = read_file(path, None, "labels", labels=True)
    colour = array.ndim > 2 and (not axes or axes[-1] in CHANNELS)
    if colour and array.shape[-1] in (3, 4) and _is_grey(array):
        array, axes = array[..., 0], axes[:-1]  # a grey picture saved as colour
    return array, axes


def _is_grey(array: NDArray[Any]) -> bool:
    """Return whether all colours are alike; the fourth may be an alpha channel."""
    return array.ndim == 3 and bool((array[..., :3] == array[..., :1]).all())


def whole_numbers(labels: NDArray[Any], role: str) -> NDArray[np.integer[Any]]:
    """Return labels as integers.

    Raises
    ------
    InputError
        If they are a colour picture, no whole numbers, or negative; ``role`` is what
        the error calls them.
    """
    if labels.ndim == 3 and labels.shape[-1] in (3, 4) and labels.dtype == np.uint8:
        msg = f"{role} are a colour picture of shape {labels.shape}, not numbers"
        raise InputError(msg)
    if labels.ndim < 2 or labels.dtype.kind not in "buif":
        msg = f"{role} have dtype {labels.dtype} and shape {labels.shape}"
        raise InputError(msg)
    if labels.size and not np.isfinite(labels).all():
        msg = f"{role} are not whole numbers (or NaN)"
        raise InputError(msg)
    if labels.dtype.kind == "f":
        if (labels != np.round(labels)).any() or np.abs(labels).max(initial=0) > 2**53:
            msg = f"{role} are not whole numbers (or NaN)"
            raise InputError(msg)
        labels = labels.astype(np.int64)
    if labels.dtype.kind == "b":
        labels = labels.astype(np.uint8)
    if labels.size and labels.min() < 0:
        msg = f"{role} must be 0 or above, got {labels.min()}"
        raise InputError(msg)
    return labels
