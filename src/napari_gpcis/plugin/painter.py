"""Writing the running mask into the labels layer, live, without harm to the rest.

The object being clicked is drawn straight into the labels layer, under the next free
id, so that whoever saves the layer at any moment has everything that is seen. Only
pixels that were free are taken, and only pixels taken here are given back; all other
ids, drawn by hand or accepted before, stay as they are. All changes of one object form
one undo step of the layer: its history is held open until the object is finished, or
the person begins to paint, whose strokes are steps of their own.
"""

from __future__ import annotations

from contextlib import ExitStack
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from napari_gpcis.plugin.layers import check_room

if TYPE_CHECKING:
    from napari.layers import Labels
    from numpy.typing import NDArray

    from napari_gpcis.plugin.planes import Box, Plane

    Mask = NDArray[np.bool_]

EMPTY: Box = (0, 0, 0, 0)
MAX_STEP = 1 << 19
"""More pixels than these are not written into the layer's own history: that would
stop the window for seconds. The plugin's undo takes them back all the same."""
_PAINTING = ("paint", "fill", "erase", "polygon")
"""Modes of a labels layer in which the mouse changes pixels."""


@dataclass
class Painted:
    """The pixels that one running object holds in the labels layer.

    Attributes
    ----------
    label
        The object's id; 0 while it has none.
    box
        Half-open box of the plane that contains all held pixels.
    mask
        The held pixels, of the size of ``box``.
    """

    label: int = 0
    box: Box = EMPTY
    mask: Mask = field(default_factory=lambda: np.zeros((0, 0), dtype=bool))


class Painter:
    """Writes masks into one labels layer.

    Parameters
    ----------
    labels
        An editable labels layer that holds a NumPy array.
    """

    def __init__(self, labels: Labels) -> None:
        self.labels = labels
        self._history = ExitStack()
        self._open = False
        self._ending = self._writing = False
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

    def paint(self, plane: Plane, held: Painted, box: Box, mask: Mask) -> None:
        """Show ``mask`` (of the size of ``box``) in place of what ``held`` shows.

        Pixels of other ids are not taken; what the person erased by hand meanwhile is
        drawn again, what he drew over stays his.

        Raises
        ------
        InputError
            If the object has no id yet and none is left.
        """
        both = _union(held.box, box)
        before = _placed(held.mask, held.box, both)
        wanted = _placed(mask, box, both)
        now = plane.take(self.labels.data)[both[0] : both[2], both[1] : both[3]]
        if held.label == 0 and wanted.any():
            held.label = self.new_label()
        mine = before & (now == held.label)
        after = wanted & ((now == 0) | mine)
        self._write(plane, both, after & ~mine, held.label)
        self._write(plane, both, mine & ~after, 0)
        held.box, held.mask = both, after

    def shows(self, plane: Plane, held: Painted) -> bool:
        """Return whether any pixel of the running object is still drawn."""
        box = held.box
        now = plane.take(self.labels.data)[box[0] : box[2], box[1] : box[3]]
        return bool((held.mask & (now == held.label)).any())

    def end_step(self) -> None:
        """Close the undo step of the running object."""
        self._ending = True
        self._history.close()
        self._open = self._ending = False

    def held(self, plane: Plane, label: int) -> Painted:
        """Return what an object of the plane holds, to make it the running one."""
        rows, cols = np.nonzero(plane.take(self.labels.data) == label)
        if len(rows) == 0:
            return Painted(label)
        box = (rows.min(), cols.min(), rows.max() + 1, cols.max() + 1)
        row, col, row_end, col_end = map(int, box)
        part = plane.take(self.labels.data)[row:row_end, col:col_end]
        return Painted(label, (row, col, row_end, col_end), part == label)

    def others(self, plane: Plane, held: Painted) -> NDArray[np.int32]:
        """Return the plane's labels without the running object, as a copy."""
        labels = np.array(plane.take(self.labels.data), dtype=np.int32)
        rows, cols = held.box[0::2], held.box[1::2]
        part = labels[rows[0] : rows[1], cols[0] : cols[1]]
        part[held.mask & (part == held.label)] = 0
        return labels

    def _write(self, plane: Plane, box: Box, where: Mask, label: int) -> None:
        """Set pixels of the plane through the layer's history, if there are any."""
        count = np.count_nonzero(where)
        if count == 0:
            return
        if count > MAX_STEP:
            self._write_at_once(plane, box, where, label)
            return
        rows, cols = np.nonzero(where)
        if not self._open:
            self.end_step()
            self._history.enter_context(self.labels.block_history())
            self._open = True
        indices = plane.indices(rows + box[0], cols + box[1])
        self._writing = True
        self.labels.data_setitem(indices, label)
        self._writing = False

    def _write_at_once(self, plane: Plane, box: Box, where: Mask, label: int) -> None:
        """Set very many pixels without the layer's history, which is slow at that."""
        part = plane.take(self.labels.data)[box[0] : box[2], box[1] : box[3]]
        part[where] = label
        self._open = True
        self._writing = True
        self.labels.refresh(thumbnail=False, highlight=False, extent=False)
        self._writing = False

    def _on_press(self, labels: Labels, _event: Any) -> None:
        """Close our undo step before a stroke, which would become part of it."""
        if str(labels.mode) in _PAINTING:
            self.end_step()

    def _drawn(self) -> None:
        """Note a change of pixels, which may have brought new ids."""
        self._stale = self._stale or not self._writing

    def _edited(self) -> None:
        """Note an edit by someone else: new ids may be in, our undo step was ended."""
        if not self._ending:
            self._stale = True
            self._open = False


def _union(one: Box, other: Box) -> Box:
    """Return the smallest box around both; an empty box adds nothing."""
    boxes = [box for box in (one, other) if box[2] > box[0] and box[3] > box[1]]
    if not boxes:
        return EMPTY
    low = [min(box[side] for box in boxes) for side in (0, 1)]
    high = [max(box[side] for box in boxes) for side in (2, 3)]
    return low[0], low[1], high[0], high[1]


def _placed(mask: Mask, box: Box, frame: Box) -> Mask:
    """Return ``mask`` of ``box`` on the larger ``frame``, false elsewhere."""
    full = np.zeros((frame[2] - frame[0], frame[3] - frame[1]), dtype=bool)
    row, col = box[0] - frame[0], box[1] - frame[1]
    full[row : row + mask.shape[0], col : col + mask.shape[1]] = mask
    return full
