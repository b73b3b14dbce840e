"""Robustness of a method to clicks off the centre of the error."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from gpcis_training.evaluation.metrics import Estimate, estimate, noc
from gpcis_training.evaluation.results import PUBLISHED_CLICKS, compare_values
from gpcis_training.evaluation.robot import CENTRE, LAWS
from gpcis_training.evaluation.tables import markdown
from napari_gpcis.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from gpcis_training.evaluation.results import EvaluationResult

TARGETS = (0.85, 0.90)
TERMS = (
    "Mean NoC with clicks in the centre of the largest error, anywhere inside it, and "
    "in the deepest (easy), middle and shallowest (hard) third of its pixels, averaged "
    "over the repeats. Loss: how much larger NoC is "
    "inside than in the centre. Spread: how much larger it is with hard clicks than "
    "with easy ones. Standard errors over images, pair by pair."
)


@dataclass(frozen=True)
class Robustness:
    """One method on one set, with clicks in several places.

    Parameters
    ----------
    method, objects, view
        Names of method and set, and the first view.
    count
        Number of objects.
    target
        The IoU to reach.
    repeats
        Number of draws of the clicks.
    noc
        Law of the clicks -> mean NoC; see :mod:`gpcis_training.evaluation.robot`.
    loss
        NoC with clicks inside over NoC with clicks in the centre, minus 1; ``None``
        where one is missing.
    spread
        NoC with hard clicks over NoC with easy ones, minus 1.
    deviation
        Law -> standard deviation of the mean NoC over repeats (NaN if there is one).
    """

    method: str
    objects: str
    count: int
    view: str
    target: float
    repeats: int
    noc: dict[str, Estimate]
    loss: Estimate | None
    spread: Estimate | None
    deviation: dict[str, float]


def robustness(
    results: Sequence[EvaluationResult], target: float = 0.90
) -> list[Robustness]:
    """Sum up results with clicks in several places: one entry a method, set and view.

    Parameters
    ----------
    results
        Of :func:`gpcis_training.evaluation.evaluate` with different `clicks`.
    target
        The IoU to reach.

    Raises
    ------
    InputError
        If runs ended below the target, or repeats are not of the same objects.
    """
    groups: defaultdict[tuple[str, ...], list[EvaluationResult]] = defaultdict(list)
    for result in results:
        if result.target is not None and result.target < target:
            msg = f"results must go on to an IoU of {target}, got {result.target}"
            raise InputError(msg)
        groups[result.label, result.objects, result.view].append(result)
    return [_sum_up(group, target) for group in groups.values()]


def _sum_up(group: Sequence[EvaluationResult], target: float) -> Robustness:
    """Sum up the results of one method, set and view."""
    first = group[0]
    images = [item.image for item in first.items]
    tables: dict[str, list[list[int]]] = {}
    for law in LAWS:
        chosen = [result for result in group if result.clicks == law]
        if any(result.items != first.items for result in chosen):
            msg = f"results must be on the same objects, differ on {first.objects!r}"
            raise InputError(msg)
        if chosen:
            tables[law] = [_clicks(result, target) for result in chosen]
    means = {law: np.mean(table, axis=0).tolist() for law, table in tables.items()}
    return Robustness(
        method=first.label,
        objects=first.objects,
        count=len(first.items),
        view=first.view,
        target=target,
        repeats=max(map(len, tables.values())),
        noc={law: estimate(values, images) for law, values in means.items()},
        loss=_excess(means, "inside", CENTRE, images),
        spread=_excess(means, "hard", "easy", images),
        deviation={law: _deviation(table) for law, table in tables.items()},
    )


def _clicks(result: EvaluationResult, target: float) -> list[int]:
    """Return the NoC of each object."""
    allowed = min(PUBLISHED_CLICKS, result.max_clicks)
    return [noc(run.ious, target, allowed) for run in result.runs]


def _deviation(table: list[list[int]]) -> float:
    """Return the standard deviation of the mean over repeats."""
    means = np.mean(table, axis=1)
    return float(means.std(ddof=1)) if len(means) > 1 else float("nan")


def _excess(
    means: dict[str, list[float]], law: str, base: str, images: list[str]
) -> Estimate | None:
    """Return the ratio of two laws minus 1."""
    if law not in means or base not in means:
        return None
    ratio = compare_values(means[law], means[base], images).ratio
    return Estimate(ratio.mean - 1, ratio.error)


def robustness_table(results: Sequence[EvaluationResult]) -> str:
    """Return a Markdown table of all methods, sets and views, with its terms."""
    rows = []
    ends = [result.target for result in results if result.target is not None]
    for target in [t for t in TARGETS if t <= min(ends, default=1)]:
        for found in robustness(results, target):
            row = {
                "Method": found.method,
                "Set": found.objects,
                "Objects": str(found.count),
                "First view": found.view,
                "IoU": f"{100 * target:.0f} %",
                "Repeats": str(found.repeats),
            }
            row |= {law: str(value) for law, value in found.noc.items()}
            row |= {"Loss": _percent(found.loss), "Spread": _percent(found.spread)}
            rows.append(row)
    return f"**Clicks off the centre**\n\n{markdown(rows)}\n\n{TERMS}"


def _percent(value: Estimate | None) -> str:
    """Return a ratio's excess as a table shows it."""
    if value is None:
        return ""
    return f"{100 * value.mean:+.0f} ± {100 * value.error:.0f} %"
