"""From a session to its saved prompts, and back."""

from __future__ import annotations

from typing import TYPE_CHECKING
from weakref import WeakKeyDictionary

from napari_gpcis._history import Prompts
from napari_gpcis.errors import InputError
from napari_gpcis.geometry import check_clicks, clip_box
from napari_gpcis.inference.start_mask import Start, from_runs, to_runs
from napari_gpcis.session.saved import SavedObject, SavedSession, SavedStart

if TYPE_CHECKING:
    from napari_gpcis.checkpoints import ModelInfo
    from napari_gpcis.session.labels import FinishedObject


def fingerprint(info: ModelInfo) -> str | None:
    """Return what identifies the weights of a model, if it says so."""
    return info.extra.get("fingerprint")


def saved_object(done: FinishedObject) -> SavedObject:
    """Return the saved form of a step."""
    return SavedObject(
        done.clicks,
        done.view,
        done.threshold,
        done.id,
        done.overwrite,
        done.how,
        _saved_start(done.start),
    )


def saved_prompts(prompts: Prompts, threshold: float) -> SavedObject:
    """Return the saved form of an object that is not finished."""
    start = _saved_start(prompts.start)
    return SavedObject(prompts.clicks, prompts.view, threshold, start=start)


def prompts_of(saved: SavedObject, shape: tuple[int, int]) -> Prompts:
    """Return saved prompts, checked against the shape of the image.

    Raises
    ------
    InputError
        If a click, the view or the start lies outside the image.
    """
    clicks = check_clicks(saved.clicks, shape)
    view = None if saved.view is None else clip_box(saved.view, shape)
    found = saved.start
    if found is None:
        return Prompts(clicks, view)
    row, col, row_end, col_end = found.box
    if not (0 <= row < row_end <= shape[0] and 0 <= col < col_end <= shape[1]):
        msg = f"a starting mask must lie inside the image {shape}, got {found.box}"
        raise InputError(msg)
    mask = from_runs(found.runs, (row_end - row, col_end - col))
    mask.flags.writeable = False
    settled = check_clicks(found.clicks, shape)
    return Prompts(clicks, view, Start(shape, found.box, mask, settled, found.label))


def _saved_start(start: Start | None) -> SavedStart | None:
    """Return the saved form of a start; its runs are computed once."""
    if start is None:
        return None
    if start not in _SAVED:
        runs = to_runs(start.mask)
        _SAVED[start] = SavedStart(start.box, runs, start.clicks, start.label)
    return _SAVED[start]


_SAVED: WeakKeyDictionary[Start, SavedStart] = WeakKeyDictionary()


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
