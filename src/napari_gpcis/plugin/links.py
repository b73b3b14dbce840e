"""Following what outlives a window: preferences, the list of models."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable

    from qtpy.QtCore import QObject


def follow(
    signal: Any, slot: Callable[..., None], owner: QObject
) -> Callable[..., None]:
    """Connect a slot until its owner is deleted.

    Parameters
    ----------
    signal
        A psygnal signal.
    slot
        What is called.
    owner
        The Qt object without which the slot cannot work: a window may delete it
        without asking anybody.

    Returns
    -------
    callable
        Ends the connection earlier; it may be called more than once.
    """
    signal.connect(slot)

    def end(*_: object) -> None:
        signal.disconnect(slot)

    owner.destroyed.connect(end)
    return end
