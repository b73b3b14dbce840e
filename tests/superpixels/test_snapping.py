"""The border of a mask moved to the borders of superpixels."""

import numpy as np
import pytest

from napari_gpcis import Click
from napari_gpcis.errors import InputError
from napari_gpcis.superpixels import snap

LABELS = np.arange(16).reshape(4, 4).repeat(16, 0).repeat(16, 1)


def object_mask(offset=1):
    """An object of 2 x 2 superpixels, its border off by some pixels."""
    mask = np.zeros((64, 64), bool)
    mask[16 + offset : 48, 16 + offset : 48] = True
    return mask


def test_a_border_that_is_nearly_right_becomes_that_of_the_superpixels():
    short = object_mask(1)
    expected = object_mask(0)
    expected[16, 16:32] = expected[16:32, 16] = False  # (15 / 16)^2 is 88 %: it stays
    assert np.array_equal(snap(short, LABELS), expected)
    # pixels of the neighbours are inside: thin alone, but a layer of the object
    assert np.array_equal(snap(object_mask(-1), LABELS), object_mask(0))


def test_superpixels_that_do_not_agree_stay():
    mask = object_mask(4)
    assert np.array_equal(snap(mask, LABELS), mask)


def test_the_share_decides():
    mask = object_mask(2)  # the first superpixel is (14 / 16)^2 = 77 % inside
    default = snap(mask, LABELS)
    assert not default[16, 16]
    assert not default[40, 16]  # 87.5 %
    loose = snap(mask, LABELS, share=0.8)
    assert loose[40, 16]
    assert not loose[16, 16]
    assert snap(mask, LABELS, share=0.75)[16, 16]
    assert np.array_equal(snap(mask, LABELS, share=1), mask)


def test_a_thin_process_survives():
    mask = object_mask(0)
    mask[30, 48:] = True  # one pixel wide, 6 % of the superpixels it crosses
    assert snap(mask, LABELS)[30, 48:].all()


def test_a_thin_gap_survives():
    mask = np.ones((64, 64), bool)
    mask[:, 8] = False  # between two objects, 6 % of the superpixels it crosses
    assert not snap(mask, LABELS)[:, 8].any()


def test_a_layer_on_an_edge_of_the_image_is_not_thin():
    mask = np.ones((64, 64), bool)
    mask[0] = False
    mask[1:16] = True
    labels = LABELS
    assert snap(mask, labels).all()


def test_clicks_are_obeyed():
    mask = object_mask(1)
    outside = Click(16, 20, positive=False)
    inside = Click(10, 10)
    snapped = snap(mask, LABELS, [outside, inside])
    assert not snapped[16, 20]
    assert snapped[10, 10]
    assert not snapped[16, 16:32].any()  # the superpixel with a click against it stays
    assert snapped[16, 32:48].all()


def test_a_mask_that_is_right_stays_and_the_input_is_not_changed():
    mask = object_mask(0)
    mask.flags.writeable = False
    assert np.array_equal(snap(mask, LABELS), mask)


@pytest.mark.parametrize("value", [True, False])
def test_whole_and_empty_masks_stay(value):
    mask = np.full((64, 64), value)
    assert np.array_equal(snap(mask, LABELS), mask)


def test_one_pixel():
    assert snap(np.ones((1, 1), bool), np.ones((1, 1), int)).all()


@pytest.mark.parametrize(
    ("mask", "labels", "options", "message"),
    [
        (np.ones((4, 4)), np.ones((4, 4), int), {}, "mask must be boolean"),
        (np.ones(4, bool), np.ones(4, int), {}, "mask must be boolean"),
        (np.ones((4, 4), bool), np.ones((4, 5), int), {}, "labels must be integers"),
        (np.ones((4, 4), bool), np.ones((4, 4)), {}, "labels must be integers"),
        (object_mask(), LABELS, {"share": 0.5}, "share must be above 0.5"),
        (object_mask(), LABELS, {"share": float("nan")}, "share must be above 0.5"),
        (object_mask(), LABELS, {"clicks": [Click(64, 0)]}, "inside the image"),
    ],
)
def test_bad_input_is_refused(mask, labels, options, message):
    with pytest.raises(InputError, match=message):
        snap(mask, labels, **options)
