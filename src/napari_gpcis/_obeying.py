"""The last step of a mask: every click is obeyed."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from napari_gpcis.clicks import Click
    from napari_gpcis.geometry import Box


def in_roi(click: Click, roi: Box) -> tuple[tuple[int, int], bool]:
    """Return the pixel of a click, counted from the roi's corner, and its label."""
    row, col = click.pixel
    return (row - roi[0], col - roi[1]), click.positive


def obey(
    mask: NDArray[np.bool_],
    clicks: list[tuple[tuple[int, int], bool]],
    reach: tuple[float, float],
) -> None:
    """Give each clicked pixel the label of its last click, see `Prediction.crop`."""
    wanted = dict(clicks)
    for place, positive in wanted.items():
        if mask[place] != positive:
            others = [other for other, sign in wanted.items() if sign != positive]
            _repair(mask, place, positive, others, reach)


def _repair(
    mask: NDArray[np.bool_],
    place: tuple[int, int],
    positive: bool,
    others: list[tuple[int, int]],
    reach: tuple[float, float],
) -> None:
    """Give the ellipse about a click its label, where no other click is as near."""
    box = tuple(
        slice(max(0, math.ceil(centre - half)), math.floor(centre + half) + 1)
        for centre, half in zip(place, reach, strict=True)
    )
    part = mask[box]
    rows = np.arange(part.shape[0])[:, None] + box[0].start
    cols = np.arange(part.shape[1])[None, :] + box[1].start
    down, right = rows - place[0], cols - place[1]
    taken = (down / reach[0]) ** 2 + (right / reach[1]) ** 2 <= 1
    for row, col in others:
        taken &= down**2 + right**2 < (rows - row) ** 2 + (cols - col) ** 2
    part[taken] = positive
