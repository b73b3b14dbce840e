"""Setting pixels of a labels layer, as steps of its undo history where that can be.

The layer's history is held open until a step ends, or somebody else edits, whose edits
are steps of their own.
"""

from __future__ import annotations

from contextlib import ExitStack, contextmanager
from typing import TYPE_CHECKING, Any
from weakref import WeakSet

import numpy as np

from napari_gpcis.geometry import slices
from napari_gpcis.plugin.connections import Connections
from napari_gpcis.plugin.viewer.layers import RIGHT_BUTTON
from napari_gpcis.plugin.viewer.palette import draw_part

if TYPE_CHECKING:
    from collections.abc import Iterator

    from napari.layers import Labels
    from numpy.typing import NDArray

    from napari_gpcis.geometry import Mask
    from napari_gpcis.plugin.viewer.planes import Box, Plane


PAINTING = ("paint", "fill", "erase", "polygon")
"""Modes of a labels layer in which the mouse changes pixels."""


_WRITTEN: WeakSet[Labels] = WeakSet()


class Pixels:
    """The pixels of one labels layer.

    Parameters
    ----------
    labels
        An editable labels layer that holds a NumPy array.

    Attributes
    ----------
    open : bool
        Whether a step is open, and nobody else has edited since.
    writing : bool
        Whether pixels are being written just now.
    """

    def __init__(self, labels: Labels) -> None:
        self.labels = labels
        self._layer = getattr(labels, "__wrapped__", labels)  # napari hands out proxies
        self.open = self.writing = False
        self._history = ExitStack()
        self._ending = self._redraw = self._stroke = False
        self._connections = Connections()
        self._connections.connect(labels.events.paint, self._on_edited)
        self._connections.connect(labels.events.data, self._on_edited)
        labels.mouse_drag_callbacks.insert(0, self.on_press)

    def close(self) -> None:
        """End the step and let go of the layer."""
        self.end_step()
        self._connections.end()
        if self.on_press in self.labels.mouse_drag_callbacks:
            self.labels.mouse_drag_callbacks.remove(self.on_press)

    @property
    def has_written(self) -> bool:
        """True if the layer has ever been written here, by an earlier object too."""
        return self._layer in _WRITTEN

    @property
    def ending(self) -> bool:
        """True if the layer tells just now of an edit that was ours."""
        return self._ending

    def part(self, plane: Plane, box: Box) -> NDArray[Any]:
        """Return a box of the plane, to read or to write."""
        part: NDArray[Any] = plane.take(self.labels.data)[slices(box)]
        return part

    def end_step(self) -> None:
        """Close the open step."""
        self._ending = True
        self._history.close()
        self.open = self._ending = False

    def set(self, plane: Plane, box: Box, where: Mask, values: Any) -> None:
        """Set pixels as part of the step, and draw them.

        Parameters
        ----------
        plane, box
            Where.
        where
            Which pixels, of the size of ``box``.
        values
            One value, or one for each of these pixels.
        """
        rows, cols = places(where)
        self.set_at(plane, rows + box[0], cols + box[1], values)

    def set_at(
        self,
        plane: Plane,
        rows: NDArray[np.intp],
        cols: NDArray[np.intp],
        values: Any,
        *,
        last: bool = True,
    ) -> None:
        """Set the pixels of these rows and columns of the plane, see `set`.

        A layer that is hidden, and may not know the plane, has no history; and while
        the user draws a stroke, it is his. With ``last`` they are drawn now; if not,
        a further call will.
        """
        if np.ndim(values) == 0:
            values = int(values)
        if self._stroke or not self.labels.visible:
            plane.take(self.labels.data)[rows, cols] = values
            self.open = self._redraw = True
            _WRITTEN.add(self._layer)
        else:
            with self._marked():
                self._begin_step()
                indices, draw = plane.indices(rows, cols), last and not self._redraw
                self.labels.data_setitem(indices, values, refresh=draw)
        if last:
            self.redraw()

    def set_unseen(self, plane: Plane, box: Box, where: Mask, values: Any) -> None:
        """Set pixels without the layer's history, and without drawing them."""
        part = self.part(plane, box)
        if np.ndim(values) == 0:
            np.copyto(part, values, where=where, casting="unsafe")
        else:
            part[where] = values
        self.open = self._redraw = True
        _WRITTEN.add(self._layer)

    @contextmanager
    def drawn(self, plane: Plane, box: Box) -> Iterator[None]:
        """Draw a box of the plane once its pixels are set without being drawn.

        Where that is not possible, `redraw` has something to do.
        """
        pending, self._redraw = self._redraw, False
        yield
        if self._redraw:
            with self._marked():
                self._redraw = not draw_part(self.labels, plane, box)
        self._redraw |= pending

    def redraw(self) -> None:
        """Draw what was set without being drawn."""
        if self._redraw:
            self._redraw = False
            with self._marked():
                self.labels.refresh(thumbnail=False, highlight=False, extent=False)

    def _begin_step(self) -> None:
        """Hold the layer's history open."""
        if not self.open:
            self.end_step()
            self._history.enter_context(self.labels.block_history())
            self.open = True

    @contextmanager
    def _marked(self) -> Iterator[None]:
        """Mark what happens to the layer as our doing."""
        self.writing = True
        _WRITTEN.add(self._layer)
        try:
            yield
        finally:
            self.writing = False

    def on_press(self, labels: Labels, event: Any) -> Iterator[None] | None:
        """Close our step before a stroke, which would become part of it."""
        if str(labels.mode) not in PAINTING:
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

    def _on_edited(self) -> None:
        """Note that somebody else has edited, which has ended our step."""
        if not self._ending:
            self.open = self._stroke = False


class Places:
    """Pixels of a box, gathered a few rows at a time, unless they become too many."""

    def __init__(self, box: Box) -> None:
        self.count = 0
        self._corner = box[:2]
        self._rows: list[NDArray[np.intp]] = []
        self._cols: list[NDArray[np.intp]] = []

    def add(self, rows: slice, where: Mask, limit: int) -> None:
        """Add pixels of some rows; beyond the limit they are only counted."""
        self.count += int(np.count_nonzero(where))
        if self.count <= limit:
            down, right = places(where)
            self._rows.append(down + (rows.start + self._corner[0]))
            self._cols.append(right + self._corner[1])

    @property
    def all(self) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
        """Rows and columns of the plane."""
        return np.concatenate(self._rows), np.concatenate(self._cols)


def places(where: Mask) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    """Return rows and columns of a mask that may be large and nearly empty."""
    rows = np.flatnonzero(where.any(axis=1))
    if len(rows) == 0:
        return rows, rows
    found, cols = np.nonzero(where[rows[0] : rows[-1] + 1])
    return found + rows[0], cols
