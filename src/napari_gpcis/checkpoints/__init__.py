"""Checkpoints: weights with everything needed to use them, in one safe file.

A checkpoint is a `safetensors <https://github.com/huggingface/safetensors>`_ file:
raw tensors behind a JSON header, so that loading one never executes code. Its header
holds a :class:`ModelInfo`. Listing and describing checkpoints needs no PyTorch.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from napari_gpcis.checkpoints.info import InferenceSettings, ModelInfo, read_info
from napari_gpcis.checkpoints.load import download_model, load_checkpoint
from napari_gpcis.checkpoints.registry import (
    ModelEntry,
    broken_user_models,
    find_checkpoint,
    list_models,
    user_model_file,
    user_model_folder,
)

if TYPE_CHECKING:
    from napari_gpcis.checkpoints.convert import convert_checkpoint
    from napari_gpcis.checkpoints.weights import save_checkpoint

__all__ = [
    "InferenceSettings",
    "ModelEntry",
    "ModelInfo",
    "broken_user_models",
    "convert_checkpoint",
    "download_model",
    "find_checkpoint",
    "list_models",
    "load_checkpoint",
    "read_info",
    "save_checkpoint",
    "user_model_file",
    "user_model_folder",
]


_NEED_TORCH = {
    "convert_checkpoint": "napari_gpcis.checkpoints.convert",
    "save_checkpoint": "napari_gpcis.checkpoints.weights",
}


def __getattr__(name: str) -> Any:
    """Import what needs PyTorch when it is first asked for."""
    if name in _NEED_TORCH:
        return getattr(import_module(_NEED_TORCH[name]), name)
    msg = f"module {__name__!r} has no attribute {name!r}"
    raise AttributeError(msg)
