"""Downloading a model while the person goes on working."""

from __future__ import annotations

import time
from functools import partial
from typing import TYPE_CHECKING

from qtpy.QtCore import QObject, Qt, Signal

from napari_gpcis.checkpoints import download_model
from napari_gpcis.plugin.background import LatestWins

if TYPE_CHECKING:
    from collections.abc import Callable

    from napari_gpcis.plugin.background import Answer

REPORT_EVERY = 0.1
"""Seconds between two reports of progress."""


class _StoppedError(Exception):
    """The person does not want it any more."""


class Download(QObject):
    """One model at a time is fetched on a thread of its own.

    What came before a stop or a failure is kept: the next start goes on from there.

    Parameters
    ----------
    parent
        Qt parent.
    """

    progressed = Signal(object, object)
    """Bytes that are here, and in total (``None`` while the total is not known)."""
    succeeded = Signal(str)
    """The model of this name is here."""
    failed = Signal(str, str)
    """The model of this name is not here, and why."""

    _arrived = Signal(object)
    _reported = Signal(str, object, object)

    def __init__(self, parent: QObject | None = None) -> None:
        super().__init__(parent)
        self.name: str | None = None
        self._queue = LatestWins(self._send)
        queued = Qt.ConnectionType.QueuedConnection
        self._arrived.connect(self._receive, queued)
        self._reported.connect(self._show, queued)

    @property
    def running(self) -> bool:
        """Whether a model is being fetched."""
        return self.name is not None

    def start(self, name: str) -> None:
        """Fetch a model; one that is being fetched is given up."""
        self.name = name
        self._queue.submit("download", partial(self._fetch, name))

    def stop(self) -> None:
        """Give up; what came so far is kept."""
        self.name = None
        self._queue.cancel("download")

    @property
    def end_thread(self) -> Callable[..., None]:
        """Ends the thread without waiting for a slow network."""
        queue = self._queue

        def end(*_: object) -> None:
            queue.close(timeout=0)

        return end

    def _fetch(self, name: str, cancelled: Callable[[], bool]) -> str:
        """Fetch a model (on the thread)."""
        last = 0.0

        def report(done: int, total: int) -> None:
            nonlocal last
            if cancelled():
                raise _StoppedError
            now = time.monotonic()
            if now - last >= REPORT_EVERY or done == total:
                last = now
                self._reported.emit(name, done, total)

        download_model(name, report)
        return name

    def _send(self, answer: Answer) -> None:
        """Hand the outcome to the GUI thread (called on the thread)."""
        try:
            self._arrived.emit(answer)
        except RuntimeError:  # Qt has deleted this object: the window is closing
            self._queue.close(timeout=0)

    def _show(self, name: str, done: int, total: int) -> None:
        if name == self.name:
            self.progressed.emit(done, total)

    def _receive(self, answer: Answer) -> None:
        """Report the outcome unless it is not wanted any more (in the GUI thread)."""
        if not self._queue.forget(answer) or self.name is None:
            return
        name, self.name = self.name, None
        if answer.error is None:
            self.succeeded.emit(name)
        else:
            self.failed.emit(name, str(answer.error) or type(answer.error).__name__)
