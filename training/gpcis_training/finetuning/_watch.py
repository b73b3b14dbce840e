"""Watching a training: progress, validation, the best state, when to end."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

import torch

from gpcis_training.finetuning.validation import Figures, figures_of
from napari_gpcis.files import replacing
from napari_gpcis.inference.segmenter import Segmenter
from napari_gpcis.model.gpcis import build_model

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from gpcis_training.engine.trainer import Trainer
    from gpcis_training.finetuning._events import EventLog
    from gpcis_training.finetuning.validation import Validation
    from napari_gpcis.checkpoints import ModelInfo
    from napari_gpcis.model.base import ClickNetwork

FEW = 16
_LOSS_STEPS = 10
_REST = 6.0
_SHORTEST_MINUTES = 0.5
_AS_GOOD = 1.02
"""A later state is kept if it is as good as this: its learning rate was lower."""


class Watch:
    """Called after each training step; see :class:`gpcis_training.engine.trainer.Trainer`.

    The state with the fewest clicks is kept in a file of its own; of states that are
    within 2 % the later one, since few objects cannot tell them apart. Validation takes
    its turn when training has gone on for six times as long as the last one took.

    Parameters
    ----------
    info
        The model that training starts from.
    validation
        Objects to validate on.
    best_file
        Where the best state is kept.
    log
        Gets the events.
    start
        Figures of the start on the same few objects.
    patience
        See :class:`FinetuneOptions`.
    stop
        Asked after each step; training ends when it returns true.
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
        self._objects = validation.few(FEW)
        self._best_file = best_file
        self._log = log
        self._patience = patience
        self._stop = stop
        self._losses: list[float] = []
        self._seen: tuple[float, int] = (time.monotonic(), 0)
        self.reason = "the end of its schedule"
        self.best = start.score
        self.kept = False
        self._without = 0
        for entry in log.kept("validation"):
            self._judge(Figures(**entry["figures"]))
        self._seconds = 0.0
        self._last_minutes: float | None = None
        self._last_step = -1

    def __call__(self, trainer: Trainer, figures: dict[str, float]) -> bool:
        """Report, validate when it is time, and say whether to go on."""
        self._losses.append(figures["loss"])
        if trainer.step % _LOSS_STEPS == 0:
            self._report(trainer, figures)
        if self._stop():
            self.reason = "a request to stop"
            return False
        if self._due(trainer):
            self.validate(trainer)
            if self._without >= self._patience:
                self.reason = f"{self._patience} validations without improvement"
                return False
        return True

    def finish(self, trainer: Trainer) -> None:
        """Try the last state as well, unless a stop was asked and there is a best."""
        if not (self._stop() and self._best_file.is_file()):
            self.validate(trainer, stoppable=False)

    def validate(self, trainer: Trainer, *, stoppable: bool = True) -> None:
        """Let the robot user try the present state; keep it if it is the best."""
        if trainer.step == self._last_step:
            return
        began = time.monotonic()
        segmenter = self._segmenter(trainer.bare)
        stop = self._stop if stoppable else None
        result = self._validation.run(segmenter, self._objects, stop=stop)
        if result is None or len(result.items) < len(self._objects):
            return  # stopped
        figures = figures_of(result)
        best = self._judge(figures)
        if best:
            self._keep(trainer)
        self._log.tell(
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

    def _judge(self, figures: Figures) -> bool:
        """Count validations without improvement; return whether to keep this state."""
        kept = figures.score < self.best or (
            self.kept and figures.score <= _AS_GOOD * self.best
        )
        self._without = 0 if figures.score < self.best else self._without + 1
        self.best = min(self.best, figures.score)
        self.kept = self.kept or kept
        return kept

    def _due(self, trainer: Trainer) -> bool:
        if self._last_minutes is None:
            self._last_minutes = trainer.minutes
        pause = max(_SHORTEST_MINUTES, _REST * self._seconds / 60)
        rest = self._seconds / 60  # minutes are taken before a validation
        return trainer.minutes - self._last_minutes - rest >= pause

    def _keep(self, trainer: Trainer) -> None:
        state = {
            "model": {k: v.cpu() for k, v in trainer.bare.state_dict().items()},
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
        """Tell how far training is; the loss is the mean since the last time."""
        now = time.monotonic()
        then, step = self._seen
        rate = (trainer.step - step) * trainer.config.batch_size / (now - then + 1e-9)
        self._seen = now, trainer.step
        recent = self._losses[-_LOSS_STEPS:]
        self._log.tell(
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
