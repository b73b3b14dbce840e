"""The running object lies on top: what is under it is never harmed by it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from _fake_segmenter import FakeSegmenter, disks
from napari_gpcis.clicks import Click
from napari_gpcis.plugin.saving.autosave import Autosaver
from napari_gpcis.plugin.saving.restore import without_unfinished
from napari_gpcis.plugin.settings.preferences import PREFERENCES
from napari_gpcis.plugin.tools.stack.copying import Copying, _Copy
from napari_gpcis.plugin.tools.stack.propagation import Propagation
from napari_gpcis.plugin.tools.stack.stack import Source
from napari_gpcis.plugin.viewer.planes import Plane
from napari_gpcis.prompts import replay

if TYPE_CHECKING:
    from collections.abc import Iterator

SHAPE = (2, 80, 100)
FIRST = Plane((1, 2), (0, 0, 0))


@pytest.fixture
def work(bench: Any) -> Iterator[Any]:
    """A bench on the first of two planes, with a record."""
    autosaver = Autosaver(bench.controller)
    PREFERENCES.autosave = False
    bench.record = lambda: autosaver.record
    bench.image = bench.start(np.zeros(SHAPE, np.uint8))
    go_to(bench, 0)
    yield bench
    autosaver.end()


def go_to(bench: Any, plane: int) -> None:
    bench.viewer.dims.set_current_step(0, plane)
    bench.until(lambda: bench.current.plane.steps[0] == plane and bench.current.session)
    bench.settled(len(bench.current.clicks))


def click(bench: Any, row: int, col: int, positive: bool = True) -> None:
    layer = bench.positive if positive else bench.negative
    count = len(bench.current.clicks)
    layer.add((bench.current.plane.steps[0], row, col))
    bench.settled(count + 1)


def finish(bench: Any, row: int, col: int) -> None:
    click(bench, row, col)
    bench.controller.command("accept")
    bench.settled(0)


def command(bench: Any, name: str, clicks: int) -> None:
    bench.controller.command(name)
    bench.settled(clicks)


def disk(*places: tuple[int, ...]) -> np.ndarray:
    return disks(SHAPE[1:], tuple(Click(*place) for place in places))


def check(bench: Any, **objects: np.ndarray) -> None:
    """These are the objects of the first plane, and their clicks give them again."""
    shown = bench.labels.data
    for name, mask in objects.items():
        np.testing.assert_array_equal(shown[0] == int(name[1:]), mask)
    made = replay(bench.record().saved(), FakeSegmenter(), bench.image.data)
    np.testing.assert_array_equal(made, shown)


# -- objects are deleted, and come back, under the running one ------------------------


def test_a_deleted_object_comes_back_whole_from_under_the_running_one(
    work: Any,
) -> None:
    finish(work, 30, 40)
    click(work, 30, 55)
    work.controller.annotation.delete([(FIRST, 1)])
    np.testing.assert_array_equal(work.labels.data[0] == 2, disk((30, 55)))
    go_to(work, 1)
    work.controller.command("undo")
    assert "is back" in work.controller.status
    go_to(work, 0)
    command(work, "accept", 0)
    both = disk((30, 40))
    check(work, _1=both, _2=disk((30, 55)) & ~both)


@pytest.mark.parametrize("opened", [True, False])
def test_nothing_is_left_of_a_deleted_object_that_was_covered(
    work: Any, opened: bool
) -> None:
    finish(work, 30, 40)
    PREFERENCES.protect = False
    click(work, 30, 55)
    click(work, 30, 60)
    if not opened:
        work.current.set_aside()
    work.controller.annotation.delete([(FIRST, 1)])
    if not opened:
        work.controller.annotation.enter_plane()
        work.settled(2)
    command(work, "clear", 0)
    check(work, _1=disk())
    if opened:
        command(work, "undo", 2)
        command(work, "clear", 0)
    go_to(work, 1)
    work.controller.command("undo")
    check(work, _1=disk((30, 40)))


def test_an_object_comes_back_while_it_is_given_a_new_shape(work: Any) -> None:
    finish(work, 30, 40)
    work.controller.annotation.delete([(FIRST, 1)])
    work.labels.selected_label = 1
    work.controller.writing.mode = "replace"
    click(work, 30, 50)
    go_to(work, 1)
    work.controller.command("undo")
    go_to(work, 0)
    np.testing.assert_array_equal(work.labels.data[0] == 1, disk((30, 50)))
    command(work, "clear", 0)
    check(work, _1=disk((30, 40)))


def test_a_covered_object_is_as_before_when_the_mask_shrinks(work: Any) -> None:
    finish(work, 30, 40)
    PREFERENCES.protect = False
    click(work, 30, 55)
    click(work, 30, 45, positive=False)
    running = disk((30, 55), (30, 45, False))
    np.testing.assert_array_equal(work.labels.data[0] == 2, running)
    np.testing.assert_array_equal(work.labels.data[0] == 1, disk((30, 40)) & ~running)
    command(work, "clear", 0)
    check(work, _1=disk((30, 40)))


# -- objects that are clicked again ---------------------------------------------------


def test_a_correction_that_was_undone_goes_on_with_all_of_the_object(
    work: Any,
) -> None:
    finish(work, 30, 40)
    work.current.begin_with(disk((30, 40)), label=1)
    work.settled(1)
    click(work, 22, 40, positive=False)
    command(work, "accept", 0)
    command(work, "undo", 2)
    click(work, 39, 40, positive=False)
    command(work, "accept", 0)
    holes = ((22, 40, False), (39, 40, False))
    check(work, _1=disk((30, 40), *holes))
    command(work, "undo", 3)
    command(work, "clear", 0)
    np.testing.assert_array_equal(work.labels.data[0] == 1, disk((30, 40)))


def test_what_was_added_to_an_object_and_cleared_is_a_new_object_then(
    work: Any,
) -> None:
    finish(work, 30, 40)
    work.labels.selected_label = 1
    work.controller.writing.mode = "add"
    finish(work, 60, 20)
    work.controller.writing.mode = "new"
    command(work, "undo", 1)
    command(work, "clear", 0)
    finish(work, 60, 80)
    check(work, _1=disk((30, 40)), _2=disk((60, 80)))


def test_an_id_whose_object_was_cleared_is_given_again(work: Any) -> None:
    click(work, 30, 40)
    command(work, "clear", 0)
    finish(work, 60, 80)
    check(work, _1=disk((60, 80)))


# -- clicks, keys and answers that overtake each other ---------------------------------


def test_a_click_counts_if_accept_is_pressed_at_once(work: Any) -> None:
    click(work, 30, 40)
    work.positive.add((0, 30, 50))  # no turn of the event loop between both
    work.controller.command("accept")
    work.settled(0)
    check(work, _1=disk((30, 40), (30, 50)))


def test_a_removed_click_leaves_no_wish_to_accept(work: Any) -> None:
    work.segmenter.gate.clear()
    work.positive.add((0, 30, 40))
    work.until(lambda: work.segmenter.runs)
    work.controller.command("accept")
    work.positive.data = np.empty((0, 3))
    work.until(lambda: not work.current.session.clicks)
    work.segmenter.gate.set()
    click(work, 60, 60)
    assert work.current.clicks == (Click(60, 60),)


def test_what_cannot_be_accepted_is_left_out_and_comes_back(work: Any) -> None:
    finish(work, 30, 40)
    work.labels.selected_label = 1
    work.controller.writing.mode = "cut"
    work.segmenter.gate.clear()
    work.positive.add((0, 60, 80))  # beside the object
    work.until(lambda: len(work.segmenter.runs) == 2)
    work.controller.command("accept")
    work.positive.add((0, 30, 50))
    work.until(lambda: len(work.current.clicks) == 2)
    work.segmenter.gate.set()
    work.settled(1)
    assert work.current.clicks == (Click(30, 50),)
    finished, later = disk((30, 40)), disk((30, 50)) & ~disk((30, 40))

    def show(*there: int) -> None:
        expected = np.zeros(SHAPE, int)
        for label in there:
            expected[0][finished if label == 1 else later] = label
        np.testing.assert_array_equal(work.labels.data, expected)

    show(1, 2)
    command(work, "undo", 0)
    command(work, "undo", 1)
    assert work.current.clicks == (Click(60, 80),)
    assert work.current.drawn.live.how == "cut"
    show(1)
    command(work, "redo", 0)
    command(work, "redo", 1)
    show(1, 2)
    assert work.current.clicks == (Click(30, 50),)


def test_a_click_after_accept_can_be_turned(work: Any) -> None:
    work.segmenter.gate.clear()
    work.positive.add((0, 30, 40))
    work.until(lambda: work.segmenter.runs)
    work.controller.command("accept")
    work.positive.add((0, 60, 80))
    work.until(lambda: len(work.current.clicks) == 2)
    work.controller.command("toggle_sign")
    work.segmenter.gate.set()
    work.until(lambda: work.current.session.steps)
    work.settled(1)
    assert work.current.clicks == (Click(60, 80, positive=False),)
    check(work, _1=disk((30, 40)))


def test_points_removed_elsewhere_take_their_mask_with_them(work: Any) -> None:
    click(work, 30, 40)
    go_to(work, 1)
    work.positive.data = np.empty((0, 3))
    work.until(lambda: not work.labels.data.any())
    go_to(work, 0)
    assert not work.current.session.clicks


# -- what is recorded of the running object -------------------------------------------


def test_what_ran_when_the_annotation_ended_is_kept_but_not_as_running(
    work: Any,
) -> None:
    """Its mask stays in the labels; who restores makes it go on, see `gone_on`."""
    finish(work, 30, 40)
    click(work, 60, 60)
    (plane,) = work.record().saved().planes
    assert (plane.running, len(plane.sessions[-1].current.clicks)) == (2, 1)
    work.controller.stop()
    assert work.controller.start(work.image)
    (plane,) = work.record().saved().planes
    assert plane.running == 0
    assert plane.sessions[-1].current.clicks == (Click(60, 60),)


@pytest.mark.parametrize("way", ["add", "replace"])
def test_a_finished_object_is_not_taken_for_the_running_one(
    work: Any, way: Any
) -> None:
    finish(work, 30, 40)
    work.labels.selected_label = 1
    work.controller.writing.mode = way
    click(work, 30, 55)
    kept = without_unfinished(work.record().saved(), work.labels.data)
    assert (kept[0][disk((30, 55))] == 1).all()


def test_an_object_that_was_undone_is_the_running_one(work: Any) -> None:
    finish(work, 30, 40)
    command(work, "undo", 1)
    assert not without_unfinished(work.record().saved(), work.labels.data).any()


@pytest.mark.parametrize("again", [False, True])
@pytest.mark.parametrize("protect", [True, False])
def test_what_was_drawn_on_an_object_stays_when_its_correction_is_cleared(
    work: Any, protect: bool, again: bool
) -> None:
    """Also if the correction has covered it meanwhile."""
    finish(work, 30, 40)
    PREFERENCES.protect = protect
    work.current.begin_with(disk((30, 40)), label=1)
    work.settled(1)
    click(work, 30, 55)
    rows, cols = (grid.ravel() for grid in np.mgrid[28:33, 38:43])
    work.labels.data_setitem((np.zeros_like(rows), rows, cols), 9)
    if again:
        click(work, 60, 70)
    command(work, "clear", 0)
    by_hand = np.zeros(SHAPE[1:], dtype=bool)
    by_hand[28:33, 38:43] = True
    np.testing.assert_array_equal(work.labels.data[0] == 9, by_hand)
    np.testing.assert_array_equal(work.labels.data[0] == 1, disk((30, 40)) & ~by_hand)


@pytest.mark.parametrize("way", ["mask", "box", "copy"])
def test_clicks_that_were_just_deleted_take_their_mask_with_them(
    work: Any, way: str
) -> None:
    """The next object is begun in the same turn of the event loop."""
    propagation = Propagation(work.controller)
    copying = Copying(work.controller, propagation)
    finish(work, 30, 40)
    click(work, 60, 70)
    work.positive.data = np.empty((0, 3))
    if way == "mask":
        assert work.current.begin_with(disk((30, 40)), label=1)
    elif way == "box":
        assert work.current.draw_box((20, 30, 41, 51))
    else:
        mask = disk((30, 40))
        copying.attach(work.controller.annotation)
        source = Source(FIRST, (0, 0, *mask.shape), mask, 9)
        copying._pending = _Copy(source, work.controller.session.prepared, FIRST)
        copying._begin((0, 0), 0.0)  # where it is found again is known
    work.settled(len(work.current.clicks))
    assert not work.labels.data[0][disk((60, 70))].any()
    work.controller.command("clear")
    work.settled(0)
    check(work, _1=disk((30, 40)))


def test_an_object_that_begins_with_another_mask_is_replaced_whole(work: Any) -> None:
    """As one that is copied to a plane where it is already."""
    finish(work, 30, 40)
    assert work.current.begin_with(disk((60, 70)), label=1)
    work.settled(1)
    np.testing.assert_array_equal(work.labels.data[0] == 1, disk((60, 70)))
    command(work, "accept", 0)
    check(work, _1=disk((60, 70)))
    command(work, "undo", 1)
    command(work, "clear", 0)
    check(work, _1=disk((30, 40)))


def test_clicks_that_come_back_are_written_as_they_were(bench) -> None:
    """Between clearing and undoing it, another object was corrected."""
    bench.start()
    bench.positive.add([30, 20])
    bench.settled(1)
    bench.controller.command("accept")
    bench.settled(0)
    finished = bench.labels.data.copy()
    bench.positive.add([30, 70])
    bench.settled(1)
    before = bench.labels.data.copy()
    bench.controller.command("clear")
    bench.settled(0)
    assert bench.current.begin_with(finished == 1, label=1)
    bench.until(lambda: bench.current.drawn.live.how == "replace")
    while bench.current.current.start is not None:
        bench.controller.command("undo")
    np.testing.assert_array_equal(bench.labels.data, finished)
    bench.controller.command("undo")
    bench.settled(1)
    assert (bench.current.drawn.live.label, bench.current.drawn.live.how) == (2, "add")
    np.testing.assert_array_equal(bench.labels.data, before)
