"""Tidy masks in the window: shown, previewed and accepted alike, and undone."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from numpy.testing import assert_array_equal

from _fake_segmenter import FakeSegmenter
from napari_gpcis.clicks import Click
from napari_gpcis.inference.prediction import GridMaps, Prediction
from napari_gpcis.inference.tidy import DEFAULT_TIDY, Tidy
from napari_gpcis.plugin.annotation.jobs import Answers, Question
from napari_gpcis.plugin.saving.autosave import Autosaver
from napari_gpcis.plugin.settings.preferences import PREFERENCES
from napari_gpcis.plugin.tools.stack.propagation import Propagation
from napari_gpcis.plugin.viewer.planes import Plane
from napari_gpcis.prompts import replay

SHAPE = (60, 90)
ROWS, COLS = np.indices(SHAPE)


def spot(*places: tuple[int, int]) -> np.ndarray:
    mask = np.zeros(SHAPE, bool)
    for row, col in places:
        mask |= np.hypot(ROWS - row, COLS - col) <= 8
    return mask


ISLAND = spot((30, 75))


class JumpingSegmenter(FakeSegmenter):
    """Takes a disk at each positive click, and always one elsewhere."""

    def _predict(self, request: Any, clicks: Any) -> Prediction:
        return self._jump(clicks)

    def preview(
        self, prepared: Any, click: Click, previous: Any = None, *_: Any
    ) -> Prediction:
        before = () if previous is None else previous.clicks
        return self._jump((*before, click))

    def _jump(self, clicks: tuple[Click, ...]) -> Prediction:
        mask = spot(*(click.pixel for click in clicks if click.positive)) | ISLAND
        grid = np.where(mask, 0.9, 0.1).astype(np.float32)
        maps = GridMaps(grid, grid.copy(), grid.copy(), grid.copy())
        return Prediction(SHAPE, (0, 0, *SHAPE), clicks, 0.5, maps, True)


@pytest.fixture
def segmenter() -> JumpingSegmenter:
    return JumpingSegmenter()


@pytest.fixture
def work(bench: Any) -> Any:
    PREFERENCES.autosave = False
    bench.start(np.zeros(SHAPE, np.uint8))
    return bench


def click(bench: Any, *place: int, number: int = 1) -> None:
    bench.positive.add(place)
    bench.settled(number)


def command(bench: Any, name: str, clicks: int) -> None:
    bench.controller.command(name)
    bench.settled(clicks)


def test_islands_are_neither_shown_nor_accepted(work: Any) -> None:
    click(work, 30, 75)
    command(work, "accept", 0)
    click(work, 30, 30)
    assert_array_equal(work.labels.data, ISLAND + 2 * spot((30, 30)))
    PREFERENCES.protect = False
    command(work, "accept", 0)
    assert_array_equal(work.labels.data, ISLAND + 2 * spot((30, 30)))


def test_tidying_is_switched_for_one_object_and_undone(bench: Any) -> None:
    PREFERENCES.autosave = False
    work, autosaver = bench, Autosaver(bench.controller)
    work.start(np.zeros(SHAPE, np.uint8))
    tidy, plain = spot((30, 30)), spot((30, 30)) | ISLAND
    work.controller.command("toggle_tidy")  # nothing to tidy yet
    assert "click on an object first" in work.controller.status
    click(work, 30, 30)
    runs = len(work.segmenter.runs)
    for name, expected in (
        ("toggle_tidy", plain),
        ("undo", tidy),
        ("redo", plain),
        ("toggle_tidy", tidy),
        ("toggle_tidy", plain),
    ):
        command(work, name, 1)
        assert_array_equal(work.labels.data > 0, expected)
    assert len(work.segmenter.runs) == runs
    command(work, "accept", 0)
    assert_array_equal(work.labels.data, plain)
    click(work, 10, 10)
    assert_array_equal(work.labels.data == 2, spot((10, 10)))
    command(work, "accept", 0)
    for _ in range(20):
        work.controller.command("undo")
        work.until(lambda: not work.current.busy)
    assert not work.labels.data.any()
    for _ in range(20):
        work.controller.command("redo")
        work.until(lambda: not work.current.busy)
    assert_array_equal(work.labels.data, plain + 2 * spot((10, 10)))
    assert [one.tidy for one in work.current.session.objects] == [None, DEFAULT_TIDY]
    again = replay(autosaver.record.saved(), work.segmenter, np.zeros(SHAPE, np.uint8))
    assert_array_equal(again, work.labels.data)
    autosaver.end()


def test_the_preferences_hold_from_the_next_object_on(work: Any) -> None:
    PREFERENCES.tidy = False
    click(work, 30, 30)
    assert_array_equal(work.labels.data > 0, spot((30, 30)) | ISLAND)
    PREFERENCES.tidy = True
    PREFERENCES.tidy_holes = 7
    assert_array_equal(work.labels.data > 0, spot((30, 30)) | ISLAND)
    command(work, "toggle_tidy", 1)
    assert work.current.session.tidy == Tidy(holes=7)
    assert_array_equal(work.labels.data > 0, spot((30, 30)))


def test_an_object_accepted_before_its_mask_is_there_is_tidied(work: Any) -> None:
    work.segmenter.gate.clear()
    work.positive.add((30, 30))
    work.until(lambda: work.current.clicks)
    work.controller.command("accept")
    work.positive.add((10, 50))
    work.until(lambda: work.current.current.clicks)
    work.segmenter.gate.set()
    work.settled(1)
    assert_array_equal(work.labels.data == 1, spot((30, 30)))
    assert_array_equal(work.labels.data == 2, spot((10, 50)))


def test_scripts_switch_it_for_the_object(work: Any) -> None:
    from napari_gpcis.plugin.tools.scripting import ViewerSession

    session = ViewerSession(work.controller)
    session.add_click(30, 30)
    session.tidy = None
    assert_array_equal(work.labels.data > 0, spot((30, 30)) | ISLAND)
    session.undo()
    assert session.tidy == DEFAULT_TIDY
    assert_array_equal(work.labels.data > 0, spot((30, 30)))


def test_the_preview_is_tidied(segmenter: JumpingSegmenter) -> None:
    prepared = segmenter.prepare(np.zeros(SHAPE, np.uint8))
    for tidy, curves in ((DEFAULT_TIDY, 1), (None, 2)):
        question = Question(
            segmenter,
            prepared,
            Plane((0, 1), (0, 0)),
            Click(30, 30),
            0.5,
            tidy,
            None,
            None,
            None,
        )
        found = Answers().find(question, lambda: False)
        assert found is not None
        assert len(found.curves) == curves


def test_an_object_that_is_propagated_is_tidied(bench: Any) -> None:
    PREFERENCES.autosave = False
    propagation = Propagation(bench.controller)
    bench.start(np.tile(np.where(spot((30, 30)), 200, 20), (3, 1, 1)).astype(np.uint8))
    bench.viewer.dims.set_current_step(0, 0)
    bench.until(lambda: bench.current.plane.steps[0] == 0 and bench.current.session)
    click(bench, 0, 30, 30)
    propagation.propagate((1,))
    bench.until(lambda: not propagation.running)
    for plane in bench.labels.data:
        assert_array_equal(plane, spot((30, 30)))
    propagation.close()
