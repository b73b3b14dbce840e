"""Metrics against hand examples, tiny references and properties."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from gpcis_training.evaluation.metrics import (
    ClickRun,
    estimate,
    iou,
    iou_at,
    noc,
    nof,
    noic,
    summarise,
)
from napari_gpcis.clicks import Click
from napari_gpcis.errors import InputError

fractions = st.floats(0, 1, allow_nan=False)
curves = st.lists(fractions, min_size=1, max_size=25)
targets = st.sampled_from([0.5, 0.8, 0.85, 0.9])


def make_run(ious, violations=None, missed=None):
    n = len(ious)
    return ClickRun(
        ious=tuple(ious),
        clicks=tuple(Click(i, i) for i in range(n)),
        violations=tuple(violations or [0] * n),
        missed=tuple(missed or [False] * n),
        seconds=(0.5,) * n,
    )


@given(arrays(np.int8, (4, 5), elements=st.integers(-1, 2)), arrays(np.bool_, (4, 5)))
def test_iou_against_sets(gt, mask):
    valid = {tuple(p) for p in np.argwhere(gt != -1)}
    ours = {tuple(p) for p in np.argwhere(mask)} & valid
    true = {tuple(p) for p in np.argwhere(gt == 1)}
    expected = len(ours & true) / len(ours | true) if ours | true else 1.0
    assert iou(gt, mask) == expected


def test_iou_by_hand():
    gt = np.array([[1, 1, 0, -1, 2]])
    assert iou(gt, np.array([[True, False, True, True, False]])) == 1 / 3
    assert iou(np.zeros((2, 2), int), np.zeros((2, 2), bool)) == 1.0
    assert iou(np.full((2, 2), -1), np.ones((2, 2), bool)) == 1.0


@pytest.mark.parametrize(
    ("ious", "expected"),
    [([0.9], 1), ([0.2, 0.9, 0.1], 2), ([0.2] * 20, 20), ([0.2] * 20 + [1.0], 20)],
)
def test_noc_by_hand(ious, expected):
    assert noc(ious, 0.9) == expected


@given(curves, targets, st.integers(1, 25))
def test_noc_is_the_first_success(ious, target, most):
    clicks = noc(ious, target, most)
    assert 1 <= clicks <= most
    assert all(value < target for value in ious[: min(clicks, most) - 1])
    if max(ious[:most]) >= target:
        assert ious[clicks - 1] >= target
    else:
        assert clicks == most


@given(curves)
def test_noc_grows_with_the_target(ious):
    assert noc(ious, 0.8) <= noc(ious, 0.85) <= noc(ious, 0.9)


@given(curves, targets)
def test_stopping_at_the_highest_target_changes_no_noc(ious, target):
    stop = next((i for i, v in enumerate(ious, 1) if v >= 0.9), len(ious))
    assert noc(ious[:stop], target) == noc(ious, target)


def test_nof_both_ways():
    late = [0.1] * 19 + [0.95]
    never = [0.1] * 20
    early = [0.95]
    assert nof([late, never, early], 0.9) == 2
    assert nof([late, never, early], 0.9, strict=True) == 1


@given(st.lists(curves, max_size=5), targets)
def test_strict_failures_are_failures(many, target):
    padded = [(c * 20)[:20] for c in many]
    assert nof(padded, target, strict=True) <= nof(padded, target)


def test_iou_at_carries_the_last_value_forward():
    assert iou_at([0.3, 0.6, 0.5], 1) == 0.3
    assert iou_at([0.3, 0.6, 0.5], 3) == 0.5
    assert iou_at([0.3, 0.6, 0.5], 5) == 0.5
    with pytest.raises(InputError, match="ious and clicks"):
        iou_at([], 1)
    with pytest.raises(InputError, match="ious and clicks"):
        iou_at([0.3], 0)


def test_noic_counts_at_the_end_of_the_run():
    run = make_run([0.5, 0.91, 0.95], [1, 2, 3], [True, False, True])
    assert noic(run, 0.9) == 2
    assert noic(run, 0.95) == 3
    assert noic(run, 0.99) == 3
    assert noic(run, None) == 3
    assert noic(run, 0.9, steps=True) == 1
    assert noic(run, None, steps=True) == 2
    assert noic(run, None, max_clicks=1) == 1


@given(st.lists(fractions, min_size=2, max_size=30))
def test_standard_error_of_independent_values(values):
    found = estimate(values)
    assert found.mean == pytest.approx(np.mean(values))
    expected = np.std(values, ddof=1) / math.sqrt(len(values))
    assert found.error == pytest.approx(expected, abs=1e-12)


@given(st.lists(fractions, min_size=2, max_size=12))
def test_copies_in_a_group_add_no_certainty(values):
    names = list(range(len(values)))
    twice = estimate(values + values, names + names)
    assert twice.mean == pytest.approx(estimate(values).mean)
    assert twice.error == pytest.approx(estimate(values).error, abs=1e-12)


def test_estimate_of_one_group_has_no_error():
    assert math.isnan(estimate([1.0, 2.0], ["a", "a"]).error)
    with pytest.raises(InputError, match="values must hold"):
        estimate([])


def test_summary_by_hand():
    runs = [make_run([0.82, 0.86, 0.92], [0, 0, 1]), make_run([0.5] * 20, [2] * 20)]
    found = summarise(runs)
    assert found.objects == 2
    assert [found.noc[t].mean for t in (0.8, 0.85, 0.9)] == [10.5, 11, 11.5]
    assert dict(found.nof) == dict(found.nof_strict) == {0.8: 1, 0.85: 1, 0.9: 1}
    assert found.iou_at[1].mean == pytest.approx(0.66)
    assert found.iou_at[5].mean == pytest.approx(0.71)
    assert found.noic == 3
    assert found.noic_steps == 0
    assert found.seconds_per_click == 0.5
