"""The widget in a real viewer: real mouse clicks and keys on the canvas."""

from __future__ import annotations

import numpy as np
import pytest
from qtpy.QtCore import QEvent, Qt
from qtpy.QtGui import QFocusEvent
from qtpy.QtTest import QTest
from qtpy.QtWidgets import QApplication, QLabel, QPushButton

from _fake_segmenter import disks
from napari_gpcis.clicks import Click
from napari_gpcis.plugin.dock.panels import model
from napari_gpcis.plugin.settings.commands import COMMANDS
from napari_gpcis.plugin.viewer.layers import claim_layers
from napari_gpcis.plugin.viewer.planes import camera_of
from napari_gpcis.plugin.widget import (
    NEW_LAYER,
    NEW_SOON,
    NO_IMAGE,
    NOT_STARTED,
    GPCISWidget,
)

LEFT, RIGHT = Qt.MouseButton.LeftButton, Qt.MouseButton.RightButton
CONTROL = Qt.KeyboardModifier.ControlModifier
SHIFT = Qt.KeyboardModifier.ShiftModifier


def near(one: np.ndarray, other: np.ndarray) -> bool:
    """Whether masks agree but for the pixel a mouse can miss by."""
    shared = np.count_nonzero(one & other)
    return shared / max(np.count_nonzero(one | other), 1) > 0.8


def masks(*clicks: tuple[int, int] | tuple[int, int, bool]) -> np.ndarray:
    return disks((80, 100), tuple(Click(*click) for click in clicks))


def drawn(desk, label: int) -> np.ndarray:
    return desk.labels.data == label


def test_a_user_segments_two_objects(open_desk) -> None:
    desk = open_desk()
    first = desk.image
    desk.robot.click(first, (30, 40))
    desk.settled(1)
    assert near(drawn(desk, 1), masks((30, 40)))
    desk.robot.click(first, (30, 45), RIGHT)
    desk.settled(2)
    assert [click.positive for click in desk.current.clicks] == [True, False]
    assert len(desk.negative.data) == 1
    assert drawn(desk, 1)[30, 38]
    assert not drawn(desk, 1)[30, 45]
    desk.robot.press(Qt.Key.Key_Z, CONTROL)
    desk.settled(1)
    assert drawn(desk, 1)[30, 45]
    desk.robot.press(Qt.Key.Key_Return)
    desk.settled(0)
    kept = drawn(desk, 1).copy()
    desk.robot.click(first, (30, 50), LEFT, SHIFT)  # without, it chooses object 1
    desk.settled(1)
    np.testing.assert_array_equal(drawn(desk, 1), kept)
    assert near(drawn(desk, 2), masks((30, 50)) & ~kept)
    desk.robot.press(Qt.Key.Key_N)
    desk.settled(0)
    assert [done.id for done in desk.widget.session.objects] == [1, 2]


def test_the_button_counts_whichever_points_layer_is_active(open_desk) -> None:
    desk = open_desk(scale=(0.5, 0.5), translate=(3, -20))
    desk.viewer.layers.selection.active = desk.negative
    desk.robot.click(desk.image, (30, 40))
    desk.settled(1)
    assert (len(desk.positive.data), len(desk.negative.data)) == (1, 0)
    desk.robot.click(desk.image, (30, 46), LEFT, CONTROL)
    desk.settled(2)
    assert (len(desk.positive.data), len(desk.negative.data)) == (1, 1)
    assert near(drawn(desk, 1), masks((30, 40), (30, 46, False)))
    assert abs(desk.positive.data[0] - (30, 40)).max() < 1
    desk.robot.press(Qt.Key.Key_U)
    desk.settled(1)
    assert len(desk.negative.data) == 0


def test_a_right_drag_adds_nothing_and_does_not_turn_the_next_click(open_desk) -> None:
    desk = open_desk()
    desk.robot.drag(desk.image, (20, 20), (60, 60), RIGHT)
    desk.robot.click(desk.image, (30, 40))
    desk.settled(1)
    assert (len(desk.positive.data), len(desk.negative.data)) == (1, 0)


def test_points_are_dragged_and_deleted(open_desk) -> None:
    desk = open_desk()
    desk.robot.click(desk.image, (30, 40))
    desk.settled(1)
    desk.positive.mode = "select"
    desk.robot.drag(desk.image, desk.positive.data[0], (60, 80))
    desk.until(lambda: desk.labels.data[60, 80] == 1)
    assert not desk.labels.data[30, 40]
    desk.robot.press(Qt.Key.Key_Delete)
    desk.settled(0)
    assert not desk.labels.data.any()
    desk.robot.press(Qt.Key.Key_G)
    assert desk.positive.mode == "add"


def test_a_plane_of_a_stack_with_turned_axes(open_desk) -> None:
    desk = open_desk(np.zeros((80, 5, 100), np.uint8), scale=(1, 4, 1))
    desk.viewer.dims.order = (1, 0, 2)
    desk.viewer.dims.set_current_step(1, 3)
    desk.viewer.reset_view()
    desk.until(lambda: desk.current.plane.steps == (0, 3, 0))
    desk.robot.click(desk.image, (30, 3, 40))
    desk.settled(1)
    assert near(drawn(desk, 1)[:, 3], masks((30, 40)))
    assert not desk.labels.data[:, [0, 1, 2, 4]].any()
    np.testing.assert_array_equal(desk.positive.data[0][1], 3)


def test_the_view_is_what_is_seen(open_desk) -> None:
    desk = open_desk(np.zeros((400, 400), np.uint8))
    camera = camera_of(desk.viewer)
    camera.zoom *= 4
    camera.center = (0, 100, 100)
    desk.until(lambda: desk.labels.corner_pixels[1].max() < 250)
    desk.robot.click(desk.image, (100, 100))
    desk.settled(1)
    view = desk.segmenter.runs[-1].view
    assert view is not None
    assert view[0] <= 60 < 140 <= view[2] < 250
    assert view[1] <= 60 < 140 <= view[3] < 250


def test_buttons_and_words(open_desk) -> None:
    desk = open_desk()
    widget = desk.widget
    assert widget.status.text() == "Ready: click on an object."
    desk.robot.click(desk.image, (30, 40))
    desk.settled(1)
    assert widget.status.text().startswith("1 click · object 1 · ")
    for name, points in (("undo", 0), ("redo", 1), ("clear", 0), ("undo", 1)):
        widget.buttons[name].click()
        desk.settled(points)
        assert drawn(desk, 1).any() == bool(points), name
    widget.buttons["accept"].click()
    assert "Object 1 is done" in widget.status.text()
    for button in widget.findChildren(QPushButton):
        assert button.toolTip(), button.text()
        assert button.width() >= button.sizeHint().width(), button.text()
    for command in filter(lambda command: command.button, COMMANDS):
        assert command.anywhere in widget.buttons[command.name].toolTip()
    pages = widget.pages
    for place in filter(pages.isTabVisible, range(pages.count())):
        pages.setCurrentIndex(place)
        QApplication.processEvents()
        shown = filter(QLabel.isVisible, widget.findChildren(QLabel))
        for label in shown:
            need = label.heightForWidth(label.width())
            assert label.height() >= need, label.text()
    labels = desk.labels
    widget.start_button.click()
    assert desk.controller.annotation is None
    assert not widget.buttons["accept"].isEnabled()
    assert drawn_in(labels, 1)


def test_layers_renamed_reordered_and_deleted(open_desk) -> None:
    desk = open_desk()
    widget, image = desk.widget, desk.image
    for number, layer in enumerate(list(desk.viewer.layers)):
        layer.name = f"layer {number}"
    desk.viewer.layers.move(0, 4)
    assert widget.image_combo.currentText() == image.name == "layer 0"
    assert widget.labels_combo.currentText() == desk.labels.name == "layer 1"
    desk.robot.press(Qt.Key.Key_G)
    desk.viewer.layers.selection.active = desk.positive
    desk.robot.click(image, (30, 40))
    desk.settled(1)
    assert near(drawn(desk, 1), masks((30, 40)))
    desk.viewer.layers.remove(desk.negative)
    assert "negative" in widget.status.text()
    assert widget.start_button.text() == "Start"
    assert widget.start()
    desk.until(lambda: widget.session is not None)
    desk.viewer.layers.remove(image)
    assert widget.status.text() == NO_IMAGE
    assert widget.image_combo.count() == 0
    assert not widget.start_button.isEnabled()
    desk.viewer.layers.clear()


def test_layers_are_chosen_in_the_combos(open_desk, errors) -> None:
    desk = open_desk(name="first")
    widget = desk.widget
    desk.robot.click(desk.image, (30, 40))
    desk.settled(1)
    old, labels = desk.image, desk.labels
    wrong = desk.viewer.add_labels(np.zeros((9, 9), np.int32), name="wrong")
    desk.viewer.layers.selection.active = desk.positive
    cells = desk.viewer.add_labels(np.zeros((80, 100), np.int32), name="cells")
    entry = widget.labels_combo.model().item(widget.labels_combo.findText(wrong.name))
    assert not entry.isEnabled()
    assert "'wrong' has the shape (9, 9)" in entry.toolTip()
    pick(widget.labels_combo, wrong.name)  # as a script may
    assert len(errors) == 1
    assert "'wrong' has the shape (9, 9)" in errors[0]
    assert widget.labels_combo.currentText() == labels.name
    assert desk.labels == labels
    pick(widget.labels_combo, "cells")
    assert desk.labels == cells
    desk.viewer.add_image(np.zeros((80, 100), np.uint8), name="second")
    pick(widget.image_combo, "second")
    assert desk.controller.annotation.image.name == "second"
    assert desk.labels not in (labels, cells)
    pick(widget.image_combo, "first")
    assert desk.controller.annotation.image == old
    assert near(labels.data == 1, masks((30, 40)))


def test_start_after_the_labels_were_removed_begins_a_new_layer(open_desk) -> None:
    desk = open_desk()
    widget, first = desk.widget, desk.labels
    desk.robot.click(desk.image, (30, 40))
    desk.settled(1)
    pick(widget.labels_combo, NEW_LAYER)
    second = desk.labels
    assert second not in (None, first)
    desk.viewer.layers.remove(second)
    assert "Press Start to begin a new one" in widget.status.text()
    assert widget.labels_combo.currentText() == NEW_LAYER
    widget.start_button.click()
    assert desk.labels not in (first, second)
    assert not desk.labels.data.any()
    assert widget.labels_combo.layer == desk.labels


def test_the_labels_combo_shows_where_masks_of_another_image_go(open_desk) -> None:
    desk = open_desk(name="first")
    widget, image, labels = desk.widget, desk.image, desk.labels
    widget.start_button.click()
    desk.viewer.add_image(np.zeros((80, 100), np.uint8), name="second")
    pick(widget.image_combo, "second")
    assert widget.labels_combo.currentText() == NEW_LAYER  # not those of the first
    pick(widget.image_combo, "first")
    assert widget.labels_combo.layer == labels
    cells = desk.viewer.add_labels(np.zeros((80, 100), np.int32), name="cells")
    pick(widget.labels_combo, "cells")
    pick(widget.image_combo, "second")
    assert widget.labels_combo.layer == cells  # chosen before its image
    pick(widget.image_combo, "first")
    pick(widget.labels_combo, NEW_LAYER)
    widget.start_button.click()
    assert desk.controller.annotation.image == image
    assert desk.labels not in (labels, cells)


def test_keys_pass_over_layers_that_cannot_be_used(open_desk, errors) -> None:
    desk = open_desk()
    widget, old, combo = desk.widget, desk.labels, desk.widget.labels_combo
    away = np.zeros((80, 100), np.int32)
    desk.viewer.add_labels(away, name="away", translate=(300, 0))
    cells = desk.viewer.add_labels(np.zeros((80, 100), np.int32), name="cells")
    desk.controller.ready()
    QTest.keyClick(combo, Qt.Key.Key_Down)
    assert combo.layer == desk.labels == cells
    for _ in range(3):
        QTest.keyClick(combo, Qt.Key.Key_Up)
    count = len(desk.viewer.layers)
    assert combo.currentText() == NEW_LAYER
    assert desk.labels == old  # a layer is made when the keys have stopped
    assert widget.status.text() == NEW_SOON
    QTest.keyClick(combo, Qt.Key.Key_Down)
    QTest.keyClick(combo, Qt.Key.Key_Up)
    assert len(desk.viewer.layers) == count
    QTest.keyClick(combo, Qt.Key.Key_Return)
    assert desk.labels not in (old, cells)
    assert combo.layer == desk.labels
    assert not errors


def test_escape_goes_back_from_the_new_layer(open_desk) -> None:
    """An initial letter may have led there; the object being clicked stays."""
    desk = open_desk()
    old, combo = desk.labels, desk.widget.labels_combo
    desk.robot.click(desk.image, (30, 40))
    desk.settled(1)
    said = desk.controller.status
    combo.setFocus()
    keys = (Qt.Key.Key_N, Qt.Key.Key_Escape), (Qt.Key.Key_Up, Qt.Key.Key_Down)
    for key, leave in keys:
        QTest.keyClick(combo, key)
        assert combo.currentText() == NEW_LAYER
        assert desk.controller.status == NEW_SOON
        QTest.keyClick(combo, leave)
        assert combo.layer == desk.labels == old
        assert desk.controller.status == said
        assert len(desk.current.clicks) == 1
    count = len(desk.viewer.layers)
    desk.robot.click(desk.image, (32, 42))
    desk.settled(2)
    assert (desk.labels, len(desk.viewer.layers)) == (old, count)


def test_a_new_layer_begins_when_the_keyboard_goes_elsewhere(open_desk) -> None:
    desk = open_desk()
    old, combo = desk.labels, desk.widget.labels_combo
    combo.setFocus()
    QTest.keyClick(combo, Qt.Key.Key_Up)
    QApplication.sendEvent(
        combo, QFocusEvent(QEvent.Type.FocusOut, Qt.FocusReason.PopupFocusReason)
    )
    assert desk.labels == old
    QApplication.sendEvent(
        combo, QFocusEvent(QEvent.Type.FocusOut, Qt.FocusReason.MouseFocusReason)
    )
    assert desk.labels != old


def test_layers_follow_the_name_of_their_image(open_desk) -> None:
    desk = open_desk(name="A")
    viewer, widget = desk.viewer, desk.widget
    pick(widget.labels_combo, NEW_LAYER)
    pick(widget.labels_combo, "A objects")
    other, mine = desk.labels, viewer.layers["A objects [1]"]
    other.name = "my nuclei"
    desk.robot.click(desk.image, (30, 40))
    desk.settled(1)
    desk.robot.press(Qt.Key.Key_N)
    desk.settled(0)
    outlines = desk.controller.annotation.curves.prepare()
    desk.image.name = "b+"
    assert {layer.name for layer in viewer.layers} == {
        "b+",
        "my nuclei",
        "b+ objects",
        "outlines on b+",
        "positive clicks on b+",
        "negative clicks on b+",
    }
    assert mine.name == "b+ objects"
    assert outlines.name == "outlines on b+"
    widget.start_button.click()
    desk.image.name = "C"
    assert desk.viewer.layers["C objects"] == mine
    assert "positive clicks on C" in viewer.layers


def pick(combo, text: str) -> None:
    """Choose an entry as a user does."""
    combo.setCurrentIndex(combo.findText(text))
    combo.activated.emit(combo.currentIndex())


def test_a_model_that_raises(open_desk, errors) -> None:
    desk = open_desk()
    desk.segmenter.error = RuntimeError("no memory left")
    desk.robot.click(desk.image, (30, 40))
    desk.until(lambda: errors)
    assert errors == ["GPCIS could not compute the mask: no memory left"]
    assert not desk.labels.data.any()
    assert len(desk.positive.data) == 1
    desk.segmenter.error = None
    desk.robot.click(desk.image, (30, 60))
    desk.settled(2)
    assert near(drawn(desk, 1), masks((30, 40), (30, 60)))


def test_the_window_closed_while_a_prediction_runs(open_desk) -> None:
    open_desk().close_while_busy()


def test_the_dock_closed_gives_everything_back(open_desk) -> None:
    desk = open_desk()
    desk.robot.click(desk.image, (30, 40))
    desk.settled(1)
    labels, points = desk.labels, desk.positive
    desk.viewer.window.remove_dock_widget(desk.widget)
    assert not desk.controller.worker.alive
    assert drawn_in(labels, 1)
    assert not points.keymap
    assert not any(str(key) in "NUKG" for key in desk.viewer.keymap)
    desk.viewer.add_image(np.zeros((4, 4)))  # nobody listens any more


def drawn_in(labels, label: int) -> bool:
    return bool((labels.data == label).any())


def test_without_an_image_there_is_a_hint(
    make_napari_viewer_proxy, segmenter, qtbot
) -> None:
    viewer = make_napari_viewer_proxy()
    widget = GPCISWidget(viewer, lambda name: segmenter)
    qtbot.addWidget(widget)
    assert widget.status.text() == NO_IMAGE
    assert not widget.start_button.isEnabled()
    assert not widget.start()
    viewer.__wrapped__.add_image(np.zeros((80, 100)), name="a")
    assert widget.start_button.isEnabled()
    assert widget.status.text() == NOT_STARTED
    assert widget.image_combo.currentText() == "a"
    widget.shut_down()


def test_the_selected_image_is_adopted(
    make_napari_viewer_proxy, segmenter, qtbot
) -> None:
    proxy = make_napari_viewer_proxy()
    viewer = proxy.__wrapped__
    for name in "abc":
        viewer.add_image(np.zeros((80, 100)), name=name)
    viewer.layers.selection.active = viewer.layers["b"]
    widget = GPCISWidget(proxy, lambda name: segmenter)
    qtbot.addWidget(widget)
    assert widget.image_combo.currentText() == "b"
    claim_layers(viewer, viewer.layers["a"], None)
    assert widget.image_combo.currentText() == "b"
    widget.shut_down()


def test_keys_of_others_are_left_alone(
    make_napari_viewer_proxy, segmenter, qtbot
) -> None:
    proxy = make_napari_viewer_proxy()
    viewer, pressed = proxy.__wrapped__, []
    viewer.bind_key("N", lambda viewer: pressed.append("theirs"))
    widget = GPCISWidget(proxy, lambda name: segmenter)
    qtbot.addWidget(widget)
    widget.shut_down()
    assert len(viewer.keymap) == 1
    next(iter(viewer.keymap.values()))(viewer)
    assert pressed == ["theirs"]


@pytest.mark.parametrize("theme", ["dark", "light"])
def test_nothing_is_clipped_in_a_small_window(open_desk, theme, monkeypatch) -> None:
    monkeypatch.setattr(model, "devices_here", lambda: {"auto", "cpu"})
    desk = open_desk()
    desk.viewer.theme = theme
    desk.viewer.window.resize(1280, 720)
    desk.until(lambda: desk.viewer.window._qt_window.height() <= 720)
    widget = desk.widget
    for section in widget.sections:
        section.unfolded = True
    QApplication.processEvents()
    for button in (widget.start_button, *widget.buttons.values()):
        assert button.visibleRegion().boundingRect().size() == button.size()
    for place, area in enumerate(widget.pages.areas):
        widget.pages.setCurrentIndex(place)
        QApplication.processEvents()
        for child in widget.findChildren(QLabel) + widget.findChildren(QPushButton):
            if child.isVisible():
                corner = child.mapTo(widget, child.rect().bottomRight())
                assert corner.x() <= widget.width(), child.text()
        inner, shown = area.widget(), area.viewport()
        assert inner.width() <= shown.width()
        area.verticalScrollBar().setValue(10_000)
        last = [one for one in widget.sections if area.isAncestorOf(one)][-1]
        assert last.mapTo(shown, last.rect().bottomLeft()).y() <= shown.height()


def test_sections_fold_and_unfold(open_desk) -> None:
    section = open_desk().widget.sections[0]
    assert section.content.isVisible()
    QTest.mouseClick(section.header, LEFT)
    assert not section.content.isVisible()
    assert section.header.text().endswith(section.title)
    QTest.mouseClick(section.header, LEFT)
    assert section.content.isVisible()


def test_stop_accepts_the_object_being_clicked_with_its_clicks(open_desk) -> None:
    desk = open_desk()
    desk.robot.click(desk.image, (30, 40))
    desk.settled(1)
    shown, clicks = desk.labels.data.copy(), desk.current.session.clicks
    record = desk.widget.recovery.autosaver.record
    labels = desk.labels
    desk.widget.start_button.click()
    assert desk.controller.annotation is None
    assert desk.controller.status.startswith("Stopped.")
    assert f"Object 1 was accepted in {labels.name!r}." in desk.controller.status
    np.testing.assert_array_equal(labels.data, shown)
    (plane,) = record.saved().planes
    assert [one.clicks for one in plane.objects] == [clicks]
    assert plane.running == 0
    desk.widget.start_button.click()  # and it can be corrected
    desk.until(lambda: desk.widget.session is not None)
    assert desk.labels == labels
    desk.robot.click(desk.image, (60, 80))
    desk.settled(1)
    assert set(np.unique(desk.labels.data)) == {0, 1, 2}
