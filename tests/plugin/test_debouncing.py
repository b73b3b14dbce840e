"""A debouncer calls its slot once for many requests."""

from typing import Any

from napari_gpcis.plugin.debouncing import Debouncer


def test_many_requests_are_one_call(qtbot: Any) -> None:
    calls: list[bool] = []
    debouncer = Debouncer(lambda: calls.append(debouncer.pending))
    assert not debouncer.pending
    for _ in range(3):
        debouncer.throttle()
    assert debouncer.pending
    assert not calls
    qtbot.waitUntil(lambda: bool(calls))
    qtbot.wait(20)
    assert calls == [False]  # no longer pending within the call


def test_a_pending_call_can_be_made_now_or_given_up(qtbot: Any) -> None:
    calls: list[int] = []
    debouncer = Debouncer(lambda: calls.append(1))
    debouncer.flush()
    assert not calls
    debouncer.throttle()
    debouncer.flush()
    assert (calls, debouncer.pending) == ([1], False)
    debouncer.throttle()
    debouncer.cancel()
    assert not debouncer.pending
    qtbot.wait(20)
    assert calls == [1]


def test_a_request_within_the_call_is_not_lost(qtbot: Any) -> None:
    calls: list[int] = []

    def slot() -> None:
        calls.append(1)
        if len(calls) < 3:
            debouncer.throttle()

    debouncer = Debouncer(slot)
    debouncer.throttle()
    debouncer.flush()
    assert len(calls) == 1
    qtbot.waitUntil(lambda: len(calls) == 3)
