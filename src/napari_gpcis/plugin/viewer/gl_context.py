"""OpenGL context of the viewer, made current before napari frees a removed layer.

napari frees the OpenGL objects of a removed layer at once, in whatever context is
current. With two viewers that may be the context of the other window, where the same
numbers belong to other objects: then vispy reports ``GL_INVALID_VALUE``.
"""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING, Any

from qtpy import API_NAME, QT5

from napari_gpcis.plugin.connections import Connections

if QT5:
    msg = (
        f"napari-gpcis needs Qt 6, and napari runs with {API_NAME} here. Install "
        "PySide6 or PyQt6 instead: pip uninstall PyQt5, then pip install "
        "PySide6_Essentials"
    )
    raise ImportError(msg)

from qtpy.QtOpenGLWidgets import QOpenGLWidget

if TYPE_CHECKING:
    from napari.components import ViewerModel
    from qtpy.QtWidgets import QWidget


def canvases_around(part: QWidget) -> list[QOpenGLWidget]:
    """Return what napari draws on in a window: one widget of OpenGL.

    Parameters
    ----------
    part
        The main window of a viewer, or a widget in it or in a dock that floats.
    """
    window = part
    while (above := window.parentWidget()) is not None:
        window = above
    found: list[QOpenGLWidget] = window.findChildren(QOpenGLWidget)
    return found


class ContextKeeper:
    """Makes the viewer's GL context current before one of its layers is removed.

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
        """Disconnect from the viewer."""
        self._connections.end()

    def _make_current(self, _event: Any = None) -> None:
        with suppress(RuntimeError):  # Qt has deleted the widget already
            for canvas in canvases_around(self._widget):
                canvas.makeCurrent()
