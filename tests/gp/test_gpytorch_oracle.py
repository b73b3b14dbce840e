"""GPyTorch as an independent oracle for the posterior."""

from __future__ import annotations

import gpytorch
import pytest
import torch

from _gp_problems import Problem, make_problem
from napari_gpcis.gp import update_mean, variance

DEEP = 6


class _ExactGP(gpytorch.models.ExactGP):
    """Zero mean, RBF with one length-scale per feature plus a scaled RBF on RGB."""

    def __init__(self, problem: Problem, targets: torch.Tensor, epsilon2: float):
        clicks = problem.clicks[0]
        noise = torch.full((len(clicks),), epsilon2, dtype=torch.float64)
        likelihood = gpytorch.likelihoods.FixedNoiseGaussianLikelihood(noise)
        super().__init__(clicks, targets, likelihood)
        deep = gpytorch.kernels.RBFKernel(
            ard_num_dims=DEEP, active_dims=tuple(range(DEEP))
        )
        rgb = gpytorch.kernels.RBFKernel(active_dims=tuple(range(DEEP, DEEP + 3)))
        self.kernel = deep + gpytorch.kernels.ScaleKernel(rgb)
        self.mean = gpytorch.means.ZeroMean()
        self.double()
        deep.lengthscale = (-0.5 * problem.log_precision).exp()
        rgb.lengthscale = 1.0
        self.kernel.kernels[1].outputscale = problem.rgb_weight[0]
        self.eval()

    def forward(self, x: torch.Tensor) -> gpytorch.distributions.MultivariateNormal:
        return gpytorch.distributions.MultivariateNormal(self.mean(x), self.kernel(x))


def _oracle(
    problem: Problem, targets: torch.Tensor, epsilon2: float
) -> tuple[torch.Tensor, torch.Tensor]:
    """Return GPyTorch's mean and latent variance at all pixels."""
    with torch.no_grad(), gpytorch.settings.min_fixed_noise(double_value=1e-9):
        posterior = _ExactGP(problem, targets, epsilon2)(problem.pixels[0])
        return posterior.mean, posterior.variance


@pytest.mark.parametrize("epsilon2", [1e-7, 1e-2])
@pytest.mark.parametrize("clicks", [1, 5, 12])
def test_mean_and_variance_agree(clicks: int, epsilon2: float) -> None:
    problem = make_problem(seed=clicks, clicks=clicks, deep=DEEP, batch=1)
    expected_mean, expected_variance = _oracle(problem, problem.targets[0], epsilon2)
    conditioned = problem.condition(epsilon2)
    mean = update_mean(problem.k_mn, conditioned)[0]
    torch.testing.assert_close(mean, expected_mean, rtol=0, atol=1e-8)
    var = variance(problem.k_mn, problem.k_mm_diagonal, conditioned, 0.0)[0]
    torch.testing.assert_close(var, expected_variance, rtol=0, atol=1e-8)


@pytest.mark.parametrize("epsilon2", [1e-7, 1e-2])
def test_uncertain_clicks_add_their_share_of_variance(epsilon2: float) -> None:
    problem = make_problem(seed=20, clicks=4, deep=DEEP, batch=1)
    _, expected = _oracle(problem, problem.targets[0], epsilon2)
    # The mean is linear in the targets: its response to each click, squared, times
    # the variance of the click, is what q(f_n) adds (law of total variance).
    for unit in torch.eye(4, dtype=torch.float64):
        response, _ = _oracle(problem, unit, epsilon2)
        expected = expected + 0.04 * response.square()
    var = variance(
        problem.k_mn, problem.k_mm_diagonal, problem.condition(epsilon2), 0.04
    )
    torch.testing.assert_close(var[0], expected, rtol=0, atol=1e-8)
