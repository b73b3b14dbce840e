"""Planes of a layer, as the two-dimensional display shows them.

A layer may have any number of axes and napari may show any two of them, in any
order. A :class:`Plane` names the two shown axes and the place on all others, and
converts between points of the layer and pixels ``(row, col)`` of the plane. Rows run
along the lower of the two axes, so that a transposed display gives the same plane.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from napari_gpcis.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from napari.components import ViewerModel
    from napari.layers import Layer

    Box = tuple[int, int, int, int]


@dataclass(frozen=True)
class Plane:
    """Two-dimensional plane of a layer.

    Parameters
    ----------
    axes
        The two displayed axes of the layer, ascending: rows, columns.
    steps
        Index on every axis of the layer; the entries of ``axes`` are 0.
    """

    axes: tuple[int, int]
    steps: tuple[int, ...]

    @property
    def index(self) -> tuple[int | slice, ...]:
        """Index that takes the plane out of the layer's array."""
        return tuple(
            slice(None) if axis in self.axes else step
            for axis, step in enumerate(self.steps)
        )

    def shape(self, layer_shape: Sequence[int]) -> tuple[int, int]:
        """Return rows and columns of the plane for a layer of this shape."""
        return int(layer_shape[self.axes[0]]), int(layer_shape[self.axes[1]])

    def take(self, data: Any) -> Any:
        """Take the plane out of an array (a view, where the array gives views)."""
        return data[self.index]

    def pixel(self, point: Sequence[float]) -> tuple[float, float] | None:
        """Return the pixel of a point of the layer, ``None`` beside the plane.

        Coordinates are rounded to a thousandth of a pixel, so that a point keeps its
        pixel through the transforms of two layers and back.
        """
        for axis, step in enumerate(self.steps):
            if axis not in self.axes and _nearest(point[axis]) != step:
                return None
        row, col = (round(float(point[axis]), 3) for axis in self.axes)
        return row, col

    def point(self, row: float, col: float) -> np.ndarray[Any, np.dtype[np.float64]]:
        """Return the point of the layer at a pixel of the plane."""
        point = np.array(self.steps, dtype=np.float64)
        point[list(self.axes)] = row, col
        return point

    def indices(self, rows: Any, cols: Any) -> tuple[Any, ...]:
        """Return index arrays into the layer for pixels of the plane."""
        places = {self.axes[0]: rows, self.axes[1]: cols}
        return tuple(
            places.get(axis, np.full(len(rows), step, dtype=np.intp))
            for axis, step in enumerate(self.steps)
        )


def displayed_plane(viewer: ViewerModel, layer: Layer) -> Plane:
    """Return the plane of ``layer`` that the viewer shows now.

    Raises
    ------
    InputError
        If the display is three-dimensional, or shows an axis the layer lacks, or
        stands beside the layer, or has other units than it.
    """
    dims = viewer.dims
    if dims.ndisplay != 2:
        msg = "Clicking works in the 2-D display: press Control-Y to switch back."
        raise InputError(msg)
    missing = dims.ndim - layer.ndim
    shown = sorted(axis - missing for axis in dims.displayed)
    if shown[0] < 0:
        msg = f"The displayed axes are not all axes of {layer.name!r}."
        raise InputError(msg)
    check_units(viewer, layer)
    point = layer.world_to_data(dims.point)
    shape = layer_shape(layer)
    steps = [
        0 if axis in shown else _nearest(point[axis]) for axis in range(layer.ndim)
    ]
    if any(not 0 <= step < size for step, size in zip(steps, shape, strict=True)):
        msg = f"The slider stands outside {layer.name!r}."
        raise InputError(msg)
    return Plane((shown[0], shown[1]), tuple(steps))


def check_units(viewer: ViewerModel, layer: Layer) -> None:
    """Check that the viewer shows a layer in its own units.

    Where axes or layers have different units of length, napari (from 0.9) draws them
    all in one of these; but mouse, sliders and brushes of a layer go on in its own, and
    points land elsewhere than where the mouse is.

    Raises
    ------
    InputError
        If it shows it in others.
    """
    shown, own = getattr(viewer.dims, "units", None), getattr(layer, "units", None)
    if not shown or not own or tuple(shown[-layer.ndim :]) == tuple(own):
        return
    pairs = zip(own, shown[-layer.ndim :], strict=True)
    one, other = next(pair for pair in pairs if pair[0] != pair[1])
    msg = (
        f"Axes or layers have different units ({one}, {other}), and napari would put "
        "clicks elsewhere. Set 'units' of all layers to the same, and scale them."
    )
    raise InputError(msg)


def layer_shape(layer: Layer) -> tuple[int, ...]:
    """Return the shape of an image or labels layer, without colour channels."""
    return tuple(int(size) for size in full_resolution(layer).shape[: layer.ndim])


def full_resolution(layer: Layer) -> Any:
    """Return the array of a layer; of a multiscale layer the finest level."""
    return layer.data[0] if getattr(layer, "multiscale", False) else layer.data


def visible_box(layer: Layer, plane: Plane, shape: tuple[int, int]) -> Box | None:
    """Return the visible part of the plane as a half-open box of pixels.

    Parameters
    ----------
    layer
        A single-scale layer that lies on the image (its labels).
    plane
        The displayed plane.
    shape
        Rows and columns of the plane.

    Returns
    -------
    tuple or None
        ``(row_min, col_min, row_max, col_max)``; ``None`` where nothing was drawn
        yet, which leaves the choice to the session.
    """
    low, high = np.asarray(layer.corner_pixels)[:, list(plane.axes)]
    low = np.maximum(low, 0)
    high = np.minimum(high + 1, shape)
    if np.any(high - low < 2):
        return None
    return int(low[0]), int(low[1]), int(high[0]), int(high[1])


def _nearest(coordinate: float) -> int:
    """Return the index of the plane that napari shows at a coordinate.

    Half-way between two, where the slider stands for another layer's finer planes, it
    is the even one.
    """
    return int(np.round(coordinate))


def camera_of(viewer: ViewerModel) -> Any:
    """Return the camera, which napari 0.9 has moved into the scene."""
    return getattr(viewer, "scene", viewer).camera


ENOUGH, ALL, GOOD = 0.1, 0.9, 0.3
"""Shares of the canvas that an object may take at least and at most, and that it takes
once it was zoomed to."""


def zoom_to(viewer: ViewerModel, layer: Layer, plane: Plane, box: Box) -> None:
    """Zoom so that a box of a plane is seen well, unless it is already.

    Parameters
    ----------
    viewer
        The viewer; one without a canvas is left alone.
    layer, plane
        The layer that the plane belongs to.
    box
        Half-open box of pixels.
    """
    size = getattr(getattr(viewer, "canvas", None), "size", None)
    if size is None or min(size) < 1:
        return
    ends = [plane.point(*corner) for corner in (box[:2], box[2:])]
    sides = np.abs(np.subtract(*(layer.data_to_world(end) for end in ends)))
    side = max(float(np.max(sides)), 1e-9)
    camera = camera_of(viewer)
    share = side * float(camera.zoom) / min(size)
    if not ENOUGH <= share <= ALL:
        camera.zoom = GOOD * min(size) / side


def bring_into_view(
    viewer: ViewerModel,
    layer: Layer,
    seen: Layer,
    plane: Plane,
    box: Box,
    *,
    centred: bool,
    zooms: bool = True,
) -> None:
    """Show a plane with a box of it; the camera moves only if it is not seen well.

    Parameters
    ----------
    viewer, layer
        The viewer, and the layer that the plane belongs to.
    seen
        A single-scale layer that lies on it, and knows what is visible.
    plane, box
        The plane, and a half-open box of its pixels.
    centred
        Whether the box comes into the middle even if it is seen well.
    zooms
        Whether a box that is too small or too large to be seen well is zoomed to.
    """
    shape = plane.shape(layer_shape(seen))
    visible = visible_box(seen, plane, shape)
    camera = camera_of(viewer)
    zoom = float(camera.zoom)
    inside = (
        not centred
        and seen.visible
        and visible is not None
        and all(
            visible[side] <= box[side] and box[side + 2] <= visible[side + 2]
            for side in (0, 1)
        )
    )
    center = tuple(camera.center)
    center_on(viewer, layer, plane, box)
    if zooms:
        zoom_to(viewer, layer, plane, box)
    if inside and float(camera.zoom) == zoom:
        camera.center = center


def center_on(viewer: ViewerModel, layer: Layer, plane: Plane, box: Box) -> None:
    """Show a plane with a box of it in the middle; the zoom stays.

    Parameters
    ----------
    viewer
        The viewer.
    layer, plane
        The layer that the plane belongs to.
    box
        Half-open box of pixels.
    """
    dims, camera = viewer.dims, camera_of(viewer)
    middle = plane.point((box[0] + box[2] - 1) / 2, (box[1] + box[3] - 1) / 2)
    world = np.asarray(layer.data_to_world(middle), dtype=float)
    missing = dims.ndim - layer.ndim
    for axis in range(layer.ndim):
        if axis not in plane.axes:
            dims.set_point(axis + missing, world[axis])
    shown = [world[axis - missing] for axis in dims.displayed if axis >= missing]
    camera.center = (*[0.0] * (3 - len(shown)), *shown)
