"""Evaluating a method: the robot user on every object of a set."""

from __future__ import annotations

import multiprocessing
import os
from collections import defaultdict
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from tqdm import tqdm

from gpcis_training.evaluation._partial import PartialFile
from gpcis_training.evaluation.datasets import (
    RULES,
    DrawingRule,
    EvaluationObject,
    ObjectSet,
    first_view,
    folder_objects,
    ground_truth,
    load_objects,
    read_image,
)
from gpcis_training.evaluation.predictors import (
    SessionPredictor,
    create_predictor,
    describe,
)
from gpcis_training.evaluation.results import EvaluationResult
from gpcis_training.evaluation.robot import ClickRun, next_click, run_robot
from napari_gpcis.errors import InputError
from napari_gpcis.segmenter import Segmenter

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from gpcis_training.evaluation.robot import Predictor

Job = tuple[Path, tuple[EvaluationObject, ...]]


@dataclass(frozen=True)
class Protocol:
    """How the robot behaves; see :func:`run_robot`."""

    max_clicks: int = 20
    target: float | None = 0.9
    min_clicks: int = 5
    window: int | None = None


def evaluate_image(
    predictor: Predictor, job: Job, protocol: Protocol
) -> list[tuple[EvaluationObject, ClickRun]]:
    """Let the robot segment objects of one image, each from scratch."""
    folder, items = job
    image = read_image(folder / "images" / items[0].image)
    runs = []
    for item in items:
        gt = ground_truth(folder, item)
        nothing = np.zeros(gt.shape, dtype=bool)
        click = next_click(gt, nothing, ~nothing)
        if click is None:
            msg = f"ids {item.ids} of {item.label} must be in the label image"
            raise InputError(msg)
        predictor.start(image, first_view(gt.shape, click.pixel, protocol.window))
        run = run_robot(
            predictor, gt, protocol.max_clicks, protocol.target, protocol.min_clicks
        )
        runs.append((item, run))
    return runs


class _Worker:
    """The predictor of a worker process, made once."""

    predictor: Predictor
    protocol: Protocol

    @classmethod
    def begin(cls, method: str | Predictor, device: str, protocol: Protocol) -> None:
        """Make the predictor; each worker computes on one thread."""
        import torch

        torch.set_num_threads(1)
        cls.predictor = _as_predictor(method, device)
        cls.protocol = protocol

    @classmethod
    def work(cls, job: Job) -> list[tuple[EvaluationObject, ClickRun]]:
        """Evaluate one image."""
        return evaluate_image(cls.predictor, job, cls.protocol)


def _as_predictor(method: str | Predictor, device: str) -> Predictor:
    """Return a predictor as it is, or make the one that is named."""
    return create_predictor(method, device) if isinstance(method, str) else method


def _evaluated(
    method: str | Predictor,
    device: str,
    jobs: Sequence[Job],
    protocol: Protocol,
    workers: int,
) -> Iterator[list[tuple[EvaluationObject, ClickRun]]]:
    """Yield the runs image by image, in this process or in several others."""
    if workers == 1 or len(jobs) <= 1:
        predictor = _as_predictor(method, device)
        yield from (evaluate_image(predictor, job, protocol) for job in jobs)
        return
    context = multiprocessing.get_context("spawn")  # PyTorch's threads forbid fork
    arguments = (method, device, protocol)
    with context.Pool(min(workers, len(jobs)), _Worker.begin, arguments) as pool:
        yield from pool.imap_unordered(_Worker.work, jobs)


def _object_set(
    objects: str | ObjectSet, root: Path, rule: DrawingRule | None
) -> ObjectSet:
    """Return the objects that are asked for."""
    if isinstance(objects, ObjectSet):
        return objects
    if objects not in RULES and (root / objects / "images").is_dir():
        return folder_objects(objects, root, rule)
    return load_objects(objects)


def _identity(method: str | Predictor | Segmenter) -> dict[str, str]:
    """Return what decides the method's figures."""
    if isinstance(method, str):
        return describe(method)
    if isinstance(method, Segmenter):
        return {"method": method.info.name, "settings": repr(method.info.inference)}
    return {"method": type(method).__name__, "settings": repr(method)}


def evaluate(
    method: str | os.PathLike[str] | Segmenter | Predictor,
    root: str | os.PathLike[str],
    objects: str | ObjectSet = "bsds500_val",
    *,
    max_clicks: int = 20,
    target: float | None = 0.9,
    min_clicks: int = 5,
    zoom: bool = True,
    limit: int | None = None,
    rule: DrawingRule | None = None,
    workers: int = 1,
    device: str = "cpu",
    partial: str | os.PathLike[str] | None = None,
    progress: bool = True,
) -> EvaluationResult:
    """Measure an interactive method with the robot user.

    Parameters
    ----------
    method
        Name of a model, path of a checkpoint, a :class:`napari_gpcis.Segmenter`,
        ``"peer:watershed"``, ``"peer:random_walker"``, ``"peer:grabcut"``, or any
        other predictor.
    root
        The data root; object lists name their folder below it.
    objects
        Name of an object list (:func:`object_sets`), a data folder below ``root``, or
        an object set.
    max_clicks
        The robot gives up after so many clicks.
    target
        The robot stops at this IoU, which leaves NoC up to it as it is; ``None``: it
        goes on to ``max_clicks``.
    min_clicks
        It does not stop before so many clicks, so that IoU&n is exact up to there.
    zoom
        Whether the first view is the one of the object list (a window around the first
        click in microscopy) rather than the whole image.
    limit
        Use the first objects only.
    rule
        How objects of a folder are drawn; by default every label is an object.
    workers
        Processes; each computes on one thread. Seconds per click are those of one
        process.
    device
        Where a model runs.
    partial
        File that keeps finished runs, so that a call with the same arguments goes on
        where one was interrupted.
    progress
        Show a progress bar.

    Raises
    ------
    InputError
        If an argument cannot be used.
    """
    for name, number in (("workers", workers), ("limit", limit)):
        if number is not None and number < 1:
            msg = f"{name} must be at least 1, got {number}"
            raise InputError(msg)
    chosen = os.fspath(method) if isinstance(method, str | os.PathLike) else method
    chosen_set = _object_set(objects, Path(root), rule).limited(limit)
    window = chosen_set.rule.window if zoom else None
    protocol = Protocol(max_clicks, target, min_clicks, window)
    settings: dict[str, Any] = {
        **_identity(chosen),
        "folder": chosen_set.folder,
        "protocol": asdict(protocol),
    }
    keep = PartialFile(None if partial is None else Path(partial), settings)
    done = keep.read()
    jobs = _jobs(chosen_set, Path(root), done)
    driven = SessionPredictor(chosen) if isinstance(chosen, Segmenter) else chosen
    bar = tqdm(
        total=len(chosen_set.objects),
        initial=sum(item in done for item in chosen_set.objects),
        desc=f"{settings['method']} on {chosen_set.name}",
        disable=not progress,
        unit="object",
    )
    with bar:
        for runs in _evaluated(driven, device, jobs, protocol, workers):
            for item, run in runs:
                done[item] = run
                keep.add(item, run)
            bar.update(len(runs))
    return EvaluationResult(
        method=settings["method"],
        objects=chosen_set.name,
        settings=settings,
        items=chosen_set.objects,
        runs=tuple(done[item] for item in chosen_set.objects),
        max_clicks=max_clicks,
        target=target,
    )


def _jobs(
    chosen: ObjectSet, root: Path, done: dict[EvaluationObject, ClickRun]
) -> list[Job]:
    """Return the objects that are still to be evaluated, image by image."""
    missing: defaultdict[str, list[EvaluationObject]] = defaultdict(list)
    for item in chosen.objects:
        if item not in done:
            missing[item.image].append(item)
    return [(root / chosen.folder, tuple(items)) for items in missing.values()]
