"""Drawing with the mouse: boxes and lassos begin an object, scribbles are clicks."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np
from qtpy.QtCore import Signal

from napari_gpcis.clicks import Click
from napari_gpcis.plugin.annotation.click_layers import (
    BOX,
    LASSO,
    SCRIBBLE,
    SUPERPIXELS,
)
from napari_gpcis.plugin.annotation.plane import TAKEN
from napari_gpcis.plugin.tools.base import Tool
from napari_gpcis.plugin.viewer.segments import Segments

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray
    from qtpy.QtCore import QObject

    from napari_gpcis.plugin.annotation.annotation import Annotation
    from napari_gpcis.plugin.annotation.click_layers import Shape
    from napari_gpcis.plugin.annotation.controller import Controller
    from napari_gpcis.plugin.annotation.plane import PlaneAnnotation
    from napari_gpcis.plugin.viewer.planes import Box, Plane

LEAST = 3
"""Rows and columns a box or a lasso must have."""
MOST_CLICKS = 5
"""Clicks of a scribble: the Gaussian process gains nothing from more on one line."""
APART = 4.0
"""Pixels that the clicks of a scribble are apart, at least."""


FINISHED = (
    "A finished object is chosen, as by a click: correct it, or begin beside it for a "
    "new one."
)


class DrawingTool(Tool):
    """Draws boxes (with Shift held, too), lassos and scribbles by drags.

    What superpixels do that are drawn over is told in
    :mod:`.tools.superpixels.painting`.

    Parameters
    ----------
    controller
        Its annotations are followed.
    parent
        Qt parent.
    """

    changed = Signal()
    """Emitted when another shape was chosen, or none."""

    def __init__(self, controller: Controller, parent: QObject | None = None) -> None:
        super().__init__(controller, parent)
        self._shape: Shape | None = None
        for shape in (BOX, LASSO, SCRIBBLE, SUPERPIXELS):
            controller.register(f"{shape}_tool", partial(self.toggle, shape))
        controller.cancels.append(self._cancel)

    @property
    def shape(self) -> Shape | None:
        """Shape that every drag draws, see :data:`.Shape`; may be set."""
        return self._shape

    @shape.setter
    def shape(self, shape: Shape | None) -> None:
        if shape != self._shape:
            self._shape = shape
            self._arm()
            self.changed.emit()

    def toggle(self, shape: Shape) -> None:
        """Draw a shape by every drag, or stop that."""
        self.shape = None if self._shape == shape else shape

    def _cancel(self) -> bool:
        """Draw no more; return whether something was to be drawn."""
        was_on, self.shape = self._shape is not None, None
        return was_on

    def on_attached(self, annotation: Annotation) -> None:
        """Follow drags over the clicks' layers."""
        self.follow(annotation.click_layers.dragged, self._on_dragged)
        self.follow(annotation.click_layers.drawn, self._on_drawn)
        for layer in annotation.click_layers.layers.values():
            self.follow(layer.events.mode, self._arm)
        self._arm()

    def on_detached(self, annotation: Annotation) -> None:
        """Let drags move the image again."""
        for layer in annotation.click_layers.layers.values():
            layer.mouse_pan = True
        annotation.curves.clear(_CURVE)

    def _arm(self, *_: Any) -> None:
        """Let a drag draw instead of moving the image, while a shape is chosen."""
        if self.annotation is None:
            return
        self.annotation.click_layers.draw(self._shape)
        for layer in self.annotation.click_layers.layers.values():
            if str(layer.mode) == "add":
                layer.mouse_pan = self._shape is None

    def _on_dragged(self, shape: Shape, path: Sequence[Any], positive: bool) -> None:
        """Draw the line while the mouse moves."""
        annotation, current = self.annotation, self.current
        if annotation is None or current is None or shape == SUPERPIXELS:
            return
        line = on_plane(path, current.plane)
        if shape == BOX:
            (top, left), (bottom, right) = line.min(axis=0), line.max(axis=0)
            corners = [(top, left), (top, right), (bottom, right), (bottom, left)]
            line = np.array([*corners, corners[0]])
        elif shape == LASSO:
            line = np.concatenate([line, line[:1]])
        colour = annotation.click_layers.layers[positive].current_face_color
        segments = Segments.of_curves([line])
        annotation.curves.show(_CURVE, current.plane, segments, colour)

    def _on_drawn(self, shape: Shape, path: Sequence[Any], positive: bool) -> None:
        """Do what was drawn."""
        current = self.current
        if shape == SUPERPIXELS:
            return
        if self.annotation is not None:
            self.annotation.curves.clear(_CURVE)
            self.annotation.click_layers.settle()
        if current is None:
            return
        line = on_plane(path, current.plane)
        if shape == BOX:
            self._draw_box(current, line)
        elif shape == LASSO:
            self._draw_lasso(current, line)
        elif positive and self._claimed(path[0]):
            self.say(FINISHED)
        else:
            self._draw_scribble(current, line, positive)

    def _claimed(self, place: Any) -> bool:
        """Choose the finished object at a point where a click would; return whether."""
        if self.annotation is None:
            return False
        clicks = self.annotation.click_layers
        if not clicks.claims(place):
            return False
        clicks.chosen.emit(place)
        return True

    def _draw_box(self, current: PlaneAnnotation, line: NDArray[np.float64]) -> None:
        """Begin an object with a box."""
        box = box_of_line(line, current.shape)
        if box is None:
            self.say("That box is too small: draw it around the object.")
        else:
            current.draw_box(box)

    def _draw_lasso(self, current: PlaneAnnotation, line: NDArray[np.float64]) -> None:
        """Begin an object with the mask inside a line."""
        found = mask_of_line(line, current.shape)
        if found is None:
            self.say("That lasso is too small: draw it along the object's border.")
        else:
            corner, mask = found
            box = (*corner, corner[0] + mask.shape[0], corner[1] + mask.shape[1])
            if not current.clicks and not current.finished_objects.has_room(box, mask):
                self.say(TAKEN)
            else:
                current.begin_with(mask, corner)

    def _draw_scribble(
        self, current: PlaneAnnotation, line: NDArray[np.float64], positive: bool
    ) -> None:
        """Add the clicks of a line, as one step of undo."""
        places = places_on_line(line, current.shape)
        if not len(places):
            self.say("That line is not on the image.")
            return
        clicks = [Click(float(row), float(col), positive) for row, col in places]
        current.change_clicks([*current.clicks, *clicks])


def box_of_line(line: NDArray[np.float64], shape: tuple[int, int]) -> Box | None:
    """Return the pixels of the image in the box of a line; ``None`` if too few.

    Parameters
    ----------
    line
        Shape (n, 2): rows and columns.
    shape
        Height and width of the image.
    """
    low = np.maximum(np.floor(line.min(axis=0) + 0.5), 0)
    high = np.minimum(np.floor(line.max(axis=0) + 0.5) + 1, shape)
    if np.any(high - low < LEAST):
        return None
    return int(low[0]), int(low[1]), int(high[0]), int(high[1])


def mask_of_line(
    line: NDArray[np.float64], shape: tuple[int, int]
) -> tuple[tuple[int, int], NDArray[np.bool_]] | None:
    """Return the pixels of the image inside a closed line; ``None`` if too few.

    Parameters
    ----------
    line
        Shape (n, 2): rows and columns; the last point is joined to the first.
    shape
        Height and width of the image.

    Returns
    -------
    tuple
        First row and column of the mask, and the mask, booleans.
    """
    from skimage.draw import polygon2mask  # slow to import

    box = box_of_line(line, shape)
    if box is None:
        return None
    corner, size = box[:2], (box[2] - box[0], box[3] - box[1])
    mask: NDArray[np.bool_] = polygon2mask(size, line - corner)
    if np.count_nonzero(mask) < LEAST**2:
        return None
    return corner, mask


def places_on_line(
    line: NDArray[np.float64], shape: tuple[int, int]
) -> NDArray[np.float64]:
    """Return at most five places along a line, evenly spaced, on the image.

    Parameters
    ----------
    line
        Shape (n, 2): rows and columns.
    shape
        Height and width of the image.

    Returns
    -------
    ndarray
        Shape (k, 2).
    """
    inside = (line > -0.5).all(axis=1) & (line < np.array(shape) - 0.5).all(axis=1)
    line = line[inside]
    if not len(line):
        return line
    along = np.hypot(*np.diff(line, axis=0).T) if len(line) > 1 else np.zeros(0)
    reached = np.concatenate([[0.0], np.cumsum(along)])
    count = int(np.clip(reached[-1] // APART + 1, 1, MOST_CLICKS))
    wanted = (np.arange(count) + 0.5) / count * reached[-1]
    return np.stack([np.interp(wanted, reached, axis) for axis in line.T], axis=1)


def on_plane(path: Sequence[Any], plane: Plane) -> NDArray[np.float64]:
    """Return points of the image as rows and columns of a plane, shape (n, 2)."""
    found: NDArray[np.float64] = np.asarray(path, dtype=float)[:, list(plane.axes)]
    return found


_CURVE = "drawing"
