"""Superpixels by a network: a plane of any size, tile by tile, without seams.

The plane is resized so that a superpixel has 16 by 16 network pixels. A tile is
computed with a margin as wide as the network sees; its cells are those of the whole
grid. The gate's attention, which depends on the mean over the plane, is computed once.
"""

from __future__ import annotations

import functools
import itertools
import math
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import avg_pool2d, interpolate, normalize

from napari_gpcis.geometry import row_strips
from napari_gpcis.inference.engine import FrameFeatures
from napari_gpcis.inference.image import to_rgb
from napari_gpcis.inference.resampling import to_network
from napari_gpcis.superpixels.association import CELL
from napari_gpcis.superpixels.cds import MEAN, fused
from napari_gpcis.superpixels.connectivity import Shrunk, grid_shape
from napari_gpcis.superpixels.weights import SUFFIX, find_weights, load_superpixels

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray

    from napari_gpcis.geometry import Box
    from napari_gpcis.inference.image import PreparedImage
    from napari_gpcis.superpixels.cds import CDS

TILE = 32
"""Side of a tile, cells."""
MARGIN = 6
"""Cells around a tile that the network sees as well: more than it looks at."""
WHOLE = 2.5
"""A plane of no more cells than so many tiles is computed at once."""
_ATTENTION_TILES = 3  # in each direction
_STRIP = 1 << 21  # pixels of the image that are resized at once
_FRAME, _FRAME_CELL = 256, 4  # network pixels of a frame of features, and of its cells
_OVERVIEW = 400  # cells of the overview that the attention comes from


class _Tile(NamedTuple):
    """Cells of a tile, and of what the network sees of it."""

    core: tuple[slice, slice]
    seen: tuple[slice, slice]


def learned_labels(prepared: PreparedImage, count: int, method: str) -> Shrunk:
    """Return superpixels by a network, not connected yet.

    Parameters
    ----------
    prepared
        The plane.
    count
        Wanted number.
    method
        ``"cds-lite"``, ``"cds"``, or the path of a checkpoint.

    Returns
    -------
    Shrunk
        Index of the superpixel of each network pixel, row by row of the grid.
    """
    network = _load(Path(method) if method.endswith(SUFFIX) else method)
    grid = grid_shape(prepared.shape, count)
    image = to_network_grid(prepared, grid)
    labels = network_labels(network, image)
    rows, cols = (
        _nearest(length, size)
        for length, size in zip(prepared.shape, labels.shape, strict=True)
    )
    return Shrunk(labels, rows, cols)


class ContentFeatures:
    """Content of a network of superpixels, as features of a plane without clicks.

    It can be given to `napari_gpcis.superpixels.SuperpixelGP` in place of a segmenter.

    Parameters
    ----------
    method
        ``"cds-lite"``, ``"cds"``, or the path of a checkpoint.

    Raises
    ------
    CheckpointError
        If the weights are not here.
    """

    def __init__(self, method: str) -> None:
        self._network = _load(Path(method) if method.endswith(SUFFIX) else method)
        self._seen: tuple[int, Tensor | None] | None = None

    @torch.inference_mode()
    def features(self, prepared: PreparedImage, frame: Box) -> FrameFeatures:
        """Return the content of a frame on 64 x 64 cells.

        Parameters
        ----------
        prepared
            The plane.
        frame
            Half-open box ``(row_min, col_min, row_max, col_max)`` on it.

        Returns
        -------
        FrameFeatures
            Vectors of length 1, and colours less the published mean.
        """
        channels = to_network(prepared, frame, _FRAME, half_pixel=True)
        image = to_rgb(channels) - torch.tensor(MEAN)[:, None, None]
        content = self._network.content(_batch(image), self._attention(prepared))
        cells = avg_pool2d(content, _FRAME_CELL)
        colour = avg_pool2d(image[None], _FRAME_CELL)
        deep = normalize(cells, dim=1)
        return FrameFeatures(deep[0].numpy(), colour[0].numpy())

    def _attention(self, prepared: PreparedImage) -> Tensor | None:
        """Return the gate's attention for a plane, from an overview of it."""
        if self._seen is None or self._seen[0] != prepared.token:
            gate, attention = self._network.gate, None
            if gate is not None:
                grid = grid_shape(
                    prepared.shape, min(_OVERVIEW, math.prod(prepared.shape))
                )
                overview = _batch(to_network_grid(prepared, grid))
                attention = gate(self._network.encoder(overview))
            self._seen = prepared.token, attention
        return self._seen[1]


def to_network_grid(prepared: PreparedImage, grid: tuple[int, int]) -> Tensor:
    """Return a plane as normalised RGB with 16 by 16 pixels for each cell.

    Returns
    -------
    Tensor
        Shape ``(3, 16 gh, 16 gw)``, float32.
    """
    height, width = (cells * CELL for cells in grid)
    whole = prepared.shape
    narrow = torch.empty(3, whole[0], width)
    for rows in row_strips(whole, _STRIP):
        rgb = torch.from_numpy(to_rgb(prepared.read(rows, slice(None))).copy())
        narrow[:, rows] = _resize(rgb, (rgb.shape[1], width))
    image = torch.empty(3, height, width)
    step = max(_STRIP // max(height, whole[0]), 1)
    for start in range(0, width, step):
        cols = slice(start, start + step)
        part = narrow[:, :, cols]
        image[:, :, cols] = _resize(part, (height, part.shape[2]))
    return image.clamp_(0, 1).sub_(torch.tensor(MEAN)[:, None, None])


@torch.inference_mode()
def network_labels(network: CDS, image: Tensor) -> NDArray[np.int32]:
    """Return the superpixel of each network pixel.

    Parameters
    ----------
    network
        In evaluation mode.
    image
        Normalised RGB, shape ``(3, 16 gh, 16 gw)``.

    Returns
    -------
    array
        Index of the cell in the whole grid, shape ``(16 gh, 16 gw)``.
    """
    rows, cols = image.shape[1] // CELL, image.shape[2] // CELL
    tiles = list(_tiles((rows, cols)))
    attention = None if len(tiles) == 1 else _attention(network, image, tiles)
    labels = np.empty(image.shape[1:], np.int32)
    for tile in tiles:
        seen = _batch(image[(slice(None), *map(_pixels, tile.seen))])
        choice = network(seen, attention=attention).argmax(dim=1)[0]
        chosen = choice[_inside(tile)].numpy()
        row = np.arange(tile.core[0].start, tile.core[0].stop).repeat(CELL)
        col = np.arange(tile.core[1].start, tile.core[1].stop).repeat(CELL)
        down = np.clip(row[:, None] + chosen // 3 - 1, 0, rows - 1)
        over = np.clip(col[None, :] + chosen % 3 - 1, 0, cols - 1)
        labels[tuple(map(_pixels, tile.core))] = down * cols + over
    return labels


def _attention(network: CDS, image: Tensor, tiles: list[_Tile]) -> Tensor | None:
    """Return the gate's attention for the plane, from tiles spread over it."""
    if network.gate is None:
        return None
    tops = sorted({tile.core[0].start for tile in tiles})
    lefts = sorted({tile.core[1].start for tile in tiles})
    chosen = set(itertools.product(_spread(tops), _spread(lefts)))
    sums, pixels = torch.zeros(1), 0
    for tile in tiles:
        if (tile.core[0].start, tile.core[1].start) not in chosen:
            continue
        seen = _batch(image[(slice(None), *map(_pixels, tile.seen))])
        features = network.encoder(seen)[(..., *_inside(tile))]
        sums = sums + features.sum(dim=(2, 3))
        pixels += features.shape[2] * features.shape[3]
    return network.gate.of_mean(sums / pixels)


def _spread(starts: list[int]) -> list[int]:
    """Return a few of the values, the first and the last among them."""
    places = np.linspace(0, len(starts) - 1, _ATTENTION_TILES).round().astype(int)
    return [starts[place] for place in places]


def _tiles(grid: tuple[int, int]) -> Iterator[_Tile]:
    """Yield the tiles of a grid of cells."""
    along = []
    at_once = grid[0] * grid[1] <= WHOLE * TILE**2
    for cells in grid:
        parts = 1 if at_once else max(round(cells / TILE), 1)
        edges = [cells * part // parts for part in range(parts + 1)]
        along.append(
            [
                (slice(a, b), slice(max(a - MARGIN, 0), min(b + MARGIN, cells)))
                for a, b in itertools.pairwise(edges)
            ]
        )
    for (row, seen_row), (col, seen_col) in itertools.product(*along):
        yield _Tile((row, col), (seen_row, seen_col))


def _inside(tile: _Tile) -> tuple[slice, ...]:
    """Return where the network pixels of a tile lie in what is seen."""
    return tuple(
        _pixels(slice(core.start - seen.start, core.stop - seen.start))
        for core, seen in zip(tile.core, tile.seen, strict=True)
    )


def _pixels(cells: slice) -> slice:
    """Return the network pixels of some cells."""
    return slice(cells.start * CELL, cells.stop * CELL)


def _nearest(length: int, size: int) -> NDArray[np.intp]:
    """Return the network pixel in which the centre of each image pixel lies."""
    return np.asarray((np.arange(length) + 0.5) * size / length, dtype=np.intp)


def _resize(image: Tensor, size: tuple[int, int]) -> Tensor:
    """Return channels resized by cubic interpolation, low-pass filtered."""
    if image.shape[1:] == size:
        return image
    return interpolate(image[None], size, mode="bicubic", antialias=True)[0]


@functools.lru_cache(maxsize=2)
def _batch(image: Tensor) -> Tensor:
    """Return an image as a batch of one, in the order that convolutions like best."""
    return image[None].contiguous(memory_format=torch.channels_last)


def _load(method: str | Path) -> CDS:
    """Return the network of a method or of a checkpoint, as fast as it can be."""
    file = method if isinstance(method, Path) else find_weights(method)
    return fused(load_superpixels(file)[0])
