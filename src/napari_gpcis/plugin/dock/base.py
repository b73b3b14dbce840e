"""The docks of this plugin share one place: the second one opens as a tab.

Two of them one below the other would leave each too little room on a small screen.
Where a person puts them afterwards is theirs.
"""

from __future__ import annotations

from qtpy.QtCore import QEvent, QObject, Qt, QTimer
from qtpy.QtWidgets import QDockWidget, QFrame, QMainWindow, QScrollArea, QWidget

_KIND = "napari-gpcis dock"
"""Property of a widget under which it is known what it is."""


class Tabs(QObject):
    """Makes a widget a tab beside those of another kind when it is first shown.

    Parameters
    ----------
    widget
        What may be docked; it tells of its events by `take`.
    kind
        What it is. Widgets of one kind are left where they are.
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
        """Take note of an event of the widget."""
        if self._first and event.type() == QEvent.Type.Show:
            self._first = False
            self._timer.start(0)  # the window has placed it by then

    def _join(self) -> None:
        """Become a tab of the place where another widget of this plugin is."""
        dock = _dock_of(self._widget)
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
        """Return whether a dock holds a widget of another kind of this plugin."""
        kinds = {part.property(_KIND) for part in dock.findChildren(QWidget)}
        return bool(kinds - {None, self._widget.property(_KIND)})


_EVEN = "QPushButton:enabled { border: 1px solid transparent; }"
"""Buttons as high as disabled ones, which napari frames: nothing moves on a change."""


class Docked(QWidget):
    """A widget that napari docks: a tab beside partners, and ended with its dock."""

    _tabs: Tabs | None = None

    def __init__(self) -> None:
        super().__init__()
        self.setStyleSheet(_EVEN)

    def shut_down(self) -> None:
        """End what belongs to the widget; it is of no more use."""

    def event(self, event: QEvent) -> bool:
        """Shut down when taken out of the dock: closed for good, not hidden.

        Nobody else would delete it then, and with it models and images.
        """
        if self._tabs is not None:
            self._tabs.take(event)
        if event.type() == QEvent.Type.ParentChange and self.parent() is None:
            self.shut_down()
            self.deleteLater()
        return bool(super().event(event))


_LAID_OUT = (QEvent.Type.Show, QEvent.Type.LayoutRequest)


class ScrolledDown(QScrollArea):
    """Content that scrolls down where the window is too low for it, never aside.

    Parameters
    ----------
    content
        What is shown.
    """

    def __init__(self, content: QWidget) -> None:
        super().__init__()
        self.setWidget(content)
        self.setWidgetResizable(True)
        self.setFrameShape(QFrame.Shape.NoFrame)
        self.setHorizontalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)

    def event(self, event: QEvent) -> bool:
        """Be as wide as the content needs, which depends on the theme's fonts."""
        done = bool(super().event(event))
        content = self.widget()
        if content is not None and event.type() in _LAID_OUT:
            bar = self.verticalScrollBar().sizeHint().width() + 2 * self.frameWidth()
            self.setMinimumWidth(content.minimumSizeHint().width() + bar)
        return done


def _dock_of(widget: QWidget) -> QDockWidget | None:
    """Return the dock that holds a widget, if there is one."""
    parent = widget.parent()
    while parent is not None and not isinstance(parent, QDockWidget):
        parent = parent.parent()
    return parent
