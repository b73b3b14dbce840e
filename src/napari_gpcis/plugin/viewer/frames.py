"""Frames of the viewer's canvas: when what is drawn now is on the screen."""

from __future__ import annotations

from typing import TYPE_CHECKING

from qtpy.compat import isalive
from qtpy.QtCore import QObject
from qtpy.QtWidgets import QWidget

from napari_gpcis.plugin.viewer.gl_context import canvases_around

if TYPE_CHECKING:
    from collections.abc import Callable

    from qtpy.QtOpenGLWidgets import QOpenGLWidget


_is_alive: Callable[[QObject], bool] = isalive  # QtPy gives it no types


class Frames(QObject):
    """Tells once when the canvas has been drawn and is on the screen.

    Parameters
    ----------
    parent
        Qt parent; a widget in the viewer's window, or there is no canvas to see.
    """

    def __init__(self, parent: QObject | None = None) -> None:
        super().__init__(parent)
        self._canvas: QOpenGLWidget | None = None
        self._seen: Callable[[], object] | None = None

    def call_next(self, seen: Callable[[], object]) -> bool:
        """Draw the canvas, and call a function as soon as that is on the screen.

        Parameters
        ----------
        seen
            The function; one that was to be called before is not called any more.

        Returns
        -------
        bool
            ``False`` if the canvas is not to be seen now: nothing will be called.
        """
        canvas = self._canvas
        if canvas is None or not _is_alive(canvas):
            canvas = self._canvas = self._find()
        if canvas is None or not canvas.isVisible():
            return False
        if not canvas.window().windowHandle().isExposed():  # it is minimised
            return False
        if self._seen is None:
            canvas.frameSwapped.connect(self._on_swapped)
        self._seen = seen
        canvas.update()  # it may be that nothing else has changed
        return True

    def _find(self) -> QOpenGLWidget | None:
        """Return the canvas of the window."""
        part = self.parent()
        found = canvases_around(part) if isinstance(part, QWidget) else []
        return found[0] if found else None

    def _on_swapped(self) -> None:
        """Call the function; what it asks for comes with another frame."""
        seen, self._seen = self._seen, None
        if self._canvas is not None:
            self._canvas.frameSwapped.disconnect(self._on_swapped)
        if seen is not None:
            seen()
