"""One image being annotated: clicks, their history and the finished objects."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from napari_gpcis.session.labels import FinishedObject

if TYPE_CHECKING:
    from napari_gpcis.session.session import Session

__all__ = ["FinishedObject", "Session"]


def __getattr__(name: str) -> Any:
    """Import :class:`Session`, which needs PyTorch, when it is first asked for."""
    if name != "Session":
        msg = f"module {__name__!r} has no attribute {name!r}"
        raise AttributeError(msg)
    from napari_gpcis.session.session import Session

    return Session
