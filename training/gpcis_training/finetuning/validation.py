"""Clicks per object on the validation planes: before, during and after."""

from __future__ import annotations

from dataclasses import asdict, dataclass, replace
from typing import TYPE_CHECKING, Any

from gpcis_training.evaluation import (
    DrawingRule,
    EvaluationObject,
    EvaluationResult,
    ObjectSet,
    draw_objects,
    evaluate,
)
from gpcis_training.evaluation.datasets import evenly_spread
from napari_gpcis.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path

    from napari_gpcis.inference.segmenter import Segmenter

MAX_CLICKS = 20
TARGET = 0.9
SUBSET_SIZE = 16
"""Objects that are measured while training goes on, where all would take long."""
_LEVELS = (0.8, 0.85, 0.9)


@dataclass(frozen=True)
class Figures:
    """Clicks that the robot user needed.

    Parameters
    ----------
    clicks80, clicks85, clicks90
        Mean clicks until the mask overlaps the truth by so many percent (NoC).
    error85
        Standard error of ``clicks85``; ``None`` with a single image.
    iou1, iou5
        Mean overlap after one and five clicks.
    failures
        Objects that did not reach 85 % within 20 clicks.
    disobeyed
        Clicks that the mask does not obey (NoIC).
    objects, images
        Numbers of those evaluated.
    """

    clicks80: float
    clicks85: float
    clicks90: float
    error85: float | None
    iou1: float
    iou5: float
    failures: int
    disobeyed: int
    objects: int
    images: int

    @property
    def score(self) -> float:
        """Mean of the three numbers of clicks, by which states are compared."""
        return (self.clicks80 + self.clicks85 + self.clicks90) / len(_LEVELS)

    def is_better_than(self, other: Figures) -> bool:
        """Return whether fewer clicks are needed, as two decimals of `score` tell."""
        return round(self.score, 2) < round(other.score, 2)

    def to_dict(self) -> dict[str, float | int | None]:
        """Return the JSON form, which has the score for whoever only shows it."""
        return {**asdict(self), "score": self.score}

    @classmethod
    def from_dict(cls, content: Mapping[str, Any]) -> Figures:
        """Return the figures of a JSON form; those of 0.1.0 have no score.

        Raises
        ------
        TypeError
            If there are others, or some are missing.
        """
        return cls(**{name: one for name, one in content.items() if name != "score"})


def figures_of(result: EvaluationResult) -> Figures:
    """Sum up an evaluation."""
    summary = result.summary
    error = summary.noc[0.85].error
    return Figures(
        clicks80=summary.noc[0.8].mean,
        clicks85=summary.noc[0.85].mean,
        clicks90=summary.noc[0.9].mean,
        error85=None if error != error else error,
        iou1=summary.iou_at[1].mean,
        iou5=summary.iou_at[5].mean,
        failures=sum(max(run.ious) < 0.85 for run in result.runs),
        disobeyed=summary.noic,
        objects=summary.objects,
        images=len({item.image for item in result.items}),
    )


@dataclass(frozen=True)
class Validation:
    """Validation objects, on which models are compared.

    Parameters
    ----------
    root
        Folder of the data, with ``val`` in it.
    rule
        Rule by which objects were drawn and viewed.
    objects
        All of them.
    """

    root: Path
    rule: DrawingRule
    objects: tuple[EvaluationObject, ...]

    @classmethod
    def draw(cls, root: Path, rule: DrawingRule, *, union: bool) -> Validation:
        """Draw objects of the validation planes.

        Parameters
        ----------
        root, rule
            See the class.
        union
            Evaluate the union of all objects of a plane as well.

        Raises
        ------
        InputError
            If no object there is large enough.
        """
        try:
            drawn = draw_objects(root / "val", rule)
        except InputError as error:
            msg = (
                f"the validation images hold no object of at least {rule.min_area} "
                "pixels: label more images, or give another split"
            )
            raise InputError(msg) from error
        if union:
            whole = draw_objects(root / "val", replace(rule, combine="all"))
            drawn = (*drawn, *(item for item in whole if item not in drawn))
        return cls(root, rule, drawn)

    def subset(self, count: int) -> tuple[EvaluationObject, ...]:
        """Return some objects, evenly spread, for repeated validation."""
        return evenly_spread(self.objects, count)

    def run(
        self,
        segmenter: Segmenter,
        objects: tuple[EvaluationObject, ...] | None = None,
        report: Callable[[int, int], None] | None = None,
        stop: Callable[[], bool] | None = None,
    ) -> EvaluationResult | None:
        """Let the robot user segment objects; ``None`` if it did not finish any.

        Parameters
        ----------
        segmenter
            The model.
        objects
            By default all.
        report
            Called with the number of objects done and in total.
        stop
            Asked before each object; the result is then that of the objects so far.
        """
        chosen = self.objects if objects is None else objects
        images = dict.fromkeys(item.image for item in chosen)
        items = tuple(one for image in images for one in chosen if one.image == image)
        result = evaluate(
            segmenter,
            self.root,
            ObjectSet("validation", "val", self.rule, items),
            max_clicks=MAX_CLICKS,
            target=TARGET,
            progress=False,
            report=report,
            stop=stop,
        )
        return result if result.items else None
