"""Background threads: latest wins, answers come to who asked, errors kill nothing."""

from __future__ import annotations

import gc
import subprocess
import sys
import threading
from functools import partial
from typing import TYPE_CHECKING, Any
from weakref import ref

import pytest
from qtpy.QtCore import QEvent, QObject
from qtpy.QtWidgets import QApplication

from napari_gpcis.plugin.background import BackgroundThread, LatestWins

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from napari_gpcis.plugin.background import Answer

WAIT = 10


class Desk:
    """A queue whose answers are collected."""

    def __init__(self) -> None:
        self.answers: list[Answer] = []
        self.arrived = threading.Semaphore(0)
        self.queue = LatestWins(self._deliver)

    def _deliver(self, answer: Answer) -> None:
        self.answers.append(answer)
        self.arrived.release()

    def wait(self) -> Answer:
        assert self.arrived.acquire(timeout=WAIT)
        return self.answers[-1]


@pytest.fixture
def desk() -> Iterator[Desk]:
    desk = Desk()
    yield desk
    assert desk.queue.close()


def gated(
    gate: threading.Event, entered: threading.Event, value: Any
) -> Callable[[Callable[[], bool]], Any]:
    """Work that waits for a gate and returns whether it was cancelled."""

    def work(cancelled: Callable[[], bool]) -> Any:
        entered.set()
        assert gate.wait(WAIT)
        return value, cancelled()

    return work


def test_work_runs_on_one_other_thread(desk: Desk) -> None:
    found = set()
    for _ in range(3):
        desk.queue.submit("a", lambda cancelled: threading.get_ident())
        found.add(desk.wait().value)
    assert len(found) == 1
    assert threading.get_ident() not in found


def test_an_error_is_an_answer_and_the_thread_goes_on(desk: Desk) -> None:
    desk.queue.submit("a", lambda cancelled: 1 // 0)
    answer = desk.wait()
    assert isinstance(answer.error, ZeroDivisionError)
    assert answer.value is None
    desk.queue.submit("a", lambda cancelled: 7)
    assert desk.wait().value == 7


def test_only_the_latest_of_a_key_is_answered(desk: Desk) -> None:
    gate, entered = threading.Event(), threading.Event()
    desk.queue.submit("a", gated(gate, entered, "old"))
    assert entered.wait(WAIT)
    ran = []
    desk.queue.submit("a", lambda cancelled: ran.append("middle"))
    desk.queue.submit("a", lambda cancelled: "new")
    gate.set()
    assert desk.wait().value == "new"
    assert [answer.value for answer in desk.answers] == ["new"]
    assert ran == []


def test_a_program_that_ends_while_pytorch_computes_ends_well() -> None:
    code = """
import threading

import torch

from napari_gpcis.plugin.background import LatestWins

begun = threading.Event()


def compute(cancelled):
    begun.set()
    layer = torch.nn.Conv2d(32, 32, 3)
    image = torch.rand(4, 32, 96, 96)
    while not cancelled():
        layer(image)


queue = LatestWins(print)
queue.submit("long", compute)
assert begun.wait(60)
"""
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=120
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


def test_running_work_is_told_that_it_is_not_wanted(desk: Desk) -> None:
    gate, entered = threading.Event(), threading.Event()
    told = []
    work = gated(gate, entered, "old")
    desk.queue.submit("a", lambda cancelled: told.append(work(cancelled)))
    assert entered.wait(WAIT)
    desk.queue.cancel("a")
    desk.queue.submit("b", lambda cancelled: "other")
    gate.set()
    assert desk.wait().key == "b"
    assert told == [("old", True)]
    assert not desk.queue.busy("a")


def test_other_keys_wait_in_turn(desk: Desk) -> None:
    gate, entered = threading.Event(), threading.Event()
    desk.queue.submit("a", gated(gate, entered, 1))
    assert entered.wait(WAIT)
    desk.queue.submit("b", lambda cancelled: 2)
    desk.queue.submit("c", lambda cancelled: 3)
    gate.set()
    for _ in range(3):
        desk.wait()
    assert [answer.key for answer in desk.answers] == ["a", "b", "c"]


def test_an_answer_can_become_stale_on_its_way(desk: Desk) -> None:
    desk.queue.submit("a", lambda cancelled: 1)
    answer = desk.wait()
    assert desk.queue.busy("a")
    desk.queue.submit("a", lambda cancelled: 2)
    assert not desk.queue.forget(answer)
    assert desk.queue.forget(desk.wait())
    assert not desk.queue.busy("a")


def test_close_while_busy_ends_the_thread_without_an_answer(desk: Desk) -> None:
    entered = threading.Event()

    def work(cancelled: Callable[[], bool]) -> None:
        entered.set()
        while not cancelled():
            threading.Event().wait(0.001)

    desk.queue.submit("a", work)
    assert entered.wait(WAIT)
    assert desk.queue.alive
    assert desk.queue.close()
    assert not desk.queue.alive
    assert desk.answers == []


def test_a_thread_ends_when_qt_deletes_its_owner(qtbot: Any) -> None:
    owner = QObject()
    thread = BackgroundThread(owner)
    thread.submit("a", lambda cancelled: None)
    assert thread.alive
    owner.deleteLater()
    QApplication.sendPostedEvents(owner, QEvent.Type.DeferredDelete)
    assert not thread.alive


class Asker:
    """Asks a thread, and notes what it gets and where."""

    def __init__(self, thread: BackgroundThread) -> None:
        self.thread = thread
        self.got: list[Any] = []
        self.errors: list[Exception] = []
        self.threads: set[int] = set()

    def ask(self, key: str, job: Callable[[Callable[[], bool]], Any]) -> None:
        self.thread.submit(key, job, self.take, self.fail)

    def take(self, value: Any, seconds: float) -> None:
        assert seconds >= 0
        self.got.append(value)
        self.threads.add(threading.get_ident())

    def fail(self, error: Exception) -> None:
        self.errors.append(error)
        self.threads.add(threading.get_ident())


class Window(Asker, QObject):
    """The same, as an object of Qt."""

    def __init__(self, thread: BackgroundThread) -> None:
        QObject.__init__(self)
        Asker.__init__(self, thread)


@pytest.fixture
def background(qapp: Any) -> Iterator[BackgroundThread]:
    thread = BackgroundThread()
    yield thread
    assert thread.close()


@pytest.fixture
def asker(background: BackgroundThread) -> Asker:
    return Asker(background)


def raises(_cancelled: Callable[[], bool]) -> None:
    raise ZeroDivisionError


def until(qtbot: Any, condition: Callable[[], object]) -> None:
    qtbot.waitUntil(lambda: bool(condition()), timeout=WAIT * 1000)


def pass_by(qtbot: Any, thread: BackgroundThread) -> None:
    """Wait until a job that is asked for now is answered."""
    later = Asker(thread)
    later.ask("later", lambda cancelled: "later")
    until(qtbot, lambda: later.got)


def test_answers_come_to_who_asked_in_the_gui_thread(qtbot: Any, asker: Asker) -> None:
    other = Asker(asker.thread)
    asker.ask("a", lambda cancelled: "mine")
    other.ask("b", lambda cancelled: "other")
    assert asker.thread.any_busy
    until(qtbot, lambda: other.got)
    assert (asker.got, other.got) == (["mine"], ["other"])
    assert asker.threads == other.threads == {threading.get_ident()}
    assert not asker.thread.busy("a")
    assert not asker.thread.any_busy


def test_the_latest_who_asks_under_a_key_is_answered(qtbot: Any, asker: Asker) -> None:
    gate, entered = threading.Event(), threading.Event()
    asker.ask("a", gated(gate, entered, "first"))
    assert entered.wait(WAIT)
    later = Asker(asker.thread)
    later.ask("a", lambda cancelled: "second")
    gate.set()
    until(qtbot, lambda: later.got)
    assert later.got == ["second"]
    assert asker.got == []


def test_who_asks_again_when_answered_is_answered_again(
    qtbot: Any, background: BackgroundThread
) -> None:
    got = []

    def take(value: int, _seconds: float) -> None:
        assert not background.busy("a")
        got.append(value)
        if value < 3:
            background.submit("a", lambda cancelled: value + 1, take)

    background.submit("a", lambda cancelled: 1, take)
    until(qtbot, lambda: len(got) == 3)
    assert got == [1, 2, 3]


def test_an_error_comes_to_who_asked(qtbot: Any, asker: Asker) -> None:
    asker.ask("a", raises)
    until(qtbot, lambda: asker.errors)
    assert isinstance(asker.errors[0], ZeroDivisionError)
    assert asker.got == []
    assert asker.threads == {threading.get_ident()}


def test_an_error_that_nobody_wants_to_hear_is_reported(qtbot: Any) -> None:
    reported: list[Exception] = []
    thread = BackgroundThread(on_error=reported.append)
    asker = Asker(thread)
    thread.submit("a", raises, asker.take)
    until(qtbot, lambda: reported)
    asker.ask("a", raises)
    until(qtbot, lambda: asker.errors)
    assert len(reported) == 1
    thread.report(asker.errors[0])
    assert reported[1:] == asker.errors
    assert asker.got == []
    assert thread.close()


def test_an_error_may_be_nobodys(qtbot: Any, background: BackgroundThread) -> None:
    background.submit("a", raises)
    pass_by(qtbot, background)
    assert not background.busy("a")


@pytest.mark.parametrize("bound", [False, True])
@pytest.mark.parametrize("job", [lambda cancelled: "late", raises])
def test_who_asked_is_not_kept_and_gets_nothing_when_gone(
    qtbot: Any, background: BackgroundThread, bound: bool, job: Any
) -> None:
    gate, entered = threading.Event(), threading.Event()
    background.submit("first", gated(gate, entered, None))
    assert entered.wait(WAIT)
    asker = Asker(background)
    got = asker.got
    take, fail = asker.take, asker.fail
    if bound:
        background.submit("a", job, partial(take), partial(fail))
    else:
        background.submit("a", job, take, fail)
    weak = ref(asker)
    del asker, take, fail
    gc.collect()
    assert weak() is None
    gate.set()
    pass_by(qtbot, background)
    assert got == []


def test_what_qt_has_deleted_gets_no_answer(
    qtbot: Any, background: BackgroundThread
) -> None:
    gate, entered = threading.Event(), threading.Event()
    window = Window(background)
    window.ask("a", gated(gate, entered, "late"))
    assert entered.wait(WAIT)
    window.deleteLater()
    QApplication.sendPostedEvents(None, QEvent.Type.DeferredDelete)
    gate.set()
    pass_by(qtbot, background)
    assert window.got == []


def test_arguments_of_a_partial_come_first(
    qtbot: Any, background: BackgroundThread
) -> None:
    got: list[Any] = []

    class Filing:
        def file(self, *values: Any) -> None:
            got.append(values)

    filing = Filing()
    background.submit("a", lambda cancelled: 7, partial(filing.file, "place"))
    until(qtbot, lambda: got)
    assert got[0][:2] == ("place", 7)


def test_a_thread_is_named_by_its_use(qtbot: Any) -> None:
    names = []
    for thread in (BackgroundThread(), BackgroundThread(use="saving")):
        asker = Asker(thread)
        asker.ask("a", lambda cancelled: threading.current_thread().name)
        until(qtbot, lambda asker=asker: asker.got)
        names += asker.got
        assert thread.close()
    assert names == ["napari-gpcis inference", "napari-gpcis saving"]


def test_a_cancelled_answer_is_not_delivered(qtbot: Any, asker: Asker) -> None:
    done = threading.Event()
    asker.ask("a", lambda cancelled: done.set())
    assert done.wait(WAIT)  # the answer may be on its way already
    asker.thread.cancel("a")
    asker.ask("b", lambda cancelled: "b")
    until(qtbot, lambda: asker.got)
    assert asker.got == ["b"]


def test_a_closed_thread_answers_nobody(qtbot: Any) -> None:
    thread = BackgroundThread()
    asker = Asker(thread)
    done = threading.Event()
    asker.ask("a", lambda cancelled: done.set())
    assert done.wait(WAIT)
    assert thread.close()
    qtbot.wait(50)
    assert asker.got == []
