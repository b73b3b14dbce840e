"""Several pieces of unsaved work on one image: none takes the place of another."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from napari.layers import Image
from qtpy.QtCore import Qt
from qtpy.QtTest import QTest
from qtpy.QtWidgets import QFileDialog

import napari_gpcis.plugin.dock.recovery as recovery_module
from _fake_segmenter import FakeSegmenter
from napari_gpcis.plugin.dock.panels.files import FilesPanel
from napari_gpcis.plugin.dock.recovery import image_of
from napari_gpcis.plugin.saving.export import file_names
from napari_gpcis.plugin.saving.record import FILE, place_of, source_of
from napari_gpcis.plugin.saving.recovery_file import unsaved_work
from napari_gpcis.plugin.saving.restore import BESIDE
from napari_gpcis.plugin.settings.preferences import PREFERENCES
from napari_gpcis.plugin.widget import GPCISWidget

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path


def press(button: Any) -> None:
    QTest.mouseClick(button, Qt.MouseButton.LeftButton)


def accept(desk: Any, *places: tuple[int, ...]) -> None:
    for place in places:
        desk.robot.click(desk.image, place)
        desk.settled(1)
        desk.robot.press(Qt.Key.Key_N)
        desk.settled(0)


def reopen(desk: Any) -> Any:
    """End the widget as a crash does, and open another one in the same viewer."""
    desk.widget.shut_down()
    own = [one for one in desk.viewer.layers if type(one).__name__ != "Image"]
    for layer in own:
        desk.viewer.layers.remove(layer)
    desk.viewer.window.remove_dock_widget(desk.widget)
    widget = GPCISWidget(desk.widget.viewer, lambda name: FakeSegmenter())
    desk.viewer.window.add_dock_widget(widget, name="again")
    return replace(desk, widget=widget)


@pytest.fixture
def desk(open_desk: Callable[..., Any]) -> Any:
    """Two objects and three objects, in recovery files of one image."""
    desk = open_desk(name="one")
    accept(desk, (20, 20), (20, 60))
    desk = reopen(desk)
    assert desk.widget.start()
    desk.until(lambda: desk.widget.session is not None)
    accept(desk, (60, 20), (60, 50), (60, 80))
    desk = reopen(desk)
    assert [one.objects for one in unsaved_work()] == [3, 2]
    return desk


def restore(desk: Any, amount: int) -> None:
    """Restore what is offered, and wait for it."""
    banner = desk.widget.recovery.banner
    assert f"({amount} objects, " in banner.text.text()
    left = len(banner.found)
    press(banner.restore)
    desk.until(lambda: len(banner.found) == left - 1)
    desk.until(lambda: desk.widget.session is not None)
    desk.settled(0)


def ids(layer: Any) -> list[int]:
    return np.unique(layer.data)[1:].tolist()


def test_a_second_restored_work_gets_a_layer_of_its_own(desk: Any) -> None:
    restore(desk, 3)
    first = desk.labels
    accept(desk, (20, 20))
    shown = first.data.copy()
    desk.robot.click(desk.image, (20, 60))
    desk.settled(1)
    said: list[str] = []
    desk.controller.status_changed.connect(said.append)
    restore(desk, 2)
    second = desk.labels
    assert (first.name, second.name) == ("one objects", "one objects [1]")
    assert first in desk.viewer.layers
    assert first.visible
    assert ids(first) == [1, 2, 3, 4, 5]  # what was being clicked is accepted
    np.testing.assert_array_equal(first.data[shown > 0], shown[shown > 0])
    assert ids(second) == [1, 2]
    assert any(BESIDE.format(second.name, first.name) in words for words in said)
    desk.robot.press(Qt.Key.Key_U)
    assert ids(first) == [1, 2, 3, 4, 5]
    desk.widget.labels_combo.layer = first  # the first goes on
    desk.widget.labels_combo.picked.emit()
    desk.until(lambda: desk.widget.session is not None)
    assert desk.labels == first
    desk.robot.press(Qt.Key.Key_U)  # what was undoable in it still is
    desk.until(lambda: ids(first) == [1, 2, 3, 4])
    desk.robot.press(Qt.Key.Key_U, Qt.KeyboardModifier.ShiftModifier)
    desk.until(lambda: ids(first) == [1, 2, 3, 4, 5])
    accept(desk, (40, 90))
    assert ids(first) == [1, 2, 3, 4, 5, 6]
    assert ids(second) == [1, 2]
    autosaver = desk.widget.recovery.autosaver
    assert sorted(record.amount for record in autosaver.unsaved) == [
        "2 objects",
        "6 objects",
    ]


def test_what_is_chosen_is_offered_first(desk: Any) -> None:
    banner = desk.widget.recovery.banner
    other = desk.viewer.add_image(np.zeros((80, 90), np.uint8), name="other")
    desk.widget.image_combo.layer = other
    assert desk.widget.start()
    desk.until(lambda: desk.widget.session is not None)
    accept(replace(desk, image=other), (20, 20))
    desk = reopen(desk)
    banner = desk.widget.recovery.banner
    desk.widget.image_combo.layer = desk.image
    assert "'one' (3 objects, " in banner.text.text()
    desk.widget.image_combo.layer = other
    assert "'other' (1 object, " in banner.text.text()
    desk.widget.image_combo.layer = desk.image
    press(banner.discard)  # what is offered, and nothing else
    assert "'one' (2 objects, " in banner.text.text()
    assert sorted(one.objects for one in unsaved_work()) == [1, 2]
    desk.widget.image_combo.layer = other
    press(banner.restore)
    desk.until(lambda: desk.widget.session is not None)
    assert desk.controller.annotation.image == other


def test_work_goes_to_the_image_of_its_file(
    desk: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Images of one name and shape, opened from two folders."""
    pixels = desk.image.data
    a, b, c = (Image(pixels, name="one") for _ in range(3))
    files = {a: "a/one.tif", b: "b/one.tif"}
    monkeypatch.setattr(
        recovery_module, "source_of", lambda image: files.get(image, "")
    )
    (found, _) = unsaved_work()
    of_b = replace(found, source="b/one.tif")
    assert image_of(of_b, [a, b, c]) is b
    assert image_of(of_b, [a, c]) is c  # not of a file that is another
    moved = replace(found, source="c/one.tif", saved=replace(found.saved, image="x"))
    assert image_of(moved, [a, b, c]) is a
    assert image_of(moved, [a, b, c], c) is c  # all alike: the chosen one


@pytest.mark.parametrize("there", [False, True])
def test_work_goes_to_another_image_only_if_one_says_so_twice(
    desk: Any, there: bool
) -> None:
    """The images of a microscope have one shape: that alone makes none the right."""
    banner, viewer = desk.widget.recovery.banner, desk.viewer
    viewer.layers.remove(desk.image)
    other = viewer.add_image(np.zeros((80, 100), np.uint8), name="two")
    press(banner.restore)
    assert banner.text.text().endswith(
        "Open its image first: 'one'. Or press Restore once more to have it on 'two', "
        "of the same shape."
    )
    desk.qtbot.wait(100)
    assert desk.controller.annotation is None
    assert len(banner.found) == 2
    wanted = other
    if there:
        wanted = viewer.add_image(np.zeros((80, 100), np.uint8), name="one.tif")
        desk.widget.image_combo.layer = other
    restore(desk, 3)
    assert desk.controller.annotation.image == wanted


def test_one_file_has_one_path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Opened from whatever folder: work on it is found again."""
    file = tmp_path / "nav" / "im0.png"
    file.parent.mkdir()
    file.touch()
    monkeypatch.chdir(tmp_path)
    image = np.zeros((4, 5))
    for path in (str(file), "nav/im0.png"):
        assert source_of(Image(image, metadata={FILE: path})) == str(file)
    for path in ("gone.png", "https://example.org/im0.png", ""):
        assert source_of(Image(image, metadata={FILE: path})) == path


@pytest.mark.parametrize("removed", [False, True])
def test_opened_clicks_do_not_take_the_place_of_unsaved_work(
    open_desk: Callable[..., Any], tmp_path: Path, removed: bool
) -> None:
    desk = open_desk(name="one")
    accept(desk, (20, 20))
    files = next(one for one in desk.widget.panels if isinstance(one, FilesPanel))
    files.write("save", tmp_path / "work")
    desk.until(lambda: "Saved" in files.message.text())
    desk.robot.click(desk.image, (60, 60))
    desk.settled(1)
    first = desk.labels
    files.open_file(file_names(tmp_path / "work")[0])
    desk.until(lambda: "Opened" in files.message.text())
    second = desk.labels
    assert (first.name, second.name) == ("one objects", "one objects [1]")
    assert BESIDE.format(second.name, first.name) in files.message.text()
    assert (ids(first), ids(second)) == ([1, 2], [1])
    if removed:  # nor does what is restored
        desk.viewer.layers.remove(first)
        accept(desk, (60, 20), (40, 90))
        press(desk.widget.recovery.banner.restore)
        desk.until(lambda: desk.labels is not second)
        desk.until(lambda: desk.widget.session is not None)
        assert (ids(desk.labels), ids(second)) == ([1, 2], [1, 2, 3])


@pytest.mark.parametrize(
    ("source", "place"),
    [
        ("a/cells.tif", "a/cells.tif"),
        ("a/image.zarr", "a/image.zarr"),
        ("a/image.zarr/0", "a/image.zarr"),
        ("a/plate.ZARR/A/1/labels/x.zarr/0", "a/plate.ZARR"),
    ],
)
def test_files_about_an_image_go_beside_it(source: str, place: str) -> None:
    assert place_of(source).as_posix() == place


def test_no_file_goes_into_an_ome_zarr_image(
    open_desk: Callable[..., Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    plate, proposed = tmp_path / "plate.zarr", []

    def choose(_parent: Any, _title: str, name: str, **_: Any) -> tuple[str, str]:
        proposed.append(name)
        return "", ""

    monkeypatch.setattr(QFileDialog, "getSaveFileName", choose)
    monkeypatch.setattr(
        QFileDialog,
        "getOpenFileName",
        lambda *args, **_: (proposed.append(args[2]), ("", ""))[1],
    )
    desk = open_desk(name="well", metadata={FILE: str(plate / "A" / "0")})
    PREFERENCES.autosave_beside = True
    (plate / "A" / "0").mkdir(parents=True)
    accept(desk, (20, 20))
    copy = tmp_path / "plate.zarr-A-0.autosave.clicks.json"
    desk.until(copy.is_file)
    files = next(one for one in desk.widget.panels if isinstance(one, FilesPanel))
    files.buttons["save"].click()
    files.buttons["open"].click()
    assert proposed == [str(tmp_path / "well.clicks.json"), f"{tmp_path}"]
    inside = sorted(one.relative_to(plate).as_posix() for one in plate.rglob("*"))
    assert inside == ["A", "A/0"]
