"""Closing with unsaved work: the user is asked, a script is not, nothing is lost."""

from __future__ import annotations

import threading
from itertools import product
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
import pytest
from qtpy.compat import isalive
from qtpy.QtCore import QEvent, QObject, Qt, QTimer
from qtpy.QtGui import QCloseEvent
from qtpy.QtTest import QTest
from qtpy.QtWidgets import QApplication, QDialog, QFileDialog, QMessageBox
from tifffile import imread

from _bright_segmenter import BALL, MIDDLE, TRUTH, BrightSegmenter
from _fake_segmenter import FakeSegmenter
from napari_gpcis.plugin.dock.base import dock_of
from napari_gpcis.plugin.dock.closing import KEEP, QUESTION, QUESTION_IN
from napari_gpcis.plugin.dock.panels.files import FilesPanel, base_name
from napari_gpcis.plugin.dock.panels.stack import StackPanel
from napari_gpcis.plugin.dock.recovery import LAYER, REMOVED_LAYER
from napari_gpcis.plugin.saving.export import file_names
from napari_gpcis.plugin.saving.recovery_file import unsaved_work
from napari_gpcis.plugin.settings.preferences import PREFERENCES
from napari_gpcis.plugin.widget import GPCISWidget
from napari_gpcis.prompts import read_prompts

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from napari_gpcis.plugin.tools.stack.propagation import Propagation

SAVE, DISCARD = QMessageBox.StandardButton.Save, QMessageBox.StandardButton.Discard
CANCEL = QMessageBox.StandardButton.Cancel


class Answers:
    """Answers each question of a test with a button, and notes what was asked."""

    made: ClassVar[list[Answers]] = []

    def __init__(self, *buttons: Any) -> None:
        self.made.append(self)
        self.asked: list[str] = []
        self._buttons = list(buttons)
        self._timer = QTimer()
        self._timer.timeout.connect(self._answer)
        self._timer.start(20)

    def end(self) -> None:
        """Answer no more."""
        self._timer.stop()

    def _answer(self) -> None:
        box = QApplication.activeModalWidget()
        if not isinstance(box, QMessageBox):
            return
        self.asked.append(box.text())
        button = self._buttons.pop(0) if self._buttons else CANCEL
        if button == KEEP:
            (found,) = (one for one in box.buttons() if one.text() == KEEP)
        else:
            found = box.button(button)
        QTest.mouseClick(found, Qt.MouseButton.LeftButton)


@pytest.fixture(autouse=True)
def answers_end_with_their_test() -> Iterator[None]:
    yield
    while Answers.made:
        Answers.made.pop().end()


@pytest.fixture
def desk(open_desk: Callable[..., Any], monkeypatch: pytest.MonkeyPatch) -> Any:
    """A widget with one object that is not saved."""
    from napari.settings import get_settings

    monkeypatch.setattr(get_settings().application, "confirm_close_window", False)
    made = open_desk(name="cells")
    made.robot.click(made.image, (30, 40))
    made.settled(1)
    made.controller.command("accept")
    made.settled(0)
    made.until(lambda: made.widget._guard is not None)
    return made


@pytest.fixture
def closings(desk: Any, monkeypatch: pytest.MonkeyPatch) -> Iterator[list[bool]]:
    """Note that the window would be closed: napari's fixture closes it in the end."""
    closed: list[bool] = []
    kind = type(desk.viewer.window._qt_window)

    def close(_: Any, quit_app: bool = False, confirm_need: bool = False) -> None:
        closed.append(confirm_need)

    with monkeypatch.context() as patch:
        patch.setattr(kind, "close", close)
        yield closed


def close_by_menu(desk: Any) -> None:
    desk.viewer.window._qt_window.close(quit_app=False, confirm_need=True)


def panel_of(desk: Any) -> FilesPanel:
    return next(one for one in desk.widget.panels if isinstance(one, FilesPanel))


def test_a_script_is_not_asked_and_loses_nothing(desk: Any) -> None:
    answers = Answers()
    shown = desk.labels.data.copy()
    assert unsaved_work() == []
    desk.viewer.close()
    desk.until(unsaved_work)
    (left,) = unsaved_work()
    assert left.saved.image == "cells"
    assert len(left.saved.planes[0].objects) == 1
    np.testing.assert_array_equal(left.labels(), shown)
    assert answers.asked == []


def test_a_window_that_is_closed_by_a_script_is_not_asked_for(
    desk: Any, closings: list[bool]
) -> None:
    answers = Answers()
    desk.viewer.window._qt_window.close()
    assert closings == [False]
    assert answers.asked == []


def test_a_widget_that_a_script_takes_away_is_kept(desk: Any) -> None:
    answers = Answers()
    desk.viewer.window.remove_dock_widget(desk.widget)
    desk.until(unsaved_work)
    assert answers.asked == []


CHOICES = [(CANCEL, False, 0), (KEEP, True, 1), (DISCARD, True, 0)]


@pytest.mark.parametrize(("button", "closed", "left"), CHOICES)
def test_the_user_who_closes_the_window_is_asked(
    desk: Any, closings: list[bool], button: Any, closed: bool, left: int
) -> None:
    answers = Answers(button)
    close_by_menu(desk)
    assert answers.asked == [QUESTION.format("cells", "1 object")]
    assert bool(closings) is closed
    if closed:
        desk.widget.shut_down()
        assert len(unsaved_work()) == left
    else:
        assert desk.widget.session is not None


@pytest.mark.parametrize(("button", "closed", "left"), CHOICES)
def test_the_user_who_closes_the_widget_is_asked(
    desk: Any, button: Any, closed: bool, left: int
) -> None:
    answers = Answers(button)
    dock = dock_of(desk.widget)
    QTest.mouseClick(dock.title.close_button, Qt.MouseButton.LeftButton)
    assert answers.asked == [QUESTION.format("cells", "1 object")]
    assert desk.widget._closed is closed
    assert len(unsaved_work()) == left


@pytest.mark.parametrize(("button", "left"), [(KEEP, 1), (DISCARD, 0)])
def test_work_is_asked_for_again_if_the_window_did_not_close(
    desk: Any, closings: list[bool], button: Any, left: int
) -> None:
    """A window may be kept open by others, too."""
    answers = Answers(DISCARD, button)
    close_by_menu(desk)
    autosaver = desk.widget.recovery.autosaver
    assert autosaver.unsaved == [autosaver.record]
    close_by_menu(desk)
    assert answers.asked == [QUESTION.format("cells", "1 object")] * 2
    desk.widget.shut_down()
    assert len(unsaved_work()) == left


@pytest.mark.parametrize("part", ["window", "widget"])
def test_accepted_objects_without_masks_are_kept_as_well(
    desk: Any, closings: list[bool], part: str
) -> None:
    desk.segmenter.gate.clear()
    for place in ((60, 80), (20, 80), (60, 20)):
        desk.robot.click(desk.image, place)
        desk.controller.command("accept")
    desk.until(lambda: desk.controller.annotation.awaited == 3)
    answers = Answers(KEEP)
    if part == "window":
        close_by_menu(desk)
    else:
        close = dock_of(desk.widget).title.close_button
        QTest.mouseClick(close, Qt.MouseButton.LeftButton)
    assert answers.asked == [QUESTION.format("cells", "4 objects")]
    desk.widget.shut_down()
    desk.segmenter.gate.set()
    (left,) = unsaved_work()
    assert left.amount == "4 objects"
    assert [len(one.clicks) for one in left.saved.planes[0].accepted] == [1, 1, 1]


def test_a_dock_that_is_opened_again_offers_nothing_that_goes_on(
    open_desk: Callable[..., Any],
) -> None:
    """Nothing was accepted, so nothing was written before it was closed."""
    desk = open_desk(name="cells")
    desk.robot.click(desk.image, (30, 40))
    desk.settled(1)
    desk.until(lambda: desk.widget._guard is not None)
    Answers(KEEP)
    QTest.mouseClick(dock_of(desk.widget).title.close_button, Qt.MouseButton.LeftButton)
    desk.widget = GPCISWidget(desk.viewer, lambda _: FakeSegmenter())
    desk.viewer.window.add_dock_widget(desk.widget, name="GPCIS")
    banner = desk.widget.recovery.banner
    assert len(banner.found) == 1
    assert desk.widget.start()
    desk.settled(1)
    assert not banner.found
    desk.widget.shut_down()
    assert len(unsaved_work()) == 1


@pytest.mark.parametrize("answer", [SAVE, KEEP, DISCARD])
def test_a_dock_that_is_opened_again_knows_the_clicks(
    desk: Any,
    answer: Any,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Whoever saves then would write one object over many, elsewise."""
    monkeypatch.setattr(
        QFileDialog, "getSaveFileName", lambda *_, **__: (str(tmp_path / "work"), "")
    )
    labels = desk.labels
    desk.robot.click(desk.image, (60, 80))
    desk.settled(1)  # not accepted
    shown, answers = labels.data.copy(), Answers(answer)
    QTest.mouseClick(dock_of(desk.widget).title.close_button, Qt.MouseButton.LeftButton)
    assert len(answers.asked) == 1
    assert desk.widget._closed
    desk.widget = GPCISWidget(desk.viewer, lambda _: FakeSegmenter())
    desk.viewer.window.add_dock_widget(desk.widget, name="GPCIS")
    banner = desk.widget.recovery.banner
    assert bool(banner.found) is (answer == KEEP)
    assert desk.widget.start()
    desk.settled(1)  # the object goes on
    assert desk.labels is labels
    assert not banner.found
    np.testing.assert_array_equal(labels.data, shown)
    record = desk.widget.recovery.autosaver.record
    assert record.unsaved is (answer == KEEP)
    assert (record.saved().ids, record.saved().unfinished_clicks) == ((1,), 1)
    desk.controller.command("accept")
    desk.settled(0)
    assert record.saved().ids == (1, 2)
    panel = next(p for p in desk.widget.panels if isinstance(p, FilesPanel))
    panel.write("save", tmp_path / "again")
    desk.until(lambda: not record.unsaved)
    assert read_prompts(file_names(tmp_path / "again")[0]).ids == (1, 2)
    desk.until(lambda: unsaved_work() == [])
    desk.widget.shut_down()
    assert unsaved_work() == []


def test_a_dock_that_is_opened_again_leaves_what_was_changed_meanwhile(
    desk: Any,
) -> None:
    labels = desk.labels
    desk.robot.click(desk.image, (60, 80))
    desk.settled(1)  # not accepted
    Answers(KEEP)
    QTest.mouseClick(dock_of(desk.widget).title.close_button, Qt.MouseButton.LeftButton)
    labels.data[labels.data == 2] = 0
    labels.data[0:20, 80:100] = 2  # another object has that id now
    labels.data[70:80, 0:10] = 3
    changed = labels.data.copy()
    other = desk.viewer.add_image(np.full((80, 100), 9, np.uint8), name="other")
    desk.widget = GPCISWidget(desk.viewer, lambda _: FakeSegmenter())
    desk.viewer.window.add_dock_widget(desk.widget, name="GPCIS")
    (offered,) = desk.widget.recovery.banner.found
    assert desk.controller.start(other, labels)  # the clicks are not of this one
    desk.until(lambda: desk.widget.session is not None)
    assert desk.widget.recovery.banner.found == [offered]
    assert not desk.controller.annotation.current.clicks
    assert desk.widget.recovery.autosaver.record.saved().ids == (1,)
    np.testing.assert_array_equal(labels.data, changed)
    desk.widget.shut_down()
    desk.widget = GPCISWidget(desk.viewer, lambda _: FakeSegmenter())
    desk.viewer.window.add_dock_widget(desk.widget, name="GPCIS")
    assert desk.controller.start(desk.image, labels)
    desk.until(lambda: desk.widget.session is not None)
    np.testing.assert_array_equal(labels.data, changed)
    desk.widget.shut_down()


def test_restore_goes_on_in_labels_that_are_still_there(desk: Any) -> None:
    labels = desk.labels
    desk.robot.click(desk.image, (60, 80))
    desk.settled(1)  # not accepted
    Answers(KEEP)
    QTest.mouseClick(dock_of(desk.widget).title.close_button, Qt.MouseButton.LeftButton)
    labels.data[70:80, 0:10] = 3  # by hand, while the dock is closed
    changed = labels.data.copy()
    desk.widget = GPCISWidget(desk.viewer, lambda _: FakeSegmenter())
    desk.viewer.window.add_dock_widget(desk.widget, name="GPCIS")
    banner = desk.widget.recovery.banner
    QTest.mouseClick(banner.restore, Qt.MouseButton.LeftButton)
    desk.until(lambda: desk.widget.session is not None)
    desk.settled(1)
    assert desk.labels is labels
    assert not banner.found
    np.testing.assert_array_equal(labels.data > 0, changed > 0)
    np.testing.assert_array_equal(labels.data == 3, changed == 3)
    assert desk.widget.recovery.autosaver.record.saved().unfinished_clicks == 1
    desk.widget.shut_down()
    (left,) = unsaved_work()
    np.testing.assert_array_equal(left.labels() == 3, changed == 3)


def test_what_the_user_keeps_is_kept_without_autosaving(
    open_desk: Callable[..., Any],
) -> None:
    PREFERENCES.autosave = False
    desk = open_desk(name="cells")
    desk.robot.click(desk.image, (30, 40))
    desk.settled(1)
    desk.until(lambda: desk.widget._guard is not None)
    shown, answers = desk.labels.data.copy(), Answers(KEEP)
    QTest.mouseClick(dock_of(desk.widget).title.close_button, Qt.MouseButton.LeftButton)
    assert len(answers.asked) == 1
    assert desk.widget._closed
    (left,) = unsaved_work()
    np.testing.assert_array_equal(left.labels(), shown)


def test_work_that_goes_on_after_it_was_discarded_is_kept(
    desk: Any, closings: list[bool]
) -> None:
    answers = Answers(DISCARD)
    close_by_menu(desk)  # and something else has kept the window open
    desk.robot.click(desk.image, (60, 70))
    desk.settled(1)
    desk.widget.shut_down()
    assert answers.asked
    assert len(unsaved_work()) == 1


def test_saving_in_the_question(
    desk: Any,
    closings: list[bool],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    shown = desk.labels.data.copy()
    names = ["", str(tmp_path / "work")]
    monkeypatch.setattr(
        QFileDialog, "getSaveFileName", lambda *_, **__: (names.pop(0), "")
    )
    answers = Answers(SAVE, SAVE)
    close_by_menu(desk)  # no name is given: it goes on
    assert closings == []
    close_by_menu(desk)
    assert closings == [False]
    assert len(answers.asked) == 2
    clicks, labels = file_names(tmp_path / "work")
    assert read_prompts(clicks).ids == (1,)
    np.testing.assert_array_equal(imread(labels), shown)
    desk.widget.shut_down()
    assert unsaved_work() == []


class ClosedByUser(QCloseEvent):
    """Event of the button of a window, which no function of Qt makes for a test."""

    def spontaneous(self) -> bool:
        return True


def close_by_button(desk: Any) -> None:
    window = desk.viewer.window._qt_window
    event = ClosedByUser()
    QApplication.sendEvent(window, event)
    QTest.qWait(50)  # what the event has put off


@pytest.fixture
def napari_asks(monkeypatch: pytest.MonkeyPatch) -> list[bool]:
    """Questions of napari, whether it quits; each is answered by Cancel."""
    from napari.settings import get_settings

    asked: list[bool] = []

    class Question:
        def __init__(self, _parent: Any, close_app: bool = False, **_: Any) -> None:
            asked.append(close_app)

        def exec_(self) -> QDialog.DialogCode:
            return QDialog.DialogCode.Rejected

    monkeypatch.setattr(get_settings().application, "confirm_close_window", True)
    monkeypatch.setattr("napari._qt.qt_main_window.ConfirmCloseDialog", Question)
    return asked


class KeptOpen(QObject):
    """Counts the times that a window would be closed, and keeps it open each time."""

    count = 0

    def eventFilter(self, _watched: QObject, event: QEvent) -> bool:
        closes = event.type() == QEvent.Type.Close and not event.spontaneous()
        if closes:
            self.count += 1
            event.ignore()
        return closes


@pytest.fixture
def window(desk: Any) -> Iterator[KeptOpen]:
    kept, window = KeptOpen(), desk.viewer.window._qt_window
    window.installEventFilter(kept)
    yield kept
    window.removeEventFilter(kept)


@pytest.mark.parametrize("close", [close_by_menu, close_by_button])
def test_whoever_has_answered_is_not_asked_by_napari(
    desk: Any, window: KeptOpen, napari_asks: list[bool], close: Callable[[Any], None]
) -> None:
    from napari.settings import get_settings

    answers = Answers(CANCEL, KEEP)
    close(desk)
    assert (len(answers.asked), window.count) == (1, 0)
    close(desk)
    assert (len(answers.asked), window.count) == (2, 1)
    assert napari_asks == []
    assert get_settings().application.confirm_close_window


@pytest.mark.parametrize("close", [close_by_menu, close_by_button])
def test_napari_asks_where_nothing_is_unsaved(
    desk: Any,
    window: KeptOpen,
    napari_asks: list[bool],
    close: Callable[[Any], None],
    tmp_path: Path,
) -> None:
    answers, panel = Answers(), panel_of(desk)
    panel.write("save", tmp_path / "work")
    desk.until(lambda: "Saved" in panel.message.text())
    for times in (1, 2):
        close(desk)
        assert napari_asks == [False] * times
    assert window.count == 0
    assert answers.asked == []


def test_of_two_widgets_one_asks_and_napari_does_not(
    desk: Any, window: KeptOpen, napari_asks: list[bool]
) -> None:
    widget = GPCISWidget(desk.viewer, lambda _: BrightSegmenter())
    desk.viewer.window.add_dock_widget(widget, name="second", tabify=False)
    desk.until(lambda: widget._guard is not None)
    answers = Answers(KEEP)
    close_by_button(desk)  # of the two only the first has work
    assert (len(answers.asked), window.count) == (1, 1)
    assert napari_asks == []
    widget.shut_down()


def test_the_last_key_asks_for_the_work_in_other_windows(
    desk: Any, open_desk: Callable[..., Any], closings: list[bool]
) -> None:
    """It closes all windows: each piece of work is asked for once, napari asks too."""
    other = open_desk(name="others", model=FakeSegmenter("b"))
    other.robot.click(other.image, (50, 60))
    other.settled(1)
    other.until(lambda: other.widget._guard is not None)
    window = desk.viewer.window._qt_window
    answers = Answers(KEEP, CANCEL, KEEP, KEEP)
    window.close(quit_app=True, confirm_need=True)
    assert closings == []
    window.close(quit_app=True, confirm_need=True)
    assert closings == [True]
    both = [answers.asked[:2], answers.asked[2:]]
    for asked in both:
        assert ["cells" in text for text in asked] == [True, False]
        assert ["others" in text for text in asked] == [False, True]
    window.close(quit_app=False, confirm_need=True)  # of its own work alone
    assert closings == [True]
    assert len(answers.asked) == 5


def test_a_file_that_cannot_be_written_is_told_on_every_page(
    desk: Any,
    closings: list[bool],
    errors: list[str],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    path = tmp_path / "missing" / "work"
    monkeypatch.setattr(
        QFileDialog, "getSaveFileName", lambda *_, **__: (str(path), "")
    )
    Answers(SAVE)
    close_by_menu(desk)
    assert closings == []
    clicks, labels = file_names(path)
    why = f"Neither {labels} nor {clicks} was written: No such file or directory."
    assert errors == [why]
    assert panel_of(desk).message.text() == why


def test_what_is_saved_is_not_asked_for(
    desk: Any, closings: list[bool], tmp_path: Path
) -> None:
    answers, panel = Answers(), panel_of(desk)
    panel.write("save", tmp_path / "work")
    desk.until(lambda: "Saved" in panel.message.text())
    close_by_menu(desk)
    assert closings == [True]
    assert answers.asked == []


def threads() -> list[str]:
    """Return the names of our threads."""
    names = [thread.name for thread in threading.enumerate()]
    return [name for name in names if name.startswith("napari-gpcis")]


def test_all_threads_end_with_the_window(desk: Any, tmp_path: Path) -> None:
    panel = panel_of(desk)
    panel.write("table", tmp_path / "work.csv")
    desk.until(lambda: "work.csv" in panel.message.text())
    assert {"napari-gpcis saving", "napari-gpcis inference"} <= {*threads()}
    desk.viewer.close()
    desk.until(lambda: not isalive(desk.widget))
    assert threads() == []


def run_of(desk: Any) -> Propagation:
    """Return what propagates objects."""
    panel = next(one for one in desk.widget.panels if isinstance(one, StackPanel))
    return panel.propagation


def run_in_part(desk: Any) -> int:
    """Propagate an object until a plane was found; return the number of planes."""
    propagation = run_of(desk)

    def hold() -> None:
        if propagation.found:
            desk.segmenter.gate.clear()

    desk.viewer.dims.set_current_step(0, MIDDLE)
    desk.until(lambda: desk.current.plane.steps[0] == MIDDLE)
    desk.settled(0)
    desk.robot.click(desk.image, (MIDDLE, 32, 32))
    desk.settled(1)
    propagation.changed.connect(hold)
    propagation.propagate([1])
    desk.until(lambda: propagation.found)
    before = None
    while before != (now := (len(propagation.found), len(desk.segmenter.runs))):
        before = now  # a plane may have been on its way
        desk.qtbot.wait(200)
    assert propagation.running
    return now[0]


@pytest.mark.parametrize("what", ["viewer", "dock"])
def test_planes_of_a_run_that_goes_on_are_kept_when_a_script_closes(
    open_desk: Callable[..., Any], what: str
) -> None:
    desk = open_desk(BALL, BrightSegmenter(), name="cells")
    count, queue = run_in_part(desk), desk.controller.worker._queue
    if what == "viewer":
        desk.viewer.close()
    else:
        desk.viewer.window.remove_dock_widget(desk.widget)
    desk.segmenter.gate.set()  # what is computed on the thread ends now
    desk.until(lambda: not queue.alive)
    desk.until(unsaved_work)
    (left,) = unsaved_work()
    wanted = np.zeros_like(TRUTH)
    wanted[MIDDLE : MIDDLE + 1 + count] = TRUTH[MIDDLE : MIDDLE + 1 + count]
    assert 1 <= count < 3
    np.testing.assert_array_equal(left.labels() == 1, wanted)
    assert len(left.saved.planes) == 1 + count


@pytest.mark.parametrize(("button", "left"), [(KEEP, 1), (DISCARD, 0)])
def test_planes_of_a_run_belong_to_what_is_asked_about(
    open_desk: Callable[..., Any], button: Any, left: int
) -> None:
    desk = open_desk(BALL, BrightSegmenter(), name="cells")
    desk.until(lambda: desk.widget._guard is not None)
    count, answers = run_in_part(desk), Answers(button)
    QTest.mouseClick(dock_of(desk.widget).title.close_button, Qt.MouseButton.LeftButton)
    desk.segmenter.gate.set()
    assert len(answers.asked) == 1
    assert len(unsaved_work()) == left
    for one in unsaved_work():
        assert (one.labels() == 1).any(axis=(1, 2)).sum() == 1 + count


def test_a_run_goes_on_when_the_question_is_cancelled(
    open_desk: Callable[..., Any],
) -> None:
    desk = open_desk(BALL, BrightSegmenter(), name="cells")
    desk.until(lambda: desk.widget._guard is not None)
    count, answers = run_in_part(desk), Answers(CANCEL)
    propagation = run_of(desk)
    QTest.mouseClick(dock_of(desk.widget).title.close_button, Qt.MouseButton.LeftButton)
    assert len(answers.asked) == 1
    assert propagation.running
    propagation.changed.disconnect()  # it is held no more
    desk.segmenter.gate.set()
    desk.until(lambda: not propagation.running)
    assert len(propagation.found) > count
    planes = np.flatnonzero((desk.labels.data == 1).any(axis=(1, 2)))
    np.testing.assert_array_equal(
        planes, np.flatnonzero(TRUTH[MIDDLE:].any(axis=(1, 2))) + MIDDLE
    )


def test_a_run_of_a_saved_object_is_asked_about(
    open_desk: Callable[..., Any], tmp_path: Path
) -> None:
    desk = open_desk(BALL, BrightSegmenter(), name="cells")
    desk.until(lambda: desk.widget._guard is not None)
    count, panel = run_in_part(desk), panel_of(desk)
    panel.write("save", tmp_path / "work")
    desk.until(lambda: not panel.saver.busy)
    answers = Answers(KEEP)
    QTest.mouseClick(dock_of(desk.widget).title.close_button, Qt.MouseButton.LeftButton)
    desk.segmenter.gate.set()
    assert len(answers.asked) == 1
    (left,) = unsaved_work()
    assert (left.labels() == 1).any(axis=(1, 2)).sum() == 1 + count


def test_a_run_is_saved_whole_in_the_question(
    open_desk: Callable[..., Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    desk = open_desk(BALL, BrightSegmenter(), name="cells")
    desk.until(lambda: desk.widget._guard is not None)
    count, answers = run_in_part(desk), Answers(SAVE, SAVE)
    names = ["", str(tmp_path / "work")]
    monkeypatch.setattr(
        QFileDialog, "getSaveFileName", lambda *_, **__: (names.pop(0), "")
    )
    button, propagation = dock_of(desk.widget).title.close_button, run_of(desk)
    QTest.mouseClick(button, Qt.MouseButton.LeftButton)
    assert propagation.running  # no name was given
    QTest.mouseClick(button, Qt.MouseButton.LeftButton)
    desk.segmenter.gate.set()
    assert len(answers.asked) == 2
    assert desk.widget._closed
    assert unsaved_work() == []
    saved = imread(file_names(tmp_path / "work")[1])
    assert (saved == 1).any(axis=(1, 2)).sum() == 1 + count


def test_nothing_is_discarded_before_all_is_answered(desk: Any) -> None:
    desk.widget.labels_combo.layer = None
    desk.widget.labels_combo.picked.emit()
    desk.until(lambda: desk.widget.session is not None)
    desk.robot.click(desk.image, (60, 40))
    desk.settled(1)
    answers = Answers(DISCARD, CANCEL, DISCARD, KEEP)
    button = dock_of(desk.widget).title.close_button
    QTest.mouseClick(button, Qt.MouseButton.LeftButton)
    assert len(answers.asked) == 2
    QTest.mouseClick(button, Qt.MouseButton.LeftButton)
    assert len(answers.asked) == 4
    assert len(unsaved_work()) == 1


@pytest.mark.parametrize("removed", [False, True])
def test_each_of_several_layers_is_named_and_saved(
    desk: Any,
    closings: list[bool],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    removed: bool,
) -> None:
    """Also one that was removed, with an object that was being clicked."""
    first, pixels = desk.labels, np.array(desk.labels.data)
    if removed:
        desk.robot.click(desk.image, (60, 80))
        desk.settled(1)
        desk.viewer.layers.remove(first)
        assert desk.widget.start()
    else:
        desk.widget.labels_combo.layer = None
        desk.widget.labels_combo.picked.emit()
    desk.until(lambda: desk.widget.session is not None)
    desk.robot.click(desk.image, (60, 40))
    desk.settled(1)
    desk.controller.command("accept")
    desk.settled(0)
    second = desk.labels
    records = desk.widget.recovery.autosaver.unsaved
    if removed:
        desk.until(lambda: records[0].released)
    where = [LAYER.format(one.name) for one in (first, second)]
    if removed:
        where[0] = REMOVED_LAYER.format(first.name)
    proposed: list[str] = []

    def dialog(_parent: Any, _title: str, name: str, **_: Any) -> tuple[str, str]:
        proposed.append(name)
        return str(tmp_path / f"{len(proposed)}"), ""

    monkeypatch.setattr(QFileDialog, "getSaveFileName", dialog)
    answers = Answers(SAVE, SAVE)
    close_by_menu(desk)
    amounts = ["1 object, 1 further click" if removed else "1 object", "1 object"]
    assert answers.asked == [
        QUESTION_IN.format("cells", *one) for one in zip(where, amounts, strict=True)
    ]
    assert proposed[0] == "cells-cells_objects.clicks.json"
    assert closings == [False]  # napari does not ask as well
    assert not desk.widget.recovery.unsaved
    assert records[0].released is removed
    for number, labels in (("1", pixels), ("2", second.data)):
        clicks, file = file_names(tmp_path / number)
        np.testing.assert_array_equal(imread(file), labels)
        assert read_prompts(clicks).ids == (1,)
    assert read_prompts(file_names(tmp_path / "1")[0]).unfinished_clicks == removed


# Save dialogs -------------------------------------------------------------------------


FILES = (
    ("save", "work", ["work.clicks.json"]),
    ("save", "work.CLICKS.json", ["work.labels.tif"]),
    ("save", "work.labels.tif", ["work.clicks.json", "work.labels.tif"]),
    ("labels", "work", ["work.ome.tif"]),
    ("labels", "work.tiff", ["work.tiff"]),
    ("table", "work", ["work.csv"]),
    ("table", "work.v2", ["work.v2.csv"]),
    ("coco", "work", ["work.coco.json"]),
)


def test_no_file_is_replaced_unasked(
    desk: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    kinds, panel = QMessageBox.StandardButton, panel_of(desk)
    for number, (yes, (button, typed, there)) in enumerate(
        product((False, True), FILES)
    ):
        folder = tmp_path / str(number)
        folder.mkdir()
        for name in there:
            (folder / name).write_text("precious")
        answers = Answers(kinds.Yes if yes else kinds.No)
        monkeypatch.setattr(
            QFileDialog,
            "getSaveFileName",
            lambda *_, path=folder / typed, **__: (str(path), ""),
        )
        panel.buttons[button].click()
        desk.until(lambda: not panel.saver.busy)
        answers.end()
        (text,) = answers.asked
        for name in there:
            assert str(folder / name) in text
            kept = (folder / name).read_bytes() == b"precious"
            assert kept is not yes, typed
        assert len(list(folder.glob("work*"))) == (
            2 if yes and button == "save" else len(there)
        )
        if yes:
            path = str(folder / there[0])
            desk.until(lambda path=path: path in panel.message.text())


def test_dialogs_begin_in_the_folder_of_the_image(
    open_desk: Callable[..., Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from napari.layers._source import Source

    desk = open_desk(name="cells")
    desk.image._source = Source(path=str(tmp_path / "images" / "cells.tif"))
    (tmp_path / "images").mkdir()
    (tmp_path / "other").mkdir()
    asked: list[str] = []
    answers = ["", str(tmp_path / "other" / "a"), ""]

    def dialog(_parent: Any, _title: str, proposed: str, **_: Any) -> tuple[str, str]:
        asked.append(proposed)
        return answers.pop(0), ""

    monkeypatch.setattr(QFileDialog, "getSaveFileName", dialog)
    panel = panel_of(desk)
    for button in ("save", "table", "coco"):
        panel.buttons[button].click()
    assert asked == [
        str(tmp_path / "images" / "cells.clicks.json"),
        str(tmp_path / "images" / "cells.csv"),
        str(tmp_path / "other" / "cells.coco.json"),
    ]
    desk.until(lambda: not panel.saver.busy)
    assert (tmp_path / "other" / "a.csv").is_file()


@pytest.mark.parametrize(
    ("layer", "name"),
    [
        ("cells", "cells"),
        ("cells.TIF", "cells"),
        ("nuclei.v2", "nuclei.v2"),
        ("day 1.5 um", "day 1.5 um"),
        ("a/b.png", "b"),
        ("", "objects"),
    ],
)
def test_files_are_named_as_their_layer(layer: str, name: str) -> None:
    assert base_name(layer) == name
