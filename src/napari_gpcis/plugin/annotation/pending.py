"""Clicks on a plane that is not open, until a session goes on with them."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from napari_gpcis.clicks import Click
from napari_gpcis.session.current import History, Prompts

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from napari_gpcis.inference.start_mask import StartMask
    from napari_gpcis.plugin.viewer.planes import Box
    from napari_gpcis.session.session import Session


class Draft:
    """The clicks of the running object while there is no session.

    They are changed, undone and redone as in a `Session`; nothing is predicted.

    Parameters
    ----------
    history
        The steps so far.

    Attributes
    ----------
    history
        All steps, for `Session.go_on`.
    view
        What the next first click is zoomed to.
    """

    def __init__(self, history: History | None = None) -> None:
        self.history = history or History()
        self.view: Box | None = None

    @property
    def clicks(self) -> tuple[Click, ...]:
        """The clicks, in order."""
        return self.history.current.clicks

    @property
    def start(self) -> StartMask | None:
        """The mask that the object began with; ``None`` for none."""
        return self.history.current.start

    def push_click(self, row: float, col: float, positive: bool = True) -> None:
        """Add a click."""
        self.push_clicks((*self.clicks, Click(row, col, positive)))

    def push_clicks(self, clicks: Iterable[Click]) -> None:
        """Replace all clicks, as one step."""
        now, wanted = self.history.current, tuple(clicks)
        if wanted == now.clicks:
            return
        if not wanted:
            self.history.push(Prompts())
        elif now.clicks:
            self.history.push(replace(now, clicks=wanted))
        else:
            self.history.push(Prompts(wanted, self.view))

    def undo_click(self) -> bool:
        """Undo a step; ``False`` if there was none."""
        return self.history.undo()

    def redo_click(self) -> bool:
        """Redo a step; ``False`` if there was none."""
        return self.history.redo()

    def recall(self, prompts: Prompts) -> None:
        """Go on with saved prompts; undo takes them back click by click."""
        self.history.reset(prompts)


def follow(session: Session | Draft, clicks: Sequence[Click]) -> None:
    """Give a session these clicks; nothing is predicted here.

    New clicks at the end are pushed one by one. Any other change (points were dragged
    or deleted) is one step, so that one undo takes it back.
    """
    have = session.clicks
    if tuple(clicks[: len(have)]) != have:
        session.push_clicks(clicks)
        return
    for click in clicks[len(have) :]:
        session.push_click(click.row, click.col, click.positive)


class Ends:
    """Numbers of clicks, counted from the first, after which an object ends."""

    def __init__(self) -> None:
        self._ends: list[int] = []
        self._clicks: tuple[Click, ...] = ()

    @property
    def first(self) -> int:
        """The number of clicks of the first object; 0 if none is to be accepted."""
        return self._ends[0] if self._ends else 0

    def add(self, clicks: Sequence[Click]) -> None:
        """End an object after these clicks, if there are new ones among them."""
        if not self._ends or len(clicks) > self._ends[-1]:
            self._ends.append(len(clicks))
            self._clicks = tuple(clicks)

    def follow(self, clicks: Sequence[Click]) -> None:
        """Forget all but the first, if clicks before the last one have changed."""
        if len(self._ends) > 1 and tuple(clicks[: self._ends[-1]]) != self._clicks:
            del self._ends[1:]

    def withdraw(self, clicks: Sequence[Click]) -> bool:
        """Forget the last one, unless there are clicks after it.

        Returns
        -------
        bool
            Whether it was forgotten.
        """
        if len(clicks) > self._ends[-1]:
            return False
        self._ends.pop()
        return True

    def passed(self, count: int) -> Ends:
        """Return what is left when the first object, of so many clicks, is accepted."""
        left = Ends()
        left._ends = [end - count for end in self._ends[1:]]
        left._clicks = self._clicks[count:]
        return left
