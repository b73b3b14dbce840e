"""Pixels that are changed in place: what was made of the old ones goes."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from napari_gpcis.plugin.tools import image_changes


@pytest.mark.parametrize("few", [False, True])
def test_pixels_changed_in_place_are_used(
    bench: Any, few: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    if few:  # only every tenth row is looked at
        monkeypatch.setattr(image_changes, "CHECKED_BYTES", 800)
    watch = image_changes.ImageChangeWatcher(bench.controller)
    image = bench.start(np.zeros((3, 80, 100), np.uint8))
    bench.until(lambda: len(watch._known) == 1)
    bench.positive.add([1, 30, 40])
    bench.settled(1)
    old = bench.segmenter.runs[-1].prepared
    image.refresh()
    bench.qtbot.wait(2 * image_changes.WAIT)
    assert bench.controller.session.prepared is old
    image.data[1, 20:60] = 200
    image.refresh()
    bench.until(lambda: bench.segmenter.runs[-1].prepared is not old)
    bench.settled(1)
    assert (bench.labels.data[1] == 1).any()
    bench.viewer.dims.set_current_step(0, 2)
    bench.until(lambda: len(watch._known) == 2)
    bench.controller.stop()
    image.data[:] = 3
    image.refresh()
    assert not watch._known
