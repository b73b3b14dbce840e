"""Pixels that are neither object nor background: no target, no click, no loss."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from skimage.io import imsave

from gpcis_training.data.augment import AugmentOptions, Crop
from gpcis_training.data.click_simulation import (
    MAX_CLICKS,
    ClickOptions,
    add_error_click,
    sample_clicks,
)
from gpcis_training.data.folders import DataFolder, make_target, read_ignored
from gpcis_training.data.samples import SampleStream
from gpcis_training.engine.slots import ClickBatch, SlotSampler, SlotSchedule
from gpcis_training.engine.step import normalised_focal_loss
from napari_gpcis.errors import InputError


@pytest.fixture
def root(tmp_path):
    """A bright square whose rim, three pixels wide, is ignored."""
    labels = np.zeros((60, 80), dtype=np.uint8)
    labels[15:45, 20:60] = 1
    ignore = np.zeros_like(labels)
    ignore[12:48, 17:63] = 255
    ignore[18:42, 23:57] = 0
    image = np.where(labels[..., None] > 0, 220, 30).astype(np.uint8).repeat(3, 2)
    for part, array in (("images", image), ("labels", labels), ("ignore", ignore)):
        (tmp_path / part).mkdir()
        imsave(tmp_path / part / "a.png", array, check_contrast=False)
    return tmp_path


def test_targets_leave_them_out(root):
    (pair,) = DataFolder(root).pairs
    ignored = read_ignored(pair)
    assert ignored.sum() == 36 * 46 - 24 * 34
    folder = DataFolder(root)
    target = make_target(pair, folder.labels(pair.labels[0]), np.array([1]))
    assert target.mask.sum() == 24 * 34
    assert not (target.mask & ignored).any()
    assert np.array_equal(target.ignore, ignored)


def test_a_set_without_them_has_none(root):
    (root / "ignore" / "a.png").unlink()
    (pair,) = DataFolder(root).pairs
    assert pair.ignore is None
    assert read_ignored(pair) is None


def test_another_size_is_refused(root):
    imsave(root / "ignore" / "a.png", np.zeros((60, 81), np.uint8), check_contrast=0)
    (pair,) = DataFolder(root).pairs
    with pytest.raises(InputError, match=r"a\.png has \(60, 81\) pixels"):
        read_ignored(pair)


def test_samples_carry_them_through_the_crop(root):
    options = AugmentOptions(size=48, colour=0, grey=0)
    stream = SampleStream([DataFolder(root)], augment_options=options)
    for index in range(10):
        sample = stream[index]
        assert sample.ignore.any()
        assert not (sample.mask & sample.ignore).any()
        grey = sample.image.mean(0)
        assert (grey[sample.mask] > 0.5).all()
        outside = ~(sample.mask | sample.ignore)
        assert (grey[outside] < 0.6).all()


def test_no_click_falls_on_them(root):
    options = AugmentOptions(size=48)
    clicks = ClickOptions(gamma=0.9, strategies=(0.3, 0.0, 0.7))
    stream = SampleStream([DataFolder(root)], 3, options, clicks)
    seen = 0
    for index in range(40):
        sample = stream[index]
        for row, col, order in sample.points[MAX_CLICKS:].tolist():
            if order >= 0:
                seen += 1
                assert not sample.ignore[int(row), int(col)]
                assert not sample.mask[int(row), int(col)]
    assert seen > 30


def test_no_error_is_there():
    mask = np.zeros((40, 40), dtype=bool)
    mask[10:20, 10:20] = True
    ignore = np.zeros_like(mask)
    ignore[:, 22:] = True
    everything = np.ones((40, 40), dtype=np.float32)
    points = np.full((48, 3), -1, dtype=np.float32)
    rng = np.random.default_rng(0)
    for _ in range(20):
        add_error_click(points, mask, everything, ClickOptions(), rng, ignore)
    negative = points[MAX_CLICKS:]
    used = negative[negative[:, 2] >= 0]
    assert len(used) == 20
    assert (used[:, 1] < 22).all()
    plain = np.full((48, 3), -1, dtype=np.float32)
    add_error_click(plain, mask, everything, ClickOptions(), rng)
    assert plain[MAX_CLICKS, 1] >= 22, "the largest error is there otherwise"


def test_a_crop_without_them_draws_the_same_clicks():
    mask = np.zeros((64, 64), dtype=bool)
    mask[16:40, 20:50] = True
    plain = Crop(np.zeros((3, 64, 64), np.float32), mask, np.zeros_like(mask))
    marked = plain._replace(ignore=np.zeros_like(mask))
    for seed in range(20):
        first, second = (
            sample_clicks(crop, ClickOptions(), np.random.default_rng(seed))
            for crop in (plain, marked)
        )
        assert np.array_equal(first, second)


def test_they_have_no_loss(root):
    stream = SampleStream([DataFolder(root)], augment_options=AugmentOptions(size=48))
    schedule = SlotSchedule(0, 2, 0)
    sampler = SlotSampler(schedule, range(2))
    batch = ClickBatch((stream[index] for index in sampler), schedule).batch()
    ignored = batch.target == -1
    assert ignored.any()
    logits = torch.randn(2, 1, 48, 48, generator=torch.Generator().manual_seed(0))
    wrong = torch.where(ignored, 100.0, logits)
    assert torch.equal(
        normalised_focal_loss(logits, batch.target),
        normalised_focal_loss(wrong, batch.target),
    )
