"""The sections of the dock widget: each folds under its header, all scroll."""

from __future__ import annotations

from typing import TYPE_CHECKING

from qtpy.QtCore import Qt, Signal
from qtpy.QtWidgets import QFrame, QPushButton, QScrollArea, QVBoxLayout, QWidget

if TYPE_CHECKING:
    from collections.abc import Sequence

FOLDED, UNFOLDED = "\u25b8", "\u25be"
"""Arrows in front of a header; as text they have the theme's colour."""
MARGIN = 4
"""Space between sections and the scroll bar."""
_PLAIN = "text-align: left; padding: 3px; font-weight: bold; background: transparent;"


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
        bar = self.verticalScrollBar().sizeHint().width()
        widths = [section.least_width for section in sections]
        self.setMinimumWidth(max(widths, default=0) + MARGIN + bar)
