"""Where clicks go: notices, the way back to clicking, clicks on finished objects."""

from __future__ import annotations

import numpy as np
import pytest
from napari.components import ViewerModel
from qtpy.QtCore import Qt
from qtpy.QtTest import QTest
from qtpy.QtWidgets import QApplication

from _fake_segmenter import disks
from napari_gpcis.clicks import Click
from napari_gpcis.plugin.dock.notices import ADDED, CHOSEN, DRAWING, HIDDEN, OFF
from napari_gpcis.plugin.dock.panels.objects import ObjectsPanel
from napari_gpcis.plugin.settings.preferences import PREFERENCES
from napari_gpcis.plugin.tools.picking import CHOSEN as OUTLINE

RIGHT = Qt.MouseButton.RightButton
SHIFT = Qt.KeyboardModifier.ShiftModifier
ALT = Qt.KeyboardModifier.AltModifier
FIRST, SECOND = (30, 30), (50, 75)


@pytest.fixture
def desk(open_desk):
    """Two finished objects."""
    desk = open_desk()
    for place in (FIRST, SECOND):
        finish(desk, place)
    return desk


def finish(desk, place) -> None:
    desk.robot.click(desk.image, place)
    desk.settled(1)
    desk.robot.press(Qt.Key.Key_N)
    desk.settled(0)


def double_click(desk, place) -> None:
    """Two quick clicks, as the window system tells them."""
    canvas = desk.viewer.window._qt_viewer.canvas.native
    desk.robot.click(desk.image, place)
    QTest.mouseDClick(canvas, Qt.MouseButton.LeftButton, pos=at(desk, place))


def at(desk, place):
    return desk.robot.position(desk.image, place)


def notice(desk) -> str:
    banner = desk.widget.notices.banner
    return "" if banner.isHidden() else banner.text.text()


def push(desk, title: str) -> None:
    """Press a button of the banner with the mouse."""
    (button,) = (
        one
        for one in desk.widget.notices.banner.buttons
        if one.isVisible() and one.text().startswith(title)
    )
    QTest.mouseClick(button, Qt.MouseButton.LeftButton)


def picking(desk):
    return next(p.picking for p in desk.widget.panels if isinstance(p, ObjectsPanel))


def points(desk) -> int:
    return len(desk.positive.data) + len(desk.negative.data)


# -- finished objects ----------------------------------------------------------------


def test_a_click_on_a_finished_object_chooses_it(desk) -> None:
    before = desk.labels.data.copy()
    runs = len(desk.segmenter.runs)
    desk.robot.click(desk.image, FIRST)
    desk.until(lambda: notice(desk) == CHOSEN.format(1))
    assert points(desk) == 0
    assert desk.labels.selected_label == 1
    assert desk.controller.annotation.curves.shows(OUTLINE)
    assert len(desk.segmenter.runs) == runs
    np.testing.assert_array_equal(desk.labels.data, before)
    desk.robot.click(desk.image, SECOND)
    desk.until(lambda: notice(desk) == CHOSEN.format(2))
    desk.robot.click(desk.image, (10, 80))  # a new object: nothing is chosen any more
    desk.settled(1)
    assert notice(desk) == ""
    assert not desk.controller.annotation.curves.shows(OUTLINE)
    assert set(np.unique(desk.labels.data)) == {0, 1, 2, 3}


def test_the_chosen_object_is_corrected_by_the_button(desk) -> None:
    desk.robot.click(desk.image, FIRST)
    desk.until(lambda: notice(desk))
    push(desk, "Correct")
    desk.until(lambda: desk.current.drawn.live.label == 1)
    desk.robot.click(desk.image, (30, 36), RIGHT)
    desk.until(lambda: desk.labels.data[30, 36] == 0)
    desk.robot.press(Qt.Key.Key_N)
    desk.settled(0)
    assert desk.labels.data[30, 30] == 1
    assert desk.labels.data[30, 36] == 0


def test_the_chosen_object_is_deleted_by_the_button(desk) -> None:
    before = desk.labels.data.copy()
    desk.robot.click(desk.image, FIRST)
    desk.until(lambda: notice(desk))
    push(desk, "Delete")
    assert not (desk.labels.data == 1).any()
    assert notice(desk) == ""
    desk.robot.press(Qt.Key.Key_U)
    np.testing.assert_array_equal(desk.labels.data, before)


def test_shift_click_begins_an_object_on_a_finished_one(desk) -> None:
    desk.robot.click(desk.image, FIRST, modifier=SHIFT)
    desk.until(lambda: len(desk.current.clicks) == 1)
    assert picking(desk).chosen is None


def test_whoever_wants_to_write_there_begins_an_object(desk) -> None:
    for mode in ("overwrite", "add", "cut", "replace"):
        PREFERENCES.protect = mode != "overwrite"
        if PREFERENCES.protect:
            desk.labels.selected_label = 2
            desk.controller.writing.mode = mode
        desk.robot.click(desk.image, FIRST)
        desk.settled(1)
        assert picking(desk).chosen is None, mode
        desk.robot.press(Qt.Key.Key_K)
        desk.settled(0)


def test_while_an_object_is_clicked_further_clicks_are_its_own(desk) -> None:
    desk.robot.click(desk.image, (30, 48))
    desk.settled(1)
    desk.robot.click(desk.image, FIRST)
    desk.settled(2)
    assert picking(desk).chosen is None
    desk.robot.press(Qt.Key.Key_K)
    desk.settled(0)
    desk.robot.click(desk.image, FIRST, RIGHT)  # a first click outside is none on it
    desk.until(lambda: points(desk) == 1)
    assert picking(desk).chosen is None


def test_a_double_click_corrects(desk) -> None:
    double_click(desk, SECOND)
    desk.until(lambda: desk.current.drawn.live.label == 2)
    assert desk.current.drawn.live.how == "replace"
    assert notice(desk) == ""
    desk.robot.click(desk.image, (50, 80), RIGHT)
    desk.until(lambda: desk.labels.data[50, 80] == 0)
    desk.robot.press(Qt.Key.Key_Escape)
    desk.until(lambda: desk.labels.data[50, 80] == 2)


def test_a_double_click_elsewhere_is_one_click(desk) -> None:
    double_click(desk, (10, 80))
    desk.settled(1)
    assert points(desk) == 1


def test_a_double_click_while_an_object_is_clicked_changes_nothing(desk) -> None:
    desk.robot.click(desk.image, (10, 80))
    desk.settled(1)
    before = desk.labels.data.copy()
    double_click(desk, FIRST)
    desk.until(lambda: "Accept or clear" in desk.controller.status)
    desk.settled(1)
    np.testing.assert_array_equal(desk.labels.data, before)


def test_no_object_is_corrected_while_another_waits_for_its_mask(desk) -> None:
    desk.segmenter.gate.clear()
    desk.robot.click(desk.image, (10, 80))
    desk.robot.press(Qt.Key.Key_N)
    desk.until(lambda: desk.current.accepting)
    double_click(desk, FIRST)
    desk.until(lambda: "wait for their masks" in desk.controller.status)
    desk.segmenter.gate.set()
    desk.settled(0)
    assert points(desk) == 0
    assert set(np.unique(desk.labels.data)) == {0, 1, 2, 3}
    double_click(desk, FIRST)
    desk.until(lambda: desk.current.drawn.live.label == 1)


def test_where_new_objects_may_overwrite_a_double_click_still_corrects(desk) -> None:
    PREFERENCES.protect = False
    double_click(desk, FIRST)
    desk.until(
        lambda: (
            desk.current.drawn.live.label == 1 and desk.current.drawn.live.how != "add"
        )
    )
    assert set(np.unique(desk.labels.data)) == {0, 1, 2}


def test_what_is_chosen_goes_with_the_object(desk) -> None:
    desk.robot.click(desk.image, SECOND)
    desk.until(lambda: picking(desk).chosen is not None)
    desk.robot.press(Qt.Key.Key_U)  # the second object is the current one again
    desk.settled(1)
    assert picking(desk).chosen is None
    assert notice(desk) == ""


# -- Escape ----------------------------------------------------------------------------


def test_escape_cancels_the_latest_thing(desk) -> None:
    before = desk.labels.data.copy()
    desk.robot.click(desk.image, FIRST)
    desk.until(lambda: notice(desk))
    desk.robot.press(Qt.Key.Key_Escape)
    assert notice(desk) == ""
    desk.robot.click(desk.image, (10, 80))
    desk.settled(1)
    desk.robot.press(Qt.Key.Key_B, SHIFT)
    assert notice(desk) == DRAWING["box"]
    desk.robot.press(Qt.Key.Key_Escape)  # the box tool first
    assert notice(desk) == ""
    assert points(desk) == 1
    desk.robot.press(Qt.Key.Key_Escape)
    desk.settled(0)
    np.testing.assert_array_equal(desk.labels.data, before)
    desk.robot.press(Qt.Key.Key_U)  # one step of undo
    desk.settled(1)
    desk.robot.press(Qt.Key.Key_Escape)
    desk.settled(0)
    desk.robot.press(Qt.Key.Key_Escape)  # nothing is left to cancel
    np.testing.assert_array_equal(desk.labels.data, before)


def test_escape_ends_a_correction_that_was_not_begun_by_clicks(desk) -> None:
    before = desk.labels.data.copy()
    double_click(desk, FIRST)
    desk.until(lambda: desk.current.drawn.live.label == 1)
    desk.robot.press(Qt.Key.Key_Escape)
    desk.until(lambda: not desk.current.running)
    assert desk.current.current.start is None
    np.testing.assert_array_equal(desk.labels.data, before)


# -- clicking is off -------------------------------------------------------------------


def test_a_banner_says_that_clicks_are_off_and_turns_them_on(desk) -> None:
    desk.viewer.layers.selection.active = desk.labels
    desk.labels.mode = "paint"
    assert notice(desk) == OFF
    assert "Press" not in desk.controller.status
    push(desk, "Click again (G)")
    assert desk.controller.annotation.clicking
    assert notice(desk) == ""


def test_hidden_clicks_are_shown_when_clicking_is_to_go_on(desk) -> None:
    desk.robot.click(desk.image, (10, 80))
    desk.settled(1)
    for how in ("key", "button", "eye"):
        leave_canvas(desk)
        desk.positive.visible = desk.negative.visible = False
        come_back(desk)
        desk.viewer.scene.camera.zoom *= 1.01
        desk.qtbot.wait(500)
        assert not desk.positive.visible, "who has hidden them is left alone"
        assert notice(desk) == HIDDEN
        desk.viewer.layers.selection.active = desk.image
        assert notice(desk) == HIDDEN
        if how == "eye":
            desk.positive.visible = True
            assert notice(desk) == OFF
            desk.viewer.layers.selection.active = desk.positive
            assert desk.controller.annotation.clicking
            assert not desk.negative.visible
        elif how == "key":
            desk.robot.press(Qt.Key.Key_G)
        else:
            push(desk, "Click again (G)")
        if how != "eye":
            assert desk.positive.visible
            assert desk.negative.visible
        assert notice(desk) == ""
    desk.robot.click(desk.image, (12, 78))
    desk.settled(2)
    points = desk.positive
    desk.widget.start_button.click()  # ends it
    points.visible = False
    desk.widget.start_button.click()
    assert points.visible
    assert desk.controller.annotation.clicking


def leave_canvas(desk) -> None:
    desk.viewer.mouse_over_canvas = False


def come_back(desk) -> None:
    desk.viewer.mouse_over_canvas = True


def test_after_contrast_clicking_goes_on(desk) -> None:
    leave_canvas(desk)
    desk.viewer.layers.selection.active = desk.image
    desk.image.contrast_limits = (0, 100)
    desk.qtbot.wait(500)
    assert desk.viewer.layers.selection.active == desk.image  # the slider stays
    assert notice(desk) == OFF
    come_back(desk)
    assert desk.controller.annotation.clicking
    desk.robot.click(desk.image, (10, 80))
    desk.settled(1)


def test_after_zooming_and_hiding_layers_clicking_goes_on(desk) -> None:
    desk.positive.mode = "pan_zoom"
    come_back(desk)
    desk.viewer.scene.camera.zoom *= 1.5
    assert not desk.controller.annotation.clicking
    desk.until(lambda: desk.controller.annotation.clicking)
    leave_canvas(desk)
    desk.viewer.layers.selection.active = desk.labels
    desk.labels.visible = False
    come_back(desk)
    assert desk.controller.annotation.clicking


def test_after_a_layer_that_only_shows_something_clicking_goes_on(desk) -> None:
    curves = desk.controller.annotation.curves.prepare()
    come_back(desk)
    leave_canvas(desk)  # to the layer list
    desk.viewer.layers.selection.active = curves
    desk.until(lambda: not desk.controller.annotation.clicking)
    desk.qtbot.wait(500)
    assert desk.viewer.layers.selection.active == curves  # its controls can be used
    come_back(desk)
    assert desk.controller.annotation.clicking
    desk.robot.click(desk.image, (10, 80))
    desk.settled(1)


def test_after_the_3d_display_clicking_goes_on(desk) -> None:
    """The curves' layer is never empty: of such a one napari's canvas would crash."""
    desk.robot.press(Qt.Key.Key_K)
    curves = desk.controller.annotation.curves
    curves.clear(OUTLINE)
    assert len(curves.prepare().data) == 1
    come_back(desk)
    desk.viewer.dims.ndisplay = 3
    desk.qtbot.wait(200)
    assert not desk.controller.annotation.clicking
    desk.viewer.dims.ndisplay = 2
    desk.until(lambda: desk.controller.annotation.clicking)
    desk.robot.click(desk.image, (10, 80))
    desk.settled(1)


@pytest.mark.skipif(not hasattr(ViewerModel().dims, "units"), reason="napari < 0.9")
def test_among_layers_of_other_units_clicks_are_refused_with_the_reason(
    open_desk,
) -> None:
    desk = open_desk(units=("um", "um"))
    desk.robot.click(desk.image, (40, 50))
    desk.settled(1)
    other = desk.viewer.add_image(
        np.zeros((80, 100)), scale=(1000, 1000), units=("nm", "nm")
    )
    desk.until(lambda: "different units" in desk.controller.status)
    desk.controller.ready()
    desk.robot.click(other, (60, 70))
    desk.qtbot.wait(200)
    assert "different units" in desk.controller.status
    assert len(desk.positive.data) == 1
    desk.viewer.layers.remove(other)
    desk.settled(1)
    desk.controller.ready()
    desk.robot.click(desk.image, (60, 70))
    desk.settled(2)


def test_whoever_does_something_else_is_left_alone(desk) -> None:
    for who in ("brush", "labels", "select", "no change", "preference"):
        leave_canvas(desk)
        desk.viewer.layers.selection.active = {
            "brush": desk.labels,
            "labels": desk.labels,
            "select": desk.positive,
        }.get(who, desk.image)
        if who == "brush":
            desk.labels.mode = "paint"
        if who == "select":
            desk.positive.mode = "select"
        PREFERENCES.return_to_clicks = who != "preference"
        if who == "preference":
            desk.image.contrast_limits = (0, 100)
        elif who != "no change":
            desk.viewer.scene.camera.zoom *= 1.5
            if who != "labels":
                desk.image.visible = False
        come_back(desk)
        desk.qtbot.wait(500)
        assert not desk.controller.annotation.clicking, who
        desk.image.visible = True
        desk.labels.mode = "pan_zoom"
        desk.robot.press(Qt.Key.Key_G)
        desk.until(lambda: desk.controller.annotation.clicking)


def choose_in_list(desk, layer) -> None:
    """Click on a layer in the layer list, with the mouse, and leave the canvas."""
    leave_canvas(desk)
    view = desk.viewer.window._qt_viewer.layers
    from_top = [*reversed(desk.viewer.layers)].index(layer)
    place = view.visualRect(view.model().index(from_top, 0)).center()
    QTest.mouseClick(view.viewport(), Qt.MouseButton.LeftButton, pos=place)
    assert desk.viewer.layers.selection.active == layer


def test_an_overlay_chosen_in_the_layer_list_gives_way(desk) -> None:
    outlines = desk.controller.annotation.curves.prepare()
    choose_in_list(desk, outlines)
    desk.qtbot.wait(50)
    assert desk.viewer.layers.selection.active == outlines  # it may be hidden, say
    assert notice(desk) == ""
    come_back(desk)
    desk.until(lambda: desk.viewer.layers.selection.active == desk.positive)
    desk.robot.click(desk.image, (60, 20))
    desk.settled(1)


def test_an_overlay_gives_way_to_the_brush(desk) -> None:
    outlines = desk.controller.annotation.curves.prepare()
    desk.viewer.layers.selection.active = desk.labels
    desk.labels.mode = "paint"
    choose_in_list(desk, outlines)
    come_back(desk)
    desk.until(lambda: desk.viewer.layers.selection.active == desk.labels)
    assert desk.labels.mode == "paint"


def test_an_overlay_gives_way_to_the_clicks_if_the_layer_of_before_is_gone(
    desk,
) -> None:
    other = desk.viewer.add_points(np.zeros((1, 2)))
    outlines = desk.controller.annotation.curves.prepare()
    choose_in_list(desk, outlines)
    desk.viewer.layers.remove(other)
    desk.viewer.layers.selection.active = outlines
    come_back(desk)
    desk.until(lambda: desk.controller.annotation.clicking)
    choose_in_list(desk, outlines)
    desk.viewer.layers.remove(outlines)  # as the Delete key does
    assert desk.controller.annotation is not None
    assert desk.positive in desk.viewer.layers


# -- another image ---------------------------------------------------------------------


def test_a_new_image_is_asked_about_in_the_dock(desk) -> None:
    old = desk.controller.annotation
    new = desk.viewer.add_image(np.ones((80, 100), np.uint8), name="next")
    assert notice(desk) == ADDED.format("next")
    assert desk.controller.annotation is old
    assert QApplication.activeModalWidget() is None
    push(desk, "Annotate")
    desk.until(lambda: desk.widget.session is not None)
    assert desk.controller.annotation.image == new
    assert notice(desk) == ""


def test_a_new_image_may_be_left_alone(desk) -> None:
    old = desk.controller.annotation
    desk.viewer.add_image(np.ones((80, 100), np.uint8), name="next")
    push(desk, "Not now")
    assert desk.controller.annotation is old
    assert desk.controller.annotation.clicking
    assert notice(desk) == ""
    other = desk.viewer.add_image(np.ones((80, 100), np.uint8))
    assert notice(desk)
    desk.viewer.layers.remove(other)
    assert ADDED.format("")[3:] not in notice(desk)


def test_layers_of_ours_and_other_kinds_are_not_asked_about(desk) -> None:
    desk.viewer.add_labels(np.zeros((80, 100), np.int32))
    desk.viewer.add_points(np.zeros((2, 2)))
    assert notice(desk) == OFF
    desk.widget.start_button.click()
    desk.viewer.add_image(np.ones((80, 100), np.uint8))
    assert notice(desk) == ""


def test_masks_stay_what_they_are(desk) -> None:
    """All of it leaves the finished objects alone."""
    expected = np.zeros((80, 100), int)
    for label, place in enumerate((FIRST, SECOND), 1):
        expected[disks((80, 100), (Click(*place),))] = label
    np.testing.assert_array_equal(desk.labels.data, expected)
