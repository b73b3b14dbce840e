"""Live mask: pixels that the current object shows and hides in the labels layer."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from napari_gpcis.geometry import EMPTY, box_of, moved, placed, slices, union
from napari_gpcis.session.labels import LabelChange

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from napari_gpcis.geometry import Mask
    from napari_gpcis.plugin.viewer.planes import Box
    from napari_gpcis.session.labels import WriteMode


_ALL = slice(None)


def _no_mask() -> Mask:
    return np.zeros((0, 0), dtype=bool)


@dataclass
class LiveMask:
    """The pixels that one current object holds in the labels layer.

    Attributes
    ----------
    label
        The object's id; 0 while it has none.
    how
        What the mask does to the object of this id, see `Session.accept`.
    overwrite
        Whether pixels of other objects are taken as well.
    box
        Half-open box of the plane that contains all live pixels.
    mask
        The live pixels, of the size of ``box``.
    origin
        Box and mask of the object as it was before it was corrected; its pixels are
        given back at the end.
    before
        Where the mask holds, what was there before; of the size of ``box``. ``None``
        as long as that is the same everywhere, see `default_value`.
    new
        Whether the id was given to this object: no other has it.
    alone
        Whether no other pixel of the plane has the id.
    """

    label: int = 0
    how: WriteMode = "add"
    overwrite: bool = False
    box: Box = EMPTY
    mask: Mask = field(default_factory=_no_mask)
    origin: tuple[Box, Mask] | None = None
    before: NDArray[Any] | None = None
    new: bool = False
    alone: bool = False

    @property
    def value(self) -> int:
        """Value of the live pixels."""
        return 0 if self.how == "cut" else self.label

    @property
    def default_value(self) -> int:
        """Value of the live pixels before, unless others were there or ids below 0."""
        return self.label if self.how == "cut" else 0

    def may_take(self, now: NDArray[Any]) -> Mask:
        """Return which pixels of these values the object may take."""
        if self.how == "cut":
            return np.asarray(now == self.label)
        if self.overwrite:
            return np.asarray(now != self.label)
        return np.asarray(now <= 0)

    def copy(self) -> LiveMask:
        """Return the same, which does not change with this one."""
        before = None if self.before is None else self.before.copy()
        return replace(self, mask=self.mask.copy(), before=before)

    def grow(self, box: Box) -> None:
        """Make the box hold another box as well."""
        both = union(self.box, box)
        if both == self.box:
            return
        if self.before is not None:
            before = np.full((both[2] - both[0], both[3] - both[1]), self.default_value)
            inner = moved(self.box, (-both[0], -both[1]))
            before[slices(inner)] = self.before
            self.before = before
        self.mask = placed(self.mask, self.box, both)
        self.box = both

    def draw(
        self, rows: NDArray[np.intp], cols: NDArray[np.intp], before: NDArray[Any]
    ) -> None:
        """Hold pixels of the plane that the user has drawn, and what was there."""
        if len(rows) == 0:
            return
        low, high = (rows.min(), cols.min()), (rows.max(), cols.max())
        self.grow((int(low[0]), int(low[1]), int(high[0]) + 1, int(high[1]) + 1))
        at = rows - self.box[0], cols - self.box[1]
        if self.before is None and np.any(before != self.default_value):
            self.before = np.full(self.mask.shape, self.default_value)
        if self.before is not None:
            self.before[at] = before
        self.mask[at] = True

    def holds(self, rows: NDArray[np.intp], cols: NDArray[np.intp]) -> Mask:
        """Return which of these pixels of the plane are live pixels."""
        top, left, bottom, right = self.box
        inside = (rows >= top) & (rows < bottom) & (cols >= left) & (cols < right)
        found = np.zeros(len(rows), dtype=bool)
        found[inside] = self.mask[rows[inside] - top, cols[inside] - left]
        return found

    def update(
        self,
        rows: slice,
        now: NDArray[Any],
        wanted: Mask,
        added: Mask,
        removed: Mask,
    ) -> None:
        """Hold what is wanted in some rows of the box, as far as it may be taken.

        Parameters
        ----------
        rows
            The rows.
        now, wanted
            What the box shows, and is to hold.
        gained, lost
            Of the size of the box: which pixels must be set for that, and which must
            be given back.
        """
        mine = self.mask[rows] & (now[rows] == self.value)
        added[rows] = wanted[rows] & self.may_take(now[rows])
        np.greater(mine, wanted[rows], out=removed[rows])
        self.mask[rows] = (mine & wanted[rows]) | added[rows]
        if self.before is None and self._covers_others(now[rows], added[rows]):
            self.before = np.full(self.mask.shape, self.default_value)
        if self.before is not None:
            self.before[rows][added[rows]] = now[rows][added[rows]]

    def _covers_others(self, now: NDArray[Any], added: Mask) -> bool:
        """Return whether pixels may be covered that are not of the default value."""
        if self.overwrite:
            return True
        return self.how != "cut" and bool((now[added] < 0).any())

    def hidden(self, pixels: Mask, rows: slice = _ALL) -> NDArray[Any]:
        """Return what some live pixels were before, one value if the same.

        Parameters
        ----------
        pixels
            Which pixels, of the size of these rows of the box.
        rows
            The rows; by default all.
        """
        if self.before is None:
            return np.asarray(self.default_value)
        return self.before[rows][pixels]

    def remove_from(self, labels: NDArray[Any], frame: Box) -> None:
        """Take the object out of labels; one that was corrected is as before.

        Parameters
        ----------
        labels
            What is shown, to be changed.
        frame
            Their box, which contains that of the object.
        """
        inner = slices(moved(self.box, (-frame[0], -frame[1])))
        part = labels[inner]
        mine = self.mask & (part == self.value)
        part[mine] = self.hidden(mine)
        if self.origin is not None:
            whole = placed(self.origin[1], self.origin[0], self.box)
            part[whole & (part == 0)] = self.label

    def change(self, now: NDArray[Any]) -> LabelChange:
        """Return what the object has changed, as far as it still shows.

        Parameters
        ----------
        now
            What the box shows.
        """
        shown = self.mask & (now == self.value)
        if self.origin is None:
            before, after = self.hidden(shown), np.asarray(self.value)
            return _trimmed(LabelChange(self.box, shown, before, after))
        origin = placed(self.origin[1], self.origin[0], self.box)
        taken = shown & ~origin
        where = taken | (origin & ~self.mask & (now == 0))
        hidden = np.where(origin, self.label, 0 if self.before is None else self.before)
        after = np.where(taken, self.label, 0)
        return LabelChange(self.box, where, hidden[where], after[where])


def live_mask_of(label: int, box: Box, mask: Mask) -> LiveMask:
    """Return what an object holds that is to be corrected: all its pixels."""
    return LiveMask(label, "replace", box=box, mask=mask.copy(), origin=(box, mask))


def live_mask_again(
    label: int, how: WriteMode, change: LabelChange, box: Box, now: NDArray[Any]
) -> LiveMask:
    """Return what a finished object holds, to make it the running one again.

    Parameters
    ----------
    label, how
        The object, and what its mask did.
    change
        What it changed.
    box, now
        A box that contains the change and all of the object, and what it shows.
    """
    inner = slices(moved(change.box, (-box[0], -box[1])))
    stands = change.stands(now[inner])
    if how != "replace":
        live = LiveMask(label, how, box=change.box, mask=stands)
        mine = np.count_nonzero(now == label)
        live.alone = how == "add" and np.count_nonzero(stands) == mine
        if change.before.ndim or change.before != live.default_value:
            live.before = np.full(live.mask.shape, live.default_value)
            live.before[live.mask] = change.before_at(live.mask)
        return live
    before = np.asarray(now).astype(np.int64)
    before[inner][stands] = change.before_at(stands)
    origin = before == label
    before[origin] = 0
    return LiveMask(label, how, False, box, now == label, (box, origin), before)


def _trimmed(change: LabelChange) -> LabelChange:
    """Return a change of the smallest box; none if nothing is changed."""
    inside = box_of(change.where) or EMPTY
    where = change.where[slices(inside)]
    return LabelChange(
        moved(inside, change.box[:2]), where, change.before, change.after
    )
