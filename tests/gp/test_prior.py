"""The weight-space prior."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from _gp_problems import make_problem
from napari_gpcis.gp import fourier_basis, prior_mean, sample_weight

PIXELS = make_problem(seed=0).pixels
THETA = torch.linspace(-2, 2, 16 * 9, dtype=torch.float64).reshape(16, 9)
TAU = torch.linspace(0, 3, 16, dtype=torch.float64)
WEIGHT = torch.linspace(-1, 1, 16, dtype=torch.float64)[:, None]


def test_basis_and_mean_are_the_printed_formula() -> None:
    basis = fourier_basis(PIXELS, THETA, TAU).numpy()
    for image, pixel, r in [(0, 0, 0), (1, 7, 3), (0, 29, 15)]:
        phase = float(THETA[r] @ PIXELS[image, pixel] + TAU[r])
        expected = math.sqrt(2 / 16) * math.sin(phase)
        assert basis[image, pixel, r] == pytest.approx(expected, abs=1e-12)
    mean = prior_mean(PIXELS, THETA, TAU, WEIGHT)
    assert mean.shape == (2, 30)
    np.testing.assert_allclose(mean, basis @ WEIGHT.numpy()[:, 0], atol=1e-12)


@pytest.mark.parametrize("chunk", [1, 7, 29, 30, 31, None])
def test_mean_does_not_depend_on_the_chunk(chunk: int | None) -> None:
    whole = prior_mean(PIXELS, THETA, TAU, WEIGHT)
    parts = prior_mean(PIXELS, THETA, TAU, WEIGHT, chunk=chunk)
    torch.testing.assert_close(parts, whole, rtol=0, atol=1e-14)


@pytest.mark.parametrize(
    ("std", "effective"), [(0.0, 0.01), (0.025, 0.025), (1.0, 0.05), (-3.0, 0.01)]
)
def test_weight_is_drawn_with_a_clamped_standard_deviation(
    std: float, effective: float
) -> None:
    mean = torch.linspace(-1, 1, 256)[:, None]
    torch.manual_seed(5)
    z = torch.randn(256, 1)
    torch.manual_seed(5)
    drawn = sample_weight(mean, torch.tensor(std))
    torch.testing.assert_close(drawn, mean + effective * z)
