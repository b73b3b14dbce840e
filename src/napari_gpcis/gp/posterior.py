"""Conditioning on the clicks: the function-space update, mean and variance.

Equations 10 and 11 of the paper with ``A = K_nn + epsilon^2 I``::

    v      = A^-1 (f_n - Phi(X_n) w)
    update = K_mn v
    var    = k(x, x) - K_mn A^-1 (I - sigma^2 A^-1) K_nm      (diagonal)

Everything of the size of the clicks is float64 and goes through a Cholesky factor:
``epsilon^2 = 1e-7`` is below one float32 rounding step of the diagonal ``1 + eta_0``.
"""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, NamedTuple

import torch

if TYPE_CHECKING:
    from torch import Tensor

_logger = logging.getLogger(__name__)

CLICK_VARIANCE = 1e-4
"""``sigma^2`` of ``q(f_n)`` (the published code uses a standard deviation of 0.01)."""

_MAX_TRIES = 8
_SMALLEST_JITTER = 1e-10


class Conditioned(NamedTuple):
    """The Gaussian process given the clicks of each image of a batch."""

    cholesky: Tensor
    """Lower factor of ``A``, shape ``(B, n, n)``; rows of unused slots are identity."""
    weights: Tensor
    """``v``, shape ``(B, n)``; 0 for unused slots."""
    used: Tensor
    """Slots that are observations, bool, shape ``(B, n)``."""


def observed(pixels: Tensor, order: Tensor, valid: Tensor) -> Tensor:
    """Merge clicks that fall into one network pixel: the last one stands.

    Two observations of one pixel would make ``K_nn`` singular and, with opposite
    labels, contradictory.

    Parameters
    ----------
    pixels
        Flat index of the pixel of each click, integer, shape ``(B, n)``.
    order
        When the click was made (larger is later; among equals the later slot is
        later), shape ``(B, n)``.
    valid
        Clicks inside the image, bool, shape ``(B, n)``.

    Returns
    -------
    Tensor
        Bool, shape ``(B, n)``: the clicks to condition on.
    """
    slots = torch.arange(pixels.shape[1], device=pixels.device)
    same = (pixels.unsqueeze(2) == pixels.unsqueeze(1)) & valid.unsqueeze(1)
    gap = order.unsqueeze(1) - order.unsqueeze(2)
    later = (gap > 0) | ((gap == 0) & (slots.unsqueeze(0) > slots.unsqueeze(1)))
    return valid & ~(same & later).any(dim=2)


def condition(
    k_nn: Tensor, residual: Tensor, used: Tensor, epsilon2: float
) -> Conditioned:
    """Factorise ``A`` and solve for the weights of the update.

    Parameters
    ----------
    k_nn
        ``K_nn`` without ``epsilon^2``, float64, shape ``(B, n, n)``.
    residual
        ``f_n - Phi(X_n) w``, shape ``(B, n)``.
    used
        Slots that are observations, bool, shape ``(B, n)``.
    epsilon2
        ``epsilon^2 >= 0``; grows tenfold, logged, where the factor fails.

    Returns
    -------
    Conditioned
        Factor and weights, float64.
    """
    mask = used.to(k_nn.dtype)
    both = mask.unsqueeze(2) * mask.unsqueeze(1)
    matrix = k_nn * both + torch.diag_embed(1 - mask)
    factor, _ = factorise(matrix, mask, epsilon2)
    right = (residual.to(k_nn.dtype) * mask).unsqueeze(-1)
    weights = torch.cholesky_solve(right, factor).squeeze(-1) * mask
    return Conditioned(factor, weights, used)


def factorise(matrix: Tensor, mask: Tensor, epsilon2: float) -> tuple[Tensor, Tensor]:
    """Factorise ``matrix + jitter``: the only place where jitter enters.

    Parameters
    ----------
    matrix
        Float64, shape ``(B, n, n)``.
    mask
        1 where the diagonal gets jitter, shape ``(B, n)``.
    epsilon2
        The least jitter; grows tenfold, logged, where the factor fails.

    Returns
    -------
    tuple of Tensor
        Lower factor, shape ``(B, n, n)``, and jitter, shape ``(B, 1)``.
    """
    factor: Tensor
    jitter = torch.full_like(mask[:, :1], epsilon2)
    for _ in range(_MAX_TRIES):
        damped = matrix + torch.diag_embed(jitter * mask)
        factor, info = torch.linalg.cholesky_ex(damped)
        failed = info > 0
        if not bool(failed.any()):
            return factor, jitter
        grown = 10 * jitter.clamp(min=_SMALLEST_JITTER)
        jitter = torch.where(failed.unsqueeze(1), grown, jitter)
        _logger.warning(
            "K_nn is not positive definite with epsilon^2 = %.1e; trying %.1e",
            epsilon2,
            float(jitter.max()),
        )
    factor = torch.linalg.cholesky(matrix + torch.diag_embed(jitter * mask))
    return factor, jitter


def update_mean(k_mn: Tensor, conditioned: Conditioned) -> Tensor:
    """Return the function-space update ``K_mn v``.

    Parameters
    ----------
    k_mn
        Shape ``(B, m, n)``.
    conditioned
        From :func:`condition`.

    Returns
    -------
    Tensor
        Shape ``(B, m)``, dtype of ``k_mn``.
    """
    weights = conditioned.weights.to(device=k_mn.device, dtype=k_mn.dtype)
    return (k_mn @ weights.unsqueeze(-1)).squeeze(-1)


def variance(
    k_mn: Tensor,
    k_mm_diagonal: Tensor,
    conditioned: Conditioned,
    click_variance: float = CLICK_VARIANCE,
) -> Tensor:
    """Return the posterior variance of equation 10 (its diagonal).

    Parameters
    ----------
    k_mn
        Shape ``(B, m, n)``, float64 advised.
    k_mm_diagonal
        ``k(x, x) = 1 + eta_0``, a scalar or shape ``(1,)``.
    conditioned
        From :func:`condition`.
    click_variance
        ``sigma^2`` of ``q(f_n)``.

    Returns
    -------
    Tensor
        Shape ``(B, m)``, at least 0.
    """
    mask = conditioned.used.to(k_mn.dtype).unsqueeze(-1)
    factor = conditioned.cholesky.to(k_mn.dtype)
    columns = k_mn.transpose(1, 2) * mask
    whitened: Tensor = torch.linalg.solve_triangular(factor, columns, upper=False)
    solved: Tensor = torch.linalg.solve_triangular(
        factor.transpose(1, 2), whitened, upper=True
    )
    explained = whitened.square().sum(dim=1)
    noise = click_variance * solved.square().sum(dim=1)
    return (k_mm_diagonal - explained + noise).clamp(min=0)
