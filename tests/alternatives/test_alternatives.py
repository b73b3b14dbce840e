"""Alternatives: other masks for the same clicks, from the kernel and the threshold."""

from __future__ import annotations

import math
from itertools import combinations

import numpy as np
import pytest
import torch
from numpy.testing import assert_allclose, assert_array_equal

from _toy import ToyModel, toy_info, toy_segmenter
from _toy_backbone import make_toy_model
from napari_gpcis import Click, Segmenter, Session
from napari_gpcis.alternatives import Choices, alternatives, select
from napari_gpcis.alternatives.proposals import HIGH, LENGTH_SCALES, LOW, propose
from napari_gpcis.errors import InputError
from napari_gpcis.inference.segmenter import Request
from napari_gpcis.inference.start_mask import make_start_mask
from napari_gpcis.inference.tidy import DEFAULT_TIDY
from napari_gpcis.model import ProposalHead
from napari_gpcis.next_click import expected_iou

SHAPE = (60, 80)
CLICKS = (Click(30, 40), Click(8, 9, False))


@pytest.fixture
def image() -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (*SHAPE, 3), dtype=np.uint8)


def gp_segmenter(**settings) -> Segmenter:
    settings = {"infer_size": 64, "gp_stride": 4, **settings}
    return Segmenter(make_toy_model(gp_stride=4), toy_info(**settings))


def iou(one, other) -> float:
    return (one & other).sum() / (one | other).sum()


# -- proposals ---------------------------------------------------------------------


@pytest.mark.parametrize("mirror", [False, True])
@pytest.mark.parametrize("factor", LENGTH_SCALES)
def test_a_length_scale_is_that_of_a_model_that_has_it(image, factor, mirror):
    model = make_toy_model(gp_stride=4)
    info = toy_info(infer_size=64, gp_stride=4, mirror=mirror)
    segmenter = Segmenter(model, info)
    prepared = segmenter.prepare(image)
    found = segmenter.run(Request(prepared, CLICKS))[-1]
    (scaled,) = segmenter.rescaled(prepared, found, [factor])
    other = make_toy_model(gp_stride=4)
    with torch.no_grad():
        other.logsigma2 -= 2 * math.log(factor)
    expected = Segmenter(other, info)._engine.recondition(prepared, found.seen, CLICKS)
    assert_allclose(scaled.maps.probability, expected.maps.probability, atol=1e-6)
    assert_allclose(scaled.maps.variance, expected.maps.variance, atol=1e-6)
    assert not np.allclose(scaled.maps.update, found.maps.update, atol=1e-3)
    assert_array_equal(scaled.maps.prior, found.maps.prior)


def test_longer_scales_spread_a_click_further(image):
    segmenter = gp_segmenter()
    prepared = segmenter.prepare(image)
    found = segmenter.run(Request(prepared, CLICKS[:1]))[-1]
    reach = [
        np.abs(one.maps.update).mean()
        for one in segmenter.rescaled(prepared, found, [0.5, 1, 2, 4])
    ]
    assert reach == sorted(reach)
    assert reach[0] < 0.9 * reach[-1]


@pytest.mark.parametrize("factor", [0, -1, math.nan, math.inf])
def test_a_length_scale_is_above_zero(image, factor):
    segmenter = gp_segmenter()
    prepared = segmenter.prepare(image)
    found = segmenter.run(Request(prepared, CLICKS))[-1]
    with pytest.raises(InputError, match="factors must be numbers above 0"):
        segmenter.rescaled(prepared, found, [1.0, factor])


def test_a_model_without_a_kernel_has_thresholds_alone(image):
    segmenter = toy_segmenter()
    prepared = segmenter.prepare(image)
    found = segmenter.run(Request(prepared, CLICKS))[-1]
    thresholds = [one.threshold for one in propose(segmenter, prepared, found)]
    assert thresholds == [LOW, HIGH]


def test_the_order_is_always_the_same(image):
    segmenter = gp_segmenter()
    prepared = segmenter.prepare(image)
    found = segmenter.run(Request(prepared, CLICKS))[-1]
    scaled = segmenter.rescaled(prepared, found, LENGTH_SCALES)
    low, half, twice, *_, four = propose(segmenter, prepared, found)
    assert low.threshold == LOW
    assert low.maps is found.maps
    for one, other in zip((half, twice, four), scaled, strict=True):
        assert_array_equal(one.maps.update, other.maps.update)
        assert one.threshold == found.threshold


def test_what_leaves_only_the_clicks_is_left_out(image):
    segmenter = gp_segmenter()
    prepared = segmenter.prepare(image)
    found = segmenter.run(Request(prepared, CLICKS))[-1]
    faint = found.maps._replace(probability=0.6 * found.maps.probability)
    object.__setattr__(found, "maps", faint)
    low, *_, high, _ = propose(segmenter, prepared, found)
    assert low.threshold == LOW
    assert high is None  # and the others keep their slots
    assert HIGH not in [one.prediction.threshold for one in select(found, [low, high])]
    assert found.with_threshold(HIGH).mask.any()  # the click itself


def obeyed_clicks(segmenter, rng, most):
    """Check that all alternatives obey up to `most` clicks; return how many did."""
    obeyed = 0
    for _ in range(60):
        image = rng.integers(0, 256, (40, 50, 3), dtype=np.uint8)
        count = int(rng.integers(1, most + 1))
        rows, cols = rng.integers(0, 40, count), rng.integers(0, 50, count)
        signs = [True, *(rng.random(count - 1) < 0.5).tolist()]
        clicks = [
            Click(*c) for c in zip(rows.tolist(), cols.tolist(), signs, strict=True)
        ]
        wanted = {click.pixel: click.positive for click in clicks}
        for one in alternatives(segmenter, image, clicks):
            mask = one.mask
            assert all(mask[place] == sign for place, sign in wanted.items())
            obeyed += len(wanted)
    return obeyed


def test_every_alternative_obeys_every_click():
    assert obeyed_clicks(gp_segmenter(), np.random.default_rng(1), 8) > 500


# -- selection ---------------------------------------------------------------------


def test_the_mask_is_first_and_all_differ(image):
    segmenter = gp_segmenter()
    session = Session(segmenter, image)
    found = session.add_click(30, 40)
    several = session.alternatives()
    assert 2 <= len(several) <= 6
    assert several[0].prediction is found
    for one, other in combinations(several, 2):
        assert iou(one.mask, other.mask) <= 0.9
    assert all(one.area == one.mask.sum() > 0 for one in several)
    assert several[0].score == expected_iou(found)
    assert_array_equal(several[1].probability, several[1].prediction.probability)
    plain = alternatives(segmenter, image, [Click(30, 40)])
    assert len(plain) == len(several)
    for one, other in zip(plain, several, strict=True):
        assert_array_equal(one.mask, other.mask)


def test_a_limit_keeps_the_first(image):
    session = Session(gp_segmenter(), image)
    session.add_click(30, 40)
    every = session.alternatives(20)
    for limit in range(1, len(every) + 1):
        found = session.alternatives(limit)
        assert [one.score for one in found] == [one.score for one in every[:limit]]
    with pytest.raises(InputError, match="limit must be at least 1, got 0"):
        session.alternatives(0)


def test_the_quality_of_another_threshold_is_scaled(image):
    session = Session(gp_segmenter(), image)
    found = session.add_click(30, 40)
    object.__setattr__(found, "quality", 0.6)
    lower = found.with_threshold(0.2)
    by_threshold = {
        one.prediction.threshold: one.score for one in select(found, [lower])
    }
    assert by_threshold[found.threshold] == 0.6
    expected = min(1, 0.6 * expected_iou(lower) / expected_iou(found))
    assert by_threshold.get(0.2, expected) == pytest.approx(expected)


def test_alternatives_need_a_click(image):
    session = Session(gp_segmenter(), image)
    with pytest.raises(InputError, match="alternatives need at least one click"):
        session.alternatives()
    with pytest.raises(InputError, match="clicks must hold at least one click"):
        alternatives(session.segmenter, image, [])


# -- the choice --------------------------------------------------------------------


def test_a_choice_is_one_step(image):
    session = Session(gp_segmenter(), image)
    before = session.add_click(30, 40)
    other = session.alternatives()[1]
    chosen = session.choose(1)
    assert_array_equal(chosen.mask, other.mask)
    assert session.clicks == before.clicks
    assert session.undo() is before
    assert_array_equal(session.redo().mask, other.mask)
    assert len(session.alternatives()) == 1
    assert session.choose(0) is session.prediction
    session.undo()
    session.undo()
    assert session.clicks == ()


def test_the_next_click_goes_on_from_the_choice(image):
    model = ToyModel()
    session = Session(Segmenter(model, toy_info()), image)
    session.add_click(30, 40)
    chosen = session.choose(1)
    session.add_click(20, 20)
    seen = model.previous[-1][0, 0].numpy()
    top, left, bottom, right = session.prediction.roi
    rows = top + (np.arange(64) + 0.5) * (bottom - top) / 64 - 0.5
    cols = left + (np.arange(64) + 0.5) * (right - left) / 64 - 0.5
    place = np.ix_(np.round(rows).astype(int), np.round(cols).astype(int))
    assert (np.round(seen) == chosen.mask[place]).mean() > 0.97
    assert session.prediction.mask[20, 20]
    assert session.prediction.mask[30, 40]


@pytest.mark.parametrize("more", [(), ((12, 50, True), (50, 70, False))])
def test_saved_choices_give_the_same_labels(image, tmp_path, more):
    segmenter = gp_segmenter()
    session = Session(segmenter, image)
    session.add_click(30, 40)
    session.choose(1)
    for click in more:
        session.add_click(*click)
    session.accept()
    session.add_click(5, 5)
    session.choose(1)
    file = tmp_path / "prompts.json"
    session.save(file)
    again = Session.load(file, segmenter, image)
    assert_array_equal(again.labels, session.labels)
    assert_array_equal(again.prediction.mask, session.prediction.mask)
    assert again.clicks == session.clicks
    session.clear()
    session.undo_accept()
    session.accept()
    assert_array_equal(again.labels, session.labels)


def test_a_refined_object_keeps_its_id(image):
    session = Session(gp_segmenter(), image, tidy=None)
    session.add_click(30, 40)
    number = session.accept()
    session.refine(number)
    assert len(session.alternatives()) == 1
    session.add_click(30, 42)
    chosen = session.choose(1)
    assert session.accept() == number
    assert_array_equal(session.labels == number, chosen.mask)


def test_what_was_accepted_comes_first(image):
    session = Session(gp_segmenter(), image)
    session.add_click(30, 40)
    usual = [one.slot for one in session.alternatives()]
    assert usual == sorted(usual)
    assert len(usual) >= 3
    session.choose(len(usual) - 1)
    session.undo()  # not taken in the end
    session.choose(2)
    session.accept(overwrite=True)
    assert session.choices.preferred == (usual[2],)
    session.add_click(30, 40)
    found = session.alternatives()
    assert found[0].slot == 0  # the mask itself stays the first
    assert found[1].slot == usual[2]
    assert [one.slot for one in found[2:]] == [k for k in usual[1:] if k != usual[2]]
    session.choices.forget()
    assert [one.slot for one in session.alternatives()] == usual


def test_choices_fade():
    choices = Choices()
    choices.finish(None)
    assert choices.preferred == ()
    starts = [make_start_mask(np.ones((3, 3), bool), (3, 3)) for _ in range(3)]
    for start, slot in zip(starts, (4, 4, 1), strict=True):
        choices.take(start, slot)
        choices.finish(start)
    assert choices.preferred == (4, 1)  # twice, once
    choices.finish(starts[2])
    assert choices.preferred == (1, 4)  # of late
    for _ in range(12):
        choices.finish(None)
    assert choices.preferred == ()


@pytest.mark.parametrize("index", [-1, 7])
def test_a_place_that_is_not_there(image, index):
    session = Session(gp_segmenter(), image)
    session.add_click(30, 40)
    before = session.prediction
    with pytest.raises(InputError, match="index must be one of 0 to"):
        session.choose(index)
    assert session.prediction is before
    assert not session.can_redo


# -- learned ones ------------------------------------------------------------------


def learned_segmenter(**settings) -> Segmenter:
    torch.manual_seed(2)
    head = ProposalHead(6, (6,), width=8, fine_width=8, dilations=(1,))
    with torch.no_grad():
        head.residuals.weight.normal_(std=3)
    settings = {"infer_size": 64, "gp_stride": 4, **settings}
    model = make_toy_model(gp_stride=4)
    return Segmenter(model, toy_info(**settings), proposals=head)


def test_learned_proposals_take_the_place_of_others(image):
    segmenter = learned_segmenter()
    prepared = segmenter.prepare(image)
    found = segmenter.run(Request(prepared, CLICKS))[-1].with_tidy(DEFAULT_TIDY)
    proposals = segmenter.propose(prepared, found)
    assert len(proposals) == 5
    offered = propose(segmenter, prepared, found)
    assert len(offered) == 5
    offered = [one for one in offered if one is not None]
    assert len(offered) >= 2
    for one in offered:
        assert one.tidy == found.tidy
        assert one.threshold == found.threshold
        assert one.seen is found.seen
    kept = [p.maps.probability for p in proposals]
    assert all(
        any(np.array_equal(one.maps.probability, each) for each in kept)
        for one in offered
    )
    again = segmenter.propose(prepared, found)
    for one, other in zip(proposals, again, strict=True):
        assert_array_equal(one.maps.probability, other.maps.probability)


def test_learned_proposals_obey_thousands_of_clicks():
    assert obeyed_clicks(learned_segmenter(), np.random.default_rng(3), 15) > 2000


def test_the_quality_of_a_proposal_is_measured_against_the_mask(image):
    segmenter = learned_segmenter()
    prepared = segmenter.prepare(image)
    found = segmenter.run(Request(prepared, CLICKS))[-1]
    gains = [one.quality for one in segmenter.propose(prepared, found)]
    object.__setattr__(found, "quality", 0.8)
    for gain, one in zip(gains, segmenter.propose(prepared, found), strict=True):
        odds = 0.8 / 0.2 * gain / (1 - gain)
        assert one.quality == pytest.approx(odds / (1 + odds))
        assert (one.quality > 0.8) == (gain > 0.5)


def test_a_mirrored_model_has_no_learned_proposals(image):
    segmenter = learned_segmenter(mirror=True)
    prepared = segmenter.prepare(image)
    found = segmenter.run(Request(prepared, CLICKS))[-1]
    assert segmenter.propose(prepared, found) == []
    assert propose(segmenter, prepared, found)  # those without weights


def test_a_learned_choice_is_saved_with_its_mask(image, tmp_path):
    session = Session(learned_segmenter(), image)
    session.add_click(30, 40)
    chosen = session.choose(1)
    file = tmp_path / "prompts.json"
    session.save(file)
    again = Session.load(file, gp_segmenter(), image)  # without what was learned
    assert_array_equal(again.prediction.mask, chosen.mask)
