"""From a session to its saved prompts, and back."""

from __future__ import annotations

from typing import TYPE_CHECKING

from napari_gpcis._protocol_io import SavedObject, SavedSession
from napari_gpcis.errors import InputError

if TYPE_CHECKING:
    from napari_gpcis._labels import FinishedObject
    from napari_gpcis.checkpoints import ModelInfo


def fingerprint(info: ModelInfo) -> str | None:
    """Return what identifies the weights of a model, if it says so."""
    return info.extra.get("fingerprint")


def saved_object(done: FinishedObject) -> SavedObject:
    """Return the saved form of a finished object."""
    return SavedObject(done.clicks, done.view, done.threshold, done.id, done.overwrite)


def check_same(
    saved: SavedSession,
    shape: tuple[int, int],
    labels: str | None,
    model: ModelInfo | None,
) -> None:
    """Check that replaying can give the saved masks.

    Parameters
    ----------
    saved
        From the file.
    shape, labels
        Shape of the image, and digest of the labels that the new session begins with.
    model
        The model; ``None`` if it may be another one.

    Raises
    ------
    InputError
        If the shape, the labels or the model differ.
    """
    if shape != saved.shape:
        msg = f"image has shape {shape}, but the prompts were saved for {saved.shape}"
        raise InputError(msg)
    if labels != saved.initial_labels:
        given = "none" if labels is None else "others"
        needed = "no labels" if saved.initial_labels is None else "labels"
        msg = (
            f"labels must be those the saved session began with: it began with "
            f"{needed}, got {given}"
        )
        raise InputError(msg)
    if model is None:
        return
    if model.name != saved.model:
        msg = (
            f"segmenter runs the model {model.name!r}, but the prompts were saved with "
            f"{saved.model!r}; any_model=True replays them all the same"
        )
        raise InputError(msg)
    known = fingerprint(model)
    if known and saved.fingerprint and known != saved.fingerprint:
        msg = (
            f"segmenter runs other weights of {model.name!r} than those the prompts "
            "were saved with; any_model=True replays them all the same"
        )
        raise InputError(msg)
