"""What is done takes time and memory, not what is there.

Processor time is measured, the least of some rounds: other programs do not count.
"""

from __future__ import annotations

import sys
import time
import tracemalloc
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

sys.path.insert(0, str(Path(__file__).parents[2] / "benchmarks"))
from standing_still import ObjectList, deletion, grid, movie, slide

from napari_gpcis.export import write_coco, write_tiff
from napari_gpcis.sparse_labels import SparseLabels

if TYPE_CHECKING:
    from collections.abc import Callable

ROUNDS = 5
NOT_TWICE = 1.7
"""So many times as much may twice as much that is there cost: some is looked at."""


def least(work: Callable[[], Any]) -> float:
    """Return the processor time of work in seconds."""
    times = []
    for _ in range(ROUNDS):
        begin = time.process_time()
        work()
        times.append(time.process_time() - begin)
    return min(times)


def peak(work: Callable[[], Any]) -> int:
    """Return how much memory work asks for at most, bytes."""
    tracemalloc.start()
    work()
    found = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    return found


@pytest.mark.usefixtures("qapp")
def test_a_change_costs_no_more_while_thousands_of_rows_are_selected() -> None:
    shown = ObjectList(10_000)
    plain = least(shown.change)
    view = shown.panel.list
    view.selectAll()
    selected = least(shown.change)
    rows = {place.row() for place in view.selectionModel().selectedRows()}
    assert len(shown.panel.table.rows) == 10_000
    assert len(rows) >= 9_999  # the object that came anew was not selected
    assert selected < 2 * plain + 0.02
    shown.close()


@pytest.mark.usefixtures("qapp")
def test_deleting_costs_what_is_deleted() -> None:
    few, many = grid(1400, 28), grid(1400, 20)
    assert many.max() > 1.9 * few.max()
    times = [least(deletion(masks, 200)) for masks in (few, many)]
    assert times[1] < NOT_TWICE * times[0] + 0.01


def test_a_longer_movie_takes_no_more_memory_to_save(tmp_path: Path) -> None:
    peaks = []
    for frames in (200, 400):
        labels = movie(frames, 256)
        peaks.append(peak(lambda a=labels: SparseLabels.of(a)))
        copy = SparseLabels.of(labels)
        peaks.append(peak(lambda c=copy: write_tiff(tmp_path / "a.tif", c)))
        assert copy.nbytes > 0
    assert peaks[2] < 1.2 * peaks[0] + (1 << 16)
    assert peaks[3] < 1.2 * peaks[1] + (1 << 20)


def test_masks_of_a_larger_slide_take_no_longer(tmp_path: Path) -> None:
    times, peaks = [], []
    for side in (1500, 2200):  # twice the pixels
        copy = SparseLabels.of(slide(side))
        work = partial(write_coco, tmp_path / "a.json", copy, "a")
        times.append(least(work))
        peaks.append(peak(work))
    assert times[1] < NOT_TWICE * times[0] + 0.01
    assert peaks[1] < NOT_TWICE * peaks[0]
