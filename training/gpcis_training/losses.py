"""The normalised focal loss (Sofiiuk et al. 2022, RITM)."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch

if TYPE_CHECKING:
    from torch import Tensor

_EPS = 1e-12


def normalised_focal_loss(
    logits: Tensor,
    target: Tensor,
    alpha: float = 0.5,
    gamma: float = 2.0,
    ignore: float = -1.0,
) -> Tensor:
    """Return the normalised focal loss, averaged over the batch.

    With ``p_t`` the probability of the true class, ``beta = (1 - p_t)^gamma`` and the
    detached multiplier ``M = n / sum(beta)`` of each image, the loss of a pixel is
    ``-alpha beta M log p_t``; that of an image is the mean over its ``n`` valid pixels.
    ``beta`` itself is differentiated.

    Parameters
    ----------
    logits
        Shape ``(B, 1, H, W)``.
    target
        Shape ``(B, 1, H, W)``: 1 object, 0 background, ``ignore`` neither.
    alpha, gamma
        Weight and focusing exponent.
    ignore
        Value of pixels without a label.

    Returns
    -------
    Tensor
        Scalar.
    """
    valid = target != ignore
    probability = logits.sigmoid()
    right = torch.where(valid, 1 - (target - probability).abs(), 1.0)
    beta = (1 - right) ** gamma
    count = valid.sum(dim=(1, 2, 3), keepdim=True)
    multiplier = count / (beta.sum(dim=(1, 2, 3), keepdim=True) + _EPS)
    log_right = (right + _EPS).clamp(max=1.0).log()
    loss = -alpha * beta * multiplier.detach() * log_right * valid
    return (loss.sum(dim=(1, 2, 3)) / (count.flatten() + _EPS)).mean()
