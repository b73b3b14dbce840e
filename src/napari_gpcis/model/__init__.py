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
from napari_gpcis.model.proposal_head import ProposalHead

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
    "ProposalHead",
    "build_model",
    "model_options",
]
