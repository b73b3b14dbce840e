"""Hierarchy of superpixels: larger ones made by merging smaller ones."""

from __future__ import annotations

import heapq
import math
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np

from napari_gpcis.errors import InputError
from napari_gpcis.inference.image import to_rgb
from napari_gpcis.superpixels.methods import connected, raw_superpixels

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Sequence

    from numpy.typing import ArrayLike, NDArray

    from napari_gpcis.geometry import Box, Mask
    from napari_gpcis.inference.image import PreparedImage

    Labels = NDArray[np.int32]

FLAT = 0.02
"""Difference of colours that counts even where there is none: then small regions merge
first, so that those of a flat area grow evenly."""
FINER, COARSER = 2, 4
"""Up to so many doublings of the wanted number are there, and so many halvings."""
STEPS = 2
"""Levels between a number of superpixels and twice as many."""
LEAST_PIXELS = 16
"""Superpixels that are there to be merged have at least so many pixels on average."""
_STRIP = 1 << 22  # pixels handled at once
_CHECKED = 256  # merges between two looks at whether the answer is still wanted


@dataclass(frozen=True, eq=False)
class Hierarchy:
    """Superpixels on several levels, each nested in the next.

    Attributes
    ----------
    fine
        The finest superpixels, int32, shape (H, W), ids from 1 on without gaps.
    tables
        For each level, from many superpixels to few, its id of each fine one, int32;
        the entry of 0 is 0. Ids go from 1 on without gaps.
    """

    fine: Labels
    tables: tuple[Labels, ...]

    @property
    def counts(self) -> tuple[int, ...]:
        """Number of superpixels of each level, falling."""
        return tuple(int(table.max()) for table in self.tables)

    def labels(self, level: int) -> Labels:
        """Return the superpixels of a level, int32, shape (H, W)."""
        return np.asarray(self.tables[level][self.fine])

    @cached_property
    def fine_boxes(self) -> NDArray[np.int64]:
        """Boxes of the finest superpixels, half-open, shape (K + 1, 4)."""
        from scipy.ndimage import find_objects  # slow to import

        found = np.zeros((len(self.tables[0]), 4), np.int64)
        for number, (rows, cols) in enumerate(find_objects(self.fine), start=1):
            found[number] = rows.start, cols.start, rows.stop, cols.stop
        return found

    def region(self, level: int, ids: Collection[int]) -> tuple[Box, Mask]:
        """Return the pixels of superpixels of a level: their box, and a mask of it.

        Parameters
        ----------
        level
            The level.
        ids
            Which superpixels, at least one.
        """
        table = self.tables[level]
        members = np.isin(table, [*ids])
        boxes = self.fine_boxes[members]
        low, high = boxes[:, :2].min(axis=0), boxes[:, 2:].max(axis=0)
        box = int(low[0]), int(low[1]), int(high[0]), int(high[1])
        return box, members[self.fine[box[0] : box[2], box[1] : box[3]]]

    def borders(self, level: int) -> Mask:
        """Return the pixels whose right or lower neighbour is of another superpixel."""
        labels = self.labels(level)
        found = np.zeros(labels.shape, bool)
        found[:-1] = labels[:-1] != labels[1:]
        found[:, :-1] |= labels[:, :-1] != labels[:, 1:]
        return found

    def nearest(self, count: int) -> int:
        """Return the level whose number of superpixels is nearest, as a ratio."""
        away = [abs(math.log(one / max(count, 1))) for one in self.counts]
        return int(np.argmin(away))


def divide(
    image: PreparedImage,
    n: int,
    *,
    method: str = "auto",
    compactness: float | None = None,
    cancelled: Callable[[], bool] | None = None,
    begun: Callable[[int], object] | None = None,
) -> Hierarchy | None:
    """Return superpixels of an image on levels: finer and coarser ones than wanted.

    Parameters
    ----------
    image
        The image.
    n
        Wanted number; one of the levels has it.
    method, compactness
        See :func:`~napari_gpcis.superpixels.superpixels`. It makes the finest ones.
    cancelled
        Ends the work early when it returns true; the method itself goes on.
    begun
        Told which part of the work begins: 0 the method, 1 making its superpixels
        whole, 2 merging them.

    Returns
    -------
    Hierarchy or None
        ``None`` if it was cancelled.

    Raises
    ------
    InputError, CheckpointError
        See :func:`~napari_gpcis.superpixels.superpixels`.
    """
    pixels = image.shape[0] * image.shape[1]
    finest = min(n << FINER, max(n, pixels // LEAST_PIXELS))
    levels = range(-STEPS * FINER, STEPS * COARSER + 1)
    counts = [max(round(n / 2 ** (level / STEPS)), 1) for level in levels]
    stages: list[Callable[[Any], Any]] = [
        lambda _: raw_superpixels(image, finest, method, compactness, exact=False),
        lambda raw: connected(raw, finest),
        lambda fine: merge(fine, _colours(image), counts, cancelled),
    ]
    made: Any = None
    for number, stage in enumerate(stages):
        if begun is not None:
            begun(number)
        made = stage(made)
        if cancelled is not None and cancelled():
            return None
    whole: Hierarchy = made
    return whole


def _colours(image: PreparedImage) -> NDArray[np.float32]:
    """Return the colours of an image, RGB of shape (H, W, 3)."""
    rgb = to_rgb(image.read(slice(None), slice(None)))
    return np.asarray(np.moveaxis(rgb, 0, -1))


def merge(
    labels: ArrayLike,
    image: ArrayLike,
    counts: Sequence[int],
    cancelled: Callable[[], bool] | None = None,
) -> Hierarchy:
    """Merge superpixels step by step, those first that differ least.

    Two neighbours differ by the colours' variance that merging them would lose (the
    criterion of Ward), and the more, the less of their borders they share. So regions
    stay compact, and of alike ones the small merge first.

    Parameters
    ----------
    labels
        Superpixels, integers, shape (H, W): ids from 1 on without gaps, each a
        4-connected region, in the order of their first pixels.
    image
        Colours or other features, shape (H, W) or (H, W, C), of about [0, 1].
    counts
        Wanted numbers of superpixels, falling; those that are not below the number
        there is stand for it.
    cancelled
        Ends the work early when it returns true.

    Returns
    -------
    Hierarchy
        With a level for each different number.

    Raises
    ------
    InputError
        If shapes do not fit, ids have gaps, or a number is below 1.
    """
    fine, colours = _checked(labels, image)
    total = int(fine.max())
    wanted = sorted({min(int(one), total) for one in counts}, reverse=True)
    if not wanted or wanted[-1] < 1:
        msg = f"counts must be numbers from 1 on, got {counts!r}"
        raise InputError(msg)
    merges = _merges(fine, colours, total - wanted[-1], cancelled)
    return Hierarchy(
        fine, tuple(_table(merges[: total - one], total) for one in wanted)
    )


def _merges(
    fine: Labels,
    colours: NDArray[Any],
    wanted: int,
    cancelled: Callable[[], bool] | None,
) -> list[tuple[int, int]]:
    """Return so many merges in order: the region that grows, and the one that goes."""
    size, mean = _means(fine, colours)
    borders, outside = _borders(fine, len(size))
    version = [0] * len(size)
    queue: list[tuple[float, int, int, int, int]] = []

    def push(one: int, other: int) -> None:
        """Have a pair of neighbours merged in its turn."""
        small = min(outside[one], outside[other])
        channels = zip(mean[one], mean[other], strict=True)
        apart = sum((first - second) ** 2 for first, second in channels) + FLAT**2
        share = size[one] * size[other] / (size[one] + size[other])
        cost = share * apart * small / borders[one][other]
        one, other = min(one, other), max(one, other)
        heapq.heappush(queue, (cost, one, other, version[one], version[other]))

    for one, around in enumerate(borders):
        for other in around:
            if one < other:
                push(one, other)
    merges: list[tuple[int, int]] = []
    while queue and len(merges) < wanted:
        if cancelled is not None and len(merges) % _CHECKED == 0 and cancelled():
            break
        _, one, other, first, second = heapq.heappop(queue)
        if (first, second) != (version[one], version[other]):
            continue  # one of them has grown since, or gone
        merges.append((one, other))
        both = size[one] + size[other]
        weights = size[one] / both, size[other] / both
        channels = zip(mean[one], mean[other], strict=True)
        mean[one] = [a * weights[0] + b * weights[1] for a, b in channels]
        size[one] = both
        version[one] += 1
        version[other] = -1
        outside[one] += outside[other] - 2 * borders[one][other]
        gone, borders[other] = borders[other], {}
        for region, length in gone.items():
            del borders[region][other]
            if region != one:
                borders[one][region] = borders[one].get(region, 0) + length
                borders[region][one] = borders[one][region]
        for region in borders[one]:
            push(one, region)
    return merges


def _means(
    fine: Labels, colours: NDArray[Any]
) -> tuple[list[float], list[list[float]]]:
    """Return the size and the mean colour of each region, from region 1 on."""
    flat = fine.ravel()
    values = colours.reshape(flat.size, -1)
    size = np.bincount(flat)[1:].astype(float)
    sums = [np.bincount(flat, weights=channel)[1:] for channel in values.T]
    mean = np.stack(sums, axis=1) / size[:, None]
    return size.tolist(), mean.tolist()  # numbers of Python are quicker one by one


def _borders(fine: Labels, count: int) -> tuple[list[dict[int, int]], list[int]]:
    """Return the pixel edges that regions have in common, and those of each."""
    found: list[dict[int, int]] = [{} for _ in range(count)]
    height, width = fine.shape
    step = max(_STRIP // width, 1)
    for top in range(0, height, step):
        part = fine[top : top + step + 1]
        sides = [(part[:-1], part[1:]), (part[:step, :-1], part[:step, 1:])]
        for one, other in sides:
            edges = one != other
            low = np.minimum(one[edges], other[edges]).astype(np.int64) - 1
            high = np.maximum(one[edges], other[edges]).astype(np.int64) - 1
            pairs, lengths = np.unique(low * count + high, return_counts=True)
            for pair, length in zip(pairs.tolist(), lengths.tolist(), strict=True):
                first, second = divmod(pair, count)
                known = found[first].get(second, 0) + length
                found[first][second] = found[second][first] = known
    return found, [sum(around.values()) for around in found]


def _table(merges: Sequence[tuple[int, int]], total: int) -> Labels:
    """Return the ids after merges, in the order of the first fine superpixels."""
    root = np.arange(total)
    for one, other in reversed(merges):  # the last merge is at the root of its tree
        root[other] = root[one]
    first = np.full(total, total)
    np.minimum.at(first, root, np.arange(total))
    ids = np.unique(first[root], return_inverse=True)[1] + 1
    return np.concatenate([[0], ids]).astype(np.int32)


def _checked(labels: ArrayLike, image: ArrayLike) -> tuple[Labels, NDArray[Any]]:
    """Return superpixels and colours as arrays, or raise `InputError`."""
    fine, colours = np.asarray(labels), np.asarray(image)
    if fine.ndim != 2 or fine.size == 0 or fine.dtype.kind not in "ui":
        msg = (
            f"labels must be integers of shape (H, W), got {fine.dtype} of shape "
            f"{fine.shape}"
        )
        raise InputError(msg)
    if colours.shape[:2] != fine.shape or colours.ndim not in (2, 3):
        msg = (
            f"image must have shape {fine.shape} or {(*fine.shape, 'C')}, got "
            f"{colours.shape}"
        )
        raise InputError(msg)
    if fine.min() < 1 or not np.bincount(fine.ravel())[1:].all():
        msg = "labels must be ids from 1 on without gaps"
        raise InputError(msg)
    return fine.astype(np.int32, copy=False), colours
