"""Training by the plan, early stopping, and the output files."""

from __future__ import annotations

import json
import math
import shutil
import time
from dataclasses import dataclass, replace
from functools import partial
from typing import TYPE_CHECKING, Any

import torch

from gpcis_training.engine.export import export_checkpoint
from gpcis_training.engine.trainer import Trainer
from gpcis_training.finetuning.options import KEEP
from gpcis_training.finetuning.report import MEAN_WORDS, draw_curves, write_card
from gpcis_training.finetuning.validation import Figures, figures_of
from napari_gpcis.checkpoints import find_checkpoint, read_info
from napari_gpcis.files import replacing
from napari_gpcis.inference.segmenter import Segmenter
from napari_gpcis.model import build_model

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from gpcis_training.finetuning.output import OutputFiles
    from gpcis_training.finetuning.plan import Plan
    from gpcis_training.finetuning.report import EventLog
    from gpcis_training.finetuning.validation import Validation
    from napari_gpcis.checkpoints import ModelInfo
    from napari_gpcis.model import ClickNetwork

_LOSS_STEPS = 10
_PAUSE_FACTOR = 6.0
_MIN_PAUSE_MINUTES = 0.5
FEW = "No time to measure all objects: before and after are compared on {} of them."
STOPPED = "a request to stop"
NO_HELP = (
    "Training did not help: it did not lower the clicks on these {} objects "
    "({:.2f} {} before, {:.2f} now)."
)
NOT_KEPT = " Nothing was kept: {} is not written, and {} stays as it is."
ALL_THE_SAME = " The trained weights are written all the same."
UNFINISHED = " It was stopped: resume=True (--resume) goes on with it."
_TIE = 1.02
"""A later state within this factor of the best is kept: its rate was lower."""


@dataclass(frozen=True)
class FinetuneResult:
    """Result of a fine-tuning.

    Parameters
    ----------
    path
        The checkpoint, for :meth:`napari_gpcis.Segmenter.from_pretrained`. ``None`` if
        training did not help: nothing is written then (see ``keep`` of
        `FinetuneOptions`).
    name
        Name of the model.
    before, after
        Figures of the start model and of the trained one on the validation images.
    record
        Data, split, settings and figures; written beside a checkpoint as JSON.
    """

    path: Path | None
    name: str
    before: Figures
    after: Figures
    record: dict[str, Any]

    @property
    def improved(self) -> bool:
        """``True`` if fewer clicks are needed than before, see `Figures.score`."""
        return self.after.is_better_than(self.before)


def train(
    plan: Plan, files: OutputFiles, log: EventLog, stop: Callable[[], bool]
) -> FinetuneResult:
    """Train, and write the best state with all that belongs to it, if it helped."""
    info = read_info(find_checkpoint(plan.start))
    trainer = Trainer(
        plan.config,
        files.data,
        files.run,
        start=plan.start,
        precision=plan.precision,
    )
    if trainer.resume():
        log.emit("note", message=f"going on at step {trainer.step}")
    early_stopping = EarlyStopping(
        info,
        plan.validation,
        files.best,
        log,
        plan.before_few,
        plan.patience,
        stop,
    )
    trainer.callback = early_stopping
    trainer.fit()
    early_stopping.finish(trainer)
    state = files.best if files.best.is_file() else trainer.state_file
    after = _measure(state, plan, info, files, log, stop)
    if after is None:  # no time: those figures that are known, before and after
        if plan.before_few.objects < plan.before.objects:
            log.emit("note", message=FEW.format(plan.before_few.objects))
        plan = replace(plan, before=plan.before_few)
        after = _known(log, files)
    ended = {
        "steps": trainer.step,
        "minutes": trainer.minutes,
        "by": early_stopping.reason,
    }
    return _conclude(state, plan, info, files, log, after, ended, stopped=stop())


class EarlyStopping:
    """Validation between training steps: keeps the best state, ends training early.

    A callback of :class:`.Trainer`. The state with the fewest clicks is kept in a file
    of its own; of states that are within 2 % the later one, since few objects cannot
    tell them apart. Validation is due when training has gone on for six times as long
    as the last validation took, and there is time for one.

    Parameters
    ----------
    info
        The model that training starts from.
    validation
        Objects to validate on.
    best_file
        File of the best state.
    log
        Gets the events.
    start
        Figures of the start on the objects that are measured each time.
    patience
        See :class:`FinetuneOptions`.
    stop
        Called after each step; training ends when it returns ``True``.
    """

    def __init__(
        self,
        info: ModelInfo,
        validation: Validation,
        best_file: Path,
        log: EventLog,
        start: Figures,
        patience: int,
        stop: Callable[[], bool],
    ) -> None:
        self._info = info
        self._validation = validation
        self._objects = validation.subset(start.objects)
        self._best_file = best_file
        self._log = log
        self._patience = patience
        self._stop = stop
        self._losses: list[float] = []
        self._reported: tuple[float, int] = (time.monotonic(), 0)
        self.reason = "the end of its schedule"
        self.best = start.score
        self.kept = False
        self._not_improved = 0
        for entry in log.kept("validation"):
            self._update_best(Figures.from_dict(entry["figures"]))
        self._seconds = 0.0
        self._last_minutes: float | None = None
        self._last_step = -1

    def __call__(self, trainer: Trainer, figures: dict[str, float]) -> bool:
        """Report, validate when it is due, and return ``False`` to end training."""
        self._losses.append(figures["loss"])
        if trainer.step % _LOSS_STEPS == 0:
            self._report(trainer, figures)
        if self._stop():
            self.reason = STOPPED
            return False
        if self._due(trainer):
            self.validate(trainer)
            if self._not_improved >= self._patience:
                self.reason = f"{self._patience} validations without improvement"
                return False
        return True

    def finish(self, trainer: Trainer) -> None:
        """Validate the last state too, unless stopped with a best state at hand."""
        if not (self._stop() and self.kept):
            self.validate(trainer, stoppable=False)

    def validate(self, trainer: Trainer, *, stoppable: bool = True) -> None:
        """Count clicks with the present state; save it if it is the best."""
        if trainer.step == self._last_step:
            return
        began = time.monotonic()
        segmenter = self._segmenter(trainer.network)
        stop = self._stop if stoppable else None
        report = partial(self._log.progress, "during")
        result = self._validation.run(
            segmenter, self._objects, report=report, stop=stop
        )
        if result is None or len(result.items) < len(self._objects):
            return  # stopped
        figures = figures_of(result)
        best = self._update_best(figures)
        if best:
            self._save_best(trainer)
        self._log.emit(
            "validation",
            keep=True,
            step=trainer.step,
            minutes=trainer.minutes,
            figures=figures.to_dict(),
            best=best,
            loss=self._recent_loss(),
        )
        self._seconds = time.monotonic() - began
        self._last_minutes, self._last_step = trainer.minutes, trainer.step

    def _update_best(self, figures: Figures) -> bool:
        """Update best score and patience; return ``True`` to keep this state."""
        kept = figures.score < self.best or (
            self.kept and figures.score <= _TIE * self.best
        )
        self._not_improved = 0 if figures.score < self.best else self._not_improved + 1
        self.best = min(self.best, figures.score)
        self.kept = self.kept or kept
        return kept

    def _due(self, trainer: Trainer) -> bool:
        if self._last_minutes is None:
            self._last_minutes = trainer.minutes
        left = (trainer.config.max_minutes or math.inf) - trainer.minutes
        if left < self._seconds / 60:
            return False  # the state at the end is validated anyway
        pause = max(_MIN_PAUSE_MINUTES, _PAUSE_FACTOR * self._seconds / 60)
        rest = self._seconds / 60  # minutes are taken before a validation
        return trainer.minutes - self._last_minutes - rest >= pause

    def _save_best(self, trainer: Trainer) -> None:
        state = {
            "model": {k: v.cpu() for k, v in trainer.network.state_dict().items()},
            "step": trainer.step,
            "minutes": trainer.minutes,
        }
        with replacing(self._best_file) as draft:
            torch.save(state, draft)

    def _segmenter(self, trained: ClickNetwork) -> Segmenter:
        """Return a segmenter with a copy of the weights, so that training goes on."""
        with torch.random.fork_rng(devices=[]):
            model = build_model(self._info.architecture, **self._info.options)
        model.load_state_dict(trained.state_dict())
        device = str(next(trained.parameters()).device)
        return Segmenter(model, self._info, device)

    def _recent_loss(self) -> float:
        recent = self._losses[-50:]
        return sum(recent) / max(len(recent), 1)

    def _report(self, trainer: Trainer, figures: dict[str, float]) -> None:
        """Emit the progress; the loss is the mean since the last time."""
        now = time.monotonic()
        then, step = self._reported
        rate = (trainer.step - step) * trainer.config.batch_size / (now - then + 1e-9)
        self._reported = now, trainer.step
        recent = self._losses[-_LOSS_STEPS:]
        self._log.emit(
            "step",
            keep=True,
            step=trainer.step,
            steps=trainer.config.steps,
            progress=trainer.progress(),
            minutes=trainer.minutes,
            loss=sum(recent) / len(recent),
            iou=figures["iou"],
            samples_per_second=rate,
        )


def _measure(
    state: Path,
    plan: Plan,
    info: ModelInfo,
    files: OutputFiles,
    log: EventLog,
    stop: Callable[[], bool],
) -> Figures | None:
    """Measure the state in the form of its future checkpoint.

    ``None`` if that was stopped or takes too long.
    """
    candidate = files.run / "candidate.safetensors"
    export_checkpoint(state, plan.config, candidate, settings=info.inference)
    segmenter = Segmenter.from_pretrained(candidate)
    report = partial(log.progress, "after")
    until = time.monotonic() + 60 * plan.minutes_after
    result = plan.validation.run(
        segmenter, report=report, stop=lambda: stop() or time.monotonic() > until
    )
    if result is None or len(result.items) < len(plan.validation.objects):
        return None
    after = figures_of(result)
    log.emit("after", figures=after.to_dict())
    return after


def _known(log: EventLog, files: OutputFiles) -> Figures:
    """Return the figures of the state that is kept, on the objects of the training."""
    validations = log.kept("validation")
    best = [entry for entry in validations if entry["best"]]
    entries = best if files.best.is_file() and best else validations
    return Figures.from_dict(entries[-1]["figures"])


def _conclude(
    state: Path,
    plan: Plan,
    info: ModelInfo,
    files: OutputFiles,
    log: EventLog,
    after: Figures,
    ended: dict[str, Any],
    *,
    stopped: bool,
) -> FinetuneResult:
    """Write the model if training helped, or if it is wanted all the same.

    The work folder goes, unless nothing was written because the user has stopped.
    """
    improved = after.is_better_than(plan.before)
    kept = improved or plan.about["options"].get("keep", KEEP[0]) == "trained"
    goes_on = stopped and not kept
    note = ""
    if not improved:
        note = NO_HELP.format(
            after.objects, plan.before.score, MEAN_WORDS, after.score
        ) + (ALL_THE_SAME if kept else NOT_KEPT.format(files.name, info.name))
    record = _record(plan, files, log, after, ended, note)
    if kept:
        _write(state, plan, info, files, log, after, record)
    if not goes_on:
        shutil.rmtree(files.work, ignore_errors=True)
    if note:
        log.emit("note", message=note + (UNFINISHED if goes_on else ""))
    path = files.model if kept else None
    log.emit(
        "done",
        name=files.name,
        path=None if path is None else str(path),
        improved=improved,
        goes_on=goes_on,
        before=record["before"],
        after=record["after"],
    )
    return FinetuneResult(path, files.name, plan.before, after, record)


def _record(
    plan: Plan,
    files: OutputFiles,
    log: EventLog,
    after: Figures,
    ended: dict[str, Any],
    note: str,
) -> dict[str, Any]:
    """Return the record of a training that has ended."""
    config, validations = plan.config, log.kept("validation")
    best = [entry["step"] for entry in validations if entry["best"]]
    return {
        "name": files.name,
        **plan.about,
        "evaluation": {
            "window": plan.validation.rule.window,
            "objects": after.objects,
        },
        "training": {
            "steps": ended["steps"],
            "minutes": ended["minutes"],
            "ended_by": ended["by"],
            "best_step": best[-1] if best else ended["steps"],
            "batch_size": config.batch_size,
            "size": config.augment.size,
            "lr": config.optimiser.lr,
            "encoder_lr": config.optimiser.encoder_lr,
            "precision": plan.precision,
            "seed": config.seed,
        },
        "validations": [
            {name: entry[name] for name in ("step", "minutes", "best", "figures")}
            for entry in validations
        ],
        "before": plan.before.to_dict(),
        "after": after.to_dict(),
        "improved": after.is_better_than(plan.before),
        "note": note,
        "files": {"curves": files.curves.name, "record": files.record.name},
    }


def _write(
    state: Path,
    plan: Plan,
    info: ModelInfo,
    files: OutputFiles,
    log: EventLog,
    after: Figures,
    record: dict[str, Any],
) -> None:
    """Write curves, record and card, then the checkpoint."""
    steps, validations = log.kept("step"), log.kept("validation")
    few = plan.before_few
    draw_curves(files.curves, steps, validations, few, plan.before, after)
    with replacing(files.record) as draft:
        draft.write_text(json.dumps(record, indent=1), encoding="utf-8")
    write_card(files.card, record)
    extra = {
        "started_from": info.name,
        "clicks85_before": f"{plan.before.clicks85:.2f}",
        "clicks85_after": f"{after.clicks85:.2f}",
    }
    settings = info.inference
    export_checkpoint(state, plan.config, files.model, settings=settings, extra=extra)
