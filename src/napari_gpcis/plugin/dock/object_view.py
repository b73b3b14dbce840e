"""View of the table of objects: its columns fit into the dock."""

from __future__ import annotations

from typing import TYPE_CHECKING

from qtpy.QtCore import QEvent, QSize, Qt, Signal
from qtpy.QtGui import QKeyEvent
from qtpy.QtWidgets import QAbstractItemView, QTableView

from napari_gpcis.plugin.tools.objects.table import CLASS, ORIGIN

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from qtpy.QtCore import QModelIndex, QPersistentModelIndex

TEXTS = {CLASS: 64, ORIGIN: 44}
"""Columns of texts, and the width in pixels that none of them is cut below."""
LEGIBLE = 110
"""That width where the list is scrolled anyway."""
_FITTED = (
    QEvent.Type.Show,
    QEvent.Type.Resize,
    QEvent.Type.FontChange,
    QEvent.Type.StyleChange,
)
"""Events after which the columns may fit otherwise."""
GAP, ARROW_WIDTH = 4, 12
"""Pixels beside a value, and of the arrow in the heading of the sorted column."""


class ObjectView(QTableView):
    """Table whose columns fit into its width, or else are scrolled.

    Its Delete key deletes, and its letters are napari's shortcuts.
    """

    delete_pressed = Signal()
    """Emitted when the Delete key is pressed."""

    def event(self, event: QEvent) -> bool:
        """Keep the keys that move the selection; pass on those that write."""
        if isinstance(event, QKeyEvent) and event.type() == QEvent.Type.KeyPress:
            if event.key() in (Qt.Key.Key_Delete, Qt.Key.Key_Backspace):
                self.delete_pressed.emit()
                return True
            if event.text() and event.text().isprintable():
                event.ignore()
                return False
        done = bool(super().event(event))
        if event.type() in _FITTED:
            self.fit_columns()
        return done

    def fit_columns(self, *_: object) -> None:
        """Share the width: values and headings are seen whole, then texts.

        Beside the heading that the list is sorted by there is room for its arrow. What
        is left is for the last column; where it does not suffice, the list is scrolled.
        """
        if not self.isVisible():
            return
        header = self.horizontalHeader()
        order = [header.logicalIndex(place) for place in range(header.count())]
        shown = [column for column in order if not self.isColumnHidden(column)]
        if not shown:
            return
        whole = {column: self.sizeHintForColumn(column) + GAP for column in shown}
        least = {c: min(whole[c], TEXTS.get(c, whole[c])) for c in shown}
        headed = {c: max(least[c], self._heading_width(c)) for c in shown}
        room = self.viewport().width()
        if sum(headed.values()) > room:
            headed = {c: max(headed[c], min(whole[c], LEGIBLE)) for c in shown}
        wanted = {c: max(whole[c], headed[c]) for c in shown}
        widths = shared(room, (headed, wanted))
        for column, width in widths.items():
            header.resizeSection(column, width)

    def scrollTo(
        self,
        index: QModelIndex | QPersistentModelIndex,
        hint: QAbstractItemView.ScrollHint = QAbstractItemView.ScrollHint.EnsureVisible,
    ) -> None:
        """Bring a row into sight; the columns that are in sight stay so."""
        bar = self.horizontalScrollBar()
        before = bar.value()
        super().scrollTo(index, hint)
        bar.setValue(before)

    def _heading_width(self, column: int) -> int:
        """Return the width of a heading; room for the arrow is at the sorted one."""
        header = self.horizontalHeader()
        heading = self.model().headerData(column, Qt.Orientation.Horizontal)
        width = header.fontMetrics().horizontalAdvance(heading) + 2 * GAP
        return width + ARROW_WIDTH * (column == header.sortIndicatorSection())

    def sizeHint(self) -> QSize:
        """Return the least height: what else is on the page comes first."""
        return QSize(super().sizeHint().width(), self.minimumHeight())


def shared(room: int, steps: Sequence[Mapping[int, int]]) -> dict[int, int]:
    """Return widths that fill the room, as far towards the last step as it goes.

    Parameters
    ----------
    room
        Pixels.
    steps
        Widths of the columns, from left to right; each step is as wide as the one
        before it, or wider.

    Returns
    -------
    dict of int
        Widths of the columns; the first step even if the room is too small for it.
    """
    before = dict(steps[0])
    for step in steps[1:]:
        left = room - sum(before.values())
        more = sum(step.values()) - sum(before.values())
        share = min(1.0, max(0, left) / more) if more else 1.0
        before = {c: w + int(share * (step[c] - w)) for c, w in before.items()}
    before[[*before][-1]] += max(0, room - sum(before.values()))
    return before
