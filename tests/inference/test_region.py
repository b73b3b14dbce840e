"""Boxes, clicks on the network's grid, and resampling."""

from __future__ import annotations

import tracemalloc

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from numpy.testing import assert_allclose
from torch.nn.functional import interpolate

from napari_gpcis import Click
from napari_gpcis.errors import InputError
from napari_gpcis.geometry import (
    around_clicks,
    clip_box,
    contains,
    network_clicks,
    square_around,
    target_box,
)
from napari_gpcis.inference import resampling
from napari_gpcis.inference.image import prepare_image
from napari_gpcis.inference.resampling import (
    interpolate_columns,
    interpolate_rows,
    to_network,
)


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
    seen = network_clicks([Click(3, 3), Click(1, 0)], box, 128, half_pixel=True)
    assert [(c.row, c.col) for c in seen] == [(0, 7), (0, 1)]


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
    (seen,) = network_clicks([click], box, 256, half_pixel=half_pixel)
    assert contains(box, click)
    assert 0 <= np.float32(seen.row) < 256
    assert 0 <= np.float32(seen.col) < 256


def test_negative_click_elsewhere_falls_outside_the_grid():
    outside = Click(5, 5, positive=False)
    for half_pixel in (False, True):
        (seen,) = network_clicks([outside], (50, 0, 60, 10), 64, half_pixel=half_pixel)
        assert seen.row < 0
        assert not seen.positive


SHAPES = [(30, 41), (64, 64), (300, 150), (7, 500), (1, 1), (1, 90), (2, 3)]


@pytest.fixture
def small_strips(monkeypatch):
    monkeypatch.setattr(resampling, "STRIP_PIXELS", 600)


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("half_pixel", [False, True])
@pytest.mark.usefixtures("small_strips")
def test_shrinking_equals_interpolate(shape, half_pixel):
    values = np.random.default_rng(0).random((*shape, 3), dtype=np.float32)
    padded = np.pad(values, ((3, 4), (5, 6), (0, 0)))
    box = (3, 5, 3 + shape[0], 5 + shape[1])
    prepared = prepare_image(padded, contrast=(0, 1))
    batch = torch.from_numpy(values).movedim(-1, 0)[None]
    options = {"antialias": True} if half_pixel else {"align_corners": True}
    expected = interpolate(batch, (64, 64), mode="bilinear", **options)[0]
    found = to_network(prepared, box, 64, half_pixel=half_pixel)
    assert_allclose(found, expected, atol=1e-4)  # float32 positions in PyTorch


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("half_pixel", [False, True])
def test_enlarging_equals_interpolate(shape, half_pixel):
    grid = np.random.default_rng(1).random((32, 32), dtype=np.float32)
    options = {} if half_pixel else {"align_corners": True}
    batch = torch.from_numpy(grid)[None, None]
    expected = interpolate(batch, shape, mode="bilinear", **options)[0, 0]
    rows, cols = np.arange(shape[0]), np.arange(shape[1])
    across = interpolate_columns(grid, shape[1], cols, half_pixel=half_pixel)
    found = interpolate_rows(across, shape[0], rows, half_pixel=half_pixel)
    assert_allclose(found, expected, atol=1e-4)  # float32 positions in PyTorch
    some = interpolate_columns(grid, shape[1], cols[::2], half_pixel=half_pixel)
    some = interpolate_rows(some, shape[0], rows[-1:], half_pixel=half_pixel)
    assert_allclose(some, expected[-1:, ::2], atol=1e-4)


@pytest.mark.parametrize("half_pixel", [False, True])
def test_huge_image_is_never_converted_as_a_whole(half_pixel):
    row = np.arange(8192, dtype=np.uint16) * 7
    image = np.broadcast_to(row, (8192, 8192))
    tracemalloc.start()
    try:
        prepared = prepare_image(image)
        seen = to_network(prepared, (0, 0, 8192, 8192), 256, half_pixel=half_pixel)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < 64e6  # as float32 RGB it would be 805 MB
    assert_allclose(seen[0, 100], np.linspace(0, 1, 256), atol=5e-3)
