"""Clicks, their tensor and their disk maps."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from napari_gpcis.clicks import Click, disk_maps, points_tensor
from napari_gpcis.errors import InputError

UNUSED = [-1.0, -1.0, -1.0]


@pytest.mark.parametrize(
    ("row", "col", "pixel"),
    [
        (0, 0, (0, 0)),
        (2.49, 7.5, (2, 8)),
        (-0.5, -0.51, (0, -1)),
        (119.6, 80.2, (120, 80)),
        (2.5, 3.5, (3, 4)),
    ],
)
def test_pixel_contains_the_click(
    row: float, col: float, pixel: tuple[int, int]
) -> None:
    assert Click(row, col).pixel == pixel


@pytest.mark.parametrize(
    "bad", [math.nan, math.inf, -math.inf, "left", None, [1.0, 2.0]]
)
@pytest.mark.parametrize("name", ["row", "col"])
def test_coordinates_must_be_finite_numbers(name: str, bad: object) -> None:
    coordinates = {"row": 1.0, "col": 2.0} | {name: bad}
    with pytest.raises(InputError, match=f"{name} .* finite number.*got"):
        Click(**coordinates)


@pytest.mark.parametrize("bad", ["0", "false", "-", "1", "", None, 2, math.nan])
def test_the_sign_must_be_a_truth_value(bad: object) -> None:
    with pytest.raises(InputError, match="positive must be True or False, got"):
        Click(1, 2, bad)  # type: ignore[arg-type]


@pytest.mark.parametrize("one", [True, 1, 1.0, np.bool_(True), np.int64(1)])
def test_signs_of_tables_of_numbers(one: object) -> None:
    assert Click(1, 2, one).positive is True  # type: ignore[arg-type]
    assert Click(1, 2, type(one)(0)).positive is False  # type: ignore[call-arg]


def test_click_is_plain_and_immutable() -> None:
    click = Click(np.float32(3.5), np.int64(4), np.bool_(False))
    assert click == Click(3.5, 4.0, positive=False)
    assert [type(value) for value in (click.row, click.col)] == [float, float]
    assert type(click.positive) is bool
    assert Click(1, 2).positive is True
    with pytest.raises(AttributeError):
        click.row = 0.0


def test_points_are_positives_then_negatives_with_their_order() -> None:
    clicks = [
        Click(1, 2),
        Click(3, 4, positive=False),
        Click(5.5, 6.25),
        Click(7, 8),
    ]
    assert points_tensor(clicks).tolist() == [
        [[1, 2, 0], [5.5, 6.25, 2], [7, 8, 3], [3, 4, 1], UNUSED, UNUSED]
    ]


@pytest.mark.parametrize(
    ("clicks", "expected"),
    [
        ([], [UNUSED, UNUSED]),
        ([Click(1, 2)], [[1, 2, 0], UNUSED]),
        ([Click(1, 2, positive=False)], [UNUSED, [1, 2, 0]]),
    ],
)
def test_points_have_at_least_one_slot_per_side(
    clicks: list[Click], expected: list[list[float]]
) -> None:
    points = points_tensor(clicks)
    assert points.dtype == torch.float32
    assert points.tolist() == [expected]


def test_points_are_shifted_then_scaled() -> None:
    points = points_tensor([Click(30, 50)], scale=(0.5, 2.0), offset=(10, 20))
    assert points[0, 0].tolist() == [10.0, 60.0, 0.0]


def _reference_disks(
    points: np.ndarray, shape: tuple[int, int], radius: float
) -> np.ndarray:
    """Draw one image's disks pixel by pixel."""
    maps = np.zeros((2, *shape))
    half = len(points) // 2
    for slot, (row, col, _) in enumerate(points):
        if max(row, col) < 0:
            continue
        for r, c in np.ndindex(shape):
            if (r - row) ** 2 + (c - col) ** 2 <= radius**2:
                maps[int(slot >= half), r, c] = 1
    return maps


_coordinate = st.integers(-60, 200).map(lambda quarter: quarter / 4)
_point = st.tuples(_coordinate, _coordinate, st.just(0.0))


@given(st.lists(_point, min_size=1, max_size=3).map(lambda side: side * 2))
def test_disks_match_a_pixelwise_drawing(
    rows: list[tuple[float, float, float]],
) -> None:
    points = np.array([rows, rows[::-1]], dtype=np.float32)
    drawn = disk_maps(torch.from_numpy(points), (17, 23), radius=5.0)
    expected = np.stack([_reference_disks(image, (17, 23), 5.0) for image in points])
    np.testing.assert_array_equal(drawn.numpy(), expected)


def test_disk_of_a_click_outside_reaches_in_but_padding_draws_nothing() -> None:
    points = torch.tensor([[[-2.0, 8.0, 0.0], UNUSED]])
    maps = disk_maps(points, (20, 20))
    assert maps[0, 0].any()
    assert maps[0, 0, 3, 8] == 1
    assert maps[0, 0, 4, 8] == 0
    assert not maps[0, 1].any()


def test_disks_of_a_side_are_joined() -> None:
    points = points_tensor([Click(5, 5), Click(5, 9), Click(15, 15, positive=False)])
    both = disk_maps(points, (24, 24))
    singles = [
        disk_maps(points_tensor([Click(5, col)]), (24, 24)) for col in (5.0, 9.0)
    ]
    assert torch.equal(both[:, 0], torch.maximum(*(maps[:, 0] for maps in singles)))
    assert both[0, 1].sum() == singles[0][0, 0].sum()


def test_radius_grows_the_disk() -> None:
    points = points_tensor([Click(16, 16)])
    areas = [int(disk_maps(points, (33, 33), radius=r).sum()) for r in (0, 1, 2, 5)]
    assert areas == [1, 5, 13, 81]
