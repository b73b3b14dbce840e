"""The layers the plugin makes: where they lie, and how they are found again."""

from __future__ import annotations

import dask.array as da
import numpy as np
import pytest
from napari.components import ViewerModel

from napari_gpcis.errors import InputError
from napari_gpcis.plugin.viewer.layers import check_labels, claim_layers, lies_on
from napari_gpcis.plugin.widget import paint_points

GEOMETRY = {
    "scale": (2.0, 0.5, 0.25),
    "translate": (1.0, 20.0, -3.0),
    "rotate": 30.0,
    "units": ("um", "um", "um"),
    "axis_labels": ("z", "y", "x"),
}


def test_layers_lie_on_the_image() -> None:
    viewer = ViewerModel()
    options = {**GEOMETRY, "rotate": np.eye(3)}
    image = viewer.add_image(np.zeros((3, 40, 50)), **options)
    layers = claim_layers(viewer, image, None)
    for layer in layers:
        assert layer.ndim == 3
        assert lies_on(layer, image)
        assert tuple(layer.units) == tuple(image.units)
        assert tuple(layer.axis_labels) == ("z", "y", "x")
    assert layers.labels.data.shape == (3, 40, 50)
    assert layers.labels.data.dtype == np.int32


def test_a_rotated_and_sheared_image() -> None:
    viewer = ViewerModel()
    affine = np.array([[0.9, -0.4, 5.0], [0.3, 1.2, -2.0], [0.0, 0.0, 1.0]])
    image = viewer.add_image(np.zeros((40, 50)), rotate=30, shear=[0.2], affine=affine)
    for layer in claim_layers(viewer, image, None):
        assert lies_on(layer, image)


def test_signs_differ_in_colour_and_symbol() -> None:
    viewer = ViewerModel()
    layers = claim_layers(viewer, viewer.add_image(np.zeros((40, 50))), None)
    for points in layers[:2]:
        points.add([1, 1])
    assert layers.positive.symbol[0] != layers.negative.symbol[0]
    distance = layers.positive.face_color[0] - layers.negative.face_color[0]
    assert np.abs(distance).max() > 0.5


def test_own_layers_are_adopted_whatever_they_are_called() -> None:
    viewer = ViewerModel()
    image = viewer.add_image(np.zeros((40, 50)))
    layers = claim_layers(viewer, image, None)
    for number, layer in enumerate(layers):
        layer.name = f"renamed {number}"
    again = claim_layers(viewer, image, None)
    assert all(one == two for one, two in zip(layers, again, strict=True))
    assert len(viewer.layers) == 4


def test_another_image_gets_layers_of_its_own() -> None:
    viewer = ViewerModel()
    first = claim_layers(viewer, viewer.add_image(np.zeros((40, 50))), None)
    second = claim_layers(viewer, viewer.add_image(np.zeros((40, 50))), None)
    assert all(one != two for one, two in zip(first, second, strict=True))


def test_a_missing_points_layer_is_made_again() -> None:
    viewer = ViewerModel()
    image = viewer.add_image(np.zeros((40, 50)))
    layers = claim_layers(viewer, image, None)
    viewer.layers.remove(layers.negative)
    again = claim_layers(viewer, image, None)
    assert again.positive == layers.positive
    assert again.negative in viewer.layers
    assert again.negative != layers.negative


def test_a_labels_layer_of_a_wrong_shape_is_refused() -> None:
    viewer = ViewerModel()
    image = viewer.add_image(np.zeros((40, 50)))
    labels = viewer.add_labels(np.zeros((40, 51), np.int32), name="cells")
    with pytest.raises(InputError, match=r"'cells' has the shape \(40, 51\)") as caught:
        claim_layers(viewer, image, labels)
    assert "(40, 50)" in str(caught.value)
    assert len(viewer.layers) == 2


def test_labels_that_lie_elsewhere_are_refused() -> None:
    viewer = ViewerModel()
    image = viewer.add_image(np.zeros((40, 50)), scale=(2, 2))
    labels = viewer.add_labels(np.zeros((40, 50), np.int32))
    with pytest.raises(InputError, match="lies elsewhere"):
        check_labels(labels, image)


def test_labels_that_cannot_be_edited_are_refused() -> None:
    viewer = ViewerModel()
    image = viewer.add_image(np.zeros((40, 50)))
    lazy = viewer.add_labels(da.zeros((40, 50), dtype=np.int32))
    with pytest.raises(InputError, match="must hold a NumPy array"):
        check_labels(lazy, image)


def test_clicks_are_seen_on_masks_of_their_own_colour() -> None:
    viewer = ViewerModel()
    layers = claim_layers(viewer, viewer.add_image(np.zeros((40, 50))), None)
    points = layers.positive
    paint_points(points, "#56b4e9")
    points.add([1, 1])
    assert points.face_color[0][:3].mean() - points.border_color[0][:3].mean() > 0.4
