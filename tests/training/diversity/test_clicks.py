"""Clicks of latent diversity: laws, margins, counts and seeds."""

from collections import Counter
from itertools import combinations

import numpy as np
import pytest
from scipy.ndimage import distance_transform_edt

from gpcis_training.diversity.clicks import (
    BoundaryClicker,
    TrainingClicks,
    boundary_clicker,
    click_chances,
    negatives,
    positives,
    training_clicks,
)
from gpcis_training.evaluation.datasets import EvaluationObject
from napari_gpcis.errors import InputError

SHAPE = (90, 100)
LAWS = TrainingClicks()


def _box(*box):
    mask = np.zeros(SHAPE, dtype=bool)
    mask[box[0] : box[1], box[2] : box[3]] = True
    return mask


MASK = _box(20, 60, 30, 80)
OTHER = _box(70, 90, 0, 25)


def _rng(k):
    return np.random.default_rng(k)


def _gaps(pixels):
    return [np.hypot(a - c, b - d) for (a, b), (c, d) in combinations(pixels, 2)]


def test_positives_keep_margin_and_step_and_their_number_is_1_to_10():
    depth = distance_transform_edt(MASK)
    counts = Counter()
    for k in range(200):
        found = positives(MASK, LAWS, _rng(k))
        assert all(depth[pixel] >= 5 for pixel in found)
        assert min(_gaps(found), default=10) >= 10
        counts[len(found)] += 1
    assert set(counts) <= set(range(1, 11))
    assert 10 <= counts[1] <= 35  # one in ten
    assert 10 <= counts[4] <= 35


def test_positives_lie_anywhere_in_the_object():
    one = TrainingClicks(positives=1)
    rows = [positives(MASK, one, _rng(k))[0][0] for k in range(300)]
    assert (min(rows), max(rows)) == (24, 55)
    assert np.mean(rows) == pytest.approx(39.5, abs=2)
    assert np.std(rows) == pytest.approx(32 / 12**0.5, rel=0.1)  # all alike


def test_a_thin_object_is_clicked_in_its_middle():
    line = _box(10, 13, 10, 90)
    for k in range(5):
        assert {row for row, _ in positives(line, LAWS, _rng(k))} == {11}


def _by_strategy(others, count=300):
    """Return the draws of each strategy: background, around, others."""
    found = {0: [], 1: [], 2: []}
    for k in range(count):
        strategy = int(_rng(k).integers(3 if others else 2))
        found[strategy].append(negatives(MASK, others, LAWS, _rng(k)))
    return found


def test_negatives_follow_three_strategies():
    away = distance_transform_edt(~MASK)
    found = _by_strategy([OTHER])
    for draws in found.values():
        assert 70 <= len(draws) <= 130
        assert all(not MASK[pixel] for draw in draws for pixel in draw)
    background, around, others = found.values()
    assert all(away[pixel] >= 5 for draw in background for pixel in draw)
    assert all(min(_gaps(draw), default=10) >= 10 for draw in background)
    assert {len(draw) for draw in background} == set(range(1, 16))
    assert all(0 < away[pixel] <= 40 for draw in around for pixel in draw)
    assert {len(draw) for draw in around} == {15}
    assert all(OTHER[pixel] for draw in others for pixel in draw)
    assert all(draws for draws in others)


def test_an_image_with_one_object_has_two_strategies():
    found = _by_strategy([], 60)
    assert not found[2]
    assert 18 <= len(found[0]) <= 42


def test_clicks_around_are_spread():
    spread = _by_strategy([])[1]
    assert min(min(_gaps(draw)) for draw in spread) > 6
    draw = spread[0]
    away = distance_transform_edt((distance_transform_edt(~MASK) <= 40) & ~MASK)
    second = draw[1]
    rows, cols = np.indices(SHAPE)
    left = np.minimum(away, np.hypot(rows - draw[0][0], cols - draw[0][1]))
    assert left[second] == left.max()  # farthest from all, the first click included


def test_no_click_is_on_ignored_pixels():
    ignore = _box(0, 90, 0, 50)
    for k in range(20):
        found = negatives(MASK, [], LAWS, _rng(k), ignore)
        assert not any(ignore[pixel] for pixel in found)


def test_a_visit_draws_one_of_15_sets_of_each_sign():
    fixed = [training_clicks(MASK, [OTHER], LAWS, (7, 3, k)) for k in range(200)]
    signs = [
        {tuple(each for each in draw if each.positive is sign) for draw in fixed}
        for sign in (True, False)
    ]
    assert [len(found) for found in signs] == [15, 15]
    assert len({tuple(draw) for draw in fixed}) > 60  # independently
    assert training_clicks(MASK, [OTHER], LAWS, (7, 3, 5)) == fixed[5]
    assert training_clicks(MASK, [OTHER], LAWS, (7, 4, 5)) != fixed[5]
    new = TrainingClicks(sets=0)
    draws = {tuple(training_clicks(MASK, [], new, (7, 3, k))) for k in range(60)}
    assert len(draws) > 55


@pytest.mark.parametrize(("share", "least", "most"), [(0, 0, 0), (0.5, 30, 70)])
def test_the_share_without_negatives(share, least, most):
    laws = TrainingClicks(no_negatives=share)
    draws = [training_clicks(MASK, [], laws, (1, 2, k)) for k in range(100)]
    alone = sum(all(click.positive for click in draw) for draw in draws)
    assert least <= alone <= most


def test_what_cannot_be_drawn_is_one_line():
    with pytest.raises(InputError, match="mask must hold a pixel"):
        training_clicks(np.zeros((3, 3), bool), [], LAWS, (1, 2))
    with pytest.raises(InputError, match="no_negatives must be"):
        TrainingClicks(no_negatives=2)
    with pytest.raises(InputError, match="numbers of clicks must be"):
        TrainingClicks(positives=0)


def test_the_first_click_of_the_test_is_proportional_to_the_depth():
    gt = np.zeros((5, 9), np.int8)
    gt[1:4, 1:8] = 1
    nothing, free = np.zeros(gt.shape, bool), np.ones(gt.shape, bool)
    chances = click_chances(gt, nothing, free)
    assert chances.sum() == 16 * 1 + 5 * 2  # the rim, and the middle row
    middle = 0
    for k in range(1000):
        click = BoundaryClicker(k)(gt, nothing, free)
        assert click.positive
        assert gt[click.pixel] == 1
        middle += chances[click.pixel] == 2
    assert middle / 1000 == pytest.approx(10 / 26, abs=0.05)


def test_later_clicks_lie_in_all_errors_with_the_true_label():
    gt, mask = np.zeros((12, 12), np.int8), np.zeros((12, 12), bool)
    gt[0:6, 0:4] = 1
    mask[0:6, 0:2] = True  # missing: columns 2 and 3
    mask[8:12, 6:12] = True  # superfluous
    gt[:, 11] = -1  # ignored
    free = np.ones(gt.shape, bool)
    free[10, 8] = False
    chances = click_chances(gt, mask, free)
    found = [BoundaryClicker(k)(gt, mask, free) for k in range(600)]
    signs = {True: 0, False: 0}
    for click in found:
        assert chances[click.pixel] > 0
        assert click.positive is bool(gt[click.pixel] == 1)
        signs[click.positive] += 1
    share = chances[0:6].sum() / chances.sum()
    assert signs[True] / 600 == pytest.approx(share, abs=0.06)
    assert all(click.pixel != (10, 8) for click in found)


def test_no_error_no_click_and_the_seed_decides():
    gt = np.ones((4, 4), np.int8)
    right, free = np.ones((4, 4), bool), np.ones((4, 4), bool)
    assert BoundaryClicker()(gt, right, free) is None
    item = EvaluationObject("a.png", "a.png", (1,))
    large = np.ones((60, 60), np.int8)
    empty, all_free = np.zeros((60, 60), bool), np.ones((60, 60), bool)
    first, again, other = (
        boundary_clicker(item, seed)(large, empty, all_free) for seed in (1, 1, 2)
    )
    assert first == again
    assert first != other
    assert boundary_clicker(item, 1, repeat=1)(large, empty, all_free) != first
