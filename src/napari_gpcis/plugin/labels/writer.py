"""Writing the live mask into the labels layer, live, without harm to the rest.

The object being clicked is drawn straight into the labels layer, under the next free
id, so that whoever saves the layer at any moment has everything that is seen. Only
pixels that were free are taken (unless new objects may cover finished ones), and what
was there before is given back; all other ids, drawn by hand or accepted before, stay
as they are. All changes of one object form one undo step of the layer.

A very large mask is drawn in portions, one for each turn of the event loop, so that
the window never waits for it. Whatever else is asked meanwhile finishes it first.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from qtpy.QtCore import QTimer

from napari_gpcis.geometry import (
    EMPTY,
    box_of_value,
    moved,
    overlap,
    placed,
    row_strips,
    scan,
    slices,
    union,
)
from napari_gpcis.plugin.connections import Connections
from napari_gpcis.plugin.labels.live_mask import LiveMask, live_mask_again, live_mask_of
from napari_gpcis.plugin.labels.pixels import Pixels, Places
from napari_gpcis.plugin.viewer.layers import check_room

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from napari.layers import Labels
    from numpy.typing import NDArray

    from napari_gpcis.geometry import Mask
    from napari_gpcis.plugin.viewer.planes import Box, Plane
    from napari_gpcis.session.labels import LabelChange, WriteMode

__all__ = ["EMPTY", "LabelsWriter", "LiveMask"]


MAX_STEP = 1 << 19
"""More pixels than these are not written into the layer's own history: that would
stop the window for seconds. The plugin's undo takes them back all the same."""
FEW = 8
"""Fewer objects than these are looked for one by one."""
PORTION = 1 << 20
"""Pixels of a box that are worked on in one turn of the event loop."""


class LabelsWriter:
    """Writes masks into one labels layer.

    Parameters
    ----------
    labels
        An editable labels layer that holds a NumPy array.
    drawn_by_others
        Called when pixels were changed in place by anything else, such as the brush.
    whole
        Called when the last portion of a large mask is drawn: until then neither the
        layer nor the live mask has all of it.

    Attributes
    ----------
    rest : Iterator, optional
        What is left to do of a large mask that is drawn in part only.
    """

    def __init__(
        self,
        labels: Labels,
        drawn_by_others: Callable[[], object] = object,
        whole: Callable[[], object] = object,
    ) -> None:
        self.labels = labels
        self._tell_drawn, self._tell_whole = drawn_by_others, whole
        self._pixels = Pixels(labels)
        self._ids = Ids(labels)
        self.rest: Iterator[None] | None = None
        self._timer = QTimer()
        self._timer.setInterval(0)
        self._timer.timeout.connect(self._go_on)
        self._connections = Connections()
        self._connections.connect(labels.events.paint, self._on_painted)
        self._connections.connect(labels.events.data, self._ids.all_new)
        self._connections.connect(labels.events.labels_update, self._on_drawn)
        self._connections.connect(labels.events.set_data, self._on_set)

    def close(self) -> None:
        """End the running undo step and let go of the layer."""
        self.flush()
        self._pixels.close()
        self._connections.end()

    # The current object -----------------------------------------------------------

    @property
    def drawing(self) -> bool:
        """True if an undo step is open, and nobody else has edited since."""
        return self._pixels.open

    @property
    def has_written(self) -> bool:
        """True if pixels were written by it."""
        return self._pixels.has_written

    @property
    def telling(self) -> bool:
        """True if the layer tells just now of an edit that was ours."""
        return self._pixels.ending

    @property
    def writing(self) -> bool:
        """True if pixels are being written by it just now."""
        return self._pixels.writing

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

    def share(self, label: int) -> None:
        """Never give this id to a new object: one that has it is on another plane too.

        What a plane shows does not tell.
        """
        self._ids.share(label)

    def is_shared(self, label: int) -> bool:
        """Return whether an id was in use in several places, see `share`."""
        return self._ids.is_shared(label)

    def release(self, label: int) -> None:
        """Let the next new object have an id whose object was taken away."""
        self._ids.release(label)

    def reclaim(self, label: int) -> bool:
        """Take an id again that was released; ``False`` if it is in use by now."""
        return self._ids.reclaim(label)

    def paint(self, plane: Plane, live: LiveMask, box: Box, mask: Mask) -> None:
        """Show ``mask`` (of the size of ``box``) in place of what ``live`` shows.

        Of a large mask a part is drawn later: `rest` tells, and ``whole`` is called.
        Pixels that ``live`` may not take are left alone; what the user erased by
        hand meanwhile is drawn again, what they overwrote is kept.

        Raises
        ------
        InputError
            If the object has no id yet and none is left.
        """
        self.flush()
        live.grow(box)
        if live.label == 0 and mask.any():
            live.label = self.new_label(plane)
            live.new = live.alone = True
        self.rest = self._exchange(plane, live, box, mask)
        if live.mask.size <= PORTION:
            self.flush()
        else:
            self._timer.start()

    def flush(self) -> None:
        """Finish what is being drawn, now."""
        while self.rest is not None:
            self._go_on()

    def _go_on(self) -> None:
        """Draw the next portion."""
        job, self.rest = self.rest, None
        if job is not None and next(job, _DONE) is not _DONE:
            self.rest = job
        if self.rest is None and self._timer.isActive():
            self._timer.stop()
            self._tell_whole()

    def _exchange(
        self, plane: Plane, live: LiveMask, box: Box, mask: Mask
    ) -> Iterator[None]:
        """Bring the live pixels from what they are to what is wanted."""
        wanted, now = placed(mask, box, live.box), self._pixels.part(plane, live.box)
        added, removed = np.empty_like(wanted), np.empty_like(wanted)
        to_add, to_remove = Places(live.box), Places(live.box)
        yield
        for rows in row_strips(wanted.shape, PORTION):
            for strip in row_strips(wanted[rows].shape):
                part = slice(rows.start + strip.start, rows.start + strip.stop)
                live.update(part, now, wanted, added, removed)
            to_add.add(rows, added[rows], MAX_STEP)
            to_remove.add(rows, removed[rows], MAX_STEP)
            yield
        if to_add.count + to_remove.count <= MAX_STEP:
            if to_remove.count:
                values = live.hidden(removed)
                self._pixels.set_at(
                    plane, *to_remove.all, values, last=not to_add.count
                )
            if to_add.count:
                self._pixels.set_at(plane, *to_add.all, live.value)
            return
        for rows in row_strips(wanted.shape, PORTION):
            frame = moved((rows.start, 0, rows.stop, wanted.shape[1]), live.box[:2])
            hidden = live.hidden(removed[rows], rows)
            with self._pixels.drawn(plane, frame):
                self._pixels.set_unseen(plane, frame, removed[rows], hidden)
                self._pixels.set_unseen(plane, frame, added[rows], live.value)
            yield
        self._pixels.redraw()

    def take_off(self, plane: Plane, live: LiveMask) -> None:
        """Take the current object away; an object that was corrected is as before.

        What was drawn over it by hand stays, though it may cover others.
        """
        box, mask = live.origin or (EMPTY, np.zeros((0, 0), dtype=bool))
        if live.origin is not None and live.overwrite:
            mask = mask & (self.others(plane, live, box) == live.label)
        self.paint(plane, live, box, mask)

    def shows(self, plane: Plane, live: LiveMask) -> bool:
        """Return whether any pixel of the current object is still drawn."""
        return bool(self.seen(plane, live)[1].any())

    def seen(self, plane: Plane, live: LiveMask) -> tuple[Box, Mask]:
        """Return the pixels of the current object that are still drawn."""
        self.flush()
        now = self._pixels.part(plane, live.box)
        return live.box, live.mask & (now == live.value)

    def change(self, plane: Plane, live: LiveMask) -> LabelChange:
        """Return what the current object has changed, as far as it still shows."""
        self.flush()
        return live.change(self._pixels.part(plane, live.box))

    def others(self, plane: Plane, live: LiveMask, box: Box) -> NDArray[np.int32]:
        """Return the labels of a box as they were before the current object.

        Parameters
        ----------
        plane, live
            The current object.
        box
            The box.
        """
        self.flush()
        if not overlap(live.box, box):
            return np.array(self._pixels.part(plane, box), dtype=np.int32)
        frame = union(live.box, box)
        labels = np.array(self._pixels.part(plane, frame), dtype=np.int32)
        live.remove_from(labels, frame)
        return labels[slices(moved(box, (-frame[0], -frame[1])))]

    # Finished objects -------------------------------------------------------------

    def find(self, plane: Plane, label: int) -> LiveMask | None:
        """Return what an object of the plane holds, to make it the running one.

        Parameters
        ----------
        plane, label
            The object.
        """
        box = self._box_of(plane, label)
        if box is None:
            return None
        return live_mask_of(label, box, self._pixels.part(plane, box) == label)

    def masks(self, plane: Plane, labels: Sequence[int]) -> dict[int, tuple[Box, Mask]]:
        """Return boxes and masks of objects of a plane, of those that are there.

        The plane is read once, however many they are.
        """
        if len(labels) < FEW:
            boxes = {label: self._box_of(plane, label) for label in labels}
        else:
            self.flush()
            found = scan(plane.take(self.labels.data), only=labels) or {}
            boxes = {label: found[label].box for label in labels if label in found}
        return {
            label: (box, self._pixels.part(plane, box) == label)
            for label, box in boxes.items()
            if box is not None
        }

    def erase(self, plane: Plane, masks: Sequence[tuple[Box, Mask]]) -> None:
        """Set the pixels of masks to background; the running undo step holds them."""
        self.flush()
        count = sum(int(np.count_nonzero(mask)) for _, mask in masks)
        if count > MAX_STEP:
            for box, mask in masks:
                self._pixels.set_unseen(plane, box, mask, 0)
            self._pixels.redraw()
        elif count:
            rows, cols = [], []
            for box, mask in masks:
                down, right = np.nonzero(mask)
                rows.append(down + box[0])
                cols.append(right + box[1])
            where = np.concatenate(rows), np.concatenate(cols)
            self._pixels.set_at(plane, *where, 0)

    def replaced(
        self, plane: Plane, label: int, *, overwrite: bool = False
    ) -> LiveMask:
        """Return what holds an object that the mask is to replace.

        Parameters
        ----------
        plane, label
            The object; it need not be there.
        overwrite
            Whether pixels of other objects may be taken as well.
        """
        live = self.find(plane, label) or LiveMask(label, "replace")
        live.overwrite = overwrite
        return live

    def reopened(
        self, plane: Plane, label: int, how: WriteMode, change: LabelChange
    ) -> LiveMask:
        """Return what a finished object changed, to make it the running one again."""
        box = union(change.box, self._box_of(plane, label) or EMPTY)
        return live_mask_again(label, how, change, box, self._pixels.part(plane, box))

    def restore(self, plane: Plane, change: LabelChange) -> None:
        """Undo a change where nothing has changed since, as an own undo step."""
        self.end_step()
        same = change.stands(self._pixels.part(plane, change.box))
        self.write(plane, change.box, same, change.before_at(same))
        self.end_step()

    def end_step(self) -> None:
        """Close the undo step of the current object."""
        self.flush()
        self._pixels.end_step()

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
        self.flush()
        count = np.count_nonzero(where)
        if count > MAX_STEP:
            self._pixels.set_unseen(plane, box, where, values)
            self._pixels.redraw()
        elif count:
            self._pixels.set(plane, box, where, values)

    def _box_of(self, plane: Plane, label: int) -> Box | None:
        """Return the smallest box of an object."""
        self.flush()
        whole = 0, 0, *plane.shape(self.labels.data.shape)
        return box_of_value(self._pixels.part(plane, whole), label)

    def _on_drawn(self) -> None:
        """Note and tell a change of pixels, unless it is our own."""
        if not self._pixels.writing:
            self._ids.may_be_new()
            self._tell_drawn()

    def _on_set(self) -> None:
        """Note a change of pixels, which may have brought new ids."""
        if not self._pixels.writing:
            self._ids.may_be_new()

    def _on_painted(self, event: Any) -> None:
        """Note an edit by someone else: new ids may be in."""
        if not self._pixels.ending:
            self._ids.note_item(event.value)


_DONE = object()


class Ids:
    """The highest id of a labels layer.

    The layer is read once. Then edits tell which ids they bring; only where something
    has changed without saying so, one plane is read again.

    Parameters
    ----------
    labels
        The layer.
    """

    def __init__(self, labels: Labels) -> None:
        self._labels = labels
        self._highest = int(labels.data.max(initial=0))
        self._released: set[int] = set()
        self._shared: set[int] = set()
        self._all = self._some = False

    def new(self, plane: Plane) -> int:
        """Return an id above every id in the layer and every id given before.

        Raises
        ------
        InputError
            If the layer's dtype cannot hold it.
        """
        data = self._labels.data
        if self._all:
            self.note(int(data.max(initial=0)))
        elif self._some:
            self.note(int(plane.take(data).max(initial=0)))
        self._all = self._some = False
        check_room(self._labels, self._highest)
        self.note(self._highest + 1)
        return self._highest

    def note(self, label: int) -> None:
        """Take note of an id that is in use."""
        self._highest = max(self._highest, label)
        self._released.discard(label)

    def share(self, label: int) -> None:
        """Take note that an id is in use in several places, and stays so."""
        self.note(label)
        self._shared.add(label)

    def is_shared(self, label: int) -> bool:
        """Return whether an id was in use in several places."""
        return label in self._shared

    def release(self, label: int) -> None:
        """Take note that an id is not in use any more in one place.

        The highest ids that are in use nowhere are given again, in whatever order they
        were released. Any other can be reclaimed.
        """
        if label in self._shared:
            return
        self._released.add(label)
        while self._highest in self._released:
            self._highest -= 1

    def reclaim(self, label: int) -> bool:
        """Take note that a released id is in use again; ``False`` if it is by now.

        One that is in use elsewhere was never given to another object.
        """
        free = label in self._released or label in self._shared
        if free:
            self.note(label)
        return free

    def note_item(self, item: Any) -> None:
        """Take note of an edit, as the layer's history tells it.

        What an edit has erased is in use as well: undo may bring it back.
        """
        for atom in item:
            if len(atom) == 3:  # indices, values before, values after
                before, after = atom[1:]
            else:
                before = getattr(atom, "old_values", None)
                after = getattr(atom, "new_value", None)
            if before is None or after is None:
                self._all = True
                return
            self.note(int(max(np.max(before, initial=0), np.max(after, initial=0))))

    def may_be_new(self) -> None:
        """Take note that pixels were changed, nobody knows to what."""
        self._some = True

    def all_new(self) -> None:
        """Take note that the layer holds another array."""
        self._all = True
