"""A click as the user feels it: from the press of the mouse to the mask on the screen.

    xvfb-run -a -s "-screen 0 1280x900x24" python benchmarks/window.py

opens a real window with a picture of 1024 x 1024 pixels, presses *Start* and clicks on
objects as a user does: the mouse moves there, rests, and is pressed and let go.
A click ends with the first frame on the screen in which its mask is drawn, as Qt tells
(`frameSwapped`), and is measured from outside of the plugin.

first click, following clicks
    On objects, after the window has rested: what is seen has been encoded by then.
first click right after Start
    A new picture, and the model is loaded already.
first click of a new process
    The model is loaded meanwhile. Each is measured in a process of its own.
the same, the widget open for 4 s
    As while a user chooses the image: the model has been loaded before Start.

Milliseconds, also of processor time of all threads and of the window's thread alone: on
a busy computer these tell more. *Status line* is the median of what the window itself
says, in which the way of the event to the plugin is missing.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import time
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from qtpy.QtCore import QEventLoop, QPoint, Qt, QTimer
from qtpy.QtOpenGLWidgets import QOpenGLWidget
from qtpy.QtTest import QTest

from napari_gpcis.plugin.robot import Robot, next_click
from napari_gpcis.plugin.widget import GPCISWidget

if TYPE_CHECKING:
    from collections.abc import Sequence

    from napari.layers import Image
    from napari.viewer import Viewer
    from numpy.typing import NDArray

    from napari_gpcis.clicks import Click

SIDE = 1024
FIRST, FOLLOWING = "first click", "following clicks"
STARTED, FRESH = "first click right after Start", "first click of a new process"
CHOSEN, CHOOSING = "the same, the widget open for 4 s", 4.0
REST = 2.0
"""Seconds between Start and the first click of a user who looks at the picture."""
AIM, THINK = 0.3, 0.5
"""Seconds for which the mouse rests on its place, and between two clicks."""
STEPS = 10
"""Movements of the mouse to a place, 15 ms apart."""
PATIENCE = 120.0
LEFT, RIGHT = Qt.MouseButton.LeftButton, Qt.MouseButton.RightButton


def picture(seed: int, side: int = SIDE) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
    """Return a grey picture of ellipses with noise, and their labels from 1."""
    rng = np.random.default_rng(seed)
    image = rng.normal(80, 12, (side, side))
    labels = np.zeros((side, side), np.uint8)
    rows, cols = np.ogrid[:side, :side]
    pitch = side // 4
    for number in range(16):
        middle = np.array(divmod(number, 4)) * pitch + pitch / 2
        middle += rng.uniform(-0.1, 0.1, 2) * pitch
        axes = rng.uniform(0.15, 0.38, 2) * pitch
        inside = ((rows - middle[0]) / axes[0]) ** 2 + (
            (cols - middle[1]) / axes[1]
        ) ** 2 < 1
        image[inside] += rng.uniform(40, 90)
        labels[inside] = number + 1
    return np.clip(image, 0, 255).astype(np.uint8), labels


class Timed(NamedTuple):
    """Times of a click: on the clock, of the processor, of it in the window's thread.

    All in seconds. `told` is what the status line says.
    """

    clock: float
    processor: float
    window: float
    told: float


class User:
    """Somebody at the mouse of a new window.

    Parameters
    ----------
    hold
        Seconds for which the mouse button is held down.
    """

    def __init__(self, hold: float) -> None:
        import napari

        self.viewer: Viewer = napari.Viewer(show=True)
        self.viewer.window.resize(1280, 860)
        self.widget = GPCISWidget(self.viewer)
        self.viewer.window.add_dock_widget(self.widget, name="GPCIS")
        self._hold = hold
        self._robot = Robot(self.viewer)
        window = self.widget.window()
        (self._canvas,) = window.findChildren(QOpenGLWidget)
        self._canvas.frameSwapped.connect(self._on_frame)
        self._loop: QEventLoop | None = None
        self._clicks, self._place = 0, QPoint(0, 0)

    def open(self, image: NDArray[np.uint8]) -> Image:
        """Show another picture in place of the one before."""
        self.widget.controller.stop()
        self.viewer.layers.clear()
        layer: Image = self.viewer.add_image(image, contrast_limits=(0, 255))
        self.viewer.reset_view()
        self.rest(0.5)
        return layer

    def start(self) -> None:
        """Press Start."""
        QTest.mouseClick(self.widget.start_button, LEFT)

    def rest(self, seconds: float) -> None:
        """Let the window work for a while."""
        loop = QEventLoop()
        QTimer.singleShot(round(1000 * seconds), loop.quit)
        loop.exec()

    def aim(self, image: Image, point: Sequence[float]) -> None:
        """Move the mouse to a point of the image."""
        begin, end = self._place, self._robot.position(image, point)
        for step in range(1, STEPS + 1):
            QTest.mouseMove(self._canvas, begin + (end - begin) * (step / STEPS))
            self.rest(0.015)
        self._place = end

    def click(self, clicks: int, *, positive: bool = True) -> Timed:
        """Click where the mouse is; return once the mask of so many is drawn."""
        button = LEFT if positive else RIGHT
        begin = time.perf_counter(), time.process_time(), time.thread_time()
        QTest.mousePress(self._canvas, button, pos=self._place)
        if self._hold:
            self.rest(self._hold)
        QTest.mouseRelease(self._canvas, button, pos=self._place)
        self._clicks, self._loop = clicks, QEventLoop()
        end = QTimer()
        end.setSingleShot(True)
        end.timeout.connect(self._loop.quit)
        end.start(round(1000 * PATIENCE))
        self._loop.exec()
        drawn = time.perf_counter(), time.process_time(), time.thread_time()
        assert end.isActive(), "this takes too long"
        end.stop()
        self._loop = None
        self.rest(THINK)
        took = [after - before for before, after in zip(begin, drawn, strict=True)]
        annotation = self.widget.controller.annotation
        told = annotation.current.seconds if annotation and annotation.current else 0.0
        return Timed(*took, told or 0.0)

    def accept(self) -> None:
        """Press the key that accepts."""
        self._robot.press(Qt.Key.Key_N)
        self.rest(THINK)

    def mask(self, wanted: NDArray[np.bool_]) -> NDArray[np.bool_]:
        """Return the mask of the current object, of the size of the picture."""
        session = self.widget.controller.session
        assert session is not None
        assert session.prediction is not None
        mask = np.zeros_like(wanted)
        box, part = session.prediction.trimmed
        mask[box[0] : box[2], box[1] : box[3]] = part
        return mask

    def close(self) -> None:
        """Close the window."""
        self.widget.shut_down()
        self.viewer.close()

    def _on_frame(self) -> None:
        """End the wait if the mask is drawn, now that a frame is on the screen."""
        if self._loop is not None and self._drawn():
            self._loop.quit()

    def _drawn(self) -> bool:
        annotation = self.widget.controller.annotation
        plane = None if annotation is None else annotation.current
        if plane is None or plane.session is None or plane.busy:
            return False
        known = plane.session.prediction is not None and plane.drawn.seen is not None
        return known and len(plane.session.clicks) == self._clicks


def click_on(user: User, image: Image, wanted: NDArray[np.bool_]) -> Timed:
    """Click on the middle of an object that has no click yet."""
    click = next_click(wanted, np.zeros_like(wanted))
    assert click is not None
    user.aim(image, click.pixel)
    user.rest(AIM)
    return user.click(1)


def follow(user: User, image: Image, wanted: NDArray[np.bool_], count: int) -> Timed:
    """Click where the mask is most wrong; it is the click of this number."""
    click: Click | None = next_click(wanted, user.mask(wanted))
    assert click is not None
    user.aim(image, click.pixel)
    user.rest(AIM)
    return user.click(count, positive=click.positive)


def measure(objects: int, starts: int, hold: float) -> dict[str, list[Timed]]:
    """Return the times of all clicks of one process."""
    user = User(hold)
    found: dict[str, list[Timed]] = {FIRST: [], FOLLOWING: [], STARTED: []}
    try:
        pixels, labels = picture(0)
        image = user.open(pixels)
        user.start()
        user.rest(REST)
        for label in range(objects + 1):  # the first one loads what is loaded late
            wanted = labels == (label % labels.max()) + 1
            times = [click_on(user, image, wanted)]
            times += [follow(user, image, wanted, count) for count in (2, 3, 4)]
            user.accept()
            if label:
                found[FIRST].append(times[0])
                found[FOLLOWING] += times[1:]
            if label % labels.max() == labels.max() - 1:
                pixels, labels = picture(label)
                image = user.open(pixels)
                user.start()
                user.rest(REST)
        for number in range(starts):
            found[STARTED].append(first_after_start(user, 100 + number))
    finally:
        user.close()
    return found


def first_after_start(user: User, seed: int) -> Timed:
    """Return the times of a click as soon as Start is pressed."""
    pixels, labels = picture(seed)
    image = user.open(pixels)
    middle = next_click(labels == 6, np.zeros_like(labels, dtype=bool))
    assert middle is not None
    user.aim(image, middle.pixel)
    user.start()
    return user.click(1)


def in_new_processes(count: int, hold: float, wait: float = 0.0) -> list[Timed]:
    """Return the times of a first click right after Start, each of a new process.

    Parameters
    ----------
    count, hold, wait
        How many, seconds for which the button is held, and seconds before Start.
    """
    command = [sys.executable, __file__, "--one", "--hold", str(1000 * hold)]
    command += ["--wait", str(wait)]
    found = []
    for _ in range(count):
        done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True)
        found.append(Timed(*json.loads(done.stdout.splitlines()[-1])))
    return found


def table(found: dict[str, list[Timed]]) -> str:
    """Return the figures in milliseconds, as a table in Markdown."""
    lines = [
        "| what | clicks | median | 95 % | status line | processor | window's thread |",
        "|---|---|---|---|---|---|---|",
    ]
    for what, times in found.items():
        if times:
            clock, *others = 1000 * np.array(times).T
            processor, window, told = map(np.median, others)
            figures = np.median(clock), np.quantile(clock, 0.95), told, processor
            cells = " | ".join(f"{value:.0f}" for value in (*figures, window))
            lines.append(f"| {what} | {len(times)} | {cells} |")
    return "\n".join(lines)


def main() -> None:
    """Open windows, click in them and print the table."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n", maxsplit=1)[0])
    parser.add_argument(
        "--objects", type=int, default=20, help="objects, 4 clicks on each"
    )
    parser.add_argument(
        "--starts", type=int, default=10, help="clicks right after Start"
    )
    parser.add_argument("--processes", type=int, default=3, help="new processes")
    parser.add_argument(
        "--hold", type=float, default=0, help="ms that the button is held down"
    )
    parser.add_argument("--one", action="store_true", help=argparse.SUPPRESS)
    parser.add_argument("--wait", type=float, default=0, help=argparse.SUPPRESS)
    options = parser.parse_args()
    with TemporaryDirectory() as folder:
        os.environ["NAPARI_GPCIS_STATE"] = folder  # else unsaved work is offered
        work(options)


def work(options: argparse.Namespace) -> None:
    """Do what was asked for."""
    hold = options.hold / 1000
    if options.one:
        user = User(hold)
        user.rest(options.wait)
        print(json.dumps(first_after_start(user, 0)))
        user.close()
        return
    before = os.getloadavg()[0]
    found = measure(options.objects, options.starts, hold)
    found[FRESH] = in_new_processes(options.processes, hold)
    found[CHOSEN] = in_new_processes(options.processes, hold, CHOOSING)
    print(table(found))
    after = os.getloadavg()[0]
    print(f"\n{os.cpu_count()} cores; load {before:.1f} before, {after:.1f} after")


if __name__ == "__main__":
    main()
