"""Boxes of pixels, masks on boxes, and clicks relative to boxes.

A box is half-open, ``(row_min, col_min, row_max, col_max)``, in pixels of the image.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any, Literal, NamedTuple, TypeAlias

import numpy as np

from napari_gpcis.clicks import Click
from napari_gpcis.errors import InputError, several

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence

    from numpy.typing import NDArray

    Mask = NDArray[np.bool_]

Box: TypeAlias = tuple[int, int, int, int]

EMPTY: Box = (0, 0, 0, 0)

CACHED_PIXELS = 1 << 17
"""Number of pixels that stay in the processor's cache over several steps."""
STRIP_PIXELS = 1 << 20
"""Pixels of labels that are searched for objects at once."""
DENSE = 1 << 16
"""Ids up to this one are counted directly."""


# -- boxes -----------------------------------------------------------------------------


def whole_image(shape: tuple[int, int]) -> Box:
    """Return the box of all pixels."""
    return 0, 0, shape[0], shape[1]


def slices(box: Box) -> tuple[slice, slice]:
    """Return the index that takes a box out of a plane."""
    return slice(box[0], box[2]), slice(box[1], box[3])


def moved(box: Box, by: tuple[int, int]) -> Box:
    """Return the box moved down and right."""
    return box[0] + by[0], box[1] + by[1], box[2] + by[0], box[3] + by[1]


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


def clip_box(box: Sequence[float], shape: tuple[int, int], name: str = "view") -> Box:
    """Return the pixels of ``box`` that lie inside the image.

    Parameters
    ----------
    box
        ``(row_min, col_min, row_max, col_max)``; fractions are rounded outwards.
    shape
        Height and width of the image.
    name
        Name of the argument, for the error.

    Raises
    ------
    InputError
        If these are not four finite numbers, or no pixel is inside the image.
    """
    accepted = "(row_min, col_min, row_max, col_max)"
    try:
        row_min, col_min, row_max, col_max = (float(value) for value in box)
    except (TypeError, ValueError):
        msg = f"{name} must be a box {accepted} of numbers, got {box!r}"
        raise InputError(msg) from None
    if not all(map(math.isfinite, (row_min, col_min, row_max, col_max))):
        msg = f"{name} must be a box {accepted} of finite numbers, got {box!r}"
        raise InputError(msg)
    clipped = (
        max(0, math.floor(row_min)),
        max(0, math.floor(col_min)),
        min(shape[0], math.ceil(row_max)),
        min(shape[1], math.ceil(col_max)),
    )
    if clipped[0] >= clipped[2] or clipped[1] >= clipped[3]:
        msg = (
            f"{name} must hold at least one pixel of the image of shape "
            f"{shape}, got the box {accepted} = {tuple(box)}"
        )
        raise InputError(msg)
    return clipped


# -- masks -----------------------------------------------------------------------------


def box_of(mask: Mask) -> Box | None:
    """Return the smallest box around a mask; ``None`` if it is empty."""
    return box_of_strips(mask.shape, [(slice(None), mask)])


def box_of_value(array: NDArray[Any], value: int) -> Box | None:
    """Return the smallest box around a value of a plane; ``None`` without it.

    The plane is read once, in strips that stay in the processor's cache.
    """
    pieces = ((rows, array[rows] == value) for rows in row_strips(array.shape))
    return box_of_strips(array.shape, pieces)


def box_of_strips(
    shape: tuple[int, ...], pieces: Iterable[tuple[slice, Mask]]
) -> Box | None:
    """Return the smallest box around a mask that comes in strips of rows."""
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


def row_strips(shape: tuple[int, ...], pixels: int = CACHED_PIXELS) -> Iterator[slice]:
    """Yield the rows of a plane in slices of about so many pixels."""
    step = max(1, pixels // max(1, shape[1]))
    for start in range(0, shape[0], step):
        yield slice(start, min(start + step, shape[0]))


def frames_along(
    size: int, length: int, margin: int
) -> list[tuple[tuple[int, int], tuple[int, int]]]:
    """Return frames that overlap along one axis, each with its core.

    Parameters
    ----------
    size
        Pixels of the axis.
    length
        Of a frame, at most ``size``.
    margin
        Least rim of a frame beyond its core, where it is not the end of the axis;
        below half the length.

    Returns
    -------
    list
        ``(frame, core)``, each ``(start, stop)``; the cores cover the axis once.
    """
    if length >= size:
        return [((0, size), (0, size))]
    count = math.ceil((size - 2 * margin) / (length - 2 * margin))
    starts = [round(start) for start in np.linspace(0, size - length, max(count, 2))]
    ends = [start + length for start in starts]
    cuts = [
        (end + start) // 2 for end, start in zip(ends[:-1], starts[1:], strict=True)
    ]
    cores = zip([0, *cuts], [*cuts, size], strict=True)
    return list(zip(zip(starts, ends, strict=True), cores, strict=True))


def placed(mask: Mask, box: Box, frame: Box) -> Mask:
    """Return the mask of a box on the larger ``frame``, false elsewhere."""
    full = np.zeros((frame[2] - frame[0], frame[3] - frame[1]), dtype=bool)
    row, col = box[0] - frame[0], box[1] - frame[1]
    full[row : row + mask.shape[0], col : col + mask.shape[1]] = mask
    return full


def iou(one: Mask, box: Box, other: Mask, other_box: Box) -> float:
    """Return the intersection over union of two masks on boxes; 0 if both are empty."""
    frame = union(box, other_box)
    first, second = placed(one, box, frame), placed(other, other_box, frame)
    joint = np.count_nonzero(first | second)
    return float(np.count_nonzero(first & second) / joint) if joint else 0.0


def depth(
    mask: Mask, sampling: tuple[float, float] | None = None
) -> NDArray[np.float64]:
    """Return the distance of each pixel to the outside of a mask, 0 outside it.

    Parameters
    ----------
    mask
        Shape (h, w). Beyond the array is outside.
    sampling
        Height and width of a pixel; 1 by default.

    Returns
    -------
    ndarray
        Euclidean distances between pixel centres, shape (h, w).
    """
    from scipy.ndimage import distance_transform_edt  # slow to import

    found: NDArray[np.float64] = np.zeros(mask.shape)
    box = box_of(mask)
    if box is not None:
        inside = slices(box)
        padded = np.pad(mask[inside], 1)
        found[inside] = distance_transform_edt(padded, sampling=sampling)[1:-1, 1:-1]
    return found


def deepest_pixel(depths: NDArray[np.float64]) -> tuple[int, int]:
    """Return the pixel of the greatest depth, the first of several."""
    row, col = divmod(int(depths.argmax()), depths.shape[1])
    return row, col


def run_lengths(mask: Mask, order: Literal["C", "F"] = "C") -> tuple[int, ...]:
    """Return the lengths of the runs of a mask, background first.

    Parameters
    ----------
    mask
        Shape (h, w), at least one pixel.
    order
        ``"C"``: row by row. ``"F"``: column by column, as in COCO.
    """
    values = mask.ravel(order=order)
    flat = np.concatenate([[False], values, [not values[-1]]])
    ends = np.flatnonzero(flat[1:] != flat[:-1])
    return tuple(map(int, np.diff(ends, prepend=0)))


def column_runs(mask: Mask, box: Box, shape: tuple[int, int]) -> list[int]:
    """Return the run lengths of a mask on a larger plane, column by column.

    Only the box is read: the cost does not depend on the size of the plane.

    Parameters
    ----------
    mask
        Shape of ``box``.
    box
        Where it lies.
    shape
        Rows and columns of the plane; outside the box is background.

    Returns
    -------
    list of int
        As `run_lengths` of the whole plane with ``order="F"``.
    """
    height, width = mask.shape
    gap = int(height < shape[0])  # background between two columns
    columns = np.zeros((width, height + gap), dtype=bool)
    columns[:, :height] = mask.T
    flat = columns.ravel()
    ends = np.flatnonzero(flat[1:] != flat[:-1]) + 1
    cols, rows = np.divmod(ends, height + gap)
    found = ((cols + box[1]) * shape[0] + rows + box[0]).tolist()
    if flat[0]:
        found.insert(0, box[1] * shape[0] + box[0])
    total = shape[0] * shape[1]
    if flat[-1]:
        found.append((box[1] + width) * shape[0])
    if not found or found[-1] < total:
        found.append(total)
    return [end - begin for begin, end in zip([0, *found], found, strict=False)]


def mask_of_runs(runs: Sequence[int], size: tuple[int, int]) -> Mask:
    """Return the mask of run lengths, row by row.

    Parameters
    ----------
    runs
        From :func:`run_lengths`.
    size
        Height and width of the mask.

    Raises
    ------
    ValueError
        If they are not those of a mask of this size.
    """
    lengths = np.asarray(runs, dtype=np.int64)
    if lengths.sum() != size[0] * size[1] or (lengths < 0).any():
        msg = f"runs do not fill a mask of {size[0]} x {size[1]} pixels"
        raise ValueError(msg)
    values = np.arange(len(lengths)) % 2 == 1
    return np.repeat(values, lengths).reshape(size)


# -- labels ----------------------------------------------------------------------------


class Entry(NamedTuple):
    """Size and place of one object on one plane.

    Attributes
    ----------
    area
        Number of pixels.
    box
        The smallest half-open box around them.
    """

    area: int
    box: Box


def scan(
    labels: Any,
    cancelled: Callable[[], bool] = lambda: False,
    only: Sequence[int] | None = None,
) -> dict[int, Entry] | None:
    """Return the objects of a plane, by their ids in ascending order.

    The plane is read once, whatever the number of objects and their ids.

    Parameters
    ----------
    labels
        Shape (H, W), integers; ids above 0 are objects.
    cancelled
        Asked before each strip; if true the answer is ``None``.
    only
        Ids that are looked for; by default all.
    """
    found: dict[int, Entry] = {}
    for rows in row_strips(labels.shape, STRIP_PIXELS):
        if cancelled():
            return None
        strip = np.maximum(np.asarray(labels[rows]), 0)
        if only is not None:
            strip = np.where(np.isin(strip, only), strip, 0)
        for label, entry in _scan_strip(strip):
            box = moved(entry.box, (rows.start, 0))
            before = found.get(label, Entry(0, box))
            found[label] = Entry(before.area + entry.area, union(before.box, box))
    return dict(sorted(found.items()))


def _scan_strip(strip: NDArray[Any]) -> Iterator[tuple[int, Entry]]:
    """Yield the objects of one strip."""
    top = int(strip.max(initial=0))
    if top == 0:
        return
    from scipy.ndimage import find_objects  # slow to import

    if top <= DENSE:
        ids = np.flatnonzero(np.bincount(strip.astype(np.intp).ravel()))
        number = np.zeros(top + 1, dtype=np.int32)
        number[ids] = np.arange(len(ids)) + int(ids[0] != 0)
        dense = number[strip]
    else:
        ids, dense = np.unique(strip, return_inverse=True)
        dense = dense.reshape(strip.shape).astype(np.int32) + int(ids[0] != 0)
    ids = ids[ids != 0]
    areas = np.bincount(dense.ravel())
    for place, (rows, cols) in enumerate(find_objects(dense), start=1):
        corners = (rows.start, cols.start, rows.stop, cols.stop)
        yield int(ids[place - 1]), Entry(int(areas[place]), corners)


# -- clicks ----------------------------------------------------------------------------


def contains(box: Box, click: Click) -> bool:
    """Return whether the pixel of a click lies in the box."""
    row, col = click.pixel
    return box[0] <= row < box[2] and box[1] <= col < box[3]


def check_clicks(
    clicks: Iterable[Click] | Click, shape: tuple[int, int]
) -> tuple[Click, ...]:
    """Return the clicks, or the one click, as a tuple.

    Raises
    ------
    InputError
        If one is not a `Click` or lies outside the image.
    """
    image = whole_image(shape)
    if isinstance(clicks, (tuple, list)):
        checked = tuple(clicks)  # as always by the mouse: nothing more is called
    else:
        checked = several(clicks, Click, "clicks", "Click objects")
    for click in checked:
        if not isinstance(click, Click):
            msg = f"clicks must be Click objects, got {type(click).__name__}: {click!r}"
            raise InputError(msg)
        if not contains(image, click):
            msg = (
                f"a click must lie inside the image of shape {shape} (rows 0 to "
                f"{shape[0] - 1}, columns 0 to {shape[1] - 1}), got row "
                f"{click.row:g}, column {click.col:g}"
            )
            raise InputError(msg)
    return checked


def square_around(click: Click, side: int, shape: tuple[int, int]) -> Box:
    """Return the square about a click, clipped to the image."""
    row, col = click.pixel
    top, left = row - side // 2, col - side // 2
    return clip_box((top, left, top + side, left + side), shape)


def network_clicks(
    clicks: Iterable[Click], box: Box, size: int, *, half_pixel: bool
) -> list[Click]:
    """Return the clicks of an image on the ``size x size`` grid of the network.

    Published convention (``half_pixel=False``): ``(row - row_min) * size / h``, a
    fractional position. Half-pixel convention: the network pixel that contains the
    click, ``floor((row - row_min + 0.5) * size / h)``, as in training, where clicks
    lie on pixels. A click whose pixel is in the box stays on the grid; negative
    clicks elsewhere fall outside it, where the network may see the rim of their
    disk and the Gaussian process does not observe them.
    """
    scale = size / (box[2] - box[0]), size / (box[3] - box[1])
    return [_on_grid(click, box, size, scale, half_pixel) for click in clicks]


def _on_grid(
    click: Click, box: Box, size: int, scale: tuple[float, float], half_pixel: bool
) -> Click:
    """Return one click on the grid of the network."""
    row, col = click.row - box[0], click.col - box[1]
    if half_pixel:
        row = math.floor((row + 0.5) * scale[0])
        col = math.floor((col + 0.5) * scale[1])
        last = size - 1.0
    else:
        row, col = row * scale[0], col * scale[1]
        last = size - 1e-3  # the network truncates: still the last pixel
    if contains(box, click):
        row, col = min(max(row, 0.0), last), min(max(col, 0.0), last)
    return Click(row, col, click.positive)
