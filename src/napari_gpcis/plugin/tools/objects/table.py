"""Table of the finished objects: a Qt model of what an index has found."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from qtpy.QtCore import (
    QAbstractTableModel,
    QModelIndex,
    QPersistentModelIndex,
    Qt,
    Signal,
)
from qtpy.QtGui import QColor

from napari_gpcis.objects.classes import ClassedObjects
from napari_gpcis.objects.measures import equivalent_diameter

if TYPE_CHECKING:
    from collections.abc import Callable

    from napari.layers import Labels

    from napari_gpcis.plugin.tools.objects.index import Found

    Index = QModelIndex | QPersistentModelIndex

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
