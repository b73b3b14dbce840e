"""Both docks: tabs of one place, words for every part, and nothing clipped."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from napari.settings import get_settings
from qtpy.QtCore import Qt
from qtpy.QtWidgets import (
    QAbstractButton,
    QAbstractItemView,
    QAbstractSlider,
    QAbstractSpinBox,
    QApplication,
    QComboBox,
    QLabel,
    QLineEdit,
    QProgressBar,
    QScrollBar,
    QTableView,
    QWidget,
)

from napari_gpcis.plugin.dock.panels import model
from napari_gpcis.plugin.finetune.widget import FinetuneWidget

if TYPE_CHECKING:
    from collections.abc import Iterator

WORKING = (
    QAbstractButton,
    QAbstractItemView,
    QAbstractSlider,
    QAbstractSpinBox,
    QComboBox,
    QLineEdit,
    QProgressBar,
)
"""Kinds of widgets that the user works with, or reads a state from."""


class Docks:
    """The annotation widget and the training widget in one window of 1280 x 720."""

    def __init__(self, desk: Any) -> None:
        self.desk = desk
        self.first = desk.widget
        window = desk.viewer.window
        window.resize(1280, 720)
        self.second = FinetuneWidget(desk.viewer)
        self.place = window.add_dock_widget(self.second, name="Fine-tune")
        desk.until(lambda: self.tabs())

    def tabs(self) -> list[Any]:
        return list(self.desk.viewer.window._qt_window.tabifiedDockWidgets(self.place))


@pytest.fixture
def docks(open_desk: Any, monkeypatch: pytest.MonkeyPatch) -> Iterator[Docks]:
    monkeypatch.setattr(model, "devices_here", lambda: {"auto", "cpu"})
    made = Docks(open_desk(np.zeros((3, 80, 100), np.uint8)))
    yield made
    made.second.shut_down()


def parts(root: QWidget, kinds: Any) -> list[Any]:
    """The parts of a widget, without the parts that Qt itself makes of them."""
    return [
        part
        for part in root.findChildren(QWidget)
        if isinstance(part, kinds)
        and not isinstance(part, QScrollBar)
        and not _inside(part, root)
    ]


def _inside(part: QWidget, root: QWidget) -> bool:
    above = part.parentWidget()
    while above is not None and above is not root:
        if isinstance(above, (*WORKING, QScrollBar)):
            return True
        above = above.parentWidget()
    return False


def describe(part: QWidget) -> str:
    text = getattr(part, "text", str)()
    return f"{type(part).__name__} {part.objectName()} {text!r}"


def test_both_docks_in_one_window(docks: Docks) -> None:
    """One window for all, since opening it takes the time."""
    check_tabs(docks)
    assert type(docks.first).event is type(docks.second).event  # both end alike
    for widget in (docks.first, docks.second):
        check_words(widget)
    check_room(docks)


def check_tabs(docks: Docks) -> None:
    """The second dock is a tab beside the first, and in front."""
    (other,) = docks.tabs()
    assert other.findChildren(type(docks.first)) == [docks.first]
    assert docks.second.isVisible()
    docks.desk.until(lambda: not docks.first.visibleRegion().boundingRect().height())


def check_words(widget: QWidget) -> None:
    """Each part says what it is, to the eye and to a screen reader."""
    found = parts(widget, WORKING)
    assert len(found) > 10
    silent = [describe(part) for part in found if not part.toolTip()]
    assert not silent
    titles = [part for part in parts(widget, QLabel) if not part.wordWrap()]
    unclear = [describe(part) for part in titles if part.text() and not part.toolTip()]
    assert not unclear
    labels = widget.findChildren(QLabel)
    assert not [describe(part) for part in found if not spoken(part, labels).strip()]


def spoken(part: QWidget, labels: list[QLabel]) -> str:
    """Return what Qt tells a screen reader (PyQt6 has no QAccessible to ask)."""
    named = [label.text() for label in labels if label.buddy() is part]
    shown = part.text() if isinstance(part, QAbstractButton) else ""
    return part.accessibleName() or shown or " ".join(named)


def check_room(docks: Docks) -> None:
    """Nothing is cut off, in each section alone and in the training's dock."""
    docks.desk.until(lambda: docks.second.isVisible())
    docks.second.progress.reset("Training: step 100 of at most 1000, 10.5 minutes")
    docks.second.resume_button.show()
    docks.second.stop_button.show()
    QApplication.processEvents()
    check_shown(docks.second)
    docks.tabs()[0].raise_()
    docks.desk.until(lambda: docks.first.isVisible())
    check_sections(docks.first)
    docks.desk.viewer.theme = "light"
    check_sections(docks.first)
    with larger_letters():
        check_sections(docks.first)


@contextmanager
def larger_letters() -> Iterator[None]:
    """Let napari use larger letters, as its preferences offer."""
    appearance = get_settings().appearance
    default = appearance.font_size
    appearance.font_size = default + 3
    yield
    appearance.font_size = default


def check_sections(widget: Any) -> None:
    """Each section alone has room, and all are as wide as the widest."""
    widths = set()
    for section in widget.sections:
        for other in widget.sections:
            other.unfolded = other is section
        QApplication.processEvents()
        check_shown(widget)
        widths.add(widget.width())
    assert len(widths) == 1


def check_shown(widget: QWidget) -> None:
    """All visible texts have the room that they ask for, within the widget."""
    small = []
    for part in parts(widget, (QAbstractButton, QLabel, QComboBox)):
        if not part.isVisible():
            continue
        right = part.mapTo(widget, part.rect().topRight()).x()
        if isinstance(part, QLabel) and part.wordWrap():
            fits = part.height() >= part.heightForWidth(part.width())
        elif isinstance(part, QComboBox):
            fits = part.width() >= part.minimumSizeHint().width()
        else:
            fits = part.width() >= part.sizeHint().width()
        if not fits or right >= widget.width():
            small.append(describe(part))
    assert not small
    assert widget.height() <= 720
    assert not _sideways(widget)


def _sideways(widget: QWidget) -> bool:
    """Whether anything would have to be scrolled aside, but for a table's columns."""
    tables = widget.findChildren(QTableView)
    return any(
        bar.maximum() > 0 and bar.orientation() == Qt.Orientation.Horizontal
        for bar in widget.findChildren(QScrollBar)
        if not any(table.isAncestorOf(bar) for table in tables)
    )
