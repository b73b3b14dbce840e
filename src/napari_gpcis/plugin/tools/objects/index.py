"""Index of the finished objects of an image, plane by plane.

They are looked up on a thread of their own, never in the GUI thread: all planes once,
then those that have changed.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property, partial
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from qtpy.QtCore import Signal

from napari_gpcis.geometry import Entry, moved, overlap, scan, slices
from napari_gpcis.objects.measures import PlanePixels, mean_intensities
from napari_gpcis.plugin.background import BackgroundThread
from napari_gpcis.plugin.debouncing import Debouncer
from napari_gpcis.plugin.tools.base import Tool
from napari_gpcis.plugin.viewer.planes import Plane, full_resolution, layer_shape

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from numpy.typing import NDArray
    from qtpy.QtCore import QObject

    from napari_gpcis.plugin.annotation.annotation import Annotation
    from napari_gpcis.plugin.annotation.controller import Controller
    from napari_gpcis.plugin.annotation.plane import PlaneAnnotation
    from napari_gpcis.plugin.labels.live_mask import LiveMask
    from napari_gpcis.session.labels import ObjectNote

DELAY = 200
"""Milliseconds of quiet before changed planes are looked up."""
NEWS = 30
"""Milliseconds in which news is gathered."""


class Found(NamedTuple):
    """One object on one plane, how it came, and its mean intensity, where known."""

    label: int
    plane: Plane
    entry: Entry
    note: ObjectNote | None = None
    mean: float | None = None

    @property
    def quality(self) -> float | None:
        """Expected IoU, where the model tells it."""
        return None if self.note is None else self.note.quality

    @property
    def place(self) -> tuple[int, Plane]:
        """Id and plane: what tells it from all others."""
        return self.label, self.plane


class ObjectIndex(Tool):
    """Index of the finished objects, as they are without those being clicked.

    An object that is being corrected is listed as it was before, and so is one that the
    current object covers: what becomes of the current object does not matter.
    `AnnotationEvents` tells which planes have changed: of finished objects by
    ``objects_changed``, of pixels that others draw by ``drawn_by_others``.

    Parameters
    ----------
    controller
        Its annotations are followed.
    parent
        Qt parent.
    """

    changed = Signal()
    """Emitted when objects were added, changed or deleted."""
    looked_up = Signal()
    """Emitted when a plane was looked up anew; not at a click."""
    ended = Signal(object, object)
    """Emitted after an annotation has ended, with it and all its finished objects."""

    def __init__(self, controller: Controller, parent: QObject | None = None) -> None:
        super().__init__(controller, parent)
        self._planes: dict[Plane, dict[int, Entry]] = {}
        self._found: dict[Plane, list[Found]] = {}
        self._means: dict[Plane, dict[int, float]] = {}
        self._axes: tuple[int, int] | None = None
        self._told: dict[Plane, int] = {}  # what was left out when it was told last
        self._waiting: set[Plane] = set()  # to be asked for soon
        self._asked: set[Plane] = set()
        self._thread = BackgroundThread(self, "object index")
        self._looking = Debouncer(self._look, DELAY, self)
        self._telling = Debouncer(self._tell, NEWS, self)

    def close(self) -> None:
        """Let go of the annotation, and end the thread."""
        super().close()
        self._thread.close()

    @property
    def busy(self) -> bool:
        """True if planes are being looked up, or will be soon."""
        return bool(self._waiting or self._asked) or self._telling.pending

    def objects(self) -> list[Found]:
        """Return all finished objects, plane by plane, by ascending id."""
        left_out = self._left_out()
        found: list[Found] = []
        for plane in sorted(self._planes, key=lambda plane: plane.steps):
            current = left_out.get(plane)
            found += [one for one in self._found[plane] if one.label != current]
        return found

    def on_attached(self, annotation: Annotation) -> None:
        """Follow its labels and its objects."""
        events, labels = annotation.events, annotation.layers.labels
        self.follow(events.plane_entered, self._on_plane)
        self.follow(events.objects_changed, self.look_up)
        self.follow(events.drawn_by_others, self.look_up)
        self.follow(events.predicted, self._on_predicted)
        self.follow(events.whole, self._looking.throttle)
        self.follow(events.clicks_changed, self._on_clicks)
        self.follow(annotation.image.events.data, self._on_image)
        self.follow(labels.events.data, self._on_data)

    def on_detached(self, annotation: Annotation) -> None:
        """Forget its objects, once what has changed last is looked up."""
        self._looking.cancel()
        for plane in self._asked:
            self._thread.cancel(plane)
        self._look_last(annotation)
        self._waiting.clear()
        self._asked.clear()
        self._planes.clear()
        self._found.clear()
        self._means.clear()
        self._axes = None
        self.changed.emit()

    def _look_last(self, annotation: Annotation) -> None:
        """Look up the planes that have changed before an annotation ended."""
        image, labels = annotation.image, annotation.layers.labels
        left = [one for one in self._waiting | self._asked if one.axes == self._axes]
        if not (self._found or left) or layer_shape(image) != layer_shape(labels):
            return
        known, pixels = {**self._found}, full_resolution(image)
        jobs = {
            plane: partial(
                _found_on,
                plane,
                plane.take(labels.data),
                PlanePixels(pixels, plane.index),
                (self._planes.get(plane, {}), self._means.get(plane, {})),
                dict(annotation.notes.of(plane)),
            )
            for plane in left
        }

        def look(cancelled: Callable[[], bool]) -> list[Found]:
            known.update({plane: job(cancelled) for plane, job in jobs.items()})
            order = sorted(known, key=lambda plane: plane.steps)
            return [one for plane in order for one in known[plane]]

        def tell(found: list[Found], _seconds: float) -> None:
            self.ended.emit(annotation, found)

        self._thread.submit(("last", id(annotation)), look, tell, lambda _: None)

    def _on_plane(self) -> None:
        """Look up all planes of a new orientation; the displayed one first."""
        annotation, current = self.annotation, self.current
        if annotation is None or current is None:
            return
        if current.plane.axes != self._axes:
            self._axes = current.plane.axes
            self._planes.clear()
            self._found.clear()
            shape = layer_shape(annotation.layers.labels)
            self.look_up([current.plane, *planes_of(shape, self._axes)])

    def _on_clicks(self, known: PlaneAnnotation) -> None:
        """Tell of an object that is clicked on again, or not any more."""
        plane, live = known.plane, known.drawn.live
        found = live.alone and live.label in self._planes.get(plane, ())
        left_out = live.label if found and known.clicks else 0
        if left_out != self._told.get(plane, 0):
            self._telling.throttle()

    def _on_predicted(self, known: PlaneAnnotation) -> None:
        """Look a plane up anew whose mask was drawn while it was looked up."""
        if known.plane in self._asked:
            self.look_up([known.plane])

    def _on_image(self, *_: Any) -> None:
        """Measure all objects anew."""
        self._means.clear()
        self.look_up(self._planes)

    def _on_data(self, *_: Any) -> None:
        self._axes = None
        self._on_plane()

    def look_up(self, planes: Iterable[Plane]) -> None:
        """Look these planes up soon."""
        self._waiting.update(planes)
        self._looking.throttle()

    def _left_out(self) -> dict[Plane, int]:
        """Return the ids of objects that were found and are clicked, by plane."""
        current = {} if self.annotation is None else self.annotation.current_labels()
        known = self._planes
        return {
            at: label for at, label in current.items() if label in known.get(at, ())
        }

    def _tell(self) -> None:
        self._told = self._left_out()
        self.changed.emit()

    def _look(self) -> None:
        """Ask the thread for the planes that wait; once large masks are drawn."""
        annotation = self.annotation
        if annotation is None or annotation.drawing_rest:
            return
        data, image = annotation.layers.labels.data, full_resolution(annotation.image)
        planes = sorted(self._waiting, key=lambda plane: plane.steps)
        self._asked.update(planes)
        self._waiting.clear()  # now: what changes from here on is looked up again
        for plane in planes:
            drawn, live = plane.take(data), annotation.live_of(plane)
            job = partial(
                _measured,
                drawn if live is None else _Finished(drawn, live),
                PlanePixels(image, plane.index),
                self._planes.get(plane, {}),
                self._means.get(plane, {}),
            )
            found = partial(self._on_found, plane)
            self._thread.submit(plane, job, found, partial(self._on_failed, plane))

    def _on_found(
        self, plane: Plane, measured: _Measured | None, _seconds: float
    ) -> None:
        self._asked.discard(plane)
        if measured is None or self.annotation is None or plane.axes != self._axes:
            return
        self._planes[plane], self._means[plane] = measured
        notes = self.annotation.notes.of(plane)
        self._found[plane] = measured.objects(plane, notes)
        self._telling.throttle()
        self.looked_up.emit()

    def _on_failed(self, plane: Plane, _error: Exception) -> None:
        self._asked.discard(plane)


@dataclass(frozen=True)
class _Finished:
    """Labels of a plane as they are without its current object.

    Attributes
    ----------
    drawn
        What is drawn, shape (H, W).
    live
        What the object shows and hides, which does not change any more.
    """

    drawn: NDArray[np.integer[Any]]
    live: LiveMask

    @cached_property
    def before(self) -> NDArray[np.integer[Any]]:
        """What is in the box of the live mask without it (first on the thread)."""
        before = np.array(self.drawn[slices(self.live.box)])
        self.live.remove_from(before, self.live.box)
        return before

    @property
    def shape(self) -> tuple[int, ...]:
        """Rows and columns of the plane."""
        return self.drawn.shape

    def __getitem__(self, place: slice | tuple[slice, slice]) -> NDArray[Any]:
        """Return the labels of some rows, or of some rows and columns."""
        rows, cols = place if isinstance(place, tuple) else (place, slice(None))
        part = self.drawn[rows, cols]
        top, bottom, _ = rows.indices(self.shape[0])
        left, right, _ = cols.indices(self.shape[1])
        if not overlap((top, left, bottom, right), self.live.box):
            return part
        part = part.copy()
        there = moved(self.live.box, (-top, -left))
        low = max(there[0], 0), max(there[1], 0)
        high = min(there[2], bottom - top), min(there[3], right - left)
        within = moved((*low, *high), (-there[0], -there[1]))
        part[slices((*low, *high))] = self.before[slices(within)]
        return part


FEW = 500
"""So many objects of a plane in memory are measured anew whenever one has changed."""


class _Measured(NamedTuple):
    """Sizes and places of the objects of a plane, and their mean intensities."""

    entries: dict[int, Entry]
    means: dict[int, float]

    def objects(self, plane: Plane, notes: Mapping[int, ObjectNote]) -> list[Found]:
        """Return the objects, and how each came."""
        return [
            Found(label, plane, entry, notes.get(label), self.means.get(label))
            for label, entry in self.entries.items()
        ]


def _measured(
    labels: Any,
    image: PlanePixels,
    entries: Mapping[int, Entry],
    means: Mapping[int, float],
    cancelled: Callable[[], bool],
) -> _Measured | None:
    """Look up the objects of a plane, and measure those that have changed.

    Parameters
    ----------
    labels, image
        The plane.
    entries, means
        What was found before.
    cancelled
        Asked now and then; if true the answer is ``None``.
    """
    now = scan(labels, cancelled)
    if now is None:
        return None
    few = len(now) <= FEW and image.in_memory
    changed = [
        (label, entry.box)
        for label, entry in now.items()
        if few or label not in means or entries.get(label) != entry
    ]
    again = mean_intensities(labels, image, changed, cancelled)
    kept = {label: means[label] for label in now if label in means}
    return None if cancelled() else _Measured(now, {**kept, **again})


def _found_on(
    plane: Plane,
    labels: Any,
    image: PlanePixels,
    before: tuple[Mapping[int, Entry], Mapping[int, float]],
    notes: Mapping[int, ObjectNote],
    cancelled: Callable[[], bool],
) -> list[Found]:
    """Return the objects of a plane, of which `before` was found before."""
    measured = _measured(labels, image, *before, cancelled)
    return [] if measured is None else measured.objects(plane, notes)


def planes_of(shape: tuple[int, ...], axes: tuple[int, int]) -> list[Plane]:
    """Return all planes of a layer along these two axes."""
    rest = [1 if axis in axes else size for axis, size in enumerate(shape)]
    return [Plane(axes, tuple(map(int, place))) for place in np.ndindex(*rest)]
