"""Tidying: pieces without a click go, small holes are filled, clicks are obeyed."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.testing import assert_array_equal
from skimage.draw import disk
from skimage.measure import label, points_in_poly

from napari_gpcis import Click, Prediction, Tidy
from napari_gpcis.errors import InputError
from napari_gpcis.inference.prediction import GridMaps
from napari_gpcis.inference.start_mask import make_start_mask
from napari_gpcis.inference.tidy import DEFAULT_TIDY

SHAPE = (60, 80)


def of_mask(mask, clicks, tidy=DEFAULT_TIDY, **options):
    """A prediction on the whole image whose grid is that of its pixels."""
    grid = np.where(mask, 0.9, 0.1).astype(np.float32)
    maps = GridMaps(grid, grid.copy(), grid.copy(), grid.copy())
    whole = (0, 0, *mask.shape)
    return Prediction(
        mask.shape, whole, tuple(clicks), 0.5, maps, True, tidy=tidy, **options
    )


def blob(*places, radius=8):
    mask = np.zeros(SHAPE, bool)
    for row, col in places:
        mask[disk((row, col), radius, shape=SHAPE)] = True
    return mask


def test_only_pieces_with_a_positive_click_stay():
    mask = blob((20, 20), (20, 60), (45, 40))
    found = of_mask(mask, [Click(20, 20), Click(45, 42)])
    assert_array_equal(found.mask, blob((20, 20), (45, 40)))
    box, part = found.trimmed
    assert (box, part.sum()) == ((13, 13, 53, 48), found.mask.sum())


def test_without_tidying_the_mask_is_that_of_the_model():
    mask = blob((20, 20), (20, 60))
    found = of_mask(mask, [Click(20, 20)], None)
    assert_array_equal(found.mask, mask)
    assert_array_equal(found.with_tidy(Tidy()).mask, blob((20, 20)))
    assert_array_equal(found.with_tidy(Tidy()).with_tidy(None).mask, mask)


def test_pieces_that_touch_at_a_corner_are_one():
    mask = np.zeros(SHAPE, bool)
    mask[10:15, 10:15] = mask[15:20, 15:20] = True
    assert_array_equal(of_mask(mask, [Click(11, 11)]).mask, mask)


def test_small_holes_are_filled_unless_they_are_clicked():
    whole = blob((30, 40), radius=20)
    mask = whole.copy()
    mask[20:24, 30:34] = False  # 16 pixels
    mask[20:25, 45:50] = False  # 25 pixels
    mask[35:40, 38:43] = False  # 25 pixels, with a background click
    clicks = [Click(30, 40), Click(37, 40, positive=False)]
    filled = mask.copy()
    filled[20:24, 30:34] = True
    assert_array_equal(of_mask(mask, clicks, Tidy(holes=25)).mask, filled)
    filled[20:25, 45:50] = True
    assert_array_equal(of_mask(mask, clicks, Tidy(holes=26)).mask, filled)
    assert_array_equal(of_mask(mask, clicks, Tidy(holes=0)).mask, mask)
    assert_array_equal(of_mask(mask, clicks[:1], Tidy(holes=26)).mask, whole)


def test_a_bay_and_a_gap_at_the_border_are_no_holes():
    mask = np.zeros(SHAPE, bool)
    mask[0:20, 10:30] = True
    mask[0:4, 15:18] = False  # at the border of the image
    mask[10:12, 25:30] = False  # open to the side
    assert_array_equal(of_mask(mask, [Click(5, 12)]).mask, mask)


def test_a_speck_in_a_hole_does_not_keep_it_open():
    mask = blob((30, 40), radius=20)
    full = mask.copy()
    mask[28:33, 38:43] = False
    mask[30, 40] = True
    assert_array_equal(of_mask(mask, [Click(20, 40)]).mask, full)


def test_pieces_may_stay_by_their_size():
    big, small = blob((20, 20), (20, 60)), np.zeros(SHAPE, bool)
    small[50:53, 50:53] = True
    tidy = Tidy(clicked=False, smallest=10)
    assert_array_equal(of_mask(big | small, [Click(20, 20)], tidy).mask, big)
    clicked = of_mask(big | small, [Click(20, 20), Click(51, 51)], tidy)
    assert_array_equal(clicked.mask, big | small)
    few = Tidy(clicked=False, smallest=9)
    assert_array_equal(of_mask(big | small, [Click(20, 20)], few).mask, big | small)


def test_smoothing_takes_spurs_and_notches():
    smooth = np.zeros(SHAPE, bool)
    smooth[10:50, 10:60] = True
    rough = smooth.copy()
    rough[30, 60:70] = True  # a spur
    rough[10:20, 40] = False  # a notch
    found = of_mask(rough, [Click(30, 30)], Tidy(smoothing=3)).mask
    assert not found[30, 63:].any()
    assert found[12:20, 40].all()
    assert np.count_nonzero(found != smooth) < 40  # the corners
    kept = of_mask(rough, [Click(30, 30), Click(30, 68)], Tidy(smoothing=3)).mask
    assert kept[30, 68]


def test_smoothing_leaves_what_is_narrower_than_the_disk_everywhere():
    thin = np.zeros(SHAPE, bool)
    thin[20:22, 10:60] = True
    assert_array_equal(of_mask(thin, [Click(20, 30)], Tidy(smoothing=5)).mask, thin)


def test_smoothing_does_not_round_the_object_at_the_border_of_the_image():
    mask = np.zeros(SHAPE, bool)
    mask[:, 20:50] = True
    assert_array_equal(of_mask(mask, [Click(30, 30)], Tidy(smoothing=6)).mask, mask)


def test_each_piece_of_a_start_counts_as_clicked():
    two = blob((20, 20), (20, 60))
    start = make_start_mask(two, SHAPE)
    assert start.middles == ((20, 20), (20, 60))
    jump = blob((48, 40))
    found = of_mask(two | jump, start.clicks, kept=start.middles)
    assert_array_equal(found.mask, two)


@given(
    seed=st.integers(0, 10**6),
    clicks=st.lists(
        st.tuples(st.integers(0, 29), st.integers(0, 39), st.booleans()),
        min_size=1,
        max_size=8,
    ),
    tidy=st.builds(
        Tidy,
        st.booleans(),
        st.sampled_from([0, 5, 100]),
        st.sampled_from([0, 3, 64, 5000]),
        st.sampled_from([0, 0.5, 1, 2.5, 7]),
    ),
    cells=st.sampled_from([4, 10, 15]),
)
@settings(max_examples=300)
def test_clicks_are_obeyed_whatever_the_mask(seed, clicks, tidy, cells):
    rng = np.random.default_rng(seed)
    grid = rng.random((cells, cells + 5), dtype=np.float32)
    maps = GridMaps(grid, grid.copy(), grid.copy(), grid.copy())
    made = tuple(Click(*click) for click in clicks)
    found = Prediction((30, 40), (0, 0, 30, 40), made, 0.5, maps, True, tidy=tidy)
    mask = found.mask
    wanted = {click.pixel: click.positive for click in made}
    for place, positive in wanted.items():
        assert mask[place] == positive
    pieces, count = label(mask, connectivity=2, return_num=True)
    clicked = {pieces[place] for place, positive in wanted.items() if positive}
    if tidy.clicked:
        assert clicked == set(range(1, count + 1))
    gaps = label(~np.pad(mask, 1), connectivity=1)
    negative = {gaps[r + 1, c + 1] for (r, c), sign in wanted.items() if not sign}
    inner = mask[0].any() or mask[-1].any() or mask[:, 0].any() or mask[:, -1].any()
    for gap in set(np.unique(gaps)) - {0, gaps[0, 0]} - negative:
        assert inner or np.count_nonzero(gaps == gap) >= tidy.holes


def test_the_line_of_the_preview_is_that_of_the_tidied_mask():
    mask = blob((20, 20), (20, 60), radius=10)
    mask[18:21, 18:21] = False
    found = of_mask(mask, [Click(25, 20)])
    (curve,) = found.outlines()
    rows, cols = np.indices(SHAPE)
    inside = points_in_poly(np.column_stack([rows.ravel(), cols.ravel()]), curve)
    assert_array_equal(inside.reshape(SHAPE), found.mask)
    assert len(found.with_tidy(None).outlines()) == 3


def test_the_line_of_a_coarse_grid_leaves_pieces_out():
    grid = np.full((16, 16), 0.1, np.float32)
    grid[2:6, 2:6] = grid[10:14, 10:14] = 0.9
    maps = GridMaps(grid, grid.copy(), grid.copy(), grid.copy())
    roi = (100, 200, 164, 328)
    clicks = (Click(115, 230),)
    for half_pixel in (True, False):
        found = Prediction((400, 400), roi, clicks, 0.5, maps, half_pixel, tidy=Tidy())
        (curve,) = found.outlines()
        assert curve[:, 0].max() < 130
        assert found.trimmed[0][2] < 130


def test_the_rest_of_a_large_image_costs_nothing():
    """The work is done in the box of the mask: a piece far away widens it."""
    mask = np.zeros((2000, 3000), bool)
    mask[900:950, 900:950] = True
    found = of_mask(mask, [Click(920, 920)], Tidy(smoothing=2))
    assert found.trimmed[0] == (900, 900, 950, 950)


@pytest.mark.parametrize(
    ("options", "word"),
    [
        ({"holes": -1}, "holes"),
        ({"holes": 2.5}, "holes"),
        ({"smallest": True}, "smallest"),
        ({"smoothing": float("nan")}, "smoothing"),
        ({"smoothing": 1000}, "smoothing"),
        ({"smoothing": "1"}, "smoothing"),
        ({"clicked": 1}, "clicked"),
    ],
)
def test_bad_values_are_named(options, word):
    with pytest.raises(InputError, match=word):
        Tidy(**options)


def test_the_json_form_is_checked():
    data = {"clicked": True, "smallest": 0, "holes": 3, "smoothing": 1}
    assert Tidy.from_dict(data) == Tidy(holes=3, smoothing=1.0)
    for missing in itertools.combinations(data, 3):
        with pytest.raises(InputError, match="tidy must have"):
            Tidy.from_dict({name: data[name] for name in missing})
