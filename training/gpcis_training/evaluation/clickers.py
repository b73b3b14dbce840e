"""Robots that do not hit the middle: clicks drawn inside the largest error region.

The published robot clicks on the deepest pixel of the largest error. People do not; how
much worse a method becomes when the same error is clicked elsewhere says how well it
serves them [1]_. Here the error, and so the sign of the click, is chosen as published,
and the place is drawn inside the connected region of that error:

``centre``
    the deepest pixel (nothing is drawn),
``inside``
    anywhere in the region, all pixels alike,
``easy``, ``middle``, ``hard``
    in the deepest, the middle or the shallowest third of its pixels, where depth is the
    Euclidean distance to the region's outside.

References
----------
.. [1] Antonov et al., "RClicks: realistic click simulation for benchmarking interactive
   segmentation", NeurIPS 2024.
"""

from __future__ import annotations

import zlib
from typing import TYPE_CHECKING

import numpy as np
from scipy.ndimage import find_objects, label

from gpcis_training.evaluation.robot import IGNORE, depth_map, next_click
from napari_gpcis.clicks import Click
from napari_gpcis.errors import InputError

if TYPE_CHECKING:
    from gpcis_training.evaluation.datasets import EvaluationObject
    from gpcis_training.evaluation.robot import Clicker, Mask, Truth

CENTRE = "centre"
_SHARES = {
    "inside": (0, 1),
    "easy": (0, 1 / 3),
    "middle": (1 / 3, 2 / 3),
    "hard": (2 / 3, 1),
}
LAWS = (CENTRE, *_SHARES)
"""Where clicks may fall; see the module."""


class SampledClicker:
    """A robot that draws its clicks; the same seed gives the same clicks.

    Parameters
    ----------
    law
        One of :data:`LAWS` but ``"centre"``.
    seed
        Of the draws of one object.
    """

    def __init__(self, law: str, seed: int | list[int]) -> None:
        self._share = _SHARES[law]
        self._rng = np.random.default_rng(seed)

    def __call__(self, gt: Truth, mask: Mask, not_clicked: Mask) -> Click | None:
        """Return the next click, see :func:`next_click`."""
        click = next_click(gt, mask, not_clicked)
        if click is None:
            return None
        is_object = gt == 1
        wrong = is_object & ~mask if click.positive else ~is_object & mask
        rows, cols = _by_depth(wrong & (gt != IGNORE), not_clicked, click.pixel)
        first, last = (share * rows.size for share in self._share)
        low = min(int(first), rows.size - 1)
        chosen = self._rng.integers(low, max(round(last), low + 1))
        return Click(int(rows[chosen]), int(cols[chosen]), click.positive)


def _by_depth(
    wrong: Mask, not_clicked: Mask, inside: tuple[int, int]
) -> tuple[np.ndarray, np.ndarray]:
    """Return the free pixels of one region of an error, deepest first.

    Parameters
    ----------
    wrong
        All pixels of that kind of error.
    not_clicked
        The free pixels.
    inside
        A pixel of the region.
    """
    regions, _ = label(wrong, structure=np.ones((3, 3)))
    number = regions[inside]
    box = find_objects(regions)[number - 1]
    region = regions[box] == number
    rows, cols = np.nonzero(region & not_clicked[box])
    depth = depth_map(region)[rows, cols]
    order = np.argsort(-depth, kind="stable")
    return rows[order] + box[0].start, cols[order] + box[1].start


def make_clicker(
    law: str, item: EvaluationObject, seed: int = 0, repeat: int = 0
) -> Clicker:
    """Return the robot for one object.

    Its draws depend on the seed, the repeat and the object alone: not on the order in
    which objects are evaluated, nor on where.

    Parameters
    ----------
    law
        One of :data:`LAWS`.
    item
        The object.
    seed, repeat
        Numbers from 0.

    Raises
    ------
    InputError
        If there is no such law.
    """
    if law == CENTRE:
        return next_click
    if law not in _SHARES:
        msg = f"clicks must be one of {', '.join(LAWS)}, got {law!r}"
        raise InputError(msg)
    name = repr((item.image, item.label, item.ids))
    return SampledClicker(law, [seed, repeat, zlib.crc32(name.encode())])
