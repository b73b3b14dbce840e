"""Overlays: layers of the plugin for display only, and curves on them.

They never become active, are marked as ours, are offered nowhere as an image, and go
when the annotation stops.
"""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import numpy as np
from napari.utils.colormaps.standardize_color import transform_color

from napari_gpcis.inference.resampling import from_grid
from napari_gpcis.plugin.viewer.layers import MARK, geometry
from napari_gpcis.plugin.viewer.planes import camera_of

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from napari.components import ViewerModel
    from napari.layers import Image, Layer, Vectors
    from numpy.typing import NDArray

    from napari_gpcis.inference.prediction import Prediction
    from napari_gpcis.plugin.viewer.planes import Plane


DISPLAY = {MARK: {"role": "display"}}
"""Metadata of a layer for display only."""

WIDTH = 2.0
"""Width of the curves on the screen, in pixels of the canvas."""


def is_display(layer: Layer) -> bool:
    """Return true for a layer for display only, which is not to be annotated."""
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
    """Return the matrix (n + 1, n + 1) from pixels to the world."""
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
    plane, which have the grid.
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


class CurveOverlay:
    """Curves over an image, in a layer that is made when first needed.

    Parameters
    ----------
    viewer
        The viewer.
    image
        The image that the curves lie on.
    what
        What the layer shows: part of its name.
    """

    def __init__(self, viewer: ViewerModel, image: Image, what: str) -> None:
        self._viewer = viewer
        self._image = image
        self._what = what
        self._layer: Vectors | None = None

    @property
    def shown(self) -> bool:
        """True while a curve is drawn."""
        return self._layer is not None and len(self._layer.data) > 0

    def show(
        self, plane: Plane, curves: Sequence[NDArray[np.float64]], colour: str
    ) -> None:
        """Draw these curves in place of all others.

        Parameters
        ----------
        plane
            Where.
        curves
            Rows and columns in pixels of the plane, each of shape (k, 2).
        colour
            Name of their colour.
        """
        steps = _segments(plane, curves)
        if len(steps) == 0:
            self.clear()
            return
        layer, width = self.prepare(colour), self._width()
        _set(layer, steps)
        if not np.isclose(layer.edge_width, width, rtol=0.1):
            layer.edge_width = width
        if not np.allclose(layer.edge_color, transform_color(colour)):
            layer.edge_color = colour

    def prepare(self, colour: str) -> Vectors:
        """Return the layer, made now if it is not there: that takes its time."""
        if self._layer is None or self._layer not in self._viewer.layers:
            self._layer = self._make(colour)
        return self._layer

    def clear(self) -> None:
        """Draw nothing."""
        if self._layer is not None and self.shown:
            _set(self._layer, np.zeros((0, 2, self._image.ndim)))

    def close(self) -> None:
        """Remove the layer."""
        layer, self._layer = self._layer, None
        if layer is not None and layer in self._viewer.layers:
            self._viewer.layers.remove(layer)

    def _make(self, colour: str) -> Vectors:
        """Add the layer on top; the active layer stays what it is."""
        selection = self._viewer.layers.selection
        active = selection.active
        layer = self._viewer.add_vectors(
            np.zeros((0, 2, self._image.ndim)),
            ndim=self._image.ndim,
            name=f"{self._what} on {self._image.name}",
            metadata={MARK: {"role": "curves", "image": str(self._image.unique_id)}},
            vector_style="line",
            edge_color=colour,
            edge_width=self._width(),
            **geometry(self._image),
        )
        selection.active = active
        return layer

    def _width(self) -> float:
        """Return the width in data units that is right at the present zoom."""
        camera = camera_of(self._viewer)
        scale = float(np.abs(self._image.scale[-2:]).mean())
        return WIDTH / max(1e-9, float(camera.zoom) * scale)


def _set(layer: Vectors, steps: NDArray[Any]) -> None:
    """Set the segments of a layer of curves.

    They lie inside the image, so the viewer need not compute the range of all layers
    again, which takes longer than the drawing.
    """
    with layer.events.data.blocker():
        layer.data = steps


def _segments(plane: Plane, curves: Sequence[NDArray[np.float64]]) -> NDArray[Any]:
    """Return starts and directions of all pieces of the curves, (n, 2, ndim)."""
    starts = [curve[:-1] for curve in curves if len(curve) > 1]
    pieces = [np.diff(curve, axis=0) for curve in curves if len(curve) > 1]
    count = sum(map(len, starts))
    data = np.zeros((count, 2, len(plane.steps)))
    if count:
        data[:, 0] = plane.steps
        data[:, 0, list(plane.axes)] = np.concatenate(starts)
        data[:, 1, list(plane.axes)] = np.concatenate(pieces)
    return data
