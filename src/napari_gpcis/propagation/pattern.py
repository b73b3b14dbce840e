"""Pattern: the pixels around an object, by which it is found again after it moved."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from napari_gpcis.geometry import clip_box

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from napari_gpcis.geometry import Box, Mask
    from napari_gpcis.inference.image import PreparedImage

_GRID = 192  # larger patterns are read on a coarser grid
_MARGIN = 0.25  # pixels around an object that belong to it, in radii
_REACH = 1.0  # it is looked for so far away, in radii
_FOUND = 0.5  # correlation from which on a pattern is found again
_BETTER = 0.02  # and so much more than where it was


class Pattern(NamedTuple):
    """Pixels around an object on its plane.

    Attributes
    ----------
    box, frame
        Half-open boxes of the plane: that of the object, which has to stay on the
        plane, and that of the pixels.
    values
        Normalised channels, shape (C, h, w), of every ``step``-th pixel.
    step
        Distance of the pixels that were read.
    reach
        How far the object may move, in pixels.
    """

    box: Box
    frame: Box
    values: NDArray[np.float32]
    step: int
    reach: int

    def displacement(self, prepared: PreparedImage) -> tuple[int, int]:
        """Return the rows and columns by which it has moved on another plane.

        It is where the normalised cross-correlation is largest; if that is low, or
        hardly larger than where it was, it has not moved. On a plane that is too small
        for it, or has other channels, it has not either.

        Parameters
        ----------
        prepared
            That plane.
        """
        from skimage.feature import match_template  # slow to import: only if needed

        if len(prepared.planes) != len(self.values):
            return 0, 0
        steps = -(-self.reach // self.step)
        grids, before, padding = [], [], [(0, 0)]
        for axis, size in enumerate(prepared.shape):
            begin, end = self.box[axis], self.box[axis + 2]
            if end > size:
                return 0, 0
            back = min(steps, begin // self.step)
            on = min(steps, (size - end) // self.step)
            grid = np.arange(
                self.frame[axis] - back * self.step,
                self.frame[axis + 2] + on * self.step,
                self.step,
            )
            beside = int((grid < 0).sum()), int((grid >= size).sum())
            grids.append(grid[(grid >= 0) & (grid < size)])
            before.append(back)
            padding.append(beside)
        seen = np.pad(prepared.read(*grids), padding, mode="edge")
        found = match_template(seen, self.values)[0]
        best = np.unravel_index(int(found.argmax()), found.shape)
        if found[best] < max(_FOUND, found[before[0], before[1]] + _BETTER):
            return 0, 0
        return (
            (int(best[0]) - before[0]) * self.step,
            (int(best[1]) - before[1]) * self.step,
        )


def pattern_around(prepared: PreparedImage, mask: Mask, box: Box) -> Pattern | None:
    """Return the pixels around an object; ``None`` if there is none."""
    if not mask.any():
        return None
    radius = float(np.sqrt(np.count_nonzero(mask) / np.pi))
    wide = max(2, round(_MARGIN * radius))
    around = box[0] - wide, box[1] - wide, box[2] + wide, box[3] + wide
    frame = clip_box(around, prepared.shape)
    step = -(-max(frame[2] - frame[0], frame[3] - frame[1]) // _GRID)
    rows = np.arange(frame[0], frame[2], step)
    values = prepared.read(rows, np.arange(frame[1], frame[3], step))
    return Pattern(box, frame, values, step, max(2, round(_REACH * radius)))
