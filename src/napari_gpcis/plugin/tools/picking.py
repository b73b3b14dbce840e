"""Existing objects, picked with the mouse: to be chosen, corrected or deleted.

A corrected object of the labels layer that is written into becomes the current one. An
object of any other labels layer begins a new one: that layer is only read.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np
from napari.layers import Labels
from qtpy.QtCore import Signal

from napari_gpcis.geometry import box_of, slices
from napari_gpcis.plugin.settings.preferences import PREFERENCES
from napari_gpcis.plugin.tools.base import TemporaryKeys, Tool
from napari_gpcis.plugin.viewer.layers import is_unplaced
from napari_gpcis.plugin.viewer.planes import (
    displayed_plane,
    full_resolution,
    layer_shape,
)
from napari_gpcis.plugin.viewer.segments import Segments

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from qtpy.QtCore import QObject

    from napari_gpcis.geometry import Box, Mask
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


CHOSEN, YELLOW = "chosen object", "#ffd400"
"""Name and colour of the outline of the chosen object."""
DELETE_KEYS = ("Delete", "Backspace")
"""Keys that delete the chosen object while the clicks' layer is active."""
NEAR = 3.0
"""Pixels between the two clicks of a double click, at most."""


class Picking(Tool):
    """Chooses an existing object, or makes it the current one, by the mouse or a key.

    A left click on a finished object chooses it, as long as no object is being clicked;
    a double click, an Alt-click, a key or a button makes it the current one. Keys and
    buttons of finished objects are about the chosen one.

    Parameters
    ----------
    controller
        Its annotations are followed.
    parent
        Qt parent.

    Attributes
    ----------
    chosen
        Plane and id of the chosen object, ``None`` if there is none.
    """

    changed = Signal()
    """Emitted when another object, or none, is chosen."""

    def __init__(self, controller: Controller, parent: QObject | None = None) -> None:
        super().__init__(controller, parent)
        self.chosen: tuple[Plane, int] | None = None
        self._coming: tuple[Plane, int] | None = None
        self._keys = TemporaryKeys()
        controller.register("refine", self.refine_at_cursor)
        controller.cancels.append(self.choose_none)

    def on_attached(self, annotation: Annotation) -> None:
        """Follow clicks on finished objects."""
        clicks, events = annotation.click_layers, annotation.events
        clicks.claims = self._claims
        self.follow(clicks.picked, self._on_picked)
        self.follow(clicks.chosen, self._on_chosen)
        self.follow(clicks.doubled, self._on_doubled)
        for signal in (events.clicks_changed, events.objects_changed):
            self.follow(signal, self._check_chosen)
        self.follow(events.plane_entered, self._on_entered)

    def on_detached(self, annotation: Annotation) -> None:
        """Choose nothing any more."""
        annotation.curves.clear(CHOSEN)
        self._keys.clear()
        self._coming = None
        if self.chosen is not None:
            self.chosen = None
            self.changed.emit()

    # Choosing ---------------------------------------------------------------------

    def choose(self, label: int) -> None:
        """Choose an object of the displayed plane: its outline is drawn."""
        annotation, current = self.annotation, self.current
        if annotation is None or current is None:
            return
        annotation.layers.labels.selected_label = label
        self.chosen, self._coming = (current.plane, label), None
        found = annotation.masks(current.plane, [label]).get(label)
        if found is None:
            self.choose_none()
            return
        self._outline(annotation, current.plane, *found)
        self._keys.bind(annotation, dict.fromkeys(DELETE_KEYS, self._on_delete))
        self.changed.emit()

    def chosen_on(self, plane: Plane) -> int:
        """Return the id of the object that is chosen on a plane; 0 for none."""
        known = self.chosen
        return known[1] if known is not None and known[0] == plane else 0

    def choose_on(self, plane: Plane, label: int) -> None:
        """Choose an object of a plane as soon as that is displayed.

        While an object is being clicked there, nothing is chosen.
        """
        current, self._coming = self.current, None
        if current is not None and current.plane != plane:
            self._coming = plane, label
        elif current is not None and not current.clicks:
            self.choose(label)

    def _on_entered(self) -> None:
        """Choose what was to be chosen on this plane, and nothing of another one."""
        self._check_chosen()
        coming, current = self._coming, self.current
        if coming is not None and current is not None and current.plane == coming[0]:
            self.choose_on(*coming)

    def _on_delete(self) -> None:
        """Delete the chosen object; points where the user selects points."""
        annotation = self.annotation
        if annotation is not None and not annotation.clicking:
            for layer in annotation.click_layers.layers.values():
                layer.remove_selected()
        else:
            self.delete_chosen()

    @staticmethod
    def _outline(annotation: Annotation, plane: Plane, box: Box, mask: Mask) -> None:
        """Draw the outline of the chosen object."""
        outline = Segments.of_labels(mask, box[:2])
        annotation.curves.show(CHOSEN, plane, outline, YELLOW)

    def choose_none(self) -> bool:
        """Choose nothing; return whether something was chosen."""
        known, self.chosen, self._coming = self.chosen, None, None
        if known is not None:
            self._keys.clear()
            if self.annotation is not None:
                self.annotation.curves.clear(CHOSEN)
            self.changed.emit()
        return known is not None

    def correct_chosen(self) -> None:
        """Correct the chosen object."""
        annotation, known = self.annotation, self.chosen
        if annotation is not None and known is not None:
            self.choose_none()
            self._ask(annotation.layers.labels, *known)

    def delete_chosen(self) -> None:
        """Delete the chosen object, as one undo step."""
        annotation, known = self.annotation, self.chosen
        if annotation is not None and known is not None:
            self.choose_none()
            annotation.delete([known])

    def _claims(self, place: Any) -> bool:
        """Return whether a click chooses a finished object instead of beginning one.

        It does not where the user wants to write over finished objects, or to change
        one of them.
        """
        current = self.current
        if current is None or not PREFERENCES.protect:
            return False
        begun = current.current.clicks or current.current.start is not None
        if begun or self.controller.writing.mode != "new":
            return False
        return self.finished_at(place) > 0

    def finished_at(self, place: Any) -> int:
        """Return the id of the finished object at a point of the image; 0 for none."""
        annotation, current = self.annotation, self.current
        if annotation is None or current is None:
            return 0
        pixel = current.plane.pixel(place)
        if pixel is None:
            return 0
        row, col = (int(np.floor(value + 0.5)) for value in pixel)
        label = current.finished_objects.label_at(row, col)
        return 0 if label == current.drawn.live.label else max(0, label)

    def _on_chosen(self, place: Any) -> None:
        label = self.finished_at(place)
        if label:
            self.choose(label)

    def _on_doubled(self, place: Any) -> None:
        """Correct the object under a double click; its first click was none."""
        current = self.current
        if current is None or not self.finished_at(place):
            return
        pixel, clicks = current.plane.pixel(place), current.current.clicks
        if pixel is not None and clicks:
            last = clicks[-1]
            if np.hypot(last.row - pixel[0], last.col - pixel[1]) <= NEAR:
                current.undo()
        self._on_picked(place)

    def _check_chosen(self, *_: Any) -> None:
        """Choose nothing any more if it is not there, or something else is done."""
        annotation, current, known = self.annotation, self.current, self.chosen
        if annotation is None or known is None:
            return
        plane, label = known
        begun = current is None or current.plane != plane or current.current.clicks
        found = None if begun else annotation.masks(plane, [label]).get(label)
        if found is None:
            self.choose_none()
        else:  # it may have been painted
            self._outline(annotation, plane, *found)

    # Correcting -------------------------------------------------------------------

    def refine_at_cursor(self) -> None:
        """Refine the chosen object, the one under the mouse, or the selected label."""
        annotation = self.annotation
        if annotation is None or annotation.current is None:
            return
        if self.chosen is not None:
            self.correct_chosen()
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
        self.choose_none()
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
        if annotation.current.occupied:
            annotation.say(annotation.current.occupied)
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
