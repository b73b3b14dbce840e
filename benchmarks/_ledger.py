"""Whose code keeps a window waiting: processor time of its thread, by owner.

Wall time says little on a busy computer: a thread that waits for a core looks like one
that works. So time here is processor time of the GUI thread, and each bit of it is
booked on whoever spends it, as Python's profiling hook tells calls and returns.
"""

from __future__ import annotations

import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from qtpy.QtCore import QObject, Qt, QTimer

import napari_gpcis

if TYPE_CHECKING:
    from types import FrameType

PERIOD = 0.01
"""Seconds between two beats of the event loop, if nothing holds it up."""
NOBODY, OURS, THEIRS = range(3)
"""What runs: none of our code; our code; napari, called by our code."""

_HERE = str(Path(napari_gpcis.__file__).parent)
_TOOLS = ("robot.py", "demo.py")
"""Modules of the package that act for the user: their time is not counted."""
_DRAWING = ("/napari/", "/vispy/", "/app_model/", "/magicgui/", "/superqt/")


class Beat(NamedTuple):
    """What happened between two beats of the event loop; all in seconds.

    Attributes
    ----------
    late
        By how much the second beat came too late.
    busy
        Processor time of the thread.
    own
        Of it, spent in our code and what it calls, but for napari's code.
    caused
        Of it, spent in our code and all that it calls.
    """

    late: float
    busy: float
    own: float
    caused: float


class Ledger:
    """Books processor time of the thread that opens it, while it is open."""

    def __init__(self) -> None:
        self._spent = [0.0, 0.0, 0.0]
        self._state = NOBODY
        self._since = time.thread_time()
        self._stack: list[int] = []
        self._kinds: dict[str, int] = {}

    def __enter__(self) -> Ledger:
        self._since = time.thread_time()
        sys.setprofile(self._hook)
        return self

    def __exit__(self, *_: object) -> None:
        sys.setprofile(None)

    def read(self) -> tuple[float, float, float]:
        """Return the time spent so far: in all, on our own, caused by us."""
        self._book()
        nobody, ours, theirs = self._spent
        return nobody + ours + theirs, ours, ours + theirs

    def _hook(self, frame: FrameType, event: str, _arg: Any) -> None:
        """Follow calls and returns; calls of C functions belong to their caller."""
        if event == "call":
            name, before = frame.f_code.co_filename, self._state
            kind = self._kinds.get(name)
            if kind is None:
                kind = self._kinds[name] = _kind(name)
            self._stack.append(before)
            if kind == OURS or (kind == THEIRS and before == OURS):
                self._switch(kind)
        elif event == "return" and self._stack:
            self._switch(self._stack.pop())

    def _switch(self, state: int) -> None:
        if state != self._state:
            self._book()
            self._state = state

    def _book(self) -> None:
        now = time.thread_time()
        self._spent[self._state] += now - self._since
        self._since = now


def _kind(name: str) -> int:
    """Return whose file this is."""
    if name.startswith(_HERE):
        return NOBODY if name.endswith(_TOOLS) else OURS
    return THEIRS if any(part in name for part in _DRAWING) else NOBODY


class Heartbeat(QObject):
    """Notes how regularly the event loop beats, and what it does between two beats.

    Parameters
    ----------
    ledger
        Where time is booked.
    """

    def __init__(self, ledger: Ledger) -> None:
        super().__init__()
        self.beats: list[Beat] = []
        self._ledger = ledger
        self._before = time.perf_counter(), ledger.read()
        self._timer = QTimer(self)
        self._timer.setTimerType(Qt.TimerType.PreciseTimer)
        self._timer.timeout.connect(self._beat)
        self._timer.start(round(PERIOD * 1000))

    def take(self) -> list[Beat]:
        """Return the beats since this was asked before."""
        beats, self.beats = self.beats, []
        return beats

    def stop(self) -> None:
        """Beat no more."""
        self._timer.stop()

    def _beat(self) -> None:
        now = time.perf_counter(), self._ledger.read()
        before, self._before = self._before, now
        wall = now[0] - before[0]
        spent = [new - old for new, old in zip(now[1], before[1], strict=True)]
        self.beats.append(Beat(max(0.0, wall - PERIOD), *spent))
