"""Steps on many planes: saved with their clicks, replayed, undone from anywhere."""

from __future__ import annotations

import json
import os
import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from qtpy.QtCore import Qt
from qtpy.QtTest import QTest

from _bright_segmenter import BrightSegmenter, ball_stack
from napari_gpcis.errors import InputError
from napari_gpcis.plugin.annotation.annotation import KEPT_SESSIONS, NONE_DELETED
from napari_gpcis.plugin.annotation.undo.stack import MAX_UNDO
from napari_gpcis.plugin.dock.panels.files import FilesPanel
from napari_gpcis.plugin.dock.panels.objects import ObjectsPanel
from napari_gpcis.plugin.dock.panels.stack import StackPanel
from napari_gpcis.plugin.dock.recovery import RecoveryManager
from napari_gpcis.plugin.saving.export import file_names
from napari_gpcis.plugin.saving.recovery_file import read_recovery
from napari_gpcis.plugin.settings.preferences import PREFERENCES
from napari_gpcis.plugin.viewer.channels import choose_contrast
from napari_gpcis.plugin.viewer.planes import Plane
from napari_gpcis.prompts import read_prompts, replay

if TYPE_CHECKING:
    from collections.abc import Iterator

LEFT = Qt.MouseButton.LeftButton
MIDDLE = 4
BALL = ball_stack()
BALL[:, 2:9, 2:9] = 200  # a bar through all planes
BALL[:, 50:60, 2:9] = 200  # and another one


@pytest.fixture
def segmenter() -> BrightSegmenter:
    return BrightSegmenter()


@pytest.fixture
def work(bench: Any, qtbot: Any) -> Iterator[Any]:
    """A bench that follows and keeps, on the middle plane of the stack."""
    keeping = RecoveryManager(bench.viewer, bench.controller, bench.controller)
    bench.stack, bench.files = (
        StackPanel(bench.controller),
        FilesPanel(bench.controller),
    )
    for part in (bench.stack, bench.files, keeping.banner):
        qtbot.addWidget(part)
    keeping.serve([bench.files], lambda: bench.viewer.layers[0])
    bench.record, bench.restorer = lambda: keeping.autosaver.record, keeping.restorer
    bench.start(BALL)
    go_to(bench, MIDDLE)
    yield bench
    bench.files.close_links()
    keeping.end()


def go_to(bench: Any, plane: int) -> None:
    bench.viewer.dims.set_current_step(0, plane)
    bench.until(lambda: bench.current.plane.steps[0] == plane and bench.current.session)
    bench.settled(len(bench.current.clicks))


def finish(bench: Any, row: int, col: int) -> None:
    """Click on the displayed plane and accept."""
    bench.positive.add((bench.current.plane.steps[0], row, col))
    bench.settled(1)
    bench.controller.command("accept")
    bench.settled(0)


def follow(bench: Any, button: str = "propagate_on") -> None:
    """Click on the ball and follow it."""
    bench.positive.add((MIDDLE, 32, 32))
    bench.settled(1)
    getattr(bench.stack, button).click()
    bench.until(lambda: not bench.stack.propagation.running)


def saved_ids(bench: Any) -> dict[int, list[int | None]]:
    """The ids of the steps that would be saved, by plane."""
    planes = bench.record().saved().planes
    return {plane.steps[0]: [step.id for step in plane.objects] for plane in planes}


def check_replay(bench: Any) -> None:
    """Making all masks again from the prompts alone gives the labels."""
    made = replay(bench.record().saved(), bench.segmenter, BALL)
    np.testing.assert_array_equal(made, bench.labels.data)


# -- followed planes are saved -----------------------------------------------------


def test_a_followed_object_comes_back_from_its_file(
    open_desk: Any, tmp_path: Path
) -> None:
    desk = open_desk(BALL, scale=(4, 1, 1))
    files = next(p for p in desk.widget.panels if isinstance(p, FilesPanel))
    stack = next(p for p in desk.widget.panels if isinstance(p, StackPanel))
    next(s for s in desk.widget.sections if s.content is stack).unfolded = True
    desk.viewer.dims.set_current_step(0, MIDDLE)
    desk.until(lambda: desk.current.plane.steps[0] == MIDDLE and desk.current.session)
    desk.robot.click(desk.image, (MIDDLE, 32, 32))
    desk.settled(1)
    QTest.mouseClick(stack.propagate_both, LEFT)
    desk.until(lambda: not stack.propagation.running)
    desk.robot.click(desk.image, (MIDDLE, 5, 5))
    desk.settled(1)
    desk.robot.press(Qt.Key.Key_N)
    desk.settled(0)
    shown = desk.labels.data.copy()
    assert [bool((plane == 1).any()) for plane in shown] == [False, *[True] * 7, False]
    files.write("save", tmp_path / "ball")
    clicks, labels = file_names(tmp_path / "ball")
    desk.until(lambda: "Saved" in files.message.text())
    saved = read_prompts(clicks)
    assert sorted(plane.steps[0] for plane in saved.planes) == list(range(1, 8))
    for plane in saved.planes:
        (step, *_) = plane.objects
        assert step.clicks
        assert (step.start is None) == (plane.steps[0] == MIDDLE)
    for note in ("2 objects. All masks are as they were saved", "were made again"):
        desk.widget.start_button.click()
        files.open_file(clicks)
        desk.until(lambda note=note: note in files.message.text())
        np.testing.assert_array_equal(desk.labels.data, shown)
        labels.unlink(missing_ok=True)  # the second time from the clicks alone


def test_steps_of_a_run_stand_among_those_of_the_plane(work: Any) -> None:
    go_to(work, 5)
    finish(work, 5, 5)
    go_to(work, 6)  # visited, nothing done
    go_to(work, MIDDLE)
    follow(work)
    go_to(work, 5)
    finish(work, 55, 5)
    assert saved_ids(work) == {5: [1, 2, 3], MIDDLE: [2], 6: [2], 7: [2]}
    check_replay(work)
    assert [step.id for step in work.current.session.steps] == [1, 2, 3]
    np.testing.assert_array_equal(work.current.session.labels, work.labels.data[5])


def test_a_run_that_is_undone_is_not_saved(work: Any) -> None:
    go_to(work, 5)
    finish(work, 5, 5)
    go_to(work, MIDDLE)
    before = work.labels.data.copy()
    follow(work)
    work.controller.command("undo")
    assert saved_ids(work) == {5: [1], MIDDLE: [2]}
    assert work.controller.status == (
        "Propagating object 2 to 3 planes was undone: they are as before."
    )
    assert not work.stack.propagation.found
    work.controller.command("undo")  # reopens the object on the displayed plane
    work.settled(1)
    work.controller.command("clear")
    work.settled(0)
    np.testing.assert_array_equal(work.labels.data, before)


@pytest.mark.parametrize("deed", ["run", "deletion"])
def test_what_was_done_elsewhere_after_a_clear_is_undone_before_it(
    work: Any, deed: str
) -> None:
    """In its turn on the plane that was displayed; the clicks come after it."""
    follow(work)
    before = work.labels.data.copy()
    work.positive.add((MIDDLE, 5, 5))
    work.settled(1)
    work.controller.command("clear")
    work.settled(0)
    if deed == "run":
        work.stack.propagate_back.click()
        work.until(lambda: not work.stack.propagation.running)
        said = "Propagating object 1 to 3 planes was undone: they are as before."
    else:
        plane = Plane((1, 2), (MIDDLE + 1, 0, 0))
        assert work.controller.annotation.delete([(plane, 1)]) == 1
        said = "Object 1 is back."
    after = work.labels.data.copy()
    assert (after != before).any()
    for clicks in (0, 1, 0):  # that, the clear, the click
        work.controller.command("undo")
        work.settled(clicks)
        if not clicks:
            np.testing.assert_array_equal(work.labels.data, before)
    work.controller.command("redo")
    work.settled(1)
    work.controller.command("redo")
    work.settled(0)
    np.testing.assert_array_equal(work.labels.data, before)
    work.controller.command("redo")
    np.testing.assert_array_equal(work.labels.data, after)
    work.controller.command("undo")  # again the last
    assert work.controller.status == said
    np.testing.assert_array_equal(work.labels.data, before)


def test_undo_passes_a_run_over_as_long_as_something_later_stays(work: Any) -> None:
    """On a plane of it, where it is the last step, and where it lies on an accept."""
    go_to(work, 5)
    finish(work, 5, 5)
    go_to(work, 6)
    go_to(work, MIDDLE)
    follow(work)
    finish(work, 55, 5)
    shown = work.labels.data.copy()
    for plane in (5, 6):
        go_to(work, plane)
        work.controller.command("undo")
        assert not work.current.clicks
        assert work.controller.status == (
            "Nothing to undo. The last object was accepted on plane 4: go there to "
            "take it back."
        )
        np.testing.assert_array_equal(work.labels.data, shown)
    assert saved_ids(work) == {5: [1, 2], MIDDLE: [2, 3], 6: [2], 7: [2]}
    go_to(work, MIDDLE)
    work.controller.command("undo")  # the later object
    work.settled(1)
    work.controller.command("undo")  # its click
    work.settled(0)
    work.controller.command("undo")
    assert work.controller.status.startswith("Propagating object 2 to 3 planes was un")
    assert not (work.labels.data[5:] == 2).any()
    go_to(work, 5)
    work.controller.command("undo")
    work.settled(1)  # nothing lies on it any more
    np.testing.assert_array_equal(work.labels.data[5] > 0, shown[5] == 1)


def test_clicks_are_undone_where_a_later_run_is_passed_over(work: Any) -> None:
    go_to(work, 5)
    work.positive.add((5, 5, 5))
    work.settled(1)
    go_to(work, MIDDLE)
    follow(work)
    finish(work, 55, 5)
    go_to(work, 5)
    found = work.labels.data[5] == 2
    work.controller.command("undo")
    work.settled(0)
    np.testing.assert_array_equal(work.labels.data[5] > 0, found)
    assert found.any()


def test_a_run_of_which_nobody_knows_is_not_opened(work: Any) -> None:
    """It was too long ago."""
    go_to(work, 5)
    go_to(work, MIDDLE)
    follow(work)
    stack = work.controller.annotation.undo_stack
    for _ in range(MAX_UNDO):
        stack.add_note("A note is gone.", "A note is there again.")
    go_to(work, 5)
    for _ in range(MAX_UNDO):
        work.controller.command("undo")
        assert work.controller.status == "A note is gone."
    work.controller.command("undo")
    assert work.controller.status == "Nothing to undo."
    assert (work.labels.data[5] == 1).any()


def test_a_run_with_another_contrast_is_saved_with_it(work: Any) -> None:
    go_to(work, 5)
    finish(work, 5, 5)
    plane = work.current
    session = plane.session
    go_to(work, MIDDLE)
    choose_contrast(work.viewer.layers[0], fixed=True)
    follow(work)
    assert plane.session is None
    go_to(work, 5)
    assert work.current is plane
    assert plane.session is not session
    planes = {plane.steps[0]: plane for plane in work.record().saved().planes}
    assert [one.contrast for one in planes[5].sessions] == [None, (0.0, 255.0)]
    check_replay(work)


def test_an_unfinished_object_stays_the_running_one(work: Any) -> None:
    go_to(work, 5)
    work.positive.add((5, 5, 5))
    work.settled(1)
    go_to(work, MIDDLE)
    follow(work)
    saved = {plane.steps[0]: plane for plane in work.record().saved().planes}[5]
    assert saved.running == 1
    assert [step.id for step in saved.objects] == [2]
    assert len(saved.sessions[-1].current.clicks) == 1


# -- deleted on any plane ----------------------------------------------------------


def test_what_was_deleted_on_another_plane_comes_back(open_desk: Any) -> None:
    desk = open_desk(BALL, scale=(4, 1, 1))
    panel = next(p for p in desk.widget.panels if isinstance(p, ObjectsPanel))
    next(s for s in desk.widget.sections if s.content is panel).unfolded = True
    desk.viewer.dims.set_current_step(0, 2)
    desk.until(lambda: desk.current.plane.steps[0] == 2 and desk.current.session)
    for number, row in enumerate((5, 55), start=1):
        desk.robot.click(desk.image, (2, row, 5))
        desk.settled(1)
        desk.robot.press(Qt.Key.Key_N)
        desk.settled(0)
        desk.until(lambda number=number: len(panel.table.rows) == number)
    shown = desk.labels.data.copy()
    view = panel.list
    place = view.visualRect(view.model().index(0, 0)).center()
    QTest.mouseClick(view.viewport(), LEFT, pos=place)
    desk.viewer.dims.set_current_step(0, 6)
    desk.until(lambda: desk.current.plane.steps[0] == 6 and desk.current.session)
    QTest.mouseClick(panel.delete_button, LEFT)
    assert not (desk.labels.data == 1).any()
    desk.robot.press(Qt.Key.Key_U)
    assert desk.widget.status.text().startswith("Object 1 is back.")
    np.testing.assert_array_equal(desk.labels.data, shown)
    desk.until(lambda: len(panel.table.rows) == 2)
    record = desk.widget.recovery.autosaver.record.saved()
    assert [step.how for step in record.planes[0].objects] == ["add", "add"]


@pytest.mark.parametrize("closed", [False, True])
def test_objects_deleted_together_come_back_together(work: Any, closed: bool) -> None:
    go_to(work, 5)
    finish(work, 5, 5)
    finish(work, 55, 5)
    go_to(work, 6)
    finish(work, 5, 5)
    shown = work.labels.data.copy()
    if closed:
        for plane in range(KEPT_SESSIONS):
            go_to(work, plane)
        planes = work.controller.annotation.known(Plane((1, 2), (5, 0, 0)))
        assert planes.session is None
    work.labels.data[8, 40:50, 40:50] = 9  # drawn by hand, on a plane never seen
    there = [(5, 1), (6, 3), (8, 9), (5, 2)]
    doomed = [(Plane((1, 2), (plane, 0, 0)), label) for plane, label in there]
    assert work.controller.annotation.delete(doomed) == 4
    assert work.controller.status == "4 objects deleted."
    assert work.controller.annotation.delete(doomed) == 0
    assert work.controller.status == NONE_DELETED
    assert not work.labels.data.any()
    assert saved_ids(work) == {5: [1, 2, 1, 2], 6: [3, 3]}
    check_replay(work)
    work.controller.command("undo")
    assert "4 objects are back" in work.controller.status
    work.labels.data[8] = 0
    np.testing.assert_array_equal(work.labels.data, shown)
    assert saved_ids(work) == {5: [1, 2], 6: [3]}
    check_replay(work)


def test_what_was_accepted_later_stays_when_a_deletion_is_undone(work: Any) -> None:
    go_to(work, 5)
    finish(work, 5, 5)
    plane = work.current.plane
    work.controller.annotation.delete([(plane, 1)])
    finish(work, 55, 5)
    go_to(work, 6)
    work.controller.command("undo")  # steps of plane 5 are taken back there, in order
    assert "Nothing to undo" in work.controller.status
    assert set(np.unique(work.labels.data)) == {0, 2}
    go_to(work, 5)
    work.controller.command("undo")
    work.settled(1)
    work.controller.command("clear")
    work.settled(0)
    work.controller.command("undo")  # the clicks of the object
    work.settled(1)
    work.controller.command("clear")
    work.settled(0)
    assert not work.labels.data.any()


def test_deletions_of_a_plane_come_back_in_their_order(work: Any) -> None:
    go_to(work, 5)
    finish(work, 5, 5)
    finish(work, 55, 5)
    work.controller.annotation.delete([(work.current.plane, 1)])
    go_to(work, 6)
    work.controller.reload_model()
    work.settled(0)
    finish(work, 5, 5)
    doomed = [(Plane((1, 2), (plane, 0, 0)), plane - 3) for plane in (5, 6)]
    assert work.controller.annotation.delete(doomed) == 2
    finish(work, 55, 5)  # plane 6 has been worked on since
    go_to(work, MIDDLE)
    work.controller.command("undo")
    assert "Nothing to undo" in work.controller.status
    check_replay(work)
    assert not work.labels.data[5].any()


def test_what_came_back_alone_is_not_brought_back_again(work: Any) -> None:
    for plane in (5, 6):
        go_to(work, plane)
        finish(work, 5, 5)
    doomed = [(Plane((1, 2), (plane, 0, 0)), plane - 4) for plane in (5, 6)]
    assert work.controller.annotation.delete(doomed) == 2
    finish(work, 55, 5)
    go_to(work, 5)
    work.controller.command("undo")  # here only: plane 6 has been worked on since
    assert "Object 1 is back" in work.controller.status
    go_to(work, 6)
    work.controller.command("undo")
    work.settled(1)
    work.controller.command("undo")
    work.settled(0)
    work.controller.reload_model()
    work.controller.command("undo")
    assert set(np.unique(work.labels.data)) == {0, 1, 2}
    check_replay(work)


def test_a_file_with_closed_planes_is_valid_json(work: Any, tmp_path: Path) -> None:
    follow(work, "propagate_both")
    work.files.write("save", tmp_path / "ball")
    work.until(lambda: "Saved" in work.files.message.text())
    data = json.loads(file_names(tmp_path / "ball")[0].read_text())
    starts = [
        step["start"]["box"]
        for plane in data["planes"]
        for one in plane["sessions"]
        for step in one["objects"]
        if step["start"]
    ]
    assert len(starts) == 6


def test_objects_are_undone_after_the_axes_were_rolled(work: Any) -> None:
    go_to(work, 5)
    finish(work, 5, 5)
    before = work.labels.data.copy()
    work.positive.add((5, 55, 5))  # is not finished
    work.settled(1)
    shown = work.labels.data.copy()
    dims = work.viewer.dims
    dims.order = (1, 0, 2)
    work.until(lambda: work.current.plane.axes == (0, 2) and work.current.session)
    assert not work.current.clicks
    work.controller.command("undo")
    assert "Nothing to undo" in work.controller.status
    dims.order = (0, 1, 2)
    work.until(lambda: work.current.plane.axes == (1, 2) and work.current.session)
    assert [done.id for done in work.controller.session.objects] == [1]
    assert not work.current.clicks
    np.testing.assert_array_equal(work.labels.data, shown)
    work.controller.command("undo")
    work.settled(1)
    work.controller.command("undo")
    work.settled(0)
    assert set(np.unique(work.labels.data)) == {0, 2}
    work.controller.command("redo")
    work.settled(1)
    work.controller.command("redo")
    work.settled(0)
    np.testing.assert_array_equal(work.labels.data == 1, before == 1)


# -- following again ---------------------------------------------------------------


def test_following_again_takes_the_place_of_the_earlier_run(work: Any) -> None:
    go_to(work, 6)  # its session is open when the run comes, that of the others not
    go_to(work, MIDDLE)
    follow(work)
    first = work.labels.data.copy()
    go_to(work, 5)
    work.controller.annotation.delete([(work.current.plane, 1)])
    work.labels.selected_label = 1
    work.controller.writing.mode = "replace"
    finish(work, 5, 5)  # the bar is what is meant
    work.stack.propagate_on.click()
    work.until(lambda: not work.stack.propagation.running)
    bar = np.zeros(BALL.shape[1:], bool)
    bar[2:9, 2:9] = True
    for plane in (5, 6, 7):
        np.testing.assert_array_equal(work.labels.data[plane] == 1, bar)
    np.testing.assert_array_equal(work.labels.data[:5], first[:5])
    check_replay(work)
    work.controller.command("undo")
    np.testing.assert_array_equal(work.labels.data[6:], first[6:])
    np.testing.assert_array_equal(work.labels.data[5] == 1, bar)
    check_replay(work)


def test_following_ends_before_a_plane_that_was_changed_by_hand(work: Any) -> None:
    follow(work)
    work.labels.data[6, 60, 60] = 1  # painted
    kept = work.labels.data[6:].copy()
    go_to(work, 5)
    go_to(work, MIDDLE)
    work.stack.propagate_on.click()
    work.until(lambda: not work.stack.propagation.running)
    np.testing.assert_array_equal(work.labels.data[6:], kept)
    assert "Plane 6: the object is there already" in work.stack.message.text()
    assert [plane.steps[0] for plane, _ in work.stack.propagation.found] == [5]


def hand_made(bench: Any) -> list[int]:
    """The planes on which object 1 counts as made by hand."""
    by_hand = bench.controller.annotation.undo_stack.by_hand
    planes = [Plane((1, 2), (step, 0, 0)) for step in range(len(BALL))]
    return [plane.steps[0] for plane in planes if by_hand(plane, 1)]


def come_back(bench: Any, way: str, folder: Path) -> None:
    """End the annotation, and go on with its work."""
    image, labels = bench.viewer.layers[0], bench.labels
    if way == "recovery":
        state = Path(os.environ["NAPARI_GPCIS_STATE"]) / "recovery"
        bench.until(lambda: list(state.glob("[!.]*.npz")))
        (file,) = state.glob("[!.]*.npz")
        shown = labels.data.copy()
        bench.until(lambda: np.array_equal(read_recovery(file).labels(), shown))
        recovered = read_recovery(file)
        assert recovered.saved == bench.record().saved()
        bench.controller.stop()
        bench.viewer.layers.remove(labels)
        bench.restorer.recover(recovered, image)
    elif way == "stop":
        bench.controller.stop()
        assert bench.controller.start(image, labels)
    else:
        bench.files.write("save", folder / "ball")
        bench.until(lambda: "Saved" in bench.files.message.text())
        clicks, labels_file = file_names(folder / "ball")
        text = clicks.read_text()
        if way == "a file that tells no digests":
            text = re.sub(r',\s*"digest": "\w*"', "", text)
        elif way == "clicks of another model alone":
            text = re.sub(r'"digest": "\w*"', '"digest": "that of another mask"', text)
            labels_file.unlink()
        clicks.write_text(text)
        bench.controller.stop()
        bench.files.open_file(clicks)
        bench.until(lambda: "Opened" in bench.files.message.text())
    bench.until(lambda: bench.controller.session is not None)
    assert (bench.labels is labels) == (way == "stop")


@pytest.mark.parametrize(
    ("way", "painted_stays"),
    [
        ("a file", True),
        ("a file that tells no digests", True),
        ("clicks of another model alone", False),
        ("recovery", True),
        ("stop", True),
    ],
)
def test_what_runs_have_made_is_known_after_coming_back(
    work: Any, tmp_path: Path, way: str, painted_stays: bool
) -> None:
    PREFERENCES.autosave_seconds = 0
    go_to(work, 3)  # its session is open when the run comes
    go_to(work, MIDDLE)
    follow(work, "propagate_both")
    go_to(work, 6)
    mask = work.labels.data[6] == 1
    mask[:32] = False
    work.current.begin_with(mask, label=1)
    work.settled(1)
    work.controller.command("accept")
    work.settled(0)
    work.labels.paint((2, 50, 50), 1)
    assert hand_made(work) == [2, MIDDLE, 6]
    before = work.labels.data.copy()

    come_back(work, way, tmp_path)
    expected = [2, MIDDLE, 6] if painted_stays else [MIDDLE, 6]
    assert hand_made(work) == expected
    np.testing.assert_array_equal(work.labels.data[3:], before[3:])
    go_to(work, 5)
    work.labels.selected_label = 1
    work.stack.fill.click()
    work.until(lambda: "interpolated on 1 plane." in work.controller.status)
    assert not np.array_equal(work.labels.data[5], before[5])
    assert hand_made(work) == expected
    go_to(work, MIDDLE)
    work.stack.propagate_back.click()
    work.until(lambda: not work.stack.propagation.running)
    reason = "Plane 2: the object is there already, made by hand"
    assert (reason in work.stack.message.text()) == painted_stays
    found = [plane.steps[0] for plane, _ in work.stack.propagation.found]
    assert found == ([3] if painted_stays else [1, 2, 3])
    work.controller.command("undo")
    work.controller.command("undo")
    np.testing.assert_array_equal(work.labels.data[3:], before[3:])
    assert hand_made(work) == expected


def test_what_runs_have_made_is_known_after_their_planes_were_set_aside(
    work: Any,
) -> None:
    for step in (5, 6, MIDDLE):
        go_to(work, step)
    follow(work)
    assert saved_ids(work) == {step: [1] for step in (4, 5, 6, 7)}
    for step in range(KEPT_SESSIONS):
        go_to(work, step)
    known = work.controller.annotation.known
    assert known(Plane((1, 2), (5, 0, 0))).session is None
    assert hand_made(work) == [MIDDLE]


# -- other labels, and back --------------------------------------------------------


def annotate(bench: Any, labels: Any) -> None:
    """Go over to another labels layer of the image."""
    image = bench.controller.annotation.image
    assert bench.controller.start(image, labels)
    bench.until(lambda: bench.controller.session is not None)


def undone_and_redone(bench: Any, states: list[np.ndarray]) -> None:
    """Undo edits until the labels are empty, and redo all; each state is checked."""
    for before in states[-2::-1]:
        bench.controller.command("undo")
        bench.settled(0)
        np.testing.assert_array_equal(bench.labels.data, before)
        check_replay(bench)
    for after in states[1:]:
        bench.controller.command("redo")
        bench.settled(0)
        np.testing.assert_array_equal(bench.labels.data, after)
        check_replay(bench)


def test_the_history_of_labels_comes_back_with_them(work: Any) -> None:
    first = work.labels
    second = work.viewer.add_labels(np.zeros_like(first.data), name="second")
    states = [first.data.copy()]
    finish(work, 5, 5)
    states.append(first.data.copy())
    follow(work)
    states += [np.where(first.data == 1, 1, 0), first.data.copy()]
    states[2][MIDDLE] = first.data[MIDDLE]  # accepted, then propagated
    assert work.controller.annotation.delete([(work.current.plane, 1)])
    states.append(first.data.copy())

    annotate(work, second)
    assert second.data.max() == 0
    finish(work, 55, 5)
    beside = second.data.copy()
    annotate(work, first)
    undone_and_redone(work, states)
    np.testing.assert_array_equal(second.data, beside)
    annotate(work, second)
    undone_and_redone(work, [np.zeros_like(beside), beside])
    np.testing.assert_array_equal(first.data, states[-1])
    annotate(work, first)
    undone_and_redone(work, states)


def test_objects_of_an_earlier_time_are_taken_back_on_their_plane(work: Any) -> None:
    finish(work, 5, 5)
    go_to(work, 6)
    finish(work, 5, 5)
    shown = work.labels.data.copy()
    annotate(work, work.labels)
    go_to(work, MIDDLE)
    work.controller.command("undo")
    assert "Object 1 is not accepted any more" in work.controller.status
    assert not work.labels.data[MIDDLE].any()
    np.testing.assert_array_equal(work.labels.data[6], shown[6])
    go_to(work, 6)
    work.controller.command("redo")
    assert not work.labels.data[MIDDLE].any()
    go_to(work, MIDDLE)
    work.controller.command("redo")
    np.testing.assert_array_equal(work.labels.data, shown)
    check_replay(work)


def test_what_was_drawn_since_stays(work: Any) -> None:
    first = work.labels
    second = work.viewer.add_labels(np.zeros_like(first.data), name="second")
    finish(work, 5, 5)
    annotate(work, second)
    first.data[MIDDLE, 5, 5] = 9
    annotate(work, first)
    work.controller.command("undo")
    expected = np.zeros_like(first.data)
    expected[MIDDLE, 5, 5] = 9
    np.testing.assert_array_equal(first.data, expected)


def test_control_z_in_the_labels_goes_back_in_our_history(work: Any) -> None:
    first, states = work.labels, [work.labels.data.copy()]
    finish(work, 5, 5)
    states.append(first.data.copy())
    first.paint((MIDDLE, 40, 40), 7)
    states.append(first.data.copy())
    assert (states[2] == 7).any()
    annotate(work, first)
    for expected in (states[1], states[0], states[0]):
        work.controller.travel_in_labels("undo")
        np.testing.assert_array_equal(first.data, expected)
        assert saved_ids(work) == ({MIDDLE: [1]} if expected.any() else {})
    for expected in states[1:]:
        work.controller.travel_in_labels("redo")
        np.testing.assert_array_equal(first.data, expected)
        assert saved_ids(work) == {MIDDLE: [1]}


def test_a_removed_layer_leaves_no_history(work: Any) -> None:
    first = work.labels
    finish(work, 5, 5)
    second = work.viewer.add_labels(np.zeros_like(first.data), name="second")
    annotate(work, second)
    finish(work, 55, 5)
    shown = second.data.copy()
    work.viewer.layers.remove(second)
    assert work.controller.annotation is None
    assert work.controller.start(work.viewer.layers[0], first)
    work.until(lambda: work.controller.session is not None)
    work.controller.command("undo")
    assert not first.data.any()
    work.controller.command("undo")
    np.testing.assert_array_equal(second.data, shown)
    assert second.unique_id not in work.controller._histories


def test_labels_of_a_session_are_those_that_are_written(open_desk: Any) -> None:
    desk = open_desk()
    session, first = desk.widget.session, desk.labels
    session.add_click(30, 40)
    session.accept()
    np.testing.assert_array_equal(session.labels, first.data)
    second = desk.viewer.add_labels(np.zeros_like(first.data))
    desk.widget.labels_combo.layer = second
    desk.widget.labels_combo.picked.emit()
    desk.until(lambda: desk.widget.session is not None)
    assert not session.labels.any()
    session.add_click(60, 40)
    session.accept()
    np.testing.assert_array_equal(session.labels, second.data)
    assert second.data.any()
    assert set(np.unique(first.data)) == {0, 1}
    desk.viewer.layers.remove(second)
    assert desk.widget.session is None
    with pytest.raises(InputError, match="start"):
        session.labels  # noqa: B018
    desk.widget.labels_combo.layer = first
    assert desk.widget.start()
    desk.until(lambda: desk.widget.session is not None)
    np.testing.assert_array_equal(session.labels, first.data)
    first.data = np.full_like(first.data, 4)
    assert (session.labels == 4).all()


# -- copies through the stack ------------------------------------------------------


def copy_on(bench: Any) -> None:
    """Copy the object to the next plane."""
    plane = bench.current.plane.steps[0] + 1
    bench.stack.copy_on.click()
    bench.until(lambda: bench.current.plane.steps[0] == plane and bench.current.clicks)
    bench.settled(len(bench.current.clicks))


def state(bench: Any) -> tuple[Any, ...]:
    """The plane, labels, points, clicks of all planes, and what would be saved."""
    steps = bench.current.plane.steps[0]
    points = bench.positive.data.tolist(), bench.negative.data.tolist()
    record = bench.record().saved().planes
    saved = {one.steps[0]: (one.sessions, one.running) for one in record}
    return steps, bench.labels.data.copy(), points, saved


def check_same(found: tuple[Any, ...], wanted: tuple[Any, ...]) -> None:
    assert found[0] == wanted[0]
    np.testing.assert_array_equal(found[1], wanted[1])
    assert found[2:] == wanted[2:]


def command(bench: Any, name: str, clicks: int) -> None:
    bench.controller.command(name)
    bench.settled(clicks)


def test_copies_are_undone_and_redone_bit_for_bit(work: Any) -> None:
    work.positive.add((MIDDLE, 32, 32))
    work.settled(1)
    copy_on(work)
    work.positive.add((5, 5, 5))  # corrected
    work.settled(2)
    copy_on(work)
    work.negative.add((6, 5, 5))
    work.settled(2)
    copy_on(work)
    command(work, "accept", 0)
    assert work.controller.annotation.delete([(work.current.plane, 1)])
    finish(work, 55, 5)
    seen = [state(work)]
    undos = {7: (1, 0, 0, 1, 0), 6: (2, 1, 0), 5: (2, 1, 0), MIDDLE: (1, 0)}
    for plane, counts in undos.items():
        if plane != 7:
            go_to(work, plane)
        for clicks in counts:
            seen.append(state(work))
            command(work, "undo", clicks)
        seen.append(state(work))
        command(work, "undo", 0)
        assert "Nothing to undo" in work.controller.status
        there = f"accepted on plane {plane - 1}:" in work.controller.status
        assert there is (plane > MIDDLE)
    assert not work.labels.data.any()
    assert work.record().saved().planes == ()
    del seen[0]
    redos = {MIDDLE: (1, 0), 5: (1, 2, 0), 6: (1, 2, 0), 7: (1, 0, 0, 1, 0)}
    for plane, counts in redos.items():
        if plane != MIDDLE:
            go_to(work, plane)
        check_same(state(work), seen.pop())
        for clicks in counts:
            command(work, "redo", clicks)
            check_same(state(work), seen.pop())
        command(work, "redo", 0)
        assert "Nothing to redo" in work.controller.status
        there = f"undone on plane {plane + 1}:" in work.controller.status
        assert there is (plane < 7)
    assert seen == []
    check_replay(work)


def test_a_copy_that_is_redone_keeps_its_id(work: Any) -> None:
    work.positive.add((MIDDLE, 32, 32))
    work.settled(1)
    copy_on(work)
    for _ in range(2):
        copied = work.labels.data.copy()
        command(work, "undo", 0)
        assert not work.labels.data[5].any()
        command(work, "redo", 1)
        np.testing.assert_array_equal(work.labels.data, copied)
        assert work.record().saved().planes[-1].running == 1
        command(work, "accept", 0)
        np.testing.assert_array_equal(work.labels.data, copied)
        command(work, "undo", 1)


def correct(bench: Any, label: int) -> None:
    """Correct an object of plane 5: what was done before cannot be undone then."""
    go_to(bench, 5)
    bench.current.begin_with(bench.labels.data[5] == label, label=label)
    bench.settled(1)
    bench.negative.add((5, 2, 60))
    bench.settled(2)
    command(bench, "accept", 0)


def check_next_id(bench: Any, expected: int) -> None:
    """Take the object of the middle plane back; the next one has another id."""
    others = bench.labels.data[5].copy()
    go_to(bench, MIDDLE)
    command(bench, "undo", 1)
    command(bench, "undo", 0)
    assert not bench.labels.data[MIDDLE].any()
    finish(bench, 55, 5)
    np.testing.assert_array_equal(bench.labels.data[5], others)
    assert bench.labels.data[MIDDLE].max() == expected


@pytest.mark.parametrize("how", ["copy", "propagate", "paint", "add"])
def test_an_id_that_other_planes_have_is_not_given_again(work: Any, how: str) -> None:
    work.positive.add((MIDDLE, 32, 32))
    work.settled(1)
    if how == "copy":
        copy_on(work)
        command(work, "accept", 0)
    elif how == "propagate":
        work.stack.propagate_on.click()
        work.until(lambda: not work.stack.propagation.running)
    else:
        command(work, "accept", 0)
        go_to(work, 5)
        work.labels.selected_label = 1
    if how == "paint":
        work.labels.paint((5, 32, 32), 1)
    elif how == "add":
        work.controller.writing.mode = "add"
        finish(work, 32, 34)
        work.controller.writing.mode = "new"
    correct(work, 1)
    check_next_id(work, 2)


def test_an_id_that_was_merged_with_is_not_given_again(work: Any) -> None:
    go_to(work, 5)
    finish(work, 5, 5)
    go_to(work, MIDDLE)
    finish(work, 32, 32)
    planes = [Plane((1, 2), (plane, 0, 0)) for plane in (5, MIDDLE)]
    assert work.controller.annotation.merge(zip(planes, (1, 2), strict=True)) == 2
    correct(work, 2)
    check_next_id(work, 3)
