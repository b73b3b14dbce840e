"""The prompts of an image with any number of planes: one file, replayed anywhere.

`Session.save` keeps the clicks of one plane. The widget keeps those of all planes of a
stack in one file of this form, beside the labels; :func:`replay` makes the same labels
again, in a script as well.
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from napari_gpcis.errors import InputError
from napari_gpcis.files import replacing
from napari_gpcis.objects.classes import ClassedObjects
from napari_gpcis.session.labels import digest_of
from napari_gpcis.session.saved import (
    FORMAT,
    SavedCandidate,
    SavedObject,
    SavedSession,
    check_same,
    check_session,
    leave_out_unknown,
    parse_candidates,
    parse_session,
    parse_unfinished,
    prompts_of,
    put_classes,
    read_json,
)
from napari_gpcis.wording import counted

if TYPE_CHECKING:
    import os
    from collections.abc import Callable, Iterable

    from numpy.typing import ArrayLike, NDArray

    from napari_gpcis.inference.segmenter import Segmenter

STACK_FORMAT = "napari-gpcis-annotation"
VERSION = 3
"""Version 1 had no tidying and no sizes, version 2 tried closer views of what a search
had found; they are written where there is nothing of it."""


@dataclass(frozen=True)
class SavedPlane:
    """The prompts of one plane.

    Attributes
    ----------
    axes
        The two axes of the plane, ascending: rows, columns.
    steps
        Index on every axis of the image; 0 on the two axes of the plane.
    sessions
        One after the other, as when the model was changed between objects. What the
        last one has as current was being clicked.
    running
        The id under which that one was drawn in the labels, 0 if it was not.
    rejected
        Candidates of a search that are no objects.
    following
        Objects that were clicked after the one that was being clicked, in order: all
        before the last of them were accepted, and waited for their masks. The last may
        have no clicks.
    """

    axes: tuple[int, int]
    steps: tuple[int, ...]
    sessions: tuple[SavedSession, ...]
    running: int = 0
    rejected: tuple[SavedCandidate, ...] = ()
    following: tuple[SavedObject, ...] = ()

    @property
    def index(self) -> tuple[int | slice, ...]:
        """Index that takes the plane out of an array."""
        return tuple(
            slice(None) if axis in self.axes else step
            for axis, step in enumerate(self.steps)
        )

    @property
    def objects(self) -> tuple[SavedObject, ...]:
        """All that was done to the labels, in order."""
        return tuple(done for session in self.sessions for done in session.objects)

    @property
    def unfinished(self) -> tuple[SavedObject, ...]:
        """The objects that have clicks and no mask yet, or are still being clicked."""
        if not self.sessions or not self.sessions[-1].current.clicks:
            return ()
        every = self.sessions[-1].current, *self.following
        return tuple(one for one in every if one.clicks)

    @property
    def accepted(self) -> tuple[SavedObject, ...]:
        """Those of them that were accepted, and waited for their masks."""
        waits = len(self.following)
        return self.unfinished[:waits]

    def without_unfinished(self, labels: NDArray[Any]) -> NDArray[Any]:
        """Return the labels of the plane without its unfinished object.

        Parameters
        ----------
        labels
            Labels of the plane, of shape (rows, columns); they stay as they are.

        Returns
        -------
        numpy.ndarray
            Labels of the same shape and type. One that was being corrected is as it
            was before, but for pixels that others have by now.
        """
        values = np.array(labels)
        if self.running:
            values[values == self.running] = 0
        start = self.sessions[-1].current.start if self.sessions else None
        if start is not None and start.label is not None:
            known = prompts_of(self.sessions[-1].current, values.shape).start
            if known is not None:
                row, col, row_end, col_end = known.box
                values[values == start.label] = 0
                part = values[row:row_end, col:col_end]
                part[known.mask & (part == 0)] = start.label
        return values


@dataclass(frozen=True)
class SavedAnnotation:
    """The prompts of an image.

    Attributes
    ----------
    image
        What the image was called.
    shape
        Its shape without colours.
    planes
        Those with prompts.
    labels_file
        Name of the label image beside the file, if there is one.
    classes
        Classes of the objects.
    image_digest
        Digest of the pixels of the image; empty where it is not known.
    """

    image: str
    shape: tuple[int, ...]
    planes: tuple[SavedPlane, ...]
    labels_file: str | None = None
    classes: ClassedObjects = field(default_factory=ClassedObjects)
    image_digest: str = ""

    @property
    def models(self) -> tuple[str, ...]:
        """Names of the models that were used."""
        sessions = (one for plane in self.planes for one in plane.sessions)
        names = (one.model for one in sessions if one.model)
        return tuple(dict.fromkeys(names))

    @property
    def ids(self) -> tuple[int, ...]:
        """Ids of the finished objects, ascending; one may lie on several planes."""
        found = set()
        for plane in self.planes:
            last = {step.id: step.how for step in plane.objects}
            found |= {number for number, how in last.items() if how != "delete"}
        return tuple(sorted(number for number in found if number is not None))

    @property
    def unfinished(self) -> tuple[SavedPlane, ...]:
        """Planes with an object that is not finished."""
        return tuple(plane for plane in self.planes if plane.unfinished)

    @property
    def unfinished_clicks(self) -> int:
        """Number of clicks of objects that are neither finished nor accepted."""
        running = (
            one
            for plane in self.planes
            for one in plane.unfinished[len(plane.accepted) :]
        )
        return sum(len(one.clicks) for one in running)

    @property
    def amount(self) -> str:
        """Contents in words: objects, and clicks of unfinished ones."""
        return self.in_words(len(self.ids))

    def count_objects(self, labels: Iterable[int]) -> int:
        """Return how many objects are finished, those without clicks included.

        Parameters
        ----------
        labels
            The ids in the labels, unfinished ones and 0 as well.
        """
        unfinished = {plane.running for plane in self.planes}
        drawn = {int(label) for label in labels if label > 0}
        return len((drawn - unfinished) | (drawn & {*self.ids}))

    def in_words(self, objects: int) -> str:
        """Return the contents in words, with so many finished objects.

        New ones that were accepted and waited for their masks are added. Where there is
        nothing but that objects were deleted, this is told.
        """
        clicks = self.unfinished_clicks
        accepted = (one for plane in self.planes for one in plane.accepted)
        objects += sum(
            one.target is None and (one.start is None or one.start.label is None)
            for one in accepted
        )
        if not objects and not clicks:
            steps = (one for plane in self.planes for one in plane.objects)
            deleted = any(one.how == "delete" for one in steps)
            return "all objects deleted" if deleted else "no objects"
        parts = [counted(objects, "object")] if objects else []
        if clicks:
            parts.append(counted(clicks, "further click" if objects else "click"))
        return ", ".join(parts)

    def to_json(self) -> str:
        """Return the content of the file."""
        sessions = [one for plane in self.planes for one in plane.sessions]
        version = VERSION if any(one.has_found for one in sessions) else VERSION - 1
        version = 1 if all(one.is_plain for one in sessions) else version
        data = {"format": STACK_FORMAT, "version": version, **asdict(self)}
        for plane, known in zip(data["planes"], self.planes, strict=True):
            plane["sessions"] = [one.to_dict() for one in known.sessions]
            if not known.rejected:
                del plane["rejected"]
            for one in plane["following"]:
                leave_out_unknown(one)
            if not known.following:
                del plane["following"]
        if not self.image_digest:
            del data["image_digest"]
        put_classes(data, self.classes)
        return json.dumps(data, indent=1)


def write_prompts(path: str | os.PathLike[str], saved: SavedAnnotation) -> None:
    """Write the file; a failure leaves an older file as it was.

    Raises
    ------
    OSError
        If the disk refuses.
    """
    with replacing(Path(path).expanduser()) as temporary:
        temporary.write_text(saved.to_json() + "\n", encoding="utf-8")


def read_prompts(path: str | os.PathLike[str]) -> SavedAnnotation:
    """Read a file of the widget, or of `Session.save`.

    Raises
    ------
    InputError
        If it is no such file, of another version, or damaged.
    OSError
        If it cannot be read.
    """
    file = Path(path).expanduser()
    data = read_json(file, "saved clicks")
    kind = data.get("format") if isinstance(data, dict) else None
    if kind == FORMAT:
        session = check_session(data, file)
        rejected = session.rejected
        classes = session.classes
        session = replace(session, rejected=(), classes=ClassedObjects())
        plane = SavedPlane((0, 1), (0, 0), (session,), rejected=rejected)
        return SavedAnnotation("", session.shape, (plane,), classes=classes)
    return parse_annotation(data, str(file))


def parse_annotation(data: Any, name: str) -> SavedAnnotation:
    """Return an annotation from its JSON form.

    Raises
    ------
    InputError
        If it is none, of another version, or damaged; ``name`` says which file.
    """
    if not isinstance(data, dict) or data.get("format") != STACK_FORMAT:
        msg = f"{name} is not a file of saved clicks (format {STACK_FORMAT!r})"
        raise InputError(msg)
    if data.get("version") not in range(1, VERSION + 1):
        msg = (
            f"{name} has version {data.get('version')!r} of the format; this version "
            f"of napari-gpcis reads 1 to {VERSION}"
        )
        raise InputError(msg)
    try:
        found = SavedAnnotation(
            str(data["image"]),
            tuple(int(size) for size in data["shape"]),
            tuple(_plane(plane) for plane in data["planes"]),
            None if data["labels_file"] is None else str(data["labels_file"]),
            ClassedObjects.from_list(data.get("classes", ())),
            str(data.get("image_digest", "")),
        )
        for plane in found.planes:
            _check_plane(plane, found.shape)
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        msg = f"{name} is a damaged file of saved clicks: {error!r}"
        raise InputError(msg) from error
    return found


def _plane(data: dict[str, Any]) -> SavedPlane:
    """Return a plane from its JSON form."""
    rows, cols = (int(axis) for axis in data["axes"])
    steps = tuple(int(step) for step in data["steps"])
    sessions = tuple(parse_session(session) for session in data["sessions"])
    rejected = parse_candidates(data.get("rejected", ()))
    following = tuple(map(parse_unfinished, data.get("following", ())))
    running = int(data["running"])
    return SavedPlane((rows, cols), steps, sessions, running, rejected, following)


def _check_plane(plane: SavedPlane, shape: tuple[int, ...]) -> None:
    """Raise `ValueError` if a plane does not lie in the image."""
    rows, cols = plane.axes
    inside = len(plane.steps) == len(shape) and 0 <= rows < cols < len(shape)
    if not inside or not all(
        0 <= step < size for step, size in zip(plane.steps, shape, strict=True)
    ):
        msg = f"plane {plane.axes} at {plane.steps} is not in an image {shape}"
        raise ValueError(msg)
    for session in plane.sessions:
        if session.shape != (shape[rows], shape[cols]):
            msg = f"a session of shape {session.shape} in a plane of {shape}"
            raise ValueError(msg)
    for one in plane.rejected:
        top, left, bottom, right = one.box
        if not (0 <= top < bottom <= shape[rows] and 0 <= left < right <= shape[cols]):
            msg = f"a rejected candidate at {one.box} in a plane of {shape}"
            raise ValueError(msg)


def replay(
    saved: SavedAnnotation,
    segmenter: Segmenter,
    image: Any,
    *,
    labels: ArrayLike | None = None,
    colour: bool = False,
    any_model: bool = False,
    cancelled: Callable[[], bool] = lambda: False,
) -> NDArray[np.int32]:
    """Make the labels again from the prompts.

    Parameters
    ----------
    saved
        From `read_prompts`.
    segmenter
        The model that was used.
    image
        The image, of the saved shape; of a dask or zarr array only the planes with
        prompts are read.
    labels
        Objects that were there before, or the labels as they were saved: pixels of
        objects without prompts are kept, all others are made anew.
    colour
        Whether the image has RGB or RGBA on a further, last axis.
    any_model
        Accept another model, whose masks will differ.
    cancelled
        Asked between objects; if true, what is done so far is returned.

    Returns
    -------
    ndarray
        int32, of the saved shape. A step whose object is not there any more (it
        was edited by hand) is left out.

    Raises
    ------
    InputError
        If the image or the model is not that of the file.
    """
    data = image if hasattr(image, "shape") else np.asarray(image)
    shape = tuple(data.shape[:-1] if colour else data.shape)
    if shape != saved.shape:
        msg = f"image has shape {shape}, but the clicks were saved for {saved.shape}"
        raise InputError(msg)
    made = np.zeros(saved.shape, np.int32) if labels is None else np.array(labels)
    made = made.astype(np.int32)
    for plane in saved.planes:
        if cancelled():
            break
        picture = np.asarray(data[plane.index])
        made[plane.index] = replay_plane(
            plane,
            segmenter,
            picture[..., :3] if colour else picture,
            made[plane.index],
            any_model=any_model,
        )
    return made


def with_digests(
    saved: SavedAnnotation,
    made: NDArray[np.int32],
    shown: NDArray[np.int32],
    *,
    anew: bool = False,
) -> SavedAnnotation:
    """Return prompts that tell what runs have left, where they do not tell it yet.

    What a run has made and is shown as its prompts give it, nobody has changed.

    Parameters
    ----------
    saved
        The prompts.
    made, shown
        Labels of the saved shape: from `replay`, and those that work goes on with.
    anew
        Tell it anew where they do: nothing is left of the labels that they were saved
        with.
    """

    def told(plane: SavedPlane) -> SavedPlane:
        last = {
            done.id: done for done in plane.objects if done.id is not None
        }  # steps are values: equal ones of one object are told alike
        found: dict[SavedObject, SavedObject] = {}
        for label, done in last.items():
            if done.made_by is not None and (anew or done.digest is None):
                digest = digest_of(shown[plane.index], label)
                if digest == digest_of(made[plane.index], label):
                    found[done] = replace(done, digest=digest)
        sessions = (
            replace(one, objects=tuple(found.get(done, done) for done in one.objects))
            for one in plane.sessions
        )
        return replace(plane, sessions=tuple(sessions))

    return replace(saved, planes=tuple(map(told, saved.planes)))


def replay_plane(
    plane: SavedPlane,
    segmenter: Segmenter,
    image: NDArray[Any],
    labels: NDArray[np.int32],
    *,
    any_model: bool = False,
) -> NDArray[np.int32]:
    """Make the labels of one plane again, see `replay`."""
    from napari_gpcis.session.session import Session  # needs PyTorch

    ids = [done.id for done in plane.objects if done.id is not None]
    ids.append(plane.running)
    made = np.where(np.isin(labels, ids), 0, labels)
    for saved in plane.sessions:
        model = segmenter.info if saved.model and not any_model else None
        asked = replace(saved, initial_labels=None)
        check_same(asked, image.shape[:2], None, model)
        session = Session(
            segmenter,
            image,
            contrast=saved.contrast,
            channels=saved.channels,
            labels=made,
        )
        for done in saved.objects:
            try:
                session.repeat(done)
            except InputError:  # its pixels were edited away by hand
                session.clear()
        made = session.labels
    return made
