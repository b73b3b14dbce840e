"""Simulated clicks for training: a random start, then clicks on the errors.

The start follows the published sampler (RITM's multi-point sampler with the numbers of
the GPCIS code): geometric numbers of positive and negative clicks, the first positive
one well inside, negatives on the background, other objects or the border. Later clicks
fall into the middle part of the largest error region.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from scipy import ndimage

if TYPE_CHECKING:
    import numpy.typing as npt

    from gpcis_training.data.augment import Crop

    Mask = npt.NDArray[np.bool_]
    Points = npt.NDArray[np.float32]

MAX_CLICKS = 24
"""Clicks per side; a sample is a ``(48, 3)`` array, positives first."""

ERROR_THRESHOLD = 0.49
_INNER_FIRST = 1.7
_INNER_ERROR = 2.0
_EROSIONS = 3


@dataclass(frozen=True)
class ClickOptions:
    """Laws of the simulated start.

    Parameters
    ----------
    gamma
        Base of the geometric law of the numbers of clicks (published code 0.7,
        paper 0.8).
    single_start
        Share of samples that start from one positive click alone, as users do;
        0 is the published law.
    erode
        Probability of keeping positive clicks off the object's rim.
    strategies
        Shares of negatives on the background, on other objects, along the border.
    off_centre
        Share of first clicks and of clicks on errors that fall anywhere in their
        region instead of its middle part, as hurried users click; 0 is the
        published law.
    jitter
        Standard deviation, in network pixels, of a random shift of every click. A
        click that it would carry over the object's border or out of the image stays
        where it was. 0 is the published law.
    each_object
        Whether a target of two merged objects gets a first click in each, as
        published; then the number of further ones follows the law of the negatives.
    """

    gamma: float = 0.7
    single_start: float = 0.0
    erode: float = 0.9
    off_centre: float = 0.0
    jitter: float = 0.0
    each_object: bool = False
    strategies: tuple[float, float, float] = (0.1, 0.4, 0.5)


def sample_clicks(
    crop: Crop, options: ClickOptions, rng: np.random.Generator
) -> Points:
    """Draw the clicks a sample starts with.

    Parameters
    ----------
    crop
        Target mask and other objects; the mask must not be empty.
    options
        The laws.
    rng
        Source of randomness.

    Returns
    -------
    array
        Shape ``(48, 3)``, float32: rows ``(row, col, order)``, unused rows -1.
    """
    single = rng.random() < options.single_start
    law = options.gamma ** np.arange(MAX_CLICKS)
    more = 0 if single else int(rng.choice(MAX_CLICKS, p=law / law.sum()))
    law = options.gamma ** np.arange(MAX_CLICKS + 1)
    negatives = 0 if single else int(rng.choice(MAX_CLICKS + 1, p=law / law.sum()))
    regions = _objects(crop, options)
    if len(regions) == 2 and not single:
        more = min(int(rng.choice(MAX_CLICKS + 1, p=law / law.sum())), MAX_CLICKS - 2)
    pixels = []
    for region in regions:
        inside = _eroded(region) if rng.random() < options.erode else region
        first = _middle(_depth(inside), _INNER_FIRST, options, rng)
        pixels += _uniform(first, 1, rng)
    if len(regions) == 2:
        inside = _eroded(crop.mask) if rng.random() < options.erode else crop.mask
    pixels += _uniform(inside, more, rng)
    points = np.full((2 * MAX_CLICKS, 3), -1, dtype=np.float32)
    for slot, pixel in enumerate(pixels):
        points[slot] = (*_shifted(pixel, crop.mask, options, rng), slot)
    for slot, pixel in enumerate(_negatives(crop, negatives, options, rng)):
        points[MAX_CLICKS + slot] = (
            *_shifted(pixel, crop.mask, options, rng),
            len(pixels) + slot,
        )
    return points


def _objects(crop: Crop, options: ClickOptions) -> list[Mask]:
    """Return the regions that get a first click: the target, or the objects in it."""
    if not options.each_object or crop.part is None:
        return [crop.mask]
    parts = [crop.part, crop.mask & ~crop.part]
    shown = [part for part in parts if part.any()]
    return shown if len(shown) == 2 else [crop.mask]


def _shifted(
    pixel: tuple[int, int],
    mask: Mask,
    options: ClickOptions,
    rng: np.random.Generator,
) -> tuple[int, int]:
    """Return a click's pixel after a random shift that keeps its label right."""
    if options.jitter <= 0:
        return pixel
    row, col = np.rint(pixel + rng.normal(0, options.jitter, size=2)).astype(int)
    inside = 0 <= row < mask.shape[0] and 0 <= col < mask.shape[1]
    return (row, col) if inside and mask[row, col] == mask[pixel] else pixel


def add_error_click(
    points: Points,
    mask: Mask,
    probability: npt.NDArray[np.float32],
    options: ClickOptions,
    rng: np.random.Generator,
    ignore: Mask | None = None,
) -> None:
    """Add a click on the largest error, in place; nothing if there is none.

    Parameters
    ----------
    points
        Clicks so far, ``(48, 3)``. A full side loses its last click.
    mask
        Target, ``(S, S)``.
    probability
        Prediction, ``(S, S)``.
    options
        The laws.
    rng
        Source of randomness.
    ignore
        Pixels that are neither object nor background, ``(S, S)``: no error is there.
    """
    predicted = probability > ERROR_THRESHOLD
    background = ~mask if ignore is None else ~(mask | ignore)
    missed = _depth(mask & ~predicted)
    excess = _depth(predicted & background)
    positive = missed.max() > excess.max()
    depth = missed if positive else excess
    if depth.max() <= 0:
        return
    pixel = _uniform(_middle(depth, _INNER_ERROR, options, rng), 1, rng)[0]
    pixel = _shifted(pixel, mask, options, rng)
    half = points[:MAX_CLICKS] if positive else points[MAX_CLICKS:]
    free = np.flatnonzero(half[:, 0] < 0)
    half[free[0] if len(free) else -1] = (*pixel, points[:, 2].max() + 1)


def _depth(mask: Mask) -> npt.NDArray[np.float64]:
    """Distance to the outside, the outside of the image included."""
    depth = np.zeros(mask.shape)
    rows, cols = np.flatnonzero(mask.any(1)), np.flatnonzero(mask.any(0))
    if len(rows) == 0:
        return depth
    box = np.s_[rows[0] : rows[-1] + 1, cols[0] : cols[-1] + 1]
    depth[box] = ndimage.distance_transform_edt(np.pad(mask[box], 1))[1:-1, 1:-1]
    return depth


def _eroded(mask: Mask) -> Mask:
    """Erode three times by 3 x 3, unless hardly anything would remain."""
    padded = np.pad(mask, 1)
    depth = ndimage.distance_transform_cdt(padded, metric="chessboard")[1:-1, 1:-1]
    inner = np.asarray(depth > _EROSIONS)
    return inner if inner.sum() > 10 else mask


def _middle(
    depth: npt.NDArray[np.float64],
    divisor: float,
    options: ClickOptions,
    rng: np.random.Generator,
) -> Mask:
    """Return the part of a region that clicks fall into: its middle, or all."""
    anywhere = options.off_centre > 0 and rng.random() < options.off_centre
    return np.asarray(depth > (0 if anywhere else depth.max() / divisor))


def _uniform(mask: Mask, count: int, rng: np.random.Generator) -> list[tuple[int, int]]:
    """Draw pixels of a mask with replacement; none from an empty one."""
    flat = np.flatnonzero(mask)
    if len(flat) == 0 or count == 0:
        return []
    rows, cols = np.unravel_index(rng.choice(flat, size=count), mask.shape)
    return list(zip(rows.tolist(), cols.tolist(), strict=True))


def _negatives(
    crop: Crop, count: int, options: ClickOptions, rng: np.random.Generator
) -> list[tuple[int, int]]:
    """Draw negatives; a drawn strategy without pixels yields none."""
    if count == 0:
        return []
    background = ~(crop.mask | crop.others)
    border = _border(crop.mask)
    if crop.ignore is not None:
        background, border = background & ~crop.ignore, border & ~crop.ignore
    elsewhere = crop.others if crop.others.any() else background
    pixels: list[tuple[int, int]] = []
    numbers = rng.multinomial(count, options.strategies)
    for region, number in zip((background, elsewhere), numbers, strict=False):
        pixels += _uniform(region, int(number), rng)
    if numbers[2]:
        pixels += _uniform(border, int(numbers[2]), rng)
    return pixels


def _border(mask: Mask) -> Mask:
    """Return the rim around an object, a tenth of the root of its area wide."""
    width = np.ceil(0.1 * np.sqrt(mask.sum()))
    distance = ndimage.distance_transform_cdt(~mask, metric="chessboard")
    return np.asarray((distance > 0) & (distance <= width))
