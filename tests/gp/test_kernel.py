"""The double-space kernel."""

from __future__ import annotations

import numpy as np
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from _gp_problems import Problem, make_problem, problems, reference_kernel
from napari_gpcis.gp import click_kernel, cross_kernel

EPSILON2 = 1e-7


def test_kernel_is_the_printed_formula() -> None:
    problem = make_problem(seed=1)
    for image in range(2):
        expected = reference_kernel(
            problem.pixels[image].numpy(),
            problem.clicks[image].numpy(),
            problem.log_precision.numpy(),
            float(problem.rgb_weight),
        )
        np.testing.assert_allclose(problem.k_mn[image], expected, rtol=1e-12)
        np.testing.assert_allclose(problem.k_nn[image], expected[:5], rtol=1e-12)


@given(problems)
@settings(max_examples=40)
def test_click_kernel_is_symmetric_with_an_exact_diagonal(problem: Problem) -> None:
    k_nn = problem.k_nn
    assert torch.equal(k_nn, k_nn.transpose(1, 2))
    diagonal = k_nn.diagonal(dim1=1, dim2=2)
    assert torch.equal(diagonal, problem.k_mm_diagonal.expand_as(diagonal))


@given(problems)
@settings(max_examples=40)
def test_click_kernel_with_epsilon_is_positive_definite(problem: Problem) -> None:
    eye = torch.eye(problem.targets.shape[1], dtype=torch.float64)
    eigenvalues = torch.linalg.eigvalsh(problem.k_nn + EPSILON2 * eye)
    assert float(eigenvalues.min()) > 0.9 * EPSILON2


@given(problems, st.floats(-3, 3))
@settings(max_examples=40)
def test_kernel_is_stationary_and_bounded(problem: Problem, shift: float) -> None:
    moved = cross_kernel(
        problem.pixels + shift,
        problem.clicks + shift,
        problem.log_precision,
        problem.rgb_weight,
    )
    torch.testing.assert_close(moved, problem.k_mn, rtol=0, atol=1e-11)
    assert bool((moved > 0).all())
    assert bool((moved <= problem.k_mm_diagonal).all())


def test_rounding_never_lifts_the_kernel_above_its_diagonal() -> None:
    pixels = 30 + make_problem(seed=3, deep=48).pixels.float()
    eta0 = torch.tensor([0.7])
    near = pixels + 1e-5 * torch.randn(
        pixels.shape, generator=torch.Generator().manual_seed(0)
    )
    k_mn = cross_kernel(pixels, near, torch.ones(48), eta0)
    assert bool((k_mn <= 1 + eta0).all())


def test_log_precision_and_rgb_weight_act_on_their_own_part() -> None:
    a = torch.tensor([[0.0, 0.0, 0.0, 0.0, 0.0]])
    b = torch.tensor([[1.0, 2.0, 0.0, 0.0, 0.0]])
    log_precision = torch.tensor([1.0, -1.0])
    eta0 = torch.tensor([0.25])
    distance = np.e * 1.0 + np.exp(-1.0) * 4.0
    both = click_kernel(torch.cat([a, b]), log_precision, eta0)
    np.testing.assert_allclose(float(both[0, 1]), np.exp(-distance / 2) + 0.25, 1e-6)
    b = torch.tensor([[0.0, 0.0, 1.0, -2.0, 2.0]])
    both = click_kernel(torch.cat([a, b]), log_precision, eta0)
    np.testing.assert_allclose(float(both[0, 1]), 1 + 0.25 * np.exp(-4.5), 1e-6)
