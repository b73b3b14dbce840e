"""Following an object through a stack, without a viewer."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.ndimage import distance_transform_edt

from _bright_segmenter import BrightSegmenter, ball_stack
from napari_gpcis.errors import InputError
from napari_gpcis.inference.image import prepare_image
from napari_gpcis.inference.segmenter import Segmenter
from napari_gpcis.propagation import (
    PlaneResult,
    StopRule,
    contrast_to_noise,
    follow,
    inner_clicks,
    propagate_step,
    reason_to_stop,
)


def full(found: PlaneResult, shape: tuple[int, int]) -> np.ndarray:
    mask = np.zeros(shape, dtype=bool)
    mask[found.box[0] : found.box[2], found.box[1] : found.box[3]] = found.mask
    return mask


def test_a_round_object_gets_one_click_in_its_middle() -> None:
    rows, cols = np.indices((40, 50))
    clicks = inner_clicks((rows - 20) ** 2 + (cols - 31) ** 2 <= 100, corner=(5, 7))
    assert [click.pixel for click in clicks] == [(25, 38)]


def test_a_long_object_gets_more_clicks_all_deep_inside() -> None:
    mask = np.zeros((40, 90), dtype=bool)
    mask[15:24, 5:85] = True
    clicks = inner_clicks(mask)
    assert len(clicks) == 3
    depth = distance_transform_edt(mask)
    assert all(depth[click.pixel] >= depth.max() / 2 for click in clicks)
    places = sorted(click.pixel[1] for click in clicks)
    assert places[-1] - places[0] > 60


@pytest.mark.parametrize("mask", [np.zeros((4, 4)), np.ones((2, 3, 4))])
def test_clicks_need_a_mask(mask) -> None:
    with pytest.raises(InputError, match="mask must be 2-D and not empty"):
        inner_clicks(mask)


def test_an_object_is_carried_with_its_agreement() -> None:
    stack = ball_stack()
    found = propagate_step(BrightSegmenter(), stack[5], stack[4] > 100)
    np.testing.assert_array_equal(full(found, stack[5].shape), stack[5] > 100)
    one, other = stack[4] > 100, stack[5] > 100
    assert found.agreement == pytest.approx((one & other).sum() / (one | other).sum())
    assert found.area == (stack[5] > 100).sum()
    part = propagate_step(
        BrightSegmenter(), stack[5], one[10:50, 12:52], corner=(10, 12)
    )
    assert part.box == found.box
    assert part.agreement == found.agreement


def test_a_ball_is_followed_until_it_vanishes() -> None:
    stack = ball_stack()
    found = list(follow(BrightSegmenter(), stack[4], stack[4] > 100, stack[5:]))
    assert len(found) == 3  # planes 5, 6, 7; on plane 8 it is gone
    for result, plane in zip(found, stack[5:], strict=False):
        np.testing.assert_array_equal(full(result, plane.shape), plane > 100)
    assert all(0 < result.agreement < 1 for result in found)


def test_planes_are_read_one_by_one_and_no_more_after_a_stop() -> None:
    stack, read, stop = ball_stack(), [], [False]

    def planes():
        for number in range(5, 9):
            read.append(number)
            yield stack[number]

    going = follow(
        BrightSegmenter(),
        stack[4],
        stack[4] > 100,
        planes(),
        cancelled=lambda: stop[0],
    )
    next(going)
    assert read == [5]
    stop[0] = True
    assert list(going) == []


@pytest.mark.parametrize(
    ("changes", "area", "words"),
    [
        ({}, 100, ""),
        ({"mask": np.ones((2, 2), bool)}, 100, "vanished"),
        ({"mask": np.zeros((0, 0), bool)}, 100, "vanished"),
        ({}, 20, "larger area"),
        ({"agreement": 0.1}, 100, "agrees"),
        ({"certainty": 0.1}, 100, "certain"),
        ({"distinct": 0.5}, 100, "stands out"),
    ],
)
def test_reasons_to_stop(changes, area, words) -> None:
    default = {
        "box": (0, 0, 10, 10),
        "mask": np.ones((10, 10), dtype=bool),
        "clicks": (),
        "agreement": 0.9,
        "certainty": 0.9,
        "distinct": 2.0,
    }
    found = PlaneResult(**{**default, **changes})
    before = PlaneResult(**{**default, "mask": np.ones((area // 10, 10), dtype=bool)})
    reason = reason_to_stop(found, before)
    assert words in reason
    assert bool(reason) == bool(words)
    never = StopRule(agreement=0, certainty=0, shrink=0, grow=1e9, area=0, distinct=0)
    assert bool(reason_to_stop(found, before, never)) == (found.area == 0)


def test_what_stands_out_is_measured_in_standard_deviations() -> None:
    rng = np.random.default_rng(0)
    plane = rng.normal(0.4, 0.05, (80, 90)).astype(np.float32)
    mask = np.zeros((20, 30), dtype=bool)
    mask[3:18, 2:28] = True
    prepared = prepare_image(plane, contrast=(0, 1))
    assert contrast_to_noise(prepared, mask, (30, 40)) < 0.3
    plane[30:50, 40:70][mask] += 0.2
    assert contrast_to_noise(prepared, mask, (30, 40)) == pytest.approx(4, rel=0.1)
    assert contrast_to_noise(prepared, mask[:, :0], (30, 40)) == 0
    assert contrast_to_noise(prepared, np.ones((80, 90), bool), (0, 0)) == 0  # no ring


def test_the_model_follows_a_ball_in_noise() -> None:
    stack = ball_stack(planes=7, size=96, radius=22)
    noise = np.random.default_rng(0).normal(0, 12, stack.shape)
    noisy = np.clip(stack + noise, 0, 255).astype(np.uint8)
    segmenter = Segmenter.from_pretrained("gpcis-mobilenet-v2", "cpu")
    found = list(follow(segmenter, noisy[3], stack[3] > 100, noisy[4:]))
    assert 1 <= len(found) <= 2  # planes 4 and 5; on plane 6 there is no ball
    truth = stack[4] > 100
    mask = full(found[0], truth.shape)
    assert (mask & truth).sum() / (mask | truth).sum() > 0.8
