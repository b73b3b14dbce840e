"""From the state of a training run to a checkpoint that predicts."""

from __future__ import annotations

from dataclasses import replace
from hashlib import sha256
from typing import TYPE_CHECKING

import torch

from napari_gpcis.checkpoints import InferenceSettings, ModelInfo, save_checkpoint
from napari_gpcis.errors import CheckpointError
from napari_gpcis.model import build_model

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from torch import Tensor

    from gpcis_training.config import FitConfig


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
        How the model is to be run; by default at the size it was trained with.
    extra
        Further notes for the checkpoint.

    Returns
    -------
    ModelInfo
        What was written beside the weights.

    Raises
    ------
    CheckpointError
        If the state is missing, damaged or of another network.
    """
    if not state_file.is_file():
        msg = f"no training state {str(state_file)!r}"
        raise CheckpointError(msg)
    try:
        state = torch.load(state_file, map_location="cpu", weights_only=True)
        model = build_model(config.network, **config.options)
        model.load_state_dict(state["model"])
    except (RuntimeError, KeyError, EOFError, OSError) as error:
        msg = f"training state {str(state_file)!r} cannot be used: {error}"
        raise CheckpointError(msg) from error
    inference = settings or InferenceSettings(infer_size=config.augment.size)
    inference = replace(inference, gp_stride=model.gp_stride)
    notes = {
        "fingerprint": _fingerprint(model.state_dict()),
        "steps": str(state["step"]),
        "samples": str(state["step"] * config.batch_size),
        "minutes": f"{state['minutes']:.0f}",
        "training_size": str(config.augment.size),
    }
    info = ModelInfo(
        name=config.name,
        architecture=config.network,
        options={**model.model.gp_defaults, **config.options},
        inference=inference,
        licence=config.licence,
        training_data=config.training_data,
        description=config.description,
        extra={**notes, **(extra or {})},
    )
    save_checkpoint(destination, model, info)
    return info


def _fingerprint(state: Mapping[str, Tensor]) -> str:
    """Return a digest of the weights: saved prompts name the model that made them."""
    digest = sha256()
    for name in sorted(state):
        digest.update(name.encode())
        digest.update(state[name].contiguous().numpy().tobytes())
    return digest.hexdigest()[:16]
