"""With napari's asynchronous slicing: planes arrive late, clicks and masks do not."""

from __future__ import annotations

import threading
from typing import Any

import dask.array as da
import numpy as np
import pytest
from qtpy.QtCore import Qt

from _bright_segmenter import BALL, MIDDLE, TRUTH, BrightSegmenter
from napari_gpcis.plugin.dock.panels.stack import StackPanel
from napari_gpcis.plugin.viewer.segments import Segments


@pytest.fixture
def segmenter() -> BrightSegmenter:
    return BrightSegmenter()


class SlowStack:
    """A lazy stack whose planes are read only while the gate is open."""

    def __init__(self) -> None:
        self.gate = threading.Event()
        self.gate.set()
        self.data = da.map_blocks(
            self._read,
            chunks=((1,) * len(BALL), BALL.shape[1:2], BALL.shape[2:]),
            dtype=BALL.dtype,
            meta=np.empty((0, 0, 0), BALL.dtype),
        )

    def _read(self, block_info: Any = None) -> np.ndarray:
        assert self.gate.wait(20), "the test forgot to open the gate"
        plane = block_info[None]["chunk-location"][0]
        return BALL[plane : plane + 1]


def go_to(desk, plane: int) -> None:
    """Go to a plane with the arrow keys."""
    here = desk.viewer.dims.current_step[0]
    key = Qt.Key.Key_Right if plane > here else Qt.Key.Key_Left
    for _ in range(abs(plane - here)):
        desk.robot.press(key)
    assert desk.viewer.dims.current_step[0] == plane
    desk.until(lambda: desk.current.plane.steps[0] == plane)


def is_seen(desk) -> bool:
    """Whether the labels on the screen are those of the displayed plane."""
    plane = desk.viewer.dims.current_step[0]
    labels = desk.viewer.layers[desk.labels.name]  # the layer itself, no proxy
    seen = labels._slice.image.raw
    return labels.loaded and np.array_equal(seen, labels.data[plane])


def only(*planes: int) -> np.ndarray:
    mask = np.zeros_like(TRUTH)
    mask[list(planes)] = TRUTH[list(planes)]
    return mask


def test_click_next_plane_accept_and_follow(open_async_desk) -> None:
    desk = open_async_desk(SlowStack().data, contrast_limits=(0, 255))
    assert not desk.viewer._layer_slicer._force_sync
    go_to(desk, MIDDLE)
    desk.settled(0)
    desk.robot.click(desk.image, (MIDDLE, 32, 32))
    desk.settled(1)
    np.testing.assert_array_equal(desk.labels.data == 1, only(MIDDLE))
    desk.until(lambda: is_seen(desk))
    desk.robot.press(Qt.Key.Key_N, Qt.KeyboardModifier.ShiftModifier)
    desk.until(lambda: desk.current.plane.steps[0] == MIDDLE + 1)
    desk.settled(1)
    desk.robot.click(desk.image, (MIDDLE + 1, 6, 6), Qt.MouseButton.RightButton)
    desk.settled(2)
    desk.robot.press(Qt.Key.Key_U)
    desk.settled(1)
    desk.robot.press(Qt.Key.Key_N)
    desk.settled(0)
    desk.until(lambda: is_seen(desk))
    np.testing.assert_array_equal(desk.labels.data == 1, only(MIDDLE, MIDDLE + 1))
    (panel,) = (one for one in desk.widget.panels if isinstance(one, StackPanel))
    panel.propagate_on.click()
    desk.until(lambda: not panel.propagation.running)
    np.testing.assert_array_equal(desk.labels.data == 1, only(4, 5, 6, 7))
    go_to(desk, 6)
    desk.settled(0)
    desk.until(lambda: is_seen(desk))
    desk.widget.buttons["undo"].click()
    np.testing.assert_array_equal(desk.labels.data == 1, only(4, 5))
    desk.until(lambda: is_seen(desk))


def test_a_mask_that_comes_before_its_plane(open_async_desk) -> None:
    """The mask is written while napari still reads the plane for the display."""
    stack = SlowStack()
    desk = open_async_desk(BALL, contrast_limits=(0, 255))
    slow = desk.viewer.add_image(stack.data, name="slow", contrast_limits=(0, 255))
    desk.viewer.layers.move(len(desk.viewer.layers) - 1, 0)  # below the labels
    desk.viewer.layers.selection.active = desk.positive
    go_to(desk, MIDDLE)
    desk.settled(0)
    desk.until(lambda: slow.loaded)
    stack.gate.clear()
    go_to(desk, MIDDLE + 1)
    desk.settled(0)
    assert not slow.loaded
    desk.robot.click(desk.image, (MIDDLE + 1, 32, 32))
    desk.settled(1)
    np.testing.assert_array_equal(desk.labels.data == 1, only(MIDDLE + 1))
    stack.gate.set()
    desk.until(lambda: slow.loaded and is_seen(desk))
    picture = desk.viewer.screenshot(canvas_only=True, flash=False)
    place = desk.robot.position(desk.image, (MIDDLE + 1, 32, 40))
    red, green, blue, _ = picture[place.y(), place.x()]
    assert green > red > blue  # the colour of object 1 on white
    go_to(desk, MIDDLE)
    desk.settled(0)
    desk.until(lambda: slow.loaded and is_seen(desk))
    np.testing.assert_array_equal(desk.labels.data == 1, only(MIDDLE + 1))
    desk.viewer.close()
    desk.qtbot.wait(300)  # what napari still reads ends with the viewer


def test_outlines_become_fewer_while_napari_slices_them(open_async_desk) -> None:
    """The slice that was asked for before refers to more vectors than are there."""
    desk = open_async_desk(BALL, contrast_limits=(0, 255))
    curves, plane = desk.controller.annotation.curves, desk.current.plane
    seen = curves.prepare()
    many = Segments.of_labels(np.indices((40, 40)).sum(axis=0) % 2, (0, 0))
    few = Segments.of_labels(np.ones((3, 3), dtype=int), (20, 20))
    for pieces in (many, few, many, Segments.none(), few):
        curves.show("test", plane, pieces, "#ffffff")
        desk.until(lambda: seen.loaded)
        curves.show("test", plane, many, "#ffffff")
        curves.show("test", plane, pieces, "#ffffff")
    desk.until(lambda: seen.loaded)
    colours = seen.edge_color[:, 3]
    seen_pieces = np.arange(len(colours)) < 2 * len(few.starts)
    np.testing.assert_array_equal(colours > 0, seen_pieces)
