"""Click, and clicks as the tensors of a network."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

from napari_gpcis.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from torch import Tensor

DISK_RADIUS = 5.0
"""Radius of a click's disk in network pixels (fixed in the published model)."""


@dataclass(frozen=True)
class Click:
    """One click on an image plane.

    Parameters
    ----------
    row, col
        Position in data pixels; pixel centres lie at integers, so pixel
        ``(3, 7)`` spans rows 2.5 to 3.5 and columns 6.5 to 7.5.
    positive
        ``True`` (or 1) on the object, ``False`` (or 0) on what must not belong to it.

    Raises
    ------
    InputError
        If a coordinate is not a finite real number, or `positive` is no truth value:
        text of a table, such as ``"0"``, would be true.

    Examples
    --------
    >>> Click(119.6, 80).pixel
    (120, 80)
    """

    row: float
    col: float
    positive: bool = True

    def __post_init__(self) -> None:
        """Check the coordinates and store them as plain Python numbers."""
        for name in ("row", "col"):
            value = getattr(self, name)
            try:
                number = float(value)
            except (TypeError, ValueError):
                number = math.nan
            if not math.isfinite(number):
                msg = f"{name} of a click must be a finite number, got {value!r}"
                raise InputError(msg)
            object.__setattr__(self, name, number)
        if self.positive not in (0, 1):
            msg = f"positive must be True or False, got {self.positive!r}"
            raise InputError(msg)
        object.__setattr__(self, "positive", bool(self.positive))

    @property
    def pixel(self) -> tuple[int, int]:
        """The pixel that contains the click, ``(row, col)``."""
        return math.floor(self.row + 0.5), math.floor(self.col + 0.5)


def points_tensor(
    clicks: Sequence[Click],
    scale: tuple[float, float] = (1.0, 1.0),
    offset: tuple[float, float] = (0.0, 0.0),
) -> Tensor:
    """Return the network form of ordered clicks.

    Parameters
    ----------
    clicks
        Clicks in the order in which they were made.
    scale, offset
        Data to network pixels: ``(row - offset[0]) * scale[0]`` and so on.

    Returns
    -------
    Tensor
        Shape ``(1, 2 N, 3)``, float32, rows ``(row, col, order)``: ``N`` slots for
        positive, then ``N`` for negative clicks; ``(-1, -1, -1)`` where unused.
        ``N >= 1`` is the larger of the two counts.
    """
    import torch  # heavy: only when a model is in use

    sides: tuple[list[tuple[float, float, float]], ...] = ([], [])
    for order, click in enumerate(clicks):
        row = (click.row - offset[0]) * scale[0]
        col = (click.col - offset[1]) * scale[1]
        sides[0 if click.positive else 1].append((row, col, float(order)))
    count = max(1, *(len(side) for side in sides))
    padding = (-1.0, -1.0, -1.0)
    rows = [row for side in sides for row in side + [padding] * (count - len(side))]
    return torch.tensor([rows], dtype=torch.float32)


def disk_maps(
    points: Tensor, shape: tuple[int, int], radius: float = DISK_RADIUS
) -> Tensor:
    """Draw the disks of the positive and of the negative clicks.

    A pixel is 1 where its distance to the nearest click of that side is at most
    ``radius``. A click outside the image draws the part of its disk that lies
    inside; only rows with ``max(row, col) < 0`` (the padding) are skipped.

    Parameters
    ----------
    points
        Shape ``(B, 2 N, 3)``, network pixels, see :func:`points_tensor`.
    shape
        Height and width of the maps.
    radius
        Radius in network pixels.

    Returns
    -------
    Tensor
        Shape ``(B, 2, H, W)``: positive map, negative map; 0 or 1.
    """
    import torch  # heavy: only when a model is in use

    batch, slots, _ = points.shape
    positions = points[..., :2].reshape(batch, 2, slots // 2, 2)
    used = positions.amax(dim=-1) >= 0
    reach = math.ceil(radius)
    steps = torch.arange(-reach, reach + 2, device=points.device, dtype=points.dtype)
    around = positions.floor()[..., None] + steps  # all that a disk may cover
    square = (around - positions[..., None]).square()
    near = square[..., 0, :, None] + square[..., 1, None, :] <= radius**2
    rows, cols = around[..., 0, :, None], around[..., 1, None, :]
    inside = (rows >= 0) & (rows < shape[0]) & (cols >= 0) & (cols < shape[1])
    outside = shape[0] * shape[1]  # one more place, for what is not drawn
    drawn = near & inside & used[..., None, None]
    index = torch.where(drawn, rows.long() * shape[1] + cols.long(), outside)
    maps = points.new_zeros(batch, 2, outside + 1)
    maps.scatter_(2, index.flatten(2), 1.0)
    return maps[..., :outside].reshape(batch, 2, *shape)
