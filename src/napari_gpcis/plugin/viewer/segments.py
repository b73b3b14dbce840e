"""Segments of the outlines of masks and of curves, and which side is outside."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import ArrayLike, NDArray

MOST_PIXELS = 1 << 21
"""Larger boxes are outlined with fewer pixels, which a screen would not show."""
MOST_SEGMENTS = 20_000
"""Rougher outlines are drawn with fewer pixels, too."""


class Segments(NamedTuple):
    """Straight pieces of outlines on a plane.

    Attributes
    ----------
    starts, ends
        Rows and columns in pixels of the plane, shape (n, 2).
    outward
        Unit vectors that point to the outside, shape (n, 2).
    values
        Label of what each piece goes around, shape (n,).
    """

    starts: NDArray[np.float64]
    ends: NDArray[np.float64]
    outward: NDArray[np.float64]
    values: NDArray[np.int64]

    @classmethod
    def of_labels(cls, labels: ArrayLike, corner: tuple[float, float]) -> Segments:
        """Return the borders of the objects of a label image, along the pixels.

        Parameters
        ----------
        labels
            Labels, or a mask, shape (h, w); what is not above 0 is outside.
        corner
            Row and column of its first pixel.

        Returns
        -------
        Segments
            Where two objects touch, each has a piece of its own. Of many pixels, or of
            a very rough border, only every second one or fewer count.
        """
        found = np.asarray(labels)
        step = max(1, int(np.ceil(np.sqrt(found.size / MOST_PIXELS))))
        while True:
            made = _of_labels(found[::step, ::step], corner, step)
            if len(made.starts) <= MOST_SEGMENTS or min(found.shape) < 4 * step:
                return made
            step *= 2

    @classmethod
    def of_curves(cls, curves: Sequence[NDArray[np.float64]]) -> Segments:
        """Return the pieces of curves, each of shape (k, 2): rows and columns."""
        several = [curve for curve in curves if len(curve) > 1]
        if not several:
            return cls.none()
        starts = np.concatenate([curve[:-1] for curve in several])
        ends = np.concatenate([curve[1:] for curve in several])
        along = ends - starts
        length = np.maximum(np.hypot(*along.T), 1e-9)[:, None]
        outward = np.stack([along[:, 1], -along[:, 0]], axis=1) / length
        return cls(starts, ends, outward, np.ones(len(starts), dtype=np.int64))

    @classmethod
    def none(cls) -> Segments:
        """Return no segments."""
        nothing = np.zeros((0, 2))
        return cls(nothing, nothing, nothing, np.zeros(0, dtype=np.int64))


def _of_labels(
    labels: NDArray[Any], corner: tuple[float, float], step: int
) -> Segments:
    """Return the borders of labels of which one pixel stands for ``step`` ** 2."""
    padded = np.pad(np.maximum(labels, 0) if labels.dtype != bool else labels, 1)
    inner, sides = padded[1:-1, 1:-1], []
    if not inner.any():
        return Segments.none()
    for outward, other in (
        ((-1, 0), padded[:-2, 1:-1]),
        ((1, 0), padded[2:, 1:-1]),
        ((0, -1), padded[1:-1, :-2]),
        ((0, 1), padded[1:-1, 2:]),
    ):
        # of a mask a mask: as whole numbers it takes eight times the memory
        mask = inner.dtype == bool
        border = inner & ~other if mask else np.where(inner != other, inner, 0)
        turned = outward[0] == 0
        first, last, place, value = _runs(border.T if turned else border)
        side = place + 0.5 + (outward[1] if turned else outward[0]) / 2
        pair = [np.stack(one, axis=1) for one in ((side, first), (side, last))]
        if turned:
            pair = [one[:, ::-1] for one in pair]
        outwards = np.broadcast_to(np.array(outward, dtype=float), pair[0].shape)
        sides.append((*pair, outwards, value))
    starts, ends, away, values = (
        np.concatenate(parts) for parts in zip(*sides, strict=True)
    )
    origin = np.array(corner, dtype=float) - 0.5
    return Segments(starts * step + origin, ends * step + origin, away, values)


def _runs(border: NDArray[Any]) -> tuple[NDArray[Any], ...]:
    """Return the runs of equal values above 0 in the rows of an array.

    Returns
    -------
    tuple of ndarray
        Where each begins, where it ends (half-open), its row, its value.
    """
    rows = np.flatnonzero(border.any(axis=1))
    part = np.pad(border[rows], ((0, 0), (1, 1)))
    change = part[:, 1:] != part[:, :-1]
    begins = np.nonzero(change & (part[:, 1:] != 0))
    ends = np.nonzero(change & (part[:, :-1] != 0))
    value = part[:, 1:][begins].astype(np.int64)
    return begins[1], ends[1], rows[begins[0]], value
