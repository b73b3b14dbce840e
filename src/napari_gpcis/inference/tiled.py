"""TiledPlane: a plane too large for memory, read tile by tile."""

from __future__ import annotations

from collections import OrderedDict
from threading import Lock
from typing import TYPE_CHECKING, Any

import numpy as np

from napari_gpcis.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray

    from napari_gpcis.inference.resampling import Index

TILE = 1024
"""Height and width of a tile."""
KEPT_BYTES = 1 << 28
"""Tiles of up to so many bytes are kept."""
SAMPLED_TILES = 16
"""So many tiles are read to find the contrast of a plane."""
SAMPLE_SIDE = 256
"""Of each of them, a square of this size in its middle."""


class TiledPlane:
    """One plane of a lazy array, read tile by tile on demand.

    It can be given as the image to :meth:`Segmenter.prepare` and to
    :class:`~napari_gpcis.session.Session`. Its default contrast comes from squares
    spread over the plane.

    Parameters
    ----------
    array
        Shape (H, W) or (H, W, C); anything with ``shape``, ``dtype``, and slicing to
        what :func:`numpy.asarray` reads: an array of dask, zarr, h5py.
    keep
        Bytes of tiles that are kept in memory.

    Raises
    ------
    InputError
        If the array has another number of axes, no pixel or another kind of values.
    """

    def __init__(self, array: Any, keep: int = KEPT_BYTES) -> None:
        self.shape = tuple(int(size) for size in array.shape)
        self.dtype = np.dtype(array.dtype)
        if len(self.shape) not in (2, 3) or 0 in self.shape:
            msg = f"image must have shape (H, W) or (H, W, C), got {self.shape}"
            raise InputError(msg)
        if self.dtype.kind not in "buif":
            msg = f"image must be boolean, integer or real, got {self.dtype}"
            raise InputError(msg)
        self._array, self._keep = array, keep
        self._tiles: OrderedDict[tuple[int, int], NDArray[Any]] = OrderedDict()
        self._lock = Lock()

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> NDArray[Any]:
        """Read the whole plane, for those who ask for an array."""
        return np.array(self._array, dtype=dtype, copy=copy)

    @property
    def ndim(self) -> int:
        """Number of axes."""
        return len(self.shape)

    @property
    def channels(self) -> int:
        """Number of channels."""
        return 1 if self.ndim == 2 else self.shape[2]

    def read(self, rows: Index, cols: Index, channel: int = 0) -> NDArray[Any]:
        """Return one channel on a grid of pixels, shape (rows, cols)."""
        down, over = _places(rows, self.shape[0]), _places(cols, self.shape[1])
        values = np.empty((len(down), len(over)), dtype=self.dtype)
        for first, in_rows in _blocks(down):
            for second, in_cols in _blocks(over):
                tile = self._tile(first, second)
                part = tile if tile.ndim == 2 else tile[..., channel]
                inside = down[in_rows] - first * TILE, over[in_cols] - second * TILE
                values[np.ix_(in_rows, in_cols)] = part[np.ix_(*inside)]
        return values

    def sample(self, channel: int = 0) -> NDArray[Any]:
        """Return values of one channel from squares spread over the plane, 1-D."""
        side = round(np.sqrt(SAMPLED_TILES))
        found = []
        for row in _centres(self.shape[0], side):
            for col in _centres(self.shape[1], side):
                rows = slice(row, min(row + SAMPLE_SIDE, self.shape[0]))
                cols = slice(col, min(col + SAMPLE_SIDE, self.shape[1]))
                part = np.asarray(self._array[rows, cols])
                found.append(part if part.ndim == 2 else part[..., channel])
        return np.concatenate([part.ravel() for part in found])

    def _tile(self, row: int, col: int) -> NDArray[Any]:
        """Return a tile, from the cache or read."""
        with self._lock:
            if (row, col) not in self._tiles:
                rows = slice(row * TILE, min((row + 1) * TILE, self.shape[0]))
                cols = slice(col * TILE, min((col + 1) * TILE, self.shape[1]))
                self._tiles[row, col] = np.asarray(self._array[rows, cols])
            self._tiles.move_to_end((row, col))
            while len(self._tiles) > 1 and self._held() > self._keep:
                self._tiles.popitem(last=False)
            return self._tiles[row, col]

    def _held(self) -> int:
        """Return the number of bytes of the kept tiles."""
        return sum(tile.nbytes for tile in self._tiles.values())


class TiledChannel:
    """One channel of a :class:`TiledPlane`, indexed like an array (H, W)."""

    def __init__(self, plane: TiledPlane, channel: int) -> None:
        self._plane, self._channel = plane, channel
        self.shape = plane.shape[:2]
        self.dtype = plane.dtype

    def __getitem__(self, index: tuple[Any, Any]) -> NDArray[Any]:
        """Read pixels: two slices, or what :func:`numpy.ix_` returns."""
        rows, cols = (one if isinstance(one, slice) else np.ravel(one) for one in index)
        return self._plane.read(rows, cols, self._channel)


def _places(index: Index, size: int) -> NDArray[np.intp]:
    """Return the pixels that an index along one axis names."""
    if isinstance(index, slice):
        return np.arange(*index.indices(size))
    return np.asarray(index, dtype=np.intp)


def _blocks(
    places: NDArray[np.intp],
) -> Iterator[tuple[int, NDArray[np.intp]]]:
    """Yield each tile along one axis, and which of the places lie in it."""
    tiles = places // TILE
    for tile in np.unique(tiles):
        yield int(tile), np.flatnonzero(tiles == tile)


def _centres(size: int, count: int) -> list[int]:
    """Return where squares spread over an axis begin."""
    middles = (np.arange(count) + 0.5) * size / count - SAMPLE_SIDE / 2
    return sorted({max(0, int(middle)) for middle in middles})
