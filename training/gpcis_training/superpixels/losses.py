"""Losses of learned superpixels, of an association ``Q`` of shape (B, 9, H, W)."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn
from torch.nn import functional

from napari_gpcis.superpixels.association import (
    CELL,
    NEIGHBOURS,
    from_cells,
    pool,
    to_cells,
    unpool,
)

if TYPE_CHECKING:
    from collections.abc import Sequence

SCALE = 0.005
"""Factor on the superpixel loss, as published."""
_SMALL = 1e-8
_COLOUR_RANGE = 100.0  # of L in CIELAB


def superpixel_loss(
    association: Tensor,
    labels: Tensor,
    compactness: float = 0.003,
    weights: Tensor | None = None,
) -> Tensor:
    """Return the reconstruction loss of labels and positions from superpixels.

    Cross-entropy of each pixel's label with the mean of its superpixels, and
    ``compactness / S`` times the distance of each pixel from their mean position; sums
    over pixels, mean over the batch, times 0.005.

    Parameters
    ----------
    association
        ``Q``, shape ``(B, 9, H, W)``.
    labels
        Label of each pixel, int64 from 0, shape ``(B, H, W)``.
    compactness
        Weight of the distance.
    weights
        Weights of the cross-entropy of each pixel, shape ``(B, H, W)``, mean 1.

    Returns
    -------
    Tensor
        A number.
    """
    classes = int(labels.max()) + 1
    wanted = functional.one_hot(labels, classes).movedim(-1, 1).to(association.dtype)
    found, place = _reconstruct(association, wanted)
    entropy = -(wanted * (found + _SMALL).log()).sum(dim=1)
    if weights is not None:
        entropy = entropy * weights
    return _total(entropy, place, compactness)


def colour_loss(association: Tensor, lab: Tensor, compactness: float = 10.0) -> Tensor:
    """Return the reconstruction loss of colours: superpixels without labels.

    As :func:`superpixel_loss`, with the distance in CIELAB (L from 0 to 100, divided
    by 100) in place of the cross-entropy. SLIC minimises the same, over hard
    assignments.

    Parameters
    ----------
    association
        ``Q``, shape ``(B, 9, H, W)``.
    lab
        Colour of each pixel in CIELAB, shape ``(B, 3, H, W)``.
    compactness
        Weight of the position, in the units of SLIC: a distance of one cell counts as
        much as a difference in colour of so much.
    """
    found, place = _reconstruct(association, lab / _COLOUR_RANGE)
    distance = torch.linalg.vector_norm(found - lab / _COLOUR_RANGE, dim=1)
    return _total(distance, place, compactness / _COLOUR_RANGE)


def boundary_weights(labels: Tensor, pure: float = 0.1, cell: int = CELL) -> Tensor:
    """Return weights 1 in cells that labels divide and ``pure`` in others.

    Parameters
    ----------
    labels
        Shape ``(B, H, W)``.
    pure
        Weight of a cell of one label.
    cell
        Side of a cell.

    Returns
    -------
    Tensor
        Shape ``(B, H, W)``, mean 1 over each image.
    """
    cells = to_cells(labels[:, None], cell)
    divided = (cells != cells[..., :1, :]).any(dim=-2, keepdim=True)
    weights = divided.to(torch.float32) * (1 - pure) + pure
    full = from_cells(weights.expand(-1, -1, -1, cell * cell, -1), cell)[:, 0]
    return full / full.mean(dim=(1, 2), keepdim=True)


def alignment_loss(content: Tensor, other: Tensor, cell: int = CELL) -> Tensor:
    """Return the local-grid alignment of the contents of two modalities.

    The mean of the content over each cell is a distribution over channels (softmax);
    the loss is the mean Kullback-Leibler divergence of the second from the first.

    Parameters
    ----------
    content, other
        Shape ``(B, C, H, W)``.
    cell
        Side of a cell.
    """
    first, second = (
        functional.avg_pool2d(values, cell).log_softmax(dim=1)
        for values in (content, other)
    )
    return (first.exp() * (first - second)).sum(dim=1).mean()


class MutualInformation(nn.Module):
    """Upper bound of the mutual information of two styles (vCLUB).

    A normal distribution of the second given the first is learned by an optimiser of
    its own; the bound says how much better it knows the partner than the others of a
    batch.

    Parameters
    ----------
    channels
        Of a style vector.
    hidden
        Of the two small networks.
    """

    def __init__(self, channels: int = 32, hidden: int = 4) -> None:
        super().__init__()
        self.mean = nn.Sequential(
            nn.Linear(channels, hidden), nn.ReLU(), nn.Linear(hidden, channels)
        )
        self.log_variance = nn.Sequential(
            nn.Linear(channels, hidden),
            nn.ReLU(),
            nn.Linear(hidden, channels),
            nn.Tanh(),
        )

    def forward(self, style: Tensor, other: Tensor) -> Tensor:
        """Return the bound for styles of shape ``(N, C)`` each."""
        mean, variance = self.mean(style), self.log_variance(style).exp()
        partner = (other - mean).square()
        anybody = (other[None] - mean[:, None]).square().mean(dim=1)
        bound: Tensor = ((anybody - partner) / (2 * variance)).sum(dim=1).mean()
        return bound

    def learning_loss(self, style: Tensor, other: Tensor) -> Tensor:
        """Return the negative log-likelihood, up to constants, of what it learns."""
        style, other = style.detach(), other.detach()
        log_variance = self.log_variance(style)
        distance = (other - self.mean(style)).square()
        loss: Tensor = (distance / log_variance.exp() + log_variance).sum(dim=1).mean()
        return loss


def laplacian_loss(association: Tensor, cell: int = CELL) -> Tensor:
    """Return 1 minus the mean connectedness of superpixels.

    Of each superpixel on its window of 3 by 3 cells, ``Q_i Q_j`` summed over pixels
    and their eight neighbours (the trace of the Laplacian matrix), divided by the
    number of such pairs in the window. Juybari et al. (CVPR 2026).

    Parameters
    ----------
    association
        ``Q``, shape ``(B, 9, H, W)``.
    cell
        Side of a cell.
    """
    batch, _, height, width = association.shape
    steps = ((0, 1), (1, 0), (1, 1), (1, -1))
    products = [_neighbour_products(association, step, cell) for step in steps]
    total = torch.stack(products).sum()
    superpixels = batch * (height // cell) * (width // cell)
    side = 3 * cell
    pairs = 2 * (side * (side - 1) + (side - 1) ** 2)  # each unordered pair once
    return 1 - total / (superpixels * pairs)


def embedding_loss(
    embedding: Tensor,
    labels: Tensor,
    margin: float = 1.5,
    pixels: int = 100,
    generator: torch.Generator | None = None,
) -> Tensor:
    """Return a hinge on the distance between the embeddings of different labels.

    ``(margin - d)^2`` if positive, with ``d`` the mean over images of the smallest
    distance between random pixels of two labels.

    Parameters
    ----------
    embedding
        Shape ``(B, C, H, W)``.
    labels
        Shape ``(B, H, W)``.
    margin
        Wanted distance.
    pixels
        Drawn from each label.
    generator
        Source of randomness.
    """
    smallest = [
        _smallest_distance(vectors.flatten(1), regions.flatten(), pixels, generator)
        for vectors, regions in zip(embedding, labels, strict=True)
    ]
    return functional.relu(margin - torch.stack(smallest).mean()).square()


def _reconstruct(association: Tensor, values: Tensor) -> tuple[Tensor, Tensor]:
    """Return values from superpixels, and the distance to the mean position."""
    height, width = association.shape[-2:]
    row = torch.arange(height)[:, None].expand(height, width)
    col = torch.arange(width)[None, :].expand(height, width)
    place = torch.stack([row, col]).to(association)
    place = place.expand(len(association), 2, height, width)
    both = torch.cat([values, place], dim=1)
    found = unpool(pool(both, association), association)
    distance = torch.linalg.vector_norm(found[:, -2:] - place, dim=1)
    return found[:, :-2], distance


def _total(values: Tensor, distance: Tensor, compactness: float) -> Tensor:
    """Return the sum over pixels of values and distances, mean over the batch."""
    loss = (values + compactness / CELL * distance).sum()
    return SCALE * loss / len(values)


def _neighbour_products(
    association: Tensor, step: tuple[int, int], cell: int
) -> Tensor:
    """Return ``sum_s Q_is Q_js`` over all pixels ``i`` and those a step away.

    Within a cell the channels of both pixels are the same superpixels. Across a border
    they are shifted by one cell.
    """
    total = association.new_zeros(())
    height, width = association.shape[-2:]
    for row_cross, rows in _parts(step[0], height, cell):
        for col_cross, cols in _parts(step[1], width, cell):
            first = association[:, :, rows[0]][..., cols[0]]
            second = association[:, :, rows[1]][..., cols[1]]
            mine, theirs = _common(row_cross, col_cross)
            total = total + (first[:, mine] * second[:, theirs]).sum()
    return total


def _parts(
    step: int, length: int, cell: int
) -> list[tuple[int, tuple[Tensor, Tensor]]]:
    """Return positions and those a step away, within a cell and across a border."""
    start = torch.arange(max(-step, 0), length - max(step, 0))
    across = (start + step) // cell - start // cell
    return [
        (value, (start[across == value], start[across == value] + step))
        for value in sorted({0, step})
        if bool((across == value).any())
    ]


def _common(rows: int, cols: int) -> tuple[Sequence[int], Sequence[int]]:
    """Return the channels of two pixels that are the same superpixels.

    The cell of the second is so many rows and columns of cells away.
    """
    shared = [
        (index, NEIGHBOURS.index((dr - rows, dc - cols)))
        for index, (dr, dc) in enumerate(NEIGHBOURS)
        if (dr - rows, dc - cols) in NEIGHBOURS
    ]
    return [mine for mine, _ in shared], [theirs for _, theirs in shared]


def _smallest_distance(
    vectors: Tensor,
    regions: Tensor,
    pixels: int,
    generator: torch.Generator | None,
) -> Tensor:
    """Return the smallest distance of two drawn vectors of different regions."""
    drawn = []
    for region in range(int(regions.max()) + 1):
        members = (regions == region).nonzero()[:, 0]
        if len(members) == 0:
            continue
        chosen = torch.randint(len(members), (pixels,), generator=generator)
        drawn.append(vectors[:, members[chosen.to(members.device)]].T)
    if len(drawn) < 2:
        return vectors.new_zeros(())
    owner = torch.arange(len(drawn), device=vectors.device).repeat_interleave(pixels)
    points = torch.cat(drawn)
    # at equal points the gradient of a distance is not defined
    square = (points[:, None] - points[None]).square().sum(dim=-1)
    smallest = square[owner[:, None] != owner[None]].min()
    return (smallest + _SMALL).sqrt()
