"""Robot user: real mouse clicks on the canvas of a viewer.

For the demo without a screen and for tests. Where to click is computed from a known
mask: first the middle of the object, then the middle of what is most wrong.
"""

from __future__ import annotations

import time
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import numpy as np
from qtpy.QtCore import QPoint, Qt
from qtpy.QtTest import QTest
from qtpy.QtWidgets import QApplication, QWidget
from scipy import ndimage

from napari_gpcis.clicks import Click
from napari_gpcis.geometry import deepest_pixel, depth
from napari_gpcis.plugin.viewer.gl_context import canvases_around
from napari_gpcis.plugin.viewer.planes import camera_of

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from napari.layers import Layer
    from napari.viewer import Viewer
    from numpy.typing import NDArray

    Mask = NDArray[np.bool_]


class Robot:
    """Mouse and keyboard on the canvas of a viewer.

    Parameters
    ----------
    viewer
        A viewer with a window; not the proxy a plugin gets.
    """

    def __init__(self, viewer: Viewer) -> None:
        self._viewer = viewer
        self._canvas: QWidget = canvases_around(viewer.window.main_menu.window())[0]

    def position(self, layer: Layer, point: Any) -> QPoint:
        """Return the place of a point of a layer on the canvas."""
        dims, camera = self._viewer.dims, camera_of(self._viewer)
        world = np.asarray(layer.data_to_world(point))
        shown = world[[axis - dims.ndim for axis in dims.displayed]]
        size = np.array([self._canvas.height(), self._canvas.width()])
        row, col = (shown - np.asarray(camera.center[-2:])) * camera.zoom + size / 2
        return QPoint(round(float(col)), round(float(row)))

    def look_at(self, layer: Layer, low: Any, high: Any, share: float) -> None:
        """Zoom so that a box of a layer takes a share of the canvas.

        Parameters
        ----------
        layer
            The layer.
        low, high
            Opposite corners of the box, points of the layer.
        share
            Share of the canvas' smaller side that the box's larger side takes.
        """
        dims, camera = self._viewer.dims, camera_of(self._viewer)
        corners = np.array([layer.data_to_world(low), layer.data_to_world(high)])
        shown = corners[:, [axis - dims.ndim for axis in dims.displayed]]
        side = float(np.abs(shown[1] - shown[0]).max())
        camera.zoom = share * min(self._canvas.height(), self._canvas.width()) / side
        camera.center = (0, *shown.mean(axis=0))
        QApplication.processEvents()  # layers learn what is visible when drawn

    def click(
        self,
        layer: Layer,
        point: Any,
        button: Qt.MouseButton = Qt.MouseButton.LeftButton,
        modifier: Qt.KeyboardModifier = Qt.KeyboardModifier.NoModifier,
    ) -> None:
        """Move the mouse to a point of a layer and click."""
        place = self.position(layer, point)
        QTest.mouseMove(self._canvas, place)
        QApplication.processEvents()
        QTest.mouseClick(self._canvas, button, modifier, place)

    def move(self, layer: Layer, point: Any) -> None:
        """Move the mouse to a point of a layer."""
        QTest.mouseMove(self._canvas, self.position(layer, point))
        QApplication.processEvents()

    def drag(
        self,
        layer: Layer,
        start: Any,
        end: Any,
        button: Qt.MouseButton = Qt.MouseButton.LeftButton,
        modifier: Qt.KeyboardModifier = Qt.KeyboardModifier.NoModifier,
    ) -> None:
        """Drag from one point of a layer to another."""
        self.draw(layer, (start, end), button, modifier)

    def draw(
        self,
        layer: Layer,
        points: Sequence[Any],
        button: Qt.MouseButton = Qt.MouseButton.LeftButton,
        modifier: Qt.KeyboardModifier = Qt.KeyboardModifier.NoModifier,
    ) -> None:
        """Drag along a line of points of a layer, at least two."""
        places = [self.position(layer, point) for point in points]
        QTest.mouseMove(self._canvas, places[0])
        QApplication.processEvents()
        QTest.mousePress(self._canvas, button, modifier, places[0])
        for begin, end in pairwise(places):
            for part in (0.3, 0.6, 1.0):
                QTest.mouseMove(self._canvas, begin + (end - begin) * part)
                QApplication.processEvents()
        QTest.mouseRelease(self._canvas, button, modifier, places[-1])

    def press(
        self,
        key: Qt.Key,
        modifier: Qt.KeyboardModifier = Qt.KeyboardModifier.NoModifier,
    ) -> None:
        """Press a key over the canvas."""
        QTest.keyClick(self._canvas, key, modifier)


def wait_for(condition: Callable[[], bool], seconds: float) -> bool:
    """Process events until a condition is true; return false after a time limit."""
    end = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > end:
            return False
        QApplication.processEvents()
        time.sleep(0.002)
    return True


def next_click(wanted: Mask, mask: Mask) -> Click | None:
    """Return the click in the middle of the largest error, ``None`` without one."""
    wrong, count = ndimage.label(wanted != mask)
    if count == 0:
        return None
    sizes = np.bincount(wrong.ravel())[1:]
    row, col = deepest_pixel(depth(wrong == int(sizes.argmax()) + 1))
    return Click(row, col, bool(wanted[row, col]))
