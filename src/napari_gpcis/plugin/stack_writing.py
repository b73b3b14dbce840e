"""Masks on many planes, written as one undo step of the labels layer."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from napari_gpcis._boxes import slices
from napari_gpcis.plugin.painter import MAX_STEP

if TYPE_CHECKING:
    from collections.abc import Sequence

    from napari.layers import Labels
    from numpy.typing import NDArray

    from napari_gpcis._boxes import Mask
    from napari_gpcis.plugin.planes import Box, Plane

    Part = tuple[Plane, Box, Mask]


@dataclass(frozen=True, eq=False)
class Written:
    """Pixels of a labels layer that one run has changed.

    Attributes
    ----------
    label
        What they were set to.
    indices
        Index arrays, one for each axis of the layer.
    before
        What they held.
    """

    label: int
    indices: tuple[NDArray[np.intp], ...]
    before: NDArray[Any]


def write(labels: Labels, parts: Sequence[Part], label: int, *, cover: bool) -> Written:
    """Give an object its masks on several planes, as one undo step.

    Parameters
    ----------
    labels
        The layer.
    parts
        Plane, box and mask.
    label
        The object's id.
    cover
        Whether pixels of other objects are taken as well.
    """
    found = [_free(labels, part, label, cover=cover) for part in parts]
    axes = range(labels.data.ndim)
    indices = tuple(
        np.concatenate([np.zeros(0, dtype=np.intp), *(one[axis] for one in found)])
        for axis in axes
    )
    before = np.array(labels.data[indices])
    _set(labels, indices, label)
    return Written(label, indices, before)


def take_back(labels: Labels, written: Written) -> None:
    """Restore the pixels of a run that have not changed since, as one undo step."""
    same = labels.data[written.indices] == written.label
    places = tuple(axis[same] for axis in written.indices)
    _set(labels, places, written.before[same])


def _free(
    labels: Labels, part: Part, label: int, *, cover: bool
) -> tuple[NDArray[np.intp], ...]:
    """Return the pixels of a mask that the object may take."""
    plane, box, mask = part
    now = plane.take(labels.data)[slices(box)]
    rows, cols = np.nonzero(mask & ((now != label) if cover else (now == 0)))
    return plane.indices(rows + box[0], cols + box[1])


def _set(labels: Labels, indices: tuple[NDArray[np.intp], ...], values: Any) -> None:
    """Set pixels; very many of them without the layer's slow history."""
    count = len(indices[0])
    if count > MAX_STEP:
        labels.data[indices] = values
        labels.refresh(thumbnail=False, highlight=False, extent=False)
    elif count:
        labels.data_setitem(indices, values)
