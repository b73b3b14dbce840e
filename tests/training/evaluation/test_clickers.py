"""Clicks off the centre: inside the right region, at the right depth, repeatable."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.ndimage import label
from skimage.draw import disk

from gpcis_training.evaluation import EvaluationObject, next_click, run_robot
from gpcis_training.evaluation.robot import (
    LAWS,
    SampledClicker,
    depth_map,
    make_clicker,
)
from napari_gpcis.errors import InputError

ITEM = EvaluationObject("a.png", "a.png", (1,))
SAMPLED = [law for law in LAWS if law != "centre"]


@pytest.fixture
def gt():
    """A large and a small disk, and a far corner that counts for nothing."""
    labels = np.zeros((60, 80), np.int8)
    labels[disk((30, 30), 20)] = 1
    labels[disk((30, 68), 6)] = 1
    labels[:5, :5] = -1
    return labels


def draws(law, gt, mask, free, number=300):
    clicker = SampledClicker(law, seed=1)
    return [clicker(gt, mask, free) for _ in range(number)]


@pytest.mark.parametrize("law", SAMPLED)
def test_clicks_fall_on_the_largest_error_only(gt, law):
    nothing = np.zeros(gt.shape, bool)
    clicks = draws(law, gt, nothing, ~nothing)
    large = label(gt == 1)[0] == 1
    assert all(click.positive and large[click.pixel] for click in clicks)


@pytest.mark.parametrize(
    ("law", "low", "high"), [("easy", 0, 1), ("middle", 1, 2), ("hard", 2, 3)]
)
def test_thirds_of_the_region_by_depth(gt, law, low, high):
    nothing = np.zeros(gt.shape, bool)
    region = label(gt == 1)[0] == 1
    depth = depth_map(region)
    ranked = np.sort(depth[region])[::-1]
    ends = [ranked[min(len(ranked) * k // 3, len(ranked) - 1)] for k in (low, high)]
    found = [depth[click.pixel] for click in draws(law, gt, nothing, ~nothing)]
    assert ends[1] <= min(found) <= max(found) <= ends[0]
    assert len(set(found)) > 5


def test_inside_means_everywhere_alike(gt):
    nothing = np.zeros(gt.shape, bool)
    region = label(gt == 1)[0] == 1
    clicks = draws("inside", gt, nothing, ~nothing, 3000)
    places = np.array([click.pixel for click in clicks])
    means = np.argwhere(region).mean(axis=0)
    spread = np.argwhere(region).std(axis=0)
    np.testing.assert_allclose(places.mean(axis=0), means, atol=4 * 10 / 3000**0.5)
    np.testing.assert_allclose(places.std(axis=0), spread, rtol=0.06)


@pytest.mark.parametrize("law", SAMPLED)
def test_signs_are_those_of_the_published_robot(gt, law):
    mask = gt == 1
    mask[40:, 40:] = True
    free = np.ones(gt.shape, bool)
    expected = next_click(gt, mask, free)
    wrong = mask & (gt != 1)
    for click in draws(law, gt, mask, free, 50):
        assert not click.positive
        assert not expected.positive
        assert wrong[click.pixel]


@pytest.mark.parametrize("law", SAMPLED)
def test_ignored_and_clicked_pixels_are_never_clicked(law):
    gt = np.ones((4, 4), np.int8)
    gt[0] = -1
    free = np.ones(gt.shape, bool)
    free[1:3] = False
    clicks = draws(law, gt, np.zeros(gt.shape, bool), free, 40)
    assert {click.pixel[0] for click in clicks} == {3}
    free[3, 1:] = False
    clicks = draws(law, gt, np.zeros(gt.shape, bool), free, 5)
    assert {click.pixel for click in clicks} == {(3, 0)}
    free[3, 0] = False
    assert draws(law, gt, np.zeros(gt.shape, bool), free, 1) == [None]


def test_draws_depend_on_seed_repeat_and_object_alone(gt):
    nothing = np.zeros(gt.shape, bool)

    def first_clicks(item, **numbers):
        clicker = make_clicker("inside", item, **numbers)
        return [clicker(gt, nothing, ~nothing) for _ in range(4)]

    base = first_clicks(ITEM, seed=3, repeat=1)
    assert first_clicks(ITEM, seed=3, repeat=1) == base
    others = [
        first_clicks(ITEM, seed=4, repeat=1),
        first_clicks(ITEM, seed=3, repeat=2),
        first_clicks(EvaluationObject("a.png", "a.png", (2,)), seed=3, repeat=1),
    ]
    assert all(other != base for other in others)


def test_the_centre_is_the_published_robot():
    assert make_clicker("centre", ITEM) is next_click
    with pytest.raises(InputError, match=r"clicks must be one of centre, .* 'edge'"):
        make_clicker("edge", ITEM)


def test_a_run_takes_its_clicks_from_the_clicker(gt):
    class Nothing:
        def click(self, row, col, positive):
            return np.zeros(gt.shape, bool)

    clicker = make_clicker("hard", ITEM)
    run = run_robot(Nothing(), gt, 5, target=None, clicker=clicker)
    again = make_clicker("hard", ITEM)
    mask, free = np.zeros(gt.shape, bool), np.ones(gt.shape, bool)
    for click in run.clicks:
        assert again(gt, mask, free) == click
        free[click.pixel] = False
    assert len(set(run.clicks)) == 5
