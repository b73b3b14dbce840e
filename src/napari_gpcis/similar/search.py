"""Search: objects like the examples, found on a map and segmented by the model.

Tile by tile, the map of similarity shows where something like the examples is. Its
deepest place that no object covers is clicked, as a robot user would click; the click
model's mask covers its part of the map, and the next place is looked for. So touching
objects come apart as clicks take them apart. All clicks of a tile share one encoding.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from napari_gpcis.clicks import Click
from napari_gpcis.errors import InputError, check_kind
from napari_gpcis.geometry import (
    box_of,
    contains,
    depth,
    overlap,
    slices,
    square_around,
)
from napari_gpcis.inference.region import frame_around, reaches_beyond
from napari_gpcis.next_click import expected_agreement
from napari_gpcis.similar.candidate import Candidate
from napari_gpcis.similar.examples import Examples, centres
from napari_gpcis.similar.similarity import SimilarityMap
from napari_gpcis.similar.tiles import FRAME_FACTOR, lay_tiles, nearest_first

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from numpy.typing import NDArray

    from napari_gpcis.geometry import Box, Mask
    from napari_gpcis.inference.image import PreparedImage
    from napari_gpcis.inference.prediction import Prediction
    from napari_gpcis.inference.resampling import Floats
    from napari_gpcis.inference.segmenter import Segmenter
    from napari_gpcis.inference.tidy import Tidy
    from napari_gpcis.similar.tiles import Tile

LEAST_CONFIDENCE = 0.2
"""Candidates of less confidence are left out by default."""
SHOWN = -0.3
"""The map's mean above which a cell resembles the examples."""
STEEPNESS = 5.0
"""Of the logistic curve that turns the map's mean into a likeness."""
FINE = 2
"""Places to click are looked for on a grid so many times as fine as the map."""
SHALLOW = 0.2
"""A place less deep than this share of the examples' smaller half is not clicked."""
BESIDE = 0.25
"""Nor is one so close beside a candidate, in radii of a disk of its area."""
SIZES = 5.0
"""Candidates are at most so many times as large or small as all examples."""
SPREAD = 0.6
"""Least standard deviation of the logarithm of areas."""
TAKEN = 0.5
"""A candidate is no new object if so much of it belongs to finished ones."""
SAME = 0.35
"""Of two candidates that share so much of the smaller one, the better stays."""
OVERLAP = 2
"""Cells by which the maps of two tiles may differ about the middle of an object."""
MOST_IN_TILE = 400
"""Most clicks in one tile."""


class Found(NamedTuple):
    """Candidates of one tile, and how far the search is."""

    candidates: tuple[Candidate, ...]
    done: int
    """Tiles searched, this one included."""
    total: int
    """Tiles of the plane."""


def search(
    segmenter: Segmenter,
    prepared: PreparedImage,
    labels: NDArray[np.integer],
    examples: Examples,
    *,
    threshold: float | None = None,
    tidy: Tidy | None = None,
    cancelled: Callable[[], bool] = lambda: False,
) -> Iterator[Found]:
    """Yield candidates tile by tile, those near the examples first.

    Candidates of two tiles may be the same object: see :func:`resolved`.

    Parameters
    ----------
    segmenter
        The model.
    prepared
        The image.
    labels
        Finished objects, shape (H, W), which are not found again.
    examples
        What to look for, on this image or another one.
    threshold
        Probability above which a pixel is object; the model's by default.
    tidy
        Rules by which masks are tidied; ``None``: they are not.
    cancelled
        Asked before each tile; if true, nothing more comes.

    Raises
    ------
    InputError
        If the examples are those of another model.
    """
    check_kind(examples, Examples, "examples", "those that `collect` returns")
    if examples.model != segmenter.info.name:
        msg = (
            f"examples must be those of the model {segmenter.info.name!r}, got "
            f"examples of {examples.model!r}"
        )
        raise InputError(msg)
    finder = _Finder(segmenter, prepared, labels, examples, threshold, tidy)
    tiles = lay_tiles(prepared.shape, examples.side)
    ordered = nearest_first(tiles, _inside(examples.places, prepared.shape))
    for number, tile in enumerate(ordered, start=1):
        if cancelled():
            return
        yield Found(tuple(finder.candidates(tile)), number, len(tiles))


def resolved(
    candidates: Iterable[Candidate],
    least: float = 0.0,
    rejected: Iterable[Candidate] = (),
) -> list[Candidate]:
    """Return candidates by falling confidence, without those that are another's.

    Of two that share more than about a third of the smaller one, the more confident
    stays.

    Parameters
    ----------
    candidates
        From :func:`search`.
    least
        Least confidence.
    rejected
        Candidates that do not return.
    """
    ordered = sorted(
        (one for one in candidates if one.confidence >= least),
        key=lambda one: (-one.confidence, one.box),
    )
    kept: list[Candidate] = []
    near = _Neighbours()
    for candidate in rejected:
        near.add(candidate)
    for candidate in ordered:
        if not any(_shared(candidate, other) > SAME for other in near.of(candidate)):
            kept.append(candidate)
            near.add(candidate)
    return kept


class _Neighbours:
    """Candidates by the blocks of the plane that their boxes touch."""

    BLOCK = 256

    def __init__(self) -> None:
        self._blocks: dict[tuple[int, int], list[Candidate]] = {}

    def add(self, candidate: Candidate) -> None:
        """Add one."""
        for block in self._touched(candidate.box):
            self._blocks.setdefault(block, []).append(candidate)

    def of(self, candidate: Candidate) -> set[Candidate]:
        """Return those whose boxes touch the same blocks."""
        return {
            other
            for block in self._touched(candidate.box)
            for other in self._blocks.get(block, ())
        }

    def _touched(self, box: Box) -> Iterator[tuple[int, int]]:
        for row in range(box[0] // self.BLOCK, (box[2] - 1) // self.BLOCK + 1):
            for col in range(box[1] // self.BLOCK, (box[3] - 1) // self.BLOCK + 1):
                yield row, col


class _Finder:
    """Search of one plane."""

    def __init__(
        self,
        segmenter: Segmenter,
        prepared: PreparedImage,
        labels: NDArray[np.integer],
        examples: Examples,
        threshold: float | None,
        tidy: Tidy | None,
    ) -> None:
        self._segmenter, self._prepared, self._labels = segmenter, prepared, labels
        self._map = SimilarityMap(examples)
        self._threshold, self._tidy = threshold, tidy
        self._side = examples.side
        logs = np.log(examples.areas)
        self._areas = min(examples.areas) / SIZES, max(examples.areas) * SIZES
        self._usual = float(np.median(logs)), max(SPREAD, 1.5 * float(np.std(logs)))
        # of a disk of the smallest example's area
        self._radius = _radius(min(examples.areas))

    def candidates(self, tile: Tile) -> Iterator[Candidate]:
        """Yield the candidates whose clicks lie in the core of a tile."""
        frame = tile.frame
        coarse = self._map.mean(self._segmenter.features(self._prepared, frame))
        grid = _Grid(frame, coarse)
        free = np.asarray(self._labels[grid.index]) <= 0
        for _ in range(MOST_IN_TILE):
            value = self._worth(grid, free)
            place = _largest(np.where(grid.inside(tile.core), value, 0))
            if place is None:
                return
            click = Click(int(grid.rows[place[0]]), int(grid.cols[place[1]]))
            if self._belongs_beyond(click, value, value[place], grid, tile.core):
                free &= ~grid.near(click, SHALLOW * self._radius)
                continue
            found, view = self._segment(click, frame)
            candidate = self._candidate(found, view, grid)
            reach = SHALLOW * 2 * self._radius
            if candidate is not None:
                free &= ~grid.about(candidate.box, candidate.mask)
                yield candidate
            else:
                area = int(np.count_nonzero(found.trimmed[1]))
                reach = max(reach, min(self._side, _radius(area) / 2))
            free &= ~grid.near(click, reach)

    def _worth(self, grid: _Grid, free: Mask) -> Floats:
        """Return what each cell is worth as the place of a click, 0 for nothing."""
        left = (grid.mean > SHOWN) & free
        depths = depth(left, grid.cell)
        least = max(SHALLOW * self._radius, min(grid.cell))
        value: Floats = np.minimum(depths, self._radius) * grid.smooth
        value[depths < least] = 0
        return value

    def _belongs_beyond(
        self, click: Click, value: Floats, own: float, grid: _Grid, core: Box
    ) -> bool:
        """Return whether a place is the flank of an object of a neighbouring tile.

        Its middle, worth more, is then near and surely beyond the core: the map of
        that tile may differ by a cell or two.
        """
        high, wide = (math.ceil(OVERLAP * side) for side in grid.cell)
        wider = core[0] - high, core[1] - wide, core[2] + high, core[3] + wide
        beyond = grid.near(click, self._radius) & ~grid.inside(wider)
        return bool((value[beyond] > own).any())

    def _segment(self, click: Click, frame: Box) -> tuple[Prediction, Box]:
        """Segment the object of a click; return the view it was zoomed to as well.

        That is the frame, or one of its own if the object may go on beyond it.
        """
        found, shape = self._predict(click, frame), self._prepared.shape
        box = found.trimmed[0]
        if box[2] > box[0] and reaches_beyond(box, frame, shape):
            about = square_around(click, max(1, round(self._side)), shape)
            own = frame_around(about, shape, FRAME_FACTOR)
            if own != frame:
                return self._predict(click, own), own
        return found, frame

    def _predict(self, click: Click, frame: Box) -> Prediction:
        found = self._segmenter.step(
            self._prepared, (click,), None, frame, exact_view=True
        )
        if self._threshold is not None:
            found = found.with_threshold(self._threshold)
        return found.with_tidy(self._tidy)

    def _candidate(self, found: Prediction, view: Box, grid: _Grid) -> Candidate | None:
        """Return the object of a prediction; ``None`` if it is no new object."""
        box, mask = found.trimmed
        area = int(np.count_nonzero(mask))
        if not self._areas[0] <= area <= self._areas[1]:
            return None
        taken = np.asarray(self._labels[slices(box)]) > 0
        if np.count_nonzero(mask & taken) > TAKEN * area:
            return None
        cells = grid.on_cells(box, mask)
        if not cells.any():
            return None
        similarity = float(_likeness(grid.mean[cells].mean()))
        quality = expected_agreement(found)
        middle, spread = self._usual
        size = float(np.exp(-0.5 * ((np.log(area) - middle) / spread) ** 2))
        return Candidate(
            box,
            mask,
            found.clicks[0],
            view,
            found.threshold,
            quality * similarity * size,
            quality,
            similarity,
            self._tidy,
        )


def _largest(value: Floats) -> tuple[int, int] | None:
    """Return the cell of the largest value; ``None`` if all are 0."""
    row, col = divmod(int(value.argmax()), value.shape[1])
    return (row, col) if value[row, col] > 0 else None


def _radius(area: float) -> float:
    """Return the radius of a disk of an area."""
    return float(np.sqrt(area / np.pi))


def _likeness(mean: Any) -> Any:
    """Return the map's mean as a number in (0, 1); 0.5 at `SHOWN`."""
    return 1 / (1 + np.exp(-STEEPNESS * (mean - SHOWN)))


class _Grid:
    """Map of a frame on the cells where places to click are looked for."""

    def __init__(self, frame: Box, coarse: Floats) -> None:
        from scipy.ndimage import gaussian_filter, zoom

        rows, cols = (size * FINE for size in coarse.shape)
        rows, cols = min(rows, frame[2] - frame[0]), min(cols, frame[3] - frame[1])
        self.frame = frame
        self.rows = centres(frame[0], frame[2], rows)
        self.cols = centres(frame[1], frame[3], cols)
        self.index = np.ix_(self.rows, self.cols)
        self.cell = (frame[2] - frame[0]) / rows, (frame[3] - frame[1]) / cols
        factors = rows / coarse.shape[0], cols / coarse.shape[1]
        self.mean = zoom(coarse, factors, order=1, mode="nearest", grid_mode=True)
        smooth = gaussian_filter(self.mean, 2 * FINE, mode="nearest")
        self.smooth = _likeness(smooth)

    def inside(self, box: Box) -> Mask:
        """Return the cells whose centres lie in a box."""
        down = (self.rows >= box[0]) & (self.rows < box[2])
        over = (self.cols >= box[1]) & (self.cols < box[3])
        found: Mask = down[:, None] & over
        return found

    def near(self, click: Click, reach: float) -> Mask:
        """Return the cells whose centres are near a click, that of the click too."""
        row, col = click.pixel
        squared = (self.rows[:, None] - row) ** 2 + (self.cols - col) ** 2
        found: Mask = squared <= max(reach, *self.cell) ** 2
        return found

    def about(self, box: Box, mask: Mask) -> Mask:
        """Return the cells whose centres lie on a candidate's mask or close beside."""
        from scipy.ndimage import distance_transform_edt

        found = self.on_cells(box, mask)
        inside = box_of(found)
        if inside is None:
            return found
        reach = BESIDE * _radius(int(np.count_nonzero(mask)))
        high, wide = (math.ceil(reach / side) for side in self.cell)
        top, left = max(0, inside[0] - high), max(0, inside[1] - wide)
        window = found[top : inside[2] + high, left : inside[3] + wide]
        window[:] = distance_transform_edt(~window, self.cell) <= reach
        return found

    def on_cells(self, box: Box, mask: Mask) -> Mask:
        """Return the cells whose centres lie on a mask."""
        found = np.zeros(self.mean.shape, dtype=bool)
        rows, cols = self.rows - box[0], self.cols - box[1]
        down = (rows >= 0) & (rows < mask.shape[0])
        over = (cols >= 0) & (cols < mask.shape[1])
        found[np.ix_(down, over)] = mask[np.ix_(rows[down], cols[over])]
        return found


def _shared(one: Candidate, other: Candidate) -> float:
    """Return how much of the smaller of two candidates belongs to both."""
    if not overlap(one.box, other.box):
        return 0.0
    low = max(one.box[0], other.box[0]), max(one.box[1], other.box[1])
    high = min(one.box[2], other.box[2]), min(one.box[3], other.box[3])
    parts = [
        each.mask[
            low[0] - each.box[0] : high[0] - each.box[0],
            low[1] - each.box[1] : high[1] - each.box[1],
        ]
        for each in (one, other)
    ]
    joint = np.count_nonzero(parts[0] & parts[1])
    return float(joint / min(one.area, other.area))


def _inside(places: Iterable[Click], shape: tuple[int, int]) -> list[Click]:
    """Return the places on a plane; its first pixel if none is."""
    whole = 0, 0, shape[0], shape[1]
    return [place for place in places if contains(whole, place)] or [Click(0, 0)]
