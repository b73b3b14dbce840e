"""The plan of a run, on disk: what a resumed run needs to go on as it began."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

from gpcis_training.config import FitConfig, load_config
from gpcis_training.evaluation import DrawingRule, EvaluationObject
from gpcis_training.finetuning.validation import Figures, Validation
from napari_gpcis.errors import InputError
from napari_gpcis.files import replacing

if TYPE_CHECKING:
    from pathlib import Path

    from gpcis_training.finetuning.output import Places


@dataclass(frozen=True)
class Plan:
    """What was decided before training.

    Parameters
    ----------
    start
        Name or file of the start model.
    config
        The training.
    precision
        For Fabric.
    patience
        See :class:`FinetuneOptions`.
    validation
        Objects that are evaluated.
    before, before_few
        Figures of the start model on all of them, and on those of the training.
    about
        Data, split and options, for record and card.
    """

    start: str
    config: FitConfig
    precision: str
    patience: int
    validation: Validation
    before: Figures
    before_few: Figures
    about: dict[str, Any]


def write_plan(plan: Plan, places: Places) -> None:
    """Write the plan; a run can be resumed once it is there."""
    content = {
        "start": plan.start,
        "config": asdict(plan.config),
        "precision": plan.precision,
        "patience": plan.patience,
        "rule": asdict(plan.validation.rule),
        "objects": [[o.image, o.label, o.ids] for o in plan.validation.objects],
        "before": plan.before.to_dict(),
        "before_few": plan.before_few.to_dict(),
        "about": plan.about,
    }
    with replacing(places.plan) as draft:
        draft.write_text(json.dumps(content), encoding="utf-8")


def read_plan(places: Places) -> Plan:
    """Read the plan of an unfinished run.

    Raises
    ------
    InputError
        If it is damaged.
    """
    try:
        content = json.loads(places.plan.read_text(encoding="utf-8"))
        rule = {name: _tuples(value) for name, value in content["rule"].items()}
        objects = tuple(
            EvaluationObject(image, label, tuple(ids))
            for image, label, ids in content["objects"]
        )
        return Plan(
            start=content["start"],
            config=_config(content["config"], places.work),
            precision=content["precision"],
            patience=content["patience"],
            validation=Validation(places.data, DrawingRule(**rule), objects),
            before=Figures(**content["before"]),
            before_few=Figures(**content["before_few"]),
            about=content["about"],
        )
    except (ValueError, KeyError, TypeError) as error:
        msg = f"the plan {str(places.plan)!r} is damaged: {error}"
        raise InputError(msg) from error


def _config(content: dict[str, Any], folder: Path) -> FitConfig:
    """Check a configuration as one that is read from YAML, of which JSON is a part."""
    path = folder / "config.yaml"
    path.write_text(json.dumps(content), encoding="utf-8")
    return load_config(path)


def _tuples(value: Any) -> Any:
    """Return lists as tuples, all the way down."""
    return tuple(map(_tuples, value)) if isinstance(value, list) else value
