"""Curves over the image that belong to no layer of the person's: previews, boxes."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from napari.utils.colormaps.standardize_color import transform_color

from napari_gpcis.plugin.viewer.layers import MARK, geometry

if TYPE_CHECKING:
    from collections.abc import Sequence

    from napari.components import ViewerModel
    from napari.layers import Image, Vectors
    from numpy.typing import NDArray

    from napari_gpcis.plugin.viewer.planes import Plane

WIDTH = 2.0
"""Width of the curves on the screen, in pixels of the canvas."""


class Sketch:
    """Curves in a layer of their own, made when first needed.

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
        """Whether a curve is drawn."""
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
            metadata={MARK: {"role": "sketch", "image": str(self._image.unique_id)}},
            vector_style="line",
            edge_color=colour,
            edge_width=self._width(),
            **geometry(self._image),
        )
        selection.active = active
        return layer

    def _width(self) -> float:
        """Return the width in data units that is right at the present zoom."""
        camera = getattr(self._viewer, "scene", self._viewer).camera
        scale = float(np.abs(self._image.scale[-2:]).mean())
        return WIDTH / max(1e-9, float(camera.zoom) * scale)


def _set(layer: Vectors, steps: NDArray[Any]) -> None:
    """Draw these pieces.

    They lie inside the image, so the viewer need not look for the range of all layers
    anew, which takes longer than the drawing.
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
