"""Private names of napari, all in this file, for what its public ones do slowly.

napari may rename them at any time. Then the same things are shown a little later: a
labels layer is drawn as a whole, and its planes are mapped to colours at once. A test
runs all this with a napari that has none of these names.
"""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any

import numpy as np
from napari.utils.colormaps import CyclicLabelColormap

from napari_gpcis.geometry import CACHED_PIXELS, row_strips

if TYPE_CHECKING:
    from napari.layers import Labels

    from napari_gpcis.plugin.viewer.planes import Box, Plane

_log = logging.getLogger(__name__)


class ObjectColormap(CyclicLabelColormap):  # type: ignore[misc]  # napari has no types
    """A colormap of labels in which large arrays are mapped a few rows at a time.

    napari maps a plane of 32-bit labels as a whole, through copies of its size: for
    8192 x 8192 pixels that stops the window for a second each time, and a new layer is
    mapped three times. Rows that hold nothing but background need not be computed, and
    few rows stay in the cache of the processor. The colours are the same.
    """

    def _data_to_texture(self, values: Any) -> Any:
        """Return entries of the table for labels, see napari's method of the name.

        A napari without that method never calls this one, and maps as ever.
        """
        mapped = super()._data_to_texture
        if np.size(values) <= CACHED_PIXELS or values.itemsize <= 2:
            return mapped(values)
        along = int(np.argmax(np.abs(values.strides)))
        rows = np.moveaxis(values, along, 0)
        found = np.zeros(rows.shape, mapped(np.zeros(1, dtype=values.dtype)).dtype)
        beside = int(np.prod(rows.shape[1:]))
        for strip in row_strips((len(rows), beside)):
            if self.background_value != 0 or rows[strip].any():
                found[strip] = mapped(rows[strip])
        return np.moveaxis(found, 0, along)


def draw_part(labels: Labels, plane: Plane, box: Box) -> bool:
    """Draw a half-open box of a plane anew; return whether that was possible.

    Where it was not, ``labels.refresh`` draws the same as part of the whole.

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
    except (AttributeError, TypeError) as error:
        _log.info("this napari draws labels layers as a whole: %s", error)
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
