"""Where objects end that are to be accepted as soon as their masks are there.

A person who is quicker than the model clicks on an object, accepts it, clicks on the
next one, and accepts that, while the first mask is still computed.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

    from napari_gpcis.clicks import Click


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
