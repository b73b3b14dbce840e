"""A picture of the mean IoU after each click."""

from __future__ import annotations

from collections import defaultdict
from typing import TYPE_CHECKING

import numpy as np

from gpcis_training.evaluation.metrics import iou_at

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from matplotlib.axes import Axes
    from numpy.typing import NDArray

    from gpcis_training.evaluation.results import EvaluationResult

_WIDTH, _HEIGHT, _DOTS = 5.2, 4.0, 120


def mean_curve(result: EvaluationResult, clicks: int) -> NDArray[np.float64]:
    """Return the mean IoU after 1, 2, ... clicks, shape ``(clicks,)``.

    A run that ended earlier counts with its last IoU.
    """
    curves = [
        [iou_at(run.ious, n) for n in range(1, clicks + 1)] for run in result.runs
    ]
    return np.asarray(np.mean(curves, axis=0), dtype=np.float64)


def save_curves(path: Path, results: Sequence[EvaluationResult]) -> None:
    """Draw the curves of all results, a panel for each set, and write a picture.

    Needs no screen.

    Parameters
    ----------
    path
        The picture; its suffix says which kind.
    results
        What was measured. Each method, view and law of clicks is one line, its
        repeats averaged.
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    names = list(dict.fromkeys(result.objects for result in results))
    columns = min(len(names), 3)
    rows = -(-len(names) // columns)
    size = (_WIDTH * columns, _HEIGHT * rows)
    figure = Figure(figsize=size, dpi=_DOTS, layout="constrained")
    FigureCanvasAgg(figure)
    panels = figure.subplots(rows, columns, squeeze=False).ravel()
    for panel, name in zip(panels, names, strict=False):
        _draw(panel, name, [result for result in results if result.objects == name])
    for panel in panels[len(names) :]:
        panel.set_axis_off()
    figure.savefig(path)


def _draw(axes: Axes, name: str, results: Sequence[EvaluationResult]) -> None:
    """Draw the results on one set."""
    from matplotlib.ticker import MaxNLocator

    longest = max(len(run.ious) for result in results for run in result.runs)
    views = {result.view for result in results}
    laws = {result.clicks for result in results}
    lines: defaultdict[str, list[NDArray[np.float64]]] = defaultdict(list)
    for result in results:
        parts = [result.label]
        parts += [result.view] if len(views) > 1 else []
        parts += [f"{result.clicks} clicks"] if len(laws) > 1 else []
        lines[", ".join(parts)].append(mean_curve(result, longest))
    for label, repeats in lines.items():
        axes.plot(range(1, longest + 1), np.mean(repeats, axis=0), ".-", label=label)
    targets = [result.target for result in results if result.target is not None]
    axes.set_title(f"{name} ({len(results[0].items)} objects)")
    ends = f" (runs end at {min(targets):.2f})" if targets else ""
    axes.set_xlabel("clicks")
    axes.set_ylabel(f"mean IoU{ends}")
    axes.set_xlim(0.5, longest + 0.5)
    axes.set_ylim(0, 1.02)
    axes.grid(alpha=0.3)
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    axes.legend(loc="lower right", fontsize="small")
