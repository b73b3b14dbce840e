"""Image files for the command line: read one plane, write labels."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any

import numpy as np

from napari_gpcis.errors import InputError
from napari_gpcis.files import replacing

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from numpy.typing import NDArray

TIFF = (".tif", ".tiff")
PICTURES = (".png", ".jpg", ".jpeg")
READABLE = (*TIFF, *PICTURES, ".npy")
WRITABLE = (*TIFF, ".png", ".npy")


def read_image(path: Path, plane: Sequence[int] = ()) -> NDArray[Any]:
    """Read one 2-D plane of an image file, with its channels if it has any.

    Parameters
    ----------
    path
        A TIFF, PNG, JPEG or NumPy file. An alpha channel of PNG is left out.
    plane
        One index for each axis before rows and columns (time, depth), counted from
        0. A TIFF file says which axis holds the channels; in a NumPy file it is the
        last one.

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
    image, axes = read_array(path)
    return _choose_plane(image, axes, plane)


def read_array(path: Path) -> tuple[NDArray[Any], str]:
    """Read all of an image file.

    Parameters
    ----------
    path
        A TIFF, PNG, JPEG or NumPy file. An alpha channel of PNG is left out.

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
        If the file is missing, of another kind or damaged.
    """
    _check_suffix(path, READABLE, "image")
    if not path.is_file():
        msg = f"image {path} does not exist"
        raise InputError(msg)
    try:
        return _reader(path)(path)
    except Exception as error:  # decoders of damaged files raise what they like
        msg = f"image {path} cannot be read: {str(error) or type(error).__name__}"
        raise InputError(msg) from error


def write_labels(path: Path, labels: NDArray[np.int32]) -> None:
    """Write a label image, in one step: a failure leaves no half-written file.

    TIFF and PNG hold unsigned integers of the least size that other programs read
    (16 bits, 32 in TIFF if there are more objects), a NumPy file holds int32.

    Parameters
    ----------
    path
        Ends in ``.tif``, ``.tiff``, ``.png`` or ``.npy``.
    labels
        Shape ``(rows, columns)``, from 0.

    Raises
    ------
    InputError
        If the ending is not one of these, or the labels do not fit into PNG.
    OSError
        If the disk refuses.
    """
    check_output(path)
    largest = int(labels.max(initial=0))
    small = largest <= np.iinfo(np.uint16).max
    if path.suffix.lower() == ".png" and not small:
        msg = f"output {path}: PNG holds ids up to 65535, got {largest}; use .tif"
        raise InputError(msg)
    with replacing(path) as temporary:
        if path.suffix.lower() == ".npy":
            np.save(temporary, labels)
        else:
            _write_picture(temporary, labels.astype(np.uint16 if small else np.uint32))


def check_output(path: Path) -> None:
    """Raise `InputError` unless labels can be written to a file of this name."""
    _check_suffix(path, WRITABLE, "output")
    if not path.parent.is_dir():
        msg = f"output {path}: the folder {path.parent} does not exist"
        raise InputError(msg)


def _check_suffix(path: Path, accepted: Sequence[str], role: str) -> None:
    """Raise `InputError` unless a path ends in one of the accepted suffixes."""
    if path.suffix.lower() not in accepted:
        msg = f"{role} {path} must end in {', '.join(accepted)}"
        raise InputError(msg)


def _reader(path: Path) -> Callable[[Path], tuple[NDArray[Any], str]]:
    """Return the function that reads a file and names its axes."""
    suffix = path.suffix.lower()
    if suffix in TIFF:
        return _read_tiff
    return _read_numpy if suffix == ".npy" else _read_picture


def _read_tiff(path: Path) -> tuple[NDArray[Any], str]:
    """Read the first series of a TIFF file, its channels moved to the last axis."""
    from tifffile import TiffFile

    # what tifffile logs about a damaged file comes as an exception as well
    logging.getLogger("tifffile").setLevel(logging.CRITICAL)
    with TiffFile(path) as file:
        series = file.series[0]
        image, axes = np.asarray(series.asarray()), str(series.axes)
    for channel in "SC":
        if channel in axes:
            image = np.moveaxis(image, axes.index(channel), -1)
            return image, axes.replace(channel, "") + channel
    return image, axes


def _read_picture(path: Path) -> tuple[NDArray[Any], str]:
    """Read a PNG or JPEG file without its alpha channel."""
    from imageio.v3 import imread

    image = np.asarray(imread(path, plugin="pillow"))
    if image.ndim == 2:
        return image, "YX"
    colours = 1 if image.shape[-1] <= 2 else 3
    return image[..., :colours], "YXC"


def _read_numpy(path: Path) -> tuple[NDArray[Any], str]:
    """Read a NumPy file; the meaning of its axes is not known."""
    image = np.load(path, allow_pickle=False)
    return np.asarray(image), ""


def _choose_plane(image: NDArray[Any], axes: str, plane: Sequence[int]) -> NDArray[Any]:
    """Index the axes before rows and columns."""
    if image.ndim < 2:
        msg = f"image must have rows and columns, got shape {image.shape}"
        raise InputError(msg)
    has_channels = axes.endswith(("S", "C"))
    if axes:
        leading = image.ndim - 2 - has_channels
    else:
        leading = len(plane) if image.ndim - len(plane) in (2, 3) else image.ndim - 2
    if len(plane) != leading:
        named = f" (axes {axes})" if axes else ""
        msg = (
            f"plane must have {leading} indices for an image of shape "
            f"{image.shape}{named}, got {len(plane)}"
        )
        raise InputError(msg)
    for index, size in zip(plane, image.shape, strict=False):
        if not 0 <= index < size:
            msg = f"plane index must be from 0 to {size - 1}, got {index}"
            raise InputError(msg)
    chosen: NDArray[Any] = image[tuple(plane)]
    return chosen


def _write_picture(path: Path, labels: NDArray[Any]) -> None:
    """Write unsigned integers as TIFF or PNG."""
    if path.suffix.lower() in TIFF:
        from tifffile import imwrite

        imwrite(path, labels, compression="zlib")
    else:
        from imageio.v3 import imwrite as write_png

        write_png(path, labels, plugin="pillow")
