"""Superpixels merged to larger ones, level by level."""

from __future__ import annotations

import numpy as np
import pytest
from skimage.data import coins
from skimage.measure import label

from napari_gpcis.errors import InputError
from napari_gpcis.inference.image import prepare_image
from napari_gpcis.superpixels import superpixels
from napari_gpcis.superpixels.connectivity import grid_labels
from napari_gpcis.superpixels.hierarchy import divide, merge


@pytest.fixture(scope="module")
def divided():
    image = coins()[60:160, 20:150]
    return image / 255, superpixels(image, 250)


def test_levels_are_nested_connected_and_numbered(divided) -> None:
    image, fine = divided
    wanted = (10_000, 200, 100, 50, 7, 1)
    made = merge(fine, image, wanted)
    assert made.counts == (int(fine.max()), 200, 100, 50, 7, 1)
    np.testing.assert_array_equal(made.labels(0), fine)
    before = fine
    for level, count in enumerate(made.counts):
        now = made.labels(level)
        assert now.dtype == np.int32
        assert len(np.unique(np.stack([before, now]).reshape(2, -1), axis=1).T) == (
            before.max()
        ), "a superpixel of the level before lies in two"
        parts = label(now, background=-1, connectivity=1)
        assert parts.max() == count, "each is one 4-connected region"
        first = np.unique(now, return_index=True)[1]
        np.testing.assert_array_equal(np.unique(now), np.arange(1, count + 1))
        assert (np.diff(first) > 0).all(), "ids are in the order of first pixels"
        before = now


def test_what_is_alike_merges_first() -> None:
    fine = grid_labels((40, 60), (8, 12)) + 1
    image = np.zeros((40, 60, 3))
    image[10:30, 20:45] = 0.3
    two = merge(fine, image, [2]).labels(0)
    inside = two[20, 30]
    np.testing.assert_array_equal(two == inside, image[..., 0] > 0)


def test_a_flat_image_gives_regions_of_about_one_size() -> None:
    fine = grid_labels((64, 64), (16, 16)) + 1
    sizes = np.bincount(merge(fine, np.zeros((64, 64)), [16]).labels(0).ravel())[1:]
    assert sizes.min() > 256 / 3
    assert sizes.max() < 256 * 3


def test_the_nearest_level_is_that_of_the_nearest_ratio(divided) -> None:
    image, fine = divided
    made = merge(fine, image, (200, 100, 25))
    assert [made.nearest(count) for count in (900, 150, 60, 40, 1)] == [0, 0, 1, 2, 2]


def test_a_cancelled_merge_ends_early(divided) -> None:
    image, fine = divided
    made = merge(fine, image, [1], lambda: True)
    assert made.counts == (int(fine.max()),)


@pytest.mark.parametrize(
    ("labels", "image", "counts"),
    [
        (np.zeros((4, 4), int), np.zeros((4, 4)), [1]),
        (np.full((4, 4), 2), np.zeros((4, 4)), [1]),
        (np.ones((4, 4)), np.zeros((4, 4)), [1]),
        (np.ones((4, 4), int), np.zeros((4, 5)), [1]),
        (np.ones((4, 4), int), np.zeros((4, 4)), [0]),
        (np.ones((4, 4), int), np.zeros((4, 4)), []),
    ],
)
def test_bad_input_is_refused(labels, image, counts) -> None:
    with pytest.raises(InputError):
        merge(labels, image, counts)


def test_one_superpixel_stays_one() -> None:
    made = merge(np.ones((3, 5), int), np.zeros((3, 5)), [4, 1])
    assert made.counts == (1,)


def test_an_image_is_divided_on_levels() -> None:
    begun = []
    image = coins()[60:140, 20:120].astype(np.uint16) * 200
    made = divide(prepare_image(image), 40, begun=begun.append)
    assert begun == [0, 1, 2]
    assert {160, 80, 40, 20, 10, 5} <= {*made.counts, 160}
    assert made.counts[0] > 120, "finer ones are there to go to"
    level = made.counts.index(40)
    labels = made.labels(level)
    box, mask = made.region(level, [3, 17])
    whole = np.zeros(labels.shape, bool)
    whole[box[0] : box[2], box[1] : box[3]] = mask
    np.testing.assert_array_equal(whole, np.isin(labels, [3, 17]))
    edges = made.borders(level)
    assert edges[:, :-1][labels[:, :-1] != labels[:, 1:]].all()
    assert not edges[:-1, :-1][
        (labels[:-1, :-1] == labels[1:, :-1]) & (labels[:-1, :-1] == labels[:-1, 1:])
    ].any()
    assert divide(prepare_image(image), 40, cancelled=lambda: True) is None


@pytest.mark.parametrize("method", ["slic", "cds-lite"])
@pytest.mark.parametrize("n", [1, 3, 24])
def test_few_pixels_are_divided_as_well(n: int, method: str) -> None:
    made = divide(prepare_image(np.arange(24).reshape(4, 6)), n, method=method)
    assert made is not None
    assert made.counts[made.nearest(n)] == n
