"""Initial weights of encoders trained on ImageNet: ResNet50 and HRNet-W18-small."""

from __future__ import annotations

from typing import TYPE_CHECKING

from gpcis_training.initial_weights import focalclick
from gpcis_training.initial_weights.files import fill, read_state_dict

if TYPE_CHECKING:
    from pathlib import Path

    from napari_gpcis.model import ClickNetwork

_RESNET_CLASSIFIER = "fc."
_HRNET_CLASSIFIER = (
    "incre_modules.",
    "downsamp_modules.",
    "final_layer.",
    "classifier.",
)
_PREFIX = "model."


def load_resnet50(model: ClickNetwork, path: Path) -> int:
    """Fill the encoder from ``gluon_resnet50_v1s``; its classifier is left out."""
    state = {
        key: value
        for key, value in read_state_dict(path).items()
        if not key.startswith(_RESNET_CLASSIFIER)
    }
    encoder = model.get_submodule("model.backbone")
    source = f"gluon_resnet50_v1s ({path.name})"
    return fill(encoder, state, encoder.state_dict().keys(), source)


def load_hrnet18s(model: ClickNetwork, path: Path) -> int:
    """Fill the encoder from ``hrnet_w18_small_model_v2``, without its classifier.

    A FocalClick checkpoint (``hrnet18s_s2``) gives the OCR head and Conv1S, too.
    """
    state = read_state_dict(path)
    if focalclick.is_focalclick(state):
        return focalclick.load(model, state, focalclick.hrnet18s_name, path.name)
    state = {key.removeprefix(_PREFIX): value for key, value in state.items()}
    state = {
        key: value
        for key, value in state.items()
        if not key.startswith(_HRNET_CLASSIFIER)
    }
    encoder = model.get_submodule("model.backbone")
    source = f"hrnet_w18_small_model_v2 ({path.name})"
    return fill(encoder, state, encoder.state_dict().keys(), source)
