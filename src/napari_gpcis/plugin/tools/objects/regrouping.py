"""Regrouping of finished objects: one is split by two clicks, several are merged."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any, Literal, NamedTuple, TypeAlias

import numpy as np
from qtpy.QtCore import Signal

from napari_gpcis.clicks import Click
from napari_gpcis.division import split_mask
from napari_gpcis.plugin.connections import Connections
from napari_gpcis.plugin.tools.base import Tool
from napari_gpcis.plugin.viewer.segments import Segments

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from qtpy.QtCore import QObject

    from napari_gpcis.geometry import Box, Mask
    from napari_gpcis.inference.image import PreparedImage
    from napari_gpcis.inference.segmenter import Segmenter
    from napari_gpcis.plugin.annotation.annotation import Annotation
    from napari_gpcis.plugin.annotation.controller import Controller
    from napari_gpcis.plugin.tools.picking import Picking
    from napari_gpcis.plugin.viewer.planes import Plane

    Objects = Sequence[tuple[Plane, int]]

Task: TypeAlias = Literal["split", "merge"]
"""Task of the next clicks."""

CURVE, YELLOW = "regrouping", "#ffd400"
"""Name and colour of the outline of the object that was clicked first."""
RING = 3.0
"""Radius of the ring around the first click, in pixels, at most."""
SPLITTING = "Splitting ..."
SEARCH_ENDED = "The search ends here; what it has found is kept."
NOT_OPEN = "Not open yet: try again."
NOTHING_THERE = "There is no finished object."
ANOTHER = "That is another object: click on object {} again, or cancel."
SAME_PIXEL = "The two clicks must be at different places."
SAME_OBJECT = "Click on another object to merge it with object {}."
CHANGED = "The object has changed meanwhile: it was not split."


class Place(NamedTuple):
    """A click on a finished object: its plane, its id, and the pixel."""

    plane: Plane
    label: int
    pixel: tuple[int, int]


class Regrouping(Tool):
    """Splits an object by a click on either part, and merges two that are clicked.

    It waits for the clicks after a key or a button, and ends with the second.

    Parameters
    ----------
    controller
        Its annotations are followed.
    picking
        Knows which object is chosen: it is the first of two to be merged.
    selected
        Returns planes and ids of the objects that are selected in a list that is
        seen: if they are two or more, they are merged at once.
    parent
        Qt parent.

    Attributes
    ----------
    task
        What the next clicks do; ``None`` if they are clicks as ever.
    first
        The first of two clicks, once it was made.
    """

    changed = Signal()
    """Emitted when the task or the first click is another one."""

    def __init__(
        self,
        controller: Controller,
        picking: Picking,
        selected: Callable[[], Objects] = tuple,
        parent: QObject | None = None,
    ) -> None:
        super().__init__(controller, parent)
        self.task: Task | None = None
        self.first: Place | None = None
        self._picking, self._selected = picking, selected
        self._computing = False
        self._while_on = Connections()  # no click calls a tool that is off
        controller.register("split_object", self.split)
        controller.register("merge_objects", self.merge)
        controller.cancels.insert(0, self.stop)

    def on_detached(self, annotation: Annotation) -> None:
        """Wait for no click any more."""
        annotation.click_layers.taker = None
        annotation.curves.clear(CURVE)
        self._while_on.end()
        self._set(None)

    def split(self) -> None:
        """Wait for a click on either part of an object, or stop that."""
        if self.task == "split":
            self.stop()
        else:
            self._begin("split")

    def merge(self) -> None:
        """Merge what is selected in the list, or wait for two clicks, or stop that."""
        annotation, chosen = self.annotation, self._selected()
        if self.task == "merge":
            self.stop()
        elif annotation is not None and len({label for _, label in chosen}) > 1:
            self.stop()
            annotation.merge(chosen)
        else:
            known = self._picking.chosen
            if self._begin("merge") and known is not None:
                self._begin_with(*known)

    def stop(self) -> bool:
        """Wait for no click any more; return whether any was waited for."""
        was = self.task is not None
        self._while_on.end()
        if self.annotation is not None:
            self.annotation.click_layers.taker = None
            self.annotation.curves.clear(CURVE)
        if was:
            self.cancel_job()
            self._set(None)
        return was

    # Clicks -----------------------------------------------------------------------

    def _begin(self, task: Task) -> bool:
        """Wait for clicks; return whether that is possible."""
        annotation, current = self.annotation, self.current
        self.stop()
        if annotation is None or current is None:
            return False
        if current.clicks or current.session is None:
            self.say(current.occupied or NOT_OPEN)
            return False
        self._picking.choose_none()
        if not annotation.clicking:
            self.controller.ready()
        annotation.click_layers.taker = self._take
        events = annotation.events
        for signal in (events.plane_entered, events.objects_changed):
            self._while_on.connect(signal, self._start_over)
        self._while_on.connect(events.clicks_changed, self._on_clicks)
        self._set(task)
        return True

    def _set(self, task: Task | None, first: Place | None = None) -> None:
        """Take note of a task and its first click."""
        self._computing = False
        if (task, first) != (self.task, self.first):
            self.task, self.first = task, first
            self.changed.emit()

    def _start_over(self, *_: Any) -> None:
        """Forget the first click: its object may not be there."""
        if self.task is not None:
            self.cancel_job()
            if self.annotation is not None:
                self.annotation.curves.clear(CURVE)
            self._set(self.task)

    def _on_clicks(self, *_: Any) -> None:
        """Stop as soon as an object is being clicked: by undo, or by a script."""
        if self.task is not None and self.current is not None and self.current.clicks:
            self.stop()

    def _take(self, point: Any) -> None:
        """Take a click on the canvas."""
        place, first = self._place(point), self.first
        if self._computing:
            return
        if place is None:
            self.say(NOTHING_THERE)
        elif first is None:
            self._show(place)
        elif self.task == "merge":
            self._merge(first, place)
        else:
            self._split(first, place)

    def _place(self, point: Any) -> Place | None:
        """Return the finished object at a point of the image."""
        annotation, current = self.annotation, self.current
        pixel = None if current is None else current.plane.pixel(point)
        if annotation is None or current is None or pixel is None:
            return None
        row, col = (int(np.floor(value + 0.5)) for value in pixel)
        label = current.finished_objects.label_at(row, col)
        return Place(current.plane, label, (row, col)) if label > 0 else None

    def _begin_with(self, plane: Plane, label: int) -> None:
        """Take the object that was chosen as the first."""
        annotation, current = self.annotation, self.current
        if annotation is None or current is None or current.plane != plane:
            return
        found = annotation.masks(plane, [label]).get(label)
        if found is not None:
            box, mask = found
            row, col = np.argwhere(mask)[0]
            self._show(Place(plane, label, (int(row) + box[0], int(col) + box[1])))

    def _show(self, place: Place) -> None:
        """Take a click as the first, and show its object, and the place to split."""
        annotation = self.annotation
        if annotation is None:
            return
        box, mask = annotation.masks(place.plane, [place.label])[place.label]
        pieces = [Segments.of_labels(mask, box[:2])]
        if self.task == "split":
            radius = min(RING, max(1.0, min(mask.shape) / 8))
            angles = np.linspace(0, 2 * np.pi, 25)
            ring = np.stack([np.sin(angles), np.cos(angles)], axis=1) * radius
            pieces.append(Segments.of_curves([ring + place.pixel]))
        together = Segments(*map(np.concatenate, zip(*pieces, strict=True)))
        annotation.curves.show(CURVE, place.plane, together, YELLOW)
        self._set(self.task, place)

    def _merge(self, first: Place, second: Place) -> None:
        if second.label == first.label:
            self.say(SAME_OBJECT.format(first.label))
        elif self.annotation is not None:
            annotation = self.annotation
            self.stop()
            annotation.merge([(one.plane, one.label) for one in (first, second)])

    def _split(self, first: Place, second: Place) -> None:
        """Have the object divided, on the inference thread."""
        annotation, current = self.annotation, self.current
        if annotation is None or current is None or current.session is None:
            return
        if second.label != first.label:
            self.say(ANOTHER.format(first.label))
            return
        if second.pixel == first.pixel:
            self.say(SAME_PIXEL)
            return
        session = current.session
        box, mask = annotation.masks(first.plane, [first.label])[first.label]
        job = partial(
            _divide, session.segmenter, session.prepared, box, mask, first, second
        )
        self._computing = True
        ended = [end() for end in annotation.give_way]  # of those that would take long
        self.say(f"{SEARCH_ENDED} {SPLITTING}" if any(ended) else SPLITTING)
        self.ask(job, partial(self._on_divided, box, first, second), self._on_failed)

    def _on_divided(
        self,
        box: Box,
        first: Place,
        second: Place,
        parts: tuple[Mask, Mask] | None,
        _seconds: float,
    ) -> None:
        annotation = self.annotation
        self.stop()
        if annotation is None or parts is None:
            return
        clicks = Click(*first.pixel), Click(*second.pixel)
        if not annotation.split(first.label, box, parts, clicks):
            annotation.say(CHANGED)

    def _on_failed(self, error: Exception) -> None:
        """Report an error of the model: the next click tries again."""
        self._computing = False
        self.controller.worker.report(error)


def _divide(
    segmenter: Segmenter,
    prepared: PreparedImage,
    box: Box,
    mask: Mask,
    first: Place,
    second: Place,
    cancelled: Callable[[], bool],
) -> tuple[Mask, Mask] | None:
    """Divide an object between two clicks, see `split_mask`."""
    return split_mask(
        segmenter, prepared, box, mask, first.pixel, second.pixel, cancelled
    )
