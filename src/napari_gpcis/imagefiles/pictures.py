"""PNG and JPEG files as viewers show them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from napari_gpcis.imagefiles.planes import plane_index

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from numpy.typing import NDArray
    from PIL.Image import Image

_ORIENTATION = 0x0112
_OTHER_COLOURS = ("CMYK", "YCbCr", "HSV")
_ALPHA = {"LA": 1, "La": 1, "RGBA": 3, "RGBa": 3, "RGBX": 3, "PA": 3}
"""Colours before the alpha channel."""


def read_picture(
    path: Path, plane: Sequence[int] | None, *, turned: bool = True
) -> tuple[NDArray[Any], str]:
    """Read a PNG or JPEG file without alpha.

    It is turned by its EXIF orientation, or with ``turned=False`` as it is stored.
    """
    from PIL import Image, ImageOps

    with Image.open(path) as picture:
        array = colours(ImageOps.exif_transpose(picture) if turned else picture)
    axes = "YX" if array.ndim == 2 else "YXC"
    return (array if plane is None else array[plane_index(array.shape, axes, plane)]), (
        axes
    )


def read_label_picture(path: Path) -> tuple[NDArray[Any], str]:
    """Read a PNG or JPEG file as it is stored: indices of a palette, not turned."""
    from PIL import Image

    with Image.open(path) as picture:
        array = np.asarray(picture)
    return array, "YX" if array.ndim == 2 else "YXC"


def exif_orientation(path: Path) -> int:
    """Return the EXIF orientation of a PNG or JPEG file; 1 if it is not turned.

    Raises
    ------
    OSError
        If it is no picture.
    """
    from PIL import Image

    with Image.open(path) as picture:
        found = picture.getexif().get(_ORIENTATION, 1)
    return found if found in range(2, 9) else 1


def colours(picture: Image) -> NDArray[Any]:
    """Return grey levels ``(H, W)`` or colours ``(H, W, C)`` of a Pillow picture.

    An alpha channel is left out, CMYK becomes RGB.
    """
    if picture.mode in _OTHER_COLOURS:
        picture = picture.convert("RGB")
    if picture.mode == "P" and picture.palette is not None:
        picture = picture.convert(picture.palette.mode)
    if picture.mode == "PA":
        picture = picture.convert("RGBA")
    array = np.asarray(picture)
    if picture.mode in _ALPHA:
        array = array[..., : _ALPHA[picture.mode]]
    return array.astype(array.dtype.newbyteorder("="), copy=False)
