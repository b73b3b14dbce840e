"""Showing a place of the image: its plane, in the middle of the canvas."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from napari.components import ViewerModel
    from napari.layers import Layer

    from napari_gpcis.plugin.viewer.planes import Box, Plane


def go_to(viewer: ViewerModel, layer: Layer, plane: Plane, box: Box) -> None:
    """Show a plane of a layer, with a box of it in the middle; the zoom stays.

    Parameters
    ----------
    viewer
        The viewer.
    layer, plane
        The layer that the plane belongs to.
    box
        Half-open box of pixels.
    """
    dims, camera = viewer.dims, getattr(viewer, "scene", viewer).camera
    middle = plane.point((box[0] + box[2] - 1) / 2, (box[1] + box[3] - 1) / 2)
    world = np.asarray(layer.data_to_world(middle), dtype=float)
    missing = dims.ndim - layer.ndim
    for axis in range(layer.ndim):
        if axis not in plane.axes:
            dims.set_point(axis + missing, world[axis])
    shown = [world[axis - missing] for axis in dims.displayed if axis >= missing]
    camera.center = (*[0.0] * (3 - len(shown)), *shown)
