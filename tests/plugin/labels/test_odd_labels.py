"""Labels as others make them: ids below 0, of any integers, turned about, far apart."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from _fake_segmenter import disks
from napari_gpcis.clicks import Click

SHAPE = (80, 100)


def start(bench: Any, labels: np.ndarray) -> None:
    image = bench.viewer.add_image(np.zeros(labels.shape, np.uint8))
    assert bench.controller.start(image, bench.viewer.add_labels(labels))
    bench.until(lambda: bench.controller.session is not None)


def test_pixels_below_0_are_free_and_come_back(bench: Any) -> None:
    data = np.full(SHAPE, -1, np.int32)
    data[40:45, 50:60] = 3
    data[:4] = -2
    before = data.copy()
    start(bench, data)
    bench.positive.add([30, 40])
    bench.settled(1)
    mask = disks(SHAPE, [Click(30, 40)])
    np.testing.assert_array_equal(bench.labels.data == 4, mask)
    bench.controller.command("undo")
    bench.settled(0)
    np.testing.assert_array_equal(bench.labels.data, before)
    bench.positive.add([30, 40])
    bench.settled(1)
    bench.controller.command("accept")
    bench.settled(0)
    bench.controller.command("undo")  # the object goes on
    bench.settled(1)
    bench.controller.command("clear")
    bench.settled(0)
    np.testing.assert_array_equal(bench.labels.data, before)


def test_objects_on_pixels_below_0_are_deleted_and_brought_back(bench: Any) -> None:
    data = np.full(SHAPE, -1, np.int32)
    start(bench, data)
    bench.positive.add([30, 40])
    bench.settled(1)
    bench.controller.command("accept")
    bench.settled(0)
    shown = bench.labels.data.copy()
    annotation = bench.controller.annotation
    assert annotation.delete([(bench.current.plane, 4), (bench.current.plane, 1)]) == 1
    assert not (bench.labels.data > 0).any()
    bench.controller.command("undo")
    np.testing.assert_array_equal(bench.labels.data, shown)


@pytest.mark.parametrize(
    "kind", ["u1", "i1", "u2", ">u2", "i4", ">i4", "u4", "i8", "u8", "?"]
)
@pytest.mark.parametrize("steps", [1, -1])
def test_labels_of_any_integers_and_strides(bench: Any, kind: str, steps: int) -> None:
    data = np.zeros(SHAPE, kind)
    data[60:70, 60:70] = 1
    start(bench, data[::steps, ::steps])
    old = bench.labels.data == 1
    bench.positive.add([30, 80])
    bench.settled(1)
    bench.controller.command("accept")
    bench.settled(0)
    mask = disks(SHAPE, [Click(30, 80)])
    np.testing.assert_array_equal(bench.labels.data == 2, mask & ~old)
    np.testing.assert_array_equal(bench.labels.data == 1, old)


def test_many_objects_are_deleted_in_one_pass(bench: Any, monkeypatch: Any) -> None:
    rows, cols = np.mgrid[:200, :200]
    data = rows // 4 * 50 + cols // 4 + 1
    data = np.where((rows % 4 < 3) & (cols % 4 < 3), data, 0).astype(np.int32)
    start(bench, data)
    before = bench.labels.data.copy()
    writer = bench.controller.annotation._writer
    monkeypatch.setattr(writer, "_box_of", None)  # one object at a time
    plane = bench.current.plane
    chosen = [(plane, label) for label in range(1, 2501, 2)]
    assert bench.controller.annotation.delete(chosen) == 1250
    kept = np.where(before % 2 == 0, before, 0)
    np.testing.assert_array_equal(bench.labels.data, kept)
    bench.controller.command("undo")
    np.testing.assert_array_equal(bench.labels.data, before)
    bench.controller.command("redo")
    np.testing.assert_array_equal(bench.labels.data, kept)
