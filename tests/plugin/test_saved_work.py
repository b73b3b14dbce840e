"""Work that version 0.1.0 saved goes on in the widget (`tests/test_saved_files.py`)."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from napari_gpcis.clicks import Click
from napari_gpcis.plugin.dock.recovery import RecoveryManager
from napari_gpcis.plugin.saving.recovery_file import read_recovery

if TYPE_CHECKING:
    from collections.abc import Iterator

SAVED = Path(__file__).parents[1] / "data" / "saved_0.1.0"


@pytest.fixture
def keeping(bench: Any, qtbot: Any) -> Iterator[RecoveryManager]:
    keeping = RecoveryManager(bench.viewer, bench.controller, bench.controller)
    qtbot.addWidget(keeping.banner)
    yield keeping
    keeping.restorer.close()
    keeping.end()


@pytest.mark.parametrize("name", ["recovery.npz", "work.clicks.json"])
def test_saved_work_goes_on(
    bench: Any, keeping: RecoveryManager, tmp_path: Path, name: str
) -> None:
    expected = np.load(SAVED / "expected.npz")["work"]
    for file in SAVED.glob("work.*"):
        shutil.copy(file, tmp_path)
    shutil.copy(SAVED / "recovery.npz", tmp_path)
    image = bench.viewer.add_image(np.zeros(expected.shape, np.uint8), name="cells")
    bench.viewer.dims.set_current_step(0, 2)
    if name.endswith(".npz"):
        keeping.restorer.recover(read_recovery(tmp_path / name), image)
    else:
        keeping.restorer.open_file(tmp_path / name, image)
    bench.until(lambda: bench.controller.annotation)
    bench.settled(2)
    assert bench.current.session.clicks == (Click(20, 25), Click(24, 32, False))
    np.testing.assert_array_equal(bench.labels.data[2], expected[2])
    bench.controller.command("accept")
    bench.settled(0)
    np.testing.assert_array_equal(bench.labels.data[2], expected[2])
    bench.viewer.dims.set_current_step(0, 0)
    bench.until(lambda: bench.current.plane.steps[0] == 0 and bench.current.session)
    bench.settled(1)
    assert bench.current.session.clicks == (Click(56, 10),)
    assert bench.current.session.threshold == 0.25
    running = bench.current.drawn.live.label
    shown = bench.labels.data[0]
    np.testing.assert_array_equal(shown == running, expected[0] == 4)
    np.testing.assert_array_equal(
        np.where(shown == running, 0, shown), np.where(expected[0] == 4, 0, expected[0])
    )
    bench.controller.command("undo")
    bench.settled(0)
    assert not (bench.labels.data[0] == running).any()
