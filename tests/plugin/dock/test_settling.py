"""What ends or saves an annotation while masks are on their way: no click is lost."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import tifffile
from napari.layers import Image
from qtpy.QtCore import Qt
from qtpy.QtWidgets import QFileDialog
from skimage.io import imsave

from _fake_segmenter import disks
from napari_gpcis.clicks import Click
from napari_gpcis.plugin.annotation.annotation import NOT_ACCEPTED
from napari_gpcis.plugin.dock.panels.files import FilesPanel
from napari_gpcis.plugin.dock.panels.folder import FolderPanel
from napari_gpcis.plugin.dock.settling import AGAIN, PERIOD, WAITING
from napari_gpcis.plugin.saving.export import file_names
from napari_gpcis.plugin.saving.folder import NO_MASKS, STAYS, UNACCEPTED
from napari_gpcis.plugin.viewer.layers import is_made_for
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
    waiting = f"{WAITING} {AGAIN}".format("4 objects")
    desk.until(lambda: desk.controller.status == waiting)
    desk.segmenter.gate.set()
    desk.until(lambda: desk.controller.annotation is None)
    assert all_there(labels)
    assert "Stopped" in desk.controller.status
    assert "gone" not in desk.controller.status


def test_stop_again_does_not_wait_and_the_clicks_go_on(open_desk: Any) -> None:
    desk = open_desk(np.zeros(SHAPE, np.uint8))
    quickly(desk)
    labels = desk.labels
    for _ in range(2):
        desk.widget.start_button.click()
    assert desk.controller.annotation is None
    assert NOT_ACCEPTED.format(4) in desk.controller.status
    desk.segmenter.gate.set()
    desk.widget.start_button.click()
    desk.until(lambda: desk.widget.session is not None)
    assert desk.labels is labels
    desk.until(lambda: 4 in labels.data and not desk.controller.annotation.awaited)
    assert all_there(labels)
    assert desk.widget.recovery.autosaver.record.saved().ids == (1, 2, 3, 4)


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


def test_another_choice_meanwhile_waits_on(open_desk: Any) -> None:
    """Three entries are passed by two keys: the last choice holds."""
    desk = open_desk(np.zeros(SHAPE, np.uint8))
    labels, before = desk.labels, desk.controller.annotation
    others = [
        desk.viewer.add_image(np.full(SHAPE, n, np.uint8), name=f"other {n}")
        for n in (1, 2)
    ]
    combo = desk.widget.image_combo
    desk.robot.press(Qt.Key.Key_G)
    quickly(desk)
    for other in others:
        combo.layer = other
        combo.picked.emit()
        assert desk.controller.annotation is before
    desk.segmenter.gate.set()
    desk.until(lambda: desk.controller.annotation not in (before, None))
    assert desk.controller.annotation.image == others[1]
    assert all_there(labels)


@pytest.mark.parametrize("own", [False, True], ids=["made here", "the user's"])
def test_a_choice_that_is_taken_back_loses_nothing(open_desk: Any, own: bool) -> None:
    """Down, Up, Down in the box of images, faster than the model."""
    desk = open_desk(np.zeros(SHAPE, np.uint8))
    before = desk.controller.annotation
    if own:
        chosen = desk.viewer.add_labels(np.zeros(SHAPE, np.int32), name="mine")
        desk.widget.labels_combo.layer = chosen
        desk.widget.labels_combo.picked.emit()
        desk.until(lambda: desk.controller.annotation not in (before, None))
        desk.until(lambda: desk.widget.session is not None)
        before = desk.controller.annotation
    labels = desk.labels
    other = desk.viewer.add_image(np.ones(SHAPE, np.uint8), name="other")
    desk.robot.press(Qt.Key.Key_G)
    quickly(desk)

    def pick(image: Any) -> None:
        desk.widget.image_combo.layer = image
        desk.widget.image_combo.picked.emit()

    pick(other)
    desk.until(lambda: "4 objects" in desk.controller.status)
    pick(desk.image)
    assert "4 objects" not in desk.controller.status
    desk.qtbot.wait(3 * PERIOD)
    assert desk.controller.annotation is before
    pick(other)
    desk.until(lambda: "4 objects" in desk.controller.status)
    assert desk.controller.annotation is before
    pick(desk.image)
    desk.segmenter.gate.set()
    desk.until(lambda: not before.awaited)
    assert desk.controller.annotation is before
    assert all_there(labels)


@pytest.mark.parametrize("moved", ["image", "labels"])
def test_a_moved_layer_waits_as_well(open_desk: Any, moved: str) -> None:
    desk = open_desk(np.zeros(SHAPE, np.uint8))
    labels = desk.labels
    quickly(desk)
    (desk.image if moved == "image" else labels).scale = (2, 2)
    desk.until(lambda: "as soon as the mask of 4 objects" in desk.controller.status)
    desk.controller.annotation.say("Object 1 is done.")  # as each mask does
    desk.until(lambda: "as soon as the mask of 4 objects" in desk.controller.status)
    desk.segmenter.gate.set()
    desk.until(lambda: desk.controller.annotation is None)
    assert all_there(labels)
    assert f"was accepted in {labels.name!r}" in desk.controller.status
    assert "gone" not in desk.controller.status
    (record,) = desk.widget.recovery.autosaver.unsaved
    assert record.saved().ids == (1, 2, 3, 4)


def test_the_features_tell_all_objects_that_stop_waited_for(open_desk: Any) -> None:
    desk = open_desk(np.zeros(SHAPE, np.uint8))
    labels = desk.labels
    quickly(desk)
    desk.widget.start_button.click()
    desk.segmenter.gate.set()
    desk.until(lambda: desk.controller.annotation is None)
    desk.until(lambda: len(labels.features) == len(PLACES))
    areas = [int((labels.data == n).sum()) for n in (1, 2, 3, 4)]
    assert labels.features["index"].tolist() == [1, 2, 3, 4]
    assert labels.features["area"].tolist() == areas
    assert labels.features["clicks"].tolist() == [1, 1, 1, 1]


@pytest.fixture
def folder(open_desk: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """A desk whose folder waits for four masks, to go on to its next image."""
    for name in ("a.png", "b.png"):
        imsave(tmp_path / name, np.full(SHAPE, 9, np.uint8), check_contrast=False)
    desk = open_desk()
    desk.panel = next(p for p in desk.widget.panels if isinstance(p, FolderPanel))
    monkeypatch.setattr(QFileDialog, "getExistingDirectory", lambda *_: str(tmp_path))
    desk.panel.open_button.click()
    navigator = desk.panel.navigator
    desk.until(lambda: not navigator.busy and desk.widget.session is not None)
    desk.image = desk.controller.annotation.image
    desk.viewer.reset_view()
    quickly(desk)
    desk.panel.next_button.click()
    desk.until(lambda: desk.controller.status == WAITING.format("4 objects"))
    return desk


def test_the_next_image_of_a_folder_gives_way_to_another_choice(folder: Any) -> None:
    desk, panel = folder, folder.panel
    labels = desk.labels
    other = next(
        one
        for one in desk.viewer.layers
        if isinstance(one, Image) and one != desk.image and one.data.shape == SHAPE
    )
    desk.widget.image_combo.layer = other
    desk.widget.image_combo.picked.emit()
    assert panel.next_button.isEnabled()
    desk.segmenter.gate.set()
    desk.until(lambda: desk.controller.annotation.image == other)
    desk.until(lambda: desk.widget.session is not None)
    desk.qtbot.wait(3 * PERIOD)
    assert desk.controller.annotation.image == other
    assert desk.image in desk.viewer.layers
    assert all_there(labels)
    assert not panel.navigator.busy


def test_the_next_image_of_a_folder_gives_way_to_stop(folder: Any) -> None:
    desk, panel, labels = folder, folder.panel, folder.labels
    desk.widget.start_button.click()
    assert panel.next_button.isEnabled()
    assert panel.message.text() == STAYS.format("a.png")
    desk.segmenter.gate.set()
    desk.until(lambda: desk.controller.annotation is None)
    desk.qtbot.wait(3 * PERIOD)
    assert desk.image in desk.viewer.layers
    assert all_there(labels)
    assert not panel.navigator.busy


def test_the_next_image_of_a_folder_waits(folder: Any, tmp_path: Path) -> None:
    desk, panel = folder, folder.panel
    assert not panel.next_button.isEnabled()
    desk.qtbot.wait(3 * PERIOD)
    assert desk.image in desk.viewer.layers
    desk.segmenter.gate.set()
    desk.until(lambda: "b.png" in desk.viewer.layers and desk.widget.session)
    assert desk.image not in desk.viewer.layers
    clicks, labels = tmp_path / "a.clicks.json", tmp_path / "a.labels.tif"
    saved = read_prompts(clicks)
    assert saved.ids == (1, 2, 3)
    assert saved.unfinished_clicks == 1
    assert np.unique(tifffile.imread(labels)).tolist() == [0, 1, 2, 3]


def test_the_next_image_opens_if_the_image_is_removed(
    folder: Any, tmp_path: Path
) -> None:
    desk, panel = folder, folder.panel
    desk.viewer.layers.remove(desk.image)
    desk.until(lambda: "b.png" in desk.viewer.layers and desk.widget.session)
    words = NO_MASKS.format("a.png", 3), UNACCEPTED.format("a.png")
    assert panel.message.text() == " ".join(words)
    assert not [one for one in desk.viewer.layers if is_made_for(one, desk.image)]
    saved = read_prompts(tmp_path / "a.clicks.json")
    (plane,) = saved.unfinished
    assert len(plane.accepted) == 3
    assert saved.unfinished_clicks == 1
    desk.segmenter.gate.set()
    panel.previous_button.click()
    desk.until(lambda: "a.png" in desk.viewer.layers and desk.widget.session)
    desk.until(lambda: not desk.controller.annotation.awaited and 4 in desk.labels.data)
    assert all_there(desk.labels)


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
