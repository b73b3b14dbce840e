"""Connections of signals that end together."""

from __future__ import annotations

from contextlib import suppress
from functools import partial
from inspect import ismethod
from typing import TYPE_CHECKING, Any, Protocol
from weakref import WeakMethod

from qtpy.QtCore import QMetaObject, QObject

if TYPE_CHECKING:
    from collections.abc import Callable


class Connectable(Protocol):
    """A signal of Qt or psygnal, or an event of napari."""

    def connect(self, slot: Any, /) -> Any:
        """Call the slot whenever it is emitted."""

    def disconnect(self, slot: Any, /) -> Any:
        """Call the slot no more."""


class Connections:
    """Connections of signals to slots, which end all together.

    Neither senders nor objects whose methods are slots are kept alive by it.
    """

    def __init__(self) -> None:
        self._ends: list[Callable[[], object]] = []

    def connect(self, signal: Connectable, slot: Callable[..., object]) -> None:
        """Connect a signal to a slot, or to another signal of Qt.

        Parameters
        ----------
        signal
            A signal of Qt or psygnal, or an event of napari.
        slot
            What is called.
        """
        made = signal.connect(slot)
        if isinstance(made, QMetaObject.Connection):
            # it stays valid when Qt has deleted the sender, which the signal does not
            self._ends.append(partial(QObject.disconnect, made))
        elif ismethod(slot):
            self._ends.append(partial(_disconnect_method, signal, WeakMethod(slot)))
        else:
            self._ends.append(partial(signal.disconnect, slot))

    def end(self) -> None:
        """End all connections; those that have ended already do not matter."""
        ends, self._ends = self._ends, []
        for end in ends:
            with suppress(RuntimeError):  # the sender has been deleted
                end()


def _disconnect_method(
    signal: Connectable, method: WeakMethod[Callable[..., object]]
) -> None:
    """Disconnect a method, unless its object is gone and the connection with it."""
    slot = method()
    if slot is not None:
        signal.disconnect(slot)
