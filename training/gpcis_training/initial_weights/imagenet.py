"""Initial weights of ResNet50: the Gluon network ``resnet50_v1s`` of ImageNet."""

from __future__ import annotations

from typing import TYPE_CHECKING

from gpcis_training.initial_weights.files import fill, read_state_dict

if TYPE_CHECKING:
    from pathlib import Path

    from napari_gpcis.model.gpcis import ClickNetwork

_CLASSIFIER = "fc."


def load(model: ClickNetwork, path: Path) -> int:
    """Fill the encoder from ``gluon_resnet50_v1s``; its classifier is left out."""
    state = {
        key: value
        for key, value in read_state_dict(path).items()
        if not key.startswith(_CLASSIFIER)
    }
    encoder = model.get_submodule("model.backbone")
    source = f"gluon_resnet50_v1s ({path.name})"
    return fill(encoder, state, encoder.state_dict().keys(), source)
