"""Grid of the Gaussian process: its pixels, clicks and scores."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import torch
from torch.nn import functional

from napari_gpcis import gp

if TYPE_CHECKING:
    from torch import Tensor, nn


class Grid(NamedTuple):
    """The pixels of the Gaussian process: ``m = h w`` of each of ``B`` images."""

    pixels: Tensor
    """L2-normalised features and colour, shape ``(B, m, d + 3)``."""
    linear: Tensor | None
    """Linear part of the prior, shape ``(B, m)``."""
    shape: tuple[int, ...]
    """Height and width ``(h, w)``."""
    stride: int
    """Network pixels per pixel of the grid."""


class Cells(NamedTuple):
    """Places of the clicks on the grid; ``n`` slots in each image."""

    position: Tensor
    """Flat index into the grid, 0 for clicks outside, shape ``(B, n)``."""
    labels: Tensor
    """+1 or -1, shape ``(B, n)``."""
    used: Tensor
    """Observations: inside the image and not overruled, bool, shape ``(B, n)``."""


class Observations(NamedTuple):
    """Clicks as observations of the Gaussian process; ``n`` slots in each image."""

    features: Tensor
    """Features and colour, shape ``(B, n, d + 3)``."""
    mean: Tensor
    """Amortised mean ``m`` (equation 6), shape ``(B, n)``."""
    cells: Cells
    """Places and labels."""


class GPScores(NamedTuple):
    """Scores of all pixels, each ``(B, 1, H, W)``; ``logits = prior + update``."""

    logits: Tensor
    prior: Tensor
    update: Tensor


def lay_out(raw: Tensor, rgb: Tensor, stride: int, linear: nn.Linear | None) -> Grid:
    """Return L2-normalised features and colour on the grid.

    Parameters
    ----------
    raw
        Features of the network, shape ``(B, d, ceil(H/4), ceil(W/4))``.
    rgb
        Normalised colour, shape ``(B, 3, H, W)``.
    stride
        Network pixels per pixel of the grid.
    linear
        Layer that scores the raw features (not in the paper).
    """
    shape = tuple(-(-size // stride) for size in rgb.shape[-2:])
    features = functional.normalize(raw, dim=1, eps=1e-12)
    scores = None
    if linear is not None:
        score = linear(raw.movedim(1, -1)).movedim(-1, 1)
        scores = _to_shape(score, shape, stride).flatten(1)
    colour = rgb
    if stride > 1:
        colour = functional.interpolate(rgb, size=shape, mode="area")
    stacked = torch.cat([_to_shape(features, shape, stride), colour], dim=1)
    return Grid(stacked.flatten(2).transpose(1, 2), scores, shape, stride)


def locate(points: Tensor, size: tuple[int, ...], grid: Grid) -> Cells:
    """Return the places of clicks; those outside are no observations.

    Parameters
    ----------
    points
        Shape ``(B, 2 N, 3)``, network pixels; positives, then negatives.
    size
        Height and width of the network input.
    grid
        From :func:`lay_out`.
    """
    rows, cols, order = points.unbind(-1)
    inside = (rows >= 0) & (cols >= 0) & (rows < size[0]) & (cols < size[1])
    cells = (rows.long() // grid.stride) * grid.shape[1]
    cells = (cells + cols.long() // grid.stride) * inside
    labels = torch.ones_like(rows)
    labels[:, labels.shape[1] // 2 :] = -1
    return Cells(cells, labels, gp.observed(cells, order, inside))


def patch_mean(values: Tensor, grid: Grid, cells: Cells, size: int) -> Tensor:
    """Return the mean over a square of grid pixels about each click.

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
    picked, counts = _patches(values, grid, cells, size)
    return picked.sum(2) / counts


def _patches(
    values: Tensor, grid: Grid, cells: Cells, size: int
) -> tuple[Tensor, Tensor]:
    """Return the vectors about each click, and how many there are.

    Parameters
    ----------
    values, grid, cells, size
        See :func:`patch_mean`.

    Returns
    -------
    picked : Tensor
        Shape ``(B, n, size ** 2, c)``, 0 outside the grid.
    counts : Tensor
        Shape ``(B, n, 1)``.
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
    return picked, inside.sum(2).unsqueeze(-1)


def patch_spread(values: Tensor, grid: Grid, cells: Cells, size: int) -> Tensor:
    """Return the variance ``E|v|^2 - |E v|^2`` of the vectors about each click.

    Parameters
    ----------
    values, grid, cells, size
        See :func:`patch_mean`.

    Returns
    -------
    Tensor
        Shape ``(B, n)``, at least 0: small within a region, large on its border.
    """
    picked, counts = _patches(values, grid, cells, size)
    mean = picked.sum(2) / counts
    power = picked.square().sum((2, 3)) / counts.squeeze(-1)
    return (power - mean.square().sum(-1)).clamp(min=0)


def to_scores(prior: Tensor, update: Tensor, grid: Grid, like: Tensor) -> GPScores:
    """Return flat scores, each ``(B, m)``, as images of the size of ``like``."""
    both = torch.stack([prior, update.to(prior)], dim=1)
    maps = to_network_size(both.reshape(len(like), 2, *grid.shape), like)
    prior_map, update_map = maps[:, :1], maps[:, 1:]
    return GPScores(prior_map + update_map, prior_map, update_map)


def to_network_size(maps: Tensor, like: Tensor) -> Tensor:
    """Return scores of the grid, ``(B, C, h, w)``, at the network's input size."""
    if maps.shape[-2:] == like.shape[-2:]:
        return maps
    return functional.interpolate(maps, size=like.shape[-2:], mode="bilinear")


def double(values: Tensor) -> Tensor:
    """Return float64, on the CPU where the device has none (MPS)."""
    if values.device.type == "mps":
        values = values.cpu()
    return values.double()


def _to_shape(maps: Tensor, shape: tuple[int, ...], stride: int) -> Tensor:
    """Resize features to the grid; the published way aligns corners."""
    if tuple(maps.shape[-2:]) == shape:
        return maps
    return functional.interpolate(
        maps, size=shape, mode="bilinear", align_corners=stride == 1
    )
