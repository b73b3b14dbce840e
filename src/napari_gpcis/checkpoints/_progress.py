"""A bar on the terminal that shows how far a download is."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Never, Self

if TYPE_CHECKING:
    from tqdm import tqdm


class ProgressBar:
    """A progress callback that draws a bar; to be used in a ``with`` statement.

    Nothing is drawn before the first call, nor where there is no terminal.

    Parameters
    ----------
    title
        What is being fetched.
    """

    def __init__(self, title: str) -> None:
        self._title = title
        self._bar: tqdm[Never] | None = None

    def __enter__(self) -> Self:
        """Return the callback."""
        return self

    def __exit__(self, *_: object) -> None:
        """End the line."""
        if self._bar is not None:
            self._bar.close()

    def __call__(self, done: int, total: int) -> None:
        """Show that `done` of `total` bytes are here."""
        if self._bar is None:
            self._bar = self._draw(total)
        self._bar.update(done - self._bar.n)

    def _draw(self, total: int) -> tqdm[Never]:
        """Return the bar (``sys.stderr`` is None in programs without a console)."""
        from tqdm import tqdm

        disable = None if sys.stderr else True
        return tqdm(
            desc=self._title, total=total, unit="B", unit_scale=True, disable=disable
        )
