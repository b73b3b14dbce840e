"""Small Gaussian process problems, and their solution by plain NumPy in float64."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import torch
from hypothesis import strategies as st

from napari_gpcis.gp import Conditioned, click_kernel, condition, cross_kernel

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from torch import Tensor


@dataclass(frozen=True)
class Problem:
    """Pixels ``(B, m, d + 3)``, of which the first ``n`` are clicked."""

    pixels: Tensor
    targets: Tensor
    log_precision: Tensor
    rgb_weight: Tensor

    @property
    def clicks(self) -> Tensor:
        return self.pixels[:, : self.targets.shape[1]]

    @property
    def used(self) -> Tensor:
        return torch.ones_like(self.targets, dtype=torch.bool)

    @property
    def k_nn(self) -> Tensor:
        return click_kernel(self.clicks, self.log_precision, self.rgb_weight)

    @property
    def k_mn(self) -> Tensor:
        return cross_kernel(
            self.pixels, self.clicks, self.log_precision, self.rgb_weight
        )

    @property
    def k_mm_diagonal(self) -> Tensor:
        return 1 + self.rgb_weight

    def condition(self, epsilon2: float) -> Conditioned:
        return condition(self.k_nn, self.targets, self.used, epsilon2)


def make_problem(
    seed: int, clicks: int = 5, pixels: int = 30, deep: int = 6, batch: int = 2
) -> Problem:
    """Draw a well-conditioned problem in float64."""
    generator = torch.Generator().manual_seed(seed)

    def normal(*shape: int) -> Tensor:
        return torch.randn(*shape, generator=generator, dtype=torch.float64)

    return Problem(
        pixels=normal(batch, pixels, deep + 3),
        targets=normal(batch, clicks),
        log_precision=0.3 * normal(deep),
        rgb_weight=normal(1).exp(),
    )


problems = st.builds(
    make_problem,
    seed=st.integers(0, 2**31),
    clicks=st.integers(1, 8),
    pixels=st.integers(9, 30),
    deep=st.integers(1, 12),
    batch=st.integers(1, 3),
)


def reference_kernel(
    left: NDArray[np.float64],
    right: NDArray[np.float64],
    log_precision: NDArray[np.float64],
    rgb_weight: float,
) -> NDArray[np.float64]:
    """Return the kernel matrix ``(m, n)`` term by term, as the formula is printed."""
    matrix = np.zeros((len(left), len(right)))
    for i, a in enumerate(left):
        for j, b in enumerate(right):
            deep = np.exp(log_precision) * (a[:-3] - b[:-3]) ** 2
            rgb = (a[-3:] - b[-3:]) ** 2
            matrix[i, j] = np.exp(-deep.sum() / 2) + rgb_weight * np.exp(-rgb.sum() / 2)
    return matrix


def reference_posterior(
    problem: Problem, image: int, epsilon2: float, click_variance: float
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return update and variance of one image by a plain inverse."""
    pixels = problem.pixels[image].numpy()
    clicks = problem.clicks[image].numpy()
    eta0 = float(problem.rgb_weight)
    log_precision = problem.log_precision.numpy()
    k_mn = reference_kernel(pixels, clicks, log_precision, eta0)
    k_nn = reference_kernel(clicks, clicks, log_precision, eta0)
    inverse = np.linalg.inv(k_nn + epsilon2 * np.eye(len(k_nn)))
    mean = k_mn @ inverse @ problem.targets[image].numpy()
    inner = inverse @ (np.eye(len(k_nn)) - click_variance * inverse)
    variance = 1 + eta0 - np.einsum("mi,ij,mj->m", k_mn, inner, k_mn)
    return mean, variance
