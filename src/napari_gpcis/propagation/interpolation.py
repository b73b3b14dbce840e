"""Interpolation of an object between two planes on which it is known."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from scipy.ndimage import distance_transform_edt

from napari_gpcis.errors import InputError
from napari_gpcis.geometry import box_of, clip_box, moved, placed, slices, union

if TYPE_CHECKING:
    from numpy.typing import ArrayLike, NDArray

    from napari_gpcis.geometry import Box, Mask


def interpolate(
    first: tuple[Box, ArrayLike],
    last: tuple[Box, ArrayLike],
    share: float,
    shape: tuple[int, int],
) -> tuple[Box, Mask]:
    """Return the object between two planes on which it is known.

    Both masks are moved to the place between their centres of mass; there the mean of
    their signed distances to the outline tells what is object [1]_.

    Parameters
    ----------
    first, last
        Half-open box of the plane, and the mask on it, not empty.
    share
        Place between the planes: 0 is the first, 1 the last.
    shape
        Rows and columns of the planes; the object ends at their borders.

    Returns
    -------
    tuple
        Smallest box around the mask, and the mask on it.

    Raises
    ------
    InputError
        If a mask is empty, or the share not between 0 and 1.

    References
    ----------
    .. [1] Raya and Udupa, "Shape-based interpolation of multidimensional objects",
       IEEE Transactions on Medical Imaging 9(1), 1990.
    """
    if not 0 <= share <= 1:
        msg = f"share must lie between 0 and 1, got {share!r}"
        raise InputError(msg)
    masks = [np.asarray(mask) != 0 for _, mask in (first, last)]
    if not all(mask.any() for mask in masks):
        msg = "an object can be interpolated between two masks that are not empty"
        raise InputError(msg)
    middles = [
        np.mean(np.nonzero(mask), axis=1) + box[:2]
        for mask, (box, _) in zip(masks, (first, last), strict=True)
    ]
    middle = (1 - share) * middles[0] + share * middles[1]
    placed_boxes = []
    for (box, _), own in zip((first, last), middles, strict=True):
        by = np.rint(middle - own).astype(int)
        placed_boxes.append(moved(box, (int(by[0]), int(by[1]))))
    frame = union(*placed_boxes)
    frame = frame[0] - 1, frame[1] - 1, frame[2] + 1, frame[3] + 1
    depths = [
        _signed_depth(placed(mask, box, frame))
        for mask, box in zip(masks, placed_boxes, strict=True)
    ]
    mask = (1 - share) * depths[0] + share * depths[1] > 0
    on_plane = clip_box(frame, shape)
    mask = mask[slices(moved(on_plane, (-frame[0], -frame[1])))]
    inside = box_of(mask)
    if inside is None:  # rings or pieces that share no pixel: the nearer one stays
        near = round(share)
        return (first, last)[near][0], masks[near]
    return moved(inside, on_plane[:2]), mask[slices(inside)]


def _signed_depth(mask: Mask) -> NDArray[np.float64]:
    """Return the distance to the outline, positive inside and negative outside."""
    found: NDArray[np.float64] = distance_transform_edt(mask)
    found -= distance_transform_edt(~mask)
    return found
