"""The training engine: one resumable loop and its parts."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from gpcis_training.engine.trainer import Trainer

__all__ = ["Trainer"]


def __getattr__(name: str) -> Any:
    """Import :class:`Trainer` when it is first asked for: loading processes do not."""
    if name != "Trainer":
        msg = f"module {__name__!r} has no attribute {name!r}"
        raise AttributeError(msg)
    from gpcis_training.engine.trainer import Trainer

    return Trainer
