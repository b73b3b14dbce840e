"""``gpcis-train memory``: the changed prior, what is learned, and the command."""

from __future__ import annotations

import json

import numpy as np
import pytest
import torch
from skimage.io import imsave

from _blob_model import blobs
from _toy_backbone import make_toy_model
from gpcis_training import memory
from gpcis_training.cli import main
from gpcis_training.memory import (
    Clicked,
    ImageResult,
    Lesson,
    Pass,
    RememberingModel,
    learn,
    lesson,
    summary,
)
from napari_gpcis import Click, Segmenter
from napari_gpcis.checkpoints import InferenceSettings, ModelInfo

CENTRES = [(25, 25), (25, 80), (25, 135), (80, 25), (80, 80), (80, 135)]
INFO = ModelInfo("toy", "toy", inference=InferenceSettings(infer_size=64, gp_stride=4))


@pytest.fixture
def image():
    return blobs((64, 64), [(20, 20), (44, 40)])[0]


def test_a_changed_prior_leaves_the_clicks_as_they_are(image):
    clicks = [Click(20, 20), Click(44, 40, positive=False)]
    plain = Segmenter(make_toy_model(gp_stride=4), INFO).predict(image, clicks)
    model = RememberingModel(make_toy_model(gp_stride=4))
    segmenter = Segmenter(model, INFO)
    same = segmenter.predict(image, clicks)
    np.testing.assert_allclose(same.maps.probability, plain.maps.probability, atol=1e-5)

    before = model.last
    model.weights = np.full(len(before.features), 2, dtype=np.float32)
    other = segmenter.predict(image, clicks)
    change = before.features.T @ model.weights
    assert np.abs(change).max() > 0.5
    assert np.abs(other.maps.prior - plain.maps.prior).max() > 0.5
    cells = np.abs(change.reshape(before.shape))
    for click in clicks:
        assert cells[int(click.row) // 4, int(click.col) // 4] < 1e-3


def teach(sign, seed):
    """An object that the second feature tells, and of which the logits know nothing."""
    inside = np.arange(200) < 80
    rng = np.random.default_rng(seed)
    features = np.stack([np.ones(200), np.where(inside, sign, -sign)], axis=1)
    features[:, 1] += rng.normal(0, 0.1, 200)
    ones = np.ones(200, dtype=np.float32)
    logits = rng.normal(-0.3, 0.1, 200)
    return [Lesson(*(a.astype(np.float32) for a in (features, logits, inside)), ones)]


def test_what_objects_have_in_common_is_learned(monkeypatch):
    monkeypatch.setattr(memory, "RIDGE", 0.1)
    objects = [teach(1, seed) for seed in range(6)]
    weights = learn([one for each in objects for one in each])
    (unseen,) = teach(1, 9)
    assert unseen.iou(None) < 0.05
    assert unseen.iou(weights) > 0.95


def test_objects_that_contradict_each_other_teach_nothing(monkeypatch):
    monkeypatch.setattr(memory, "RIDGE", 0.1)
    objects = [teach((1, -1)[seed % 2], seed) for seed in range(8)]
    weights = learn([one for each in objects for one in each])
    assert abs(weights[1]) < 0.1 * abs(learn(teach(1, 0))[1])


def test_a_lesson_is_the_object_on_the_cells_of_a_box_beyond_the_image():
    mask = np.zeros((40, 40), dtype=bool)
    mask[:20, :24] = True
    features = np.arange(2 * 256, dtype=np.float32).reshape(2, 256)
    seen = Pass(features, np.arange(256, dtype=np.float32), (16, 16))
    found = lesson(seen, (-16, -16, 48, 48), mask)  # 4 pixels a cell
    rows, cols = np.divmod(found.logits.astype(int), 16)
    inside = (rows >= 4) & (rows < 9) & (cols >= 4) & (cols < 10)
    np.testing.assert_array_equal(found.inside, inside)
    np.testing.assert_array_equal(found.features[:, 1], features[1, rows * 16 + cols])
    assert found.share.sum() == pytest.approx(256)
    assert lesson(seen, (-16, -16, 48, 48), np.eye(40) > 1) is None


def test_figures_are_those_of_the_later_objects():
    plain = [Clicked(n, 0.5, on=False) for n in (9, 2, 4)]
    better = [Clicked(n, 0.75, on=n == 1) for n in (9, 1, 2)]
    alone = [Clicked(n, 0.25, on=False) for n in (9, 3, 5)]
    few = ImageResult("b", (alone[0],), (plain[0],), (better[0],))
    whole = ImageResult("a", tuple(alone), tuple(plain), tuple(better))
    entry = summary([whole, few], begin=2)
    assert (entry["images"], entry["objects"]) == (1, 2)
    assert (entry["alone"], entry["plain"], entry["memory"]) == (4, 3, 1.5)
    assert (entry["sizes"], entry["ratio"]) == (0.75, 0.5)
    assert (entry["sizes_interval"], entry["interval"]) == ((0.75, 0.75), (0.5, 0.5))
    assert entry["iou1"] == (0.25, 0.5, 0.75)
    assert entry["on"] == 0.5
    assert summary([few], begin=2) == {"images": 0, "objects": 0}


@pytest.fixture
def root(tmp_path, monkeypatch):
    """A folder of one image with six disks."""
    loaded = make_toy_model(gp_stride=4), INFO
    monkeypatch.setattr(memory, "load_checkpoint", lambda _name: loaded)
    monkeypatch.setattr(memory, "MAX_CLICKS", 3)
    monkeypatch.setattr(memory, "RIDGE", 0.1)
    image, labels = blobs((110, 160), CENTRES)
    for part, pixels in (("images", image), ("labels", labels.astype(np.uint8))):
        (tmp_path / "cells" / part).mkdir(parents=True)
        imsave(tmp_path / "cells" / part / "a.png", pixels, check_contrast=False)
    return tmp_path


@pytest.mark.parametrize("least", ["1", "3.5"])
def test_the_command_clicks_each_image_in_three_ways(root, capsys, least):
    words = ["memory", "toy", "--root", str(root), "--set", "cells", "--least", least]
    words += ["--first", "3", "--last", "5", "-o", str(root / "out.json")]
    assert main(words) == 0
    assert "| cells | 1 | 3 | " in capsys.readouterr().out
    report = json.loads((root / "out.json").read_text())["sets"]["cells"]
    (one,) = report["images"]
    sides = one["plain"], one["memory"]
    assert one["alone"][0] == one["plain"][0] == one["memory"][0]
    # the next first click is seen in a view of the size of what was accepted
    assert one["alone"][1:] != one["plain"][1:]
    assert not any(each["on"] for each in one["plain"])
    on = [each["on"] for each in one["memory"]]
    if least == "1":  # an object whose mask is empty teaches nothing
        assert on == sorted(on)
        assert on[4]
        changed = [a["first"] != b["first"] for a, b in zip(*sides, strict=True)]
        assert any(changed[3:])
    else:  # no object takes more than three clicks
        assert not any(on)
        assert one["plain"] == one["memory"]


def test_mistakes_are_told(root, capsys, monkeypatch):
    words = ["memory", "toy", "--root", str(root), "--set", "cells"]
    assert main([*words, "--first", "21"]) == 2
    assert main([*words, "--images", "0"]) == 2
    assert main([*words, "-o", "out.csv"]) == 2
    monkeypatch.setattr(memory, "load_checkpoint", lambda _: (torch.nn.Module(), INFO))
    assert main(words) == 2
    told = capsys.readouterr().err.splitlines()
    assert [line.split(" must")[0].split()[-1] for line in told] == [
        "--first",
        "--images",
        "--output",
        "model",
    ]
