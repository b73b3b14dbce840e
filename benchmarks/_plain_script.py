"""The same masks as the widget's, by a plain script in the same window."""

from __future__ import annotations

import threading
import time
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from qtpy.QtWidgets import QApplication

from napari_gpcis.plugin.robot import Robot

if TYPE_CHECKING:
    from napari.layers import Image
    from napari.viewer import Viewer
    from numpy.typing import NDArray

    from napari_gpcis import Click, Segmenter

    Box = tuple[int, int, int, int]
    Place = tuple[float, float]

SIDE = 4096
"""Rows and columns of the image."""
RADIUS = 90
"""Of a small object, in pixels."""
STEP = 0.015
"""Seconds between two movements of the mouse."""
AFTER = 8
"""So many movements more, once something is done."""
MANY = 1 << 19
"""More pixels than these a script would set at once, and refresh the layer."""


class Drawn(NamedTuple):
    """A mask that the widget has drawn, and the clicks it came from."""

    clicks: tuple[Click, ...]
    view: Box | None
    box: Box
    mask: NDArray[np.bool_]


class Script:
    """The same masks without the widget: model on a thread, masks into a layer."""

    def __init__(
        self,
        viewer: Viewer,
        image: Image,
        drawn: list[Drawn],
        segmenter: Segmenter,
    ) -> None:
        viewer.layers.selection.active = image
        for layer in [layer for layer in viewer.layers if layer != image]:
            viewer.layers.remove(layer)
        self._image, self._drawn, self._segmenter = image, drawn, segmenter
        self._robot = Robot(viewer)
        self._labels = viewer.add_labels(np.zeros((SIDE, SIDE), dtype=np.int32))
        self._curve = viewer.add_vectors(np.zeros((0, 2, 2)), vector_style="line")
        self._points = viewer.add_points(np.empty((0, 2)), ndim=2, size=50)
        self._points.mode = "add"

    def work(self) -> None:
        """Make every mask again."""
        for number, drawn in enumerate(self._drawn, start=1):
            row, col = drawn.clicks[0].pixel
            wide = len(drawn.mask) > SIDE / 4
            middle = (SIDE / 2, SIDE / 2) if wide else (float(row), float(col))
            reach = SIDE / 2 if wide else 4.0 * RADIUS
            low = middle[0] - reach, middle[1] - reach
            high = middle[0] + reach, middle[1] + reach
            self._robot.look_at(self._image, low, high, 0.9)
            self._one(number, drawn, middle, reach)

    def _one(self, number: int, drawn: Drawn, middle: Place, reach: float) -> None:
        """Predict one mask on a thread while the mouse moves, and write it."""
        self._points.add(drawn.clicks[-1].pixel)
        predict = threading.Thread(target=self._predict, args=(drawn,), daemon=True)
        predict.start()
        angle = 0.0
        while predict.is_alive():
            move(self._robot, self._image, middle, reach, angle)
            self._draw_curve(middle, reach / 4 + angle)
            angle += 0.1
        self._write(drawn.box, drawn.mask, number)
        for _ in range(AFTER):
            move(self._robot, self._image, middle, reach, angle)
            angle += 0.1

    def _predict(self, drawn: Drawn) -> None:
        self._segmenter.predict(self._image.data, drawn.clicks, view=drawn.view)

    def _draw_curve(self, middle: Place, radius: float) -> None:
        """Draw a curve of a hundred pieces, as the preview does."""
        turn = np.linspace(0, 2 * np.pi, 101)
        curve = np.column_stack([np.sin(turn), np.cos(turn)]) * radius + middle
        self._curve.data = np.stack([curve[:-1], np.diff(curve, axis=0)], axis=1)

    def _write(self, box: Box, mask: NDArray[np.bool_], number: int) -> None:
        count = int(np.count_nonzero(mask))
        if count > MANY:
            self._labels.data[box[0] : box[2], box[1] : box[3]][mask] = number
            self._labels.refresh()
        elif count:
            rows, cols = np.nonzero(mask)
            self._labels.data_setitem((rows + box[0], cols + box[1]), number)


def move(robot: Robot, image: Image, middle: Place, reach: float, angle: float) -> None:
    """Move the mouse to a place of a spiral, and let the window work for a step."""
    radius = reach * (0.2 + 0.6 * (angle / 20 % 1))
    place = middle[0] + radius * np.sin(angle), middle[1] + radius * np.cos(angle)
    robot.move(image, place)
    spin(STEP)


def spin(seconds: float) -> None:
    """Let the window work."""
    end = time.perf_counter() + seconds
    while time.perf_counter() < end:
        QApplication.processEvents()
        time.sleep(0.001)
