"""The robot user: exact published clicks, and what a run records."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from scipy.ndimage import distance_transform_edt

from gpcis_training.evaluation import next_click, run_robot
from napari_gpcis.clicks import Click
from napari_gpcis.errors import InputError

FIXTURE = Path(__file__).parents[2] / "data" / "gpcis_protocol_fixture.npz"


@pytest.mark.parametrize("number", range(4))
def test_published_clicker(number):
    with np.load(FIXTURE) as data:
        gt = data[f"clicker{number}_gt"]
        mask = data[f"clicker{number}_pred"]
        expected = data[f"clicker{number}_clicks"]
    not_clicked = np.ones(gt.shape, dtype=bool)
    for order, row in enumerate(expected):
        click = next_click(gt, mask, not_clicked)
        assert (*click.pixel, int(click.positive), order) == tuple(row)
        not_clicked[click.pixel] = False


def reference_click(gt, mask, not_clicked):
    """The published clicker, word by word, on the whole plane."""
    best = []
    valid = gt != -1
    for error in ((gt == 1) & ~mask & valid, (gt != 1) & mask & valid):
        depth = distance_transform_edt(np.pad(error, 1))[1:-1, 1:-1] * not_clicked
        best.append((depth.max(), np.argwhere(depth == depth.max())[0]))
    positive = bool(best[0][0] > best[1][0])
    depth, where = best[0] if positive else best[1]
    return None if depth == 0 else Click(*where, positive)


planes = st.tuples(st.integers(1, 12), st.integers(1, 12)).flatmap(
    lambda shape: st.tuples(
        arrays(np.int8, shape, elements=st.sampled_from([-1, 0, 1, 1, 2])),
        arrays(np.bool_, shape),
        arrays(np.bool_, shape, elements=st.sampled_from([True, True, False])),
    )
)


@given(planes)
def test_cropping_changes_nothing(plane):
    assert next_click(*plane) == reference_click(*plane)


@given(planes)
def test_a_click_lies_on_an_unclicked_error(plane):
    gt, mask, not_clicked = plane
    click = next_click(gt, mask, not_clicked)
    errors = (mask != (gt == 1)) & (gt != -1) & not_clicked
    if click is None:
        assert not errors.any()
    else:
        assert errors[click.pixel]
        assert click.positive == (gt[click.pixel] == 1)


def test_a_tie_gives_a_negative_click():
    gt = np.array([[1, 0, 0]], dtype=np.int8)
    mask = np.array([[False, False, True]])
    assert next_click(gt, mask, np.ones((1, 3), bool)) == Click(0, 2, False)


def test_the_image_border_counts_as_outside():
    gt = np.ones((5, 9), dtype=np.int8)
    click = next_click(gt, np.zeros((5, 9), bool), np.ones((5, 9), bool))
    assert click == Click(2, 2)


def test_no_error_no_click():
    gt = np.eye(4, dtype=np.int8)
    assert next_click(gt, gt == 1, np.ones((4, 4), bool)) is None


class Painter:
    """Answer with prepared masks, the last one for ever."""

    def __init__(self, *masks):
        self.masks = list(masks)
        self.clicks = []

    def start(self, image, first_view):
        self.clicks = []

    def click(self, row, col, positive):
        self.clicks.append((row, col, positive))
        return self.masks[min(len(self.clicks), len(self.masks)) - 1]


@pytest.fixture
def square():
    gt = np.zeros((20, 20), dtype=np.int8)
    gt[5:15, 5:15] = 1
    return gt


def halves(gt, rows):
    mask = gt == 1
    mask[:, 10 + rows :] = False
    return mask


def test_run_stops_at_the_target_but_not_before_the_least_clicks(square):
    masks = [halves(square, n) for n in (0, 4, 4, 3, 3, 3)]
    assert run_robot(Painter(*masks), square, target=0.9).ious == (0.5, 0.9)
    run = run_robot(Painter(*masks), square, target=0.9, min_clicks=3)
    assert run.ious == (0.5, 0.9, 0.9)
    run = run_robot(Painter(*masks), square, max_clicks=6, target=None)
    assert run.ious == (0.5, 0.9, 0.9, 0.8, 0.8, 0.8)
    assert len(run.clicks) == len(run.seconds) == len(set(run.clicks)) == 6


def test_run_ends_when_nothing_is_wrong(square):
    run = run_robot(Painter(square == 1), square, target=None)
    assert run.ious == (1.0,)
    assert run.violations == (0,)


def test_disobeyed_clicks_are_counted(square):
    nothing = np.zeros(square.shape, bool)
    left = halves(square, 0)
    run = run_robot(Painter(nothing, left, nothing, left), square, 4, target=None)
    held = [[bool(left[c.pixel]) == c.positive for c in run.clicks[:n]] for n in (2, 4)]
    assert run.violations[0] == 1
    assert run.violations[1] == held[0].count(False)
    assert run.violations[2] == 3
    assert run.violations[3] == held[1].count(False)
    assert run.missed == (True, not held[0][1], True, not held[1][3])


def test_bad_arguments(square):
    with pytest.raises(InputError, match="max_clicks must be at least 1"):
        run_robot(Painter(square == 1), square, max_clicks=0)
    with pytest.raises(InputError, match="no pixel with label 1"):
        run_robot(Painter(square == 1), np.zeros_like(square))
    with pytest.raises(InputError, match="mask must have the shape of gt"):
        run_robot(Painter(np.zeros((3, 3), bool)), square)
