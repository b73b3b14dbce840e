"""Strokes without a window: on finished objects, before superpixels, without effect."""

from __future__ import annotations

import threading
from typing import Any

import numpy as np
import pytest

from napari_gpcis.plugin.annotation.click_layers import LASSO, SCRIBBLE, SUPERPIXELS
from napari_gpcis.plugin.annotation.plane import COVERED, TAKEN
from napari_gpcis.plugin.tools import drawing
from napari_gpcis.plugin.tools.drawing import DrawingTool
from napari_gpcis.plugin.tools.picking import Picking
from napari_gpcis.plugin.tools.superpixels import painting
from napari_gpcis.plugin.tools.superpixels.crossed import densely
from napari_gpcis.plugin.tools.superpixels.outlined import Settings, Superpixels
from napari_gpcis.plugin.tools.superpixels.painting import SuperpixelPainting

LINE = [(20, 20), (20, 45)]
BELOW = [(30, 30), (60, 30)]
FAR, AWAY = [(60, 80)], [(72, 20)]


class Work:
    """A controller with the tools that draw, and about 60 superpixels."""

    def __init__(self, bench: Any) -> None:
        self.bench = bench
        self.superpixels = Superpixels(bench.controller)
        self.superpixels.settings = Settings(60, method="slic")
        self.picking = Picking(bench.controller)
        self.painting = SuperpixelPainting(bench.controller, self.superpixels)
        self.painting.picking = self.picking
        self.drawing = DrawingTool(bench.controller)
        ramp = np.add.outer(np.arange(80), np.arange(100)).astype(np.uint8)
        bench.start(np.stack([ramp, ramp[::-1]]))

    def draw(self, path: Any, shape: str = SUPERPIXELS, positive: bool = True) -> None:
        """Draw a shape, as the mouse does."""
        points = [np.array((0, *point), float) for point in path]
        self.drawing.shape = shape
        annotation = self.bench.controller.annotation
        annotation.click_layers.drawn.emit(shape, points, positive)

    def crossed(self, path: Any) -> np.ndarray:
        tool = self.superpixels
        ids = tool.divided.at(tool.level, densely(np.array(path, float)))
        return np.isin(tool.divided.hierarchy.labels(tool.level), ids)

    def is_mask(self, label: int, mask: np.ndarray) -> None:
        self.bench.until(
            lambda: np.array_equal(self.bench.labels.data[0] == label, mask)
        )

    @property
    def status(self) -> str:
        return self.bench.controller.status

    def finish(self) -> None:
        self.bench.settled(1)
        self.bench.controller.command("accept")
        self.bench.settled(0)


@pytest.fixture
def work(bench: Any) -> Any:
    made = Work(bench)
    yield made
    made.superpixels.close()


def ready(work: Work) -> None:
    work.drawing.shape = SUPERPIXELS
    work.bench.until(lambda: work.superpixels.divided is not None)


def test_strokes_before_the_superpixels_are_painted_when_they_come(work) -> None:
    work.draw(LINE)
    work.draw(BELOW)
    assert work.status == painting.COMING
    work.drawing.shape = None  # what was drawn stays
    work.bench.until(lambda: work.bench.labels.data.any())
    work.is_mask(1, work.crossed(LINE) | work.crossed(BELOW))
    assert not work.superpixels.needed
    work.superpixels.settings = Settings(30, method="slic")
    work.superpixels.compute()
    work.draw(FAR)
    work.bench.controller.command("undo")
    assert work.status == painting.GIVEN_UP
    assert not work.painting._waiting
    gate = threading.Event()
    work.superpixels._thread.submit("gate", lambda _cancelled: gate.wait(10))
    work.superpixels.compute()
    work.draw(FAR)
    work.bench.viewer.dims.set_current_step(0, 1)
    work.bench.until(lambda: work.bench.current.plane.steps[0] == 1)
    work.bench.until(lambda: work.bench.current.session is not None)
    work.bench.until(lambda: work.status == painting.LEFT)
    gate.set()
    work.superpixels.settings = Settings(30, method="cds")  # its weights are not here
    work.bench.viewer.dims.set_current_step(0, 0)
    work.bench.until(lambda: work.bench.current.plane.steps[0] == 0)
    work.superpixels.compute()
    work.draw(FAR)
    work.bench.until(lambda: work.superpixels.problem)
    work.bench.until(lambda: not work.painting._waiting)
    assert work.status == painting.MISSING.format(work.superpixels.problem)
    work.is_mask(1, work.bench.labels.data[0] > 0)


def test_a_stroke_that_begins_on_a_finished_object_changes_that(work) -> None:
    ready(work)
    work.draw(LINE)
    work.finish()
    first, more = work.crossed(LINE), work.crossed([LINE[0], (50, 20)])
    assert (more & ~first).any()
    work.draw([LINE[0], (50, 20)])
    work.is_mask(1, first | more)
    assert work.picking.chosen == (work.bench.current.plane, 1)
    assert work.status == painting.CHOSEN.format(1)
    assert not work.bench.current.clicks
    work.picking.choose_none()
    work.draw([(50, 20)], positive=False)
    work.is_mask(1, (first | more) & ~work.crossed([(50, 20)]))
    for state in (first | more, first):
        work.bench.controller.command("undo")
        work.is_mask(1, state)
    work.picking.choose_none()
    work.bench.controller.writing.mode = "add"  # where a click begins an object
    work.draw([LINE[0], (50, 20)])
    work.bench.settled(1)
    assert work.picking.chosen is None


def test_a_stroke_that_changes_nothing_says_why_and_is_no_step(work) -> None:
    ready(work)
    work.draw(FAR)
    work.finish()
    work.picking.choose_none()
    work.draw(LINE)
    work.is_mask(2, work.crossed(LINE))
    steps = work.bench.current.current.steps
    for path, positive, why in (
        (LINE, True, painting.ALREADY),
        (FAR, True, TAKEN),
        (AWAY, False, painting.NOT_ITS),
        (LINE, False, painting.NOTHING),
    ):
        work.draw(path, positive=positive)
        assert work.status == why
        work.is_mask(2, work.crossed(LINE))
    assert work.bench.current.current.steps == steps
    work.finish()
    work.picking.choose(2)
    for path, positive, why in (
        (LINE, True, painting.ALREADY),
        (FAR, True, TAKEN),
        (AWAY, False, painting.NOT_ITS),
    ):
        work.draw(path, positive=positive)
        assert work.status == why
        work.is_mask(2, work.crossed(LINE))


def test_a_stroke_over_what_a_click_holds_and_background_names_the_click(work) -> None:
    ready(work)
    work.bench.positive.add((0, 40, 40))
    work.bench.settled(1)
    work.finish()
    work.picking.choose(1)
    rows = range(20, 61, 4)
    work.draw([(row, col) for row in rows for col in (20, 60)], positive=False)
    left = work.bench.labels.data[0] == 1
    assert left[40, 40]
    assert not (left & ~work.crossed([(40, 40)])).any()
    work.draw([(40, 40), (40, 70)], positive=False)
    assert work.status == painting.AGAINST
    work.is_mask(1, left)


def test_accept_waits_for_strokes_that_wait_for_superpixels(work) -> None:
    work.bench.controller.command("accept")
    assert work.status.startswith("Nothing to accept yet")
    work.draw(LINE)
    work.bench.controller.command("accept")
    assert work.status == painting.ACCEPT_COMING
    work.draw(FAR)  # of the next object
    assert not work.bench.labels.data.any()
    work.drawing.shape = SUPERPIXELS
    work.bench.until(lambda: work.bench.labels.data.max() == 2)
    work.is_mask(1, work.crossed(LINE))
    work.is_mask(2, work.crossed(FAR))
    assert work.bench.controller.session.objects[0].id == 1
    assert len(work.bench.controller.session.objects) == 1
    assert not work.painting._waiting


def test_what_waits_to_be_accepted_is_given_up_with_its_stroke(work) -> None:
    work.draw(LINE)
    work.bench.controller.command("accept")
    work.bench.controller.command("undo")
    assert work.status == painting.GIVEN_UP
    assert not work.painting._waiting


def test_other_shapes_begin_nothing_on_finished_objects(work) -> None:
    work.bench.positive.add((0, 40, 40))
    work.finish()
    work.draw([(36, 36), (36, 44), (44, 44), (44, 36)], LASSO)
    assert work.status == TAKEN
    work.draw([(40, 36), (40, 44)], SCRIBBLE)
    assert work.status == drawing.FINISHED
    assert work.picking.chosen == (work.bench.current.plane, 1)
    assert not work.bench.current.clicks
    work.draw([(38, 38), (42, 42)], "box")  # the user wants a new one there
    work.bench.settled(1)
    assert work.status == COVERED


def test_a_later_click_is_obeyed_where_it_was_drawn_or_erased_against_it(work) -> None:
    ready(work)
    click = work.bench.positive.add, work.bench.negative.add
    click[0]((0, 40, 40))
    work.bench.settled(1)
    around = (40, 29), (40, 51), (51, 40), (29, 40)
    place = next(one for one in around if not work.crossed([one])[40, 40])
    work.draw([place], positive=False)
    disk = work.bench.labels.data[0] == 1
    work.draw([(40, 70), (40, 90)])
    drawn = work.bench.labels.data[0] == 1
    assert not disk[place]
    assert drawn[40, 80]
    click[0]((0, *place))
    work.bench.settled(2)
    assert work.bench.labels.data[0][place] == 1
    click[1]((0, 40, 80))
    work.bench.settled(3)
    now = work.bench.labels.data[0]
    assert now[40, 80] == 0
    assert now[40, 70] == 1  # farther away what was drawn stays
    work.draw([(40, 80)])  # the click holds its superpixel
    assert work.status == painting.AGAINST
    for _ in range(2):
        work.bench.controller.command("undo")
    work.bench.settled(1)
    work.is_mask(1, drawn)
