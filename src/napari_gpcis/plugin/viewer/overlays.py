"""Layers that only show something: added and removed without disturbing anybody.

They never become active, are marked as ours, are offered nowhere as an image, and go
when the annotation stops.
"""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import numpy as np

from napari_gpcis.inference.resampling import from_grid
from napari_gpcis.plugin.viewer.layers import MARK

if TYPE_CHECKING:
    from collections.abc import Iterator

    from napari.components import ViewerModel
    from napari.layers import Layer
    from numpy.typing import NDArray

    from napari_gpcis.inference.prediction import Prediction
    from napari_gpcis.plugin.viewer.planes import Plane

DISPLAY = {MARK: {"role": "display"}}
"""Metadata of a layer that only shows something."""


def is_display(layer: Layer) -> bool:
    """Return whether a layer only shows something and is not to be annotated."""
    mark = layer.metadata.get(MARK)
    return isinstance(mark, dict) and mark.get("role") == "display"


def put(viewer: ViewerModel, layer: Layer, below: Layer) -> None:
    """Add a layer right below another one; what is active stays active."""
    with _same_selection(viewer):
        viewer.layers.insert(viewer.layers.index(below), layer)


def take_away(viewer: ViewerModel, layer: Layer) -> None:
    """Remove a layer if it is still there; what is active stays active."""
    if layer in viewer.layers:
        with _same_selection(viewer):
            viewer.layers.remove(layer)


def same_place(image: Layer) -> dict[str, Any]:
    """Return the arguments that give a layer the units and axis names of an image."""
    names = ("units", "axis_labels")
    return {name: getattr(image, name) for name in names if hasattr(image, name)}


def image_to_world(image: Layer) -> NDArray[np.float64]:
    """Return the matrix (n + 1, n + 1) from an image's pixels to the world."""
    origin = np.asarray(image.data_to_world(np.zeros(image.ndim)), dtype=np.float64)
    matrix = np.eye(image.ndim + 1)
    matrix[:-1, -1] = origin
    for axis, unit in enumerate(np.eye(image.ndim)):
        matrix[:-1, axis] = np.asarray(image.data_to_world(unit)) - origin
    return matrix


def grid_to_world(
    image: Layer, plane: Plane, prediction: Prediction
) -> NDArray[np.float64]:
    """Return the matrix that lays the network's grid on its part of the image.

    It is for a layer with the axes of the image, all of length 1 but the two of the
    plane, which hold the grid.
    """
    matrix = np.eye(image.ndim + 1)
    matrix[:-1, -1] = plane.steps
    for place, axis in enumerate(plane.axes):
        low, high = prediction.roi[place], prediction.roi[place + 2]
        size = prediction.maps.probability.shape[place]
        ends = np.array([0.0, 1.0])
        half = prediction.half_pixel
        first, second = from_grid(ends, high - low, size, half_pixel=half)
        matrix[axis, axis] = second - first
        matrix[axis, -1] = low + first
    return image_to_world(image) @ matrix


def on_axes(values: NDArray[Any], plane: Plane) -> NDArray[Any]:
    """Return values of a plane with the axes of the image, others of length 1."""
    shape = [1] * len(plane.steps)
    for axis, size in zip(plane.axes, values.shape, strict=True):
        shape[axis] = size
    return values.reshape(shape)


@contextmanager
def _same_selection(viewer: ViewerModel) -> Iterator[None]:
    """Leave the selected layers, and so the active one, as they are."""
    before = set(viewer.layers.selection)
    yield
    kept = before & set(viewer.layers)
    if set(viewer.layers.selection) != kept:
        viewer.layers.selection = kept
