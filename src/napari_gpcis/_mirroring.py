"""The mean over an image and its mirror image, as RITM evaluates its networks."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch

from napari_gpcis.model.grid import GPScores

if TYPE_CHECKING:
    from torch import Tensor

    from napari_gpcis.inference.engine import ClickSurface


def mirrored_points(points: Tensor, size: int) -> Tensor:
    """Move clicks to where they lie on the mirror image.

    Parameters
    ----------
    points
        Rows ``(row, column, order)``, shape ``(1, 2 N, 3)``; unused ones are -1.
    size
        Width of the network's input, pixels.
    """
    moved = points.clone()
    used = points[..., 2] >= 0
    moved[..., 1] = torch.where(used, size - 1 - points[..., 1], points[..., 1])
    return moved


class MirroredSurface:
    """The features of an image and of its mirror image, conditioned on clicks.

    Logits, prior and update are the means of both. So is the variance, which is then
    at least that of the mean logit, however the two depend on each other.

    Parameters
    ----------
    plain, mirror
        The features of either.
    size
        Width of the network's input, pixels.

    References
    ----------
    .. [1] Sofiiuk et al., "Reviving iterative training with mask guidance for
       interactive segmentation", ICIP 2022.
    """

    def __init__(self, plain: ClickSurface, mirror: ClickSurface, size: int) -> None:
        self._plain, self._mirror, self._size = plain, mirror, size

    def scores(
        self, points: Tensor, variance: bool = False
    ) -> tuple[Any, Tensor | None]:
        """Return mean scores (logits, prior, update) and variance."""
        here, spread = self._plain.scores(points, variance)
        there = mirrored_points(points, self._size)
        other, other_spread = self._mirror.scores(there, variance)
        scores = GPScores(
            _mean(here.logits, other.logits),
            _mean(here.prior, other.prior),
            _mean(here.update, other.update),
        )
        if spread is None or other_spread is None:
            return scores, None
        return scores, _mean(spread, other_spread)


def _mean(plain: Tensor, mirror: Tensor) -> Tensor:
    """Return the mean of two maps, the second with left and right swapped."""
    return (plain + mirror.flip(-1)) / 2
