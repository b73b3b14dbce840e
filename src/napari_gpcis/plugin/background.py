"""The inference thread: one at a time, and of one kind only the latest request.

The GUI thread submits work and never waits for it. Work of one ``key`` replaces what
waits under the same key and tells what runs to stop; an answer that is no longer the
latest of its key is dropped on the way back.
"""

from __future__ import annotations

import threading
import time
from collections import OrderedDict
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from qtpy.QtCore import QObject, Qt, Signal

if TYPE_CHECKING:
    from collections.abc import Callable, Hashable

    Work = Callable[[Callable[[], bool]], Any]


@dataclass(frozen=True)
class Answer:
    """What came of one piece of work.

    Parameters
    ----------
    key, ticket
        What was asked and the number of the request.
    value
        What the work returned, ``None`` after an error.
    error
        The exception it raised, else ``None``.
    seconds
        Time the work took on the thread.
    """

    key: Hashable
    ticket: int
    value: Any
    error: Exception | None
    seconds: float


class LatestWins:
    """One persistent thread that runs the latest work of each key, in turn.

    Parameters
    ----------
    deliver
        Called on the thread with each :class:`Answer` that is still wanted.
    use
        What the thread is for, in its name.
    """

    def __init__(
        self, deliver: Callable[[Answer], None], use: str = "inference"
    ) -> None:
        self._deliver = deliver
        self._name = f"napari-gpcis {use}"
        self._condition = threading.Condition()
        self._waiting: OrderedDict[Hashable, tuple[int, Work]] = OrderedDict()
        self._latest: dict[Hashable, int] = {}
        self._tickets = 0
        self._closed = False
        self._thread: threading.Thread | None = None

    def submit(self, key: Hashable, work: Work) -> int:
        """Ask for work; return its ticket. Older work of the key is given up."""
        with self._condition:
            self._tickets += 1
            self._latest[key] = self._tickets
            self._waiting[key] = (self._tickets, work)
            if self._thread is None and not self._closed:
                self._thread = threading.Thread(
                    target=self._serve, name=self._name, daemon=True
                )
                self._thread.start()
            self._condition.notify()
            return self._tickets

    def cancel(self, key: Hashable) -> None:
        """Give up the work of a key, waiting or running; no answer will come."""
        with self._condition:
            self._waiting.pop(key, None)
            self._latest.pop(key, None)

    def wanted(self, key: Hashable, ticket: int) -> bool:
        """Return whether this ticket is still the latest of its key."""
        return not self._closed and self._latest.get(key) == ticket

    def busy(self, key: Hashable) -> bool:
        """Return whether an answer for this key is still to come."""
        return key in self._latest

    @property
    def any_busy(self) -> bool:
        """Whether an answer for some key is still to come."""
        return bool(self._latest)

    @property
    def alive(self) -> bool:
        """Whether the thread runs."""
        return self._thread is not None and self._thread.is_alive()

    def close(self, timeout: float = 2.0) -> bool:
        """Give up all work and end the thread; return whether it has ended."""
        with self._condition:
            self._closed = True
            self._waiting.clear()
            self._latest.clear()
            self._condition.notify()
        if self._thread not in (None, threading.current_thread()):
            self._thread.join(timeout)
        return not self.alive

    def forget(self, answer: Answer) -> bool:
        """Take an answer off the books; ``False`` if it is stale by now."""
        with self._condition:
            if not self.wanted(answer.key, answer.ticket):
                return False
            del self._latest[answer.key]
            return True

    def _serve(self) -> None:
        """Run work until closed (on the thread)."""
        while True:
            with self._condition:
                while not self._waiting and not self._closed:
                    self._condition.wait()
                if self._closed:
                    return
                key, (ticket, work) = self._waiting.popitem(last=False)
            answer = self._run(key, ticket, work)
            if self.wanted(key, ticket):
                self._deliver(answer)
            del work, answer  # they may hold images, and the wait may be long

    def _run(self, key: Hashable, ticket: int, work: Work) -> Answer:
        """Run one piece of work; an exception becomes part of the answer."""
        start = time.perf_counter()
        value: Any = None
        error: Exception | None = None
        try:
            value = work(lambda: not self.wanted(key, ticket))
        except Exception as exc:  # the thread must outlive a model that raises
            error = exc
        return Answer(key, ticket, value, error, time.perf_counter() - start)


class InferenceThread(QObject):
    """The inference thread as the GUI sees it: answers come as Qt signals.

    Parameters
    ----------
    parent
        Qt parent.
    use
        What the thread is for, in its name; inference is not the only use.
    """

    answered = Signal(object)
    """Emitted in the GUI thread with each :class:`Answer` that is not stale."""

    _arrived = Signal(object)

    def __init__(self, parent: QObject | None = None, use: str = "inference") -> None:
        super().__init__(parent)
        self._queue = LatestWins(self._send, use)
        self._arrived.connect(self._receive, Qt.ConnectionType.QueuedConnection)

    def submit(self, key: Hashable, work: Work) -> None:
        """Ask for work; see :meth:`LatestWins.submit`."""
        self._queue.submit(key, work)

    def cancel(self, key: Hashable) -> None:
        """Give up the work of a key."""
        self._queue.cancel(key)

    def busy(self, key: Hashable) -> bool:
        """Return whether an answer for this key is still to come."""
        return self._queue.busy(key)

    @property
    def any_busy(self) -> bool:
        """Whether an answer for some key is still to come."""
        return self._queue.any_busy

    @property
    def alive(self) -> bool:
        """Whether the thread runs."""
        return self._queue.alive

    def close(self) -> bool:
        """End the thread; return whether it has ended."""
        return self._queue.close()

    @property
    def end_thread(self) -> Callable[..., None]:
        """What :meth:`close` does, for a time when Qt has deleted this object."""
        queue = self._queue

        def end(*_: object) -> None:
            queue.close()

        return end

    def _send(self, answer: Answer) -> None:
        """Hand an answer to the GUI thread (called on the inference thread)."""
        try:
            self._arrived.emit(answer)
        except RuntimeError:  # Qt has deleted this object: the window is closing
            self._queue.close(timeout=0)

    def _receive(self, answer: Answer) -> None:
        """Pass an answer on unless it has become stale (in the GUI thread)."""
        if self._queue.forget(answer):
            self.answered.emit(answer)
