"""Nothing lost: clicks saved and opened, work kept for recovery, exports."""

from __future__ import annotations

import csv
import json
import os
import signal
import subprocess
import sys
import textwrap
import threading
import zlib
from dataclasses import replace
from pathlib import Path
from shutil import copy
from threading import Event
from typing import TYPE_CHECKING, Any

import dask.array as da
import numpy as np
import pytest
from dask import delayed
from qtpy.QtCore import Qt
from qtpy.QtTest import QTest
from qtpy.QtWidgets import QFileDialog, QMessageBox
from roifile import roiread
from tifffile import TiffFile, imread, imwrite

import _fake_segmenter
import napari_gpcis.plugin.dock.panels.files as files_panel
from _fake_segmenter import FakeSegmenter
from napari_gpcis import Segmenter
from napari_gpcis.clicks import Click
from napari_gpcis.errors import InputError
from napari_gpcis.files import fitting_stem
from napari_gpcis.plugin.annotation.annotation import ALL_ACCEPTED, NOT_ACCEPTED
from napari_gpcis.plugin.dock.notices import BLUE
from napari_gpcis.plugin.dock.panels.files import NOT_KEPT, FilesPanel, with_ending
from napari_gpcis.plugin.dock.recovery import GONE, OPEN_IMAGE, RecoveryManager
from napari_gpcis.plugin.saving import export as saving
from napari_gpcis.plugin.saving import record, work
from napari_gpcis.plugin.saving.export import NO_FILES, OWN_IMAGE, file_names
from napari_gpcis.plugin.saving.identity import FILE
from napari_gpcis.plugin.saving.recovery_file import (
    Packer,
    Recovered,
    read_recovery,
    unpack,
    unsaved_work,
)
from napari_gpcis.plugin.saving.work import TRIES
from napari_gpcis.plugin.settings.preferences import PREFERENCES
from napari_gpcis.plugin.widget import NEW_LAYER, GPCISWidget
from napari_gpcis.prompts import (
    SavedAnnotation,
    SavedPlane,
    read_prompts,
    replay,
    write_prompts,
)
from napari_gpcis.session.saved import SavedObject, SavedSession

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

TESTS = Path(__file__).parents[2]


@pytest.fixture
def kept(bench: Any, qtbot: Any) -> Iterator[RecoveryManager]:
    """RecoveryManager and a section of files on the bench's controller."""
    keeping = RecoveryManager(bench.viewer, bench.controller, bench.controller)
    bench.panel = FilesPanel(bench.controller)
    qtbot.addWidget(bench.panel)
    qtbot.addWidget(keeping.banner)
    keeping.serve([bench.panel], lambda: bench.viewer.layers[0])
    yield keeping
    bench.panel.close_links()
    keeping.end()


def click(bench: Any, *place: float, positive: bool = True) -> None:
    layer = bench.positive if positive else bench.negative
    layer.add(place)


def go_to(bench: Any, plane: int) -> None:
    bench.viewer.dims.set_current_step(0, plane)
    bench.until(lambda: bench.current.plane.steps[0] == plane and bench.current.session)


def finish(bench: Any, *places: tuple[float, ...]) -> None:
    """Click, wait, accept."""
    for place in places:
        click(bench, *place)
    bench.settled(len(places))
    bench.controller.command("accept")
    bench.settled(0)


def test_saved_clicks_give_the_same_masks_and_work_goes_on(
    bench: Any, kept: RecoveryManager, tmp_path: Path
) -> None:
    image = bench.start(np.zeros((3, 80, 100), np.uint8), scale=(2, 0.5, 0.5))
    go_to(bench, 0)
    finish(bench, (0, 30, 40), (0, 30, 60))
    finish(bench, (0, 60, 30))
    go_to(bench, 2)
    finish(bench, (2, 20, 20))
    click(bench, 2, 50, 60)
    bench.settled(1)
    click(bench, 2, 50, 64, positive=False)
    bench.settled(2)
    click(bench, 2, 45, 55)
    bench.settled(3)
    shown, order = bench.labels.data.copy(), bench.current.session.clicks
    bench.panel.write("save", tmp_path / "work")
    clicks, labels = file_names(tmp_path / "work")
    bench.until(lambda: "Saved" in bench.panel.message.text())
    np.testing.assert_array_equal(imread(labels), np.where(shown == 4, 0, shown))
    words = saving.SAVED.format(clicks, labels)
    assert bench.panel.message.text() == f"{words} {saving.CLICKS_ALONE}"
    saved = read_prompts(clicks)
    assert (saved.labels_file, saved.models) == ("work.labels.tif", ("fake",))
    assert saved.planes[1].running == 4
    bench.controller.stop()
    bench.panel.open_file(clicks)
    bench.until(lambda: "as they were saved" in bench.panel.message.text())
    assert "Opened the clicks of 3 objects. All masks" in bench.panel.message.text()
    assert bench.controller.annotation.image == image
    bench.settled(3)
    np.testing.assert_array_equal(bench.labels.data, shown)
    assert bench.current.session.clicks == order
    assert not kept.autosaver.record.unsaved  # not asked about on closing
    bench.controller.command("accept")
    bench.settled(0)
    assert kept.autosaver.record.unsaved
    again = kept.autosaver.record.saved()
    assert [len(plane.objects) for plane in again.planes] == [2, 2]


def test_masks_are_made_again_without_the_labels(
    bench: Any, kept: RecoveryManager, tmp_path: Path
) -> None:
    bench.start()
    finish(bench, (30, 40))
    finish(bench, (30, 50))
    shown = bench.labels.data.copy()
    bench.panel.write("save", tmp_path / "work")
    clicks, labels = file_names(tmp_path / "work")
    bench.until(lambda: "Saved" in bench.panel.message.text())
    labels.unlink()
    bench.panel.open_file(clicks)
    bench.until(lambda: "were made again" in bench.panel.message.text())
    np.testing.assert_array_equal(bench.labels.data, shown)


def test_edits_by_hand_and_another_model_are_told(
    bench: Any, kept: RecoveryManager, tmp_path: Path
) -> None:
    bench.start()
    finish(bench, (30, 40))
    finish(bench, (60, 80))
    bench.labels.data[58:62, 78:82] = 0
    shown = bench.labels.data.copy()
    bench.panel.write("save", tmp_path / "work")
    clicks, _ = file_names(tmp_path / "work")
    bench.until(lambda: "Saved" in bench.panel.message.text())
    text = clicks.read_text().replace('"model": "fake"', '"model": "older"')
    clicks.write_text(text)
    bench.panel.open_file(clicks)
    bench.until(lambda: "Opened" in bench.panel.message.text())
    message = bench.panel.message.text()
    gone = "made with older (no longer here); fake is in use and may differ"
    assert gone in message
    assert "other masks for the objects 2 (edited by hand" in message
    np.testing.assert_array_equal(bench.labels.data, shown)


def test_saved_clicks_of_a_model_whose_file_is_gone_are_told(
    bench: Any, kept: RecoveryManager, tmp_path: Path
) -> None:
    bench.start()
    finish(bench, (30, 40))
    shown = bench.labels.data.copy()
    bench.panel.write("save", tmp_path / "work")
    clicks, _ = file_names(tmp_path / "work")
    bench.until(lambda: "Saved" in bench.panel.message.text())

    def load(name: str) -> Any:
        return Segmenter.from_pretrained(tmp_path / name, "cpu")

    bench.controller.models._factory = load
    bench.controller.models.name = "mine.safetensors"
    before = clicks.read_bytes()
    bench.panel.open_file(clicks)
    bench.until(lambda: "need a model" in bench.panel.message.text())
    message = bench.panel.message.text()
    assert "mine.safetensors does not exist. Choose another model" in message
    np.testing.assert_array_equal(bench.labels.data, shown)
    assert clicks.read_bytes() == before


def test_files_that_do_not_fit_are_told(
    bench: Any, kept: RecoveryManager, errors: list[str], tmp_path: Path
) -> None:
    bench.start()
    finish(bench, (30, 40))
    bench.panel.write("save", tmp_path / "no folder" / "work")
    bench.until(lambda: "was written: No such" in bench.panel.message.text())
    assert len(errors) == 1
    bench.panel.write("save", tmp_path / "work")
    bench.until(lambda: "Saved" in bench.panel.message.text())
    clicks, labels = file_names(tmp_path / "work")
    labels.write_bytes(b"no TIFF")
    bench.panel.open_file(clicks)
    bench.until(lambda: "cannot be read" in bench.panel.message.text())
    data = json.loads(clicks.read_text())
    clicks.write_text(json.dumps({**data, "shape": [80, 101]}))
    bench.panel.open_file(clicks)
    bench.until(lambda: "damaged file" in bench.panel.message.text())
    clicks.write_text(json.dumps({**data, "planes": [], "shape": [9, 9]}))
    bench.panel.open_file(clicks)
    bench.until(
        lambda: "belong to an image of shape (9, 9)" in bench.panel.message.text()
    )


def test_exports(bench: Any, kept: RecoveryManager, tmp_path: Path) -> None:
    bench.start(scale=(0.5, 0.25), units="um", name="cells")
    finish(bench, (30, 40), (30, 44))
    finish(bench, (60, 80))
    files = {
        "labels": tmp_path / "a.ome.tif",
        "table": tmp_path / "a.csv",
        "coco": tmp_path / "a.json",
        "geojson": tmp_path / "a.geojson",
        "imagej": tmp_path / "a.rois.zip",
    }
    for name, file in files.items():
        bench.panel.write(name, file)
        bench.until(
            lambda file=file: bench.panel.message.text().endswith(file.name + ".")
        )
    with TiffFile(files["labels"]) as tiff:
        np.testing.assert_array_equal(tiff.asarray(), bench.labels.data)
        assert 'PhysicalSizeX="0.25" PhysicalSizeXUnit="µm"' in tiff.ome_metadata
    with files["table"].open(newline="") as stream:
        rows = list(csv.DictReader(stream))
    assert [(row["id"], row["clicks"]) for row in rows] == [("1", "2"), ("2", "1")]
    assert float(rows[1]["area_units"]) == (bench.labels.data == 2).sum() / 8
    coco = json.loads(files["coco"].read_text())
    assert coco["images"][0]["file_name"] == "cells"
    assert len(coco["annotations"]) == 2
    features = json.loads(files["geojson"].read_text())["features"]
    assert [one["properties"]["name"] for one in features] == ["1", "2"]
    regions = roiread(files["imagej"])
    assert [region.name for region in regions] == ["1", "2"]
    corners = regions[1].coordinates()
    rows, cols = np.nonzero(bench.labels.data == 2)
    assert corners.min(axis=0).tolist() == [cols.min(), rows.min()]
    assert set(bench.panel.buttons) >= {"geojson", "imagej"}


def test_work_that_goes_on_during_a_save_is_saved_whole(
    bench: Any, kept: RecoveryManager, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    copied = saving._copied
    waits, goes = Event(), Event()

    def slowly(*args: Any) -> Any:
        copy = copied(*args)
        waits.set()
        assert goes.wait(60)
        return copy

    monkeypatch.setattr(saving, "_copied", slowly)
    bench.start()
    finish(bench, (30, 40))
    bench.panel.write("save", tmp_path / "work")
    bench.until(waits.is_set)
    finish(bench, (60, 80))
    goes.set()
    bench.until(lambda: "Saved" in bench.panel.message.text())
    clicks, labels = file_names(tmp_path / "work")
    assert read_prompts(clicks).ids == kept.autosaver.record.saved().ids == (1, 2)
    np.testing.assert_array_equal(imread(labels), bench.labels.data)


def test_a_user_who_never_rests_can_save(
    bench: Any, kept: RecoveryManager, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    bench.start()
    finish(bench, (30, 40))
    copied, record = saving._copied, kept.autosaver.record

    def meanwhile(*args: Any) -> Any:
        record.version += 1
        return copied(*args)

    monkeypatch.setattr(saving, "_copied", meanwhile)
    bench.panel.write("labels", tmp_path / "a.ome.tif")
    bench.until(lambda: "Exported" in bench.panel.message.text())
    np.testing.assert_array_equal(imread(tmp_path / "a.ome.tif"), bench.labels.data)


def test_an_image_that_is_gone_when_its_work_has_been_read_is_told(
    bench: Any, kept: RecoveryManager, tmp_path: Path
) -> None:
    image = bench.start()
    finish(bench, (30, 40))
    bench.panel.write("save", tmp_path / "work")
    bench.until(lambda: "Saved" in bench.panel.message.text())
    kept.restorer.open_file(file_names(tmp_path / "work")[0], image)
    bench.viewer.layers.remove(image)
    bench.until(lambda: "no longer in the viewer" in bench.panel.message.text())


def test_files_of_long_names_are_saved_and_read_again(
    bench: Any, kept: RecoveryManager, tmp_path: Path
) -> None:
    bench.start()
    finish(bench, (30, 40))
    shown = bench.labels.data.copy()
    typed = tmp_path / ("\u00e4" * 127)
    bench.panel.write("save", typed)
    clicks, labels = file_names(typed)
    bench.until(lambda: "Saved" in bench.panel.message.text())
    np.testing.assert_array_equal(imread(labels), shown)
    assert read_prompts(clicks).labels_file == labels.name
    assert file_names(clicks) == file_names(labels) == (clicks, labels)
    table = with_ending(typed, ".csv")
    bench.panel.write("table", table)
    bench.until(lambda: "Exported" in bench.panel.message.text())
    assert table.is_file()
    assert bench.panel.message.text() == f"Exported 1 object: {table}."
    assert with_ending(table, ".csv") == table
    bench.panel.open_file(clicks)
    bench.until(lambda: "as they were saved" in bench.panel.message.text())


def test_where_every_object_was_deleted_this_is_told(
    bench: Any, kept: RecoveryManager, tmp_path: Path
) -> None:
    """On saving, opening and closing; a number of objects there is not."""
    bench.start()
    finish(bench, (30, 40))
    annotation = bench.controller.annotation
    annotation.delete([(annotation.current.plane, 1)])
    assert kept.autosaver.record.amount == "all objects deleted"
    bench.panel.write("save", tmp_path / "work")
    bench.until(lambda: "Saved" in bench.panel.message.text())
    bench.panel.open_file(file_names(tmp_path / "work")[0])
    bench.until(lambda: "Opened" in bench.panel.message.text())
    assert "Opened: all objects deleted." in bench.panel.message.text()
    bench.until(lambda: bench.controller.annotation is not None)


def recovery_files() -> list[Path]:
    return sorted((Path(os.environ["NAPARI_GPCIS_STATE"]) / "recovery").glob("[!.]*"))


def test_running_work_is_kept_until_it_ends_cleanly(
    bench: Any, kept: RecoveryManager
) -> None:
    bench.start()
    assert recovery_files() == []
    finish(bench, (30, 40))
    bench.until(lambda: len([f for f in recovery_files() if f.suffix == ".npz"]) == 1)
    assert unsaved_work() == []  # it is being worked on
    bench.controller.stop()
    bench.controller.start(bench.viewer.layers[0], kept.autosaver.record.labels)
    bench.until(lambda: bench.controller.session is not None)
    finish(bench, (60, 80))
    assert len([f for f in recovery_files() if f.suffix == ".npz"]) == 1
    assert len(kept.autosaver.record.saved().planes[0].objects) == 2
    kept.autosaver.record.settle(kept.autosaver.record.version)  # as saving does
    kept.end()
    assert recovery_files() == []


def test_work_that_is_not_saved_is_kept_when_it_ends(
    bench: Any, kept: RecoveryManager, tmp_path: Path
) -> None:
    bench.start()
    finish(bench, (30, 40))
    bench.panel.write("save", tmp_path / "work")
    bench.until(lambda: "Saved" in bench.panel.message.text())
    record = kept.autosaver.record
    assert not record.unsaved
    bench.controller.stop()
    bench.controller.start(bench.viewer.layers[0], record.labels)
    bench.until(lambda: bench.controller.session is not None)
    assert not kept.autosaver.record.unsaved  # as it was saved
    finish(bench, (60, 80))
    click(bench, 20, 80)
    bench.settled(1)
    assert kept.autosaver.unsaved == [kept.autosaver.record]
    shown = bench.labels.data.copy()
    bench.viewer.layers.clear()  # as napari does when a script closes it
    kept.end()
    (left,) = unsaved_work()
    assert len(left.saved.planes[0].objects) == 2
    assert len(left.saved.planes[0].sessions[-1].current.clicks) == 1
    np.testing.assert_array_equal(left.labels(), shown)
    left.discard()


@pytest.mark.parametrize("way", ["saved", "discarded", "empty", "not autosaved"])
def test_nothing_is_left_of_work_that_is_settled(
    bench: Any, kept: RecoveryManager, tmp_path: Path, way: str
) -> None:
    PREFERENCES.autosave = way != "not autosaved"
    bench.start()
    if way == "empty":
        click(bench, 30, 40)
        bench.settled(1)
        bench.controller.command("undo")
        bench.settled(0)
    else:
        finish(bench, (30, 40))
    record = kept.autosaver.record
    if way == "saved":
        bench.panel.write("save", tmp_path / "work")
        bench.until(lambda: "Saved" in bench.panel.message.text())
    elif way == "discarded":
        record.discard()
    kept.end()
    assert unsaved_work() == []


def test_edits_by_hand_after_saving_are_unsaved(
    bench: Any, kept: RecoveryManager, tmp_path: Path
) -> None:
    bench.start()
    finish(bench, (30, 40))
    bench.panel.write("save", tmp_path / "work")
    bench.until(lambda: "Saved" in bench.panel.message.text())
    bench.controller.annotation.enter_plane()
    assert not kept.autosaver.record.unsaved
    bench.labels.data_setitem((np.array([1]), np.array([2])), 7)
    assert kept.autosaver.record.unsaved


@pytest.mark.parametrize("axes", [(0, 1), (0, 2), (1, 2)])
def test_objects_on_planes_of_another_orientation(
    bench: Any, kept: RecoveryManager, tmp_path: Path, axes: tuple[int, int]
) -> None:
    bench.start(np.zeros((60, 80, 100), np.uint8), scale=(2, 1, 1))
    finish(bench, (bench.current.plane.steps[0], 30, 40))
    first = axes == (1, 2)
    if not first:
        beside = ({0, 1, 2} - set(axes)).pop()
        bench.viewer.dims.order = (beside, *axes)
        bench.until(lambda: bench.current.plane.axes == axes and bench.current.session)
        place = [30.0, 30.0, 40.0]
        place[beside] = bench.current.plane.steps[beside]
        finish(bench, tuple(place))
    shown = bench.labels.data.copy()
    assert shown.max() == (1 if first else 2)
    files = {"labels": "a.ome.tif", "table": "a.csv", "coco": "a.json", "save": "work"}
    for name, file in files.items():
        bench.panel.message.clear()
        bench.panel.write(name, tmp_path / file)
        bench.until(lambda: bench.panel.message.text().startswith(("Exp", "Saved")))
    clicks, labels = file_names(tmp_path / "work")
    for file in (labels, tmp_path / "a.ome.tif"):
        with TiffFile(file) as tiff:
            assert tiff.series[0].axes == "ZYX"
            np.testing.assert_array_equal(tiff.asarray(), shown)
    saved = read_prompts(clicks)
    assert {plane.axes for plane in saved.planes} == {(1, 2), axes}
    with (tmp_path / "a.csv").open(newline="") as stream:
        ids = {int(row["id"]) for row in csv.DictReader(stream)}
    assert ids == set(range(1, shown.max() + 1))


def test_clicks_are_written_though_the_labels_cannot_be(
    bench: Any, kept: RecoveryManager, tmp_path: Path
) -> None:
    bench.start()
    finish(bench, (30, 40))
    clicks, labels = file_names(tmp_path / "work")
    labels.mkdir()
    bench.panel.write("save", tmp_path / "work")
    bench.until(lambda: "not written" in bench.panel.message.text())
    words = bench.panel.message.text()
    assert words.startswith(f"Saved {clicks}. The labels were not written: ")
    saved = read_prompts(clicks)
    assert (saved.labels_file, saved.ids) == (None, (1,))
    assert kept.autosaver.record.unsaved
    labels.rmdir()
    clicks.unlink()
    clicks.mkdir()
    bench.panel.write("save", tmp_path / "work")
    bench.until(lambda: f"Saved {labels}" in bench.panel.message.text())
    np.testing.assert_array_equal(imread(labels), bench.labels.data)


def test_what_is_being_clicked_is_not_exported(
    bench: Any, kept: RecoveryManager, tmp_path: Path
) -> None:
    bench.start()
    finish(bench, (30, 40))
    finished = bench.labels.data.copy()
    click(bench, 60, 80)
    bench.settled(1)
    bench.panel.write("labels", tmp_path / "a.ome.tif")
    bench.until(lambda: "left out" in bench.panel.message.text())
    np.testing.assert_array_equal(imread(tmp_path / "a.ome.tif"), finished)
    bench.panel.write("coco", tmp_path / "a.json")
    bench.until(lambda: "a.json" in bench.panel.message.text())
    found = json.loads((tmp_path / "a.json").read_text())["annotations"]
    assert [one["object_id"] for one in found] == [1]
    bench.controller.command("clear")
    bench.settled(0)
    bench.current.begin_with(finished == 1, label=1)  # to be corrected
    bench.settled(1)
    click(bench, 34, 44)
    bench.settled(2)
    bench.panel.write("labels", tmp_path / "b.ome.tif")
    bench.until(lambda: "b.ome.tif" in bench.panel.message.text())
    np.testing.assert_array_equal(imread(tmp_path / "b.ome.tif"), finished)


def test_opened_clicks_take_the_place_of_their_layer(
    bench: Any, kept: RecoveryManager, tmp_path: Path
) -> None:
    bench.start()
    finish(bench, (30, 40))
    bench.panel.write("save", tmp_path / "work")
    bench.until(lambda: "Saved" in bench.panel.message.text())
    names = [layer.name for layer in bench.viewer.layers]
    before = bench.labels
    bench.panel.open_file(file_names(tmp_path / "work")[0])
    bench.until(lambda: "Opened" in bench.panel.message.text())
    assert [layer.name for layer in bench.viewer.layers] == names
    assert bench.labels != before
    assert before not in bench.viewer.layers
    assert len(bench.positive.data) == 0
    bench.settled(0)
    assert np.unique(bench.labels.data).tolist() == [0, 1]
    assert not kept.autosaver.record.unsaved
    assert bench.viewer.layers.selection.active == bench.positive


def test_the_expected_quality_comes_back(
    bench: Any, kept: RecoveryManager, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = _fake_segmenter._prediction
    monkeypatch.setattr(
        _fake_segmenter,
        "_prediction",
        lambda *args, **options: replace(made(*args, **options), quality=0.875),
    )
    bench.start()
    finish(bench, (30, 40))
    bench.panel.write("save", tmp_path / "work")
    bench.until(lambda: "Saved" in bench.panel.message.text())
    bench.controller.stop()
    bench.panel.open_file(file_names(tmp_path / "work")[0])
    bench.until(lambda: "Opened" in bench.panel.message.text())
    annotation = bench.controller.annotation
    assert annotation.notes.of(bench.current.plane)[1].quality == 0.875
    record = kept.autosaver.record
    assert {key: note.quality for key, note in record.notes().items()} == {
        ((), 1): 0.875
    }


def test_what_is_clicked_is_accepted_in_the_layer_that_is_left(
    bench: Any, kept: RecoveryManager
) -> None:
    image = bench.start(np.zeros((2, 80, 100), np.uint8))
    go_to(bench, 0)
    finish(bench, (0, 30, 40))
    click(bench, 0, 60, 80)
    bench.settled(1)
    go_to(bench, 1)
    click(bench, 1, 20, 20)
    bench.settled(1)
    cells, shown, before = bench.labels, bench.labels.data.copy(), kept.autosaver.record
    nuclei = bench.viewer.add_labels(np.zeros((2, 80, 100), np.int32))
    assert bench.controller.start(image, nuclei)
    words = ALL_ACCEPTED.format("2, 3", cells.name)
    bench.until(lambda: bench.controller.status == words)
    np.testing.assert_array_equal(cells.data, shown)
    assert not nuclei.data.any()
    assert len(bench.positive.data) == 0
    saved = before.saved()
    assert saved.ids == (1, 2, 3)
    assert saved.unfinished_clicks == 0
    made = replay(saved, FakeSegmenter(), image.data, any_model=True)
    np.testing.assert_array_equal(made, shown)
    bench.segmenter.gate.clear()
    click(bench, 1, 50, 50)
    bench.until(lambda: bench.segmenter.runs[-1].clicks == (Click(50, 50),))
    assert bench.controller.start(image, cells)
    bench.segmenter.gate.set()
    bench.until(lambda: bench.controller.status == NOT_ACCEPTED.format(1))
    np.testing.assert_array_equal(cells.data, shown)
    assert not nuclei.data.any()


def test_opened_clicks_hide_a_layer_of_the_users(
    bench: Any, kept: RecoveryManager, tmp_path: Path
) -> None:
    image = bench.start()
    mine = bench.viewer.add_labels(np.zeros((80, 100), np.int32), name="mine")
    assert bench.controller.start(image, mine)
    bench.until(lambda: bench.controller.session is not None)
    finish(bench, (30, 40))
    bench.panel.write("save", tmp_path / "work")
    bench.until(lambda: "Saved" in bench.panel.message.text())
    bench.panel.open_file(file_names(tmp_path / "work")[0])
    bench.until(lambda: "Opened" in bench.panel.message.text())
    assert mine in bench.viewer.layers
    assert not mine.visible
    assert (mine.data > 0).any()


def test_removed_labels_are_kept_for_recovery_and_go_on_when_they_come_back(
    bench: Any, kept: RecoveryManager
) -> None:
    PREFERENCES.autosave_seconds = 60
    image = bench.start()
    finish(bench, (30, 40))
    bench.controller.command("undo")  # not written yet
    bench.settled(1)
    labels = bench.labels
    bench.viewer.layers.remove(labels)
    bench.controller.start(image)
    bench.until(lambda: bench.controller.session is not None)
    (earlier, recovery), _ = kept.autosaver._writers
    bench.until(lambda: not recovery._thread.busy(recovery.file))
    assert read_recovery(recovery.file.path).saved == earlier.saved()
    assert earlier.saved().planes[0].sessions[-1].current.clicks == (Click(30, 40),)
    with pytest.raises(InputError, match="removed"):
        _ = earlier.labels
    bench.controller.stop()
    bench.viewer.add_layer(labels)
    assert bench.controller.start(image, labels)
    bench.until(lambda: bench.controller.session is not None)
    assert kept.autosaver._writers[0][0] is kept.autosaver.record
    bench.settled(1)  # what was being clicked goes on as well
    assert bench.positive.data.tolist() == [[30, 40]]
    bench.controller.command("accept")
    bench.settled(0)
    finish(bench, (60, 80))
    assert kept.autosaver.record.labels == labels
    bench.until(lambda: (read_recovery(recovery.file.path).labels() == 2).any())


def test_changes_are_kept_after_a_while_and_not_if_unwanted(
    bench: Any, kept: RecoveryManager, monkeypatch: pytest.MonkeyPatch
) -> None:
    PREFERENCES.autosave = False
    PREFERENCES.autosave_seconds = 0
    bench.start()
    finish(bench, (30, 40))
    bench.qtbot.wait(100)
    assert recovery_files() == []
    PREFERENCES.autosave = True
    click(bench, 60, 80)
    bench.settled(1)
    bench.until(lambda: len(recovery_files()) == 2)


@pytest.mark.parametrize("stem", ["plane", "p" * 250])
def test_clicks_are_kept_beside_the_image_if_wanted(
    bench: Any,
    kept: RecoveryManager,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    stem: str,
) -> None:
    warnings: list[str] = []
    monkeypatch.setattr(files_panel, "show_warning", warnings.append)
    PREFERENCES.autosave_seconds = 0
    PREFERENCES.autosave_beside = True
    file = tmp_path / f"{stem}.tif"
    imwrite(file, np.zeros((80, 100), np.uint8))
    begin = fitting_stem(file.name, ".autosave.clicks.json.earlier")
    copy = tmp_path / f"{begin}.autosave.clicks.json"
    copy.write_text("of another day")
    monkeypatch.setattr(record, "source_of", lambda _: str(file))
    bench.start()
    finish(bench, (30, 40))
    bench.until(lambda: copy.is_file() and copy.read_text()[0] == "{")
    bench.until(lambda: read_prompts(copy) == kept.autosaver.record.saved())
    assert (tmp_path / f"{copy.name}.earlier").read_text() == "of another day"
    (_, writer) = kept.autosaver._writers[0]
    thread = kept.autosaver._thread
    bench.until(lambda: writer.work.is_written and not thread.any_busy)
    copy.unlink()
    copy.mkdir()  # cannot be replaced by a file
    click(bench, 60, 80)
    bench.settled(1)
    bench.until(lambda: "beside the image" in bench.panel.message.text())
    assert [file for file in recovery_files() if file.suffix == ".npz"]
    told = bench.panel.message.text()
    assert told.endswith("Is a directory")
    assert "Errno" not in told
    finish(bench, (60, 20))
    bench.qtbot.wait(200)
    assert warnings == [told]  # on whatever page the user is, once


def test_what_was_undone_does_not_come_back(bench: Any, kept: RecoveryManager) -> None:
    PREFERENCES.autosave_seconds = 0
    bench.start()
    finish(bench, (30, 40))
    bench.until(lambda: [f for f in recovery_files() if f.suffix == ".npz"])
    (file,) = [f for f in recovery_files() if f.suffix == ".npz"]
    bench.until(lambda: (read_recovery(file).labels() == 1).any())
    bench.controller.command("undo")
    bench.controller.command("clear")
    bench.settled(0)
    assert kept.autosaver.record.empty
    bench.until(lambda: not file.exists())  # nothing is left to restore
    click(bench, 60, 80)
    bench.settled(1)
    bench.until(file.exists)
    assert read_recovery(file).amount == "1 click"


def test_restored_labels_have_the_name_that_the_user_gave_them(
    bench: Any, kept: RecoveryManager
) -> None:
    PREFERENCES.autosave_seconds = 0
    image = bench.start()
    lost = bench.labels
    lost.name = "my nuclei"
    finish(bench, (30, 40))
    bench.until(lambda: [f for f in recovery_files() if f.suffix == ".npz"])
    (file,) = [f for f in recovery_files() if f.suffix == ".npz"]
    bench.until(lambda: read_recovery(file).name == "my nuclei")
    bench.until(lambda: (read_recovery(file).labels() == 1).any())
    bench.controller.stop()
    bench.viewer.layers.remove(lost)
    kept.restorer.recover(read_recovery(file), image)
    bench.until(lambda: bench.controller.session is not None)
    assert bench.labels is not lost
    assert bench.labels.name == "my nuclei"


def test_planes_without_clicks_are_kept_too(bench: Any, kept: RecoveryManager) -> None:
    bench.start(np.zeros((3, 80, 100), np.uint8))
    go_to(bench, 2)
    bench.labels.data[0, :4, :4] = 9  # as from another plugin
    finish(bench, (2, 30, 40))
    bench.until(lambda: [f for f in recovery_files() if f.suffix == ".npz"])
    (file,) = [f for f in recovery_files() if f.suffix == ".npz"]
    np.testing.assert_array_equal(read_recovery(file).labels(), bench.labels.data)


def test_only_planes_that_changed_are_compressed_again(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    compressed = []
    compress = zlib.compress

    def noting(data: memoryview, level: int) -> bytes:
        compressed.append(data.nbytes)
        return compress(data, level)

    monkeypatch.setattr(zlib, "compress", noting)
    stack = np.random.default_rng(0).integers(0, 9, (3, 20, 30)).astype(np.uint16)
    packer = Packer()
    for changed in (None, 1, None):
        if changed is not None:
            stack[changed, 4, 5] += 1
        packed = [packer.pack(place, stack[place]) for place in range(3)]
        for place in range(3):
            made = unpack(packed[place].pixels, stack.dtype.str, (20, 30))
            np.testing.assert_array_equal(made, stack[place])
            assert packed[place].ids == {*np.unique(stack[place]).tolist()}
    assert compressed == [1200] * 4


@pytest.mark.parametrize(
    ("packed", "message"),
    [
        (b"no zlib", "damaged"),
        (zlib.compress(b"short"), "does not hold 24 bytes"),
        (zlib.compress(bytes(25)), "does not hold 24 bytes"),
    ],
)
def test_planes_that_are_not_whole_are_refused(packed: bytes, message: str) -> None:
    with pytest.raises(InputError, match=message):
        unpack(np.frombuffer(packed, np.uint8), "<i4", (2, 3))


def test_a_folder_that_cannot_be_used_is_told_once(
    bench: Any, kept: RecoveryManager, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").write_text("no folder")
    monkeypatch.setenv("NAPARI_GPCIS_STATE", str(tmp_path / "file"))
    bench.start()
    finish(bench, (30, 40))
    assert NOT_KEPT.format("") in bench.panel.message.text()
    bench.panel.message.clear()
    finish(bench, (60, 40))
    assert not bench.panel.message.text()


VICTIM = """
    import os, sys
    sys.path.insert(0, {tests!r})
    import numpy as np
    from napari.components import ViewerModel
    from qtpy.QtWidgets import QApplication
    from _fake_segmenter import FakeSegmenter
    from napari_gpcis.plugin.annotation.controller import Controller
    from napari_gpcis.plugin.robot import wait_for
    from napari_gpcis.plugin.dock.recovery import RecoveryManager

    app, viewer, segmenter = QApplication([]), ViewerModel(), FakeSegmenter()
    controller = Controller(viewer, lambda name: segmenter, "fake")
    keeping = RecoveryManager(viewer, controller)
    image = viewer.add_image(np.zeros((80, 100), np.uint8), name="cells")
    controller.start(image)
    session = lambda: controller.annotation.current.session
    assert wait_for(lambda: session() is not None, 60)
    for number, place in enumerate([(30, 40), (60, 80)]):
        controller.annotation.layers.positive.add(place)
        assert wait_for(lambda: session().prediction is not None, 60)
        controller.command("accept")
    controller.annotation.layers.positive.add((20, 80))
    assert wait_for(lambda: session().prediction is not None, 60)
    assert wait_for(lambda: 3 in controller.annotation.layers.labels.data, 60)
    recovery = keeping.autosaver._writers[0][1]
    recovery.write()
    assert wait_for(lambda: not recovery._thread.busy(recovery.file), 60)
    np.save(sys.argv[1], controller.annotation.layers.labels.data)
    print("ready", flush=True)
    wait_for(lambda: False, 600)
"""


@pytest.fixture
def killed(tmp_path: Path) -> np.ndarray:
    """Kill a process in the middle of its work; return the labels it showed."""
    code = textwrap.dedent(VICTIM).format(tests=str(TESTS))
    shown = tmp_path / "shown.npy"
    environment = {**os.environ, "QT_QPA_PLATFORM": "offscreen"}
    process = subprocess.Popen(
        [sys.executable, "-c", code, str(shown)],
        stdout=subprocess.PIPE,
        text=True,
        env=environment,
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "ready\n"
    os.kill(process.pid, signal.SIGKILL)
    assert process.wait() == -signal.SIGKILL
    process.stdout.close()
    return np.load(shown)


def test_a_killed_process_loses_nothing(
    killed: np.ndarray, open_desk: Callable[..., Any]
) -> None:
    desk = open_desk(name="cells")
    (file,) = [file for file in recovery_files() if file.suffix == ".npz"]
    note = desk.widget.recovery.banner
    assert note.isVisible()
    assert note.text.text().startswith("Unsaved work on 'cells' (2 objects, ")
    middle = note.grab().toImage().pixelColor(note.width() // 2, 2)
    assert middle.name() == BLUE[0]  # a box, as other notices
    assert note.height() >= note.text.height() + note.restore.height()
    assert note.text.height() >= note.text.heightForWidth(note.text.width())
    QTest.mouseClick(note.restore, Qt.MouseButton.LeftButton)
    desk.until(note.isHidden)
    desk.settled(1)  # the running object goes on
    np.testing.assert_array_equal(desk.labels.data, killed)
    desk.until(lambda: unsaved_work() == [])
    np.testing.assert_array_equal(read_recovery(file).labels(), killed)  # still there
    desk.controller.command("accept")
    desk.settled(0)
    assert len(desk.widget.recovery.autosaver.record.saved().planes[0].objects) == 3
    desk.until(lambda: read_recovery(file).objects == 3)
    assert [file for file in recovery_files() if file.suffix == ".npz"] == [file]


def left_by_crash(bench: Any, kept: RecoveryManager, folder: Path) -> Recovered:
    """Return the work that a crash would leave now."""
    (_, writer) = kept.autosaver._writers[0]
    writer.write()
    bench.until(lambda: writer.work.is_written)
    (file,) = [file for file in recovery_files() if file.suffix == ".npz"]
    return read_recovery(Path(copy(file, folder)))


def test_accepted_objects_that_wait_for_their_masks_outlive_a_crash(
    bench: Any, kept: RecoveryManager, tmp_path: Path
) -> None:
    bench.start()
    finish(bench, (30, 40))
    bench.segmenter.gate.clear()
    for place in ((60, 80), (20, 80)):
        click(bench, *place)
        bench.controller.command("accept")
    click(bench, 60, 20)
    bench.until(lambda: bench.controller.annotation.awaited == 3)
    record = kept.autosaver.record
    bench.until(lambda: record.amount == "3 objects, 1 further click")
    found = left_by_crash(bench, kept, tmp_path)
    assert found.amount == record.amount
    bench.segmenter.gate.set()
    bench.settled(1)
    shown = bench.labels.data.copy()
    assert [*np.unique(shown)] == [0, 1, 2, 3, 4]
    bench.controller.stop()
    again = bench.viewer.add_image(np.zeros((80, 100), np.uint8))
    bench.segmenter.gate.clear()  # they may wait again
    kept.restorer.recover(found, again)
    bench.until(lambda: bench.controller.annotation is not None)
    bench.until(lambda: kept.autosaver.record.amount == found.amount)
    bench.segmenter.gate.set()
    bench.until(lambda: not bench.controller.annotation.awaited)
    bench.settled(1)
    np.testing.assert_array_equal(bench.labels.data, shown)
    saved = kept.autosaver.record.saved()
    assert (saved.ids, saved.unfinished_clicks) == ((1, 2, 3), 1)


def test_a_recovery_file_is_of_one_moment(
    bench: Any, kept: RecoveryManager, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A mask that is drawn while the labels are copied is not in them unknown."""
    held, copying, found = threading.Event(), threading.Event(), []
    pack, write = Packer.pack, work.write_recovery

    def wait_and_pack(self: Packer, place: Any, plane: Any) -> Any:
        copying.set()
        assert held.wait(60)
        return pack(self, place, plane)

    def write_and_read(file: Path, *rest: Any) -> bool:
        written = write(file, *rest)
        if written:
            there = read_recovery(file)
            known = {0, *there.saved.ids, *(p.running for p in there.saved.planes)}
            found.append({*np.unique(there.labels())} <= known)
        return written

    monkeypatch.setattr(Packer, "pack", wait_and_pack)
    monkeypatch.setattr(work, "write_recovery", write_and_read)
    bench.start()
    finish(bench, (30, 40))
    bench.until(copying.is_set)
    click(bench, 60, 80)
    bench.settled(1)
    held.set()
    (_, writer) = kept.autosaver._writers[0]
    bench.until(lambda: writer.work.is_written)
    assert found == [True]
    assert not writer.work.is_late


def test_a_recovery_file_is_written_however_fast_work_goes_on(
    bench: Any, kept: RecoveryManager, monkeypatch: pytest.MonkeyPatch
) -> None:
    pack, copies = Packer.pack, []

    def work_on_and_pack(self: Packer, place: Any, plane: Any) -> Any:
        copies.append(place)
        if len(copies) <= TRIES + 1:
            kept.autosaver.record.version += 1
        return pack(self, place, plane)

    monkeypatch.setattr(Packer, "pack", work_on_and_pack)
    bench.start()
    finish(bench, (30, 40))
    bench.until(lambda: any(file.suffix == ".npz" for file in recovery_files()))
    assert len(copies) == TRIES + 1


def test_files_without_objects_that_wait_elsewhere_say_so(
    bench: Any, kept: RecoveryManager, tmp_path: Path
) -> None:
    """Of two planes with accepted objects that had no mask one is shown."""
    shape, nothing = (80, 100), SavedObject((), None, 0.5)
    clicked = replace(nothing, clicks=(Click(30, 40),))
    session = SavedSession(shape, "fake", None, None, None, None, (), clicked)
    planes = tuple(
        SavedPlane((1, 2), (plane, 0, 0), (session,), following=(nothing,))
        for plane in (0, 1)
    )
    write_prompts(
        tmp_path / "early.clicks.json", SavedAnnotation("", (2, *shape), planes)
    )
    bench.start(np.zeros((2, *shape), np.uint8))
    go_to(bench, 0)
    bench.panel.open_file(tmp_path / "early.clicks.json")
    bench.until(lambda: bench.labels.data[0].any() and not bench.current.clicks)
    for name, file in (("save", "work"), ("table", "work.csv")):
        bench.panel.write(name, tmp_path / file)
        words = saving.NO_MASKS.format(1)
        bench.until(lambda words=words: bench.panel.message.text().endswith(words))
    assert read_prompts(tmp_path / "work.clicks.json").amount == "2 objects"
    go_to(bench, 1)
    bench.until(lambda: bench.labels.data[1].any() and not bench.current.clicks)
    bench.panel.write("save", tmp_path / "whole")
    bench.until(lambda: "whole" in bench.panel.message.text())
    assert saving.NO_MASKS.format(1) not in bench.panel.message.text()
    assert len(np.unique(imread(tmp_path / "whole.labels.tif"))) == 3


def test_what_waiting_objects_are_to_change_outlives_a_crash(
    bench: Any, kept: RecoveryManager, tmp_path: Path
) -> None:
    bench.start()
    finish(bench, (30, 40))
    finish(bench, (60, 80))
    bench.segmenter.gate.clear()
    bench.labels.selected_label = 1
    bench.controller.writing.mode = "cut"
    click(bench, 30, 46)
    bench.controller.command("accept")
    PREFERENCES.protect = False
    click(bench, 60, 86)
    bench.controller.command("accept")
    PREFERENCES.protect = True
    click(bench, 60, 20)
    bench.until(lambda: bench.controller.annotation.awaited == 3)
    record = kept.autosaver.record
    bench.until(lambda: record.amount == "3 objects, 1 further click")
    found = left_by_crash(bench, kept, tmp_path)
    bench.segmenter.gate.set()
    bench.settled(1)
    shown = bench.labels.data.copy()
    areas = np.bincount(shown.ravel())
    assert areas[1] < areas[4]  # a part of it was subtracted
    assert areas[2] < areas[4]  # another object was put over it
    bench.controller.stop()
    again = bench.viewer.add_image(np.zeros((80, 100), np.uint8))
    kept.restorer.recover(found, again)
    bench.until(lambda: bench.controller.annotation is not None)
    bench.until(lambda: 4 in bench.labels.data)
    bench.settled(1)
    np.testing.assert_array_equal(bench.labels.data, shown)


def test_what_was_drawn_on_an_unfinished_object_outlives_a_crash(
    bench: Any, kept: RecoveryManager, tmp_path: Path
) -> None:
    bench.start()
    click(bench, 30, 40)
    bench.settled(1)
    plain = bench.labels.data.copy()
    where, nothing = np.ones((8, 4), bool), np.zeros((8, 4), bool)
    assert bench.current.draw_by_hand((10, 60, 18, 64), where, nothing)
    assert bench.current.draw_by_hand((28, 38, 36, 42), nothing, where)
    assert bench.current.draw_by_hand((60, 10, 68, 14), where, nothing)
    click(bench, 64, 12, positive=False)  # it overrides what was drawn there
    bench.settled(2)
    shown = bench.labels.data.copy()
    assert (shown[10:18, 60:64] == 1).all()
    assert not shown[28:36, 38:42].any()
    assert not shown[62:66, 10:14].any()
    assert plain[28:36, 38:42].all()
    found = left_by_crash(bench, kept, tmp_path)
    write_prompts(tmp_path / "work.clicks.json", found.saved)
    assert read_prompts(tmp_path / "work.clicks.json") == found.saved
    bench.controller.stop()
    again = bench.viewer.add_image(np.zeros((80, 100), np.uint8))
    kept.restorer.recover(found, again)
    bench.until(lambda: bench.controller.annotation is not None)
    bench.settled(2)
    np.testing.assert_array_equal(bench.labels.data, shown)


def test_clicks_before_the_model_is_there_are_work(
    bench: Any, kept: RecoveryManager, tmp_path: Path
) -> None:
    image = bench.viewer.add_image(np.zeros((80, 100), np.uint8))
    assert bench.controller.start(image)
    click(bench, 30, 40)
    bench.controller.command("accept")
    click(bench, 60, 80)
    bench.controller.annotation.click_layers.settle()
    assert bench.controller.session is None
    record = kept.autosaver.record
    assert record.unsaved
    assert record.amount == "1 object, 1 further click"
    file = tmp_path / "early.clicks.json"
    write_prompts(file, record.saved())
    saved = read_prompts(file)
    assert saved == record.saved()
    assert saved.models == ()
    bench.until(lambda: 2 in bench.labels.data)
    bench.settled(1)
    assert record.saved().models == ("fake",)
    assert record.amount == "1 object, 1 further click"
    shown = bench.labels.data.copy()
    bench.controller.stop()
    bench.panel.open_file(file)
    bench.until(lambda: 2 in bench.labels.data)
    np.testing.assert_array_equal(bench.labels.data, shown)
    words = bench.panel.message.text()
    assert words.startswith("Opened: 1 object, 1 further click.")


def test_restored_work_outlives_another_crash_without_autosaving(
    killed: np.ndarray, bench: Any, qtbot: Any
) -> None:
    """Its file is left to the next time, or goes with the work once that is saved."""
    PREFERENCES.autosave = False
    bench.viewer.add_image(np.zeros((80, 100), np.uint8), name="cells")
    for saved in (False, True):
        keeping = RecoveryManager(bench.viewer, bench.controller, bench.controller)
        qtbot.addWidget(keeping.banner)
        (left,) = keeping.banner.found
        keeping.banner.restore.click()
        bench.until(keeping.banner.isHidden)
        bench.until(lambda: bench.controller.session is not None)
        bench.settled(1)
        record = keeping.autosaver.record
        np.testing.assert_array_equal(left.labels(), killed)
        if saved:
            record.settle(record.version)
        bench.controller.stop()
        keeping.end()
        assert left.file.exists() is not saved


def test_work_restored_in_one_napari_is_not_deleted_in_another(
    killed: np.ndarray, bench: Any, qtbot: Any
) -> None:
    bench.viewer.add_image(np.zeros((80, 100), np.uint8), name="cells")
    one, other = (
        RecoveryManager(bench.viewer, bench.controller, bench.controller)
        for _ in range(2)
    )
    qtbot.addWidget(one.banner)
    qtbot.addWidget(other.banner)
    (left,) = one.banner.found
    one.banner.restore.click()
    bench.until(one.banner.isHidden)
    other.banner.restore.click()
    assert other.banner.text.text().endswith(f" {GONE}")
    other.banner.discard.click()
    assert other.banner.isHidden()
    np.testing.assert_array_equal(left.labels(), killed)
    one.end()
    other.end()


def test_work_left_behind_waits_for_its_image_or_is_discarded(
    killed: np.ndarray, bench: Any, qtbot: Any
) -> None:
    keeping = RecoveryManager(bench.viewer, bench.controller, bench.controller)
    qtbot.addWidget(keeping.banner)
    bench.viewer.add_image(np.zeros((9, 9)))
    keeping.banner.restore.click()
    assert keeping.banner.text.text().endswith(OPEN_IMAGE.format("'cells'"))
    assert len(unsaved_work()) == 1
    keeping.banner.discard.click()
    assert unsaved_work() == []
    assert keeping.banner.isHidden()
    keeping.end()


def test_unsaved_work_of_a_stack_is_told_and_shown(
    open_desk: Callable[..., Any],
) -> None:
    """Objects without clicks are work as well, and what is unfinished is gone to."""
    desk = open_desk(np.zeros((9, 80, 100), np.uint8), name="stack")
    desk.viewer.dims.set_current_step(0, 7)
    desk.until(lambda: desk.current.plane.steps[0] == 7 and desk.current.session)
    desk.labels.brush_size = 9
    for label in (1, 2, 3):
        desk.labels.paint((label, 10, 10), label)
    desk.robot.click(desk.image, (7, 40, 50))
    desk.settled(1)
    mask = np.array(desk.labels.data[7])
    autosaver = desk.widget.recovery.autosaver
    amount = "3 objects, 1 further click"
    assert autosaver.record.amount == amount
    desk.widget.shut_down()
    (found,) = unsaved_work()
    assert found.amount == amount
    widget = GPCISWidget(desk.widget.viewer, lambda name: FakeSegmenter())
    desk.viewer.window.add_dock_widget(widget, name="again")
    assert f"({amount}, " in widget.recovery.banner.text.text()
    desk.viewer.dims.set_current_step(0, 2)
    said: list[str] = []
    widget.controller.status_changed.connect(said.append)
    widget.recovery.banner.restore.click()
    desk.until(lambda: unsaved_work() == [])
    assert desk.viewer.dims.current_step[0] == 7
    words = f"Restored: {amount}. An object is unfinished on plane 7."
    desk.until(lambda: widget.session is not None and len(widget.session.clicks) == 1)
    labels = widget.controller.annotation.layers.labels.data
    desk.until(lambda: np.array_equal(labels[7] > 0, mask > 0))
    assert [int(labels[plane].max()) for plane in (1, 2, 3)] == [1, 2, 3]
    assert words in said
    widget.shut_down()


def test_what_is_saved_is_not_offered_after_a_crash(
    bench: Any, kept: RecoveryManager, tmp_path: Path
) -> None:
    """Its recovery file goes at once, and comes back with the next change."""

    def files() -> list[Path]:
        return [file for file in recovery_files() if file.suffix == ".npz"]

    PREFERENCES.autosave_seconds = 0
    bench.start()
    for number, place in enumerate(((30, 40), (60, 80))):
        finish(bench, place)
        bench.until(files)
        path = tmp_path / f"work{number}"
        bench.panel.write("save", path)
        bench.until(lambda: "Saved" in bench.panel.message.text())
        bench.until(lambda: not files())
        bench.qtbot.wait(100)
        assert not files()
    bench.panel.open_file(file_names(path)[0])
    bench.until(lambda: "Opened" in bench.panel.message.text())
    bench.qtbot.wait(200)
    assert not files()  # nothing was done in it yet
    assert not kept.unsaved
    finish(bench, (10, 80))
    bench.until(files)
    assert kept.unsaved


@pytest.mark.parametrize("saved", [True, False])
def test_strokes_after_the_annotation_are_work(
    bench: Any, kept: RecoveryManager, tmp_path: Path, saved: bool
) -> None:
    """Those after Stop, too: they are asked for, and in the recovery file."""
    image = bench.start()
    finish(bench, (30, 40))
    if saved:
        bench.panel.write("save", tmp_path / "work")
        bench.until(lambda: "Saved" in bench.panel.message.text())
    else:
        bench.until(lambda: recovery_files())
    labels = bench.labels
    bench.controller.stop()
    assert kept.unsaved is not saved
    labels.paint((60, 80), 7)
    (record,) = kept.autosaver.unsaved
    assert record.amount == "2 objects"
    bench.controller.start(image, labels)  # it is work of one annotation now
    bench.until(lambda: bench.controller.session is not None)
    version = kept.autosaver.record.version
    labels.paint((10, 80), 8)
    assert kept.autosaver.record.version == version + 1
    assert record.version == version
    bench.controller.stop()
    (work,) = kept.autosaver._works
    bench.until(lambda: work.is_written)
    labels.paint((10, 10), 9)
    drawn = np.array(labels.data)
    kept.end()
    labels.paint((70, 10), 10)  # nobody keeps it any more
    (left,) = unsaved_work()
    assert {*np.unique(drawn)} == {0, 1, 7, 8, 9}
    np.testing.assert_array_equal(left.labels(), drawn)


def test_work_drawn_by_hand_alone_is_kept(open_desk: Callable[..., Any]) -> None:
    desk = open_desk(name="cells")
    autosaver = desk.widget.recovery.autosaver
    assert not autosaver.record.unsaved
    desk.labels.brush_size = 9
    desk.labels.paint((30, 40), 5)
    layer, drawn = desk.labels, np.array(desk.labels.data)
    assert autosaver.unsaved == [autosaver.record]
    desk.widget.shut_down()
    desk.viewer.layers.remove(layer)
    widget = GPCISWidget(desk.widget.viewer, lambda name: FakeSegmenter())
    desk.viewer.window.add_dock_widget(widget, name="again")
    banner = widget.recovery.banner
    assert "(1 object, " in banner.text.text()
    banner.restore.click()
    desk.until(lambda: widget.session is not None and unsaved_work() == [])
    labels = widget.controller.annotation.layers.labels.data
    np.testing.assert_array_equal(labels, drawn)
    assert widget.recovery.autosaver.record.unsaved  # until it is saved
    widget.shut_down()
    assert len(unsaved_work()) == 1


def test_a_damaged_recovery_file_is_left_alone(killed: np.ndarray) -> None:
    (file,) = [file for file in recovery_files() if file.suffix == ".npz"]
    file.write_bytes(file.read_bytes()[:100])
    assert unsaved_work() == []
    assert file.is_file()


def test_dialogs_begin_where_files_of_the_images_folder_went_last(
    open_desk: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    desk = open_desk()
    files = next(p for p in desk.widget.panels if isinstance(p, FilesPanel))
    sources: dict[Any, str] = {}
    proposed: list[str] = []
    folders = [tmp_path / name for name in ("a", "b", "results")]
    for folder in folders:
        folder.mkdir()

    def choose(_parent: Any, _title: str, name: str, **_: Any) -> tuple[str, str]:
        proposed.append(name)
        return str(folders[2] / f"{len(proposed)}.csv"), ""

    monkeypatch.setattr(QFileDialog, "getSaveFileName", choose)
    monkeypatch.setattr(record, "source_of", lambda one: sources.get(one, ""))
    names = ("a/cells.tif", "a/other.tif", "b/cells.tif", "")
    images = [desk.image]
    images += [desk.viewer.add_image(desk.image.data, name="cells") for _ in range(3)]
    for image, name in zip(images, names, strict=True):
        sources[image] = str(tmp_path / name) if name else ""
    for image in images:
        desk.widget.image_combo.layer = image
        desk.widget.start()
        desk.until(lambda image=image: desk.controller.annotation.image is image)
        desk.until(lambda: desk.widget.session is not None)
        assert not files.message.text()  # of the image before
        files.buttons["table"].click()
        desk.until(lambda: not files.saver.busy)
        desk.until(lambda: "Exported" in files.message.text())
    begun = [Path(name).parent for name in proposed]
    assert begun == [folders[0], folders[2], folders[1], Path()]


def test_nested_objects_have_two_layers_that_are_saved_apart(
    open_desk: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Cells and nuclei of one image: either layer keeps its objects and its clicks."""
    desk = open_desk()
    combo, proposed = desk.widget.labels_combo, []
    files = next(p for p in desk.widget.panels if isinstance(p, FilesPanel))

    def choose(_parent: Any, _title: str, name: str, **_: Any) -> tuple[str, str]:
        proposed.append(name)
        return str(tmp_path / name), ""

    def pick(row: int) -> None:
        combo.setCurrentIndex(row)
        combo.activated.emit(row)
        desk.until(lambda: desk.widget.session is not None)

    def accept(*point: int) -> None:
        desk.robot.click(desk.image, point)
        desk.settled(1)
        desk.robot.press(Qt.Key.Key_N)
        desk.settled(0)

    monkeypatch.setattr(QFileDialog, "getSaveFileName", choose)
    accept(40, 40)
    cells = desk.labels
    cells.name = "cells"
    pick(combo.findText(NEW_LAYER))
    nuclei = desk.labels
    nuclei.name = "nuclei"
    assert nuclei is not cells
    accept(40, 42)  # inside of the cell
    accept(40, 80)
    pick(combo.findText("cells"))
    assert desk.labels == cells
    accept(15, 15)
    assert [*np.unique(cells.data)] == [*np.unique(nuclei.data)] == [0, 1, 2]
    assert (cells.data[nuclei.data == 1] == 1).mean() > 0.8
    for name in ("cells", "nuclei"):
        pick(combo.findText(name))
        files.buttons["save"].click()
        desk.until(lambda: not files.saver.busy)
        desk.until(lambda: not files.record.unsaved)
    stem = desk.image.name
    names = [Path(name).name for name in proposed]
    assert names == [f"{stem}-{name}.clicks.json" for name in ("cells", "nuclei")]
    for layer in (cells, nuclei):
        saved = read_prompts(tmp_path / f"{stem}-{layer.name}.clicks.json")
        made = replay(saved, FakeSegmenter(), desk.image.data, any_model=True)
        np.testing.assert_array_equal(made, layer.data)


def test_labels_of_a_stack_are_written_by_picture(
    kept: RecoveryManager, bench: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Into a folder; what is there is named and replaced if that is wanted."""
    files, asked = [tmp_path / f"well_{n}.tif" for n in range(3)], []
    for file in files:
        imwrite(file, np.zeros((80, 100), np.uint8))
    blocks = [da.from_delayed(delayed(imread)(f), (80, 100), np.uint8) for f in files]
    folder = tmp_path / "labels"
    answers = [QMessageBox.StandardButton.No, QMessageBox.StandardButton.Yes]

    def ask(_parent: Any, _title: str, text: str, *_: Any) -> Any:
        asked.append(text)
        return answers.pop(0)

    monkeypatch.setattr(QMessageBox, "question", ask)
    monkeypatch.setattr(QFileDialog, "getExistingDirectory", lambda *_: str(folder))
    bench.start(np.zeros((3, 80, 100), np.uint8))
    bench.panel.buttons["split"].click()
    assert bench.panel.message.text() == NO_FILES
    source = {FILE: str(files[0])}
    bench.start(da.stack(blocks), metadata=source)
    go_to(bench, 2)
    finish(bench, (2, 30, 40))
    click(bench, 2, 60, 80)  # is not accepted
    bench.settled(1)

    def export() -> list[int]:
        bench.panel.buttons["split"].click()
        bench.until(lambda: not bench.panel.saver.busy)
        names = [folder / f"well_{number}_labels.tif" for number in range(3)]
        assert sorted(folder.iterdir()) == names
        found = [imread(name) for name in names]
        assert [one.shape for one in found] == [(80, 100)] * 3
        return [np.count_nonzero(one) for one in found]

    def drawn() -> int:
        return int(np.count_nonzero(bench.labels.data[2] == 1))

    before = drawn()
    assert export() == [0, 0, before]
    bench.controller.command("accept")
    bench.settled(0)
    both = int(np.count_nonzero(bench.labels.data[2]))
    assert export() == [0, 0, before]
    assert asked[0].count("_labels.tif") == 3
    assert export() == [0, 0, both]
    assert both > before
    # a picture of the stack is not replaced
    files[1].rename(tmp_path / "well_0_labels.tif")
    files[1] = tmp_path / "well_0_labels.tif"
    blocks = [da.from_delayed(delayed(imread)(f), (80, 100), np.uint8) for f in files]
    bench.start(da.stack(blocks), metadata=source)
    folder = tmp_path
    bench.panel.buttons["split"].click()
    assert bench.panel.message.text() == OWN_IMAGE.format(files[1])
