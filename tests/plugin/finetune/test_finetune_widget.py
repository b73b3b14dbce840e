"""The Fine-tune widget in a real viewer: real mouse clicks on its buttons."""

from __future__ import annotations

import json
import os
import signal
import tempfile
import threading
import time
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import torch
from napari.utils.theme import get_theme
from qtpy.compat import isalive
from qtpy.QtCore import QPoint, Qt
from qtpy.QtTest import QTest

from napari_gpcis import Segmenter, list_models
from napari_gpcis.checkpoints import InferenceSettings, ModelInfo, save_checkpoint
from napari_gpcis.model.gpcis import build_model
from napari_gpcis.plugin.dock.base import dock_of
from napari_gpcis.plugin.finetune import widget as widget_module
from napari_gpcis.plugin.finetune.process import ENDED, INSTALL
from napari_gpcis.plugin.finetune.widget import (
    BEGIN_AGAIN,
    FOLDERS,
    KEPT,
    NO_BETTER,
    NO_HELP,
    READY,
    STOPPED,
    USED,
    FinetuneWidget,
)
from training._label_files import disks, write_set

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

WAIT = 240_000
TINY = [
    "--batch-size=2",
    "--size=64",
    "--workers=0",
    "--objects=2",
    "--precision=32-true",
    "--keep=trained",
]


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Models of the user: one that has learnt nothing and looks at 64 pixels."""
    folder = tmp_path / "home"
    monkeypatch.setenv("NAPARI_GPCIS_HOME", str(folder))
    (folder / "models").mkdir(parents=True)
    with torch.random.fork_rng():
        torch.manual_seed(0)
        network = build_model("mobilenet_v2")
    info = ModelInfo("a-start", "mobilenet_v2", inference=InferenceSettings(64))
    save_checkpoint(folder / "models" / "a-start.safetensors", network, info)
    return folder


@pytest.fixture
def temporary(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Folder for temporary files, empty."""
    folder = tmp_path / "temporary"
    folder.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(folder))
    return folder


class Bench:
    """A viewer with the widget, and a hand at the mouse."""

    def __init__(self, proxy: Any, qtbot: Any) -> None:
        self.viewer = proxy.__wrapped__
        self.qtbot = qtbot
        self.widget = FinetuneWidget(proxy)
        self.viewer.window.add_dock_widget(self.widget, name="Fine-tune")
        self.viewer.window.resize(1300, 900)
        qtbot.waitUntil(self.viewer.window._qt_window.isVisible, timeout=WAIT)
        self.widget.model.choose("a-start")
        self.annotator: Any = None

    def open_annotator(self) -> Any:
        """Open the widget that uses models."""
        _, self.annotator = self.viewer.window.add_plugin_dock_widget(
            "napari-gpcis", "GPCIS"
        )
        return self.annotator

    def click(self, button: Any) -> None:
        """Press a button with the mouse, as it is seen."""
        self.until(button.isVisible)
        assert button.isEnabled()
        middle = QPoint(button.width() // 2, button.height() // 2)
        QTest.mouseMove(button, middle)
        QTest.mouseClick(
            button, Qt.MouseButton.LeftButton, Qt.KeyboardModifier.NoModifier, middle
        )

    def until(self, condition: Any) -> None:
        self.qtbot.waitUntil(lambda: bool(condition()), timeout=WAIT)

    def choose_folders(self, root: Path, *more: str) -> None:
        widget = self.widget
        widget.source.setCurrentText(FOLDERS)
        widget.folders.images.setText(str(root / "images"))
        widget.folders.labels.setText(str(root / "labels"))
        widget.more_arguments = [*TINY, *more]


@pytest.fixture
def bench(make_napari_viewer_proxy: Any, qtbot: Any, home: Path) -> Iterator[Bench]:
    made = Bench(make_napari_viewer_proxy(show=True), qtbot)
    yield made
    made.widget.shut_down()
    if made.annotator is not None:
        made.annotator.shut_down()


def test_layers_become_a_model_that_is_used_at_once(
    bench: Bench, home: Path, temporary: Path
) -> None:
    annotator = bench.open_annotator()
    pictures = [disks(seed) for seed in range(4)]
    bench.viewer.add_image(np.stack([image for image, _ in pictures]), name="cells")
    bench.viewer.add_labels(np.stack([labels for _, labels in pictures]), name="truth")
    widget = bench.widget
    widget.more_arguments = [*TINY, "--steps=3"]
    widget.layers.rows[0][1].layer = bench.viewer.layers["truth"]
    widget.layers.rows[0][0].layer = bench.viewer.layers["cells"]
    assert widget.name.text() == "my-model"
    bench.click(widget.start_button)
    bench.until(lambda: widget.process.running)
    assert not widget.start_button.isEnabled()
    bench.until(lambda: widget.progress.use.isVisible())
    assert not widget.busy
    assert READY.format("my-model") in widget.progress.message.text()
    assert widget.progress.curves.clicks
    assert "my-model" in [model.name for model in list_models()]
    assert Segmenter.from_pretrained("my-model").info.extra["steps"] == "3"
    bench.click(widget.progress.use)
    assert annotator.model_choice.model == "my-model"
    assert widget.progress.message.text() == USED.format("my-model")
    assert not widget.progress.use.isVisible()
    assert annotator.model_choice.combo.currentText() == "my-model"
    assert "my-model" in [widget.model.itemText(k) for k in range(widget.model.count())]
    assert [*temporary.iterdir()] == []


def test_stop_keeps_the_best_so_far(bench: Bench, home: Path, tmp_path: Path) -> None:
    bench.choose_folders(write_set(tmp_path / "set"), "--steps=100000")
    widget = bench.widget
    bench.click(widget.start_button)
    bench.until(lambda: "Training: step" in widget.progress.message.text())
    bench.click(widget.stop_button)
    bench.until(lambda: not widget.busy)
    assert READY.format("my-model") in widget.progress.message.text()
    record = json.loads((home / "models" / "my-model.json").read_text())
    assert record["training"]["ended_by"] == "a request to stop"
    assert not widget.stop_button.isVisible()


def test_a_killed_child_gives_one_message_and_can_go_on(
    bench: Bench, home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    messages: list[str] = []
    monkeypatch.setattr(widget_module, "show_error", messages.append)
    bench.choose_folders(write_set(tmp_path / "set"), "--steps=100000")
    widget = bench.widget
    bench.click(widget.start_button)
    bench.until(lambda: "Training: step" in widget.progress.message.text())
    os.kill(widget.process.pid, signal.SIGKILL)
    bench.until(lambda: not widget.busy)
    bench.until(lambda: messages)
    (message,) = messages
    assert ENDED.split("(")[0] in message
    assert KEPT in message
    assert widget.start_button.text() == BEGIN_AGAIN
    bench.click(widget.resume_button)
    bench.until(lambda: "Training: step" in widget.progress.message.text())
    bench.click(widget.stop_button)
    bench.until(lambda: not widget.busy)
    assert READY.format("my-model") in widget.progress.message.text()
    assert len(messages) == 1


def test_closing_the_window_ends_the_child(
    make_napari_viewer_proxy: Any, qtbot: Any, home: Path, tmp_path: Path
) -> None:
    bench = Bench(make_napari_viewer_proxy(show=True), qtbot)
    bench.choose_folders(write_set(tmp_path / "set"), "--steps=100000")
    bench.click(bench.widget.start_button)
    bench.until(lambda: bench.widget.progress.figures.isVisible())
    pid = bench.widget.process.pid
    assert _alive(pid)
    bench.viewer.close()
    until = time.monotonic() + WAIT / 1000
    while _alive(pid) and time.monotonic() < until:
        qtbot.wait(100)
    assert not _alive(pid)
    assert (home / "models" / "my-model.unfinished").is_dir()


def close_window(bench: Bench) -> None:
    """Close the window as Control-W does: Qt deletes all that is in it."""
    window = bench.viewer.window._qt_window
    window.close()
    bench.until(lambda: not isalive(window))
    del bench.viewer.window._qt_window  # napari would close it again


def close_dock(bench: Bench) -> None:
    dock = dock_of(bench.widget)
    QTest.mouseClick(dock.title.close_button, Qt.MouseButton.LeftButton)


def remove_dock(bench: Bench) -> None:
    bench.viewer.window.remove_dock_widget(bench.widget)


def close_viewer(bench: Bench) -> None:
    bench.viewer.close()


CLOSINGS = [close_window, close_dock, remove_dock, close_viewer]


@pytest.mark.parametrize("close", CLOSINGS)
@pytest.mark.parametrize("training", [False, True], ids=["reading", "starting"])
def test_nothing_is_left_when_it_is_closed_just_after_its_start(
    make_napari_viewer_proxy: Any,
    qtbot: Any,
    qtlog: Any,
    home: Path,
    temporary: Path,
    monkeypatch: pytest.MonkeyPatch,
    close: Callable[[Bench], None],
    training: bool,
) -> None:
    gate = threading.Event()
    write = widget_module.write_pairs

    def write_later(*args: Any) -> Any:
        made = write(*args)
        gate.wait(WAIT / 1000)
        return made

    monkeypatch.setattr(widget_module, "write_pairs", write_later)
    bench = Bench(make_napari_viewer_proxy(show=True), qtbot)
    image, labels = disks()
    bench.viewer.add_image(image)
    bench.viewer.add_labels(labels)
    widget = bench.widget
    widget.more_arguments = TINY
    bench.click(widget.start_button)
    bench.until(lambda: list(temporary.rglob("*.npy")))
    process = widget.process
    if training:
        gate.set()
        bench.until(lambda: process.pid)
    pid = process.pid
    assert bool(pid) is training
    if not training:
        qtbot.wait(50)
        threading.Timer(0.5, gate.set).start()
    close(bench)
    assert [*temporary.iterdir()] == []
    assert not (pid and _alive(pid))
    names = [thread.name for thread in threading.enumerate()]
    assert "napari-gpcis reading layers" not in names
    assert not any("QProcess" in record.message for record in qtlog.records)


def _alive(pid: int) -> bool:
    """Whether a process is there."""
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


def test_the_text_has_the_clicks_that_the_figures_have(bench: Bench) -> None:
    before, after = {"score": 2.06}, {"score": 2.08}
    done = {"event": "done", "name": "six", "before": before, "after": after}
    progress = bench.widget.progress
    for event, words in (
        ({**done, "improved": False, "kept": "start"}, NO_HELP),
        ({**done, "improved": False, "kept": "trained"}, NO_BETTER),
    ):
        bench.widget._on_event(event)
        bench.widget._on_success(event)
        assert words.split("{}")[0].strip() in progress.message.text()
        assert "2.08 for 2.06 before" in progress.message.text()
        assert "<b>2.06</b> before, <b>2.08</b> after" in progress.figures.text()


def test_a_stop_while_the_start_is_counted_makes_no_model_and_no_error(
    bench: Bench, home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    errors: list[str] = []
    monkeypatch.setattr(widget_module, "show_error", errors.append)
    bench.choose_folders(write_set(tmp_path / "set"), "--objects=40")
    widget = bench.widget
    bench.click(widget.start_button)
    bench.until(lambda: "Counting the clicks" in widget.progress.message.text())
    assert widget.progress.bar.value() < 500  # 15 minutes are asked for
    bench.click(widget.stop_button)
    bench.until(lambda: not widget.busy)
    bench.until(lambda: widget.progress.message.text() == STOPPED)
    assert errors == []
    assert not list((home / "models").glob("my-model*"))


def test_what_is_missing_is_said_in_the_widget(
    bench: Bench, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    widget = bench.widget
    bench.click(widget.start_button)
    assert "choose an image and its labels" in widget.progress.message.text()
    bench.viewer.add_image(np.zeros((30, 30)))
    bench.viewer.add_labels(np.zeros((30, 30), dtype=np.uint8))
    bench.click(widget.start_button)
    bench.until(lambda: "empty" in widget.progress.message.text())
    widget.name.setText("a-start")
    bench.click(widget.start_button)
    assert "choose another name" in widget.progress.message.text()
    monkeypatch.setattr(widget_module, "missing_packages", lambda: ["matplotlib"])
    widget.name.setText("other")
    assert INSTALL in widget.progress.message.text()
    assert not widget.start_button.isEnabled()


def test_the_curves_follow_the_theme(bench: Bench) -> None:
    for theme in ("light", "dark"):
        bench.viewer.theme = theme
        expected = get_theme(theme).text.as_rgb_tuple()[:3]
        assert bench.widget.progress.curves._text.getRgb()[:3] == expected


def test_napari_opens_the_widget_by_its_name(
    make_napari_viewer_proxy: Any, home: Path
) -> None:
    viewer = make_napari_viewer_proxy().__wrapped__
    _, widget = viewer.window.add_plugin_dock_widget("napari-gpcis", "Fine-tune")
    assert isinstance(widget, FinetuneWidget)
    widget.shut_down()
