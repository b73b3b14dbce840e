"""Existing objects, picked with the mouse to be corrected.

An object of the labels layer that is written into becomes the current one. An object
of any other labels layer begins a new one: that layer is only read.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np
from napari.layers import Labels

from napari_gpcis.geometry import box_of, slices
from napari_gpcis.plugin.tools.base import Tool
from napari_gpcis.plugin.viewer.layers import is_unplaced
from napari_gpcis.plugin.viewer.planes import (
    displayed_plane,
    full_resolution,
    layer_shape,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from qtpy.QtCore import QObject

    from napari_gpcis.geometry import Mask
    from napari_gpcis.plugin.annotation.annotation import Annotation
    from napari_gpcis.plugin.annotation.controller import Controller
    from napari_gpcis.plugin.viewer.planes import Plane


@dataclass(frozen=True)
class Picked:
    """Pixels of an object on a plane; ``label`` is ``None`` for another layer's."""

    plane: Plane
    corner: tuple[int, int]
    mask: Mask
    label: int | None


class Picking(Tool):
    """Makes an existing object the current one: by Alt-click, a key or a button.

    Parameters
    ----------
    controller
        Its annotations are followed.
    parent
        Qt parent.
    """

    def __init__(self, controller: Controller, parent: QObject | None = None) -> None:
        super().__init__(controller, parent)
        controller.register("refine", self.refine_at_cursor)

    def on_attached(self, annotation: Annotation) -> None:
        """Follow Alt-clicks."""
        self.follow(annotation.click_layers.picked, self._on_picked)

    def refine_at_cursor(self) -> None:
        """Refine the object under the mouse; over none, the selected label."""
        annotation = self.annotation
        if annotation is None or annotation.current is None:
            return
        place = annotation.image.world_to_data(annotation.viewer.cursor.position)
        found = next(self._under(annotation, np.asarray(place)), None)
        if found is None:
            self.refine_selected()
        else:
            self._ask(*found)

    def refine_selected(self) -> None:
        """Refine the object whose id is the selected label."""
        annotation = self.annotation
        if annotation is not None and annotation.current is not None:
            labels = annotation.layers.labels
            self._ask(labels, annotation.current.plane, int(labels.selected_label))

    def _on_picked(self, place: Any) -> None:
        annotation = self.annotation
        if annotation is None or annotation.current is None:
            return
        found = next(self._under(annotation, place), None)
        if found is None:
            annotation.say("No object there: Alt-click on one to correct it.")
        else:
            self._ask(*found)

    def _under(
        self, annotation: Annotation, place: Any
    ) -> Iterator[tuple[Labels, Plane, int]]:
        """Yield the objects under a point of the image, our own layer's first."""
        ours = annotation.layers.labels
        world = annotation.image.data_to_world(place)
        others = [
            layer
            for layer in reversed(annotation.viewer.layers)
            if isinstance(layer, Labels) and layer.visible and layer != ours
        ]
        for layer in (ours, *others):
            if layer_shape(layer) != layer_shape(annotation.image):
                continue
            if is_unplaced(layer) and annotation.current is not None:
                # masks that came without a pixel size: they lie on the image
                plane, found = annotation.current.plane, place
            else:
                plane = displayed_plane(annotation.viewer, layer)
                found = layer.world_to_data(world)
            point = np.floor(np.asarray(found) + 0.5).astype(int)
            rows, cols = plane.shape(layer_shape(layer))
            row, col = (int(point[axis]) for axis in plane.axes)
            if not (0 <= row < rows and 0 <= col < cols):
                continue
            label = int(np.asarray(plane.take(full_resolution(layer))[row, col]))
            if label > 0:
                yield layer, plane, label

    def _ask(self, layer: Labels, plane: Plane, label: int) -> None:
        """Have the object's pixels found, on the inference thread."""
        annotation = self.annotation
        if annotation is None or annotation.current is None:
            return
        if annotation.current.clicks:
            annotation.say("Accept or clear the current object first.")
            return
        ours = layer == annotation.layers.labels
        data = plane.take(full_resolution(layer))
        find = partial(_find, data, label, annotation.current.plane, ours)
        self.ask(find, self._on_found)

    def _on_found(self, picked: Picked | None, _seconds: float) -> None:
        current = self.current
        if picked is None:
            self.say("There is no object with the selected label on this plane.")
        elif current is not None and current.plane == picked.plane:
            current.begin_with(picked.mask, picked.corner, label=picked.label)


def _find(
    data: Any, label: int, plane: Plane, ours: bool, _cancelled: Callable[[], bool]
) -> Picked | None:
    """Find the pixels of an object in a plane's labels."""
    mask = np.asarray(data) == label
    box = box_of(mask)
    if label <= 0 or box is None:
        return None
    part = mask[slices(box)].copy()
    return Picked(plane, box[:2], part, label if ours else None)
