import numpy as np
import pytest

from gpcis_training.data.augment import Crop
from gpcis_training.data.click_simulation import (
    MAX_CLICKS,
    ClickOptions,
    add_error_click,
    sample_clicks,
)


@pytest.fixture
def crop():
    mask = np.zeros((64, 64), dtype=bool)
    mask[16:40, 20:50] = True
    others = np.zeros_like(mask)
    others[50:60, 5:30] = True
    return Crop(np.zeros((3, 64, 64), dtype=np.float32), mask, others)


def _split(points):
    used = points[:, 0] >= 0
    positive, negative = points[:MAX_CLICKS], points[MAX_CLICKS:]
    return positive[used[:MAX_CLICKS]], negative[used[MAX_CLICKS:]]


def test_positives_lie_inside_negatives_outside(crop):
    for seed in range(50):
        points = sample_clicks(crop, ClickOptions(), np.random.default_rng(seed))
        assert points.shape == (48, 3)
        positive, negative = _split(points)
        assert len(positive) >= 1
        assert all(crop.mask[int(r), int(c)] for r, c, _ in positive)
        assert not any(crop.mask[int(r), int(c)] for r, c, _ in negative)


def test_numbers_of_clicks_follow_the_geometric_law(crop):
    rng = np.random.default_rng(0)
    drawn = [_split(sample_clicks(crop, ClickOptions(), rng)) for _ in range(1500)]
    positives = np.mean([len(positive) for positive, _ in drawn])
    negatives = np.mean([len(negative) for _, negative in drawn])
    assert positives == pytest.approx(3.33, abs=0.25)
    assert negatives == pytest.approx(2.33, abs=0.25)


def test_single_start_is_one_positive_click(crop):
    rng = np.random.default_rng(0)
    options = ClickOptions(single_start=1.0)
    for _ in range(20):
        positive, negative = _split(sample_clicks(crop, options, rng))
        assert len(positive) == 1
        assert len(negative) == 0


@pytest.mark.parametrize(
    ("strategies", "region"),
    [((0, 1, 0), "others"), ((1, 0, 0), "background"), ((0, 0, 1), "border")],
)
def test_negative_strategies(crop, strategies, region):
    rng = np.random.default_rng(1)
    places = {
        "others": crop.others,
        "background": ~(crop.mask | crop.others),
        "border": ~crop.mask,
    }[region]
    seen = 0
    for _ in range(60):
        _, negative = _split(
            sample_clicks(crop, ClickOptions(strategies=strategies), rng)
        )
        seen += len(negative)
        assert all(places[int(r), int(c)] for r, c, _ in negative)
        if region == "border":
            assert all(13 <= r < 43 and 17 <= c < 53 for r, c, _ in negative)
    assert seen > 30


def test_error_click_hits_the_larger_error(crop):
    points = np.full((48, 3), -1, dtype=np.float32)
    points[0] = (28, 30, 0)
    predicted = crop.mask.astype(np.float32)
    predicted[16:40, 20:28] = 0  # missed: 24 x 8
    predicted[0:4, 0:4] = 1  # excess: 4 x 4
    add_error_click(
        points, crop.mask, predicted, ClickOptions(), np.random.default_rng(0)
    )
    row, col, order = points[1]
    assert 16 <= row < 40
    assert 20 <= col < 28
    assert order == 1
    assert (points[MAX_CLICKS:] == -1).all()


def test_error_click_is_negative_on_excess(crop):
    points = np.full((48, 3), -1, dtype=np.float32)
    predicted = crop.mask.astype(np.float32)
    predicted[50:64, 40:64] = 1
    add_error_click(
        points, crop.mask, predicted, ClickOptions(), np.random.default_rng(0)
    )
    assert points[MAX_CLICKS, 0] >= 50
    assert (points[:MAX_CLICKS] == -1).all()


def test_no_error_no_click(crop):
    points = np.full((48, 3), -1, dtype=np.float32)
    add_error_click(
        points,
        crop.mask,
        crop.mask.astype(np.float32),
        ClickOptions(),
        np.random.default_rng(0),
    )
    assert (points == -1).all()


def test_a_full_side_loses_its_last_click(crop):
    points = np.full((48, 3), -1, dtype=np.float32)
    points[:MAX_CLICKS] = (28, 30, 0)
    add_error_click(
        points,
        crop.mask,
        np.zeros((64, 64), np.float32),
        ClickOptions(),
        np.random.default_rng(0),
    )
    assert points[MAX_CLICKS - 1, 2] == 1
    assert (points[: MAX_CLICKS - 1, 2] == 0).all()


def test_off_centre_clicks_reach_the_rim_and_stay_inside(crop):
    def shares(off_centre):
        options = ClickOptions(single_start=1.0, erode=0.0, off_centre=off_centre)
        rng = np.random.default_rng(0)
        starts = [sample_clicks(crop, options, rng)[0, :2] for _ in range(200)]
        on_rim = 0
        for start in starts:
            row, col = start.astype(int)
            assert crop.mask[row, col]
            on_rim += min(row - 15, 40 - row, col - 19, 50 - col) <= 3
        return on_rim / len(starts)

    assert shares(0.0) == 0
    assert 0.2 < shares(1.0) < 0.8


def test_off_centre_clicks_on_errors_reach_the_rim_of_the_error(crop):
    rng = np.random.default_rng(0)
    rows = []
    for _ in range(100):
        points = np.full((48, 3), -1, dtype=np.float32)
        nothing = np.zeros((64, 64), np.float32)
        add_error_click(points, crop.mask, nothing, ClickOptions(off_centre=1.0), rng)
        rows.append(points[0, 0])
    assert min(rows) <= 17
    assert max(rows) >= 38
