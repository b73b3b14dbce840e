"""Results of an evaluation: on disk, in a table, and compared pair by pair."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from gpcis_training.evaluation.datasets import EvaluationObject
from gpcis_training.evaluation.metrics import (
    TARGETS,
    Estimate,
    Summary,
    estimate,
    noc,
    summarise,
)
from gpcis_training.evaluation.robot import ClickRun
from napari_gpcis.clicks import Click
from napari_gpcis.errors import InputError
from napari_gpcis.files import replacing

if TYPE_CHECKING:
    import os
    from collections.abc import Callable, Collection, Sequence

NOTE = (
    "NoC: mean clicks to reach an IoU (± standard error, objects of one image taken "
    "together); NoF: objects that needed all clicks (never reached it); NoIC: clicks "
    "the final mask disobeys. The training data differ from those of the published "
    "GPCIS models: these figures are not comparable with the paper's tables."
)
HEADER = (
    "Method",
    "Objects",
    "NoC@80",
    "NoC@85",
    "NoC@90",
    "NoF@90",
    "IoU&1",
    "IoU&5",
    "NoIC",
    "s/click",
)


def run_to_json(run: ClickRun) -> dict[str, Any]:
    """Return the JSON form of a run; times are rounded to microseconds."""
    return {
        "clicks": [[*click.pixel, click.positive] for click in run.clicks],
        "ious": list(run.ious),
        "violations": list(run.violations),
        "missed": list(run.missed),
        "seconds": [round(second, 6) for second in run.seconds],
    }


def run_from_json(data: dict[str, Any]) -> ClickRun:
    """Return the run whose JSON form is ``data``."""
    return ClickRun(
        ious=tuple(data["ious"]),
        clicks=tuple(Click(*click) for click in data["clicks"]),
        violations=tuple(data["violations"]),
        missed=tuple(data["missed"]),
        seconds=tuple(data["seconds"]),
    )


@dataclass(frozen=True)
class EvaluationResult:
    """What a method did on a set of objects.

    Parameters
    ----------
    method
        Its name.
    objects
        Name of the object set.
    settings
        Everything that decides the figures: the method in full, the protocol.
    items, runs
        The objects, and what the robot did with each.
    max_clicks
        The number of clicks allowed.
    target
        The IoU at which runs stopped; ``None``: they did not.
    """

    method: str
    objects: str
    settings: dict[str, Any]
    items: tuple[EvaluationObject, ...]
    runs: tuple[ClickRun, ...]
    max_clicks: int = 20
    target: float | None = 0.9

    @property
    def summary(self) -> Summary:
        """The figures of merit, without targets above the one that ended the runs."""
        last = 1.0 if self.target is None else self.target
        targets = [t for t in TARGETS if t <= last] or [last]
        images = [item.image for item in self.items]
        return summarise(self.runs, images, targets, self.max_clicks)

    def only(self, wanted: Collection[EvaluationObject]) -> EvaluationResult:
        """Return the result on some of the objects, in their order here."""
        pairs = zip(self.items, self.runs, strict=True)
        kept = [pair for pair in pairs if pair[0] in wanted]
        items = tuple(item for item, _ in kept)
        return replace(self, items=items, runs=tuple(run for _, run in kept))

    def to_dict(self) -> dict[str, Any]:
        """Return the JSON form, figures included."""
        items = [
            {**asdict(item), **run_to_json(run)}
            for item, run in zip(self.items, self.runs, strict=True)
        ]
        return {
            "method": self.method,
            "objects": self.objects,
            "settings": self.settings,
            "max_clicks": self.max_clicks,
            "target": self.target,
            "note": NOTE,
            "summary": asdict(self.summary),
            "results": items,
        }

    @classmethod
    def from_dict(cls, data: dict[str, Any]) -> EvaluationResult:
        """Return the result whose JSON form is ``data``."""
        items = tuple(
            EvaluationObject(o["image"], o["label"], tuple(o["ids"]))
            for o in data["results"]
        )
        return cls(
            method=data["method"],
            objects=data["objects"],
            settings=data["settings"],
            items=items,
            runs=tuple(map(run_from_json, data["results"])),
            max_clicks=data["max_clicks"],
            target=data["target"],
        )

    def row(self) -> tuple[str, ...]:
        """Return the cells of the table, see :func:`table`."""
        s = self.summary
        nocs = [str(s.noc[t]) if t in s.noc else "" for t in TARGETS]
        last = TARGETS[-1]
        failures = f"{s.nof[last]} ({s.nof_strict[last]})" if last in s.nof else ""
        ious = [str(s.iou_at[n]) for n in s.iou_at]
        noic, seconds = str(s.noic), f"{s.seconds_per_click:.3f}"
        return (self.method, str(s.objects), *nocs, failures, *ious, noic, seconds)


def table(results: Sequence[EvaluationResult]) -> str:
    """Return a Markdown table for each object set, and how to read it."""
    parts = []
    for name in dict.fromkeys(result.objects for result in results):
        rows = [result.row() for result in results if result.objects == name]
        lines = [HEADER, ("---",) * len(HEADER), *rows]
        text = "\n".join("| " + " | ".join(line) + " |" for line in lines)
        parts.append(f"**{name}**\n\n{text}\n")
    return "\n".join([*parts, NOTE])


@dataclass(frozen=True)
class Comparison:
    """Two methods on the same objects.

    Parameters
    ----------
    difference
        Mean of the first minus the second.
    ratio
        Mean of the first over the mean of the second (error by linearisation).
    """

    difference: Estimate
    ratio: Estimate


def compare(
    first: EvaluationResult,
    second: EvaluationResult,
    measure: Callable[[ClickRun], float] | None = None,
) -> Comparison:
    """Compare two methods object by object.

    Parameters
    ----------
    first, second
        Results on the same objects.
    measure
        What is compared; by default the number of clicks to reach an IoU of 0.85.

    Raises
    ------
    InputError
        If the objects, or the clicks allowed, are not the same.
    """
    if first.items != second.items or first.max_clicks != second.max_clicks:
        msg = (
            "second must be measured on the objects of first with as many clicks, got "
            f"{len(second.items)} objects of {second.objects!r} and "
            f"{len(first.items)} of {first.objects!r}"
        )
        raise InputError(msg)
    value = measure or partial(_clicks_to, 0.85, first.max_clicks)
    ours = [value(run) for run in first.runs]
    theirs = [value(run) for run in second.runs]
    images = [item.image for item in first.items]
    difference = estimate([a - b for a, b in zip(ours, theirs, strict=True)], images)
    mean = sum(theirs) / len(theirs)
    ratio = sum(ours) / sum(theirs)
    rest = [(a - ratio * b) / mean for a, b in zip(ours, theirs, strict=True)]
    return Comparison(difference, Estimate(ratio, estimate(rest, images).error))


def _clicks_to(target: float, max_clicks: int, run: ClickRun) -> float:
    """Return the NoC of a run."""
    return noc(run.ious, target, max_clicks)


def save_results(
    path: str | os.PathLike[str], results: Sequence[EvaluationResult]
) -> None:
    """Write results as JSON; an older file is replaced only by a complete one."""
    text = json.dumps({"results": [result.to_dict() for result in results]})
    with replacing(Path(path)) as temporary:
        temporary.write_text(text, encoding="utf-8")


def load_results(path: str | os.PathLike[str]) -> list[EvaluationResult]:
    """Read results that were written by :func:`save_results`.

    Raises
    ------
    InputError
        If the file is none of those.
    """
    try:
        data = json.loads(Path(path).read_text(encoding="utf-8"))
        return [EvaluationResult.from_dict(item) for item in data["results"]]
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        msg = f"path must be a result file of gpcis-train evaluate, got {path}: {error}"
        raise InputError(msg) from error
