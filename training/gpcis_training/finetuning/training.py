"""Training by the plan, then the checkpoint with its card, curves and record."""

from __future__ import annotations

import json
import shutil
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

from gpcis_training.engine.export import export_checkpoint
from gpcis_training.engine.trainer import Trainer
from gpcis_training.finetuning._curves import draw_curves
from gpcis_training.finetuning._planning import _report
from gpcis_training.finetuning._watch import Watch
from gpcis_training.finetuning.report import write_card
from gpcis_training.finetuning.validation import Figures, figures_of
from napari_gpcis.checkpoints import find_checkpoint, read_info
from napari_gpcis.files import replacing
from napari_gpcis.inference.segmenter import Segmenter

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from gpcis_training.finetuning._events import EventLog
    from gpcis_training.finetuning.output import Places
    from gpcis_training.finetuning.plan import Plan
    from napari_gpcis.checkpoints import ModelInfo


@dataclass(frozen=True)
class FinetuneResult:
    """What came of a fine-tuning.

    Parameters
    ----------
    path
        The checkpoint, for :meth:`napari_gpcis.Segmenter.from_pretrained`.
    name
        Name of the model.
    before, after
        Figures of the start model and of this one on the validation images.
    record
        Data, split, settings and figures; written beside the checkpoint as JSON.
    """

    path: Path
    name: str
    before: Figures
    after: Figures
    record: dict[str, Any]

    @property
    def improved(self) -> bool:
        """Whether fewer clicks are needed than before."""
        return self.after.score < self.before.score


def train(
    plan: Plan, places: Places, log: EventLog, stop: Callable[[], bool]
) -> FinetuneResult:
    """Train, keep the best state, and write everything beside the checkpoint."""
    info = read_info(find_checkpoint(plan.start))
    trainer = Trainer(
        plan.config,
        places.data,
        places.run,
        start=plan.start,
        precision=plan.precision,
    )
    if trainer.resume():
        log.tell("note", message=f"going on at step {trainer.step}")
    watch = Watch(
        info,
        plan.validation,
        places.best,
        log,
        plan.before_few,
        plan.patience,
        stop,
    )
    trainer.watch = watch
    trainer.fit()
    watch.finish(trainer)
    state = places.best if places.best.is_file() else trainer.state_file
    after = _measure(state, plan, info, places, log)
    ended = {"steps": trainer.step, "minutes": trainer.minutes, "by": watch.reason}
    return _deliver(state, plan, info, places, log, after, ended)


def _measure(
    state: Path, plan: Plan, info: ModelInfo, places: Places, log: EventLog
) -> Figures:
    """Measure the state as the checkpoint that it is going to be."""
    candidate = places.run / "candidate.safetensors"
    export_checkpoint(state, plan.config, candidate, settings=info.inference)
    segmenter = Segmenter.from_pretrained(candidate)
    report = partial(_report, log, "after")
    result = plan.validation.run(segmenter, report=report)
    assert result is not None  # not stopped, and there are objects
    after = figures_of(result)
    log.tell("after", figures=after.to_dict())
    return after


def _deliver(
    state: Path,
    plan: Plan,
    info: ModelInfo,
    places: Places,
    log: EventLog,
    after: Figures,
    ended: dict[str, Any],
) -> FinetuneResult:
    """Write curves, record and card, then the checkpoint; remove the work folder."""
    config = plan.config
    steps, validations = log.kept("step"), log.kept("validation")
    draw_curves(places.curves, steps, validations, plan.before_few.clicks85)
    improved = after.score < plan.before.score
    best = [entry["step"] for entry in validations if entry["best"]]
    note = "" if improved else "Training did not lower the clicks on these objects."
    record = {
        "name": places.name,
        **plan.about,
        "evaluation": {
            "window": plan.validation.rule.window,
            "objects": len(plan.validation.objects),
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
        "improved": improved,
        "note": note,
        "files": {"curves": places.curves.name, "record": places.record.name},
    }
    with replacing(places.record) as draft:
        draft.write_text(json.dumps(record, indent=1), encoding="utf-8")
    write_card(places.card, record)
    extra = {
        "started_from": info.name,
        "clicks85_before": f"{plan.before.clicks85:.2f}",
        "clicks85_after": f"{after.clicks85:.2f}",
    }
    settings = info.inference
    export_checkpoint(state, config, places.model, settings=settings, extra=extra)
    shutil.rmtree(places.work, ignore_errors=True)
    if note:
        log.tell("note", message=note)
    log.tell(
        "done",
        name=places.name,
        path=str(places.model),
        improved=improved,
        before=record["before"],
        after=record["after"],
    )
    return FinetuneResult(places.model, places.name, plan.before, after, record)
