"""The time of a click: from the press of the mouse to the frame with its mask."""

from __future__ import annotations

import threading
from time import perf_counter
from typing import Any

import numpy as np
import pytest
from qtpy.QtCore import Qt
from qtpy.QtOpenGLWidgets import QOpenGLWidget
from qtpy.QtTest import QTest

from _fake_segmenter import FakeSegmenter
from napari_gpcis.plugin import background
from napari_gpcis.plugin.annotation.controller import Controller
from napari_gpcis.plugin.background import BackgroundThread
from napari_gpcis.plugin.debouncing import Debouncer
from napari_gpcis.plugin.dock.base import dock_of
from napari_gpcis.plugin.viewer.frames import canvases_around

HELD = 300
"""Milliseconds for which the mouse button is held down."""


def press(desk: Any, place: tuple[int, int]) -> tuple[Any, Any]:
    """Press the left button there; return the canvas and the place on it."""
    canvas = desk.viewer.window._qt_viewer.canvas.native
    where = desk.robot.position(desk.image, place)
    QTest.mouseMove(canvas, where)
    QTest.mousePress(canvas, Qt.MouseButton.LeftButton, pos=where)
    return canvas, where


def test_the_time_is_that_from_the_press_to_the_frame_with_the_mask(
    open_desk: Any,
) -> None:
    desk = open_desk()
    seen: list[tuple[float, bool]] = []
    (canvas,) = desk.widget.window().findChildren(QOpenGLWidget)
    desk.segmenter.gate.clear()
    begin = perf_counter()
    _, where = press(desk, (30, 40))
    pressed = perf_counter()
    desk.qtbot.wait(HELD)
    held = perf_counter() - pressed
    QTest.mouseRelease(canvas, Qt.MouseButton.LeftButton, pos=where)
    desk.until(lambda: desk.segmenter.runs)
    assert desk.widget.status.text() == "1 click \u00b7 computing ..."
    canvas.frameSwapped.connect(
        lambda: seen.append((perf_counter(), bool(desk.labels.data.any())))
    )
    desk.segmenter.gate.set()
    desk.until(lambda: desk.current.seconds is not None)
    frames = [when for when, drawn in seen if drawn]
    assert len(frames) >= 1
    took = desk.current.seconds
    assert held < took < perf_counter() - begin
    assert took == pytest.approx(frames[0] - begin, abs=0.1)
    words = f" \u00b7 {took * 1000:.0f} ms" if took < 1 else f" \u00b7 {took:.1f} s"
    assert desk.widget.status.text().endswith(words)


def test_a_mask_that_changes_nothing_has_a_time_too(open_desk: Any) -> None:
    """Nothing would be drawn anew then."""
    desk = open_desk()
    for count, place in enumerate([(30, 40), (30, 40)], start=1):
        desk.robot.click(desk.image, place)
        desk.settled(count)
        desk.until(lambda: desk.current.seconds is not None)
    assert " ms" in desk.widget.status.text() or " s" in desk.widget.status.text()


def test_a_dock_that_floats_knows_the_canvas(open_desk: Any) -> None:
    """It is a window of its own; that of the canvas is the one around it."""
    desk = open_desk()
    dock = dock_of(desk.widget)
    assert dock is not None
    dock.setFloating(True)
    desk.until(lambda: desk.widget.window() is dock)
    (canvas,) = canvases_around(desk.widget)
    desk.segmenter.gate.clear()
    desk.robot.click(desk.image, (30, 40))
    unseen: list[bool] = []
    desk.controller.current_changed.connect(lambda: unseen.append(desk.current.unseen))
    desk.segmenter.gate.set()
    desk.until(lambda: desk.current.seconds is not None)
    assert unseen[-1]  # the frame of the canvas was waited for
    assert canvas.window() is not dock


def test_an_accepted_object_leaves_no_time_to_the_next(open_desk: Any) -> None:
    desk = open_desk()
    desk.segmenter.gate.clear()
    desk.robot.click(desk.image, (30, 40))
    desk.until(lambda: desk.segmenter.runs)
    desk.controller.command("accept")
    desk.segmenter.gate.set()
    desk.until(lambda: desk.labels.data.any() and not desk.current.accepting)
    desk.qtbot.wait(100)
    assert desk.current.seconds is None
    assert not desk.current.unseen
    assert desk.widget.status.text().startswith("Object 1 is done.")


def test_a_click_while_the_plane_is_opened_counts_from_its_press(bench: Any) -> None:
    """Without a window the time ends with the mask in the layer."""
    opens = threading.Event()
    prepare = bench.segmenter.prepare

    def wait(*values: Any, **options: Any) -> Any:
        assert opens.wait(60)
        return prepare(*values, **options)

    bench.segmenter.prepare = wait
    image = bench.viewer.add_image(np.zeros((80, 100), np.uint8))
    assert bench.controller.start(image)
    begin = perf_counter()
    bench.positive.add([30, 40])
    added = perf_counter()
    bench.qtbot.wait(HELD)
    held = perf_counter() - added
    opens.set()
    bench.settled(1)
    assert held < bench.current.seconds < perf_counter() - begin
    bench.current.set_threshold(0.6)  # nothing is computed
    bench.until(lambda: not bench.current.busy)
    assert bench.current.seconds is None


def test_the_click_is_asked_for_before_anything_is_painted(open_desk: Any) -> None:
    desk = open_desk()
    frames: list[int] = []
    (canvas,) = desk.widget.window().findChildren(QOpenGLWidget)
    desk.robot.move(desk.image, (30, 40))
    desk.qtbot.wait(200)
    canvas.frameSwapped.connect(lambda: frames.append(len(desk.segmenter.runs)))
    desk.segmenter.gate.clear()
    desk.robot.click(desk.image, (30, 40))
    before = len(frames)
    desk.until(lambda: desk.segmenter.runs)
    assert 0 not in frames[before:]
    desk.segmenter.gate.set()
    desk.settled(1)


def test_the_mask_is_asked_for_before_a_point_changes_its_layer(
    open_desk: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A right click is first a point of the other layer."""
    desk = open_desk()
    desk.robot.click(desk.image, (30, 40))
    desk.settled(1)
    order: list[str] = []
    submit = desk.controller.worker.submit

    def asked(key: Any, *values: Any, **options: Any) -> None:
        if key == desk.current.key:
            order.append("asked")
        submit(key, *values, **options)

    monkeypatch.setattr(desk.controller.worker, "submit", asked)
    desk.negative.events.data.connect(lambda _: order.append("moved"))
    desk.robot.click(desk.image, (30, 46), Qt.MouseButton.RightButton)
    desk.settled(2)
    assert order[0] == "asked"
    assert "moved" in order
    assert [click.positive for click in desk.current.clicks] == [True, False]
    np.testing.assert_allclose(desk.negative.data, [[30, 46]], atol=1)
    np.testing.assert_allclose(desk.positive.data, [[30, 40]], atol=1)


def test_a_debouncer_calls_once_before_painting(qtbot: Any) -> None:
    calls: list[int] = []
    debouncer = Debouncer(lambda: calls.append(1))
    for _ in range(3):
        debouncer.throttle(before_painting=True)
    assert debouncer.pending
    qtbot.waitUntil(lambda: bool(calls))
    assert not debouncer.pending
    qtbot.wait(20)
    debouncer.throttle(before_painting=True)
    debouncer.cancel()
    qtbot.wait(20)
    assert calls == [1]


# The spinner ----------------------------------------------------------------------


@pytest.fixture
def soon(monkeypatch: pytest.MonkeyPatch) -> None:
    """Answers are late at once."""
    monkeypatch.setattr(background, "LATE", 10)


@pytest.mark.usefixtures("soon")
def test_a_spinner_shows_that_an_answer_is_late(
    open_desk: Any, errors: list[str]
) -> None:
    desk = open_desk()
    spinner = desk.widget.spinner
    for count, end in enumerate(("answer", "error", "stop", "close"), 1):
        desk.until(lambda: not spinner.spins)
        width = desk.widget.status.width()
        desk.segmenter.gate.clear()
        desk.robot.click(desk.image, (20 + 10 * count, 40))
        desk.until(lambda: spinner.spins)
        assert spinner.isVisible()
        assert desk.widget.status.width() == width
        if end == "error":
            desk.segmenter.error = RuntimeError("broken")
        elif end == "stop":
            desk.controller.stop()
        elif end == "close":
            desk.segmenter.gate.set()  # it is waited for
            desk.widget.shut_down()
        if end in ("answer", "error"):
            desk.segmenter.gate.set()
        desk.until(lambda: not spinner.spins)
        assert not spinner.isVisible(), end
        assert bool(errors) is (end != "answer"), "told once"
        if end == "error":
            desk.segmenter.error = None
        elif end == "stop":
            desk.segmenter.gate.set()
            assert desk.widget.start()
            desk.until(lambda: desk.widget.session is not None)
    assert len(errors) == 1


@pytest.mark.usefixtures("soon")
def test_the_spinner_turns_while_a_model_is_loaded(
    make_napari_viewer_proxy: Any, qtbot: Any
) -> None:
    loads = threading.Event()
    told: list[bool] = []

    def factory(_: str) -> FakeSegmenter:
        assert loads.wait(60)
        return FakeSegmenter()

    viewer = make_napari_viewer_proxy(show=False).__wrapped__
    owner = viewer.window._qt_window
    controller = Controller(viewer, factory, "fake", owner)
    controller.worker.late_changed.connect(told.append)
    assert controller.start(viewer.add_image(np.zeros((80, 100), np.uint8)))
    qtbot.waitUntil(lambda: told == [True], timeout=20_000)
    loads.set()
    qtbot.waitUntil(lambda: told == [True, False], timeout=20_000)
    assert controller.session is not None
    assert controller.close()


@pytest.mark.usefixtures("soon")
def test_only_what_is_awaited_can_be_late(qtbot: Any) -> None:
    told: list[bool] = []
    gate = threading.Event()
    worker = BackgroundThread()
    worker.late_changed.connect(told.append)
    worker.submit("other", lambda _: gate.wait(60))
    qtbot.wait(100)
    assert told == []
    worker.submit("click", lambda _: 1, awaited=True)
    qtbot.waitUntil(lambda: told == [True])
    worker.cancel("other")
    assert told == [True]
    worker.cancel("click")
    assert told == [True, False]
    gate.set()
    assert worker.close()
