"""Labels layers that the user has locked: nothing is written, and nothing is lost."""

from __future__ import annotations

import numpy as np
import pytest

from _fake_segmenter import disks
from napari_gpcis.clicks import Click


def masks(*clicks: tuple[int, int]) -> np.ndarray:
    return disks((80, 100), tuple(Click(*click) for click in clicks))


def locked_labels(bench, image, dtype=np.int32):
    """A labels layer of the user's, with an object in it, that is locked."""
    data = np.zeros(image.data.shape, dtype)
    data[60:70, 10:20] = 1
    labels = bench.viewer.add_labels(data)
    labels.editable = False
    return labels


@pytest.mark.parametrize("copied", [False, True])
def test_locked_labels_are_refused_at_start(bench, errors, copied) -> None:
    image = bench.viewer.add_image(np.zeros((80, 100), dtype=np.uint8))
    labels = locked_labels(bench, image)
    before = labels.data.copy()
    if copied:  # what is done to make them writable would unlock them
        labels.data.setflags(write=False)
    assert not bench.controller.start(image, labels)
    assert len(errors) == 1
    assert "is locked (editable=False)" in errors[0]
    assert not labels.editable
    assert bench.controller.annotation is None
    labels.editable = True
    assert bench.controller.start(image, labels)
    bench.until(lambda: bench.controller.session is not None)
    np.testing.assert_array_equal(bench.labels.data, before)


def test_own_labels_that_were_locked_stay_as_they_are(bench, errors) -> None:
    image = bench.start()
    first = bench.labels
    bench.positive.add([30, 40])
    bench.settled(1)
    bench.controller.command("accept")
    bench.settled(0)
    bench.controller.stop()
    first.editable, kept = False, first.data.copy()
    assert bench.controller.start(image)  # into a new layer
    assert not errors
    bench.until(lambda: bench.controller.session is not None)
    assert bench.labels != first
    bench.positive.add([30, 40])
    bench.settled(1)
    np.testing.assert_array_equal(first.data, kept)
    np.testing.assert_array_equal(bench.labels.data, masks((30, 40)))


def test_labels_locked_while_annotating_are_not_written_into(bench, errors) -> None:
    bench.start()
    bench.positive.add([60, 80])
    bench.settled(1)
    bench.controller.command("accept")
    bench.settled(0)
    bench.positive.add([30, 40])
    bench.settled(1)
    shown = bench.labels.data.copy()
    done = bench.current
    bench.labels.editable = False
    for name in ("accept", "undo", "redo", "clear", "cancel", "toggle_sign"):
        bench.controller.command(name)
        assert "is locked (editable=False)" in bench.controller.status
    annotation = bench.controller.annotation
    assert annotation.delete([(done.plane, 1)]) == 0
    assert annotation.merge([(done.plane, 1), (done.plane, 2)]) == 0
    bench.positive.add([30, 60])  # by a script: it waits
    bench.qtbot.wait(100)
    np.testing.assert_array_equal(bench.labels.data, shown)
    bench.labels.editable = True
    bench.settled(2)
    assert bench.current is done
    wanted = masks((30, 40), (30, 60))
    np.testing.assert_array_equal(bench.labels.data == 2, wanted)
    bench.controller.command("accept")
    bench.settled(0)
    for clicks in (2, 1, 0):
        bench.controller.command("undo")
        bench.settled(clicks)
    np.testing.assert_array_equal(bench.labels.data, masks((60, 80)))
    for clicks in (1, 2, 0):
        bench.controller.command("redo")
        bench.settled(clicks)
    np.testing.assert_array_equal(bench.labels.data == 2, wanted)
    assert not errors


def test_an_answer_for_labels_locked_meanwhile_waits_for_the_key(bench) -> None:
    bench.start()
    bench.segmenter.gate.clear()
    bench.positive.add([30, 40])
    bench.until(lambda: bench.segmenter.runs)
    bench.controller.command("accept")
    bench.labels.editable = False
    bench.segmenter.gate.set()
    bench.qtbot.wait(100)
    assert not bench.labels.data.any()
    assert "is locked (editable=False)" in bench.controller.status
    bench.labels.editable = True
    bench.settled(0)
    np.testing.assert_array_equal(bench.labels.data, masks((30, 40)))
