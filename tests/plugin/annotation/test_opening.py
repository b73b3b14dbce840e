"""Keys and clicks while a plane is being opened: they do what they do later, too."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from _fake_segmenter import FakeSegmenter, disks
from napari_gpcis.clicks import Click
from napari_gpcis.plugin.tools.stack.copying import Copying
from napari_gpcis.plugin.tools.stack.propagation import Propagation
from napari_gpcis.session.session import Session

if TYPE_CHECKING:
    from collections.abc import Iterator

SHAPE = (5, 80, 100)
ONE, TWO, THREE = Click(30, 40), Click(30, 60), Click(60, 60)


class Door:
    """Planes are open as soon as it is."""

    def __init__(self, bench: Any) -> None:
        self.bench, self.event = bench, threading.Event()
        self.event.set()
        self._prepare = bench.segmenter.prepare
        bench.segmenter.prepare = self._wait

    def _wait(self, *values: Any, **options: Any) -> Any:
        assert self.event.wait(60)
        return self._prepare(*values, **options)

    def go_to(self, plane: int) -> None:
        """Turn to a plane; it is not open yet if the door is shut."""
        bench = self.bench
        bench.viewer.dims.set_current_step(0, plane)
        bench.until(lambda: bench.current.plane.steps[0] == plane)

    def shut(self, plane: int = 1) -> None:
        """Go to a plane that is not opened now."""
        self.event.clear()
        self.go_to(plane)
        assert self.bench.controller.session is None

    def open(self, clicks: int) -> None:
        self.event.set()
        self.bench.settled(clicks)


@pytest.fixture
def door(bench: Any) -> Iterator[Door]:
    """The door of a bench on the first of five planes; the middle one is open."""
    found = Door(bench)
    bench.start(np.zeros(SHAPE, np.uint8))
    found.go_to(0)
    bench.until(lambda: bench.controller.session is not None)
    yield found
    found.event.set()


def click(bench: Any, *clicks: Click) -> None:
    for one in clicks:
        layer = bench.positive if one.positive else bench.negative
        layer.add((bench.current.plane.steps[0], one.row, one.col))
        bench.until(lambda one=one: bench.current.first.clicks[-1:] == (one,))


def commands(bench: Any, *names: str) -> None:
    for name in names:
        bench.controller.command(name)


def mask(*clicks: Click) -> np.ndarray:
    return disks(SHAPE[1:], clicks)


def test_clicks_are_undone_and_redone_before_and_after(bench: Any, door: Door) -> None:
    door.shut()
    click(bench, ONE, TWO)
    commands(bench, "undo")
    assert bench.current.clicks == (ONE,)
    commands(bench, "redo", "undo", "undo")
    assert bench.current.clicks == ()
    commands(bench, "redo")
    click(bench, THREE)
    commands(bench, "undo")
    door.open(1)
    for command, clicks in (("redo", (ONE, THREE)), ("undo", (ONE,)), ("undo", ())):
        commands(bench, command)
        bench.settled(len(clicks))
        assert bench.controller.session.clicks == clicks
        np.testing.assert_array_equal(bench.labels.data[1] == 1, mask(*clicks))


def test_a_click_is_turned_and_the_object_accepted(bench: Any, door: Door) -> None:
    door.shut()
    click(bench, ONE, Click(30, 50))
    commands(bench, "toggle_sign", "accept")
    door.event.set()
    bench.until(lambda: bench.labels.data.any())
    bench.settled(0)
    expected = mask(ONE, Click(30, 50, positive=False))
    np.testing.assert_array_equal(bench.labels.data[1] == 1, expected)


def test_accept_is_taken_back(bench: Any, door: Door) -> None:
    door.shut()
    click(bench, ONE)
    commands(bench, "accept", "undo")
    assert "Not accepted" in bench.controller.status
    click(bench, TWO)
    commands(bench, "accept")
    bench.positive.add((1, 60, 60))
    bench.until(lambda: len(bench.current.clicks) == 3)
    commands(bench, "undo")  # the click after it
    door.event.set()
    bench.until(lambda: bench.current.session and bench.current.session.steps)
    bench.settled(0)
    np.testing.assert_array_equal(bench.labels.data[1] == 1, mask(ONE, TWO))


def test_a_deletion_is_undone_at_once(bench: Any, door: Door) -> None:
    click(bench, ONE)
    bench.settled(1)
    commands(bench, "accept")
    bench.settled(0)
    before = bench.labels.data.copy()
    bench.controller.annotation.delete([(bench.current.plane, 1)])
    door.shut()
    commands(bench, "undo")
    assert "Object 1 is back" in bench.controller.status
    np.testing.assert_array_equal(bench.labels.data, before)
    commands(bench, "undo")
    assert "Nothing to undo" in bench.controller.status
    commands(bench, "redo")
    assert "Object 1 is deleted again" in bench.controller.status
    door.open(0)


def test_another_model_goes_on_with_all_steps(bench: Any, door: Door) -> None:
    click(bench, ONE)
    bench.positive.data = [[0, 30, 60]]  # dragged
    bench.until(lambda: bench.controller.session.clicks == (TWO,))
    click(bench, THREE)
    bench.settled(2)
    commands(bench, "undo")
    door.event.clear()
    bench.controller.reload_model()
    commands(bench, "undo")
    assert bench.current.clicks == (ONE,)
    door.open(1)
    for clicks in ((TWO,), (TWO, THREE)):
        commands(bench, "redo")
        bench.settled(len(clicks))
        assert bench.controller.session.clicks == clicks
        np.testing.assert_array_equal(bench.labels.data[0] == 1, mask(*clicks))


def correct_and_reload(bench: Any, door: Door, second: Click) -> None:
    """Accept an object and click on it again; then the plane is not open any more."""
    click(bench, ONE)
    bench.settled(1)
    commands(bench, "accept")
    bench.settled(0)
    bench.current.begin_with(mask(ONE), label=1)
    bench.settled(1)
    click(bench, second)
    bench.settled(2)
    door.event.clear()
    bench.controller.reload_model()


def test_a_correction_is_undone_and_redone(bench: Any, door: Door) -> None:
    correct_and_reload(bench, door, Click(30, 50))
    commands(bench, "undo", "undo")
    np.testing.assert_array_equal(bench.labels.data[0] == 1, mask(ONE))
    commands(bench, "redo", "redo")
    door.open(2)
    assert bench.controller.session.start.label == 1
    commands(bench, "accept")
    bench.settled(0)
    expected = mask(ONE, Click(30, 50))
    np.testing.assert_array_equal(bench.labels.data[0] == 1, expected)


def test_a_correction_is_accepted_though_its_mask_needs_no_answer(
    bench: Any, door: Door
) -> None:
    click(bench, ONE)
    bench.settled(1)
    commands(bench, "accept")
    bench.settled(0)
    bench.current.begin_with(mask(ONE), label=1)
    bench.settled(1)
    door.event.clear()
    bench.controller.reload_model()
    commands(bench, "accept")
    bench.positive.add([0, THREE.row, THREE.col])  # the next object
    door.open(1)
    assert [step.how for step in bench.controller.session.steps] == ["replace"]
    np.testing.assert_array_equal(bench.labels.data[0] == 1, mask(ONE))
    np.testing.assert_array_equal(bench.labels.data[0] == 2, mask(THREE))


def test_clicks_that_are_cleared_take_their_mask_with_them(
    bench: Any, door: Door
) -> None:
    correct_and_reload(bench, door, Click(30, 55))
    commands(bench, "clear")
    np.testing.assert_array_equal(bench.labels.data[0] == 1, mask(ONE))
    click(bench, THREE)  # the next object, not the one that was corrected
    door.open(1)
    assert bench.current.session.start is None
    np.testing.assert_array_equal(bench.labels.data[0] == 1, mask(ONE))
    np.testing.assert_array_equal(bench.labels.data[0] == 2, mask(THREE))


def test_a_box_is_drawn(bench: Any, door: Door) -> None:
    door.shut()
    assert bench.current.draw_box((10, 20, 41, 51))
    door.open(1)
    assert bench.controller.session.clicks == (Click(25, 35),)
    assert bench.controller.session.current.prompts.view == (10, 20, 41, 51)


@pytest.mark.parametrize("how", ["undo", "elsewhere", "wait"])
def test_a_copy_that_is_on_its_way(bench: Any, door: Door, how: str) -> None:
    copying = Copying(bench.controller, Propagation(bench.controller))
    bench.controller.started.emit(bench.controller.annotation)  # it has begun before
    click(bench, ONE)
    bench.settled(1)
    door.event.clear()
    copying.copy(1)
    bench.until(lambda: bench.current.plane.steps[0] == 1)
    if how == "undo":
        commands(bench, "undo")
        assert "not copied" in bench.controller.status
    elif how == "elsewhere":
        door.go_to(3)
        door.go_to(1)
    door.event.set()
    bench.until(lambda: bench.current.session is not None)
    bench.settled(1 if how == "wait" else 0)
    assert bench.labels.data[1].any() == (how == "wait")


def test_a_session_goes_on_with_the_object_of_another() -> None:
    image = np.zeros(SHAPE[1:], np.uint8)
    one, other = (Session(FakeSegmenter(), image) for _ in range(2))
    one.view = (0, 0, 70, 90)
    one.add_click(30, 40)
    one.add_click(30, 60)
    one.undo()
    one.current.forget_predictions()
    other.current = one.current
    assert (other.clicks, other.prediction) == ((ONE,), None)
    other.redo()
    np.testing.assert_array_equal(other.prediction.mask, mask(ONE, TWO))
    assert other.saved().current.view == (0, 0, 70, 90)
