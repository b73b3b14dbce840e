"""The ring of the typical size at the mouse, in a real viewer."""

from __future__ import annotations

import numpy as np
import pytest
from qtpy.QtCore import Qt

from napari_gpcis.plugin.dock.panels.clicking import ClickingPanel
from napari_gpcis.plugin.dock.panels.objects import ObjectsPanel
from napari_gpcis.plugin.settings.preferences import PREFERENCES
from napari_gpcis.plugin.tools.objects.expected_size import DELAY


def panel_of(desk) -> ClickingPanel:
    return next(p for p in desk.widget.panels if isinstance(p, ClickingPanel))


def objects_of(desk) -> ObjectsPanel:
    return next(p for p in desk.widget.panels if isinstance(p, ObjectsPanel))


def ring(desk) -> np.ndarray | None:
    """Rows and columns of the ring that is drawn, or None."""
    found = desk.controller.annotation.curves.segments("size ring")
    return None if found is None else found.starts


def accepted(desk, *places):
    for place in places:
        desk.robot.click(desk.image, place)
        desk.settled(1)
        desk.robot.press(Qt.Key.Key_N)
        desk.settled(0)
    return desk


def moved(desk, row: float, col: float) -> None:
    """Move the mouse about a place, as a hand does, and let time pass."""
    for step in range(3):
        desk.robot.move(desk.image, (row, col - 1 + step / 2))
        desk.qtbot.wait(40)


@pytest.fixture
def desk(open_desk):
    """Two finished objects in their corner."""
    return accepted(open_desk(), (15, 20), (15, 60))


def test_nothing_is_drawn_before_two_objects_are_known(open_desk) -> None:
    desk = open_desk()
    moved(desk, 50, 50)
    assert ring(desk) is None
    accepted(desk, (15, 20))
    moved(desk, 50, 51)
    assert ring(desk) is None
    accepted(desk, (15, 60))
    moved(desk, 50, 52)
    assert ring(desk) is not None


def test_it_is_the_circle_of_the_typical_size_at_the_mouse(desk) -> None:
    moved(desk, 50, 70)
    known = desk.controller.annotation.curves.segments("size ring")
    size = desk.widget.session.typical_size
    assert size is not None
    assert size > 10
    np.testing.assert_allclose(known.starts.mean(axis=0), (50, 70), atol=1)
    centre = known.starts.mean(axis=0)
    distance = np.hypot(*(known.starts - centre).T)
    np.testing.assert_allclose(distance, size / 2, rtol=1e-6)
    middle = (known.starts + known.ends) / 2 - centre
    assert (np.sum(middle * known.outward, axis=1) > 0).all()
    desk.robot.move(desk.image, (55, 40))
    desk.until(lambda: np.abs(ring(desk).mean(axis=0) - (55, 40)).max() < 1)


@pytest.mark.parametrize(
    "transform",
    [
        {"scale": (0.5, 2.0)},
        {"scale": (3.0, 0.75), "rotate": 30.0},
        {"scale": (1.0, 2.0), "shear": [0.4]},
    ],
)
def test_it_is_a_circle_in_the_world_where_pixels_are_not_square(
    open_desk, transform
) -> None:
    desk = accepted(open_desk(**transform), (15, 20), (15, 60))
    size = desk.widget.session.typical_size
    moved(desk, 50, 50)
    points = ring(desk)
    centre = points.mean(axis=0)
    np.testing.assert_allclose(centre, (50, 50), atol=1)
    world = np.array([desk.image.data_to_world(point) for point in points])
    distance = np.hypot(*(world - desk.image.data_to_world(centre)).T)
    np.testing.assert_allclose(distance, distance.mean(), rtol=1e-6)
    rows, cols = (points - centre).T
    area = abs(np.sum(rows * np.roll(cols, -1) - cols * np.roll(rows, -1))) / 2
    assert area == pytest.approx(np.pi * size**2 / 4, rel=0.01)
    known = desk.controller.annotation.curves.segments("size ring")
    middle = (known.starts + known.ends) / 2 - centre
    assert (np.sum(middle * known.outward, axis=1) > 0).all()


def test_a_click_and_what_is_no_click_end_it(desk) -> None:
    moved(desk, 50, 50)
    assert panel_of(desk).size_ring.shown
    moved(desk, 15, 20)  # a press there chooses a finished object
    assert ring(desk) is None
    PREFERENCES.protect = False  # now it would begin one
    moved(desk, 15, 20)
    assert ring(desk) is not None
    PREFERENCES.protect = True
    moved(desk, 50, 50)
    desk.robot.click(desk.image, (50, 50))
    desk.settled(1)
    desk.until(lambda: ring(desk) is None)
    moved(desk, 52, 52)
    assert ring(desk) is None  # the object has been begun
    desk.robot.press(Qt.Key.Key_U)
    desk.settled(0)
    moved(desk, 52, 54)
    assert ring(desk) is not None
    desk.viewer.mouse_over_canvas = False
    assert ring(desk) is None
    desk.viewer.mouse_over_canvas = True
    moved(desk, 52, 56)
    assert ring(desk) is not None
    desk.viewer.layers.selection.active = desk.image
    assert ring(desk) is None
    desk.robot.press(Qt.Key.Key_G)
    moved(desk, 52, 58)
    assert ring(desk) is not None
    desk.controller.command("split_object")
    moved(desk, 52, 60)
    assert ring(desk) is None


def test_it_is_a_preference_and_the_preview_takes_its_place(desk) -> None:
    panel = panel_of(desk)
    assert panel.ring.isChecked()
    moved(desk, 50, 50)
    panel.ring.click()
    assert not PREFERENCES.size_ring
    assert ring(desk) is None
    moved(desk, 50, 52)
    assert ring(desk) is None
    PREFERENCES.size_ring = True
    assert panel.ring.isChecked()
    moved(desk, 50, 54)
    assert ring(desk) is not None
    desk.robot.press(Qt.Key.Key_W)
    assert ring(desk) is None
    moved(desk, 50, 56)
    assert ring(desk) is None
    worker = desk.controller.annotation.worker
    desk.until(lambda: not worker.busy(panel.hover.key))


def test_the_size_is_known_on_the_next_plane(open_desk) -> None:
    desk = open_desk(np.zeros((3, 80, 100), np.uint8))
    desk.viewer.dims.set_current_step(0, 0)
    desk.until(lambda: desk.current.plane.steps[0] == 0)
    desk.until(lambda: desk.current.session is not None)
    accepted(desk, (0, 15, 20), (0, 15, 60))
    size = desk.widget.session.typical_size
    assert size is not None
    for number in (1, 2):
        desk.viewer.dims.set_current_step(0, number)
        desk.until(lambda number=number: desk.current.plane.steps[0] == number)
        desk.until(lambda: desk.current.session is not None)
        assert desk.current.session.typical_size == size
    desk.robot.click(desk.image, (2, 50, 50))
    desk.settled(1)
    assert desk.segmenter.runs[-1].typical_size == size


def expected(desk, size: float | None) -> None:
    """Wait until a plane without objects of its own expects this size."""
    desk.until(lambda: desk.current is not None and desk.current.session is not None)
    assert len(desk.widget.session.objects) == 0
    desk.until(lambda: desk.widget.session.typical_size == pytest.approx(size))
    moved(desk, 50, 50)
    assert ring(desk) is not None


def started_again(desk) -> float:
    """Stop and start; return the size that was known before and is expected now."""
    size = desk.widget.session.typical_size
    desk.widget.start_button.click()
    desk.until(lambda: desk.controller.annotation is None)
    desk.widget.start_button.click()
    expected(desk, size)
    return size


def test_objects_that_were_finished_before_count(desk) -> None:
    size = started_again(desk)
    desk.robot.click(desk.image, (50, 50))
    desk.settled(1)
    assert desk.segmenter.runs[-1].typical_size == pytest.approx(size)


def test_objects_of_labels_that_were_opened_count(open_desk) -> None:
    desk = open_desk()
    layer = desk.labels
    desk.widget.start_button.click()
    labels = np.zeros(desk.image.data.shape[:2], np.int32)
    labels[10:20, 10:20], labels[10:20, 40:60] = 1, 2
    layer.data = labels
    desk.widget.start_button.click()
    expected(desk, np.median(np.sqrt(4 * np.array([100, 200]) / np.pi)))
    desk.widget.session.expected_size = 12.0
    more = labels.copy()
    more[40:44, 80:84] = 3
    with desk.qtbot.waitSignal(objects_of(desk).index.looked_up):
        layer.data = more
    desk.qtbot.wait(2 * DELAY)
    assert desk.widget.session.expected_size == 12.0, "a script has set it"


def test_without_two_objects_nothing_is_expected_any_more(desk) -> None:
    started_again(desk)
    desk.controller.annotation.delete([(desk.current.plane, 1)])
    desk.until(lambda: desk.widget.session.typical_size is None)


def test_it_goes_with_the_tool(desk) -> None:
    moved(desk, 50, 50)
    size_ring = panel_of(desk).size_ring
    layer = desk.positive
    assert size_ring._on_move in layer.mouse_move_callbacks
    desk.widget.start_button.click()
    assert not size_ring.shown
    assert size_ring._on_move not in layer.mouse_move_callbacks
