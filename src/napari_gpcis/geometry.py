"""Masks on boxes: half-open ``(row_min, col_min, row_max, col_max)``, see `_zoom`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from numpy.typing import NDArray

    from napari_gpcis._zoom import Box

    Mask = NDArray[np.bool_]

EMPTY: Box = (0, 0, 0, 0)
NEAR = 1 << 17
"""So many pixels stay in the processor's cache while several steps read them."""


def slices(box: Box) -> tuple[slice, slice]:
    """Return the index that takes a box out of a plane."""
    return slice(box[0], box[2]), slice(box[1], box[3])


def box_of(mask: Mask) -> Box | None:
    """Return the smallest box around a mask; ``None`` if it is empty."""
    return box_of_strips(mask.shape, [(slice(None), mask)])


def box_of_value(array: NDArray[Any], value: int) -> Box | None:
    """Return the smallest box around a value of a plane; ``None`` if it is not there.

    The plane is read once, in strips that stay in the processor's cache.
    """
    pieces = ((rows, array[rows] == value) for rows in row_strips(array.shape))
    return box_of_strips(array.shape, pieces)


def box_of_strips(
    shape: tuple[int, ...], pieces: Iterable[tuple[slice, Mask]]
) -> Box | None:
    """Return the smallest box around a mask of a shape that comes in strips of rows."""
    in_rows = np.zeros(shape[0], dtype=bool)
    in_cols = np.zeros(shape[1], dtype=bool)
    for rows, mask in pieces:
        in_rows[rows] = mask.any(axis=1)
        if in_rows[rows].any():
            in_cols |= mask.any(axis=0)
    if not in_rows.any():
        return None
    down, right = np.flatnonzero(in_rows), np.flatnonzero(in_cols)
    return int(down[0]), int(right[0]), int(down[-1]) + 1, int(right[-1]) + 1


def row_strips(shape: tuple[int, ...], pixels: int = NEAR) -> Iterator[slice]:
    """Cut the rows of a plane into slices of about so many pixels."""
    step = max(1, pixels // max(1, shape[1]))
    for start in range(0, shape[0], step):
        yield slice(start, min(start + step, shape[0]))


def union(one: Box, other: Box) -> Box:
    """Return the smallest box around both; an empty box adds nothing."""
    boxes = [box for box in (one, other) if box[2] > box[0] and box[3] > box[1]]
    if not boxes:
        return EMPTY
    low = [min(box[side] for box in boxes) for side in (0, 1)]
    high = [max(box[side] for box in boxes) for side in (2, 3)]
    return low[0], low[1], high[0], high[1]


def overlap(one: Box, other: Box) -> bool:
    """Return whether two boxes share a pixel."""
    rows = min(one[2], other[2]) > max(one[0], other[0])
    return rows and min(one[3], other[3]) > max(one[1], other[1])


def placed(mask: Mask, box: Box, frame: Box) -> Mask:
    """Return the mask of a box on the larger ``frame``, false elsewhere."""
    full = np.zeros((frame[2] - frame[0], frame[3] - frame[1]), dtype=bool)
    row, col = box[0] - frame[0], box[1] - frame[1]
    full[row : row + mask.shape[0], col : col + mask.shape[1]] = mask
    return full


def moved(box: Box, by: tuple[int, int]) -> Box:
    """Return the box moved down and right."""
    return box[0] + by[0], box[1] + by[1], box[2] + by[0], box[3] + by[1]
