"""Predictions: maps of image size from the network's grid, and obeyed clicks."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.testing import assert_allclose, assert_array_equal
from skimage.draw import polygon2mask

from _fake_segmenter import FakeSegmenter
from napari_gpcis import Click, Prediction, Session
from napari_gpcis.errors import InputError
from napari_gpcis.geometry import box_of
from napari_gpcis.inference import prediction, resampling
from napari_gpcis.inference.prediction import GridMaps
from napari_gpcis.inference.resampling import (
    mask_to_network,
    there_and_back,
    to_network,
)

SHAPE = (40, 50)
ROI = (10, 20, 34, 44)


def predict(probability, clicks=(), roi=ROI, half_pixel=True, threshold=0.5):
    grid = np.broadcast_to(np.float32(probability), (16, 16)).copy()
    maps = GridMaps(grid, grid - 1, grid + 1, grid + 2)
    return Prediction(SHAPE, roi, tuple(clicks), threshold, maps, half_pixel)


@pytest.fixture
def ramp():
    return predict(np.linspace(0, 1, 16))


def test_maps_have_the_shape_of_the_image(ramp):
    for name in ("mask", "probability", "variance", "prior", "update"):
        full = getattr(ramp, name)
        assert full.shape == SHAPE
        assert_array_equal(full[10:34, 20:44], ramp.crop(name))
        assert full.dtype == (bool if name == "mask" else np.float32)


def test_outside_the_roi(ramp):
    outside = np.ones(SHAPE, bool)
    outside[10:34, 20:44] = False
    assert not ramp.mask[outside].any()
    assert_array_equal(ramp.probability[outside], 0)
    for name in ("variance", "prior", "update"):
        assert np.isnan(getattr(ramp, name)[outside]).all()
        assert np.isfinite(ramp.crop(name)).all()


def test_mask_is_where_the_probability_is_above_the_threshold(ramp):
    assert_array_equal(ramp.mask, ramp.probability > 0.5)
    assert_array_equal(ramp.with_threshold(0.8).mask, ramp.probability > 0.8)
    assert ramp.threshold == 0.5


def test_extent_is_the_box_of_the_object(ramp):
    rows, cols = np.nonzero(ramp.probability > 0.6)
    expected = (rows.min(), cols.min(), rows.max() + 1, cols.max() + 1)
    assert ramp.extent(0.6) == expected
    assert predict(0.3).extent(0.49) is None


@given(st.integers(0, 2**32 - 1), st.booleans())
def test_extent_is_that_of_all_pixels(seed, half_pixel):
    rng = np.random.default_rng(seed)
    grid = rng.random(rng.integers(1, 12, 2)) ** rng.integers(1, 12)
    maps = GridMaps(*(grid.astype(np.float32) for _ in range(4)))
    height, width = rng.integers(1, 60, 2)
    roi = (3, 4, 3 + int(height), 4 + int(width))
    found = Prediction((80, 90), roi, (), 0.5, maps, half_pixel)
    for threshold in (0.2, 0.49, 0.9):
        assert found.extent(threshold) == box_of(found.probability > threshold)


def test_extent_of_a_large_roi_looks_at_its_borders_alone(monkeypatch):
    grid = np.zeros((64, 64), dtype=np.float32)
    grid[16:48, 16:48] = 1
    maps = GridMaps(*(grid.copy() for _ in range(4)))
    roi = (0, 0, 2048, 2048)
    found = Prediction((2048, 2048), roi, (), 0.5, maps, True)
    expected = box_of(found.probability > 0.49)
    made = []
    interpolate = prediction.interpolate_rows

    def counted(across, height, rows, **options):
        made.append(len(rows) * across.shape[1])
        return interpolate(across, height, rows, **options)

    monkeypatch.setattr(prediction, "interpolate_rows", counted)
    assert found.extent(0.49) == expected
    assert sum(made) < 2048 * 2048 / 4


def test_strips_change_nothing(ramp, monkeypatch):
    whole = ramp.probability, ramp.mask, ramp.extent(0.6)
    monkeypatch.setattr(resampling, "STRIP_PIXELS", 50)
    assert_array_equal(ramp.probability, whole[0])
    assert_array_equal(ramp.mask, whole[1])
    assert ramp.extent(0.6) == whole[2]


def test_read_anywhere(ramp):
    rows, cols = np.array([0, 12, 33, 39]), np.array([20, 43, 49])
    expected = ramp.probability[np.ix_(rows, cols)]
    assert_allclose(ramp.read(rows, cols)[0], expected, atol=1e-6)
    assert_allclose(ramp.read(slice(5, 20), slice(0, 50))[0], ramp.probability[5:20])


@pytest.mark.parametrize("half_pixel", [False, True])
@pytest.mark.parametrize("box", [(0, 0, *SHAPE), (12, 25, 30, 40), (0, 30, 20, 50)])
def test_resized_for_the_network(box, half_pixel):
    found = predict(np.random.default_rng(0).random((16, 16)), half_pixel=half_pixel)
    for size in (8, 16, 100):
        pixels = to_network(found, box, size, half_pixel=half_pixel)
        quick = mask_to_network(found, box, size, half_pixel=half_pixel)
        assert_allclose(quick, pixels, atol=1e-6)


@pytest.mark.parametrize("shape", [(16, 16), (10, 37), (40, 50), (333, 70), (7, 900)])
def test_there_and_back_is_the_same_frame_resized(shape):
    grid = np.random.default_rng(1).random((16, 16), dtype=np.float32)
    box = (3, 5, 3 + shape[0], 5 + shape[1])
    maps = GridMaps(grid, grid, grid, grid)
    found = Prediction((400, 1000), box, (), 0.5, maps, half_pixel=True)
    expected = mask_to_network(found, box, 16, half_pixel=True)[0]
    before = grid.copy()
    assert_allclose(there_and_back(grid, shape), expected, atol=1e-6)
    assert_array_equal(grid, before)


def test_published_convention_aligns_corners():
    row = predict(np.linspace(0, 1, 16), half_pixel=False).crop("probability")[0]
    assert_allclose(row, np.linspace(0, 1, 24), atol=1e-6)


def test_disobeyed_click_sets_its_pixel_and_four_neighbours():
    mask = predict(0.2, [Click(20, 30)]).mask
    expected = {(20, 30), (19, 30), (21, 30), (20, 29), (20, 31)}
    assert set(zip(*map(list, np.nonzero(mask)), strict=True)) == expected
    assert not predict(0.8, [Click(20, 30, False)]).mask[20, 29:32].any()


def coarse(clicks, probability=0.2):
    """A prediction whose network pixels are 8 x 16 data pixels."""
    grid = np.full((16, 16), probability, np.float32)
    shape = (128, 256)
    maps = GridMaps(grid, grid, grid, grid)
    return Prediction(shape, (0, 0, *shape), tuple(clicks), 0.5, maps, True).mask


def test_disobeyed_click_sets_the_footprint_of_a_network_pixel():
    rows, cols = np.indices((128, 256))
    expected = ((rows - 60) / 4) ** 2 + ((cols - 90) / 8) ** 2 <= 1
    assert_array_equal(coarse([Click(60, 90)]), expected)
    assert_array_equal(coarse([Click(60, 90, False)], 0.8), ~expected)
    assert coarse([Click(0, 255)])[0, 247:].all()


def test_footprint_ends_halfway_to_a_click_of_the_other_sign():
    mask = coarse([Click(60, 90), Click(60, 96, False)])
    assert mask[60, 82:93].all()
    assert not mask[60, 93:].any()


def test_clicks_that_only_the_last_step_obeys_are_named(ramp):
    obeyed = [Click(20, 42), Click(20, 22, positive=False)]
    missed = [Click(12, 22), Click(30, 42, positive=False)]
    overruled = [Click(14, 22), Click(14, 22, positive=False)]
    outside = [Click(2, 2, positive=False)]
    clicks = [*obeyed, *missed, *overruled, *outside]
    prediction = predict(ramp.maps.probability, clicks)
    assert prediction.ignored == tuple(missed)
    assert prediction.with_threshold(0.999).ignored == (obeyed[0], missed[0])
    assert predict(0.9, obeyed).ignored == (obeyed[1],)


def test_obeyed_click_changes_nothing():
    assert_array_equal(predict(0.8, [Click(20, 30)]).mask, predict(0.8).mask)


def test_neighbouring_clicks_of_both_signs_are_all_obeyed():
    mask = predict(0.2, [Click(20, 30), Click(20, 31, False), Click(20, 32)]).mask
    assert list(mask[20, 29:34]) == [True, True, False, True, True]


def test_last_click_on_a_pixel_wins():
    there = [Click(20, 30), Click(20.3, 29.8, False)]
    assert not predict(0.2, there).mask.any()
    assert predict(0.2, [*there, Click(20, 30)]).mask[20, 30]


def test_click_at_the_corner_of_the_roi():
    mask = predict(0.2, [Click(10, 20), Click(33.4, 43)]).mask
    assert mask.sum() == 6


def test_negative_click_outside_the_roi_needs_nothing():
    mask = predict(0.8, [Click(2, 2, False)]).mask
    assert mask.sum() == 24 * 24


clicks_in_roi = st.lists(
    st.builds(
        Click, st.floats(9.5, 33.49), st.floats(19.5, 43.49), positive=st.booleans()
    ),
    min_size=1,
    max_size=12,
)


@given(
    clicks=clicks_in_roi,
    seed=st.integers(0, 9),
    half_pixel=st.booleans(),
    threshold=st.sampled_from([0.3, 0.5, 0.9]),
)
def test_every_click_is_obeyed(clicks, seed, half_pixel, threshold):
    grid = np.random.default_rng(seed).random((16, 16))
    mask = predict(grid, clicks, half_pixel=half_pixel, threshold=threshold).mask
    wanted = {click.pixel: click.positive for click in clicks}
    assert {pixel: bool(mask[pixel]) for pixel in wanted} == wanted


@given(
    clicks=st.lists(
        st.builds(
            Click, st.integers(0, 127), st.integers(0, 255), positive=st.booleans()
        ),
        min_size=1,
        max_size=12,
    ),
    probability=st.sampled_from([0.2, 0.8]),
)
def test_footprints_obey_and_stay_near_their_click(clicks, probability):
    mask = coarse(clicks, probability)
    wanted = {click.pixel: click.positive for click in clicks}
    assert {pixel: bool(mask[pixel]) for pixel in wanted} == wanted
    for row, col in zip(*np.nonzero(mask != (probability > 0.5)), strict=True):
        square = {p: (p[0] - row) ** 2 + (p[1] - col) ** 2 for p in wanted}
        mine = [square[p] for p, sign in wanted.items() if sign == mask[row, col]]
        others = [square[p] for p, sign in wanted.items() if sign != mask[row, col]]
        assert min(mine) <= 64
        assert min(mine) < min(others, default=np.inf)


def test_arrays_of_a_prediction_are_locked_but_its_maps_are_not(ramp):
    with pytest.raises(ValueError, match="read-only"):
        ramp.maps.probability[0, 0] = 1
    ramp.probability[0, 0] = 1
    ramp.crop("mask")[0, 0] = True
    assert ramp.probability[0, 0] == 0


def test_wrong_map_name(ramp):
    with pytest.raises(InputError, match="name must be one of mask, probability"):
        ramp.crop("logits")


@pytest.mark.parametrize("threshold", [0, 1, -0.1, float("nan")])
def test_wrong_threshold(ramp, threshold):
    with pytest.raises(InputError, match="threshold must lie between 0 and 1"):
        ramp.with_threshold(threshold)


@pytest.mark.parametrize("half_pixel", [False, True])
def test_outlines_surround_the_object(half_pixel):
    rows, cols = np.mgrid[:32, :32]
    disk = 1 / (1 + np.exp(np.hypot(rows - 15.5, cols - 10) - 7))
    grid = disk.astype(np.float32)
    maps = GridMaps(grid, grid.copy(), grid.copy(), grid.copy())
    found = Prediction((200, 300), (20, 40, 148, 232), (), 0.5, maps, half_pixel)
    (curve,) = found.outlines()
    assert_array_equal(curve[0], curve[-1])
    inside = polygon2mask((200, 300), curve)
    overlap = (inside & found.mask).sum() / (inside | found.mask).sum()
    assert overlap > 0.99


def test_outlines_close_at_the_border_of_the_region():
    grid = np.full((16, 16), 0.9, dtype=np.float32)
    maps = GridMaps(grid, grid.copy(), grid.copy(), grid.copy())
    found = Prediction((50, 60), (10, 10, 42, 58), (), 0.5, maps, half_pixel=True)
    (curve,) = found.outlines()
    assert_array_equal(curve[0], curve[-1])
    assert_allclose(curve.min(axis=0), (9.5, 9.5), atol=1)
    assert_allclose(curve.max(axis=0), (41.5, 57.5), atol=1)


@pytest.mark.parametrize("half_pixel", [True, False])
@pytest.mark.parametrize("size", [(24, 24), (7, 90), (1, 40), (333, 3)])
def test_the_mask_is_made_where_it_can_be_and_misses_nothing(size, half_pixel):
    rng = np.random.default_rng(5)
    for threshold in (0.2, 0.5, 0.8):
        for place in [(0, 0), (15, 15), (7, 3), (0, 15), None]:
            grid = np.float32(rng.uniform(0, threshold, (16, 16)))
            if place is not None:
                grid[place] = 0.97
                grid[max(0, place[0] - 2), place[1]] = 0.9
            maps = GridMaps(grid, grid, grid, grid)
            found = Prediction(size, (0, 0, *size), (), threshold, maps, half_pixel)
            assert_array_equal(found.mask, found.probability > threshold)


def test_maps_of_a_coarser_grid_are_stretched_alike():
    fine = np.float32(np.linspace(0, 1, 16))[None].repeat(16, 0)
    coarse = np.float32(np.linspace(0, 1, 4))[None].repeat(4, 0)
    maps = GridMaps(fine, coarse, coarse, coarse)
    found = Prediction((32, 32), (0, 0, 32, 32), (), 0.5, maps, True)
    assert found.prior.shape == found.variance.shape == (32, 32)
    assert_allclose(found.prior[:, [0, 31]], [[0, 1]] * 32)
    assert np.abs(found.prior - found.probability).max() < 0.2


def test_it_is_shown_in_a_line_without_its_arrays() -> None:
    session = Session(FakeSegmenter(), np.zeros((60, 80), np.uint8))
    shown = repr(session.add_click(20, 30))
    assert "Click(row=20.0, col=30.0, positive=True)" in shown
    assert "array" not in shown
    assert len(shown) < 400
