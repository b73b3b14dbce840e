"""Clicks of latent diversity: sets of clicks for training, and the user of its test.

For training, positive and negative clicks are drawn by the strategies of Xu et al.
[1]_: apart from each other, and off the border of the object. In the test a click is
drawn with a probability proportional to the distance to the border: the first in the
object, later ones among all wrong pixels.

References
----------
.. [1] Xu et al., "Deep interactive object selection", CVPR 2016.
"""

from __future__ import annotations

import zlib
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from scipy.ndimage import distance_transform_edt

from gpcis_training.evaluation.robot import IGNORE, depth_map
from napari_gpcis.clicks import Click
from napari_gpcis.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from gpcis_training.evaluation.datasets import EvaluationObject

    Mask = NDArray[np.bool_]
    Distances = NDArray[np.float64]
    Pixel = tuple[int, int]


@dataclass(frozen=True)
class TrainingClicks:
    """Laws of the clicks of training.

    Parameters
    ----------
    margin
        Distance of clicks to the border of the object, pixels.
    step
        Distance between clicks, pixels.
    positives, background, others
        Most positive clicks, negative clicks on the background, and negative clicks in
        each other object; their number is drawn from 1 to that.
    around
        Number of negative clicks around the object.
    band
        Width of the band around the object in which those lie, pixels.
    no_negatives
        Probability of no negative click, as when users begin; 0 as published.
    sets
        Clicks are drawn from so many positive and so many negative sets of an object,
        independently; 0: ever new ones.
    """

    margin: float = 5.0
    step: float = 10.0
    positives: int = 10
    background: int = 15
    others: int = 10
    around: int = 15
    band: float = 40.0
    no_negatives: float = 0.0
    sets: int = 15

    def __post_init__(self) -> None:
        """Check the numbers."""
        counts = (self.positives, self.background, self.others, self.around)
        if min(counts) < 1 or self.sets < 0:
            msg = f"numbers of clicks must be from 1 and sets from 0, got {self}"
            raise InputError(msg)
        if not 0 <= self.no_negatives <= 1:
            msg = f"no_negatives must be from 0 to 1, got {self.no_negatives}"
            raise InputError(msg)


def training_clicks(
    mask: Mask,
    others: Sequence[Mask],
    options: TrainingClicks,
    seed: Sequence[int],
    ignore: Mask | None = None,
) -> list[Click]:
    """Draw the clicks of one step of training; the same for the same seed.

    Parameters
    ----------
    mask
        The object, ``(H, W)``; not empty.
    others
        The other objects of the image.
    options
        The laws.
    seed
        Numbers of the object, then that of the visit. Of the visit only the choice
        of the sets depends, if there are any.
    ignore
        Pixels that are neither object nor background: no click is there.

    Returns
    -------
    list of Click
        Positive ones first; at least one.

    Raises
    ------
    InputError
        If the mask is empty.
    """
    if not mask.any():
        msg = "mask must hold a pixel to click, got an empty one"
        raise InputError(msg)
    rng = np.random.default_rng(list(seed))
    first, second = (int(number) for number in rng.integers(0, 2**31, 2))
    if options.sets:
        first, second = (int(number) for number in rng.integers(0, options.sets, 2))
    own = list(seed)[:-1]
    positive = positives(mask, options, np.random.default_rng([*own, 1, first]))
    negative: list[Pixel] = []
    if rng.random() >= options.no_negatives:
        source = np.random.default_rng([*own, 2, second])
        negative = negatives(mask, others, options, source, ignore)
    return [
        *(Click(row, col, True) for row, col in positive),
        *(Click(row, col, False) for row, col in negative),
    ]


def positives(
    mask: Mask, options: TrainingClicks, rng: np.random.Generator
) -> list[Pixel]:
    """Draw pixels in an object; in one too thin for the margin, one in its middle."""
    count = int(rng.integers(1, options.positives + 1))
    return _apart(_inner(mask, options), count, options.step, rng)


def negatives(
    mask: Mask,
    others: Sequence[Mask],
    options: TrainingClicks,
    rng: np.random.Generator,
    ignore: Mask | None = None,
) -> list[Pixel]:
    """Draw pixels off an object by one strategy, all alike.

    The strategies are the background, around the object, and in each other object if
    there is one.

    Parameters
    ----------
    mask, others, options, ignore
        See :func:`training_clicks`.
    rng
        Source of randomness.

    Returns
    -------
    list
        Rows and columns. Empty if the strategy finds no pixel.
    """
    strategy = int(rng.integers(3 if others else 2))
    if strategy == 2:
        found = []
        for other in others:
            count = int(rng.integers(1, options.others + 1))
            found += _apart(_inner(other, options), count, options.step, rng)
        return found
    away = distance_transform_edt(~mask)
    if strategy == 0:
        free = away >= options.margin
        if ignore is not None:
            free &= ~ignore
        count = int(rng.integers(1, options.background + 1))
        return _apart(free, count, options.step, rng)
    free = (away > 0) & (away <= options.band)
    if ignore is not None:
        free &= ~ignore
    return _farthest(free, options.around, rng)


class BoundaryClicker:
    """The user of the paper's test: clicks drawn in proportion to the distance.

    Of the wrong pixels of both kinds together, each is clicked with a probability
    proportional to its Euclidean distance to the border of the wrong region, and gets
    the label that it has in truth. The first click is so one in the object.

    Parameters
    ----------
    seed
        Of the draws of one object.
    """

    def __init__(self, seed: int | Sequence[int] = 0) -> None:
        self._rng = np.random.default_rng(seed if isinstance(seed, int) else list(seed))

    def __call__(
        self, gt: NDArray[np.integer], mask: Mask, not_clicked: Mask
    ) -> Click | None:
        """Return the next click, see :func:`.next_click`."""
        chances = click_chances(gt, mask, not_clicked)
        total = chances.sum()
        if total <= 0:
            return None
        flat = int(self._rng.choice(chances.size, p=chances.ravel() / total))
        row, col = divmod(flat, gt.shape[1])
        return Click(row, col, bool(gt[row, col] == 1))


def click_chances(
    gt: NDArray[np.integer], mask: Mask, not_clicked: Mask
) -> NDArray[np.float64]:
    """Return the weight with which each pixel is clicked next in the test.

    Parameters
    ----------
    gt
        Ground truth, ``(H, W)``: 1 object, -1 ignored, all else background.
    mask
        The current mask, ``(H, W)``.
    not_clicked
        ``False`` where an earlier click lies.

    Returns
    -------
    array
        Shape ``(H, W)``; 0 where the mask is right.
    """
    wrong = ((gt == 1) != mask) & (gt != IGNORE)
    return depth_map(wrong) * not_clicked


def boundary_clicker(
    item: EvaluationObject, seed: int = 0, repeat: int = 0
) -> BoundaryClicker:
    """Return the user of the test for one object.

    The draws depend on the seed, the repeat and the object alone.
    """
    name = repr((item.image, item.label, item.ids))
    return BoundaryClicker([seed, repeat, zlib.crc32(name.encode())])


def _inner(mask: Mask, options: TrainingClicks) -> Mask:
    """Return the pixels off the border, or the deepest ones if there are none."""
    depth = depth_map(mask)
    if not mask.any():
        return mask
    return np.asarray(depth >= min(options.margin, depth.max()))


def _apart(
    free: Mask, count: int, step: float, rng: np.random.Generator
) -> list[Pixel]:
    """Draw pixels that are a step apart, fewer if there is no room."""
    rows, cols = np.nonzero(free)
    found: list[Pixel] = []
    while len(found) < count and rows.size:
        k = int(rng.integers(rows.size))
        row, col = int(rows[k]), int(cols[k])
        found.append((row, col))
        far = (rows - row) ** 2 + (cols - col) ** 2 >= step**2
        rows, cols = rows[far], cols[far]
    return found


def _farthest(free: Mask, count: int, rng: np.random.Generator) -> list[Pixel]:
    """Draw a pixel, then take the one farthest from all else, again and again.

    All else is what is not free, and the pixels before.
    """
    flat = np.flatnonzero(free)
    if flat.size == 0:
        return []
    first = divmod(int(flat[rng.integers(flat.size)]), free.shape[1])
    left = distance_transform_edt(free) if not free.all() else np.full(free.shape, 1e9)
    rows = np.arange(free.shape[0])[:, None]
    cols = np.arange(free.shape[1])[None, :]
    found: list[Pixel] = [first]
    while True:
        row, col = found[-1]
        left = np.minimum(left, np.hypot(rows - row, cols - col))
        farthest = int(np.argmax(left))
        if len(found) == count or left.flat[farthest] <= 0:
            return found
        found.append(divmod(farthest, free.shape[1]))
