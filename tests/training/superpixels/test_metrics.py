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


def halves():
    """Regions: left and right half of 8 x 8 pixels."""
    return (np.indices((8, 8))[1] >= 4).astype(int)


def test_superpixels_that_are_the_regions_are_right():
    found = agreement(halves() + 5, halves())
    assert found == (1, 0, 0, 1, 1)


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
    assert agreement(one, one) == (1, 0, 0, 1, 1)
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
