"""Pages of the dock: no scrolling, only what can apply, pictures of other masks."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from qtpy.QtCore import Qt
from qtpy.QtTest import QTest
from qtpy.QtWidgets import QApplication

from _fake_segmenter import RADIUS, FakeSegmenter
from napari_gpcis.plugin.dock.pages import ANNOTATE, HELP_PAGE, PAGES
from napari_gpcis.plugin.dock.panels.other_masks import IDLE, OtherMasksPanel

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


def go_to(desk: Any, title: str) -> None:
    """Press a tab with the mouse."""
    bar = desk.widget.pages.tabBar()
    place = bar.tabRect([*PAGES].index(title)).center()
    QTest.mouseClick(bar, LEFT, pos=place)
    QApplication.processEvents()


def section(desk: Any, title: str) -> Section:
    return next(one for one in desk.widget.sections if one.title == title)


@pytest.mark.parametrize(("theme", "planes"), [("dark", ()), ("light", (3,))])
def test_no_page_needs_scrolling(open_desk: Any, theme: str, planes: Any) -> None:
    desk = open_desk(np.zeros((*planes, 80, 100), np.uint8))
    desk.viewer.theme = theme
    desk.viewer.window.resize(1280, 800)
    desk.until(lambda: desk.viewer.window._qt_window.height() <= 800)
    widths = set()
    for title, area in zip(PAGES, desk.widget.pages.areas, strict=True):
        go_to(desk, title)
        assert desk.widget.pages.currentWidget() is area
        assert area.verticalScrollBar().maximum() == 0, title
        bar = desk.widget.pages.tabBar()
        rights = [bar.tabRect(place).right() for place in range(bar.count())]
        assert max(rights) <= desk.widget.width()
        widths.add(desk.widget.width())
    assert len(widths) == 1
    assert desk.widget.help.isVisible() == (title == HELP_PAGE)
    assert section(desk, "Stack").isHidden() == (not planes)


def test_other_masks_are_pictures_to_click_on(
    open_desk: Any, segmenter: Counting
) -> None:
    desk = open_desk()
    panel = next(p for p in desk.widget.panels if isinstance(p, OtherMasksPanel))
    desk.robot.click(desk.image, (40, 50))
    desk.settled(1)
    assert panel.message.text() == IDLE
    assert segmenter.asked == 0  # the section is closed
    QTest.mouseClick(section(desk, panel.title).header, LEFT)
    desk.until(lambda: panel.buttons[3].isVisible())
    assert segmenter.asked == 1
    assert [one.isChecked() for one in panel.buttons[:4]] == [True, *[False] * 3]
    assert not any(one.isVisible() for one in panel.buttons[4:])
    areas = [one.area for one in panel.alternatives.offer.found]
    QTest.mouseClick(panel.buttons[2], LEFT)
    desk.until(lambda: np.count_nonzero(desk.labels.data) == areas[2])
    assert [one.isChecked() for one in panel.buttons[:4]] == [
        *[False] * 2,
        True,
        False,
    ]
    assert f"{areas[2]:,}" in panel.buttons[2].toolTip()
    desk.robot.press(Qt.Key.Key_U)
    desk.until(lambda: np.count_nonzero(desk.labels.data) == areas[0])
    desk.until(lambda: panel.buttons[0].isChecked())
    desk.robot.click(desk.image, (40, 50 - RADIUS // 2))
    desk.settled(2)
    desk.until(lambda: segmenter.asked == 2)  # it is open: those of two clicks
    go_to(desk, HELP_PAGE)
    desk.robot.click(desk.image, (40, 50 + RADIUS // 2))
    desk.settled(3)
    assert segmenter.asked == 2
    assert not panel.alternatives.wanted
    go_to(desk, ANNOTATE)
    desk.until(lambda: segmenter.asked == 3)
