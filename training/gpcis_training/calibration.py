"""Calibration of a model: the truth of its probabilities and expectations.

The robot user of :mod:`gpcis_training.evaluation` clicks on fixed objects. After some
clicks three questions are asked, of the pixels in a band about the true border, where
doubt is worth something (far from it nearly all pixels are easy, and drown the rest):

- Is the object there as often as the probability says? The *expected calibration error*
  [1]_ puts the pixels of all objects in 15 equal bins of probability, and is the mean
  distance of the mean probability and the share of object pixels in a bin, weighted by
  its pixels.
- Is the variance larger where the probability is further from the truth? The *rank
  correlation* (Spearman) of both over the pixels of an object, averaged over objects.
- Is the IoU as large as the model says? The same calibration error over objects, of the
  expectation that is computed from the probability
  (:func:`napari_gpcis.next_click.expected_iou`), and of the quality that a network
  predicts, if it does.

The band holds all pixels up to 10 image pixels from the border of the object, whatever
the network's grid; the image's edge is no border, and ignored pixels are left out.
Outside the region that the network saw the probability is 0, and there is no variance.

References
----------
.. [1] Guo et al., "On calibration of modern neural networks", ICML 2017.
"""

from __future__ import annotations

import json
import math
import sys
from collections import defaultdict
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from scipy.ndimage import distance_transform_edt
from scipy.stats import rankdata
from tqdm import tqdm

from gpcis_training.evaluation.datasets import (
    FORMS,
    first_view,
    ground_truth,
    grouped_sets,
)
from gpcis_training.evaluation.metrics import Estimate, estimate, iou
from gpcis_training.evaluation.robot import IGNORE, next_click
from gpcis_training.evaluation.runner import find_objects
from gpcis_training.evaluation.tables import markdown
from napari_gpcis.errors import GPCISError, InputError
from napari_gpcis.files import replacing
from napari_gpcis.next_click import calibrated, expected_iou
from napari_gpcis.session.session import Session

if TYPE_CHECKING:
    import argparse
    from collections.abc import Callable, Iterator, Sequence

    from numpy.typing import NDArray

    from gpcis_training.evaluation.datasets import EvaluationObject, ObjectSet
    from napari_gpcis.inference.prediction import Prediction
    from napari_gpcis.inference.segmenter import Segmenter

BAND = 10
"""Width of the band on either side of the true border, image pixels."""
BINS = 15
CLICKS = (1, 3, 5)
"""Numbers of clicks after which a model is asked."""
TERMS = (
    "ECE: expected calibration error of the probability, {bins} equal bins, pixels up "
    "to {band} image pixels from the true border, ignored ones left out, those of all "
    "objects of a set together (± standard error, jackknife over images); undone: of "
    "the probability without the focal loss. Rank: Spearman correlation of variance "
    "and |probability - truth| over the band of an object, mean over objects. "
    "Expected, Quality: calibration error of the expected and of the predicted IoU "
    "over objects, in {bins} bins: with few objects chance alone makes it large."
)


@dataclass(frozen=True)
class Reliability:
    """Claims in bins, and what came of them.

    Parameters
    ----------
    count, claimed, found
        Of each bin the number of claims, their sum, and the sum of the outcomes;
        float64, shape ``(bins,)``.
    """

    count: NDArray[np.float64]
    claimed: NDArray[np.float64]
    found: NDArray[np.float64]

    @classmethod
    def of(
        cls,
        claims: NDArray[np.floating],
        outcomes: NDArray[np.floating | np.bool_],
        bins: int = BINS,
    ) -> Reliability:
        """Put claims in bins of equal width, the last one with 1.

        Parameters
        ----------
        claims
            Numbers from 0 to 1, shape ``(N,)``.
        outcomes
            What was claimed, of the same shape: 0 or 1, or between.
        bins
            Number of bins.

        Examples
        --------
        >>> found = Reliability.of(np.array([0.1, 0.1, 1.0]), np.array([0, 1, 1]), 2)
        >>> found.count.tolist(), found.error
        ([2.0, 1.0], 0.26666666666666666)
        """
        claims = np.asarray(claims, dtype=np.float64)
        if claims.size and not (claims.min() >= 0 and claims.max() <= 1):
            msg = f"claims must be from 0 to 1, got {claims.min()} to {claims.max()}"
            raise InputError(msg)
        place = np.minimum((claims * bins).astype(np.intp), bins - 1)
        results = np.asarray(outcomes, dtype=np.float64)
        return cls(
            np.bincount(place, minlength=bins).astype(np.float64),
            np.asarray(np.bincount(place, claims, bins), dtype=np.float64),
            np.asarray(np.bincount(place, results, bins), dtype=np.float64),
        )

    @classmethod
    def total(cls, parts: Sequence[Reliability]) -> Reliability:
        """Return the claims of all parts together."""
        return cls(
            np.sum([part.count for part in parts], axis=0),
            np.sum([part.claimed for part in parts], axis=0),
            np.sum([part.found for part in parts], axis=0),
        )

    @property
    def error(self) -> float:
        """Expected calibration error, from 0 to 1; NaN without claims."""
        claims = self.count.sum()
        if not claims:
            return math.nan
        return float(np.abs(self.claimed - self.found).sum() / claims)

    def to_dict(self) -> dict[str, list[float]]:
        """Return the JSON form."""
        return {
            "count": self.count.tolist(),
            "claimed": self.claimed.tolist(),
            "found": self.found.tolist(),
        }


class State(NamedTuple):
    """Answers about one object after some clicks."""

    probability: Reliability
    undone: Reliability
    """Of the probability without the focal loss."""
    rank: float | None
    """Correlation of variance and error; ``None`` where either is constant."""
    iou: float
    expected: float
    """The IoU that the probability makes expect."""
    quality: float | None
    """The IoU that the network predicts."""


@dataclass(frozen=True)
class Calibration:
    """Calibration of a model on one set after some clicks.

    Parameters
    ----------
    objects
        Name of the set.
    clicks
        Number of clicks.
    items
        The objects.
    states
        The answers, one an object.
    """

    objects: str
    clicks: int
    items: tuple[EvaluationObject, ...]
    states: tuple[State, ...]
    images: tuple[str, ...] = field(init=False)

    def __post_init__(self) -> None:
        """Keep the image of each object: objects of one are not independent."""
        images = tuple(item.image for item in self.items)
        object.__setattr__(self, "images", images)

    @property
    def error(self) -> Estimate:
        """Expected calibration error of the probability in the band."""
        return self._pooled([state.probability for state in self.states])

    @property
    def undone_error(self) -> Estimate:
        """The same without the focal loss, which makes probabilities cautious."""
        return self._pooled([state.undone for state in self.states])

    @property
    def rank(self) -> Estimate | None:
        """Mean rank correlation; ``None`` if no object has one."""
        pairs = zip(self.states, self.images, strict=True)
        found = [(s.rank, name) for s, name in pairs if s.rank is not None]
        if not found:
            return None
        return estimate([rank for rank, _ in found], [name for _, name in found])

    @property
    def iou(self) -> Estimate:
        """Mean IoU."""
        return estimate([state.iou for state in self.states], self.images)

    @property
    def expected_error(self) -> Estimate:
        """Calibration error of the expected IoU over objects."""
        return self._of_objects([state.expected for state in self.states])

    @property
    def quality_error(self) -> Estimate | None:
        """Calibration error of the predicted IoU; ``None`` if none is predicted."""
        claims = [s.quality for s in self.states if s.quality is not None]
        return self._of_objects(claims) if len(claims) == len(self.states) else None

    def to_dict(self) -> dict[str, Any]:
        """Return the JSON form: figures, the bins, and the numbers of each object."""
        figures = {
            "ece": self.error,
            "ece_undone": self.undone_error,
            "rank": self.rank,
            "iou": self.iou,
            "expected_ece": self.expected_error,
            "quality_ece": self.quality_error,
        }
        pooled = Reliability.total([state.probability for state in self.states])
        results = [
            {
                **asdict(item),
                "ece": _number(state.probability.error),
                "rank": state.rank,
                "iou": state.iou,
                "expected": state.expected,
                "quality": state.quality,
            }
            for item, state in zip(self.items, self.states, strict=True)
        ]
        return {
            "objects": self.objects,
            "clicks": self.clicks,
            **{name: _pair(value) for name, value in figures.items()},
            "bins": pooled.to_dict(),
            "results": results,
        }

    def _of_objects(self, claims: Sequence[float]) -> Estimate:
        """Return the calibration error of claims about the IoU, one an object."""
        return self._pooled(
            [
                Reliability.of(np.array([claim]), np.array([state.iou]))
                for claim, state in zip(claims, self.states, strict=True)
            ]
        )

    def _pooled(self, parts: Sequence[Reliability]) -> Estimate:
        """Return the error of all parts together, with a jackknife over images."""
        groups: defaultdict[str, list[Reliability]] = defaultdict(list)
        for part, name in zip(parts, self.images, strict=True):
            groups[name].append(part)
        sums = [Reliability.total(group) for group in groups.values()]
        whole = Reliability.total(sums).error
        if len(sums) < 2:
            return Estimate(whole, math.nan)
        left = [Reliability.total(sums[:k] + sums[k + 1 :]) for k in range(len(sums))]
        errors = np.array([part.error for part in left])
        spread = float(np.square(errors - errors.mean()).sum())
        return Estimate(whole, math.sqrt((len(sums) - 1) / len(sums) * spread))


def border_band(gt: NDArray[np.integer], width: float = BAND) -> NDArray[np.bool_]:
    """Return the pixels no further than ``width`` from the border of an object.

    Distances are Euclidean, between pixel centres: an object's pixel is as far from the
    border as from the nearest pixel that is not the object's, and the other way round.
    The image's edge is no border.

    Parameters
    ----------
    gt
        Shape ``(H, W)``: 1 object, -1 ignored, all else background. Ignored pixels
        are not in the band.
    width
        In image pixels.

    Examples
    --------
    >>> border_band(np.array([[0, 0, 0, -1, 1, 1, 1]]), 2).astype(int)
    array([[0, 0, 1, 0, 1, 1, 0]])
    """
    inside = gt == 1
    if inside.all() or not inside.any():
        return np.zeros(gt.shape, dtype=bool)
    distance = np.where(
        inside, distance_transform_edt(inside), distance_transform_edt(~inside)
    )
    near: NDArray[np.bool_] = (distance <= width) & (gt != IGNORE)
    return near


def rank_correlation(
    first: NDArray[np.floating], second: NDArray[np.floating]
) -> float | None:
    """Return Spearman's rank correlation, ``None`` where either is constant.

    Parameters
    ----------
    first, second
        Numbers, shape ``(N,)``.

    Examples
    --------
    >>> round(rank_correlation(np.array([1.0, 2, 3]), np.array([1.0, 4, 9])), 12)
    1.0
    """
    if len(first) < 2 or np.ptp(first) == 0 or np.ptp(second) == 0:
        return None
    return float(np.corrcoef(rankdata(first), rankdata(second))[0, 1])


def judge(
    prediction: Prediction, gt: NDArray[np.integer], band: NDArray[np.bool_]
) -> State:
    """Compare what a prediction claims with the truth.

    Parameters
    ----------
    prediction
        With its probability, variance and perhaps its quality.
    gt
        Ground truth, shape ``(H, W)``.
    band
        Pixels that are asked, of that shape.
    """
    truth = (gt == 1)[band]
    probability = prediction.probability[band].astype(np.float64)
    variance = prediction.variance[band]
    known = np.isfinite(variance)
    return State(
        Reliability.of(probability, truth),
        Reliability.of(calibrated(probability), truth),
        rank_correlation(variance[known], np.abs(probability - truth)[known]),
        iou(gt, prediction.mask),
        expected_iou(prediction),
        prediction.quality,
    )


def calibration(
    segmenter: Segmenter,
    root: str | Path,
    chosen: ObjectSet,
    counts: Sequence[int] = CLICKS,
    width: float = BAND,
    report: Callable[[int], object] | None = None,
) -> list[Calibration]:
    """Measure the calibration of a model on one set.

    Parameters
    ----------
    segmenter
        The model.
    root
        Folder that holds the data sets.
    chosen
        The objects. The first view is that of the set.
    counts
        Numbers of clicks. Where no error is left earlier, the last prediction stands.
    width
        Of the band, image pixels.
    report
        Called with 1 after each object.

    Returns
    -------
    list of Calibration
        One for each count.

    Raises
    ------
    InputError
        If a count or the width is no positive number, or a file cannot be used.
    """
    if min(counts, default=0) < 1 or not width >= 1:
        msg = f"clicks and band must be at least 1, got {list(counts)} and {width}"
        raise InputError(msg)
    states: dict[int, list[State]] = {count: [] for count in counts}
    form, folder = FORMS[chosen.form], Path(root) / chosen.folder
    for item in chosen.objects:
        gt = ground_truth(folder, item, chosen.form)
        image = form.load(folder / form.images / item.image)
        if image.shape[:2] != gt.shape:
            msg = f"{item.label} must have the size of {item.image}, {image.shape[:2]}"
            raise InputError(msg)
        band = border_band(gt, width)
        session = Session(segmenter, image)
        made = _predictions(session, gt, chosen.rule.window, max(counts))
        judged: dict[int, State] = {}
        for number, prediction in made:
            if number in states:
                judged[number] = judge(prediction, gt, band)
            last = number, prediction
        for count in counts:
            if count not in judged:
                judged[count] = judge(last[1], gt, band)
            states[count].append(judged[count])
        if report is not None:
            report(1)
    return [
        Calibration(chosen.name, count, chosen.objects, tuple(found))
        for count, found in states.items()
    ]


def _predictions(
    session: Session, gt: NDArray[np.int8], window: int | None, clicks: int
) -> Iterator[tuple[int, Prediction]]:
    """Yield the prediction after each click of the robot, numbered from 1."""
    mask, free = np.zeros(gt.shape, dtype=bool), np.ones(gt.shape, dtype=bool)
    for number in range(1, clicks + 1):
        click = next_click(gt, mask, free)
        if click is None and number == 1:
            msg = "an object must have a pixel that is not ignored, found none"
            raise InputError(msg)
        if click is None:
            return
        if number == 1:
            session.view = first_view(gt.shape, click.pixel, window)
        prediction = session.add_click(click.row, click.col, click.positive)
        mask, free[click.pixel] = prediction.mask, False
        yield number, prediction


def calibration_table(found: Sequence[Calibration], width: float = BAND) -> str:
    """Return a Markdown table, a row for each set and number of clicks."""
    rows = [
        {
            "Set": one.objects,
            "Objects": str(len(one.items)),
            "Clicks": str(one.clicks),
            "IoU": _shown(one.iou),
            "ECE": _shown(one.error),
            "ECE, undone": _shown(one.undone_error),
            "Rank": _shown(one.rank),
            "Expected": _shown(one.expected_error),
            "Quality": _shown(one.quality_error),
        }
        for one in found
    ]
    terms = TERMS.format(bins=BINS, band=f"{width:g}")
    return f"{markdown(rows)}\n\n{terms}"


def _shown(value: Estimate | None) -> str:
    """Return a figure as the table shows it."""
    return "" if value is None else f"{value.mean:.3f} ± {value.error:.3f}"


def _number(value: float) -> float | None:
    """Return a number for JSON, which has no NaN."""
    return value if math.isfinite(value) else None


def _pair(value: Estimate | None) -> list[float | None] | None:
    """Return mean and standard error for JSON."""
    return None if value is None else [_number(value.mean), _number(value.error)]


# -- the command -----------------------------------------------------------------------


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of ``gpcis-train calibration``."""
    add = parser.add_argument
    add("model", help="name of a model, or path of a checkpoint")
    add("--root", type=Path, default=Path(), help="folder that holds the data sets")
    add(
        "--set",
        "--dataset",
        dest="objects",
        nargs="+",
        required=True,
        metavar="SET",
        help="sets as those of gpcis-train evaluate",
    )
    add("--limit", type=int, help="use the first objects of each set only")
    add("--subset", type=int, help="use so many objects of each set, evenly spread")
    add(
        "--clicks",
        type=int,
        nargs="+",
        default=list(CLICKS),
        help="numbers of clicks (default: 1 3 5)",
    )
    add("--band", type=float, default=BAND, help="width of the band in image pixels")
    add("--fast", action="store_true", help="as the plugin runs a model on a CPU")
    add("--device", default="cpu", help="where the model runs (cpu, cuda, mps, auto)")
    add("-o", "--output", type=Path, help="write all numbers as JSON")


def run(arguments: argparse.Namespace) -> int:
    """Run ``gpcis-train calibration`` on one thread and return the exit status."""
    try:
        output: Path | None = arguments.output
        if output is not None and not output.parent.is_dir():
            msg = f"--output must be in a folder that exists, got {output}"
            raise InputError(msg)
        found = _measure(arguments)
        if output is not None:
            _save(output, arguments, found)
    except (GPCISError, OSError) as error:
        print(f"gpcis-train calibration: {error}", file=sys.stderr)
        return 1
    print(calibration_table(found, arguments.band))
    return 0


def _measure(arguments: argparse.Namespace) -> list[Calibration]:
    """Return the calibration on all sets of the command line."""
    import torch

    from napari_gpcis.checkpoints import load_checkpoint
    from napari_gpcis.inference.segmenter import Segmenter

    torch.set_num_threads(1)
    named = [name for given in arguments.objects for name in grouped_sets(given)]
    sets = [
        find_objects(name, arguments.root, None, arguments.limit).subset(
            arguments.subset
        )
        for name in dict.fromkeys(named)
    ]
    model, info = load_checkpoint(arguments.model)
    segmenter = Segmenter(model, info, arguments.device, exact=not arguments.fast)
    found: list[Calibration] = []
    for chosen in sets:
        with tqdm(total=len(chosen.objects), desc=chosen.name, unit="object") as bar:
            found += calibration(
                segmenter,
                arguments.root,
                chosen,
                sorted(set(arguments.clicks)),
                arguments.band,
                bar.update,
            )
    return found


def _save(
    output: Path, arguments: argparse.Namespace, found: Sequence[Calibration]
) -> None:
    """Write all numbers; an older file is replaced only by a complete one."""
    data = {
        "model": str(arguments.model),
        "band": arguments.band,
        "bins": BINS,
        "results": [one.to_dict() for one in found],
    }
    with replacing(output) as temporary:
        temporary.write_text(json.dumps(data), encoding="utf-8")
