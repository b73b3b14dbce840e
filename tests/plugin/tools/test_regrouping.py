"""Finished objects are split by two clicks, and merged: mouse, keys, list, stack."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from qtpy.QtCore import Qt
from qtpy.QtTest import QTest

from _fake_segmenter import FakeSegmenter
from napari_gpcis.plugin.dock import notices
from napari_gpcis.plugin.dock.pages import PAGES, REVIEW
from napari_gpcis.plugin.dock.panels.objects import ObjectsPanel
from napari_gpcis.plugin.tools.objects.regrouping import ANOTHER, CURVE, NOTHING_THERE
from napari_gpcis.prompts import parse_annotation, replay

LEFT = Qt.MouseButton.LeftButton
SHIFT = Qt.KeyboardModifier.ShiftModifier


def panel_of(desk: Any) -> ObjectsPanel:
    return next(p for p in desk.widget.panels if isinstance(p, ObjectsPanel))


def tool_of(desk: Any) -> Any:
    return panel_of(desk).regrouping


def accept(desk: Any, *points: tuple[float, ...]) -> None:
    """Click on an object and accept it."""
    for count, point in enumerate(points, start=1):
        desk.robot.click(desk.image, point)
        desk.settled(count)
    desk.robot.press(Qt.Key.Key_N)
    desk.settled(0)


def split(desk: Any, *points: tuple[float, ...]) -> None:
    desk.robot.press(Qt.Key.Key_X, SHIFT)
    for point in points:
        desk.robot.click(desk.image, point)
        desk.controller.annotation.click_layers.settle()
    desk.until(lambda: tool_of(desk).task is None)


def merge(desk: Any, *points: tuple[float, ...]) -> None:
    desk.robot.press(Qt.Key.Key_V, SHIFT)
    for point in points:
        desk.robot.click(desk.image, point)
        desk.controller.annotation.click_layers.settle()


def data_of(desk: Any) -> np.ndarray:
    return np.array(desk.labels.data)


def reopened(desk: Any, labels: np.ndarray) -> np.ndarray:
    """Return the labels that saved clicks give, written as JSON and read."""
    import json

    saved = desk.widget.recovery.autosaver.record.saved()
    again = parse_annotation(json.loads(saved.to_json()), "saved")
    image = np.asarray(desk.image.data)
    return replay(again, FakeSegmenter(), image, labels=labels, any_model=True)


TWO = (40, 35), (40, 51)
"""Two disks of radius 12 that overlap a little: one object with a neck."""


def test_two_clicks_split_an_object_and_undo_makes_it_whole(open_desk: Any) -> None:
    desk = open_desk()
    accept(desk, *TWO)
    accept(desk, (15, 80))
    whole = data_of(desk)
    split(desk, *TWO)
    apart = data_of(desk)
    assert [*np.unique(apart)] == [0, 1, 2, 3]
    np.testing.assert_array_equal(apart == 2, whole == 2)
    np.testing.assert_array_equal((apart == 1) | (apart == 3), whole == 1)
    assert np.count_nonzero(apart == 1) >= np.count_nonzero(apart == 3)
    assert {int(apart[TWO[0]]), int(apart[TWO[1]])} == {1, 3}
    cols = np.nonzero(apart == apart[TWO[0]])[1]
    assert 42 <= cols.max() <= 44
    assert not len(desk.positive.data), "a click that splits is no click on an object"
    np.testing.assert_array_equal(reopened(desk, apart), apart)
    np.testing.assert_array_equal(desk.widget.session.labels, apart)

    desk.robot.press(Qt.Key.Key_U)
    np.testing.assert_array_equal(data_of(desk), whole)
    np.testing.assert_array_equal(reopened(desk, whole), whole)
    desk.robot.press(Qt.Key.Key_U, SHIFT)
    np.testing.assert_array_equal(data_of(desk), apart)
    np.testing.assert_array_equal(reopened(desk, apart), apart)
    desk.robot.press(Qt.Key.Key_U)
    desk.robot.press(Qt.Key.Key_U)  # the object before goes on, click by click
    desk.settled(1)
    assert desk.current.drawn.live.label == 2


def test_both_parts_of_a_split_object_are_of_its_class(open_desk: Any) -> None:
    desk = open_desk()
    accept(desk, *TWO)
    annotation = desk.controller.annotation
    annotation.classes = annotation.classes.with_class(1)
    annotation.classify({1: 1})
    split(desk, *TWO)
    desk.until(lambda: len(np.unique(desk.labels.data)) == 3)
    assert dict(annotation.classes.numbers) == {1: 1, 2: 1}


def test_what_was_split_can_be_corrected_and_saved(open_desk: Any) -> None:
    desk = open_desk()
    accept(desk, *TWO)
    split(desk, *TWO)
    small = int(data_of(desk)[TWO[1]])
    desk.labels.selected_label = small
    panel_of(desk).picking.refine_selected()
    desk.until(lambda: len(desk.current.clicks) == 1)
    desk.settled(1)
    accept_after = np.count_nonzero(data_of(desk) == small)
    desk.robot.click(desk.image, (40, 60), Qt.MouseButton.RightButton)
    desk.settled(2)
    desk.robot.press(Qt.Key.Key_N)
    desk.settled(0)
    found = data_of(desk)
    assert np.count_nonzero(found == small) < accept_after
    np.testing.assert_array_equal(reopened(desk, found), found)


def test_the_banner_says_what_the_next_click_does(open_desk: Any) -> None:
    desk = open_desk()
    accept(desk, *TWO)
    accept(desk, (15, 80))
    before, banner = data_of(desk), desk.widget.notices.banner
    layers = desk.controller.annotation.click_layers

    desk.robot.press(Qt.Key.Key_X, SHIFT)
    assert banner.text.text() == notices.SPLIT_FIRST
    desk.robot.click(desk.image, (70, 10))
    layers.settle()
    assert desk.controller.annotation.message == NOTHING_THERE
    desk.robot.click(desk.image, TWO[0])
    layers.settle()
    assert banner.text.text() == notices.SPLIT_SECOND.format(1)
    assert desk.controller.annotation.curves.shows(CURVE)
    desk.robot.click(desk.image, (15, 80))
    layers.settle()
    assert desk.controller.annotation.message == ANOTHER.format(1)
    QTest.mouseClick(banner.buttons[0], LEFT)
    assert banner.isHidden()
    assert not desk.controller.annotation.curves.shows(CURVE)

    desk.robot.press(Qt.Key.Key_V, SHIFT)
    assert banner.text.text() == notices.MERGE_FIRST
    desk.robot.press(Qt.Key.Key_Escape)
    assert tool_of(desk).task is None
    np.testing.assert_array_equal(data_of(desk), before)
    desk.robot.click(desk.image, (70, 10))  # clicks are clicks again
    desk.settled(1)
    desk.robot.press(Qt.Key.Key_X, SHIFT)
    assert tool_of(desk).task is None, "an object is being clicked"


def test_objects_are_merged_by_clicks_or_by_the_list(open_desk: Any) -> None:
    desk = open_desk()
    for point in ((20, 20), (20, 44), (60, 80)):
        accept(desk, point)
    apart = data_of(desk)
    merge(desk, (20, 20), (20, 44))
    found = data_of(desk)
    kept = int(found[20, 20])
    np.testing.assert_array_equal(found == kept, (apart == 1) | (apart == 2))
    assert kept == (1 if (apart == 1).sum() >= (apart == 2).sum() else 2)
    np.testing.assert_array_equal(reopened(desk, found), found)

    panel = panel_of(desk)
    left = set(map(int, np.unique(found))) - {0}
    desk.until(lambda: {row.label for row in panel.table.rows} == left)
    desk.widget.pages.setCurrentIndex([*PAGES].index(REVIEW))
    panel.list.selectAll()
    QTest.mouseClick(panel.merge_button, LEFT)
    together = data_of(desk)
    assert len(np.unique(together)) == 2
    np.testing.assert_array_equal(together > 0, apart > 0)
    np.testing.assert_array_equal(reopened(desk, together), together)
    desk.robot.press(Qt.Key.Key_U)
    np.testing.assert_array_equal(data_of(desk), found)
    desk.robot.press(Qt.Key.Key_U)
    np.testing.assert_array_equal(data_of(desk), apart)
    np.testing.assert_array_equal(reopened(desk, apart), apart)
    desk.robot.press(Qt.Key.Key_U, SHIFT)
    desk.robot.press(Qt.Key.Key_U, SHIFT)
    np.testing.assert_array_equal(data_of(desk), together)


def test_labels_of_others_are_split_and_merged(open_desk: Any) -> None:
    """What no click has made (drawn, or from another program) is saved right, too."""
    desk = open_desk()
    desk.labels.data[10:30, 10:50] = 5
    desk.labels.data[30:40, 10:50] = 6
    desk.labels.refresh()
    given = data_of(desk)
    split(desk, (20, 15), (20, 45))
    found = data_of(desk)
    assert [*np.unique(found)] == [0, 5, 6, 7]
    np.testing.assert_array_equal(reopened(desk, found), found)
    np.testing.assert_array_equal(reopened(desk, given), found)
    merge(desk, (35, 20), (20, 45))
    found = data_of(desk)
    assert len(np.unique(found)) == 3
    np.testing.assert_array_equal(reopened(desk, found), found)
    np.testing.assert_array_equal(reopened(desk, given), found)


@pytest.mark.parametrize("visited", [True, False])
def test_a_stack_is_merged_on_all_planes_that_are_selected(
    open_desk: Any, visited: bool
) -> None:
    desk = open_desk(np.zeros((7, 80, 100), np.uint8))
    annotation = desk.controller.annotation
    for step in range(6 if visited else 3):  # the first are set aside
        desk.viewer.dims.set_current_step(0, step)
        desk.until(lambda: desk.current.session is not None)
        desk.until(lambda at=step: desk.current.plane.steps[0] == at)
        accept(desk, (step, 20, 20))
    desk.labels.data[2, 30:60, 40:90] = 9
    desk.labels.refresh()
    apart = data_of(desk)
    planes = {plane.steps[0]: plane for plane in annotation._planes}
    chosen = [(planes[0], 1), (planes[1], 2), (planes[2], 3), (planes[2], 9)]
    assert annotation.merge(chosen) == 9
    found = data_of(desk)
    expected = np.where(np.isin(apart, (1, 2, 3)), 9, apart)
    np.testing.assert_array_equal(found, expected)
    np.testing.assert_array_equal(reopened(desk, found), found)
    desk.robot.press(Qt.Key.Key_U)
    np.testing.assert_array_equal(data_of(desk), apart)
    np.testing.assert_array_equal(reopened(desk, apart), apart)
    desk.robot.press(Qt.Key.Key_U, SHIFT)
    np.testing.assert_array_equal(data_of(desk), found)
    np.testing.assert_array_equal(reopened(desk, found), found)


def test_what_is_split_on_one_plane_stays_on_the_others(open_desk: Any) -> None:
    desk = open_desk(np.zeros((3, 80, 100), np.uint8))
    for step in range(3):
        desk.labels.data[step, 20:40, 10:60] = 4
    desk.labels.refresh()
    desk.viewer.dims.set_current_step(0, 1)
    desk.until(lambda: desk.current.plane.steps[0] == 1 and desk.current.session)
    split(desk, (1, 30, 15), (1, 30, 55))
    found = data_of(desk)
    assert [*np.unique(found[1])] == [0, 4, 5]
    assert [*np.unique(found[[0, 2]])] == [0, 4]
    np.testing.assert_array_equal(reopened(desk, found), found)
