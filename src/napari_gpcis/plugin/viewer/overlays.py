"""Overlays: layers of the plugin for display only, and the one of all curves.

They never stay active, are marked as ours, are offered nowhere as an image, and go when
the annotation stops.
"""

from __future__ import annotations

from contextlib import contextmanager
from functools import partial
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from napari.layers import Vectors
from napari.settings import get_settings
from napari.utils.colormaps.standardize_color import transform_color
from qtpy.QtCore import QTimer

from napari_gpcis.inference.resampling import from_grid
from napari_gpcis.plugin.connections import Connections
from napari_gpcis.plugin.viewer.layers import MARK, geometry
from napari_gpcis.plugin.viewer.planes import camera_of, layer_shape

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from napari.components import ViewerModel
    from napari.layers import Image, Layer
    from numpy.typing import NDArray

    from napari_gpcis.inference.prediction import Prediction
    from napari_gpcis.plugin.viewer.planes import Plane
    from napari_gpcis.plugin.viewer.segments import Segments


WIDTH = 1.5
"""Width of either line of a curve on the screen, in pixels of the canvas."""
DARK = "#101010"
"""Colour of the outer line of a curve: the two are seen on any image."""


def display_of(image: Layer) -> dict[str, Any]:
    """Return the metadata of a layer for display only, over an image."""
    return {MARK: {"role": "display", "image": str(image.unique_id)}}


def is_display(layer: Layer) -> bool:
    """Return true for a layer for display only, which is not to be annotated."""
    mark = layer.metadata.get(MARK)
    return isinstance(mark, dict) and mark.get("role") == "display"


def is_ours_to_show(layer: Layer) -> bool:
    """Return true for layers that only the plugin changes: no clicks, no masks."""
    mark = layer.metadata.get(MARK)
    return isinstance(mark, dict) and mark.get("role") in ("display", "curves")


def put(viewer: ViewerModel, layer: Layer, below: Layer) -> None:
    """Add a layer right below another one; what is active stays active."""
    with _same_selection(viewer):
        viewer.layers.insert(viewer.layers.index(below), layer)


_LATER: list[bool] = []
"""As many entries as events of layer lists are being answered."""


@contextmanager
def answering_layer_event() -> Iterator[None]:
    """Let layers that are taken away meanwhile go at the next turn of the event loop.

    While napari removes layers it counts on that nobody else removes one: whoever
    selects all layers and deletes them would end with an error, a slice that is deleted
    would take other layers with it.
    """
    _LATER.append(True)
    try:
        yield
    finally:
        _LATER.pop()


def take_away(viewer: ViewerModel, layer: Layer) -> None:
    """Remove a layer if it is still there; what is active stays active."""
    if layer not in viewer.layers:
        return
    if _LATER:
        QTimer.singleShot(0, partial(take_away, viewer, layer))
        return
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


class _Curve(NamedTuple):
    """Segments that are drawn, and the colours of their labels; one for all others."""

    plane: Plane
    segments: Segments
    colour: str
    colours: Mapping[int, NDArray[Any]]


class CurveLayer:
    """All curves over an image, in one layer that is made when first needed.

    A curve is drawn as two lines beside each other, a dark one outside and a light one
    inside, which keep their width on the screen.

    Parameters
    ----------
    viewer
        The viewer.
    image
        The image that the curves lie on.
    below
        A layer that stays above the curves.
    """

    def __init__(self, viewer: ViewerModel, image: Image, below: Layer) -> None:
        self._viewer = viewer
        self._image = image
        self._shape = np.array(layer_shape(image))
        self._below = below
        self._layer: Vectors | None = None
        self._curves: dict[str, _Curve] = {}
        self._drawn = 0.0
        self._connections = Connections()
        self._connections.connect(camera_of(viewer).events.zoom, self._on_zoom)

    @property
    def layer(self) -> Vectors | None:
        """The layer, if it was made."""
        return self._layer

    def shows(self, name: str) -> bool:
        """Return whether a curve of this name is drawn: the layer is still there."""
        known = self._curves.get(name)
        if known is None or self._layer not in self._viewer.layers:
            return False
        return len(known.segments.starts) > 0

    def segments(self, name: str) -> Segments | None:
        """Return the segments that are drawn under a name."""
        known = self._curves.get(name)
        return None if known is None else known.segments

    def show(
        self,
        name: str,
        plane: Plane,
        segments: Segments,
        colour: str,
        colours: Mapping[int, NDArray[Any]] | None = None,
    ) -> None:
        """Draw curves in place of those of this name.

        Parameters
        ----------
        name
            What they are.
        plane, segments
            Where.
        colour
            Colour of the inner line.
        colours
            Colours of some labels, RGBA, in which theirs are drawn instead.
        """
        if len(segments.starts) or self.shows(name):
            self.prepare()  # first: that layers change may clear curves
            self._curves[name] = _Curve(plane, segments, colour, colours or {})
            self._draw()

    def clear(self, name: str) -> None:
        """Draw the curves of this name no more."""
        if self._curves.pop(name, None) is not None:
            self._draw()

    def prepare(self) -> Vectors:
        """Return the layer, made now if it is not there: that takes its time."""
        if self._layer is None or self._layer not in self._viewer.layers:
            self._layer = self._make()
            self._insert(self._layer)
        return self._layer

    def close(self) -> None:
        """Remove the layer."""
        self._connections.end()
        self._curves.clear()
        layer, self._layer = self._layer, None
        if layer is not None:
            take_away(self._viewer, layer)

    def _make(self) -> Vectors:
        """Return a layer without curves: never empty, see `_draw`."""
        return Vectors(
            np.zeros((1, 2, self._image.ndim)),
            edge_color=np.zeros((1, 4)),
            ndim=self._image.ndim,
            name=f"outlines on {self._image.name}",
            metadata={MARK: {"role": "curves", "image": str(self._image.unique_id)}},
            vector_style="line",
            edge_width=self._width(),
            opacity=1.0,
            **geometry(self._image),
        )

    def _insert(self, layer: Vectors) -> None:
        """Add the layer to the viewer."""
        if self._below in self._viewer.layers:
            put(self._viewer, layer, below=self._below)
        else:
            with _same_selection(self._viewer):
                self._viewer.layers.append(layer)

    def _draw(self) -> None:
        """Draw all curves: the dark lines first, the others on top.

        They lie inside the image, so the viewer need not compute the range of all
        layers again, which takes longer than the drawing. Without curves one vector
        without length and colour is left: napari ends with a segmentation fault when
        it shows an empty layer of a 2-D image in the 3-D display.
        """
        layer = self._layer
        if layer is None or layer not in self._viewer.layers:
            return
        width, curves = self._width(), [*self._curves.values()]
        lines = [_lines(one, width, 1, self._shape) for one in curves]
        lines += [_lines(one, width, -1, self._shape) for one in curves]
        inner = [_colours(one) for one in curves]
        steps = np.concatenate(lines or [np.zeros((0, 2, self._image.ndim))])
        self._drawn = width
        dark = np.tile(transform_color(DARK), (len(steps) // 2, 1))
        fewer = 0 if len(steps) else 1
        if get_settings().experimental.async_:
            # napari looks up in the new vectors those that were in view among the old
            # ones, so there must be as many; they are drawn without colour
            fewer = max(fewer, len(layer.data) - len(steps))
        if fewer:
            steps = np.concatenate([steps, np.zeros((fewer, 2, layer.ndim))])
            inner.append(np.zeros((fewer, 4)))
        with layer.events.data.blocker(), layer.events.edge_width.blocker():
            if layer.edge_width != width:  # to set it draws all of them once more
                layer.edge_width = width
            layer.data = steps
        layer.edge_color = np.concatenate([dark, *inner])

    def _on_zoom(self, _event: Any = None) -> None:
        """Keep the width on the screen."""
        width = self._width()
        if self._curves and not np.isclose(self._drawn, width, rtol=0.05):
            self._draw()

    def _width(self) -> float:
        """Return the width in data units that is right at the present zoom."""
        camera = camera_of(self._viewer)
        scale = float(np.abs(self._image.scale[-2:]).mean())
        return WIDTH / max(1e-9, float(camera.zoom) * scale)


INSIDE = 0.49
"""Pixels from the centres of the outermost pixels within which curves are drawn."""


def _lines(
    curve: _Curve, width: float, side: int, shape: NDArray[np.intp]
) -> NDArray[Any]:
    """Return starts and directions of one line of a curve, (n, 2, ndim).

    The pieces are a little longer than they are, so that there are no gaps between.
    They end inside an image of this shape: from what lies beside it napari would make
    further steps of its sliders, on which there is no plane.
    """
    plane, pieces = curve.plane, curve.segments
    along = pieces.ends - pieces.starts
    length = np.maximum(np.hypot(*along.T), 1e-9)[:, None]
    more = along / length * width / 2
    starts = pieces.starts + pieces.outward * (side * width / 2) - more
    low, high = -INSIDE, shape[list(plane.axes)] - 1 + INSIDE
    ends = np.clip(starts + along + 2 * more, low, high)
    starts = np.clip(starts, low, high)
    data = np.zeros((len(starts), 2, len(plane.steps)))
    data[:, 0] = plane.steps
    data[:, 0, list(plane.axes)] = starts
    data[:, 1, list(plane.axes)] = ends - starts
    return data


def _colours(curve: _Curve) -> NDArray[Any]:
    """Return the colours of the inner line, (n, 4)."""
    values = curve.segments.values
    found = np.tile(transform_color(curve.colour), (len(values), 1))
    for value, colour in curve.colours.items():
        found[values == value] = colour
    return found
