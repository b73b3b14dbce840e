"""Tiles of a plane: frames that overlap, and cores that cover it once."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from napari_gpcis.geometry import contains, frames_along
from napari_gpcis.inference.region import MIN_FRAME
from napari_gpcis.inference.tiled import TILE

if TYPE_CHECKING:
    from collections.abc import Iterable

    from napari_gpcis.clicks import Click
    from napari_gpcis.geometry import Box

FRAME_FACTOR = 5.0
"""A frame is this many times as long as the examples."""
MARGIN_FACTOR = 0.75
"""The rim of a frame beyond its core, in sides of the examples."""


class Tile(NamedTuple):
    """Frame that the network sees at once, and its part that no other tile has."""

    frame: Box
    core: Box


def frame_side(side: float) -> int:
    """Return the side of the frames for objects whose longer side is `side` pixels."""
    return max(MIN_FRAME, round(FRAME_FACTOR * side))


def lay_tiles(shape: tuple[int, int], side: float) -> list[Tile]:
    """Return the tiles of a plane for objects of a size, row after row.

    Frames are squares, but no longer than the plane.

    Parameters
    ----------
    shape
        Height and width of the plane.
    side
        Longer side of the objects, pixels.
    """
    length, margin = frame_side(side), math.ceil(MARGIN_FACTOR * side)
    rows, cols = (frames_along(size, length, margin) for size in shape)
    return [
        Tile((top, left, bottom, right), (core[0], over[0], core[1], over[1]))
        for (top, bottom), core in rows
        for (left, right), over in cols
    ]


def tile_at(tiles: Iterable[Tile], click: Click) -> Tile:
    """Return the tile in whose core a click lies; one of them holds each pixel."""
    return next(tile for tile in tiles if contains(tile.core, click))


def nearest_first(tiles: Iterable[Tile], places: Iterable[Click]) -> list[Tile]:
    """Return the tiles by their distance to some places, block by block.

    Within a block of the plane that is read at once they stay together, so that no
    pixel is read from disk many times.

    Parameters
    ----------
    tiles
        From :func:`lay_tiles`.
    places
        At least one.
    """
    points = np.array([place.pixel for place in places], dtype=float)

    def key(tile: Tile) -> tuple[float, int, int, float]:
        middle = (tile.core[0] + tile.core[2]) / 2, (tile.core[1] + tile.core[3]) / 2
        row, col = int(middle[0] // TILE), int(middle[1] // TILE)
        near = np.clip(points, (row * TILE, col * TILE), _end(row, col))
        block = float(np.hypot(*(points - near).T).min())
        own = float(np.hypot(*(points - middle).T).min())
        return block, row, col, own

    return sorted(tiles, key=key)


def _end(row: int, col: int) -> tuple[int, int]:
    """Return the last corner of a block."""
    return (row + 1) * TILE, (col + 1) * TILE
