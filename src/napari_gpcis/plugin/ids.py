"""Which ids a labels layer has room for: known without reading all of it each time."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from napari_gpcis.plugin.viewer.layers import check_room

if TYPE_CHECKING:
    from napari.layers import Labels

    from napari_gpcis.plugin.viewer.planes import Plane


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
        self._highest += 1
        return self._highest

    def note(self, label: int) -> None:
        """Take note of an id that is in use."""
        self._highest = max(self._highest, label)

    def release(self, label: int) -> None:
        """Take note that the id that was given last is not in use any more."""
        if label == self._highest:
            self._highest -= 1

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
