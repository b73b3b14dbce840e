"""The head that proposes other masks, and Matheron's rule."""

from __future__ import annotations

import pytest
import torch

from _toy_backbone import make_toy_model
from napari_gpcis.clicks import Click, points_tensor
from napari_gpcis.errors import InputError
from napari_gpcis.model.proposal_head import ProposalHead, ProposalInput

SIZE = 48


def make_head(**more) -> ProposalHead:
    torch.manual_seed(1)
    options = {"width": 8, "fine_width": 8, "dilations": (1, 2), **more}
    head = ProposalHead(6, (6,), **options)
    with torch.no_grad():
        head.residuals.weight.normal_(std=3)  # wild ones
    return head.eval()


def posterior(seed: int = 0):
    model = make_toy_model(seed, gp_stride=4).requires_grad_(False)
    generator = torch.Generator().manual_seed(seed)
    rgb = torch.rand(1, 3, SIZE, SIZE, generator=generator)
    encoded = model.encode(rgb)
    nothing = torch.zeros(1, 1, SIZE, SIZE)
    return model.click_posterior(
        encoded, model.features(encoded, points([]), nothing)
    ), generator


def points(clicks) -> torch.Tensor:
    return points_tensor([Click(*click) for click in clicks])


def test_sizes_of_all_that_it_gives():
    head = make_head(kinds=("larger", "smaller", "any"))
    given = ProposalInput(
        torch.rand(2, 6, 9, 11), (torch.rand(2, 6, 9, 11),), torch.rand(2, 9, 9, 11)
    )
    residuals, wide = head(given)
    assert residuals.shape == (2, 3, 9, 11)
    assert wide.shape == (2, 8, 5, 6)
    assert head.rate(wide, torch.randn(2, 4, 9, 11)).shape == (2, 4)


def test_the_shipped_design_is_small():
    head = ProposalHead(48, (48, 64, 96, 2))
    assert sum(each.numel() for each in head.parameters()) <= 300_000


def test_a_kind_starts_as_what_it_is_called():
    torch.manual_seed(0)
    head = ProposalHead(6, kinds=("larger", "smaller", "larger", "any"))
    larger, smaller, much_larger, same = head.residuals.bias.tolist()
    assert smaller < same == 0 < larger < much_larger


@pytest.mark.parametrize("kinds", [(), ("larger", "wider")])
def test_kinds_are_known(kinds):
    with pytest.raises(InputError, match="kinds must be at least one of larger"):
        ProposalHead(6, kinds=kinds)


@torch.no_grad()
def test_every_proposal_keeps_the_posterior_at_the_clicks():
    head, checked = make_head(), 0
    for seed in range(25):
        made, generator = posterior(seed)
        places = torch.randint(0, SIZE, (1 + seed % 8, 2), generator=generator)
        clicks = [
            (row, col, number % 3 != 1)
            for number, (row, col) in enumerate(places.tolist())
        ]
        given = points(clicks)
        grid = made.on_grid(given)
        plain = (grid.prior + grid.update).flatten()[grid.cells.position]
        residuals, _ = head(made.proposal_input(grid, given))
        assert residuals.flatten(2)[..., grid.cells.position].abs().max() > 1
        changed = residuals - grid.correction(residuals)
        away = changed.flatten(2)[0][:, grid.cells.position]
        assert away.abs().max() < 1e-3 * residuals.abs().max()
        assert changed.abs().max() > 0.5  # and goes elsewhere where it likes
        signs = torch.sign(plain + away)
        assert (signs == torch.sign(plain)).all()
        checked += away.numel()
    assert checked > 400


def test_the_correction_is_linear_and_lets_gradients_through():
    made, generator = posterior()
    grid = made.on_grid(points([(10, 12, True), (30, 40, False)]))
    one, other = torch.randn(2, 1, 3, 12, 12, generator=generator)
    torch.testing.assert_close(
        grid.correction(one + 2 * other),
        grid.correction(one) + 2 * grid.correction(other),
    )
    one.requires_grad_()
    grid.correction(one).sum().backward()
    clicked = one.grad.flatten(2)[..., grid.cells.position]
    assert (clicked != 0).all()
    assert one.grad.count_nonzero() == clicked.numel()


def test_guides_tell_clicks_and_posterior():
    made, _ = posterior()
    grid = made.on_grid(points([(10, 12, True), (30, 40, False)]))
    near = grid.resemblance()[0]
    assert near.shape == (2, 12, 12)
    assert near[0, 2, 3] == pytest.approx(1)  # the positive click, stride 4
    assert near[1, 7, 10] == pytest.approx(1)
    assert near[0, 7, 10] < 1
    assert (grid.variance[0, 0, 2, 3], grid.variance[0, 0, 7, 10]) == pytest.approx(
        (0, 0), abs=1e-3
    )
    alone = made.on_grid(points([(10, 12, True)])).resemblance()[0]
    assert (alone[1] == 0).all()


@torch.no_grad()
def test_ratings_follow_their_masks_not_their_neighbours():
    head = make_head(kinds=("any", "any"))
    wide, logits = torch.rand(1, 8, 6, 6), torch.randn(1, 3, 12, 12)
    rated = head.rate(wide, logits)[0]
    other = logits.clone()
    other[:, 2] += 3
    again = head.rate(wide, other)[0]
    assert torch.equal(rated[:2], again[:2])
    assert rated[2] != again[2]


@torch.no_grad()
def test_folded_it_gives_the_same_and_stays_itself():
    head = make_head(width=16)
    for part in head.modules():
        if isinstance(part, torch.nn.BatchNorm2d):
            part.running_mean.normal_()
            part.running_var.uniform_(0.5, 2)
            part.weight.uniform_(0.5, 2)
            part.bias.normal_()
    before = {name: values.clone() for name, values in head.state_dict().items()}
    given = ProposalInput(
        torch.rand(1, 6, 12, 14), (torch.rand(1, 6, 6, 7),), torch.rand(1, 9, 12, 14)
    )
    folded = head.folded()
    kinds = {type(part) for part in folded.modules()}
    assert torch.nn.BatchNorm2d not in kinds
    for ours, theirs in zip(folded(given), head(given), strict=True):
        torch.testing.assert_close(ours, theirs, rtol=1e-4, atol=1e-4)
    twice = folded.folded()
    assert all(map(torch.equal, twice(given), folded(given)))
    assert all(map(torch.equal, head.state_dict().values(), before.values()))
