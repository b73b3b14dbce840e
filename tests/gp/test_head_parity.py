"""The Gaussian process against the published code, from stored features.

No network: the raw features of the published code go in, its kernel matrix, prior,
update, logits and variational term must come out.
"""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

import numpy as np
import pytest
import torch
from torch import Tensor
from torch.nn import functional

from _rule_weights import rule_state_dict
from napari_gpcis import gp
from napari_gpcis.backbones.base import RGB_MEAN, RGB_STD

DATA = Path(__file__).parents[1] / "data"
SHAPE = (96, 128)
ATOL = 2e-5
EPSILONS = {"eps1e-7": 1e-7, "eps1e-2": 1e-2}


class Head(NamedTuple):
    """What the published code computes on the way to its logits."""

    raw: Tensor
    mean: Tensor
    labels: Tensor
    k_nn: Tensor
    prior: Tensor
    given: gp.Conditioned
    update: Tensor


@pytest.fixture(scope="module")
def stored() -> dict[str, np.ndarray]:
    with np.load(DATA / "gpcis_resnet50_parity.npz", allow_pickle=False) as archive:
        return dict(archive)


@pytest.fixture(scope="module")
def weights() -> dict[str, Tensor]:
    return rule_state_dict(DATA / "gpcis_resnet50_keys.json", without="model.")


@pytest.fixture(scope="module")
def pixels(stored: dict[str, np.ndarray]) -> Tensor:
    """Features and normalised colour at full resolution, ``(1, 51, 96, 128)``."""
    mean, std = (torch.tensor(c).reshape(1, 3, 1, 1) for c in (RGB_MEAN, RGB_STD))
    colour = (torch.from_numpy(stored["image"])[None] - mean) / std
    features = functional.normalize(torch.from_numpy(stored["a_head"]), eps=1e-12)
    features = functional.interpolate(
        features, size=SHAPE, mode="bilinear", align_corners=True
    )
    return torch.cat([features, colour], dim=1)


def _head(pixels: Tensor, weights: dict[str, Tensor], epsilon2: float) -> Head:
    """Evaluate case a: three positive and two negative clicks."""
    rows = torch.tensor([20, 61, 70, 12, 88])
    cols = torch.tensor([30, 40, 100, 110, 8])
    labels = torch.tensor([[1.0, 1.0, 1.0, -1.0, -1.0]])
    flat = pixels.flatten(2).transpose(1, 2)
    cells = rows * SHAPE[1] + cols
    clicks = flat[:, cells]
    hidden = functional.linear(
        clicks, weights["u_mlp.0.weight"], weights["u_mlp.0.bias"]
    )
    raw = functional.linear(
        hidden.relu(), weights["u_mlp.2.weight"], weights["u_mlp.2.bias"]
    )
    mean = gp.amortised_mean(raw[..., 0], labels)
    theta, tau = weights["theta.weight"], weights["theta.bias"]
    prior = gp.prior_mean(flat, theta, tau, weights["omega"], chunk=1000)
    kernel = (weights["logsigma2"], functional.softplus(weights["weights"]))
    k_nn = gp.click_kernel(clicks.double(), *(part.double() for part in kernel))
    used = gp.observed(cells[None], torch.arange(5)[None], torch.ones(1, 5).bool())
    given = gp.condition(k_nn, mean - prior[:, cells], used, epsilon2)
    update = gp.update_mean(gp.cross_kernel(flat, clicks, *kernel), given)
    return Head(raw, mean, labels, k_nn, prior, given, update)


def test_features_are_those_of_the_fixture(
    stored: dict[str, np.ndarray], pixels: Tensor
) -> None:
    np.testing.assert_allclose(
        pixels[:, :, ::4, ::4], stored["a_feature_sub4"], atol=ATOL
    )
    rows, cols = [20, 61, 70, 12, 88], [30, 40, 100, 110, 8]
    np.testing.assert_allclose(pixels[0, :, rows, cols].T, stored["a_zn"], atol=ATOL)


@pytest.mark.parametrize("name", EPSILONS)
def test_head_matches_the_published_code(
    name: str,
    stored: dict[str, np.ndarray],
    weights: dict[str, Tensor],
    pixels: Tensor,
) -> None:
    epsilon2 = EPSILONS[name]
    head = _head(pixels, weights, epsilon2)
    k_nn = head.k_nn[0] + epsilon2 * torch.eye(5)
    np.testing.assert_allclose(k_nn, stored[f"a_knn_{name}"], atol=ATOL)
    np.testing.assert_allclose(head.raw[0], stored["a_u_mlp_out"], atol=ATOL)
    maps = {
        "prior": head.prior,
        "update": head.update,
        "logits": head.prior + head.update,
    }
    for key, value in maps.items():
        image = value.reshape(1, 1, *SHAPE)
        np.testing.assert_allclose(image, stored[f"a_{key}_{name}"], atol=ATOL)
        np.testing.assert_allclose(image, stored[f"a_{key}_{name}_f64"], atol=ATOL)


def test_variational_term_matches_the_published_code(
    stored: dict[str, np.ndarray], weights: dict[str, Tensor], pixels: Tensor
) -> None:
    head = _head(pixels, weights, 1e-2)
    loss = gp.variational_loss(
        head.mean, head.mean, head.labels, head.given.cholesky, head.given.used
    )
    expected = stored["a_u_loss_times_1e-3_eps1e-2"].item()
    assert loss.item() == pytest.approx(expected, rel=1e-5)


def test_logits_at_the_clicks_are_their_amortised_means(
    weights: dict[str, Tensor], pixels: Tensor
) -> None:
    head = _head(pixels, weights, 1e-7)
    logits = (head.prior + head.update).reshape(SHAPE)
    at_clicks = logits[[20, 61, 70, 12, 88], [30, 40, 100, 110, 8]]
    torch.testing.assert_close(at_clicks, head.mean[0], rtol=0, atol=1e-5)
    assert torch.equal(at_clicks.sign(), head.labels[0])
    assert bool((head.prior.reshape(SHAPE)[[20, 61, 70], [30, 40, 100]] < 0).all())
