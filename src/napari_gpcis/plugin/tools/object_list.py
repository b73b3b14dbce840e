"""Index of the finished objects of an image, plane by plane, and their table.

They are looked up on a thread of their own, never in the GUI thread: all planes once,
then those that have changed.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property, partial
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from qtpy.QtCore import (
    QAbstractTableModel,
    QModelIndex,
    QPersistentModelIndex,
    Qt,
    QTimer,
    Signal,
)
from qtpy.QtGui import QColor

from napari_gpcis.geometry import Entry, moved, overlap, scan, slices
from napari_gpcis.objects.classes import ClassedObjects
from napari_gpcis.objects.measures import (
    PlanePixels,
    equivalent_diameter,
    mean_intensities,
)
from napari_gpcis.plugin.background import BackgroundThread
from napari_gpcis.plugin.debouncing import Debouncer
from napari_gpcis.plugin.tools.base import Tool
from napari_gpcis.plugin.viewer.planes import Plane, full_resolution, layer_shape
from napari_gpcis.plugin.viewer.segments import Segments

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

    from napari.layers import Labels
    from numpy.typing import NDArray
    from qtpy.QtCore import QObject

    from napari_gpcis.plugin.annotation.annotation import Annotation
    from napari_gpcis.plugin.annotation.controller import Controller
    from napari_gpcis.plugin.annotation.plane import PlaneAnnotation
    from napari_gpcis.plugin.labels.live_mask import LiveMask
    from napari_gpcis.session.labels import ObjectNote

    Index = QModelIndex | QPersistentModelIndex


DELAY = 200
"""Milliseconds of quiet before changed planes are looked up."""


FLASH, FLASH_COLOUR = "flash", "#ffd400"
BLINK, TIMES = 180, 3
"""Milliseconds that a flashing outline is on or off, and how often."""


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


class Flash(Tool):
    """Outline of objects that is on and off a few times.

    Parameters
    ----------
    controller
        Its annotations are followed.
    parent
        Qt parent.
    """

    def __init__(self, controller: Controller, parent: QObject | None = None) -> None:
        super().__init__(controller, parent)
        self._shown: tuple[Plane, Segments] | None = None
        self._left = 0
        self._timer = QTimer(self)
        self._timer.setInterval(BLINK)
        self._timer.timeout.connect(self._turn)

    def on_detached(self, annotation: Annotation) -> None:
        """Show nothing."""
        self._timer.stop()
        annotation.curves.clear(FLASH)

    def show(self, plane: Plane, labels: Sequence[int]) -> None:
        """Flash the outlines of objects of a plane."""
        if self.annotation is None:
            return
        masks = self.annotation.masks(plane, labels).values()
        pieces = [Segments.of_labels(mask, box[:2]) for box, mask in masks]
        if pieces:
            together = Segments(*map(np.concatenate, zip(*pieces, strict=True)))
            self._shown, self._left = (plane, together), 2 * TIMES
            self._turn()
            self._timer.start()

    def _turn(self) -> None:
        """Draw the outlines, or take them away."""
        annotation = self.annotation
        if annotation is None or self._shown is None or self._left <= 0:
            self._timer.stop()
        elif self._left % 2:
            annotation.curves.clear(FLASH)
        else:
            annotation.curves.show(FLASH, *self._shown, FLASH_COLOUR)
        self._left -= 1


COLUMNS = (
    "Id",
    "Area",
    "Plane",
    "Quality",
    "Class",
    "Mean",
    "\u00d8 {}",
    "From",
    "Clicks",
)
PLANE, QUALITY, CLASS, MEAN, DIAMETER, ORIGIN, CLICKS = range(2, 9)
ORDER = (0, CLASS, 1, DIAMETER, MEAN, ORIGIN, CLICKS, QUALITY, PLANE)
"""Columns from left to right."""
_ABOUT = {
    0: "The number of the object in the labels layer, and its colour there.",
    1: "In pixels.",
    QUALITY: "How well the model expects the mask to fit (IoU).",
    MEAN: "Mean of the image on the object, of all its channels.",
    DIAMETER: "Diameter of a disk of the same area, in {}.",
    ORIGIN: (
        "By clicks, found by Find similar, propagated or interpolated, or corrected."
    ),
    CLICKS: "Number of clicks.",
}
UNITS = {"micrometer": "\u00b5m", "nanometer": "nm", "millimeter": "mm", "pixel": "px"}
"""Short names of units."""
_NOWHERE = QModelIndex()


class ObjectTable(QAbstractTableModel):
    """Table of finished objects: id with its colour, measures, how it came."""

    replacing = Signal(int, int)
    """Emitted with the first of some rows and the one after them, before they go."""
    replaced = Signal(int, int)
    """Emitted with the first of the rows that have come, and the one after them."""

    def __init__(self) -> None:
        super().__init__()
        self.rows: list[Found] = []
        self.classes = ClassedObjects()
        self._pixel, self._unit = (1.0, 1.0), "px"
        self._labels: Labels | None = None
        self._column, self._descending = 0, False

    def show(self, rows: list[Found], labels: Labels | None) -> None:
        """Show these objects.

        Only the rows between the first and the last that differ are replaced: what is
        selected of the others stays so by itself, however many they are.

        Parameters
        ----------
        rows
            The objects.
        labels
            The layer whose colours they have.
        """
        self._labels = labels
        self._know_pixel(rows)
        rows = self._in_order(rows)
        first, old, new = _differing(self.rows, rows)
        if first == old and first == new:
            return
        self.replacing.emit(first, old)
        if first < old:
            self.beginRemoveRows(_NOWHERE, first, old - 1)
            self.rows = self.rows[:first] + self.rows[old:]
            self.endRemoveRows()
        if first < new:
            self.beginInsertRows(_NOWHERE, first, new - 1)
            self.rows = rows
            self.endInsertRows()
        self.replaced.emit(first, new)

    def _know_pixel(self, rows: list[Found]) -> None:
        """Take the size and unit of a pixel from the layer."""
        if self._labels is None or not rows:
            return
        axes = rows[0].plane.axes
        height, width = (abs(float(self._labels.scale[axis])) for axis in axes)
        unit = str(getattr(self._labels, "units", ["pixel"] * 9)[axes[0]])
        now = (height, width), UNITS.get(unit, unit)
        if now != (self._pixel, self._unit):
            self._pixel, self._unit = now
            horizontal = Qt.Orientation.Horizontal
            self.headerDataChanged.emit(horizontal, DIAMETER, DIAMETER)

    def show_classes(self, classes: ClassedObjects) -> None:
        """Show other classes of the objects."""
        self.classes = classes
        if self.rows:
            last = self.index(len(self.rows) - 1, CLASS)
            self.dataChanged.emit(self.index(0, CLASS), last)
        if self._column == CLASS:
            order = Qt.SortOrder
            self.sort(
                CLASS,
                order.DescendingOrder if self._descending else order.AscendingOrder,
            )

    def sort(
        self, column: int, order: Qt.SortOrder = Qt.SortOrder.AscendingOrder
    ) -> None:
        """Sort by a column from now on; what is selected stays so."""
        self._column, self._descending = column, order == Qt.SortOrder.DescendingOrder
        self.layoutAboutToBeChanged.emit()
        before, self.rows = self.rows, self._in_order(self.rows)
        now = {found.place: row for row, found in enumerate(self.rows)}
        held = self.persistentIndexList()
        moved = [self.index(now[before[one.row()].place], one.column()) for one in held]
        self.changePersistentIndexList(held, moved)
        self.layoutChanged.emit()

    def _in_order(self, rows: list[Found]) -> list[Found]:
        """Return objects in the order of the column; equal ones as they come."""
        key = self._class_of if self._column == CLASS else _KEYS[self._column]
        return sorted(rows, key=key, reverse=self._descending)

    def rowCount(self, parent: Index = _NOWHERE) -> int:
        """Return the number of objects."""
        return 0 if parent.isValid() else len(self.rows)

    def columnCount(self, parent: Index = _NOWHERE) -> int:
        """Return the number of columns."""
        return 0 if parent.isValid() else len(COLUMNS)

    def headerData(
        self,
        section: int,
        orientation: Qt.Orientation,
        role: int = Qt.ItemDataRole.DisplayRole,
    ) -> Any:
        """Return the heading of a column."""
        if orientation is Qt.Orientation.Horizontal:
            if role == Qt.ItemDataRole.DisplayRole:
                return COLUMNS[section].format(self._unit)
            if role == Qt.ItemDataRole.ToolTipRole:
                about = _ABOUT.get(section, "").format(self._unit)
                return f"{COLUMNS[section].format(self._unit)}. {about} Click to sort."
        return None

    def data(self, index: Index, role: int = Qt.ItemDataRole.DisplayRole) -> Any:
        """Return the content of a cell."""
        found = self.rows[index.row()]
        if role == Qt.ItemDataRole.DecorationRole and index.column() == 0:
            return self._colour(found.label)
        if role == Qt.ItemDataRole.DecorationRole and index.column() == CLASS:
            return QColor(self.classes.of(found.label).colour)
        if role == Qt.ItemDataRole.ToolTipRole:
            if index.column() in (CLASS, ORIGIN):  # they may be cut short
                return f"{self.data(index)}. Click to go there.".removeprefix(". ")
            return "Click to go there."
        if role != Qt.ItemDataRole.DisplayRole:
            return None
        if index.column() == CLASS:
            return self.classes.of(found.label).name
        return self._text(found, index.column())

    def _text(self, found: Found, column: int) -> Any:
        """Return the content of one cell."""
        note, mean = found.note, found.mean
        if column == PLANE:
            return ", ".join(map(str, place_of(found)))
        if column == QUALITY:
            return "" if found.quality is None else f"{found.quality:.2f}"
        if column == MEAN:
            return "" if mean is None else _short(mean)
        if column == DIAMETER:
            return f"{equivalent_diameter(found.entry.area, *self._pixel):.3g}"
        if column in (ORIGIN, CLICKS):
            known = ("", "") if note is None else (note.origin, note.clicks)
            return known[column - ORIGIN]
        return (found.label, found.entry.area)[column]

    def _class_of(self, found: Found) -> int:
        """Return the number of the class of an object."""
        return self.classes.numbers.get(found.label, 0)

    def _colour(self, label: int) -> QColor | None:
        """Return the colour in which the labels layer shows an object."""
        colour = None if self._labels is None else self._labels.get_color(label)
        if colour is None:
            return None
        return QColor.fromRgbF(*(float(value) for value in colour[:3]))


def place_of(found: Found) -> tuple[int, ...]:
    """Return the position of an object's plane along the axes that are not shown."""
    plane = found.plane
    return tuple(s for axis, s in enumerate(plane.steps) if axis not in plane.axes)


def _short(mean: float) -> str:
    """Return a mean in few letters: up to a million without an exponent."""
    return f"{mean:.0f}" if 1000 <= abs(mean) < 1e6 else f"{mean:.4g}"


_KEYS: tuple[Callable[[Found], Any], ...] = (
    lambda found: found.label,
    lambda found: found.entry.area,
    place_of,
    lambda found: -1.0 if found.quality is None else found.quality,
    lambda found: found.label,  # of the class: the table knows it
    lambda found: -np.inf if found.mean is None else found.mean,
    lambda found: found.entry.area,
    lambda found: "" if found.note is None else found.note.origin,
    lambda found: -1 if found.note is None else found.note.clicks,
)
"""Values that the columns are sorted by."""


def _differing(old: list[Found], new: list[Found]) -> tuple[int, int, int]:
    """Return where two lists begin to differ, and where that ends in either."""
    least = min(len(old), len(new))
    first = next((n for n in range(least) if old[n] != new[n]), least)
    last = next(
        (n for n in range(least - first) if old[-1 - n] != new[-1 - n]), least - first
    )
    return first, len(old) - last, len(new) - last
