"""Connected superpixels of a wanted number: parts joined, merged and split."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from scipy import sparse
from skimage.measure import label as connected_parts

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Labels = NDArray[np.int32]

SMALLEST = 0.06
"""Parts below this share of the mean size join a neighbour, as published."""
TOLERANCE = 0.1
"""The number of superpixels is right within this share."""
_STRIP = 1 << 22  # pixels handled at once where indices are needed


class Shrunk(NamedTuple):
    """Labels of a plane at the size that they were computed at."""

    labels: NDArray[np.integer[Any]]
    """Shape ``(h, w)``."""
    rows: NDArray[np.intp]
    """The row of the labels for each row of the plane, ascending."""
    cols: NDArray[np.intp]
    """The column of the labels for each column of the plane, ascending."""

    @property
    def smaller(self) -> bool:
        """True if each pixel of the labels is one of the plane's, or several."""
        height, width = self.labels.shape
        return bool(height <= len(self.rows) and width <= len(self.cols))

    def enlarged(self) -> NDArray[np.integer[Any]]:
        """Return the labels at the size of the plane."""
        if self.labels.shape == (len(self.rows), len(self.cols)):
            return self.labels
        wide = np.take(self.labels, self.cols, axis=1)
        return np.asarray(np.take(wide, self.rows, axis=0))


def connect(labels: NDArray[np.integer[Any]], smallest: float) -> Labels:
    """Return labels whose regions are 4-connected and not too small.

    Each connected part becomes a region. Parts with fewer pixels than ``smallest``,
    beginning with the smallest ones, join the neighbour with the longest common border.

    Parameters
    ----------
    labels
        Shape ``(H, W)``.
    smallest
        Pixels that a region must have, where there is more than one.

    Returns
    -------
    array
        Labels from 1 on without gaps, int32, in the order of their first pixels.
    """
    parts = _parts(labels)
    while True:
        sizes = np.bincount(parts.ravel())
        small = np.flatnonzero(sizes < smallest)
        if small.size == 0 or sizes.size == 1:
            break
        parts = _merge(parts, small[np.argsort(sizes[small], kind="stable")], sizes)
    return _numbered(parts)


def fit_count(labels: Labels, count: int) -> Labels:
    """Return connected labels with their number within 10 % of one.

    Too many regions: the smallest join a neighbour. Too few: the largest are halved.

    Parameters
    ----------
    labels
        4-connected regions from 1 on without gaps, shape ``(H, W)``.
    count
        Wanted number, at most that of the pixels.

    Returns
    -------
    array
        Labels from 1 on without gaps, int32.
    """
    parts = labels - np.int32(1)
    slack = int(TOLERANCE * count)
    while (found := int(parts.max()) + 1) > count + slack:
        sizes = np.bincount(parts.ravel())
        # merges of one round may meet; at most half of what is too much each time
        excess = max((found - count) // 2, 1)
        small = np.argsort(sizes, kind="stable")[:excess]
        parts = _merge(parts, small, sizes)
    if found < count - slack:
        parts = _split(parts, count)
    return _numbered(parts)


def grid_labels(shape: tuple[int, int], grid: tuple[int, int]) -> Labels:
    """Return the cells of a regular grid, labels from 0 on, int32."""
    rows, cols = (
        np.arange(length) * cells // length
        for length, cells in zip(shape, grid, strict=True)
    )
    return (rows[:, None] * grid[1] + cols).astype(np.int32)


def grid_shape(shape: tuple[int, int], count: int) -> tuple[int, int]:
    """Return rows and columns of a grid of about ``count`` about square cells."""
    height, width = shape
    rows = np.sqrt(count * height / width)
    grids = set()
    for step in (0, 1):
        high = min(max(int(rows) + step, 1), height)
        grids.add((high, min(max(round(count / high), 1), width)))
        wide = min(max(int(count / rows) + step, 1), width)
        grids.add((min(max(round(count / wide), 1), height), wide))

    def badness(grid: tuple[int, int]) -> float:
        aspect = abs(np.log(height * grid[1] / (width * grid[0])))
        return float(4 * abs(grid[0] * grid[1] - count) / count + aspect)

    return min(sorted(grids), key=badness)


def neighbours(labels: NDArray[np.integer[Any]]) -> sparse.csr_matrix[Any]:
    """Return the length of the border that regions have in common.

    Parameters
    ----------
    labels
        From 0 on without gaps.

    Returns
    -------
    sparse matrix
        Symmetric; pixel edges between each two regions.
    """
    count = int(labels.max()) + 1
    first, second = [], []
    for before, after in (
        (labels[:-1], labels[1:]),
        (labels[:, :-1], labels[:, 1:]),
    ):
        edges = before != after
        first.append(before[edges])
        second.append(after[edges])
    rows, cols = np.concatenate(first), np.concatenate(second)
    ones = np.ones(rows.size, np.int64)
    half = sparse.coo_matrix((ones, (rows, cols)), shape=(count, count)).tocsr()
    return (half + half.T).tocsr()


def _parts(labels: NDArray[np.integer[Any]]) -> Labels:
    """Return the 4-connected parts of equal labels, from 0 on."""
    parts = connected_parts(labels, background=-1, connectivity=1)
    return np.asarray(parts, dtype=np.int32) - 1


def _merge(
    parts: Labels, small: NDArray[np.integer[Any]], sizes: NDArray[np.integer[Any]]
) -> Labels:
    """Return parts of which some have joined a neighbour each.

    In the order given; a part that a smaller one has joined stays for this round.
    """
    borders = neighbours(parts)
    target = np.arange(sizes.size)
    grown = np.zeros(sizes.size, bool)
    for part in small:
        if grown[part]:
            continue
        row = slice(borders.indptr[part], borders.indptr[part + 1])
        around, lengths = borders.indices[row], borders.data[row]
        if around.size == 0:
            continue
        # of equal borders the larger neighbour
        best = around[np.lexsort((sizes[around], lengths))[-1]]
        root = _root(target, int(best))
        target[part] = root
        grown[root] = True
    roots = np.array([_root(target, part) for part in small])
    target[small] = roots
    kept = np.unique(target, return_inverse=True)[1]
    return kept.astype(np.int32)[parts]


def _root(target: NDArray[np.integer[Any]], part: int) -> int:
    """Return the part that a part has joined in the end."""
    while target[part] != part:
        part = int(target[part])
    return part


def _split(parts: Labels, count: int) -> Labels:
    """Return parts of which the largest were halved until there are ``count``."""
    import heapq

    flat, width = parts.ravel().copy(), parts.shape[1]
    order = np.argsort(flat, kind="stable")
    bounds = np.cumsum(np.bincount(flat))[:-1]
    pieces = [(-piece.size, int(piece[0]), piece) for piece in np.split(order, bounds)]
    heapq.heapify(pieces)
    found = len(pieces)
    while found < count:
        _, _, piece = heapq.heappop(pieces)
        half, rest = _halves(piece, width)
        flat[half] = found
        found += 1
        for part in (half, rest):
            heapq.heappush(pieces, (-part.size, int(part[0]), part))
    return flat.reshape(parts.shape)


def _halves(
    pixels: NDArray[np.intp], width: int
) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    """Return two connected parts of a connected region, as equal as a tree allows.

    Cut along one edge of a breadth-first spanning tree that begins far outside.
    """
    rows, cols = pixels // width, pixels % width
    long = np.ptp(rows) >= np.ptp(cols)
    start = int(pixels[np.argmin(rows if long else cols)])
    members = set(pixels.tolist())
    order, parent = [start], {start: -1}
    for pixel in order:
        steps = [pixel - width, pixel + width]
        steps += [pixel - 1] if pixel % width else []
        steps += [pixel + 1] if (pixel + 1) % width else []
        for step in steps:
            if step in members and step not in parent:
                parent[step] = pixel
                order.append(step)
    weight = dict.fromkeys(order, 1)
    for pixel in reversed(order[1:]):
        weight[parent[pixel]] += weight[pixel]
    cut = min(order[1:], key=lambda pixel: abs(2 * weight[pixel] - len(order)))
    below = {cut}
    for pixel in order:  # parents come before children
        if parent[pixel] in below:
            below.add(pixel)
    inside = np.array([pixel in below for pixel in pixels.tolist()])
    return pixels[inside], pixels[~inside]


def _numbered(parts: Labels) -> Labels:
    """Return labels from 1 on, in the order of their first pixels."""
    flat = parts.ravel()
    first = np.zeros(int(flat.max()) + 1, np.int64)
    for start in range((flat.size - 1) // _STRIP * _STRIP, -1, -_STRIP):
        strip = flat[start : start + _STRIP]
        # of several places of a part, the last one written is the first of all
        first[strip[::-1]] = np.arange(start + strip.size - 1, start - 1, -1)
    rank = np.empty(first.size, np.int32)
    rank[np.argsort(first)] = np.arange(1, first.size + 1, dtype=np.int32)
    return rank[parts]
