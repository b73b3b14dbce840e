"""Tools follow one annotation after the other, and let go of each."""

from __future__ import annotations

import gc
import threading
from typing import Any
from weakref import ref

import numpy as np
import pytest

from napari_gpcis.plugin.tools.base import Tool


class Watch(Tool):
    """Notes what it hears of."""

    def __init__(self, controller: Any) -> None:
        super().__init__(controller)
        self.heard: list[Any] = []

    def on_attached(self, annotation: Any) -> None:
        self.heard.append("attached")
        self.follow(annotation.events.plane_entered, self._on_plane)

    def on_detached(self, annotation: Any) -> None:
        assert self.annotation is None
        assert not annotation.worker.busy(self.key)
        self.heard.append("detached")

    def _on_plane(self) -> None:
        self.heard.append("plane")

    def take(self, value: Any, _seconds: float) -> None:
        self.heard.append(value)


@pytest.fixture
def watch(bench: Any) -> Watch:
    return Watch(bench.controller)


def test_a_tool_is_attached_at_start_and_detached_at_stop(
    bench: Any, watch: Watch
) -> None:
    assert watch.annotation is None
    assert watch.current is None
    bench.start()
    assert watch.annotation is bench.controller.annotation
    assert watch.current is bench.current
    bench.controller.stop()
    assert watch.annotation is None
    assert watch.heard == ["attached", "plane", "detached"]
    watch.detach()
    assert watch.heard[-2:] == ["plane", "detached"]


def test_connections_end_by_themselves(bench: Any, watch: Watch) -> None:
    bench.start()
    first = bench.controller.annotation
    watch.detach()
    first.events.plane_entered.emit()
    assert watch.heard == ["attached", "plane", "detached"]
    watch.attach(first)
    watch.attach(first)  # the connections of before have ended
    watch.heard.clear()
    first.events.plane_entered.emit()
    assert watch.heard == ["plane"]


def test_another_image_is_followed(bench: Any, watch: Watch) -> None:
    bench.start()
    first = bench.controller.annotation
    bench.start(np.zeros((60, 60), np.uint8))
    assert watch.annotation is bench.controller.annotation
    assert watch.annotation is not first
    assert watch.heard == ["attached", "plane", "detached", "attached", "plane"]


def test_what_was_asked_for_is_given_up_with_the_annotation(
    bench: Any, watch: Watch
) -> None:
    gate, entered, told = threading.Event(), threading.Event(), []

    def job(cancelled: Any) -> str:
        entered.set()
        assert gate.wait(20)
        told.append(cancelled())
        return "late"

    watch.ask(job, watch.take)  # nothing is asked for before the start
    bench.start()
    watch.heard.clear()
    watch.ask(job, watch.take)
    assert bench.controller.worker.busy(watch.key)
    assert entered.wait(20)
    watch.detach()
    gate.set()
    bench.until(lambda: told)
    bench.qtbot.wait(20)
    assert told == [True]
    assert watch.heard == ["detached"]


def test_an_answer_comes_to_the_tool_that_asked(bench: Any, watch: Watch) -> None:
    other = Watch(bench.controller)
    bench.start()
    watch.heard.clear()
    other.heard.clear()
    watch.ask(lambda cancelled: "answer", watch.take)
    bench.until(lambda: watch.heard)
    assert (watch.heard, other.heard) == (["answer"], [])


def test_a_tool_keeps_no_annotation_alive(bench: Any, watch: Watch) -> None:
    bench.start()
    known = ref(bench.controller.annotation)
    bench.controller.stop()
    bench.viewer.layers.clear()
    bench.until(lambda: gc.collect() >= 0 and known() is None)
    assert watch.heard[-1] == "detached"


def test_a_tool_speaks_in_the_status_line(bench: Any, watch: Watch) -> None:
    watch.say("nobody hears it")
    bench.start()
    watch.say("Look here.")
    assert bench.controller.status.startswith("Look here.")
