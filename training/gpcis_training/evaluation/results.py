"""Results of an evaluation: on disk, and compared pair by pair."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from gpcis_training.evaluation.datasets import EvaluationObject
from gpcis_training.evaluation.metrics import (
    TARGETS,
    ClickRun,
    Estimate,
    Summary,
    estimate,
    noc,
    summarise,
)
from napari_gpcis.clicks import Click
from napari_gpcis.errors import InputError
from napari_gpcis.files import replacing

if TYPE_CHECKING:
    import os
    from collections.abc import Callable, Collection, Hashable, Sequence

PUBLISHED_CLICKS = 20
"""The number of clicks that the standard NoC allows."""


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
    """Result of one method on a set of objects.

    Parameters
    ----------
    method
        Its name.
    objects
        Name of the object set.
    settings
        Everything that decides the figures: the method in full, the protocol.
    items, runs
        The objects, and the robot's run on each.
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
    def label(self) -> str:
        """The method's name with the settings that replace its checkpoint's."""
        variant = self.settings.get("variant", "")
        return f"{self.method}, {variant}" if variant else self.method

    @property
    def view(self) -> str:
        """First view: the region that the first click is zoomed to."""
        window = self.settings["protocol"]["window"]
        if window is None:
            return "whole image"
        return f"{window} px window{', off centre' if self.is_shifted else ''}"

    @property
    def is_shifted(self) -> bool:
        """``True`` if the first view was moved off the click by chance."""
        return float(self.settings["protocol"].get("jitter", 0)) > 0

    @property
    def clicks(self) -> str:
        """Law of the clicks, one of :data:`gpcis_training.evaluation.robot.LAWS`."""
        return str(self.settings["protocol"].get("clicks", "centre"))

    @property
    def summary(self) -> Summary:
        """The figures of merit, without targets above the one that ended the runs."""
        return self.summary_at(self.max_clicks)

    def summary_at(self, max_clicks: int) -> Summary:
        """Return the figures of merit as if no more clicks had been allowed."""
        last = 1.0 if self.target is None else self.target
        targets = [t for t in TARGETS if t <= last] or [last]
        images = [item.image for item in self.items]
        allowed = min(max_clicks, self.max_clicks)
        return summarise(self.runs, images, targets, allowed)

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
            "summary": asdict(self.summary_at(PUBLISHED_CLICKS)),
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
        Measure to compare; by default the number of clicks to reach an IoU of 0.85.

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
    return compare_values(ours, theirs, [item.image for item in first.items])


def compare_values(
    first: Sequence[float], second: Sequence[float], groups: Sequence[Hashable]
) -> Comparison:
    """Compare two measurements of the same objects.

    Parameters
    ----------
    first, second
        A value for each object.
    groups
        The image of each object; see :func:`estimate`.
    """
    pairs = list(zip(first, second, strict=True))
    difference = estimate([a - b for a, b in pairs], groups)
    mean = sum(second) / len(second)
    ratio = sum(first) / sum(second)
    rest = [(a - ratio * b) / mean for a, b in pairs]
    return Comparison(difference, Estimate(ratio, estimate(rest, groups).error))


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
