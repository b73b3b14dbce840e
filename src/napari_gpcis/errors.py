"""Errors that reach a user: each names the argument, what came and what is accepted."""

from __future__ import annotations


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
