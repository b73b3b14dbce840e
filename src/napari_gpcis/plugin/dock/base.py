"""Parts of a dock widget: the widget itself, foldable sections, scroll areas, texts.

The docks of this plugin share one place, as tabs: one below the other they would have
too little room on a small screen. Where the user puts them afterwards, they stay.
"""

from __future__ import annotations

import re
from functools import partial
from itertools import chain
from math import cos, pi, sin
from typing import TYPE_CHECKING

from qtpy.QtCore import QEvent, QObject, QPointF, QSize, Qt, QTimer, Signal
from qtpy.QtGui import QPainter
from qtpy.QtWidgets import (
    QAbstractButton,
    QAbstractItemView,
    QAbstractScrollArea,
    QAbstractSlider,
    QAbstractSpinBox,
    QComboBox,
    QDockWidget,
    QFormLayout,
    QFrame,
    QLabel,
    QMainWindow,
    QPushButton,
    QScrollArea,
    QScrollBar,
    QVBoxLayout,
    QWidget,
)

if TYPE_CHECKING:
    from collections.abc import Sequence

    from qtpy.QtGui import QPaintEvent

_JOINED, _MAY_BREAK = "\u2060", "\u200b"
_FIRST_SLASH = re.compile(r"(?<!\S)/(?=\S)")
_LONG_NAME = re.compile(r"[^\s/\\]{24,}")
"""Names of so many letters may have no room beside others, or in a line at all."""


_KIND = "napari-gpcis dock"
"""Property of a widget that holds its kind."""

_EVEN = "QPushButton:enabled { border: 1px solid transparent; }"
"""Style that makes enabled buttons as high as disabled ones, which napari frames."""

LAID_OUT = (QEvent.Type.Show, QEvent.Type.LayoutRequest)

FOLDED, UNFOLDED = "\u25b8", "\u25be"
"""Arrows in front of a header; as text they have the theme's colour."""
MARGIN = 4
"""Space between sections and the scroll bar, in pixels."""
_PLAIN = (
    "text-align: left; padding: 3px; font-weight: bold; border: 0px; "
    "background: transparent;"
)
SPINNER = 18
"""Side of a spinner in pixels."""
DOTS, TURN = 8, 1000
"""Dots of a spinner, and the milliseconds of a turn: each step draws the window."""
_STYLED = (QEvent.Type.Polish, QEvent.Type.FontChange, QEvent.Type.StyleChange)

_NO_WHEEL = (QComboBox, QAbstractSlider, QAbstractSpinBox)
"""Controls whose value the mouse wheel does not change."""
_TAB_FOCUS = (QComboBox, QAbstractSlider, QAbstractButton, QAbstractScrollArea)
"""Controls that get the keyboard focus by the Tab key, not by a click."""


class Docked(QWidget):
    """Base of dock widgets: a tab beside the plugin's others, ended with its dock."""

    _tabs: Tabs | None = None

    def __init__(self) -> None:
        super().__init__()
        self.setStyleSheet(_EVEN)

    def shut_down(self) -> None:
        """Stop threads and connections; the widget cannot be used afterwards."""

    def event(self, event: QEvent) -> bool:
        """Shut down when taken out of the dock: closed for good, not hidden.

        Nothing else would delete it then, nor free its models and images.
        """
        if self._tabs is not None:
            self._tabs.take(event)
        if event.type() == QEvent.Type.ParentChange and self.parent() is None:
            self.shut_down()
            self.deleteLater()
        return bool(super().event(event))


class Tabs(QObject):
    """Makes a widget a tab beside those of another kind when it is first shown.

    Parameters
    ----------
    widget
        The widget, which passes its events to `take`.
    kind
        Name of its kind. Widgets of the same kind stay where they are.
    """

    def __init__(self, widget: QWidget, kind: str) -> None:
        super().__init__(widget)
        self._widget = widget
        self._timer = QTimer(self)
        self._timer.setSingleShot(True)
        self._timer.timeout.connect(self._join)
        self._first = True
        widget.setProperty(_KIND, kind)

    def take(self, event: QEvent) -> None:
        """Handle an event of the widget."""
        if self._first and event.type() == QEvent.Type.Show:
            self._first = False
            self._timer.start(0)  # the window has placed it by then

    def _join(self) -> None:
        """Become a tab beside another widget of this plugin."""
        dock = dock_of(self._widget)
        window = None if dock is None else dock.parent()
        if dock is None or not isinstance(window, QMainWindow) or dock.isFloating():
            return
        for other in window.findChildren(QDockWidget):
            same_side = window.dockWidgetArea(other) == window.dockWidgetArea(dock)
            if same_side and other.isVisible() and self._is_partner(other):
                window.tabifyDockWidget(other, dock)
                dock.raise_()
                return

    def _is_partner(self, dock: QDockWidget) -> bool:
        """Return true if a dock holds a widget of another kind of this plugin."""
        kinds = {part.property(_KIND) for part in dock.findChildren(QWidget)}
        return bool(kinds - {None, self._widget.property(_KIND)})


def dock_of(widget: QWidget) -> QDockWidget | None:
    """Return the dock that holds a widget, if there is one."""
    parent = widget.parent()
    while parent is not None and not isinstance(parent, QDockWidget):
        parent = parent.parent()
    return parent


class Section(QWidget):
    """Foldable section: a header, and below it content that a click on it hides.

    Parameters
    ----------
    title
        Text of the header.
    content
        The widget to fold.
    unfolded
        Whether the content is visible at first.
    grows
        Whether the content takes the height that is free.
    """

    toggled = Signal(bool)
    """Emitted with true when the content is to be seen, with false when hidden."""
    applied = Signal()
    """Emitted when :attr:`applies` may have changed."""

    def __init__(
        self,
        title: str,
        content: QWidget,
        *,
        unfolded: bool = False,
        grows: bool = False,
    ) -> None:
        super().__init__()
        self.title, self.content, self.grows = title, content, grows
        self._applies = True
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
    def applies(self) -> bool:
        """False for a section that the image has no use for: it is hidden."""
        return self._applies

    @applies.setter
    def applies(self, applies: bool) -> None:
        self._applies = applies
        self.setVisible(applies)
        self.applied.emit()

    @property
    def least_width(self) -> int:
        """Width the section needs, folded or not."""
        layout = self.content.layout()
        if layout is not None:  # sizes of hidden content are out of date
            layout.invalidate()
            layout.activate()
        return max(
            part.minimumSizeHint().width() for part in (self.header, self.content)
        )

    @property
    def unfolded(self) -> bool:
        """True while the content is visible; may be set."""
        return self.header.isChecked()

    @unfolded.setter
    def unfolded(self, unfolded: bool) -> None:
        if unfolded and self.unfolded:
            self.toggled.emit(True)  # to be seen, though it is not folded
        self.header.setChecked(unfolded)

    def _show(self, unfolded: bool) -> None:
        self.header.setText(f"{UNFOLDED if unfolded else FOLDED}  {self.title}")
        self.content.setVisible(unfolded)
        self.toggled.emit(unfolded)


class SectionArea(QScrollArea):
    """Scroll area of foldable sections, one below the other.

    It is as wide as the widest section, so that unfolding moves nothing else. A click
    on a header that leaves too little room folds other sections, so that there is
    nothing to scroll unless one section alone is too high. Height that is left is for
    the sections that grow.

    Parameters
    ----------
    sections
        From top to bottom.
    """

    def __init__(self, sections: Sequence[Section]) -> None:
        super().__init__()
        self._sections = tuple(sections)
        inner = self._inner = QWidget()
        column = self._column = QVBoxLayout(inner)
        column.setContentsMargins(0, 0, MARGIN, 0)
        for section in sections:
            column.addWidget(section)
            section.toggled.connect(self._find_width)
            section.toggled.connect(self._share_height)
            section.header.clicked.connect(partial(self._make_room, section))
        column.addStretch()
        self.setWidget(inner)
        self.setWidgetResizable(True)
        self.setFrameShape(QFrame.Shape.NoFrame)
        self.setHorizontalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
        self._find_width()
        self._share_height()

    def event(self, event: QEvent) -> bool:
        """Measure the width again when the theme changes the font."""
        done = bool(super().event(event))
        if event.type() in (QEvent.Type.Show, *_STYLED):
            self.measure()
        return done

    def sizeHint(self) -> QSize:
        """Ask for no more width than is needed: it would be taken from the image."""
        return QSize(self.minimumWidth(), super().sizeHint().height())

    @property
    def applies(self) -> bool:
        """True if one of the sections applies to the image."""
        return any(section.applies for section in self._sections)

    def measure(self) -> None:
        """Find the width that the sections need, folded or not."""
        for part in self.findChildren(QWidget):
            part.ensurePolished()  # folded ones do not have the theme's font yet
        self._find_width()

    def _make_room(self, wanted: Section, *_: object) -> None:
        """Fold other sections, from the top, until one that was unfolded fits."""
        for section in self._sections if wanted.unfolded else ():
            if self._height_needed <= self.viewport().height():
                break
            if section is not wanted:
                section.unfolded = False

    @property
    def _height_needed(self) -> int:
        """Height of all sections as they are, in pixels."""
        inner = self._inner
        parts = [(one.content, one) for one in self._sections]
        for part in (*chain.from_iterable(parts), inner):  # from the inside outwards
            layout = part.layout()
            if layout is not None:
                layout.activate()
        width = self.viewport().width()
        return max(inner.minimumSizeHint().height(), inner.heightForWidth(width))

    def _share_height(self, *_: object) -> None:
        """Give the height that is left to unfolded sections that grow."""
        for section in self._sections:
            share = int(section.grows and section.unfolded)
            self._column.setStretchFactor(section, share)

    def _find_width(self, *_: object) -> None:
        bar = self.verticalScrollBar().sizeHint().width() + 2 * self.frameWidth()
        widths = [section.least_width for section in self._sections]
        self.setMinimumWidth(max(widths, default=0) + MARGIN + bar)


class VerticalScrollArea(QScrollArea):
    """Scroll area with a vertical bar only, as wide as its content.

    Parameters
    ----------
    content
        The widget to show.
    """

    def __init__(self, content: QWidget) -> None:
        super().__init__()
        self.setWidget(content)
        self.setWidgetResizable(True)
        self.setFrameShape(QFrame.Shape.NoFrame)
        self.setHorizontalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)

    def event(self, event: QEvent) -> bool:
        """Adapt the width to the content, which depends on the theme's fonts."""
        done = bool(super().event(event))
        content = self.widget()
        if content is not None and event.type() in LAID_OUT:
            bar = self.verticalScrollBar().sizeHint().width() + 2 * self.frameWidth()
            self.setMinimumWidth(content.minimumSizeHint().width() + bar)
        return done


def breakable(words: str) -> str:
    """Return a text that wraps whatever paths and names of files are in it.

    A name that is too long for a line may be broken anywhere, and no path after the
    slash that it begins with. The signs that say so are not seen.
    """
    words = _FIRST_SLASH.sub(f"/{_JOINED}", words)
    return _LONG_NAME.sub(lambda found: _MAY_BREAK.join(found[0]), words)


class Lines(QLabel):
    """Wrapped text of at least some lines' height: nothing below moves when it changes.

    Parameters
    ----------
    count
        Number of lines that always have room.
    """

    def __init__(self, count: int) -> None:
        super().__init__()
        self._count = count
        self.setWordWrap(True)
        self.setAlignment(Qt.AlignmentFlag.AlignTop)

    def event(self, event: QEvent) -> bool:
        """Measure the height again when the theme changes the font."""
        done = bool(super().event(event))
        if event.type() in _STYLED:
            text = self.text()
            self.setText("\n" * (self._count - 1))
            self.setMinimumHeight(self.sizeHint().height())
            self.setText(text)
        return done


class Message(Lines):
    """Wrapped text that may have paths and long names in it, see `breakable`.

    Parameters
    ----------
    count
        Number of lines that always have room.
    """

    _words = ""

    def __init__(self, count: int = 1) -> None:
        super().__init__(count)

    def text(self) -> str:
        """Return the text as it was given."""
        return self._words

    def setText(self, words: str) -> None:
        """Show a text."""
        self._words = words
        rich = Qt.mightBeRichText(words)  # type: ignore[attr-defined]  # PySide's types
        super().setText(words if rich else breakable(words))

    def clear(self) -> None:
        """Show nothing."""
        self.setText("")


class Spinner(QWidget):
    """Dots that turn while something is waited for; its room is always kept."""

    def __init__(self) -> None:
        super().__init__()
        self.setFixedSize(SPINNER, SPINNER)
        self._step = 0
        self._timer = QTimer(self)
        self._timer.setInterval(TURN // DOTS)
        self._timer.timeout.connect(self._turn)
        policy = self.sizePolicy()
        policy.setRetainSizeWhenHidden(True)
        self.setSizePolicy(policy)
        self.hide()

    @property
    def spins(self) -> bool:
        """True while it is shown and turns."""
        return self._timer.isActive()

    def spin(self, on: bool) -> None:
        """Show it and let it turn, or hide it."""
        self.setVisible(on)
        if on:
            self._timer.start()
        else:
            self._timer.stop()

    def paintEvent(self, event: QPaintEvent) -> None:  # noqa: ARG002
        """Draw the dots in the colour of the text, the last one darkest."""
        painter = QPainter(self)
        painter.setRenderHint(QPainter.RenderHint.Antialiasing)
        painter.setPen(Qt.PenStyle.NoPen)
        painter.setBrush(self.palette().windowText())
        middle, size = SPINNER / 2, SPINNER / 9
        for dot in range(DOTS):
            angle = 2 * pi * (self._step - dot) / DOTS
            away = middle - size
            place = QPointF(middle + away * sin(angle), middle - away * cos(angle))
            painter.setOpacity(1 - dot / DOTS)
            painter.drawEllipse(place, size, size)
        painter.end()

    def _turn(self) -> None:
        self._step = (self._step + 1) % DOTS
        self.update()


def explain_labels(form: QFormLayout) -> None:
    """Give the label of each row the tooltip of its field."""
    for row in range(form.rowCount()):
        label = form.itemAt(row, QFormLayout.ItemRole.LabelRole)
        field = form.itemAt(row, QFormLayout.ItemRole.FieldRole)
        text = None if label is None else label.widget()
        part = None if field is None else field.widget()
        if text is not None and part is not None:
            text.setToolTip(part.toolTip())


class WheelFilter(QObject):
    """Keeps wheel and clicks on a widget's controls from changing values and focus.

    The wheel scrolls the dock instead, and shortcuts still reach napari after a click.

    Parameters
    ----------
    widget
        The widget; controls that it gets later are added by `add`.
    """

    def __init__(self, widget: QWidget) -> None:
        super().__init__(widget)
        for part in widget.findChildren(QWidget):
            self.add(part)

    def add(self, part: QWidget) -> None:
        """Add a control."""
        if isinstance(part, QScrollBar) or _in_a_list(part):
            return
        if isinstance(part, _NO_WHEEL):
            part.installEventFilter(self)
        if isinstance(part, _TAB_FOCUS):
            part.setFocusPolicy(Qt.FocusPolicy.TabFocus)
        elif isinstance(part, QAbstractSpinBox):
            part.setFocusPolicy(Qt.FocusPolicy.StrongFocus)

    def eventFilter(self, part: QObject, event: QEvent) -> bool:
        """Leave wheel events to the scroll area around a control."""
        if event.type() == QEvent.Type.Wheel:
            event.ignore()
            return True
        return bool(super().eventFilter(part, event))


def _in_a_list(part: QWidget) -> bool:
    """Return true if a part belongs to a combo box's list or another list."""
    parent = part.parentWidget()
    while parent is not None:
        if isinstance(parent, (QComboBox, QAbstractItemView)):
            return True
        parent = parent.parentWidget()
    return False
