"""Brush and eraser belong to the current object; what they did is kept and undone."""

from __future__ import annotations

import numpy as np
import pytest
from qtpy.QtCore import Qt
from qtpy.QtTest import QTest
from qtpy.QtWidgets import QApplication

from _fake_segmenter import disks
from napari_gpcis.clicks import Click
from napari_gpcis.plugin.annotation.controller import STROKING
from napari_gpcis.plugin.labels.pixels import PAINTING
from napari_gpcis.plugin.settings.preferences import PREFERENCES
from napari_gpcis.plugin.tools.active_layer import WAITS

LEFT, RIGHT = Qt.MouseButton.LeftButton, Qt.MouseButton.RightButton
SHAPE = (80, 100)


def disk(*clicks: Click) -> np.ndarray:
    return disks(SHAPE, clicks)


def with_an_object(open_desk):
    """Open a desk with a finished object, whose label is selected."""
    desk = open_desk()
    desk.robot.click(desk.image, (30, 75))
    desk.settled(1)
    desk.robot.press(Qt.Key.Key_N)
    desk.settled(0)
    desk.labels.selected_label = 1
    return desk


@pytest.fixture
def desk(open_desk):
    """A finished object, and one being clicked with the brush in hand."""
    desk = with_an_object(open_desk)
    desk.robot.click(desk.image, (30, 30))
    desk.settled(1)
    desk.viewer.layers.selection.active = desk.labels
    desk.labels.brush_size = 6
    desk.labels.mode = "paint"
    return desk


def stroke(desk, start, end, mode: str = "paint") -> np.ndarray:
    """Draw with the mouse; return which pixels have changed."""
    desk.labels.mode = mode
    before = desk.labels.data.copy()
    desk.robot.drag(desk.image, start, end)
    changed = before != desk.labels.data
    assert changed.any()
    return changed


def test_the_label_is_chosen_and_given_back(desk) -> None:
    assert desk.labels.selected_label == 2
    assert desk.labels.preserve_labels
    assert "object 2" in desk.controller.status
    stroke(desk, (50, 30), (55, 30))
    assert set(np.unique(desk.labels.data)) == {0, 1, 2}
    desk.robot.press(Qt.Key.Key_N)
    desk.settled(0)
    assert desk.labels.selected_label == 1
    assert not desk.labels.preserve_labels
    assert desk.controller.annotation.clicking


@pytest.fixture
def early(open_desk):
    """A finished object, which is selected, and one that waits for its mask."""
    desk = with_an_object(open_desk)
    desk.labels.brush_size = 6
    desk.segmenter.gate.clear()
    desk.robot.click(desk.image, (30, 30))
    desk.until(lambda: desk.controller.annotation.awaited)
    yield desk
    desk.segmenter.gate.set()


@pytest.mark.parametrize("mode", PAINTING)
@pytest.mark.parametrize("waiting", [False, True])
def test_it_waits_for_the_mask_of_the_object(early, mode: str, waiting: bool) -> None:
    """Or it would change the object that is selected."""
    desk, label = early, 3 if waiting else 2
    if waiting:
        desk.robot.press(Qt.Key.Key_N)
        desk.robot.click(desk.image, (60, 30))
        desk.until(lambda: desk.controller.annotation.awaited == 2)
    before = desk.labels.data.copy()
    desk.viewer.layers.selection.active = desk.labels
    desk.labels.mode = mode
    assert desk.controller.status == WAITS
    desk.qtbot.wait(50)
    controls = desk.viewer.window._qt_viewer.controls.widgets[desk.labels]
    assert controls.panzoom_button.isChecked()
    desk.robot.drag(desk.image, (50, 30), (55, 30))
    np.testing.assert_array_equal(desk.labels.data, before)
    desk.viewer.reset_view()
    desk.segmenter.gate.set()
    desk.until(lambda: desk.labels.mode == mode)
    assert desk.labels.selected_label == label
    changed = stroke(desk, (40, 30), (44, 30))
    assert set(np.unique(desk.labels.data[changed])) == {label}
    assert (desk.labels.data[before == 1] == 1).all()


def test_what_waits_for_a_mask_is_given_up(early) -> None:
    """By another layer, another mode, or by accepting the object."""
    desk, labels = early, early.labels
    desk.viewer.layers.selection.active = labels
    labels.mode = "paint"
    labels.mode = "pick"
    desk.segmenter.gate.set()
    desk.settled(1)
    assert labels.mode == "pick"
    desk.segmenter.gate.clear()
    desk.robot.press(Qt.Key.Key_G)
    desk.robot.press(Qt.Key.Key_N)
    desk.robot.click(desk.image, (60, 30))
    desk.viewer.layers.selection.active = labels
    labels.mode = "paint"
    desk.robot.press(Qt.Key.Key_G)
    desk.segmenter.gate.set()
    desk.settled(1)
    assert labels.mode == "pan_zoom"
    assert desk.controller.annotation.clicking


def test_accepted_objects_without_masks_are_waited_for_as_well(early) -> None:
    desk, labels = early, early.labels
    desk.robot.press(Qt.Key.Key_N)
    desk.until(lambda: desk.current.accepting)
    before = labels.data.copy()
    desk.viewer.layers.selection.active = labels
    labels.mode = "paint"
    assert desk.controller.status == WAITS
    desk.robot.drag(desk.image, (40, 30), (44, 30))
    np.testing.assert_array_equal(labels.data, before)
    desk.viewer.reset_view()
    desk.segmenter.gate.set()
    desk.until(lambda: labels.mode == "paint")
    assert labels.selected_label == 1  # the brush is the user's own again
    assert WAITS not in desk.controller.status
    assert set(np.unique(labels.data)) == {0, 1, 2}


def test_nothing_is_said_of_waiting_once_it_is_over(early) -> None:
    desk, labels = early, early.labels
    for leave in ("layer", "mode", "clicks"):
        desk.viewer.layers.selection.active = labels
        labels.mode = "paint"
        assert desk.controller.status == WAITS
        if leave == "layer":
            desk.viewer.layers.selection.active = desk.image
        elif leave == "mode":
            labels.mode = "pick"
        else:
            desk.robot.press(Qt.Key.Key_G)
        assert WAITS not in desk.controller.status


def test_accepting_ends_the_waiting_as_well(early) -> None:
    desk, labels = early, early.labels
    desk.viewer.layers.selection.active = labels
    labels.mode = "paint"
    desk.robot.press(Qt.Key.Key_N)
    desk.segmenter.gate.set()
    desk.settled(0)
    assert set(np.unique(labels.data)) == {0, 1, 2}
    assert labels.selected_label == 1
    assert labels.mode == "pan_zoom"
    assert desk.controller.annotation.clicking


def test_further_clicks_keep_what_was_drawn_and_erased(desk) -> None:
    drawn = stroke(desk, (50, 30), (55, 30))
    erased = stroke(desk, (24, 26), (24, 34), "erase")
    desk.robot.press(Qt.Key.Key_G)
    assert desk.labels.selected_label == 1
    desk.robot.click(desk.image, (30, 36), RIGHT)
    desk.settled(2)
    mask = disk(Click(30, 30), Click(30, 36, False))
    np.testing.assert_array_equal(desk.labels.data == 2, (mask | drawn) & ~erased)
    desk.robot.press(Qt.Key.Key_U)
    desk.settled(1)
    kept = (disk(Click(30, 30)) | drawn) & ~erased
    np.testing.assert_array_equal(desk.labels.data == 2, kept)
    desk.robot.press(Qt.Key.Key_N)
    desk.settled(0)
    np.testing.assert_array_equal(desk.labels.data == 2, kept)
    desk.robot.press(Qt.Key.Key_U)  # goes on, and keeps it still
    desk.settled(1)
    desk.robot.click(desk.image, (30, 36), RIGHT)
    desk.settled(2)
    np.testing.assert_array_equal(desk.labels.data == 2, (mask | drawn) & ~erased)


def test_each_stroke_is_one_step_of_undo(desk) -> None:
    states = [desk.labels.data.copy()]
    stroke(desk, (50, 30), (55, 30))
    states.append(desk.labels.data.copy())
    stroke(desk, (24, 26), (24, 34), "erase")
    states.append(desk.labels.data.copy())
    for state in (states[1], states[0]):
        desk.robot.press(Qt.Key.Key_U)
        np.testing.assert_array_equal(desk.labels.data, state)
    assert len(desk.current.clicks) == 1
    for state in states[1:]:
        desk.controller.command("redo")
        np.testing.assert_array_equal(desk.labels.data, state)
    desk.robot.press(Qt.Key.Key_U)
    desk.robot.press(Qt.Key.Key_G)
    desk.robot.click(desk.image, (30, 36), RIGHT)
    desk.settled(2)
    assert desk.labels.data[50, 30] == 2
    assert desk.labels.data[24, 30] == 2  # it was erased, and that was undone


@pytest.mark.parametrize("mode", ["paint", "erase"])
def test_nothing_changes_below_a_stroke_that_is_being_drawn(desk, mode: str) -> None:
    """Control-Z took the click back, and left the stroke as an object without one."""
    desk.labels.mode = mode
    before = desk.labels.data.copy()
    canvas, robot = desk.robot._canvas, desk.robot
    places = [robot.position(desk.image, point) for point in ((30, 20), (30, 45))]
    QTest.mouseMove(canvas, places[0])
    QApplication.processEvents()
    QTest.mousePress(canvas, LEFT, pos=places[0])
    QTest.mouseMove(canvas, places[1])
    QApplication.processEvents()
    drawn = desk.labels.data.copy()
    assert (drawn != before).any()
    for key in (Qt.Key.Key_U, Qt.Key.Key_N):
        robot.press(key)
        assert desk.controller.status == STROKING
    robot.press(Qt.Key.Key_Z, Qt.KeyboardModifier.ControlModifier)
    assert desk.controller.status == STROKING
    desk.qtbot.wait(20)
    np.testing.assert_array_equal(desk.labels.data, drawn)
    assert len(desk.current.clicks) == 1
    QTest.mouseRelease(canvas, LEFT, pos=places[1])
    robot.press(Qt.Key.Key_Z, Qt.KeyboardModifier.ControlModifier)
    np.testing.assert_array_equal(desk.labels.data, before)
    assert len(desk.current.clicks) == 1
    robot.press(Qt.Key.Key_U)
    desk.settled(0)
    assert not (desk.labels.data == 2).any()


def test_clear_takes_it_away_and_undo_brings_it_back(desk) -> None:
    before = desk.labels.data.copy()
    before[before == 2] = 0
    stroke(desk, (50, 30), (55, 30))
    stroke(desk, (24, 26), (24, 34), "erase")
    after = desk.labels.data.copy()
    desk.robot.press(Qt.Key.Key_K)
    desk.settled(0)
    np.testing.assert_array_equal(desk.labels.data, before)
    assert desk.controller.annotation.clicking
    desk.robot.click(desk.image, (60, 60))  # another object has nothing of it
    desk.settled(1)
    shown = disk(Click(60, 60)) & (before == 0)
    np.testing.assert_array_equal(desk.labels.data == 2, shown)
    desk.robot.press(Qt.Key.Key_U)
    desk.settled(0)
    desk.robot.press(Qt.Key.Key_U)
    desk.settled(1)
    np.testing.assert_array_equal(desk.labels.data, after)


def test_a_finished_object_is_not_drawn_over(desk) -> None:
    first = desk.labels.data == 1
    stroke(desk, (30, 50), (30, 80))
    stroke(desk, (30, 50), (30, 80), "erase")
    np.testing.assert_array_equal(desk.labels.data == 1, first)


def test_what_may_be_overwritten_comes_back(desk) -> None:
    desk.robot.press(Qt.Key.Key_G)
    PREFERENCES.protect = False
    desk.viewer.layers.selection.active = desk.labels
    desk.labels.mode = "paint"
    desk.settled(1)
    desk.until(lambda: desk.labels.selected_label == desk.current.drawn.live.label > 1)
    label, before = desk.current.drawn.live.label, desk.labels.data == 1
    stroke(desk, (30, 50), (30, 80))
    assert (before & (desk.labels.data == label)).any()
    desk.robot.press(Qt.Key.Key_K)
    desk.settled(0)
    np.testing.assert_array_equal(desk.labels.data == 1, before)


def test_without_an_object_the_brush_is_the_users_own(open_desk) -> None:
    desk = open_desk()
    desk.labels.selected_label = 5
    desk.viewer.layers.selection.active = desk.labels
    desk.labels.mode = "paint"
    stroke(desk, (50, 30), (55, 30))
    assert set(np.unique(desk.labels.data)) == {0, 5}
    assert desk.labels.selected_label == 5
    assert not desk.controller.annotation.clicking


def test_a_correction_is_erased_by_hand_and_cancelled(desk) -> None:
    desk.robot.press(Qt.Key.Key_K)
    desk.settled(0)
    before = desk.labels.data.copy()
    desk.labels.selected_label = 1
    desk.controller.command("refine")
    desk.until(lambda: desk.current.drawn.live.label == 1)
    desk.viewer.layers.selection.active = desk.labels
    stroke(desk, (24, 71), (24, 79), "erase")
    desk.robot.press(Qt.Key.Key_G)
    desk.robot.press(Qt.Key.Key_Escape)
    desk.until(lambda: not desk.current.clicks)
    np.testing.assert_array_equal(desk.labels.data, before)
