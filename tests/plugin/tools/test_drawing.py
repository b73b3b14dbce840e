"""Lines that were drawn, as boxes, masks and clicks."""

from __future__ import annotations

import numpy as np
import pytest

from napari_gpcis.plugin.tools.drawing import (
    APART,
    MOST_CLICKS,
    box_of_line,
    mask_of_line,
    places_on_line,
)

SHAPE = (40, 60)


def test_the_mask_of_a_closed_line_is_what_is_inside_the_image() -> None:
    line = np.array([(10, 50), (10, 80), (30, 80), (30, 50)], dtype=float)
    corner, mask = mask_of_line(line, SHAPE)
    assert corner == (10, 50)
    assert mask.shape == (21, 10)
    assert mask.mean() > 0.9


@pytest.mark.parametrize(
    "line", [[(5, 5), (6, 6)], [(5, 5), (5, 30)], [(50, 5), (70, 30), (60, 50)]]
)
def test_too_little_is_no_box_and_no_mask(line: list[tuple[float, float]]) -> None:
    assert box_of_line(np.array(line, float), SHAPE) is None
    assert mask_of_line(np.array(line, float), SHAPE) is None


@pytest.mark.parametrize(
    ("length", "count"), [(0, 1), (3, 1), (9, 3), (50, MOST_CLICKS)]
)
def test_clicks_of_a_line_are_apart_and_few(length: float, count: int) -> None:
    line = np.array([(20, 2), (20, 2 + length)], dtype=float)
    places = places_on_line(line, SHAPE)
    assert places.shape == (count, 2)
    assert np.all(places[:, 0] == 20)
    apart = np.diff(places[:, 1])
    assert np.all(apart > 0.7 * APART)
    assert np.allclose(apart, apart[:1])


def test_places_beside_the_image_do_not_count() -> None:
    line = np.array([(20.0, -30.0), (20.0, 10.0), (20.0, 20.0), (20.0, 90.0)])
    places = places_on_line(line, SHAPE)
    assert places[:, 1].min() >= 10
    assert places[:, 1].max() <= 20
    assert len(places_on_line(line - (90, 0), SHAPE)) == 0
