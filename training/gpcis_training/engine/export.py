"""Export of a training state as a checkpoint that predicts."""

from __future__ import annotations

import json
from dataclasses import asdict, replace
from hashlib import sha256
from typing import TYPE_CHECKING, Any

from gpcis_training.engine.state import read_state
from napari_gpcis.checkpoints import ModelInfo, save_checkpoint
from napari_gpcis.errors import CheckpointError
from napari_gpcis.model import build_model, model_options

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from torch import Tensor

    from gpcis_training.config import FitConfig
    from napari_gpcis.checkpoints import InferenceSettings


def export_checkpoint(
    state_file: Path,
    config: FitConfig,
    destination: Path,
    *,
    settings: InferenceSettings | None = None,
    extra: dict[str, str] | None = None,
) -> ModelInfo:
    """Write the network of a training state as a safetensors checkpoint.

    Parameters
    ----------
    state_file
        ``state.pt`` of a run.
    config
        Its configuration.
    destination
        The file to write (float16).
    settings
        Inference settings of the model; by default as the configuration says.
    extra
        Further notes for the checkpoint.

    Returns
    -------
    ModelInfo
        Notes written beside the weights.

    Raises
    ------
    CheckpointError
        If the state is missing, damaged or of another network.
    """
    state = read_state(state_file)
    try:
        model = build_model(config.network, **config.options)
        model.load_state_dict(state.get("average", state["model"]))
    except (RuntimeError, KeyError) as error:
        msg = f"training state {str(state_file)!r} cannot be used: {error}"
        raise CheckpointError(msg) from error
    stride = config.inference.get("gp_stride", model.gp_stride)
    inference = replace(settings or config.settings(), gp_stride=stride)
    slots = state.get("places", {}).get("index", range(config.batch_size))
    notes = {
        "fingerprint": fingerprint(model.state_dict()),
        "steps": str(state["step"]),
        "samples": str(state["step"] * len(slots)),
        "minutes": f"{state['minutes']:.0f}",
        "training_size": str(config.augment.size),
        "recipe": json.dumps(_recipe(config), sort_keys=True),
    }
    info = ModelInfo(
        name=config.name,
        architecture=config.network,
        options=model_options(model.model, config.options),
        inference=inference,
        licence=config.licence,
        training_data=config.training_data,
        description=config.description,
        extra={**notes, **(extra or {})},
    )
    save_checkpoint(destination, model, info)
    return info


def _recipe(config: FitConfig) -> dict[str, Any]:
    """Return the configuration without data and texts."""
    told_elsewhere = ("data", "name", "licence", "training_data", "description")
    entries = asdict(config)
    return {name: entries[name] for name in entries if name not in told_elsewhere}


def fingerprint(state: Mapping[str, Tensor]) -> str:
    """Return a digest of the weights: saved prompts name the model that made them."""
    digest = sha256()
    for name in sorted(state):
        digest.update(name.encode())
        digest.update(state[name].contiguous().numpy().tobytes())
    return digest.hexdigest()[:16]
