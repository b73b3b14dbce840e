"""Large planes laid out of crops of small images, to look at from near and from far.

A plane is a square grid of tiles. Each tile is a square crop of one image; where images
differ in brightness, each crop is stretched to 8 bits by itself. Labels are renumbered,
tile by tile.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from skimage.io import imread

from gpcis_training.data.folders import read_labels
from napari_gpcis.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    import numpy.typing as npt

    Labels = npt.NDArray[np.integer]

_DARKEST, _BRIGHTEST = 0.1, 99.9  # percentiles that become 0 and 255


class Tile(NamedTuple):
    """Square crop of an image, with its labels."""

    image: str
    """Name of the image file."""
    label: str
    """Name of the label file."""
    top: int
    left: int


def draw_tiles(
    sizes: Sequence[tuple[Tile, tuple[int, int]]],
    count: int,
    side: int,
    rng: np.random.Generator,
) -> list[Tile]:
    """Draw tiles at random places of images, each image at most once.

    Parameters
    ----------
    sizes
        Images, as tiles that begin at their corner, with height and width. Images
        smaller than a tile are left out.
    count
        Number of tiles.
    side
        Side of a tile, pixels.
    rng
        Source of randomness.

    Raises
    ------
    InputError
        If there are too few images.
    """
    fit = [(tile, shape) for tile, shape in sizes if min(shape) >= side]
    if len(fit) < count:
        msg = f"images of at least {side} px must be {count} or more, got {len(fit)}"
        raise InputError(msg)
    tiles = []
    for index in rng.permutation(len(fit))[:count]:
        tile, (height, width) = fit[index]
        top = int(rng.integers(height - side + 1))
        left = int(rng.integers(width - side + 1))
        tiles.append(tile._replace(top=top, left=left))
    return tiles


def plane_image(
    folder: Path, tiles: Sequence[Tile], side: int
) -> npt.NDArray[np.uint8]:
    """Return the image of a plane, shape ``(n * side, n * side)``.

    Parameters
    ----------
    folder
        With ``images`` of one channel.
    tiles
        ``n * n`` tiles, row by row.
    side
        Side of a tile, pixels.

    Raises
    ------
    InputError
        If an image is not of one channel, or ends before its tile does.
    """
    crops = []
    for tile in tiles:
        crop = _crop(np.asarray(imread(folder / "images" / tile.image)), tile, side)
        low, high = np.percentile(crop, (_DARKEST, _BRIGHTEST))
        stretched = (crop - low) / max(high - low, 1e-9) * 255
        crops.append(np.clip(stretched + 0.5, 0, 255).astype(np.uint8))
    return _laid_out(crops)


def plane_labels(
    folder: Path, tiles: Sequence[Tile], side: int
) -> npt.NDArray[np.int32]:
    """Return the labels of a plane, numbered from 1 without gaps.

    See :func:`plane_image`.
    """
    crops, last = [], 0
    for tile in tiles:
        crop = _crop(read_labels(folder / "labels" / tile.label), tile, side)
        present = np.unique(crop[crop > 0])
        numbers = np.searchsorted(present, crop) + 1 + last
        crops.append(np.where(crop > 0, numbers, 0).astype(np.int32))
        last += len(present)
    return _laid_out(crops)


def whole_objects(labels: Labels, side: int) -> Labels:
    """Return the labels of a plane without the objects that touch a tile's border."""
    cut: set[int] = set()
    for start in range(0, len(labels), side):
        for line in (start, start + side - 1):
            cut.update(np.unique(labels[line]).tolist())
            cut.update(np.unique(labels[:, line]).tolist())
    return np.where(np.isin(labels, sorted(cut)), 0, labels)


def _crop(array: npt.NDArray[np.integer], tile: Tile, side: int) -> Labels:
    """Return the pixels of a tile, shape ``(side, side)``."""
    crop = array[tile.top : tile.top + side, tile.left : tile.left + side]
    if crop.shape != (side, side):
        msg = (
            f"{tile.image} must have {side} x {side} pixels of one channel from "
            f"({tile.top}, {tile.left}), has {crop.shape}"
        )
        raise InputError(msg)
    return crop


def _laid_out(
    crops: Sequence[npt.NDArray[np.generic]],
) -> npt.NDArray[Any]:
    """Return crops as one square, row by row."""
    count = round(len(crops) ** 0.5)
    if count * count != len(crops):
        msg = f"tiles must fill a square, got {len(crops)}"
        raise InputError(msg)
    rows = [crops[start : start + count] for start in range(0, len(crops), count)]
    return np.block([list(row) for row in rows])
