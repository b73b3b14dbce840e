"""Losses of both networks: soft Jaccard, clicks, hindsight, ranks, selection.

Where the published code differs from the paper, both are options.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from torch.nn import functional

from napari_gpcis.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Callable

    from torch import Tensor

PAPER, MEAN, CODE, NONE = "paper", "mean", "code", "none"
CONSTRAINTS = (PAPER, MEAN, CODE, NONE)
RANKS_PAPER, RANKS_CODE = 1e-2, 2.5e-3
"""Weight of the ranked-diversity loss of the last mask, in the paper and its code."""
_TINY = 1e-6


def soft_jaccard(target: Tensor, masks: Tensor, valid: Tensor | None = None) -> Tensor:
    """Return ``1 - sum min(Y, f) / sum max(Y, f)`` of each mask, shape ``(M,)``.

    Parameters
    ----------
    target
        The object, shape ``(H, W)``, in [0, 1].
    masks
        Shape ``(M, H, W)``, in [0, 1].
    valid
        Weight of each pixel, shape ``(H, W)``; by default 1.
    """
    both, either = torch.minimum(masks, target), torch.maximum(masks, target)
    if valid is not None:
        both, either = both * valid, either * valid
    return 1 - both.sum((1, 2)) / either.sum((1, 2)).clamp_min(_TINY)


def soft_jaccard_product(
    target: Tensor, masks: Tensor, valid: Tensor | None = None
) -> Tensor:
    """Return the distance of the published code, whose intersection is the product.

    It is that of :func:`soft_jaccard` where the target is 0 or 1.
    """
    both = masks * target
    either = masks + target - both
    if valid is not None:
        both, either = both * valid, either * valid
    return 1 - both.sum((1, 2)) / either.sum((1, 2)).clamp_min(_TINY)


def cross_entropy(target: Tensor, masks: Tensor, valid: Tensor | None = None) -> Tensor:
    """Return the mean binary cross-entropy of each mask, shape ``(M,)``."""
    values = functional.binary_cross_entropy(
        masks, target.expand_as(masks), reduction="none"
    )
    return _mean(values, valid)


def absolute(target: Tensor, masks: Tensor, valid: Tensor | None = None) -> Tensor:
    """Return the mean absolute difference of each mask, shape ``(M,)``."""
    return _mean((masks - target).abs(), valid)


DISTANCES: dict[str, Callable[[Tensor, Tensor, Tensor | None], Tensor]] = {
    "jaccard": soft_jaccard,
    "jaccard_product": soft_jaccard_product,
    "cross_entropy": cross_entropy,
    "l1": absolute,
}
"""Distances between an object and masks, by name."""


@dataclass(frozen=True)
class LossOptions:
    """Loss of the network that proposes.

    Parameters
    ----------
    distance
        Name of a distance, see :data:`DISTANCES`.
    constraint
        Term of the clicks. ``"paper"``: sum of the errors at them, inside the minimum.
        ``"mean"``: their mean there. ``"code"``: mean over clicks and all masks,
        outside the minimum. ``"none"``.
    ranks
        Weight of the last mask in the ranked-diversity loss, each mask before having
        twice that of the next; 0 for none. 0.01 in the paper, 0.0025 in its code.
    """

    distance: str = "jaccard"
    constraint: str = PAPER
    ranks: float = 0.0

    def __post_init__(self) -> None:
        """Check the values."""
        if self.distance not in DISTANCES:
            known = ", ".join(DISTANCES)
            msg = f"distance must be one of {known}, got {self.distance!r}"
            raise InputError(msg)
        if self.constraint not in CONSTRAINTS:
            known = ", ".join(CONSTRAINTS)
            msg = f"constraint must be one of {known}, got {self.constraint!r}"
            raise InputError(msg)
        if self.ranks < 0:
            msg = f"ranks must be a number from 0, got {self.ranks}"
            raise InputError(msg)


def click_errors(
    masks: Tensor, positive: Tensor, negative: Tensor, *, mean: bool = False
) -> Tensor:
    """Return the errors of each mask at the clicks, shape ``(M,)``.

    ``|S_p (S_p - f)| + |S_n (S_n - (1 - f))|``, summed: a soft constraint.

    Parameters
    ----------
    masks
        Shape ``(M, H, W)``.
    positive, negative
        1 at clicks, 0 elsewhere, shape ``(H, W)``.
    mean
        Divide by the number of clicks.
    """
    errors = (positive * (1 - masks) + negative * masks).sum((1, 2))
    if mean:
        return errors / (positive + negative).sum().clamp_min(1)
    return errors


def hindsight(errors: Tensor) -> Tensor:
    """Return the error of the best mask; only that one gets a gradient.

    Parameters
    ----------
    errors
        Of each mask, shape ``(M,)``. Of equals the first is the best.
    """
    return errors[errors.argmin()]


def ranked_diversity(distances: Tensor, last: float) -> Tensor:
    """Return ``sum_m lambda_m d_m`` with ``lambda_m = last * 2^(M - m)``, m from 1.

    Parameters
    ----------
    distances
        Of each mask, shape ``(M,)``.
    last
        Weight of the last mask.
    """
    powers = torch.arange(len(distances) - 1, -1, -1, device=distances.device)
    return (last * 2.0**powers * distances).sum()


def proposal_loss(
    target: Tensor,
    masks: Tensor,
    positive: Tensor,
    negative: Tensor,
    options: LossOptions,
    valid: Tensor | None = None,
) -> Tensor:
    """Return the loss of the network that proposes, for one object.

    Parameters
    ----------
    target
        The object, shape ``(H, W)``.
    masks
        Shape ``(M, H, W)``.
    positive, negative
        1 at clicks, shape ``(H, W)``.
    options
        Which loss.
    valid
        Weight of each pixel, shape ``(H, W)``; by default 1.
    """
    distances = DISTANCES[options.distance](target, masks, valid)
    errors = distances
    if options.constraint in (PAPER, MEAN):
        mean = options.constraint == MEAN
        errors = distances + click_errors(masks, positive, negative, mean=mean)
    loss = hindsight(errors)
    if options.constraint == CODE:
        loss = loss + click_errors(masks, positive, negative, mean=True).mean()
    if options.ranks > 0:
        loss = loss + ranked_diversity(distances, options.ranks)
    return loss


def best_mask(target: Tensor, masks: Tensor, valid: Tensor | None = None) -> int:
    """Return the index of the mask at the smallest Jaccard distance."""
    return int(soft_jaccard(target, masks, valid).argmin())


def selection_loss(logits: Tensor, best: int, order: Tensor) -> Tensor:
    """Return the cross-entropy of a selection among permuted masks.

    Parameters
    ----------
    logits
        Of the permuted masks, shape ``(M,)``.
    best
        Index of the best mask before it was permuted.
    order
        The masks that were shown, in their order: ``masks[order]``.
    """
    return functional.cross_entropy(logits[None], permuted_index(best, order)[None])


def permuted_index(index: int, order: Tensor) -> Tensor:
    """Return the place of a mask among those of ``masks[order]``, a whole number."""
    return (order == index).nonzero()[0, 0]


def unpermuted(logits: Tensor, order: Tensor) -> Tensor:
    """Return the logits of the masks in their first order.

    Parameters
    ----------
    logits
        Of ``masks[order]``, shape ``(M,)``.
    order
        That permutation.
    """
    return logits[torch.argsort(order)]


def _mean(values: Tensor, valid: Tensor | None) -> Tensor:
    """Return the weighted mean of each ``(H, W)`` plane."""
    if valid is None:
        return values.mean((1, 2))
    return (values * valid).sum((1, 2)) / valid.sum().clamp_min(_TINY)
