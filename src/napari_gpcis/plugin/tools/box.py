"""A box drawn with the mouse begins an object: it is zoomed to, its middle clicked."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from qtpy.QtCore import QObject, Signal

from napari_gpcis.plugin.connections import Connections
from napari_gpcis.plugin.viewer.overlays import CurveOverlay

if TYPE_CHECKING:
    from napari_gpcis.plugin.annotation.annotation import Annotation
    from napari_gpcis.plugin.annotation.controller import Binding
    from napari_gpcis.plugin.viewer.planes import Box

LEAST = 3
"""Rows and columns a box must have."""


class BoxTool(QObject):
    """Draws boxes: with Shift held, or always while the tool is on.

    Parameters
    ----------
    binding
        Whose annotation is followed.
    parent
        Qt parent.
    """

    changed = Signal()
    """Emitted when the tool was switched on or off."""

    def __init__(self, binding: Binding, parent: QObject | None = None) -> None:
        super().__init__(parent)
        self._on = False
        self._annotation: Annotation | None = None
        self._sketch: CurveOverlay | None = None
        self._connections = Connections()
        binding.started.connect(self._on_started)
        binding.stopped.connect(self.close)
        binding.register("box_tool", self.toggle)

    @property
    def on(self) -> bool:
        """Whether every drag draws a box; may be set."""
        return self._on

    @on.setter
    def on(self, on: bool) -> None:
        if on != self._on:
            self._on = on
            self._arm()
            self.changed.emit()

    def toggle(self) -> None:
        """Switch the tool on or off."""
        self.on = not self._on

    def close(self) -> None:
        """Let go of the annotation."""
        annotation, self._annotation = self._annotation, None
        if annotation is None:
            return
        self._connections.end()
        for layer in annotation.prompts.layers.values():
            layer.mouse_pan = True
        if self._sketch is not None:
            self._sketch.close()
        self._sketch = None

    def _on_started(self, annotation: Annotation) -> None:
        self._annotation = annotation
        self._sketch = CurveOverlay(annotation.viewer, annotation.image, "box")
        self._connections.connect(annotation.prompts.dragged, self._on_dragged)
        self._connections.connect(annotation.prompts.boxed, self._on_boxed)
        for layer in annotation.prompts.layers.values():
            self._connections.connect(layer.events.mode, self._arm)
        self._arm()

    def _arm(self, *_: Any) -> None:
        """Let a drag draw instead of moving the image, while the tool is on."""
        if self._annotation is None:
            return
        self._annotation.prompts.boxing = self._on
        for layer in self._annotation.prompts.layers.values():
            if str(layer.mode) == "add":
                layer.mouse_pan = not self._on

    def _on_dragged(self, start: Any, end: Any) -> None:
        """Draw the rectangle while the mouse moves."""
        annotation = self._annotation
        current = None if annotation is None else annotation.current
        if annotation is None or current is None or self._sketch is None:
            return
        top, left, bottom, right = _corners(current.plane.axes, start, end)
        corners = [
            (top, left),
            (top, right),
            (bottom, right),
            (bottom, left),
            (top, left),
        ]
        colour = annotation.prompts.layers[True].current_face_color
        self._sketch.show(current.plane, [np.array(corners)], colour)

    def _on_boxed(self, start: Any, end: Any) -> None:
        """Begin an object with the box."""
        annotation = self._annotation
        if annotation is None or self._sketch is None:
            return
        self._sketch.clear()
        current = annotation.current
        if current is None:
            return
        box = _inside(_corners(current.plane.axes, start, end), current.shape)
        if box is None:
            annotation.say("That box is too small: draw it around the object.")
        else:
            current.draw_box(box)


def _corners(
    axes: tuple[int, int], start: Any, end: Any
) -> tuple[float, float, float, float]:
    """Return the box between two points of the image."""
    rows = sorted(float(point[axes[0]]) for point in (start, end))
    cols = sorted(float(point[axes[1]]) for point in (start, end))
    return rows[0], cols[0], rows[1], cols[1]


def _inside(
    corners: tuple[float, float, float, float], shape: tuple[int, int]
) -> Box | None:
    """Return the pixels in the box that the image has; ``None`` if too few."""
    low = np.maximum(np.floor(np.array(corners[:2]) + 0.5), 0)
    high = np.minimum(np.floor(np.array(corners[2:]) + 0.5) + 1, shape)
    if np.any(high - low < LEAST):
        return None
    return int(low[0]), int(low[1]), int(high[0]), int(high[1])
