"""Borders of label images as segments: where they lie, and what is outside."""

from __future__ import annotations

import numpy as np
import pytest

from napari_gpcis.plugin.viewer import segments as segments_module
from napari_gpcis.plugin.viewer.segments import Segments


def unit_sides(found: Segments) -> set[tuple[float, ...]]:
    """Every side of a pixel that the segments go along, with the way outwards."""
    sides = set()
    for start, end, away in zip(*found[:3], strict=True):
        count = round(float(np.abs(end - start).sum()))
        for part in range(count):
            middle = start + (end - start) * (part + 0.5) / count
            sides.add((*middle.tolist(), *away.tolist()))
    return sides


def expected_sides(labels: np.ndarray, corner: tuple[int, int]) -> set:
    padded = np.pad(np.maximum(labels, 0), 1)
    sides = set()
    for row, col in np.argwhere(padded > 0):
        for down, right in ((-1, 0), (1, 0), (0, -1), (0, 1)):
            if padded[row + down, col + right] != padded[row, col]:
                middle = row - 1 + down / 2 + corner[0], col - 1 + right / 2 + corner[1]
                sides.add((*middle, float(down), float(right)))
    return sides


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("kind", [bool, np.int32, np.uint8])
def test_segments_go_along_the_sides_of_pixels(seed, kind) -> None:
    random = np.random.default_rng(seed)
    labels = random.integers(0, 2 if kind is bool else 4, (9, 13)).astype(kind)
    found = Segments.of_labels(labels, (20, -3))
    assert unit_sides(found) == expected_sides(labels.astype(int), (20, -3))
    assert set(found.values.tolist()) == set(labels[labels > 0].astype(int).tolist())


def test_runs_are_one_segment() -> None:
    mask = np.zeros((50, 60), bool)
    mask[10:30, 20:50] = True
    found = Segments.of_labels(mask, (0, 0))
    assert len(found.starts) == 4
    corners = {tuple(point) for point in np.concatenate(found[:2]).tolist()}
    assert corners == {(9.5, 19.5), (9.5, 49.5), (29.5, 19.5), (29.5, 49.5)}


def test_ids_below_0_are_outside() -> None:
    labels = np.full((6, 6), -1)
    assert len(Segments.of_labels(labels, (0, 0)).starts) == 0
    labels[2:4, 2:4] = 7
    assert set(Segments.of_labels(labels, (0, 0)).values.tolist()) == {7}


@pytest.mark.parametrize("limit", ["MOST_PIXELS", "MOST_SEGMENTS"])
def test_of_large_or_rough_masks_fewer_pixels_count(monkeypatch, limit) -> None:
    monkeypatch.setattr(segments_module, limit, 100)
    rows, cols = np.indices((400, 400))
    mask = np.hypot(rows - 200, cols - 200) < 150
    found = Segments.of_labels(mask, (0, 0))
    assert 0 < len(found.starts) <= 200
    reach = np.hypot(*(found.starts - 200).T)
    assert reach.min() > 100
    assert reach.max() < 200


def test_curves_and_nothing() -> None:
    square = np.array([[0, 0], [0, 4], [4, 4], [4, 0], [0, 0]], float)
    found = Segments.of_curves([square, square[:1]])
    assert len(found.starts) == 4
    assert np.allclose(np.hypot(*found.outward.T), 1)
    assert len(Segments.of_curves([]).starts) == 0
    assert len(Segments.of_labels(np.zeros((0, 0), bool), (0, 0)).starts) == 0
