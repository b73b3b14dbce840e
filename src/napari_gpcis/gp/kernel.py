"""The covariance function: a deep-feature RBF plus an RGB RBF.

With ``x`` the ``d`` deep features and ``I`` the three normalised colour channels of a
pixel, the double-space deep kernel of the paper (section 4.2) is::

    k(a, b) = exp(-1/2 sum_t (x_at - x_bt)^2 / eta_t)
              + eta_0 exp(-1/2 |I_a - I_b|^2)

The published code stores ``ls_t = -log eta_t`` (``logsigma2``) and
``eta_0 = softplus(weights)``, the paper ``log eta``: the same kernel.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch

if TYPE_CHECKING:
    from torch import Tensor

RGB_CHANNELS = 3


def scaled_features(pixels: Tensor, log_precision: Tensor) -> tuple[Tensor, Tensor]:
    """Split ``x|I`` and scale the deep part by ``eta^(-1/2)``.

    Parameters
    ----------
    pixels
        Shape ``(..., m, d + 3)``: deep features, then colour, if there is any.
    log_precision
        Shape ``(d,)``: ``-log eta_t``.

    Returns
    -------
    tuple of Tensor
        Shapes ``(..., m, d)`` and ``(..., m, 3)``.
    """
    dim = len(log_precision)
    return pixels[..., :dim] * (0.5 * log_precision).exp(), pixels[..., dim:]


def click_kernel(
    clicks: Tensor,
    log_precision: Tensor,
    rgb_weight: Tensor,
    first: int = 0,
) -> Tensor:
    """Return ``K_nn`` of the clicked pixels by direct differences.

    Direct differences keep the matrix exactly symmetric with an exact diagonal
    ``1 + eta_0``; use float64 input for what is going to be factorised.

    Parameters
    ----------
    clicks
        Shape ``(..., n, d + 3)``.
    log_precision
        Shape ``(d,)``: ``-log eta_t``.
    rgb_weight
        ``eta_0 > 0``, a scalar or shape ``(1,)``.
    first
        The rows before this one are left out.

    Returns
    -------
    Tensor
        Shape ``(..., n - first, n)``, without ``epsilon^2``.
    """
    deep, rgb = scaled_features(clicks, log_precision)

    def rbf(part: Tensor) -> Tensor:
        difference = part[..., first:, :].unsqueeze(-2) - part.unsqueeze(-3)
        return (-0.5 * difference.square().sum(-1)).exp()

    return rbf(deep) + rgb_weight * rbf(rgb)


def cross_kernel(
    pixels: Tensor, clicks: Tensor, log_precision: Tensor, rgb_weight: Tensor
) -> Tensor:
    """Return ``K_mn`` between all pixels and the clicked ones.

    Squared distances are expanded (``|a|^2 + |b|^2 - 2 a.b``, clamped at 0), which
    is one matrix product instead of an ``m x n x d`` tensor.

    Parameters
    ----------
    pixels, clicks
        Shapes ``(..., m, d + 3)`` and ``(..., n, d + 3)``, one dtype.
    log_precision, rgb_weight
        See :func:`click_kernel`.

    Returns
    -------
    Tensor
        Shape ``(..., m, n)``; values in ``(0, 1 + eta_0]``.
    """
    deep_m, rgb_m = scaled_features(pixels, log_precision)
    deep_n, rgb_n = scaled_features(clicks, log_precision)
    return _rbf(deep_m, deep_n) + rgb_weight * _rbf(rgb_m, rgb_n)


def _rbf(left: Tensor, right: Tensor) -> Tensor:
    """Return ``exp(-|a - b|^2 / 2)``, shape ``(..., m, n)``."""
    norms = left.square().sum(-1, keepdim=True) + right.square().sum(-1).unsqueeze(-2)
    squared = norms - 2 * left @ right.transpose(-1, -2)
    return torch.exp(-0.5 * squared.clamp(min=0))
