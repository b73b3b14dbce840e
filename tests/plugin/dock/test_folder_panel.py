"""A folder of images by mouse: saved when one goes on, odd files are skipped."""

from __future__ import annotations

from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import numpy as np
from qtpy.QtCore import QPoint, Qt
from qtpy.QtTest import QTest
from qtpy.QtWidgets import QFileDialog
from skimage.io import imsave
from tifffile import imread, imwrite

from _bright_segmenter import BALL, MIDDLE, TRUTH, BrightSegmenter
from napari_gpcis.imagefiles.folder import PROGRESS
from napari_gpcis.plugin.dock.pages import FILES, PAGES
from napari_gpcis.plugin.dock.panels.folder import IDLE, FolderPanel
from napari_gpcis.plugin.dock.panels.stack import StackPanel
from napari_gpcis.plugin.saving import autosave, folder
from napari_gpcis.plugin.saving.folder import UNACCEPTED
from napari_gpcis.plugin.saving.identity import source_of
from napari_gpcis.plugin.viewer.overlays import is_ours_to_show
from napari_gpcis.prompts import read_prompts

if TYPE_CHECKING:
    from pathlib import Path

    import pytest

LEFT = Qt.MouseButton.LeftButton


def open_folder(desk: Any, path: Path, monkeypatch: pytest.MonkeyPatch) -> FolderPanel:
    """Press the button, and choose a folder."""
    panel = next(p for p in desk.widget.panels if isinstance(p, FolderPanel))
    section = next(s for s in desk.widget.sections if s.content is panel)
    desk.widget.pages.setCurrentIndex([*PAGES].index(FILES))
    if not section.unfolded:
        QTest.mouseClick(section.header, LEFT)
    monkeypatch.setattr(QFileDialog, "getExistingDirectory", lambda *_: str(path))
    QTest.mouseClick(panel.open_button, LEFT)
    opened(desk, panel)
    return panel


def opened(desk: Any, panel: FolderPanel) -> None:
    """Wait until an image is open."""
    desk.until(lambda: not panel.navigator.busy and desk.widget.session is not None)
    annotation = desk.controller.annotation
    assert annotation is not None
    desk.image = annotation.image
    desk.viewer.reset_view()


def go(desk: Any, panel: FolderPanel, button: Any) -> None:
    QTest.mouseClick(button, LEFT)
    opened(desk, panel)


def shown(desk: Any) -> list[str]:
    return [one.name for one in desk.viewer.layers if not is_ours_to_show(one)]


def write_gray(path: Path) -> None:
    imsave(path, np.full((80, 100), 9, np.uint8), check_contrast=False)


def test_work_is_saved_beside_each_image_and_goes_on(
    open_desk: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("a1.png", "a2.png", "a10.png"):
        write_gray(tmp_path / name)
    desk = open_desk()
    before = desk.image
    panel = open_folder(desk, tmp_path, monkeypatch)
    assert before in desk.viewer.layers, "what was open stays"
    desk.viewer.window.resize(1280, 800)
    desk.qtbot.wait(50)
    for part in (panel.next_button, panel.done, panel.message):
        assert part.visibleRegion().boundingRect().height() == part.height()
    assert panel.list.item(1).text().endswith("a2.png")
    assert source_of(desk.image) == str(tmp_path / "a1.png")
    desk.robot.click(desk.image, (20, 30))
    desk.settled(1)
    desk.robot.press(Qt.Key.Key_N)
    desk.settled(0)
    desk.robot.click(desk.image, (60, 80))  # is being clicked when one goes on
    desk.settled(1)
    labels = np.array(desk.labels.data)
    accepted = np.where(labels == 2, 0, labels)
    QTest.mouseClick(panel.done, LEFT, pos=QPoint(8, panel.done.height() // 2))
    assert panel.bar.value() == 1

    go(desk, panel, panel.next_button)
    assert desk.image.name == "a2.png"
    assert not any("a1.png" in name for name in shown(desk))
    np.testing.assert_array_equal(imread(tmp_path / "a1.labels.tif"), accepted)
    assert panel.message.text() == UNACCEPTED.format("a1.png")
    assert (tmp_path / "a1.clicks.json").is_file()
    assert not desk.labels.data.any()
    go(desk, panel, panel.next_button)
    assert not (tmp_path / "a2.labels.tif").exists(), "nothing was done there"
    assert not panel.next_button.isEnabled()

    desk.labels.data_setitem((np.array([5, 5]), np.array([6, 7])), 4)  # by hand alone
    go(desk, panel, panel.previous_button)
    assert imread(tmp_path / "a10.labels.tif").max() == 4
    go(desk, panel, panel.previous_button)
    desk.settled(1)
    np.testing.assert_array_equal(desk.labels.data, labels)
    assert panel.done.isChecked()
    assert panel.bar.value() == 1
    desk.robot.press(Qt.Key.Key_N)
    desk.settled(0)
    go(desk, panel, panel.next_button)
    again = open_folder(desk, tmp_path, monkeypatch)
    assert desk.image.name == "a2.png", "it opens where it was left"
    assert again.bar.value() == 1


def test_saved_images_leave_nothing_to_recover(
    open_desk: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Their labels are gone when the next writing would be due."""
    monkeypatch.setenv("NAPARI_GPCIS_STATE", str(tmp_path / "state"))
    for name in ("a1.png", "a2.png", "a3.png"):
        write_gray(tmp_path / name)
    desk = open_desk()
    panel = open_folder(desk, tmp_path, monkeypatch)
    rhythm = SimpleNamespace(autosave_seconds=0)  # the least for users is 5
    monkeypatch.setattr(autosave, "PREFERENCES", rhythm)
    recovery = tmp_path / "state" / "recovery"
    for _ in range(2):
        rhythm.autosave_seconds = 0
        desk.robot.click(desk.image, (30, 40))
        desk.settled(1)
        desk.robot.press(Qt.Key.Key_N)
        desk.settled(0)
        desk.until(lambda: list(recovery.glob("*.npz")))
        rhythm.autosave_seconds = 2
        desk.robot.click(desk.image, (60, 70))
        desk.settled(1)
        go(desk, panel, panel.next_button)
    desk.qtbot.wait(2500)
    assert not list(recovery.glob("*.npz"))
    assert (tmp_path / "a2.clicks.json").is_file()


def test_odd_files_are_named_and_skipped(
    open_desk: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "a.png").write_bytes(b"no picture")
    imwrite(tmp_path / "b.tif", np.full((70, 90), 40_000, np.uint16))
    imsave(tmp_path / "c.png", np.zeros((60, 50, 3), np.uint8), check_contrast=False)
    stack = np.zeros((3, 40, 50), np.uint8)
    imwrite(tmp_path / "d.tif", stack, photometric="minisblack")
    np.save(tmp_path / "e.npy", np.zeros(7))
    imwrite(tmp_path / "f.tif", np.zeros((40, 50), np.uint8))
    imwrite(tmp_path / "f.labels.tif", np.ones((7, 7), np.uint8))
    imwrite(tmp_path / "g.tif", np.zeros((40, 50), np.uint8))
    (tmp_path / "g.clicks.json").write_text("damaged")
    imwrite(tmp_path / "h.tif", np.zeros((40, 50), np.uint8))
    imwrite(tmp_path / "h.labels.tif", np.eye(50, dtype=np.uint16)[:40] * 700)
    desk = open_desk()
    panel = open_folder(desk, tmp_path, monkeypatch)
    assert desk.image.name == "b.tif"
    assert "a.png was skipped" in panel.message.text()
    assert panel.list.item(0).text().startswith("!")
    assert desk.image.data.dtype == np.uint16
    go(desk, panel, panel.next_button)
    assert (desk.image.name, desk.image.rgb) == ("c.png", True)
    assert panel.message.text() == IDLE
    go(desk, panel, panel.next_button)
    assert (desk.image.name, desk.image.ndim) == ("d.tif", 3)
    go(desk, panel, panel.next_button)
    assert desk.image.name == "h.tif"
    assert desk.labels.data[3, 3] == 700
    for name, why in (("e.npy", "no rows"), ("f.tif", "shape"), ("g.tif", "no JSON")):
        line = next(t for t in panel.message.text().split("\n") if name in t)
        assert why in line
    assert (tmp_path / "g.clicks.json").read_text() == "damaged"
    assert imread(tmp_path / "f.labels.tif").shape == (7, 7)


def test_where_nothing_further_can_be_opened_one_comes_back(
    open_desk: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("a.png", "d.png", "e.png"):
        (tmp_path / name).write_bytes(b"no picture")
    for name in ("b.png", "c.png"):
        write_gray(tmp_path / name)
    desk = open_desk()
    panel = open_folder(desk, tmp_path, monkeypatch)
    assert desk.image.name == "b.png"
    assert panel.message.text().count("\n") == 0  # a.png alone
    go(desk, panel, panel.next_button)
    desk.robot.click(desk.image, (20, 30))
    desk.settled(1)
    desk.robot.press(Qt.Key.Key_N)
    desk.settled(0)
    labels = np.array(desk.labels.data)
    go(desk, panel, panel.next_button)
    assert desk.image.name == "c.png"
    np.testing.assert_array_equal(desk.labels.data, labels)
    first, second, last = panel.message.text().split("\n")
    assert first.startswith("d.png was skipped")
    assert second.startswith("e.png was skipped")
    assert last == folder.NO_MORE
    panel.message.clear()
    go(desk, panel, panel.next_button)  # they are known by now, and told again
    assert panel.message.text().split("\n") == [first, second, last]
    panel.navigator.folder.go_to(3)  # as it was left before
    panel = open_folder(desk, tmp_path, monkeypatch)
    assert desk.image.name == "c.png"
    assert folder.NO_MORE not in panel.message.text()


def test_a_file_that_is_passed_over_is_named_each_time(
    open_desk: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "b.png").write_bytes(b"no picture")
    for name in ("a.png", "c.png"):
        write_gray(tmp_path / name)
    desk = open_desk()
    panel = open_folder(desk, tmp_path, monkeypatch)
    button = {"c.png": panel.next_button, "a.png": panel.previous_button}
    for name in ("c.png", "a.png", "c.png"):
        go(desk, panel, button[name])
        assert desk.image.name == name
        assert panel.message.text().startswith("b.png was skipped: ")
        assert "\n" not in panel.message.text()


def test_pixels_that_napari_refuses_are_skipped(
    open_desk: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ramp = np.arange(80 * 100, dtype=np.float32).reshape(80, 100)
    write_gray(tmp_path / "a.png")
    dtypes = ("complex64", "U2", "S1", "M8[s]", "m8[s]", "V4", "i4,f4")
    for number, dtype in enumerate(dtypes):
        np.save(tmp_path / f"b{number}.npy", np.zeros((80, 100), dtype))
    imwrite(tmp_path / "c.tif", ramp.astype(np.complex64))
    np.save(tmp_path / "d.npy", ramp.astype(np.longdouble))
    desk = open_desk()
    panel = open_folder(desk, tmp_path, monkeypatch)
    go(desk, panel, panel.next_button)
    assert desk.image.name == "d.npy"
    assert desk.image.data.dtype == np.float64  # the longest that napari draws
    lines = panel.message.text().split("\n")
    assert len(lines) == len(dtypes) + 1
    assert all("was skipped: image must have a boolean, integer" in t for t in lines)
    assert lines[-1].endswith("got complex64")
    for one in panel.navigator.folder.images:
        one.problem = ""
    monkeypatch.setattr(folder, "check_dtype", lambda _: None)  # as if it were known
    go(desk, panel, panel.previous_button)
    assert desk.image.name == "a.png"
    lines = panel.message.text().split("\n")
    assert len(lines) == len(dtypes) + 1
    assert all("was skipped: napari cannot show it (" in t for t in lines)
    assert panel.open_button.isEnabled()


def test_what_cannot_be_saved_stays_open(
    open_desk: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("a.png", "b.png"):
        write_gray(tmp_path / name)
    (tmp_path / PROGRESS).mkdir()  # and how far it is cannot be written either
    desk = open_desk()
    panel = open_folder(desk, tmp_path, monkeypatch)
    assert "could not be written" in panel.message.text()
    desk.robot.click(desk.image, (20, 30))
    desk.settled(1)
    (tmp_path / "a.labels.tif").mkdir()
    QTest.mouseClick(panel.next_button, LEFT)
    desk.until(lambda: "It stays open." in panel.message.text())
    assert desk.image.name == "a.png"
    assert desk.labels.data.any()
    (tmp_path / "a.labels.tif").rmdir()
    go(desk, panel, panel.next_button)
    assert desk.image.name == "b.png"
    assert imread(tmp_path / "a.labels.tif").shape == (80, 100)
    assert read_prompts(tmp_path / "a.clicks.json").unfinished_clicks == 1


def test_what_a_run_has_found_is_saved_when_one_goes_on(
    open_desk: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("a.tif", "b.tif"):
        imwrite(tmp_path / name, BALL, photometric="minisblack")
    desk = open_desk(model=BrightSegmenter())
    panel = open_folder(desk, tmp_path, monkeypatch)
    stack = next(p for p in desk.widget.panels if isinstance(p, StackPanel))
    run = stack.propagation
    desk.viewer.dims.set_current_step(0, MIDDLE)
    desk.until(lambda: desk.current.plane.steps[0] == MIDDLE)
    desk.settled(0)
    desk.robot.click(desk.image, (MIDDLE, 32, 32))
    desk.settled(1)

    def hold() -> None:
        if run.found:
            desk.segmenter.gate.clear()

    run.changed.connect(hold)
    run.propagate([1])
    desk.until(lambda: run.found)
    assert run.running
    QTest.mouseClick(panel.next_button, LEFT)  # it ends, and cannot find more
    count = int((desk.labels.data[MIDDLE + 1 :] == 1).any(axis=(1, 2)).sum())
    assert count >= 1
    run.changed.disconnect(hold)
    desk.segmenter.gate.set()
    opened(desk, panel)
    assert desk.image.name == "b.tif"
    wanted = np.zeros_like(TRUTH)
    wanted[MIDDLE : MIDDLE + 1 + count] = TRUTH[MIDDLE : MIDDLE + 1 + count]
    np.testing.assert_array_equal(imread(tmp_path / "a.labels.tif") == 1, wanted)
    assert len(read_prompts(tmp_path / "a.clicks.json").planes) == 1 + count
