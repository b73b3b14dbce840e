"""In which order things come that may be the same, as clicks on one place."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Hashable, Sequence


class Order:
    """Where things stand in a list; of those that are the same, each in turn.

    Parameters
    ----------
    things
        The list.
    """

    def __init__(self, things: Sequence[Hashable]) -> None:
        self._end = len(things)
        self._places: dict[Hashable, list[int]] = {}
        for place in reversed(range(self._end)):
            self._places.setdefault(things[place], []).append(place)

    def take(self, thing: Hashable) -> int:
        """Return the first place not taken yet; behind the end if there is none."""
        places = self._places.get(thing)
        return places.pop() if places else self._end
