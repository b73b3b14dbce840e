"""Calibration of models whose claims are known, number by number."""

from __future__ import annotations

import json
import math

import numpy as np
import pytest
from scipy.stats import spearmanr
from skimage.io import imsave

from _fake_segmenter import FakeSegmenter
from gpcis_training.calibration import (
    BINS,
    TEMPERATURES,
    Reliability,
    Tempered,
    border_band,
    calibration,
    calibration_table,
    fit_temperature,
    rank_correlation,
)
from gpcis_training.cli import main
from gpcis_training.evaluation.datasets import folder_objects
from napari_gpcis.checkpoints import load_checkpoint
from napari_gpcis.errors import InputError
from napari_gpcis.inference.prediction import GridMaps, Prediction
from napari_gpcis.next_click import calibrated
from training._evaluating import rows_of, write_sets, write_tiny

SHAPE = (40, 40)
CLAIMS = (0.05, 0.35, 0.7, 0.9)
"""What is claimed in four blocks of ten columns."""
SHARES = (0.0, 0.3, 0.5, 1.0)
"""Where the object really is, as a share of each block."""


class Claimant(FakeSegmenter):
    """Claims what the red channel says, with the variance of the green one."""

    quality: float | None = None

    def _predict(self, request, clicks):
        planes = request.prepared.read(*(slice(0, size) for size in SHAPE))
        probability = np.array(planes[0], dtype=np.float32)
        variance = np.array(planes[1], dtype=np.float32)
        maps = GridMaps(probability, probability.copy(), probability.copy(), variance)
        box = (0, 0, *SHAPE)
        quality = self.quality
        return Prediction(SHAPE, box, tuple(clicks), 0.5, maps, True, quality=quality)


def truth():
    """Four blocks of 400 pixels, each with its share of the object."""
    labels = np.zeros(SHAPE, np.uint8)
    for block, share in enumerate(SHARES):
        part = np.zeros(400, np.uint8)
        part[: round(400 * share)] = 1
        rng = np.random.default_rng(block)
        labels[:, 10 * block : 10 * block + 10] = rng.permutation(part).reshape(40, 10)
    return labels


def write(folder, names=("a", "b"), ignored=None):
    """Write images of the claims; the variance is the error, reversed in ``b``."""
    claims = np.repeat(np.round(255 * np.array(CLAIMS)), 10)[None].repeat(40, axis=0)
    error = np.abs(claims - 255 * truth())
    for name in names:
        spread = 255 - error if name == "b" else error
        image = np.stack([claims, spread, np.zeros(SHAPE)], -1).astype(np.uint8)
        arrays = {"images": image, "labels": truth()}
        if ignored is not None:
            arrays["ignore"] = ignored.astype(np.uint8) * 255
        for part, array in arrays.items():
            (folder / part).mkdir(parents=True, exist_ok=True)
            imsave(folder / part / f"{name}.png", array, check_contrast=False)
    return np.round(255 * np.array(CLAIMS)) / 255


def measured(folder, **options):
    chosen = folder_objects("set", folder, None)
    return calibration(options.pop("model", Claimant()), folder, chosen, **options)


def test_the_error_of_known_claims(tmp_path):
    claims = write(tmp_path / "set")
    expected = np.abs(claims - SHARES).mean()
    for found in measured(tmp_path, width=100):
        assert len(found.states) == 2
        assert found.error.mean == pytest.approx(expected, abs=1e-6)
        assert found.error.error == pytest.approx(0, abs=1e-9)
        undone = np.abs(calibrated(claims) - SHARES).mean()
        assert found.undone_error.mean == pytest.approx(undone, abs=1e-6)
    assert [one.clicks for one in measured(tmp_path)] == [1, 3, 5]


def test_an_honest_model_has_none(tmp_path, monkeypatch):
    monkeypatch.setattr(f"{__name__}.CLAIMS", SHARES)
    write(tmp_path / "set")
    first = measured(tmp_path, width=100)[0]
    # 8 bits make 0.3 to 76 / 255 and 0.5 to 128 / 255
    assert first.error.mean == pytest.approx((0.3 - 76 / 255 + 0.5 / 255) / 4, abs=1e-6)


def test_ignored_pixels_do_not_count(tmp_path):
    ignored = np.zeros(SHAPE, bool)
    ignored[:, :10] = ignored[:, 20:30] = True
    claims = write(tmp_path / "set", ignored=ignored)
    found = measured(tmp_path, width=100)[0]
    expected = np.abs(claims - SHARES)[[1, 3]].mean()
    assert found.error.mean == pytest.approx(expected, abs=1e-6)
    assert found.to_dict()["bins"]["count"][int(claims[3] * BINS)] == 2 * 400


def test_variance_is_ranked_with_the_error(tmp_path):
    write(tmp_path / "set", names=("a",))
    assert measured(tmp_path)[0].rank.mean == pytest.approx(1)
    write(tmp_path / "set", names=("a", "b"))
    both = measured(tmp_path)[0]
    assert [state.rank for state in both.states] == pytest.approx([1, -1])
    assert both.rank.mean == pytest.approx(0)
    assert both.rank.error == pytest.approx(1)


def test_the_quality_that_is_predicted(tmp_path):
    write(tmp_path / "set")
    model = Claimant()
    assert measured(tmp_path, model=model)[0].quality_error is None
    model.quality = 0.25
    found = measured(tmp_path, model=model)[0]
    assert {state.quality for state in found.states} == {0.25}
    gap = np.mean([state.iou - 0.25 for state in found.states])
    assert found.quality_error.mean == pytest.approx(gap)
    true = [state.iou for state in found.states]
    claimed = [state.expected for state in found.states]
    assert found.expected_error.mean == pytest.approx(
        abs(np.mean(true) - np.mean(claimed))
    )
    assert "Quality" in rows_of(calibration_table([found]))[0]
    assert rows_of(calibration_table([found]))[0]["Quality"].startswith(f"{gap:.3f}")


def test_the_last_prediction_stands_when_nothing_is_wrong(tmp_path):
    labels = np.zeros(SHAPE, np.uint8)
    labels[10:30, 10:30] = 1
    image = np.stack([labels * 200, labels * 0 + 9, labels], -1)
    for part, array in (("images", image), ("labels", labels)):
        (tmp_path / "set" / part).mkdir(parents=True)
        imsave(tmp_path / "set" / part / "a.png", array, check_contrast=False)
    one, five = measured(tmp_path, counts=(1, 5))
    assert one.iou.mean == five.iou.mean == 1
    assert one.states[0].rank is five.states[0].rank is None
    assert one.rank is None
    band = 20 * 20 + 4 * 20 * 10 - 0  # inside, and beside it
    corner = sum(
        math.hypot(row, col) <= 10 for row in range(1, 11) for col in range(1, 11)
    )
    assert sum(one.states[0].probability.count) == band + 4 * corner
    share = 400 / (band + 4 * corner)
    assert one.error.mean == pytest.approx(share * (1 - 200 / 255), abs=1e-6)
    assert math.isnan(one.error.error)
    json.dumps(one.to_dict(), allow_nan=False)


# -- parts -------------------------------------------------------------------------


def test_bins_by_hand():
    claims = np.array([0.0, 1 / 15, 0.5, 0.999, 1.0])
    found = Reliability.of(claims, np.array([0, 1, 1, 0, 1]))
    assert found.count[[0, 1, 7, 14]].tolist() == [1, 1, 1, 2]
    assert found.count.sum() == 5
    expected = ((1 - 1 / 15) + 0.5 + abs(1.999 - 1)) / 5
    assert found.error == pytest.approx(expected)
    twice = Reliability.total([found, found])
    assert twice.count.sum() == 10
    assert twice.error == pytest.approx(expected)
    assert math.isnan(Reliability.of(np.zeros(0), np.zeros(0)).error)
    with pytest.raises(InputError, match="claims must be from 0 to 1"):
        Reliability.of(np.array([1.2]), np.array([1]))
    with pytest.raises(InputError, match="claims must be from 0 to 1"):
        Reliability.of(np.array([np.nan]), np.array([1]))


def test_errors_in_one_bin_cancel_and_others_do_not():
    same = Reliability.of(np.array([0.5, 0.5]), np.array([0, 1]))
    assert same.error == 0
    other = Reliability.of(np.array([0.1, 0.9]), np.array([1, 0]))
    assert other.error == pytest.approx(0.9)


def test_the_band_is_as_wide_on_both_sides():
    gt = np.zeros((60, 80), np.int8)
    gt[:, :40] = 1
    band = border_band(gt, 10)
    assert band.all(axis=0).tolist() == [30 <= col < 50 for col in range(80)]
    assert (band.any(axis=0) == band.all(axis=0)).all()
    gt[:, 40:45] = -1
    band = border_band(gt, 10)
    columns = [30 <= col < 40 or 45 <= col < 50 for col in range(80)]
    assert band.all(axis=0).tolist() == columns
    assert not border_band(np.ones((5, 5), np.int8)).any()
    assert not border_band(np.zeros((5, 5), np.int8)).any()


def test_ranks_as_in_scipy():
    rng = np.random.default_rng(0)
    one, two = rng.integers(0, 9, 200), rng.normal(size=200)
    assert rank_correlation(one, two) == pytest.approx(spearmanr(one, two).statistic)
    assert rank_correlation(np.ones(5), np.arange(5)) is None
    assert rank_correlation(np.ones(1), np.ones(1)) is None


@pytest.mark.parametrize("true", [0.5, 1.0, 2.0])
def test_the_temperature_of_overstated_claims_is_found(tmp_path, true):
    write(tmp_path / "set")
    found = measured(tmp_path)
    rng = np.random.default_rng(0)
    scores = rng.normal(0, 1.5, 200_000)
    outcomes = rng.random(scores.shape) < 1 / (1 + np.exp(-scores))
    claims = 1 / (1 + np.exp(-scores * true))
    tempered = Tempered.of(claims, outcomes)
    states = tuple(s._replace(tempered=tempered) for s in found[0].states)
    object.__setattr__(found[0], "states", states)
    fitted = fit_temperature(found[:1])
    assert fitted.value == pytest.approx(true, abs=0.051)
    assert fitted.loss[1] <= fitted.loss[0]
    assert fitted.error[1] < 0.01
    plain = int(np.abs(TEMPERATURES - 1).argmin())
    expected = -np.where(outcomes, np.log(claims), np.log(1 - claims)).sum()
    assert tempered.losses[plain] == pytest.approx(expected, rel=1e-6)


def test_no_pixel_has_no_temperature():
    with pytest.raises(InputError, match="needs at least one pixel"):
        fit_temperature([])


# -- the command -------------------------------------------------------------------


def test_command(tmp_path, capsys):
    root, tiny = write_sets(tmp_path / "sets"), write_tiny(tmp_path)
    output = tmp_path / "out.json"
    arguments = ["calibration", tiny, "--root", root, "--set", "disks", "davis"]
    arguments += ["--clicks", 2, 1, "--subset", 2, "-o", output]
    assert main([str(each) for each in arguments]) == 0
    text = capsys.readouterr().out
    rows = rows_of(text)
    assert [(row["Set"], row["Clicks"]) for row in rows[:2]] == [
        ("disks", "1"),
        ("disks", "2"),
    ]
    assert "pixels up to 10 image pixels from the true border" in text
    data = json.loads(output.read_text())
    assert (data["bins"], data["band"]) == (15, 10)
    assert len(data["results"]) == 4
    first = data["results"][0]
    gaps = np.subtract(first["bins"]["claimed"], first["bins"]["found"])
    ece = np.abs(gaps).sum() / sum(first["bins"]["count"])
    assert first["ece"][0] == pytest.approx(ece)
    assert rows[0]["ECE"].startswith(f"{ece:.3f} ± ")
    assert len(first["results"]) == 2
    assert f"Temperature {data['temperature']['value']:g} " in text


def test_command_writes_the_model_with_its_temperature(tmp_path, capsys):
    root, tiny = write_sets(tmp_path / "sets"), write_tiny(tmp_path)
    options = ["--root", root, "--set", "disks", "--clicks", 1]
    fitted, again = tmp_path / "fitted.safetensors", tmp_path / "again.json"
    written = ["--fit", fitted, "-o", tmp_path / "out.json"]
    arguments = ["calibration", tiny, *options, *written]
    assert main([str(each) for each in arguments]) == 0
    first = json.loads((tmp_path / "out.json").read_text())["temperature"]
    before, after = load_checkpoint(tiny)[1], load_checkpoint(fitted)[1]
    assert after.inference.temperature == pytest.approx(first["value"])
    assert (after.name, after.architecture) == (before.name, before.architecture)
    arguments = ["calibration", fitted, *options, "-o", again]
    assert main([str(each) for each in arguments]) == 0
    rest = json.loads(again.read_text())["temperature"]
    assert rest["loss"][0] == pytest.approx(first["loss"][1], rel=1e-3)
    assert first["loss"][1] < first["loss"][0]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--clicks", "0"], "clicks and band must be at least 1"),
        (["--band", "0"], "clicks and band must be at least 1"),
        (["--subset", "0"], "limit must be at least 1"),
        (["-o", "no-such-folder/out.json"], "in a folder that exists"),
        (["--set", "nothing"], "objects must be a folder or one of"),
    ],
)
def test_command_explains_errors(tmp_path, capsys, options, message):
    root, tiny = write_sets(tmp_path / "sets"), write_tiny(tmp_path)
    base = ["calibration", str(tiny), "--root", str(root), "--set", "disks"]
    assert main([*base, *options]) == 1
    assert message in capsys.readouterr().err
