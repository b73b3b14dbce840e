"""Settling: what ends or saves an annotation waits for masks that are on their way."""

from __future__ import annotations

from typing import TYPE_CHECKING

from qtpy.QtCore import QObject, QTimer

from napari_gpcis.wording import counted

if TYPE_CHECKING:
    from collections.abc import Callable

    from napari_gpcis.plugin.annotation.controller import Controller

PERIOD = 50
"""Milliseconds between two looks whether the masks are there."""
WAITING = "Waiting for the mask of {}."
AGAIN = "The same again goes on without."


class Settling(QObject):
    """Does something once the masks of all clicks are there.

    Who asks a second time for the same does not want to wait.

    Parameters
    ----------
    controller
        Its annotation is waited for.
    parent
        Qt parent.
    """

    def __init__(self, controller: Controller, parent: QObject | None = None) -> None:
        super().__init__(parent)
        self._controller = controller
        self._waiting: dict[str, Callable[[], object]] = {}
        self._ends, self._words = False, WAITING
        self._timer = QTimer(self)
        self._timer.setInterval(PERIOD)
        self._timer.timeout.connect(self._look)
        controller.stopped.connect(self._on_stopped)

    @property
    def pending(self) -> bool:
        """True if something is still to be done."""
        return bool(self._waiting)

    def once_settled(
        self,
        wanted: str,
        then: Callable[[], object],
        *,
        ends: bool = False,
        repeatable: bool = True,
    ) -> None:
        """Do something as soon as no mask is awaited.

        Parameters
        ----------
        wanted
            Name of what is done: the same again does not wait. What has other names
            waits beside it, unless it ends the annotation.
        then
            Does it.
        ends
            Whether that ends the annotation: the objects being clicked are accepted
            meanwhile, and nothing is left to do if something else ends it. Otherwise
            it is done then.
        repeatable
            Whether the user can ask for the same again, and is told so.
        """
        again = self._waiting.pop(wanted, None) is not None
        annotation = self._controller.annotation
        if annotation is not None:
            annotation.click_layers.settle()
        if ends:
            self.cancel()
        if again or annotation is None or not annotation.awaited:
            then()
            return
        self._waiting[wanted], self._ends = then, ends
        self._words = f"{WAITING} {AGAIN}" if repeatable else WAITING
        if ends:
            annotation.accept_all()
        self._timer.start()
        self._look()

    def cancel(self) -> None:
        """Do nothing any more."""
        self._timer.stop()
        self._waiting.clear()

    def withdraw(self) -> None:
        """Do nothing any more: the user has thought better of it.

        What was accepted meanwhile stays so, and work goes on.
        """
        annotation = self._controller.annotation
        if self.pending and annotation is not None:
            annotation.clear_message()
        self.cancel()

    def _on_stopped(self) -> None:
        if self._ends:
            self.cancel()
        else:
            self._go_on()

    def _go_on(self) -> None:
        """Do what has waited."""
        waiting = [*self._waiting.values()]
        self.cancel()
        for then in waiting:
            then()

    def _look(self) -> None:
        """Go on if everything is there, or say what is waited for."""
        annotation = self._controller.annotation
        awaited = 0 if annotation is None else annotation.awaited
        if annotation is None or not (awaited and self._waiting):
            self._go_on()
            return
        words = self._words.format(counted(awaited, "object"))
        if annotation.message != words:
            annotation.say(words)
