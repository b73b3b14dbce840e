"""Fine-tuning from beginning to end, on tiny images, with few steps."""

from __future__ import annotations

import json
import shutil
import signal
import subprocess
import sys
import time
from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from PIL import Image

import gpcis_training
from _disk_predictor import DiskPredictor
from gpcis_training.cli import main
from gpcis_training.evaluation import DrawingRule
from gpcis_training.evaluation.datasets import FORMS
from gpcis_training.finetuning import plan as planning
from gpcis_training.finetuning import training, validation
from gpcis_training.finetuning.output import output_files
from gpcis_training.finetuning.plan import StoppedError, choose_precision, read_plan
from gpcis_training.finetuning.report import EventLog, card_text, draw_curves
from gpcis_training.finetuning.training import EarlyStopping
from gpcis_training.finetuning.validation import Figures
from napari_gpcis import Segmenter, list_models
from napari_gpcis.checkpoints import (
    InferenceSettings,
    ModelInfo,
    save_checkpoint,
    user_model_folder,
)
from napari_gpcis.errors import InputError
from napari_gpcis.model.gpcis import build_model
from training._label_files import write_set

TINY = {
    "steps": 4,
    "batch_size": 2,
    "size": 64,
    "workers": 0,
    "objects": 2,
    "precision": "32-true",
    "keep": "trained",
}
SOON = """
import sys
from gpcis_training.cli import main
from gpcis_training.finetuning import training
training._MIN_PAUSE_MINUTES = 0.01
sys.exit(main(sys.argv[1:]))
"""
"""The program, which validates for the first time soon."""

ARGUMENTS = [f"--{name.replace('_', '-')}={value}" for name, value in TINY.items()]


@pytest.fixture
def root(tmp_path, monkeypatch):
    monkeypatch.setenv("NAPARI_GPCIS_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("TQDM_DISABLE", "1")
    return write_set(tmp_path / "set")


@pytest.fixture
def start(tmp_path):
    """A model that has learnt nothing and looks at 64 pixels: quick to evaluate."""
    path = tmp_path / "start.safetensors"
    with torch.random.fork_rng():
        torch.manual_seed(0)
        network = build_model("mobilenet_v2")
    info = ModelInfo(
        "start",
        "mobilenet_v2",
        inference=InferenceSettings(infer_size=64),
        licence="CC0-1.0",
        training_data="nothing",
    )
    save_checkpoint(path, network, info)
    return path


def run(root, start, output, **options):
    return gpcis_training.finetune(
        start, root / "images", root / "labels", output, **{**TINY, **options}
    )


def test_a_name_makes_a_model_of_the_user_with_all_that_belongs_to_it(root, start):
    events = []
    result = run(root, start, "my cells", listener=events.append)
    assert "my cells" in [model.name for model in list_models()]
    segmenter = Segmenter.from_pretrained("my cells")
    assert segmenter.info.licence == "CC0-1.0"
    assert segmenter.info.inference.infer_size == 64
    assert segmenter.info.extra["started_from"] == "start"
    assert "5 images with 10 objects" in segmenter.info.training_data
    files = {path.name for path in result.path.parent.iterdir()}
    assert files == {f"my cells.{end}" for end in ("safetensors", "md", "png", "json")}
    record = json.loads(result.path.with_suffix(".json").read_text())
    assert record["validations"][-1]["step"] == 4
    assert record["before"] == result.before.to_dict()
    assert record["after"] == result.after.to_dict()
    assert len(record["split"]["val"]) == 1
    card = result.path.with_suffix(".md").read_text()
    assert f"{result.before.clicks85:.2f} | {result.after.clicks85:.2f}" in card
    assert "CC0-1.0" in card
    assert np.asarray(Image.open(result.path.with_suffix(".png"))).std() > 10
    kinds = [event["event"] for event in events]
    for kind in ("prepared", "before", "validation", "after", "done"):
        assert kind in kinds
    assert kinds[-1] == "done"


NO_HELP = "Training did not help: it did not lower the clicks on these "


def test_of_training_that_does_not_help_nothing_is_kept(root, start, capsys):
    """Its name is free: the same command runs again."""
    folders = [f"--images={root / 'images'}", f"--labels={root / 'labels'}"]
    arguments = ["finetune", str(start), *folders, "-o", "mine", *ARGUMENTS]
    for keep, status in (("better", 1), ("trained", 0)):
        assert main([*arguments, f"--keep={keep}", "--lr=1e-9"]) == status
        said = capsys.readouterr().out
        assert NO_HELP in said
        made = {path.name for path in user_model_folder().iterdir()}
        assert made == {
            f"mine.{end}" for end in ("safetensors", "md", "png", "json") if not status
        }
        assert ("mine" in [model.name for model in list_models()]) is not status
        nothing = "Nothing was kept: mine is not written, and start stays as it is."
        assert (nothing in said) is bool(status)
    card = (user_model_folder() / "mine.md").read_text()
    assert f"**{NO_HELP}" in card
    assert "written all the same" in card


def test_what_did_not_help_does_not_replace_a_model(root, start, tmp_path):
    output = tmp_path / "out.safetensors"
    output.write_bytes(b"an earlier one")
    told = []
    result = run(
        root,
        start,
        output,
        keep="better",
        lr=1e-9,
        overwrite=True,
        listener=told.append,
    )
    assert result.path is None
    assert not result.improved
    assert told[-1]["path"] is None
    assert not told[-1]["goes_on"]
    assert [path.name for path in tmp_path.glob("out*")] == [output.name]
    assert output.read_bytes() == b"an earlier one"


def test_what_was_stopped_before_it_helped_can_go_on(root, start, tmp_path):
    output, told = tmp_path / "out.safetensors", []

    def stop():
        return "before" in [event["event"] for event in told]

    options = {"keep": "better", "lr": 1e-9, "listener": told.append}
    result = run(root, start, output, steps=3, stop=stop, **options)
    assert result.record["training"]["ended_by"] == training.STOPPED
    assert result.path is None
    assert told[-1]["goes_on"]
    assert told[-2]["message"].endswith(training.UNFINISHED)
    files = output_files(output)
    assert [path.name for path in tmp_path.glob("out*")] == [files.work.name]
    result = run(root, start, output, resume=True, listener=told.append)
    assert result.record["training"]["steps"] == 3
    assert result.path is None
    assert not told[-1]["goes_on"]
    assert not list(tmp_path.glob("out*"))


def test_the_chart_has_the_figures_of_the_card(tmp_path, monkeypatch):
    from matplotlib.axes import Axes

    lines = {}
    monkeypatch.setattr(
        Axes, "axhline", lambda _, y, label, **__: lines.update({label: y})
    )
    steps = [{"minutes": 0.1, "loss": 1.0}]
    validations = [{"minutes": 0.2, "best": True, "figures": figures(3.0).to_dict()}]
    all_three = figures(5.0), figures(6.0), figures(4.25)
    draw_curves(tmp_path / "c.png", steps, validations, *all_three)
    assert lines == {"before, 2 objects: 6.00": 6.0, "after, 2 objects: 4.25": 4.25}
    assert (tmp_path / "c.png").stat().st_size > 1000


def test_text_and_figures_are_of_one_criterion():
    """Fewer clicks to 85 % alone are no fewer clicks."""
    before = replace(figures(2.06), clicks80=1.5, clicks90=2.62)
    after = replace(figures(2.0), clicks80=1.6, clicks90=2.64)
    assert (f"{before.score:.2f}", f"{after.score:.2f}") == ("2.06", "2.08")
    assert not after.is_better_than(before)
    assert not figures(2.061).is_better_than(figures(2.064))  # both are 2.06
    assert figures(2.0).is_better_than(figures(2.06))


def test_figures_in_json_have_their_score():
    found = replace(figures(2.0), clicks80=1.0, clicks90=4.5)
    content = json.loads(json.dumps(found.to_dict()))
    assert content["score"] == found.score == 2.5
    assert Figures.from_dict(content) == found


def test_nothing_is_kept_of_a_stop_before_training(root, start, tmp_path):
    output = tmp_path / "out.safetensors"
    told = []
    with pytest.raises(StoppedError, match="nothing was kept, and no model was made"):
        run(root, start, output, stop=lambda: True, listener=told.append)
    assert "before" not in [event["event"] for event in told]
    assert not list(tmp_path.glob("out*"))


def test_a_stop_of_a_child_before_training_is_no_error(monkeypatch, capsys):
    def stopped(*_, **__):
        raise StoppedError("stopped before training began")

    monkeypatch.setattr("gpcis_training.finetuning.run.finetune", stopped)
    monkeypatch.setattr("gpcis_training.finetuning.cli._listen", lambda _: None)
    folders = ["--images=a", "--labels=b", "-o", "c"]
    assert main(["finetune", "start", *folders, "--events"]) == 0
    assert json.loads(capsys.readouterr().out) == {"event": "stopped"}


def test_control_c_asks_to_stop_once_and_is_given_back(monkeypatch):
    asked = []

    def train(*_, stop, **__):
        asked.append(stop())
        signal.raise_signal(signal.SIGINT)
        asked.append(stop())
        with pytest.raises(KeyboardInterrupt):
            signal.raise_signal(signal.SIGINT)
        return SimpleNamespace(path="m.safetensors")

    monkeypatch.setattr("gpcis_training.finetuning.finetune", train)
    before = signal.getsignal(signal.SIGINT)
    assert main(["finetune", "--images=i", "--labels=l", "-o", "m.safetensors"]) == 0
    assert asked == [False, True]
    assert signal.getsignal(signal.SIGINT) is before


def test_command_line_tells_what_it_does_and_keeps_a_given_split(
    root, start, tmp_path, capsys
):
    split = tmp_path / "split.json"
    parts = {"train": ["cell 0.png", "cell 1.png"], "val": ["cell 4.png"]}
    split.write_text(json.dumps(parts))
    output = tmp_path / "out.safetensors"
    folders = [f"--images={root / 'images'}", f"--labels={root / 'labels'}"]
    arguments = ["finetune", str(start), *folders, "-o", str(output), *ARGUMENTS]
    assert main([*arguments, f"--split={split}"]) == 0
    text = capsys.readouterr().out
    assert "5 images with 10 objects: 2 to train on, 1 to validate" in text
    assert "before training:" in text
    assert "after training:" in text
    record = json.loads(output.with_suffix(".json").read_text())
    assert record["split"]["train"] == parts["train"]
    assert main(arguments) == 2
    assert "--overwrite" in capsys.readouterr().err


def test_files_of_no_use_are_refused_or_left_out(root, start, tmp_path):
    (root / "images" / "cell 1.png").write_bytes(b"no picture")
    Image.fromarray(np.zeros((9, 9), np.uint8)).save(root / "labels" / "cell 2.png")
    output = tmp_path / "out.safetensors"
    with pytest.raises(InputError, match=r"2 of 5 image files cannot be used:\n  cell"):
        run(root, start, output)
    result = run(root, start, output, on_error="skip", overwrite=True)
    assert result.record["data"]["planes"] == 3
    reasons = result.record["data"]["problems"]
    assert [reason.split(":")[0] for reason in reasons] == ["cell 1.png", "cell 2.png"]
    assert all(reason in card_text(result.record) for reason in reasons)


def test_stopping_keeps_the_best_so_far(root, start, tmp_path, monkeypatch):
    monkeypatch.setattr(training, "_MIN_PAUSE_MINUTES", 0.01)
    asked = []

    def listener(event):
        told.append(event)
        if event["event"] == "validation" and event["best"]:
            asked.append(event["step"])

    told = []
    result = run(
        root,
        start,
        tmp_path / "out.safetensors",
        steps=10_000,
        listener=listener,
        stop=lambda: bool(asked),
        max_minutes=30,
        patience=1000,
    )
    assert result.record["training"]["ended_by"] == "a request to stop"
    assert 0 < result.record["training"]["steps"] < 10_000
    assert "after" not in [event.get("stage") for event in told]  # at once
    kept = [event for event in told if event["event"] == "validation"][-1]
    assert result.after.to_dict() == kept["figures"]
    assert Segmenter.from_pretrained(result.path).info.name == "out"


def test_a_measure_that_takes_too_long_is_of_some_objects(
    root, start, tmp_path, monkeypatch
):
    monkeypatch.setattr(planning, "AFTER_FACTOR", 0.0)
    monkeypatch.setattr(planning, "QUICK_SHARE", 0.0)
    monkeypatch.setattr(planning, "SUBSET_SIZE", 1)
    told = []
    result = run(root, start, tmp_path / "out.safetensors", listener=told.append)
    assert result.before.objects == result.after.objects == 1
    assert result.record["evaluation"]["objects"] == 1
    notes = [event["message"] for event in told if event["event"] == "note"]
    assert training.FEW.format(1) in notes
    (measured,) = [event for event in told if event["event"] == "before"]
    assert measured["figures"]["objects"] == 2
    assert measured["few"] == told[-1]["before"]
    (during,) = [event for event in told if event["event"] == "validation"]
    assert during["figures"]["objects"] == measured["few"]["objects"] == 1


def test_where_it_is_quick_all_figures_are_of_all_objects(
    root, start, tmp_path, monkeypatch
):
    monkeypatch.setattr(planning, "AFTER_FACTOR", 0.0)
    monkeypatch.setattr(planning, "SUBSET_SIZE", 1)
    told = []
    run(root, start, tmp_path / "out.safetensors", listener=told.append)
    counts = [
        event[name]["objects"]
        for event in told
        for name in ("few", "figures", "before", "after")
        if name in event
    ]
    assert counts == [2] * 5  # before twice, a validation, the end twice
    notes = [event["message"] for event in told if event["event"] == "note"]
    assert not any("No time" in note for note in notes)


def test_no_validation_begins_that_the_clock_would_cut(root, tmp_path):
    info = ModelInfo("start", "mobilenet_v2")
    log = EventLog(tmp_path / "events.jsonl")
    callback = EarlyStopping(
        info, FakeValidation(), tmp_path / "b", log, figures(6.0), 2, lambda: False
    )
    trainer = FakeTrainer()
    trainer.config.max_minutes = 60.0
    callback._seconds, callback._last_minutes = 120.0, 0.0
    trainer.minutes = 57.9
    assert callback._due(trainer)
    trainer.minutes = 58.1
    assert not callback._due(trainer)


def test_the_clock_is_asked_after_each_object(tmp_path, monkeypatch):
    """Also where all objects are on one image, which is read once for all of them."""
    ids = np.zeros((20, 60), dtype=np.uint8)
    for number, left in enumerate((5, 25, 45), start=1):
        ids[5:15, left : left + 10] = number
    for folder, pixels in (("images", 50 * (ids > 0)), ("labels", ids)):
        (tmp_path / "val" / folder).mkdir(parents=True)
        Image.fromarray(pixels.astype(np.uint8)).save(
            tmp_path / "val" / folder / "a.png"
        )
    form = FORMS["labels"]
    read = []
    monkeypatch.setitem(
        FORMS,
        "labels",
        form._replace(load=lambda path: read.append(path) or form.load(path)),
    )
    drawn = validation.Validation.draw(tmp_path, DrawingRule(), union=False)
    told = []
    result = drawn.run(
        DiskPredictor(3),
        report=lambda *done: told.append(done),
        stop=lambda: len(told) == 2,
    )
    assert told == [(1, 3), (2, 3)]
    assert result.items == drawn.objects[:2]
    assert len(result.runs) == 2
    told.clear()
    assert drawn.run(DiskPredictor(3)).items == drawn.objects
    assert len(read) == 2  # once for each of the two
    assert drawn.run(DiskPredictor(3), stop=lambda: True) is None


def test_the_best_state_is_kept_and_patience_ends_training(root, tmp_path, monkeypatch):
    """Scores 5, 3, 3.03, 4: the third ties the second, the fourth ends it."""
    clicks = iter((5.0, 3.0, 3.03, 4.0))
    monkeypatch.setattr(training, "figures_of", lambda _: figures(next(clicks)))
    monkeypatch.setattr(EarlyStopping, "_due", lambda *_: True)
    log = EventLog(tmp_path / "events.jsonl")
    best = tmp_path / "best.pt"
    info = ModelInfo("start", "mobilenet_v2")
    callback = EarlyStopping(
        info, FakeValidation(), best, log, figures(6.0), 2, lambda: False
    )
    trainer = FakeTrainer()
    goes_on = []
    for _ in range(4):
        trainer.step += 1
        goes_on.append(callback(trainer, {"loss": 1.0, "iou": 0.5}))
    assert goes_on == [True, True, True, False]
    assert torch.load(best, weights_only=True)["step"] == 3
    assert [entry["best"] for entry in log.kept("validation")] == [
        True,
        True,
        True,
        False,
    ]
    again = EarlyStopping(
        info, FakeValidation(), best, log, figures(6.0), 3, lambda: False
    )
    assert again.best == 3.0  # a resumed run knows what was best


def figures(clicks):
    return Figures(clicks, clicks, clicks, None, 0.5, 0.8, 0, 0, 2, 1)


class FakeValidation:
    """Validates nothing."""

    def subset(self, count):
        return ("object",)

    def run(self, segmenter, objects, report=None, stop=None):
        class Result:
            items = objects

        return Result()


class FakeTrainer:
    """A trainer of a network that stays as it is."""

    def __init__(self):
        self.config = SimpleNamespace(steps=100, batch_size=2)
        self.step = 0
        self.minutes = 0.0
        self.network = build_model("mobilenet_v2")

    def progress(self):
        return self.step / 100


def test_batch_norm_keeps_its_statistics_and_its_scale_learns(root, start, tmp_path):
    result = run(root, start, tmp_path / "out.safetensors", lr=1e-2)
    from napari_gpcis.checkpoints import load_checkpoint

    before, after = (
        load_checkpoint(path)[0].state_dict() for path in (start, result.path)
    )
    statistics = [
        name for name in before if name.endswith(("running_mean", "running_var"))
    ]
    assert statistics
    assert all(torch.equal(before[name], after[name]) for name in statistics)
    scales = [name.replace("running_mean", "weight") for name in statistics[::2]]
    assert any(not torch.equal(before[name], after[name]) for name in scales)


def test_a_killed_run_resumes_where_it_was(root, start, tmp_path):
    output = tmp_path / "out.safetensors"
    files = output_files(output)
    folders = [f"--images={root / 'images'}", f"--labels={root / 'labels'}"]
    arguments = ["finetune", str(start), *folders, "-o", str(output), *ARGUMENTS]
    program = [sys.executable, "-c", SOON, *arguments, "--events"]
    child = subprocess.Popen(
        [*program, "--steps=100000"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    try:
        for line in child.stdout:
            if json.loads(line)["event"] == "validation":
                break
    finally:
        child.kill()
        child.communicate()
    assert files.best.is_file() or files.plan.is_file()
    with pytest.raises(InputError, match="unfinished run of 'out'"):
        run(root, start, output)
    kept = EventLog(files.run / "events.jsonl").kept("validation")
    assert kept
    plan = read_plan(files)
    assert plan.config.steps == 100_000
    told = []
    result = run(
        root, start, output, resume=True, stop=lambda: True, listener=told.append
    )
    assert told[0]["event"] == "before"  # curves go on from the beginning
    assert [entry for entry in told if entry["event"] == "validation"][: len(kept)] == (
        kept
    )
    assert result.before == plan.before
    assert not files.work.exists()


def test_a_run_needs_its_start_model_no_more(root, start, tmp_path):
    """Removed while it trains: the run ends, and goes on, with those very weights."""
    from napari_gpcis.checkpoints import load_checkpoint

    output, before = tmp_path / "out.safetensors", load_checkpoint(start)
    files, ended = output_files(output), []

    def listen(event):
        if event["event"] == "before":
            start.unlink()
        if event["event"] == "after":
            ended.append(event)
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run(root, start, output, listener=listen)
    assert ended
    plan = read_plan(files)
    assert plan.chosen == str(start)
    copied = load_checkpoint(plan.start)
    assert copied[1] == before[1]
    assert all(
        torch.equal(weight, copied[0].state_dict()[name])
        for name, weight in before[0].state_dict().items()
    )
    result = run(root, start, output, resume=True)
    assert load_checkpoint(result.path)[1].extra["started_from"] == "start"
    assert not files.work.exists()


def test_the_child_of_a_viewer_ends_with_it(root, start, tmp_path):
    folders = [f"--images={root / 'images'}", f"--labels={root / 'labels'}"]
    arguments = [
        "finetune",
        str(start),
        *folders,
        "-o",
        str(tmp_path / "o.safetensors"),
    ]
    program = [sys.executable, "-m", "gpcis_training.cli", *arguments, *ARGUMENTS]
    child = subprocess.Popen(
        [*program, "--events", "--steps=100000"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    json.loads(child.stdout.readline())
    child.stdin.close()
    began = time.monotonic()
    child.stdout.read()
    child.stdout.close()
    assert child.wait(timeout=120) == 3
    assert time.monotonic() - began < 120


def test_errors_of_a_child_are_events(root, start, tmp_path):
    shutil.rmtree(root / "labels")
    folders = [f"--images={root / 'images'}", f"--labels={root / 'labels'}"]
    output = f"--output={tmp_path / 'o.safetensors'}"
    arguments = ["finetune", str(start), *folders, output, *ARGUMENTS, "--events"]
    program = [sys.executable, "-m", "gpcis_training.cli", *arguments]
    with subprocess.Popen(
        program, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as child:
        (line,) = child.stdout
    assert child.returncode == 2
    event = json.loads(line)
    assert event["event"] == "error"
    assert "labels must be a folder" in event["message"]


@pytest.mark.parametrize(
    ("output", "message"),
    [
        ("a/b", "must be a name or end in .safetensors"),
        ("cells.tif", "cells.tif. is another file"),
        ("cells.PTH", "cells.PTH. is another file"),
        ("gpcis-mobilenet-v2", "taken by a model that comes with the package"),
        ("/no/such/folder/a.safetensors", "does not exist"),
    ],
)
def test_outputs_that_cannot_be_used_are_explained(root, start, output, message):
    with pytest.raises(InputError, match=message):
        run(root, start, output)


def test_there_must_be_a_run_to_resume(root, start, tmp_path):
    with pytest.raises(InputError, match="nothing to resume"):
        run(root, start, tmp_path / "out.safetensors", resume=True)


def test_kept_events_are_replayed_but_for_a_cut_off_line(tmp_path):
    told = []
    log = EventLog(tmp_path / "events.jsonl", told.append)
    log.emit("before", keep=True, figures=figures(6.0).to_dict())
    log.emit("stage", done=1)
    with (tmp_path / "events.jsonl").open("a") as stream:
        stream.write('{"event": "valid')
    log.replay()
    assert [entry["event"] for entry in told] == ["before", "stage", "before"]
    assert log.kept("validation") == []


def test_precision_is_one_that_fabric_knows():
    assert choose_precision("32-true") == "32-true"
    assert choose_precision("auto") in ("32-true", "bf16-mixed")
