"""Snapping: the border of a mask moved to the borders of superpixels."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np

from napari_gpcis.errors import InputError
from napari_gpcis.geometry import check_clicks

if TYPE_CHECKING:
    from collections.abc import Iterable

    from numpy.typing import ArrayLike, NDArray

    from napari_gpcis.clicks import Click

    Mask = NDArray[np.bool_]

SHARE = 0.9
"""Share of a superpixel that must agree before the rest of it does."""
_THICK = 8  # structures thinner than about a quarter of a superpixel's side stay
_HALF = 0.5


def snap(
    mask: ArrayLike,
    labels: ArrayLike,
    clicks: Iterable[Click] = (),
    *,
    share: float = SHARE,
) -> Mask:
    """Return a mask whose border follows superpixels where they agree with it.

    A superpixel of which at least ``share`` is inside becomes inside altogether; one
    of which at least ``share`` is outside, outside. Others stay as they are, and so do
    structures that are thinner than a quarter of a superpixel's mean side: processes
    of the object, and gaps between it and others. A superpixel with a click against
    it stays as well, and each clicked pixel has the label of its click.

    Parameters
    ----------
    mask
        Boolean, shape (H, W).
    labels
        Superpixels, integers, shape (H, W).
    clicks
        Clicks that the mask is to obey.
    share
        Above 0.5, up to 1.

    Returns
    -------
    array
        A new mask, shape (H, W).

    Raises
    ------
    InputError
        If shapes or dtypes do not fit, ``share`` is out of range, or a click lies
        outside.
    """
    inside, regions = _checked(mask, labels)
    if not _HALF < share <= 1:
        msg = f"share must be above 0.5 and at most 1, got {share!r}"
        raise InputError(msg)
    obeyed = check_clicks(clicks, (inside.shape[0], inside.shape[1]))
    ids = np.unique(regions, return_inverse=True)[1].reshape(regions.shape)
    area = np.bincount(ids.ravel())
    filled = np.bincount(ids[inside], minlength=area.size)
    in_all, out_all = filled >= share * area, filled <= (1 - share) * area
    for click in obeyed:
        (out_all if click.positive else in_all)[ids[click.pixel]] = False
    radius = max(round(math.sqrt(regions.size / area.size) / _THICK), 1)
    snapped = inside.copy()
    added = in_all[ids] & ~inside
    snapped[added & _thick(~inside, added, radius)] = True
    removed = out_all[ids] & inside
    snapped[removed & _thick(inside, removed, radius)] = False
    for click in obeyed:
        snapped[click.pixel] = click.positive
    return snapped


def _thick(region: Mask, wanted: Mask, radius: int) -> Mask:
    """Return the pixels of a region that belong to no thin structure.

    Thin is what no disk within the region covers, if it reaches farther from those
    that do than corners; and where it begins. Beyond the image, everything belongs to
    the region. Only what is around wanted pixels is looked at.
    """
    from scipy.ndimage import distance_transform_edt

    thick = np.zeros(region.shape, bool)
    rows, cols = (np.flatnonzero(wanted.any(axis=axis)) for axis in (1, 0))
    if rows.size == 0:
        return thick
    reach = 4 * (radius + 1)
    window = tuple(
        slice(max(int(found[0]) - reach, 0), int(found[-1]) + reach + 1)
        for found in (rows, cols)
    )
    part = np.pad(region[window], radius + 1, mode="edge")
    centres = distance_transform_edt(part) > radius
    if not centres.any():
        return thick
    covered = distance_transform_edt(~centres) <= radius
    thin = _far_parts(part & ~covered, distance_transform_edt(~covered), radius)
    if thin.any():
        thin = distance_transform_edt(~thin) <= radius + 1
    inner = slice(radius + 1, -radius - 1)
    thick[window] = (part & ~thin)[inner, inner]
    return thick


def _far_parts(mask: Mask, distance: NDArray[np.float64], radius: int) -> Mask:
    """Return the connected parts of a mask that reach beyond a distance."""
    from scipy.ndimage import label, maximum

    parts, count = label(mask, np.ones((3, 3)))
    if count == 0:
        return mask
    farthest = np.asarray(maximum(distance, parts, np.arange(count + 1)))
    far = farthest > radius
    far[0] = False
    return np.asarray(far[parts])


def _checked(mask: ArrayLike, labels: ArrayLike) -> tuple[Mask, NDArray[Any]]:
    """Return mask and labels as arrays, or raise `InputError`."""
    inside, regions = np.asarray(mask), np.asarray(labels)
    if inside.ndim != 2 or inside.size == 0 or inside.dtype != np.bool_:
        msg = (
            f"mask must be boolean of shape (H, W), got {inside.dtype} of shape "
            f"{inside.shape}"
        )
        raise InputError(msg)
    if regions.dtype.kind not in "ui" or regions.shape != inside.shape:
        msg = (
            f"labels must be integers of the mask's shape {inside.shape}, got "
            f"{regions.dtype} of shape {regions.shape}"
        )
        raise InputError(msg)
    return inside, regions
