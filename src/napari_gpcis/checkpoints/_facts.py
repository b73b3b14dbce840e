"""What a person wants to know before choosing a model, in the same words everywhere."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from napari_gpcis.checkpoints.registry import ModelEntry

UNKNOWN = "not stated"


class Facts(NamedTuple):
    """The facts about one model, as text.

    Attributes
    ----------
    name
        What a user types.
    purpose
        What it is for.
    size
        Of its file, or of its download.
    here
        Whether it can be used without a network.
    licence, training_data
        Terms of the weights, and what they were trained on.
    """

    name: str
    purpose: str
    size: str
    here: str
    licence: str
    training_data: str


def facts(entry: ModelEntry) -> Facts:
    """Return the facts about a model of the list."""
    info = entry.info
    return Facts(
        name=entry.name,
        purpose=info.description or UNKNOWN,
        size=megabytes(entry.size),
        here="yes" if entry.is_here else "no",
        licence=info.licence or UNKNOWN,
        training_data=info.training_data or UNKNOWN,
    )


def megabytes(size: float) -> str:
    """Return a size in words, such as ``"158 MB"``."""
    number = size / 1e6
    return f"{number:.0f} MB" if number >= 10 else f"{number:.1f} MB"
