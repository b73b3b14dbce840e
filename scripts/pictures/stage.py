"""A napari window of 1280 x 720 with the widget, a robot at the mouse, and a camera."""

from __future__ import annotations

import io
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import napari
import numpy as np
from PIL import Image, ImageDraw
from qtpy.QtCore import QPoint, Qt
from qtpy.QtTest import QTest
from qtpy.QtWidgets import QApplication

from napari_gpcis.plugin.dock.base import SectionArea
from napari_gpcis.plugin.robot import Robot, next_click, wait_for

if TYPE_CHECKING:
    from collections.abc import Callable

    from napari.layers import Layer
    from numpy.typing import NDArray
    from qtpy.QtWidgets import QAbstractButton, QWidget

    from napari_gpcis.plugin.widget import GPCISWidget

    Mask = NDArray[np.bool_]

FOLDER = Path(__file__).parents[2] / "docs" / "pictures"
SIZE = 1280, 720
LARGEST = 140_000
"""Bytes of a picture."""
COLOURS = 256, 192, 128, 96, 64, 48
KMEANS = 4
"""Rounds in which the palette comes closer to the colours that are there."""
PATIENCE = 1800.0
SETTLING = 0.6
"""Seconds for the window to find its size and for late drawings."""
POINTER = ((0, 0), (0, 17), (4, 13), (7, 19), (10, 18), (7, 12), (12, 12))
"""A mouse pointer: screenshots have none."""
LEFT, RIGHT = Qt.MouseButton.LeftButton, Qt.MouseButton.RightButton
PLAIN = Qt.KeyboardModifier.NoModifier


class Stage:
    """One window for one or several pictures.

    Parameters
    ----------
    theme
        ``"dark"`` or ``"light"``.
    """

    def __init__(self, theme: str = "dark") -> None:
        self.viewer = napari.Viewer(title="napari", show=True)
        self.viewer.theme = theme
        self.viewer.window.resize(*SIZE)
        self.robot = Robot(self.viewer)
        self.widget: GPCISWidget
        settle()

    def __enter__(self) -> Stage:
        """Return itself."""
        return self

    def __exit__(self, *_: object) -> None:
        """Close the window."""
        self.viewer.close()
        settle()

    def sample(self, name: str) -> Layer:
        """Open one of the sample images by napari's menu."""
        (layer,) = self.viewer.open_sample("napari-gpcis", name)
        return layer

    def open_widget(self, name: str = "GPCIS") -> Any:
        """Open a widget of the plugin as the menu does."""
        _, widget = self.viewer.window.add_plugin_dock_widget("napari-gpcis", name)
        self.widget = widget
        self.viewer.window.resize(*SIZE)
        settle()
        return widget

    def start(self) -> None:
        """Press Start and wait for the model."""
        self.push(self.widget.start_button)
        self.until(lambda: self.widget.session is not None)
        self.viewer.reset_view()
        settle()

    def push(self, button: QAbstractButton) -> None:
        """Press a button with the mouse, where it is seen."""
        self.show(button)
        middle = QPoint(button.width() // 2, button.height() // 2)
        QTest.mouseClick(button, LEFT, PLAIN, middle)
        QApplication.processEvents()

    def unfold(self, *titles: str) -> None:
        """Unfold sections of the widget, and fold all others."""
        for section in self.widget.sections:
            section.unfolded = section.title in titles
        settle()
        for section in self.widget.sections:
            if section.title == titles[-1]:
                self.show(section.content)
                self.show(section.header)

    def show(self, part: QWidget) -> None:
        """Turn to the page of a part of the widget, and scroll to it."""
        for scrolled in self.viewer.window._qt_window.findChildren(SectionArea):
            if scrolled.isAncestorOf(part):
                if scrolled in self.widget.pages.areas:
                    self.widget.pages.setCurrentWidget(scrolled)
                scrolled.ensureWidgetVisible(part)
        QApplication.processEvents()

    def look_at(self, mask: Mask, share: float = 0.4) -> None:
        """Zoom in on an object of the plane, as a user would before clicking."""
        places, point = np.argwhere(mask), self.current.plane.point
        low, high = point(*places.min(axis=0)), point(*places.max(axis=0))
        self.robot.look_at(self.image, low, high, share)
        settle()

    def click(self, row: float, col: float, *, positive: bool = True) -> None:
        """Click on the displayed plane and wait for the mask."""
        count = len(self.clicks)
        point = self.current.plane.point(row, col)
        self.robot.click(self.image, point, LEFT if positive else RIGHT)
        self.drawn(count + 1)

    def drawn(self, count: int) -> None:
        """Wait until the mask of so many clicks is drawn, and stays."""
        for _ in range(2):
            self.until(partial(self._drawn, count))
            settle()

    def warm_up(self, row: float, col: float) -> None:
        """Click once for nothing: the first click of all is slower than others."""
        self.click(row, col)
        self.robot.press(Qt.Key.Key_K)
        self.until(lambda: not self.clicks)

    def segment(self, wanted: Mask, clicks: int, good: float = 0.9) -> None:
        """Click until an object is good or so many clicks are made."""
        labels = self.plane_labels()
        taken = (labels > 0) & (labels != self.current.drawn.live.label)
        for _ in range(clicks):
            mask = (self.plane_labels() > 0) & ~taken
            inside = np.count_nonzero(mask & wanted)
            if inside > good * np.count_nonzero(mask | wanted):
                return
            click = next_click(wanted & ~taken, mask)
            if click is not None:
                self.click(click.row, click.col, positive=click.positive)

    def finish(self, wanted: Mask, clicks: int) -> None:
        """Zoom in on an object, click until it is very good, and accept it."""
        self.look_at(wanted)
        self.segment(wanted, clicks, good=0.94)
        self.accept()

    def accept(self) -> None:
        """Press N."""
        self.robot.press(Qt.Key.Key_N)
        self.until(lambda: not self.clicks)

    def until(self, condition: Callable[[], object]) -> None:
        """Let the window work until something holds."""
        if not wait_for(lambda: bool(condition()), PATIENCE):
            msg = "the window did not get there in time"
            raise RuntimeError(msg)

    def picture(self, name: str, pointer: tuple[float, float] | None = None) -> None:
        """Take a screenshot of the window.

        Parameters
        ----------
        name
            Of the file, without ending.
        pointer
            Pixel of the image at which a mouse pointer is drawn.
        """
        self._hide_seconds()
        settle()
        shot = self.viewer.screenshot(canvas_only=False, flash=False)[..., :3]
        picture = Image.fromarray(np.ascontiguousarray(shot))
        if picture.size != SIZE:
            msg = f"{name}: the window is {picture.size}, not {SIZE}"
            raise RuntimeError(msg)
        if pointer is not None:
            _draw_pointer(picture, self._in_window(pointer))
        save(picture, name)

    # What there is ----------------------------------------------------------------

    @property
    def image(self) -> Layer:
        """The image that is annotated."""
        return self._annotation.image

    @property
    def current(self) -> Any:
        """The displayed plane."""
        return self._annotation.current

    @property
    def clicks(self) -> Any:
        """The clicks of the current object."""
        return self.current.clicks

    def plane_labels(self) -> NDArray[np.integer]:
        """Return the labels of the displayed plane."""
        return np.asarray(self.current.plane.take(self._annotation.layers.labels.data))

    @property
    def _annotation(self) -> Any:
        annotation = self.widget.controller.annotation
        if annotation is None:
            msg = "nothing is annotated"
            raise RuntimeError(msg)
        return annotation

    def _hide_seconds(self) -> None:
        """Leave the time of the last click out: it is that of this machine."""
        controller = getattr(self.widget, "controller", None)
        annotation = None if controller is None else controller.annotation
        if annotation is not None and annotation.current is not None:
            annotation.current.seconds = None
            annotation.events.current_changed.emit()

    def _drawn(self, count: int) -> bool:
        session, current = self.widget.session, self.current
        return (
            session is not None
            and not current.busy
            and len(session.clicks) == count
            and session.prediction is not None
        )

    def _in_window(self, pixel: tuple[float, float]) -> tuple[int, int]:
        """Return where in the window a pixel of the displayed plane lies."""
        canvas = self.viewer.window._qt_viewer.canvas.native
        place = self.robot.position(self.image, self.current.plane.point(*pixel))
        inside = canvas.mapTo(self.viewer.window._qt_window, place)
        return inside.x(), inside.y()


def settle(seconds: float = SETTLING) -> None:
    """Let the window come to rest."""
    wait_for(lambda: False, seconds)


def save(picture: Image.Image, name: str) -> None:
    """Write a picture with a palette, as small as it has to be."""
    for colours in COLOURS:
        data = io.BytesIO()
        small = picture.quantize(
            colours, Image.Quantize.MAXCOVERAGE, KMEANS, dither=Image.Dither.NONE
        )
        small.save(data, "PNG", optimize=True)
        if data.tell() <= LARGEST:
            break
    FOLDER.mkdir(exist_ok=True)
    (FOLDER / f"{name}.png").write_bytes(data.getvalue())
    print(f"{name}.png: {data.tell() / 1000:.0f} kB, {colours} colours")


def _draw_pointer(picture: Image.Image, place: tuple[int, int]) -> None:
    corners = [(place[0] + x, place[1] + y) for x, y in POINTER]
    ImageDraw.Draw(picture).polygon(corners, fill="white", outline="black")
