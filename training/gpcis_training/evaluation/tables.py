"""Tables and curves of results: Markdown with its terms, CSV, a picture."""

from __future__ import annotations

import csv
import io
from collections import defaultdict
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np

from gpcis_training.evaluation.metrics import TARGETS, iou_at, noc
from gpcis_training.evaluation.published import (
    PUBLISHED_SETS,
    hardware,
    published_noic,
    published_rows,
    source,
)
from gpcis_training.evaluation.results import PUBLISHED_CLICKS, compare
from gpcis_training.evaluation.robot import CENTRE

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from matplotlib.axes import Axes
    from numpy.typing import NDArray

    from gpcis_training.evaluation.metrics import ClickRun
    from gpcis_training.evaluation.published import PublishedRow
    from gpcis_training.evaluation.results import EvaluationResult

MANY_CLICKS = 100
"""The number of clicks that NoC100 allows."""
LAST = TARGETS[-1]
TERMS = (
    "NoC@t: mean clicks to reach an IoU of t % within 20 clicks (± standard error, "
    "objects of one image taken together); NoF: objects that needed all clicks (never "
    "reached it); NoC100, NoF100: the same within 100 clicks; IoU&n: mean IoU after n "
    "clicks; NoIC: clicks that the mask disobeys when a run ends."
)
VIEW_TERMS = (
    "IoU&1: mean IoU after the first click (± standard error, objects of one image "
    "taken together), and the median. The first view is a square of so many image "
    "pixels about the click, moved by up to a quarter of its side as the seed has it, "
    "inside the image; where it would be larger, it is the whole image."
)
NOTE = (
    "The training data differ from those of the published GPCIS models, and so do the "
    "objects: these figures are not comparable with the paper's tables."
)
COLUMNS = (
    "Set",
    "Method",
    "Objects",
    "First view",
    "NoC@80",
    "NoC@85",
    "NoC@90",
    "NoF@90",
    "NoC100@90",
    "NoF100@90",
    "IoU&1",
    "median IoU&1",
    "IoU&5",
    "NoIC",
    "NoIC (paper)",
    "Parameters",
    "s/click",
)
_WIDTH, _HEIGHT, _DOTS = 5.2, 4.0, 120
Cells = dict[str, str]


def table(results: Sequence[EvaluationResult]) -> str:
    """Return a Markdown table for each object set, with its terms.

    Results with clicks off the centre are left out, see
    :mod:`gpcis_training.evaluation.robustness`. Below the results on a data set of the
    paper stand the paper's own figures.
    """
    parts = []
    centred = [r for r in results if r.clicks == CENTRE and not r.is_shifted]
    for name in dict.fromkeys(result.objects for result in centred):
        chosen = [result for result in centred if result.objects == name]
        rows = [cells(result) for result in chosen]
        if is_published(chosen[0]):
            shown = {
                row: None
                for result in chosen
                for row in published_rows(name, result.settings.get("architecture"))
            }
            rows += [published_cells(row) for row in shown]
        parts.append(f"**{name}**\n\n{markdown(rows)}\n")
    return "\n".join([*parts, *(f"- {line}" for line in notes(centred))])


def overview(results: Sequence[EvaluationResult]) -> str:
    """Return a Markdown table of all sets, each a row, with all methods beside each.

    Parameters
    ----------
    results
        Results; those with clicks or first views off the centre are left out. Each
        method is compared with the first one object by object.
    """
    centred = [r for r in results if r.clicks == CENTRE and not r.is_shifted]
    rows = []
    for name, view in dict.fromkeys((r.objects, r.view) for r in centred):
        chosen = [r for r in centred if (r.objects, r.view) == (name, view)]
        first = chosen[0]
        row = {"Set": name, "Objects": str(len(first.items)), "First view": view}
        for result in chosen:
            s = result.summary_at(PUBLISHED_CLICKS)
            for target in sorted(s.noc)[-2:]:
                row[f"{result.label}: NoC@{100 * target:.0f}"] = str(s.noc[target])
            row[f"{result.label}: IoU&1"] = str(s.iou_at[1])
            if result.items == first.items and result is not first:
                last = max(s.noc)
                allowed = min(PUBLISHED_CLICKS, result.max_clicks)
                found = compare(first, result, partial(_clicks_to, last, allowed))
                heading = f"{first.label} - {result.label}: NoC@{100 * last:.0f}"
                row[heading] = (
                    f"{found.difference.mean:+.2f} ± {found.difference.error:.2f}"
                )
        rows.append(row)
    return f"**All sets**\n\n{markdown(rows)}"


def view_table(results: Sequence[EvaluationResult]) -> str:
    """Return a Markdown table of the first views whose sides were given.

    Parameters
    ----------
    results
        Results; those with other first views, or clicks off the centre, are left out.
    """
    rows = []
    for result in results:
        if result.clicks != CENTRE or not result.is_shifted:
            continue
        row = {
            "Set": result.objects,
            "Method": result.label,
            "Objects": str(len(result.items)),
            "First view": result.view,
        }
        s = result.summary_at(PUBLISHED_CLICKS)
        if result.max_clicks > 1:
            row |= {f"NoC@{100 * t:.0f}": str(value) for t, value in s.noc.items()}
        row["IoU&1"] = str(s.iou_at[1])
        row["median IoU&1"] = f"{median_iou(result):.2f}"
        rows.append(row)
    return f"**First views**\n\n{markdown(rows)}\n\n{VIEW_TERMS}"


def median_iou(result: EvaluationResult) -> float:
    """Return the median IoU after the first click."""
    return float(np.median([run.ious[0] for run in result.runs]))


def csv_text(results: Sequence[EvaluationResult]) -> str:
    """Return the figures as CSV, one row a result."""
    rows = [numbers(result) for result in results]
    names = list(dict.fromkeys(name for row in rows for name in row))
    stream = io.StringIO()
    writer = csv.DictWriter(stream, names, lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    return stream.getvalue()


def save_curves(path: Path, results: Sequence[EvaluationResult]) -> None:
    """Draw the curves of all results, a panel for each set, and write a picture.

    Needs no screen.

    Parameters
    ----------
    path
        The picture; its suffix says which kind.
    results
        Results to draw. Each method, view and law of clicks is one line, its
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


def markdown(rows: Sequence[Cells]) -> str:
    """Return rows as a Markdown table, with the columns that any of them has."""
    names = list(dict.fromkeys(name for row in rows for name in row))
    order = [name for name in COLUMNS if name in names]
    order += [name for name in names if name not in COLUMNS]
    body = [[row.get(name, "") for name in order] for row in rows]
    lines = [order, ["---"] * len(order), *body]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def cells(result: EvaluationResult) -> Cells:
    """Return the cells of a result by column; what was not measured is left out."""
    s = result.summary_at(PUBLISHED_CLICKS)
    row = {
        "Method": result.label,
        "Objects": str(s.objects),
        "First view": result.view,
    }
    row |= {f"NoC@{100 * t:.0f}": str(value) for t, value in s.noc.items()}
    if LAST in s.nof:
        row["NoF@90"] = f"{s.nof[LAST]} ({s.nof_strict[LAST]})"
    if result.max_clicks >= MANY_CLICKS and LAST in s.noc:
        many = result.summary_at(MANY_CLICKS)
        row["NoC100@90"] = str(many.noc[LAST])
        row["NoF100@90"] = f"{many.nof[LAST]} ({many.nof_strict[LAST]})"
    row |= {f"IoU&{n}": f"{value}" for n, value in s.iou_at.items()}
    row["NoIC"] = str(s.noic)
    row |= _published_noic(result)
    parameters = result.settings.get("parameters")
    if parameters is not None:
        row["Parameters"] = f"{parameters / 1e6:.2f} M"
    row["s/click"] = f"{s.seconds_per_click:.3f}"
    return row


def published_cells(row: PublishedRow) -> Cells:
    """Return the cells of a row of the paper."""
    values = {
        "NoC@85": (row.noc85, "{:.2f}"),
        "NoC@90": (row.noc90, "{:.2f}"),
        "NoC100@90": (row.noc100, "{:.2f}"),
        "NoF100@90": (row.nof100, "{}"),
        "IoU&1": (None if row.iou1 is None else row.iou1 / 100, "{:.2f}"),
        "IoU&5": (None if row.iou5 is None else row.iou5 / 100, "{:.2f}"),
        "NoIC": (row.noic, "{}"),
        "Parameters": (row.parameters, "{:.2f} M"),
        "s/click": (row.seconds, "{:.3f}"),
    }
    return {
        "Method": f"*{row.method}, {row.architecture} (paper)*",
        "Objects": str(PUBLISHED_SETS[row.set].objects),
        "First view": "whole image",
        **{k: form.format(v) for k, (v, form) in values.items() if v is not None},
    }


def numbers(result: EvaluationResult) -> dict[str, Any]:
    """Return a result as one row of figures, for a CSV file."""
    s = result.summary_at(PUBLISHED_CLICKS)
    settings = result.settings.get("inference", {})
    row: dict[str, Any] = {
        "method": result.method,
        "infer_size": settings.get("infer_size", ""),
        "epsilon2": settings.get("epsilon2", ""),
        "set": result.objects,
        "objects": s.objects,
        "first_view": result.view,
        "clicks": result.clicks,
        "repeat": result.settings["protocol"].get("repeat", 0),
    }
    for target, value in s.noc.items():
        percent = f"{100 * target:.0f}"
        row |= {f"noc{percent}": value.mean, f"noc{percent}_error": value.error}
        row[f"nof{percent}"] = s.nof[target]
        row[f"nof{percent}_strict"] = s.nof_strict[target]
    if result.max_clicks >= MANY_CLICKS and LAST in s.noc:
        many = result.summary_at(MANY_CLICKS)
        row |= {"noc100_90": many.noc[LAST].mean, "nof100_90": many.nof[LAST]}
    row |= {f"iou{n}": value.mean for n, value in s.iou_at.items()}
    row["iou1_median"] = median_iou(result)
    row |= {"noic": s.noic, "noic_steps": s.noic_steps}
    row["parameters"] = result.settings.get("parameters", "")
    row["seconds_per_click"] = s.seconds_per_click
    return row


def mean_curve(result: EvaluationResult, clicks: int) -> NDArray[np.float64]:
    """Return the mean IoU after 1, 2, ... clicks, shape ``(clicks,)``.

    A run that ended earlier counts with its last IoU.
    """
    curves = [
        [iou_at(run.ious, n) for n in range(1, clicks + 1)] for run in result.runs
    ]
    return np.asarray(np.mean(curves, axis=0), dtype=np.float64)


def notes(results: Sequence[EvaluationResult]) -> list[str]:
    """Return the notes below a table: terms, protocol, what compares."""
    lines = [TERMS, *dict.fromkeys(protocol(result) for result in results)]
    published = [result for result in results if is_published(result)]
    if published:
        lines.append(f"Paper: {source()}. Its seconds per click: {hardware()}.")
        for line in dict.fromkeys(line for r in published for line in differences(r)):
            lines.append(f"Not as in the paper: {line}.")
    if len(published) < len(results):
        lines.append(NOTE)
    return lines


def protocol(result: EvaluationResult) -> str:
    """Return the settings of a method in one line."""
    settings = result.settings.get("inference")
    if settings is None:
        return f"{result.method}: {result.settings['settings']}."
    size = settings["infer_size"]
    crop, expansion = settings["crop_threshold"], settings["expansion"]
    mask = "as predicted" if result.settings["raw_mask"] else "made to obey every click"
    return (
        f"{result.method}: input {size} x {size}, {_head(result)}, region "
        f"{expansion:g} x the box where p > {crop:g}, "
        f"mask p > {settings['mask_threshold']:g}, {mask}, "
        f"{'with' if settings['antialias'] else 'no'} low-pass filter"
        f"{', mirrored too' if settings.get('mirror') else ''}; at most "
        f"{result.max_clicks} clicks."
    )


def differences(result: EvaluationResult) -> list[str]:
    """Return the differences of a result from the paper's protocol."""
    published = PUBLISHED_SETS[result.objects]
    settings: dict[str, Any] = result.settings.get("inference", {})
    size = settings.get("infer_size", published.infer_size)
    name, lines = result.method, []
    if len(result.items) != published.objects:
        count = f"{len(result.items)} of the paper's {published.objects} objects"
        lines.append(f"{result.objects} has {count}")
    if size != published.infer_size:
        change = f"{size} instead of {published.infer_size}"
        lines.append(f"{name} on {result.objects}: input {change}")
    if settings.get("mirror"):
        lines.append(f"{name}: the logits of the mirror image are averaged in")
    if settings and not result.settings["raw_mask"]:
        lines.append(f"{name}: the mask is made to obey every click, so NoIC is 0")
    trained_on = str(result.settings.get("training_data", ""))
    if settings and not trained_on.startswith("SBD"):
        data = trained_on or "not stated"
        lines.append(f"{name}: the training data differ ({data})")
    return lines


def is_published(result: EvaluationResult) -> bool:
    """Return whether the objects are those of a data set of the paper."""
    form = result.settings.get("form")
    return form in PUBLISHED_SETS and form == result.objects


def _clicks_to(target: float, max_clicks: int, run: ClickRun) -> float:
    """Return the NoC of a run."""
    return noc(run.ious, target, max_clicks)


def _published_noic(result: EvaluationResult) -> Cells:
    """Return the paper's NoIC for the same ε² (Table 1), if there is one."""
    settings = result.settings.get("inference", {})
    if not is_published(result) or "ε²=" not in result.label:
        return {}
    known = published_noic(result.objects, result.settings["architecture"])
    found = [noic for value, noic in known.items() if value == settings["epsilon2"]]
    return {"NoIC (paper)": str(found[0])} if found else {}


def _head(result: EvaluationResult) -> str:
    """Return the description of the head, which turns features into scores."""
    if result.settings.get("options", {}).get("head", "gp") == "linear":
        return "linear head"
    settings = result.settings["inference"]
    varied = "ε²=" in result.label
    epsilon2 = "as in its row" if varied else f"{settings['epsilon2']:g}"
    return f"Gaussian process at stride {settings['gp_stride']} with ε² {epsilon2}"


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
