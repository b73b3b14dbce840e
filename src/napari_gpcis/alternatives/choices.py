"""Choices: which alternatives were taken for the last objects."""

from __future__ import annotations

from typing import TYPE_CHECKING
from weakref import WeakKeyDictionary

if TYPE_CHECKING:
    from napari_gpcis.inference.start_mask import StartMask

FADING = 0.7
"""What the count of an earlier object is worth after another one."""
LEAST = 0.05
"""Counts below this are forgotten."""


class Choices:
    """A running count of the slots whose masks were accepted.

    Somebody who outlines nuclei takes the smaller mask of each cell: it comes first
    after a few. Each finished object counts 1 for its slot, and fades with those that
    follow. Nothing else is learned, and nothing goes on to another model.
    """

    def __init__(self) -> None:
        self._taken: WeakKeyDictionary[StartMask, int] = WeakKeyDictionary()
        self._counts: dict[int, float] = {}

    @property
    def preferred(self) -> tuple[int, ...]:
        """Slots that were accepted, the most often and most recently first.

        The mask itself (slot 0) is not among them.
        """
        slots = [slot for slot in self._counts if slot]
        return tuple(sorted(slots, key=lambda slot: -self._counts[slot]))

    def take(self, start: StartMask, slot: int) -> None:
        """Note that an alternative was taken; it counts when the object is finished.

        Parameters
        ----------
        start
            What the object goes on from.
        slot
            That of the alternative.
        """
        self._taken[start] = slot

    def finish(self, start: StartMask | None) -> None:
        """Count a finished object.

        Parameters
        ----------
        start
            What its clicks went on from; the mask itself counts if no alternative was
            taken.
        """
        slot = 0 if start is None else self._taken.get(start, 0)
        if not slot and not self._counts:
            return
        faded = {key: FADING * count for key, count in self._counts.items()}
        faded[slot] = faded.get(slot, 0.0) + 1
        self._counts = {key: n for key, n in faded.items() if n >= LEAST}

    def forget(self) -> None:
        """Begin anew."""
        self._counts.clear()
