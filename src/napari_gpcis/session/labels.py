"""The label image of a session and the objects written into it."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, replace
from typing import (
    TYPE_CHECKING,
    Any,
    Literal,
    NamedTuple,
    Protocol,
    TypeAlias,
    get_args,
)

import numpy as np

from napari_gpcis.errors import InputError
from napari_gpcis.geometry import (
    EMPTY,
    box_of_value,
    contains,
    moved,
    placed,
    slices,
    union,
)
from napari_gpcis.inference.start_mask import make_start_mask

if TYPE_CHECKING:
    from collections.abc import Iterable

    from numpy.typing import ArrayLike, NDArray

    from napari_gpcis.clicks import Click
    from napari_gpcis.geometry import Box, Mask
    from napari_gpcis.inference.prediction import Prediction
    from napari_gpcis.inference.start_mask import StartMask
    from napari_gpcis.inference.tidy import Tidy
    from napari_gpcis.session.current import Prompts

__all__ = [
    "MAX_ID",
    "FinishedObject",
    "LabelChange",
    "MadeBy",
    "ObjectLabels",
    "ObjectNote",
    "Origin",
    "Step",
    "WriteMode",
    "checked_id",
    "digest_of",
    "finished",
    "noted",
    "obeys",
    "redrawn",
]


MAX_ID = int(np.iinfo(np.int32).max)

WriteMode: TypeAlias = Literal["add", "cut", "replace"]
"""Write mode: what a mask does to an object, see `Session.accept`."""
Step: TypeAlias = Literal["add", "cut", "replace", "delete"]
"""Kind of a step that changes the labels."""
MadeBy: TypeAlias = Literal["propagated", "interpolated"]
"""How an object came to a plane on which nobody has clicked it."""
Origin: TypeAlias = Literal["clicks", "found", "corrected", MadeBy]
"""Origin of an object."""


@dataclass(frozen=True)
class FinishedObject:
    """An accepted object: what it takes to make it again.

    Attributes
    ----------
    id
        Its value in the labels.
    clicks
        Its clicks, in order.
    view
        What its first click was zoomed to; ``None`` for the whole image.
    threshold
        Probability above which a pixel was object.
    overwrite
        Whether it took pixels of other objects.
    size
        Height and width of its mask.
    how
        What its mask did: ``"add"``, ``"cut"``, ``"replace"``, see `Session.accept`.
        With ``"delete"`` (among `Session.steps` only) the object was removed.
    start
        The mask it began with; ``None`` for none.
    tidy
        Rules by which its mask was tidied; ``None``: it was not.
    typical_size
        Diameter that it was likely to have, see `Session.typical_size`.
    area
        Pixels of its mask.
    quality
        IoU with the object meant that the model expects; ``None`` if it tells none.
    found
        Whether its first click is that of a candidate that a search has found.
    made_by
        How it came to this plane, if its clicks were placed there by a run;
        ``None``: the user has made it.
    digest
        Digest of its pixels as that run has left them, see `digest_of`; ``None`` if
        they are not known.
    """

    id: int
    clicks: tuple[Click, ...]
    view: Box | None
    threshold: float
    overwrite: bool
    size: tuple[int, int]
    how: Step = "add"
    start: StartMask | None = None
    tidy: Tidy | None = None
    typical_size: float | None = None
    area: int = 0
    quality: float | None = None
    found: bool = False
    made_by: MadeBy | None = None
    digest: str | None = None

    @property
    def user_clicks(self) -> tuple[Click, ...]:
        """Its clicks without those that were placed for the user.

        Those are all clicks of a run, that of a candidate, and the one in the middle
        of a mask that was drawn.
        """
        if self.made_by is not None:
            return ()
        drawn = self.start is not None and self.start.placed_first_of(self.clicks)
        return self.clicks[1:] if drawn or self.found else self.clicks


class ObjectNote(NamedTuple):
    """Note of how an object came.

    Attributes
    ----------
    origin
        By clicks, found by a search, corrected, propagated from another plane, or
        interpolated between two.
    clicks
        Number of its clicks; those that were placed for a user do not count.
    quality
        IoU with the object meant that the model expects; ``None`` if it tells none.
    digest
        Digest of its pixels as a run has left them, see `digest_of`; ``None`` if they
        are not known, or the user has made it.
    """

    origin: Origin
    clicks: int
    quality: float | None = None
    digest: str | None = None


class ClickedStep(Protocol):
    """A step, or its saved form, as far as it tells how an object came."""

    @property
    def how(self) -> Step:
        """Deed of the step."""

    @property
    def clicks(self) -> tuple[Click, ...]:
        """Its clicks."""

    @property
    def found(self) -> bool:
        """True if it began with a candidate."""

    @property
    def quality(self) -> float | None:
        """Expected IoU, where it is known."""

    @property
    def made_by(self) -> MadeBy | None:
        """Origin, where the user has not made it."""

    @property
    def digest(self) -> str | None:
        """Digest of its pixels, as far as a run has left them."""


def noted(before: ObjectNote | None, step: ClickedStep) -> ObjectNote | None:
    """Return the note of an object after a step; ``None`` once it was deleted.

    Parameters
    ----------
    before
        Its note before; ``None`` if it was not there.
    step
        What was done to it.
    """
    quality, count = step.quality, len(step.clicks)
    if step.how == "delete":
        return None
    if step.made_by is not None:
        return ObjectNote(step.made_by, 0, quality, step.digest)
    if step.how == "replace":
        return ObjectNote("corrected", count, quality)
    if before is not None:
        return ObjectNote("corrected", before.clicks + count)
    if step.found:
        return ObjectNote("found" if count == 1 else "corrected", count, quality)
    return ObjectNote("clicks", count, quality)


class ObjectLabels:
    """An int32 label image; pixels above 0 are protected.

    Parameters
    ----------
    shape
        Height and width of the image.
    labels
        Existing labels, which are copied.

    Raises
    ------
    InputError
        If the labels are of another shape, no integers, or beyond int32.
    """

    def __init__(self, shape: tuple[int, int], labels: ArrayLike | None) -> None:
        self._array = _adopt(shape, labels)
        self.initial = _digest(self._array) if labels is not None else None
        self.steps: list[FinishedObject] = []
        self.changes: list[LabelChange] = []
        self._waiting: list[LabelChange] = []

    @property
    def array(self) -> NDArray[np.int32]:
        """The labels; changes that were made elsewhere are made here when asked for."""
        self._follow()
        return self._array

    @property
    def objects(self) -> tuple[FinishedObject, ...]:
        """The steps whose masks still count: not deleted, not replaced since."""
        found: list[FinishedObject] = []
        for step in self.steps:
            if step.how in ("replace", "delete"):
                found = [done for done in found if done.id != step.id]
            if step.how != "delete":
                found.append(step)
        return tuple(found)

    def find(self, label: int) -> tuple[Box, Mask]:
        """Return the smallest box around an object, and its mask there.

        Raises
        ------
        InputError
            If no pixel has this id.
        """
        box = box_of_value(self.array, checked_id(label))
        if box is None:
            msg = f"label must be the id of an object in the labels, got {label!r}"
            raise InputError(msg)
        return box, self.array[slices(box)] == label

    def write(
        self,
        prediction: Prediction,
        prompts: Prompts,
        label: int | None,
        how: WriteMode | None,
        overwrite: bool,
    ) -> int:
        """Write a mask, see `Session.accept`; all or nothing."""
        number, way = self._target(prompts, label, how)
        step = finished(prediction, prompts, number, way, overwrite)
        self.write_mask(*prediction.trimmed, step)
        return number

    def write_mask(self, box: Box, mask: Mask, step: FinishedObject) -> None:
        """Write the mask of a step into its box; all or nothing.

        Raises
        ------
        InputError
            If it changes no pixel.
        """
        number, way = step.id, step.how
        if way == "replace":
            old = box_of_value(self.array, number) or EMPTY
            box, mask = union(box, old), placed(mask, box, union(box, old))
        region = self.array[slices(box)]
        mine = region == number
        taken = mask & ~mine if step.overwrite else mask & (region <= 0)
        if way == "cut":
            taken, freed = np.zeros_like(mask), mask & mine
        else:
            freed = mine & ~mask if way == "replace" else np.zeros_like(mask)
        kept = taken | (mine & mask) if way == "replace" else taken | freed
        if not kept.any():
            raise InputError(_nothing(way, number, bool(mask.any())))
        where = taken | freed
        values = np.where(taken, np.int32(number), np.int32(0))[where]
        self.note(step, LabelChange(box, where, region[where], values))
        self._follow()

    def delete(self, label: int) -> None:
        """Remove an object, see `Session.delete`."""
        box, mask = self.find(label)
        before, after = np.asarray(int(label)), np.asarray(0)
        step = FinishedObject(int(label), (), None, 0.5, False, mask.shape, "delete")
        self.note(step, LabelChange(box, mask, before, after))
        self._follow()

    def note(self, step: FinishedObject, change: LabelChange) -> None:
        """Add a step that was made elsewhere, see `Session.note`."""
        self.steps.append(step)
        self.changes.append(change)
        self._waiting.append(change)

    def note_run(self, made_by: MadeBy | None, digest: str | None) -> None:
        """Take note of how the object of the last step came, see `FinishedObject`."""
        self.steps[-1] = replace(self.steps[-1], made_by=made_by, digest=digest)

    def _follow(self) -> None:
        """Make the changes that were made elsewhere."""
        for change in self._waiting:
            self._array[slices(change.box)][change.where] = change.after
        self._waiting.clear()

    def take_back(self) -> FinishedObject:
        """Restore what the last step changed, where it has not changed since."""
        if not self.steps:
            msg = "no object was accepted that could be taken back"
            raise InputError(msg)
        last, change = self.steps.pop(), self.changes.pop()
        if self._waiting and self._waiting[-1] is change:
            self._waiting.pop()
        else:
            region = self.array[slices(change.box)]
            same = change.stands(region)
            region[same] = change.before_at(same)
        return last

    def _target(
        self, prompts: Prompts, label: int | None, how: WriteMode | None
    ) -> tuple[int, WriteMode]:
        """Return the id to write and what is to be done, checked."""
        refined = None if prompts.start is None else prompts.start.label
        way: WriteMode = how or ("add" if refined is None else "replace")
        if way not in get_args(WriteMode):
            msg = f"how must be one of {', '.join(get_args(WriteMode))}, got {how!r}"
            raise InputError(msg)
        if label is None:
            label = refined
        if label is None and way != "add":
            msg = f"label must be given with how={way!r}: the object it changes"
            raise InputError(msg)
        return self.next_id() if label is None else checked_id(label), way

    def next_id(self) -> int:
        """Return the largest id plus one.

        Raises
        ------
        InputError
            If the largest is the last there is.
        """
        largest = max([0, int(self.array.max()), *(done.id for done in self.steps)])
        if largest >= MAX_ID:
            msg = f"no label is left above {largest}: name one or renumber the objects"
            raise InputError(msg)
        return largest + 1


def finished(
    prediction: Prediction, prompts: Prompts, label: int, how: Step, overwrite: bool
) -> FinishedObject:
    """Return the step that an object becomes when it is accepted."""
    mask = prediction.trimmed[1]
    return FinishedObject(
        label,
        prediction.clicks,
        prompts.view,
        prediction.threshold,
        overwrite,
        mask.shape,
        how,
        prompts.start,
        prompts.tidy,
        prompts.typical_size,
        int(np.count_nonzero(mask)),
        prediction.quality,
        prompts.found,
    )


def redrawn(
    label: int,
    box: Box,
    mask: Mask,
    shape: tuple[int, int],
    clicks: Iterable[Click],
    *,
    overwrite: bool,
) -> FinishedObject:
    """Return the step that a finished object becomes when its mask is drawn anew.

    Replaying it gives this mask.

    Parameters
    ----------
    label
        Its id.
    box, mask
        Its pixels now, at least one.
    shape
        Height and width of the image.
    clicks
        Its clicks, as far as they are known: those that the mask obeys are kept.
    overwrite
        Whether it takes pixels of other objects.
    """
    kept = tuple(one for one in clicks if obeys(box, mask, one))
    whole = any(one.positive for one in kept)
    start = make_start_mask(
        mask, shape, corner=box[:2], place_click=not whole, label=label
    )
    if whole:
        start = replace(start, clicks=kept)
    return FinishedObject(
        label,
        start.clicks,
        start.view,
        0.5,
        overwrite,
        start.mask.shape,
        "replace",
        start,
        area=int(np.count_nonzero(mask)),
    )


def obeys(box: Box, mask: Mask, click: Click) -> bool:
    """Return whether a mask of a box obeys a click."""
    row, col = click.pixel
    inside = contains(box, click) and bool(mask[row - box[0], col - box[1]])
    return click.positive == inside


def _nothing(way: Step, number: int, any_mask: bool) -> str:
    """Say why a mask changes nothing."""
    if way == "cut":
        return f"nothing can be cut: the mask covers no pixel of object {number}"
    why = "the mask is empty"
    if any_mask:
        why = "all its pixels belong to objects already, and it may not overwrite them"
    return f"the object adds no pixel and cannot be accepted: {why}"


def checked_id(label: Any) -> int:
    """Return an id as an integer, or raise `InputError`."""
    valid = isinstance(label, (int, np.integer)) and not isinstance(label, bool)
    if not valid or not 1 <= label <= MAX_ID:
        msg = f"label must be an integer from 1 to {MAX_ID}, got {label!r}"
        raise InputError(msg)
    return int(label)


def _adopt(shape: tuple[int, int], labels: ArrayLike | None) -> NDArray[np.int32]:
    if labels is None:
        return np.zeros(shape, dtype=np.int32)
    array = np.asarray(labels)
    if array.shape != shape:
        msg = (
            f"labels must have the shape {shape} of the image plane, got shape "
            f"{array.shape}"
        )
        raise InputError(msg)
    if array.dtype.kind not in "bui":
        msg = f"labels must be integers, got dtype {array.dtype}"
        raise InputError(msg)
    smallest, largest = int(array.min()), int(array.max())
    if smallest < -MAX_ID - 1 or largest > MAX_ID:
        msg = f"labels must fit int32, got values from {smallest} to {largest}"
        raise InputError(msg)
    return array.astype(np.int32)


def digest_of(
    labels: NDArray[Any], label: int, corner: tuple[int, int] = (0, 0)
) -> str | None:
    """Return a digest of an object's pixels; ``None`` if there are none.

    As long as it is the same, nobody has changed them.

    Parameters
    ----------
    labels
        The labels of a plane, or of a part that holds the object.
    label
        Its id; it does not enter.
    corner
        Row and column of the plane at which the part begins.
    """
    box = box_of_value(labels, label)
    if box is None:
        return None
    place = np.array(moved(box, corner), dtype="<i8")
    mask = np.packbits(np.asarray(labels[slices(box)] == label))
    return hashlib.sha256(place.tobytes() + mask.tobytes()).hexdigest()


def _digest(labels: NDArray[np.int32]) -> str | None:
    """Identify labels; ``None`` if there are none."""
    if not labels.any():
        return None
    return hashlib.sha256(np.ascontiguousarray(labels).data).hexdigest()


@dataclass(frozen=True, eq=False)
class LabelChange:
    """The pixels that one step changed.

    Attributes
    ----------
    box
        Half-open box of the image.
    where
        Which of its pixels were changed, bool.
    before, after
        Their values, integers in the order of ``np.nonzero(where)``; or, without an
        axis, the one value of all of them.
    """

    box: Box
    where: Mask
    before: NDArray[Any]
    after: NDArray[Any]

    @property
    def reversed(self) -> LabelChange:
        """The change that takes this one back."""
        return LabelChange(self.box, self.where, self.after, self.before)

    def stands(self, region: NDArray[Any]) -> Mask:
        """Return which of the pixels are still as they were left.

        Parameters
        ----------
        region
            What the box holds now.
        """
        if self.after.ndim == 0:
            alike: Mask = self.where & (region == self.after)
            return alike
        same = self.where.copy()
        same[self.where] = region[self.where] == self.after
        return same

    def standing(self, region: NDArray[Any]) -> LabelChange:
        """Return the change of those pixels alone that are still as they were left.

        Parameters
        ----------
        region
            What the box holds now.
        """
        where = self.stands(region)
        after = self.after if self.after.ndim == 0 else self.after[where[self.where]]
        return LabelChange(self.box, where, self.before_at(where), after)

    def before_at(self, pixels: Mask) -> NDArray[Any]:
        """Return what some of the pixels were before, one value if all were alike."""
        if self.before.ndim == 0:
            return self.before
        return self.before[pixels[self.where]]
