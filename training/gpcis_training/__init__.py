"""Training and evaluation of the networks of napari-gpcis."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from gpcis_training.finetuning import finetune

__all__ = ["finetune"]


def __getattr__(name: str) -> Any:
    """Import :func:`finetune` when it is first asked for: the engine is heavy."""
    if name != "finetune":
        msg = f"module {__name__!r} has no attribute {name!r}"
        raise AttributeError(msg)
    from gpcis_training.finetuning import finetune

    return finetune
