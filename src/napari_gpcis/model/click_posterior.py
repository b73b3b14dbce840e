"""Posterior of one image: its features and prior, conditioned on any clicks."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import TYPE_CHECKING, NamedTuple

import torch

from napari_gpcis.gp import Columns, Field
from napari_gpcis.model.grid import GPScores, Grid, double, to_network_size, to_scores

if TYPE_CHECKING:
    from collections.abc import Callable

    from torch import Tensor

    from napari_gpcis.model.grid import Cells


class ClickPosterior:
    """Posterior of one image's features, given any clicks.

    Successive calls share kernel columns and Cholesky rows: those of the clicks that
    a call has in common with the one before are kept.

    Parameters
    ----------
    grid
        The ``m`` pixels of the Gaussian process.
    prior
        ``Phi(x) w`` with its linear part, shape ``(1, m)``.
    field
        The same pixels with their kernel.
    like
        Any tensor ``(1, C, H, W)`` of the size of the network input.
    observe
        From points ``(1, 2 N, 3)`` to observations.
    rate
        From logits ``(1, 1, H, W)`` to the logit of the expected IoU, ``(1,)``;
        ``None`` for a network that does not predict it.

    Notes
    -----
    Threads may share it: its state is replaced as a whole.
    """

    def __init__(
        self,
        grid: Grid,
        prior: Tensor,
        field: Field,
        like: Tensor,
        observe: Callable[[Tensor], ResidualObservations],
        rate: Callable[[Tensor], Tensor] | None = None,
    ) -> None:
        self._grid, self._prior, self._like = grid, prior, like
        self._observe, self._rate = observe, rate
        self._columns = Columns.none(field)

    def with_length_scale(self, factor: float) -> ClickPosterior:
        """Return the posterior of the same features under another deep kernel.

        Parameters
        ----------
        factor
            By which each length-scale ``sqrt(eta_t)`` is multiplied, above 0. A small
            one keeps a click to pixels much like its own. The colour kernel stays.
        """
        field = self._columns.field
        precision = field.log_precision - 2 * math.log(factor)
        other = replace(field, log_precision=precision)
        return ClickPosterior(
            self._grid, self._prior, other, self._like, self._observe, self._rate
        )

    def scores(
        self, points: Tensor, variance: bool = False
    ) -> tuple[GPScores, Tensor | None]:
        """Return the posterior given clicks.

        Parameters
        ----------
        points
            Clicks, shape ``(1, 2 N, 3)``.
        variance
            Also return the posterior variance (equation 10), ``(1, 1, H, W)``.
        """
        observed = self._observe(points)
        slots = _in_order(observed.cells.used[0], points[0, :, 2])
        columns = self._columns.observing(
            observed.cells.position[0, slots].tolist(),
            double(observed.features[0, slots]),
            double(observed.noise[0, slots]),
        )
        self._columns = columns
        update = columns.update(double(observed.residual[0, slots]))[None].float()
        scores = to_scores(self._prior, update, self._grid, self._like)
        return scores, self._spread(columns) if variance else None

    def quality(self, scores: GPScores) -> Tensor | None:
        """Return the logit of the expected IoU, ``(1,)``; ``None`` if it is unknown.

        Parameters
        ----------
        scores
            From :meth:`scores`.
        """
        return None if self._rate is None else self._rate(scores.logits)

    def _spread(self, columns: Columns) -> Tensor:
        """Return the posterior variance at the size of the network input."""
        spread = columns.variance().float().to(self._like)
        return to_network_size(spread.reshape(1, 1, *self._grid.shape), self._like)


class ResidualObservations(NamedTuple):
    """Observations less their prior, with their noise; ``n`` slots, see `Cells`."""

    features: Tensor
    """Feature vectors, shape ``(1, n, d + 3)``."""
    residual: Tensor
    """``f_n - Phi(X_n) w``, shape ``(1, n)``."""
    noise: Tensor
    """Noise that each adds to ``epsilon^2``, shape ``(1, n)``."""
    cells: Cells
    """Places, labels, and which slots are used."""


def _in_order(used: Tensor, order: Tensor) -> Tensor:
    """Return the used slots in the order of the clicks."""
    slots = used.nonzero()[:, 0]
    return slots[torch.argsort(order[slots], stable=True)]
