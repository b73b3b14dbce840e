"""Resampling between an image and the network's grid, in bounded memory."""

from __future__ import annotations

import tracemalloc

import numpy as np
import pytest
import torch
from numpy.testing import assert_allclose
from torch.nn.functional import interpolate

from napari_gpcis.inference import resampling
from napari_gpcis.inference.image import prepare_image
from napari_gpcis.inference.resampling import (
    interpolate_columns,
    interpolate_rows,
    to_network,
)

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
