"""What the running object shows in the labels layer, and what it hides there."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from napari_gpcis._boxes import EMPTY, placed, union

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from napari_gpcis._boxes import Mask
    from napari_gpcis._labels import How
    from napari_gpcis.plugin.planes import Box


def _no_mask() -> Mask:
    return np.zeros((0, 0), dtype=bool)


def _no_values() -> NDArray[Any]:
    return np.zeros((0, 0), dtype=np.int64)


@dataclass
class Painted:
    """The pixels that one running object holds in the labels layer.

    Attributes
    ----------
    label
        The object's id; 0 while it has none.
    how
        What the mask does to the object of this id, see `Session.accept`.
    cover
        Whether pixels of other objects are taken as well.
    box
        Half-open box of the plane that contains all held pixels.
    mask
        The held pixels, of the size of ``box``.
    before
        Where the mask holds, what was there before; of the size of ``box``.
    origin
        Box and mask of the object as it was before it was corrected; its pixels are
        given back at the end.
    """

    label: int = 0
    how: How = "add"
    cover: bool = False
    box: Box = EMPTY
    mask: Mask = field(default_factory=_no_mask)
    before: NDArray[Any] = field(default_factory=_no_values)
    origin: tuple[Box, Mask] | None = None

    @property
    def value(self) -> int:
        """What the held pixels are set to."""
        return 0 if self.how == "cut" else self.label

    def may_take(self, now: NDArray[Any]) -> Mask:
        """Return which pixels of these values the object may take."""
        if self.how == "cut":
            return np.asarray(now == self.label)
        if self.cover:
            return np.asarray(now != self.label)
        return np.asarray(now == 0)

    def grow(self, box: Box) -> None:
        """Make the box hold another box as well."""
        both = union(self.box, box)
        if both == self.box:
            return
        before = np.zeros((both[2] - both[0], both[3] - both[1]), dtype=np.int64)
        row, col = self.box[0] - both[0], self.box[1] - both[1]
        rows, cols = self.mask.shape
        before[row : row + rows, col : col + cols] = self.before
        self.mask = placed(self.mask, self.box, both)
        self.box, self.before = both, before


def painted_object(label: int, box: Box, mask: Mask) -> Painted:
    """Return what an object holds that is to be corrected: all its pixels."""
    before = np.zeros(mask.shape, dtype=np.int64)
    return Painted(
        label, "replace", box=box, mask=mask.copy(), before=before, origin=(box, mask)
    )
