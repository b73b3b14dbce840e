"""``gpcis-train similar``: matches, actions, and the command."""

from __future__ import annotations

import json

import numpy as np
import pytest
from skimage.io import imsave

from _blob_model import blob_segmenter, blobs
from gpcis_training.cli import main
from gpcis_training.similar import (
    ImageResult,
    Round,
    _with_actions,
    matches,
    summary,
)
from napari_gpcis import Click, Segmenter
from napari_gpcis.similar import Candidate

CENTRES = [(25, 25), (25, 80), (25, 135), (80, 25), (80, 80), (80, 135)]


def candidate(row, col, side=4):
    mask = np.ones((side, side), dtype=bool)
    box = row, col, row + side, col + side
    return Candidate(box, mask, Click(row, col), box, 0.5, 0.9, 0.9, 1.0)


def test_an_object_belongs_to_one_candidate_and_some_pixels_do_not_count():
    truth = np.zeros((20, 20), int)
    truth[0:4, 0:4], truth[10:14, 0:4], truth[0:9, 10:20] = 1, 2, -1
    exact, double, half = candidate(0, 0), candidate(0, 1), candidate(10, 1)
    wrong, uncounted = candidate(15, 15), candidate(2, 12)
    every = [exact, double, half, wrong, uncounted]
    assert matches(every, truth, 0.5) == (4, 2)
    assert matches(every, truth, 0.75) == (4, 1)


def test_actions_are_examples_keys_rejects_and_what_is_missing():
    found = Round(2, 10, 8, 7, 6, None, 0.0)
    # 3 + 4 for the examples, two keys, two rejects, four objects at 2.5 each
    assert _with_actions(found, [3, 4, 2, 1], 2.5).actions == 7 + 2 + 2 + 10
    (entry,) = summary(
        [ImageResult("a", 12, 30.0, (_with_actions(found, [3, 4, 2, 1], 2.5),))]
    )
    assert entry["recall"] == pytest.approx(0.7)
    assert entry["precision"] == pytest.approx(7 / 8)
    assert entry["ratio"] == pytest.approx(21 / 30)


@pytest.fixture
def root(tmp_path, monkeypatch):
    """A folder of two images with six disks each."""
    monkeypatch.setattr(
        Segmenter, "from_pretrained", lambda *_args, **_options: blob_segmenter()
    )
    for part in ("images", "labels"):
        (tmp_path / "cells" / part).mkdir(parents=True)
    for name in ("a.png", "b.png"):
        image, labels = blobs((110, 160), CENTRES)
        imsave(tmp_path / "cells/images" / name, image, check_contrast=False)
        imsave(
            tmp_path / "cells/labels" / name,
            labels.astype(np.uint8),
            check_contrast=False,
        )
    return tmp_path


@pytest.mark.parametrize("other", [False, True])
def test_the_command_measures_whole_images(root, other):
    words = ["similar", "blobs", "--root", str(root), "--set", "cells"]
    words += ["--examples", "1", "-o", str(root / "out.json")]
    assert main([*words, *(["--other-images"] if other else [])]) == 0
    report = json.loads((root / "out.json").read_text())["sets"]["cells"]
    (entry,) = report["summary"]
    assert entry["images"] == 2
    assert entry["recall"] == entry["precision"] == 1
    assert entry["objects"] == (12 if other else 10)
    if not other:
        # plain: a click and an accept each; else these for one, and two keys
        assert entry["plain"] == 2
        assert entry["ratio"] == pytest.approx(4 / 12)


def test_mistakes_are_told(root, capsys):
    words = ["similar", "blobs", "--root", str(root), "--set", "cells"]
    assert main([*words, "--examples", "0"]) == 2
    assert main([*words, "-o", "out.csv"]) == 2
    assert main([*words, "--images", "0"]) == 2
    told = capsys.readouterr().err.splitlines()
    assert [line.split(" must")[0].split()[-1] for line in told] == [
        "--examples",
        "--output",
        "--images",
    ]
