"""Choosing a model: all are listed, those far away are fetched while work goes on."""

from __future__ import annotations

import hashlib
import io
import threading
from typing import TYPE_CHECKING, Any

import pytest
import torch
from qtpy.QtCore import Qt
from qtpy.QtTest import QTest
from qtpy.QtWidgets import QMessageBox

import napari_gpcis.plugin.dock.panels.model as model_panel
from _model_server import ModelServer, serving
from napari_gpcis.checkpoints import (
    ModelInfo,
    download,
    list_models,
    registry,
    save_checkpoint,
)
from napari_gpcis.checkpoints.download import RemoteFile
from napari_gpcis.checkpoints.registry import DEFAULT_MODEL, PUBLISHED, PublishedModel
from napari_gpcis.inference.segmenter import Segmenter
from napari_gpcis.model.gpcis import build_model
from napari_gpcis.plugin.annotation.jobs import load_segmenter
from napari_gpcis.plugin.dock import model_list
from napari_gpcis.plugin.dock.model_choice import STAYS, ModelChoice
from napari_gpcis.plugin.dock.model_list import MODELS
from napari_gpcis.plugin.dock.pages import PAGES, SETTINGS
from napari_gpcis.plugin.dock.panels.model import (
    DEVICES,
    NOT_HERE,
    ModelPanel,
    devices_here,
)
from napari_gpcis.plugin.settings.preferences import PREFERENCES

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from _fake_segmenter import FakeSegmenter

FAR = "far-away"


@pytest.fixture(autouse=True)
def own_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NAPARI_GPCIS_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("NAPARI_GPCIS_STATE", str(tmp_path / "state"))
    monkeypatch.setattr(model_list, "_THIS_TIME", set())


@pytest.fixture(scope="module")
def weights() -> bytes:
    """A file as the published code writes it, of a small network."""
    with torch.random.fork_rng():
        torch.manual_seed(0)
        state = build_model("mobilenet_v2").state_dict()
    stream = io.BytesIO()
    torch.save({"state_dict": state}, stream)
    return stream.getvalue()


@pytest.fixture
def server(weights: bytes, monkeypatch: pytest.MonkeyPatch) -> Iterator[ModelServer]:
    """A server that has a published model of the list."""
    with serving(weights) as running:
        digest = hashlib.sha256(weights).hexdigest()
        file = RemoteFile("Far.pth", (running.url,), len(weights), digest)
        info = ModelInfo(
            FAR,
            "mobilenet_v2",
            licence="MIT",
            training_data="nothing at all",
            description="Teaches patience.",
        )
        monkeypatch.setitem(PUBLISHED, FAR, PublishedModel(info, file))
        monkeypatch.setattr(download, "PAUSES", (0.01,))
        yield running


@pytest.fixture
def checkpoint(tmp_path: Path) -> Path:
    """A fine-tuned model of the user's own."""
    file = tmp_path / "my nuclei.safetensors"
    info = ModelInfo("x", "mobilenet_v2", description="Nuclei of our own.")
    save_checkpoint(file, build_model("mobilenet_v2"), info)
    return file


def pick(choice: ModelChoice, name: str) -> None:
    """Choose an entry of the opened list with a key, without passing by others."""
    combo = choice.combo
    place = [one.key for one in choice._choices].index(name)
    combo.showPopup()
    view = combo.view()
    view.setCurrentIndex(combo.model().index(place, 0))
    QTest.keyClick(view, Qt.Key.Key_Return)
    assert combo.currentIndex() == place


def panel_of(widget: Any) -> ModelPanel:
    (panel,) = (one for one in widget.panels if isinstance(one, ModelPanel))
    return panel


def press(button: Any) -> None:
    QTest.mouseClick(button, Qt.MouseButton.LeftButton)


def test_all_models_are_offered_with_their_facts(
    qtbot: Any, server: ModelServer
) -> None:
    choice = ModelChoice()
    qtbot.addWidget(choice)
    titles = [choice.combo.itemText(place) for place in range(choice.combo.count())]
    assert len(titles) == len(list_models())
    size = f"{len(server.content) / 1e6:.1f} MB"
    assert f"{FAR} (download, {size})" in titles
    assert "gpcis-resnet50-sbd (download, 158 MB)" in titles
    assert choice.combo.currentText() == choice.model == DEFAULT_MODEL
    place = titles.index(f"{FAR} (download, {size})")
    assert choice.combo.itemData(place, Qt.ItemDataRole.ToolTipRole)
    choice.close_links()


def test_the_section_says_what_a_model_is_for(open_desk: Any, server: Any) -> None:
    desk = open_desk()
    server.gate.clear()
    panel = panel_of(desk.widget)
    assert DEFAULT_MODEL in panel.facts.text()
    assert "here" in panel.facts.text()
    pick(desk.widget.model_choice, FAR)
    for words in ("Teaches patience.", "MIT", "nothing at all", NOT_HERE):
        assert words in panel.facts.text()


def test_a_model_that_is_here_is_preferred_else_any_other(
    qtbot: Any, tmp_path: Path, checkpoint: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(registry, "FOLDER", tmp_path / "none")
    choice = ModelChoice()
    qtbot.addWidget(choice)
    assert not choice.choice.is_here
    MODELS.add_file(checkpoint)
    another = ModelChoice()
    qtbot.addWidget(another)
    assert another.model == str(checkpoint)
    for one in (choice, another):
        one.close_links()


def test_first_use_downloads_while_the_old_model_goes_on(
    open_desk: Any, server: ModelServer, tmp_path: Path
) -> None:
    desk = open_desk()
    asked: list[str] = []
    desk.controller._models._factory = lambda name: asked.append(name) or desk.segmenter
    choice = desk.widget.model_choice
    server.gate.clear()
    pick(choice, FAR)
    server.wait_until_asked()
    assert choice.note.isVisible()
    assert desk.controller.model == DEFAULT_MODEL
    desk.robot.click(desk.image, (30, 40))  # nothing blocks
    desk.settled(1)
    server.gate.set()
    desk.until(lambda: desk.controller.model == FAR)
    desk.until(lambda: asked == [FAR])
    desk.settled(1)  # the clicks were replayed
    assert not choice.note.isVisible()
    assert choice.combo.currentText() == FAR
    assert (tmp_path / "home" / f"{FAR}.safetensors").is_file()
    assert PREFERENCES.model == FAR


def test_the_downloaded_model_predicts(
    make_napari_viewer_proxy: Any, server: ModelServer, qtbot: Any
) -> None:
    """First use of a published model in the widget: fetch, convert, load, click."""
    from napari_gpcis.plugin.sample_data import nuclei_fluorescence
    from napari_gpcis.plugin.widget import GPCISWidget

    proxy = make_napari_viewer_proxy()
    viewer = proxy.__wrapped__
    viewer.add_image(nuclei_fluorescence()[0][0])
    widget = GPCISWidget(proxy)
    qtbot.addWidget(widget)
    pick(widget.model_choice, FAR)
    qtbot.waitUntil(lambda: widget.controller.model == FAR, timeout=60_000)
    assert widget.start()
    qtbot.waitUntil(lambda: widget.session is not None, timeout=60_000)
    assert isinstance(widget.session.segmenter, Segmenter)
    assert widget.session.segmenter.info.name == FAR
    widget.shut_down()


def test_a_cancelled_download_keeps_the_old_model_and_what_came(
    open_desk: Any,
    server: ModelServer,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    desk = open_desk()
    choice = desk.widget.model_choice
    part = tmp_path / "home" / "Far.pth.part"
    monkeypatch.setattr(download, "PAUSES", (3.0,) * 20)
    server.cuts = [len(server.content) // 2 + more for more in range(20)]
    pick(choice, FAR)
    desk.until(lambda: part.is_file() and part.stat().st_size > 0)
    desk.until(lambda: choice.note.bar.value() > 0)
    press(choice.note.cancel)
    assert choice.combo.currentText() == DEFAULT_MODEL == desk.controller.model
    assert not choice.note.isVisible()
    desk.qtbot.wait(3500)  # longer than the pause before the next attempt
    assert desk.controller.model == DEFAULT_MODEL
    assert part.is_file()
    server.cuts.clear()
    pick(choice, FAR)
    desk.until(lambda: desk.controller.model == FAR)
    assert server.asked[-1].startswith("bytes=")
    assert not part.exists()


def test_a_broken_connection_is_resumed_and_a_failure_can_be_tried_again(
    open_desk: Any, server: ModelServer, errors: list[str]
) -> None:
    desk = open_desk()
    choice = desk.widget.model_choice
    server.cuts = [len(server.content) // 3]
    server.statuses = [404]
    pick(choice, FAR)
    desk.until(choice.note.retry.isVisible)
    assert "404" not in choice.note.text.text()
    assert STAYS.format(DEFAULT_MODEL) in choice.note.text.text()
    assert not choice.note.details.isVisible()
    press(choice.note.fold.header)
    assert choice.note.details.isVisible()
    assert "404" in choice.note.details.text()
    assert choice.combo.currentText() == choice.model == DEFAULT_MODEL  # in use
    assert not errors  # said in place, once
    assert desk.controller.model == DEFAULT_MODEL
    press(choice.note.retry)
    desk.until(lambda: desk.controller.model == FAR)
    assert [bool(asked) for asked in server.asked] == [False, False, True]
    assert not choice.note.isVisible()


def test_another_choice_gives_the_download_up(
    open_desk: Any, server: ModelServer
) -> None:
    desk = open_desk()
    choice = desk.widget.model_choice
    server.gate.clear()
    pick(choice, FAR)
    server.wait_until_asked()
    pick(choice, DEFAULT_MODEL)
    server.gate.set()
    desk.qtbot.wait(200)
    assert not choice.note.isVisible()
    assert desk.controller.model == DEFAULT_MODEL


def test_the_widget_closes_while_a_download_hangs(
    open_desk: Any, server: ModelServer
) -> None:
    desk = open_desk()
    server.gate.clear()
    pick(desk.widget.model_choice, FAR)
    server.wait_until_asked()
    queue = desk.widget.model_choice.download._queue
    desk.widget.shut_down()
    server.gate.set()
    desk.until(lambda: not queue.alive)


def test_a_file_of_ones_own_stays_in_the_list(
    open_desk: Any, checkpoint: Path, tmp_path: Path
) -> None:
    desk = open_desk()
    panel, choice = panel_of(desk.widget), desk.widget.model_choice
    (tmp_path / "broken.safetensors").write_bytes(b"no model")
    panel.load_file(tmp_path / "broken.safetensors")
    assert "broken.safetensors" in panel.message.text()
    assert desk.controller.model == DEFAULT_MODEL
    panel.load_file(checkpoint)
    assert desk.controller.model == str(checkpoint)
    assert choice.combo.currentText() == "my nuclei"
    assert "Nuclei of our own." in panel.facts.text()
    assert panel.message.isHidden()
    model_list._THIS_TIME.clear()  # another day
    assert MODELS.find(str(checkpoint)).is_here
    checkpoint.unlink()
    choice.refresh()
    titles = [choice.combo.itemText(place) for place in range(choice.combo.count())]
    assert "my nuclei.safetensors (file not found)" in titles


def test_a_file_that_went_while_it_was_listed_changes_nothing(
    open_desk: Any, checkpoint: Path
) -> None:
    desk = open_desk()
    choice = desk.widget.model_choice
    panel_of(desk.widget).load_file(checkpoint)
    choice.use(DEFAULT_MODEL)
    kept = registry.user_model_file("kept")
    kept.write_bytes(checkpoint.read_bytes())
    choice.refresh()
    for key, file in ((str(checkpoint), checkpoint), ("kept", kept)):
        assert MODELS.find(key).is_here
        file.unlink()
        choice.use(key)
        assert desk.controller.model == DEFAULT_MODEL
        assert choice.combo.currentText() == DEFAULT_MODEL
        assert choice.note.isVisibleTo(choice)
        assert STAYS.format(DEFAULT_MODEL) in choice.note.text.text()
        assert key in choice.note.details.text()
    assert "kept" not in [one.key for one in choice._choices]


@pytest.fixture
def answers(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """Answers to questions, the next one first; what was asked comes behind."""
    given: list[Any] = []

    def ask(_parent: Any, _title: str, text: str, *_: Any) -> Any:
        given.append(text)
        return given.pop(0)

    monkeypatch.setattr(QMessageBox, "question", ask)
    return given


def test_a_model_of_ones_own_is_removed_if_one_says_so(
    open_desk: Any, checkpoint: Path, answers: list[Any]
) -> None:
    yes, no = QMessageBox.StandardButton.Yes, QMessageBox.StandardButton.No
    kept = registry.user_model_file("kept")
    kept.write_bytes(checkpoint.read_bytes())  # as fine-tuning stores them
    beside = [kept.with_suffix(ending) for ending in (".md", ".png", ".json")]
    others = [kept.with_name("kept-2.md"), kept.with_name("kept.txt")]
    for file in (*beside, *others):
        file.write_text("card, curves, record")
    desk = open_desk()
    panel, choice = panel_of(desk.widget), desk.widget.model_choice
    choice.use(DEFAULT_MODEL)
    assert not panel.remove.isEnabled()
    choice.use("kept")
    assert panel.remove.isEnabled()
    answers[:] = [no]
    press(panel.remove)
    assert kept.exists()
    assert all(file.exists() for file in beside)
    assert desk.controller.model == "kept"
    answers[:] = [yes]
    press(panel.remove)
    assert not kept.exists()
    assert not any(file.exists() for file in beside)
    assert all(file.exists() for file in others)
    assert "the model kept?" in answers[0]
    assert str(kept) in answers[0]
    assert "kept.md, kept.png, kept.json" in answers[0]
    assert f"{DEFAULT_MODEL} is used in its place" in answers[0]
    assert desk.controller.model == choice.combo.currentText() == DEFAULT_MODEL
    assert MODELS.find("kept") is None

    panel.load_file(checkpoint)
    answers[:] = [yes]
    press(panel.remove)
    assert checkpoint.exists()
    assert "stays where it is" in answers[0]
    assert f"{DEFAULT_MODEL} is used in its place" in answers[0]
    assert MODELS.find(str(checkpoint)) is None
    assert desk.controller.model == DEFAULT_MODEL


@pytest.mark.parametrize("clicked", [True, False])
def test_the_status_says_which_model_takes_over(
    open_desk: Any, checkpoint: Path, answers: list[Any], clicked: bool
) -> None:
    """Until the next click, also once the masks were made anew by it."""
    desk = open_desk()
    panel = panel_of(desk.widget)
    panel.load_file(checkpoint)
    desk.until(lambda: desk.widget.session is not None)
    if clicked:
        desk.robot.click(desk.image, (30, 40))
        desk.settled(1)
    answers[:] = [QMessageBox.StandardButton.Yes]
    press(panel.remove)
    said = f"my nuclei.safetensors is out of the list: {DEFAULT_MODEL} is in use now."
    desk.until(lambda: desk.widget.session is not None)
    desk.settled(int(clicked))
    assert desk.controller.status == said
    desk.robot.click(desk.image, (32, 42))
    desk.settled(1 + clicked)
    assert "click" in desk.controller.status
    assert said not in desk.controller.status
    desk.widget.start_button.click()
    panel.load_file(checkpoint)
    answers[:] = [QMessageBox.StandardButton.Yes]
    press(panel.remove)
    assert desk.controller.status == said


def test_a_model_that_cannot_be_deleted_stays(
    open_desk: Any,
    checkpoint: Path,
    answers: list[Any],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    kept = registry.user_model_file("kept")
    kept.write_bytes(checkpoint.read_bytes())
    desk = open_desk()
    panel, choice = panel_of(desk.widget), desk.widget.model_choice
    choice.use("kept")

    def refuse(*_: Any, **__: Any) -> None:
        raise PermissionError(13, "Permission denied", str(kept))

    monkeypatch.setattr(type(kept), "unlink", refuse)
    answers[:] = [QMessageBox.StandardButton.Yes]
    press(panel.remove)
    said = f"{kept} cannot be deleted: Permission denied."
    desk.until(lambda: desk.widget.session is not None)
    assert panel.message.text() == desk.controller.status == said
    assert desk.controller.model == choice.combo.currentText() == "kept"
    assert MODELS.find("kept").is_here


def test_a_model_is_gone_even_if_what_lies_beside_it_cannot_be_deleted(
    open_desk: Any, checkpoint: Path, answers: list[Any]
) -> None:
    kept = registry.user_model_file("kept")
    kept.write_bytes(checkpoint.read_bytes())
    desk = open_desk()
    panel, choice = panel_of(desk.widget), desk.widget.model_choice
    choice.use("kept")
    card = kept.with_suffix(".md")
    card.write_text("in use, as on Windows")
    unlink = type(card).unlink

    def refuse(file: Path, missing_ok: bool = False) -> None:
        if file == card:
            raise PermissionError(13, "Permission denied", str(file))
        unlink(file, missing_ok=missing_ok)

    answers[:] = [QMessageBox.StandardButton.Yes]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(type(card), "unlink", refuse)
        press(panel.remove)
    desk.until(lambda: desk.widget.session is not None)
    said = f"{card} cannot be deleted: Permission denied"
    assert desk.controller.status == f"{said}: {DEFAULT_MODEL} is in use now."
    assert desk.controller.model == choice.combo.currentText() == DEFAULT_MODEL
    assert not kept.exists()


def test_devices_are_asked_for_on_the_inference_thread(
    open_desk: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    names: list[str] = []

    def devices() -> set[str]:
        names.append(threading.current_thread().name)
        return {"auto", "cpu"}

    monkeypatch.setattr(model_panel, "devices_here", devices)
    desk = open_desk()
    panel = panel_of(desk.widget)
    items = panel.device.model()
    assert items.item(list(DEVICES).index("mps")).isEnabled()
    assert not names
    desk.widget.pages.setCurrentIndex([*PAGES].index(SETTINGS))
    desk.until(lambda: not items.item(list(DEVICES).index("mps")).isEnabled())
    assert items.item(list(DEVICES).index("cpu")).isEnabled()
    assert names == ["napari-gpcis inference"]


def test_the_device_is_a_preference(
    open_desk: Any, checkpoint: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    desk = open_desk()
    made: list[str] = []

    def factory(name: str) -> FakeSegmenter:
        made.append(PREFERENCES.device)
        return desk.segmenter

    desk.controller._models._factory = factory
    panel = panel_of(desk.widget)
    panel.device.mark(devices_here())
    model = panel.device.model()
    assert model.item(list(DEVICES).index("cpu")).isEnabled()
    here = torch.backends.mps.is_available()
    assert model.item(list(DEVICES).index("mps")).isEnabled() == here
    desk.robot.click(desk.image, (30, 40))
    desk.settled(1)
    panel.device.setCurrentIndex(1)
    panel.device.activated.emit(1)
    desk.until(lambda: made == ["cpu"])
    desk.settled(1)
    assert load_segmenter(str(checkpoint)).device == "cpu"
