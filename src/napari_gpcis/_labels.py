"""The label image of a session and the objects written into it."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from napari_gpcis.errors import InputError

if TYPE_CHECKING:
    from numpy.typing import ArrayLike, NDArray

    from napari_gpcis._zoom import Box
    from napari_gpcis.clicks import Click
    from napari_gpcis.prediction import Prediction

MAX_ID = int(np.iinfo(np.int32).max)


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
    """

    id: int
    clicks: tuple[Click, ...]
    view: Box | None
    threshold: float
    overwrite: bool
    size: tuple[int, int]


@dataclass(frozen=True, eq=False)
class _Patch:
    """The pixels that one object changed."""

    box: Box
    written: NDArray[np.bool_]
    before: NDArray[np.int32]


class ObjectLabels:
    """An int32 label image; nonzero pixels are protected.

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
        self.array = _adopt(shape, labels)
        self.initial = _digest(self.array) if labels is not None else None
        self.objects: list[FinishedObject] = []
        self._patches: list[_Patch] = []

    def write(
        self,
        prediction: Prediction,
        view: Box | None,
        label: int | None,
        overwrite: bool,
    ) -> int:
        """Write a mask, see `Session.accept`; all or nothing."""
        number = self._next_id() if label is None else _checked_id(label)
        mask = prediction.crop("mask")
        region = self.array[_slices(prediction.roi)]
        written = mask & (region != number)
        if not overwrite:
            written &= region == 0
        if not written.any():
            why = "the mask is empty"
            if mask.any():
                why = "all its pixels belong to objects already (overwrite=True)"
            msg = f"the object adds no pixel and cannot be accepted: {why}"
            raise InputError(msg)
        self._patches.append(_Patch(prediction.roi, written, region[written]))
        region[written] = number
        self.objects.append(
            FinishedObject(
                number,
                prediction.clicks,
                view,
                prediction.threshold,
                overwrite,
                _size(mask),
            )
        )
        return number

    def take_back(self) -> FinishedObject:
        """Restore what the last object changed, where it has not changed since."""
        if not self.objects:
            msg = "no object was accepted that could be taken back"
            raise InputError(msg)
        last, patch = self.objects.pop(), self._patches.pop()
        region = self.array[_slices(patch.box)]
        now = region[patch.written]
        region[patch.written] = np.where(now == last.id, patch.before, now)
        return last

    def _next_id(self) -> int:
        largest = max([0, int(self.array.max()), *(done.id for done in self.objects)])
        if largest >= MAX_ID:
            msg = f"no label is left: the largest is {largest}; choose one with label="
            raise InputError(msg)
        return largest + 1


def _checked_id(label: Any) -> int:
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


def _digest(labels: NDArray[np.int32]) -> str | None:
    """Identify labels; ``None`` if there are none."""
    if not labels.any():
        return None
    return hashlib.sha256(np.ascontiguousarray(labels).data).hexdigest()


def _slices(box: Box) -> tuple[slice, slice]:
    return slice(box[0], box[2]), slice(box[1], box[3])


def _size(mask: NDArray[np.bool_]) -> tuple[int, int]:
    rows = np.flatnonzero(mask.any(axis=1))
    cols = np.flatnonzero(mask.any(axis=0))
    return int(rows[-1] - rows[0]) + 1, int(cols[-1] - cols[0]) + 1
