"""Files that cannot be used: named, counted, refused or skipped as asked."""

from __future__ import annotations

from typing import NamedTuple

from napari_gpcis.errors import InputError

_NAMED = 10


class Problem(NamedTuple):
    """A file and what is wrong with it."""

    file: str
    reason: str

    def __str__(self) -> str:
        """Return both in one line."""
        return f"{self.file}: {self.reason}"


def refuse(problems: list[Problem], files: int) -> InputError:
    """Return the error that names the files that cannot be used.

    Parameters
    ----------
    problems
        At least one.
    files
        How many files were looked at.
    """
    named = "\n  ".join(str(problem) for problem in problems[:_NAMED])
    rest = len(problems) - _NAMED
    more = f"\n  and {rest} more" if rest > 0 else ""
    msg = (
        f"{len(problems)} of {files} image files cannot be used:\n  {named}{more}\n"
        "Mend them, or leave them out with on_error='skip' (--on-error skip)."
    )
    return InputError(msg)
