"""Losses: values by hand, and where gradients go."""

from __future__ import annotations

import pytest
import torch

from gpcis_training.diversity.losses import (
    DISTANCES,
    LossOptions,
    best_mask,
    click_errors,
    hindsight,
    permuted_index,
    proposal_loss,
    ranked_diversity,
    selection_loss,
    soft_jaccard,
    unpermuted,
)
from napari_gpcis.errors import InputError

TARGET = torch.tensor([[1.0, 1.0, 0.0, 0.0]])
MASKS = torch.tensor(
    [[[0.5, 0.0, 0.0, 0.0]], [[1.0, 0.8, 0.2, 0.0]], [[0.0] * 3 + [1.0]]]
)
NONE = torch.zeros(1, 4)


def test_soft_jaccard_by_hand() -> None:
    expected = torch.tensor([1 - 0.5 / 2, 1 - 1.8 / 2.2, 1.0])
    torch.testing.assert_close(soft_jaccard(TARGET, MASKS), expected)
    product = DISTANCES["jaccard_product"](TARGET, MASKS, None)
    torch.testing.assert_close(product, expected)  # the target is 0 or 1
    half = torch.full((1, 4), 0.5)
    assert float(soft_jaccard(half, half[None])[0]) == 0
    assert float(
        DISTANCES["jaccard_product"](half, half[None], None)[0]
    ) == pytest.approx(1 - 1 / 3)


def test_pixels_that_are_not_valid_do_not_count() -> None:
    valid = torch.tensor([[1.0, 1.0, 0.0, 0.0]])
    for name, distance in DISTANCES.items():
        changed = MASKS.clone()
        changed[:, :, 2:] = 0.7
        one, other = distance(TARGET, MASKS, valid), distance(TARGET, changed, valid)
        torch.testing.assert_close(one, other, msg=name)


def test_click_errors_by_hand() -> None:
    positive = torch.tensor([[1.0, 1.0, 0.0, 0.0]])
    negative = torch.tensor([[0.0, 0.0, 0.0, 1.0]])
    found = click_errors(MASKS, positive, negative)
    torch.testing.assert_close(found, torch.tensor([1.5, 0.2, 3.0]))
    mean = click_errors(MASKS, positive, negative, mean=True)
    torch.testing.assert_close(mean, found / 3)


def test_hindsight_is_the_minimum() -> None:
    positive = torch.tensor([[0.0, 1.0, 0.0, 0.0]])
    errors = soft_jaccard(TARGET, MASKS) + click_errors(MASKS, positive, NONE)
    assert float(hindsight(errors)) == float(errors.min())
    found = proposal_loss(TARGET, MASKS, positive, NONE, LossOptions())
    torch.testing.assert_close(found, errors.min())


def test_the_clicks_decide_which_mask_is_best() -> None:
    masks = torch.tensor([[[0.0, 1.0, 0.0, 0.0]], [[0.6, 0.6, 0.4, 0.0]]])
    positive = torch.tensor([[1.0, 0.0, 0.0, 0.0]])
    options = LossOptions(constraint="paper")
    found = proposal_loss(TARGET, masks, positive, NONE, options)
    assert float(found) == pytest.approx(1 - 1.2 / 2.4 + 0.4)  # not 0.5 + 1
    outside = proposal_loss(
        TARGET, masks, positive, NONE, LossOptions(constraint="code")
    )
    assert float(outside) == pytest.approx(0.5 + (1 + 0.4) / 2)
    none = proposal_loss(TARGET, masks, positive, NONE, LossOptions(constraint="none"))
    assert float(none) == pytest.approx(0.5)


@pytest.mark.parametrize("ranks", [0.0, 0.01])
def test_gradient_reaches_only_the_best_mask_without_ranks(ranks: float) -> None:
    raw = MASKS.clamp(0.05, 0.95).clone().requires_grad_()
    options = LossOptions(ranks=ranks)
    proposal_loss(TARGET, raw, TARGET, NONE, options).backward()
    assert raw.grad is not None
    reached = raw.grad.abs().sum((1, 2)) > 0
    assert reached.tolist() == ([False, True, False] if ranks == 0 else [True] * 3)


def test_ranks_double_towards_the_first_mask() -> None:
    distances = torch.eye(6)
    found = [float(ranked_diversity(row, 0.01)) for row in distances]
    assert found == pytest.approx([0.32, 0.16, 0.08, 0.04, 0.02, 0.01])


def test_the_target_of_the_selector_follows_the_permutation() -> None:
    best = best_mask(TARGET, MASKS)
    assert best == 1
    for order in (
        torch.tensor(o) for o in ([0, 1, 2], [1, 2, 0], [2, 0, 1], [2, 1, 0])
    ):
        place = int(permuted_index(best, order))
        assert torch.equal(MASKS[order][place], MASKS[best])
        logits = torch.full((3,), -20.0)
        logits[place] = 20
        assert float(selection_loss(logits, best, order)) == pytest.approx(0, abs=1e-6)
        logits[place] = -60
        assert float(selection_loss(logits, best, order)) > 30


def test_a_permutation_and_its_inverse_change_no_selection() -> None:
    def select(masks: torch.Tensor) -> torch.Tensor:
        return -soft_jaccard(TARGET, masks)

    expected = select(MASKS)
    for order in (torch.tensor(o) for o in ([0, 1, 2], [1, 2, 0], [2, 0, 1])):
        assert torch.equal(unpermuted(select(MASKS[order]), order), expected)


def test_losses_that_are_not_known_are_refused() -> None:
    for wrong in ({"distance": "x"}, {"constraint": "x"}, {"ranks": -1.0}):
        with pytest.raises(InputError):
            LossOptions(**wrong)  # type: ignore[arg-type]
