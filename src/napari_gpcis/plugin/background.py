"""A background thread: the latest job of each kind, answered to who asked for it.

The GUI thread submits jobs and never waits for them. A job of one ``key`` replaces what
waits under the same key and tells what runs to stop; an answer that is no longer the
latest of its key is dropped on the way back.
"""

from __future__ import annotations

import atexit
import threading
import time
from collections import OrderedDict
from dataclasses import dataclass
from functools import partial
from inspect import ismethod
from typing import TYPE_CHECKING, Any
from weakref import WeakMethod, WeakSet

from qtpy.compat import isalive
from qtpy.QtCore import QObject, Qt, QTimer, Signal

if TYPE_CHECKING:
    from collections.abc import Callable, Hashable

    Job = Callable[[Callable[[], bool]], Any]
    Deliver = Callable[[Any, float], object]
    Failed = Callable[[Exception], object]


@dataclass(frozen=True)
class Answer:
    """The outcome of one job.

    Parameters
    ----------
    key, ticket
        Its key and the number of the request.
    value
        What the job returned, ``None`` after an error.
    error
        The exception it raised, else ``None``.
    seconds
        Time the job took on the thread.
    """

    key: Hashable
    ticket: int
    value: Any
    error: Exception | None
    seconds: float


LATE = 200
"""Milliseconds from which on an answer that the user waits for is late."""
PATIENCE = 15.0
"""Seconds that the end of the program waits for jobs that run."""


class LatestWins:
    """One persistent thread that runs the latest job of each key, in turn.

    Parameters
    ----------
    deliver
        Called on the thread with each :class:`Answer` that is still wanted.
    use
        What the thread is for, in its name.

    Notes
    -----
    The thread does not keep a program alive. At its end jobs are given up and the
    threads waited for, :data:`PATIENCE` in all: one that computed in PyTorch while
    Python goes would abort the program.
    """

    def __init__(
        self, deliver: Callable[[Answer], None], use: str = "inference"
    ) -> None:
        self._deliver = deliver
        self._name = f"napari-gpcis {use}"
        self._condition = threading.Condition()
        self._waiting: OrderedDict[Hashable, tuple[int, Job]] = OrderedDict()
        self._latest: dict[Hashable, int] = {}
        self._tickets = 0
        self._closed = False
        self._thread: threading.Thread | None = None

    def submit(self, key: Hashable, job: Job) -> int:
        """Ask for a job; return its ticket. An older one of the key is given up."""
        with self._condition:
            self._tickets += 1
            self._latest[key] = self._tickets
            self._waiting[key] = (self._tickets, job)
            if self._thread is None and not self._closed:
                self._thread = threading.Thread(
                    target=self._serve, name=self._name, daemon=True
                )
                self._thread.start()
                _SERVED.add(self)
            self._condition.notify()
            return self._tickets

    def cancel(self, key: Hashable) -> None:
        """Give up the job of a key, waiting or running; no answer will come."""
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
        """True if an answer for some key is still to come."""
        return bool(self._latest)

    @property
    def alive(self) -> bool:
        """True if the thread runs."""
        return self._thread is not None and self._thread.is_alive()

    def close(self, timeout: float = 2.0) -> bool:
        """Give up all jobs and end the thread; return whether it has ended."""
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

    def run_next(self) -> Answer | None:
        """Run the job that has waited longest; ``None`` if none waits.

        Its answer is delivered, unless it is stale by then.
        """
        with self._condition:
            if not self._waiting:
                return None
            key, (ticket, job) = self._waiting.popitem(last=False)
        answer = self._run(key, ticket, job)
        if self.wanted(key, ticket):
            self._deliver(answer)
        return answer

    def _serve(self) -> None:
        """Run jobs until closed (on the thread)."""
        while True:
            with self._condition:
                while not self._waiting and not self._closed:
                    self._condition.wait()
                if self._closed:
                    return
            self.run_next()  # nothing is kept of it: it may hold images

    def _run(self, key: Hashable, ticket: int, job: Job) -> Answer:
        """Run one job; an exception becomes part of the answer."""
        start = time.perf_counter()
        value: Any = None
        error: Exception | None = None
        try:
            value = job(lambda: not self.wanted(key, ticket))
        except Exception as exc:  # the thread must outlive a model that raises
            error = exc
        return Answer(key, ticket, value, error, time.perf_counter() - start)


_SERVED: WeakSet[LatestWins] = WeakSet()
"""Those with a thread."""


@atexit.register
def _end_threads() -> None:
    """Give up all jobs and wait for their threads, at the end of the program."""
    served = list(_SERVED)
    for queue in served:  # all are told before one is waited for
        queue.close(timeout=0)
    until = time.monotonic() + PATIENCE
    for queue in served:
        queue.close(timeout=max(0.0, until - time.monotonic()))


class BackgroundThread(QObject):
    """One background thread as the GUI sees it: answers come to who asked.

    Parameters
    ----------
    parent
        Qt parent.
    use
        The use of the thread, in its name.
    on_error
        Told in the GUI thread of errors that nobody who asked wants to hear.

    Notes
    -----
    Methods that are handed in, also as ``partial`` of a method, do not keep their
    object alive; if it is gone, or Qt has deleted it, its answers are dropped. The
    thread ends with this object, also when Qt deletes it with its window.
    """

    late_changed = Signal(bool)
    """Emitted with true when an answer that the user waits for is late, see `submit`.

    Emitted with false as soon as none is waited for any more: all have come, have
    failed or were given up.
    """
    _arrived = Signal(object)

    def __init__(
        self,
        parent: QObject | None = None,
        use: str = "inference",
        on_error: Failed | None = None,
    ) -> None:
        super().__init__(parent)
        self._queue = LatestWins(self._send, use)
        self._on_error = _weak(on_error)
        self._askers: dict[Hashable, tuple[Deliver, Failed]] = {}
        self._awaited: set[Hashable] = set()
        self._late = False
        self._timer = QTimer(self)
        self._timer.setSingleShot(True)
        self._timer.setInterval(LATE)
        self._timer.timeout.connect(self._on_late)
        self._arrived.connect(self._receive, Qt.ConnectionType.QueuedConnection)
        self.destroyed.connect(self.end_thread)

    def submit(
        self,
        key: Hashable,
        job: Job,
        deliver: Deliver | None = None,
        failed: Failed | None = None,
        *,
        awaited: bool = False,
    ) -> None:
        """Ask for a job; an older one of the key is given up.

        Parameters
        ----------
        key
            Kind of the job: of one kind only the latest is answered.
        job
            Runs on the thread; its argument tells whether it is still wanted.
        deliver
            Called in the GUI thread with the job's value and the seconds it took,
            unless the answer is stale by then.
        failed
            Called there with the exception that the job raised, by default
            :meth:`report`.
        awaited
            Whether the user waits for the answer: `late_changed` tells if it is late.
        """
        if awaited:
            self._awaited.add(key)
            if not self._timer.isActive():
                self._timer.start()
        self._askers[key] = _weak(deliver), _weak(failed or self.report)
        self._queue.submit(key, job)

    def report(self, error: Exception) -> None:
        """Tell of an error as of one that nobody wants to hear."""
        self._on_error(error)

    def cancel(self, key: Hashable) -> None:
        """Give up the job of a key; no answer will come."""
        if self._askers.pop(key, None) is not None:
            self._queue.cancel(key)
            self._let_go(key)

    def busy(self, key: Hashable) -> bool:
        """Return whether an answer for this key is still to come."""
        return key in self._askers

    @property
    def any_busy(self) -> bool:
        """True if an answer for some key is still to come."""
        return self._queue.any_busy

    @property
    def alive(self) -> bool:
        """True if the thread runs."""
        return self._queue.alive

    def close(self) -> bool:
        """End the thread; return whether it has ended."""
        self._askers.clear()
        self._let_go(*self._awaited)
        return self._queue.close()

    @property
    def end_thread(self) -> Callable[..., None]:
        """Function that ends the thread, even after Qt has deleted this object."""
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
        """Hand an answer to who asked, unless it is stale (in the GUI thread)."""
        if not self._queue.forget(answer):
            return
        deliver, failed = self._askers.pop(answer.key)
        try:
            if answer.error is not None:
                failed(answer.error)
            else:
                deliver(answer.value, answer.seconds)
        finally:
            if answer.key not in self._askers:  # it was not asked for again
                self._let_go(answer.key)

    def _let_go(self, *keys: Hashable) -> None:
        """Take note that nobody waits for the answers of these keys any more."""
        self._awaited.difference_update(keys)
        if not self._awaited:
            self._timer.stop()
            if self._late:
                self._late = False
                self.late_changed.emit(False)

    def _on_late(self) -> None:
        """Tell that an answer is late."""
        if self._awaited and not self._late:
            self._late = True
            self.late_changed.emit(True)


def _weak(callback: Callable[..., object] | None) -> Callable[..., object]:
    """Return a callback that does not keep the object of its method alive.

    Parameters
    ----------
    callback
        A method, a ``partial`` of one, or any other callable, which is kept; ``None``
        does nothing.
    """
    if callback is None:
        return _nothing
    if isinstance(callback, partial) and ismethod(callback.func):
        known = _weak(callback.func)
        return partial(known, *callback.args, **callback.keywords)
    return partial(_call, WeakMethod(callback)) if ismethod(callback) else callback


def _call(method: WeakMethod[Callable[..., object]], *values: Any) -> None:
    """Call a method, unless its object is gone, in Python or in Qt."""
    known = method()
    if known is None:
        return
    owner = getattr(known, "__self__", None)
    alive: Callable[[QObject], bool] = isalive  # QtPy gives it no types
    if not isinstance(owner, QObject) or alive(owner):
        known(*values)


def _nothing(*_: object) -> None:
    """Do nothing."""
