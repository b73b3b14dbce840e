"""Memory between objects: what the program remembers, and an experiment beyond it.

The program remembers the size of accepted objects: it is the view of the next first
click, and a frame that this click tries. The experiment goes further.

The objects that were accepted in an image change the prior of the Gaussian process for
those after them: weights on the features of the network, fitted so that the masks of
their clicks would have been more like what was accepted. The posterior given the clicks
follows in closed form, so every click keeps its value. Where the accepted objects
needed hardly more than a click each there is nothing to gain, and the weights are not
used.

A robot user clicks the objects of an image three times, in the same order. Figures are
those of the later objects:

*alone*, *plain*, *memory*
    clicks of an object until its mask has an IoU of 0.85, at most 10: nothing is
    remembered; sizes are, as in the program; the changed prior as well;
*sizes*
    ratio of *plain* to *alone*, with an interval by bootstrap over images;
*ratio*
    of *memory* to *plain*, with its interval;
*iou1*
    IoU after the first click, of *alone*, *plain* and *memory*;
*on*
    share of the objects that were clicked with weights.
"""

from __future__ import annotations

import json
import zlib
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import torch
from scipy.optimize import minimize
from torch.nn.functional import interpolate
from tqdm import tqdm

from gpcis_training.evaluation.cli import (
    add_image_arguments,
    check_output,
    named_sets,
)
from gpcis_training.evaluation.datasets import (
    FORMS,
    all_objects,
    evenly_spread,
    first_view,
)
from gpcis_training.evaluation.jobs import one_thread
from gpcis_training.evaluation.metrics import iou
from gpcis_training.evaluation.robot import next_click
from gpcis_training.evaluation.runner import find_objects
from napari_gpcis.checkpoints import load_checkpoint
from napari_gpcis.errors import InputError
from napari_gpcis.files import replacing
from napari_gpcis.geometry import box_of
from napari_gpcis.inference.segmenter import Segmenter
from napari_gpcis.inference.torch_cpu import AcceleratedModel
from napari_gpcis.model import GPCIS, GPScores
from napari_gpcis.model.grid import to_network_size
from napari_gpcis.session.session import Session

if TYPE_CHECKING:
    import argparse
    from collections.abc import Sequence

    from numpy.typing import NDArray
    from torch import Tensor

    from gpcis_training.evaluation.datasets import EvaluationObject, ObjectSet
    from napari_gpcis.clicks import Click
    from napari_gpcis.geometry import Box
    from napari_gpcis.inference.prediction import Prediction
    from napari_gpcis.model import Encoded
    from napari_gpcis.model.click_posterior import ClickPosterior

    Floats = NDArray[np.float64]

RIGHT = 0.85
"""IoU at which the robot is content."""
MAX_CLICKS = 10
REMEMBERED = 16
"""Objects that are learned from, the last ones."""
LEAST_CLICKS = 1.5
"""Mean clicks of the accepted objects from which on memory is used."""
RIDGE = 30.0
"""Penalty of the squared weights, in units of the IoU of one mask."""
SHARPNESS = 5.0
"""By which logits are multiplied, so that probabilities are nearly a mask."""
NEAR, FAR = 400, 150
"""Cells that are learned from: in twice the box of the object, and beyond it."""
LEAST_CELLS = 4
"""Least size of an object that is learned from, in cells."""
ITERATIONS = 30
DRAWS = 2000
"""Of the bootstrap."""
COLUMNS = (
    "images",
    "objects",
    "alone",
    "plain",
    "memory",
    "sizes",
    "sizes_interval",
    "ratio",
    "interval",
    "iou1",
    "on",
)
"""Of the table."""


# -- the model ---------------------------------------------------------------------


class Pass(NamedTuple):
    """One posterior on the ``m`` cells of the grid."""

    features: NDArray[np.float32]
    """Features less what the clicks explain of them, shape ``(k, m)``."""
    logits: NDArray[np.float32]
    """Logits without weights, shape ``(m,)``."""
    shape: tuple[int, int]
    """Rows and columns of the grid."""


class RememberingModel(AcceleratedModel):
    """A GPCIS model whose prior may be changed by weights on its features.

    Attributes
    ----------
    weights : ndarray or None
        Shape ``(k,)``; ``None``: the prior of the model.
    last : Pass or None
        The last posterior that was computed.
    """

    weights: NDArray[np.float32] | None = None
    last: Pass | None = None

    def encode(self, rgb: Tensor) -> Encoded:
        """See :meth:`GPCIS.encode`."""
        return self._model.encode(rgb)

    def features(self, encoded: Encoded, points: Tensor, previous: Tensor) -> Tensor:
        """See :meth:`GPCIS.features`."""
        return self._model.features(encoded, points, previous)

    def click_posterior(self, encoded: Encoded, raw: Tensor) -> Any:
        """Return the posterior with the changed prior."""
        posterior = self._model.click_posterior(encoded, raw)
        return ChangedPosterior(self, posterior, raw, encoded.rgb)


class ChangedPosterior:
    """Posterior of one image's features under a changed prior, given any clicks.

    Parameters
    ----------
    model
        Its weights are used, and it is told the passes.
    posterior
        That of the model itself.
    raw
        Features of the network, shape ``(1, d, h', w')``.
    rgb
        Normalised colour, shape ``(1, 3, H, W)``.
    """

    def __init__(
        self,
        model: RememberingModel,
        posterior: ClickPosterior,
        raw: Tensor,
        rgb: Tensor,
    ) -> None:
        self._model, self._posterior = model, posterior
        self._raw, self._rgb = raw, rgb

    def with_length_scale(self, factor: float) -> ChangedPosterior:
        """Return the posterior under another deep kernel."""
        other = self._posterior.with_length_scale(factor)
        return ChangedPosterior(self._model, other, self._raw, self._rgb)

    def quality(self, scores: GPScores) -> Tensor | None:
        """Return the logit of the expected IoU, ``(1,)``; ``None`` if unknown."""
        quality: Tensor | None = self._posterior.quality(scores)
        return quality

    def scores(
        self, points: Tensor, variance: bool = False
    ) -> tuple[GPScores, Tensor | None]:
        """Return the posterior given clicks, see `ClickPosterior.scores`."""
        grid = self._posterior.on_grid(points)
        shape = grid.prior.shape[-2:]
        colour = interpolate(self._rgb, size=shape, mode="area")
        deep = interpolate(self._raw.float(), size=shape, mode="bilinear")
        features = torch.cat([torch.ones_like(grid.prior), deep, colour], dim=1)
        # Matheron's rule: what is left of a prior's change once the clicks are known
        left = features - grid.correction(features)
        logits = grid.prior + grid.update
        self._model.last = Pass(
            left[0].flatten(1).numpy(),
            logits.flatten().numpy(),
            (int(shape[0]), int(shape[1])),
        )
        prior = grid.prior
        if self._model.weights is not None:
            weights = torch.from_numpy(self._model.weights)[:, None, None]
            prior = prior + (left[0] * weights).sum(0)
        maps = to_network_size(torch.cat([prior, grid.update], dim=1), self._rgb)
        both = GPScores(maps[:, :1] + maps[:, 1:], maps[:, :1], maps[:, 1:])
        spread = to_network_size(grid.variance, self._rgb) if variance else None
        return both, spread


# -- learning ----------------------------------------------------------------------


class Lesson(NamedTuple):
    """Cells of one pass, and which of them belong to the accepted object."""

    features: NDArray[np.float32]
    """Shape ``(n, k)``."""
    logits: NDArray[np.float32]
    """Shape ``(n,)``."""
    inside: NDArray[np.float32]
    """Share of each cell in the object, shape ``(n,)``."""
    share: NDArray[np.float32]
    """How many cells each one stands for, shape ``(n,)``."""

    def iou(self, weights: NDArray[np.float32] | None) -> float:
        """Return the IoU of the mask with the object; ``None``: without weights."""
        change = 0.0 if weights is None else self.features @ weights
        mask = self.logits + change > 0
        shared = (self.share * self.inside * mask).sum()
        union = (self.share * np.maximum(self.inside, mask)).sum()
        return float(shared / union)


def lesson(seen: Pass, roi: Box, mask: NDArray[np.bool_]) -> Lesson | None:
    """Return what a pass teaches; ``None`` if the object is too small in it.

    Parameters
    ----------
    seen
        The pass.
    roi
        Box that it saw, in data pixels; it may go beyond the image.
    mask
        The accepted object, shape (H, W).
    """
    rows, cols = roi[2] - roi[0], roi[3] - roi[1]
    part = np.zeros((rows, cols), dtype=np.float32)
    top, left = max(0, roi[0]), max(0, roi[1])
    inside = mask[top : roi[2], left : roi[3]]
    placed_rows = slice(top - roi[0], top - roi[0] + inside.shape[0])
    part[placed_rows, left - roi[1] : left - roi[1] + inside.shape[1]] = inside
    cells = interpolate(torch.from_numpy(part)[None, None], seen.shape, mode="area")
    shares = cells[0, 0].numpy()
    box = box_of(shares > 0.5)
    if box is None or np.count_nonzero(shares > 0.5) < LEAST_CELLS:
        return None
    high, wide = (max(LEAST_CELLS, (box[k + 2] - box[k]) // 2) for k in (0, 1))
    near = np.zeros(seen.shape, dtype=bool)
    near[
        max(0, box[0] - high) : box[2] + high, max(0, box[1] - wide) : box[3] + wide
    ] = True
    rng = np.random.default_rng(0)
    chosen, counts = [], []
    for place, limit in ((near, NEAR), (~near, FAR)):
        found = np.flatnonzero(place)
        number = min(limit, len(found))
        chosen.append(rng.choice(found, number, replace=False))
        counts.append(np.full(number, len(found) / max(1, number), dtype=np.float32))
    index = np.concatenate(chosen)
    return Lesson(
        seen.features[:, index].T,
        seen.logits[index],
        shares.ravel()[index],
        np.concatenate(counts),
    )


def learn(lessons: Sequence[Lesson]) -> NDArray[np.float32]:
    """Return the weights that bring the masks of passes nearest to their objects.

    The sum of the IoU of all passes, with probabilities in place of masks, less a
    ridge towards no change.

    Parameters
    ----------
    lessons
        At least one.

    Returns
    -------
    ndarray
        Shape ``(k,)``.
    """
    features = np.concatenate([one.features for one in lessons])
    logits = np.concatenate([one.logits for one in lessons])
    inside = np.concatenate([one.inside for one in lessons])
    share = np.concatenate([one.share for one in lessons])
    sizes = [len(one.logits) for one in lessons]
    begins = np.cumsum([0, *sizes[:-1]])
    scale = np.sqrt(np.square(features).mean(0)).clip(1e-3)
    scaled = features / scale

    def loss(weights: Floats) -> tuple[float, Floats]:
        """Return the loss, and its gradient."""
        change = scaled @ weights.astype(np.float32)
        steep = (SHARPNESS * (logits + change)).clip(-20, 20)
        mask = 1 / (1 + np.exp(-steep))
        shared = np.add.reduceat(share * mask * inside, begins)
        union = np.add.reduceat(share * (mask + inside - mask * inside), begins)
        by_mask = np.repeat(1 / union, sizes) * inside
        by_mask -= np.repeat(shared / union**2, sizes) * (1 - inside)
        by_logit = share * by_mask * mask * (1 - mask) * SHARPNESS
        value = RIDGE / 2 * weights @ weights - (shared / union).sum()
        return float(value), RIDGE * weights - scaled.T @ by_logit

    found = minimize(
        loss,
        np.zeros(len(scale)),
        jac=True,
        method="L-BFGS-B",
        options={"maxiter": ITERATIONS},
    )
    return np.asarray(found.x / scale, dtype=np.float32)


# -- the robot ---------------------------------------------------------------------


@dataclass(frozen=True)
class Clicked:
    """One object that the robot has clicked.

    Attributes
    ----------
    clicks
        Until it was right; `MAX_CLICKS` if it never was.
    first
        IoU after the first click.
    on
        Whether weights were used.
    """

    clicks: int
    first: float
    on: bool


@dataclass(frozen=True)
class ImageResult:
    """One image: its objects in order, in the three ways of the module's docstring."""

    image: str
    alone: tuple[Clicked, ...]
    plain: tuple[Clicked, ...]
    memory: tuple[Clicked, ...]

    @property
    def sides(self) -> tuple[tuple[Clicked, ...], ...]:
        """The objects in each of the three ways."""
        return self.alone, self.plain, self.memory


class Robot:
    """The robot user on one image.

    Parameters
    ----------
    model, segmenter
        The model, and what runs it.
    image
        The image, as `Session` takes it.
    window
        Size of the first view, see `DrawingRule`.
    least
        Mean clicks of the accepted objects from which on weights are used; ``None``:
        they never are.
    sizes
        Whether the size of accepted objects is used, as the program does.
    """

    def __init__(
        self,
        model: RememberingModel,
        segmenter: Segmenter,
        image: NDArray[np.generic],
        window: int | None,
        least: float | None,
        *,
        sizes: bool = True,
    ) -> None:
        self._sizes = sizes
        self._model, self._segmenter = model, segmenter
        self._session = Session(segmenter, image)
        self._window, self._least = window, least
        self._learned: list[list[Lesson]] = []
        self._clicks: list[int] = []
        model.weights = None

    def annotate(self, truth: NDArray[np.int8]) -> Clicked:
        """Click one object until it is right, accept it, and learn from it."""
        on = self._model.weights is not None
        passes: list[tuple[Pass, Box]] = []
        mask, free = np.zeros(truth.shape, dtype=bool), np.ones(truth.shape, dtype=bool)
        clicks: list[Click] = []
        found: Prediction | None = None
        view: Box | None = None
        size = self._session.typical_size if self._sizes else None
        first, reached = 0.0, 0.0
        while len(clicks) < MAX_CLICKS and reached < RIGHT:
            click = next_click(truth, mask, free)
            if click is None:
                break
            if not clicks:
                view = self._view(click, truth.shape)
            clicks.append(click)
            prepared = self._session.prepared
            found = self._segmenter.step(prepared, clicks, found, view, size)
            mask = found.with_tidy(self._session.tidy).mask
            free[click.pixel] = False
            reached = iou(truth, mask)
            first = reached if len(clicks) == 1 else first
            if self._least is not None:
                # of the frames of a first click, the one that was taken comes last
                self._segmenter.rescaled(prepared, found, (1.0,))
                if self._model.last is not None:
                    passes.append((self._model.last, found.roi))
        if mask.any():
            self._session.start_from(mask)
            self._session.accept(overwrite=True)
            self._clicks.append(len(clicks))
            self._learn(passes, mask)
        count = len(clicks) if reached >= RIGHT else MAX_CLICKS
        return Clicked(count, first, on)

    def _view(self, click: Click, shape: tuple[int, ...]) -> Box | None:
        """Return the view of a first click, as a session would choose it."""
        if self._sizes and self._session.objects:
            return self._session.current.default_view(click)
        return first_view((shape[0], shape[1]), click.pixel, self._window)

    def _learn(
        self, passes: Sequence[tuple[Pass, Box]], mask: NDArray[np.bool_]
    ) -> None:
        """Choose the weights for the objects to come."""
        if self._least is None:
            return
        lessons = [lesson(seen, roi, mask) for seen, roi in passes]
        of_use = [one for one in lessons if one is not None]
        if of_use:
            self._learned = [*self._learned, of_use][-REMEMBERED:]
        self._model.weights = None
        needed = np.mean(self._clicks[-REMEMBERED:])
        if self._learned and needed >= self._least:
            every = [one for each in self._learned for one in each]
            self._model.weights = learn(every)


def evaluate_image(
    model: RememberingModel,
    segmenter: Segmenter,
    objects: ObjectSet,
    root: Path,
    item: EvaluationObject,
    *,
    most: int,
    least: float,
) -> ImageResult:
    """Let the robot annotate one image in the three ways.

    Parameters
    ----------
    model, segmenter
        The model, and what runs it.
    objects, root, item
        The set, the folder that holds it, and any object of the image.
    most
        At most so many objects, in an order drawn once.
    least
        See `Robot`.
    """
    form, folder = FORMS[objects.form], root / objects.folder
    image = form.load(folder / form.images / item.image)
    truth = all_objects(folder, item, objects.form, objects.rule)
    numbers = np.unique(truth[truth > 0])
    order = np.random.default_rng(zlib.crc32(item.label.encode())).permutation(numbers)
    found = []
    for threshold, sizes in ((None, False), (None, True), (least, True)):
        robot = Robot(
            model, segmenter, image, objects.rule.window, threshold, sizes=sizes
        )
        clicked = []
        for number in order[:most]:
            wanted = (truth == number).astype(np.int8)
            wanted[truth < 0] = -1
            clicked.append(robot.annotate(wanted))
        found.append(tuple(clicked))
    return ImageResult(item.image, *found)


# -- figures -----------------------------------------------------------------------


def summary(results: Sequence[ImageResult], begin: int) -> dict[str, Any]:
    """Return the figures over all images; without any object, only how many.

    Parameters
    ----------
    results
        Of the images.
    begin
        Number of the first object that counts, from 1.
    """
    late = [
        list(zip(*(side[begin - 1 :] for side in one.sides), strict=True))
        for one in results
    ]
    late = [objects for objects in late if objects]
    entry: dict[str, Any] = {"images": len(late), "objects": sum(map(len, late))}
    if not late:
        return entry
    every = [ways for objects in late for ways in objects]
    clicks = np.array(
        [[sum(w[k].clicks for w in objects) for k in range(3)] for objects in late]
    )
    alone, plain, memory = (float(mean) for mean in clicks.sum(0) / len(every))
    rng = np.random.default_rng(0)
    drawn = clicks[rng.integers(len(clicks), size=(DRAWS, len(clicks)))].sum(1)
    return entry | {
        "alone": alone,
        "plain": plain,
        "memory": memory,
        "sizes": plain / alone,
        "sizes_interval": _interval(drawn[:, 1] / drawn[:, 0]),
        "ratio": memory / plain,
        "interval": _interval(drawn[:, 2] / drawn[:, 1]),
        "iou1": tuple(float(np.mean([w[k].first for w in every])) for k in range(3)),
        "on": float(np.mean([ways[2].on for ways in every])),
    }


def _interval(ratios: NDArray[np.floating]) -> tuple[float, float]:
    """Return the interval that holds 95 % of the draws."""
    low, high = np.quantile(ratios, (0.025, 0.975))
    return float(low), float(high)


def row(name: str, entry: dict[str, Any]) -> str:
    """Return the figures of a set as a line of a table in Markdown."""
    between = {"sizes_interval": " to ", "interval": " to ", "iou1": " > "}
    cells = [name]
    for column in COLUMNS:
        value = entry.get(column)
        if value is None:
            cells.append("")
        elif isinstance(value, tuple):
            cells.append(between[column].join(f"{one:.3f}" for one in value))
        else:
            cells.append(str(value) if isinstance(value, int) else f"{value:.3f}")
    return f"| {' | '.join(cells)} |"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of ``gpcis-train memory``."""
    add = parser.add_argument
    add("model", help="name of a model, or path of a checkpoint")
    add_image_arguments(parser)
    add("--first", type=int, default=10, help="number of the first object that counts")
    add("--last", type=int, default=20, help="number of the last object")
    add(
        "--least",
        type=float,
        default=LEAST_CLICKS,
        help="mean clicks of the accepted objects from which on memory is used",
    )
    add("-o", "--output", type=Path, help="write all results as JSON")


def run(arguments: argparse.Namespace) -> int:
    """Run ``gpcis-train memory`` and return the exit status.

    Raises
    ------
    InputError
        If an argument cannot be used.
    """
    first, last = arguments.first, arguments.last
    if not 1 <= first <= last:
        msg = f"--first must lie between 1 and --last ({last}), got {first}"
        raise InputError(msg)
    if arguments.images is not None and arguments.images < 1:
        msg = f"--images must be at least 1, got {arguments.images}"
        raise InputError(msg)
    output: Path | None = arguments.output
    check_output(output)
    network, info = load_checkpoint(arguments.model)
    if not isinstance(network, GPCIS):
        msg = f"model must have a Gaussian process; {info.name} has none"
        raise InputError(msg)
    model = RememberingModel(network)
    segmenter = Segmenter(model, info)
    report: dict[str, Any] = {"model": arguments.model, "sets": {}}
    print(f"| set | {' | '.join(COLUMNS)} |\n{'|---' * (len(COLUMNS) + 1)}|")
    for name in named_sets(arguments.objects):
        objects = find_objects(name, arguments.root)
        items = list({item.image: item for item in objects.objects}.values())
        chosen = evenly_spread(items, arguments.images or len(items))
        with one_thread():
            results = [
                evaluate_image(
                    model,
                    segmenter,
                    objects,
                    arguments.root,
                    item,
                    most=last,
                    least=arguments.least,
                )
                for item in tqdm(chosen, desc=name)
            ]
        entry = summary(results, first)
        print(row(name, entry), flush=True)
        images = [asdict(one) for one in results]
        report["sets"][name] = {"summary": entry, "images": images}
    if output is not None:
        with replacing(output) as temporary:
            temporary.write_text(json.dumps(report, indent=1), encoding="utf-8")
    return 0
