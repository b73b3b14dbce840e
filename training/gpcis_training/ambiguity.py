"""Ambiguity: what alternatives are worth where a click can mean several things.

A first click lies somewhere inside an object (law ``inside``), not in its middle, and
the object is one of several that the same click could mean: a garment or the person, a
nucleus or the cell. The masks that :meth:`.Session.alternatives` offers are compared
with the object:

- *Oracle*: the best IoU among the first M masks; *plain*: that of the mask itself;
  *selected*: that of the mask with the best score; *regret*: oracle less selected.
- *First right*: of the objects whose mask is wrong (IoU below 0.7) and among whose
  alternatives one is right, the share in which the first alternative is.
- *Distinct*: 1 - IoU of two masks, averaged over all pairs.
- *Actions* to IoU 0.85: a click is one, and so is each key that goes to the next
  alternative. The robot goes on with the mask itself until a mask is good enough.
- *By number*: the same where one key shows any of them, as the number keys do.
- *Ambiguous*: clicks without alternatives and actions by number where the first mask
  is wrong and another is right.
- *Going on*: actions of a robot that also takes another mask that is not good enough
  yet, wherever each key to it gains 0.1 of IoU, and clicks on from it.
- *Wrong first*: clicks without alternatives and actions going on where the mask after
  one click is wrong.
"""

from __future__ import annotations

import json
import math
import sys
from dataclasses import asdict, dataclass
from itertools import combinations
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from tqdm import tqdm

from gpcis_training.evaluation.cli import (
    NO_ALTERNATIVES,
    add_set_arguments,
    chosen_sets,
    load_segmenter,
)
from gpcis_training.evaluation.datasets import (
    FORMS,
    first_view,
    ground_truth,
)
from gpcis_training.evaluation.metrics import Estimate, estimate, iou, noc
from gpcis_training.evaluation.robot import LAWS, make_clicker
from gpcis_training.evaluation.tables import markdown
from napari_gpcis.errors import GPCISError, InputError
from napari_gpcis.files import replacing
from napari_gpcis.geometry import iou as iou_of_masks
from napari_gpcis.session.session import Session

if TYPE_CHECKING:
    import argparse
    from collections.abc import Callable, Sequence

    from numpy.typing import NDArray

    from gpcis_training.evaluation.datasets import EvaluationObject, ObjectSet
    from napari_gpcis.alternatives import Alternative
    from napari_gpcis.clicks import Click
    from napari_gpcis.inference.segmenter import Segmenter

COUNTS = (3, 6)
"""Numbers M of masks among which the oracle chooses."""
RIGHT = 0.7
"""IoU from which a mask counts as what was meant."""
TARGET = 0.85
"""IoU to reach by actions."""
MAX_CLICKS = 20
GAIN = 0.1
"""IoU that each key to another mask must gain for a robot that goes on from it."""
LAW = "inside"
TERMS = (
    "IoU after one click, ± standard error over images. Plain: the mask itself; "
    "Oracle@M: the best of the first M masks; Selected: the mask of the best score; "
    "First right: where the mask is wrong (IoU below {right}) and another is right, "
    "the share in which the first other one is, and their number; Distinct: mean "
    "1 - IoU of two masks; "
    "Clicks, Actions: to IoU {target}, at most {most}, without alternatives and with "
    "them (a key to the next one is an action); By number: the same where one key "
    "shows any of them; Ambiguous: clicks and actions by number where the mask is "
    "wrong and another is right, and their number; Going on: actions where a robot "
    "also goes on from other masks; Wrong first: clicks and actions going on where "
    "the mask is wrong, and their number."
)


class Offer(NamedTuple):
    """Masks after one click, the plain one first."""

    ious: tuple[float, ...]
    scores: tuple[float, ...]
    distinct: float | None
    """Mean 1 - IoU of two masks; ``None`` if there is one mask."""

    def best(self, count: int) -> float:
        """Return the best IoU among the first masks."""
        return max(self.ious[:count])

    @property
    def selected(self) -> float:
        """The IoU of the mask with the best score; of equals the first."""
        return self.ious[int(np.argmax(self.scores))]


class Outcome(NamedTuple):
    """One object: the masks after each click."""

    offers: tuple[Offer, ...]
    going_on: int = MAX_CLICKS
    """Actions of a robot that goes on from other masks."""

    def clicks(self, target: float) -> int:
        """Return the clicks without alternatives, `MAX_CLICKS` if they do not do."""
        return noc([offer.ious[0] for offer in self.offers], target, MAX_CLICKS)

    def actions(self, target: float) -> int:
        """Return the clicks and keys until a mask is good, `MAX_CLICKS` at most."""
        for count, offer in enumerate(self.offers, start=1):
            good = [k for k, value in enumerate(offer.ious) if value >= target]
            if good:
                return min(count + good[0], MAX_CLICKS)
        return MAX_CLICKS

    def by_number(self, target: float) -> int:
        """Return the actions where one key shows any other mask."""
        for count, offer in enumerate(self.offers, start=1):
            if offer.best(len(offer.ious)) >= target:
                return min(count + (offer.ious[0] < target), MAX_CLICKS)
        return MAX_CLICKS

    @property
    def ambiguous(self) -> bool:
        """True if the first mask is wrong and another is right."""
        ious = self.offers[0].ious
        return ious[0] < RIGHT <= max(ious)


@dataclass(frozen=True)
class Ambiguity:
    """Alternatives of a model on one set.

    Parameters
    ----------
    objects
        Name of the set.
    items
        The objects.
    outcomes
        What came out, one an object.
    """

    objects: str
    items: tuple[EvaluationObject, ...]
    outcomes: tuple[Outcome, ...]

    @property
    def plain(self) -> Estimate:
        """IoU of the mask after one click."""
        return self._mean([one.offers[0].ious[0] for one in self.outcomes])

    def oracle(self, count: int) -> Estimate:
        """Return the best IoU among so many masks after one click."""
        return self._mean([one.offers[0].best(count) for one in self.outcomes])

    @property
    def selected(self) -> Estimate:
        """IoU of the mask with the best score after one click."""
        return self._mean([one.offers[0].selected for one in self.outcomes])

    @property
    def first_right(self) -> tuple[int, int]:
        """Numbers of cases: the first alternative is right, and one is needed."""
        asked = [one.offers[0].ious for one in self.outcomes if one.ambiguous]
        return sum(ious[1] >= RIGHT for ious in asked), len(asked)

    @property
    def distinct(self) -> float | None:
        """Mean 1 - IoU of two masks after one click."""
        values = [one.offers[0].distinct for one in self.outcomes]
        known = [value for value in values if value is not None]
        return float(np.mean(known)) if known else None

    def clicks(self, target: float) -> Estimate:
        """Return the mean number of clicks without alternatives."""
        return self._mean([float(one.clicks(target)) for one in self.outcomes])

    def actions(self, target: float) -> Estimate:
        """Return the mean number of clicks and keys with alternatives."""
        return self._mean([float(one.actions(target)) for one in self.outcomes])

    def by_number(self, target: float) -> Estimate:
        """Return the mean number of actions where one key shows any other mask."""
        return self._mean([float(one.by_number(target)) for one in self.outcomes])

    def ambiguous(self, target: float) -> tuple[float, float, int]:
        """Return mean clicks, mean actions by number, and the number of such cases."""
        asked = [one for one in self.outcomes if one.ambiguous]
        return _means(asked, [one.by_number(target) for one in asked], target)

    @property
    def going_on(self) -> Estimate:
        """Mean number of actions of a robot that goes on from other masks."""
        return self._mean([float(one.going_on) for one in self.outcomes])

    def wrong_first(self, target: float) -> tuple[float, float, int]:
        """Return mean clicks, mean actions going on, and the number of wrong masks."""
        wrong = [one for one in self.outcomes if one.offers[0].ious[0] < RIGHT]
        return _means(wrong, [one.going_on for one in wrong], target)

    def to_dict(self, target: float) -> dict[str, Any]:
        """Return the JSON form: figures, and the masks of each object."""
        figures = {
            "plain": self.plain,
            **{f"oracle_{count}": self.oracle(count) for count in COUNTS},
            "selected": self.selected,
            "clicks": self.clicks(target),
            "actions": self.actions(target),
            "by_number": self.by_number(target),
            "going_on": self.going_on,
        }
        right, asked = self.first_right
        results = [
            {
                **asdict(item),
                "offers": [offer._asdict() for offer in one.offers],
                "going_on": one.going_on,
            }
            for item, one in zip(self.items, self.outcomes, strict=True)
        ]
        return {
            "objects": self.objects,
            **{
                name: [
                    value.mean,
                    value.error if math.isfinite(value.error) else None,
                ]
                for name, value in figures.items()
            },
            "first_right": [right, asked],
            "distinct": self.distinct,
            "results": results,
        }

    def _mean(self, values: Sequence[float]) -> Estimate:
        return estimate(values, [item.image for item in self.items])


def ambiguity(
    segmenter: Segmenter,
    root: str | Path,
    chosen: ObjectSet,
    *,
    law: str = LAW,
    seed: int = 0,
    clicks: int = MAX_CLICKS,
    target: float = TARGET,
    report: Callable[[int], object] | None = None,
) -> Ambiguity:
    """Measure the alternatives of a model on one set.

    Parameters
    ----------
    segmenter
        The model.
    root
        Folder that holds the data sets.
    chosen
        The objects. The first view is that of the set.
    law, seed
        Where the robot clicks, see :func:`.make_clicker`.
    clicks
        At most so many clicks an object; it ends when the mask itself is good enough.
    target
        The IoU to reach.
    report
        Called with 1 after each object.

    Raises
    ------
    InputError
        If there is no such law, a number is out of range, or a file cannot be used.
    """
    if not 1 <= clicks <= MAX_CLICKS or not 0 < target <= 1:
        msg = (
            f"clicks must be from 1 to {MAX_CLICKS} and target above 0, at most 1, got "
            f"{clicks} and {target}"
        )
        raise InputError(msg)
    form, folder = FORMS[chosen.form], Path(root) / chosen.folder
    outcomes: list[Outcome] = []
    for item in chosen.objects:
        gt = ground_truth(folder, item, chosen.form)
        image = form.load(folder / form.images / item.image)
        if image.shape[:2] != gt.shape:
            msg = f"{item.label} must have the size of {item.image}, {image.shape[:2]}"
            raise InputError(msg)
        window = chosen.rule.window
        robot = _Robot(segmenter, image, gt, make_clicker(law, item, seed), window)
        while len(robot.offers) < clicks and robot.click():
            if robot.offers[-1].ious[0] >= target:
                break
        if not robot.offers:
            msg = f"{item.label} has no pixel to click in {item.image}"
            raise InputError(msg)
        other = _Robot(segmenter, image, gt, make_clicker(law, item, seed), window)
        outcomes.append(Outcome(tuple(robot.offers), other.go_on(clicks, target)))
        if report is not None:
            report(1)
    return Ambiguity(chosen.name, chosen.objects, tuple(outcomes))


class _Robot:
    """A robot user at one object."""

    def __init__(
        self,
        segmenter: Segmenter,
        image: NDArray[Any],
        gt: NDArray[np.integer],
        next_click: Callable[..., Click | None],
        window: int | None,
    ) -> None:
        self.offers: list[Offer] = []
        self._session = Session(segmenter, image)
        self._gt, self._next_click, self._window = gt, next_click, window
        self._mask = np.zeros(gt.shape, dtype=bool)
        self._free = np.ones(gt.shape, dtype=bool)

    def click(self) -> bool:
        """Click, and note what is offered; ``False`` if nothing is to be clicked."""
        session, gt = self._session, self._gt
        click = self._next_click(gt, self._mask, self._free)
        if click is None:
            return False
        if not self.offers:
            session.view = first_view(gt.shape, click.pixel, self._window)
        self._mask = session.add_click(click.row, click.col, click.positive).mask
        self._free[click.pixel] = False
        self.offers.append(_offer(session.alternatives(max(COUNTS)), gt))
        return True

    def go_on(self, clicks: int, target: float) -> int:
        """Return the actions to the target, `MAX_CLICKS` if it is not reached.

        A mask is taken if each key to it gains `GAIN`, or it reaches the target.
        """
        actions = 0
        while len(self.offers) < clicks and self.click():
            actions += 1
            ious = self.offers[-1].ious
            done = [place for place, value in enumerate(ious) if value >= target]
            if done:
                return min(actions + done[0], MAX_CLICKS)
            worth = [value - GAIN * place for place, value in enumerate(ious)]
            place = int(np.argmax(worth))
            if place:
                actions += place
                taken = self._session.choose(place)
                assert taken is not None
                self._mask = taken.mask
        return MAX_CLICKS


def _offer(found: Sequence[Alternative], gt: NDArray[np.integer]) -> Offer:
    """Return what alternatives are worth."""
    parts = [one.trimmed for one in found]
    gaps = [
        1 - iou_of_masks(mask, box, other, other_box)
        for (box, mask), (other_box, other) in combinations(parts, 2)
    ]
    return Offer(
        tuple(iou(gt, one.mask) for one in found),
        tuple(one.score for one in found),
        float(np.mean(gaps)) if gaps else None,
    )


def _means(
    outcomes: Sequence[Outcome], actions: Sequence[int], target: float
) -> tuple[float, float, int]:
    """Return mean clicks, mean actions, and the number of objects."""
    if not outcomes:
        return math.nan, math.nan, 0
    clicks = [one.clicks(target) for one in outcomes]
    return float(np.mean(clicks)), float(np.mean(actions)), len(outcomes)


def ambiguity_table(found: Sequence[Ambiguity], target: float = TARGET) -> str:
    """Return a Markdown table, a row for each set."""
    rows = []
    for one in found:
        right, asked = one.first_right
        rows.append(
            {
                "Set": one.objects,
                "Objects": str(len(one.items)),
                "Plain": _shown(one.plain),
                **{f"Oracle@{count}": _shown(one.oracle(count)) for count in COUNTS},
                "Selected": _shown(one.selected),
                "First right": f"{right}/{asked}",
                "Distinct": "" if one.distinct is None else f"{one.distinct:.2f}",
                "Clicks": str(one.clicks(target)),
                "Actions": str(one.actions(target)),
                "By number": str(one.by_number(target)),
                "Ambiguous": _both(one.ambiguous(target)),
                "Going on": str(one.going_on),
                "Wrong first": _both(one.wrong_first(target)),
            }
        )
    terms = TERMS.format(right=RIGHT, target=target, most=MAX_CLICKS)
    return f"{markdown(rows)}\n\n{terms}"


def _shown(value: Estimate) -> str:
    return f"{value.mean:.3f} ± {value.error:.3f}"


def _both(found: tuple[float, float, int]) -> str:
    """Return clicks, actions and the number of cases as text."""
    clicks, actions, cases = found
    return f"{clicks:.2f}, {actions:.2f} ({cases})" if cases else ""


# -- the command -----------------------------------------------------------------------


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of ``gpcis-train ambiguity``."""
    add = parser.add_argument
    add("model", help="name of a model, or path of a checkpoint")
    add_set_arguments(parser)
    add(
        "--alternatives",
        metavar="FILE",
        help="learned ones, a file of gpcis-train alternatives fit; "
        f"{NO_ALTERNATIVES!r}: only other length-scales and thresholds. By default "
        "what the model has",
    )
    add("--clicks", choices=LAWS, default=LAW, help="where the robot clicks")
    add("--max-clicks", type=int, default=MAX_CLICKS, help="clicks an object at most")
    add("--target", type=float, default=TARGET, help="IoU to reach by actions")
    add("--seed", type=int, default=0, help="of the clicks")
    add("--fast", action="store_true", help="as the plugin runs a model on a CPU")
    add("--device", default="cpu", help="where the model runs (cpu, cuda, mps, auto)")
    add("-o", "--output", type=Path, help="write all numbers as JSON")


def run(arguments: argparse.Namespace) -> int:
    """Run ``gpcis-train ambiguity`` on one thread and return the exit status."""
    try:
        output: Path | None = arguments.output
        if output is not None and not output.parent.is_dir():
            msg = f"--output must be in a folder that exists, got {output}"
            raise InputError(msg)
        found = _measure(arguments)
        if output is not None:
            _save(output, arguments, found)
    except (GPCISError, OSError) as error:
        print(f"gpcis-train ambiguity: {error}", file=sys.stderr)
        return 1
    print(ambiguity_table(found, arguments.target))
    return 0


def _measure(arguments: argparse.Namespace) -> list[Ambiguity]:
    """Return the figures of all sets of the command line."""
    sets, segmenter = list(chosen_sets(arguments)), load_segmenter(arguments)
    found: list[Ambiguity] = []
    for chosen in sets:
        with tqdm(total=len(chosen.objects), desc=chosen.name, unit="object") as bar:
            found.append(
                ambiguity(
                    segmenter,
                    arguments.root,
                    chosen,
                    law=arguments.clicks,
                    seed=arguments.seed,
                    clicks=arguments.max_clicks,
                    target=arguments.target,
                    report=bar.update,
                )
            )
    return found


def _save(
    output: Path, arguments: argparse.Namespace, found: Sequence[Ambiguity]
) -> None:
    """Write all numbers; an older file is replaced only by a complete one."""
    data = {
        "model": str(arguments.model),
        "clicks": arguments.clicks,
        "seed": arguments.seed,
        "target": arguments.target,
        "results": [one.to_dict(arguments.target) for one in found],
    }
    with replacing(output) as temporary:
        temporary.write_text(json.dumps(data), encoding="utf-8")
