"""Pixels that the user has drawn and erased by hand on the current object."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np

from napari_gpcis.geometry import EMPTY, placed, union

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from napari_gpcis.geometry import Mask
    from napari_gpcis.plugin.viewer.planes import Box


def _nothing() -> Mask:
    return np.zeros((0, 0), dtype=bool)


@dataclass(frozen=True, eq=False)
class HandEdits:
    """Pixels drawn and erased by hand, which further masks of the object keep.

    Attributes
    ----------
    box
        Half-open box of the plane that contains them.
    drawn, erased
        Of the size of ``box``; no pixel is in both.
    """

    box: Box = EMPTY
    drawn: Mask = field(default_factory=_nothing)
    erased: Mask = field(default_factory=_nothing)

    def with_stroke(
        self, rows: NDArray[np.intp], cols: NDArray[np.intp], *, drawn: bool
    ) -> HandEdits:
        """Return these edits after pixels of the plane were drawn, or erased."""
        if len(rows) == 0:
            return self
        box = union(
            self.box,
            (
                int(rows.min()),
                int(cols.min()),
                int(rows.max()) + 1,
                int(cols.max()) + 1,
            ),
        )
        made = [placed(mask, self.box, box) for mask in (self.drawn, self.erased)]
        for mask, value in zip(made, (drawn, not drawn), strict=True):
            mask[rows - box[0], cols - box[1]] = value
        return HandEdits(box, *made)

    def applied(self, box: Box, mask: Mask) -> tuple[Box, Mask]:
        """Return a mask of a box as it is with these edits."""
        if self.box == EMPTY:
            return box, mask
        both = union(box, self.box)
        drawn, erased = (
            placed(one, self.box, both) for one in (self.drawn, self.erased)
        )
        return both, (placed(mask, box, both) | drawn) & ~erased

    def differing(self, other: HandEdits) -> tuple[Box, Mask]:
        """Return the pixels that these edits and others treat differently."""
        box = union(self.box, other.box)
        one, two = (
            (placed(edits.drawn, edits.box, box), placed(edits.erased, edits.box, box))
            for edits in (self, other)
        )
        return box, (one[0] != two[0]) | (one[1] != two[1])


NONE = HandEdits()
"""No edits."""
