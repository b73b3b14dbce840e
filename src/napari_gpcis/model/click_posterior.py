"""Posterior of one image: its features and prior, conditioned on any clicks."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import TYPE_CHECKING, NamedTuple

import torch
from torch.nn import functional

from napari_gpcis.clicks import disk_maps
from napari_gpcis.gp import Columns, Field
from napari_gpcis.model.grid import GPScores, Grid, double, to_network_size, to_scores
from napari_gpcis.model.proposal_head import ProposalInput

if TYPE_CHECKING:
    from collections.abc import Callable

    from torch import Tensor

    from napari_gpcis.model.base import FeatureSource
    from napari_gpcis.model.grid import Cells
    from napari_gpcis.model.proposal_head import ProposalHead

_LOGIT_SCALE = 5.0


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
    source
        Features for what proposes other masks.
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
        source: FeatureSource,
        rate: Callable[[Tensor], Tensor] | None = None,
    ) -> None:
        self._grid, self._prior, self._like = grid, prior, like
        self._observe, self._rate, self._source = observe, rate, source
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
            self._grid,
            self._prior,
            other,
            self._like,
            self._observe,
            self._source,
            self._rate,
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
        columns, update, _ = self._condition(points)
        scores = to_scores(self._prior, update, self._grid, self._like)
        return scores, self._spread(columns) if variance else None

    def on_grid(self, points: Tensor) -> GridPosterior:
        """Return the posterior given clicks, on the grid of the Gaussian process.

        Parameters
        ----------
        points
            Clicks, shape ``(1, 2 N, 3)``.
        """
        columns, update, cells = self._condition(points)
        shape = (1, 1, *self._grid.shape)
        variance = columns.variance().to(self._prior) / columns.field.diagonal
        return GridPosterior(
            self._prior.reshape(shape),
            update.to(self._prior).reshape(shape),
            variance.to(self._prior).reshape(shape),
            columns,
            cells,
        )

    def proposal_input(self, grid: GridPosterior, points: Tensor) -> ProposalInput:
        """Return what a head that proposes other masks sees.

        Parameters
        ----------
        grid
            From :meth:`on_grid`.
        points
            The clicks that it was given.
        """
        height, width = self._like.shape[-2:]
        guides = grid.guides(disk_maps(points, (height, width)))
        context = tuple(self._source.context(points))
        return ProposalInput(self._source.raw, context, guides)

    def proposals(self, head: ProposalHead, points: Tensor) -> Proposals:
        """Return other masks for the clicks.

        Parameters
        ----------
        head
            Trained on the network that these features are of.
        points
            Clicks, shape ``(1, 2 N, 3)``.
        """
        grid = self.on_grid(points)
        residuals, wide = head(self.proposal_input(grid, points))
        prior = grid.prior + residuals
        update = grid.update - grid.correction(residuals)
        both = (prior + update).contiguous()  # enlarged faster than channels last
        logits = torch.cat([grid.prior + grid.update, both], dim=1)
        ratings = head.rate(wide, logits)[0]
        large = to_network_size(both, self._like)
        scores = GPScores(*(maps.transpose(0, 1) for maps in (large, prior, update)))
        return Proposals(scores, self._variance(grid.columns), ratings)

    def _condition(self, points: Tensor) -> tuple[Columns, Tensor, ClickedCells]:
        """Return the columns of clicks, the update of all pixels, and the places."""
        observed = self._observe(points)
        slots = _in_order(observed.cells.used[0], points[0, :, 2])
        cells = ClickedCells(
            observed.cells.position[0, slots], observed.cells.labels[0, slots]
        )
        columns = self._columns.observing(
            cells.position.tolist(),
            double(observed.features[0, slots]),
            double(observed.noise[0, slots]),
        )
        self._columns = columns
        update = columns.update(double(observed.residual[0, slots]))[None].float()
        return columns, update, cells

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
        return to_network_size(self._variance(columns), self._like)

    def _variance(self, columns: Columns) -> Tensor:
        """Return the posterior variance, shape ``(1, 1, h, w)``."""
        spread = columns.variance().float().to(self._like)
        return spread.reshape(1, 1, *self._grid.shape)


class ClickedCells(NamedTuple):
    """The ``n`` observations in the order of the clicks."""

    position: Tensor
    """Flat index into the grid, shape ``(n,)``."""
    labels: Tensor
    """+1 or -1, shape ``(n,)``."""


class GridPosterior(NamedTuple):
    """Posterior of one image on the grid of the Gaussian process."""

    prior: Tensor
    """Shape ``(1, 1, h, w)``."""
    update: Tensor
    """Shape ``(1, 1, h, w)``; the logit is the sum of both."""
    variance: Tensor
    """Posterior variance as a share of the prior's, shape ``(1, 1, h, w)``."""
    columns: Columns
    """Kernel and Cholesky factor of the clicks."""
    cells: ClickedCells
    """Places and signs of the clicks."""

    def correction(self, residuals: Tensor) -> Tensor:
        """Return what Matheron's rule takes off maps that are added to the prior.

        ``K_mn A^-1 r(X_n)``: with it, the sum has at the clicks the values that it
        had before.

        Parameters
        ----------
        residuals
            Shape ``(1, k, h, w)``; gradients go through.

        Returns
        -------
        Tensor
            Of the same shape and type.
        """
        flat = residuals[0].flatten(1)
        clicked = double(flat[:, self.cells.position])
        return self.columns.updates(clicked).to(residuals).reshape(residuals.shape)

    def guides(self, disks: Tensor) -> Tensor:
        """Return what the posterior says about the clicks, shape ``(1, 9, h, w)``.

        Logit, probability and variance; disks of the positive and negative clicks;
        the kernel to the nearest click of either sign, as it is and with a long tail.

        Parameters
        ----------
        disks
            From :func:`napari_gpcis.clicks.disk_maps`, shape ``(1, 2, H, W)``.
        """
        logits = (self.prior + self.update).float()
        shape = logits.shape[-2:]
        if disks.shape[-2:] != shape:
            disks = functional.interpolate(disks, size=shape, mode="area")
        near = self.resemblance().to(logits)
        scaled = (logits / _LOGIT_SCALE).clamp(-2, 2)
        spread = self.variance.to(logits)
        parts = [scaled, logits.sigmoid(), spread, disks.to(logits), near, near**0.25]
        return torch.cat(parts, dim=1)

    def resemblance(self) -> Tensor:
        """Return the largest kernel to a click of either sign, ``(1, 2, h, w)``.

        In [0, 1]; 0 where there is no click of the sign.
        """
        kernel, labels = self.columns.k_nm, self.cells.labels.to(self.columns.k_nm)
        maps = [
            kernel[labels == sign].amax(0)
            if bool((labels == sign).any())
            else kernel.new_zeros(kernel.shape[1])
            for sign in (1, -1)
        ]
        shape = (1, 2, *self.prior.shape[-2:])
        scaled = torch.stack(maps).reshape(shape) / self.columns.field.diagonal
        return scaled.clamp(0, 1)


class Proposals(NamedTuple):
    """Other masks for the same clicks."""

    scores: GPScores
    """Of ``K`` proposals: logits at the size of the network input, ``(K, 1, H, W)``;
    prior and update, which are seldom looked at, on the grid, ``(K, 1, h, w)``."""
    variance: Tensor
    """That of all, shape ``(1, 1, h, w)``."""
    ratings: Tensor
    """Logits of the expected IoU of the mask itself and the proposals, ``(1 + K,)``."""


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
