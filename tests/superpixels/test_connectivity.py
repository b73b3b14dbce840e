"""Connected superpixels of a wanted number."""

import numpy as np
import pytest
from skimage.measure import label as connected_parts

from napari_gpcis.superpixels.connectivity import (
    connect,
    fit_count,
    grid_labels,
    grid_shape,
    neighbours,
)


def parts(labels):
    return connected_parts(labels, background=-1, connectivity=1).max()


def test_parts_of_one_label_become_regions():
    labels = np.array([[1, 1, 2, 2, 1, 1]])
    assert connect(labels, 0).tolist() == [[1, 1, 2, 2, 3, 3]]


def test_corners_do_not_connect():
    labels = np.array([[0, 1], [1, 0]])
    assert connect(labels, 0).tolist() == [[1, 2], [3, 4]]


def test_a_small_part_joins_the_neighbour_with_the_longest_border():
    labels = np.zeros((6, 8), int)
    labels[:, 4:] = 1
    labels[2:4, 3] = 2  # touches the left with 4 edges, the right with 2
    merged = connect(labels, 5)
    assert merged.max() == 2
    assert merged[2, 3] == merged[0, 0] == 1


def test_small_parts_among_each_other_are_merged_until_all_are_large():
    labels = np.arange(64).reshape(8, 8)
    merged = connect(labels, 6)
    assert np.bincount(merged.ravel())[1:].min() >= 6
    assert parts(merged) == merged.max()


def test_one_region_may_be_as_small_as_it_likes():
    assert connect(np.zeros((2, 2), int), 100).tolist() == [[1, 1], [1, 1]]


@pytest.mark.parametrize("count", [1, 2, 5, 9, 30, 250, 600])
@pytest.mark.parametrize("kind", ["noise", "one", "rows"])
def test_the_number_is_within_a_tenth(count, kind):
    shape = 20, 30
    labels = {
        "noise": np.random.default_rng(0).integers(0, 3, shape),
        "one": np.zeros(shape, int),
        "rows": np.indices(shape)[0],
    }[kind]
    fitted = fit_count(connect(labels, 0), count)
    assert abs(int(fitted.max()) - count) <= 0.1 * count
    assert np.array_equal(np.unique(fitted), np.arange(1, fitted.max() + 1))
    assert parts(fitted) == fitted.max()


def test_halves_are_about_equal():
    fitted = fit_count(np.ones((32, 32), np.int32), 8)
    sizes = np.bincount(fitted.ravel())[1:]
    assert sizes.max() <= 2 * sizes.min()


@pytest.mark.parametrize(
    ("shape", "count", "expected"),
    [
        ((320, 480), 600, (20, 30)),
        ((480, 320), 600, (30, 20)),
        ((321, 481), 384, (16, 24)),
        ((1, 100), 10, (1, 10)),
        ((100, 1), 10, (10, 1)),
        ((8, 8), 64, (8, 8)),
        ((5, 5), 1, (1, 1)),
    ],
)
def test_grids_have_about_square_cells(shape, count, expected):
    assert grid_shape(shape, count) == expected


def test_cells_of_a_grid():
    assert grid_labels((2, 4), (1, 2)).tolist() == [[0, 0, 1, 1]] * 2


def test_borders_are_counted_in_pixel_edges():
    borders = neighbours(np.array([[0, 0, 1], [0, 2, 1]])).toarray()
    assert borders.tolist() == [[0, 1, 2], [1, 0, 1], [2, 1, 0]]
