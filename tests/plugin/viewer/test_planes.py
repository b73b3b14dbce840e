"""Planes: from points of an nD layer to pixels of what is shown, and back."""

from __future__ import annotations

import numpy as np
import pytest
from napari.components import ViewerModel

from napari_gpcis.errors import InputError
from napari_gpcis.plugin.viewer.planes import (
    Plane,
    displayed_plane,
    full_resolution,
    layer_shape,
    visible_box,
)


def test_pixel_and_point_are_inverse() -> None:
    plane = Plane((1, 3), (4, 0, 2, 0))
    point = plane.point(3.25, 7.5)
    np.testing.assert_array_equal(point, [4, 3.25, 2, 7.5])
    assert plane.pixel(point) == (3.25, 7.5)


def test_points_beside_the_plane_have_no_pixel() -> None:
    plane = Plane((1, 2), (4, 0, 0))
    assert plane.pixel([4.4, 1, 1]) == (1, 1)
    assert plane.pixel([4.6, 1, 1]) is None


def test_take_and_indices_meet() -> None:
    data = np.arange(2 * 3 * 4 * 5).reshape(2, 3, 4, 5)
    plane = Plane((1, 3), (1, 0, 2, 0))
    rows, cols = np.array([0, 2]), np.array([4, 1])
    assert plane.shape(data.shape) == (3, 5)
    taken = plane.take(data)
    assert taken.shape == (3, 5)
    np.testing.assert_array_equal(data[plane.indices(rows, cols)], taken[rows, cols])


def test_the_displayed_plane_follows_slider_and_axes() -> None:
    viewer = ViewerModel()
    image = viewer.add_image(np.zeros((5, 6, 7)), scale=(2, 1, 1), translate=(10, 0, 0))
    viewer.dims.set_current_step(0, 3)
    assert displayed_plane(viewer, image) == Plane((1, 2), (3, 0, 0))
    viewer.dims.order = (1, 0, 2)
    viewer.dims.set_current_step(1, 4)
    assert displayed_plane(viewer, image) == Plane((0, 2), (0, 4, 0))


def test_a_transposed_display_is_the_same_plane() -> None:
    viewer = ViewerModel()
    image = viewer.add_image(np.zeros((5, 6, 7)))
    before = displayed_plane(viewer, image)
    viewer.dims.order = (0, 2, 1)
    assert displayed_plane(viewer, image) == before


def test_a_flat_image_under_a_stack() -> None:
    viewer = ViewerModel()
    image = viewer.add_image(np.zeros((6, 7)))
    viewer.add_image(np.zeros((5, 6, 7)))
    assert displayed_plane(viewer, image) == Plane((0, 1), (0, 0))
    viewer.dims.order = (1, 0, 2)
    with pytest.raises(InputError, match="not all axes"):
        displayed_plane(viewer, image)


def test_the_3d_display_and_a_slider_outside_are_refused() -> None:
    viewer = ViewerModel()
    short = viewer.add_image(np.zeros((2, 6, 7)))
    viewer.add_image(np.zeros((9, 6, 7)))
    viewer.dims.set_current_step(0, 8)
    with pytest.raises(InputError, match="outside"):
        displayed_plane(viewer, short)
    viewer.dims.ndisplay = 3
    with pytest.raises(InputError, match="2-D display"):
        displayed_plane(viewer, short)


@pytest.mark.skipif(not hasattr(ViewerModel().dims, "units"), reason="napari < 0.9")
def test_layers_and_axes_of_different_units_are_refused() -> None:
    viewer = ViewerModel()
    image = viewer.add_image(np.zeros((3, 6, 7)), units=("s", "um", "um"))
    plane = displayed_plane(viewer, image)
    viewer.add_image(np.zeros((6, 7)))  # pixels are compared with nothing
    assert displayed_plane(viewer, image) == plane
    viewer.layers.pop()
    other = viewer.add_image(np.zeros((6, 7)), units=("nm", "nm"))
    with pytest.raises(InputError, match=r"units \(micrometer, nanometer\)"):
        displayed_plane(viewer, image)
    displayed_plane(viewer, other)
    other.units = ("um", "um")
    assert displayed_plane(viewer, image) == plane
    image.units = ("s", "um", "nm")
    with pytest.raises(InputError, match="different units"):
        displayed_plane(viewer, image)


def test_shape_of_rgb_and_multiscale_layers() -> None:
    viewer = ViewerModel()
    colour = viewer.add_image(np.zeros((6, 7, 3), np.uint8), rgb=True)
    assert layer_shape(colour) == (6, 7)
    levels = [np.zeros((64, 32)), np.zeros((32, 16))]
    image = viewer.add_image(levels, multiscale=True)
    assert layer_shape(image) == (64, 32)
    assert full_resolution(image) is levels[0]


def test_the_visible_box_is_clipped_and_half_open() -> None:
    labels = ViewerModel().add_labels(np.zeros((3, 40, 50), np.int32))
    plane = Plane((1, 2), (1, 0, 0))
    labels.corner_pixels = np.zeros((2, 3), dtype=int)
    assert visible_box(labels, plane, (40, 50)) is None  # nothing is in sight
    labels.corner_pixels = np.array([[0, -4, 10], [0, 19, 70]])
    assert visible_box(labels, plane, (40, 50)) == (0, 10, 20, 50)
