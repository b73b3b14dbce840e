"""Clicks and guidance: the right distributions, and the same ones for a seed."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest
from scipy.ndimage import distance_transform_edt

from gpcis_training.diversity.clicks import (
    DistanceClicker,
    SamplingOptions,
    distance_clicker,
    sample_negatives,
    sample_positives,
)
from gpcis_training.diversity.guidance import clicked, distance_map, guidance
from gpcis_training.evaluation.datasets import EvaluationObject
from gpcis_training.evaluation.robot import depth_map
from napari_gpcis.errors import InputError

PUBLISHED = SamplingOptions(none=0)
SQUARE = np.zeros((120, 140), bool)
SQUARE[30:80, 40:110] = True
AWAY = distance_transform_edt(~SQUARE)
DEPTH = distance_transform_edt(SQUARE)


def gaps(pixels: list[tuple[int, int]]) -> list[float]:
    return [
        float(np.hypot(a[0] - b[0], a[1] - b[1]))
        for k, a in enumerate(pixels)
        for b in pixels[:k]
    ]


def test_positives_keep_margin_step_and_count() -> None:
    rng = np.random.default_rng(0)
    draws = [sample_positives(SQUARE, PUBLISHED, rng) for _ in range(300)]
    assert all(DEPTH[pixel] >= 5 for pixels in draws for pixel in pixels)
    assert min(min(gaps(pixels)) for pixels in draws if len(pixels) > 1) >= 10
    counts = np.bincount([len(pixels) for pixels in draws], minlength=11)
    assert counts[0] == 0
    assert len(counts) == 11
    # ten numbers, all as likely: 30 of each are expected
    assert ((counts[1:10] > 12) & (counts[1:10] < 52)).all()


def test_a_single_positive_lies_anywhere_alike() -> None:
    rng = np.random.default_rng(1)
    options = SamplingOptions(positives=1)
    rows = [sample_positives(SQUARE, options, rng)[0][0] for _ in range(2000)]
    shares = np.histogram(rows, bins=4, range=(34.0, 75.0))[0] / 2000
    assert np.abs(shares - 0.25).max() < 0.05


def test_thin_objects_get_a_click() -> None:
    thin = np.zeros((30, 30), bool)
    thin[10, 3:20] = True
    pixels = sample_positives(thin, PUBLISHED, np.random.default_rng(0))
    assert pixels
    assert all(thin[pixel] for pixel in pixels)


def strategy(pixels: list[tuple[int, int]], other: np.ndarray) -> str:
    """Name the strategy that the pixels are from."""
    if all(other[p] for p in pixels):
        return "others"
    return (
        "around" if min(AWAY[p] for p in pixels) < 5 or is_farthest(pixels) else "far"
    )


def is_farthest(pixels: list[tuple[int, int]]) -> bool:
    band = ~SQUARE & (AWAY <= 40)
    distances = distance_transform_edt(band)
    places = np.argwhere(band)
    for before, after in pairwise(pixels):
        away = np.hypot(places[:, 0] - before[0], places[:, 1] - before[1])
        values = distances[band]
        distances[band] = np.minimum(values, away)
        if distances[after] < distances[band].max() - 1e-9:
            return False
    return len(pixels) == 15


def test_strategies_of_negatives_are_drawn_alike() -> None:
    rng = np.random.default_rng(2)
    other = np.zeros_like(SQUARE)
    other[90:118, 5:40] = True
    found: dict[str, int] = {}
    for _ in range(150):
        pixels = sample_negatives(SQUARE, [other], PUBLISHED, rng)
        assert not any(SQUARE[p] for p in pixels)
        name = strategy(pixels, other)
        found[name] = found.get(name, 0) + 1
        if name == "far":
            assert len(pixels) <= 15
            assert min(AWAY[p] for p in pixels) >= 5
            assert all(gap >= 10 for gap in gaps(pixels))
    assert set(found) == {"others", "around", "far"}
    assert all(28 <= count <= 74 for count in found.values())  # 50 are expected
    alone = [
        strategy(sample_negatives(SQUARE, [], PUBLISHED, rng), other) for _ in range(40)
    ]
    assert 8 <= alone.count("around") <= 32


def test_negatives_around_are_the_farthest_ones_in_the_band() -> None:
    other = np.zeros_like(SQUARE)
    for seed in range(20):
        rng = np.random.default_rng(seed)
        pixels = sample_negatives(SQUARE, [], PUBLISHED, rng)
        if strategy(pixels, other) == "around":
            break
    assert is_farthest(pixels)
    assert all(0 < AWAY[p] <= 40 for p in pixels)


def test_share_without_negatives() -> None:
    rng = np.random.default_rng(3)
    empty = [
        not sample_negatives(SQUARE, [], SamplingOptions(), rng) for _ in range(200)
    ]
    assert 75 <= sum(empty) <= 125
    full = np.ones((20, 20), bool)
    assert sample_negatives(full, [], PUBLISHED, rng) == []


def test_negatives_only_where_allowed() -> None:
    allowed = np.zeros_like(SQUARE)
    allowed[:, :30] = True
    rng = np.random.default_rng(4)
    draws = [sample_negatives(SQUARE, [], PUBLISHED, rng, allowed) for _ in range(20)]
    assert any(draws)
    assert all(allowed[p] for pixels in draws for p in pixels)


def test_test_clicks_are_in_proportion_to_the_distance() -> None:
    gt = np.zeros((9, 12), np.int8)
    gt[2:7, 2:9] = 1
    clicker, free = DistanceClicker(0), np.ones(gt.shape, bool)
    counts = np.zeros(gt.shape)
    for _ in range(6000):
        click = clicker(gt, np.zeros(gt.shape, bool), free)
        assert click is not None
        assert click.positive
        counts[click.pixel] += 1
    expected = depth_map(gt == 1)
    expected /= expected.sum()
    error = np.sqrt(expected * (1 - expected) / 6000)
    assert (np.abs(counts / 6000 - expected) <= 4.5 * error + 1e-12).all()


def test_later_test_clicks_come_from_all_wrong_pixels() -> None:
    gt = np.zeros((20, 40), np.int8)
    gt[5:15, 5:15] = 1
    gt[:, 20] = -1
    mask = np.zeros(gt.shape, bool)
    mask[5:15, 25:35] = True
    mask[:, 20] = True
    clicker, free = DistanceClicker(1), np.ones(gt.shape, bool)
    signs = []
    for _ in range(400):
        click = clicker(gt, mask, free)
        assert click is not None
        assert click.positive == (gt[click.pixel] == 1)
        assert gt[click.pixel] != -1
        signs.append(click.positive)
    assert 150 < sum(signs) < 250  # both errors are of one shape
    assert clicker(gt, gt == 1, free) is None
    free[:] = False
    assert clicker(gt, mask, free) is None


def test_test_clicks_depend_on_seed_repeat_and_object() -> None:
    gt = np.zeros((60, 60), np.int8)
    gt[5:55, 5:55] = 1
    mask, free = np.zeros(gt.shape, bool), np.ones(gt.shape, bool)
    item, other = EvaluationObject("a", "b", (1,)), EvaluationObject("a", "b", (2,))

    def first(*given: object) -> tuple[int, int]:
        click = distance_clicker(*given)(gt, mask, free)  # type: ignore[arg-type]
        assert click is not None
        return click.pixel

    assert first(item, 0, 0) == first(item, 0, 0)
    assert (
        len({first(item, 0, 0), first(item, 1, 0), first(item, 0, 1), first(other)})
        == 4
    )


def test_distance_maps_are_255_without_clicks_and_cut_there() -> None:
    none = np.zeros((4, 300), bool)
    assert (distance_map(none) == 255).all()
    found = distance_map(clicked((4, 300), [(0, 0)]))
    assert found[3, 4] == 5
    assert found[0, 299] == 255


def test_guidance_in_the_order_of_the_published_code() -> None:
    positive, negative = clicked((5, 6), [(1, 1)]), clicked((5, 6), [])
    maps = guidance(positive, negative)
    assert maps.shape == (4, 5, 6)
    assert maps[0, 1, 4] == pytest.approx(3 / 255)
    assert (maps[1] == 1).all()
    assert maps[2, 1, 1] == 0
    assert maps[2].sum() == 29
    assert (maps[3] == 1).all()
    assert guidance(positive, negative, distances=False).shape[0] == 2
    assert np.array_equal(guidance(positive, negative, clicks=False), maps[:2])


def test_laws_that_cannot_be_drawn_are_refused() -> None:
    for wrong in ({"positives": 0}, {"none": 2.0}, {"margin": -1.0}):
        with pytest.raises(InputError):
            SamplingOptions(**wrong)  # type: ignore[arg-type]
