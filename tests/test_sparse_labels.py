"""Tiles of label images: what is in them, and that nothing else is held."""

from __future__ import annotations

import tracemalloc

import numpy as np
import pytest
from numpy.testing import assert_array_equal

from napari_gpcis import geometry
from napari_gpcis.errors import InputError
from napari_gpcis.sparse_labels import TILE, SparseLabels


@pytest.fixture
def labels() -> np.ndarray:
    """A stack whose objects lie across the borders of tiles."""
    stack = np.zeros((3, 2, TILE + 70, 2 * TILE + 30), np.int32)
    stack[0, 1, TILE - 5 : TILE + 9, 10:50] = 4
    stack[2, 0, -3:, -2:] = 70_000
    stack[2, 0, 3:9, TILE - 1 : TILE + 1] = 4
    stack[2, 0, 20, 30:40] = -1
    return stack


@pytest.mark.parametrize("axes", [None, (0, 1), (1, 3), (2, 3)])
def test_planes_boxes_and_objects_are_those_of_the_image(
    labels: np.ndarray, axes: tuple[int, int] | None
) -> None:
    sparse = SparseLabels.of(labels, axes)
    moved = np.moveaxis(labels, axes or (2, 3), (-2, -1))
    assert list(sparse.planes()) == list(np.ndindex(moved.shape[:-2]))
    for index in list(sparse.planes())[::37]:
        assert_array_equal(sparse.plane(index), moved[index])
        assert sparse.objects(index) == geometry.scan(moved[index])
    assert sparse.range == (-1, 70_000)


def test_a_box_across_tiles(labels: np.ndarray) -> None:
    sparse = SparseLabels.of(labels)
    box = TILE - 7, 5, TILE + 20, TILE + 3
    assert_array_equal(sparse.read((0, 1), box), labels[0, 1][geometry.slices(box)])
    assert sparse.is_empty((0, 0), 0, TILE)
    assert sparse.is_empty((2, 0), TILE // 2, TILE // 2 + 1) is False
    assert sparse.objects((0, 1)) == {
        4: geometry.Entry(14 * 40, (TILE - 5, 10, TILE + 9, 50))
    }


def test_pixels_that_are_set(labels: np.ndarray) -> None:
    sparse, rng = SparseLabels.of(labels, (1, 3)), np.random.default_rng(0)
    places = [rng.integers(0, size, 200) for size in labels.shape]
    values = np.arange(200)
    _, last = np.unique(np.stack(places)[:, ::-1], axis=1, return_index=True)
    kept = 199 - last  # each place once
    places, values = [axis[kept] for axis in places], values[kept]
    sparse.put(places, values)
    labels[tuple(places)] = values
    again = np.zeros_like(labels)
    for found, those in sparse.pixels():
        again[tuple(found)] = those
    assert_array_equal(again, labels)
    sparse.put([np.zeros(0, int)] * 4, np.zeros(0, int))


def test_one_object_costs_its_tiles_only() -> None:
    slide = np.zeros((20_000, 20_000), np.int32)
    slide[9_000:9_040, 7_000:7_050] = 3
    slide[0, 0] = slide[-1, -1] = 5
    tracemalloc.start()
    sparse = SparseLabels.of(slide)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert sparse.nbytes <= 4 * 4 * TILE * TILE
    assert peak < 8 * 4 * TILE * TILE


def test_it_is_a_copy_unless_asked_otherwise(labels: np.ndarray) -> None:
    copy, view = SparseLabels.of(labels), SparseLabels.of(labels, copy=False)
    labels[0, 1, TILE, 20] = 9
    assert copy.read((0, 1), (TILE, 20, TILE + 1, 21)) == 4
    assert view.read((0, 1), (TILE, 20, TILE + 1, 21)) == 9


def test_what_is_no_label_image() -> None:
    with pytest.raises(InputError, match=r"labels must be integers .* float64"):
        SparseLabels.of(np.zeros((3, 3)))
    with pytest.raises(InputError, match=r"shape \(3,\)"):
        SparseLabels.of(np.zeros(3, int))


def test_it_can_be_given_up(labels: np.ndarray) -> None:
    assert SparseLabels.of(labels, cancelled=lambda: True).nbytes == 0


def test_objects_are_counted_once_over_tiles_and_planes() -> None:
    labels = np.zeros((3, 700, 600), np.int32)
    labels[0, 500:530, 500:530] = 4  # on four tiles
    labels[1, 500:530, 500:530] = 4
    labels[1, 0, 0] = 9
    labels[2, 5, 5] = -1
    assert SparseLabels.of(labels).count == 2
    assert SparseLabels.of(np.zeros((5, 5), np.uint8)).count == 0
