"""The canvas of the right window is current in OpenGL when a layer is removed.

napari frees what a removed layer has drawn at once, in whatever OpenGL context is
current. With two viewers that may be a context of the other window, where the same
numbers belong to other objects: then vispy reports ``GL_INVALID_VALUE``.
"""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING, Any

from qtpy.QtOpenGLWidgets import QOpenGLWidget

from napari_gpcis.plugin.connections import Connections

if TYPE_CHECKING:
    from napari.components import ViewerModel
    from qtpy.QtWidgets import QWidget


class OwnCanvas:
    """Makes a window's canvas current before a layer of its viewer is removed.

    Parameters
    ----------
    viewer
        The viewer.
    widget
        Any widget in its window.
    """

    def __init__(self, viewer: ViewerModel, widget: QWidget) -> None:
        self._widget = widget
        self._connections = Connections()
        self._connections.connect(viewer.layers.events.removing, self._make_current)

    def close(self) -> None:
        """Follow the viewer no more."""
        self._connections.end()

    def _make_current(self, _event: Any = None) -> None:
        with suppress(RuntimeError):  # Qt has deleted the widget already
            for canvas in self._widget.window().findChildren(QOpenGLWidget):
                canvas.makeCurrent()
