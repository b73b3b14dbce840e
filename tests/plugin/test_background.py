"""The inference thread: latest wins, stale answers go, errors do not kill it."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Any

import pytest

from napari_gpcis.plugin.background import InferenceThread, LatestWins

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


def test_answers_reach_the_gui_thread_as_a_signal(qtbot: Any) -> None:
    thread = InferenceThread()
    seen = []
    thread.answered.connect(
        lambda answer: seen.append((answer.value, threading.get_ident()))
    )
    with qtbot.waitSignal(thread.answered, timeout=WAIT * 1000):
        thread.submit("a", lambda cancelled: "done")
    assert seen == [("done", threading.get_ident())]
    assert not thread.busy("a")
    assert thread.close()


def test_a_thread_is_named_by_its_use(qtbot: Any) -> None:
    names = []
    for threads in (InferenceThread(), InferenceThread(use="saving")):
        threads.answered.connect(lambda answer: names.append(answer.value))
        with qtbot.waitSignal(threads.answered, timeout=WAIT * 1000):
            threads.submit("a", lambda cancelled: threading.current_thread().name)
        assert threads.close()
    assert names == ["napari-gpcis inference", "napari-gpcis saving"]


def test_a_cancelled_answer_makes_no_signal(qtbot: Any) -> None:
    thread = InferenceThread()
    seen: list[Any] = []
    thread.answered.connect(lambda answer: seen.append(answer.value))
    done = threading.Event()
    thread.submit("a", lambda cancelled: done.set())
    assert done.wait(WAIT)  # the answer may be on its way already
    thread.cancel("a")
    with qtbot.waitSignal(thread.answered, timeout=WAIT * 1000):
        thread.submit("b", lambda cancelled: "b")
    assert seen == ["b"]
    assert thread.close()
