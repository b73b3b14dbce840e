"""Figures of merit of interactive segmentation: pure functions of click runs."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from napari_gpcis.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Hashable, Mapping, Sequence

    from numpy.typing import NDArray

    from napari_gpcis.clicks import Click

TARGETS = (0.80, 0.85, 0.90)
"""The IoU targets of NoC and NoF."""
CLICK_COUNTS = (1, 5)
"""The click counts of IoU&n."""


@dataclass(frozen=True)
class ClickRun:
    """Record of the robot segmenting one object.

    Parameters
    ----------
    ious
        IoU after each click.
    clicks
        The clicks, in order.
    violations
        After each click, how many of the clicks so far have a label other than that
        of the mask at their pixel.
    missed
        For each click, whether the mask predicted right after it disobeyed it.
    seconds
        Time that each prediction took (the clicker's own time is not counted).
    """

    ious: tuple[float, ...]
    clicks: tuple[Click, ...]
    violations: tuple[int, ...]
    missed: tuple[bool, ...]
    seconds: tuple[float, ...]


def iou(gt: NDArray[np.integer], mask: NDArray[np.bool_]) -> float:
    """Return the intersection over union, leaving out pixels with ``gt == -1``.

    Parameters
    ----------
    gt
        Ground truth: 1 object, -1 ignored, all else background.
    mask
        The mask, of the same shape.

    Returns
    -------
    float
        From 0 to 1; 1 if both object and mask are empty.

    Examples
    --------
    >>> iou(np.array([[1, 1, 0, -1]]), np.array([[True, False, True, True]]))
    0.3333333333333333
    """
    is_object = gt == 1
    union = int(np.count_nonzero((mask | is_object) & (gt != -1)))
    return int(np.count_nonzero(mask & is_object)) / union if union else 1.0


def noc(ious: Sequence[float], target: float, max_clicks: int = 20) -> int:
    """Return the number of clicks (NoC) needed to reach an IoU.

    Parameters
    ----------
    ious
        IoU after each click.
    target
        The IoU to reach.
    max_clicks
        The count given to an object that never reaches it within ``max_clicks``.

    Examples
    --------
    >>> noc([0.5, 0.86, 0.84], 0.85)
    2
    >>> noc([0.5, 0.6], 0.85)
    20
    """
    reached = (i for i, value in enumerate(ious[:max_clicks], 1) if value >= target)
    return next(reached, max_clicks)


def nof(
    curves: Sequence[Sequence[float]],
    target: float,
    max_clicks: int = 20,
    *,
    strict: bool = False,
) -> int:
    """Return the number of failures (NoF).

    Parameters
    ----------
    curves
        For each object, the IoU after each click.
    target
        The IoU to reach.
    max_clicks
        The number of clicks allowed.
    strict
        ``False``: count objects with NoC equal to ``max_clicks`` as the published
        code does, so that a success on the very last click is a failure too.
        ``True``: count only objects that never reach the target.

    Examples
    --------
    >>> curves = [[0.5, 0.9], [0.5, 0.6], [0.95]]
    >>> nof(curves, 0.9, max_clicks=2), nof(curves, 0.9, max_clicks=2, strict=True)
    (2, 1)
    """
    if strict:
        return sum(max(ious[:max_clicks], default=0.0) < target for ious in curves)
    return sum(noc(ious, target, max_clicks) == max_clicks for ious in curves)


def iou_at(ious: Sequence[float], clicks: int) -> float:
    """Return the IoU after so many clicks (IoU&n), the last one if fewer were made.

    Examples
    --------
    >>> iou_at([0.5, 0.7, 0.9], 2), iou_at([0.5, 0.7], 5)
    (0.7, 0.7)
    """
    if not ious or clicks < 1:
        msg = f"ious and clicks must not be empty or 0, got {len(ious)} and {clicks}"
        raise InputError(msg)
    return float(ious[min(clicks, len(ious)) - 1])


def noic(
    run: ClickRun,
    target: float | None = 0.9,
    max_clicks: int = 20,
    *,
    steps: bool = False,
) -> int:
    """Return the number of incorrectly classified clicks (NoIC) of one object.

    The paper defines it in words only. Here the run ends where it reaches ``target``
    or makes ``max_clicks`` clicks, and the clicks whose label differs from the final
    mask at their pixel are counted.

    Parameters
    ----------
    run
        Record of the robot.
    target
        The IoU at which the run ends; ``None``: at its last click.
    max_clicks
        The number of clicks allowed.
    steps
        ``True``: count instead the clicks that were disobeyed by the mask predicted
        right after each of them.
    """
    ends = max_clicks if target is None else noc(run.ious, target, max_clicks)
    ends = min(ends, len(run.ious))
    return sum(run.missed[:ends]) if steps else run.violations[ends - 1]


@dataclass(frozen=True)
class Estimate:
    """A mean and its standard error (NaN if there is but one independent value)."""

    mean: float
    error: float

    def __str__(self) -> str:
        """Return the mean and its error as a table shows them."""
        return f"{self.mean:.2f} ± {self.error:.2f}"


def estimate(
    values: Sequence[float], groups: Sequence[Hashable] | None = None
) -> Estimate:
    """Return a mean with its standard error.

    Parameters
    ----------
    values
        One value per object, at least one.
    groups
        Group of each object (its image). Objects of one group are not
        independent, and the error is then that of sums over groups:
        ``sqrt(G / (G - 1) * sum_g (sum_{i in g} (x_i - mean))^2) / N``.

    Examples
    --------
    >>> print(estimate([1, 2, 3, 4]))
    2.50 ± 0.65
    """
    data = np.asarray(values, dtype=np.float64)
    if data.size == 0:
        msg = "values must hold at least one number, got none"
        raise InputError(msg)
    sums: dict[Hashable, float] = {}
    deviations = data - data.mean()
    for key, deviation in zip(groups or range(data.size), deviations, strict=True):
        sums[key] = sums.get(key, 0.0) + float(deviation)
    count = len(sums)
    if count < 2:
        return Estimate(float(data.mean()), math.nan)
    square = count / (count - 1) * sum(total**2 for total in sums.values())
    return Estimate(float(data.mean()), math.sqrt(square) / data.size)


@dataclass(frozen=True)
class Summary:
    """The figures of merit of one method over many objects.

    Parameters
    ----------
    objects
        The number of objects.
    noc
        IoU target -> mean number of clicks.
    nof, nof_strict
        IoU target -> number of failures, counted in the published way and strictly.
    iou_at
        Click count -> mean IoU.
    noic, noic_steps
        Sums over the objects, at the highest target; see :func:`noic`.
    seconds_per_click
        Time of all predictions over the number of clicks.
    """

    objects: int
    noc: Mapping[float, Estimate]
    nof: Mapping[float, int]
    nof_strict: Mapping[float, int]
    iou_at: Mapping[int, Estimate]
    noic: int
    noic_steps: int
    seconds_per_click: float


def summarise(
    runs: Sequence[ClickRun],
    groups: Sequence[Hashable] | None = None,
    targets: Sequence[float] = TARGETS,
    max_clicks: int = 20,
) -> Summary:
    """Sum up the runs of one method.

    Parameters
    ----------
    runs
        One run per object, none of them stopped before the highest target.
    groups
        The image of each object; see :func:`estimate`.
    targets
        The IoU targets.
    max_clicks
        The number of clicks allowed.
    """
    curves = [run.ious for run in runs]
    last = max(targets)
    seconds = [second for run in runs for second in run.seconds]
    return Summary(
        objects=len(runs),
        noc={
            t: estimate([noc(ious, t, max_clicks) for ious in curves], groups)
            for t in targets
        },
        nof={t: nof(curves, t, max_clicks) for t in targets},
        nof_strict={t: nof(curves, t, max_clicks, strict=True) for t in targets},
        iou_at={
            n: estimate([iou_at(ious, n) for ious in curves], groups)
            for n in CLICK_COUNTS
        },
        noic=sum(noic(run, last, max_clicks) for run in runs),
        noic_steps=sum(noic(run, last, max_clicks, steps=True) for run in runs),
        seconds_per_click=sum(seconds) / len(seconds),
    )
