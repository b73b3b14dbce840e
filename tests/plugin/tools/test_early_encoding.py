"""What a click will see is encoded before it: the view, and a finer input."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from napari_gpcis.errors import InputError
from napari_gpcis.plugin.settings.preferences import PREFERENCES
from napari_gpcis.plugin.tools import early_encoding
from napari_gpcis.plugin.tools.early_encoding import WAIT, EarlyEncoding
from napari_gpcis.plugin.viewer.planes import camera_of


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
