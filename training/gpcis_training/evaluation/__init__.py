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
    load_objects,
    object_sets,
)
from gpcis_training.evaluation.peers import create_peer
from gpcis_training.evaluation.predictors import SessionPredictor
from gpcis_training.evaluation.results import (
    Comparison,
    EvaluationResult,
    compare,
    load_results,
    save_results,
    table,
)
from gpcis_training.evaluation.robot import ClickRun, Predictor, next_click, run_robot
from gpcis_training.evaluation.runner import evaluate

__all__ = [
    "ClickRun",
    "Comparison",
    "DrawingRule",
    "EvaluationObject",
    "EvaluationResult",
    "ObjectSet",
    "Predictor",
    "SessionPredictor",
    "compare",
    "create_peer",
    "draw_objects",
    "evaluate",
    "load_objects",
    "load_results",
    "next_click",
    "object_sets",
    "run_robot",
    "save_results",
    "table",
]
