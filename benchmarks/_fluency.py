"""A large image in a real window: does it stay fluid while objects are clicked?

The same window does three things in turn: nothing; what a user does with the widget;
and, without the widget, what a plain script would do that runs the same model on a
thread and writes the same masks into a labels layer. The mouse moves all the time.
"""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

import numpy as np
from _ledger import Beat, Heartbeat, Ledger
from _plain_script import AFTER, RADIUS, SIDE, STEP, Drawn, Script, move, spin
from qtpy.QtCore import Qt

from napari_gpcis.plugin.dock.panels.files import FilesPanel
from napari_gpcis.plugin.robot import Robot
from napari_gpcis.plugin.settings.preferences import PREFERENCES
from napari_gpcis.plugin.widget import GPCISWidget

if TYPE_CHECKING:
    from collections.abc import Callable

    from napari.layers import Image, Labels
    from napari.viewer import Viewer
    from numpy.typing import NDArray

    from napari_gpcis import Segmenter

    Box = tuple[int, int, int, int]
    Place = tuple[float, float]

CELLS = ((3420, 700), (3400, 2050))
LARGE = (1400, 2048), (1300, 1960)
"""Middle and half axes of an ellipse of eight million pixels."""
START = "start (napari makes layers)"
IDLE = 50
"""Beats of the idle window that are enough."""
PATIENCE = 600.0
LEFT, RIGHT = Qt.MouseButton.LeftButton, Qt.MouseButton.RightButton


def picture() -> NDArray[np.uint16]:
    """Return an image of one very large object and some small ones, 4096 x 4096."""
    rng = np.random.default_rng(0)
    image = rng.integers(800, 1400, (SIDE, SIDE), dtype=np.uint16)
    rows, cols = np.ogrid[:SIDE, :SIDE]
    for middle, axes in (LARGE, *((cell, (RADIUS, RADIUS)) for cell in CELLS)):
        offset = (rows - middle[0]) / axes[0], (cols - middle[1]) / axes[1]
        image[offset[0] ** 2 + offset[1] ** 2 < 1] += 6000
    return image


@dataclass
class Figures:
    """The beats of the event loop, by what was done.

    Attributes
    ----------
    idle, script
        Of a window that nobody uses, and of the plain script.
    widget
        Of the widget, by what the user did.
    """

    idle: list[Beat] = field(default_factory=list)
    widget: dict[str, list[Beat]] = field(default_factory=dict)
    script: list[Beat] = field(default_factory=list)

    @property
    def used(self) -> list[Beat]:
        """All beats while the widget was used, once its layers were there."""
        works = [beats for what, beats in self.widget.items() if what != START]
        return [beat for beats in works for beat in beats]

    def table(self) -> str:
        """Return the figures in milliseconds, as a table in Markdown."""
        rows = {"nothing, an idle window": self.idle, **self.widget}
        rows |= {"all of it, with the widget": self.used}
        rows |= {"the same masks by a plain script": self.script}
        lines = [
            "| what is done | beats | late, median | late, 95 % | busy, most "
            "| ours, most | caused by us, most |",
            "|---|---|---|---|---|---|---|",
        ]
        for what, beats in rows.items():
            late, busy, own, caused = np.array(beats).T * 1000
            figures = (
                np.median(late),
                np.quantile(late, 0.95),
                busy.max(),
                own.max(),
                caused.max(),
            )
            cells = " | ".join(f"{value:.0f}" for value in figures)
            lines.append(f"| {what} | {len(beats)} | {cells} |")
        return "\n".join(lines)


def measure(viewer: Viewer, proxy: Any) -> Figures:
    """Do all three things in a viewer that is empty but shown.

    Parameters
    ----------
    viewer
        The viewer.
    proxy
        What napari hands to a plugin for it.
    """
    image = viewer.add_image(picture(), name="large", contrast_limits=(0, 8000))
    figures = Figures()
    with Ledger() as ledger:
        heart = Heartbeat(ledger)
        try:
            spin(0.5)
            heart.take()
            while len(heart.beats) < IDLE:
                spin(STEP)
            figures.idle = heart.take()
            user = User(viewer, proxy, image, heart, figures)
            preferred = PREFERENCES.hover_preview
            try:
                user.work()
            finally:
                PREFERENCES.hover_preview = preferred
            assert user.segmenter is not None
            script = Script(viewer, image, user.drawn, user.segmenter)
            spin(STEP)
            heart.take()
            script.work()
            figures.script = heart.take()
        finally:
            heart.stop()
    return figures


class User:
    """Somebody at the mouse of a window with the widget.

    Parameters
    ----------
    viewer, proxy, image
        The window and the layer.
    heart, figures
        What measures, and where the beats go.

    Attributes
    ----------
    drawn
        The masks that were drawn, in order.
    path
        Where the mouse has been while they were made.
    """

    def __init__(
        self,
        viewer: Viewer,
        proxy: Any,
        image: Image,
        heart: Heartbeat,
        figures: Figures,
    ) -> None:
        self.drawn: list[Drawn] = []
        self.segmenter: Segmenter | None = None
        self._viewer, self._image = viewer, image
        self._heart, self._figures = heart, figures
        self._robot = Robot(viewer)
        self._widget = GPCISWidget(proxy)
        viewer.window.add_dock_widget(self._widget, name="GPCIS")

    def work(self) -> None:
        """Click on small objects and on the large one; edit by hand in between."""
        self._do(START, self._start)
        if not PREFERENCES.hover_preview:
            self._press(Qt.Key.Key_W)
        for number, cell in enumerate(CELLS):
            self._look(cell, 4 * RADIUS)
            self._do("first click", lambda cell=cell: self._click(cell))
            edge = cell[0], cell[1] + RADIUS + 12
            self._do("second click", lambda edge=edge: self._click(edge, RIGHT))
            self._do("undo, redo of a click", self._undo_redo)
            self._do("accept", lambda: self._press(Qt.Key.Key_N))
            if number == 0:
                self._do("edit by hand", self._edit)
        self._look((SIDE / 2, SIDE / 2), SIDE / 2)
        middle = LARGE[0]
        self._do("click, 8 million pixels", lambda: self._click(middle))
        corner = 200.0, 200.0
        self._do("next click there", lambda: self._click(corner, RIGHT))
        self._do("undo, redo there", self._undo_redo)
        self._do("accept, 8 million pixels", lambda: self._press(Qt.Key.Key_N))
        with TemporaryDirectory() as folder:
            self._do("save, and three exports", lambda: self._save(Path(folder)))
        self._do("reopen it (undo)", lambda: self._press(Qt.Key.Key_U))
        self._do("clear it", lambda: self._press(Qt.Key.Key_K))
        self._widget.shut_down()
        self._viewer.window.remove_dock_widget(self._widget)

    def _do(self, what: str, act: Callable[[], None]) -> None:
        """Do something, move the mouse until it is done, and a little longer."""
        spin(STEP)
        self._heart.take()
        act()
        end = time.monotonic() + PATIENCE
        while not self._settled() and time.monotonic() < end:
            self._wander()
        for _ in range(AFTER):
            self._wander()
        self._note_mask()
        self._figures.widget.setdefault(what, []).extend(self._heart.take())

    def _start(self) -> None:
        self._widget.start()

    def _look(self, middle: Place, reach: float) -> None:
        """Zoom to a part of the image; the mouse is in its middle."""
        self._middle, self._reach, self._angle = middle, reach, 0.0
        low = middle[0] - reach, middle[1] - reach
        high = middle[0] + reach, middle[1] + reach
        self._robot.look_at(self._image, low, high, 0.9)

    _middle: Place = (SIDE / 2, SIDE / 2)
    _reach = SIDE / 2.0
    _angle = 0.0

    def _wander(self) -> None:
        """Move the mouse one step on a spiral within what is seen."""
        move(self._robot, self._image, self._middle, self._reach, self._angle)
        self._angle += 0.1

    def _click(self, place: Place, button: Qt.MouseButton = LEFT) -> None:
        self._robot.click(self._image, place, button)

    def _press(self, key: Qt.Key, *modifier: Qt.KeyboardModifier) -> None:
        self._robot.press(key, *modifier)

    def _undo_redo(self) -> None:
        self._press(Qt.Key.Key_U)
        for _ in range(AFTER):
            self._wander()
        self._press(Qt.Key.Key_U, Qt.KeyboardModifier.ShiftModifier)

    def _edit(self) -> None:
        """Draw a disk by hand, with an id that is not in use."""
        annotation = self._widget.controller.annotation
        assert annotation is not None
        labels: Labels = annotation.layers.labels
        labels.selected_label = 40
        labels.brush_size = 30
        labels.paint((SIDE - 100, 100), 40)

    def _save(self, folder: Path) -> None:
        """Write all that can be written of the work."""
        for name in ("save", "labels", "table", "coco"):
            self._files.write(name, folder / name)

    @property
    def _files(self) -> FilesPanel:
        return next(one for one in self._widget.panels if isinstance(one, FilesPanel))

    def _settled(self) -> bool:
        """Return whether the mask of all clicks is drawn, and all files are written."""
        if self._files.saver.busy:
            return False
        annotation = self._widget.controller.annotation
        current = None if annotation is None else annotation.current
        session = None if current is None else current.session
        if current is None or session is None or current.busy:
            return False
        done = session.prediction is not None or not session.clicks
        return done and current.clicks == session.clicks

    def _note_mask(self) -> None:
        session = self._widget.controller.session
        if session is None or session.prediction is None:
            return
        self.segmenter = session.segmenter
        found = session.prediction
        if not self.drawn or self.drawn[-1].clicks != found.clicks:
            self.drawn.append(Drawn(found.clicks, session.view, *found.trimmed))
