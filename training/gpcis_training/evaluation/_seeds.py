"""Seeds and masks on the pixel grid, shared by the classical methods."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from scipy.ndimage import gaussian_filter, label, zoom

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from napari_gpcis.clicks import Click

OBJECT, BACKGROUND = 1, 2
"""Seed labels; 0 is undecided."""


def as_rgb(image: NDArray[np.generic]) -> NDArray[np.float64]:
    """Return an image as RGB in [0, 1], grey planes repeated."""
    colours = image[..., :3] if image.ndim == 3 else np.stack([image] * 3, axis=-1)
    integers = np.issubdtype(image.dtype, np.integer)
    top = np.iinfo(image.dtype.name).max if integers else 1
    return colours.astype(np.float64) / top


def disk(
    click: Click, radius: float, shape: tuple[int, int]
) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    """Return the pixels of an image no further from a click than ``radius``."""
    row, col = click.pixel
    reach = int(radius)
    rows = np.arange(max(row - reach, 0), min(row + reach + 1, shape[0]))
    cols = np.arange(max(col - reach, 0), min(col + reach + 1, shape[1]))
    square = (rows[:, None] - row) ** 2 + (cols - col) ** 2
    inside = np.nonzero(square <= radius**2)
    return rows[inside[0]], cols[inside[1]]


def rescale(plane: NDArray[np.float64], shape: tuple[int, int]) -> NDArray[np.float64]:
    """Resize a plane, linearly between pixel centres; it is smoothed if it shrinks."""
    factors = [new / old for new, old in zip(shape, plane.shape, strict=True)]
    sigma = [max(0.0, (1 / factor - 1) / 2) for factor in factors]
    smooth = gaussian_filter(plane, sigma, mode="nearest")
    resized: NDArray[np.float64] = zoom(
        smooth, factors, order=1, mode="nearest", grid_mode=True
    )
    return resized


def draw_seeds(
    clicks: Sequence[Click],
    shape: tuple[int, int],
    radius: float,
    border: bool = True,
) -> NDArray[np.int32]:
    """Draw the seeds: disks in the order of the clicks, their centres last.

    Parameters
    ----------
    clicks
        The clicks so far.
    shape
        Height and width of the seed image.
    radius
        Radius of the disks in pixels; a pixel at that distance belongs to the disk.
    border
        Whether the image's border is background as long as no click is negative.
    """
    seeds = np.zeros(shape, dtype=np.int32)
    if border and all(click.positive for click in clicks):
        seeds[[0, -1], :] = seeds[:, [0, -1]] = BACKGROUND
    for size in (radius, 0.0):
        for click in clicks:
            spot = disk(click, size, shape)
            seeds[spot] = OBJECT if click.positive else BACKGROUND
    return seeds


def keep_clicked_parts(
    mask: NDArray[np.bool_], clicks: Sequence[Click]
) -> NDArray[np.bool_]:
    """Drop the connected parts of a mask that hold no positive click."""
    parts, _ = label(mask)
    wanted = {int(parts[click.pixel]) for click in clicks if click.positive}
    return np.isin(parts, sorted(wanted - {0}))
