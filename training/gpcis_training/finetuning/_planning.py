"""Before training: read the images, split them, measure the start model."""

from __future__ import annotations

import time
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Any

from gpcis_training.data.pairing import find_pairs_of_files
from gpcis_training.finetuning._defaults import drawing_rule, make_config
from gpcis_training.finetuning._hardware import choose_precision
from gpcis_training.finetuning._problems import refuse
from gpcis_training.finetuning._splitting import Split, make_split, read_split
from gpcis_training.finetuning._watch import FEW
from gpcis_training.finetuning.plan import Plan, write_plan
from gpcis_training.finetuning.prepare import (
    Gathered,
    Source,
    check_usable,
    gather,
    sort_into,
)
from gpcis_training.finetuning.reading import ReadingRule, read_planes
from gpcis_training.finetuning.validation import Validation, figures_of
from napari_gpcis.errors import InputError
from napari_gpcis.inference.segmenter import Segmenter

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from gpcis_training.config import FitConfig
    from gpcis_training.evaluation import EvaluationResult
    from gpcis_training.finetuning._events import EventLog
    from gpcis_training.finetuning.options import FinetuneOptions
    from gpcis_training.finetuning.output import Places

_BEFORE_SHARE = 0.2
"""The first evaluation takes at most this share of the time."""
_SHORTEST = 0.25
"""Training gets at least this share, however long reading took."""


class StoppedError(InputError):
    """The person asked to stop before training began."""


def make_plan(
    start: str,
    images: Path,
    labels: Path,
    options: FinetuneOptions,
    places: Places,
    log: EventLog,
    stop: Callable[[], bool],
) -> Plan:
    """Decide everything, write it down, and return it.

    Raises
    ------
    GPCISError
        If model, images, labels or options cannot be used.
    """
    began = time.monotonic()
    segmenter = Segmenter.from_pretrained(start)
    gathered = _gather(images, labels, options, places, log)
    split = _split(gathered, options)
    sort_into(gathered, split, places.data)
    union = options.union > 0
    rule = drawing_rule(gathered, len(split.val), options.objects, options.seed, union)
    validation = Validation.draw(places.data, rule, union=union)
    _tell(gathered, split, validation, log)
    config = make_config(options, gathered, split, segmenter.info)
    reading = time.monotonic()
    result = _before(segmenter, validation, options.max_minutes, log, stop)
    measuring = time.monotonic() - reading
    validation = Validation(validation.root, validation.rule, result.items)
    before = figures_of(result)
    few = figures_of(result.only(validation.few(FEW)))
    log.tell("before", keep=True, figures=before.to_dict(), few=few.to_dict())
    left = options.max_minutes - (time.monotonic() - began + 0.8 * measuring) / 60
    minutes = max(left, _SHORTEST * options.max_minutes)
    plan = Plan(
        start=start,
        config=_named(config, minutes, places, segmenter, gathered),
        precision=choose_precision(options.precision),
        patience=options.patience,
        validation=validation,
        before=before,
        before_few=few,
        about=_about(images, labels, options, gathered, split, segmenter),
    )
    write_plan(plan, places)
    return plan


def _gather(
    images: Path,
    labels: Path,
    options: FinetuneOptions,
    places: Places,
    log: EventLog,
) -> Gathered:
    """Read and store all planes; refuse or name what cannot be used."""
    pairs, alone = find_pairs_of_files(images, labels, options.pairs)
    if alone:
        named = ", ".join(alone[:5]) + (" ..." if len(alone) > 5 else "")
        message = f"{len(alone)} images without a label file are left out: {named}"
        log.tell("note", message=message)
    rule = ReadingRule(options.channels, options.components)
    sources = [
        Source(pair.image.name, partial(read_planes, pair, rule)) for pair in pairs
    ]
    report = partial(_report, log, "reading")
    gathered = gather(sources, places.data, report)
    if gathered.problems and options.on_error == "refuse":
        raise refuse(list(gathered.problems), gathered.files)
    check_usable(gathered)
    return gathered


def _split(gathered: Gathered, options: FinetuneOptions) -> Split:
    if options.split is not None:
        return read_split(options.split, gathered)
    return make_split(gathered, options.seed)


def _before(
    segmenter: Segmenter,
    validation: Validation,
    max_minutes: float,
    log: EventLog,
    stop: Callable[[], bool],
) -> EvaluationResult:
    """Measure the start model, on fewer objects where that would take too long."""
    until = time.monotonic() + _BEFORE_SHARE * max_minutes * 60
    begun = False

    def enough() -> bool:
        nonlocal begun
        late = begun and time.monotonic() > until
        begun = True
        return late or stop()

    report = partial(_report, log, "before")
    result = validation.run(segmenter, report=report, stop=enough)
    if result is None or stop():
        msg = "stopped before training began"
        raise StoppedError(msg)
    return result


def _named(
    config: FitConfig,
    minutes: float,
    places: Places,
    segmenter: Segmenter,
    gathered: Gathered,
) -> FitConfig:
    """Give the configuration its time, and the words for the checkpoint."""
    start = segmenter.info
    what = f"{len(gathered.planes)} images with {gathered.objects} objects of the user"
    return replace(
        config,
        name=places.name,
        max_minutes=minutes,
        training_data=f"{what}; before that, as {start.name}: {start.training_data}",
        description=f"{start.name}, fine-tuned on {what}.",
    )


def _about(
    images: Path,
    labels: Path,
    options: FinetuneOptions,
    gathered: Gathered,
    split: Split,
    segmenter: Segmenter,
) -> dict[str, Any]:
    """Return what record and card say about the data and the start."""
    start = segmenter.info
    return {
        "start": {
            "name": start.name,
            "licence": start.licence,
            "training_data": start.training_data,
        },
        "data": {
            "images": str(images),
            "labels": str(labels),
            "files": gathered.files,
            "planes": len(gathered.planes),
            "objects": gathered.objects,
            "small": gathered.small,
            "problems": [str(problem) for problem in gathered.problems],
        },
        "split": split.to_dict(),
        "options": options.to_dict(),
    }


def _tell(
    gathered: Gathered, split: Split, validation: Validation, log: EventLog
) -> None:
    log.tell(
        "prepared",
        planes=len(gathered.planes),
        objects=gathered.objects,
        train=len(split.train),
        val=len(split.val),
        evaluated=len(validation.objects),
        problems=[str(problem) for problem in gathered.problems],
    )


def _report(log: EventLog, stage: str, done: int, total: int) -> None:
    log.tell("stage", stage=stage, done=done, total=total)
