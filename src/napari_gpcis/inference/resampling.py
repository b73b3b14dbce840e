"""Resampling between image and network grid, in bounded memory.

Two conventions exist. *Published*: bilinear with aligned corners and no low-pass
filter. *Half-pixel*: bilinear about pixel centres, with a low-pass filter when the
image is shrunk. Both are separable, so large crops are read in strips of rows.
"""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING, Protocol, TypeAlias

import numpy as np

from napari_gpcis.geometry import row_strips

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray
    from torch import Tensor

    from napari_gpcis.geometry import Box

Floats: TypeAlias = "NDArray[np.float32]"
Index: TypeAlias = "slice | NDArray[np.intp]"

STRIP_PIXELS = 1 << 19
"""Pixels handled at once when a large crop is read or written."""
ENOUGH_ROWS = 8
"""Rows averaged into one of the network; a huge crop's other rows are left out."""


class Reader(Protocol):
    """Anything that gives float32 values ``(C, rows, cols)`` of image pixels."""

    def read(self, rows: Index, cols: Index) -> Floats:
        """Return the values on the grid ``rows x cols`` of data pixels."""


class SeparableReader(Reader, Protocol):
    """A reader whose values are linear along each axis, so that one can go first."""

    def read_cols(self, cols: slice) -> Floats:
        """Return the network's rows at these columns of data pixels."""

    def read_rows(self, narrow: Floats, rows: slice) -> Floats:
        """Return these rows of data pixels for values that have their columns."""


def strips(height: int, width: int) -> Iterator[slice]:
    """Cut the rows of an array into slices of about `STRIP_PIXELS` pixels."""
    return row_strips((height, width), STRIP_PIXELS)


def interpolate_columns(
    grid: Floats, width: int, cols: NDArray[np.intp], *, half_pixel: bool
) -> Floats:
    """Return a network grid, stretched to ``width`` columns, at some of them.

    Parameters
    ----------
    grid
        Values on the network grid, shape ``(h, w)``.
    width
        Width of the box that the grid covers, in data pixels.
    cols
        Columns of that box, counted from its first.
    half_pixel
        Convention, see the module.

    Returns
    -------
    ndarray
        Shape ``(h, len(cols))``, float32, for :func:`interpolate_rows`.
    """
    positions = _sources(cols, width, grid.shape[1], half_pixel)
    across = _interpolate(np.ascontiguousarray(grid.T), positions)
    return np.ascontiguousarray(across.T)


def interpolate_rows(
    across: Floats,
    height: int,
    rows: NDArray[np.intp],
    *,
    half_pixel: bool,
    part: slice | None = None,
    size: int | None = None,
) -> Floats:
    """Return values, stretched to ``height`` rows, at some of them.

    Parameters
    ----------
    across
        From :func:`interpolate_columns`, shape ``(h, w)``.
    height
        Height of the box that the grid covers, in data pixels.
    rows
        Rows of that box, counted from its first.
    half_pixel
        Convention, see the module.
    part, size
        Rows of the grid that ``across`` holds, of so many: at least `lines_of` the
        rows. All of them by default.

    Returns
    -------
    ndarray
        Shape ``(len(rows), w)``, float32.
    """
    whole = len(across) if size is None else size
    first = 0 if part is None else part.start
    return _interpolate(across, _sources(rows, height, whole, half_pixel) - first)


def lines_of(
    first: int, last: int, length: int, size: int, *, half_pixel: bool
) -> slice:
    """Return the rows of a grid that some pixels are interpolated from.

    Parameters
    ----------
    first, last
        The pixels, the last excluded; at least one.
    length
        Pixels of the box that the grid covers.
    size
        Rows of the grid.
    half_pixel
        Convention, see the module.
    """
    ends = _sources(np.array([first, last - 1]), length, size, half_pixel)
    return slice(int(ends[0]), min(int(ends[1]) + 2, size))


def _sources(
    targets: NDArray[np.intp], length: int, size: int, half_pixel: bool
) -> NDArray[np.float64]:
    """Return where on a grid of ``size`` the pixels of a box of ``length`` lie."""
    if half_pixel:
        centres = (targets.astype(np.float64) + 0.5) * (size / length) - 0.5
        return np.clip(centres, 0, size - 1)
    return targets.astype(np.float64) * ((size - 1) / max(1, length - 1))


def samples_between(
    low: int, high: int, length: int, size: int, *, half_pixel: bool
) -> slice:
    """Return the pixels that lie between two places of a grid, both excluded.

    Parameters
    ----------
    low, high
        Indices into the grid; beyond it there is no limit.
    length
        Pixels of the box that the grid covers, along this axis.
    size
        That of the grid.
    half_pixel
        Convention, see the module.
    """
    places = _sources(np.arange(length), length, size, half_pixel)
    return slice(
        int(np.searchsorted(places, low, side="right")) if low >= 0 else 0,
        int(np.searchsorted(places, high, side="left")) if high < size else length,
    )


def from_grid(
    places: NDArray[np.float64], length: int, size: int, *, half_pixel: bool
) -> NDArray[np.float64]:
    """Return where places on a grid of ``size`` lie in a box of ``length`` pixels."""
    if half_pixel:
        return (places + 0.5) * (length / size) - 0.5
    return places * ((length - 1) / max(1, size - 1))


def _interpolate(values: Floats, positions: NDArray[np.float64]) -> Floats:
    """Interpolate linearly along the first axis."""
    low = np.minimum(positions.astype(np.intp), len(values) - 1)
    high = np.minimum(low + 1, len(values) - 1)
    weight = (positions - low).astype(np.float32)[:, None]
    first, second = values[low], values[high]
    second -= first
    second *= weight
    first += second
    return first


def to_network(source: Reader, box: Box, size: int, *, half_pixel: bool) -> Tensor:
    """Resize the pixels of a box to ``size x size``.

    Returns
    -------
    Tensor
        Shape ``(C, size, size)``, float32, on the CPU.
    """
    if half_pixel:
        return _shrink_filtered(source, box, size)
    return _shrink_published(source, box, size)


def mask_to_network(
    previous: SeparableReader, box: Box, size: int, *, half_pixel: bool
) -> Tensor:
    """Resize the probability of a prediction, as :func:`to_network` would.

    In the half-pixel convention all steps are linear along one axis, so columns are
    brought to the network's grid before the rows are made: much less work.
    """
    if not half_pixel:
        return _shrink_published(previous, box, size)
    import torch  # heavy: only when a model is in use
    from torch.nn.functional import interpolate

    across = torch.from_numpy(previous.read_cols(slice(box[1], box[3])))[None, None]
    target = (across.shape[2], size)
    narrow = interpolate(across, target, mode="bilinear", antialias=True)[0, 0]
    whole = previous.read_rows(narrow.numpy(), slice(box[0], box[2]))
    return interpolate(
        torch.from_numpy(whole)[None, None],
        (size, size),
        mode="bilinear",
        antialias=True,
    )[0]


def there_and_back(grid: Floats, shape: tuple[int, int]) -> Floats:
    """Stretch a grid to the box that it covers, and shrink that to the grid again.

    That is `mask_to_network` of the same box and size, in the half-pixel convention. A
    sample mixes with few neighbours then, so nothing of the size of the box is made.

    Parameters
    ----------
    grid
        Values on the network grid, shape ``(h, w)``.
    shape
        Height and width of the box, in data pixels.

    Returns
    -------
    ndarray
        Shape ``(h, w)``, float32.
    """
    mixed = grid
    for axis, length in enumerate(shape):
        before, mixed = mixed, np.zeros_like(mixed)
        for offset, weights in _mixing(length, grid.shape[axis]):
            first, last = max(0, -offset), len(weights) - max(0, offset)
            inside = slice(first, last), slice(first + offset, last + offset)
            if axis == 0:
                mixed[inside[0]] += weights[inside[0], None] * before[inside[1]]
            else:
                mixed[:, inside[0]] += weights[inside[0]] * before[:, inside[1]]
    return mixed


@lru_cache(maxsize=16)
def _mixing(length: int, size: int) -> tuple[tuple[int, Floats], ...]:
    """Return the weights of each sample's neighbours, by their offset; not of zeros."""
    import torch  # heavy: only when a model is in use
    from torch.nn.functional import interpolate

    unit = np.eye(size, dtype=np.float32)
    stretched = interpolate_columns(unit, length, np.arange(length), half_pixel=True)
    shrunk = interpolate(
        torch.from_numpy(stretched)[None, None],
        (size, size),
        mode="bilinear",
        antialias=True,
    )[0, 0].numpy()
    found = []
    for offset in range(1 - size, size):
        weights = np.zeros(size, dtype=np.float32)
        diagonal = np.diagonal(shrunk, -offset)  # of sample i + offset in sample i
        start = max(0, -offset)
        weights[start : start + len(diagonal)] = diagonal
        if weights.any():
            found.append((offset, weights))
    return tuple(found)


def _shrink_published(source: Reader, box: Box, size: int) -> Tensor:
    """Read only the four neighbours of each sample: enough without a filter."""
    import torch  # heavy: only when a model is in use

    rows, row_weight = _neighbours(box[0], box[2], size)
    cols, col_weight = _neighbours(box[1], box[3], size)
    values = torch.from_numpy(source.read(rows, cols))
    upper, lower = values[:, :size], values[:, size:]
    values = upper + torch.from_numpy(row_weight)[:, None] * (lower - upper)
    left, right = values[..., :size], values[..., size:]
    return left + torch.from_numpy(col_weight) * (right - left)


def _neighbours(start: int, stop: int, size: int) -> tuple[NDArray[np.intp], Floats]:
    """Return lower then upper neighbours of each sample, and the upper's weight."""
    positions = np.arange(size) * ((stop - start - 1) / max(1, size - 1))
    low = positions.astype(np.intp)
    high = np.minimum(low + 1, stop - start - 1)
    weight = (positions - low).astype(np.float32)
    return start + np.concatenate([low, high]), weight


def _shrink_filtered(source: Reader, box: Box, size: int) -> Tensor:
    """Filter and resize along columns strip by strip, then along rows."""
    import torch  # heavy: only when a model is in use
    from torch.nn.functional import interpolate

    step = max(1, (box[2] - box[0]) // (ENOUGH_ROWS * size))
    rows = range(box[0] + step // 2, box[2], step)
    cols = slice(box[1], box[3])
    narrow = []
    for strip in strips(len(rows), box[3] - box[1]):
        part = rows[strip]
        values = source.read(slice(part.start, part.stop, step), cols)
        target = (values.shape[1], size)
        batch = torch.from_numpy(values)[None]
        narrow.append(interpolate(batch, target, mode="bilinear", antialias=True))
    whole = torch.cat(narrow, dim=2)
    return interpolate(whole, (size, size), mode="bilinear", antialias=True)[0]
