"""Pages of the dock: no scrolling, only what can apply, pictures of other masks."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from qtpy.QtCore import QSize, Qt
from qtpy.QtGui import QIcon
from qtpy.QtTest import QTest
from qtpy.QtWidgets import QApplication

from _fake_segmenter import RADIUS, FakeSegmenter
from napari_gpcis.plugin.dock.pages import ANNOTATE, HELP_PAGE, PAGES, STACK
from napari_gpcis.plugin.dock.panels import model
from napari_gpcis.plugin.dock.panels.objects import ObjectsPanel
from napari_gpcis.plugin.dock.panels.other_masks import IDLE, OtherMasksPanel
from napari_gpcis.plugin.dock.panels.stack import StackPanel
from napari_gpcis.plugin.dock.panels.uncertainty import UncertaintyPanel

if TYPE_CHECKING:
    from napari_gpcis.plugin.dock.base import Section

LEFT = Qt.MouseButton.LeftButton


class Counting(FakeSegmenter):
    """Counts how often alternatives are asked for."""

    asked = 0

    def rescaled(self, prepared: Any, prediction: Any, factors: Any) -> list[Any]:
        self.asked += 1
        return super().rescaled(prepared, prediction, factors)


@pytest.fixture
def segmenter() -> Counting:
    return Counting()


@pytest.fixture(autouse=True)
def _devices(monkeypatch: pytest.MonkeyPatch) -> None:
    """Looking at the settings does not import PyTorch, which takes long."""
    monkeypatch.setattr(model, "devices_here", lambda: {"auto", "cpu"})


def go_to(desk: Any, title: str) -> None:
    """Press a tab with the mouse."""
    bar = desk.widget.pages.tabBar()
    place = bar.tabRect([*PAGES].index(title)).center()
    QTest.mouseClick(bar, LEFT, pos=place)
    QApplication.processEvents()


def section(desk: Any, title: str) -> Section:
    return next(one for one in desk.widget.sections if one.title == title)


def panel(desk: Any, kind: type) -> Any:
    return next(one for one in desk.widget.panels if isinstance(one, kind))


def small_window(desk: Any, theme: str = "dark") -> None:
    desk.viewer.theme = theme
    desk.viewer.window.resize(1280, 800)
    desk.until(lambda: desk.viewer.window._qt_window.height() <= 800)


def titles(desk: Any) -> list[str]:
    """The tabs that are seen."""
    pages = desk.widget.pages
    return [one for n, one in enumerate(PAGES) if pages.isTabVisible(n)]


@pytest.mark.parametrize(("theme", "planes"), [("dark", ()), ("light", (3,))])
def test_no_page_needs_scrolling(open_desk: Any, theme: str, planes: Any) -> None:
    desk = open_desk(np.zeros((*planes, 80, 100), np.uint8))
    small_window(desk, theme)
    assert (STACK in titles(desk)) == bool(planes)
    widths = set()
    for title, area in zip(PAGES, desk.widget.pages.areas, strict=True):
        if title not in titles(desk):
            continue
        go_to(desk, title)
        assert desk.widget.pages.currentWidget() is area
        assert area.verticalScrollBar().maximum() == 0, title
        bar = desk.widget.pages.tabBar()
        place = [*PAGES].index(title)
        shown = bar.fontMetrics().horizontalAdvance(title)
        assert shown < bar.tabRect(place).width()
        assert bar.tabRect(place).right() <= desk.widget.width()
        widths.add(desk.widget.width())
    assert len(widths) == 1
    assert desk.widget.help.isVisible() == (title == HELP_PAGE)


@pytest.mark.parametrize("theme", ["dark", "light"])
def test_a_section_that_is_unfolded_makes_room_for_itself(
    open_desk: Any, theme: str
) -> None:
    """Each section but the long table of keys is seen whole after a click on it."""
    desk = open_desk(np.zeros((3, 80, 100), np.uint8))
    small_window(desk, theme)
    checked = []
    for title, area in zip(PAGES, desk.widget.pages.areas, strict=True):
        go_to(desk, title)
        parts = [one for one in desk.widget.sections if area.isAncestorOf(one)]
        for part in parts if len(parts) > 1 else ():
            if part.unfolded:
                QTest.mouseClick(part.header, LEFT)
            QTest.mouseClick(part.header, LEFT)
            QApplication.processEvents()
            assert part.unfolded
            if part.title != "Shortcuts":
                assert area.verticalScrollBar().maximum() == 0, part.title
                checked.append(part.title)
    assert set(checked) >= {"Clicking", "Other masks", "Uncertainty", "Channels"}
    for name in panel(desk, UncertaintyPanel).boxes:
        panel(desk, UncertaintyPanel).maps.show(name, True)
    go_to(desk, ANNOTATE)
    QTest.mouseClick(section(desk, "Uncertainty").header, LEFT)
    QTest.mouseClick(section(desk, "Uncertainty").header, LEFT)
    QApplication.processEvents()
    assert desk.widget.pages.areas[0].verticalScrollBar().maximum() == 0


def test_the_tab_says_what_a_single_section_is(open_desk: Any) -> None:
    desk = open_desk()
    for title, area in zip(PAGES, desk.widget.pages.areas, strict=True):
        go_to(desk, title)
        parts = [one for one in desk.widget.sections if area.isAncestorOf(one)]
        seen = [one for one in parts if not one.header.isHidden()]
        assert seen == (parts if len(parts) > 1 else []), title
        assert len(parts) > 1 or parts[0].unfolded


def test_icons_are_those_of_the_theme(open_desk: Any) -> None:
    desk = open_desk()
    button = panel(desk, ObjectsPanel).delete_button
    shown = set()
    for theme in ("dark", "light"):
        desk.viewer.theme = theme
        size = QSize(16, 16)
        picture = button.icon().pixmap(size).toImage()
        expected = QIcon(f"theme_{theme}:/delete.svg").pixmap(size).toImage()
        assert not picture.isNull()
        assert picture == expected
        shown.add(picture.pixelColor(8, 8).name())
    assert len(shown) == 2


def test_other_masks_are_pictures_to_click_on(
    open_desk: Any, segmenter: Counting
) -> None:
    desk = open_desk()
    small_window(desk)
    others = panel(desk, OtherMasksPanel)
    desk.robot.click(desk.image, (40, 50))
    desk.settled(1)
    assert others.message.text() == IDLE
    assert segmenter.asked == 0  # the section is closed
    QTest.mouseClick(section(desk, others.title).header, LEFT)
    QApplication.processEvents()
    width = desk.widget.width()
    desk.until(lambda: others.buttons[3].isVisible())
    QApplication.processEvents()
    assert desk.widget.width() == width
    for button in others.buttons[:4]:
        shown = button.visibleRegion().boundingRect().size()
        assert shown == button.size()
    assert segmenter.asked == 1
    assert [one.isChecked() for one in others.buttons[:4]] == [True, *[False] * 3]
    assert not any(one.isVisible() for one in others.buttons[4:])
    areas = [one.area for one in others.alternatives.offer.found]
    QTest.mouseClick(others.buttons[2], LEFT)
    desk.until(lambda: np.count_nonzero(desk.labels.data) == areas[2])
    assert [one.isChecked() for one in others.buttons[:4]] == [
        *[False] * 2,
        True,
        False,
    ]
    assert f"{areas[2]:,}" in others.buttons[2].toolTip()
    desk.robot.press(Qt.Key.Key_U)
    desk.until(lambda: np.count_nonzero(desk.labels.data) == areas[0])
    desk.until(lambda: others.buttons[0].isChecked())
    desk.robot.click(desk.image, (40, 50 - RADIUS // 2))
    desk.settled(2)
    desk.until(lambda: segmenter.asked == 2)  # it is open: those of two clicks
    go_to(desk, HELP_PAGE)
    desk.robot.click(desk.image, (40, 50 + RADIUS // 2))
    desk.settled(3)
    assert segmenter.asked == 2
    assert not others.alternatives.wanted
    go_to(desk, ANNOTATE)
    desk.until(lambda: segmenter.asked == 3)


def test_number_keys_choose_while_there_is_a_choice(open_desk: Any) -> None:
    """Without a choice they are napari's: 3 is the tool that selects points."""
    desk = open_desk()
    others = panel(desk, OtherMasksPanel)
    QTest.mouseClick(section(desk, others.title).header, LEFT)
    desk.robot.click(desk.image, (40, 50))
    desk.settled(1)
    desk.until(lambda: others.buttons[3].isVisible())
    areas = [one.area for one in others.alternatives.offer.found]
    desk.robot.press(Qt.Key.Key_3)
    desk.until(lambda: np.count_nonzero(desk.labels.data) == areas[2])
    assert others.buttons[2].isChecked()
    assert desk.positive.mode == "add"
    desk.robot.press(Qt.Key.Key_1)
    desk.until(lambda: np.count_nonzero(desk.labels.data) == areas[0])
    desk.robot.press(Qt.Key.Key_K)
    desk.settled(0)
    assert np.count_nonzero(desk.labels.data) == 0
    desk.until(lambda: not others.buttons[0].isVisible())
    desk.robot.press(Qt.Key.Key_3)
    desk.until(lambda: desk.positive.mode == "select")


def test_the_dock_leaves_the_width_to_the_image(open_desk: Any) -> None:
    desk = open_desk()
    widget = desk.widget
    assert widget.sizeHint().width() <= widget.minimumSizeHint().width() <= 400


def test_in_3d_the_page_stays_and_buttons_say_why_not(open_desk: Any) -> None:
    desk = open_desk(np.zeros((4, 80, 100), np.uint8))
    desk.robot.click(desk.image, (desk.current.plane.steps[0], 30, 40))
    desk.settled(1)
    go_to(desk, STACK)
    pages, buttons = desk.widget.pages, desk.widget.buttons
    known = {name: button.toolTip() for name, button in buttons.items()}

    def tabs() -> list[bool]:
        return [pages.isTabVisible(place) for place in range(pages.count())]

    shown = tabs()
    assert shown == [True] * 6
    desk.viewer.dims.ndisplay = 3
    desk.until(lambda: desk.controller.annotation.current is None)
    why = "Clicking works in the 2-D display: press Control-Y to switch back."
    for button in buttons.values():
        assert not button.isEnabled()
        assert button.toolTip() == why
    assert tabs() == shown
    assert pages.tabText(pages.currentIndex()) == STACK
    stack = panel(desk, StackPanel)
    assert stack.message.text() == why
    assert not stack.copy_on.isEnabled()
    desk.viewer.dims.ndisplay = 2
    desk.settled(1)
    assert all(button.isEnabled() for button in buttons.values())
    assert {name: button.toolTip() for name, button in buttons.items()} == known
    assert not stack.message.text()
