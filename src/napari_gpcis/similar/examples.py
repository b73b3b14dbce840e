"""Examples of a kind of object: a few features from inside and around each."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from napari_gpcis.errors import InputError, several
from napari_gpcis.geometry import depth, overlap, scan, slices
from napari_gpcis.inference.start_mask import inner_click
from napari_gpcis.similar.tiles import lay_tiles, tile_at

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from numpy.typing import NDArray

    from napari_gpcis.clicks import Click
    from napari_gpcis.geometry import Box, Mask
    from napari_gpcis.inference.engine import FrameFeatures
    from napari_gpcis.inference.image import PreparedImage
    from napari_gpcis.inference.resampling import Floats
    from napari_gpcis.inference.segmenter import Segmenter
    from napari_gpcis.similar.candidate import Candidate

INSIDE, AROUND = 12, 18
"""Inducing points of each example."""
MAX_POINTS = 600
"""Inducing points of all examples; many examples have fewer each."""
MAX_EXAMPLES = 100
"""More examples than this are thinned out evenly."""
RIM, RING = 0.08, 0.6
"""Begin and end of the surroundings of an object, in its longer sides."""


class Points(NamedTuple):
    """Inducing points of the Gaussian process."""

    features: Floats
    """Deep features, then colour, shape ``(n, d + 3)``."""
    targets: NDArray[np.float64]
    """1 inside an example, -1 around it and in a rejected candidate, ``(n,)``."""
    noise: NDArray[np.float64]
    """Variance of the noise of each, ``(n,)``."""


NOISE_INSIDE, NOISE_AROUND, NOISE_REJECTED = 1.5, 1.5, 0.3
"""Variances; the kernel is about 4 at distance 0. What was rejected is certain."""


@dataclass(frozen=True, eq=False)
class Examples:
    """Examples of the objects to look for: features and sizes; goes with one model.

    Attributes
    ----------
    points
        The inducing points of the Gaussian process.
    sides
        Longer side of each example's box, pixels.
    areas
        Pixels of each example.
    places
        A click in the middle of each example.
    model
        Name of the model whose features these are.
    """

    points: Points
    sides: tuple[int, ...]
    areas: tuple[int, ...]
    places: tuple[Click, ...]
    model: str

    @property
    def side(self) -> float:
        """Median of the longer sides, pixels."""
        return float(np.median(self.sides))

    def joined(self, other: Examples) -> Examples:
        """Return these examples with those of another image.

        Raises
        ------
        InputError
            If they are those of another model.
        """
        if other.model != self.model:
            msg = (
                f"examples must be those of one model, got {self.model!r} and "
                f"{other.model!r}"
            )
            raise InputError(msg)
        one, two = self.points, other.points
        return Examples(
            Points(
                np.concatenate([one.features, two.features]),
                np.concatenate([one.targets, two.targets]),
                np.concatenate([one.noise, two.noise]),
            ),
            self.sides + other.sides,
            self.areas + other.areas,
            self.places + other.places,
            self.model,
        )


def collect(
    segmenter: Segmenter,
    prepared: PreparedImage,
    labels: NDArray[np.integer],
    ids: Iterable[int] | int | None = None,
    rejected: Sequence[Candidate] = (),
) -> Examples:
    """Return the features of example objects.

    Parameters
    ----------
    segmenter
        The model.
    prepared
        The image.
    labels
        Objects, shape (H, W), 0 and less for background.
    ids
        That, or those, that are examples; by default all. The others are neither.
    rejected
        Candidates that are no such objects.

    Raises
    ------
    InputError
        If there is no example, or one of the ids is not among the labels.
    """
    wanted = None
    if ids is not None:
        whole = (int, np.integer)
        wanted = sorted({*map(int, several(ids, whole, "examples", "ids of objects"))})
    entries = scan(labels, only=wanted) or {}
    missing = [label for label in wanted or () if label not in entries]
    if missing or not entries:
        what = f"got {missing[0]}" if missing else "there is none"
        msg = f"examples must be ids of objects in the labels: {what}"
        raise InputError(msg)
    step = max(1, -(-len(entries) // MAX_EXAMPLES))
    chosen = dict(list(entries.items())[::step])
    sides = tuple(max(_size(entry.box)) for entry in chosen.values())
    tiles = lay_tiles(prepared.shape, float(np.median(sides)))
    share = min(1.0, MAX_POINTS / ((INSIDE + AROUND) * (len(chosen) + len(rejected))))
    counts = max(2, round(share * INSIDE)), max(2, round(share * AROUND))
    parts: list[Points] = []
    places = []
    for label, entry in chosen.items():
        mask = np.asarray(labels[slices(entry.box)]) == label
        click = inner_click(mask, entry.box[:2])
        places.append(click)
        frame = tile_at(tiles, click).frame
        found = segmenter.features(prepared, frame)
        parts += _example(found, frame, labels, label, click, counts)
    for candidate in rejected:
        frame = tile_at(tiles, candidate.click).frame
        found = segmenter.features(prepared, frame)
        inside = _cells_of(candidate.box, candidate.mask, frame, grid_of(found))
        parts.append(
            _points(found, inside, candidate.click, frame, counts[0], REJECTED)
        )
    points = Points(*(np.concatenate(column) for column in zip(*parts, strict=True)))
    areas = tuple(entry.area for entry in chosen.values())
    return Examples(points, sides, areas, tuple(places), segmenter.info.name)


INSIDE_KIND = 1.0, NOISE_INSIDE
AROUND_KIND = -1.0, NOISE_AROUND
REJECTED = -1.0, NOISE_REJECTED


def grid_of(features: FrameFeatures) -> tuple[int, int]:
    """Return rows and columns of the cells of a frame."""
    rows, cols = features.colour.shape[1:]
    return rows, cols


def centres(start: int, stop: int, count: int) -> NDArray[np.intp]:
    """Return the pixels at the centres of cells along one axis."""
    middles = start + (np.arange(count) + 0.5) * (stop - start) / count
    return np.minimum(middles.astype(np.intp), stop - 1)


def _example(
    features: FrameFeatures,
    frame: Box,
    labels: NDArray[np.integer],
    label: int,
    click: Click,
    counts: tuple[int, int],
) -> list[Points]:
    """Return the points inside and around one object."""
    rows, cols = grid_of(features)
    index = np.ix_(centres(frame[0], frame[2], rows), centres(frame[1], frame[3], cols))
    seen = np.asarray(labels[index])
    cell = (frame[2] - frame[0]) / rows, (frame[3] - frame[1]) / cols
    mine = seen == label
    deep = depth(mine, cell) > max(cell)
    inside = deep if np.count_nonzero(deep) >= INSIDE // 2 else mine
    made = [_points(features, inside, click, frame, counts[0], INSIDE_KIND)]
    if mine.any():
        outside = depth(np.pad(~mine, 1, constant_values=True), cell)[1:-1, 1:-1]
        lengths = (np.ptp(places) + 1 for places in np.nonzero(mine))
        side = max(n * size for n, size in zip(lengths, cell, strict=True))
        ring = (seen <= 0) & (outside > RIM * side)
        ring &= outside <= max(cell) + RING * side
        if ring.any():
            made.append(_points(features, ring, click, frame, counts[1], AROUND_KIND))
    return made


def _points(
    features: FrameFeatures,
    cells: Mask,
    click: Click,
    frame: Box,
    count: int,
    kind: tuple[float, float],
) -> Points:
    """Return a few of the cells, as different as can be; that of the click if none."""
    if not cells.any():
        cells = np.zeros_like(cells)
        row, col = click.pixel
        cells[
            (row - frame[0]) * len(cells) // (frame[2] - frame[0]),
            (col - frame[1]) * cells.shape[1] // (frame[3] - frame[1]),
        ] = True
    values = vectors(features)[cells.ravel()]
    values = values[farthest_points(values, count)]
    size = len(values)
    target, noise = kind
    noise *= size / count  # few points that differ stand for as many observations
    return Points(values, np.full(size, target), np.full(size, noise))


def vectors(features: FrameFeatures) -> Floats:
    """Return deep features and colour of all cells, shape ``(h w, d + 3)``."""
    both = np.concatenate([features.deep, features.colour])
    return np.ascontiguousarray(both.reshape(len(both), -1).T)


def farthest_points(values: Floats, count: int) -> NDArray[np.intp]:
    """Return rows that lie far from each other, beginning with the most central.

    Parameters
    ----------
    values
        Shape ``(n, d)``, at least one row.
    count
        Most rows that are returned.
    """
    first = int(((values - values.mean(axis=0)) ** 2).sum(axis=1).argmin())
    chosen = [first]
    distance = ((values - values[first]) ** 2).sum(axis=1)
    while len(chosen) < min(count, len(values)):
        following = int(distance.argmax())
        if distance[following] <= 0:
            break
        chosen.append(following)
        distance = np.minimum(distance, ((values - values[following]) ** 2).sum(axis=1))
    return np.array(chosen, dtype=np.intp)


def _cells_of(box: Box, mask: Mask, frame: Box, grid: tuple[int, int]) -> Mask:
    """Return which cells of a frame have their centre on a mask."""
    found = np.zeros(grid, dtype=bool)
    if not overlap(box, frame):
        return found
    rows = centres(frame[0], frame[2], grid[0]) - box[0]
    cols = centres(frame[1], frame[3], grid[1]) - box[1]
    down = (rows >= 0) & (rows < mask.shape[0])
    over = (cols >= 0) & (cols < mask.shape[1])
    found[np.ix_(down, over)] = mask[np.ix_(rows[down], cols[over])]
    return found


def _size(box: Box) -> tuple[int, int]:
    """Return height and width of a box."""
    return box[2] - box[0], box[3] - box[1]
