"""Evaluating a method: the robot user on every object of a set."""

from __future__ import annotations

import os
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tqdm import tqdm

from gpcis_training.evaluation.datasets import (
    RULES,
    DrawingRule,
    ObjectSet,
    folder_objects,
    load_objects,
    object_sets,
)
from gpcis_training.evaluation.jobs import (
    Method,
    PartialFile,
    Protocol,
    Ranks,
    image_jobs,
    local_device,
    remaining_jobs,
    run_jobs,
)
from gpcis_training.evaluation.predictors import (
    Overrides,
    SessionPredictor,
    describe,
    describe_model,
)
from gpcis_training.evaluation.published import PUBLISHED_SETS, published_objects
from gpcis_training.evaluation.results import EvaluationResult
from gpcis_training.evaluation.robot import CENTRE
from napari_gpcis.errors import InputError
from napari_gpcis.inference.segmenter import Segmenter

if TYPE_CHECKING:
    from collections.abc import Callable

    from gpcis_training.evaluation.robot import Predictor

MIN_SIDE = 16
"""Smallest side of a first view, image pixels."""
JITTER = 0.25
"""Largest shift of a first view whose side is given, in sides."""


def find_objects(
    objects: str | ObjectSet,
    root: Path,
    rule: DrawingRule | None = None,
    limit: int | None = None,
) -> ObjectSet:
    """Return the objects of a name or a set, see :func:`evaluate`."""
    if isinstance(objects, ObjectSet):
        return objects.limited(limit)
    if objects in PUBLISHED_SETS:
        return published_objects(objects, root, limit)
    if objects in RULES:
        return load_objects(objects).limited(limit)
    if (root / objects / "images").is_dir():
        return folder_objects(objects, root, rule).limited(limit)
    known = ", ".join((*PUBLISHED_SETS, *object_sets()))
    msg = f"objects must be a folder or one of {known}; got {objects!r}"
    raise InputError(msg)


def _identity(method: str | Predictor | Segmenter, given: Overrides) -> dict[str, Any]:
    """Return the settings that decide the method's figures."""
    if isinstance(method, str):
        return describe(method, given)
    if isinstance(method, Segmenter):
        return describe_model(method.info, given)
    return {"method": type(method).__name__, "settings": repr(method)}


def _as_method(
    method: str | Predictor | Segmenter, device: str, given: Overrides
) -> Method:
    """Return the method in a form that other processes can make."""
    if isinstance(method, str):
        return Method(method, local_device(device), given)
    if str(given):
        msg = f"overrides ({given}) must be for a named model, got {method!r}"
        raise InputError(msg)
    if isinstance(method, Segmenter):
        return Method(SessionPredictor(method, raw_mask=given.raw_mask))
    return Method(method)


def _title(settings: dict[str, Any], objects: str) -> str:
    """Return the title of the progress bar."""
    protocol = settings["protocol"]
    parts = [settings["method"], settings.get("variant", "")]
    if protocol["clicks"] != CENTRE:
        parts.append(f"{protocol['clicks']} clicks {protocol['repeat'] + 1}")
    return f"{', '.join(filter(None, parts))} on {objects}"


def evaluate(
    method: str | os.PathLike[str] | Segmenter | Predictor,
    root: str | os.PathLike[str],
    objects: str | ObjectSet = "bsds500_val",
    *,
    max_clicks: int = 20,
    target: float | None = 0.9,
    min_clicks: int = 5,
    zoom: bool = True,
    side: int | None = None,
    clicks: str = CENTRE,
    seed: int = 0,
    repeat: int = 0,
    overrides: Overrides | None = None,
    limit: int | None = None,
    rule: DrawingRule | None = None,
    workers: int = 1,
    device: str = "cpu",
    partial: str | os.PathLike[str] | None = None,
    progress: bool = True,
    ranks: Ranks | None = None,
    report: Callable[[int, int], object] | None = None,
    stop: Callable[[], bool] | None = None,
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
        A data set of the paper (``"grabcut"``, ``"berkeley"``, ``"davis"``,
        ``"sbd"``), name of an object list (:func:`object_sets`), a data folder below
        ``root``, or an object set.
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
    side
        Side in image pixels of the first view, instead of that of the list. The view is
        moved off the click by up to a quarter of its side, as the seed has it, and
        lies inside the image.
    clicks, seed, repeat
        Law of the clicks in the largest error, and seed and number of the draw;
        see :mod:`gpcis_training.evaluation.robot`.
    overrides
        Settings that replace those of the checkpoint.
    limit
        Use the first objects only.
    rule
        Rule for the objects of a folder; by default every label is an object.
    workers
        Processes. Each computes on one thread, so that the figures are the same for
        any number of them. Seconds per click are those of one process.
    device
        Device of a model.
    partial
        File that keeps finished runs, so that a call with the same arguments goes on
        where one was interrupted.
    progress
        Show a progress bar.
    ranks
        This process among several that share the work, see
        :func:`gpcis_training.evaluation.jobs.process_group`. All of them return
        the whole result.
    report
        Called with the numbers of objects done and in total, after each object in one
        process, after those of each image in several.
    stop
        Asked before what `report` tells of. Once it returns ``True``, the result is
        that of the objects so far, which may be none.

    Raises
    ------
    InputError
        If an argument cannot be used.
    """
    if workers < 1:
        msg = f"workers must be at least 1, got {workers}"
        raise InputError(msg)
    ranks, given = ranks or Ranks(), overrides or Overrides()
    chosen = os.fspath(method) if isinstance(method, str | os.PathLike) else method
    method_to_run = _as_method(chosen, device, given)
    wanted = find_objects(objects, Path(root), rule, limit)
    if side is not None and side < MIN_SIDE:
        msg = f"side of the first view must be at least {MIN_SIDE} px, got {side}"
        raise InputError(msg)
    window = wanted.rule.window if zoom else None
    protocol = Protocol(
        max_clicks,
        target,
        min_clicks,
        window if side is None else side,
        0.0 if side is None else JITTER,
        clicks,
        seed,
        repeat,
    )
    settings = {
        **_identity(chosen, given),
        "folder": wanted.folder,
        "form": wanted.form,
        "protocol": protocol.to_dict(),
    }
    kept = PartialFile(partial, settings, ranks.rank)
    done = kept.read()
    mine = image_jobs(wanted, Path(root), shard=(ranks.rank, ranks.size))
    jobs = remaining_jobs(mine, done)
    total, left = (sum(len(job.items) for job in part) for part in (mine, jobs))
    bar = tqdm(
        total=total,
        initial=total - left,
        desc=_title(settings, wanted.name),
        disable=not (progress and ranks.is_first),
        unit="object",
    )
    count = total - left
    with bar, closing(run_jobs(method_to_run, jobs, protocol, workers)) as parts:
        while not (stop and stop()) and (runs := next(parts, None)):
            for item, run in runs:
                done[item] = run
                kept.add(item, run)
            count += len(runs)
            bar.update(len(runs))
            if report is not None:
                report(count, total)
    done = ranks.union(done)
    measured = tuple(item for item in wanted.objects if item in done)
    return EvaluationResult(
        method=settings["method"],
        objects=wanted.name,
        settings=settings,
        items=measured,
        runs=tuple(done[item] for item in measured),
        max_clicks=max_clicks,
        target=target,
    )
