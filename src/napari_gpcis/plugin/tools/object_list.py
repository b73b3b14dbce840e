"""Index of the finished objects of an image, plane by plane, and their table.

They are looked up on a thread of their own, never in the GUI thread: all planes once,
then those that have changed.
"""

from __future__ import annotations

from functools import partial
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

from napari_gpcis.classes import ClassedObjects
from napari_gpcis.geometry import Entry, scan
from napari_gpcis.plugin.background import BackgroundThread
from napari_gpcis.plugin.debouncing import Debouncer
from napari_gpcis.plugin.tools.base import Tool
from napari_gpcis.plugin.viewer.planes import Plane, layer_shape
from napari_gpcis.plugin.viewer.segments import Segments

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from napari.layers import Labels
    from qtpy.QtCore import QObject

    from napari_gpcis.plugin.annotation.annotation import Annotation
    from napari_gpcis.plugin.annotation.controller import Controller
    from napari_gpcis.plugin.annotation.plane import PlaneAnnotation

    Index = QModelIndex | QPersistentModelIndex


DELAY = 200
"""Milliseconds of quiet before changed planes are looked up."""


FLASH, FLASH_COLOUR = "flash", "#ffd400"
BLINK, TIMES = 180, 3
"""Milliseconds that a flashing outline is on or off, and how often."""


NEWS = 30
"""Milliseconds in which news is gathered."""


class Found(NamedTuple):
    """One object on one plane, with its expected IoU where the model tells it."""

    label: int
    plane: Plane
    entry: Entry
    quality: float | None = None

    @property
    def place(self) -> tuple[int, Plane]:
        """Id and plane: what tells it from all others."""
        return self.label, self.plane


class ObjectIndex(Tool):
    """Index of the finished objects, without those being clicked.

    Parameters
    ----------
    controller
        Its annotations are followed.
    parent
        Qt parent.
    """

    changed = Signal()
    """Emitted when objects were added, changed or deleted."""

    def __init__(self, controller: Controller, parent: QObject | None = None) -> None:
        super().__init__(controller, parent)
        self._planes: dict[Plane, dict[int, Entry]] = {}
        self._found: dict[Plane, list[Found]] = {}
        self._qualities: dict[tuple[int, Plane], float | None] = {}
        self._axes: tuple[int, int] | None = None
        self._waiting: set[Plane] = set()
        self._thread = BackgroundThread(self, "object index")
        self._looking = Debouncer(self._look, DELAY, self)
        self._telling = Debouncer(self._tell, NEWS, self)

    def close(self) -> None:
        """Let go of the annotation, and end the thread."""
        super().close()
        self._thread.close()

    @property
    def end_thread(self) -> Callable[..., None]:
        """Ends the thread, even after Qt has deleted this object."""
        return self._thread.end_thread

    @property
    def busy(self) -> bool:
        """True if planes are being looked up, or will be soon."""
        return bool(self._waiting) or self._telling.pending

    def objects(self) -> list[Found]:
        """Return all finished objects, plane by plane, by ascending id."""
        running = {} if self.annotation is None else self.annotation.current_labels()
        found: list[Found] = []
        for plane in sorted(self._planes, key=lambda plane: plane.steps):
            current = running.get(plane)
            if current in self._planes[plane]:
                found += [one for one in self._found[plane] if one.label != current]
            else:
                found += self._found[plane]
        return found

    def on_attached(self, annotation: Annotation) -> None:
        """Follow its labels and its objects."""
        events, labels = annotation.events, annotation.layers.labels
        self.follow(events.plane_entered, self._on_plane)
        self.follow(events.objects_changed, self._on_plane_changed)
        self.follow(events.planes_written, self.look_up)
        self.follow(events.clicks_changed, self._on_running)
        self.follow(events.accepted, self._on_accepted)
        self.follow(events.drawn_by_others, self._on_plane_changed)
        self.follow(labels.events.data, self._on_data)

    def on_detached(self, annotation: Annotation) -> None:  # noqa: ARG002
        """Forget its objects."""
        self._looking.cancel()
        for plane in self._waiting:
            self._thread.cancel(plane)
        self._waiting.clear()
        self._planes.clear()
        self._found.clear()
        self._qualities.clear()
        self._axes = None
        self.changed.emit()

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

    def _on_plane_changed(self) -> None:
        if self.current is not None:
            self.look_up([self.current.plane])

    def _on_accepted(self, plane: PlaneAnnotation, label: int) -> None:
        """Take note of how good the model thinks that an object is."""
        session = plane.session
        if session is not None and session.steps:
            self._qualities[label, plane.plane] = session.steps[-1].quality
            self._planes.pop(plane.plane, None)

    def _on_running(self, *_: Any) -> None:
        self._telling.throttle()

    def _on_data(self, *_: Any) -> None:
        self._axes = None
        self._on_plane()

    def look_up(self, planes: Iterable[Plane]) -> None:
        """Look these planes up soon."""
        self._waiting.update(planes)
        self._looking.throttle()

    def _tell(self) -> None:
        self.changed.emit()

    def _look(self) -> None:
        """Ask the thread for the planes that wait."""
        annotation = self.annotation
        if annotation is None:
            return
        data = annotation.layers.labels.data
        for plane in sorted(self._waiting, key=lambda plane: plane.steps):
            job = partial(scan, plane.take(data))
            found = partial(self._on_found, plane)
            self._thread.submit(plane, job, found, partial(self._on_failed, plane))

    def _on_found(
        self, plane: Plane, entries: dict[int, Entry] | None, _seconds: float
    ) -> None:
        self._waiting.discard(plane)
        if entries is None or plane.axes != self._axes:
            return
        if self._planes.get(plane, {}) != entries:
            self._planes[plane] = entries
            self._found[plane] = [
                Found(label, plane, entry, self._qualities.get((label, plane)))
                for label, entry in entries.items()
            ]
        self._telling.throttle()

    def _on_failed(self, plane: Plane, _error: Exception) -> None:
        self._waiting.discard(plane)


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


COLUMNS = ("Object", "Area (px)", "Plane", "Quality", "Class")
PLANE, QUALITY, CLASS = 2, 3, 4
"""Columns that are not always shown."""
_QUALITY = "How well the model expects the mask to fit (IoU)."
_NOWHERE = QModelIndex()


class ObjectTable(QAbstractTableModel):
    """Table of finished objects: id with its colour, area, plane."""

    replacing = Signal(int, int)
    """Emitted with the first of some rows and the one after them, before they go."""
    replaced = Signal(int, int)
    """Emitted with the first of the rows that have come, and the one after them."""

    def __init__(self) -> None:
        super().__init__()
        self.rows: list[Found] = []
        self.classes = ClassedObjects()
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
                return COLUMNS[section]
            if role == Qt.ItemDataRole.ToolTipRole:
                about = _QUALITY if section == QUALITY else ""
                return f"{about} Click to sort.".strip()
        return None

    def data(self, index: Index, role: int = Qt.ItemDataRole.DisplayRole) -> Any:
        """Return the content of a cell."""
        found = self.rows[index.row()]
        if role == Qt.ItemDataRole.DecorationRole and index.column() == 0:
            return self._colour(found.label)
        if role == Qt.ItemDataRole.DecorationRole and index.column() == CLASS:
            return QColor(self.classes.of(found.label).colour)
        if role == Qt.ItemDataRole.ToolTipRole:
            return "Click to go there."
        if role != Qt.ItemDataRole.DisplayRole:
            return None
        if index.column() == CLASS:
            return self.classes.of(found.label).name
        if index.column() == 2:
            return ", ".join(map(str, place_of(found)))
        if index.column() == 3:
            return "" if found.quality is None else f"{found.quality:.2f}"
        return (found.label, found.entry.area)[index.column()]

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


_KEYS: tuple[Callable[[Found], Any], ...] = (
    lambda found: found.label,
    lambda found: found.entry.area,
    place_of,
    lambda found: -1.0 if found.quality is None else found.quality,
)
"""What the columns are sorted by."""


def _differing(old: list[Found], new: list[Found]) -> tuple[int, int, int]:
    """Return where two lists begin to differ, and where that ends in either."""
    least = min(len(old), len(new))
    first = next((n for n in range(least) if old[n] != new[n]), least)
    last = next(
        (n for n in range(least - first) if old[-1 - n] != new[-1 - n]), least - first
    )
    return first, len(old) - last, len(new) - last
