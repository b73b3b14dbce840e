"""The robot user: simulated clicks on the largest error, as in the published protocol.

The clicker places each next click in the middle of the largest wrong region of the
current mask, so that a method can be measured without users [1]_ [2]_.

Real users do not hit the middle; how much worse a method becomes when the same error is
clicked elsewhere says how well it serves them [3]_. The error, and so the sign of the
click, is then chosen as published, and the pixel is drawn by a law inside the connected
region of that error:

``centre``
    the deepest pixel (nothing is drawn),
``inside``
    anywhere in the region, all pixels alike,
``easy``, ``middle``, ``hard``
    in the deepest, the middle or the shallowest third of its pixels, where depth is the
    Euclidean distance to the region's outside.

References
----------
.. [1] Xu et al., "Deep interactive object selection", CVPR 2016.
.. [2] Zhou et al., "Interactive segmentation as Gaussian process classification",
   CVPR 2023.
.. [3] Antonov et al., "RClicks: realistic click simulation for benchmarking interactive
   segmentation", NeurIPS 2024.
"""

from __future__ import annotations

import time
import zlib
from typing import TYPE_CHECKING, Protocol

import numpy as np
from scipy.ndimage import distance_transform_edt, find_objects, label

from gpcis_training.evaluation.metrics import ClickRun, iou
from napari_gpcis.clicks import Click
from napari_gpcis.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from typing import TypeAlias

    from numpy.typing import NDArray

    from gpcis_training.evaluation.datasets import EvaluationObject

    Truth: TypeAlias = NDArray[np.integer]
    Mask: TypeAlias = NDArray[np.bool_]
    Clicker: TypeAlias = Callable[[Truth, Mask, Mask], Click | None]

IGNORE = -1
"""Label of ground-truth pixels that count neither as object nor as background."""
CENTRE = "centre"
_SHARES = {
    "inside": (0, 1),
    "easy": (0, 1 / 3),
    "middle": (1 / 3, 2 / 3),
    "hard": (2 / 3, 1),
}
LAWS = (CENTRE, *_SHARES)
"""Laws of the clicks; see the module."""


class Predictor(Protocol):
    """Any interactive method that the robot can drive: one object at a time."""

    def start(
        self, image: NDArray[np.generic], first_view: tuple[int, int, int, int] | None
    ) -> None:
        """Begin a new object of ``image``, forgetting all earlier clicks.

        Parameters
        ----------
        image
            Shape ``(H, W)`` or ``(H, W, C)``.
        first_view
            View of a user who makes the first click, a half-open
            box ``(row_min, col_min, row_max, col_max)``; ``None``: the whole image.
        """

    def click(self, row: int, col: int, positive: bool) -> NDArray[np.bool_]:
        """Add one click and return the mask of the object, shape ``(H, W)``."""


def next_click(
    gt: NDArray[np.integer],
    mask: NDArray[np.bool_],
    not_clicked: NDArray[np.bool_],
) -> Click | None:
    """Return the next click of a careful user.

    The largest error is the one whose deepest pixel is furthest from the region's
    border (Euclidean; the image's border counts). The click is positive if the
    deepest missing pixel lies deeper than the deepest superfluous one (a tie gives a
    negative click), and is placed on the first deepest pixel in row-major order.
    Ignored pixels are no errors, and bound those beside them: they are never clicked.

    Parameters
    ----------
    gt
        Ground truth, shape ``(H, W)``: 1 object, -1 ignored, all else background.
    mask
        The current mask, shape ``(H, W)``.
    not_clicked
        ``False`` where an earlier click lies, shape ``(H, W)``.

    Returns
    -------
    Click or None
        ``None`` if no wrong pixel is left that was not clicked before. (The published
        code then clicks at ``(0, 0)``, whatever is there.)

    Examples
    --------
    >>> gt = np.zeros((5, 5), np.int8)
    >>> gt[1:4, 1:4] = 1
    >>> next_click(gt, np.zeros((5, 5), bool), np.ones((5, 5), bool))
    Click(row=2.0, col=2.0, positive=True)
    """
    is_object = gt == 1
    valid = gt != IGNORE
    missing = _deepest(is_object & ~mask & valid, not_clicked)
    superfluous = _deepest(~is_object & mask & valid, not_clicked)
    positive = missing[0] > superfluous[0]
    depth, row, col = missing if positive else superfluous
    return Click(row, col, positive) if depth > 0 else None


def run_robot(
    predictor: Predictor,
    gt: NDArray[np.integer],
    max_clicks: int = 20,
    target: float | None = 0.9,
    min_clicks: int = 1,
    clicker: Clicker = next_click,
) -> ClickRun:
    """Let the robot segment one object with a predictor that was started before.

    Parameters
    ----------
    predictor
        The method, after ``predictor.start(image, first_view)``.
    gt
        Ground truth, shape ``(H, W)``: 1 object, -1 ignored, all else background.
    max_clicks
        The robot gives up after so many clicks.
    target
        Stop when this IoU is reached; ``None``: go on to ``max_clicks``.
    min_clicks
        Do not stop at the target before so many clicks were made, so that IoU after
        ``min_clicks`` clicks is exact. The run also ends when no error is left.
    clicker
        Places the clicks; by default as published.

    Returns
    -------
    ClickRun

    Raises
    ------
    InputError
        If there is no object in ``gt``, ``max_clicks`` is below 1, or the predictor
        returns a mask of another shape.
    """
    if max_clicks < 1:
        msg = f"max_clicks must be at least 1, got {max_clicks}"
        raise InputError(msg)
    if not (gt == 1).any():
        msg = "gt has no pixel with label 1: there is no object to click on"
        raise InputError(msg)
    mask = np.zeros(gt.shape, dtype=bool)
    not_clicked = np.ones(gt.shape, dtype=bool)
    clicks: list[Click] = []
    steps: list[tuple[float, int, bool, float]] = []
    while len(clicks) < max_clicks:
        click = clicker(gt, mask, not_clicked)
        if click is None:
            break
        clicks.append(click)
        not_clicked[click.pixel] = False
        before = time.perf_counter()
        mask = predictor.click(*click.pixel, click.positive)
        seconds = time.perf_counter() - before
        if mask.shape != gt.shape:
            msg = f"mask must have the shape of gt, {gt.shape}, got {mask.shape}"
            raise InputError(msg)
        missed = _violations([click], mask) > 0
        steps.append((iou(gt, mask), _violations(clicks, mask), missed, seconds))
        reached = target is not None and steps[-1][0] >= target
        if reached and len(clicks) >= min_clicks:
            break
    ious, violations, missed_steps, times = zip(*steps, strict=True)
    return ClickRun(ious, tuple(clicks), violations, missed_steps, times)


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


def depth_map(region: NDArray[np.bool_]) -> NDArray[np.float64]:
    """Return the Euclidean distance of each pixel to the region's outside.

    What lies beyond the array counts as outside.
    """
    return distance_transform_edt(np.pad(region, 1))[1:-1, 1:-1]


def _violations(clicks: Sequence[Click], mask: NDArray[np.bool_]) -> int:
    """Count the clicks whose label differs from the mask's."""
    return sum(bool(mask[click.pixel]) != click.positive for click in clicks)


def _deepest(
    error: NDArray[np.bool_], not_clicked: NDArray[np.bool_]
) -> tuple[float, int, int]:
    """Return the depth, row and column of the region's first deepest free pixel."""
    depth, (top, left) = _depth(error)
    height, width = depth.shape
    if depth.size == 0:
        return 0.0, 0, 0
    free = depth * not_clicked[top : top + height, left : left + width]
    row, col = divmod(int(np.argmax(free)), width)
    return float(free[row, col]), top + row, left + col


def _depth(error: NDArray[np.bool_]) -> tuple[NDArray[np.float64], tuple[int, int]]:
    """Return distances to the region's outside and where that array begins.

    Only the bounding box of the region with a rim of one pixel is transformed. This
    is exact: whatever lies beyond the rim is further away than the rim, and the rim
    itself is outside the region (or outside the image, which counts as outside).
    """
    rows = np.flatnonzero(error.any(axis=1))
    if rows.size == 0:
        return np.zeros((0, 0)), (0, 0)
    cols = np.flatnonzero(error.any(axis=0))
    box = error[rows[0] : rows[-1] + 1, cols[0] : cols[-1] + 1]
    return depth_map(box), (int(rows[0]), int(cols[0]))


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
