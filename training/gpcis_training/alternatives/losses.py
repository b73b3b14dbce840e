"""Losses of learned alternatives: hindsight within a kind, and the rating of masks.

A hindsight loss learns from the proposal that fits an object best. Here each object may
only be answered by proposals of its kind: one larger than the mask itself by proposals
called larger (or of any kind), and so on. This is a minimum over a set of proposals
that is known beforehand, so each keeps its meaning.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

import torch
from torch.nn import functional

from napari_gpcis.errors import InputError
from napari_gpcis.model.proposal_head import ANY, LARGER, SMALLER

if TYPE_CHECKING:
    from collections.abc import Sequence

    from torch import Tensor

_TINY = 1e-6


@dataclass(frozen=True)
class LossOptions:
    """Loss of learned alternatives.

    Parameters
    ----------
    mean
        Weight of all allowed proposals beside the best one, so that none dies.
    entropy
        Weight of the cross-entropy beside the soft Jaccard distance.
    rating
        Weight of the loss of the expected IoU.
    meant
        Weight of the object that was meant, of 1; the others that the click may mean
        share the rest.
    margin
        An object counts as larger, or smaller, if its area differs from that of the
        mask itself by more than this factor.
    solved
        Soft Jaccard distance of the mask itself from which on an object counts fully.
        One that the mask itself hits better counts less.
    least
        Weight of an object that the mask itself hits exactly.
    """

    mean: float = 0.03
    entropy: float = 0.3
    rating: float = 0.5
    meant: float = 0.5
    margin: float = 1.15
    solved: float = 0.3
    least: float = 0.1

    def __post_init__(self) -> None:
        """Check the ranges."""
        if min(self.mean, self.entropy, self.rating) < 0 or self.margin < 1:
            msg = (
                "mean, entropy and rating must be from 0 and margin from 1, got "
                f"{self.mean}, {self.entropy}, {self.rating} and {self.margin}"
            )
            raise InputError(msg)
        if not (0 < self.meant <= 1 and 0 < self.solved <= 1 and 0 <= self.least <= 1):
            msg = (
                "meant and solved must be above 0 and least from 0, all at most 1, got "
                f"{self.meant}, {self.solved} and {self.least}"
            )
            raise InputError(msg)


class Targets(NamedTuple):
    """Objects that the clicks may mean, on the grid; ``T`` slots a sample."""

    masks: Tensor
    """Share of each cell, shape ``(B, T, h, w)``."""
    weights: Tensor
    """How likely each is meant, 0 for an unused slot, shape ``(B, T)``."""
    valid: Tensor
    """Share of each cell that is object or background, shape ``(B, h, w)``."""


class Losses(NamedTuple):
    """Losses and figures of a step, scalars."""

    total: Tensor
    plain: Tensor
    """Mean IoU of the mask itself."""
    best: Tensor
    """Mean IoU of the best mask."""
    selected: Tensor
    """Mean IoU of the mask that is rated best."""


def alternatives_loss(
    logits: Tensor,
    ratings: Tensor,
    targets: Targets,
    kinds: Sequence[str],
    options: LossOptions,
) -> Losses:
    """Return the losses of a step.

    Parameters
    ----------
    logits
        Of the mask itself and the proposals, shape ``(B, 1 + K, h, w)``.
    ratings
        Logits of their expected IoU, shape ``(B, 1 + K)``.
    targets
        The objects.
    kinds
        Of the proposals.
    options
        Weights.
    """
    probability = logits.sigmoid()
    distances = soft_jaccard(probability, targets)
    with torch.no_grad():
        allowed = allowed_proposals(probability[:, 0], targets, kinds, options.margin)
        ious = mask_ious(logits, targets)
        share = (distances[..., 0] / options.solved).clamp(options.least, 1)
        weights = targets.weights * share
    own = torch.where(allowed, distances[..., 1:], torch.inf)
    best = own.argmin(dim=2, keepdim=True)
    hindsight = own.gather(2, best)[..., 0]
    counts = allowed.sum(2).clamp_min(1)
    every = torch.where(allowed, distances[..., 1:], 0.0).sum(2) / counts
    errors = hindsight + options.mean * every
    if options.entropy > 0:
        entropies = _cross_entropy(logits[:, 1:], targets)
        errors = errors + options.entropy * entropies.gather(2, best)[..., 0]
    loss = (weights * errors).sum() / weights.sum().clamp_min(_TINY)
    expected = (targets.weights[..., None] * ious).sum(1)
    expected = expected / targets.weights.sum(1, keepdim=True).clamp_min(_TINY)
    rating = functional.binary_cross_entropy_with_logits(ratings, expected)
    meant = ious[:, 0]
    chosen = meant.gather(1, ratings.argmax(1, keepdim=True))
    return Losses(
        loss + options.rating * rating,
        meant[:, 0].mean(),
        meant.amax(1).mean(),
        chosen.mean(),
    )


def soft_jaccard(probability: Tensor, targets: Targets) -> Tensor:
    """Return ``1 - sum min(Y, f) / sum max(Y, f)``, shape ``(B, T, 1 + K)``.

    Parameters
    ----------
    probability
        Shape ``(B, 1 + K, h, w)``.
    targets
        The objects.
    """
    truth, found = targets.masks[:, :, None], probability[:, None]
    valid = targets.valid[:, None, None]
    both = (torch.minimum(truth, found) * valid).sum((3, 4))
    either = (torch.maximum(truth, found) * valid).sum((3, 4))
    return 1 - both / either.clamp_min(_TINY)


def mask_ious(logits: Tensor, targets: Targets) -> Tensor:
    """Return the IoU of the masks cut at 0.5, shape ``(B, T, 1 + K)``.

    Parameters
    ----------
    logits
        Shape ``(B, 1 + K, h, w)``.
    targets
        The objects.
    """
    return 1 - soft_jaccard((logits > 0).to(logits.dtype), targets)


def allowed_proposals(
    plain: Tensor, targets: Targets, kinds: Sequence[str], margin: float
) -> Tensor:
    """Return which proposals may answer an object, bool, shape ``(B, T, K)``.

    Parameters
    ----------
    plain
        Probability of the mask itself, shape ``(B, h, w)``.
    targets
        The objects.
    kinds
        Of the proposals. Where none of them suits an object, all may answer it.
    margin
        See `LossOptions`.
    """
    valid = targets.valid
    area = ((plain > 0.5) * valid).sum((1, 2))[:, None]
    sizes = (targets.masks * valid[:, None]).sum((2, 3))
    suits = {
        LARGER: sizes > margin * area,
        SMALLER: sizes * margin < area,
        ANY: torch.ones_like(sizes, dtype=torch.bool),
    }
    allowed = torch.stack([suits[kind] for kind in kinds], dim=2)
    return allowed | ~allowed.any(2, keepdim=True)


def _cross_entropy(logits: Tensor, targets: Targets) -> Tensor:
    """Return the mean cross-entropy of each proposal, shape ``(B, T, K)``."""
    valid = targets.valid[:, None]
    known = (functional.softplus(logits) * valid).sum((2, 3))[:, None]
    matched = torch.einsum("btij,bkij->btk", targets.masks, logits * valid)
    return (known - matched) / valid.sum((2, 3)).clamp_min(_TINY)[..., None]
