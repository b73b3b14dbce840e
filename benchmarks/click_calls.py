"""Python calls of our own code for the second click on an object, and for its undo.

    xvfb-run -a python benchmarks/click_calls.py
    xvfb-run -a python benchmarks/click_calls.py --files

opens a real viewer with the real widget, all sections in it, and a segmenter that draws
disks at once, and prints for each deed

calls
    Times that a Python function of the package `napari_gpcis` was entered in the GUI
    thread, as `sys.setprofile` tells it. A generator counts each time it goes on;
    comprehensions and generator expressions do not count, as Python 3.12 makes no calls
    of some of them. Nor do Qt's own handlers of events (`event`, `eventFilter`), as Qt
    may send one event for several; what they call does count. The module that moves the
    mouse does not count either.
files
    Files of the package in which there was at least one.
moves
    Times that one call was in another file than the call before it.

The first deed begins with the mouse over the place: it is pressed and let go there, and
the deed ends when the mask is drawn, all panels show it, and the event loop has nothing
to do any more. The second is the key of "Undo", up to the same. Neither is the first of
its kind in this viewer, so that nothing is imported or made for the first time.
Nothing is timed: the figures are the same on every machine.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from qtpy.QtCore import Qt
from qtpy.QtWidgets import QApplication

sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))
import napari_gpcis
from _fake_segmenter import FakeSegmenter
from napari_gpcis.plugin import background
from napari_gpcis.plugin.robot import Robot
from napari_gpcis.plugin.settings.preferences import PREFERENCES
from napari_gpcis.plugin.widget import GPCISWidget

if TYPE_CHECKING:
    from collections.abc import Callable
    from types import FrameType

    from napari.viewer import Viewer

SIDE, SMALL = 1024, 128
"""Rows and columns of the image, and of that of the tests."""
QUIET = 20
"""Turns of the event loop without a call of ours, after which it is idle."""
PATIENCE = 60.0
_HERE = Path(napari_gpcis.__file__).parent
_TOOLS = {"robot.py"}
_INLINED = {"<listcomp>", "<dictcomp>", "<setcomp>", "<genexpr>"}
_EVENTS = {"event", "eventFilter"}
_PART_OF_EVENT = "Tabs.take"
"""What `event` of a dock widget begins with, in a class of its own."""


@dataclass
class Calls:
    """Calls of the package's functions while one deed is done.

    Attributes
    ----------
    by_file
        Number of calls by the file of the function, relative to the package.
    moves
        Number of calls in another file than the call before.
    """

    by_file: Counter[str] = field(default_factory=Counter)
    moves: int = 0
    _last: str = ""
    _names: dict[str, str] = field(default_factory=dict, repr=False)

    @property
    def total(self) -> int:
        """Number of calls."""
        return self.by_file.total()

    @property
    def files(self) -> int:
        """Number of files with a call."""
        return len(self.by_file)

    def during(self, work: Callable[[], Any]) -> None:
        """Count the calls of this thread while ``work`` runs."""
        sys.setprofile(self._note)
        try:
            work()
        finally:
            sys.setprofile(None)

    def _note(self, frame: FrameType, event: str, _: Any) -> None:
        code = frame.f_code
        if event != "call" or code.co_name in _INLINED | _EVENTS:
            return
        if code.co_qualname == _PART_OF_EVENT:
            return
        path = code.co_filename
        if path not in self._names:
            inside = Path(path).is_relative_to(_HERE)
            name = Path(path).relative_to(_HERE).as_posix() if inside else ""
            self._names[path] = "" if Path(name).name in _TOOLS else name
        name = self._names[path]
        if name:
            self.by_file[name] += 1
            self.moves += name != self._last
            self._last = name


class Deeds:
    """One viewer with the widget, in which deeds are done one after the other.

    Parameters
    ----------
    viewer
        The viewer, shown and empty.
    proxy
        The same, as napari hands it to a plugin.
    side
        Rows and columns of the image.
    """

    def __init__(self, viewer: Viewer, proxy: Any, side: int) -> None:
        fake = FakeSegmenter()
        background.LATE = 1 << 30  # a busy machine shows that an answer is late
        PREFERENCES.autosave = False  # its timer may fall into any deed
        self.image = viewer.add_image(np.zeros((side, side), np.uint8))
        self.widget = GPCISWidget(proxy, lambda _: fake)
        viewer.window.add_dock_widget(self.widget, name="GPCIS")
        viewer.reset_view()
        self.robot = Robot(viewer)
        assert self.widget.start()
        self._finish(Calls(), lambda: self.widget.session is not None)

    def measure(self) -> dict[str, Calls]:
        """Return the calls of a second click and of its undo, the second time each."""
        middle = self.image.data.shape[0] // 2
        found: dict[str, Calls] = {}
        for row in (middle - 30, middle + 30):
            self._click((row, middle - 20), 1)
            found = {
                "second click": self._click((row, middle + 4), 2),
                "undo": self._press(Qt.Key.Key_U, 1),
            }
            self._press(Qt.Key.Key_N, 0)
        return found

    def _click(self, place: tuple[int, int], clicks: int) -> Calls:
        self.robot.move(self.image, place)
        self._finish(Calls(), lambda: True)
        calls = Calls()
        calls.during(lambda: self.robot.click(self.image, place))
        self._finish(calls, lambda: self._shown(clicks))
        return calls

    def _press(self, key: Qt.Key, clicks: int) -> Calls:
        calls = Calls()
        calls.during(lambda: self.robot.press(key))
        self._finish(calls, lambda: self._shown(clicks))
        return calls

    def _shown(self, clicks: int) -> bool:
        """Return whether the mask of so many clicks is drawn."""
        annotation = self.widget.controller.annotation
        current = None if annotation is None else annotation.current
        if current is None or current.session is None or current.busy:
            return False
        there = len(current.session.clicks) == len(current.clicks) == clicks
        return there and (not clicks or current.session.prediction is not None)

    def _finish(self, calls: Calls, condition: Callable[[], bool]) -> None:
        """Let the event loop run until a condition holds and nothing is left to do."""
        end = time.monotonic() + PATIENCE
        quiet = 0
        while quiet < QUIET or not condition():
            assert time.monotonic() < end, "this takes too long"
            before = calls.total
            calls.during(QApplication.processEvents)
            quiet = quiet + 1 if calls.total == before else 0
            time.sleep(0.01)


def table(found: dict[str, Calls]) -> str:
    """Return the figures as a table in Markdown."""
    lines = ["| step | calls | files | moves |", "|---|---|---|---|"]
    lines += [
        f"| {edit} | {calls.total} | {calls.files} | {calls.moves} |"
        for edit, calls in found.items()
    ]
    return "\n".join(lines)


def table_of_files(found: dict[str, Calls]) -> str:
    """Return the calls of each file as a table in Markdown, most of them first."""
    every: Counter[str] = Counter()
    for calls in found.values():
        every += calls.by_file
    lines = ["| file | " + " | ".join(found) + " |", "|---" * (len(found) + 1) + "|"]
    for name, _ in every.most_common():
        cells = " | ".join(str(calls.by_file[name]) for calls in found.values())
        lines.append(f"| {name} | {cells} |")
    return "\n".join(lines)


def main() -> None:
    """Open a window, click in it and print the table."""
    import napari

    parser = argparse.ArgumentParser(description="Calls of our code for a click.")
    parser.add_argument("--files", action="store_true", help="calls of each file, too")
    parser.add_argument("--small", action="store_true", help="the image of the tests")
    arguments = parser.parse_args()
    viewer = napari.Viewer(show=True)
    viewer.window.resize(1280, 860)
    try:
        edits = Deeds(viewer, viewer, SMALL if arguments.small else SIDE)
        found = edits.measure()
        edits.widget.shut_down()
    finally:
        viewer.close()
    print(table(found))
    if arguments.files:
        print(f"\n{table_of_files(found)}")


if __name__ == "__main__":
    main()
