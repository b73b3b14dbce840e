"""Parts of the fine-tuning widget, without a window: process, files, curves."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from napari.components import ViewerModel
from napari.layers import Image, Labels
from qtpy.QtCore import QRectF, QSizeF
from qtpy.QtGui import QColor, QImage

from napari_gpcis.checkpoints import user_model_file
from napari_gpcis.checkpoints.registry import DEFAULT_MODEL, find_bundled
from napari_gpcis.errors import InputError
from napari_gpcis.plugin.dock.model_list import MODELS
from napari_gpcis.plugin.finetune import process as process_module
from napari_gpcis.plugin.finetune import progress as progress_module
from napari_gpcis.plugin.finetune.layer_files import pair_of, write_pairs
from napari_gpcis.plugin.finetune.process import (
    ENDED,
    LAST_OUTPUT,
    Job,
    TrainingProcess,
    check_name,
    free_name,
    is_unfinished,
    missing_packages,
)
from napari_gpcis.plugin.finetune.progress import (
    BEGUN,
    CLICKS_TITLE,
    GOES_ON,
    WRITING,
    Curves,
    Point,
    Progress,
    name_box,
    placed_in,
    shortened,
    smoothed,
)
from napari_gpcis.plugin.finetune.sources import Folders, LayerPairs, StartModel
from napari_gpcis.plugin.settings.preferences import PREFERENCES
from napari_gpcis.plugin.viewer.layers import new_labels

CHILD = Path(__file__).with_name("_finetune_child.py")
WAIT = 60_000


@pytest.fixture
def child(qtbot: Any, monkeypatch: pytest.MonkeyPatch) -> Any:
    """Start a stand-in for the training process."""
    training = TrainingProcess()
    real = process_module.QProcess.start

    def begin(mode: str) -> TrainingProcess:
        monkeypatch.setattr(
            process_module.QProcess,
            "start",
            lambda self, program, _: real(self, program, [str(CHILD), mode]),
        )
        training.start([])
        return training

    yield begin
    training.kill()


def test_events_come_in_order_and_the_end_is_told_once(qtbot: Any, child: Any) -> None:
    told: list[dict[str, Any]] = []
    training = child("quick")
    training.event_read.connect(told.append)
    with qtbot.waitSignal(training.succeeded, timeout=WAIT) as done:
        pass
    assert done.args[0]["name"] == "new"
    assert [event["event"] for event in told[:2]] == ["prepared", "before"]
    assert [e["step"] for e in told if e["event"] == "step"] == list(range(1, 30))
    assert not training.running


@pytest.mark.parametrize(
    ("mode", "words"),
    [
        ("error", "labels must be a folder, got 'x'"),
        ("crash", f"{ENDED.format(1)}{LAST_OUTPUT.format('RuntimeError: out of')}"),
    ],
)
def test_failures_are_told_with_their_reason(
    qtbot: Any, child: Any, mode: str, words: str
) -> None:
    training = child(mode)
    with qtbot.waitSignal(training.failed, timeout=WAIT) as failed:
        pass
    assert words in failed.args[0]


def test_stop_is_heard(qtbot: Any, child: Any) -> None:
    training = child("until stopped")
    with qtbot.waitSignal(training.event_read, timeout=WAIT):
        pass
    with qtbot.waitSignal(training.succeeded, timeout=WAIT):
        training.stop()


def test_a_stop_before_training_is_no_failure(qtbot: Any, child: Any) -> None:
    failures: list[str] = []
    training = child("stopped early")
    training.failed.connect(failures.append)
    with qtbot.waitSignal(training.event_read, timeout=WAIT):
        pass
    with qtbot.waitSignal(training.stopped, timeout=WAIT):
        training.stop()
    assert failures == []
    assert not training.running


def test_a_killed_child_is_gone_and_says_nothing(qtbot: Any, child: Any) -> None:
    failures: list[str] = []
    training = child("for ever")
    training.failed.connect(failures.append)
    with qtbot.waitSignal(training.event_read, timeout=WAIT):
        pass
    pid = training.pid
    assert Path(f"/proc/{pid}").exists() or sys.platform != "linux"
    training.kill()
    assert not training.running
    assert not Path(f"/proc/{pid}").exists()
    assert failures == []


def test_a_program_that_cannot_start_is_told(
    qtbot: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(process_module.sys, "executable", "/no/such/python")
    training = TrainingProcess()
    with qtbot.waitSignal(training.failed, timeout=WAIT) as failed:
        training.start([])
    assert "cannot be started" in failed.args[0]


def test_missing_packages_are_named(monkeypatch: pytest.MonkeyPatch) -> None:
    assert missing_packages() == []
    monkeypatch.setattr(process_module, "NEEDED", ("json", "no_such_package"))
    assert missing_packages() == ["no_such_package"]


def stack() -> tuple[np.ndarray, np.ndarray]:
    labels = np.zeros((2, 3, 20, 30), dtype=np.int32)
    labels[0, 1, 5:9, 5:9] = 1
    labels[1, 2, 2:9, 5:9] = 7
    image = np.arange(labels.size, dtype=np.uint16).reshape(labels.shape)
    return image, labels


def test_only_labelled_planes_are_written(tmp_path: Path) -> None:
    image, labels = stack()
    pair = pair_of(Image(image, name="a/b__0"), Labels(labels))
    folders = write_pairs([pair], tmp_path, lambda: False)
    assert folders is not None
    images, marks = (np.load(next(folder.iterdir())) for folder in folders)
    np.testing.assert_array_equal(images, image[[0, 1], [1, 2]])
    np.testing.assert_array_equal(marks, labels[[0, 1], [1, 2]])
    assert next(folders[0].iterdir()).name == "00 a_b_0.npy"


def test_colour_and_multiscale_layers_are_written(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    colour = rng.integers(0, 255, (2, 20, 30, 4), dtype=np.uint8)
    grey = [colour[..., 0], colour[:, ::2, ::2, 0]]
    labels = np.ones((2, 20, 30), dtype=np.uint8)
    pairs = [
        pair_of(Image(colour, name="colour", rgb=True), Labels(labels)),
        pair_of(Image(grey, name="grey", multiscale=True), Labels(labels)),
    ]
    folders = write_pairs(pairs, tmp_path, lambda: False)
    assert folders is not None
    first, second = (np.load(file) for file in sorted(folders[0].iterdir()))
    np.testing.assert_array_equal(first, colour[..., :3])
    np.testing.assert_array_equal(second, grey[0])


def test_pairs_that_cannot_be_used_are_explained(tmp_path: Path) -> None:
    image, labels = stack()
    with pytest.raises(InputError, match="must be the same"):
        pair_of(Image(image[0]), Labels(labels))
    empty = pair_of(Image(image, name="cells"), Labels(labels * 0))
    with pytest.raises(InputError, match="labels of 'cells' are empty"):
        write_pairs([empty], tmp_path, lambda: False)
    assert write_pairs([empty], tmp_path / "new", lambda: True) is None


def pairs_shown(rows: LayerPairs) -> list[tuple[str, str]]:
    return [
        (image.currentText(), labels.currentText()) for image, labels, _ in rows.rows
    ]


def test_labels_are_paired_with_their_own_images(qtbot: Any) -> None:
    viewer, pixels = ViewerModel(), np.zeros((30, 40), np.uint8)
    for name in ("c10", "c1", "c2"):
        viewer.add_image(pixels, name=name)
    for name in ("C2 lab", "c1 lab", "c10 lab"):
        viewer.add_labels(pixels, name=name)
    rows = LayerPairs(viewer)
    qtbot.addWidget(rows)
    rows.add_row()
    rows.add_row()
    right = [("c2", "C2 lab"), ("c1", "c1 lab"), ("c10", "c10 lab")]
    assert pairs_shown(rows) == right
    image, labels, _ = rows.rows[0]
    labels.layer = viewer.layers["c10 lab"]
    labels.activated.emit(2)
    assert image.currentText() == "c10"
    image.layer = viewer.layers["c1"]
    image.activated.emit(1)  # chosen: from now on it stays
    labels.layer = viewer.layers["C2 lab"]
    labels.activated.emit(0)
    assert pairs_shown(rows)[0] == ("c1", "C2 lab")
    viewer.layers.remove("c1")
    assert pairs_shown(rows)[0] == ("c2", "C2 lab")
    rows.close_links()


def test_labels_of_other_names_are_paired_in_order(qtbot: Any) -> None:
    """Or with the image they were made for, whatever either is called."""
    viewer, pixels = ViewerModel(), np.zeros((30, 40), np.uint8)
    rows = LayerPairs(viewer)  # open before there are layers
    qtbot.addWidget(rows)
    for name in ("x_1_raw", "x_2_raw", "y"):
        viewer.add_image(pixels, name=name)
    new_labels(viewer, viewer.layers["y"]).name = "nuclei"
    assert pairs_shown(rows) == [("y", "nuclei")]
    for name in ("x_2_mask", "masks"):
        viewer.add_labels(pixels, name=name)
        rows.add_row()
    shown = [("y", "nuclei"), ("x_2_raw", "x_2_mask"), ("x_1_raw", "masks")]
    assert pairs_shown(rows) == shown
    rows.close_links()


def test_rows_whose_layers_were_removed_take_others_or_go(qtbot: Any) -> None:
    viewer, pixels = ViewerModel(), np.zeros((30, 40), np.uint8)

    def add(*names: str) -> None:
        for name in names:
            viewer.add_image(pixels, name=name)
            viewer.add_labels(pixels, name=f"{name} labels")

    add("a", "b", "c", "d")
    rows = LayerPairs(viewer)
    qtbot.addWidget(rows)
    rows.add_row()
    rows.add_row()
    viewer.layers.remove("b labels")
    pairs = [(name, f"{name} labels") for name in ("a", "d", "c")]
    assert pairs_shown(rows) == pairs  # the one that was free
    viewer.layers.remove("d labels")
    assert pairs_shown(rows) == [pairs[0], pairs[2]]
    viewer.layers.clear()
    add("e", "f")
    assert pairs_shown(rows) == [("e", "e labels")]
    rows.add_row()
    assert pairs_shown(rows) == [("e", "e labels"), ("f", "f labels")]
    assert [pair.name for pair in rows.pairs()] == ["e", "f"]
    rows.close_links()


def test_pairs_follow_the_layers_of_a_viewer(qtbot: Any) -> None:
    viewer = ViewerModel()
    rows = LayerPairs(viewer)
    qtbot.addWidget(rows)
    with pytest.raises(InputError, match="open or make them first"):
        rows.pairs()
    image, labels = stack()
    viewer.add_image(image[0, 0], name="other")
    viewer.add_image(image, name="cells")
    viewer.add_labels(labels, name="marks")
    rows.rows[0][1].activated.emit(0)
    assert rows.rows[0][0].layer.name == "cells"
    (pair,) = rows.pairs()
    assert pair.name == "cells"
    viewer.add_labels(labels[0, 0], name="plane")
    rows.add_row()
    assert rows.rows[1][1].layer.name == "plane"
    assert [pair.name for pair in rows.pairs()] == ["cells", "other"]
    rows.rows[1][1].layer = viewer.layers["marks"]
    rows.rows[1][0].layer = viewer.layers["cells"]
    with pytest.raises(InputError, match="chosen twice"):
        rows.pairs()
    rows.rows[1][2].click()
    assert len(rows.pairs()) == 1
    rows.close_links()


def test_of_many_pairs_a_few_are_seen_at_once(qtbot: Any) -> None:
    viewer, pixels = ViewerModel(), np.zeros((30, 40), np.uint8)
    for number in range(9):
        viewer.add_image(pixels, name=f"image {number}")
        viewer.add_labels(pixels, name=f"image {number} labels")
    rows = LayerPairs(viewer)
    qtbot.addWidget(rows)
    rows.show()
    heights = []
    for count in range(1, 10):
        qtbot.wait(50)  # it is laid out
        heights.append(rows.scroll_area.height())
        last = rows.rows[-1][1]
        assert not last.visibleRegion().isEmpty()
        assert len(rows.rows) == count
        rows.add_row()
    step = heights[2] - heights[1]
    assert step > 15
    assert heights[3:] == heights[3:4] * 6
    assert heights[2] < heights[3] < heights[2] + step
    rows.close_links()


def test_folders_must_be_there(qtbot: Any, tmp_path: Path) -> None:
    folders = Folders()
    qtbot.addWidget(folders)
    folders.images.setText(str(tmp_path))
    with pytest.raises(InputError, match="choose the folder of labels"):
        folders.folders()
    folders.labels.setText(f" {tmp_path} ")
    assert folders.folders() == (tmp_path, tmp_path)


def test_names_and_arguments_of_a_job(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("NAPARI_GPCIS_HOME", str(tmp_path))
    assert free_name() == "my-model"
    folder = tmp_path / "models"
    (folder / "my-model.unfinished").mkdir(parents=True)
    assert not is_unfinished("my-model")
    (folder / "my-model.unfinished" / "plan.json").write_text("{}")
    assert is_unfinished("my-model")
    (folder / "my-model.safetensors").write_bytes(b"")
    assert free_name() == "my-model-2"
    with pytest.raises(InputError, match="choose another name"):
        check_name("my-model")
    job = Job("start", "x", 3.0, tmp_path / "i", tmp_path / "l", skip=True)
    assert job.arguments() == [
        "start",
        "--images",
        str(tmp_path / "i"),
        "--labels",
        str(tmp_path / "l"),
        "--output=x",
        "--max-minutes=3",
        "--on-error=skip",
        "--overwrite",
    ]


def test_points_are_placed_from_the_lower_left_corner() -> None:
    frame = QRectF(10, 20, 100, 50)
    places = placed_in(frame, [Point(0, 0), Point(2, 10)], minutes=4, highest=10)
    assert [(p.x(), p.y()) for p in places] == [(10, 70), (60, 20)]
    assert smoothed([Point(0, 3), Point(1, 3)]) == [
        Point(0, pytest.approx(3)),
        Point(1, pytest.approx(3)),
    ]


@pytest.mark.parametrize(("upper", "lower"), [(40, 42), (40, 40), (40, 89)])
def test_the_names_of_lines_are_written_apart_and_in_the_frame(
    upper: float, lower: float
) -> None:
    frame, size = QRectF(6, 20, 280, 70), QSizeF(45, 16)
    first = name_box(frame, upper, size, right=False, above=True)
    second = name_box(frame, lower, size, right=True, above=False)
    assert not first.intersects(second)
    for box in (first, second):
        assert frame.contains(box)
        assert not box.top() < upper < box.bottom()
        assert not box.top() < lower < box.bottom()


def test_a_title_ends_before_the_value_at_the_right(qtbot: Any) -> None:
    metrics, title = Curves().fontMetrics(), f"{CLICKS_TITLE} (16 of 28 objects)"
    assert shortened(title, "1.04", 310, metrics) == title  # as in the dock
    for width in (100, 160):
        cut = shortened(title, "1.04", width, metrics)
        assert metrics.horizontalAdvance(cut + "1.04") < width
    wide = metrics.horizontalAdvance(f"{title}   1.04")
    assert shortened(title, "1.04", wide, metrics) == title


def test_curves_are_drawn_in_the_colour_of_the_theme(qtbot: Any) -> None:
    curves = Curves()
    qtbot.addWidget(curves)
    curves.resize(260, 210)
    curves.set_text_colour(QColor(255, 0, 0))
    for minute in range(5):
        curves.add_loss(minute, 1 / (minute + 1))
        curves.add_clicks(minute, 9 - minute)
    picture = QImage(curves.size(), QImage.Format.Format_RGB32)
    picture.fill(QColor("black"))
    curves.render(picture)
    seen = {QColor(picture.pixel(x, y)).name() for x in range(260) for y in range(210)}
    assert {"#ff0000", "#56b4e9", "#e69f00"} <= seen


def test_the_model_of_a_training_is_shown_until_its_end(
    qtbot: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also if another is used meanwhile, or it is removed, or was before it goes on."""
    monkeypatch.setenv("NAPARI_GPCIS_HOME", str(tmp_path))
    monkeypatch.setattr(PREFERENCES, "model", "mine")
    file, bundled = user_model_file("mine"), find_bundled("gpcis-mobilenet-v2")
    assert bundled is not None
    file.write_bytes(bundled.read_bytes())
    start = StartModel()
    qtbot.addWidget(start)
    assert start.currentText() == start.key == "mine"
    start.setEnabled(False)
    PREFERENCES.model = DEFAULT_MODEL
    assert start.currentText() == start.key == "mine"
    MODELS.remove(MODELS.find("mine"))
    assert start.currentText() == start.key == "mine"
    start.setEnabled(True)
    assert start.key == DEFAULT_MODEL
    assert start.findData("mine") < 0
    for gone in ("mine", str(tmp_path / "mine.safetensors")):
        start.choose(gone)
        assert start.key == DEFAULT_MODEL
        start.setEnabled(False)  # a training that has its copy goes on
        assert (start.currentText(), start.key) == ("mine", gone)
        start.setEnabled(True)
        assert start.key == DEFAULT_MODEL


def test_the_model_in_use_is_proposed_until_another_is_chosen(
    qtbot: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    one, other = "gpcis-mobilenet-v2-microscopy", "gpcis-mobilenet-v2"
    monkeypatch.setattr(PREFERENCES, "model", one)
    start = StartModel()
    qtbot.addWidget(start)
    assert start.key == one
    PREFERENCES.model = other
    assert start.key == other
    start.choose(one)
    PREFERENCES.model = other
    MODELS.changed.emit()
    assert start.key == one


def figures(clicks: float, objects: int = 16) -> dict[str, float]:
    """Figures of an event, as far as they are shown."""
    return {"score": clicks, "objects": objects}


@pytest.mark.parametrize("measured", [True, False], ids=["all", "no time for all"])
def test_the_chart_and_the_text_have_the_same_figures(
    qtbot: Any, measured: bool
) -> None:
    """While it trains, before and curve are of some objects; in the end both named."""
    progress = Progress()
    qtbot.addWidget(progress)
    curves, some = progress.curves, " (16 of 32 objects)"
    every, few = figures(6.0, 32), figures(5.0)
    progress.take({"event": "before", "figures": every, "few": few})
    assert curves.objects == some
    assert (curves.marks, curves.marked) == ({"before": 5.0}, "")
    assert curves.clicks[0].value == 5.0  # on the dashed line
    assert progress.figures.text() == f"Clicks per object{some}: <b>5.00</b> before"
    before, after = (every, figures(4.0, 32)) if measured else (few, figures(4.5))
    if measured:
        progress.take({"event": "after", "figures": after})
        shown = curves.marks, progress.figures.text()
    progress.take({"event": "done", "before": before, "after": after})
    assert curves.objects == some
    assert curves.marks == {"before": before["score"], "after": after["score"]}
    assert curves.marked == (", all 32" if measured else "")
    assert progress.figures.text() == (
        "Clicks per object (all 32 objects): <b>6.00</b> before, <b>4.00</b> after "
        "training"
        if measured
        else f"Clicks per object{some}: <b>5.00</b> before, <b>4.50</b> after training"
    )
    assert not measured or shown == (curves.marks, progress.figures.text())
    progress.resize(300, 500)
    assert not progress.grab().isNull()  # it is drawn
    progress.reset("")
    assert (curves.marks, curves.marked, curves.objects) == ({}, "", "")


def test_figures_of_all_objects_throughout_say_so_once(qtbot: Any) -> None:
    progress = Progress()
    qtbot.addWidget(progress)
    progress.take({"event": "before", "figures": figures(6.0), "few": figures(6.0)})
    progress.take({"event": "after", "figures": figures(4.0)})
    assert progress.curves.objects == " (all 16 objects)"
    assert progress.curves.marked == ""
    assert "<b>6.00</b> before, <b>4.00</b> after" in progress.figures.text()


def test_the_message_is_of_what_goes_on(qtbot: Any) -> None:
    progress = Progress()
    qtbot.addWidget(progress)
    progress.reset("Starting ...")
    done: dict[str, Any] = {"event": "stage", "done": 28, "total": 28}
    found = figures(9.5)
    step = {"step": 10, "steps": 40, "progress": 0.25, "minutes": 1.0, "loss": 0.5}
    texts = []
    for event in (
        {**done, "stage": "before"},
        {"event": "before", "figures": found, "few": found},
        {"event": "step", **step},
        {**done, "stage": "during"},
        {"event": "validation", "minutes": 1.5, "figures": found},
        {**done, "stage": "after"},
        {"event": "after", "figures": found},
    ):
        progress.take(event)
        texts.append(progress.message.text())
    assert texts == [
        "Counting the clicks that the start model needs: 28 of 28",
        BEGUN,
        "Training: step 10 of at most 40, 1.0 minutes",
        "Counting the clicks that the model needs so far: 28 of 28",
        GOES_ON,
        "Counting the clicks that the new model needs: 28 of 28",
        WRITING,
    ]


def test_the_bar_is_the_share_of_the_time_asked_for(
    qtbot: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    now = [1000.0]
    monkeypatch.setattr(progress_module, "monotonic", lambda: now[0])
    progress = Progress()
    qtbot.addWidget(progress)
    counting = {"event": "stage", "stage": "before", "done": 14, "total": 32}
    found = figures(9.5)
    begun = {"event": "before", "figures": found, "few": found}
    step = {"event": "step", "step": 10, "steps": 40, "progress": 0.5, "loss": 0.5}

    def shown(event: dict[str, Any], minutes: float) -> float:
        now[0] = 1000 + 60 * minutes
        progress.take(event)
        return progress.bar.value() / progress.bar.maximum()

    progress.reset("Starting ...", 10.0)
    assert shown(counting, 1.0) == 0.1
    assert shown({**begun, "minutes": 10.0, "spent": 2.0}, 2.0) == 0.2
    assert shown({**step, "minutes": 3.0}, 5.0) == 0.5
    assert shown({**counting, "stage": "during"}, 6.0) == 0.6
    assert shown({**counting, "stage": "after"}, 9.0) == 0.9
    assert shown({"event": "after", "figures": found}, 12.0) == 1.0
    now[0] = 1000.0
    progress.reset("Starting ...", 5.0)  # it goes on: 2 minutes, and 3 of training
    shown({**begun, "minutes": 10.0, "spent": 2.0}, 0.0)
    assert shown({**step, "minutes": 3.0}, 0.0) == 0.5
    assert shown({**step, "minutes": 4.0}, 1.5) == 0.65


def test_progress_shows_before_and_after(qtbot: Any) -> None:
    progress = Progress()
    qtbot.addWidget(progress)
    progress.reset("Starting ...")
    before, after = figures(9.5), figures(3.25)
    progress.take({"event": "before", "figures": before, "few": before})
    assert "<b>9.50</b> before" in progress.figures.text()
    progress.take({"event": "after", "figures": after})
    assert "<b>3.25</b> after" in progress.figures.text()
    assert progress.curves.marks == {"before": 9.5, "after": 3.25}
    assert not progress.use.isVisibleTo(progress)
    progress.take({"event": "done", "before": before, "after": after, "name": "x"})
    assert not progress.use.isVisibleTo(progress)  # the process still runs
    progress.end("ready", usable=True)
    assert progress.use.isVisibleTo(progress)
    assert [point.value for point in progress.curves.clicks] == [9.5]
