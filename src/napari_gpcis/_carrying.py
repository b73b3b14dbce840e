"""Where to click in a mask, how much it stands out, how well two masks agree."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from scipy.ndimage import distance_transform_edt

from napari_gpcis._zoom import clip_box
from napari_gpcis.clicks import Click
from napari_gpcis.errors import InputError
from napari_gpcis.geometry import placed, union

if TYPE_CHECKING:
    from numpy.typing import ArrayLike

    from napari_gpcis._zoom import Box
    from napari_gpcis.geometry import Mask
    from napari_gpcis.inference.image import PreparedImage

MOST_CLICKS = 3
"""Clicks placed on one plane at most."""
_APART = 3.0  # a further click lies at least so many depths from the others
_DEEP = 0.5  # and at least at this share of the greatest depth
_RING_GRID = 512  # larger surroundings are looked at on a coarser grid
_LEAST_SPREAD = 0.02  # of values in [0, 1]: an even object is not infinitely distinct


def inner_clicks(
    mask: ArrayLike, corner: tuple[int, int] = (0, 0)
) -> tuple[Click, ...]:
    """Return positive clicks inside a mask, as far from its border as can be.

    The first lies where the mask is deepest. A long or branched object gets up to two
    more, far from the others and still deep.

    Parameters
    ----------
    mask
        Shape (h, w), nonzero on the object.
    corner
        Row and column of the image at which the mask begins.

    Raises
    ------
    InputError
        If the mask is empty.
    """
    inside = np.asarray(mask) != 0
    if inside.ndim != 2 or not inside.any():
        msg = f"mask must be 2-D and not empty, got shape {inside.shape}"
        raise InputError(msg)
    depth = distance_transform_edt(np.pad(inside, 1))[1:-1, 1:-1]
    deepest = float(depth.max())
    rows, cols = np.nonzero(depth >= _DEEP * deepest)
    found = [divmod(int(depth.argmax()), depth.shape[1])]
    while len(found) < MOST_CLICKS:
        away = np.min([np.hypot(rows - row, cols - col) for row, col in found], axis=0)
        if away.max() < _APART * deepest:
            break
        place = int(away.argmax())
        found.append((int(rows[place]), int(cols[place])))
    return tuple(Click(row + corner[0], col + corner[1]) for row, col in found)


def distinctness(prepared: PreparedImage, mask: Mask, corner: tuple[int, int]) -> float:
    """Return how much an object stands out from its surroundings.

    Parameters
    ----------
    prepared
        The plane.
    mask, corner
        The object: shape (h, w), and the pixel at which it begins.

    Returns
    -------
    float
        Difference of the mean values inside and in a ring about it, in standard
        deviations (the mean variance of both); of the channel with the largest.
    """
    if not mask.any():
        return 0.0
    wide = max(3, round(np.sqrt(np.count_nonzero(mask) / np.pi) / 2))
    frame = clip_box(
        (
            corner[0] - wide,
            corner[1] - wide,
            corner[0] + mask.shape[0] + wide,
            corner[1] + mask.shape[1] + wide,
        ),
        prepared.shape,
    )
    step = -(-max(frame[2] - frame[0], frame[3] - frame[1]) // _RING_GRID)
    here = (*corner, corner[0] + mask.shape[0], corner[1] + mask.shape[1])
    inside = placed(mask, here, frame)[::step, ::step]
    away = distance_transform_edt(~inside) * step
    ring = (away > step) & (away <= wide)
    if not ring.any() or not inside.any():
        return 0.0
    rows = np.arange(frame[0], frame[2], step)
    values = prepared.read(rows, np.arange(frame[1], frame[3], step))
    object_values, ring_values = values[:, inside], values[:, ring]
    apart = np.abs(object_values.mean(axis=1) - ring_values.mean(axis=1))
    spread = np.sqrt((object_values.var(axis=1) + ring_values.var(axis=1)) / 2)
    return float((apart / np.maximum(spread, _LEAST_SPREAD)).max())


def agreement(one: Mask, box: Box, other: Mask, other_box: Box) -> float:
    """Return how well two masks on boxes agree."""
    frame = union(box, other_box)
    first, second = placed(one, box, frame), placed(other, other_box, frame)
    joint = np.count_nonzero(first | second)
    return float(np.count_nonzero(first & second) / joint) if joint else 0.0
