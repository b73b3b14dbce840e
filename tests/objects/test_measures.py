"""Measures of objects are those of scikit-image."""

from __future__ import annotations

import numpy as np
import pytest
from skimage.measure import regionprops

from napari_gpcis.errors import InputError
from napari_gpcis.export import Calibration, coco, object_table
from napari_gpcis.geometry import scan
from napari_gpcis.objects.classes import ClassedObjects
from napari_gpcis.objects.measures import equivalent_diameter, mean_intensities
from napari_gpcis.outlines import geojson
from napari_gpcis.session.labels import ObjectNote


class OnDisk:
    """An array that is read part by part."""

    def __init__(self, array: np.ndarray) -> None:
        self._array, self.shape, self.read = array, array.shape, 0

    def __getitem__(self, place: object) -> np.ndarray:
        self.read += 1
        return self._array[place]


@pytest.fixture
def labels() -> np.ndarray:
    rng = np.random.default_rng(0)
    found = np.zeros((600, 80), np.int32)
    for label in range(1, 60):
        row, col = rng.integers(0, (580, 60))
        found[row : row + rng.integers(2, 20), col : col + rng.integers(2, 20)] = label
    return found


@pytest.mark.parametrize("channels", [(), (3,)])
def test_they_are_those_of_regionprops(
    labels: np.ndarray, channels: tuple[int, ...]
) -> None:
    image = np.random.default_rng(1).normal(100, 20, (*labels.shape, *channels))
    entries = scan(labels) or {}
    lazy = OnDisk(image)
    for source in (image, lazy):
        boxes = ((label, entry.box) for label, entry in entries.items())
        means = mean_intensities(labels, source, boxes)
        assert len(means) == len(entries) > 40
        for one in regionprops(labels, image):
            assert means[one.label] == pytest.approx(np.mean(one.intensity_mean))
            area = entries[one.label].area
            known = one.equivalent_diameter_area
            assert equivalent_diameter(area) == pytest.approx(known)
    assert lazy.read < 10  # many objects at once
    assert equivalent_diameter(100, 0.5, 2.0) == equivalent_diameter(100)


def test_tables_have_them_with_the_class_and_how_an_object_came() -> None:
    labels = np.zeros((2, 8, 10), np.int32)
    labels[0, 1:4, 2:6], labels[1, 2:4, 2:4] = 7, 9
    image = np.arange(160.0).reshape(labels.shape)
    classes = ClassedObjects().named(1, "nucleus", "#ff0000").assigned({9: 1})
    known = Calibration.of(3, (1.0, 0.5, 0.5), "micrometer")
    notes = {((1,), 9): ObjectNote("found", 1, 0.75)}
    first, second = object_table(
        labels, None, known, classes=classes, notes=notes, image=image
    )
    assert first["equivalent_diameter"] == pytest.approx(2 * np.sqrt(12 / np.pi) / 2)
    assert first["mean_intensity"] == image[0, 1:4, 2:6].mean()
    assert second["mean_intensity"] == image[1, 2:4, 2:4].mean()
    asked = "class", "origin", "quality"
    assert [first[name] for name in asked] == ["object", "", ""]
    assert [second[name] for name in asked] == ["nucleus", "found", 0.75]
    content = coco(labels, "a.tif", known, classes=classes)
    assert [one["name"] for one in content["categories"]] == ["object", "nucleus"]
    assert [one["category_id"] for one in content["annotations"]] == [1, 2]
    kind = geojson(labels, known, classes)["features"][1]["properties"]
    assert kind["classification"] == {"name": "nucleus", "color": [255, 0, 0]}
    plain = geojson(labels, known, ClassedObjects())["features"][0]["properties"]
    assert "classification" not in plain


def test_classes_are_kept_by_their_json_form_and_refuse_what_is_none() -> None:
    classes = ClassedObjects().assigned({3: 2, 4: 0, 5: 1}).named(2, "cell")
    assert [one.name for one in classes.classes] == ["object", "class 2", "cell"]
    assert ClassedObjects.from_list(classes.to_list()) == classes
    assert ClassedObjects().to_list() == []
    assert classes.members(0, (3, 4, 5)) == [4]
    assert not classes.assigned({3: 0, 5: 0}).without_unused(1).used
    with pytest.raises(InputError, match="name of its own"):
        classes.named(1, "cell")
    with pytest.raises(InputError, match="#e69f00"):
        classes.named(1, colour="red")
