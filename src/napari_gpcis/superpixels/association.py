"""Soft association of pixels with the superpixels of a grid: pool, unpool, labels.

An image of ``S gh`` by ``S gw`` pixels has ``gh`` by ``gw`` cells of ``S`` by ``S``
pixels, one superpixel a cell. The association ``Q`` of shape ``(B, 9, H, W)`` says with
which probability a pixel belongs to the superpixel of its own cell and to those of the
eight cells around it, row by row: top left, top, ..., bottom right.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional

CELL = 16
"""Side of a cell, pixels."""
NEIGHBOURS = tuple((row, col) for row in (-1, 0, 1) for col in (-1, 0, 1))
"""Cells that the nine channels stand for, relative to a pixel's own."""
_SMALL = 1e-8


def to_cells(values: Tensor, cell: int = CELL) -> Tensor:
    """Return ``(B, C, H, W)`` cell by cell, shape ``(B, gh, gw, cell * cell, C)``."""
    batch, channels, height, width = values.shape
    rows, cols = height // cell, width // cell
    split = values.reshape(batch, channels, rows, cell, cols, cell)
    return split.permute(0, 2, 4, 3, 5, 1).reshape(
        batch, rows, cols, cell * cell, channels
    )


def from_cells(cells: Tensor, cell: int = CELL) -> Tensor:
    """Return what :func:`to_cells` returned as ``(B, C, H, W)`` again."""
    batch, rows, cols, _, channels = cells.shape
    split = cells.reshape(batch, rows, cols, cell, cell, channels)
    return split.permute(0, 5, 1, 3, 2, 4).reshape(
        batch, channels, rows * cell, cols * cell
    )


def mask_outside(logits: Tensor, cell: int = CELL) -> Tensor:
    """Return logits that are minus infinity where a neighbour is outside the grid."""
    rows, cols = logits.shape[-2] // cell, logits.shape[-1] // cell
    row = torch.arange(rows, device=logits.device).repeat_interleave(cell)
    col = torch.arange(cols, device=logits.device).repeat_interleave(cell)
    outside = torch.stack(
        [
            ((row + dr < 0) | (row + dr >= rows))[:, None]
            | ((col + dc < 0) | (col + dc >= cols))[None, :]
            for dr, dc in NEIGHBOURS
        ]
    )
    return logits.masked_fill(outside, -torch.inf)


def pool(values: Tensor, association: Tensor, cell: int = CELL) -> Tensor:
    """Return the mean of the pixels of each superpixel, weighted by ``Q``.

    Parameters
    ----------
    values
        Shape ``(B, C, H, W)``.
    association
        ``Q``, shape ``(B, 9, H, W)``.
    cell
        Side of a cell, pixels.

    Returns
    -------
    Tensor
        Shape ``(B, C, gh, gw)``: sum of ``Q f`` over the sum of ``Q`` and 1e-8.
    """
    ones = functional.pad(values, (0, 0, 0, 0, 0, 1), value=1.0)
    sums = pool_sum(ones, association, cell)
    return sums[:, :-1] / (sums[:, -1:] + _SMALL)


def pool_sum(values: Tensor, association: Tensor, cell: int = CELL) -> Tensor:
    """Return the sum over the pixels of each superpixel, weighted by ``Q``."""
    shares = to_cells(association, cell).transpose(-1, -2) @ to_cells(values, cell)
    batch, rows, cols, _, channels = shares.shape
    sums = shares.new_zeros(batch, rows + 2, cols + 2, channels)
    for index, (dr, dc) in enumerate(NEIGHBOURS):
        target = sums[:, 1 + dr : 1 + dr + rows, 1 + dc : 1 + dc + cols]
        target += shares[..., index, :]
    return sums[:, 1:-1, 1:-1].permute(0, 3, 1, 2)


def unpool(pooled: Tensor, association: Tensor, cell: int = CELL) -> Tensor:
    """Return the mean of a pixel's superpixels, weighted by ``Q``.

    Parameters
    ----------
    pooled
        Shape ``(B, C, gh, gw)``.
    association
        ``Q``, shape ``(B, 9, H, W)``.
    cell
        Side of a cell, pixels.

    Returns
    -------
    Tensor
        Shape ``(B, C, H, W)``. Neighbours outside the grid count as 0.
    """
    rows, cols = pooled.shape[-2:]
    padded = functional.pad(pooled, (1, 1, 1, 1)).permute(0, 2, 3, 1)
    around = torch.stack(
        [
            padded[:, 1 + dr : 1 + dr + rows, 1 + dc : 1 + dc + cols]
            for dr, dc in NEIGHBOURS
        ],
        dim=-2,
    )
    return from_cells(to_cells(association, cell) @ around, cell)


def hard_labels(association: Tensor, cell: int = CELL) -> Tensor:
    """Return the superpixel of the largest probability for each pixel.

    Parameters
    ----------
    association
        ``Q`` or its logits, shape ``(B, 9, H, W)``.
    cell
        Side of a cell, pixels.

    Returns
    -------
    Tensor
        Shape ``(B, H, W)``, int64: index of the cell, row by row, from 0. Choices
        outside the grid go to the nearest cell in it.
    """
    rows, cols = association.shape[-2] // cell, association.shape[-1] // cell
    device = association.device
    choice = association.argmax(dim=1)
    row = torch.arange(rows, device=device).repeat_interleave(cell)[:, None]
    col = torch.arange(cols, device=device).repeat_interleave(cell)[None, :]
    row = (row + choice // 3 - 1).clamp(0, rows - 1)
    col = (col + choice % 3 - 1).clamp(0, cols - 1)
    return row * cols + col
