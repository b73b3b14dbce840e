"""Masks on many planes, written as one undo step of the labels layer."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from napari_gpcis.geometry import EMPTY, box_of_value, placed, slices, union
from napari_gpcis.plugin.labels.writer import MAX_STEP
from napari_gpcis.session.labels import LabelChange

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence

    from napari.layers import Labels
    from numpy.typing import NDArray

    from napari_gpcis.geometry import Mask
    from napari_gpcis.plugin.viewer.planes import Box, Plane

    PlaneMask = tuple[Plane, Box, Mask]
    Change = tuple[Plane, LabelChange]
    Pixels = tuple[Plane, Box, Mask, NDArray[Any]]


def write(
    labels: Labels,
    parts: Sequence[PlaneMask],
    label: int,
    *,
    overwrite: bool,
    instead: Collection[Plane] = (),
) -> tuple[LabelChange, ...]:
    """Give an object its masks on several planes, as one undo step.

    Parameters
    ----------
    labels
        The layer.
    parts
        Plane, box and mask.
    label
        The object's id.
    overwrite
        Whether pixels of other objects are taken as well.
    instead
        Planes on which what the object has there goes.

    Returns
    -------
    tuple of LabelChange
        What was changed on each plane.
    """
    changes = tuple(
        _exchange(labels, part, label, overwrite=overwrite)
        if part[0] in instead
        else _change(labels, part, label, overwrite=overwrite)
        for part in parts
    )
    pixels = [
        (plane, change.box, change.where, change.after)
        for (plane, _, _), change in zip(parts, changes, strict=True)
    ]
    _set(labels, pixels)
    return changes


def write_new(
    labels: Labels, plane: Plane, objects: Sequence[tuple[int, Box, Mask]]
) -> tuple[LabelChange, ...]:
    """Write new objects on a plane, into free pixels, as one undo step.

    Parameters
    ----------
    labels
        The layer.
    plane
        Where.
    objects
        Id, box and mask of each; of two that share pixels the first has them.

    Returns
    -------
    tuple of LabelChange
        What was changed for each.
    """
    whole, changes = plane.take(labels.data), []
    taken = np.zeros(whole.shape, dtype=bool)  # memory only where anything is set
    for label, box, mask in objects:
        where = mask & _free(whole[slices(box)], label, overwrite=False)
        where &= ~taken[slices(box)]
        taken[slices(box)] |= where
        changes.append(LabelChange(box, where, np.asarray(0), np.asarray(label)))
    _set(labels, [(plane, one.box, one.where, one.after) for one in changes])
    return tuple(changes)


def take_back(labels: Labels, changes: Sequence[Change]) -> None:
    """Restore the pixels that have not changed since, as one undo step."""
    pixels = []
    for plane, change in changes:
        where = change.stands(plane.take(labels.data)[slices(change.box)])
        pixels.append((plane, change.box, where, change.before_at(where)))
    _set(labels, pixels)


def _change(
    labels: Labels, part: PlaneMask, label: int, *, overwrite: bool
) -> LabelChange:
    """Return the pixels of a mask that the object may take, before and after."""
    plane, box, mask = part
    now = plane.take(labels.data)[slices(box)]
    where = mask & _free(now, label, overwrite=overwrite)
    before = now[where]
    if not before.any():
        before = np.asarray(0)
    return LabelChange(box, where, before, np.asarray(label))


def _exchange(
    labels: Labels, part: PlaneMask, label: int, *, overwrite: bool
) -> LabelChange:
    """Return the change that puts a mask in the place of the object's pixels."""
    plane, box, mask = part
    whole = plane.take(labels.data)
    old = box_of_value(whole, label) or EMPTY
    both = union(box, old)
    now, wanted = whole[slices(both)], placed(mask, box, both)
    added = wanted & _free(now, label, overwrite=overwrite)
    where = added | ((now == label) & ~wanted)
    return LabelChange(
        both, where, now[where], np.where(added, label, 0)[where].astype(now.dtype)
    )


def _free(now: NDArray[Any], label: int, *, overwrite: bool) -> Mask:
    """Return the pixels that an object may take and does not have."""
    return np.asarray((now != label) if overwrite else (now <= 0))


def _set(labels: Labels, pixels: Sequence[Pixels]) -> None:
    """Set pixels; very many, or those of a hidden layer, without its history.

    With many it is slow, and a hidden layer may not know the plane.
    """
    places, values = [], []
    for plane, box, where, value in pixels:
        rows, cols = np.nonzero(where)
        places.append(plane.indices(rows + box[0], cols + box[1]))
        values.append(np.broadcast_to(value, len(rows)))
    count = sum(map(len, values))
    if count == 0:
        return
    indices = tuple(np.concatenate(axis) for axis in zip(*places, strict=True))
    together = np.concatenate(values).astype(labels.data.dtype)
    if count > MAX_STEP or not labels.visible:
        labels.data[indices] = together
        labels.refresh(thumbnail=False, highlight=False, extent=False)
    else:
        labels.data_setitem(indices, together)
