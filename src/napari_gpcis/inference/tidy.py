"""Tidying of a mask: pieces that nobody has clicked go, small holes are filled.

A mask from probabilities may jump to neighbours that look alike, and have specks and
holes. Pieces are connected along edges and corners, holes along edges only, so that a
piece and the background beside it are never both connected across a corner.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, fields
from typing import TYPE_CHECKING, Any

import numpy as np

from napari_gpcis.errors import InputError
from napari_gpcis.geometry import box_of, slices

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from numpy.typing import NDArray

    from napari_gpcis.geometry import Mask

HOLES = 64
"""Holes with fewer pixels are filled by default."""
_CORNERS = np.ones((3, 3), dtype=bool)


@dataclass(frozen=True)
class Tidy:
    """Rules by which a mask is tidied; clicks are obeyed in any case.

    Parameters
    ----------
    clicked
        Only pieces stay that hold a positive click. Of an object that began with a
        mask (to correct it, or from the plane before), each piece of that mask counts
        as clicked in its middle.
    smallest
        With ``clicked=False``: pieces with fewer pixels go, unless they hold a
        positive click.
    holes
        Holes with fewer pixels are filled, unless there is a negative click in them.
    smoothing
        Radius, in pixels, of a disk: parts of the object, and of the background,
        into which it does not fit are smoothed away; 0 for none.

    Raises
    ------
    InputError
        If a value is outside its range.
    """

    clicked: bool = True
    smallest: int = 0
    holes: int = HOLES
    smoothing: float = 0.0

    def __post_init__(self) -> None:
        """Check the ranges."""
        if type(self.clicked) is not bool:
            msg = f"clicked must be true or false, got {self.clicked!r}"
            raise InputError(msg)
        for name in ("smallest", "holes"):
            value = getattr(self, name)
            if type(value) is not int or value < 0:
                msg = f"{name} must be an integer from 0, got {value!r}"
                raise InputError(msg)
        radius = self.smoothing
        if type(radius) not in (int, float) or not 0 <= radius <= MAX_SMOOTHING:
            msg = f"smoothing must lie between 0 and {MAX_SMOOTHING}, got {radius!r}"
            raise InputError(msg)
        object.__setattr__(self, "smoothing", float(radius))

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Tidy:
        """Return the rules of a JSON form, which is that of `dataclasses.asdict`.

        Raises
        ------
        InputError
            If a field is missing or unknown, or a value outside its range.
        """
        names = {item.name for item in fields(cls)}
        if set(data) != names:
            msg = f"tidy must have {sorted(names)}, got {sorted(data)}"
            raise InputError(msg)
        return cls(**data)


MAX_SMOOTHING = 100
"""Largest radius of `Tidy.smoothing`, in pixels."""
DEFAULT_TIDY = Tidy()
"""Rules that hold unless others are chosen."""


def check_tidy(tidy: Tidy | None) -> None:
    """Raise `InputError` unless these are rules, or ``None``."""
    if tidy is not None and not isinstance(tidy, Tidy):
        msg = f"tidy must be a Tidy or None, got {tidy!r}"
        raise InputError(msg)


def smooth(mask: Mask, radius: float) -> None:
    """Open and close a mask by a disk, in place; a mask it would delete is left.

    Parameters
    ----------
    mask
        Shape (h, w), changed. It goes on beyond its borders as it is there.
    radius
        Radius of the disk, in pixels.
    """
    from scipy.ndimage import distance_transform_edt  # slow to import

    box = box_of(mask)
    if radius <= 0 or box is None:
        return
    reach = math.ceil(radius) + 1
    around = (
        slice(max(0, box[0] - reach), box[2] + reach),
        slice(max(0, box[1] - reach), box[3] + reach),
    )
    now = np.pad(mask[around], 2 * reach, mode="edge")
    for value in (True, False):  # opening, then closing
        part = now if value else ~now
        inside = np.pad(part, 1, constant_values=True)
        kept = distance_transform_edt(inside)[1:-1, 1:-1] > radius
        if not kept.any():
            if value:
                return
            continue
        grown = distance_transform_edt(~kept) <= radius
        now = grown if value else ~grown
    inner = now[2 * reach : -2 * reach, 2 * reach : -2 * reach]
    if inner.any():
        mask[around] = inner


def tidy_pieces(
    mask: Mask,
    clicks: Mapping[tuple[int, int], bool],
    tidy: Tidy,
    *,
    kept: Iterable[tuple[int, int]] = (),
    pixel: float = 1.0,
) -> None:
    """Remove pieces and fill holes of a mask that obeys its clicks, in place.

    Parameters
    ----------
    mask
        Shape (h, w), changed.
    clicks
        Label of each clicked pixel: true on the object.
    tidy
        The rules; smoothing is done before, by `smooth`.
    kept
        Pixels whose pieces stay like clicked ones.
    pixel
        Area of a pixel of the mask in pixels of the image.
    """
    box = box_of(mask)
    if box is None:
        return
    part = mask[slices(box)]
    corner, size = box[:2], part.shape
    positive = [place for place, sign in clicks.items() if sign]
    negative = [place for place, sign in clicks.items() if not sign]
    _remove_pieces(part, _inside((*positive, *kept), corner, size), tidy, pixel)
    _fill_holes(part, _inside(negative, corner, size), tidy.holes / pixel)


def _inside(
    places: Iterable[tuple[int, int]], corner: tuple[int, int], size: tuple[int, ...]
) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    """Return the places that lie in a box as an index of its pixels."""
    found = np.array([*places], dtype=np.intp).reshape(-1, 2) - corner
    found = found[((found >= 0) & (found < size)).all(axis=1)]
    return found[:, 0], found[:, 1]


def _remove_pieces(
    part: Mask,
    clicked: tuple[NDArray[np.intp], NDArray[np.intp]],
    tidy: Tidy,
    pixel: float,
) -> None:
    """Remove pieces that are not clicked, or are too small, in place."""
    if not tidy.clicked and tidy.smallest <= 1:
        return
    from scipy.ndimage import label  # slow to import

    pieces, count = label(part, _CORNERS)
    stays = np.zeros(count + 1, dtype=bool)
    if not tidy.clicked:
        stays = np.bincount(pieces.ravel()) * pixel >= tidy.smallest
    stays[pieces[clicked]] = True
    stays[0] = False
    if not stays[1:].all():
        part[...] = stays[pieces]


def _fill_holes(
    part: Mask, clicked: tuple[NDArray[np.intp], NDArray[np.intp]], limit: float
) -> None:
    """Fill holes below a number of pixels that are not clicked, in place."""
    if limit <= 1:
        return
    from scipy.ndimage import label  # slow to import

    gaps, _ = label(~part)
    small = np.bincount(gaps.ravel()) < limit
    small[gaps[clicked]] = False
    for border in (gaps[0], gaps[-1], gaps[:, 0], gaps[:, -1]):
        small[border] = False  # open to the outside
    small[0] = False
    if small.any():
        part |= small[gaps]
