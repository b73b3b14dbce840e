"""Checkpoints: weights with everything needed to use them, in one safe file.

A checkpoint is a `safetensors <https://github.com/huggingface/safetensors>`_ file:
raw tensors behind a JSON header, so that loading one never executes code. Its header
holds a :class:`ModelInfo`. Listing and describing checkpoints needs no PyTorch.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from napari_gpcis.checkpoints._header import read_info
from napari_gpcis.checkpoints._info import InferenceSettings, ModelInfo
from napari_gpcis.checkpoints._known import find_checkpoint, list_models

if TYPE_CHECKING:
    from napari_gpcis.checkpoints._weights import load_checkpoint, save_checkpoint

__all__ = [
    "InferenceSettings",
    "ModelInfo",
    "find_checkpoint",
    "list_models",
    "load_checkpoint",
    "read_info",
    "save_checkpoint",
]


def __getattr__(name: str) -> Any:
    """Import what needs PyTorch when it is first asked for."""
    if name in {"load_checkpoint", "save_checkpoint"}:
        from napari_gpcis.checkpoints import _weights

        return getattr(_weights, name)
    msg = f"module {__name__!r} has no attribute {name!r}"
    raise AttributeError(msg)
