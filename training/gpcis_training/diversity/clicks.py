"""Clicks of the published system: sampled for training, and those of its robot user.

For training, after Xu et al. as the published code has it: positive clicks anywhere in
the object, 5 pixels from its border and 10 from each other; negative ones by one of
three strategies, on the background, around the object or on other objects. For the
test, each click is drawn from all wrong pixels with a probability in proportion to the
distance to their border.
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
    Pixels = list[tuple[int, int]]

BACKGROUND, AROUND, OTHERS = 1, 2, 3
"""Strategies of negative clicks."""


@dataclass(frozen=True)
class SamplingOptions:
    """Law of the clicks in training.

    Parameters
    ----------
    margin
        Smallest distance from a click to the border of the object, pixels. Halved
        until a pixel is left where an object is thinner.
    step
        Smallest distance between two clicks, pixels.
    positives, negatives, others
        Largest numbers of positive clicks, of negative ones on the background or
        around the object, and of those on each other object; the smallest are 1.
    band
        Width of the band around the object for the second strategy, pixels.
    none
        Share of samples without negative clicks. 0 as published; otherwise the
        network never sees a first click alone, its main use here.
    sets
        Sets of positive and of negative clicks that an object has, each visit taking
        one of either (published: 15). 0: others at each visit.
    """

    margin: float = 5.0
    step: float = 10.0
    positives: int = 10
    negatives: int = 15
    others: int = 10
    band: float = 40.0
    none: float = 0.5
    sets: int = 15

    def __post_init__(self) -> None:
        """Check the numbers."""
        if min(self.positives, self.negatives, self.others) < 1:
            numbers = (self.positives, self.negatives, self.others)
            msg = f"positives, negatives and others must be at least 1, got {numbers}"
            raise InputError(msg)
        if not 0 <= self.none <= 1 or min(self.margin, self.step, self.sets) < 0:
            msg = (
                "none must be from 0 to 1, margin, step and sets from 0, got "
                f"{self.none}, {self.margin}, {self.step} and {self.sets}"
            )
            raise InputError(msg)


def sample_positives(
    target: Mask, options: SamplingOptions, rng: np.random.Generator
) -> Pixels:
    """Draw the positive clicks of a sample, at least one.

    Parameters
    ----------
    target
        The object, shape ``(H, W)``, not empty. The border of the image is none of
        the object's.
    options
        The law.
    rng
        Source of randomness.
    """
    count = int(rng.integers(1, options.positives + 1))
    depth = _distance_to(~target)
    margin = options.margin
    while not (target & (depth >= margin)).any():
        margin /= 2
    return _spread(target & (depth >= margin), count, options.step, rng)


def sample_negatives(
    target: Mask,
    others: Sequence[Mask],
    options: SamplingOptions,
    rng: np.random.Generator,
    allowed: Mask | None = None,
) -> Pixels:
    """Draw the negative clicks of a sample; none where there is no room.

    Parameters
    ----------
    target
        The object, shape ``(H, W)``, not empty.
    others
        Other objects of the image. Without any, the third strategy is not drawn.
    options
        The law.
    rng
        Source of randomness.
    allowed
        Pixels that may be clicked; by default all.
    """
    if rng.random() < options.none:
        return []
    strategies = (BACKGROUND, AROUND, OTHERS) if others else (BACKGROUND, AROUND)
    strategy = int(rng.choice(strategies))
    free = ~target if allowed is None else ~target & allowed
    away = _distance_to(target)
    if strategy == BACKGROUND:
        count = int(rng.integers(1, options.negatives + 1))
        return _spread(free & (away >= options.margin), count, options.step, rng)
    if strategy == AROUND:
        return _farthest(free & (away <= options.band), options.negatives, rng)
    pixels: Pixels = []
    for other in others:
        count = int(rng.integers(1, options.others + 1))
        room = other & free & (_distance_to(~other) >= options.margin)
        pixels += _spread(room, count, options.step, rng)
    return pixels


class DistanceClicker:
    """Robot user of the published test.

    Each click is drawn from all wrong pixels together, missing and superfluous ones,
    with a probability in proportion to the Euclidean distance to the outside of that
    set (the border of the image counts), and has the sign of the ground truth there.

    Parameters
    ----------
    seed
        Of the draws of one object.
    """

    def __init__(self, seed: int | Sequence[int]) -> None:
        self._rng = np.random.default_rng(seed)

    def __call__(
        self, gt: NDArray[np.integer], mask: Mask, not_clicked: Mask
    ) -> Click | None:
        """Return the next click, ``None`` if nothing is wrong.

        Parameters
        ----------
        gt
            Ground truth, shape ``(H, W)``: 1 object, -1 ignored, all else background.
        mask
            The current mask; empty before the first click, which so falls into the
            object.
        not_clicked
            False where an earlier click lies.
        """
        wrong = ((gt == 1) != mask) & (gt != IGNORE)
        weights = depth_map(wrong) * not_clicked
        pixels = np.flatnonzero(weights)
        if len(pixels) == 0:
            return None
        shares = weights.ravel()[pixels]
        chosen = self._rng.choice(pixels, p=shares / shares.sum())
        row, col = divmod(int(chosen), gt.shape[1])
        return Click(row, col, bool(gt[row, col] == 1))


def distance_clicker(
    item: EvaluationObject, seed: int = 0, repeat: int = 0
) -> DistanceClicker:
    """Return the robot of one object: its draws depend on these arguments alone."""
    name = repr((item.image, item.label, item.ids))
    return DistanceClicker([seed, repeat, zlib.crc32(name.encode())])


def _distance_to(region: Mask) -> NDArray[np.float64]:
    """Return the distance to the nearest pixel of a region; infinite without any."""
    if not region.any():
        return np.full(region.shape, np.inf)
    return np.asarray(distance_transform_edt(~region), dtype=np.float64)


def _spread(region: Mask, count: int, step: float, rng: np.random.Generator) -> Pixels:
    """Draw up to so many pixels of a region, uniformly, a step apart."""
    rows, cols = np.nonzero(region)
    pixels: Pixels = []
    while len(pixels) < count and len(rows) > 0:
        chosen = rng.integers(len(rows))
        row, col = int(rows[chosen]), int(cols[chosen])
        pixels.append((row, col))
        distances = np.hypot(rows - row, cols - col)
        kept = (distances >= step) & (distances > 0)
        rows, cols = rows[kept], cols[kept]
    return pixels


def _farthest(band: Mask, count: int, rng: np.random.Generator) -> Pixels:
    """Draw a pixel of a band; each further one is farthest from all else.

    All else is what lies outside the band (the object, and beyond) and the pixels
    before.
    """
    rows, cols = np.nonzero(band)
    if len(rows) == 0:
        return []
    distances = _distance_to(~band)[rows, cols]
    chosen, pixels = int(rng.integers(len(rows))), []
    for _ in range(count):
        row, col = int(rows[chosen]), int(cols[chosen])
        pixels.append((row, col))
        distances = np.minimum(distances, np.hypot(rows - row, cols - col))
        chosen = int(distances.argmax())
        if distances[chosen] == 0:
            break
    return pixels
