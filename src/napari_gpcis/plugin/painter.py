"""Writing the running mask into the labels layer, live, without harm to the rest.

The object being clicked is drawn straight into the labels layer, under the next free
id, so that whoever saves the layer at any moment has everything that is seen. Only
pixels that were free are taken (unless new objects may cover finished ones), and what
was there before is given back; all other ids, drawn by hand or accepted before, stay
as they are. All changes of one object form one undo step of the layer: its history is
held open until the object is finished, or the person begins to paint, whose strokes
are steps of their own.
"""

from __future__ import annotations

from contextlib import ExitStack
from typing import TYPE_CHECKING, Any

import numpy as np

from napari_gpcis._boxes import EMPTY, box_of, moved, overlap, placed, slices, union
from napari_gpcis.plugin.layers import check_room
from napari_gpcis.plugin.painted import Painted, painted_object

if TYPE_CHECKING:
    from napari.layers import Labels
    from numpy.typing import NDArray

    from napari_gpcis._boxes import Mask
    from napari_gpcis._labels import How, LabelChange
    from napari_gpcis.plugin.planes import Box, Plane

__all__ = ["EMPTY", "Painted", "Painter"]

MAX_STEP = 1 << 19
"""More pixels than these are not written into the layer's own history: that would
stop the window for seconds. The plugin's undo takes them back all the same."""
_PAINTING = ("paint", "fill", "erase", "polygon")
"""Modes of a labels layer in which the mouse changes pixels."""


class Painter:
    """Writes masks into one labels layer.

    Parameters
    ----------
    labels
        An editable labels layer that holds a NumPy array.

    Attributes
    ----------
    writing : bool
        Whether pixels are being written by it.
    """

    def __init__(self, labels: Labels) -> None:
        self.labels = labels
        self._history = ExitStack()
        self._open = False
        self._ending = self.writing = False
        self._highest = int(labels.data.max(initial=0))
        self._stale = False
        labels.events.paint.connect(self._edited)
        labels.events.data.connect(self._edited)
        labels.events.labels_update.connect(self._drawn)
        labels.mouse_drag_callbacks.insert(0, self._on_press)

    def close(self) -> None:
        """End the running undo step and let go of the layer."""
        self.end_step()
        self.labels.events.paint.disconnect(self._edited)
        self.labels.events.data.disconnect(self._edited)
        self.labels.events.labels_update.disconnect(self._drawn)
        if self._on_press in self.labels.mouse_drag_callbacks:
            self.labels.mouse_drag_callbacks.remove(self._on_press)

    # The running object -----------------------------------------------------------

    @property
    def drawing(self) -> bool:
        """Whether an undo step is open, and nobody else has edited since."""
        return self._open

    def new_label(self) -> int:
        """Return an id above every id in the layer and every id given before.

        Raises
        ------
        InputError
            If the layer's dtype cannot hold it.
        """
        if self._stale:
            self._highest = max(self._highest, int(self.labels.data.max(initial=0)))
            self._stale = False
        check_room(self.labels, self._highest)
        self._highest += 1
        return self._highest

    def reserve(self, label: int) -> None:
        """Never give this id, or a smaller one, to a new object."""
        self._highest = max(self._highest, label)

    def paint(self, plane: Plane, held: Painted, box: Box, mask: Mask) -> None:
        """Show ``mask`` (of the size of ``box``) in place of what ``held`` shows.

        Pixels that ``held`` may not take are left alone; what the person erased by
        hand meanwhile is drawn again, what he drew over stays his.

        Raises
        ------
        InputError
            If the object has no id yet and none is left.
        """
        held.grow(box)
        wanted = placed(mask, box, held.box)
        now = self._part(plane, held.box)
        if held.label == 0 and wanted.any():
            held.label = self.new_label()
        mine = held.mask & (now == held.value)
        gained = wanted & held.may_take(now) & ~mine
        lost = mine & ~wanted
        held.before[gained] = now[gained]
        held.mask = (mine & wanted) | gained
        self.write(plane, held.box, lost, held.before[lost])
        self.write(plane, held.box, gained, held.value)

    def give_back(self, plane: Plane, held: Painted) -> None:
        """Take the running object away; an object that was corrected is as before."""
        box, mask = held.origin or (EMPTY, np.zeros((0, 0), dtype=bool))
        self.paint(plane, held, box, mask)

    def shows(self, plane: Plane, held: Painted) -> bool:
        """Return whether any pixel of the running object is still drawn."""
        now = self._part(plane, held.box)
        return bool((held.mask & (now == held.value)).any())

    def others(self, plane: Plane, held: Painted, box: Box) -> NDArray[np.int32]:
        """Return the labels of a box as they were before the running object.

        Parameters
        ----------
        plane, held
            The running object.
        box
            The box.
        """
        if not overlap(held.box, box):
            return np.array(self._part(plane, box), dtype=np.int32)
        frame = union(held.box, box)
        labels = np.array(self._part(plane, frame), dtype=np.int32)
        mask, before = placed(held.mask, held.box, frame), labels.copy()
        before[mask] = held.before[held.mask]
        mine = mask & (labels == held.value)
        labels[mine] = before[mine]
        if held.origin is not None:
            whole = placed(held.origin[1], held.origin[0], frame)
            labels[whole & (labels == 0)] = held.label
        return labels[slices(moved(box, (-frame[0], -frame[1])))]

    # Finished objects -------------------------------------------------------------

    def find(self, plane: Plane, label: int, near: Box | None = None) -> Painted | None:
        """Return what an object of the plane holds, to make it the running one.

        Parameters
        ----------
        plane, label
            The object.
        near
            A box that contains it, if one is known: the rest is not searched.
        """
        box = near or (0, 0, *plane.shape(self.labels.data.shape))
        mask = self._part(plane, box) == label
        inside = box_of(mask)
        if inside is None:
            return None
        return painted_object(label, moved(inside, box[:2]), mask[slices(inside)])

    def reheld(
        self, plane: Plane, label: int, how: How, change: LabelChange
    ) -> Painted:
        """Return what a finished object changed, to make it the running one again."""
        now = np.asarray(self._part(plane, change.box))
        before, after = now.astype(np.int64), now.astype(np.int64)
        before[change.where], after[change.where] = change.before, change.after
        if how == "replace":
            origin = change.box, before == label
            before[origin[1]] = 0
            return Painted(label, how, False, change.box, now == label, before, origin)
        mask = change.where & (now == after)
        return Painted(label, how, False, change.box, mask, before)

    def restore(self, plane: Plane, change: LabelChange) -> None:
        """Undo a change where nothing has changed since, as an own undo step."""
        now = self._part(plane, change.box)[change.where]
        same = now == change.after
        where = change.where.copy()
        where[change.where] = same
        self.end_step()
        self.write(plane, change.box, where, change.before[same])
        self.end_step()

    def end_step(self) -> None:
        """Close the undo step of the running object."""
        self._ending = True
        self._history.close()
        self._open = self._ending = False

    # Pixels -----------------------------------------------------------------------

    def write(self, plane: Plane, box: Box, where: Mask, values: Any) -> None:
        """Set pixels of a box of the plane; the running undo step holds them.

        Parameters
        ----------
        plane, box
            Where.
        where
            Which pixels, of the size of ``box``; if none, nothing happens.
        values
            One value, or one for each of these pixels.
        """
        count = np.count_nonzero(where)
        if count == 0:
            return
        if count > MAX_STEP:
            self._write_at_once(plane, box, where, values)
            return
        rows, cols = np.nonzero(where)
        if not self._open:
            self.end_step()
            self._history.enter_context(self.labels.block_history())
            self._open = True
        indices = plane.indices(rows + box[0], cols + box[1])
        self.writing = True
        self.labels.data_setitem(indices, values)
        self.writing = False

    def _write_at_once(self, plane: Plane, box: Box, where: Mask, values: Any) -> None:
        """Set very many pixels without the layer's history, which is slow at that."""
        self._part(plane, box)[where] = values
        self._open = True
        self.writing = True
        self.labels.refresh(thumbnail=False, highlight=False, extent=False)
        self.writing = False

    def _part(self, plane: Plane, box: Box) -> NDArray[Any]:
        """Return a box of the plane, to read or to write."""
        part: NDArray[Any] = plane.take(self.labels.data)[slices(box)]
        return part

    def _on_press(self, labels: Labels, _event: Any) -> None:
        """Close our undo step before a stroke, which would become part of it."""
        if str(labels.mode) in _PAINTING:
            self.end_step()

    def _drawn(self) -> None:
        """Note a change of pixels, which may have brought new ids."""
        self._stale = self._stale or not self.writing

    def _edited(self) -> None:
        """Note an edit by someone else: new ids may be in, our undo step was ended."""
        if not self._ending:
            self._stale = True
            self._open = False
