"""Steps that split a finished object or merge several: what is saved of them.

Their masks are kept as start masks, with clicks that these obey, so that replaying
them needs no model.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from napari_gpcis.geometry import EMPTY, placed, union
from napari_gpcis.inference.start_mask import StartMask, make_start_mask
from napari_gpcis.session.labels import FinishedObject, LabelChange

if TYPE_CHECKING:
    from collections.abc import Mapping

    from napari_gpcis.clicks import Click
    from napari_gpcis.geometry import Box, Mask
    from napari_gpcis.session.labels import WriteMode


class Regrouped(NamedTuple):
    """A step, and the pixels that it changes after the steps before it."""

    step: FinishedObject
    change: LabelChange


def split_steps(
    shape: tuple[int, int],
    box: Box,
    kept: tuple[int, Mask, Click],
    other: tuple[int, Mask, Click],
) -> list[Regrouped]:
    """Return the steps that give a part of an object an id of its own.

    Parameters
    ----------
    shape
        Height and width of the plane.
    box
        Half-open box of the object.
    kept, other
        Id, mask in the box and a click of the part that keeps the object's id, and of
        the one with a new id.
    """
    label, new, mask = kept[0], other[0], other[1]
    background = np.asarray(0)
    return [
        Regrouped(
            _mask_step(shape, box, kept[1], label, "replace", kept[2]),
            LabelChange(box, mask, np.asarray(label), background),
        ),
        Regrouped(
            _mask_step(shape, box, mask, new, "add", other[2]),
            LabelChange(box, mask, background, np.asarray(new)),
        ),
    ]


def merge_steps(
    shape: tuple[int, int], kept: int, objects: Mapping[int, tuple[Box, Mask]]
) -> list[Regrouped]:
    """Return the steps that give objects of a plane one id.

    Parameters
    ----------
    shape
        Height and width of the plane.
    kept
        The id; the plane need not have it.
    objects
        Box and mask of each of them by its id, that of ``kept`` among them if it is
        there. Nothing is to be done if there is no other.
    """
    others = {label: found for label, found in objects.items() if label != kept}
    if not others:
        return []
    steps, box = [], EMPTY
    for label, (inside, mask) in others.items():
        gone = FinishedObject(label, (), None, 0.5, False, mask.shape, "delete")
        change = LabelChange(inside, mask, np.asarray(label), np.asarray(0))
        steps.append(Regrouped(gone, change))
        box = union(box, inside)
    whole = union(box, objects[kept][0]) if kept in objects else box
    taken = np.zeros((whole[2] - whole[0], whole[3] - whole[1]), dtype=bool)
    for inside, mask in others.values():
        taken |= placed(mask, inside, whole)
    together = taken.copy()
    if kept in objects:
        together |= placed(objects[kept][1], objects[kept][0], whole)
    change = LabelChange(whole, taken, np.asarray(0), np.asarray(kept))
    step = _mask_step(shape, whole, together, kept, "replace")
    return [*steps, Regrouped(step, change)]


def _mask_step(
    shape: tuple[int, int],
    box: Box,
    mask: Mask,
    label: int,
    how: WriteMode,
    click: Click | None = None,
) -> FinishedObject:
    """Return the step that makes a mask, as it is, an object's."""
    own = label if how == "replace" else None
    found = make_start_mask(
        mask, shape, corner=box[:2], place_click=click is None, label=own
    )
    clicks = found.clicks if click is None else (click,)
    start = StartMask(shape, found.box, found.mask, clicks, own)
    size = found.mask.shape[0], found.mask.shape[1]
    area = int(np.count_nonzero(found.mask))
    return FinishedObject(
        label, clicks, start.view, 0.5, False, size, how, start, area=area
    )
