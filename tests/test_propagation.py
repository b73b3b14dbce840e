"""Following an object through a stack, without a viewer."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from scipy.ndimage import distance_transform_edt

from _bright_segmenter import BrightSegmenter, ball_stack
from napari_gpcis.errors import InputError
from napari_gpcis.inference.image import prepare_image
from napari_gpcis.inference.segmenter import Segmenter
from napari_gpcis.propagation import (
    Pattern,
    PlaneResult,
    StopRule,
    begin,
    contrast_to_noise,
    follow,
    inner_clicks,
    interpolate,
    place_mask,
    propagate_step,
    reason_to_doubt,
    reason_to_stop,
)

if TYPE_CHECKING:
    from napari_gpcis.inference.prediction import Prediction


def full(found: PlaneResult, shape: tuple[int, int]) -> np.ndarray:
    mask = np.zeros(shape, dtype=bool)
    mask[found.box[0] : found.box[2], found.box[1] : found.box[3]] = found.mask
    return mask


def test_a_mask_of_another_shape_is_refused() -> None:
    plane = np.zeros((40, 50), np.uint8)
    with pytest.raises(InputError, match=r"image's shape \(40, 50\), got \(20, 25\)"):
        list(follow(BrightSegmenter(), plane, np.ones((20, 25), bool), [plane]))


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


class TrustingSegmenter(BrightSegmenter):
    """Takes the mask before for the object, wherever that is now."""

    def _predict(self, request: Any, clicks: Any) -> Prediction:
        found = super()._predict(request, clicks)
        mask = request.start.prediction.mask.astype(np.float32)
        maps = found.maps._replace(probability=0.05 + 0.9 * mask)
        return replace(found, maps=maps)


def moving(planes: int, by: tuple[int, int], size: int = 90) -> list[np.ndarray]:
    """A textured disk on a dark, noisy ground, moving by ``by`` from plane to plane."""
    random = np.random.default_rng(0)
    rows, cols = np.indices((size, size))
    disk = np.hypot(rows - size / 2, cols - size / 2) <= size / 9
    plane = np.where(disk, 180 + 40 * random.random(disk.shape), 30)
    return [
        np.roll(plane, (by[0] * number, by[1] * number), (0, 1))
        + 10 * random.random(disk.shape)
        for number in range(planes)
    ]


def test_a_moving_object_is_followed_by_a_model_that_trusts_the_mask_before() -> None:
    stack = moving(5, (3, -5))
    mask = stack[0] > 100
    found = list(follow(TrustingSegmenter(), stack[0], mask, stack[1:]))
    assert len(found) == 4
    for number, (one, plane) in enumerate(zip(found, stack[1:], strict=True), 1):
        np.testing.assert_array_equal(full(one, plane.shape), plane > 100)
        clicks = [(45 + 3 * number, 45 - 5 * number)]
        assert [click.pixel for click in one.clicks] == clicks
        assert one.agreement == 1
        assert one.saved is not None
        start = one.saved.current.start
        assert start is not None
        assert start.box == one.box


def pattern_of(plane: np.ndarray) -> Pattern:
    mask = np.zeros(plane.shape[:2], dtype=bool)
    mask[30:60, 32:58] = True
    found = begin(prepare_image(plane), mask, (0, 0)).pattern
    assert found is not None
    return found


@pytest.mark.parametrize("by", [(0, 0), (4, -7), (-9, 9), (0, 14)])
def test_pixels_around_an_object_are_found_where_they_went(by) -> None:
    first, second = moving(2, by)
    assert pattern_of(first).displacement(prepare_image(second)) == by
    colours = [
        np.dstack([plane / 255, 0 * plane, plane / 300]) for plane in (first, second)
    ]
    assert pattern_of(colours[0]).displacement(prepare_image(colours[1])) == by


def test_large_objects_are_found_on_a_coarser_grid() -> None:
    first, second = (
        np.repeat(np.repeat(one, 12, 0), 12, 1) for one in moving(2, (2, -1))
    )
    mask = np.zeros(first.shape, dtype=bool)
    mask[360:720, 380:700] = True
    found = begin(prepare_image(first), mask, (0, 0)).pattern
    assert found is not None
    assert found.step > 1
    by = found.displacement(prepare_image(second))
    np.testing.assert_allclose(by, (24, -12), atol=found.step)


def test_what_is_not_found_again_has_not_moved() -> None:
    first, second = moving(2, (4, -7))
    pattern = pattern_of(first)
    noise = np.random.default_rng(1).random(second.shape)
    flat = np.full(second.shape, 0.5)
    colour = np.dstack([second] * 3) / 300
    for other in (noise, flat, second[:40], second[:, :50], colour):
        assert pattern.displacement(prepare_image(other)) == (0, 0)


def test_an_object_at_the_border_stays_on_the_plane() -> None:
    first, second = (plane[26:, :65] for plane in moving(2, (-9, 9)))
    mask = first > 100
    found = list(follow(TrustingSegmenter(), first, mask, [second]))
    assert len(found) == 1
    row, _, _, cols = found[0].box
    assert (row, cols) == (0, second.shape[1])


def growing(planes: int, rate: float, level: float = 0.0) -> np.ndarray:
    """A bright disk whose area grows by a rate from plane to plane, 9 px at first.

    Each plane agrees with the one before; ``level`` is added to it from plane to plane.
    """
    rows, cols = np.indices((90, 90))
    away = np.hypot(rows - 45, cols - 45)
    radii = 9 * np.sqrt(rate ** np.arange(planes))
    values = [
        np.where(away <= radius, 200 - level * number, 30)
        for number, radius in enumerate(radii)
    ]
    return np.array(values).astype(np.uint8)


def test_a_mask_that_drifts_is_doubted_though_each_plane_agrees() -> None:
    stack = growing(9, 1.19)  # three times as large after six planes
    found = list(follow(BrightSegmenter(), stack[0], stack[0] > 100, stack[1:]))
    assert all(one.agreement >= 0.82 for one in found)
    areas = np.array([(plane > 100).sum() for plane in stack])
    first = int(np.argmax(areas > 2 * areas[0]))
    assert [bool(one.doubt) for one in found] == [False] * (first - 1) + [True]
    ratio = areas[first] / areas[0]
    assert found[-1].doubt == f"it is {ratio:.1f} times as large as where it began"
    on = list(
        follow(
            BrightSegmenter(),
            stack[0],
            stack[0] > 100,
            stack[1:],
            through_doubt=True,
        )
    )
    assert [bool(one.doubt) for one in on] == [False] * (first - 1) + [True] * (
        9 - first
    )


def test_growth_within_bounds_is_not_doubted() -> None:
    stack = growing(5, 1.15)
    found = list(follow(BrightSegmenter(), stack[0], stack[0] > 100, stack[1:]))
    assert len(found) == 4
    assert not any(one.doubt for one in found)


def test_slow_bleaching_is_no_doubt_a_sudden_change_is() -> None:
    stack = growing(8, 1.0, level=9)
    mask = stack[0] > 100
    stack[:, :5, :5], stack[:, :5, -5:] = 0, 255  # the same black and white everywhere
    found = list(follow(BrightSegmenter(), stack[0], mask, stack[1:]))
    assert len(found) == 7
    assert not any(one.doubt for one in found)
    stack[:5, mask] = 140
    stack[5:, mask] = 250  # another thing
    found = list(follow(BrightSegmenter(), stack[0], mask, stack[1:]))
    assert [one.doubt for one in found[:4]] == [""] * 4
    assert "brightness" in found[4].doubt
    assert len(found) == 5


def test_another_shape_is_doubted_wherever_it_lies() -> None:
    stack = growing(2, 1.0)
    begun = propagate_step(BrightSegmenter(), stack[0], stack[0] > 100)
    for turned in (False, True):
        bar = np.zeros((90, 90), bool)
        bar[50:54, 10:74] = True
        mask = bar.T if turned else bar
        place = int(turned)
        other = place_mask(
            BrightSegmenter(), np.where(mask, 200, 30).astype(np.uint8), mask
        )
        assert other.box[place] == 50
        assert "shape" in reason_to_doubt(other, [begun])
    moved = place_mask(
        BrightSegmenter(), np.roll(stack[0], 20, 1), np.roll(stack[0], 20, 1) > 100
    )
    assert reason_to_doubt(moved, [begun]) == ""
    half = stack[0][::2, ::2]
    smaller = place_mask(BrightSegmenter(), half, half > 100)
    assert reason_to_doubt(smaller, [begun]) == ""


def box_and_mask(full_mask: np.ndarray) -> tuple:
    rows, cols = np.nonzero(full_mask)
    box = rows.min(), cols.min(), rows.max() + 1, cols.max() + 1
    return box, full_mask[box[0] : box[2], box[1] : box[3]]


def disk(row: float, col: float, radius: float, shape=(100, 120)) -> np.ndarray:
    rows, cols = np.indices(shape)
    return np.hypot(rows - row, cols - col) <= radius


@pytest.mark.parametrize("share", [0.0, 0.25, 0.5, 0.75, 1.0])
def test_an_object_between_two_planes_moves_and_grows(share) -> None:
    first, last = disk(30, 30, 10), disk(60, 80, 18)
    box, mask = interpolate(box_and_mask(first), box_and_mask(last), share, first.shape)
    found = np.zeros(first.shape, bool)
    found[box[0] : box[2], box[1] : box[3]] = mask
    wanted = disk(30 + 30 * share, 30 + 50 * share, 10 + 8 * share)
    assert (found & wanted).sum() / (found | wanted).sum() > 0.92
    assert mask.any(axis=1)[[0, -1]].all()
    assert mask.any(axis=0)[[0, -1]].all()


def test_an_interpolated_object_ends_at_the_border() -> None:
    first, last = disk(0, 50, 12), disk(99, 50, 12)
    for share in np.linspace(0, 1, 11):
        box, mask = interpolate(
            box_and_mask(first), box_and_mask(last), share, first.shape
        )
        assert mask.any()
        assert 0 <= box[0] < box[2] <= 100


def test_shapes_without_a_common_pixel_still_give_one() -> None:
    ring = disk(50, 50, 20) & ~disk(50, 50, 17)
    for share in (0.2, 0.8):
        _, mask = interpolate(
            box_and_mask(ring), box_and_mask(disk(50, 50, 5)), share, ring.shape
        )
        assert mask.any()


def test_interpolation_needs_two_masks_and_a_share() -> None:
    one = box_and_mask(disk(30, 30, 10))
    with pytest.raises(InputError, match="not empty"):
        interpolate(one, ((0, 0, 2, 2), np.zeros((2, 2))), 0.5, (100, 120))
    for share in (-0.1, 1.1, float("nan")):
        with pytest.raises(InputError, match="share must lie"):
            interpolate(one, one, share, (100, 120))


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
