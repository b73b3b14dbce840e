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

from napari_gpcis._boxes import (
    EMPTY,
    box_of_value,
    moved,
    near_strips,
    overlap,
    placed,
    slices,
    union,
)
from napari_gpcis.plugin.ids import Ids
from napari_gpcis.plugin.painted import Painted, painted_again, painted_object
from napari_gpcis.plugin.prompts import RIGHT_BUTTON

if TYPE_CHECKING:
    from collections.abc import Iterator

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
        self._ending = self._redraw = self._stroke = self.writing = False
        self._ids = Ids(labels)
        labels.events.paint.connect(self._on_painted)
        labels.events.data.connect(self._on_data)
        labels.events.labels_update.connect(self._on_drawn)
        labels.events.set_data.connect(self._on_drawn)
        labels.mouse_drag_callbacks.insert(0, self._on_press)

    def close(self) -> None:
        """End the running undo step and let go of the layer."""
        self.end_step()
        self.labels.events.paint.disconnect(self._on_painted)
        self.labels.events.data.disconnect(self._on_data)
        self.labels.events.labels_update.disconnect(self._on_drawn)
        self.labels.events.set_data.disconnect(self._on_drawn)
        if self._on_press in self.labels.mouse_drag_callbacks:
            self.labels.mouse_drag_callbacks.remove(self._on_press)

    # The running object -----------------------------------------------------------

    @property
    def drawing(self) -> bool:
        """Whether an undo step is open, and nobody else has edited since."""
        return self._open

    def new_label(self, plane: Plane) -> int:
        """Return an id above every id in the layer and every id given before.

        Parameters
        ----------
        plane
            Where it is to be used: what others have written there without a word is
            looked for.

        Raises
        ------
        InputError
            If the layer's dtype cannot hold it.
        """
        return self._ids.new(plane)

    def reserve(self, label: int) -> None:
        """Never give this id, or a smaller one, to a new object."""
        self._ids.note(label)

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
        if held.label == 0 and mask.any():
            held.label = self.new_label(plane)
        now, wanted = self._part(plane, held.box), placed(mask, box, held.box)
        gained, lost = np.empty_like(wanted), np.empty_like(wanted)
        for rows in near_strips(wanted.shape):
            mine = held.mask[rows] & (now[rows] == held.value)
            gained[rows] = wanted[rows] & held.may_take(now[rows]) & ~mine
            np.greater(mine, wanted[rows], out=lost[rows])
            held.note(rows, gained[rows], now[rows])
            held.mask[rows] = (mine & wanted[rows]) | gained[rows]
        self.write(plane, held.box, lost, held.hidden(lost), last=not gained.any())
        self.write(plane, held.box, gained, held.value)

    def give_back(self, plane: Plane, held: Painted) -> None:
        """Take the running object away; an object that was corrected is as before."""
        box, mask = held.origin or (EMPTY, np.zeros((0, 0), dtype=bool))
        self.paint(plane, held, box, mask)

    def shows(self, plane: Plane, held: Painted) -> bool:
        """Return whether any pixel of the running object is still drawn."""
        now = self._part(plane, held.box)
        return any(
            bool((held.mask[rows] & (now[rows] == held.value)).any())
            for rows in near_strips(held.mask.shape)
        )

    def change(self, plane: Plane, held: Painted) -> LabelChange:
        """Return what the running object has changed, as far as it still shows."""
        return held.change(self._part(plane, held.box))

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
        held.leave(labels, frame)
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
        frame = near or (0, 0, *plane.shape(self.labels.data.shape))
        inside = box_of_value(self._part(plane, frame), label)
        if inside is None:
            return None
        box = moved(inside, frame[:2])
        return painted_object(label, box, self._part(plane, box) == label)

    def reheld(
        self, plane: Plane, label: int, how: How, change: LabelChange
    ) -> Painted:
        """Return what a finished object changed, to make it the running one again."""
        return painted_again(label, how, change, self._part(plane, change.box))

    def restore(self, plane: Plane, change: LabelChange) -> None:
        """Undo a change where nothing has changed since, as an own undo step."""
        same = change.stands(self._part(plane, change.box))
        self.end_step()
        self.write(plane, change.box, same, change.before_at(same))
        self.end_step()

    def end_step(self) -> None:
        """Close the undo step of the running object."""
        self._ending = True
        self._history.close()
        self._open = self._ending = False

    # Pixels -----------------------------------------------------------------------

    def write(
        self, plane: Plane, box: Box, where: Mask, values: Any, *, last: bool = True
    ) -> None:
        """Set pixels of a box of the plane; the running undo step holds them.

        Parameters
        ----------
        plane, box
            Where.
        where
            Which pixels, of the size of ``box``; if none, nothing happens.
        values
            One value, or one for each of these pixels.
        last
            Whether the layer is to be drawn anew now; if not, a further call will.
        """
        count = np.count_nonzero(where)
        if count == 0:
            return
        self.writing = True
        if count > MAX_STEP or self._stroke:
            self._write_at_once(plane, box, where, values)
        else:
            rows, cols = np.nonzero(where)
            indices = plane.indices(rows + box[0], cols + box[1])
            self._begin_step()
            draw = last and not self._redraw
            self.labels.data_setitem(indices, values, refresh=draw)
        if last and self._redraw:
            self._redraw = False
            self.labels.refresh(thumbnail=False, highlight=False, extent=False)
        self.writing = False

    def _begin_step(self) -> None:
        """Hold the layer's history open."""
        if not self._open:
            self.end_step()
            self._history.enter_context(self.labels.block_history())
            self._open = True

    def _write_at_once(self, plane: Plane, box: Box, where: Mask, values: Any) -> None:
        """Set pixels without the layer's history.

        It is slow with very many; and while the person draws a stroke, it is his.
        """
        part = self._part(plane, box)
        if np.ndim(values) == 0:
            np.copyto(part, values, where=where, casting="unsafe")
        else:
            part[where] = values
        self._open = self._redraw = True

    def _part(self, plane: Plane, box: Box) -> NDArray[Any]:
        """Return a box of the plane, to read or to write."""
        part: NDArray[Any] = plane.take(self.labels.data)[slices(box)]
        return part

    def _on_press(self, labels: Labels, event: Any) -> Iterator[None] | None:
        """Close our undo step before a stroke, which would become part of it."""
        if str(labels.mode) not in _PAINTING:
            return None
        self.end_step()
        self._stroke = True
        return None if event.button == RIGHT_BUTTON else self._until_release(event)

    def _until_release(self, event: Any) -> Iterator[None]:
        """Wait for the end of a stroke; one of the right button has none of its own."""
        yield
        while event.type == "mouse_move":
            yield
        self._stroke = False

    def _on_drawn(self) -> None:
        """Note a change of pixels, which may have brought new ids."""
        if not self.writing:
            self._ids.may_be_new()

    def _on_painted(self, event: Any) -> None:
        """Note an edit by someone else: new ids may be in, our undo step was ended."""
        if not self._ending:
            self._ids.note_item(event.value)
            self._open = self._stroke = False

    def _on_data(self) -> None:
        """Note that the layer holds another array."""
        self._ids.all_new()
        self._open = False
