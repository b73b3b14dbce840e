"""Finding similar objects: recall and precision, and the actions that it saves.

A robot user clicks the objects of an image one after the other, in an order drawn once,
until each mask has an IoU of 0.75, and accepts it. After some of them it looks for
similar objects. Those of the default confidence are counted:

*recall* and *precision*
    of the objects that are not there yet, at an IoU of 0.5 and of 0.75;
*actions*
    a click, an accept, a reject and a key are one each. *Plain* is clicking all
    objects. With find-similar: the examples, one key to find, one reject for each
    candidate that is not right (IoU 0.75), one key to accept the others, and plain
    clicking of what is still missing.

An image with one object needs examples from other images: those before it in the list
(``--other-images``), taken from their labels.
"""

from __future__ import annotations

import json
import multiprocessing
import time
import zlib
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from tqdm import tqdm

from gpcis_training.evaluation.cli import (
    add_image_arguments,
    check_output,
    named_sets,
)
from gpcis_training.evaluation.datasets import (
    FORMS,
    EvaluationObject,
    all_objects,
    evenly_spread,
    first_view,
)
from gpcis_training.evaluation.jobs import one_thread
from gpcis_training.evaluation.metrics import iou
from gpcis_training.evaluation.robot import next_click
from gpcis_training.evaluation.runner import find_objects
from napari_gpcis.errors import InputError
from napari_gpcis.files import replacing
from napari_gpcis.geometry import slices
from napari_gpcis.inference.segmenter import Segmenter
from napari_gpcis.session.session import Session

if TYPE_CHECKING:
    import argparse
    from collections.abc import Iterator, Sequence

    from numpy.typing import NDArray

    from gpcis_training.evaluation.datasets import ObjectSet
    from napari_gpcis.similar import Candidate, Examples

RIGHT = 0.75
"""IoU at which the robot is content."""
FOUND = 0.5
"""IoU at which an object counts as found."""
MAX_CLICKS = 20
COLUMNS = (
    "examples",
    "images",
    "objects",
    "recall",
    "precision",
    "recall75",
    "precision75",
    "actions",
    "plain",
    "ratio",
    "seconds",
)
"""Of the table."""


@dataclass(frozen=True)
class Round:
    """One search after some examples.

    Attributes
    ----------
    examples
        Number of examples.
    missing
        Objects that were not there yet.
    shown
        Candidates of the default confidence; those on pixels that do not count are
        left out.
    found, right
        Of them, those with an IoU of 0.5 and of 0.75 with an object of their own.
    actions
        Of the whole image; ``None`` where nothing was clicked.
    seconds
        Duration of the search.
    """

    examples: int
    missing: int
    shown: int
    found: int
    right: int
    actions: float | None
    seconds: float


@dataclass(frozen=True)
class ImageResult:
    """One image: its objects, plain clicking, and the searches."""

    image: str
    objects: int
    plain: float | None
    rounds: tuple[Round, ...]


class ImageJob(NamedTuple):
    """An image to evaluate, with the images before it."""

    objects: ObjectSet
    root: Path
    item: EvaluationObject
    before: tuple[EvaluationObject, ...]
    counts: tuple[int, ...]
    clicked: int


def evaluate_image(segmenter: Segmenter, job: ImageJob) -> ImageResult | None:
    """Let the robot annotate one image; ``None`` if it has too few objects.

    Parameters
    ----------
    segmenter
        The model.
    job
        The image. With images before it, these give the examples.
    """
    image, truth = _read(job, job.item)
    numbers = np.unique(truth[truth > 0])
    if job.before:
        rounds = []
        for count in job.counts:
            examples = _examples(segmenter, job, job.before[:count])
            session = Session(segmenter, image)
            rounds.append(_search(session, truth, numbers, count, examples))
        return ImageResult(job.item.image, len(numbers), None, tuple(rounds))
    if len(numbers) <= min(job.counts):
        return None
    seed = zlib.crc32(job.item.label.encode())
    order = np.random.default_rng(seed).permutation(numbers).tolist()
    session = Session(segmenter, image)
    costs: list[int] = []
    searches: list[Round] = []
    for number in order[: max(job.clicked, max(job.counts))]:
        costs.append(_annotate(session, truth == number, job.objects.rule.window))
        if len(costs) in job.counts and len(costs) < len(order):
            left = np.setdiff1d(numbers, order[: len(costs)])
            searches.append(_search(session, truth, left, len(costs)))
    mean = float(np.mean(costs))
    rounds = [_with_actions(one, costs, mean) for one in searches]
    return ImageResult(job.item.image, len(numbers), mean * len(numbers), tuple(rounds))


def matches(
    candidates: Sequence[Candidate], truth: NDArray[np.integer], least: float
) -> tuple[int, int]:
    """Return how many candidates count, and how many have an object of their own.

    Parameters
    ----------
    candidates
        The most confident first; an object belongs to the first that has it.
    truth
        Objects above 0; -1 where nothing counts.
    least
        Least IoU.
    """
    areas = np.bincount(np.maximum(truth, 0).ravel())
    taken: set[int] = set()
    counted = 0
    for candidate in candidates:
        inside = truth[slices(candidate.box)][candidate.mask]
        if np.count_nonzero(inside < 0) > inside.size / 2:
            continue
        counted += 1
        shared = np.bincount(inside[inside > 0], minlength=1)
        best = int(shared.argmax())
        union = candidate.area + areas[best] - shared[best]
        if shared[best] >= least * union and shared[best] > 0:
            taken.add(best)
    return counted, len(taken)


def _annotate(session: Session, truth: NDArray[np.bool_], window: int | None) -> int:
    """Click one object until it is right, and accept it; return the actions."""
    gt = truth.astype(np.int8)
    mask, free = np.zeros(gt.shape, dtype=bool), np.ones(gt.shape, dtype=bool)
    actions = 0
    while actions < MAX_CLICKS:
        click = next_click(gt, mask, free)
        if click is None:
            break
        if actions == 0 and not session.objects:
            session.view = first_view(gt.shape, click.pixel, window)
        mask = session.add_click(click.row, click.col, click.positive).mask
        free[click.pixel] = False
        actions += 1
        if iou(gt, mask) >= RIGHT:
            break
    session.accept(overwrite=True)
    session.view = None
    return actions + 1


def _search(
    session: Session,
    truth: NDArray[np.integer],
    missing: NDArray[np.integer],
    count: int,
    examples: Examples | None = None,
) -> Round:
    """Look for the missing objects, and compare."""
    begin = time.perf_counter()
    candidates = session.find_similar(examples=examples)
    seconds = time.perf_counter() - begin
    left = np.where(np.isin(truth, missing) | (truth < 0), truth, 0)
    shown, found = matches(candidates, left, FOUND)
    right = matches(candidates, left, RIGHT)[1]
    return Round(count, len(missing), shown, found, right, None, seconds)


def _with_actions(one: Round, costs: list[int], mean: float) -> Round:
    """Return a search with the actions of the whole image."""
    wrong = one.shown - one.right
    actions = float(sum(costs[: one.examples]) + 2 + wrong)
    actions += mean * (one.missing - one.right)
    return Round(**{**asdict(one), "actions": actions})


def _read(
    job: ImageJob, item: EvaluationObject
) -> tuple[NDArray[np.generic], NDArray[np.int32]]:
    """Return an image and all of its objects."""
    chosen, form = job.objects, FORMS[job.objects.form]
    folder = job.root / chosen.folder
    image = form.load(folder / form.images / item.image)
    return image, all_objects(folder, item, chosen.form, chosen.rule)


def _examples(
    segmenter: Segmenter, job: ImageJob, items: Sequence[EvaluationObject]
) -> Examples:
    """Return the objects of other images as examples."""
    found: Examples | None = None
    for item in items:
        image, truth = _read(job, item)
        one = Session(segmenter, image, labels=np.maximum(truth, 0)).examples()
        found = one if found is None else found.joined(one)
    if found is None:
        msg = "examples need at least one other image"
        raise InputError(msg)
    return found


class _Worker:
    """The model of a worker process, loaded once."""

    segmenter: Segmenter

    @classmethod
    def begin(cls, model: str) -> None:
        """Load the model; each worker computes on one thread."""
        import torch

        torch.set_num_threads(1)
        cls.segmenter = Segmenter.from_pretrained(model, "cpu", exact=True)

    @classmethod
    def work(cls, job: ImageJob) -> ImageResult | None:
        """Evaluate one image."""
        return evaluate_image(cls.segmenter, job)


def evaluate_similar(
    model: str, jobs: Sequence[ImageJob], workers: int = 1
) -> Iterator[ImageResult]:
    """Yield the results of images in their order, in this process or in several.

    Parameters
    ----------
    model
        Name of a model, or path of a checkpoint.
    jobs
        From :func:`image_jobs`.
    workers
        Processes, each with one thread.
    """
    if workers == 1 or len(jobs) <= 1:
        with one_thread():
            _Worker.begin(model)
            yield from filter(None, map(_Worker.work, jobs))
        return
    context = multiprocessing.get_context("spawn")  # PyTorch's threads forbid fork
    with context.Pool(min(workers, len(jobs)), _Worker.begin, (model,)) as pool:
        yield from filter(None, pool.imap(_Worker.work, jobs))


def image_jobs(
    objects: ObjectSet,
    root: Path,
    counts: Sequence[int],
    *,
    images: int | None = None,
    clicked: int = 20,
    other_images: bool = False,
) -> list[ImageJob]:
    """Return the jobs of a set, one an image.

    Parameters
    ----------
    objects
        The set; all objects of its images that its rule accepts are evaluated.
    root
        Folder that holds the set.
    counts
        After how many examples similar objects are looked for.
    images
        So many images, evenly spread; by default all.
    clicked
        Objects that the robot clicks in an image; the others are taken to cost the
        mean of these.
    other_images
        Take the examples from the images before each one.
    """
    every = list({item.image: item for item in objects.objects}.values())
    chosen = every if images is None else evenly_spread(every, images)
    jobs = []
    for item in chosen:
        before: tuple[EvaluationObject, ...] = ()
        if other_images:
            place = every.index(item)
            before = tuple(every[place - n] for n in range(1, max(counts) + 1))
        jobs.append(ImageJob(objects, root, item, before, tuple(counts), clicked))
    return jobs


def summary(results: Sequence[ImageResult]) -> list[dict[str, Any]]:
    """Return the figures over all images, one entry for each number of examples.

    Recall and precision are those of all objects together; ``actions`` are those of
    an object, and ``ratio`` is to plain clicking of the same images.
    """
    entries = []
    for count in sorted({one.examples for each in results for one in each.rounds}):
        pairs = [
            (each, one)
            for each in results
            for one in each.rounds
            if one.examples == count
        ]
        total = {
            name: sum(getattr(one, name) for _, one in pairs)
            for name in ("missing", "shown", "found", "right", "seconds")
        }
        entry: dict[str, Any] = {
            "examples": count,
            "images": len(pairs),
            "objects": total["missing"],
            "recall": total["found"] / max(1, total["missing"]),
            "precision": total["found"] / max(1, total["shown"]),
            "recall75": total["right"] / max(1, total["missing"]),
            "precision75": total["right"] / max(1, total["shown"]),
            "seconds": total["seconds"] / len(pairs),
        }
        costs = [
            (one.actions, each.plain, each.objects)
            for each, one in pairs
            if one.actions is not None and each.plain is not None
        ]
        if costs:
            actions, plain, objects = map(sum, zip(*costs, strict=True))
            entry |= {
                "actions": actions / objects,
                "plain": plain / objects,
                "ratio": actions / plain,
            }
        entries.append(entry)
    return entries


def table(name: str, entries: Sequence[dict[str, Any]]) -> str:
    """Return the figures of a set as a table in Markdown."""
    lines = [f"{name}", "", f"| {' | '.join(COLUMNS)} |", "|---" * len(COLUMNS) + "|"]
    for entry in entries:
        cells = [entry.get(column) for column in COLUMNS]
        texts = [_text(cell) for cell in cells]
        lines.append(f"| {' | '.join(texts)} |")
    return "\n".join(lines)


def _text(cell: float | None) -> str:
    """Return a figure as text."""
    if cell is None:
        return ""
    return str(cell) if isinstance(cell, int) else f"{cell:.2f}"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of ``gpcis-train similar``."""
    add = parser.add_argument
    add("model", help="name of a model, or path of a checkpoint")
    add_image_arguments(parser)
    add(
        "--examples",
        type=int,
        nargs="+",
        default=[1, 3, 5],
        metavar="N",
        help="look for similar objects after so many",
    )
    add(
        "--clicked",
        type=int,
        default=20,
        help="objects that the robot clicks in each image; the others are taken to "
        "cost as much",
    )
    add(
        "--other-images",
        action="store_true",
        help="take the examples from the labels of the images before each one",
    )
    add(
        "-j",
        "--jobs",
        "--workers",
        dest="workers",
        type=int,
        default=1,
        help="processes, each with one thread",
    )
    add("-o", "--output", type=Path, help="write all results as JSON")


def run(arguments: argparse.Namespace) -> int:
    """Run ``gpcis-train similar`` and return the exit status.

    Raises
    ------
    InputError
        If an argument cannot be used.
    """
    for name in ("images", "clicked", "workers"):
        value = getattr(arguments, name)
        if value is not None and value < 1:
            msg = f"--{name} must be at least 1, got {value}"
            raise InputError(msg)
    if min(arguments.examples) < 1:
        msg = f"--examples must be at least 1, got {min(arguments.examples)}"
        raise InputError(msg)
    output: Path | None = arguments.output
    check_output(output)
    report: dict[str, Any] = {"model": arguments.model, "sets": {}}
    for name in named_sets(arguments.objects):
        jobs = image_jobs(
            find_objects(name, arguments.root),
            arguments.root,
            sorted(set(arguments.examples)),
            images=arguments.images,
            clicked=arguments.clicked,
            other_images=arguments.other_images,
        )
        found = evaluate_similar(arguments.model, jobs, arguments.workers)
        results = list(tqdm(found, desc=name, total=len(jobs)))
        entries = summary(results)
        print(table(name, entries))
        report["sets"][name] = {
            "summary": entries,
            "images": [asdict(one) for one in results],
        }
    if output is not None:
        with replacing(output) as temporary:
            temporary.write_text(json.dumps(report, indent=1), encoding="utf-8")
    return 0
