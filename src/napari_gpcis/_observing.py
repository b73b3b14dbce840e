"""Clicks as observations of the Gaussian process."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import torch

if TYPE_CHECKING:
    from torch import Tensor

    from napari_gpcis.model.grid import Cells, Grid


class Observations(NamedTuple):
    """Clicks as the Gaussian process sees them; ``n`` slots in each image."""

    pixels: Tensor
    """Features and colour, ``(B, n, d + 3)``."""
    mean: Tensor
    """``m``, ``(B, n)``."""
    cells: Cells
    """Places and labels."""


def patch_mean(values: Tensor, grid: Grid, cells: Cells, size: int) -> Tensor:
    """Average over the square of grid pixels about each click, as far as there are any.

    Parameters
    ----------
    values
        Shape ``(B, m, c)``.
    grid
        The grid of ``m`` pixels.
    cells
        Where the clicks lie.
    size
        Side of the square, odd; 1 is the clicked pixel itself.

    Returns
    -------
    Tensor
        Shape ``(B, n, c)``.
    """
    height, width = grid.shape
    reach = torch.arange(size, device=values.device) - size // 2
    down, right = torch.meshgrid(reach, reach, indexing="ij")
    rows = cells.position.unsqueeze(-1) // width + down.flatten()
    cols = cells.position.unsqueeze(-1) % width + right.flatten()
    inside = (rows >= 0) & (rows < height) & (cols >= 0) & (cols < width)
    index = ((rows * width + cols) * inside).flatten(1)
    picked = values.gather(1, index.unsqueeze(-1).expand(-1, -1, values.shape[-1]))
    picked = picked.reshape(*inside.shape, -1) * inside.unsqueeze(-1)
    total: Tensor = picked.sum(2)
    return total / inside.sum(2).unsqueeze(-1)


def patch_spread(values: Tensor, grid: Grid, cells: Cells, size: int) -> Tensor:
    """Return how much the vectors about each click differ: ``E|v|^2 - |E v|^2``.

    Parameters
    ----------
    values, grid, cells, size
        See :func:`patch_mean`.

    Returns
    -------
    Tensor
        Shape ``(B, n)``, at least 0: small within a region, large on its border.
    """
    mean = patch_mean(values, grid, cells, size)
    squares = values.square().sum(-1, keepdim=True)
    power = patch_mean(squares, grid, cells, size).squeeze(-1)
    return (power - mean.square().sum(-1)).clamp(min=0)
