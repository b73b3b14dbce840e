"""Fine-tuning on the user's own labels: images in, a model with its card out."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from gpcis_training.finetuning.options import FinetuneOptions
    from gpcis_training.finetuning.plan import StoppedError
    from gpcis_training.finetuning.run import finetune
    from gpcis_training.finetuning.training import FinetuneResult
    from gpcis_training.finetuning.validation import Figures

__all__ = ["Figures", "FinetuneOptions", "FinetuneResult", "StoppedError", "finetune"]

_MODULES = {
    "Figures": "validation",
    "FinetuneOptions": "options",
    "FinetuneResult": "training",
    "StoppedError": "plan",
    "finetune": "run",
}


def __getattr__(name: str) -> Any:
    """Import a public name when it is first asked for: the engine is heavy."""
    if name not in _MODULES:
        msg = f"module {__name__!r} has no attribute {name!r}"
        raise AttributeError(msg)
    return getattr(import_module(f"{__name__}.{_MODULES[name]}"), name)
