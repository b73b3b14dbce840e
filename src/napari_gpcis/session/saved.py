"""The file of a session: the prompts of all objects, as JSON."""

from __future__ import annotations

import json
import math
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, get_args
from weakref import WeakKeyDictionary

from napari_gpcis.clicks import Click
from napari_gpcis.errors import InputError
from napari_gpcis.files import replacing
from napari_gpcis.geometry import check_clicks, clip_box, mask_of_runs, run_lengths
from napari_gpcis.inference.start_mask import StartMask
from napari_gpcis.inference.tidy import Tidy
from napari_gpcis.objects.classes import ClassedObjects
from napari_gpcis.session.current import Prompts
from napari_gpcis.session.labels import MadeBy, Step

if TYPE_CHECKING:
    import os
    from collections.abc import Iterable

    from napari_gpcis.checkpoints import ModelInfo
    from napari_gpcis.geometry import Box
    from napari_gpcis.session.labels import FinishedObject
    from napari_gpcis.similar import Candidate


FORMAT = "napari-gpcis-prompts"
VERSION = 4
"""Version 1 had no starts and no ways but "add", version 2 no tidying and no sizes,
version 3 tried closer views of what a search had found."""
PLAIN, WITHOUT_FOUND = 2, 3
"""Versions that are written where there are none of these: older programs read them."""
_MAX_ID = 2**31 - 1


@dataclass(frozen=True)
class SavedStart:
    """The mask that an object began with: its box, and its runs row after row."""

    box: Box
    runs: tuple[int, ...]
    clicks: tuple[Click, ...]
    label: int | None


@dataclass(frozen=True)
class SavedEdits:
    """Pixels that were drawn and erased by hand: a box, and the runs of either."""

    box: Box
    drawn: tuple[int, ...]
    erased: tuple[int, ...]


_NOT_WRITTEN = (
    "tidy",
    "typical_size",
    "quality",
    "made_by",
    "digest",
    "target",
    "by_hand",
    "class_number",
)
"""Fields of an object that a file has only where they are known."""


@dataclass(frozen=True)
class SavedObject:
    """The prompts of one object; ``id`` is ``None`` while it is not finished.

    ``how`` says what was done with its mask, see `Session.accept`; with ``"delete"``
    there is none. ``tidy`` is ``None`` where it is not tidied, ``typical_size`` and
    ``quality`` (the IoU that the model expected) where they were not known,
    ``made_by`` and ``digest`` (see `FinishedObject`) where the user has made it; older
    programs pass over the last three. So they do over what is known of an unfinished
    one alone: ``target``, the id of the object that it is to change, ``None`` for a new
    one, ``by_hand``, what was drawn and erased on it by hand, and ``class_number``, the
    class with which it was accepted before its mask was there.
    """

    clicks: tuple[Click, ...]
    view: Box | None
    threshold: float
    id: int | None = None
    overwrite: bool = False
    how: Step = "add"
    start: SavedStart | None = None
    tidy: Tidy | None = None
    typical_size: float | None = None
    found: bool = False
    quality: float | None = None
    made_by: MadeBy | None = None
    digest: str | None = None
    target: int | None = None
    by_hand: SavedEdits | None = None
    class_number: int | None = None


@dataclass(frozen=True)
class SavedCandidate:
    """A candidate that was rejected: its box, its runs row after row, its click."""

    box: Box
    runs: tuple[int, ...]
    click: Click


@dataclass(frozen=True)
class SavedSession:
    """All that is needed, beside image and model, to make the same masks again.

    ``model`` is empty where no model has seen the clicks yet: they are unfinished.
    ``rejected`` holds the candidates that were rejected, ``classes`` the classes of the
    objects; older programs pass over them.
    """

    shape: tuple[int, int]
    model: str
    fingerprint: str | None
    contrast: tuple[float, float] | None
    channels: tuple[int, ...] | None
    initial_labels: str | None
    objects: tuple[SavedObject, ...] = field(default_factory=tuple)
    current: SavedObject = field(default=SavedObject((), None, 0.5))
    rejected: tuple[SavedCandidate, ...] = ()
    classes: ClassedObjects = field(default_factory=ClassedObjects)

    @property
    def is_plain(self) -> bool:
        """True if no mask is tidied, no size was known, and nothing was found."""
        every = (*self.objects, self.current)
        return not self.has_found and all(
            one.tidy is None and one.typical_size is None for one in every
        )

    @property
    def has_found(self) -> bool:
        """True if an object was found by a search."""
        return any(one.found for one in (*self.objects, self.current))

    def to_dict(self) -> dict[str, Any]:
        """Return the JSON form; as in older files, what there is not is not written."""
        data = asdict(self)
        for one in (*data["objects"], data["current"]):
            leave_out_unknown(one)
        if not data["rejected"]:
            del data["rejected"]
        put_classes(data, self.classes)
        return data


def write_session(path: str | os.PathLike[str], saved: SavedSession) -> None:
    """Write the file; a failure leaves an older file as it was.

    Raises
    ------
    OSError
        If the file cannot be written.
    """
    version = VERSION if saved.has_found else WITHOUT_FOUND
    version = PLAIN if saved.is_plain else version
    data = {"format": FORMAT, "version": version, **saved.to_dict()}
    text = json.dumps(data, indent=1)
    with replacing(Path(path).expanduser()) as temporary:
        temporary.write_text(text + "\n", encoding="utf-8")


def read_session(path: str | os.PathLike[str]) -> SavedSession:
    """Read and check the file.

    Raises
    ------
    InputError
        If it is not such a file, of another version, or damaged.
    OSError
        If it cannot be read.
    """
    file = Path(path).expanduser()
    return check_session(read_json(file, "saved prompts"), file)


def read_json(file: Path, content: str) -> Any:
    """Read a JSON file that should hold ``content``, which the error names.

    Raises
    ------
    InputError
        If it is no JSON.
    OSError
        If it cannot be read.
    """
    try:
        return json.loads(file.read_text(encoding="utf-8"))
    except UnicodeDecodeError as error:
        msg = f"{file} is not a file of {content}: it holds no text"
        raise InputError(msg) from error
    except ValueError as error:
        msg = f"{file} is not a file of {content}: it is no JSON ({error})"
        raise InputError(msg) from error


def check_session(data: Any, file: Path) -> SavedSession:
    """Return a session from the content of its file.

    Raises
    ------
    InputError
        If it is none, of another version, or damaged; ``file`` is named.
    """
    if not isinstance(data, dict) or data.get("format") != FORMAT:
        msg = f"{file} is not a file of saved prompts (format {FORMAT!r})"
        raise InputError(msg)
    if data.get("version") not in range(1, VERSION + 1):
        msg = (
            f"{file} has version {data.get('version')!r} of the format; this version "
            f"of napari-gpcis reads 1 to {VERSION}"
        )
        raise InputError(msg)
    try:
        return parse_session(data)
    except (KeyError, TypeError, ValueError) as error:
        msg = f"{file} is a damaged file of saved prompts: {error!r}"
        raise InputError(msg) from error


def parse_session(data: dict[str, Any]) -> SavedSession:
    """Return a session from its JSON form; `KeyError` or so if it is damaged."""
    height, width = (_typed(value, int) for value in data["shape"])
    contrast, channels = data["contrast"], data["channels"]
    if contrast is not None:
        low, high = map(float, contrast)
        contrast = low, high
    if channels is not None:
        channels = tuple(_typed(channel, int) for channel in channels)
    return SavedSession(
        shape=(height, width),
        model=_typed(data["model"], str),
        fingerprint=_optional(data["fingerprint"], str),
        contrast=contrast,
        channels=channels,
        initial_labels=_optional(data["initial_labels"], str),
        objects=tuple(_object(item, finished=True) for item in data["objects"]),
        current=parse_unfinished(data["current"]),
        rejected=parse_candidates(data.get("rejected", ())),
        classes=ClassedObjects.from_list(data.get("classes", ())),
    )


def leave_out_unknown(data: dict[str, Any]) -> None:
    """Take out of the JSON form of an object what there is not, as in older files."""
    for name in _NOT_WRITTEN:
        if data[name] is None:
            del data[name]
    if not data["found"]:
        del data["found"]


def put_classes(data: dict[str, Any], classes: ClassedObjects) -> None:
    """Put the JSON form of classes into that of a file, if there is more than one."""
    data["classes"] = classes.to_list()
    if not data["classes"]:
        del data["classes"]


def parse_candidates(data: Iterable[dict[str, Any]]) -> tuple[SavedCandidate, ...]:
    """Return candidates from their JSON form; `KeyError` or so if it is damaged."""
    found = []
    for one in data:
        box = _box(one["box"])
        runs = tuple(_typed(run, int) for run in one["runs"])
        mask_of_runs(runs, (box[2] - box[0], box[3] - box[1]))
        found.append(SavedCandidate(box, runs, _click(one["click"])))
    return tuple(found)


def parse_unfinished(data: dict[str, Any]) -> SavedObject:
    """Return an object that is not finished from its JSON form.

    `KeyError` or so if it is damaged.
    """
    return _object(data, finished=False)


def _object(data: dict[str, Any], *, finished: bool) -> SavedObject:
    number = _typed(data["id"], int) if finished else None
    if number is not None and not 1 <= number <= _MAX_ID:
        msg = f"id must lie between 1 and {_MAX_ID}, got {number}"
        raise ValueError(msg)
    clicks = _clicks(data["clicks"])
    how = data.get("how", "add")
    if how not in get_args(Step):
        msg = f"how must be one of {', '.join(get_args(Step))}, got {how!r}"
        raise ValueError(msg)
    if finished and not clicks and how != "delete":
        msg = f"object {number} has no clicks"
        raise ValueError(msg)
    start, tidy, size = (data.get(name) for name in ("start", "tidy", "typical_size"))
    if size is not None and not 0 < _typed(size, float) < math.inf:
        msg = f"typical_size must be a number above 0, got {size!r}"
        raise ValueError(msg)
    quality = data.get("quality")
    if quality is not None and not 0 <= _typed(quality, float) <= 1:
        msg = f"quality must be a number from 0 to 1, got {quality!r}"
        raise ValueError(msg)
    made_by = data.get("made_by")
    if made_by not in (None, *get_args(MadeBy)):
        msg = f"made_by must be one of {', '.join(get_args(MadeBy))}, got {made_by!r}"
        raise ValueError(msg)
    return SavedObject(
        clicks,
        None if data["view"] is None else _box(data["view"]),
        _typed(data["threshold"], float),
        number,
        _typed(data["overwrite"], bool),
        how,
        None if start is None else _start(start),
        None if tidy is None else Tidy.from_dict(tidy),
        size,
        _typed(data.get("found", False), bool),
        quality,
        made_by,
        _optional(data.get("digest"), str),
        _optional(data.get("target"), int),
        None if data.get("by_hand") is None else _edits(data["by_hand"]),
        _optional(data.get("class_number"), int),
    )


def _edits(data: dict[str, Any]) -> SavedEdits:
    box = _box(data["box"])
    drawn, erased = (
        tuple(_typed(run, int) for run in data[name]) for name in ("drawn", "erased")
    )
    for runs in (drawn, erased):
        mask_of_runs(runs, (box[2] - box[0], box[3] - box[1]))
    return SavedEdits(box, drawn, erased)


def _start(data: dict[str, Any]) -> SavedStart:
    box = _box(data["box"])
    runs = tuple(_typed(run, int) for run in data["runs"])
    mask_of_runs(runs, (box[2] - box[0], box[3] - box[1]))
    label = _optional(data["label"], int)
    return SavedStart(box, runs, _clicks(data["clicks"]), label)


def _box(values: list[Any]) -> Box:
    top, left, bottom, right = (_typed(value, int) for value in values)
    return top, left, bottom, right


def _clicks(values: list[Any]) -> tuple[Click, ...]:
    return tuple(map(_click, values))


def _click(data: dict[str, Any]) -> Click:
    row, col = float(data["row"]), float(data["col"])
    return Click(row, col, _typed(data["positive"], bool))


def _typed(value: Any, kind: type) -> Any:
    """Return the value if it has exactly this type (``True`` is no integer)."""
    if type(value) is not kind:
        msg = f"expected {kind.__name__}, got {value!r}"
        raise TypeError(msg)
    return value


def _optional(value: Any, kind: type) -> Any:
    return None if value is None else _typed(value, kind)


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
        done.tidy,
        done.typical_size,
        done.found,
        None if done.quality is None or math.isnan(done.quality) else done.quality,
        done.made_by,
        done.digest,
    )


def saved_candidate(candidate: Candidate) -> SavedCandidate:
    """Return the saved form of a candidate; its runs are computed once."""
    if candidate not in _CANDIDATES:
        runs = run_lengths(candidate.mask)
        _CANDIDATES[candidate] = SavedCandidate(candidate.box, runs, candidate.click)
    return _CANDIDATES[candidate]


def candidate_of(saved: SavedCandidate, shape: tuple[int, int]) -> Candidate:
    """Return a saved candidate, checked against the shape of the image.

    Raises
    ------
    InputError
        If it lies outside the image.
    """
    from napari_gpcis.similar import Candidate  # heavy: not needed by a click

    box = clip_box(saved.box, shape, "a rejected candidate")
    if box != saved.box:
        msg = f"a rejected candidate must lie inside the image {shape}, got {saved.box}"
        raise InputError(msg)
    mask = mask_of_runs(saved.runs, (box[2] - box[0], box[3] - box[1]))
    mask.flags.writeable = False
    (click,) = check_clicks((saved.click,), shape)
    return Candidate(box, mask, click, box, 0.5, 0.0, 0.0, 0.0)


def saved_prompts(prompts: Prompts, threshold: float) -> SavedObject:
    """Return the saved form of an object that is not finished."""
    start = _saved_start(prompts.start)
    return SavedObject(
        prompts.clicks,
        prompts.view,
        threshold,
        start=start,
        tidy=None if prompts.empty else prompts.tidy,
        typical_size=prompts.typical_size,
        found=prompts.found,
    )


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
        return Prompts(clicks, view, None, saved.tidy, saved.typical_size, saved.found)
    row, col, row_end, col_end = found.box
    if not (0 <= row < row_end <= shape[0] and 0 <= col < col_end <= shape[1]):
        msg = f"a starting mask must lie inside the image {shape}, got {found.box}"
        raise InputError(msg)
    mask = mask_of_runs(found.runs, (row_end - row, col_end - col))
    mask.flags.writeable = False
    settled = check_clicks(found.clicks, shape)
    start = StartMask(shape, found.box, mask, settled, found.label)
    return Prompts(clicks, view, start, saved.tidy, saved.typical_size, saved.found)


def _saved_start(start: StartMask | None) -> SavedStart | None:
    """Return the saved form of a start; its runs are computed once."""
    if start is None:
        return None
    if start not in _SAVED:
        runs = run_lengths(start.mask)
        _SAVED[start] = SavedStart(start.box, runs, start.clicks, start.label)
    return _SAVED[start]


_SAVED: WeakKeyDictionary[StartMask, SavedStart] = WeakKeyDictionary()
_CANDIDATES: WeakKeyDictionary[Candidate, SavedCandidate] = WeakKeyDictionary()


def is_made_with(saved: SavedSession, model: ModelInfo) -> bool:
    """Return whether prompts were saved with the weights of a model.

    It may have another name by now: its file was renamed, or copied.
    """
    known = fingerprint(model)
    if known is not None and saved.fingerprint is not None:
        return known == saved.fingerprint
    return (saved.model, saved.fingerprint) == (model.name, known)


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
    if model is None or is_made_with(saved, model):
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
