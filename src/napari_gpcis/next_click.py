"""The most valuable next click, from the posterior alone.

The network is trained with the focal loss, which makes its probabilities too
cautious; :func:`calibrated` undoes that in closed form [1]_. Then every pixel has a
chance that the mask is wrong there, its *doubt*. A robot user that knows the truth
clicks into the middle of the largest mistake: where the wrong region is deepest.
Nobody knows the truth, so :func:`next_click` takes the regions near the mask in which
the doubt is above a level, and gives the pixel that is deepest in one of them. Thin
bands of doubt along every border count little, wide regions much, and background far
from the mask does not count, however little the clicks tell of it.

References
----------
.. [1] Charoenphakdee et al., "On focal loss for class-posterior probability
   estimation: a theoretical perspective", CVPR 2021 (theorem 11).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from napari_gpcis.errors import InputError
from napari_gpcis.geometry import contains, depth
from napari_gpcis.inference.resampling import from_grid

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from napari_gpcis.geometry import Mask
    from napari_gpcis.inference.prediction import Prediction

    Numbers = NDArray[np.float64]

FOCAL_GAMMA = 2.0
"""Exponent of the focal loss that all models are trained with."""
SURE = 0.9
"""Expected agreement from which on the model counts as sure."""
DOUBTED = 0.2
"""Chance of a mistake above which a pixel belongs to a region of doubt."""
NEAR = 0.25
"""Reach of the regions beyond the mask, as a share of its equivalent diameter."""
FINEST = 128
"""The search is made on about so many rows and columns."""
_LEAST = 1e-6  # keeps logarithms finite


class NextClick(NamedTuple):
    """The most valuable next click.

    Attributes
    ----------
    row, col
        Pixel of the image.
    value
        Depth of the region of doubt there, in data pixels.
    """

    row: int
    col: int
    value: float


def calibrated(probability: Numbers, gamma: float = FOCAL_GAMMA) -> Numbers:
    """Return the chance of the object behind a focal-loss probability.

    Parameters
    ----------
    probability
        What the model gives, in [0, 1], any shape.
    gamma
        Exponent of the focal loss; 0 changes nothing.

    Returns
    -------
    ndarray
        ``h(p) / (h(p) + h(1 - p))`` with
        ``h(p) = p / ((1 - p)^gamma - gamma (1 - p)^(gamma - 1) p log p)``.

    Examples
    --------
    >>> calibrated(np.array([0.1, 0.25, 0.5, 0.9])).round(3)
    array([0.003, 0.05 , 0.5  , 0.997])
    """
    inner = np.clip(probability, _LEAST, 1 - _LEAST)
    mine, other = _odds(inner, gamma), _odds(1 - inner, gamma)
    return mine / (mine + other)


def doubt(prediction: Prediction) -> Numbers:
    """Return the chance that the mask is wrong, on the network's grid.

    Returns
    -------
    ndarray
        Shape of ``prediction.maps.probability``, between 0 and 1 (at most 0.5 with the
        threshold 0.5).
    """
    probability = prediction.maps.probability
    chance = calibrated(probability.astype(np.float64))
    wrong: Numbers = np.where(probability > prediction.threshold, 1 - chance, chance)
    return wrong


def expected_iou(prediction: Prediction) -> float:
    """Return the IoU of mask and object that the model expects.

    Returns
    -------
    float
        Ratio of the expected intersection and the expected union of mask and object,
        in [0, 1]; 0 for an empty mask. What lies outside the roi does not count.
    """
    probability = prediction.maps.probability
    chance = calibrated(probability.astype(np.float64))
    mask = probability > prediction.threshold
    union = np.count_nonzero(mask) + chance[~mask].sum()
    return float(chance[mask].sum() / union) if mask.any() else 0.0


def expected_agreement(prediction: Prediction) -> float:
    """Return the IoU of mask and object to expect, as the model knows it best.

    That is its predicted quality, which was trained on true IoUs, if it has one; else
    :func:`expected_iou`, which cannot know what object is meant.
    """
    known = prediction.quality
    return expected_iou(prediction) if known is None else float(known)


def next_click(prediction: Prediction, sure: float = SURE) -> NextClick | None:
    """Return the most valuable next click, or ``None`` if the model is sure.

    The user tells by the click which of the two it is: object or not.

    Parameters
    ----------
    prediction
        The prediction after the clicks so far.
    sure
        The model is sure once it expects this agreement (:func:`expected_agreement`)
        or more, or once no doubtful spot is a pixel deep. In (0, 1].

    Returns
    -------
    NextClick or None

    Raises
    ------
    InputError
        If ``sure`` is not in (0, 1].
    """
    if not 0 < sure <= 1:
        msg = f"sure must be above 0 and at most 1, got {sure!r}"
        raise InputError(msg)
    if expected_agreement(prediction) >= sure:
        return None
    step = max(1, round(max(prediction.maps.probability.shape) / FINEST))
    value = _depth_of_doubt(prediction, step)
    _exclude_clicks(value, prediction, step)
    place = np.unravel_index(int(value.argmax()), value.shape)
    if value[place] < 1:
        return None
    row, col = (int(index) * step + step // 2 for index in place)
    return NextClick(*_pixel(prediction, row, col), float(value[place]))


def _odds(p: Numbers, gamma: float) -> Numbers:
    """Return ``h`` of :func:`calibrated`."""
    q = 1 - p
    return p / (q**gamma - gamma * q ** (gamma - 1) * p * np.log(p))


def _depth_of_doubt(prediction: Prediction, step: int) -> Numbers:
    """Return the depth in regions of doubt, in data pixels, on each step-th pixel."""
    start = slice(step // 2, None, step)
    height, width = (side * step for side in _pixel_size(prediction))
    mask = prediction.maps.probability[start, start] > prediction.threshold
    region = doubt(prediction)[start, start] > DOUBTED
    return depth(region & _near(mask, (height, width)), (height, width))


def _near(mask: Mask, size: tuple[float, float]) -> Mask:
    """Return the pixels of a mask, and those beside it; all if it is empty.

    ``size`` is the height and width of a pixel.
    """
    from scipy.ndimage import distance_transform_edt  # slow to import

    if not mask.any():
        return ~mask
    diameter = 2 * np.sqrt(np.count_nonzero(mask) * size[0] * size[1] / np.pi)
    reach = max(2 * max(size), NEAR * diameter)
    near: Mask = distance_transform_edt(~mask, sampling=size) <= reach
    return near


def _pixel_size(prediction: Prediction) -> tuple[float, float]:
    """Return rows and columns of the image per pixel of the network's grid."""
    top, left, bottom, right = prediction.roi
    rows, cols = prediction.maps.probability.shape
    return (bottom - top) / rows, (right - left) / cols


def _exclude_clicks(value: Numbers, prediction: Prediction, step: int) -> None:
    """Set the value at the places of earlier clicks to 0."""
    size = [side * step for side in _pixel_size(prediction)]
    for click in prediction.clicks:
        if contains(prediction.roi, click):
            row = int((click.pixel[0] - prediction.roi[0]) / size[0])
            col = int((click.pixel[1] - prediction.roi[1]) / size[1])
            value[min(row, value.shape[0] - 1), min(col, value.shape[1] - 1)] = 0


def _pixel(prediction: Prediction, row: int, col: int) -> tuple[int, int]:
    """Return the pixel of the image under a pixel of the network's grid."""
    top, left, bottom, right = prediction.roi
    rows, cols = prediction.maps.probability.shape
    half = prediction.half_pixel
    down = from_grid(np.array([float(row)]), bottom - top, rows, half_pixel=half)
    over = from_grid(np.array([float(col)]), right - left, cols, half_pixel=half)
    inside = np.clip((*down, *over), 0, (bottom - top - 1, right - left - 1))
    found = np.floor(inside + 0.5).astype(int)
    return top + int(found[0]), left + int(found[1])
