"""Losses of latent diversity: the best mask counts, and the selector finds it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

import torch
from torch.nn import functional

from napari_gpcis.errors import InputError

if TYPE_CHECKING:
    from torch import Tensor

MEASURES = ("jaccard", "cross_entropy", "l1")
CONSTRAINTS = ("best", "all", "none")
_SMALL = 1e-6


@dataclass(frozen=True)
class LossOptions:
    """Laws of the loss of the proposals.

    Parameters
    ----------
    measure
        Distance of a mask to the object: ``"jaccard"`` (of the paper),
        ``"cross_entropy"`` or ``"l1"``, the last two as means over the pixels.
    constraints
        Where the disobeyed clicks count: ``"best"``: with the distance, of which the
        least counts (the paper). ``"all"``: beside it, of all masks (its code).
        ``"none"``: nowhere.
    mean_clicks
        Take the mean over the clicks, not their sum (the paper).
    ranked
        Factor r of the ranked diversity: all masks count, mask m of M with
        ``r 2^(M - m)``; 0.01 in the paper, 0.0025 in its code, 0 for none.
    """

    measure: str = "jaccard"
    constraints: str = "best"
    mean_clicks: bool = False
    ranked: float = 0.0

    def __post_init__(self) -> None:
        """Check the names and numbers."""
        if self.measure not in MEASURES:
            msg = f"measure must be one of {', '.join(MEASURES)}, got {self.measure!r}"
            raise InputError(msg)
        if self.constraints not in CONSTRAINTS:
            known = ", ".join(CONSTRAINTS)
            msg = f"constraints must be one of {known}, got {self.constraints!r}"
            raise InputError(msg)
        if not 0 <= self.ranked < float("inf"):
            msg = f"ranked must be a number from 0, got {self.ranked}"
            raise InputError(msg)


class Loss(NamedTuple):
    """Loss of the proposals, and what came of each."""

    total: Tensor
    """A number."""
    distances: Tensor
    """Of each mask to the object, shape ``(M,)``."""
    best: int
    """The mask that counted in the minimum."""


def proposals_loss(
    masks: Tensor,
    target: Tensor,
    guidance: Tensor,
    options: LossOptions | None = None,
    ignore: Tensor | None = None,
) -> Loss:
    """Return the hindsight loss, with ranked diversity if it is asked for.

    Parameters
    ----------
    masks
        Shape ``(1, M, H, W)``, from 0 to 1.
    target
        The object, ``(H, W)``, bool.
    guidance
        Maps of the clicks, see :func:`.click_maps`, ``(1, 4, H, W)``.
    options
        Laws of the loss.
    ignore
        Pixels that do not count, ``(H, W)``, bool.
    """
    options = options or LossOptions()
    (found,), kept = masks, None if ignore is None else ~ignore
    distances = distance(found, target, options.measure, kept)
    cost = distances
    if options.constraints == "best":
        cost = cost + disobedience(found, guidance, mean=options.mean_clicks)
    best = int(cost.argmin())
    total = cost[best]
    if options.constraints == "all":
        every = disobedience(found, guidance, mean=options.mean_clicks)
        total = total + (every.mean() if options.mean_clicks else every.sum())
    if options.ranked:
        total = total + (ranks(len(distances), options.ranked) * distances).sum()
    return Loss(total, distances, best)


def distance(
    masks: Tensor, target: Tensor, measure: str = "jaccard", kept: Tensor | None = None
) -> Tensor:
    """Return the distance of each mask to an object.

    Parameters
    ----------
    masks
        Shape ``(M, H, W)``, from 0 to 1.
    target
        Shape ``(H, W)``, bool.
    measure
        One of `MEASURES`. Jaccard's is ``1 - sum min(A, B) / sum max(A, B)``.
    kept
        Pixels that count; by default all.

    Returns
    -------
    tensor
        Shape ``(M,)``.
    """
    flat, truth = masks.flatten(1), target.flatten().to(masks.dtype)
    if kept is not None:
        flat, truth = flat[:, kept.flatten()], truth[kept.flatten()]
    truth = truth.expand_as(flat)
    if measure == "cross_entropy":
        inside = flat.clamp(_SMALL, 1 - _SMALL)
        entropy = functional.binary_cross_entropy(inside, truth, reduction="none")
        return entropy.mean(dim=1)
    if measure == "l1":
        return (flat - truth).abs().mean(dim=1)
    shared = torch.minimum(flat, truth).sum(dim=1)
    joined = torch.maximum(flat, truth).sum(dim=1)
    return 1 - shared / joined.clamp(min=_SMALL)


def disobedience(masks: Tensor, guidance: Tensor, *, mean: bool = False) -> Tensor:
    """Return how far each mask is from the labels of the clicks.

    Parameters
    ----------
    masks
        Shape ``(M, H, W)``, from 0 to 1.
    guidance
        Maps of the clicks, ``(1, 4, H, W)``.
    mean
        The mean over the clicks, instead of the sum.

    Returns
    -------
    tensor
        Shape ``(M,)``; 0 without clicks.
    """
    positive, negative = guidance[0, 2] == 0, guidance[0, 3] == 0
    wrong = torch.cat([1 - masks[:, positive], masks[:, negative]], dim=1)
    total = wrong.sum(dim=1)
    return total / max(wrong.shape[1], 1) if mean else total


def ranks(masks: int, factor: float) -> Tensor:
    """Return the weights of the ranked diversity, halving from mask to mask.

    Examples
    --------
    >>> ranks(3, 0.01)
    tensor([0.0400, 0.0200, 0.0100])
    """
    return factor * 2.0 ** torch.arange(masks - 1, -1, -1)


def permuted(
    masks: Tensor, best: int, order: Tensor | list[int]
) -> tuple[Tensor, Tensor]:
    """Return masks in another order, and where the best one has come.

    Parameters
    ----------
    masks
        Shape ``(1, M, H, W)``.
    best
        Index of the best mask.
    order
        Mask k of the result is mask ``order[k]``.

    Returns
    -------
    tuple
        The masks, and the target of the selector, shape ``(1,)``.
    """
    order = torch.as_tensor(order, device=masks.device)
    return masks[:, order], (order == best).nonzero()[:, 0]


def selector_loss(logits: Tensor, target: Tensor) -> Tensor:
    """Return the cross-entropy of the scores, ``(1, M)``, and a target, ``(1,)``."""
    return functional.cross_entropy(logits, target)
