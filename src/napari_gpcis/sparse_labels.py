"""Sparse labels: of a label image, the tiles of its planes in which anything is.

A stack of a thousand frames with one object, or a whole slide with one, costs the tiles
that the object touches: to copy it, to write it, to list what is in it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np

from napari_gpcis.errors import InputError
from napari_gpcis.geometry import Box, Entry, moved, scan, union

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from numpy.typing import ArrayLike, NDArray

    Labels = NDArray[np.integer[Any]]

PlaneIndex: TypeAlias = tuple[int, ...]
"""Index on the axes that are not those of the picture, in their order."""
TILE = 512
"""Rows and columns of a tile."""


class SparseLabels:
    """Label image of which only the tiles that are not empty are held.

    Parameters
    ----------
    shape, dtype
        Those of the whole image.
    axes
        The two axes of the picture, ascending: rows, columns.

    Attributes
    ----------
    shape, dtype, axes
        As above.
    """

    def __init__(
        self, shape: Sequence[int], dtype: np.dtype[Any], axes: tuple[int, int]
    ) -> None:
        self.shape = tuple(int(size) for size in shape)
        self.dtype = dtype
        self.axes = axes
        self._tiles: dict[PlaneIndex, dict[tuple[int, int], Labels]] = {}

    @classmethod
    def of(
        cls,
        labels: ArrayLike,
        axes: tuple[int, int] | None = None,
        *,
        copy: bool = True,
        cancelled: Callable[[], bool] = lambda: False,
    ) -> SparseLabels:
        """Return what is in a label image, which is read once.

        Parameters
        ----------
        labels
            Integers of any number of axes, at least two.
        axes
            The two axes of the picture, ascending; by default the last two.
        copy
            Copy the tiles: the image may change afterwards.
        cancelled
            Asked before each plane; if true, the rest is left out.

        Raises
        ------
        InputError
            If the labels are no integers, or have less than two axes.
        """
        array = checked(labels)
        rows, cols = axes or (array.ndim - 2, array.ndim - 1)
        made = cls(array.shape, array.dtype, (rows, cols))
        planes = np.moveaxis(array, (rows, cols), (-2, -1))
        for index in np.ndindex(planes.shape[:-2]):
            if cancelled():
                break
            tiles = {
                place: np.array(tile, order="C") if copy else tile
                for place, tile in _filled(planes[index])
            }
            if tiles:
                made._tiles[index] = tiles
        return made

    @property
    def plane_shape(self) -> tuple[int, int]:
        """Rows and columns of a plane."""
        return self.shape[self.axes[0]], self.shape[self.axes[1]]

    @property
    def stack_shape(self) -> tuple[int, ...]:
        """Sizes of the axes that are not those of the picture."""
        return tuple(s for axis, s in enumerate(self.shape) if axis not in self.axes)

    @property
    def range(self) -> tuple[int, int]:
        """The smallest and the largest label, 0 included."""
        every = [tile for tiles in self._tiles.values() for tile in tiles.values()]
        low = min((int(tile.min()) for tile in every), default=0)
        high = max((int(tile.max()) for tile in every), default=0)
        return min(low, 0), max(high, 0)

    @property
    def nbytes(self) -> int:
        """Bytes of the tiles that are held."""
        return sum(t.nbytes for tiles in self._tiles.values() for t in tiles.values())

    def planes(self) -> Iterator[PlaneIndex]:
        """Yield the index of every plane, empty ones as well."""
        yield from np.ndindex(self.stack_shape)

    def read(self, index: PlaneIndex, box: Box) -> Labels:
        """Return the labels in a half-open box of a plane."""
        found = np.zeros((box[2] - box[0], box[3] - box[1]), self.dtype)
        tiles = self._tiles.get(index, {})
        for place in _places(box):
            if place in tiles:
                _copy(tiles[place], place, found, box)
        return found

    def plane(self, index: PlaneIndex) -> Labels:
        """Return a whole plane."""
        return self.read(index, (0, 0, *self.plane_shape))

    def is_empty(self, index: PlaneIndex, start: int, stop: int) -> bool:
        """Return whether some rows of a plane are known to hold nothing."""
        tiles = self._tiles.get(index)
        if tiles is None:
            return True
        first, last = start // TILE, (stop - 1) // TILE
        return not any(first <= row <= last for row, _ in tiles)

    def objects(self, index: PlaneIndex) -> dict[int, Entry]:
        """Return the objects of a plane, by their ids in ascending order."""
        found: dict[int, Entry] = {}
        for (row, col), tile in self._tiles.get(index, {}).items():
            for label, entry in (scan(tile) or {}).items():
                box = moved(entry.box, (row * TILE, col * TILE))
                before = found.get(label, Entry(0, box))
                found[label] = Entry(before.area + entry.area, union(before.box, box))
        return dict(sorted(found.items()))

    @property
    def count(self) -> int:
        """Number of objects: one on several planes counts once, ids below 0 not."""
        found: set[int] = set()
        for tiles in self._tiles.values():
            for tile in tiles.values():
                found.update(np.unique(tile).tolist())
        return sum(label > 0 for label in found)

    def pixels(self) -> Iterator[tuple[list[NDArray[np.intp]], NDArray[Any]]]:
        """Yield all pixels that are not 0: indices on each axis, and their labels."""
        for index, tiles in self._tiles.items():
            for (down, right), tile in tiles.items():
                rows, cols = np.nonzero(tile)
                beside = iter(index)
                found = {
                    self.axes[0]: rows + down * TILE,
                    self.axes[1]: cols + right * TILE,
                }
                places = [
                    found[axis] if axis in found else np.full(len(rows), next(beside))
                    for axis in range(len(self.shape))
                ]
                yield places, tile[rows, cols]

    def put(self, places: Sequence[NDArray[np.intp]], values: NDArray[Any]) -> None:
        """Set pixels.

        Parameters
        ----------
        places
            Their indices on each axis of the image.
        values
            One for each of them.
        """
        if len(values) == 0:
            return
        rest = [axis for axis in range(len(self.shape)) if axis not in self.axes]
        rows, cols = (np.asarray(places[axis]) for axis in self.axes)
        key = np.stack([*(places[axis] for axis in rest), rows // TILE, cols // TILE])
        tiles, which = np.unique(key, axis=1, return_inverse=True)
        for number, (*index, down, right) in enumerate(tiles.T.tolist()):
            here = which.ravel() == number
            tile = self._tile(tuple(index), (down, right))
            tile[rows[here] - down * TILE, cols[here] - right * TILE] = values[here]

    def _tile(self, index: PlaneIndex, place: tuple[int, int]) -> Labels:
        """Return a tile to be changed, which may have been empty."""
        tiles = self._tiles.setdefault(index, {})
        if place not in tiles:
            height, width = self.plane_shape
            size = (
                min(TILE, height - place[0] * TILE),
                min(TILE, width - place[1] * TILE),
            )
            tiles[place] = np.zeros(size, self.dtype)
        return tiles[place]


def checked(labels: ArrayLike) -> Labels:
    """Return labels as an array of integers; those below 0 are background.

    Raises
    ------
    InputError
        If they are none, or have less than two axes.
    """
    array = np.asarray(labels)
    if array.ndim < 2 or array.dtype.kind not in "bui":
        msg = (
            "labels must be integers with at least two axes, got shape "
            f"{array.shape}, dtype {array.dtype}"
        )
        raise InputError(msg)
    return array.view(np.uint8) if array.dtype == np.bool_ else array


def _filled(plane: Labels) -> Iterator[tuple[tuple[int, int], Labels]]:
    """Yield the tiles of a plane in which not all is 0, with their places."""
    for down in range(0, plane.shape[0], TILE):
        rows = plane[down : down + TILE]
        if rows.any():
            for right in range(0, plane.shape[1], TILE):
                tile = rows[:, right : right + TILE]
                if tile.any():
                    yield (down // TILE, right // TILE), tile


def _places(box: Box) -> Iterator[tuple[int, int]]:
    """Yield the places of the tiles that a box touches."""
    for row in range(box[0] // TILE, -(-box[2] // TILE)):
        for col in range(box[1] // TILE, -(-box[3] // TILE)):
            yield row, col


def _copy(tile: Labels, place: tuple[int, int], found: Labels, box: Box) -> None:
    """Copy what a tile has of a box."""
    row, col = place[0] * TILE, place[1] * TILE
    top, left = max(row, box[0]), max(col, box[1])
    bottom = min(row + tile.shape[0], box[2])
    right = min(col + tile.shape[1], box[3])
    found[top - box[0] : bottom - box[0], left - box[1] : right - box[1]] = tile[
        top - row : bottom - row, left - col : right - col
    ]
