"""``gpcis-train evaluate``: views, sweeps, clicks, files, documentation."""

from __future__ import annotations

import csv
import re
import shlex
from pathlib import Path

import numpy as np
import pytest
from skimage.draw import disk
from skimage.io import imsave

from gpcis_training.cli import _parser
from gpcis_training.evaluation import evaluate, load_results, object_sets
from gpcis_training.evaluation.datasets import RULES, DrawingRule, folder_objects
from gpcis_training.evaluation.predictors import Overrides, count_parameters
from gpcis_training.evaluation.published import PUBLISHED_SETS, published_noic
from gpcis_training.evaluation.tables import mean_curve
from napari_gpcis.checkpoints import (
    InferenceSettings,
    ModelInfo,
    load_checkpoint,
    save_checkpoint,
)
from napari_gpcis.errors import InputError
from napari_gpcis.model.gpcis import build_model
from training._evaluating import command, rows_of, write_sets, write_tiny

MODEL = "gpcis-mobilenet-v2"


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    """Folders of disks and miniature sets of the paper."""
    return write_sets(tmp_path_factory.mktemp("sets"))


@pytest.fixture(scope="module")
def tiny(tmp_path_factory):
    """A network with random weights that runs at 64 pixels."""
    return write_tiny(tmp_path_factory.mktemp("models"))


# -- first views ---------------------------------------------------------------


@pytest.fixture
def plane(tmp_path, monkeypatch):
    """A set with a window of 64 pixels around the first click."""
    folder = tmp_path / "cells" / "val"
    labels = np.zeros((90, 160), np.uint8)
    labels[disk((40, 120), 9)] = 1
    for part, array in (("images", labels * 200 + 20), ("labels", labels)):
        (folder / part).mkdir(parents=True)
        imsave(folder / part / "a.png", array, check_contrast=False)
    rule = DrawingRule(window=64)
    monkeypatch.setitem(RULES, "cells_val", ("cells/val", rule))
    monkeypatch.setattr(
        "gpcis_training.evaluation.runner.load_objects",
        lambda _: folder_objects("cells/val", tmp_path, rule),
    )
    return tmp_path


class Recorder:
    """Keeps the first views."""

    def __init__(self):
        self.views = []

    def start(self, image, first_view):
        self.shape = image.shape
        self.views.append(first_view)

    def click(self, row, col, positive):
        return np.zeros(self.shape[:2], bool)


@pytest.mark.parametrize(
    ("option", "views", "seen"),
    [
        ("set", ["64 px window"], [(8, 88, 72, 152)]),
        ("whole", ["whole image"], [None]),
        ("both", ["64 px window", "whole image"], [(8, 88, 72, 152), None]),
    ],
)
def test_the_table_says_which_view_was_used(
    plane, capsys, monkeypatch, option, views, seen
):
    recorder = Recorder()
    monkeypatch.setattr(
        "gpcis_training.evaluation.jobs.create_predictor", lambda *_: recorder
    )
    arguments = ["peer:watershed", "--root", plane, "--dataset", "cells_val"]
    assert command(*arguments, "--view", option, "--max-clicks", 2) == 0
    assert [row["First view"] for row in rows_of(capsys.readouterr().out)] == views
    assert recorder.views == seen


def test_sets_without_a_window_are_seen_whole(root, capsys):
    arguments = ["peer:watershed", "--root", root, "--dataset", "disks"]
    assert command(*arguments, "--view", "both", "--limit", 1) == 0
    (row,) = rows_of(capsys.readouterr().out)
    assert row["First view"] == "whole image"


# -- settings ------------------------------------------------------------------


def test_one_row_for_each_epsilon(root, tmp_path, capsys):
    output = tmp_path / "sweep.json"
    arguments = [MODEL, "--root", root, "--dataset", "disks", "--limit", 1]
    arguments += ["--epsilon2", 1e-7, 0.5, "--max-clicks", 3, "-o", output]
    assert command(*arguments) == 0
    text = capsys.readouterr().out
    names = [row["Method"] for row in rows_of(text)]
    assert names == [f"{MODEL}, ε²=1e-07", f"{MODEL}, ε²=0.5"]
    assert "ε² as in its row" in text
    assert "as predicted" in text
    small, large = load_results(output)
    assert small.settings["inference"]["epsilon2"] == 1e-7
    assert large.settings["inference"]["epsilon2"] == 0.5
    assert small.runs[0].ious != large.runs[0].ious
    rows = list(csv.DictReader(output.with_suffix(".csv").read_text().splitlines()))
    assert [float(row["epsilon2"]) for row in rows] == [1e-7, 0.5]


def test_a_large_epsilon_disobeys_unless_the_mask_is_mended(root, tiny):
    def noic(raw_mask):
        overrides = Overrides(epsilon2=1e6, raw_mask=raw_mask)
        return evaluate(
            tiny,
            root,
            "disks",
            overrides=overrides,
            max_clicks=4,
            target=None,
            progress=False,
        ).summary.noic_steps

    assert noic(raw_mask=False) == 0
    assert noic(raw_mask=True) > 0


def test_the_settings_of_the_checkpoint_are_used_and_printed(root, tiny, capsys):
    arguments = [tiny, "--root", root, "--dataset", "davis", "--max-clicks", 1]
    assert command(*arguments) == 0
    text = capsys.readouterr().out
    assert "tiny: input 64 x 64, Gaussian process at stride 4 with ε² 1e-07" in text
    assert "tiny on davis: input 64 instead of 384" in text
    assert command(*arguments, "--infer-size", 96, "--mask", "obeying") == 0
    text = capsys.readouterr().out
    assert rows_of(text)[0]["Method"] == "tiny, input 96"
    assert "input 96 x 96" in text
    assert "made to obey every click" in text
    assert "mirrored" not in text
    assert command(*arguments, "--mirror") == 0
    text = capsys.readouterr().out
    assert rows_of(text)[0]["Method"] == "tiny, mirrored too"
    assert "low-pass filter, mirrored too;" in text
    assert "tiny: the logits of the mirror image are averaged in" in text


def test_table_1_of_the_paper_stands_beside_a_sweep(root, tmp_path, capsys):
    path = tmp_path / "net.safetensors"
    info = ModelInfo("net", "resnet50", inference=InferenceSettings(infer_size=32))
    save_checkpoint(path, build_model("resnet50"), info)
    arguments = [path, "--root", root, "--dataset", "davis", "--max-clicks", 1]
    assert command(*arguments, "--epsilon2", 1e-7, 1e-1, 0.5) == 0
    rows = rows_of(capsys.readouterr().out)
    assert [row["NoIC (paper)"] for row in rows[:3]] == ["2", "36", ""]
    assert published_noic("davis", "resnet50")[1e-7] == 2


def test_the_fast_copy_is_measured_on_request(root, tiny, capsys, monkeypatch):
    copied = []
    monkeypatch.setattr(
        "napari_gpcis.inference.segmenter.accelerated",
        lambda model, _: copied.append(model) or model,
    )
    arguments = [tiny, "--root", root, "--dataset", "disks", "--limit", 1]
    arguments += ["--max-clicks", 1]
    for options, label, count in (([], "tiny", 0), (["--fast"], "tiny, fast", 1)):
        assert command(*arguments, *options) == 0
        assert rows_of(capsys.readouterr().out)[0]["Method"] == label
        assert len(copied) == count


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--repeats", 0], "--repeats must be at least 1, got 0"),
        (["--max-clicks", 0], "max_clicks must be at least 1, got 0"),
        (["--infer-size", 8], "infer_size must be an integer from 32, got 8"),
        (["--limit", 0], "limit must be at least 1"),
        (["-o", "out.csv"], "--output must be a .json file"),
        (["-o", "no-such-folder/out.json"], "in a folder that exists"),
    ],
)
def test_numbers_that_cannot_be(root, tiny, capsys, options, message):
    assert command(tiny, "--root", root, "--dataset", "disks", *options) == 1
    assert message in capsys.readouterr().err


def test_bad_settings(root, tiny, capsys):
    base = ["--root", root, "--dataset", "disks"]
    assert command(tiny, *base, "--epsilon2", 0) == 1
    assert "epsilon2 must be a number above 0" in capsys.readouterr().err
    with pytest.raises(InputError, match="must be for a model, got 'peer:watershed'"):
        evaluate("peer:watershed", root, "disks", overrides=Overrides(infer_size=64))


def test_parameters_are_counted_without_statistics(tiny):
    model, _ = load_checkpoint(tiny)
    assert count_parameters(tiny) == sum(p.numel() for p in model.parameters())


# -- clicks, files -------------------------------------------------------------


def test_robustness_in_one_command(root, tmp_path, capsys):
    output = tmp_path / "clicks.json"
    arguments = ["peer:watershed", "--root", root, "--dataset", "disks"]
    arguments += ["--limit", 2, "--repeats", 2, "--robustness", "-o", output]
    assert command(*arguments) == 0
    text = capsys.readouterr().out
    assert "**Clicks off the centre**" in text
    assert len(rows_of(text.split("**Clicks off")[0])) == 1
    laws = [(r.clicks, r.settings["protocol"]["repeat"]) for r in load_results(output)]
    assert laws == [("centre", 0)] + [
        (law, repeat)
        for law in ("inside", "easy", "middle", "hard")
        for repeat in (0, 1)
    ]
    assert output.with_suffix(".png").stat().st_size > 5000


def test_a_finished_part_is_not_done_again(root, tmp_path, monkeypatch):
    output = tmp_path / "out.json"
    arguments = ["peer:watershed", "--root", root, "--dataset", "disks", "-o", output]
    with monkeypatch.context() as patch:
        patch.setattr("gpcis_training.evaluation.cli.save_results", _disk_is_full)
        assert command(*arguments) == 1
    kept = tmp_path / "out.json.partial"
    assert len(kept.read_text().split()) > 6
    with monkeypatch.context() as patch:
        patch.setattr("gpcis_training.evaluation.jobs.evaluate_image", _never)
        assert command(*arguments) == 0
    assert not kept.exists()
    assert len(load_results(output)[0].runs) == 6


def _disk_is_full(*_):
    raise OSError(28, "No space left on device")


def _never(*_):
    raise AssertionError("this image was done before")


def test_the_curve_keeps_the_last_value(root):
    result = evaluate("peer:watershed", root, "disks", progress=False, min_clicks=1)
    curve = mean_curve(result, 20)
    assert curve.shape == (20,)
    assert curve[-1] == pytest.approx(np.mean([run.ious[-1] for run in result.runs]))
    assert curve[0] == pytest.approx(result.summary.iou_at[1].mean)


# -- documentation -------------------------------------------------------------

PAGE = Path(__file__).parents[3] / "docs" / "evaluation.md"


def test_commands_of_the_documentation_are_understood():
    text = PAGE.read_text().replace("\\\n", " ")
    commands = re.findall(r"^    gpcis-train (evaluate .*)$", text, re.M)
    assert len(commands) >= 6
    parsed = [_parser().parse_args(shlex.split(line)) for line in commands]
    assert {name for one in parsed for name in one.objects} >= {
        "grabcut",
        "berkeley",
        "davis",
        "sbd",
    }
    assert [one.epsilon2 for one in parsed if one.epsilon2] == [
        [10.0**-n for n in range(1, 8)]
    ]


def test_every_object_list_is_documented():
    text = PAGE.read_text()
    assert all(f"`{name}`" in text for name in (*object_sets(), *PUBLISHED_SETS))
