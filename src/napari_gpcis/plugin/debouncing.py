"""Many requests answered by one call, as soon as no more of them come."""

from __future__ import annotations

from threading import Event
from typing import TYPE_CHECKING

from qtpy.QtCore import Qt, Signal
from superqt.utils import QSignalDebouncer

if TYPE_CHECKING:
    from collections.abc import Callable

    from qtpy.QtCore import QObject


class Debouncer(QSignalDebouncer):
    """Calls a slot once, a while after the last call of :meth:`throttle`.

    Parameters
    ----------
    slot
        What is called.
    wait
        The while in milliseconds; 0 is the next turn of the event loop.
    parent
        Qt parent.
    """

    _soon = Signal()

    def __init__(
        self, slot: Callable[[], object], wait: int = 0, parent: QObject | None = None
    ) -> None:
        super().__init__(parent=parent)
        self._waiting = Event()  # a flag that a signal can clear by itself
        self.setTimeout(wait)
        self.triggered.connect(self._waiting.clear)
        self.triggered.connect(slot)
        # what is posted comes before windows are painted, timers come afterwards
        self._soon.connect(self.flush, Qt.ConnectionType.QueuedConnection)

    @property
    def pending(self) -> bool:
        """True while the slot is still to be called."""
        return self._waiting.is_set()

    def throttle(self, *, before_painting: bool = False) -> None:
        """Have the slot called, later than was planned if it was to be called.

        Parameters
        ----------
        before_painting
            Whether it is called before anything that has changed meanwhile is painted,
            which may take longer than all else; for a `wait` of 0.
        """
        self._waiting.set()
        super().throttle()
        if before_painting:
            self._soon.emit()

    def cancel(self) -> None:
        """Give up a call that is pending."""
        self._waiting.clear()
        super().cancel()
