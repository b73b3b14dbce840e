"""Figures of superpixels."""

import math

import numpy as np
import pytest

from gpcis_training.superpixels.metrics import (
    agreement,
    boundaries,
    shape_figures,
    tolerance,
)
from napari_gpcis.errors import InputError


def halves():
    """Regions: left and right half of 8 x 8 pixels."""
    return (np.indices((8, 8))[1] >= 4).astype(int)


def test_superpixels_that_are_the_regions_are_right():
    found = agreement(halves() + 5, halves())
    assert found == (1, 0, 0, 1, 1, 1)


def test_a_superpixel_across_a_border_counts_by_its_larger_part():
    superpixels = (np.indices((8, 8))[1] >= 5).astype(int)  # one column is wrong
    found = agreement(superpixels, halves())
    assert found.asa == pytest.approx(1 - 8 / 64)
    assert found.ue == pytest.approx(8 / 64)
    assert found.ue_np == pytest.approx(2 * 8 / 64)  # for either region
    # tolerance 0: of the columns 3 and 4, only 4 is drawn; 5 is false
    assert tolerance((8, 8)) == 0
    assert found.br == pytest.approx(0.5)
    assert found.bp == pytest.approx(0.5)


def test_objects_count_alone_as_well():
    superpixels = (np.indices((8, 8))[1] >= 5).astype(int)
    regions = halves() * 3
    # of the four columns of the object one goes to the background
    assert agreement(superpixels, regions).asa_fg == pytest.approx(3 / 4)
    # and the background's column that an object takes is no pixel of an object
    assert agreement(superpixels, 3 - regions).asa_fg == pytest.approx(1)
    assert math.isnan(agreement(superpixels, 0 * regions).asa_fg)
    found = agreement(superpixels, halves() + 1)  # no background: all are objects
    assert found.asa_fg == found.asa


def test_ignored_pixels_count_nowhere():
    superpixels = (np.indices((8, 8))[1] >= 5).astype(int)
    ignored = np.zeros((8, 8), bool)
    assert agreement(superpixels, halves(), ignored) == agreement(superpixels, halves())
    ignored[:, 4] = True  # all that is wrong
    found = agreement(superpixels, halves(), ignored)
    assert (found.asa, found.ue_np, found.asa_fg) == (1, 0, 1)
    # regions no longer touch; of the drawn columns 4 and 5 only 5 counts, as false
    assert (found.br, found.bp) == (1, 0)
    ignored[:] = False
    ignored[:4, 4] = True
    half = agreement(superpixels, halves(), ignored)
    assert half.asa == pytest.approx(1 - 4 / 60)
    assert half.asa_fg == pytest.approx(1 - 4 / 28)
    assert half.br == pytest.approx(0.5)
    with pytest.raises(InputError, match="a pixel that is not ignored"):
        agreement(superpixels, halves(), np.ones((8, 8), bool))


def test_figures_by_their_definitions():
    rng = np.random.default_rng(0)
    superpixels = rng.integers(0, 6, (6, 7))
    regions = rng.integers(0, 3, (6, 7))
    right, wrong = 0, 0
    for s in np.unique(superpixels):
        counts = [((superpixels == s) & (regions == g)).sum() for g in range(3)]
        right += max(counts)
        size = (superpixels == s).sum()
        wrong += sum(min(count, size - count) for count in counts if count)
    found = agreement(superpixels, regions)
    assert found.asa == pytest.approx(right / 42)
    assert found.ue_np == pytest.approx(wrong / 42)


def test_boundaries_within_the_tolerance_count():
    shape = 321, 481
    assert tolerance(shape) == 1
    regions = (np.indices(shape)[1] >= 200).astype(int)
    for shift, recall in ((0, 1), (1, 1), (2, 0.5), (3, 0)):
        drawn = (np.indices(shape)[1] >= 200 + shift).astype(int)
        found = agreement(drawn, regions)
        assert found.br == pytest.approx(recall)


def test_annotations_and_superpixels_without_boundaries():
    one = np.zeros((8, 8), int)
    assert agreement(one, one)[:5] == (1, 0, 0, 1, 1)
    assert agreement(one, halves()).br == 0
    assert agreement(halves(), one).bp == 0


def test_boundary_pixels_lie_on_both_sides():
    assert np.flatnonzero(boundaries(halves())[3]).tolist() == [3, 4]


def test_shape_of_squares():
    squares = np.kron(np.arange(4).reshape(2, 2), np.ones((8, 8), int))
    found = shape_figures(squares, squares)
    assert found.number == found.components == 4
    assert found.compactness == pytest.approx(4 * math.pi * 64 / 32**2)
    assert found.variation == pytest.approx(1)


def test_shape_of_stripes_is_less_compact():
    stripes = np.indices((16, 16))[0] // 4
    found = shape_figures(stripes, np.zeros((16, 16, 3)))
    assert found.compactness == pytest.approx(4 * math.pi * 64 / 40**2)
    assert found.variation == 1  # nothing varies


def test_variation_is_the_share_between_superpixels():
    image = np.array([[0.0, 2.0, 10.0, 12.0]])
    found = shape_figures(np.array([[1, 1, 2, 2]]), image)
    assert found.variation == pytest.approx(100 / 104)


def test_parts_are_counted_before_they_were_connected():
    before = np.array([[1, 2, 1, 2]])
    found = shape_figures(np.array([[1, 1, 2, 2]]), before, before)
    assert (found.number, found.components) == (2, 4)
