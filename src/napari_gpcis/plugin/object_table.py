"""The list of finished objects, as Qt shows it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from qtpy.QtCore import QAbstractTableModel, QModelIndex, QPersistentModelIndex, Qt
from qtpy.QtGui import QColor

if TYPE_CHECKING:
    from napari.layers import Labels

    from napari_gpcis.plugin.tools.object_list import Found

    Index = QModelIndex | QPersistentModelIndex

COLUMNS = ("Object", "Area (px)", "Plane")
_NOWHERE = QModelIndex()


class ObjectTable(QAbstractTableModel):
    """Finished objects: id with its colour, area, plane."""

    def __init__(self) -> None:
        super().__init__()
        self.rows: list[Found] = []
        self._labels: Labels | None = None

    def show(self, rows: list[Found], labels: Labels | None) -> None:
        """Show these objects.

        Parameters
        ----------
        rows
            The objects.
        labels
            The layer whose colours they have.
        """
        self._labels = labels
        if rows == self.rows:
            return
        self.beginResetModel()
        self.rows = rows
        self.endResetModel()

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
                return "Click to sort."
        return None

    def data(self, index: Index, role: int = Qt.ItemDataRole.DisplayRole) -> Any:
        """Return what a cell shows."""
        found = self.rows[index.row()]
        if role == Qt.ItemDataRole.DecorationRole and index.column() == 0:
            return self._colour(found.label)
        if role == Qt.ItemDataRole.ToolTipRole:
            return "Click to go there."
        if role != Qt.ItemDataRole.DisplayRole:
            return None
        if index.column() == 2:
            return ", ".join(map(str, place_of(found)))
        return (found.label, found.entry.area)[index.column()]

    def _colour(self, label: int) -> QColor | None:
        """Return the colour in which the labels layer shows an object."""
        colour = None if self._labels is None else self._labels.get_color(label)
        if colour is None:
            return None
        return QColor.fromRgbF(*(float(value) for value in colour[:3]))


def place_of(found: Found) -> tuple[int, ...]:
    """Return where the plane of an object lies along the axes that are not shown."""
    plane = found.plane
    return tuple(s for axis, s in enumerate(plane.steps) if axis not in plane.axes)
