"""Boxes, masks on boxes, and clicks on the network's grid."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.testing import assert_array_equal
from scipy.ndimage import distance_transform_edt
from skimage.measure import regionprops

from napari_gpcis import Click, geometry
from napari_gpcis.errors import InputError
from napari_gpcis.geometry import (
    Entry,
    clip_box,
    column_runs,
    contains,
    deepest_pixel,
    depth,
    iou,
    mask_of_runs,
    network_clicks,
    run_lengths,
    scan,
    square_around,
)
from napari_gpcis.inference.region import around_clicks, target_box


@pytest.mark.parametrize(
    ("side", "expected"),
    [
        ((40, 61), (35, 66)),  # centre 50 +- 14.7
        ((41, 60), (37, 64)),  # centre 50 +- 13.3
        ((50, 51), (45, 56)),  # at least ten pixels: 50 +- 5
        ((9, 11), (4, 15)),  # 9.5 +- 5: halves are rounded to even
        ((0, 10), (0, 13)),  # 4.5 +- 7 is -2.5 to 11.5; clamped below
        ((90, 100), (88, 100)),  # 94.5 +- 7 is 87.5 to 101.5; clamped above
    ],
)
def test_target_box_has_the_published_arithmetic(side, expected):
    (low, high), (first, last) = side, expected
    assert target_box((low, 50, high, 51), (100, 200), 1.4) == (first, 45, last, 56)
    assert target_box((50, low, 51, high), (200, 100), 1.4) == (45, first, 56, last)


def test_box_grows_to_positive_clicks_only():
    clicks = [Click(2, 30), Click(90, 90, positive=False), Click(25.6, 15)]
    assert around_clicks((10, 10, 20, 20), clicks) == (2, 10, 27, 31)


def test_square_around_a_click_is_clipped():
    assert square_around(Click(50, 60), 20, (100, 100)) == (40, 50, 60, 70)
    assert square_around(Click(0, 99), 20, (100, 100)) == (0, 89, 10, 100)


def test_view_is_clipped_and_rounded_outwards():
    assert clip_box((-5, 1.2, 20.1, 900), (100, 100)) == (0, 1, 21, 100)


@pytest.mark.parametrize(
    "box",
    [(0, 0, 10), (0, 0, 0, 10), (200, 200, 300, 300), (0, 0, np.nan, 5), "abcd", 7],
)
def test_view_that_is_no_box_in_the_image(box):
    with pytest.raises(InputError, match=r"^view must"):
        clip_box(box, (100, 100))


def test_published_clicks_are_scaled_by_size_over_height():
    (click,) = network_clicks([Click(30, 50)], (10, 20, 110, 70), 256, half_pixel=False)
    assert (click.row, click.col) == (20 * 2.56, 30 * 5.12)
    (last,) = network_clicks([Click(999, 0)], (0, 0, 1000, 9), 256, half_pixel=False)
    assert last.row == 999 * 0.256  # beyond the last pixel's centre, still in it


def test_half_pixel_clicks_lie_on_the_network_pixel_that_contains_them():
    box = (0, 0, 512, 64)
    found = network_clicks([Click(3, 3), Click(1, 0)], box, 128, half_pixel=True)
    assert [(c.row, c.col) for c in found] == [(0, 7), (0, 1)]


@given(
    start=st.tuples(st.integers(0, 50), st.integers(0, 50)),
    size=st.tuples(st.integers(1, 5000), st.integers(1, 5000)),
    where=st.tuples(st.floats(0, 1), st.floats(0, 1)),
    half_pixel=st.booleans(),
)
def test_clicks_in_the_box_stay_on_the_grid(start, size, where, half_pixel):
    box = (*start, start[0] + size[0], start[1] + size[1])
    position = [
        min(s - 0.5 + w * n, s + n - 0.501)
        for s, n, w in zip(start, size, where, strict=True)
    ]
    click = Click(*position)
    (found,) = network_clicks([click], box, 256, half_pixel=half_pixel)
    assert contains(box, click)
    assert 0 <= np.float32(found.row) < 256
    assert 0 <= np.float32(found.col) < 256


def test_negative_click_elsewhere_falls_outside_the_grid():
    outside = Click(5, 5, positive=False)
    for half_pixel in (False, True):
        (found,) = network_clicks([outside], (50, 0, 60, 10), 64, half_pixel=half_pixel)
        assert found.row < 0
        assert not found.positive


@pytest.mark.parametrize("sampling", [None, (2.5, 0.5)])
@pytest.mark.parametrize("share", [0.0, 0.3, 0.97, 1.0])
def test_depth_is_the_distance_to_the_outside_of_the_mask(share, sampling):
    rng = np.random.default_rng(0)
    mask = np.zeros((40, 50), dtype=bool)
    mask[5:36, 8:50] = rng.random((31, 42)) < share
    found = depth(mask, sampling)
    expected = distance_transform_edt(np.pad(mask, 1), sampling=sampling)[1:-1, 1:-1]
    assert_array_equal(found, expected)


def test_deepest_pixel_is_the_first_of_several():
    mask = np.ones((5, 7), dtype=bool)
    assert deepest_pixel(depth(mask)) == (2, 2)


def test_iou_of_masks_on_boxes():
    full = np.ones((4, 4), dtype=bool)
    assert iou(full, (0, 0, 4, 4), full, (0, 0, 4, 4)) == 1
    assert iou(full, (0, 0, 4, 4), full, (2, 0, 6, 4)) == 8 / 24
    assert iou(full, (0, 0, 4, 4), full, (4, 0, 8, 4)) == 0
    nothing = np.zeros((0, 0), dtype=bool)
    assert iou(nothing, (0, 0, 0, 0), nothing, (0, 0, 0, 0)) == 0


@given(
    shape=st.tuples(st.integers(1, 6), st.integers(1, 6)),
    bits=st.integers(0, 2**36 - 1),
)
def test_run_lengths_give_the_mask_back(shape, bits):
    size = shape[0] * shape[1]
    flat = np.array([bits >> place & 1 for place in range(size)], dtype=bool)
    mask = flat.reshape(shape)
    assert_array_equal(mask_of_runs(run_lengths(mask), shape), mask)
    turned = run_lengths(mask, order="F")
    assert turned == run_lengths(np.ascontiguousarray(mask.T))
    assert_array_equal(mask_of_runs(turned, shape[::-1]), mask.T)


@pytest.mark.parametrize("runs", [(3,), (5, -1), (1, 4)])
def test_runs_that_do_not_fill_the_mask(runs):
    with pytest.raises(ValueError, match=r"do not fill a mask of 2 x 2 pixels"):
        mask_of_runs(runs, (2, 2))


@pytest.mark.parametrize("seed", range(40))
def test_runs_by_columns_are_those_of_the_whole_plane(seed: int) -> None:
    rng = np.random.default_rng(seed)
    shape = tuple(map(int, rng.integers(1, 7, 2)))
    whole = rng.random(shape) < rng.choice([0.1, 0.5, 0.95])
    box = geometry.box_of(whole) or (0, 0, 1, 1)
    found = column_runs(whole[geometry.slices(box)], box, shape)
    assert found == list(run_lengths(whole, order="F"))


def test_runs_by_columns_where_columns_join() -> None:
    full = np.ones((3, 2), bool)
    assert column_runs(full, (0, 0, 3, 2), (3, 2)) == [0, 6]
    assert column_runs(full, (0, 1, 3, 3), (3, 4)) == [3, 6, 3]
    assert column_runs(~full, (0, 1, 3, 3), (3, 4)) == [12]


@pytest.mark.parametrize("strip", [50, 333, 1 << 20])
@pytest.mark.parametrize("offset", [0, 1_000_000])
def test_agrees_with_region_properties(monkeypatch, strip, offset) -> None:
    monkeypatch.setattr(geometry, "STRIP_PIXELS", strip)
    rng = np.random.default_rng(0)
    labels = np.kron(rng.integers(0, 9, (6, 7)), np.ones((5, 6), int)).astype(np.int32)
    labels[rng.random(labels.shape) < 0.2] = 0
    wanted = {
        region.label + offset: Entry(int(region.area), region.bbox)
        for region in regionprops(labels)
    }
    found = scan(np.where(labels > 0, labels + offset, 0))
    assert found == wanted
    assert list(found) == sorted(found)


@pytest.mark.parametrize("kind", ["u1", "u8", "<i8", ">u2", "b1"])
def test_labels_of_any_integers(kind: str) -> None:
    labels = np.zeros((5, 6), kind)
    labels[1:3, 2:6] = 1
    assert geometry.scan(labels) == {1: Entry(8, (1, 2, 3, 6))}


def test_ids_may_be_huge_and_far_apart() -> None:
    labels = np.array([[1, 1, 2**63], [0, 2**40, 2**63]], np.uint64)
    assert scan(labels) == {
        1: Entry(2, (0, 0, 1, 2)),
        2**40: Entry(1, (1, 1, 2, 2)),
        2**63: Entry(2, (0, 2, 2, 3)),
    }


def test_a_full_plane_of_large_ids() -> None:
    found = scan(np.full((3, 4), 70_000, dtype=np.uint32))
    assert found == {70_000: Entry(12, (0, 0, 3, 4))}


def test_nothing_and_negative_values() -> None:
    assert scan(np.zeros((5, 5), dtype=np.uint8)) == {}
    assert scan(np.full((5, 5), -3)) == {}


def test_some_ids_are_looked_for() -> None:
    labels = np.array([[1, 1, 2, 0], [3, 0, 2, 9]], np.uint16)
    assert scan(labels, only=[9, 2, 7]) == {
        2: Entry(2, (0, 2, 2, 3)),
        9: Entry(1, (1, 3, 2, 4)),
    }


def test_it_can_be_given_up() -> None:
    assert scan(np.ones((5, 5), dtype=int), lambda: True) is None
