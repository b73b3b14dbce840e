"""Drawing a part of a labels layer anew, as napari does for its own brush.

A whole refresh of a plane of 4096 x 4096 pixels holds the window for a tenth of a
second or more. napari draws parts for its own tools alone and offers no public way to
it. What stands here is therefore the one place that asks a labels layer for more than
its public interface; where a version of napari is built differently, it says that it
could not draw, and the caller refreshes the layer.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from napari.layers import Labels

    from napari_gpcis.plugin.viewer.planes import Box, Plane


def draw_part(labels: Labels, plane: Plane, box: Box) -> bool:
    """Draw a half-open box of a plane anew; return whether that was possible.

    Parameters
    ----------
    labels
        A layer whose array was changed there.
    plane, box
        Where.
    """
    layer: Any = getattr(labels, "__wrapped__", labels)  # napari hands out proxies
    try:
        if not _shows(layer, plane):
            return False
        where = _frame(plane, box)
        seen = tuple(where[axis] for axis in layer._slice_input.displayed)
        image = layer._slice.image
        if not np.shares_memory(image.raw, layer.data):
            return False
        image.view[seen] = layer._raw_to_displayed(image.raw, seen)
        layer._accumulate_updated_slice(where)
        layer._partial_labels_refresh()
    except AttributeError:
        return False
    return True


def _shows(layer: Any, plane: Plane) -> bool:
    """Return whether this plane is what the layer has sliced for the display."""
    if not (layer.visible and layer.loaded):
        return False
    point = layer._get_pt_not_disp()
    beside = {axis for axis in range(layer.ndim) if axis not in plane.axes}
    return set(point) == beside and all(
        int(point[axis]) == plane.steps[axis] for axis in beside
    )


def _frame(plane: Plane, box: Box) -> tuple[slice, ...]:
    """Return the box as a slice along each axis of the layer."""
    sides = {plane.axes[0]: (box[0], box[2]), plane.axes[1]: (box[1], box[3])}
    return tuple(
        slice(*sides.get(axis, (step, step + 1)))
        for axis, step in enumerate(plane.steps)
    )
