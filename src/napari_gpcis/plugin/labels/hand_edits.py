"""Pixels that the user has drawn and erased by hand on the current object."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np

from napari_gpcis.geometry import EMPTY, moved, placed, slices, union

if TYPE_CHECKING:
    from collections.abc import Collection

    from numpy.typing import NDArray

    from napari_gpcis.clicks import Click
    from napari_gpcis.geometry import Mask
    from napari_gpcis.plugin.viewer.planes import Box


NEAR = 6.0
"""A later click overrides edits against it within so many pixels."""


def _nothing() -> Mask:
    return np.zeros((0, 0), dtype=bool)


def _no_numbers() -> NDArray[np.uint16]:
    return np.zeros((0, 0), dtype=np.uint16)


@dataclass(frozen=True, eq=False)
class HandEdits:
    """Pixels drawn and erased by hand, which further masks of the object keep.

    At each pixel the latest instruction holds: a click that is made later, on a pixel
    that was edited against it, overrides the edits near it.

    Attributes
    ----------
    box
        Half-open box of the plane that contains them.
    drawn, erased
        Of the size of ``box``; no pixel is in both.
    known
        Clicks that were there when pixels were edited: of one stroke after the other.
    strokes
        Of the size of ``box``: the place in ``known`` of the last edit of each pixel.
    """

    box: Box = EMPTY
    drawn: Mask = field(default_factory=_nothing)
    erased: Mask = field(default_factory=_nothing)
    known: tuple[tuple[Click, ...], ...] = ()
    strokes: NDArray[np.uint16] = field(default_factory=_no_numbers)

    def with_stroke(
        self,
        rows: NDArray[np.intp],
        cols: NDArray[np.intp],
        *,
        drawn: bool,
        clicks: tuple[Click, ...] = (),
    ) -> HandEdits:
        """Return these edits after pixels of the plane were drawn, or erased.

        Parameters
        ----------
        rows, cols
            The pixels.
        drawn
            Whether they were drawn.
        clicks
            The clicks of the object by then.
        """
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
        known = self.known if self.known[-1:] == (clicks,) else (*self.known, clicks)
        strokes = np.zeros(made[0].shape, np.uint16)
        if self.box != EMPTY:
            strokes[slices(moved(self.box, (-box[0], -box[1])))] = self.strokes
        strokes[rows - box[0], cols - box[1]] = len(known) - 1
        return HandEdits(box, made[0], made[1], known, strokes)

    def applied(
        self, box: Box, mask: Mask, clicks: Collection[Click] = ()
    ) -> tuple[Box, Mask]:
        """Return a mask of a box as it is with these edits.

        Parameters
        ----------
        box, mask
            The mask without them.
        clicks
            The clicks that it is made of.
        """
        if self.box == EMPTY:
            return box, mask
        both, left = union(box, self.box), self.settled(clicks)
        drawn, erased = (
            placed(one, self.box, both) for one in (left.drawn, left.erased)
        )
        return both, (placed(mask, box, both) | drawn) & ~erased

    def settled(self, clicks: Collection[Click]) -> HandEdits:
        """Return what is left of these edits after clicks that override some."""
        drawn, erased = self.drawn.copy(), self.erased.copy()
        for click in clicks:
            against = self._overridden(click)
            if against is not None:
                (erased if click.positive else drawn)[...] &= ~against
        strokes = np.zeros(drawn.shape, np.uint16)
        return HandEdits(self.box, drawn, erased, (tuple(clicks),), strokes)

    def _overridden(self, click: Click) -> Mask | None:
        """Return the edits that a click overrides, of the size of the box, if any."""
        row, col = (at - low for at, low in zip(click.pixel, self.box[:2], strict=True))
        edits = self.erased if click.positive else self.drawn
        inside = 0 <= row < edits.shape[0] and 0 <= col < edits.shape[1]
        if not inside or not edits[row, col]:
            return None
        later = np.array([click not in clicks for clicks in self.known])
        if not later[self.strokes[row, col]]:
            return None
        rows, cols = np.ogrid[: edits.shape[0], : edits.shape[1]]
        near = np.hypot(rows - row, cols - col) <= NEAR
        return np.asarray(edits & near & later[self.strokes])

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
