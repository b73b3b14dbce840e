"""Features of superpixels, pooled from the cells of a grid over the plane.

A cell is what a pixel is to the network: a few pixels of the plane that have one vector
of features. The network sees the plane in frames that overlap; each cell has the
features of the one frame whose core it lies in. None of them depends on a click.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np

from napari_gpcis.errors import InputError
from napari_gpcis.geometry import frames_along, row_strips
from napari_gpcis.inference.image import to_rgb
from napari_gpcis.inference.region import MIN_FRAME
from napari_gpcis.inference.resampling import interpolate_rows

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from numpy.typing import NDArray

    from napari_gpcis.geometry import Box
    from napari_gpcis.inference.engine import FrameFeatures
    from napari_gpcis.inference.image import PreparedImage
    from napari_gpcis.inference.resampling import Floats

CELLS = 4
"""Cells along the side of a mean superpixel."""
FRAME = 64
"""Cells along the side of a frame."""
MARGIN = 8
"""Cells of a frame beyond its core."""
MOST_CELLS = 1 << 19
"""Planes have at most about so many cells; they are larger otherwise."""
_STRIP = 1 << 20  # pixels that are pooled at once


class FeatureSource(Protocol):
    """Anything with features without clicks, as `napari_gpcis.Segmenter`."""

    def features(self, prepared: PreparedImage, frame: Box) -> FrameFeatures:
        """Return the features of a frame of a plane."""


@dataclass(frozen=True, eq=False)
class CellGrid:
    """Features of a plane on square cells.

    Attributes
    ----------
    shape
        Height and width of the plane.
    side
        Of a cell, pixels; the last cell of a row or column may be smaller.
    deep
        Features of a network, float16, shape ``(h, w, c)``; ``c`` may be 0.
    """

    shape: tuple[int, int]
    side: int
    deep: NDArray[np.float16]

    def deep_at(self, rows: NDArray[np.intp], cols: NDArray[np.intp]) -> Floats:
        """Return the deep features at some pixels, interpolated between cells.

        Parameters
        ----------
        rows, cols
            Pixels, shape ``(n,)`` each.

        Returns
        -------
        array
            Float32, shape ``(n, c)``.
        """
        low, high, weights = zip(
            *(
                _between(places, self.side, cells)
                for places, cells in zip((rows, cols), self.deep.shape[:2], strict=True)
            ),
            strict=True,
        )
        down, over = (weight[:, None] for weight in weights)
        upper = self.deep[low[0], low[1]] * (1 - over)
        upper += self.deep[low[0], high[1]] * over
        lower = self.deep[high[0], low[1]] * (1 - over)
        lower += self.deep[high[0], high[1]] * over
        return np.asarray(upper * (1 - down) + lower * down, np.float32)


@dataclass(frozen=True, eq=False)
class RegionFeatures:
    """Superpixels of a plane with what is known of each without any click.

    Arrays of superpixels are indexed by their ids; an id that no pixel has has area 0.

    Attributes
    ----------
    labels
        Superpixels, integers from 0, shape ``(H, W)``.
    cells
        The cells that were pooled.
    areas
        Pixels of each superpixel, shape ``(k,)``.
    centres
        Mean row and column, float64, shape ``(k, 2)``.
    deep, colour
        Means of features and of RGB in [0, 1], float32, shapes ``(k, c)`` and
        ``(k, 3)``.
    """

    labels: NDArray[np.integer[Any]]
    cells: CellGrid
    areas: NDArray[np.int64]
    centres: NDArray[np.float64]
    deep: Floats
    colour: Floats

    @property
    def side(self) -> float:
        """Side of a square with the mean area of a superpixel, pixels."""
        return math.sqrt(self.labels.size / np.count_nonzero(self.areas))

    @cached_property
    def borders(self) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
        """Pairs of superpixels side by side, the smaller id first."""
        count, found = len(self.areas), np.empty(0, np.int64)
        for rows in row_strips(self.labels.shape, _STRIP):
            strip = self.labels[rows.start : rows.stop + 1]
            keys = [found]
            for before, after in (
                (strip[:-1], strip[1:]),
                (strip[:, :-1], strip[:, 1:]),
            ):
                edges = before != after
                one = before[edges].astype(np.int64)
                two = after[edges].astype(np.int64)
                keys.append(np.minimum(one, two) * count + np.maximum(one, two))
            found = np.unique(np.concatenate(keys))
        return found // count, found % count


def region_features(
    prepared: PreparedImage,
    labels: NDArray[np.integer[Any]],
    source: FeatureSource | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> RegionFeatures:
    """Return the features of superpixels.

    Parameters
    ----------
    prepared
        The plane.
    labels
        Superpixels, integers from 0, shape ``(H, W)``.
    source
        The model whose features without clicks are pooled; ``None``: colour alone.
    progress
        Called with the frames that the network has seen, and their number.

    Raises
    ------
    InputError
        If the labels do not fit the plane.
    """
    _check(labels, prepared.shape)
    areas = _counted(labels)
    mean_area = labels.size / np.count_nonzero(areas)
    side = max(
        round(math.sqrt(mean_area) / CELLS),
        math.ceil(math.sqrt(labels.size / MOST_CELLS)),
        math.ceil(MIN_FRAME / FRAME),
    )
    grid = tuple(-(-length // side) for length in prepared.shape)
    deep = np.zeros((*grid, 0), np.float16)
    if source is not None:
        deep = _deep_cells(prepared, source, side, (grid[0], grid[1]), progress)
    count = len(areas)
    sums = np.zeros((count, deep.shape[2]), np.float32)
    colours, centres = np.zeros((count, 3)), np.zeros((count, 2))
    for rows in _cell_rows(prepared.shape, side):
        strip = np.ascontiguousarray(labels[rows])
        rgb = to_rgb(prepared.read(rows, slice(None)))
        colours += _sums(strip, list(rgb), count)
        down = np.arange(rows.start, rows.stop, dtype=np.float64)[:, None]
        over = np.arange(strip.shape[1], dtype=np.float64)[None]
        places = [np.broadcast_to(axis, strip.shape) for axis in (down, over)]
        centres += _sums(strip, places, count)
        if deep.shape[2]:
            top = rows.start // side
            part = deep[top : top + -(-strip.shape[0] // side)]
            _pool_cells(strip, part, side, sums)
    some = np.maximum(areas, 1)[:, None]
    return RegionFeatures(
        labels,
        CellGrid(prepared.shape, side, deep),
        areas,
        centres / some,
        np.asarray(sums / some, np.float32),
        (colours / some).astype(np.float32),
    )


def _deep_cells(
    prepared: PreparedImage,
    source: FeatureSource,
    side: int,
    grid: tuple[int, int],
    progress: Callable[[int, int], None] | None,
) -> NDArray[np.float16]:
    """Return the features of a model without clicks on the cells of a plane."""
    centres = [
        np.minimum(np.arange(cells) * side + side // 2, length - 1)
        for cells, length in zip(grid, prepared.shape, strict=True)
    ]
    found: NDArray[np.float16] | None = None
    frames = list(_frames(prepared.shape, side))
    for number, (frame, core) in enumerate(frames, 1):
        features = source.features(prepared, frame)
        inside = [
            np.flatnonzero((axis >= core[start]) & (axis < core[start + 2]))
            for start, axis in enumerate(centres)
        ]
        places = [axis[index] for axis, index in zip(centres, inside, strict=True)]
        values = _sampled(features, frame, places[0], places[1])
        if found is None:
            found = np.zeros((*grid, values.shape[2]), np.float16)
        found[np.ix_(inside[0], inside[1])] = values
        if progress is not None:
            progress(number, len(frames))
    assert found is not None
    return found


def _frames(shape: tuple[int, int], side: int) -> Iterator[tuple[Box, Box]]:
    """Yield the frames of a plane, each with its core."""
    length, margin = FRAME * side, MARGIN * side
    along = [frames_along(size, min(length, size), margin) for size in shape]
    for (top, bottom), rows in along[0]:
        for (left, right), cols in along[1]:
            yield (top, left, bottom, right), (rows[0], cols[0], rows[1], cols[1])


def _sampled(
    features: FrameFeatures,
    frame: Box,
    rows: NDArray[np.intp],
    cols: NDArray[np.intp],
) -> Floats:
    """Return deep features at pixels of a frame, ``(len(rows), len(cols), c)``."""
    deep = np.ascontiguousarray(features.deep.transpose(1, 2, 0))
    channels = deep.shape[2]
    if channels == 0:
        return np.zeros((len(rows), len(cols), 0), np.float32)
    height, width = frame[2] - frame[0], frame[3] - frame[1]
    down = interpolate_rows(
        deep.reshape(len(deep), -1), height, rows - frame[0], half_pixel=True
    ).reshape(len(rows), -1, channels)
    turned = np.ascontiguousarray(down.swapaxes(0, 1))
    over = interpolate_rows(
        turned.reshape(len(turned), -1), width, cols - frame[1], half_pixel=True
    )
    return over.reshape(len(cols), len(rows), channels).swapaxes(0, 1)


def _cell_rows(shape: tuple[int, int], side: int) -> Iterator[slice]:
    """Yield strips of whole rows of cells, as slices of pixels."""
    step = max(_STRIP // (shape[1] * side), 1) * side
    for top in range(0, shape[0], step):
        yield slice(top, min(top + step, shape[0]))


def _sums(
    labels: NDArray[np.integer[Any]], values: list[NDArray[Any]], count: int
) -> NDArray[np.float64]:
    """Return the sum of some values over each label, shape ``(count, values)``."""
    flat = labels.ravel()
    sums = [np.bincount(flat, value.ravel(), minlength=count) for value in values]
    return np.stack(sums, axis=1)


def _pool_cells(
    labels: NDArray[np.integer[Any]],
    deep: NDArray[np.float16],
    side: int,
    sums: Floats,
) -> None:
    """Add the features of the cells of a strip to the sums of its superpixels."""
    from scipy import sparse

    height, width = deep.shape[:2]
    rows, cols = (np.arange(size) // side for size in labels.shape)
    cell = (rows[:, None] * width + cols).ravel()
    first = int(labels.min())
    count = int(labels.max()) + 1 - first
    shared = sparse.coo_matrix(
        (np.ones(cell.size, np.float32), (labels.ravel() - first, cell)),
        shape=(count, height * width),
    ).tocsr()
    flat = deep.reshape(height * width, -1).astype(np.float32)
    sums[first : first + count] += shared @ flat


def _counted(labels: NDArray[np.integer[Any]]) -> NDArray[np.int64]:
    """Return the pixels of each label, strip by strip."""
    areas = np.zeros(int(labels.max()) + 1, np.int64)
    for rows in row_strips(labels.shape, _STRIP):
        areas += np.bincount(labels[rows].ravel(), minlength=areas.size)
    return areas


def _check(labels: NDArray[np.integer[Any]], shape: tuple[int, int]) -> None:
    """Raise `InputError` unless labels are superpixels of a plane."""
    if labels.dtype.kind not in "ui" or labels.shape != shape:
        msg = (
            f"labels must be integers of the image's shape {shape}, got "
            f"{labels.dtype} of shape {labels.shape}"
        )
        raise InputError(msg)
    low, high = int(labels.min()), int(labels.max())
    if low < 0 or high > labels.size:
        msg = (
            f"labels must be ids from 0 to at most the {labels.size} pixels, got "
            f"{low} to {high}"
        )
        raise InputError(msg)


def _between(
    places: NDArray[np.intp], side: int, cells: int
) -> tuple[NDArray[np.intp], NDArray[np.intp], Floats]:
    """Return the cells before and after pixels, and the share of the one after."""
    position = np.clip((places + 0.5) / side - 0.5, 0, cells - 1)
    low = position.astype(np.intp)
    high = np.minimum(low + 1, cells - 1)
    return low, high, (position - low).astype(np.float32)
