"""The Fine-tune widget in a real viewer: real mouse clicks on its buttons."""

from __future__ import annotations

import json
import os
import signal
import tempfile
import threading
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import torch
from napari.utils.theme import get_theme
from qtpy.compat import isalive
from qtpy.QtCore import QPoint, Qt, QTimer
from qtpy.QtTest import QTest
from qtpy.QtWidgets import QApplication, QMessageBox

from napari_gpcis import Segmenter, list_models
from napari_gpcis.checkpoints import InferenceSettings, ModelInfo, save_checkpoint
from napari_gpcis.model.gpcis import build_model
from napari_gpcis.plugin.dock.base import VerticalScrollArea, dock_of
from napari_gpcis.plugin.dock.closing import KEEP
from napari_gpcis.plugin.dock.closing import KEPT as KEPT_WORK
from napari_gpcis.plugin.dock.model_list import MODELS
from napari_gpcis.plugin.finetune import process as process_module
from napari_gpcis.plugin.finetune import widget as widget_module
from napari_gpcis.plugin.finetune.process import ENDED, INSTALL
from napari_gpcis.plugin.finetune.sources import MOST_ROWS
from napari_gpcis.plugin.finetune.widget import (
    BEGIN_AGAIN,
    BEGINS_ANEW,
    CAME_FROM,
    END,
    FOLDERS,
    GOES_ON,
    GOES_ON_WITH,
    GOING_ON,
    KEPT,
    NO_BETTER,
    NO_HELP,
    NO_HELP_SO_FAR,
    READY,
    RESUME,
    RUNS,
    START,
    STOPPED,
    USED,
    FinetuneWidget,
)
from napari_gpcis.plugin.settings.preferences import PREFERENCES
from napari_gpcis.plugin.widget import GPCISWidget
from training._label_files import disks, write_set

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

WAIT = 240_000
CHILD = Path(__file__).with_name("_finetune_child.py")
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


class Answers:
    """Answers questions by the titles of buttons, and notes what was asked."""

    def __init__(self, *titles: str) -> None:
        self.asked: list[str] = []
        self._titles = list(titles)
        self._timer = QTimer()
        self._timer.timeout.connect(self._answer)
        self._timer.start(20)

    def end(self) -> int:
        """Answer no more; return how many questions there were."""
        self._timer.stop()
        return len(self.asked)

    def _answer(self) -> None:
        box = QApplication.activeModalWidget()
        if isinstance(box, QMessageBox):
            self.asked.append(f"{box.text()} {box.informativeText()}")
            wanted = self._titles.pop(0) if self._titles else "Cancel"
            buttons = {one.text().replace("&", ""): one for one in box.buttons()}
            QTest.mouseClick(buttons[wanted], Qt.MouseButton.LeftButton)


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
    """Close the widget as the user does, who is asked."""
    bench.until(lambda: bench.widget._guard is not None)
    answers = Answers(END)
    dock = dock_of(bench.widget)
    QTest.mouseClick(dock.title.close_button, Qt.MouseButton.LeftButton)
    assert answers.end() == 1


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


@pytest.fixture
def started(monkeypatch: pytest.MonkeyPatch) -> list[list[str]]:
    """Let a stand-in run instead of trainings; return what they were started with."""
    real, programs = process_module.QProcess.start, []

    def begin(process: Any, program: str, arguments: list[str]) -> None:
        programs.append(arguments)
        real(process, program, [str(CHILD), "until stopped"])

    monkeypatch.setattr(process_module.QProcess, "start", begin)
    return programs


def leave_unfinished(home: Path, name: str, **changed: Any) -> Path:
    """Write the plan of a run that was begun; return the folder of its images."""
    folder = home / "models" / f"{name}.unfinished"
    folder.mkdir()
    plan = {
        "start": str(home / "models" / "b-start.safetensors"),
        "about": {
            "start": {"name": "b-start"},
            "options": {"max_minutes": 8.0},
            "data": {"planes": 12, "objects": 40, "images": str(home / "pictures")},
        },
        **changed,
    }
    (folder / "plan.json").write_text(json.dumps(plan))
    return home / "pictures"


def fields(widget: FinetuneWidget) -> tuple[str, float]:
    return widget.model.currentText(), widget.minutes.value()


def test_what_an_unfinished_run_goes_on_with_is_shown_before_and_then(
    bench: Bench, home: Path, started: list[list[str]]
) -> None:
    start = home / "models" / "b-start.safetensors"
    start.write_bytes((home / "models" / "a-start.safetensors").read_bytes())
    leave_unfinished(home, "em", start="b-start")
    widget = bench.widget
    widget.minutes.setValue(30)
    MODELS.changed.emit()
    own = fields(widget)
    assert own == ("a-start", 30)
    for name in ("em", "other", "em"):
        widget.name.setText(name)
        known = name == "em"
        assert fields(widget) == (("b-start", 8.0) if known else own)
        assert widget.goes_on.isVisible() is known
    words = GOES_ON_WITH.format(RESUME, "b-start", 8.0, 12, 40)
    assert widget.goes_on.text() == words
    widget.minutes.setValue(20)  # to begin again, say
    assert widget.goes_on.text() == words
    bench.click(widget.resume_button)
    (arguments,) = started
    assert {"b-start", "--output=em", "--max-minutes=8", "--resume"} <= {*arguments}
    bench.until(lambda: widget.progress.figures.isVisible())
    assert widget.goes_on.isVisible()
    assert widget.goes_on.text() == words.replace(RESUME, GOING_ON)
    assert fields(widget) == ("b-start", 8.0)
    assert not widget.pages.isVisible()  # it has its own images
    bench.click(widget.stop_button)
    bench.until(lambda: not widget.busy)
    assert widget.pages.isVisible()
    (home / "models" / "em.unfinished" / "plan.json").unlink()
    widget.name.setText("em ")
    assert not widget.goes_on.isVisible()
    assert fields(widget) == own


def test_the_chart_is_in_sight_from_the_start_to_the_end(
    bench: Bench, started: list[list[str]]
) -> None:
    image, labels = disks()
    for number in range(6):
        bench.viewer.add_image(image, name=f"image {number}")
        bench.viewer.add_labels(labels, name=f"image {number} labels")
    widget, window = bench.widget, bench.viewer.window._qt_window
    for _ in range(5):
        widget.layers.add_row()
    window.resize(1280, 640)
    curves = widget.progress.curves

    def in_sight() -> bool:
        return curves.visibleRegion().boundingRect() == curves.rect()

    bench.click(widget.start_button)
    bench.until(lambda: widget.progress.figures.isVisible())
    bench.until(in_sight)
    assert window.height() < 700
    bench.until(widget.stop_button.isEnabled)
    widget.stop()
    bench.until(lambda: not widget.busy)
    bench.until(in_sight)
    assert READY.format("new") in widget.progress.message.text()


def test_rows_that_fit_are_not_scrolled(bench: Bench) -> None:
    """The area has the border of the theme, which takes of its height."""
    layers = bench.widget.layers
    area = next(one for one in layers.findChildren(VerticalScrollArea))
    for count in range(2, 7):
        layers.add_row()
        bench.qtbot.wait(50)
        fits = count <= MOST_ROWS
        bench.until(lambda f=fits: (area.verticalScrollBar().maximum() == 0) == f)


def test_the_folder_of_an_unfinished_run_is_named_if_it_is_there(
    bench: Bench, home: Path
) -> None:
    leave_unfinished(home, "em").mkdir()
    bench.widget.name.setText("em")
    words = bench.widget.goes_on.text().replace("\u200b", "").replace("\u2060", "")
    assert words.endswith(CAME_FROM.format(home / "pictures"))


def test_a_damaged_plan_is_not_shown(bench: Bench, home: Path) -> None:
    leave_unfinished(home, "em", about={})
    bench.widget.name.setText("em")
    assert not bench.widget.goes_on.isVisible()
    assert bench.widget.resume_button.isVisible()  # the child tells what is wrong


@pytest.fixture
def closed(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> Iterator[list[bool]]:
    """Times that the window would be closed: napari's fixture does so in the end."""
    times: list[bool] = []
    kind = type(bench.viewer.window._qt_window)
    with monkeypatch.context() as patch:
        patch.setattr(kind, "close", lambda *_, **options: times.append(True))
        yield times


@pytest.mark.parametrize("kept", [True, False])
def test_closing_asks_before_a_training_ends(
    bench: Bench, home: Path, started: list[list[str]], closed: list[bool], kept: bool
) -> None:
    widget, window = bench.widget, bench.viewer.window._qt_window
    bench.until(lambda: widget._guard is not None)
    window.close(quit_app=False, confirm_need=True)  # nothing runs
    assert closed == [True]
    if kept:
        leave_unfinished(home, "em")
    widget.name.setText("em")
    widget._train(home, home, resume=kept)
    widget._show_state()
    bench.until(lambda: widget.progress.figures.isVisible())
    answers = Answers("Cancel", END)
    for times in (1, 2):
        window.close(quit_app=False, confirm_need=True)
        assert len(answers.asked) == times
        assert len(closed) == times
    more = GOES_ON if kept else BEGINS_ANEW
    assert answers.asked == [f"{RUNS.format('em')} {more}"] * 2
    answers.end()


def test_unsaved_work_and_a_training_are_one_question(
    bench: Bench, home: Path, started: list[list[str]], closed: list[bool]
) -> None:
    widget, window = bench.widget, bench.viewer.window._qt_window
    annotator = bench.open_annotator()
    bench.until(lambda: widget._guard is not None and annotator._guard is not None)
    bench.viewer.add_image(np.zeros((30, 30), np.uint8), name="cells")
    assert annotator.start()
    annotator.controller.annotation.layers.labels.paint((9, 9), 1)
    widget._train(home, home)
    bench.until(lambda: widget.progress.figures.isVisible())
    answers = Answers("Cancel", KEEP)
    for times in (1, 2):
        window.close(quit_app=False, confirm_need=True)
        assert len(answers.asked) == times
        assert len(closed) == times - 1
        asked = answers.asked[-1]
        assert KEPT_WORK in asked
        assert f"{RUNS.format('my-model')}\n{BEGINS_ANEW}" in asked
    answers.end()


def test_the_last_key_asks_once_in_each_window_for_all_that_it_holds(
    make_napari_viewer_proxy: Any,
    bench: Bench,
    home: Path,
    started: list[list[str]],
    closed: list[bool],
) -> None:
    """The key is pressed in one window; in the other a training runs as well."""
    widget, proxy = bench.widget, make_napari_viewer_proxy(show=True)
    first, second = GPCISWidget(proxy), bench.open_annotator()
    proxy.window.add_dock_widget(first, name="GPCIS")
    viewers = proxy.__wrapped__, bench.viewer
    guarded = first, second, widget
    bench.until(lambda: all(one._guard is not None for one in guarded))
    for viewer, annotator, name in zip(
        viewers, (first, second), ("cells", "others"), strict=True
    ):
        viewer.add_image(np.zeros((30, 30), np.uint8), name=name)
        assert annotator.start()
        annotator.controller.annotation.layers.labels.paint((9, 9), 1)
    widget._train(home, home)
    bench.until(lambda: widget.progress.figures.isVisible())
    window = viewers[0].window._qt_window
    answers = Answers(KEEP, "Cancel", KEEP, KEEP)
    for times in (1, 2):
        window.close(quit_app=True, confirm_need=True)
        assert len(answers.asked) == 2 * times
        assert len(closed) == times - 1
    assert answers.end() == 4
    trains = RUNS.format("my-model")
    for asked in (answers.asked[:2], answers.asked[2:]):
        assert ["cells" in text for text in asked] == [True, False]
        assert ["others" in text for text in asked] == [False, True]
        assert [trains in text for text in asked] == [False, True]
    first.shut_down()


def _alive(pid: int) -> bool:
    """Whether a process is there."""
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


def test_the_text_has_the_clicks_that_the_figures_have(bench: Bench) -> None:
    before, after = {"score": 2.06, "objects": 4}, {"score": 2.08, "objects": 4}
    done = {"event": "done", "name": "six", "before": before, "after": after}
    progress = bench.widget.progress
    progress.take({"event": "before", "figures": before, "few": before})
    for more, words in (
        ({"path": None, "goes_on": False}, NO_HELP),
        ({"path": None, "goes_on": True}, NO_HELP_SO_FAR),
        ({"path": "six.safetensors"}, NO_BETTER),
    ):
        event = {**done, "improved": False, **more}
        bench.widget._on_event(event)
        bench.widget._on_success(event)
        assert words.split("{}")[0].strip() in progress.message.text()
        assert "2.08 for 2.06 before" in progress.message.text()
        assert "<b>2.06</b> before, <b>2.08</b> after" in progress.figures.text()


def test_what_did_not_help_leaves_no_model_and_its_name_free(
    bench: Bench, home: Path, tmp_path: Path
) -> None:
    bench.choose_folders(
        write_set(tmp_path / "set"), "--steps=2", "--keep=better", "--lr=1e-9"
    )
    widget, title = bench.widget, MODELS.find(PREFERENCES.model).title
    models = [model.name for model in list_models()]
    for _ in range(2):
        bench.click(widget.start_button)
        bench.until(lambda: not widget.busy)
        text = widget.progress.message.text()
        assert "Training did not help" in text
        assert f"Nothing was kept; GPCIS goes on with <b>{title}</b>." in text
        assert not widget.progress.use.isVisible()
        assert not widget.resume_button.isVisible()
        assert widget.start_button.text() == START
        assert [model.name for model in list_models()] == models
        assert not list((home / "models").glob("my-model*"))


def test_what_was_stopped_before_it_helped_can_go_on_in_the_window(
    bench: Bench, home: Path, tmp_path: Path
) -> None:
    bench.choose_folders(
        write_set(tmp_path / "set"), "--steps=100000", "--keep=better", "--lr=1e-9"
    )
    widget = bench.widget
    bench.click(widget.start_button)
    bench.until(lambda: "Training: step" in widget.progress.message.text())
    bench.click(widget.stop_button)
    bench.until(lambda: not widget.busy)
    assert "Training has not helped so far" in widget.progress.message.text()
    assert not (home / "models" / "my-model.safetensors").exists()
    bench.click(widget.resume_button)
    bench.until(lambda: "Training: step" in widget.progress.message.text())


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
