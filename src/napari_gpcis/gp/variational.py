"""The amortised Gaussian ``q(f_n) = N(m, sigma^2 I)`` and its training loss.

Equations 6 and 8 of the paper: ``m_c = softplus(MLP(x_c)) y_c``, so that the sign of
the mean at a click is its label by construction.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch.nn import functional

if TYPE_CHECKING:
    from torch import Tensor

CLICK_STD = 0.01
"""Standard deviation of ``q(f_n)`` in training (the paper names it a variance)."""

LOSS_WEIGHT = 1e-3
"""``alpha``, the weight of the variational term in the total loss."""


def amortised_mean(raw: Tensor, labels: Tensor) -> Tensor:
    """Return ``m = softplus(raw) y`` (equation 6).

    Parameters
    ----------
    raw
        Output of the network ``MLP_xi`` at the clicks, shape ``(B, n)``.
    labels
        +1 or -1, shape ``(B, n)``.

    Returns
    -------
    Tensor
        Shape ``(B, n)``.
    """
    return functional.softplus(raw) * labels


def variational_loss(
    sample: Tensor, mean: Tensor, labels: Tensor, factor: Tensor, used: Tensor
) -> Tensor:
    """Return the weighted variational term (equation 8, as published in code).

    ``1e-3 (mean_c BCE(f_c, y_c) + m^T stopgrad(A^-1) m / n)`` over all ``n`` clicks of
    the batch; the paper sums instead of averaging and has a factor 1/2.

    Parameters
    ----------
    sample
        ``f_n`` drawn from ``q`` (or its mean), shape ``(B, n)``.
    mean
        ``m``, shape ``(B, n)``.
    labels
        +1 or -1, shape ``(B, n)``.
    factor
        Lower Cholesky factor of ``A``, shape ``(B, n, n)``; no gradient reaches it.
    used
        Slots that are observations, bool, shape ``(B, n)``.

    Returns
    -------
    Tensor
        Scalar, 0 if no click is used.
    """
    count = used.sum()
    if int(count) == 0:
        return sample.sum() * 0
    targets = (labels[used] + 1) / 2
    fit = functional.binary_cross_entropy_with_logits(sample[used], targets)
    masked = (mean * used).to(factor).unsqueeze(-1)  # another device on MPS
    solved = torch.cholesky_solve(masked, factor.detach())
    penalty = (masked * solved).sum()
    return LOSS_WEIGHT * (fit + (penalty / int(count)).to(fit))
