"""Going through the alternatives to the mask of the current object."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from qtpy.QtCore import Qt

from _fake_segmenter import RADIUS, FakeSegmenter
from napari_gpcis.plugin.settings.preferences import PREFERENCES
from napari_gpcis.plugin.tools.alternatives import (
    WIDEST,
    YELLOW,
    AlternativeMasks,
    pictures,
)

PLACE = (40, 50)


def disk(radius: float, place: tuple[int, int] = PLACE) -> np.ndarray:
    rows, cols = np.indices((80, 100))
    return np.hypot(rows - place[0], cols - place[1]) <= radius


class Ambiguous(FakeSegmenter):
    """Counts how often it is asked."""

    asked = 0

    def rescaled(self, prepared: Any, prediction: Any, factors: Any) -> list[Any]:
        self.asked += 1
        return super().rescaled(prepared, prediction, factors)


@pytest.fixture
def segmenter() -> Ambiguous:
    return Ambiguous()


@pytest.fixture
def tool(bench) -> AlternativeMasks:
    return AlternativeMasks(bench.controller)


def click(bench, place=PLACE, clicks=1) -> None:
    bench.positive.add(place)
    bench.settled(clicks)


def drawn(bench) -> np.ndarray:
    return np.asarray(bench.labels.data) > 0


def go(bench, tool, name: str) -> None:
    """Run a command and wait until its answer is drawn."""
    bench.controller.command(name)
    bench.until(lambda: tool.offer is not None and not bench.current.busy)


def test_masks_are_gone_through_and_come_round(bench, tool, segmenter):
    bench.start()
    click(bench)
    sizes = []
    for _ in range(4):
        go(bench, tool, "alternative_next")
        sizes.append(int(drawn(bench).sum()))
    radii = {int(disk(RADIUS * f).sum()) for f in (0.5, 1, 2, 4)}
    assert set(sizes) == radii
    assert sizes[-1] == disk(RADIUS).sum()
    assert segmenter.asked == 1
    assert len(segmenter.runs) == 1
    go(bench, tool, "alternative_previous")
    assert drawn(bench).sum() == sizes[2]
    assert "Mask 4 of 4" in bench.controller.status


def test_smaller_and_larger(bench, tool):
    bench.start()
    click(bench)
    for name, factor in (
        ("alternative_larger", 2),
        ("alternative_larger", 4),
        ("alternative_smaller", 2),
        ("alternative_smaller", 1),
        ("alternative_smaller", 0.5),
    ):
        go(bench, tool, name)
        assert (drawn(bench) == disk(RADIUS * factor)).all()
    bench.controller.command("alternative_smaller")
    assert bench.controller.status == "There is no such mask."
    assert (drawn(bench) == disk(RADIUS * 0.5)).all()


def test_a_choice_is_one_step_of_undo(bench, tool):
    bench.start()
    click(bench)
    for _ in range(3):
        go(bench, tool, "alternative_larger")
    assert (drawn(bench) == disk(RADIUS * 4)).all()
    bench.controller.command("undo")
    bench.until(lambda: (drawn(bench) == disk(RADIUS)).all())
    assert tool.offer.place == 0
    bench.controller.command("redo")
    bench.until(lambda: (drawn(bench) == disk(RADIUS * 4)).all())
    bench.controller.command("undo")
    bench.controller.command("undo")
    bench.until(lambda: not drawn(bench).any())
    assert bench.current.clicks == ()


def test_the_next_click_goes_on_from_the_choice(bench, tool, segmenter):
    bench.start()
    click(bench)
    go(bench, tool, "alternative_larger")
    bench.negative.add((40, 70))
    bench.settled(2)
    hole = disk(5, (40, 70))
    assert (drawn(bench) == disk(RADIUS * 2) & ~hole).all()
    assert segmenter.runs[-1].start is not None
    assert tool.offer is None
    go(bench, tool, "alternative_smaller")
    assert segmenter.asked == 2


def test_what_was_chosen_is_accepted_and_returns(bench, tool):
    bench.start()
    click(bench)
    go(bench, tool, "alternative_larger")
    bench.controller.command("accept")
    bench.until(lambda: bench.current.clicks == ())
    assert (np.asarray(bench.labels.data) == disk(RADIUS * 2)).all()
    bench.controller.command("undo")
    bench.until(lambda: len(bench.current.clicks) == 1)
    assert (drawn(bench) == disk(RADIUS * 2)).all()


def test_what_was_accepted_comes_first_on_other_planes_too(bench, tool):
    bench.start(np.zeros((3, 80, 100), dtype=np.uint8))
    first = bench.viewer.dims.current_step[0]
    click(bench, (first, *PLACE))
    tool.show()
    bench.until(lambda: tool.offer is not None)
    usual = [one.slot for one in tool.offer.found]
    tool.choose(3)
    bench.until(lambda: not bench.current.busy)
    size = int(drawn(bench).sum())
    bench.controller.command("accept")
    bench.until(lambda: bench.current.clicks == ())
    bench.viewer.dims.set_current_step(0, 2)
    bench.until(lambda: bench.current.session is not None)
    click(bench, (2, *PLACE))
    go(bench, tool, "alternative_next")
    assert int((np.asarray(bench.labels.data[2]) > 0).sum()) == size
    assert [one.slot for one in tool.offer.found] == [
        usual[0],
        usual[3],
        *usual[1:3],
    ]
    bench.controller.command("undo")
    bench.until(lambda: not bench.current.busy)
    tool.forget_choices()
    assert tool.offer is None
    go(bench, tool, "alternative_next")
    assert [one.slot for one in tool.offer.found] == usual


def test_without_a_mask_nothing_changes(bench, tool, segmenter):
    bench.controller.command("alternative_next")
    bench.start()
    bench.controller.command("alternative_next")
    assert bench.controller.status == "No mask yet: click on an object first."
    segmenter.gate.clear()
    bench.positive.add(PLACE)
    bench.until(lambda: len(segmenter.runs) == 1)
    bench.controller.command("alternative_next")
    assert "not there yet" in bench.controller.status
    segmenter.gate.set()
    bench.settled(1)
    assert (drawn(bench) == disk(RADIUS)).all()


def test_an_answer_that_comes_too_late_is_dropped(bench, tool):
    bench.start()
    click(bench)
    bench.controller.command("alternative_larger")
    bench.negative.add((40, 58))
    bench.settled(2)
    bench.qtbot.wait(50)
    assert (drawn(bench) == disk(RADIUS) & ~disk(5, (40, 58))).all()
    assert tool.offer is None


def test_an_error_is_told_and_the_mask_stays(bench, tool, segmenter, monkeypatch):
    told: list[str] = []
    monkeypatch.setattr(
        "napari_gpcis.plugin.annotation.controller.show_error", told.append
    )
    bench.start()
    click(bench)
    segmenter.error = RuntimeError("out of memory")
    bench.controller.command("alternative_next")
    bench.until(lambda: told)
    assert "out of memory" in told[0]
    assert (drawn(bench) == disk(RADIUS)).all()
    segmenter.error = None
    go(bench, tool, "alternative_next")
    assert (drawn(bench) != disk(RADIUS)).any()


def test_a_script_chooses_and_the_viewer_shows_it(open_desk, segmenter):
    desk = open_desk(model=segmenter)
    session = desk.widget.session
    session.add_click(*PLACE)
    plain = drawn(desk)
    areas = [one.area for one in session.alternatives()]
    assert areas[0] == plain.sum()
    session.choose(1)
    assert drawn(desk).sum() == areas[1]
    session.undo()
    assert (drawn(desk) == plain).all()
    session.redo()
    assert drawn(desk).sum() == areas[1]


def test_keys_in_a_real_window(open_desk, segmenter):
    desk = open_desk(model=segmenter)
    desk.robot.click(desk.image, PLACE)
    desk.settled(1)
    plain = drawn(desk)
    desk.robot.press(Qt.Key.Key_Period)
    desk.until(lambda: drawn(desk).sum() > plain.sum())
    desk.robot.press(Qt.Key.Key_Comma)
    desk.until(lambda: (drawn(desk) == plain).all())
    desk.robot.press(Qt.Key.Key_Y)
    desk.until(lambda: (drawn(desk) != plain).any())
    desk.robot.press(Qt.Key.Key_Y, Qt.KeyboardModifier.ShiftModifier)
    desk.until(lambda: (drawn(desk) == plain).all())
    assert "Mask 1 of 4" in desk.widget.status.text()


def test_pictures_show_each_mask_on_its_part_of_the_image(bench, tool):
    image = np.zeros((80, 100, 3), np.uint8)
    image[..., 1] = 200
    bench.start(image, contrast_limits=(0, 255))
    click(bench)
    tool.wanted = True
    bench.until(lambda: tool.offer is not None)
    assert drawn(bench).sum() == disk(RADIUS).sum()  # nothing is drawn by looking
    shown = pictures(tool.offer, bench.controller.session.prepared, 60)
    assert len(shown) == len(tool.offer.found) == 4
    for picture, one in zip(shown, tool.offer.found, strict=True):
        assert picture.dtype == np.uint8
        assert max(picture.shape[:2]) <= 61
        yellow = (picture == YELLOW).all(axis=2)
        bright = picture[..., 1] > 150
        top, left, bottom, right = one.trimmed[0]
        share = one.area / ((bottom - top) * (right - left))
        rows, cols = np.nonzero(bright | yellow)
        height, width = np.ptp(rows) + 1, np.ptp(cols) + 1
        assert yellow.any()
        assert abs(len(rows) / (height * width) - share) < 0.15
    sizes = [np.count_nonzero(one[..., 1] > 150) for one in shown]
    order = np.argsort([one.area for one in tool.offer.found])
    assert [*np.argsort(sizes)] == [*order]


def test_they_are_computed_only_where_they_are_looked_at(bench, tool, segmenter):
    bench.start()
    click(bench)
    assert segmenter.asked == 0
    tool.wanted = True
    bench.until(lambda: tool.offer is not None)
    assert segmenter.asked == 1
    click(bench, (42, 52), clicks=2)
    bench.until(lambda: tool.offer is not None)
    assert segmenter.asked == 2
    tool.wanted = False
    click(bench, (44, 54), clicks=3)
    assert (tool.offer, segmenter.asked) == (None, 2)


def test_pictures_show_a_small_mask_large_enough(bench, tool):
    """A mask of nearly the whole image leaves room for one of a few pixels."""
    bench.start(np.zeros((300, 400), np.uint8), contrast_limits=(0, 255))
    click(bench)
    tool.wanted = True
    bench.until(lambda: tool.offer is not None)
    box, mask = tool.offer.found[0].trimmed
    whole = (0, 0, 300, 400), np.ones((300, 400), bool)
    tool.offer.parts = (box, mask), whole
    small, large = pictures(tool.offer, bench.controller.session.prepared, 60)
    assert small.shape == large.shape
    height = np.ptp(np.nonzero((small == YELLOW).all(axis=2))[0]) + 1
    assert height >= len(small) / WIDEST - 2
    assert box[2] - box[0] == len(mask)


def test_counts_are_those_of_the_pixels_that_accept_writes(bench, tool):
    bench.start()
    click(bench, (40, 50 - 2 * RADIUS))
    bench.controller.command("accept")
    bench.settled(0)
    neighbour = drawn(bench)
    click(bench)
    for _ in range(4):
        go(bench, tool, "alternative_next")
        offer = tool.offer
        own = bench.labels.data == 2
        assert own.any()
        assert offer.areas[offer.place] == own.sum()
        if offer.place:
            assert f" {own.sum():,} pixels" in bench.controller.status
    large = max(range(4), key=lambda place: offer.found[place].area)
    assert offer.areas[large] == (disk(4 * RADIUS) & ~neighbour).sum()
    shown = pictures(offer, bench.controller.session.prepared, 100)[large]
    box, mask = offer.parts[large]
    assert not (mask & neighbour[box[0] : box[2], box[1] : box[3]]).any()
    assert (shown == YELLOW).all(axis=-1).any()
    tool.choose(large)
    bench.controller.command("accept")
    bench.settled(0)
    assert (bench.labels.data == 2).sum() == offer.areas[large]


def test_with_overwriting_the_counts_are_of_the_whole_mask(bench, tool):
    bench.start()
    click(bench, (40, 50 - 2 * RADIUS))
    bench.controller.command("accept")
    bench.settled(0)
    PREFERENCES.protect = False
    click(bench)
    go(bench, tool, "alternative_larger")
    go(bench, tool, "alternative_larger")
    whole = disk(4 * RADIUS).sum()
    assert f" {whole:,} pixels" in bench.controller.status
    assert (bench.labels.data == 2).sum() == whole
