"""Seeing: the outline of the current object, light fill, masks out of the way."""

from __future__ import annotations

import numpy as np
import pytest
from qtpy.QtCore import Qt
from qtpy.QtTest import QTest

from _fake_segmenter import disks
from napari_gpcis.clicks import Click
from napari_gpcis.plugin.settings.preferences import PREFERENCES
from napari_gpcis.plugin.tools.display.outlines import ALL, CURRENT, LIGHT_FILL
from napari_gpcis.plugin.viewer.segments import Segments

RIGHT = Qt.MouseButton.RightButton


def curves(desk):
    return desk.controller.annotation.curves


def outline(desk) -> set:
    """The pieces of the outline that is drawn."""
    found = curves(desk).segments(CURRENT)
    return set() if found is None else pieces(found)


def pieces(found: Segments) -> set:
    return {tuple(np.ravel(piece)) for piece in zip(*found[:3], strict=True)}


def outlined(desk, mask: np.ndarray) -> None:
    """Wait until the outline is that of a mask."""
    wanted = pieces(Segments.of_labels(mask, (0, 0)))
    desk.until(lambda: outline(desk) == wanted)


def alpha(desk, label: int) -> float:
    return round(float(desk.labels.get_color(label)[3]), 3)


def hold(desk, key: Qt.Key) -> None:
    QTest.keyPress(desk.viewer.window._qt_viewer.canvas.native, key)


def release(desk, key: Qt.Key) -> None:
    QTest.keyRelease(desk.viewer.window._qt_viewer.canvas.native, key)


def shot(desk) -> np.ndarray:
    return desk.viewer.screenshot(canvas_only=True, flash=False)[..., :3].astype(int)


def test_the_outline_goes_with_the_mask(open_desk) -> None:
    desk = open_desk()
    desk.robot.click(desk.image, (30, 40))
    desk.settled(1)
    outlined(desk, desk.labels.data == 1)
    assert alpha(desk, 1) == LIGHT_FILL
    desk.robot.click(desk.image, (30, 46), RIGHT)
    desk.settled(2)
    outlined(desk, disks((80, 100), (Click(30, 40), Click(30, 46, False))))
    desk.robot.press(Qt.Key.Key_U)
    desk.settled(1)
    outlined(desk, disks((80, 100), (Click(30, 40),)))
    desk.robot.press(Qt.Key.Key_N)
    desk.settled(0)
    desk.until(lambda: not outline(desk) and alpha(desk, 1) == 1)
    desk.robot.click(desk.image, (60, 70))
    desk.settled(1)
    outlined(desk, desk.labels.data == 2)
    assert (alpha(desk, 1), alpha(desk, 2)) == (1, LIGHT_FILL)
    desk.robot.press(Qt.Key.Key_K)
    desk.settled(0)
    desk.until(lambda: not outline(desk) and alpha(desk, 2) == 1)


def test_the_outline_is_that_of_what_the_object_gets(open_desk) -> None:
    """Pixels of finished objects are not within it; a pen's are followed."""
    desk = open_desk()
    desk.robot.click(desk.image, (30, 40))
    desk.settled(1)
    desk.robot.press(Qt.Key.Key_N)
    desk.settled(0)
    desk.robot.click(desk.image, (30, 56))
    desk.settled(1)
    outlined(desk, desk.labels.data == 2)
    assert np.any(disks((80, 100), (Click(30, 56),)) & (desk.labels.data == 1))
    desk.labels.data_setitem((np.array([30, 31]), np.array([60, 60])), 0)
    outlined(desk, desk.labels.data == 2)


def test_dark_and_light_are_seen_on_any_image(open_desk) -> None:
    for value in (0, 128, 255):
        data = np.full((80, 100), value, np.uint8)
        desk = open_desk(data, contrast_limits=(0, 255))
        PREFERENCES.light_fill = False
        empty = shot(desk)
        desk.robot.click(desk.image, (30, 40))
        desk.settled(1)
        outlined(desk, desk.labels.data == 1)
        desk.positive.visible = False
        desk.until(lambda desk=desk: alpha(desk, 1) == 0)
        changed = np.abs(shot(desk) - empty).max(axis=2)
        assert np.count_nonzero(changed > 100) > 100, value
        inside = desk.robot.position(desk.image, (30, 40))
        assert changed[inside.y(), inside.x()] <= 1  # no fill at all
        desk.widget.start_button.click()
        PREFERENCES.light_fill = True


def test_lines_keep_their_width_on_the_screen(open_desk) -> None:
    desk = open_desk()
    desk.robot.click(desk.image, (30, 40))
    desk.settled(1)
    outlined(desk, desk.labels.data == 1)
    layer = curves(desk).layer
    width = layer.edge_width
    desk.viewer.scene.camera.zoom *= 4
    assert layer.edge_width == pytest.approx(width / 4)
    inner, outer = np.split(layer.data[:, 0], 2)
    assert np.abs(inner - outer).max() == pytest.approx(width / 4, rel=0.1)


def test_the_fill_is_a_preference(open_desk) -> None:
    desk = open_desk()
    desk.robot.click(desk.image, (30, 40))
    desk.settled(1)
    desk.until(lambda: alpha(desk, 1) == LIGHT_FILL)
    PREFERENCES.light_fill = False
    desk.until(lambda: alpha(desk, 1) == 0)
    PREFERENCES.light_fill = True
    desk.until(lambda: alpha(desk, 1) == LIGHT_FILL)


def test_stopping_leaves_plain_masks_and_no_layer(open_desk) -> None:
    desk = open_desk()
    desk.robot.click(desk.image, (30, 40))
    desk.settled(1)
    outlined(desk, desk.labels.data == 1)
    labels, layer = desk.labels, curves(desk).layer
    assert layer in desk.viewer.layers
    assert [one.name for one in desk.viewer.layers].index(layer.name) == 2
    desk.widget.start_button.click()
    assert float(labels.get_color(1)[3]) == 1
    assert layer not in desk.viewer.layers


def test_a_held_key_hides_all_masks(open_desk) -> None:
    desk = open_desk()
    desk.robot.click(desk.image, (30, 40))
    desk.settled(1)
    desk.robot.press(Qt.Key.Key_N)
    desk.settled(0)
    desk.robot.click(desk.image, (60, 70))
    desk.settled(1)
    outlined(desk, desk.labels.data == 2)
    desk.positive.visible = False
    desk.viewer.layers.selection.active = desk.positive
    seen, place = shot(desk), desk.robot.position(desk.image, (30, 36))
    assert seen[place.y(), place.x()].max() > 60
    opacity = desk.labels.opacity
    hold(desk, Qt.Key.Key_M)
    assert shot(desk).max() == seen[0, 0].max() == 0
    assert desk.labels.visible
    release(desk, Qt.Key.Key_M)
    assert desk.labels.opacity == opacity
    np.testing.assert_array_equal(shot(desk), seen)


def test_a_mask_that_is_hidden_meanwhile_can_be_changed_and_undone(open_desk) -> None:
    desk = open_desk()
    hold(desk, Qt.Key.Key_M)
    desk.robot.click(desk.image, (30, 40))
    desk.settled(1)
    release(desk, Qt.Key.Key_M)
    np.testing.assert_array_equal(
        desk.labels.data > 0, disks((80, 100), (Click(30, 40),))
    )
    desk.robot.press(Qt.Key.Key_U)
    desk.settled(0)
    assert not desk.labels.data.any()


def test_a_held_key_shows_outlines_only(open_desk) -> None:
    desk = open_desk()
    for place in ((30, 40), (60, 70)):
        desk.robot.click(desk.image, place)
        desk.settled(1)
        desk.robot.press(Qt.Key.Key_N)
        desk.settled(0)
    hold(desk, Qt.Key.Key_O)
    assert desk.labels.opacity == 0
    found = curves(desk).segments(ALL)
    assert pieces(found) == pieces(Segments.of_labels(desk.labels.data, (0, 0)))
    assert set(found.values.tolist()) == {1, 2}
    release(desk, Qt.Key.Key_O)
    assert desk.labels.opacity > 0
    assert not curves(desk).shows(ALL)


def test_what_is_held_ends_when_the_window_loses_the_keyboard(open_desk) -> None:
    desk = open_desk()
    opacity = desk.labels.opacity
    hold(desk, Qt.Key.Key_M)
    assert desk.labels.opacity == 0
    desk.controller._end_held(Qt.ApplicationState.ApplicationInactive)
    assert desk.labels.opacity == opacity
    release(desk, Qt.Key.Key_M)
    hold(desk, Qt.Key.Key_M)
    assert desk.labels.opacity == 0
    desk.widget.start_button.click()
    assert desk.viewer.layers[1].opacity == opacity


def test_the_command_of_the_palette_is_a_switch(open_desk) -> None:
    desk = open_desk()
    opacity = desk.labels.opacity
    desk.controller.command("hide_masks")
    assert desk.labels.opacity == 0
    desk.controller.command("hide_masks")
    assert desk.labels.opacity == opacity


def test_a_large_mask_is_outlined_when_it_is_drawn(open_desk, monkeypatch) -> None:
    from napari_gpcis.plugin.labels import writer

    monkeypatch.setattr(writer, "PORTION", 100)
    desk = open_desk()
    desk.robot.click(desk.image, (30, 40))
    desk.settled(1)
    outlined(desk, disks((80, 100), (Click(30, 40),)))
    assert desk.controller.annotation._writer.rest is None
