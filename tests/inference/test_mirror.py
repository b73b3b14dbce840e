"""The mean over an image and its mirror image."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from numpy.testing import assert_allclose, assert_array_equal

from _toy import ToyModel, toy_info
from napari_gpcis import Click, Segmenter, Session
from napari_gpcis.checkpoints import load_checkpoint
from napari_gpcis.inference.engine import mirrored_points

CLICKS = (Click(20, 55), Click(33, 12, positive=False), Click(41, 61))


@pytest.fixture
def image():
    return np.random.default_rng(3).integers(0, 256, (60, 80, 3), dtype=np.uint8)


@pytest.fixture(scope="module")
def bundled():
    """The small model: its features depend on the side on which things lie."""
    return load_checkpoint("gpcis-mobilenet-v2")


def segmenter(bundled, *, mirror, exact=True):
    model, info = bundled
    settings = replace(info.inference, mirror=mirror, infer_size=96)
    return Segmenter(model, replace(info, inference=settings), exact=exact)


def turned(clicks, width):
    return [replace(click, col=width - 1 - click.col) for click in clicks]


@pytest.mark.parametrize("exact", [True, False])
def test_left_and_right_do_not_matter(bundled, image, exact):
    def answer(mirror, picture, clicks):
        chosen = segmenter(bundled, mirror=mirror, exact=exact)
        prepared = chosen.prepare(picture)
        found = chosen.step(prepared, clicks[:1])
        for click in clicks[1:]:  # on the same region, whose rounding has a side
            found = chosen.preview(prepared, click, found)
        return found

    other_image, other_clicks = image[:, ::-1], turned(CLICKS, 80)
    found = answer(True, image, CLICKS)
    other = answer(True, other_image, other_clicks)
    for name in ("probability", "prior", "update", "variance"):
        expected = getattr(other, name)[:, ::-1]
        assert_allclose(getattr(found, name), expected, atol=2e-4, err_msg=name)
    plain = answer(False, image, CLICKS).probability
    turned_plain = answer(False, other_image, other_clicks).probability[:, ::-1]
    assert np.abs(plain - turned_plain).max() > 0.05


def test_logits_are_averaged(bundled, image):
    click, plain = CLICKS[:1], segmenter(bundled, mirror=False)
    one = plain.predict(image, click)
    two = plain.predict(image[:, ::-1], turned(click, 80))
    both = segmenter(bundled, mirror=True).predict(image, click)
    for name in ("prior", "update", "variance"):
        first, second = getattr(one.maps, name), getattr(two.maps, name)[:, ::-1]
        assert_allclose(getattr(both.maps, name), (first + second) / 2, atol=1e-4)
    logits = both.maps.prior + both.maps.update
    assert_allclose(both.maps.probability, 1 / (1 + np.exp(-logits)), atol=1e-5)


def test_clicks_are_obeyed_and_previews_agree(bundled, image):
    chosen = segmenter(bundled, mirror=True)
    session = Session(chosen, image)
    for click in CLICKS:
        found = session.add_click(click.row, click.col, click.positive)
    assert not found.ignored
    prepared = chosen.prepare(image)
    before = chosen.step(prepared, CLICKS[:1])
    tried = chosen.preview(prepared, CLICKS[1], before)
    assert not tried.mask[CLICKS[1].pixel]
    assert tried.mask[CLICKS[0].pixel]


def test_any_model_can_be_mirrored(image):
    model = ToyModel()
    chosen = Segmenter(model, toy_info(mirror=True))
    chosen.predict(image, CLICKS)
    assert_array_equal(model.encoded[0], model.encoded[1].flip(-1))
    assert len(model.points) == 2 * len(CLICKS)
    first, second = model.previous[-2:]
    assert_array_equal(first, second.flip(-1))


def test_points_outside_stay_outside_and_unused_ones_unused():
    points = torch.tensor([[[5.0, 0.0, 0.0], [-1, -1, -1], [7, -20, 1], [3, 80, 2]]])
    moved = mirrored_points(points, 64)
    expected = [[[5, 63, 0], [-1, -1, -1], [7, 83, 1], [3, -17, 2]]]
    assert moved.tolist() == expected
