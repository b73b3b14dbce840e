"""Division of one mask into two parts, each around a pixel of its own.

Two cells under one label are told apart by what a model answers to a click on either,
or, where that does not help, at the narrowest place between them.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from napari_gpcis.clicks import Click
from napari_gpcis.errors import InputError
from napari_gpcis.geometry import slices
from napari_gpcis.inference.region import target_box
from napari_gpcis.inference.segmenter import Request

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

    from napari_gpcis.geometry import Box, Mask
    from napari_gpcis.inference.image import PreparedImage
    from napari_gpcis.inference.segmenter import Segmenter

    Pixel = tuple[int, int]

CLEARLY = 0.2
"""Difference of the two probabilities from which on a pixel clearly belongs to one."""
LEAST_CORE = 0.1
"""Share of the mask that must belong clearly to either part for the model to count."""
SMOOTHING = 1.5
"""Width of the Gaussian filter, in pixels, of depths: rough borders have no middles."""
VIEW_GROWTH = 1.4
"""Size of what the model sees, relative to the mask."""


def divide(
    mask: Mask, first: Pixel, second: Pixel, advantage: NDArray[Any] | None = None
) -> tuple[Mask, Mask]:
    """Return the two parts of a mask, which share no pixel and leave none out.

    Parameters
    ----------
    mask
        Shape (h, w), booleans.
    first, second
        Row and column of a pixel of either part.
    advantage
        Shape (h, w): by how much more likely a pixel belongs to the first part than
        to the second, from -1 to 1. If it says too little, or none is given, the mask
        is divided where it is narrow.

    Raises
    ------
    InputError
        If the pixels are the same, or outside the mask.
    """
    from scipy.ndimage import distance_transform_edt  # slow to import
    from skimage.segmentation import watershed

    if first == second:
        msg = f"first and second must be different pixels, got {first} twice"
        raise InputError(msg)
    for name, pixel in (("first", first), ("second", second)):
        inside = all(0 <= at < size for at, size in zip(pixel, mask.shape, strict=True))
        if not inside or not mask[pixel]:
            msg = f"{name} must be a pixel of the mask, got {pixel}"
            raise InputError(msg)
    cores = None if advantage is None else _cores(mask, first, second, advantage)
    if cores is None or advantage is None:
        cores, height = _middles(mask, first, second)
    else:
        height = -np.abs(advantage)
    parts = watershed(height, cores, mask=mask)
    lost = mask & (parts == 0)  # pieces that touch neither part
    if lost.any():
        _, nearest = distance_transform_edt(parts == 0, return_indices=True)
        parts[lost] = parts[tuple(nearest)][lost]
    return parts == 1, parts == 2


def _cores(
    mask: Mask, first: Pixel, second: Pixel, advantage: NDArray[Any]
) -> NDArray[np.int8] | None:
    """Return what clearly belongs to either part, 1 and 2; ``None`` if too little."""
    from scipy.ndimage import label

    cores = np.zeros(mask.shape, dtype=np.int8)
    pairs = ((first, advantage > CLEARLY), (second, advantage < -CLEARLY))
    for number, (pixel, clear) in enumerate(pairs, start=1):
        pieces, _ = label(mask & clear)
        if not pieces[pixel]:
            return None
        core = pieces == pieces[pixel]
        if np.count_nonzero(core) < LEAST_CORE * np.count_nonzero(mask):
            return None
        cores[core] = number
    return cores


def _middles(
    mask: Mask, first: Pixel, second: Pixel
) -> tuple[NDArray[np.int8], NDArray[np.floating[Any]]]:
    """Return the ways to the middles of both parts, 1 and 2, and what parts them.

    Where the mask has one middle only, the nearer pixel decides.
    """
    from scipy.ndimage import distance_transform_edt, gaussian_filter

    depths = distance_transform_edt(np.pad(mask, 1))[1:-1, 1:-1]
    smooth = np.where(mask, gaussian_filter(depths, SMOOTHING), -np.inf)
    one, other = (_climb(smooth, pixel) for pixel in (first, second))
    cores = np.zeros(mask.shape, dtype=np.int8)
    if {*one} & {*other}:
        cores[first], cores[second] = 1, 2
        return cores, np.zeros(mask.shape)
    for number, way in enumerate((one, other), start=1):
        cores[tuple(np.transpose(way))] = number
    return cores, -smooth


def _climb(heights: NDArray[np.floating[Any]], pixel: Pixel) -> list[Pixel]:
    """Return the way from a pixel to the top, each step the steepest."""
    way = [pixel]
    while True:
        row, col = way[-1]
        top, left = max(0, row - 1), max(0, col - 1)
        around = heights[top : row + 2, left : col + 2]
        down, right = divmod(int(np.argmax(around)), around.shape[1])
        if around[down, right] <= heights[row, col]:
            return way
        way.append((top + down, left + right))


def split_mask(
    segmenter: Segmenter,
    prepared: PreparedImage,
    box: Box,
    mask: Mask,
    first: Pixel,
    second: Pixel,
    cancelled: Callable[[], bool] | None = None,
) -> tuple[Mask, Mask] | None:
    """Return the two parts of an object by what a model sees, see `divide`.

    Either part is asked for by a click on it and a background click on the other.

    Parameters
    ----------
    segmenter, prepared
        The model and its image.
    box, mask
        The object: a half-open box of the image, and its pixels there.
    first, second
        Row and column, in the image, of a pixel of either part.
    cancelled
        Asked between two answers of the model; if true, the answer is ``None``.

    Raises
    ------
    InputError
        If the pixels are the same, or outside the object.
    """
    view = target_box(box, prepared.shape, VIEW_GROWTH)
    pixels = [(row - box[0], col - box[1]) for row, col in (first, second)]
    found = []
    for one, other in ((first, second), (second, first)):
        clicks = Click(*one), Click(*other, positive=False)
        answer = segmenter.run(Request(prepared, clicks, view=view), cancelled)
        if not answer:
            return None
        found.append(answer[-1].probability[slices(box)])
    return divide(mask, pixels[0], pixels[1], found[0] - found[1])
