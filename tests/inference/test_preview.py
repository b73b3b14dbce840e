"""The preview: what one more click would give, without a pass of the network."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from threading import Event

import numpy as np
import pytest
import torch
from numpy.testing import assert_allclose, assert_array_equal

from _toy import ToyModel, toy_info, toy_segmenter
from _toy_backbone import make_toy_model
from napari_gpcis import Click, Segmenter
from napari_gpcis.clicks import points_tensor
from napari_gpcis.errors import InputError
from napari_gpcis.geometry import network_clicks
from napari_gpcis.inference.engine import KEPT_POSTERIORS
from napari_gpcis.inference.segmenter import Request

CLICKS = (Click(30, 40), Click(8, 9, False), Click(41, 60))


@pytest.fixture
def image():
    return np.random.default_rng(0).integers(0, 256, (60, 80, 3), dtype=np.uint8)


class Counting:
    """A segmenter that counts passes of the network, with features that clicks move."""

    def __init__(self, gp_stride=4, size=64):
        self.model = make_toy_model(gp_stride=gp_stride)
        self.passes = []
        fuse = self.model.model.fuse

        def counted(encoded, guidance):
            self.passes.append(guidance)
            return fuse(encoded, guidance) + guidance.mean((1, 2, 3), keepdim=True)

        self.model.model.fuse = counted
        self.segmenter = Segmenter(
            self.model, toy_info(infer_size=size, gp_stride=gp_stride)
        )


@pytest.mark.parametrize("gp_stride", [1, 4])
def test_preview_is_the_posterior_on_the_same_features(image, gp_stride):
    counting = Counting(gp_stride)
    segmenter, model = counting.segmenter, counting.model
    prepared = segmenter.prepare(image)
    found = segmenter.run(Request(prepared, CLICKS))[-1]
    key = segmenter._engine._key(prepared, found.seen)
    (encoded,) = segmenter._engine._encodings.peek(key)
    passes = len(counting.passes)
    for extra in (Click(20, 33), Click(25, 50, False), Click(*CLICKS[0].pixel, False)):
        ahead = segmenter.preview(prepared, extra, found)
        assert len(counting.passes) == passes
        assert ahead.clicks == (*CLICKS, extra)
        assert ahead.roi == found.roi
        assert ahead.mask[extra.pixel] == extra.positive

        def grid_points(clicks):
            return points_tensor(network_clicks(clicks, found.roi, 64, half_pixel=True))

        with torch.inference_mode():
            before = torch.from_numpy(found.seen.previous)[None]
            raw = model.features(encoded, grid_points(CLICKS), before)
            counting.passes.pop()
            scores, spread = model._posterior(
                raw, encoded.rgb, grid_points(ahead.clicks), variance=True
            )
        assert_allclose(ahead.maps.prior, scores.prior[0, 0], atol=1e-6)
        assert_allclose(ahead.maps.update, scores.update[0, 0], atol=1e-6)
        assert_allclose(ahead.maps.variance, spread[0, 0], atol=1e-6)


def test_previews_do_not_disturb_the_session(image):
    with_previews, without = Counting(), Counting()
    masks = []
    for counting in (with_previews, without):
        segmenter, found = counting.segmenter, None
        prepared = segmenter.prepare(image)
        for number in range(1, len(CLICKS) + 1):
            if counting is with_previews:
                for row in (3, 20, 55):
                    segmenter.preview(prepared, Click(row, 41), found)
            found = segmenter.step(prepared, CLICKS[:number], found)
            masks.append(found.probability)
    assert len(with_previews.passes) == len(without.passes) + 1  # of the view
    half = len(CLICKS)
    assert_array_equal(masks[:half], masks[half:])


def test_first_preview_is_of_the_view_without_clicks(image):
    counting = Counting()
    prepared = counting.segmenter.prepare(image)
    view = (5, 10, 55, 70)
    for col in (20, 30, 60):
        ahead = counting.segmenter.preview(prepared, Click(30, col), view=view)
        assert ahead.roi == view
        assert ahead.mask[30, col]
        assert not ahead.mask[:5].any()
    assert len(counting.passes) == 1
    assert not counting.passes[0].any()
    counting.segmenter.preview(prepared, Click(30, 40))
    assert len(counting.passes) == 2


def test_features_that_are_gone_are_made_again(image):
    counting = Counting()
    segmenter, prepared = counting.segmenter, counting.segmenter.prepare(image)
    found = segmenter.run(Request(prepared, CLICKS))[-1]
    extra = Click(22, 30)
    first = segmenter.preview(prepared, extra, found)
    for row in range(KEPT_POSTERIORS):
        segmenter.step(prepared, [Click(row, 5)])
    passes = len(counting.passes)
    again = segmenter.preview(prepared, extra, found)
    assert len(counting.passes) == passes + 1
    assert_array_equal(again.maps.probability, first.maps.probability)
    segmenter.preview(prepared, Click(23, 30), found.with_threshold(0.3))
    assert len(counting.passes) == passes + 1


def test_preview_of_a_preview_has_both_clicks(image):
    segmenter = Counting().segmenter
    prepared = segmenter.prepare(image)
    found = segmenter.step(prepared, CLICKS[:1])
    extra = Click(20, 33), Click(25, 50, False)
    ahead = segmenter.preview(prepared, extra[0], found)
    further = segmenter.preview(prepared, extra[1], ahead)
    assert further.clicks == (*CLICKS[:1], *extra)
    back = segmenter.preview(prepared, extra[0], found)
    assert_allclose(back.maps.update, ahead.maps.update, atol=1e-6)


def test_click_outside_the_region_changes_nothing(image):
    segmenter = Counting().segmenter
    prepared = segmenter.prepare(image)
    found = segmenter.step(prepared, [Click(30, 40)], view=(20, 30, 50, 60))
    ahead = segmenter.preview(prepared, Click(2, 2), found)
    assert_allclose(ahead.maps.probability, found.maps.probability, atol=1e-6)
    assert not ahead.mask[2, 2]


def test_preview_of_another_image_uses_that_image(image):
    segmenter = Counting().segmenter
    found = segmenter.step(segmenter.prepare(image), [Click(30, 40)])
    other = segmenter.prepare(255 - image)
    ahead = segmenter.preview(other, Click(20, 33), found)
    same = segmenter.preview(segmenter.prepare(image), Click(20, 33), found)
    assert np.abs(ahead.maps.probability - same.maps.probability).max() > 1e-3


def test_model_without_surface_runs_in_full(image):
    segmenter = toy_segmenter()
    prepared = segmenter.prepare(image)
    found = segmenter.step(prepared, CLICKS[:1])
    ahead = segmenter.preview(prepared, CLICKS[1], found)
    assert ahead.clicks == CLICKS[:2]
    assert not ahead.mask[CLICKS[1].pixel]
    assert_array_equal(
        segmenter.preview(prepared, CLICKS[0]).mask,
        segmenter.step(prepared, CLICKS[:1]).mask,
    )


def test_preview_does_not_wait_for_the_network(image):
    counting = Counting()
    segmenter, prepared = counting.segmenter, counting.segmenter.prepare(image)
    found = segmenter.step(prepared, CLICKS[:1])
    running, go_on = Event(), Event()
    fuse = counting.model.model.fuse

    def slow(encoded, guidance):
        running.set()
        assert go_on.wait(60)
        return fuse(encoded, guidance)

    counting.model.model.fuse = slow
    with ThreadPoolExecutor(1) as pool:
        step = pool.submit(segmenter.step, prepared, CLICKS[:2], found)
        assert running.wait(60)
        ahead = segmenter.preview(prepared, CLICKS[1], found)
        assert not step.done()
        go_on.set()
        assert step.result().clicks == ahead.clicks


def test_threads_share_the_features(image):
    segmenter = Counting().segmenter
    prepared = segmenter.prepare(image)
    found = segmenter.step(prepared, CLICKS[:1])
    extra = [Click(5 + n, 3 * n, n % 2 == 0) for n in range(24)]

    def try_out(click):
        return segmenter.preview(prepared, click, found).maps.update

    alone = [try_out(click) for click in extra]
    with ThreadPoolExecutor(4) as pool:
        together = list(pool.map(try_out, extra))
    assert_allclose(together, alone, atol=1e-6)


def test_click_outside_the_image_is_refused(image):
    segmenter = Segmenter(ToyModel(), toy_info())
    prepared = segmenter.prepare(image)
    with pytest.raises(InputError, match="a click must lie inside the image"):
        segmenter.preview(prepared, Click(60, 3))
