"""The Clicking section in a real viewer: preview, threshold, boxes, turned clicks."""

from __future__ import annotations

import numpy as np
import pytest
from napari.utils.colormaps.standardize_color import transform_color
from qtpy.QtCore import Qt
from qtpy.QtTest import QTest
from qtpy.QtWidgets import QApplication

from _fake_segmenter import disks
from napari_gpcis.clicks import Click
from napari_gpcis.plugin.dock.panels.clicking import THRESHOLD, ClickingPanel
from napari_gpcis.plugin.dock.panels.objects import ObjectsPanel
from napari_gpcis.plugin.settings.preferences import PREFERENCES
from napari_gpcis.plugin.viewer.layers import (
    CLICK_SIZE,
    NEGATIVE_COLOUR,
    POSITIVE_COLOUR,
)
from napari_gpcis.plugin.viewer.planes import camera_of

RIGHT = Qt.MouseButton.RightButton
SHIFT = Qt.KeyboardModifier.ShiftModifier
CONTROL = Qt.KeyboardModifier.ControlModifier


def panel_of(desk) -> ClickingPanel:
    return next(p for p in desk.widget.panels if isinstance(p, ClickingPanel))


def panel_of_objects(desk) -> ObjectsPanel:
    return next(one for one in desk.widget.panels if isinstance(one, ObjectsPanel))


def sketches(desk) -> list[str]:
    return [layer.name for layer in desk.viewer.layers if "outlines" in layer.name]


def contour(desk) -> np.ndarray:
    """Where the drawn contour goes, rows and columns."""
    return desk.controller.annotation.curves.segments("preview").starts


def hover_at(desk, row: int, col: int) -> None:
    """Move the mouse about a place, as a hand does, until a contour is seen."""
    steps = iter(range(10_000))

    def seen() -> bool:
        desk.robot.move(desk.image, (row, col + next(steps) % 2))
        return panel_of(desk).hover.shown

    desk.until(seen)


# -- preview under the mouse -------------------------------------------------------


@pytest.mark.filterwarnings("ignore:invalid value:RuntimeWarning")  # napari draws it
@pytest.mark.parametrize(
    "point", [(np.nan, 40), (30, np.inf), (np.nan, np.nan), (-np.inf, 3)]
)
def test_a_point_without_a_place_is_refused(bench, point) -> None:
    bench.start()
    bench.positive.add([30, 40])
    bench.settled(1)
    shown, told = bench.labels.data.copy(), []
    bench.controller.status_changed.connect(told.append)
    bench.positive.add(point)
    bench.until(lambda: any("1 point was removed" in words for words in told))
    np.testing.assert_array_equal(bench.positive.data, [[30, 40]])
    bench.negative.data = np.array([point, [20, 40], point])
    bench.settled(2)
    assert any("2 points were removed" in words for words in told)
    np.testing.assert_array_equal(bench.negative.data, [[20, 40]])
    bench.controller.command("undo")
    bench.settled(1)
    np.testing.assert_array_equal(bench.labels.data, shown)
    bench.controller.command("accept")
    bench.settled(0)
    assert (bench.labels.data == shown).all()


def test_a_click_in_the_3d_display_makes_no_point(open_desk) -> None:
    desk = open_desk(np.zeros((12, 80, 100), np.uint8))
    desk.viewer.dims.ndisplay = 3
    desk.until(lambda: desk.controller.annotation.current is None)
    desk.viewer.reset_view()
    desk.viewer.layers.selection.active = desk.positive
    desk.positive.mode = "add"
    canvas = desk.viewer.window._qt_viewer.canvas.native
    for button in (Qt.MouseButton.LeftButton, Qt.MouseButton.RightButton):
        QTest.mouseMove(canvas, canvas.rect().center())
        QTest.mouseClick(canvas, button, pos=canvas.rect().center())
        desk.qtbot.wait(100)
    assert len(desk.positive.data) == len(desk.negative.data) == 0
    assert "2-D display" in desk.controller.status
    desk.viewer.dims.ndisplay = 2
    desk.until(lambda: desk.widget.session is not None)
    desk.viewer.reset_view()
    step = desk.current.plane.steps[0]
    desk.robot.click(desk.image, (step, 30, 40))
    desk.settled(1)


def test_the_contour_of_a_click_follows_the_mouse(open_desk) -> None:
    desk = open_desk()
    hover = panel_of(desk).hover
    desk.robot.move(desk.image, (30, 40))
    assert desk.segmenter.previews == []
    desk.robot.press(Qt.Key.Key_W)
    assert PREFERENCES.hover_preview
    assert panel_of(desk).preview.isChecked()
    desk.robot.move(desk.image, (30, 42))
    desk.until(lambda: hover.shown)
    assert np.abs(contour(desk).mean(axis=0) - (30, 42)).max() < 2
    assert 9 < np.ptp(contour(desk)[:, 0]) / 2 < 14
    assert desk.viewer.layers.selection.active == desk.positive
    desk.robot.move(desk.image, (50, 60))
    desk.until(lambda: np.abs(contour(desk).mean(axis=0) - (50, 60)).max() < 2)
    assert not desk.labels.data.any()
    assert len(desk.positive.data) == 0
    desk.robot.press(Qt.Key.Key_W)
    assert not hover.shown


def test_the_contour_leaves_out_what_is_protected(open_desk) -> None:
    desk = open_desk()
    labels = desk.labels.data.copy()
    labels[:, 44:] = 7  # a finished object beside the place
    desk.labels.data = labels
    PREFERENCES.hover_preview = True
    hover_at(desk, 30, 40)
    assert contour(desk)[:, 1].max() <= 43.5
    PREFERENCES.protect = False
    desk.robot.move(desk.image, (31, 40))
    desk.until(lambda: contour(desk)[:, 1].max() > 48)
    PREFERENCES.protect = True
    worker, hover = desk.controller.annotation.worker, panel_of(desk).hover
    desk.robot.move(desk.image, (30, 40))
    desk.qtbot.wait(100)
    desk.until(lambda: not worker.busy(hover.key))
    desk.qtbot.wait(100)  # it is drawn
    protected = contour(desk)
    assert protected[:, 1].max() <= 43.5
    desk.robot.click(desk.image, (30, 40))
    desk.settled(1)
    rows, cols = np.nonzero(desk.labels.data == 8)
    assert (rows.min() - 0.5, cols.min() - 0.5) == tuple(protected.min(axis=0))
    assert (rows.max() + 0.5, cols.max() + 0.5) == tuple(protected.max(axis=0))


def test_nothing_is_previewed_where_a_click_is_none(open_desk) -> None:
    """It chooses a finished object, or is the first part of a task."""
    desk = open_desk()
    hover = panel_of(desk).hover
    labels = desk.labels.data.copy()
    labels[20:40, 50:70] = 7
    desk.labels.data = labels
    PREFERENCES.hover_preview = True
    hover_at(desk, 60, 20)
    asked = len(desk.segmenter.previews)

    def nothing_at(row: int, col: int) -> bool:
        for step in range(4):
            desk.robot.move(desk.image, (row, col + step % 2))
        desk.qtbot.wait(100)
        busy = desk.controller.annotation.worker.busy(hover.key)
        return not (hover.shown or busy) and len(desk.segmenter.previews) == asked

    desk.until(lambda: not desk.controller.annotation.worker.busy(hover.key))
    asked = len(desk.segmenter.previews)
    assert nothing_at(30, 60)
    desk.robot.click(desk.image, (30, 60))
    picking = panel_of_objects(desk).picking
    desk.until(lambda: picking.chosen == (desk.current.plane, 7))
    assert nothing_at(31, 60)
    PREFERENCES.protect = False  # there a click begins an object
    hover_at(desk, 30, 60)
    PREFERENCES.protect = True
    desk.robot.click(desk.image, (60, 20))
    desk.settled(1)
    hover_at(desk, 30, 60)  # one more click of the object
    desk.robot.press(Qt.Key.Key_K)
    desk.settled(0)
    hover_at(desk, 60, 20)
    desk.controller.command("split_object")
    desk.until(lambda: not desk.controller.annotation.worker.busy(hover.key))
    asked = len(desk.segmenter.previews)
    assert nothing_at(62, 20)


@pytest.mark.parametrize("key", [Qt.Key.Key_U, Qt.Key.Key_K])
def test_the_preview_goes_with_the_clicks_that_it_went_on_from(open_desk, key) -> None:
    desk = open_desk()
    desk.robot.press(Qt.Key.Key_W)
    desk.robot.click(desk.image, (30, 40))
    desk.settled(1)
    hover_at(desk, 30, 60)
    hover = panel_of(desk).hover
    desk.robot.press(key)
    assert not hover.shown
    assert not desk.controller.annotation.worker.busy(hover.key)
    assert hover._next is None
    desk.settled(0)
    assert not hover.shown
    hover_at(desk, 60, 80)
    assert desk.segmenter.previews[-1][1] is None  # nothing of the object before


def test_the_preview_starts_from_the_mask_that_is_there(open_desk) -> None:
    desk = open_desk()
    desk.robot.click(desk.image, (30, 40))
    desk.settled(1)
    PREFERENCES.hover_preview = True
    hover_at(desk, 31, 60)
    _, previous, _ = desk.segmenter.previews[-1]
    assert [click.positive for click in previous.clicks] == [True]
    assert np.ptp(contour(desk)[:, 1]) > 35
    assert len(desk.segmenter.threads) == 1


def test_the_preview_goes_with_the_click_the_mouse_and_the_tool(open_desk) -> None:
    desk = open_desk()
    hover = panel_of(desk).hover
    PREFERENCES.hover_preview = True

    hover_at(desk, 30, 41)
    desk.robot.click(desk.image, (30, 41))
    desk.settled(1)
    assert not hover.shown
    hover_at(desk, 33, 41)
    desk.viewer.mouse_over_canvas = False
    assert not hover.shown
    desk.viewer.mouse_over_canvas = True
    hover_at(desk, 36, 41)
    desk.viewer.layers.selection.active = desk.image
    assert not hover.shown
    desk.robot.press(Qt.Key.Key_G)
    hover_at(desk, 39, 41)
    desk.widget.start_button.click()
    assert sketches(desk) == []


def test_a_preview_that_fails_is_silent(open_desk, errors) -> None:
    desk = open_desk()
    PREFERENCES.hover_preview = True
    desk.segmenter.error = RuntimeError("no memory left")
    desk.robot.move(desk.image, (30, 40))
    desk.robot.move(desk.image, (30, 41))
    desk.until(lambda: desk.segmenter.previews)
    hover = panel_of(desk).hover
    desk.until(lambda: not desk.controller.annotation.worker.busy(hover.key))
    assert errors == []
    assert not hover.shown


def test_the_layer_of_the_preview_may_be_deleted(open_desk) -> None:
    desk = open_desk()
    PREFERENCES.hover_preview = True
    hover_at(desk, 30, 40)
    desk.viewer.layers.remove(sketches(desk)[0])
    assert desk.controller.annotation is not None
    desk.robot.press(Qt.Key.Key_G)
    hover_at(desk, 34, 44)
    desk.until(lambda: len(sketches(desk)) == 1)


# -- threshold ---------------------------------------------------------------------


def test_the_slider_redraws_the_running_mask_without_predicting(open_desk) -> None:
    desk = open_desk()
    desk.segmenter.soft = True
    panel = panel_of(desk)
    desk.robot.click(desk.image, (30, 40))
    desk.settled(1)
    runs, area = len(desk.segmenter.runs), np.count_nonzero(desk.labels.data)
    panel.threshold.setValue(80)
    desk.until(lambda: np.count_nonzero(desk.labels.data) < 0.7 * area)
    assert len(desk.segmenter.runs) == runs
    assert desk.widget.session.threshold == pytest.approx(0.8)
    assert panel.threshold_label.text() == f"{THRESHOLD} 0.80"
    small = desk.labels.data.copy()
    desk.robot.press(Qt.Key.Key_N)
    desk.settled(0)
    assert desk.widget.session.objects[0].threshold == pytest.approx(0.8)
    panel.threshold.setValue(50)
    np.testing.assert_array_equal(desk.labels.data, small)
    desk.robot.press(Qt.Key.Key_U)
    desk.settled(1)
    assert panel.threshold.value() == 80


# -- boxes -------------------------------------------------------------------------


@pytest.mark.parametrize("tool", [False, True])
def test_a_box_sets_the_view_and_clicks_its_middle(open_desk, tool) -> None:
    desk = open_desk()
    panel = panel_of(desk)
    if tool:
        desk.robot.press(Qt.Key.Key_B, SHIFT)
        assert panel.draw_buttons["box"].isChecked()
        desk.robot.drag(desk.image, (20, 30), (50, 70))
    else:
        desk.robot.drag(desk.image, (20, 30), (50, 70), modifier=SHIFT)
    desk.settled(1)
    view = desk.segmenter.runs[-1].view
    assert np.abs(np.array(view) - (20, 30, 51, 71)).max() <= 1
    click = desk.widget.session.clicks[0]
    assert abs(click.row - 35) <= 1
    assert abs(click.col - 50) <= 1
    assert click.positive
    desk.robot.press(Qt.Key.Key_U)
    desk.settled(0)
    desk.robot.click(desk.image, (60, 80))
    desk.settled(1)
    assert desk.segmenter.runs[-1].view != view


def test_a_box_is_drawn_while_the_mouse_moves_and_waits_for_its_turn(open_desk) -> None:
    desk = open_desk()
    seen = []
    desk.controller.annotation.click_layers.dragged.connect(
        lambda *_: seen.append(desk.controller.annotation.curves.shows("drawing"))
    )
    centre = desk.viewer.scene.camera.center
    desk.robot.drag(desk.image, (20, 30), (50, 70), modifier=SHIFT)
    assert seen == [True] * len(seen) != []
    assert desk.viewer.scene.camera.center == centre
    desk.settled(1)
    desk.robot.drag(desk.image, (5, 5), (15, 15), modifier=SHIFT)
    assert len(desk.widget.session.clicks) == 1
    assert "A box begins an object" in desk.widget.status.text()


def test_while_the_box_tool_is_on_a_drag_does_not_move_the_image(open_desk) -> None:
    desk = open_desk()
    camera = desk.viewer.scene.camera
    panel_of(desk).draw_buttons["box"].click()
    centre = camera.center
    desk.robot.drag(desk.image, (20, 30), (50, 70))
    desk.settled(1)
    assert camera.center == centre
    panel_of(desk).draw_buttons["box"].click()
    desk.robot.drag(desk.image, (20, 30), (50, 70))
    assert camera.center != centre
    assert len(desk.widget.session.clicks) == 1


# -- lassos and scribbles ----------------------------------------------------------


def test_a_lasso_begins_an_object_with_what_is_inside(open_desk) -> None:
    desk = open_desk()
    desk.robot.press(Qt.Key.Key_L, SHIFT)
    assert panel_of(desk).draw_buttons["lasso"].isChecked()
    around = ((20, 30), (50, 30), (50, 70), (20, 70), (20, 30))  # napari: a click
    desk.robot.draw(desk.image, around)
    desk.until(lambda: desk.labels.data.any())
    desk.settled(1)
    inside = np.zeros(desk.labels.data.shape, dtype=bool)
    inside[20:51, 30:71] = True
    drawn = desk.labels.data == 1
    assert np.count_nonzero(drawn & inside) / np.count_nonzero(drawn | inside) > 0.93
    assert len(desk.positive.data) + len(desk.negative.data) == 1
    desk.robot.press(Qt.Key.Key_L, SHIFT)
    desk.robot.click(desk.image, (60, 60))
    desk.settled(2)
    assert desk.labels.data[60, 60] == desk.labels.data[35, 50] == 1
    desk.robot.press(Qt.Key.Key_K)
    desk.settled(0)
    assert not desk.labels.data.any()


def test_a_scribble_is_up_to_five_clicks_and_one_step_of_undo(open_desk) -> None:
    desk = open_desk()
    desk.robot.click(desk.image, (30, 40))
    desk.settled(1)
    panel_of(desk).draw_buttons["scribble"].click()
    desk.robot.draw(desk.image, ((30, 46), (30, 60), (44, 60)))
    desk.settled(6)
    clicks = desk.widget.session.clicks
    assert [click.positive for click in clicks] == [True] * 6
    assert all(desk.labels.data[click.pixel] == 1 for click in clicks)
    desk.robot.draw(desk.image, ((60, 20), (60, 24)), modifier=CONTROL)
    desk.until(lambda: len(desk.widget.session.clicks) > 6)
    assert not any(click.positive for click in desk.widget.session.clicks[6:])
    desk.robot.press(Qt.Key.Key_U)
    desk.settled(6)
    desk.robot.press(Qt.Key.Key_U)
    desk.settled(1)
    desk.robot.press(Qt.Key.Key_U, SHIFT)
    desk.settled(6)
    assert desk.widget.session.clicks == clicks


def test_one_shape_is_drawn_at_a_time_and_escape_ends_it(open_desk) -> None:
    desk = open_desk()
    buttons = panel_of(desk).draw_buttons
    for key, shape in ((Qt.Key.Key_B, "box"), (Qt.Key.Key_S, "scribble")):
        desk.robot.press(key, SHIFT)
        assert [name for name, one in buttons.items() if one.isChecked()] == [shape]
    desk.robot.press(Qt.Key.Key_Escape)
    assert not any(one.isChecked() for one in buttons.values())
    centre = desk.viewer.scene.camera.center
    desk.robot.drag(desk.image, (20, 30), (50, 70))
    assert desk.viewer.scene.camera.center != centre


def test_a_lasso_too_small_is_refused_in_one_line(open_desk) -> None:
    desk = open_desk()
    desk.robot.press(Qt.Key.Key_L, SHIFT)
    desk.robot.draw(desk.image, ((20, 30), (20, 50), (20, 70)))
    assert "too small" in desk.widget.status.text()
    assert not desk.widget.session.clicks


# -- turned clicks -----------------------------------------------------------------


def test_q_turns_the_last_click_and_selected_ones(open_desk) -> None:
    desk = open_desk()
    desk.robot.click(desk.image, (30, 40))
    desk.settled(1)
    desk.robot.click(desk.image, (30, 46), RIGHT)
    desk.settled(2)
    selected = [layer.selected_data for layer in (desk.positive, desk.negative)]
    assert not any(selected)  # napari's highlight would hide the colour of the sign
    desk.robot.press(Qt.Key.Key_Q)
    desk.until(lambda: all(click.positive for click in desk.widget.session.clicks))
    desk.settled(2)
    assert desk.labels.data[30, 46] == 1
    assert (len(desk.positive.data), len(desk.negative.data)) == (2, 0)
    desk.robot.press(Qt.Key.Key_U)
    desk.until(lambda: not desk.widget.session.clicks[1].positive)
    desk.settled(2)
    assert desk.labels.data[30, 46] == 0
    desk.positive.mode = "select"
    desk.positive.selected_data = {0}
    desk.robot.press(Qt.Key.Key_Q)
    desk.until(lambda: not any(click.positive for click in desk.widget.session.clicks))
    desk.settled(2)
    expected = disks((80, 100), (Click(30, 40, False), Click(30, 46, False)))
    np.testing.assert_array_equal(desk.labels.data > 0, expected)


@pytest.mark.parametrize("zoom", [1, 8])
def test_a_selected_click_still_shows_the_colour_of_its_sign(open_desk, zoom) -> None:
    desk = open_desk()
    places = {desk.positive: (30, 30), desk.negative: (30, 70)}
    colours = {desk.positive: POSITIVE_COLOUR, desk.negative: NEGATIVE_COLOUR}
    desk.robot.click(desk.image, places[desk.positive])
    desk.settled(1)
    desk.robot.click(desk.image, places[desk.negative], RIGHT)
    desk.settled(2)
    for layer, place in places.items():
        desk.viewer.layers.selection.active = layer
        layer.mode = "select"
        camera_of(desk.viewer).center = (0, *place)
        camera_of(desk.viewer).zoom *= zoom
        QApplication.processEvents()
        desk.robot.click(layer, place)
        assert layer.selected_data == {0}
        picture = desk.viewer.screenshot(canvas_only=True, flash=False)
        row, col = picture.shape[0] // 2, picture.shape[1] // 2
        middle = picture[row - 4 : row + 5, col - 4 : col + 5, :3]
        wanted = 255 * transform_color(colours[layer])[0, :3]
        assert np.all(np.abs(middle - wanted) <= 1, axis=-1).sum() >= 9
        camera_of(desk.viewer).zoom /= zoom


def test_five_clicks_leave_most_of_a_nucleus_to_be_seen(open_desk) -> None:
    desk = open_desk(np.zeros((400, 400), np.uint8))
    desk.positive.add(np.array([(200, 200)]))
    assert desk.positive.size[0] == CLICK_SIZE
    for zoom in (0.5, 1.0, 4.0):
        camera_of(desk.viewer).zoom = zoom
        low, high = desk.positive.canvas_size_limits
        size = float(np.clip(CLICK_SIZE * zoom, low, high))
        assert size <= high == 16
        nucleus = np.pi / 4 * (24 * zoom) ** 2
        covered = 5 * np.pi / 4 * size**2
        assert covered < (0.9 if zoom < 1 else 0.4) * nucleus, zoom
