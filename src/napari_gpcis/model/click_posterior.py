"""The features of one pass of the network, conditioned on any clicks."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import torch

from napari_gpcis.gp import Columns, Field
from napari_gpcis.model.grid import GPScores, Grid, double, to_network_size, to_scores

if TYPE_CHECKING:
    from collections.abc import Callable

    from torch import Tensor

    from napari_gpcis.model.grid import Cells


class Seen(NamedTuple):
    """Clicks as observations on a surface; ``n`` slots, see `Cells`."""

    pixels: Tensor
    """Feature vectors, shape ``(1, n, d + 3)``."""
    residual: Tensor
    """``f_n - Phi(X_n) w``, shape ``(1, n)``."""
    noise: Tensor
    """What each adds to ``epsilon^2``, shape ``(1, n)``."""
    cells: Cells
    """Places, labels, and which slots are used."""


class Surface:
    """One image's features with their prior, on which clicks are observed.

    Clicks that follow each other on one surface share kernel columns and Cholesky
    rows: what the call before had in common with this one is kept.

    Parameters
    ----------
    grid
        The pixels.
    prior
        ``Phi(x) w`` with its linear part, shape ``(1, m)``.
    field
        The same pixels with their kernel.
    like
        Any tensor ``(1, C, H, W)`` of the size of the network input.
    observe
        From points ``(1, 2 N, 3)`` to observations.

    Notes
    -----
    Threads may share a surface: its state is replaced as a whole.
    """

    def __init__(
        self,
        grid: Grid,
        prior: Tensor,
        field: Field,
        like: Tensor,
        observe: Callable[[Tensor], Seen],
    ) -> None:
        self._grid, self._prior, self._like = grid, prior, like
        self._observe = observe
        self._columns = Columns.none(field)

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
        seen = self._observe(points)
        slots = _in_order(seen.cells.used[0], points[0, :, 2])
        columns = self._columns.observing(
            seen.cells.position[0, slots].tolist(),
            double(seen.pixels[0, slots]),
            double(seen.noise[0, slots]),
        )
        self._columns = columns
        update = columns.update(double(seen.residual[0, slots]))[None].float()
        scores = to_scores(self._prior, update, self._grid, self._like)
        return scores, self._spread(columns) if variance else None

    def _spread(self, columns: Columns) -> Tensor:
        spread = columns.variance().float().to(self._like)
        return to_network_size(spread.reshape(1, 1, *self._grid.shape), self._like)


def _in_order(used: Tensor, order: Tensor) -> Tensor:
    """Return the used slots in the order of the clicks."""
    slots = used.nonzero()[:, 0]
    return slots[torch.argsort(order[slots], stable=True)]
