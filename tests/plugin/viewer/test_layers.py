"""The layers the plugin makes: where they lie, and how they are found again."""

from __future__ import annotations

from typing import TYPE_CHECKING

import dask.array as da
import numpy as np
import pytest
import zarr
from napari.components import ViewerModel

from napari_gpcis.errors import InputError
from napari_gpcis.plugin.viewer import layers as layers_module
from napari_gpcis.plugin.viewer.layers import (
    COPIED,
    LAID,
    NOT_IN_MEMORY,
    OTHER_ORDER,
    READ_ONLY,
    SEVERAL_SIZES,
    SHARED,
    check_labels,
    claim_layers,
    fit_labels,
    lies_on,
    obstacle,
)
from napari_gpcis.plugin.widget import paint_points

if TYPE_CHECKING:
    from pathlib import Path

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


# Labels that come from elsewhere ------------------------------------------------------


@pytest.mark.parametrize(
    "placed",
    [
        {"scale": (0.3, 0.3), "units": ("um", "um")},
        {"scale": (2, 3), "translate": (10, -4)},
        {"rotate": 30},
        {"affine": np.array([[0, 1, 3], [1, 0, 0], [0, 0, 1]])},
    ],
)
def test_masks_without_a_pixel_size_are_laid_on_the_image(placed: dict) -> None:
    viewer = ViewerModel()
    image = viewer.add_image(np.zeros((40, 50)), name="cells", **placed)
    labels = viewer.add_labels(np.zeros((40, 50), np.int32), name="masks")
    note = fit_labels(labels, image)
    assert note == LAID.format("masks", "cells")
    assert lies_on(labels, image)
    assert labels.units == image.units
    assert fit_labels(labels, image) == ""


@pytest.mark.parametrize(
    ("shape", "placed"),
    [((40, 50), {"scale": (3, 3)}), ((40, 50), {"translate": (0, 1)}), ((40, 51), {})],
)
def test_other_masks_stay_where_they_are(shape: tuple, placed: dict) -> None:
    viewer = ViewerModel()
    image = viewer.add_image(np.zeros((40, 50)), scale=(2, 2))
    labels = viewer.add_labels(np.zeros(shape, np.int32), **placed)
    assert fit_labels(labels, image) == ""
    with pytest.raises(InputError):
        claim_layers(viewer, image, labels)


KINDS = (
    "read-only",
    "mapped",
    "broadcast",
    "overlapping",
    "view of read-only",
    "other byte order",
)


def arrays(path: Path) -> dict[str, np.ndarray]:
    """Labels that cannot be written one by one."""
    values = np.arange(2000, dtype=np.int32).reshape(40, 50) % 7
    np.save(path, values)
    frozen = values.copy()
    frozen.flags.writeable = False
    column = np.arange(40, dtype=np.int32)[:, None]
    overlapping = np.lib.stride_tricks.as_strided(column, (40, 50), (4, 0))
    return {
        "read-only": frozen,
        "mapped": np.load(path, mmap_mode="r"),
        "broadcast": np.broadcast_to(column, (40, 50)),
        "overlapping": overlapping,
        "view of read-only": frozen[::-1][::-1],
        "other byte order": values.astype(values.dtype.newbyteorder("S")),
    }


@pytest.mark.parametrize("kind", KINDS)
def test_labels_that_are_read_only_are_copied(kind: str, tmp_path: Path) -> None:
    viewer, data = ViewerModel(), arrays(tmp_path / "m.npy")[kind]
    image = viewer.add_image(np.zeros((40, 50)))
    labels = viewer.add_labels(data, name="masks")
    whys = {"overlapping": SHARED, "other byte order": OTHER_ORDER}
    why = whys.get(kind, READ_ONLY)
    assert fit_labels(labels, image) == COPIED.format("masks", why)
    np.testing.assert_array_equal(labels.data, data)
    labels.data[3, 4] = 99
    assert np.count_nonzero(labels.data == 99) == 1


@pytest.mark.parametrize("kind", ["zarr", "dask"])
def test_labels_that_are_not_in_memory_are_copied(kind: str) -> None:
    values = np.arange(2000, dtype=np.uint16).reshape(40, 50) % 7
    data = {
        "zarr": lambda: zarr.create_array({}, data=values),
        "dask": lambda: da.from_array(values, chunks=20),
    }[kind]()
    viewer = ViewerModel()
    image = viewer.add_image(np.zeros((40, 50)), scale=(2, 2))
    labels = viewer.add_labels(data, name="masks")
    assert obstacle(labels, image) == ""
    notes = (
        f"{LAID.format('masks', image.name)} {COPIED.format('masks', NOT_IN_MEMORY)}"
    )
    assert fit_labels(labels, image) == notes
    assert claim_layers(viewer, image, labels).labels == labels
    assert labels.data.dtype == np.uint16
    np.testing.assert_array_equal(labels.data, values)
    labels.data[3, 4] = 99
    np.testing.assert_array_equal(np.asarray(data), values)  # the file stays


def test_labels_that_do_not_fit_are_not_copied() -> None:
    viewer = ViewerModel()
    labels = viewer.add_labels(da.zeros((40, 50), dtype=np.int32))
    assert fit_labels(labels, viewer.add_image(np.zeros((40, 51)))) == ""
    assert isinstance(labels.data, da.Array)


def test_labels_of_several_resolutions_are_told_with_the_way_out() -> None:
    viewer = ViewerModel()
    image = viewer.add_image(np.zeros((40, 50)))
    levels = [np.zeros((40, 50), np.int32), np.zeros((20, 25), np.int32)]
    labels = viewer.add_labels(levels, name="masks", multiscale=True)
    assert obstacle(labels, image) == SEVERAL_SIZES.format("masks")
    with pytest.raises(InputError, match="New layer from selected multiscale level"):
        claim_layers(viewer, image, labels)


@pytest.mark.parametrize("kind", ["copy on write", "to be written", "reversed"])
def test_labels_that_can_be_written_stay(kind: str, tmp_path: Path) -> None:
    np.save(tmp_path / "m.npy", np.zeros((40, 50), np.int32))
    data = {
        "copy on write": np.load(tmp_path / "m.npy", mmap_mode="c"),
        "to be written": np.load(tmp_path / "m.npy", mmap_mode="r+"),
        "reversed": np.zeros((40, 50), np.int32)[::-1, ::-1],
    }[kind]
    viewer = ViewerModel()
    labels = viewer.add_labels(data)
    assert fit_labels(labels, viewer.add_image(np.zeros((40, 50)))) == ""
    assert np.shares_memory(labels.data, data)


def test_too_much_to_copy_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(layers_module, "MOST_COPIED", 1000)
    viewer = ViewerModel()
    labels = viewer.add_labels(np.broadcast_to(np.int32(0), (40, 50)), name="masks")
    image = viewer.add_image(np.zeros((40, 50)))
    assert "'masks' is read-only" in obstacle(labels, image)
    with pytest.raises(InputError, match=r"read-only.* Open it for writing, or choose"):
        fit_labels(labels, image)
    pixels = da.from_array(np.zeros((40, 50), np.int32), chunks=20)
    lazy = viewer.add_labels(pixels, name="lazy")
    with pytest.raises(InputError, match=r"not in memory.*copy\. Choose 'New layer'"):
        fit_labels(lazy, image)


@pytest.mark.parametrize(
    ("kind", "label", "words"),
    [
        (np.uint64, 2**40, "has the id 1099511627776; ids up to 2147483647"),
        (np.uint32, 2**31, "has the id 2147483648"),
        (np.int64, 2**31, "has the id 2147483648"),
        (np.int32, 2**31 - 1, "has no id left"),
        (np.uint8, 255, "has no id left: uint8 holds ids up to 255"),
    ],
)
def test_ids_beyond_what_can_be_annotated(kind: type, label: int, words: str) -> None:
    viewer = ViewerModel()
    image = viewer.add_image(np.zeros((40, 50)))
    data = np.zeros((40, 50), kind)
    data[3, 4] = label
    with pytest.raises(InputError, match=words):
        claim_layers(viewer, image, viewer.add_labels(data))
