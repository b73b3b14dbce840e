"""A mask that is drawn in portions: nobody takes a part of it for the whole."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from _fake_segmenter import disks
from napari_gpcis.clicks import Click
from napari_gpcis.plugin.annotation.plane import COVERED
from napari_gpcis.plugin.labels import writer
from napari_gpcis.plugin.saving.record import Record
from napari_gpcis.plugin.saving.work import Work
from napari_gpcis.plugin.tools.objects.index import ObjectIndex
from napari_gpcis.plugin.tools.picking import Picking

SHAPE = (80, 100)


@pytest.fixture
def large(bench: Any, monkeypatch: pytest.MonkeyPatch) -> Any:
    """A bench on which a part of each disk is drawn, and the rest when asked for."""
    monkeypatch.setattr(writer, "PORTION", 30)
    monkeypatch.setattr(writer, "MAX_STEP", 30)
    bench.picking, bench.index = (
        Picking(bench.controller),
        ObjectIndex(bench.controller),
    )
    bench.start(np.zeros(SHAPE, dtype=np.uint8))
    bench.controller.annotation._writer._timer.setInterval(10**8)
    yield bench
    bench.index.close()


def pending(bench: Any) -> bool:
    return bench.controller.annotation._writer.rest is not None


def begun(bench: Any, row: int, col: int, clicks: int = 1) -> None:
    """Click, and return while the mask is being drawn."""
    bench.positive.add((row, col))
    bench.until(lambda: len(bench.current.clicks) == clicks and pending(bench))


def draw_rest(bench: Any) -> None:
    bench.controller.annotation._writer.flush()


def whole(bench: Any, row: int, col: int, clicks: int = 1) -> None:
    begun(bench, row, col, clicks)
    draw_rest(bench)


def finish(bench: Any) -> None:
    bench.controller.command("accept")
    bench.settled(0)


def area(bench: Any, label: int) -> int:
    return int((bench.labels.data == label).sum())


def test_it_is_not_said_to_be_covered_before_it_is_drawn(large: Any) -> None:
    said: list[str] = []
    annotation = large.controller.annotation
    annotation.message_changed.connect(said.append)
    annotation._writer._timer.setInterval(0)
    large.positive.add((30, 30))
    large.settled(1)
    large.until(lambda: not pending(large))
    assert area(large, 1) == disks(SHAPE, (Click(30, 30),)).sum()
    assert COVERED not in said
    assert "1 click \u00b7 object 1" in large.controller.status


def test_if_all_of_it_is_covered_that_is_said_once_it_is_known(large: Any) -> None:
    whole(large, 30, 30)
    finish(large)
    begun(large, 30, 30)
    assert large.controller.status != COVERED
    draw_rest(large)
    assert large.controller.status == COVERED


def test_what_goes_portion_by_portion_is_no_object_to_pick(large: Any) -> None:
    whole(large, 30, 30)
    large.controller.command("undo")
    assert pending(large)
    assert large.picking.finished_at((30, 30)) == 0
    assert not large.labels.data.any()
    whole(large, 30, 30)
    large.controller.command("undo")
    assert pending(large)
    mask = disks(SHAPE, (Click(30, 30),))
    assert large.current.finished_objects.has_room((0, 0, *SHAPE), mask)


def test_what_goes_portion_by_portion_is_not_saved(large: Any) -> None:
    record = Record(large.controller.annotation)
    whole(large, 60, 70)
    finish(large)
    whole(large, 30, 30)
    large.controller.command("undo")
    assert pending(large)
    work = Work(record)
    assert work.job() is not None
    assert area(large, 2) == 0
    work.file.remove()
    whole(large, 30, 30)
    large.controller.command("undo")
    assert pending(large)
    assert not record.unfinished()
    assert area(large, 2) == 0
    record.end()


def test_the_list_looks_at_the_labels_once_all_is_drawn(large: Any) -> None:
    objects = large.index
    whole(large, 30, 30)
    finish(large)
    large.until(lambda: [one.label for one in objects.objects()] == [1])
    large.until(lambda: not objects.busy)
    before = objects.objects()
    assert before[0].entry.area == area(large, 1)
    begun(large, 60, 70)
    objects.look_up([large.current.plane])
    objects._look()
    assert objects.busy
    assert not objects._asked, "it waits"
    draw_rest(large)
    large.until(lambda: not objects.busy)
    assert objects.objects() == before, "what is clicked is not in it"


def test_a_stroke_is_taken_back_while_the_mask_is_drawn(large: Any) -> None:
    whole(large, 30, 30)
    labels = large.labels
    labels.mode, labels.brush_size = "paint", 4
    labels.paint((60, 80), 1)
    drawn = labels.data == 1
    whole(large, 34, 34, 2)
    both = disks(SHAPE, (Click(30, 30), Click(34, 34)))
    large.controller.command("undo")
    large.until(lambda: pending(large))
    large.controller.command("undo")
    draw_rest(large)
    mask = disks(SHAPE, (Click(30, 30),))
    assert (drawn & ~mask).any()
    np.testing.assert_array_equal(labels.data == 1, mask)
    large.controller.command("redo")
    np.testing.assert_array_equal(labels.data == 1, drawn)
    large.controller.command("redo")
    large.until(lambda: pending(large))
    draw_rest(large)
    np.testing.assert_array_equal(labels.data == 1, drawn | both)
