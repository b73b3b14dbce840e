"""The weight-space prior: learned Fourier basis functions and their weights.

Equation 12 of the paper, ``Phi(x) w`` with
``phi_r(x) = sqrt(2/l) cos(theta_r.x + tau_r)`` and ``w ~ N(mu_w, sigma_w^2 I)``. The
published code uses ``sin`` (tau absorbs the quarter turn, but stored weights need
it), calls ``mu_w`` *omega*, and takes the 0.025 of the paper's variance as a standard
deviation, clamped to [0.01, 0.05].
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import torch

if TYPE_CHECKING:
    from torch import Tensor

WEIGHT_STD_RANGE = (0.01, 0.05)
"""Bounds of the standard deviation of ``w`` in training (published code)."""


def fourier_basis(pixels: Tensor, theta: Tensor, tau: Tensor) -> Tensor:
    """Return ``Phi(x) = sqrt(2/l) sin(x theta^T + tau)``.

    Parameters
    ----------
    pixels
        Shape ``(..., m, d + 3)``.
    theta, tau
        Frequencies ``(l, d + 3)`` and phases ``(l,)``.

    Returns
    -------
    Tensor
        Shape ``(..., m, l)``.
    """
    phase = pixels @ theta.transpose(0, 1) + tau
    return math.sqrt(2.0 / theta.shape[0]) * phase.sin()


def prior_mean(
    pixels: Tensor,
    theta: Tensor,
    tau: Tensor,
    weight: Tensor,
    chunk: int | None = None,
) -> Tensor:
    """Return ``Phi(x) w`` without keeping ``Phi`` of more than ``chunk`` pixels.

    Parameters
    ----------
    pixels
        Shape ``(..., m, d + 3)``.
    theta, tau, weight
        See :func:`fourier_basis`; ``weight`` has shape ``(l, 1)``.
    chunk
        Pixels evaluated at a time (``None``: all), which bounds the memory of the
        ``m x l`` basis and lets it stay in the processor's cache; the values do not
        depend on it. In place, so it is not for training.

    Returns
    -------
    Tensor
        Shape ``(..., m)``.
    """
    if chunk is None:
        return (fourier_basis(pixels, theta, tau) @ weight).squeeze(-1)
    flat = pixels.reshape(-1, pixels.shape[-1])
    across, scaled = theta.T.contiguous(), math.sqrt(2.0 / theta.shape[0]) * weight
    prior = flat.new_empty(len(flat), 1)
    parts = zip(torch.split(prior, chunk), torch.split(flat, chunk), strict=True)
    for target, part in parts:
        target.copy_(torch.addmm(tau, part, across).sin_() @ scaled)
    return prior.reshape(pixels.shape[:-1])


def sample_weight(mean: Tensor, std: Tensor, draw: Tensor | None = None) -> Tensor:
    """Return a draw ``w = mu_w + sigma_w z`` with ``z ~ N(0, I)``.

    Parameters
    ----------
    mean
        ``mu_w``, shape ``(l, 1)``.
    std
        ``sigma_w`` before clamping to :data:`WEIGHT_STD_RANGE`, shape ``()``.
    draw
        ``z``, shape ``(l, 1)``; by default new random numbers.

    Returns
    -------
    Tensor
        Shape ``(l, 1)``.
    """
    z = torch.randn_like(mean) if draw is None else draw
    return mean + std.clamp(*WEIGHT_STD_RANGE) * z
