"""Undo and redo of the clicks of one object."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from napari_gpcis.clicks import Click
    from napari_gpcis.geometry import Box
    from napari_gpcis.inference.start_mask import Start


@dataclass(frozen=True)
class Prompts:
    """The clicks of one object, and what it began with.

    Attributes
    ----------
    clicks
        The clicks, in order.
    view
        What the first click was zoomed to.
    start
        The mask before the first click; ``None`` for none.
    """

    clicks: tuple[Click, ...] = ()
    view: Box | None = None
    start: Start | None = None

    def first(self, number: int) -> Prompts:
        """Return the first ``number`` clicks with the same beginning."""
        return Prompts(self.clicks[:number], self.view, self.start)

    def begins_with(self, other: Prompts) -> bool:
        """Tell whether the other prompts are the first of these."""
        return self.first(len(other.clicks)) == other


class History:
    """Prompts of the current object, with those before and those undone."""

    def __init__(self) -> None:
        self.reset()

    def reset(self, prompts: Prompts | None = None) -> None:
        """Start anew: the clicks of the prompts can be undone, one by one."""
        self.current = prompts or Prompts()
        count = len(self.current.clicks)
        steps = [self.current.first(number) for number in range(1, count)]
        self._before: list[Prompts] = [Prompts(), *steps] if count else []
        self._undone: list[Prompts] = []

    def push(self, prompts: Prompts) -> None:
        """Make a step that can be undone; steps that were undone are forgotten."""
        self._before.append(self.current)
        self._undone.clear()
        self.current = prompts

    def undo(self) -> bool:
        """Go one step back; ``False`` if there is none."""
        return self._move(self._before, self._undone)

    def redo(self) -> bool:
        """Repeat a step that was undone; ``False`` if there is none."""
        return self._move(self._undone, self._before)

    def _move(self, origin: list[Prompts], target: list[Prompts]) -> bool:
        if not origin:
            return False
        target.append(self.current)
        self.current = origin.pop()
        return True

    def each(self, function: Callable[[Prompts], Prompts]) -> History:
        """Return the same history of what a function makes of each of its states."""
        made = History()
        made.current = function(self.current)
        made._before = [*map(function, self._before)]
        made._undone = [*map(function, self._undone)]
        return made

    @property
    def can_undo(self) -> bool:
        """Whether there is a step to go back."""
        return bool(self._before)

    @property
    def can_redo(self) -> bool:
        """Whether there is a step to repeat."""
        return bool(self._undone)

    def reaches(self, prompts: Prompts) -> bool:
        """Tell whether a prediction for these prompts may be wanted again."""
        return any(state.begins_with(prompts) for state in self._states())

    def _states(self) -> Iterator[Prompts]:
        yield self.current
        yield from self._before
        yield from self._undone
