"""Objects like the finished ones, in the window: search, decisions, undo and redo."""

from __future__ import annotations

import threading
import tracemalloc
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from qtpy.QtCore import QPoint, Qt
from qtpy.QtTest import QTest

from napari_gpcis.clicks import Click
from napari_gpcis.plugin.dock.panels.objects import ObjectsPanel
from napari_gpcis.plugin.dock.panels.similar import SimilarPanel
from napari_gpcis.plugin.tools.objects.regrouping import (
    SEARCH_ENDED,
    SPLITTING,
    Regrouping,
)
from napari_gpcis.plugin.tools.picking import Picking
from napari_gpcis.plugin.tools.similar import search as search_module
from napari_gpcis.plugin.tools.similar.candidates import (
    COUNT,
    CURVE,
    ENDED,
    LOOKED_AT,
    NO_EXAMPLE,
    NONE,
    PUT_AWAY,
    SimilarObjects,
)
from napari_gpcis.prompts import read_prompts, write_prompts
from napari_gpcis.similar import Candidate, Found

if TYPE_CHECKING:
    from collections.abc import Iterator

LEFT, RIGHT = Qt.MouseButton.LeftButton, Qt.MouseButton.RightButton
SHIFT = Qt.KeyboardModifier.ShiftModifier
PLACES = ((10, 70), (60, 15), (60, 75))
CONFIDENCE = (0.9, 0.6, 0.1)


def candidate(place: tuple[int, int], confidence: float) -> Candidate:
    """A square of 10 x 10 pixels, about a click that is replayed as a disk."""
    row, col = place
    box = row - 5, col - 5, row + 5, col + 5
    click = Click(row, col)
    return Candidate(
        box, np.ones((10, 10), bool), click, box, 0.5, confidence, confidence, 1.0
    )


class Search:
    """Stands for the search: three candidates, one a tile, when it may go on."""

    def __init__(self) -> None:
        self.go_on = threading.Event()
        self.go_on.set()
        self.labels: np.ndarray | None = None
        self.rejected: tuple[Candidate, ...] = ()
        self.tiles = 0

    def collect(self, _segmenter: Any, _prepared: Any, labels: Any, *rest: Any) -> str:
        self.labels, self.rejected = labels, rest[-1]
        return "examples"

    def search(self, *given: Any, cancelled: Any, **_: Any) -> Any:
        self.examples = given[3]
        for number, one in enumerate(zip(PLACES, CONFIDENCE, strict=True), 1):
            if cancelled():
                return
            self.tiles = number
            yield Found((candidate(*one),), number, len(PLACES))
            self.go_on.wait(10)


@pytest.fixture
def searching(monkeypatch: pytest.MonkeyPatch) -> Search:
    made = Search()
    monkeypatch.setattr(search_module, "collect", made.collect)
    monkeypatch.setattr(search_module, "search", made.search)
    return made


@pytest.fixture
def desk(open_desk: Any, searching: Search) -> Any:
    """A window with one accepted object, whose page of candidates is open."""
    opened = open_desk()
    opened.robot.click(opened.image, (30, 40))
    opened.settled(1)
    opened.robot.press(Qt.Key.Key_N)
    opened.settled(0)
    section = next(s for s in opened.widget.sections if s.title == SimilarPanel.title)
    section.unfolded = True
    return opened


def panel(desk: Any) -> SimilarPanel:
    return next(p for p in desk.widget.panels if isinstance(p, SimilarPanel))


def find(desk: Any, count: int = 3) -> None:
    QTest.mouseClick(panel(desk).find_button, LEFT)
    tool = panel(desk).similar
    desk.until(lambda: tool.progress is None and len(tool.candidates) == count)


def there(desk: Any) -> list[bool]:
    """Which candidates are in the labels."""
    return [bool(desk.labels.data[place] > 1) for place in PLACES]


def outlined(desk: Any) -> int:
    found = desk.controller.annotation.curves.segments(CURVE)
    return 0 if found is None else len(set(found.values.tolist()))


def test_candidates_are_outlines_until_they_are_accepted(desk, searching) -> None:
    before = desk.labels.data.copy()
    find(desk)
    np.testing.assert_array_equal(desk.labels.data, before)
    np.testing.assert_array_equal(searching.labels, before)
    assert outlined(desk) == 2  # the third is doubtful
    words = COUNT.format(2, 3)
    assert panel(desk).message.text() == desk.controller.status == words
    panel(desk).least.setValue(70)
    assert outlined(desk) == 1
    panel(desk).least.setValue(100)
    assert outlined(desk) == 0
    assert panel(desk).message.text() == NONE.format(3)
    panel(desk).least.setValue(0)
    assert outlined(desk) == 3
    panel(desk).least.setValue(25)
    QTest.mouseClick(panel(desk).accept_all_button, LEFT)
    assert there(desk) == [True, True, False]
    assert desk.widget.status.text().startswith("2 candidates accepted.")
    assert len(set(desk.labels.data.ravel().tolist())) == 4
    session = desk.widget.session
    np.testing.assert_array_equal(session.labels, desk.labels.data)
    assert outlined(desk) == 0


def test_escape_puts_the_candidates_away(desk, searching) -> None:
    """An object that is clicked goes first; undo brings an accepted one back."""
    tool = panel(desk).similar
    find(desk)
    desk.robot.click(desk.image, (60, 75))
    desk.settled(1)
    desk.robot.press(Qt.Key.Key_Escape)
    desk.settled(0)
    assert len(tool.candidates) == 3
    QTest.mouseClick(panel(desk).accept_all_button, LEFT)
    assert there(desk) == [True, True, False]
    desk.robot.press(Qt.Key.Key_Escape)
    assert (tool.candidates, outlined(desk)) == ([], 0)
    assert PUT_AWAY.format("Shift-F") in desk.controller.status
    desk.robot.press(Qt.Key.Key_Escape)  # nothing is left to end
    desk.robot.press(Qt.Key.Key_U)
    desk.until(lambda: there(desk) == [False] * 3)
    desk.robot.press(Qt.Key.Key_U, SHIFT)
    desk.until(lambda: there(desk) == [True, True, False])
    find(desk)  # they are looked for anew


def test_the_candidate_that_is_looked_at_is_told_with_its_confidence(
    desk, searching
) -> None:
    find(desk)
    panel(desk).least.setValue(0)
    tool = panel(desk).similar
    for place, share in ((1, 90), (2, 60), (3, 10), (1, 90)):
        desk.controller.command("similar_next")
        words = LOOKED_AT.format(place, 3, share)
        assert words == f"Candidate {place} of 3, confidence {share} %."
        assert desk.widget.status.text() == words
        assert panel(desk).message.text() == f"{COUNT.format(3, 3)} {words}"
    desk.controller.command("similar_reject")
    words = LOOKED_AT.format(1, 2, 60)
    assert desk.widget.status.text() == f"1 candidate rejected. {words}"
    panel(desk).least.setValue(70)  # it is not shown any more
    assert tool.looked_at == ""
    panel(desk).least.setValue(0)
    desk.controller.annotation.clear_message()
    assert panel(desk).message.text() == f"{COUNT.format(2, 2)} {words}"


def test_all_of_it_is_in_sight_beside_the_list_of_objects(desk) -> None:
    desk.viewer.window.resize(1280, 800)
    find(desk)
    desk.qtbot.wait(50)
    area = desk.widget.pages.currentWidget()
    assert area.isAncestorOf(panel(desk).accept_all_button)
    assert area.verticalScrollBar().maximum() == 0
    assert not panel(desk).accept_all_button.visibleRegion().isEmpty()
    objects = next(p for p in desk.widget.panels if isinstance(p, ObjectsPanel))
    below = objects.next_button.mapTo(objects, QPoint(0, 0)).y()
    above = objects.list.mapTo(objects, QPoint(0, 0)).y() + objects.list.height()
    assert above <= below


def test_all_that_was_accepted_together_is_one_step_of_undo(desk) -> None:
    before = desk.labels.data.copy()
    find(desk)
    QTest.mouseClick(panel(desk).accept_all_button, LEFT)
    after = desk.labels.data.copy()
    for _ in range(2):
        desk.robot.press(Qt.Key.Key_U)
        desk.until(lambda: np.array_equal(desk.labels.data, before))
        assert outlined(desk) == 2
        np.testing.assert_array_equal(desk.widget.session.labels, before)
        desk.robot.press(Qt.Key.Key_U, SHIFT)
        desk.until(lambda: np.array_equal(desk.labels.data, after))
        assert outlined(desk) == 0
        np.testing.assert_array_equal(desk.widget.session.labels, after)
    desk.robot.press(Qt.Key.Key_U)
    desk.robot.press(Qt.Key.Key_U)
    desk.settled(1)  # the object that was accepted before goes on
    for _ in range(2):
        desk.robot.press(Qt.Key.Key_U, SHIFT)
    desk.until(lambda: np.array_equal(desk.labels.data, after))


def test_keys_go_through_candidates_and_each_is_a_step(desk, searching) -> None:
    find(desk)
    tool = panel(desk).similar
    first, second, _ = tool.candidates
    camera = desk.viewer.scene.camera
    view = camera.center, camera.zoom
    desk.robot.press(Qt.Key.Key_D)
    desk.until(lambda: tool.chosen is first)
    assert (camera.center, camera.zoom) == view  # it is in sight
    desk.robot.look_at(desk.image, (0, 50), (30, 90), 0.9)
    desk.until(lambda: desk.labels.corner_pixels[0][1] > 20)
    zoom = camera.zoom
    desk.robot.press(Qt.Key.Key_T)
    desk.until(lambda: there(desk) == [True, False, False])
    assert tool.chosen is second
    assert np.abs(np.array(camera.center[-2:]) - PLACES[1]).max() < 2  # it was not
    assert camera.zoom == zoom
    desk.robot.press(Qt.Key.Key_R)
    desk.until(lambda: second not in tool.candidates)
    assert there(desk) == [True, False, False]
    desk.robot.press(Qt.Key.Key_U)
    desk.until(lambda: second in tool.candidates)
    desk.robot.press(Qt.Key.Key_U)
    desk.until(lambda: there(desk) == [False] * 3)
    assert tool.candidates[:2] == [first, second]
    desk.robot.press(Qt.Key.Key_U, SHIFT)
    desk.until(lambda: there(desk) == [True, False, False])
    desk.robot.press(Qt.Key.Key_U, SHIFT)
    desk.until(lambda: second not in tool.candidates)
    find(desk, 2)  # the rejected one does not return
    assert searching.rejected == (second,)
    assert not desk.controller.annotation.undo_stack.interrupt()


def test_the_search_can_be_cancelled_and_gives_way_to_clicks(desk, searching) -> None:
    tool = panel(desk).similar
    for end in (
        lambda: QTest.mouseClick(panel(desk).stop_button, LEFT),
        lambda: desk.robot.click(desk.image, (60, 75)),
    ):
        searching.go_on.clear()
        QTest.mouseClick(panel(desk).find_button, LEFT)
        desk.until(lambda: tool.progress is not None and tool.progress.done == 1)
        assert panel(desk).stop_button.isVisible()
        end()
        desk.until(lambda: tool.ending)
        searching.go_on.set()
        desk.until(lambda: tool.progress is None)
        assert (searching.tiles, len(tool.candidates)) == (1, 1)
    desk.settled(1)


def test_a_split_does_not_wait_for_a_search(bench: Any, searching: Search) -> None:
    controller = bench.controller
    tool = SimilarObjects(controller)
    regrouping = Regrouping(controller, Picking(controller))
    bench.start()
    for number, place in enumerate(((30, 40), (30, 56)), 1):
        bench.positive.add(place)
        bench.settled(number)
    controller.command("accept")
    bench.settled(0)
    searching.go_on.clear()
    controller.command("find_similar")
    bench.until(lambda: tool.progress is not None and tool.progress.done == 1)
    controller.command("split_object")
    told: list[str] = []
    controller.status_changed.connect(told.append)
    for place in ((30.0, 36.0), (30.0, 60.0)):
        regrouping._take(np.array(place))
    assert controller.status == f"{SEARCH_ENDED} {SPLITTING}"
    searching.go_on.set()
    bench.until(lambda: regrouping.task is None)
    assert (searching.tiles, len(tool.candidates)) == (1, 1)
    assert f"{ENDED} {COUNT.format(1, 1)}" in told
    assert np.unique(bench.labels.data).tolist() == [0, 1, 2]


def test_candidates_come_back_on_their_own_plane_alone(
    bench: Any, searching: Search
) -> None:
    """A rejection is undone on another plane, which has no candidates."""
    controller = bench.controller
    tool = SimilarObjects(controller)
    bench.start(np.zeros((2, 80, 100), np.uint8))
    bench.positive.add((0, 30, 40))
    bench.settled(1)
    controller.command("accept")
    bench.settled(0)
    controller.command("find_similar")
    bench.until(lambda: tool.progress is None and tool.candidates)
    tool.chosen = tool.candidates[0]
    controller.command("similar_reject")
    plane = bench.current.plane
    assert len(controller.annotation.rejected[plane]) == 1
    bench.viewer.dims.set_current_step(0, 1)
    bench.until(lambda: controller.session and bench.current.plane != plane)
    controller.command("undo")
    assert not controller.annotation.rejected[plane]
    assert tool.candidates == []
    assert tool.chosen is None


def test_it_says_what_is_missing(open_desk, searching) -> None:
    desk = open_desk()
    desk.controller.ready()
    panel(desk).similar.find()
    desk.until(lambda: panel(desk).similar.progress is None)
    assert desk.widget.status.text() == NO_EXAMPLE
    assert searching.labels is None
    desk.robot.click(desk.image, (30, 40))
    desk.settled(1)
    panel(desk).similar.find()
    assert searching.labels is None
    assert panel(desk).similar.progress is None


def test_stopping_takes_candidates_away(desk) -> None:
    find(desk)
    before = desk.labels.data.copy()
    layers = desk.positive
    desk.widget.start_button.click()
    assert panel(desk).similar.candidates == []
    assert not layers.keymap
    np.testing.assert_array_equal(desk.viewer.layers[1].data, before)


def test_a_click_on_a_candidate_or_beside_it_corrects_it(desk) -> None:
    find(desk)
    tool = panel(desk).similar
    first, second, _ = tool.candidates
    desk.robot.press(Qt.Key.Key_D)
    desk.until(lambda: tool.chosen is first)
    before = desk.labels.data.copy()
    desk.robot.click(desk.image, (60, 21), RIGHT)  # its last pixel is 19
    desk.settled(2)
    given, added = desk.current.clicks
    assert (given, added.pixel, added.positive) == (second.click, (60, 21), False)
    assert desk.current.current.prompts.view == second.view
    assert second not in tool.candidates
    assert outlined(desk) == 1
    desk.robot.press(Qt.Key.Key_U)
    desk.settled(1)
    assert desk.labels.data[60, 15] > 1
    desk.robot.press(Qt.Key.Key_U)
    desk.settled(0)
    np.testing.assert_array_equal(desk.labels.data, before)
    assert second in tool.candidates
    for clicks in (1, 2):
        desk.robot.press(Qt.Key.Key_U, SHIFT)
        desk.settled(clicks)
    assert second not in tool.candidates
    desk.robot.press(Qt.Key.Key_N)
    desk.settled(0)
    assert there(desk) == [False, True, False]
    label = desk.widget.session.objects[-1].id
    note = desk.controller.annotation.notes.of(desk.current.plane)[label]
    assert (note.origin, note.clicks) == ("corrected", 2)
    desk.robot.press(Qt.Key.Key_U)
    desk.settled(2)  # it goes on, and is no candidate again
    assert second not in tool.candidates
    desk.robot.press(Qt.Key.Key_K)
    desk.settled(0)
    assert second in tool.candidates
    desk.robot.click(desk.image, (40, 75))  # far from all of them
    desk.settled(1)
    assert len(tool.candidates) == 3


def test_rejections_are_saved_and_what_was_rejected_does_not_return(
    desk, searching, tmp_path
) -> None:
    find(desk)
    rejected = panel(desk).similar.candidates[0]
    for key in (Qt.Key.Key_D, Qt.Key.Key_R):
        desk.robot.press(key)
    desk.until(lambda: rejected not in panel(desk).similar.candidates)
    recovery, file = desk.widget.recovery, tmp_path / "work.clicks.json"
    write_prompts(file, recovery.autosaver.record.saved())
    desk.robot.press(Qt.Key.Key_U)  # is not in the file any more
    desk.until(lambda: not recovery.autosaver.record.saved().planes[0].rejected)
    before = desk.controller.annotation
    recovery.restorer.open_file(file, desk.image)
    desk.until(lambda: desk.controller.annotation is not before)
    desk.settled(0)
    again = recovery.autosaver.record.saved().planes[0].rejected
    assert again == read_prompts(file).planes[0].rejected
    assert [one.box for one in again] == [rejected.box]
    find(desk, 2)
    (known,) = searching.rejected
    np.testing.assert_array_equal(known.mask, rejected.mask)
    assert (known.box, known.click) == (rejected.box, rejected.click)
    desk.widget.start_button.click()  # stop, and go on with the same labels
    assert desk.widget.start()
    desk.until(lambda: desk.widget.session is not None)
    find(desk, 2)
    assert [one.box for one in searching.rejected] == [rejected.box]


def test_examples_of_another_image_can_be_used(desk, searching) -> None:
    find(desk)
    assert not panel(desk).examples.isVisible()
    name = desk.image.name
    other = desk.viewer.add_image(np.zeros((80, 100), np.uint8), name="next")
    assert desk.controller.start(other)
    desk.until(lambda: desk.widget.session is not None)
    searching.labels = None
    panel(desk).similar.find()
    desk.until(lambda: panel(desk).similar.progress is None)
    assert desk.widget.status.text() == NO_EXAMPLE  # it has none of its own
    combo = panel(desk).examples
    assert combo.isVisible()
    combo.setCurrentIndex(combo.findData(name))
    combo.activated.emit(combo.currentIndex())
    desk.robot.press(Qt.Key.Key_F, SHIFT)
    desk.until(lambda: len(panel(desk).similar.candidates) == 3)
    assert searching.labels is None
    assert searching.examples == "examples"


def test_what_is_found_shows_while_the_search_goes_on(desk, searching) -> None:
    searching.go_on.clear()
    desk.robot.press(Qt.Key.Key_F, SHIFT)
    tool = panel(desk).similar
    desk.until(lambda: outlined(desk) == 1)
    assert tool.progress is not None
    for key in (Qt.Key.Key_D, Qt.Key.Key_T):
        desk.robot.press(key)
    desk.until(lambda: there(desk) == [True, False, False])
    searching.go_on.set()
    desk.until(lambda: tool.progress is None)
    assert [one.click.pixel for one in tool.candidates] == [*PLACES[1:]]


@pytest.fixture
def held(desk: Any) -> Iterator[threading.Event]:
    """Keep the inference thread busy until it is set."""
    go_on, begun = threading.Event(), threading.Event()

    def work(_cancelled: Any) -> None:
        begun.set()
        go_on.wait(10)

    desk.controller.worker.submit("held", work)
    desk.until(begun.is_set)
    yield go_on
    go_on.set()


def test_a_huge_plane_is_not_copied_while_the_window_waits(
    bench: Any, searching: Search
) -> None:
    tool = SimilarObjects(bench.controller)
    bench.start(np.zeros((4000, 4000), np.uint8))
    bench.labels.data[10:30, 10:30] = 1
    size, go_on = bench.labels.data.nbytes, threading.Event()
    bench.controller.worker.submit("held", lambda _cancelled: go_on.wait(10))
    tracemalloc.start()
    tool.find()
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    go_on.set()
    assert peak < size / 20
    bench.until(lambda: len(tool.candidates) == 3)
    np.testing.assert_array_equal(searching.labels, bench.labels.data)
    tracemalloc.start()
    tool.accept_all()
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert bench.labels.data.max() > 1
    assert peak < size / 3  # what is not touched of it takes no memory
    tool.close()


def test_labels_that_change_meanwhile_are_copied_anew(
    desk: Any, searching: Search, held: threading.Event
) -> None:
    tool = panel(desk).similar
    tool.find()
    places = np.array([70, 71]), np.array([5, 5])
    desk.labels.data_setitem(places, 1)
    held.set()
    desk.until(lambda: len(tool.candidates) == 3)
    assert searching.labels is not None
    np.testing.assert_array_equal(searching.labels, desk.labels.data)


def test_labels_that_never_rest_are_searched_all_the_same(
    desk: Any, searching: Search, monkeypatch: pytest.MonkeyPatch
) -> None:
    tool, copied = panel(desk).similar, []
    copy = search_module._copied

    def and_edited(*args: Any) -> Any:
        copied.append(copy(*args))
        tool._search.edited = True
        return copied[-1]

    monkeypatch.setattr(search_module, "_copied", and_edited)
    find(desk)
    assert len(copied) == search_module.TRIES


def test_a_copy_of_a_plane_that_was_left_is_not_searched(
    bench: Any, searching: Search
) -> None:
    controller, go_on = bench.controller, threading.Event()
    tool = SimilarObjects(controller)
    bench.start(np.zeros((2, 80, 100), np.uint8))
    bench.labels.data[:, 30:40, 30:40] = 1
    controller.worker.submit("held", lambda _cancelled: go_on.wait(10))
    tool.find()
    assert tool.progress is not None
    plane = bench.current.plane
    bench.viewer.dims.set_current_step(0, 1)
    bench.until(lambda: bench.current.plane != plane)
    assert tool.progress is None
    go_on.set()
    bench.until(lambda: controller.session and not controller.worker.busy(tool.key))
    assert searching.labels is None
    assert tool.candidates == []
    tool.find()
    bench.until(lambda: tool.progress is None and tool.candidates)
    tool.close()
