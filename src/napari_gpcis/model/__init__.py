"""The network and the Gaussian process on its features: tensors only."""

from napari_gpcis.model.base import (
    TRAINING_EPSILON2,
    ClickInput,
    ClickNetwork,
    Draws,
    Encoded,
    Learned,
)
from napari_gpcis.model.gpcis import GPCIS, build_model, model_options
from napari_gpcis.model.grid import GPScores
from napari_gpcis.model.linear import LinearNetwork

__all__ = [
    "GPCIS",
    "TRAINING_EPSILON2",
    "ClickInput",
    "ClickNetwork",
    "Draws",
    "Encoded",
    "GPScores",
    "Learned",
    "LinearNetwork",
    "build_model",
    "model_options",
]
