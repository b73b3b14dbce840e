"""Plan of a run: made from the images, kept on disk to resume."""

from __future__ import annotations

import json
import math
import time
from dataclasses import asdict, dataclass, replace
from functools import partial
from typing import TYPE_CHECKING, Any

import torch
from torch.nn import functional

from gpcis_training.config import FitConfig, load_config
from gpcis_training.data.pairing import find_pairs_of_files
from gpcis_training.evaluation import DrawingRule, EvaluationObject
from gpcis_training.finetuning.options import drawing_rule, make_config
from gpcis_training.finetuning.prepare import (
    PlaneSource,
    PreparedData,
    Split,
    apply_split,
    check_usable,
    make_split,
    prepare_planes,
    read_split,
)
from gpcis_training.finetuning.reading import ReadingRule, read_planes, unusable_files
from gpcis_training.finetuning.validation import (
    SUBSET_SIZE,
    Figures,
    Validation,
    figures_of,
)
from napari_gpcis.checkpoints import load_checkpoint, save_checkpoint
from napari_gpcis.errors import InputError
from napari_gpcis.files import replacing
from napari_gpcis.inference.segmenter import Segmenter

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from gpcis_training.evaluation import EvaluationResult
    from gpcis_training.finetuning.options import FinetuneOptions
    from gpcis_training.finetuning.output import OutputFiles
    from gpcis_training.finetuning.report import EventLog

_BEFORE_SHARE = 0.2
"""The first evaluation takes at most this share of the time."""
AFTER_FACTOR = 1.25
"""The last evaluation takes at most so many times as long as the first one."""
QUICK_SHARE = 1 / 60
"""All objects are measured during training too if that takes at most this share."""
_MIN_TRAINING_SHARE = 0.25
"""Training gets at least this share, however long reading took."""
_GAIN = 1.15


@dataclass(frozen=True)
class Plan:
    """Decisions made before training.

    Parameters
    ----------
    start
        File of the start model: the copy of the run.
    chosen
        Name or file of that model as it was chosen, which may be gone by now.
    config
        The training.
    precision
        For Fabric.
    patience
        See :class:`FinetuneOptions`.
    validation
        Objects that are evaluated.
    before, before_few
        Figures of the start model on all of them, and on those that are measured while
        training goes on: all, or some where all would take long.
    minutes_after
        How long the new model may be measured on all objects.
    about
        Data, split and options, for record and card.
    """

    start: str
    chosen: str
    config: FitConfig
    precision: str
    patience: int
    validation: Validation
    before: Figures
    before_few: Figures
    minutes_after: float
    about: dict[str, Any]


class StoppedError(InputError):
    """The user stopped before training began."""


def make_plan(
    start: str,
    images: Path,
    labels: Path,
    options: FinetuneOptions,
    files: OutputFiles,
    log: EventLog,
    stop: Callable[[], bool],
) -> Plan:
    """Make the plan, write it to disk and return it.

    Raises
    ------
    GPCISError
        If model, images, labels or options cannot be used.
    """
    began = time.monotonic()
    segmenter = Segmenter.from_pretrained(start)
    save_checkpoint(files.start, *load_checkpoint(start))  # it may be removed
    prepared = _prepare(images, labels, options, files, log)
    split = _split(prepared, options)
    apply_split(prepared, split, files.data)
    union = options.union > 0
    rule = drawing_rule(prepared, len(split.val), options.objects, options.seed, union)
    validation = Validation.draw(files.data, rule, union=union)
    _emit_prepared(prepared, split, validation, log)
    config = make_config(options, prepared, split, segmenter.info)
    reading = time.monotonic()
    result = _measure_start(segmenter, validation, options.max_minutes, log, stop)
    measuring = time.monotonic() - reading
    validation = Validation(validation.root, validation.rule, result.items)
    before = figures_of(result)
    quick = measuring <= QUICK_SHARE * 60 * options.max_minutes
    count = len(validation.objects) if quick else SUBSET_SIZE
    few = figures_of(result.only(validation.subset(count)))
    spent = (time.monotonic() - began) / 60
    log.emit(
        "before",
        keep=True,
        figures=before.to_dict(),
        few=few.to_dict(),
        minutes=options.max_minutes,
        spent=spent,
    )
    after = AFTER_FACTOR * measuring / 60
    left = options.max_minutes - (time.monotonic() - began) / 60 - after
    minutes = max(left, _MIN_TRAINING_SHARE * options.max_minutes)
    plan = Plan(
        start=str(files.start),
        chosen=start,
        config=_described(config, minutes, files, segmenter, prepared),
        precision=choose_precision(options.precision),
        patience=options.patience,
        validation=validation,
        before=before,
        before_few=few,
        minutes_after=after,
        about=_about(images, labels, options, prepared, split, segmenter),
    )
    write_plan(plan, files)
    return plan


def write_plan(plan: Plan, files: OutputFiles) -> None:
    """Write the plan; a run can be resumed once it is there."""
    content = {
        "start": plan.chosen,
        "config": asdict(plan.config),
        "precision": plan.precision,
        "patience": plan.patience,
        "rule": asdict(plan.validation.rule),
        "objects": [item.to_list() for item in plan.validation.objects],
        "before": plan.before.to_dict(),
        "before_few": plan.before_few.to_dict(),
        "minutes_after": plan.minutes_after,
        "about": plan.about,
    }
    with replacing(files.plan) as draft:
        draft.write_text(json.dumps(content), encoding="utf-8")


def read_plan(files: OutputFiles) -> Plan:
    """Read the plan of an unfinished run.

    Raises
    ------
    InputError
        If it is damaged.
    """
    try:
        content = json.loads(files.plan.read_text(encoding="utf-8"))
        rule = {name: _tuples(value) for name, value in content["rule"].items()}
        objects = tuple(map(EvaluationObject.from_list, content["objects"]))
        copied = files.start.is_file()  # runs of earlier versions have no copy
        return Plan(
            start=str(files.start) if copied else content["start"],
            chosen=content["start"],
            config=_config(content["config"], files.work),
            precision=content["precision"],
            patience=content["patience"],
            validation=Validation(files.data, DrawingRule(**rule), objects),
            before=Figures.from_dict(content["before"]),
            before_few=Figures.from_dict(content["before_few"]),
            minutes_after=float(content.get("minutes_after", math.inf)),
            about=content["about"],
        )
    except (ValueError, KeyError, TypeError) as error:
        msg = f"the plan {str(files.plan)!r} is damaged: {error}"
        raise InputError(msg) from error


def choose_precision(wanted: str) -> str:
    """Return the precision for Fabric; ``"auto"`` takes bfloat16 where it is faster.

    On a CPU both are tried on a small convolution, forwards and backwards.
    """
    if wanted != "auto":
        return wanted
    if torch.cuda.is_available():
        return "bf16-mixed" if torch.cuda.is_bf16_supported() else "32-true"
    if torch.backends.mps.is_available():
        return "32-true"
    plain, mixed = _seconds(torch.float32), _seconds(torch.bfloat16)
    return "bf16-mixed" if mixed * _GAIN < plain else "32-true"


def _prepare(
    images: Path,
    labels: Path,
    options: FinetuneOptions,
    files: OutputFiles,
    log: EventLog,
) -> PreparedData:
    """Read and store all planes; refuse or name unusable files."""
    pairs, alone = find_pairs_of_files(images, labels, options.pairs)
    if alone:
        named = ", ".join(alone[:5]) + (" ..." if len(alone) > 5 else "")
        message = f"{len(alone)} images without a label file are left out: {named}"
        log.emit("note", message=message)
    rule = ReadingRule(options.channels, options.components)
    sources = [
        PlaneSource(pair.image.name, partial(read_planes, pair, rule)) for pair in pairs
    ]
    report = partial(log.progress, "reading")
    prepared = prepare_planes(sources, files.data, report)
    if prepared.problems and options.on_error == "refuse":
        raise unusable_files(list(prepared.problems), prepared.files)
    check_usable(prepared)
    return prepared


def _split(prepared: PreparedData, options: FinetuneOptions) -> Split:
    if options.split is not None:
        return read_split(options.split, prepared)
    return make_split(prepared, options.seed)


def _measure_start(
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

    report = partial(log.progress, "before")
    result = validation.run(segmenter, report=report, stop=enough)
    if result is None or stop():
        msg = "stopped before training began: nothing was kept, and no model was made"
        raise StoppedError(msg)
    return result


def _described(
    config: FitConfig,
    minutes: float,
    files: OutputFiles,
    segmenter: Segmenter,
    prepared: PreparedData,
) -> FitConfig:
    """Return the configuration with its time, and the texts of the checkpoint."""
    start = segmenter.info
    what = f"{len(prepared.planes)} images with {prepared.objects} objects of the user"
    return replace(
        config,
        name=files.name,
        max_minutes=minutes,
        training_data=f"{what}; before that, as {start.name}: {start.training_data}",
        description=f"{start.name}, fine-tuned on {what}.",
    )


def _about(
    images: Path,
    labels: Path,
    options: FinetuneOptions,
    prepared: PreparedData,
    split: Split,
    segmenter: Segmenter,
) -> dict[str, Any]:
    """Return the entries of the record about data and start model."""
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
            "files": prepared.files,
            "planes": len(prepared.planes),
            "objects": prepared.objects,
            "small": prepared.small,
            "problems": [str(problem) for problem in prepared.problems],
        },
        "split": split.to_dict(),
        "options": options.to_dict(),
    }


def _emit_prepared(
    prepared: PreparedData, split: Split, validation: Validation, log: EventLog
) -> None:
    log.emit(
        "prepared",
        planes=len(prepared.planes),
        objects=prepared.objects,
        train=len(split.train),
        val=len(split.val),
        evaluated=len(validation.objects),
        problems=[str(problem) for problem in prepared.problems],
    )


def _config(content: dict[str, Any], folder: Path) -> FitConfig:
    """Return a checked configuration from its JSON form (which is YAML, too)."""
    path = folder / "config.yaml"
    path.write_text(json.dumps(content), encoding="utf-8")
    return load_config(path)


def _tuples(value: Any) -> Any:
    """Return a value with all lists, nested ones too, as tuples."""
    return tuple(map(_tuples, value)) if isinstance(value, list) else value


def _seconds(dtype: torch.dtype) -> float:
    """Time the fastest of some convolutions like those of the decoder."""
    maps = torch.ones(4, 96, 48, 48, dtype=dtype, requires_grad=True)
    weight = torch.ones(96, 96, 3, 3, dtype=dtype, requires_grad=True)
    times = []
    for _ in range(5):
        began = time.perf_counter()
        total = functional.conv2d(maps, weight, padding=1).float().sum()
        torch.autograd.backward([total])
        times.append(time.perf_counter() - began)
    return min(times)
