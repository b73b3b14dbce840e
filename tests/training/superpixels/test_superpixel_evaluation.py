"""Evaluation of superpixels: samples, files, resuming, stored figures."""

import json
import math
import os
from pathlib import Path

import numpy as np
import pytest
from skimage.draw import disk
from skimage.io import imsave

from gpcis_training.cli import main
from gpcis_training.superpixels import evaluation
from gpcis_training.superpixels.evaluation import (
    ImageResult,
    area,
    chosen_pairs,
    curve,
    evaluate,
    mean_figures,
)
from training._folders import write_disks

STORED = Path(__file__).parents[2] / "data" / "slic_bsds_test50.json"
DATA = os.environ.get("GPCIS_BSDS500_TEST")


@pytest.fixture
def root(tmp_path):
    return write_disks(tmp_path / "disks", images=4)


def test_each_pair_of_image_and_annotation_is_a_sample(root):
    results = evaluate(["grid", "slic"], root, numbers=[20, 50])
    assert len(results) == 2 * 2 * 4
    assert all(len(result.annotations) == 2 for result in results)
    grid, slic = (curve(results, method) for method in ("grid", "slic"))
    assert list(grid) == [20, 50]
    for number in (20, 50):
        assert slic[number]["ASA"] > grid[number]["ASA"]
        assert slic[number]["BR"] > grid[number]["BR"]
        assert slic[number]["CO"] < grid[number]["CO"]
        assert abs(slic[number]["K"] - number) <= 0.1 * number


def test_agreements_are_averaged_over_pairs_and_shapes_over_images():
    def result(count, rows):
        return ImageResult("m", 9, "i", count, count, 0.5, 0.5, 1.0, rows)

    one = (1.0, 0.0, 0.0, 1.0, 1.0, 0.5)
    none = (0.0, 1.0, 1.0, 0.0, 0.0, math.nan)  # nothing is labelled
    found = mean_figures([result(10, (one, one, one)), result(20, (none,))])
    assert found["ASA"] == pytest.approx(0.75)
    assert found["ASA_FG"] == pytest.approx(0.5)
    assert found["K"] == pytest.approx(15)


def test_the_area_is_that_of_the_curve_through_the_numbers_that_came_out():
    points = {
        100: {"K": 90.0, "ASA": 0.8},
        200: {"K": 190.0, "ASA": 0.9},
        300: {"K": 310.0, "ASA": 0.9},
    }
    # 0.81 at 100, 0.9 from 190 on
    expected = (0.855 * 90 + 0.9 * 110) / 200
    assert area(points, "ASA") == pytest.approx(expected, abs=1e-4)
    assert area({100: points[100]}, "ASA") == 0.8


def test_images_are_evenly_spaced(root):
    names = [pair.image.name for pair in chosen_pairs(root, 2)]
    assert names == ["p0.png", "p3.png"]
    assert len(chosen_pairs(root, None)) == 4


def test_processes_give_the_figures_of_one(root):
    alone = evaluate(["slic"], root, numbers=[30])
    both = evaluate(["slic"], root, numbers=[30], workers=2)
    assert [r.annotations for r in both] == [r.annotations for r in alone]
    assert [r.image for r in both] == [r.image for r in alone]


def test_an_interrupted_evaluation_goes_on(root, tmp_path, monkeypatch):
    partial = tmp_path / "found.partial"
    whole = evaluate(["slic"], root, numbers=[30], partial=partial)
    lines = partial.read_text().splitlines()
    partial.write_text("\n".join(lines[:3]) + "\n" + lines[3][:20])
    made = []
    original = evaluation.evaluate_image
    monkeypatch.setattr(
        evaluation, "evaluate_image", lambda job: made.append(job) or original(job)
    )
    again = evaluate(["slic"], root, numbers=[30], partial=partial)
    assert len(made) == 2
    assert [r.annotations for r in again] == [r.annotations for r in whole]
    made.clear()
    evaluate(["slic"], root, numbers=[30], partial=partial)
    assert not made
    other = write_disks(tmp_path / "other", images=2)
    evaluate(["slic"], other, numbers=[30], partial=partial)
    assert len(made) == 2


def test_the_command_writes_json_table_and_curves(root, tmp_path, capsys):
    out = tmp_path / "found.json"
    words = ["superpixels", "evaluate", "grid", "slic:10", "--root", str(root)]
    words += ["--numbers", "20", "40", "--images", "2", "-o", str(out)]
    assert main(words) == 0
    printed = capsys.readouterr().out
    assert "area" in printed
    stored = json.loads(out.read_text())["results"]
    assert len(stored) == 2 * 2 * 2
    rows = out.with_suffix(".csv").read_text().splitlines()
    assert rows[0].startswith("method,n,ASA,UE,UE_NP,BR,BP,ASA_FG,CO,EV")
    assert len(rows) == 1 + 2 * 3
    assert out.with_suffix(".png").read_bytes().startswith(b"\x89PNG")
    assert not out.with_suffix(".partial").exists()


def test_a_folder_of_instances_with_ignored_pixels(tmp_path):
    root = tmp_path / "nuclei"
    for part in ("images", "labels", "ignore"):
        (root / part).mkdir(parents=True)
    rng = np.random.default_rng(0)
    labels = np.zeros((96, 96), np.uint8)
    labels[disk((30, 30), 16)] = 1
    labels[disk((60, 66), 16)] = 7
    grey = rng.integers(0, 60, labels.shape, dtype=np.uint8) + 150 * (labels > 0)
    wrong = labels.copy()
    wrong[70:] = 9  # beside nothing that is seen, and not to be trusted
    for name, found in (("a", labels), ("b", wrong), ("c", np.zeros_like(labels))):
        imsave(root / "images" / f"{name}.png", grey.astype(np.uint8))
        imsave(root / "labels" / f"{name}.png", found, check_contrast=False)
    ignored = np.zeros(labels.shape, np.uint8)
    ignored[70:] = 255
    imsave(root / "ignore" / "b.png", ignored, check_contrast=False)
    a, b, c = (r.annotations[0] for r in evaluate(["slic"], root, numbers=[60]))
    places = evaluation.FIGURES.index
    for figures in (a, b):
        assert figures[places("ASA")] > 0.97
        assert figures[places("ASA_FG")] > 0.93
        assert figures[places("BR")] > 0.85
    assert a[places("ASA")] != b[places("ASA")]
    assert c[places("ASA")] == 1
    assert math.isnan(c[places("ASA_FG")])


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["seeds"], "method must be one of"),
        (["slic:much"], "compactness of slic must be a number"),
        (["slic", "--images", "9"], "images must be from 1 to 4"),
        (["slic", "--numbers", "0"], "n must be from 1"),
        (["slic", "--jobs", "0"], "jobs must be at least 1"),
        (["slic", "-o", "found.txt"], "output must end in .json"),
    ],
)
def test_bad_input_is_one_line(root, capsys, words, message):
    assert main(["superpixels", "evaluate", *words, "--root", str(root)]) == 2
    error = capsys.readouterr().err.splitlines()[-1]
    assert error.startswith("gpcis-train: ")
    assert message in error


@pytest.mark.slow
@pytest.mark.timeout(3600)
@pytest.mark.skipif(not DATA, reason="GPCIS_BSDS500_TEST names no folder")
@pytest.mark.parametrize("number", [200, 400, 600])
def test_tuned_slic_has_its_stored_figures(number):
    stored = [r for r in json.loads(STORED.read_text()) if r["method"] == "slic_c20_s1"]
    results = evaluate(["slic"], Path(DATA), numbers=[number], images=50)
    assert len(results) == 50
    assert sum(len(result.annotations) for result in results) == 269
    found = mean_figures(results)
    counts = [row["K"] for row in stored]
    names = {"ASA": "ASA", "UE_NP": "UE_NP", "BR": "BR@1", "BP": "BP@1", "CO": "CO"}
    for name, stored_name in {**names, "EV": "EV"}.items():
        values = [row[stored_name] for row in stored]
        expected = np.interp(found["K"], counts, values)
        limit = 0.0015 if name == "ASA" else 0.006
        assert found[name] == pytest.approx(expected, abs=limit), name
