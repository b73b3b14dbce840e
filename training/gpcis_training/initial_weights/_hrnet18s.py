"""Initial weights of HRNet18s: the small HRNet of ImageNet, or FocalClick's."""

from __future__ import annotations

from typing import TYPE_CHECKING

from gpcis_training.initial_weights import focalclick as _focalclick
from gpcis_training.initial_weights.files import fill, read_state_dict

if TYPE_CHECKING:
    from pathlib import Path

    from napari_gpcis.model.gpcis import ClickNetwork

_PREFIX = "model."
_CLASSIFIER = ("incre_modules.", "downsamp_modules.", "final_layer.", "classifier.")


def load(model: ClickNetwork, path: Path) -> int:
    """Fill the encoder from ``hrnet_w18_small_model_v2``, without its classifier.

    A FocalClick checkpoint (``hrnet18s_s2``) gives the OCR head and Conv1S, too.
    """
    state = read_state_dict(path)
    if _focalclick.is_focalclick(state):
        return _focalclick.load(model, state, _focalclick.hrnet18s_name, path.name)
    state = {key.removeprefix(_PREFIX): value for key, value in state.items()}
    state = {
        key: value for key, value in state.items() if not key.startswith(_CLASSIFIER)
    }
    encoder = model.get_submodule("model.backbone")
    source = f"hrnet_w18_small_model_v2 ({path.name})"
    return fill(encoder, state, encoder.state_dict().keys(), source)
