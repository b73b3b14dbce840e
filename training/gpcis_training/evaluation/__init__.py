"""Evaluation of interactive segmentation with a robot user.

The clicks are those of the published protocol; NoC, NoF, IoU&n, NoIC and seconds per
click are measured on fixed lists of objects, for this package's models and for
classical methods alike.
"""

from __future__ import annotations

from gpcis_training.evaluation.datasets import (
    DrawingRule,
    EvaluationObject,
    ObjectSet,
    draw_objects,
    file_objects,
    load_objects,
    object_sets,
)
from gpcis_training.evaluation.metrics import ClickRun
from gpcis_training.evaluation.peers import create_peer
from gpcis_training.evaluation.predictors import Overrides, SessionPredictor
from gpcis_training.evaluation.published import published_objects
from gpcis_training.evaluation.results import (
    Comparison,
    EvaluationResult,
    compare,
    load_results,
    save_results,
)
from gpcis_training.evaluation.robot import Predictor, next_click, run_robot
from gpcis_training.evaluation.robustness import Robustness, robustness
from gpcis_training.evaluation.runner import evaluate
from gpcis_training.evaluation.tables import table

__all__ = [
    "ClickRun",
    "Comparison",
    "DrawingRule",
    "EvaluationObject",
    "EvaluationResult",
    "ObjectSet",
    "Overrides",
    "Predictor",
    "Robustness",
    "SessionPredictor",
    "compare",
    "create_peer",
    "draw_objects",
    "evaluate",
    "file_objects",
    "load_objects",
    "load_results",
    "next_click",
    "object_sets",
    "published_objects",
    "robustness",
    "run_robot",
    "save_results",
    "table",
]
