"""The command ``napari-gpcis find-similar``."""

from __future__ import annotations

import json

import numpy as np
import pytest
from imageio.v3 import imread, imwrite

from _blob_model import blob_segmenter, blobs
from napari_gpcis import Segmenter
from napari_gpcis.cli import main

SHAPE = (120, 140)
IMAGE, TRUTH = blobs(SHAPE, [(25, 25), (25, 90), (80, 30), (85, 100)])


@pytest.fixture
def files(tmp_path, monkeypatch):
    """An image, the label of one of its four objects, and where to write."""
    monkeypatch.setattr(
        Segmenter, "from_pretrained", lambda *_args, **_options: blob_segmenter()
    )
    imwrite(tmp_path / "cells.png", IMAGE)
    imwrite(tmp_path / "one.png", np.where(TRUTH == 2, 5, 0).astype(np.uint8))
    return tmp_path


def find(files, image, *more):
    words = [str(files / image), "--examples", str(files / "one.png")]
    return main(["find-similar", *words, "-o", str(files / "found.png"), *more])


def test_the_rest_is_found_and_the_example_stays(files, capsys):
    prompts = files / "clicks.json"
    assert find(files, "cells.png", "--prompts", str(prompts)) == 0
    labels = imread(files / "found.png")
    assert set(np.unique(labels)) == {0, 5, 6, 7, 8}
    assert (labels[TRUTH == 2] == 5).all()
    for number in (1, 3, 4):
        assert np.unique(labels[(number == TRUTH)]).max() in (6, 7, 8)
    assert "found 3 objects" in capsys.readouterr().out
    assert len(json.loads(prompts.read_text())["objects"]) == 3


def test_examples_of_another_image(files):
    image, labels = blobs((90, 90), [(30, 30), (60, 65)])
    imwrite(files / "next.png", image)
    assert find(files, "next.png", "--of", str(files / "cells.png")) == 0
    found = imread(files / "found.png")
    assert set(np.unique(found)) == {0, 1, 2}
    assert ((found > 0) == (labels > 0)).mean() > 0.97


@pytest.mark.parametrize(
    ("more", "told"),
    [
        (("--only", "4"), "got 4"),
        (("--least", "3"), "least"),
        (("--of", "nowhere.png"), "nowhere.png does not exist"),
        (("--prompts", "cells.png"), "prompts cells.png is the image itself"),
        (("--prompts", "one.png"), "is the label image of --examples itself"),
        (("--prompts", "found.png"), "is the output itself"),
        (("--prompts", "nowhere/p.json"), "the folder nowhere does not exist"),
        (("--of", "other.png", "-o", "other.png"), "is the image of --of itself"),
        (("--of", "other.png", "-o", "one.png"), "is the label image of --examples"),
    ],
)
def test_mistakes_are_one_line(files, capsys, monkeypatch, more, told):
    monkeypatch.chdir(files)
    imwrite(files / "other.png", IMAGE)
    before = {path: path.read_bytes() for path in files.iterdir()}
    assert find(files, "cells.png", "--overwrite", *more) == 2
    assert before == {path: path.read_bytes() for path in files.iterdir()}
    lines = capsys.readouterr().err.splitlines()
    assert len(lines) == 1
    assert told in lines[0]
    assert not (files / "found.png").exists()
