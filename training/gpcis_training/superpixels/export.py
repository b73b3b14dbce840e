"""Export of a training state as a checkpoint of superpixels."""

from __future__ import annotations

import json
from dataclasses import asdict
from typing import TYPE_CHECKING

from gpcis_training.engine.state import read_state
from gpcis_training.superpixels.trainer import build_network
from napari_gpcis.checkpoints import ModelInfo
from napari_gpcis.errors import CheckpointError
from napari_gpcis.superpixels.weights import ARCHITECTURE, save_superpixels

if TYPE_CHECKING:
    from pathlib import Path

    from gpcis_training.superpixels.config import SuperpixelConfig

_TOLD_ELSEWHERE = ("data", "name", "licence", "training_data", "description")


def export_superpixels(
    state_file: Path, config: SuperpixelConfig, destination: Path
) -> ModelInfo:
    """Write the network of a training state as a safetensors checkpoint, float16.

    Parameters
    ----------
    state_file
        ``state.pt`` of a run.
    config
        Its configuration.
    destination
        The file to write.

    Returns
    -------
    ModelInfo
        Notes written beside the weights.

    Raises
    ------
    CheckpointError
        If the state is missing, damaged or of another network, or the file cannot be
        written.
    """
    state = read_state(state_file)
    network = build_network(config)
    try:
        network.load_state_dict(state.get("average", state["model"]))
    except (RuntimeError, KeyError) as error:
        msg = f"training state {str(state_file)!r} cannot be used: {error}"
        raise CheckpointError(msg) from error
    recipe = {k: v for k, v in asdict(config).items() if k not in _TOLD_ELSEWHERE}
    info = ModelInfo(
        name=config.name,
        architecture=ARCHITECTURE,
        options={
            "width": config.width,
            "content": config.content,
            "gate": config.gate,
            "strict_reference": config.strict_reference,
        },
        licence=config.licence,
        training_data=config.training_data,
        description=config.description,
        extra={
            "steps": str(state["step"]),
            "minutes": f"{state['minutes']:.0f}",
            "recipe": json.dumps(recipe, sort_keys=True),
        },
    )
    save_superpixels(destination, network, info)
    return info
