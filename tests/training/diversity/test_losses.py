"""Losses of latent diversity: minimum, gradients, permutations, variants."""

import pytest
import torch

from gpcis_training.diversity.losses import (
    LossOptions,
    disobedience,
    distance,
    permuted,
    proposals_loss,
    ranks,
    selector_loss,
)
from gpcis_training.diversity.maps import click_maps
from napari_gpcis.clicks import Click
from napari_gpcis.errors import InputError

TARGET = torch.tensor([[True, True, False], [False, False, False]])
NOTHING = click_maps([], (2, 3))


def _masks():
    """Three masks: right, half right, wrong."""
    right, half = TARGET.float(), torch.tensor([[1.0, 0, 0], [0, 0, 0]])
    return torch.stack([half, right * 0.9, 1 - right])[None]


def test_distances_by_hand():
    (masks,) = _masks()
    assert distance(masks, TARGET).tolist() == pytest.approx([0.5, 0.1, 1])
    assert distance(masks, TARGET, "l1").tolist() == pytest.approx([1 / 6, 0.2 / 6, 1])
    entropy = distance(masks[1:2], TARGET, "cross_entropy")
    assert entropy.item() == pytest.approx(0.10536 * 2 / 6, rel=1e-3)
    kept = torch.tensor([[True, False, True], [True, True, True]])
    assert distance(masks, TARGET, kept=kept).tolist() == pytest.approx([0, 0.1, 1])


def test_clicks_by_hand():
    (masks,) = _masks()
    guidance = click_maps([Click(0, 1, True), Click(1, 1, False)], (2, 3))
    assert disobedience(masks, guidance).tolist() == pytest.approx([1, 0.1, 2])
    halves = disobedience(masks, guidance, mean=True)
    assert halves.tolist() == pytest.approx([0.5, 0.05, 1])
    assert disobedience(masks, NOTHING, mean=True).tolist() == [0, 0, 0]


def test_the_loss_is_that_of_the_best_mask():
    found = proposals_loss(_masks(), TARGET, NOTHING)
    assert found.best == 1
    assert found.total.item() == pytest.approx(0.1)
    assert found.distances.tolist() == pytest.approx([0.5, 0.1, 1])


def test_a_disobeyed_click_can_cost_a_mask_its_first_place():
    masks = _masks()[:, :2]
    masks[:, 1, 1, 2] = 1  # the best mask, with a false pixel that was clicked
    guidance = click_maps([Click(1, 2, False)], (2, 3))
    assert proposals_loss(masks, TARGET, NOTHING).best == 1
    found = proposals_loss(masks, TARGET, guidance)
    assert (found.best, found.total.item()) == (0, pytest.approx(0.5))
    free = LossOptions(constraints="none")
    assert proposals_loss(masks, TARGET, guidance, free).best == 1
    code = LossOptions(constraints="all", mean_clicks=True)
    beside = proposals_loss(masks, TARGET, guidance, code)
    expected = 1 - 1.8 / 3 + (0 + 1) / 2  # mean over clicks and masks
    assert (beside.best, beside.total.item()) == (1, pytest.approx(expected))


def _gradients(options):
    masks = (_masks() * 0.8 + 0.1).requires_grad_()
    guidance = click_maps([Click(0, 0, True)], (2, 3))
    proposals_loss(masks, TARGET, guidance, options).total.backward()
    return [bool(part.any()) for part in masks.grad[0]]


def test_the_gradient_reaches_the_best_mask_only_unless_diversity_is_ranked():
    assert _gradients(LossOptions()) == [False, True, False]
    assert _gradients(LossOptions(ranked=0.01)) == [True, True, True]
    assert _gradients(LossOptions(constraints="all")) == [True, True, True]


def test_ranked_diversity_by_hand():
    weights = ranks(6, 0.0025)
    assert (weights / 0.0025).tolist() == pytest.approx([32, 16, 8, 4, 2, 1])
    found = proposals_loss(_masks(), TARGET, NOTHING, LossOptions(ranked=0.01))
    expected = 0.1 + 0.04 * 0.5 + 0.02 * 0.1 + 0.01 * 1
    assert found.total.item() == pytest.approx(expected)


def test_ignored_pixels_do_not_count():
    ignore = torch.zeros(2, 3, dtype=torch.bool)
    ignore[0, 1] = True
    found = proposals_loss(_masks(), TARGET, NOTHING, ignore=ignore)
    assert (found.best, found.total.item()) == (0, pytest.approx(0))


@pytest.mark.parametrize("order", [[0, 1, 2], [2, 0, 1], [1, 2, 0]])
def test_the_target_goes_with_its_mask(order):
    masks = _masks()
    moved, target = permuted(masks, 1, order)
    assert torch.equal(moved[0, target.item()], masks[0, 1])
    back, first = permuted(moved, target.item(), torch.argsort(torch.tensor(order)))
    assert torch.equal(back, masks)
    assert first.tolist() == [1]


def test_the_selector_learns_by_cross_entropy():
    logits = torch.tensor([[0.0, 1.0, 0.0]])
    assert selector_loss(logits, torch.tensor([1])).item() == pytest.approx(
        0.5514, 1e-3
    )


@pytest.mark.parametrize(
    "options", [{"measure": "dice"}, {"constraints": "some"}, {"ranked": -1.0}]
)
def test_unknown_options_are_one_line(options):
    with pytest.raises(InputError, match=f"{next(iter(options))} must be"):
        LossOptions(**options)
