"""Boxes drawn with the mouse: each begins an object with a click in its middle."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from qtpy.QtCore import Signal

from napari_gpcis.plugin.tools.base import Tool
from napari_gpcis.plugin.viewer.segments import Segments

if TYPE_CHECKING:
    from qtpy.QtCore import QObject

    from napari_gpcis.plugin.annotation.annotation import Annotation
    from napari_gpcis.plugin.annotation.controller import Controller
    from napari_gpcis.plugin.viewer.planes import Box

LEAST = 3
"""Rows and columns a box must have."""


class BoxTool(Tool):
    """Draws boxes: with Shift held, or always while the tool is on.

    Parameters
    ----------
    controller
        Its annotations are followed.
    parent
        Qt parent.
    """

    changed = Signal()
    """Emitted when the tool was switched on or off."""

    def __init__(self, controller: Controller, parent: QObject | None = None) -> None:
        super().__init__(controller, parent)
        self._on = False
        controller.register("box_tool", self.toggle)
        controller.cancels.append(self._cancel)

    @property
    def on(self) -> bool:
        """True if every drag draws a box; may be set."""
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

    def _cancel(self) -> bool:
        """Switch the tool off; return whether it was on."""
        was_on, self.on = self._on, False
        return was_on

    def on_attached(self, annotation: Annotation) -> None:
        """Follow drags over the clicks' layers."""
        self.follow(annotation.click_layers.dragged, self._on_dragged)
        self.follow(annotation.click_layers.boxed, self._on_boxed)
        for layer in annotation.click_layers.layers.values():
            self.follow(layer.events.mode, self._arm)
        self._arm()

    def on_detached(self, annotation: Annotation) -> None:
        """Let drags move the image again."""
        for layer in annotation.click_layers.layers.values():
            layer.mouse_pan = True
        annotation.curves.clear(_BOX)

    def _arm(self, *_: Any) -> None:
        """Let a drag draw instead of moving the image, while the tool is on."""
        if self.annotation is None:
            return
        self.annotation.click_layers.boxing = self._on
        for layer in self.annotation.click_layers.layers.values():
            if str(layer.mode) == "add":
                layer.mouse_pan = not self._on

    def _on_dragged(self, start: Any, end: Any) -> None:
        """Draw the rectangle while the mouse moves."""
        annotation, current = self.annotation, self.current
        if annotation is None or current is None:
            return
        top, left, bottom, right = _corners(current.plane.axes, start, end)
        corners = [
            (top, left),
            (top, right),
            (bottom, right),
            (bottom, left),
            (top, left),
        ]
        colour = annotation.click_layers.layers[True].current_face_color
        rectangle = Segments.of_curves([np.array(corners)])
        annotation.curves.show(_BOX, current.plane, rectangle, colour)

    def _on_boxed(self, start: Any, end: Any) -> None:
        """Begin an object with the box."""
        current = self.current
        if self.annotation is not None:
            self.annotation.curves.clear(_BOX)
        if current is None:
            return
        box = _inside(_corners(current.plane.axes, start, end), current.shape)
        if box is None:
            self.say("That box is too small: draw it around the object.")
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


_BOX = "box"
