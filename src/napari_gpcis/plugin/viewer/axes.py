"""Axes of an image: what they are called, and which has the planes or the channels."""

from __future__ import annotations

from typing import TYPE_CHECKING

from napari_gpcis.export import known_letters
from napari_gpcis.plugin.viewer.planes import layer_shape

if TYPE_CHECKING:
    from collections.abc import Collection

    from napari.components import ViewerModel
    from napari.layers import Layer


def axis_name(viewer: ViewerModel, layer: Layer, axis: int) -> str:
    """Return the text for an axis: the name of its slider, and its own if it differs.

    Parameters
    ----------
    viewer
        The viewer, whose sliders have names.
    layer, axis
        The layer, and the number of one of its axes.
    """
    slider, own = _slider_name(viewer, layer, axis), str(layer.axis_labels[axis])
    same = own == slider or _is_number(own)
    return f"axis {slider}" if same else f"axis {slider} ({own})"


def stack_axis(viewer: ViewerModel, layer: Layer, axes: Collection[int]) -> int:
    """Return which of some axes has the planes of a stack or time series.

    It is the last one that is called so (z, t, time, plane ...), or else the longest
    one that is not called channels.
    """
    letters, shape = _letters(viewer, layer), layer_shape(layer)
    named = [axis for axis in axes if letters.get(axis) in ("T", "Z")]
    if named:
        return max(named)
    others = [axis for axis in axes if letters.get(axis) != "C"] or axes
    return max(others, key=lambda axis: (shape[axis], axis))


def channel_axis(viewer: ViewerModel, layer: Layer, axes: Collection[int]) -> int:
    """Return which of some axes has the channels.

    It is the one that is called so, or else the shortest one without a name for
    planes.
    """
    letters, shape = _letters(viewer, layer), layer_shape(layer)
    named = [axis for axis in axes if letters.get(axis) == "C"]
    others = [axis for axis in axes if letters.get(axis) not in ("T", "Z")]
    return min(named or others or axes, key=lambda axis: (shape[axis], axis))


def _letters(viewer: ViewerModel, layer: Layer) -> dict[int, str]:
    """Return the letters of axes that are known by their names or units."""
    own = [str(name) for name in layer.axis_labels]
    names = [
        _slider_name(viewer, layer, axis) if _is_number(name) else name
        for axis, name in enumerate(own)
    ]
    units = getattr(layer, "units", None) or ("pixel",) * layer.ndim
    return known_letters(names, [str(unit) for unit in units])


def _slider_name(viewer: ViewerModel, layer: Layer, axis: int) -> str:
    """Return what napari calls the slider of an axis."""
    place, labels = axis - layer.ndim, viewer.dims.axis_labels
    return str(labels[place]) if -place <= len(labels) else str(place)


def _is_number(name: str) -> bool:
    """Return whether an axis was given no name."""
    return name.lstrip("-").isdigit()
