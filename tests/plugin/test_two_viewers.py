"""Several viewers and widgets at once: nothing crosses over, and one may end early."""

from __future__ import annotations

import numpy as np
import pytest
from qtpy.QtCore import QPoint, QRect, QSize, Qt
from qtpy.QtGui import QOpenGLContext
from qtpy.QtTest import QTest

from _fake_segmenter import FakeSegmenter, disks
from napari_gpcis.clicks import Click
from napari_gpcis.plugin.settings.preferences import PREFERENCES
from napari_gpcis.plugin.widget import GPCISWidget

LEFT, RIGHT = Qt.MouseButton.LeftButton, Qt.MouseButton.RightButton
SHAPE = (80, 100)


def near(desk, label: int, *clicks: Click) -> bool:
    """Whether an object is the disks of its clicks, but for a pixel of the mouse."""
    one, other = desk.labels.data == label, disks(SHAPE, clicks)
    return np.count_nonzero(one & other) > 0.8 * np.count_nonzero(one | other)


def to_front(desk) -> None:
    """Bring a window to the front: moves of the mouse go to what is seen."""
    desk.viewer.window._qt_window.raise_()
    desk.qtbot.wait(50)


@pytest.fixture
def two(open_desk):
    return open_desk(name="left"), open_desk(name="right", model=FakeSegmenter("b"))


def test_each_viewer_has_its_own_clicks_keys_and_objects(two, errors) -> None:
    one, other = two
    one.robot.click(one.image, (30, 40))
    other.robot.click(other.image, (50, 60))
    one.settled(1)
    other.settled(1)
    assert near(one, 1, Click(30, 40))
    assert near(other, 1, Click(50, 60))
    one.robot.press(Qt.Key.Key_N)
    one.settled(0)
    assert len(other.current.clicks) == 1
    other.robot.click(other.image, (50, 66), RIGHT)
    other.settled(2)
    one.robot.press(Qt.Key.Key_U)  # reopens the object of its own viewer
    one.settled(1)
    assert len(other.current.clicks) == 2
    other.robot.press(Qt.Key.Key_U)
    other.settled(1)
    assert len(one.current.clicks) == 1
    one.widget.start_button.click()
    assert one.controller.annotation is None
    assert other.controller.annotation is not None
    other.robot.press(Qt.Key.Key_N)
    other.settled(0)
    assert near(other, 1, Click(50, 60))
    assert not errors


def test_the_preview_follows_the_mouse_of_each_viewer(two) -> None:
    one, other = two
    PREFERENCES.hover_preview = True
    hovers = [
        next(panel.hover for panel in desk.widget.panels if hasattr(panel, "hover"))
        for desk in two
    ]
    to_front(one)
    one.robot.move(one.image, (30, 40))
    one.until(lambda: hovers[0].shown)
    assert not hovers[1].shown
    to_front(other)
    other.robot.move(other.image, (50, 60))
    other.until(lambda: hovers[1].shown)
    assert other.segmenter.previews
    assert {click.pixel for click, *_ in other.segmenter.previews} <= {
        (row, col) for row in range(48, 53) for col in range(58, 63)
    }


def test_a_layer_is_removed_from_one_viewer(two, errors) -> None:
    one, other = two
    for desk, place in ((one, (30, 40)), (other, (50, 60))):
        to_front(desk)
        desk.robot.click(desk.image, place)
        desk.settled(1)
    contexts = []
    removed = one.viewer.layers.events.removed
    removed.connect(lambda: contexts.append(QOpenGLContext.currentContext()))
    one.viewer.layers.remove(one.positive)
    canvas = one.viewer.window._qt_viewer.canvas.native
    assert contexts
    assert all(context == canvas.context() for context in contexts)
    assert one.controller.annotation is None
    to_front(one)
    to_front(other)
    other.robot.click(other.image, (50, 66), RIGHT)
    other.settled(2)
    assert not errors


def test_a_viewer_is_closed_while_busy_and_the_other_goes_on(two, errors) -> None:
    one, other = two
    other.robot.click(other.image, (50, 60))
    other.settled(1)
    one.close_while_busy()
    other.robot.click(other.image, (50, 66), RIGHT)
    other.settled(2)
    other.robot.press(Qt.Key.Key_N)
    other.settled(0)
    assert near(other, 1, Click(50, 60), Click(50, 66, positive=False))
    PREFERENCES.positive_colour = "red"  # only the open widget follows
    assert other.positive.current_face_color == "red"
    assert not errors


@pytest.fixture
def second(open_desk):
    """A desk with a second image, and a second widget on that."""
    desk = open_desk(name="first")
    image = desk.viewer.add_image(np.zeros(SHAPE, np.uint8), name="second")
    model = FakeSegmenter("second")
    widget = GPCISWidget(desk.viewer, lambda name: model)
    desk.viewer.window.add_dock_widget(widget, name="GPCIS too", tabify=True)
    yield desk, widget, image
    widget.shut_down()


def test_two_widgets_in_one_viewer(second, errors) -> None:
    desk, widget, image = second
    desk.robot.press(Qt.Key.Key_G)
    desk.robot.click(desk.image, (30, 40))
    desk.settled(1)
    widget.image_combo.layer = desk.image
    assert not widget.start()
    assert "press Stop there" in errors.pop()
    widget.image_combo.layer = image
    QTest.mouseClick(widget.start_button, LEFT)
    desk.until(lambda: widget.session is not None)
    desk.robot.click(image, (50, 60))
    drawn = widget.controller.annotation.layers.labels
    desk.until(lambda: (drawn.data == 1).any())
    assert len(desk.current.clicks) == 1
    np.testing.assert_array_equal(drawn.data > 0, disks(SHAPE, (Click(50, 60),)))
    desk.robot.press(Qt.Key.Key_N)  # the key is for the widget whose clicks are active
    desk.until(lambda: [done.id for done in widget.session.objects] == [1])
    assert len(desk.current.clicks) == 1
    assert not widget.controller.refused_keys
    desk.viewer.window.remove_dock_widget(desk.widget)
    desk.robot.click(image, (20, 20))
    desk.until(lambda: (drawn.data == 2).any())
    assert not errors


def test_the_theme_is_changed_while_a_click_is_computed(open_desk, errors) -> None:
    desk = open_desk()
    desk.viewer.theme = "dark"
    desk.robot.click(desk.image, (30, 40))
    desk.settled(1)
    dark = brightness(desk)
    desk.segmenter.gate.clear()
    desk.robot.click(desk.image, (30, 46), RIGHT)
    desk.viewer.theme = "light"
    desk.segmenter.gate.set()
    desk.settled(2)
    assert near(desk, 1, Click(30, 40), Click(30, 46, positive=False))
    assert brightness(desk) > dark + 100
    desk.viewer.theme = "dark"
    desk.robot.press(Qt.Key.Key_N)
    desk.settled(0)
    assert abs(brightness(desk) - dark) < 5
    assert desk.positive.mode == "add"
    assert not errors


def brightness(desk) -> int:
    """How bright the ground of the widget is, from 0 to 255."""
    window = desk.viewer.window._qt_window
    corner = QRect(desk.widget.mapTo(window, QPoint(2, 2)), QSize(2, 2))
    return window.grab(corner).toImage().pixelColor(0, 0).lightness()


def test_two_widgets_in_a_viewer_share_its_keys(open_desk, errors) -> None:
    """A key is for the widget on whose layers one works, or for the last used one."""
    desk = open_desk(name="left")
    image = desk.viewer.add_image(np.zeros(SHAPE, np.uint8), name="right")
    proxy = desk.widget.viewer
    other = GPCISWidget(proxy, lambda name: FakeSegmenter("b"))
    desk.viewer.window.add_dock_widget(other, name="second")
    assert other.controller.start(image)
    desk.until(lambda: other.session is not None)
    first, second = desk.controller.annotation, other.controller.annotation
    labels = second.layers.labels.data
    desk.robot.click(image, (30, 40))
    desk.until(lambda: second.current.clicks and not second.current.busy)
    assert not first.current.clicks
    desk.robot.press(Qt.Key.Key_N)
    desk.until(lambda: not second.current.clicks)
    assert set(np.unique(labels)) == {0, 1}
    desk.viewer.layers.selection.active = first.layers.positive
    desk.robot.click(desk.image, (50, 60))
    desk.settled(1)
    desk.robot.press(Qt.Key.Key_U)
    desk.settled(0)
    assert set(np.unique(labels)) == {0, 1}
    desk.viewer.layers.selection.active = image
    desk.robot.press(Qt.Key.Key_U)
    desk.until(lambda: len(second.current.clicks) == 1)
    mine = desk.viewer.add_shapes(name="mine")
    assert desk.viewer.layers.selection.active == mine
    desk.robot.press(Qt.Key.Key_U)  # for the second, which was used last
    desk.until(lambda: not second.current.clicks)
    for widget in (desk.widget, other):
        assert "(N)" in widget.buttons["accept"].text()
        assert not widget.controller.refused_keys
    desk.widget.shut_down()
    desk.viewer.layers.selection.active = second.layers.positive
    desk.robot.click(image, (30, 40))
    desk.until(lambda: second.current.clicks and not second.current.busy)
    desk.robot.press(Qt.Key.Key_N)
    desk.until(lambda: not second.current.clicks)
    other.shut_down()
    assert not desk.viewer.keymap
    assert not errors
