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

A *temperature* [1]_ that divides the logits may make the probability truer, and leaves
the order of pixels as it is: the one with the least mean cross-entropy in the bands is
found, all sets and numbers of clicks counting alike.

References
----------
.. [1] Guo et al., "On calibration of modern neural networks", ICML 2017.
"""

from __future__ import annotations

import json
import math
import sys
from collections import defaultdict
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from scipy.ndimage import distance_transform_edt
from scipy.stats import rankdata
from tqdm import tqdm

from gpcis_training.evaluation.cli import (
    add_set_arguments,
    chosen_sets,
    load_segmenter,
)
from gpcis_training.evaluation.datasets import (
    FORMS,
    first_view,
    ground_truth,
)
from gpcis_training.evaluation.metrics import Estimate, estimate, iou
from gpcis_training.evaluation.robot import IGNORE, next_click
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
TEMPERATURES = np.round(np.arange(0.3, 2.51, 0.05), 2)
"""Temperatures that are tried."""
_LEAST = 1e-6  # probabilities are kept so far from 0 and 1, where a logit is infinite
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


@dataclass(frozen=True)
class Tempered:
    """Probabilities of pixels at several temperatures, and what is true of them.

    Parameters
    ----------
    losses
        Sum of the cross-entropy over the pixels at each of `TEMPERATURES`, float64,
        shape ``(T,)``.
    reliability
        The claims in bins at each temperature.
    """

    losses: NDArray[np.float64]
    reliability: tuple[Reliability, ...]

    @classmethod
    def of(
        cls, probability: NDArray[np.floating], truth: NDArray[np.bool_]
    ) -> Tempered:
        """Try all temperatures on pixels.

        Parameters
        ----------
        probability
            Numbers from 0 to 1, shape ``(N,)``.
        truth
            The object's pixels, of the same shape.
        """
        kept = np.clip(np.asarray(probability, dtype=np.float64), _LEAST, 1 - _LEAST)
        scores = np.log(kept) - np.log1p(-kept)
        right = np.where(truth, scores, -scores)
        losses = [np.logaddexp(0, -right / value).sum() for value in TEMPERATURES]
        claims = [1 / (1 + np.exp(-scores / value)) for value in TEMPERATURES]
        return cls(np.array(losses), tuple(Reliability.of(c, truth) for c in claims))


@dataclass(frozen=True)
class Temperature:
    """The temperature that makes probabilities truest.

    Parameters
    ----------
    value
        By which logits are to be divided, besides what the model does already.
    loss
        Mean cross-entropy of a pixel without and with it.
    error
        Expected calibration error without and with it, mean over sets and clicks.
    """

    value: float
    loss: tuple[float, float]
    error: tuple[float, float]


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
    tempered: Tempered


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
        Tempered.of(probability, truth),
    )


def fit_temperature(found: Sequence[Calibration]) -> Temperature:
    """Return the temperature with the least mean cross-entropy in the bands.

    Parameters
    ----------
    found
        Sets and numbers of clicks, each of the same weight.

    Raises
    ------
    InputError
        If there is no pixel.
    """
    losses, errors = [], []
    for one in found:
        parts = [state.tempered for state in one.states]
        pixels = sum(part.reliability[0].count.sum() for part in parts)
        if not pixels:
            continue
        losses.append(np.sum([part.losses for part in parts], axis=0) / pixels)
        errors.append(
            [
                Reliability.total([part.reliability[k] for part in parts]).error
                for k in range(len(TEMPERATURES))
            ]
        )
    if not losses:
        msg = "a temperature needs at least one pixel, got none"
        raise InputError(msg)
    loss, error = np.mean(losses, axis=0), np.mean(errors, axis=0)
    best = int(loss.argmin())
    plain = int(np.abs(TEMPERATURES - 1).argmin())
    return Temperature(
        float(TEMPERATURES[best]),
        (float(loss[plain]), float(loss[best])),
        (float(error[plain]), float(error[best])),
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
    add_set_arguments(parser)
    add(
        "--clicks",
        type=int,
        nargs="+",
        default=list(CLICKS),
        help="numbers of clicks (default: 1 3 5)",
    )
    add("--band", type=float, default=BAND, help="width of the band in image pixels")
    add(
        "--fit",
        type=Path,
        metavar="MODEL",
        help="write the model with the temperature that makes its probabilities truest",
    )
    add("--fast", action="store_true", help="as the plugin runs a model on a CPU")
    add("--device", default="cpu", help="where the model runs (cpu, cuda, mps, auto)")
    add("-o", "--output", type=Path, help="write all numbers as JSON")


def run(arguments: argparse.Namespace) -> int:
    """Run ``gpcis-train calibration`` on one thread and return the exit status."""
    try:
        output: Path | None = arguments.output
        for name, path in (("--output", output), ("--fit", arguments.fit)):
            if path is not None and not path.parent.is_dir():
                msg = f"{name} must be in a folder that exists, got {path}"
                raise InputError(msg)
        found = _measure(arguments)
        fitted = fit_temperature(found)
        if output is not None:
            _save(output, arguments, found, fitted)
        if arguments.fit is not None:
            _write_fitted(arguments.model, fitted.value, arguments.fit)
    except (GPCISError, OSError) as error:
        print(f"gpcis-train calibration: {error}", file=sys.stderr)
        return 1
    print(calibration_table(found, arguments.band))
    print(
        f"\nTemperature {fitted.value:g} (beside the model's own): cross-entropy "
        f"{fitted.loss[0]:.4f} -> {fitted.loss[1]:.4f}, ECE {fitted.error[0]:.3f} -> "
        f"{fitted.error[1]:.3f}, means over sets and numbers of clicks."
    )
    return 0


def _measure(arguments: argparse.Namespace) -> list[Calibration]:
    """Return the calibration on all sets of the command line."""
    sets, segmenter = list(chosen_sets(arguments)), load_segmenter(arguments)
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


def _write_fitted(model: str, temperature: float, output: Path) -> None:
    """Write a model with a temperature beside its own."""
    from napari_gpcis.checkpoints import load_checkpoint, save_checkpoint

    network, info = load_checkpoint(model)
    value = round(info.inference.temperature * temperature, 4)
    inference = replace(info.inference, temperature=value)
    save_checkpoint(output, network, replace(info, inference=inference))


def _save(
    output: Path,
    arguments: argparse.Namespace,
    found: Sequence[Calibration],
    fitted: Temperature,
) -> None:
    """Write all numbers; an older file is replaced only by a complete one."""
    data = {
        "model": str(arguments.model),
        "band": arguments.band,
        "bins": BINS,
        "temperature": asdict(fitted),
        "results": [one.to_dict() for one in found],
    }
    with replacing(output) as temporary:
        temporary.write_text(json.dumps(data), encoding="utf-8")
