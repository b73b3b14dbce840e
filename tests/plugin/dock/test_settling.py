"""What ends or saves an annotation while masks are on their way: no click is lost."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import tifffile
from qtpy.QtCore import Qt

from _fake_segmenter import disks
from napari_gpcis.clicks import Click
from napari_gpcis.plugin.dock.panels.files import FilesPanel
from napari_gpcis.plugin.dock.settling import PERIOD, WAITING
from napari_gpcis.plugin.saving.export import file_names
from napari_gpcis.prompts import read_prompts

if TYPE_CHECKING:
    from pathlib import Path

PLACES = ((20, 20), (20, 60), (60, 30), (60, 80))
SHAPE = (80, 100)


def quickly(desk: Any) -> None:
    """Click on four objects and accept three, faster than the model."""
    desk.segmenter.gate.clear()
    for number, place in enumerate(PLACES):
        if number:
            desk.robot.press(Qt.Key.Key_N)
        desk.robot.click(desk.image, place)
    desk.until(lambda: desk.controller.annotation.awaited == len(PLACES))


def all_there(labels: Any) -> bool:
    """Return whether each object is written as its click gives it."""
    masks = [disks(SHAPE, (Click(*place),)) for place in PLACES]
    return all((labels.data == n).sum() == m.sum() for n, m in enumerate(masks, 1))


def test_stop_waits_for_masks_that_are_on_their_way(open_desk: Any) -> None:
    desk = open_desk(np.zeros(SHAPE, np.uint8))
    labels = desk.labels
    quickly(desk)
    desk.widget.start_button.click()
    assert desk.controller.annotation is not None
    desk.until(lambda: desk.controller.status == WAITING.format("4 objects"))
    desk.segmenter.gate.set()
    desk.until(lambda: desk.controller.annotation is None)
    assert all_there(labels)
    assert "Stopped" in desk.controller.status
    assert "gone" not in desk.controller.status


def test_stop_again_does_not_wait(open_desk: Any) -> None:
    desk = open_desk(np.zeros(SHAPE, np.uint8))
    quickly(desk)
    for _ in range(2):
        desk.widget.start_button.click()
    assert desk.controller.annotation is None
    assert "Clicks that had no mask yet are gone: 4." in desk.controller.status
    desk.segmenter.gate.set()


@pytest.mark.parametrize("other", ["image", "labels"])
def test_going_over_to_other_layers_waits_as_well(open_desk: Any, other: str) -> None:
    desk = open_desk(np.zeros(SHAPE, np.uint8))
    labels, before = desk.labels, desk.controller.annotation
    if other == "image":
        layer = desk.viewer.add_image(np.ones(SHAPE, np.uint8), name="other")
        combo = desk.widget.image_combo
    else:
        layer = desk.viewer.add_labels(np.zeros(SHAPE, np.int32), name="other")
        combo = desk.widget.labels_combo
    desk.robot.press(Qt.Key.Key_G)
    quickly(desk)
    combo.layer = layer
    combo.picked.emit()
    assert desk.controller.annotation is before
    desk.segmenter.gate.set()
    desk.until(lambda: desk.controller.annotation not in (before, None))
    used = desk.controller.annotation
    assert (used.image if other == "image" else used.layers.labels) == layer
    assert all_there(labels)


def saving(desk: Any, path: Path) -> FilesPanel:
    """Save while masks are on their way; return the panel that does."""
    panel = next(p for p in desk.widget.panels if isinstance(p, FilesPanel))
    quickly(desk)
    panel.write("save", path)
    return panel


def test_saving_waits_for_objects_that_were_accepted(
    open_desk: Any, tmp_path: Path
) -> None:
    desk = open_desk(np.zeros(SHAPE, np.uint8))
    panel = saving(desk, tmp_path / "work")
    table = tmp_path / "table.csv"
    panel.write("table", table)  # another one waits beside it
    desk.qtbot.wait(3 * PERIOD)
    clicks, written = file_names(tmp_path / "work")
    assert not clicks.exists()
    assert panel.busy  # closing waits for it
    desk.segmenter.gate.set()
    desk.until(lambda: clicks.exists() and table.exists() and not panel.busy)
    saved = read_prompts(clicks)
    assert saved.ids == (1, 2, 3)
    assert saved.unfinished_clicks == 1
    assert set(np.unique(tifffile.imread(written))) == {0, 1, 2, 3}
    assert len(table.read_text().splitlines()) == 4


def test_what_waits_is_saved_when_the_annotation_ends(
    open_desk: Any, tmp_path: Path
) -> None:
    desk = open_desk(np.zeros(SHAPE, np.uint8))
    panel = saving(desk, tmp_path / "work")
    for _ in range(2):
        desk.widget.start_button.click()
    assert desk.controller.annotation is None
    desk.until(lambda: "Saved" in panel.message.text())
    desk.segmenter.gate.set()
