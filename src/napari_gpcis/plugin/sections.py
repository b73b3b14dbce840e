"""The sections of the dock widget: each folds under its header, all scroll."""

from __future__ import annotations

from typing import TYPE_CHECKING

from qtpy.QtCore import QEvent, Qt, Signal
from qtpy.QtWidgets import (
    QFormLayout,
    QFrame,
    QLabel,
    QPushButton,
    QScrollArea,
    QVBoxLayout,
    QWidget,
)

if TYPE_CHECKING:
    from collections.abc import Sequence

FOLDED, UNFOLDED = "\u25b8", "\u25be"
"""Arrows in front of a header; as text they have the theme's colour."""
MARGIN = 4
"""Space between sections and the scroll bar."""
_PLAIN = (
    "text-align: left; padding: 3px; font-weight: bold; border: 0px; "
    "background: transparent;"
)
_STYLED = (QEvent.Type.Polish, QEvent.Type.FontChange, QEvent.Type.StyleChange)


class Section(QWidget):
    """A header, and under it content that a click on the header folds away.

    Parameters
    ----------
    title
        What the header says.
    content
        What is folded.
    unfolded
        Whether the content is seen at first.
    """

    toggled = Signal(bool)
    """Emitted with whether the content is seen now."""

    def __init__(self, title: str, content: QWidget, *, unfolded: bool = False) -> None:
        super().__init__()
        self.title, self.content = title, content
        self.header = QPushButton()
        self.header.setCheckable(True)
        self.header.setStyleSheet(_PLAIN)
        self.header.setToolTip(f"Show or hide: {title}")
        column = QVBoxLayout(self)
        column.setContentsMargins(0, 0, 0, 0)
        column.setSpacing(2)
        column.addWidget(self.header)
        column.addWidget(content)
        self.header.toggled.connect(self._show)
        self.header.setChecked(unfolded)
        self._show(unfolded)

    @property
    def least_width(self) -> int:
        """Width that the section needs, folded or not."""
        return max(
            part.minimumSizeHint().width() for part in (self.header, self.content)
        )

    @property
    def unfolded(self) -> bool:
        """Whether the content is seen; may be set."""
        return self.header.isChecked()

    @unfolded.setter
    def unfolded(self, unfolded: bool) -> None:
        self.header.setChecked(unfolded)

    def _show(self, unfolded: bool) -> None:
        self.header.setText(f"{UNFOLDED if unfolded else FOLDED}  {self.title}")
        self.content.setVisible(unfolded)
        self.toggled.emit(unfolded)


class Scrolled(QScrollArea):
    """Sections one under the other, scrolled when the window is too low for them.

    It is as wide as the widest section needs, so that unfolding moves nothing else.

    Parameters
    ----------
    sections
        From top to bottom.
    """

    def __init__(self, sections: Sequence[Section]) -> None:
        super().__init__()
        self._sections = tuple(sections)
        inner = QWidget()
        column = QVBoxLayout(inner)
        column.setContentsMargins(0, 0, MARGIN, 0)
        for section in sections:
            column.addWidget(section)
        column.addStretch()
        self.setWidget(inner)
        self.setWidgetResizable(True)
        self.setFrameShape(QFrame.Shape.NoFrame)
        self.setHorizontalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
        self._find_width()

    def event(self, event: QEvent) -> bool:
        """Find the width anew when the theme brings other letters."""
        done = bool(super().event(event))
        if event.type() in (QEvent.Type.Show, *_STYLED):
            for part in self.findChildren(QWidget):
                part.ensurePolished()  # folded ones have no letters of the theme yet
            self._find_width()
        return done

    def _find_width(self) -> None:
        bar = self.verticalScrollBar().sizeHint().width() + 2 * self.frameWidth()
        widths = [section.least_width for section in self._sections]
        self.setMinimumWidth(max(widths, default=0) + MARGIN + bar)


class Lines(QLabel):
    """Words that wrap, with room for some lines: nothing below moves when they change.

    Parameters
    ----------
    count
        For how many lines there always is room.
    """

    def __init__(self, count: int) -> None:
        super().__init__()
        self._count = count
        self.setWordWrap(True)
        self.setAlignment(Qt.AlignmentFlag.AlignTop)

    def event(self, event: QEvent) -> bool:
        """Make room anew when the theme brings other letters."""
        done = bool(super().event(event))
        if event.type() in _STYLED:
            words = self.text()
            self.setText("\n" * (self._count - 1))
            self.setMinimumHeight(self.sizeHint().height())
            self.setText(words)
        return done


def explain_labels(form: QFormLayout) -> None:
    """Give the label of each row the tooltip of what it stands beside."""
    for row in range(form.rowCount()):
        label = form.itemAt(row, QFormLayout.ItemRole.LabelRole)
        field = form.itemAt(row, QFormLayout.ItemRole.FieldRole)
        words = None if label is None else label.widget()
        part = None if field is None else field.widget()
        if words is not None and part is not None:
            words.setToolTip(part.toolTip())
