"""Superpixels that the mouse is over, or a stroke crosses, with their outline."""

from __future__ import annotations

from itertools import pairwise
from typing import TYPE_CHECKING, Any

import numpy as np

from napari_gpcis.plugin.annotation.click_layers import SUPERPIXELS
from napari_gpcis.plugin.connections import Connections
from napari_gpcis.plugin.settings.preferences import click_colour
from napari_gpcis.plugin.tools.base import Tool
from napari_gpcis.plugin.tools.drawing import on_plane
from napari_gpcis.plugin.viewer.segments import Segments

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence

    from numpy.typing import NDArray
    from qtpy.QtCore import QObject

    from napari_gpcis.plugin.annotation.annotation import Annotation
    from napari_gpcis.plugin.annotation.click_layers import Shape
    from napari_gpcis.plugin.annotation.controller import Controller
    from napari_gpcis.plugin.tools.superpixels.outlined import Divided, Superpixels
    from napari_gpcis.plugin.viewer.planes import Plane

CURVE = "superpixels"
"""Name of the outline under the mouse, or of what a stroke has crossed."""
APART = 0.5
"""Pixels between the places at which a stroke is looked at."""


class CrossedSuperpixels(Tool):
    """Outlines the superpixel under the mouse, or those that a stroke has crossed.

    It does so while strokes paint with superpixels.

    Parameters
    ----------
    controller
        Its annotations are followed.
    superpixels
        The superpixels.
    parent
        Qt parent.
    """

    def __init__(
        self, controller: Controller, superpixels: Superpixels, parent: QObject
    ) -> None:
        super().__init__(controller, parent)
        self._superpixels = superpixels
        self._crossed: set[int] = set()
        self._path = 0  # points of the stroke that were looked at
        self._hovered: tuple[int, bool] | None = None
        self._place: Any = None  # of the mouse, in the world
        self._mouse = Connections()
        superpixels.changed.connect(self._on_changed)

    @property
    def divided(self) -> Divided | None:
        """The superpixels of the displayed plane, if they are there."""
        known, current = self._superpixels.divided, self.current
        if known is None or current is None or known.plane != current.plane:
            return None
        return known

    def take(self, path: Sequence[Any], plane: Plane) -> set[int]:
        """Return the superpixels that a finished stroke crosses; outline none.

        Parameters
        ----------
        path, plane
            Points of the stroke in the image, and the plane that it is on.
        """
        divided = self.divided
        if divided is not None:
            self._cross(divided, path, plane)
        crossed = {*self._crossed}
        self._clear()
        return crossed

    # Following --------------------------------------------------------------------

    def on_attached(self, annotation: Annotation) -> None:
        """Follow strokes over the clicks' layers, and whether they paint."""
        clicks = annotation.click_layers
        self.follow(clicks.drawing_changed, self._arm)
        self.follow(clicks.dragged, self._on_dragged)
        self._arm()

    def on_detached(self, annotation: Annotation) -> None:
        """Outline nothing any more."""
        self._ignore_mouse(annotation)
        annotation.curves.clear(CURVE)

    def _arm(self) -> None:
        """Watch the mouse while strokes paint."""
        annotation = self.annotation
        if annotation is None:
            return
        self._ignore_mouse(annotation)
        if strokes_paint(annotation):
            annotation.curves.prepare()
            for layer in annotation.click_layers.layers.values():
                layer.mouse_move_callbacks.append(self._on_move)
            over = annotation.viewer.events.mouse_over_canvas
            self._mouse.connect(over, self._on_over)
            self._mouse.connect(annotation.events.plane_entered, self._clear)
        self._clear()

    def _ignore_mouse(self, annotation: Annotation) -> None:
        self._mouse.end()
        for layer in annotation.click_layers.layers.values():
            if self._on_move in layer.mouse_move_callbacks:
                layer.mouse_move_callbacks.remove(self._on_move)

    def _on_over(self, *_: Any) -> None:
        if self.annotation and not self.annotation.viewer.mouse_over_canvas:
            self._clear()

    def _clear(self, *_: Any) -> None:
        """Outline nothing."""
        self._crossed.clear()
        self._path, self._hovered = 0, None
        if self.annotation is not None:
            self.annotation.curves.clear(CURVE)

    def _on_changed(self) -> None:
        """Outline the superpixel that is under the mouse now."""
        if self._hovered is not None:
            positive = self._hovered[1]
            self._clear()
            self._hover(self._place, positive)

    # The mouse --------------------------------------------------------------------

    def _on_move(self, _layer: Any, event: Any) -> None:
        """Outline the superpixel under the mouse."""
        if not (event.is_dragging or self._crossed):
            self._place = event.position
            self._hover(event.position, "Alt" not in event.modifiers)

    def _hover(self, position: Any, positive: bool) -> None:
        """Outline the superpixel at a place of the world, in the colour of a click."""
        annotation, current, divided = self.annotation, self.current, self.divided
        if annotation is None or current is None or divided is None:
            return
        place = annotation.image.world_to_data(position)
        found = divided.at(self._superpixels.level, on_plane([place], current.plane))
        if not found:
            self._clear()
            return
        hovered = found[0], positive
        if hovered != self._hovered:
            self._hovered = hovered
            self._outline(divided, found, positive)

    def _on_dragged(self, shape: Shape, path: Sequence[Any], positive: bool) -> None:
        """Outline what the stroke has crossed so far."""
        current, divided = self.current, self.divided
        if shape != SUPERPIXELS or current is None or divided is None:
            return
        before = len(self._crossed)
        self._cross(divided, path, current.plane)
        if len(self._crossed) > before:
            self._outline(divided, self._crossed, positive)

    def _cross(self, divided: Divided, path: Sequence[Any], plane: Plane) -> None:
        """Take note of the superpixels that the rest of a stroke crosses."""
        if len(path) <= self._path:  # another stroke
            self._path = 0
        line = on_plane(path[max(self._path - 1, 0) :], plane)
        self._path = len(path)
        found = divided.at(self._superpixels.level, densely(line))
        self._crossed.update(found)

    def _outline(self, divided: Divided, ids: Collection[int], positive: bool) -> None:
        annotation = self.annotation
        if annotation is None:
            return
        box, mask = divided.region(self._superpixels.level, ids)
        outline = Segments.of_labels(mask, box[:2])
        annotation.curves.show(CURVE, divided.plane, outline, click_colour(positive))


def strokes_paint(annotation: Annotation | None) -> bool:
    """Return whether strokes paint with superpixels."""
    return annotation is not None and annotation.click_layers.drawing == SUPERPIXELS


def densely(line: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return places along a line that leave out no pixel of any size.

    Parameters
    ----------
    line
        Shape (n, 2): rows and columns.
    """
    if len(line) < 2:
        return line
    parts = [line[:1]]
    for start, end in pairwise(line):
        count = max(int(np.ceil(np.hypot(*(end - start)) / APART)), 1)
        parts.append(start + np.arange(1, count + 1)[:, None] / count * (end - start))
    return np.concatenate(parts)
