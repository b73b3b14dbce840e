"""Objects copied to the next plane, and followed through a stack."""

from __future__ import annotations

from dataclasses import replace
from threading import Event

import numpy as np
import pytest
from qtpy.QtCore import Qt

from _bright_segmenter import BALL, MIDDLE, TRUTH, BrightSegmenter
from _fake_segmenter import RADIUS, FakeSegmenter
from napari_gpcis.plugin.dock.panels.objects import ObjectsPanel
from napari_gpcis.plugin.dock.panels.stack import NO_STACK, StackPanel
from napari_gpcis.plugin.saving.autosave import Autosaver
from napari_gpcis.prompts import replay
from napari_gpcis.propagation import Pattern


@pytest.fixture
def segmenter() -> BrightSegmenter:
    return BrightSegmenter()


@pytest.fixture
def panel(bench):
    made = StackPanel(bench.controller)
    yield made
    made.close_links()
    bench.controller.stop()
    made.deleteLater()


def begin(bench, data=BALL, **options) -> None:
    """Click on the ball in the middle plane."""
    bench.start(data, **options)
    bench.viewer.dims.set_current_step(0, MIDDLE)
    bench.until(lambda: bench.current.plane.steps[0] == MIDDLE)
    bench.positive.add([MIDDLE, 32, 32])
    bench.settled(1)


def test_an_object_is_copied_to_the_next_plane(bench, panel) -> None:
    begin(bench)
    assert panel.copy_on.isEnabled()
    panel.copy_on.click()
    bench.until(lambda: bench.current.plane.steps[0] == MIDDLE + 1)
    bench.settled(1)
    np.testing.assert_array_equal(bench.labels.data == 1, only(MIDDLE, MIDDLE + 1))
    assert bench.viewer.dims.current_step[0] == MIDDLE + 1
    assert len(bench.current.clicks) == 1  # placed automatically, may be dragged
    bench.negative.add([MIDDLE + 1, 2, 2])
    bench.settled(2)
    bench.controller.command("accept_next")
    bench.until(lambda: bench.current.plane.steps[0] == MIDDLE + 2)
    bench.settled(1)
    planes = only(MIDDLE, MIDDLE + 1, MIDDLE + 2)
    np.testing.assert_array_equal(bench.labels.data == 1, planes)
    bench.controller.command("clear")
    bench.settled(0)
    np.testing.assert_array_equal(bench.labels.data == 1, only(MIDDLE, MIDDLE + 1))
    assert bench.labels.data.max() == 1


@pytest.mark.parametrize("deed", ["propagate_on", "copy_on", "fill"])
def test_the_chosen_object_comes_before_the_last_one(open_desk, deed) -> None:
    data = np.full((5, 64, 90), 30, np.uint8)
    data[:, 10:26, 10:26], data[:, 34:50, 50:66] = 200, 200
    desk = open_desk(data)
    panel = next(p for p in desk.widget.panels if isinstance(p, StackPanel))
    desk.viewer.dims.set_current_step(0, 1)
    desk.until(lambda: desk.current.plane.steps[0] == 1)
    desk.until(lambda: desk.current.session is not None)
    for row, col in ((18, 18), (42, 58)):
        desk.robot.click(desk.image, (1, row, col))
        desk.settled(1)
        desk.robot.press(Qt.Key.Key_N)
        desk.settled(0)
    first = np.zeros(data.shape, bool)
    first[1, 10:26, 10:26] = True
    if deed == "fill":  # both are on a further plane as well, made by hand
        desk.labels.data[3] = desk.labels.data[1]
        first[2:4, 10:26, 10:26] = True
    second = desk.labels.data == 2
    desk.robot.click(desk.image, (1, 18, 18))  # on the first object: it is chosen
    panels = (p for p in desk.widget.panels if isinstance(p, ObjectsPanel))
    picking = next(panels).picking
    desk.until(lambda: picking.chosen == (desk.current.plane, 1))

    getattr(panel, deed).click()
    if deed == "copy_on":
        desk.until(lambda: desk.current.plane.steps[0] == 2)
        desk.settled(1)
        first[2, 10:26, 10:26] = True
    elif deed == "propagate_on":
        desk.until(lambda: "propagated through 3 planes" in desk.controller.status)
        first[2:, 10:26, 10:26] = True
    else:
        desk.until(lambda: "interpolated on 1 plane" in desk.controller.status)
    if deed != "copy_on":
        assert desk.controller.status.startswith("Object 1: ")
    np.testing.assert_array_equal(desk.labels.data == 1, first)
    np.testing.assert_array_equal(desk.labels.data == 2, second)


def test_a_copy_is_moved_with_what_is_seen_around_it(bench, panel, monkeypatch) -> None:
    monkeypatch.setattr(BrightSegmenter, "_predict", FakeSegmenter._predict)
    random = np.random.default_rng(0)
    rows, cols = np.indices((90, 90))
    cell = np.where(np.hypot(rows - 45, cols - 45) <= 10, 150, 30)
    cell = cell + random.integers(0, 40, cell.shape)
    bench.start(np.stack([cell, np.roll(cell, (6, -9), (0, 1)), cell]).astype(np.uint8))
    bench.viewer.dims.set_current_step(0, 0)
    bench.until(lambda: bench.current.plane.steps[0] == 0)
    bench.positive.add([0, 45, 45])
    bench.settled(1)
    for number, (row, col) in enumerate(((51, 36), (45, 45)), start=1):
        bench.controller.command("accept_next")
        bench.until(lambda number=number: bench.current.plane.steps[0] == number)
        bench.settled(1)
        assert [click.pixel for click in bench.current.clicks] == [(row, col)]
        shown = bench.labels.data[number] == 1
        np.testing.assert_array_equal(shown, np.hypot(rows - row, cols - col) <= RADIUS)


def test_undo_gives_up_a_copy_while_the_object_is_looked_for(
    bench, panel, monkeypatch
) -> None:
    begin(bench)
    seen = Event()
    monkeypatch.setattr(Pattern, "displacement", lambda *_: seen.wait(10) and (0, 0))
    bench.controller.command("accept_next")
    bench.until(lambda: bench.current.plane.steps[0] == MIDDLE + 1)
    bench.until(lambda: bench.controller.session is not None)
    bench.controller.command("undo")
    assert bench.controller.status == "The object is not copied."
    seen.set()
    bench.controller.worker.submit("last", lambda _: True, lambda *_: seen.clear())
    bench.until(lambda: not seen.is_set())
    assert not bench.current.clicks
    np.testing.assert_array_equal(bench.labels.data == 1, only(MIDDLE))


def test_a_copy_that_fails_says_why(bench, panel, errors, monkeypatch) -> None:
    def fail(*_: object) -> None:
        msg = "broken"
        raise OSError(msg)

    begin(bench)
    monkeypatch.setattr(Pattern, "displacement", fail)
    bench.controller.command("accept_next")
    bench.until(lambda: errors)
    assert "broken" in errors[0]
    assert not bench.current.clicks
    monkeypatch.undo()
    bench.viewer.dims.set_current_step(0, MIDDLE)
    bench.until(lambda: bench.current.plane.steps[0] == MIDDLE)
    bench.controller.command("accept_next")
    bench.until(lambda: bench.current.plane.steps[0] == MIDDLE + 1)
    bench.settled(1)


def test_a_finished_object_is_copied_back(bench, panel) -> None:
    begin(bench)
    bench.controller.command("accept")
    bench.settled(0)
    panel.copy_back.click()
    bench.until(lambda: bench.current.plane.steps[0] == MIDDLE - 1)
    bench.settled(1)
    bench.controller.command("accept")
    bench.settled(0)
    np.testing.assert_array_equal(bench.labels.data == 1, only(MIDDLE - 1, MIDDLE))


def test_nothing_is_copied_over_the_end_or_without_an_object(bench, panel) -> None:
    bench.start(BALL)
    panel.copy_on.click()
    assert "Click on an object first" in bench.controller.status
    bench.viewer.dims.set_current_step(0, 8)
    bench.until(lambda: bench.current.plane.steps[0] == 8)
    bench.settled(0)
    bench.labels.data[8, 5:9, 5:9] = 3
    bench.labels.selected_label = 3
    panel.copy_on.click()
    assert "ends here" in bench.controller.status
    assert panel.message.isHidden()  # one thing is said in one place


@pytest.mark.parametrize(
    ("button", "planes"),
    [
        ("propagate_on", (4, 5, 6, 7)),
        ("propagate_back", (1, 2, 3, 4)),
        ("propagate_both", (1, 2, 3, 4, 5, 6, 7)),
    ],
)
def test_an_object_is_followed_until_it_vanishes(bench, panel, button, planes) -> None:
    begin(bench)
    bench.labels.data[6, 28:36, 28:36] = 9  # finished by somebody before
    getattr(panel, button).click()
    bench.until(lambda: not panel.propagation.running)
    wanted = only(*planes)
    wanted[6, 28:36, 28:36] = False
    np.testing.assert_array_equal(bench.labels.data == 1, wanted)
    assert (bench.labels.data == 9).sum() == 64
    assert panel.planes.topLevelItemCount() == len(planes) - 1
    count = len(planes) - 1
    assert bench.controller.status == f"Object 1: propagated through {count} planes."
    ends = [line.split(":")[0] for line in panel.message.text().splitlines()]
    beyond = [end for end in (planes[0] - 1, planes[-1] + 1) if abs(end - 4) > 1]
    assert ends == [f"Plane {end}" for end in beyond]
    assert "vanished" in panel.message.text()
    before = bench.labels.data.copy()
    bench.controller.command("undo")  # one undo takes the whole run back
    np.testing.assert_array_equal(bench.labels.data == 1, only(MIDDLE))
    assert panel.planes.topLevelItemCount() == 0
    bench.labels.undo()  # which was one step of the layer itself
    np.testing.assert_array_equal(bench.labels.data, before)
    bench.labels.undo()
    np.testing.assert_array_equal(bench.labels.data == 1, only(MIDDLE))


def test_the_list_says_where_to_look_and_goes_there(bench, panel) -> None:
    begin(bench)
    panel.propagate_on.click()
    bench.until(lambda: not panel.propagation.running)
    items = [panel.planes.topLevelItem(row) for row in range(3)]
    assert [item.text(0)[0] for item in items] == ["5", "6", "7"]
    one, other = np.roll(TRUTH[4], 2, axis=1), TRUTH[5]  # it moves so far
    share = (one & other).sum() / (one | other).sum()
    assert items[0].text(1) == f"{share:.0%}"
    assert "\u25c0" in items[2].text(0)  # it shrinks fast there
    panel.planes.itemClicked.emit(items[1], 0)
    bench.until(lambda: bench.current.plane.steps[0] == 6)


def test_a_run_can_be_cancelled_and_keeps_what_it_found(bench, panel) -> None:
    begin(bench)
    panel.propagate_on.click()
    bench.until(lambda: len(panel.propagation.found) >= 1 or not panel.stop.isVisible())
    bench.segmenter.gate.clear()
    panel.propagation.cancel()
    bench.segmenter.gate.set()
    count = len(panel.propagation.found)
    assert not panel.propagation.running
    steps = range(MIDDLE, MIDDLE + 1 + count)
    np.testing.assert_array_equal(bench.labels.data == 1, only(*steps))


def run_in_part(bench, panel) -> int:
    """Propagate forward until a plane was found; return the number of planes."""
    bench.until(lambda: not panel.propagation.running)
    propagation = panel.propagation

    def hold() -> None:
        if propagation.found:
            bench.segmenter.gate.clear()

    propagation.changed.connect(hold)
    panel.propagate_on.click()
    bench.until(lambda: propagation.found)
    propagation.changed.disconnect(hold)
    assert propagation.running
    return len(propagation.found)


@pytest.mark.parametrize("end", ["stop", "image", "labels", "positive", "another"])
def test_what_a_run_has_found_is_kept_when_the_annotation_ends(
    bench, panel, errors, end
) -> None:
    begin(bench)
    count, labels = run_in_part(bench, panel), bench.labels
    annotation = bench.controller.annotation
    if end == "stop":
        bench.controller.stop()
    elif end == "another":
        bench.start(BALL[MIDDLE])
    else:
        layers = {"image": annotation.image, **annotation.layers._asdict()}
        bench.viewer.layers.remove(layers[end])
    bench.segmenter.gate.set()
    assert bench.controller.annotation is not annotation
    assert not panel.propagation.running
    assert 1 <= count < 3
    wanted = only(*range(MIDDLE, MIDDLE + 1 + count))
    np.testing.assert_array_equal(labels.data == 1, wanted)
    assert not errors


def test_a_run_writes_nothing_into_labels_of_another_shape(
    bench, panel, errors
) -> None:
    begin(bench)
    run_in_part(bench, panel)
    labels = bench.labels
    labels.data = np.zeros((9, 20, 20), dtype=np.uint8)
    bench.segmenter.gate.set()
    assert bench.controller.annotation is None
    assert not labels.data.any()
    assert not errors


@pytest.mark.parametrize("change", ["3-D", "rolled"])
def test_a_run_goes_on_along_its_axis_whatever_is_displayed(
    bench, panel, errors, change
) -> None:
    begin(bench)
    bench.segmenter.gate.clear()
    panel.propagate_on.click()
    if change == "3-D":
        bench.viewer.dims.ndisplay = 3
    else:
        bench.viewer.dims.order = (1, 0, 2)
    bench.until(
        lambda: (
            bench.controller.annotation.current is None
            or bench.current.plane.axes != (1, 2)
        )
    )
    bench.segmenter.gate.set()
    bench.until(lambda: not panel.propagation.running)
    bench.viewer.dims.ndisplay = 2
    bench.viewer.dims.order = (0, 1, 2)
    bench.until(lambda: bench.controller.session is not None)
    np.testing.assert_array_equal(bench.labels.data == 1, only(MIDDLE, 5, 6, 7))
    assert not errors


def test_an_error_ends_the_run_with_what_it_found(bench, panel, errors) -> None:
    begin(bench)
    bench.segmenter.error = ValueError("broken")
    panel.propagate_on.click()
    bench.until(lambda: not panel.propagation.running)
    assert errors
    np.testing.assert_array_equal(bench.labels.data == 1, only(MIDDLE))


def test_undo_after_a_later_object_means_that_object(bench, panel) -> None:
    begin(bench)
    panel.propagate_on.click()
    bench.until(lambda: not panel.propagation.running)
    bench.labels.data[MIDDLE, :6, :6] = 0
    bench.positive.add([MIDDLE, 3, 3])
    bench.settled(1)
    bench.controller.command("undo")
    bench.settled(0)
    np.testing.assert_array_equal(bench.labels.data == 1, only(4, 5, 6, 7))


def test_a_plane_image_has_no_next_plane(bench, panel) -> None:
    bench.start(BALL[MIDDLE])
    assert not panel.copy_on.isEnabled()
    assert panel.message.text() == NO_STACK


def test_films_of_stacks_offer_both_axes(bench, panel) -> None:
    film = np.stack([BALL] * 3)
    bench.start(film)
    bench.viewer.dims.set_current_step((0, 1), (1, MIDDLE))
    bench.until(lambda: bench.current.plane.steps[:2] == (1, MIDDLE))
    bench.positive.add([1, MIDDLE, 32, 32])
    bench.settled(1)
    assert [panel.axis.itemData(i) for i in range(panel.axis.count())] == [0, 1]
    panel.axis.setCurrentIndex(0)
    panel.axis.activated.emit(0)
    panel.propagate_both.click()
    bench.until(lambda: not panel.propagation.running)
    for frame in range(3):
        found = bench.labels.data[frame] == 1
        np.testing.assert_array_equal(found, only(MIDDLE))


def test_a_series_of_channels_is_gone_through_in_time(bench, panel) -> None:
    series = np.stack([BALL, np.zeros_like(BALL)], axis=1)
    bench.start(series)
    bench.viewer.dims.set_current_step((0, 1), (MIDDLE, 0))
    bench.until(lambda: bench.current.plane.steps[:2] == (MIDDLE, 0))
    bench.positive.add([MIDDLE, 0, 32, 32])
    bench.settled(1)
    slider, other = bench.viewer.dims.axis_labels[:2]
    assert panel.axis.currentText() == f"Along axis {slider}"
    assert panel.axis.itemText(1) == f"Along axis {other}"
    bench.viewer.dims.axis_labels = ("t", other, "y", "x")
    assert panel.axis.currentText() == "Along axis t"
    panel.propagate_on.click()
    bench.until(lambda: not panel.propagation.running)
    expected = TRUTH & (np.arange(len(TRUTH)) >= MIDDLE)[:, None, None]
    np.testing.assert_array_equal(bench.labels.data[:, 0] == 1, expected)
    assert not bench.labels.data[:, 1].any()
    assert " along axis t: " in panel.message.text()
    bench.controller.command("accept_next")
    bench.until(lambda: bench.current.plane.steps[:2] == (MIDDLE + 1, 0))


def test_keys_and_buttons_in_a_real_viewer(open_desk) -> None:
    desk = open_desk(BALL, scale=(4, 1, 1))
    desk.viewer.dims.set_current_step(0, MIDDLE)
    desk.until(lambda: desk.current.plane.steps[0] == MIDDLE)
    desk.settled(0)
    desk.robot.click(desk.image, (MIDDLE, 32, 32))
    desk.settled(1)
    desk.robot.press(Qt.Key.Key_N, Qt.KeyboardModifier.ShiftModifier)
    desk.until(lambda: desk.current.plane.steps[0] == MIDDLE + 1)
    desk.settled(1)
    desk.widget.buttons["accept"].click()
    desk.settled(0)
    np.testing.assert_array_equal(desk.labels.data == 1, only(MIDDLE, MIDDLE + 1))
    (panel,) = (one for one in desk.widget.panels if isinstance(one, StackPanel))
    next(s for s in desk.widget.sections if s.content is panel).unfolded = True
    panel.propagate_on.click()
    desk.until(lambda: not panel.propagation.running)
    np.testing.assert_array_equal(desk.labels.data == 1, only(4, 5, 6, 7))
    desk.until(panel.planes.isVisible)
    assert not panel.planes.horizontalScrollBar().isVisible()
    desk.widget.buttons["undo"].click()
    np.testing.assert_array_equal(desk.labels.data == 1, only(4, 5))


def only(*planes: int) -> np.ndarray:
    """The ball on these planes."""
    mask = np.zeros_like(TRUTH)
    mask[list(planes)] = TRUTH[list(planes)]
    return mask


def drifting(planes: int = 8) -> np.ndarray:
    """A disk that grows by a fifth from plane to plane: each agrees with the last."""
    rows, cols = np.indices((80, 80))
    away = np.hypot(rows - 40, cols - 40)
    radii = 9 * np.sqrt(1.2 ** np.arange(planes))
    return np.array([np.where(away <= one, 200, 30) for one in radii]).astype(np.uint8)


DRIFT = drifting()
DOUBTED = 4
"""The plane on which it is more than twice as large as on plane 0."""


def begin_drift(bench) -> None:
    bench.start(DRIFT)
    bench.viewer.dims.set_current_step(0, 0)
    bench.until(lambda: bench.current.plane.steps[0] == 0)
    bench.positive.add([0, 40, 40])
    bench.settled(1)


def test_a_run_stops_where_the_object_is_in_doubt(bench, panel) -> None:
    begin_drift(bench)
    panel.propagate_on.click()
    bench.until(lambda: not panel.propagation.running)
    planes = [plane.steps[0] for plane, _ in panel.propagation.found]
    assert planes == [*range(1, DOUBTED + 1)]
    assert (bench.labels.data[DOUBTED] == 1).any()  # it can be looked at, and corrected
    assert not bench.labels.data[DOUBTED + 1 :].any()
    assert f"Plane {DOUBTED} is in doubt" in panel.message.text()
    assert "times as large" in panel.message.text()
    items = [panel.planes.topLevelItem(row).text(0) for row in range(DOUBTED)]
    assert items == ["1", "2", "3", f"{DOUBTED} ?"]
    assert "times as large" in panel.planes.topLevelItem(DOUBTED - 1).toolTip(0)


def test_a_run_may_go_on_where_in_doubt(bench, panel) -> None:
    begin_drift(bench)
    panel.through_doubt.click()
    panel.propagate_on.click()
    bench.until(lambda: not panel.propagation.running)
    items = [panel.planes.topLevelItem(row).text(0) for row in range(7)]
    assert items == ["1", "2", "3", "4 ?", "5 ?", "6 ?", "7 ?"]
    np.testing.assert_array_equal(bench.labels.data == 1, DRIFT > 100)


def test_a_run_goes_on_from_a_plane_that_was_looked_at(bench, panel) -> None:
    begin_drift(bench)
    panel.propagate_on.click()
    bench.until(lambda: not panel.propagation.running)
    bench.viewer.dims.set_current_step(0, DOUBTED)
    bench.until(lambda: bench.current.plane.steps[0] == DOUBTED)
    bench.until(lambda: bench.current.session)
    bench.labels.selected_label = 1
    panel.propagate_on.click()
    bench.until(lambda: not panel.propagation.running)
    np.testing.assert_array_equal(bench.labels.data == 1, DRIFT > 100)
    assert "in doubt" not in panel.message.text()


def make_on(bench, plane: int, label: int = 1) -> None:
    """Draw a square by hand, larger on later planes."""
    half = 4 + plane
    bench.labels.data[plane, 30 - half : 31 + half, 30 - half : 31 + half] = label


def test_gaps_between_planes_made_by_hand_are_filled(bench, panel) -> None:
    autosaver = Autosaver(bench.controller)
    bench.start(np.zeros((9, 64, 64), np.uint8))
    bench.viewer.dims.set_current_step(0, 3)
    bench.until(lambda: bench.current.plane.steps[0] == 3 and bench.current.session)
    for plane in (1, 5, 8):
        make_on(bench, plane)
    bench.labels.selected_label = 1
    before = bench.labels.data.copy()
    panel.fill.click()
    bench.until(lambda: len(panel.propagation.found) == 3)
    made = bench.labels.data.copy()
    for plane in (2, 3, 4):
        half = 4 + plane
        square = np.zeros((64, 64), bool)
        square[30 - half : 31 + half, 30 - half : 31 + half] = True
        assert np.count_nonzero((made[plane] == 1) != square) <= 4  # its corners
    np.testing.assert_array_equal(made[[0, 1, 5, 6, 7, 8]], before[[0, 1, 5, 6, 7, 8]])
    assert bench.controller.status == "Object 1: interpolated on 3 planes."
    assert panel.planes.topLevelItem(0).text(1) == "\u2013"
    saved = autosaver.record.saved()
    again = replay(saved, bench.segmenter, np.zeros((9, 64, 64), np.uint8), labels=made)
    np.testing.assert_array_equal(again, made)
    bench.controller.command("undo")
    np.testing.assert_array_equal(bench.labels.data, before)
    assert bench.controller.status == (
        "Filling object 1 on 3 planes was undone: they are as before."
    )
    bench.controller.command("redo")
    np.testing.assert_array_equal(bench.labels.data, made)
    assert bench.controller.status == "Object 1 is filled in on 3 planes again."
    assert len(panel.propagation.found) == 3  # as before it was undone
    bench.viewer.dims.set_current_step(0, 8)
    bench.until(lambda: bench.current.plane.steps[0] == 8 and bench.current.session)
    panel.fill.click()  # this plane and the nearest one before it
    bench.until(lambda: len(panel.propagation.found) == 5)
    steps = [plane.steps[0] for plane, _ in panel.propagation.found]
    assert steps == [2, 3, 4, 6, 7]  # all that were filled of the object
    assert all((bench.labels.data[plane] == 1).any() for plane in range(1, 9))
    autosaver.end()


def test_planes_that_are_filled_in_join_those_of_the_run(bench, panel) -> None:
    begin(bench)
    panel.propagate_on.click()
    bench.until(lambda: not panel.propagation.running)

    def listed() -> list[tuple[str, ...]]:
        tree = panel.planes
        items = [tree.topLevelItem(row) for row in range(tree.topLevelItemCount())]
        return [tuple(item.text(column) for column in range(3)) for item in items]

    run, message = listed(), panel.message.text()
    assert [row[0] for row in run][:2] == [f"{MIDDLE + 1}", f"{MIDDLE + 2}"]
    bench.labels.data[MIDDLE + 2, 60, 60] = 1  # by hand, as a correction is
    panel.fill.click()
    bench.until(lambda: "interpolated on 1 plane." in bench.controller.status)
    filled = [(f"{MIDDLE + 1}", "\u2013", "\u2013"), *run[1:]]
    assert message
    assert (listed(), panel.message.text()) == (filled, "")
    bench.controller.command("undo")
    assert (listed(), panel.message.text()) == (run, message)
    bench.controller.command("redo")
    assert (listed(), panel.message.text()) == (filled, "")


def test_what_runs_have_made_is_noted_so(bench, panel) -> None:
    """On planes that are open and others, until the user corrects it."""
    autosaver = Autosaver(bench.controller)
    bench.start(np.stack([BALL[4]] * 7))

    def go_to(step: int) -> None:
        bench.viewer.dims.set_current_step(0, step)
        bench.until(lambda: bench.current.plane.steps[0] == step)
        bench.until(lambda: bench.current.session)

    def notes() -> list[tuple[str, int]]:
        planes = [replace(bench.current.plane, steps=(n, 0, 0)) for n in range(1, 7)]
        found = [bench.controller.annotation.notes.of(plane)[1] for plane in planes]
        saved = autosaver.record.notes()
        assert found == [saved[(n,), 1] for n in range(1, 7)]
        return [(note.origin, note.clicks) for note in found]

    go_to(3)  # open when the run comes
    go_to(1)
    bench.positive.add([1, 32, 32])
    bench.settled(1)
    panel.propagate_on.click()
    bench.until(lambda: not panel.propagation.running)
    by_run = ("propagated", 0)
    assert notes() == [("clicks", 1), *[by_run] * 5]
    go_to(6)
    mask = bench.labels.data[6] == 1
    mask[:30] = False
    bench.current.begin_with(mask, label=1)
    bench.settled(1)
    bench.controller.command("accept")
    bench.settled(0)
    assert notes() == [("clicks", 1), *[by_run] * 4, ("corrected", 1)]
    go_to(3)
    bench.labels.selected_label = 1
    panel.fill.click()
    bench.until(lambda: "interpolated" in bench.controller.status)
    filled = [("interpolated", 0)] * 4
    assert notes() == [("clicks", 1), *filled, ("corrected", 1)]
    bench.controller.command("undo")
    assert notes() == [("clicks", 1), *[by_run] * 4, ("corrected", 1)]
    bench.controller.command("redo")
    assert notes() == [("clicks", 1), *filled, ("corrected", 1)]
    autosaver.end()


def test_there_must_be_a_gap_to_fill(bench, panel) -> None:
    bench.start(np.zeros((5, 64, 64), np.uint8))
    bench.viewer.dims.set_current_step(0, 2)
    bench.until(lambda: bench.current.plane.steps[0] == 2 and bench.current.session)
    for plane in (1, 2):
        make_on(bench, plane)
    bench.labels.selected_label = 1
    before = bench.labels.data.copy()
    panel.fill.click()
    assert "Nothing to fill: object 1" in bench.controller.status
    np.testing.assert_array_equal(bench.labels.data, before)
    assert not panel.propagation.found
