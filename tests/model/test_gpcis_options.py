"""Options of building: each changes what it should and nothing else."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np
import pytest
import torch
from scipy import ndimage

from _toy_backbone import ToyBackbone
from napari_gpcis import Click, Segmenter
from napari_gpcis.checkpoints import (
    InferenceSettings,
    ModelInfo,
    load_checkpoint,
    save_checkpoint,
)
from napari_gpcis.clicks import points_tensor
from napari_gpcis.errors import CheckpointError, InputError
from napari_gpcis.model import GPCIS, LinearNetwork, build_model
from napari_gpcis.model.grid import Cells, Grid, patch_mean, patch_spread

if TYPE_CHECKING:
    from pathlib import Path

SIZE = (48, 64)
CLICKS = [
    Click(10, 12),
    Click(40.7, 20.2, positive=False),
    Click(30, 50),
    Click(0, 63, positive=False),
]
POINTS = points_tensor(CLICKS)
GP_ONLY = {"omega", "omega_var", "logsigma2", "weights", "theta", "u_mlp"}


def _toy(seed: int = 0, **options) -> GPCIS:
    torch.manual_seed(seed)
    model = GPCIS(ToyBackbone(), basis=32, paper_init=True, **options).eval()
    model.epsilon2 = 1e-7
    return model


def _input(seed: int = 0, batch: int = 1) -> torch.Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.rand(batch, 4, *SIZE, generator=generator)


def _trained(model: torch.nn.Module) -> set[str]:
    """Names of the parameters that a training step would change."""
    scores, loss = model.forward_train(_input(batch=2), POINTS.repeat(2, 1, 1))
    (scores.logits.square().mean() + loss).backward()
    return {
        name
        for name, parameter in model.named_parameters()
        if parameter.grad is not None and bool(parameter.grad.any())
    }


def _names(model: torch.nn.Module) -> set[str]:
    return {name for name, _ in model.named_parameters()}


# -- the linear head ---------------------------------------------------------------


@pytest.fixture(scope="module")
def linear() -> LinearNetwork:
    torch.manual_seed(3)
    model = build_model("mobilenet_v2", head="linear").eval()
    assert isinstance(model, LinearNetwork)
    return model


def test_linear_head_has_the_same_network_and_no_gaussian_process(linear) -> None:
    full = build_model("mobilenet_v2", linear_basis=True)
    dropped = _names(full) - _names(linear)
    assert {name.split(".")[0] for name in dropped} == GP_ONLY
    assert _names(linear) <= _names(full)


def test_linear_head_scores_the_features_of_the_same_network(linear) -> None:
    full = build_model("mobilenet_v2").eval()
    shared = {k: v for k, v in linear.state_dict().items() if "linear" not in k}
    assert not full.load_state_dict(shared, strict=False).unexpected_keys
    x = _input()
    with torch.no_grad():
        raw = full.features(full.encode(x[:, :3]), POINTS, x[:, 3:])
        scores, variance = linear.predict(
            linear.encode(x[:, :3]), POINTS, x[:, 3:], variance=True
        )
        weight, bias = linear.linear.weight, linear.linear.bias
        by_hand = torch.einsum("bdhw,od->bohw", raw, weight) + bias
        by_hand = torch.nn.functional.interpolate(
            by_hand, size=SIZE, mode="bilinear", align_corners=True
        )
    torch.testing.assert_close(scores.logits, by_hand, rtol=0, atol=1e-5)
    assert torch.equal(scores.prior, scores.logits)
    assert not scores.update.any()
    probability = scores.logits.sigmoid()
    assert torch.equal(variance, probability * (1 - probability))


def test_upsampling_features_or_scores_is_all_the_same(linear) -> None:
    raw = torch.rand(1, 48, 12, 16)
    upsampled = torch.nn.functional.interpolate(
        raw, size=SIZE, mode="bilinear", align_corners=True
    )
    scores = linear._scores(raw, _input()).logits
    expected = linear._scores(upsampled, _input()).logits
    torch.testing.assert_close(scores, expected, rtol=0, atol=1e-5)


def test_every_parameter_of_the_linear_network_is_trained() -> None:
    torch.manual_seed(0)
    model = build_model("mobilenet_v2", head="linear")
    assert _trained(model) == _names(model)
    assert model.forward_train(_input(), POINTS)[1].item() == 0


def test_linear_network_goes_through_a_checkpoint_and_predicts(
    linear, tmp_path: Path
) -> None:
    settings = InferenceSettings(infer_size=64)
    info = ModelInfo("control", "mobilenet_v2", {"head": "linear"}, settings)
    save_checkpoint(tmp_path / "c.safetensors", linear, info, half=False)
    loaded, read = load_checkpoint(tmp_path / "c.safetensors")
    assert isinstance(loaded, LinearNetwork)
    assert read.options == {"head": "linear"}
    for name, value in linear.state_dict().items():
        assert torch.equal(loaded.state_dict()[name], value)
    segmenter = Segmenter.from_pretrained(tmp_path / "c.safetensors")
    picture = np.random.default_rng(0).integers(0, 255, (80, 90, 3), dtype=np.uint8)
    clicks = [Click(20, 30), Click(60, 70, positive=False), Click(22, 60)]
    prediction = segmenter.predict(picture, clicks)
    assert [bool(prediction.mask[c.pixel]) for c in clicks] == [True, False, True]
    assert np.isfinite(prediction.variance).all()


@pytest.mark.parametrize("head", ["svm", "", None])
def test_unknown_heads_are_refused(head) -> None:
    with pytest.raises(InputError, match="head must be 'gp' or 'linear'"):
        build_model("mobilenet_v2", head=head)


def test_options_of_the_gaussian_process_do_not_fit_a_linear_head() -> None:
    with pytest.raises(TypeError, match="paper_init"):
        build_model("mobilenet_v2", head="linear", paper_init=True)


def test_a_file_that_names_an_impossible_network_is_refused(
    linear, tmp_path: Path
) -> None:
    file = tmp_path / "odd.safetensors"
    save_checkpoint(file, linear, ModelInfo("odd", "mobilenet_v2", {"head": "svm"}))
    with pytest.raises(CheckpointError, match="head must be"):
        load_checkpoint(file)


# -- the paper's ablations (Table 4) -------------------------------------------------


def test_fixed_kernel_has_the_values_of_the_paper_and_is_not_trained() -> None:
    model = _toy(learn_kernel=False)
    assert model._rgb_weight().item() == pytest.approx(1.0)
    assert (-model.logsigma2).exp().tolist() == pytest.approx([math.exp(-1)] * 6)
    assert _trained(model) == _names(model) - {"logsigma2", "weights"}


def test_fixed_basis_has_the_laws_of_the_paper_and_is_not_trained() -> None:
    torch.manual_seed(1)
    model = build_model("resnet50", learn_basis=False)
    assert model.theta.weight.std().item() == pytest.approx(1, abs=0.05)
    assert model.omega.std().item() == pytest.approx(0.5, abs=0.1)
    phases = model.theta.bias
    assert 0 <= phases.min() < 0.2
    assert 2 * math.pi - 0.2 < phases.max() <= 2 * math.pi
    fixed = {"omega", "omega_var", "theta.weight", "theta.bias"}
    assert _trained(_toy(learn_basis=False)) == _names(_toy()) - fixed


@pytest.mark.parametrize("options", [{"learn_kernel": False}, {"learn_basis": False}])
def test_fixed_parts_change_training_alone(options) -> None:
    learnt, fixed = _toy(1), _toy(2, **options)
    assert _names(learnt) == _names(fixed)
    fixed.load_state_dict(learnt.state_dict())
    with torch.no_grad():
        assert all(map(torch.equal, learnt(_input(), POINTS), fixed(_input(), POINTS)))


def test_without_rgb_the_gaussian_process_is_the_one_of_colourless_weights() -> None:
    """The same as zero weights on colour and a kernel without its colour part."""
    seeing, blind = _toy(4), _toy(5, rgb=False)
    state = seeing.state_dict()
    names = set(state) - {"weights"}
    assert names == set(blind.state_dict())
    for name in ("theta.weight", "u_mlp.0.weight"):
        state[name][:, -3:] = 0
    state["weights"][:] = -60.0
    seeing.load_state_dict(state)
    for name in ("theta.weight", "u_mlp.0.weight"):
        state[name] = state[name][:, :-3]
    blind.load_state_dict({name: state[name] for name in names})
    x = _input()
    with torch.no_grad():
        expected, spread = seeing.predict(
            seeing.encode(x[:, :3]), POINTS, x[:, 3:], variance=True
        )
        scores, variance = blind.predict(
            blind.encode(x[:, :3]), POINTS, x[:, 3:], variance=True
        )
    for got, wanted in zip(scores, expected, strict=True):
        torch.testing.assert_close(got, wanted, rtol=0, atol=1e-5)
    torch.testing.assert_close(variance, spread, rtol=0, atol=1e-5)
    assert _trained(blind) == _names(blind)


def test_without_basis_functions_the_prior_is_the_linear_part() -> None:
    """The same as basis functions of no weight; the rest of the process stays."""
    full = _toy(6, linear_basis=True)
    bare = GPCIS(ToyBackbone(), basis=0, linear_basis=True).eval()
    bare.epsilon2 = full.epsilon2
    fourier = {"omega", "omega_var", "theta.weight", "theta.bias"}
    assert _names(full) - _names(bare) == fourier
    with torch.no_grad():
        full.omega.zero_()
    left = bare.load_state_dict(full.state_dict(), strict=False)
    assert set(left.unexpected_keys) == fourier
    x = _input()
    with torch.no_grad():
        for got, wanted in zip(bare(x, POINTS), full(x, POINTS), strict=True):
            torch.testing.assert_close(got, wanted, rtol=0, atol=1e-5)
        encoded = bare.encode(x[:, :3])
        posterior = bare.click_posterior(
            encoded, bare.features(encoded, POINTS, x[:, 3:])
        )
        scores, _ = posterior.scores(POINTS)
        torch.testing.assert_close(scores.logits, bare(x, POINTS).logits)
    assert _trained(bare) == _names(bare)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"basis": 0}, "needs linear_basis=True"),
        ({"basis": -1}, "basis must be a whole number from 0, got -1"),
        (
            {"basis": 0, "linear_basis": True, "learn_basis": False},
            "learn_basis=False fixes basis functions",
        ),
    ],
)
def test_there_must_be_a_prior(options: dict[str, int], message: str) -> None:
    with pytest.raises(InputError, match=message):
        GPCIS(ToyBackbone(), **options)


def test_published_options_are_the_defaults() -> None:
    same = {
        "learn_kernel": True,
        "learn_basis": True,
        "rgb": True,
        "click_patch": 1,
        "click_noise": 0.0,
    }
    plain, spelt = _toy(6), _toy(6, **same)
    for first, second in zip(plain.parameters(), spelt.parameters(), strict=True):
        assert torch.equal(first, second)
    with torch.no_grad():
        assert all(map(torch.equal, plain(_input(), POINTS), spelt(_input(), POINTS)))


# -- clicks that are not taken at their word -------------------------------------------


def _grid(seed: int = 0) -> tuple[Grid, np.ndarray]:
    picture = np.random.default_rng(seed).normal(size=(7, 9, 4)).astype(np.float32)
    return Grid(torch.from_numpy(picture).reshape(1, 63, 4), None, (7, 9), 4), picture


def _cells(places: list[tuple[int, int]]) -> Cells:
    position = torch.tensor([[row * 9 + col for row, col in places]])
    ones = torch.ones_like(position)
    return Cells(position, ones.float(), ones.bool())


def _window_mean(picture: np.ndarray, size: int) -> np.ndarray:
    """The mean over the part of the window that lies within the picture."""
    kernel = np.ones((size, size, 1))
    total = ndimage.convolve(picture, kernel, mode="constant")
    return total / ndimage.convolve(np.ones_like(picture), kernel, mode="constant")


@pytest.mark.parametrize("size", [1, 3, 5])
def test_patches_are_averaged_within_the_picture(size: int) -> None:
    grid, picture = _grid()
    places = [(0, 0), (3, 4), (6, 8), (0, 5), (2, 0)]
    mean = patch_mean(grid.pixels, grid, _cells(places), size)[0].numpy()
    spread = patch_spread(grid.pixels, grid, _cells(places), size)[0].numpy()
    means, squares = _window_mean(picture, size), _window_mean(picture**2, size)
    variances = (squares - means**2).sum(-1)
    for index, place in enumerate(places):
        assert mean[index] == pytest.approx(means[place], abs=1e-5)
        assert spread[index] == pytest.approx(variances[place], abs=1e-4)


def test_a_patch_changes_the_features_of_clicks_alone() -> None:
    plain, averaged = _toy(7, gp_stride=4), _toy(7, gp_stride=4, click_patch=3)
    assert _names(plain) == _names(averaged)
    x = _input()
    with torch.no_grad():
        first, second = plain(x, POINTS), averaged(x, POINTS)
        flat, inside = torch.full_like(x, 0.4), points_tensor([Click(22, 33)])
        same, also = plain(flat, inside), averaged(flat, inside)
    assert torch.equal(first.prior, second.prior)
    assert not torch.allclose(first.update, second.update, atol=1e-3)
    torch.testing.assert_close(same.update, also.update)
    assert _trained(averaged) == _names(averaged)


@pytest.mark.parametrize("linear_basis", [False, True])
def test_averaged_clicks_are_observed_at_their_own_features(linear_basis) -> None:
    """One click: update = k(x, c) (m - prior(c)) / (k(c, c) + eps)."""
    model = _toy(8, gp_stride=4, click_patch=3, linear_basis=linear_basis)
    x, points = _input(), points_tensor([Click(22, 33)])
    with torch.no_grad():
        encoded = model.encode(x[:, :3])
        grid = model._lay_out(model.features(encoded, points, x[:, 3:]), encoded.rgb)
        observed = model._observe(grid, points, encoded.rgb)
        k_mn = model._cross_kernel(grid, observed)[0, :, 0]
        eta = 1 + model._rgb_weight()
        features = torch.sin(model.theta(observed.features)) @ model.omega
        prior = math.sqrt(2 / 32) * features[0, 0]
        if linear_basis:
            rows = torch.tensor([[[4, 5, 6], [7, 8, 9]]])  # the click is in row 5
            place = torch.cartesian_prod(rows[0, 0], rows[0, 1])
            index = place[:, 0] * 16 + place[:, 1]
            prior = prior + grid.linear[0, index].mean()
        expected = k_mn * (observed.mean[0, 0] - prior) / (eta + 1e-7)
        prior_map, given = model._condition(grid, observed, observed.mean, model.omega)
        got = (k_mn[:, None] @ given.weights[0, :1, None]).squeeze(-1)
    torch.testing.assert_close(got, expected.double(), rtol=1e-4, atol=1e-5)
    assert prior_map.shape == (1, 12 * 16)


def test_noise_is_added_where_the_features_about_a_click_differ() -> None:
    noise = 0.5
    plain, doubting = _toy(9, gp_stride=4), _toy(9, gp_stride=4, click_noise=noise)
    x, points = _input(), points_tensor([Click(22, 33)])
    with torch.no_grad():
        encoded = plain.encode(x[:, :3])
        raw = plain.features(encoded, points, x[:, 3:])
        grid = plain._lay_out(raw, encoded.rgb)
        observed = plain._observe(grid, points, encoded.rgb)
        spread = patch_spread(grid.pixels[..., :6], grid, observed.cells, 3)
        first, second = plain(x, points), doubting(x, points)
    assert spread[0, 0].item() > 1e-3
    eta = (1 + plain._rgb_weight()).item()
    share = (eta + 1e-7) / (eta + 1e-7 + noise * spread[0, 0].item())
    assert torch.equal(first.prior, second.prior)
    torch.testing.assert_close(second.update, share * first.update)
    assert _trained(doubting) == _names(doubting)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"click_patch": 2}, "click_patch must be an odd number from 1, got 2"),
        ({"click_patch": -1}, "click_patch must be an odd number from 1, got -1"),
        ({"click_noise": -0.1}, "click_noise must be a number from 0, got -0.1"),
        ({"click_noise": math.nan}, "click_noise must be a number from 0, got nan"),
    ],
)
def test_options_out_of_range_are_refused(options, message) -> None:
    with pytest.raises(InputError, match=message):
        _toy(**options)
