"""Errors that reach a user: each names the argument, what came and what is accepted."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any


class GPCISError(Exception):
    """Base class of all errors raised on purpose by this package."""


class InputError(GPCISError, ValueError):
    """An argument (image, click, box, label, ...) that cannot be used."""


class CheckpointError(GPCISError, RuntimeError):
    """A checkpoint file that is missing, damaged or of another kind."""


class DownloadError(CheckpointError):
    """A model that could not be fetched: no network, another file, no space."""


class UnknownModelError(GPCISError, KeyError):
    """A model or backbone name that is not known here."""

    def __str__(self) -> str:
        """Return the message itself (``KeyError`` would quote it)."""
        return str(self.args[0]) if self.args else ""


def in_words(error: Exception) -> str:
    """Return what is wrong as one line, without the numbers of the system's errors.

    Examples
    --------
    >>> in_words(FileNotFoundError(2, "No such file or directory", "clicks.csv"))
    'clicks.csv: No such file or directory'
    """
    if not isinstance(error, OSError) or not error.strerror:
        return " ".join(str(error).split()) or type(error).__name__
    names = [str(name) for name in (error.filename, error.filename2) if name]
    return ": ".join([" > ".join(names), error.strerror] if names else [error.strerror])


def several(
    given: Any, kind: type | tuple[type, ...], name: str, expected: str
) -> tuple[Any, ...]:
    """Return what an argument holds, one thing or several, as a tuple.

    Parameters
    ----------
    given
        One thing, or an iterable of such things.
    kind
        Their type, or types.
    name, expected
        What the error calls the argument, and what is accepted.

    Raises
    ------
    InputError
        If it is neither, or holds something else.
    """
    alone = isinstance(given, (str, bytes)) or not isinstance(given, Iterable)
    found = (given,) if alone or isinstance(given, kind) else tuple(given)
    for one in found:
        check_kind(one, kind, name, expected)
    return found


def check_kind(
    given: Any, kind: type | tuple[type, ...], name: str, expected: str
) -> None:
    """Raise `InputError` unless an argument is of a type, see `several`."""
    if not isinstance(given, kind):
        msg = f"{name} must be {expected}, got {type(given).__name__}: {given!r}"
        raise InputError(msg)
