"""Label images written for other programs."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from napari_gpcis.errors import InputError
from napari_gpcis.files import replacing
from napari_gpcis.imagefiles.ome_zarr import (
    ZarrAxes,
    is_zarr,
    write_zarr,
    zarr_axes,
    zarr_version,
)
from napari_gpcis.imagefiles.outputs import check_output
from napari_gpcis.imagefiles.reading import TIFF

if TYPE_CHECKING:
    import os

    from numpy.typing import NDArray


def write_labels(
    path: str | os.PathLike[str],
    labels: NDArray[Any],
    source: str | os.PathLike[str] | None = None,
) -> None:
    """Write a label image, in one step: a failure leaves no half-written file.

    TIFF, PNG and OME-Zarr hold unsigned integers of the least size that other programs
    read (16 bits, 32 in TIFF and OME-Zarr if there are more objects), a NumPy file
    holds int32.

    Parameters
    ----------
    path
        Ends in ``.tif``, ``.tiff``, ``.png``, ``.npy`` or ``.zarr``.
    labels
        Shape ``(rows, columns)``, from 0.
    source
        The image. If it is OME-Zarr, labels in OME-Zarr have its version and the size
        of its pixels.

    Raises
    ------
    InputError
        If the ending is not one of these, or the labels do not fit into PNG.
    OSError
        If the disk refuses.
    """
    path = Path(path).expanduser()
    check_output(path)
    if is_zarr(path):
        image = None if source is None else Path(source).expanduser()
        write_zarr(path, labels, *_as_in(image))
        return
    largest = int(labels.max(initial=0))
    small = largest <= np.iinfo(np.uint16).max
    if path.suffix.lower() == ".png" and not small:
        msg = f"output {path}: PNG holds ids up to 65535, got {largest}; use .tif"
        raise InputError(msg)
    with replacing(path) as temporary:
        if path.suffix.lower() == ".npy":
            np.save(temporary, labels.astype(np.int32))
        else:
            _write_picture(temporary, labels.astype(np.uint16 if small else np.uint32))


def _write_picture(path: Path, labels: NDArray[Any]) -> None:
    """Write unsigned integers as TIFF or PNG."""
    if path.suffix.lower() in TIFF:
        from tifffile import imwrite

        imwrite(path, labels, compression="zlib", photometric="minisblack")
    else:
        from imageio.v3 import imwrite as write_png

        write_png(path, labels, plugin="pillow")


def _as_in(source: Path | None) -> tuple[ZarrAxes | None, str | None]:
    """Return rows and columns of an OME-Zarr image, and its version."""
    known = zarr_axes(source) if source is not None and is_zarr(source) else None
    if known is None or source is None or not {"Y", "X"} <= set(known.letters):
        return None, None
    picked = [known.letters.index(letter) for letter in "YX"]
    scale = tuple(known.scale[axis] for axis in picked)
    units = tuple(known.units[axis] for axis in picked)
    return ZarrAxes("YX", scale, units), zarr_version(source)
