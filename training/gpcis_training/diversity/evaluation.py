"""Evaluation of latent diversity: clicks of the paper's test, and what masks offer."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from gpcis_training.diversity.clicks import boundary_clicker
from gpcis_training.diversity.published import note, published_rows
from gpcis_training.evaluation.datasets import FORMS, ground_truth
from gpcis_training.evaluation.jobs import image_jobs
from gpcis_training.evaluation.metrics import ClickRun, Estimate, estimate, iou, noc
from gpcis_training.evaluation.results import run_to_json
from gpcis_training.evaluation.robot import CENTRE, make_clicker, run_robot
from gpcis_training.evaluation.tables import markdown
from napari_gpcis.errors import InputError

if TYPE_CHECKING:
    import os
    from collections.abc import Callable, Sequence

    from gpcis_training.diversity.predictor import DiversityPredictor
    from gpcis_training.evaluation.datasets import EvaluationObject, ObjectSet

BOUNDARY = "boundary"
LAWS = (BOUNDARY, CENTRE)
"""Laws of the clicks: that of the paper, and that of RITM and GPCIS (nothing drawn)."""
TARGETS = (0.85, 0.90)
MAX_CLICKS = 20
TERMS = (
    "Clicks to an IoU of 0.85 and 0.90, at most {most}, and IoU after one click, "
    "± standard error over images. Selected: the mask that is shown; Oracle: the best "
    "of all masks; Chance: the mean of all. Draws: runs of each object."
)


class Outcome(NamedTuple):
    """One run on one object."""

    item: EvaluationObject
    repeat: int
    run: ClickRun
    offered: tuple[float, ...]
    """IoU of each mask after the first click."""


@dataclass(frozen=True)
class DiversityResult:
    """Runs of a system on one set.

    Parameters
    ----------
    objects
        Name of the set.
    law, seed, side
        Protocol of the runs.
    outcomes
        The runs.
    max_clicks
        Clicks of a run at most.
    """

    objects: str
    law: str
    seed: int
    side: int | None
    outcomes: tuple[Outcome, ...]
    max_clicks: int = MAX_CLICKS

    def noc(self, target: float) -> Estimate:
        """Return the mean number of clicks to an IoU."""
        most = self.max_clicks
        return self._mean([noc(one.run.ious, target, most) for one in self.outcomes])

    @property
    def selected(self) -> Estimate:
        """IoU of the mask that is shown after one click."""
        return self._mean([one.run.ious[0] for one in self.outcomes])

    @property
    def oracle(self) -> Estimate:
        """IoU of the best mask after one click."""
        return self._mean([max(one.offered) for one in self.outcomes])

    @property
    def chance(self) -> Estimate:
        """Mean IoU of all masks after one click."""
        return self._mean([float(np.mean(one.offered)) for one in self.outcomes])

    def to_dict(self) -> dict[str, Any]:
        """Return the JSON form: figures, and all runs."""
        figures = {
            **{f"noc{round(100 * target)}": self.noc(target) for target in TARGETS},
            "selected": self.selected,
            "oracle": self.oracle,
            "chance": self.chance,
        }
        return {
            "objects": self.objects,
            "clicks": self.law,
            "seed": self.seed,
            "side": self.side,
            "max_clicks": self.max_clicks,
            **{name: value.mean for name, value in figures.items()},
            "published": [row._asdict() for row in published_rows(self.objects)],
            "note": note(),
            "results": [
                {
                    **asdict(one.item),
                    "repeat": one.repeat,
                    "run": run_to_json(one.run),
                    "offered": one.offered,
                }
                for one in self.outcomes
            ],
        }

    def _mean(self, values: Sequence[float]) -> Estimate:
        return estimate(values, [one.item.image for one in self.outcomes])


def evaluate_diversity(
    predictor: DiversityPredictor,
    root: str | os.PathLike[str],
    chosen: ObjectSet,
    *,
    law: str = BOUNDARY,
    seed: int = 0,
    repeats: int = 3,
    max_clicks: int = MAX_CLICKS,
    report: Callable[[int], object] | None = None,
) -> DiversityResult:
    """Let the user of the paper's test click on every object of a set.

    Parameters
    ----------
    predictor
        The method.
    root
        Folder that holds the data sets.
    chosen
        The objects. The whole image is seen.
    law
        One of `LAWS`.
    seed, repeats
        Seed of the drawn clicks, and runs of each object. Where nothing is drawn, one
        run is made.
    max_clicks
        A run ends after so many clicks, or at the highest target.
    report
        Called with 1 after each run.

    Raises
    ------
    InputError
        If there is no such law, a number is out of range, or a file cannot be used.
    """
    if law not in LAWS:
        msg = f"clicks must be one of {', '.join(LAWS)}, got {law!r}"
        raise InputError(msg)
    if repeats < 1 or max_clicks < 1:
        msg = f"repeats and clicks must be from 1, got {repeats} and {max_clicks}"
        raise InputError(msg)
    form = FORMS[chosen.form]
    outcomes = []
    for job in image_jobs(chosen, Path(root)):
        image = form.load(job.folder / form.images / job.items[0].image)
        for item in job.items:
            gt = ground_truth(job.folder, item, job.form)
            if gt.shape != image.shape[:2]:
                size = image.shape[:2]
                msg = f"{item.label} must have the size of {item.image}, {size}"
                raise InputError(msg)
            for repeat in range(repeats if law == BOUNDARY else 1):
                clicker = (
                    boundary_clicker(item, seed, repeat)
                    if law == BOUNDARY
                    else make_clicker(law, item)
                )
                recorder = _Recorder(predictor)
                predictor.start(image)
                run = run_robot(recorder, gt, max_clicks, max(TARGETS), clicker=clicker)
                masks = recorder.first
                first: list[Any] = [] if masks is None else list(masks)
                offered = tuple(iou(gt, mask) for mask in first)
                outcomes.append(Outcome(item, repeat, run, offered))
                if report is not None:
                    report(1)
    side = predictor.side
    return DiversityResult(chosen.name, law, seed, side, tuple(outcomes), max_clicks)


def diversity_table(results: Sequence[DiversityResult]) -> str:
    """Return a Markdown table, the published figures beside those measured."""
    rows = []
    for one in results:
        objects = {outcome.item for outcome in one.outcomes}
        rows.append(
            {
                "Set": one.objects,
                "Method": f"this, {one.law} clicks",
                "Objects": str(len(objects)),
                "Draws": str(len(one.outcomes) // len(objects)),
                "NoC@85": str(one.noc(TARGETS[0])),
                "NoC@90": str(one.noc(TARGETS[1])),
                "Selected@1": _shown(one.selected),
                "Oracle@1": _shown(one.oracle),
                "Chance@1": _shown(one.chance),
            }
        )
        rows += [
            {
                **dict.fromkeys(rows[0], ""),
                "Set": row.set,
                "Method": f"{row.method} (published)",
                "NoC@85": f"{row.noc85:.2f}",
                "NoC@90": f"{row.noc90:.2f}",
            }
            for row in published_rows(one.objects)
        ]
    most = max((one.max_clicks for one in results), default=MAX_CLICKS)
    return f"{markdown(rows)}\n\n{TERMS.format(most=most)}\n\nPublished: {note()}"


class _Recorder:
    """A predictor that keeps all masks of the first click."""

    def __init__(self, predictor: DiversityPredictor) -> None:
        self._predictor = predictor
        self.first: np.ndarray[Any, np.dtype[np.bool_]] | None = None

    def start(
        self,
        image: np.ndarray[Any, np.dtype[np.generic]],
        first_view: tuple[int, int, int, int] | None,
    ) -> None:
        self._predictor.start(image, first_view)

    def click(
        self, row: int, col: int, positive: bool
    ) -> np.ndarray[Any, np.dtype[np.bool_]]:
        mask = self._predictor.click(row, col, positive)
        if self.first is None:
            self.first = self._predictor.masks
        return mask


def _shown(value: Estimate) -> str:
    return f"{value.mean:.3f} ± {value.error:.3f}"
