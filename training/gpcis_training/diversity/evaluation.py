"""Evaluation as published: clicks to an IoU with drawn clicks, beside the paper's.

The clicks of :class:`.DistanceClicker` are drawn; each object is clicked several times
and the mean taken. The robot's own laws may be used instead.
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from functools import cache
from importlib.resources import files
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from gpcis_training.diversity.clicks import distance_clicker
from gpcis_training.evaluation.datasets import FORMS, ground_truth
from gpcis_training.evaluation.metrics import Estimate, estimate, iou, noc
from gpcis_training.evaluation.robot import LAWS, make_clicker, run_robot
from gpcis_training.evaluation.tables import markdown
from napari_gpcis.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from numpy.typing import NDArray

    from gpcis_training.diversity.predictor import DiversityPredictor
    from gpcis_training.evaluation.datasets import EvaluationObject, ObjectSet

DISTANCE = "distance"
CLICK_LAWS = (DISTANCE, *LAWS)
"""Laws of the clicks: the published one, and those of the robot."""
TARGETS = (0.85, 0.90)
MAX_CLICKS = 20
TERMS = (
    "NoC: clicks to an IoU, 20 if it is not reached; IoU@1 after one click: of the "
    "mask that is selected, of the best (oracle) and of all on average (random), "
    "± standard error over images; right: share in which the selected mask is the best."
)
DIFFERENT = (
    "The published figures are of the data that its authors used; images, objects, "
    "sizes and training may differ here."
)
_COCO = ("tiny_coco", "coco_things")


class Run(NamedTuple):
    """One object, clicked once to the end."""

    ious: tuple[float, ...]
    """Of the selected mask after each click."""
    first: tuple[float, ...]
    """Of all masks after the first click."""
    chosen: int
    """Index of the selected one then."""


@dataclass(frozen=True)
class DiversityResult:
    """A model on one set.

    Parameters
    ----------
    model, ablation
        Name of the model, and of its row in the published Table 4.
    objects
        Name of the set.
    clicks
        Law of the clicks.
    items
        The objects.
    runs
        For each object its runs.
    max_clicks
        Clicks of an object at most. NoC is shown for 20 only.
    """

    model: str
    ablation: str
    objects: str
    clicks: str
    items: tuple[EvaluationObject, ...]
    runs: tuple[tuple[Run, ...], ...]
    max_clicks: int = MAX_CLICKS

    def noc(self, target: float) -> Estimate:
        """Return the number of clicks to an IoU, `max_clicks` if it is not reached."""
        return self._mean(lambda run: float(noc(run.ious, target, self.max_clicks)))

    @property
    def selected(self) -> Estimate:
        """IoU of the selected mask after one click."""
        return self._mean(lambda run: run.first[run.chosen])

    @property
    def oracle(self) -> Estimate:
        """IoU of the best mask after one click."""
        return self._mean(lambda run: max(run.first))

    @property
    def random(self) -> Estimate:
        """Mean IoU of all masks after one click: that of a random selection."""
        return self._mean(lambda run: float(np.mean(run.first)))

    @property
    def right(self) -> Estimate:
        """Share of first clicks after which no mask is better than the selected."""
        return self._mean(lambda run: float(run.first[run.chosen] == max(run.first)))

    def to_dict(self) -> dict[str, Any]:
        """Return the JSON form."""
        return {
            "model": self.model,
            "ablation": self.ablation,
            "objects": self.objects,
            "clicks": self.clicks,
            "max_clicks": self.max_clicks,
            "noc": {str(target): self.noc(target).mean for target in TARGETS},
            "selected": self.selected.mean,
            "oracle": self.oracle.mean,
            "random": self.random.mean,
            "right": self.right.mean,
            "results": [
                {**asdict(item), "runs": [run._asdict() for run in runs]}
                for item, runs in zip(self.items, self.runs, strict=True)
            ],
        }

    def _mean(self, value: Callable[[Run], float]) -> Estimate:
        """Return the mean over objects of the mean over their runs."""
        values = [float(np.mean([value(run) for run in runs])) for runs in self.runs]
        return estimate(values, [item.image for item in self.items])


class _FirstMasks:
    """The predictor, remembering the IoU of all masks after the first click."""

    def __init__(
        self, predictor: DiversityPredictor, truth: NDArray[np.integer]
    ) -> None:
        self._predictor, self._truth = predictor, truth
        self.ious: tuple[float, ...] = ()
        self.chosen = 0

    def start(
        self,
        image: NDArray[np.generic],
        first_view: tuple[int, int, int, int] | None,
    ) -> None:
        """Begin a new object."""
        self._predictor.start(image, first_view)

    def click(self, row: int, col: int, positive: bool) -> NDArray[np.bool_]:
        """Add one click and return the selected mask."""
        mask = self._predictor.click(row, col, positive)
        if not self.ious:
            self.ious = tuple(iou(self._truth, m) for m in self._predictor.masks)
            self.chosen = self._predictor.chosen
        return mask


def evaluate_diversity(
    predictor: DiversityPredictor,
    root: str | Path,
    chosen: ObjectSet,
    *,
    clicks: str = DISTANCE,
    seed: int = 0,
    repeats: int = 3,
    max_clicks: int = MAX_CLICKS,
    report: Callable[[int], object] | None = None,
) -> DiversityResult:
    """Measure a model on one set.

    Parameters
    ----------
    predictor
        The model.
    root
        Folder that holds the data sets.
    chosen
        The objects.
    clicks
        ``"distance"`` as published, or a law of the robot.
    seed, repeats
        Of the draws; each object is clicked so many times, once where nothing is
        drawn.
    max_clicks
        The robot gives up after so many.
    report
        Called with 1 after each object.

    Raises
    ------
    InputError
        If a number is out of range, there is no such law, or a file cannot be used.
    """
    if clicks not in CLICK_LAWS:
        msg = f"clicks must be one of {', '.join(CLICK_LAWS)}, got {clicks!r}"
        raise InputError(msg)
    if repeats < 1 or not 1 <= max_clicks <= MAX_CLICKS:
        msg = (
            f"repeats must be at least 1 and clicks from 1 to {MAX_CLICKS}, got "
            f"{repeats} and {max_clicks}"
        )
        raise InputError(msg)
    form, folder = FORMS[chosen.form], Path(root) / chosen.folder
    draws = 1 if clicks == "centre" else repeats
    found: list[tuple[Run, ...]] = []
    last: tuple[str, NDArray[np.generic]] | None = None
    for item in chosen.objects:
        truth = ground_truth(folder, item, chosen.form)
        if last is None or last[0] != item.image:
            last = item.image, form.load(folder / form.images / item.image)
        image = last[1]
        if image.shape[:2] != truth.shape:
            msg = f"{item.label} must have the size of {item.image}, {image.shape[:2]}"
            raise InputError(msg)
        runs = []
        for repeat in range(draws):
            law = (
                distance_clicker(item, seed, repeat)
                if clicks == DISTANCE
                else make_clicker(clicks, item, seed, repeat)
            )
            first = _FirstMasks(predictor, truth)
            first.start(image, None)
            record = run_robot(first, truth, max_clicks, max(TARGETS), clicker=law)
            runs.append(Run(record.ious, first.ious, first.chosen))
        found.append(tuple(runs))
        if report is not None:
            report(1)
    trained = predictor.trained
    return DiversityResult(
        trained.name,
        trained.ablation,
        chosen.name,
        clicks,
        chosen.objects,
        tuple(found),
        max_clicks,
    )


def diversity_table(results: Sequence[DiversityResult]) -> str:
    """Return a Markdown table for each set, the published figures below ours."""
    parts = []
    for name in dict.fromkeys(result.objects for result in results):
        ours = [result for result in results if result.objects == name]
        rows = [_cells(result) for result in ours]
        rows += published_cells(name, [result.ablation for result in ours])
        parts.append(f"**{name}**\n\n{markdown(rows)}\n")
    notes = [TERMS, f"Paper: {published()['source']}. {DIFFERENT}"]
    return "\n".join([*parts, *(f"- {note}" for note in notes)])


def published_cells(name: str, ablations: Sequence[str] = ()) -> list[dict[str, str]]:
    """Return the rows of the paper for a set, and those of some ablations.

    Parameters
    ----------
    name
        Of the set. Lists of COCO stand beside the paper's own objects of COCO.
    ablations
        Names of rows of Table 4, which is of DAVIS.
    """
    key = "coco" if name.startswith(_COCO) else name
    rows = []
    for method, set_name, noc85, noc90 in published()["rows"]:
        if set_name == key:
            row = {"Method": f"*{method} (paper)*"}
            row |= {"NoC@85": f"{noc85:.2f}", "NoC@90": f"{noc90:.2f}"}
            rows.append(row)
    known = published()["ablations"]
    for ablation in dict.fromkeys(ablations):
        if key == "davis" and ablation in known:
            row = {"Method": f"*LD, {ablation} (paper)*"}
            rows.append(row | {"NoC@85": f"{known[ablation]:.2f}"})
    return rows


@cache
def published() -> dict[str, Any]:
    """Return the published figures."""
    text = (files(__package__) / "published.json").read_text("utf-8")
    data: dict[str, Any] = json.loads(text)
    return data


def _cells(result: DiversityResult) -> dict[str, str]:
    """Return the cells of a result by column."""
    label = f"{result.model} ({result.ablation})" if result.ablation else result.model
    runs = {len(runs) for runs in result.runs}
    targets = TARGETS if result.max_clicks == MAX_CLICKS else ()
    return {
        "Method": label,
        "Clicks": f"{result.clicks}, {max(runs)} x",
        "Objects": str(len(result.items)),
        **{f"NoC@{100 * t:.0f}": str(result.noc(t)) for t in targets},
        "IoU@1 selected": _shown(result.selected),
        "oracle": _shown(result.oracle),
        "random": _shown(result.random),
        "right": _shown(result.right),
    }


def _shown(value: Estimate) -> str:
    return f"{value.mean:.3f} ± {value.error:.3f}"
