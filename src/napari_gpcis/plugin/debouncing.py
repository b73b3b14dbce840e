"""Many requests answered by one call, as soon as no more of them come."""

from __future__ import annotations

from typing import TYPE_CHECKING

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

    Attributes
    ----------
    pending : bool
        Whether the slot is still to be called.
    """

    def __init__(
        self, slot: Callable[[], object], wait: int = 0, parent: QObject | None = None
    ) -> None:
        super().__init__(parent=parent)
        self.pending = False
        self.setTimeout(wait)
        self.triggered.connect(self._on_triggered)
        self.triggered.connect(slot)

    def throttle(self) -> None:
        """Have the slot called, later than was planned if it was to be called."""
        self.pending = True
        super().throttle()

    def cancel(self) -> None:
        """Give up a call that is pending."""
        self.pending = False
        super().cancel()

    def _on_triggered(self) -> None:
        self.pending = False
