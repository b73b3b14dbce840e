"""Image files of any kind: one plane, or all of a file."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from napari_gpcis.errors import GPCISError, InputError
from napari_gpcis.imagefiles.arrays import read_numpy
from napari_gpcis.imagefiles.ome_zarr import ZARR, is_zarr, read_zarr
from napari_gpcis.imagefiles.pictures import read_label_picture, read_picture
from napari_gpcis.imagefiles.tiff import read_label_tiff, read_tiff

if TYPE_CHECKING:
    import os
    from collections.abc import Callable, Sequence

    from numpy.typing import NDArray

    Read = Callable[[Path, Sequence[int] | None], tuple[NDArray[Any], str]]

TIFF = (".tif", ".tiff")
PICTURES = (".png", ".jpg", ".jpeg")
READABLE = (*TIFF, *PICTURES, ".npy", ZARR)


def read_image(
    path: str | os.PathLike[str], plane: Sequence[int] = (), *, turned: bool = True
) -> NDArray[Any]:
    """Read one 2-D plane of an image file, with its channels if it has any.

    Parameters
    ----------
    path
        A TIFF, PNG, JPEG or NumPy file, or a folder of OME-Zarr. An alpha channel is
        left out, CMYK becomes RGB, and a PNG or JPEG is turned as its EXIF
        orientation says.
    plane
        One index for each axis before rows and columns (time, depth), counted from
        0; axes of length 1 may be left out. A TIFF file and OME-Zarr say which axis
        holds the channels; in a NumPy file it is the last one. In a TIFF file whose
        pages differ in size, the number of the page.
    turned
        ``False``: a PNG or JPEG is read as it is stored, and as napari shows it.

    Returns
    -------
    ndarray
        Shape ``(rows, columns)`` or ``(rows, columns, channels)``.

    Raises
    ------
    InputError
        If the file is missing, of another kind or damaged, or `plane` does not
        choose one plane.
    """
    return read_file(path, plane, "image", turned=turned)[0]


def read_array(
    path: str | os.PathLike[str], *, turned: bool = True
) -> tuple[NDArray[Any], str]:
    """Read all of an image file, of OME-Zarr the full resolution.

    Parameters
    ----------
    path, turned
        As for `read_image`.

    Returns
    -------
    array : ndarray
        Any shape; channels that the file declares are the last axis.
    axes : str
        One letter for each axis, ``S`` or ``C`` for channels; empty for a NumPy file,
        whose axes are not known.

    Raises
    ------
    InputError
        If the file is missing, of another kind or damaged, or its pages differ in
        size.
    """
    return read_file(path, None, "image", turned=turned)


def read_file(
    path: str | os.PathLike[str],
    plane: Sequence[int] | None,
    role: str,
    *,
    labels: bool = False,
    turned: bool = True,
) -> tuple[NDArray[Any], str]:
    """Read a file of any kind: one plane, or all of it for ``None``.

    With `labels`, pixels are as they are stored: indices of a palette, not turned.
    Without `turned`, a picture is not turned by its EXIF orientation.

    Raises
    ------
    InputError
        As `read_image`; ``role`` is what the error calls the file.
    """
    path = Path(path).expanduser()
    check_suffix(path, READABLE, role)
    if not (path.is_dir() if is_zarr(path) else path.is_file()):
        msg = f"{role} {path} does not exist"
        raise InputError(msg)
    try:
        if labels and path.suffix.lower() in TIFF and not is_zarr(path):
            return read_label_tiff(path)
        if labels and path.suffix.lower() in PICTURES:
            return read_label_picture(path)
        reader = _reader(path)
        if reader is read_picture:
            return read_picture(path, plane, turned=turned)
        array, axes = reader(path, plane)
        if labels and axes.endswith("C") and array.shape[-1] == 1:
            return array[..., 0], axes[:-1]
        return array, axes
    except GPCISError:
        raise
    except Exception as error:  # decoders of damaged files raise what they like
        msg = f"{role} {path} cannot be read: {str(error) or type(error).__name__}"
        raise InputError(msg) from error


def check_suffix(path: Path, accepted: Sequence[str], role: str) -> None:
    """Raise `InputError` unless a path is of an accepted kind."""
    if is_zarr(path) and ZARR in accepted:
        return
    if path.suffix.lower() not in accepted:
        msg = f"{role} {path} must end in {', '.join(accepted)}"
        raise InputError(msg)


def _reader(path: Path) -> Read:
    """Return the function that reads a file and names its axes."""
    suffix = path.suffix.lower()
    if is_zarr(path):
        return read_zarr
    if suffix in TIFF:
        return read_tiff
    return read_numpy if suffix == ".npy" else read_picture
