"""What a click will see is encoded before it: view, closer frames, a finer input."""

from __future__ import annotations

import threading
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from napari_gpcis.checkpoints.registry import DEFAULT_MODEL
from napari_gpcis.errors import InputError
from napari_gpcis.plugin.dock.model_list import Choice
from napari_gpcis.plugin.settings.preferences import PREFERENCES
from napari_gpcis.plugin.tools import early_encoding
from napari_gpcis.plugin.tools.early_encoding import (
    LOAD_WAIT,
    MOUSE_WAIT,
    WAIT,
    EarlyEncoding,
)
from napari_gpcis.plugin.viewer.planes import camera_of
from napari_gpcis.plugin.widget import GPCISWidget


@pytest.fixture
def encoded(bench: Any) -> list[Any]:
    """The views that the segmenter was asked to encode; its frames stay."""
    found: list[Any] = []
    segmenter = bench.segmenter
    inference = replace(segmenter.info.inference, frames="stay")
    segmenter.info = replace(segmenter.info, inference=inference)
    segmenter.encode = lambda prepared, view: found.append((prepared, view))
    return found


def _rest(bench: Any) -> None:
    bench.qtbot.wait(3 * WAIT)


def test_the_view_is_encoded_once_it_rests(bench: Any, encoded: list[Any]) -> None:
    EarlyEncoding(bench.controller)
    bench.start(np.zeros((3, 80, 100), np.uint8))
    bench.until(lambda: len(encoded) == 1)
    prepared, view = encoded[0]
    assert prepared is bench.controller.session.prepared
    assert view == bench.current.view
    for zoom in (2.0, 3.0, 4.0):
        camera_of(bench.viewer).zoom = zoom
    bench.until(lambda: len(encoded) == 2)
    bench.viewer.dims.set_current_step(0, 2)
    bench.until(lambda: len(encoded) == 3)
    assert encoded[2][0] is not prepared


def test_nothing_is_encoded_while_an_object_is_clicked(
    bench: Any, encoded: list[Any]
) -> None:
    EarlyEncoding(bench.controller)
    bench.start(np.zeros((80, 100), np.uint8))
    bench.until(lambda: len(encoded) == 1)
    bench.positive.add([30, 40])
    bench.settled(1)
    camera_of(bench.viewer).zoom = 3.0
    _rest(bench)
    assert len(encoded) == 1
    bench.current.accept()
    bench.until(lambda: len(encoded) == 2)


def test_a_finer_input_is_encoded_before_the_click_that_sees_it(
    bench: Any, encoded: list[Any]
) -> None:
    finer: list[int] = []
    info = bench.segmenter.info
    inference = replace(info.inference, fine_size=512, fine_clicks=3)
    bench.segmenter.info = replace(info, inference=inference)
    bench.segmenter.encode_finer = lambda prepared, prediction: finer.append(
        len(prediction.clicks)
    )
    EarlyEncoding(bench.controller)
    bench.start(np.zeros((80, 100), np.uint8))
    bench.until(lambda: len(encoded) == 1)
    for count in range(1, 5):
        bench.positive.add([30, 30 + 5 * count])
        bench.settled(count)
        _rest(bench)
        assert set(finer) == ({2} if count >= 2 else set())
    assert len(encoded) == 1


@pytest.mark.parametrize("why", ["preference", "memory", "model"])
def test_it_can_be_left_out(
    bench: Any, encoded: list[Any], why: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    if why == "preference":
        PREFERENCES.encode_ahead = False
    elif why == "memory":
        monkeypatch.setattr(early_encoding, "LOW_MEMORY", 1 << 60)
    else:
        info = bench.segmenter.info
        zoom = replace(info.inference, frames="zoom")
        bench.segmenter.info = replace(info, inference=zoom)
    EarlyEncoding(bench.controller)
    bench.start(np.zeros((80, 100), np.uint8))
    _rest(bench)
    assert not encoded


def test_what_cannot_be_encoded_is_told_by_the_click_alone(
    bench: Any, encoded: list[Any], errors: list[str]
) -> None:
    tried: list[Any] = []

    def refuse(prepared: Any, view: Any) -> None:
        tried.append(view)
        message = "NaN"
        raise InputError(message)

    bench.segmenter.encode = refuse
    EarlyEncoding(bench.controller)
    bench.start(np.zeros((80, 100), np.uint8))
    bench.until(lambda: tried)
    _rest(bench)
    assert not errors
    assert not encoded
    bench.controller.stop()
    camera_of(bench.viewer).zoom = 3.0
    _rest(bench)
    assert len(tried) == 1


@pytest.fixture
def look(open_desk: Any, segmenter: Any) -> Any:
    """A window, and the frames that it has encoded; first clicks look closer."""
    encoded: list[Any] = []
    inference = replace(segmenter.info.inference, frames="stay", first_frames=3)
    segmenter.info = replace(segmenter.info, inference=inference)
    segmenter.encode = lambda _prepared, view: encoded.append(view)
    segmenter.first_frames = lambda shape, click, view, size: [
        view,
        (*click.pixel, *shape),
        size,
    ]
    desk = open_desk()
    _rest(desk)  # the window finds its size
    desk.until(lambda: encoded)
    encoded.clear()
    return desk, encoded


def move(desk: Any, place: tuple[int, int]) -> None:
    """Move the mouse to a place, on which it may rest already."""
    desk.robot.move(desk.image, (place[0] + 2, place[1]))
    desk.qtbot.wait(2 * MOUSE_WAIT)
    desk.robot.move(desk.image, place)


def test_closer_frames_are_encoded_where_the_mouse_rests(look: Any) -> None:
    desk, encoded = look
    move(desk, (29, 40))
    desk.until(lambda: len(encoded) >= 3 and abs(encoded[-2][0] - 29) <= 1)
    rows, cols = encoded[-2][:2]
    assert abs(cols - 40) <= 1
    assert encoded[-3:] == [desk.current.view, (rows, cols, 80, 100), None]
    count = len(encoded)
    desk.qtbot.wait(3 * MOUSE_WAIT)
    assert len(encoded) == count


def test_closer_frames_are_left_out(look: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    desk, encoded = look
    fewer = replace(desk.segmenter.info.inference, first_frames=1)

    def rest(place: tuple[int, int]) -> None:
        move(desk, place)
        desk.qtbot.wait(WAIT + 3 * MOUSE_WAIT)

    for target, name, value in (
        (PREFERENCES, "encode_ahead", False),
        (early_encoding, "LOW_MEMORY", 1 << 60),
        (desk.segmenter, "info", replace(desk.segmenter.info, inference=fewer)),
    ):
        with monkeypatch.context() as patch:
            patch.setattr(target, name, value)
            rest((30, 40))
            assert not encoded, name
    rest((-5, 40))
    assert not encoded, "beside the image"
    rest((30, 40))
    assert encoded, "nothing is against it"
    encoded.clear()
    desk.positive.add([30, 40])
    desk.settled(1)
    rest((50, 60))
    assert not encoded, "an object is clicked"


def test_the_mouse_that_moves_on_gives_up_what_it_has_asked_for(look: Any) -> None:
    desk, encoded = look
    going, gate = threading.Event(), threading.Event()

    def encode(_prepared: Any, view: Any) -> None:
        encoded.append(view)
        going.set()
        assert gate.wait(60)

    desk.segmenter.encode = encode
    move(desk, (30, 40))
    desk.until(going.is_set)
    move(desk, (60, 60))
    tool = desk.widget.mouse_encoding
    desk.until(lambda: abs(tool._place[0] - 60) <= 1)  # the window has heard of it
    gate.set()
    desk.until(lambda: len(encoded) >= 4 and abs(encoded[-2][0] - 60) <= 1)
    closer = [frame[0] for frame in encoded[1:] if frame and frame[2:] == (80, 100)]
    assert all(row > 50 for row in closer)  # none of the first place


@pytest.fixture
def loads(make_napari_viewer_proxy: Any, qtbot: Any, segmenter: Any) -> Any:
    """Opens the dock, and returns the models that are loaded from then on."""
    found: list[str] = []

    def load(name: str) -> Any:
        found.append(name)
        return segmenter

    def open_dock() -> tuple[GPCISWidget, list[str]]:
        proxy = make_napari_viewer_proxy(show=True)
        proxy.__wrapped__.add_image(np.zeros((80, 100), np.uint8))
        widget = GPCISWidget(proxy, load)
        proxy.__wrapped__.window.add_dock_widget(widget, name="GPCIS")
        qtbot.waitUntil(widget.isVisible)
        return widget, found

    return open_dock


def test_the_model_is_loaded_once_the_dock_is_shown(loads: Any, qtbot: Any) -> None:
    widget, found = loads()
    assert found == []
    qtbot.waitUntil(lambda: found == [DEFAULT_MODEL], timeout=60_000)
    assert widget.start()
    qtbot.waitUntil(lambda: widget.session is not None, timeout=60_000)
    assert found == [DEFAULT_MODEL]
    widget.shut_down()


@pytest.mark.parametrize("why", ["preference", "memory", "download", "closed"])
def test_no_model_is_loaded_ahead(
    loads: Any, qtbot: Any, monkeypatch: pytest.MonkeyPatch, why: str
) -> None:
    """Where that is not wanted, might do harm, or would need a download."""
    if why == "memory":
        monkeypatch.setattr(early_encoding, "_memory_is_low", lambda: True)
    elif why == "download":
        monkeypatch.setattr(Choice, "is_here", False)
    widget, found = loads()
    if why == "preference":
        PREFERENCES.encode_ahead = False
    elif why == "closed":
        widget.shut_down()
    qtbot.wait(2 * LOAD_WAIT)
    assert found == []
    widget.shut_down()


def test_what_is_wrong_with_the_model_start_tells(
    make_napari_viewer_proxy: Any, qtbot: Any, errors: list[str]
) -> None:
    def fail(name: str) -> Any:
        tried.append(name)
        raise InputError("damaged")

    tried: list[str] = []
    proxy = make_napari_viewer_proxy(show=True)
    proxy.__wrapped__.add_image(np.zeros((80, 100), np.uint8))
    widget = GPCISWidget(proxy, fail)
    proxy.__wrapped__.window.add_dock_widget(widget, name="GPCIS")
    qtbot.waitUntil(lambda: len(tried) == 1, timeout=60_000)
    qtbot.wait(LOAD_WAIT)
    assert errors == []
    widget.start()
    qtbot.waitUntil(lambda: bool(errors), timeout=60_000)
    assert "damaged" in errors[0]
    widget.shut_down()
