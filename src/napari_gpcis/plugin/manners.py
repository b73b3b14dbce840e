"""What is on the dock changes only if it is meant, and leaves the keys to napari.

While a person scrolls, the mouse comes over boxes and sliders: the wheel turns none of
them. A click on a box, a button or a list does not take the keyboard away from the
image: N would search the list for a name that begins with N, and the space bar would
press the button again. With the tabulator all of them can still be reached.
"""

from __future__ import annotations

from qtpy.QtCore import QEvent, QObject, Qt
from qtpy.QtWidgets import (
    QAbstractButton,
    QAbstractItemView,
    QAbstractScrollArea,
    QAbstractSlider,
    QAbstractSpinBox,
    QComboBox,
    QScrollBar,
    QWidget,
)

_STILL = (QComboBox, QAbstractSlider, QAbstractSpinBox)
"""What the wheel does not turn."""
_MODEST = (QComboBox, QAbstractSlider, QAbstractButton, QAbstractScrollArea)
"""What a click gives no keyboard."""


class Manners(QObject):
    """Teaches the parts of a widget, those that it has now and whoever is told.

    Parameters
    ----------
    widget
        The widget.
    """

    def __init__(self, widget: QWidget) -> None:
        super().__init__(widget)
        for part in widget.findChildren(QWidget):
            self.teach(part)

    def teach(self, part: QWidget) -> None:
        """Teach a part that came later."""
        if isinstance(part, QScrollBar) or _in_a_list(part):
            return
        if isinstance(part, _STILL):
            part.installEventFilter(self)
        if isinstance(part, _MODEST):
            part.setFocusPolicy(Qt.FocusPolicy.TabFocus)
        elif isinstance(part, QAbstractSpinBox):
            part.setFocusPolicy(Qt.FocusPolicy.StrongFocus)

    def eventFilter(self, part: QObject, event: QEvent) -> bool:
        """Let the wheel scroll what is around a part instead."""
        if event.type() == QEvent.Type.Wheel:
            event.ignore()
            return True
        return bool(super().eventFilter(part, event))


def _in_a_list(part: QWidget) -> bool:
    """Return whether a part belongs to an open box or to a list."""
    parent = part.parentWidget()
    while parent is not None:
        if isinstance(parent, (QComboBox, QAbstractItemView)):
            return True
        parent = parent.parentWidget()
    return False
