"""A mask is divided between two pixels: by a model's answers, or where it is narrow."""

from __future__ import annotations

import numpy as np
import pytest

from _fake_segmenter import FakeSegmenter
from napari_gpcis.division import divide, split_mask
from napari_gpcis.errors import InputError
from napari_gpcis.inference.image import prepare_image


def two_disks(apart: float, radii: tuple[float, float] = (10, 10)) -> np.ndarray:
    """Return two disks whose middles are at (20, 20) and beside it."""
    rows, cols = np.indices((41, 70))
    left = np.hypot(rows - 20, cols - 20) <= radii[0]
    return left | (np.hypot(rows - 20, cols - 20 - apart) <= radii[1])


def check(mask: np.ndarray, parts: tuple[np.ndarray, np.ndarray]) -> None:
    """The parts share no pixel, and leave none out."""
    assert not (parts[0] & parts[1]).any()
    np.testing.assert_array_equal(parts[0] | parts[1], mask)


@pytest.mark.parametrize("seeds", [((20, 20), (20, 36)), ((13, 22), (27, 33))])
def test_a_mask_is_divided_at_its_neck(seeds: tuple[tuple[int, int], ...]) -> None:
    mask = two_disks(17)
    parts = divide(mask, *seeds)
    check(mask, parts)
    cols = np.indices(mask.shape)[1]
    wrong = (parts[0] & (cols > 29)) | (parts[1] & (cols < 28))
    assert np.count_nonzero(wrong) <= 4


def test_where_there_is_no_neck_the_nearer_pixel_decides() -> None:
    mask = np.ones((20, 41), dtype=bool)
    parts = divide(mask, (10, 5), (10, 35))
    check(mask, parts)
    assert parts[0][:, :19].all()
    assert parts[1][:, 22:].all()


def test_what_a_model_sees_counts_more_than_the_neck() -> None:
    mask = two_disks(17)
    cols = np.indices(mask.shape)[1]
    advantage = np.where(cols < 24, 0.9, -0.9)
    parts = divide(mask, (20, 15), (20, 40), advantage)
    check(mask, parts)
    np.testing.assert_array_equal(parts[0], mask & (cols < 24))


@pytest.mark.parametrize("advantage", [0.0, 0.9, np.nan])
def test_an_answer_that_tells_nothing_is_left_out(advantage: float) -> None:
    mask = two_disks(17)
    told = np.full(mask.shape, advantage)
    seeds = (20, 20), (20, 36)
    found, expected = divide(mask, *seeds, told), divide(mask, *seeds)
    np.testing.assert_array_equal(found, expected)


def test_pieces_go_to_the_nearer_part() -> None:
    mask = two_disks(17)
    mask[2:4, 12:14] = mask[38:40, 40:43] = True
    parts = divide(mask, (20, 20), (20, 36))
    check(mask, parts)
    assert parts[0][2:4, 12:14].all()
    assert parts[1][38:40, 40:43].all()


@pytest.mark.parametrize(
    ("first", "second", "reason"),
    [
        ((20, 20), (20, 20), "must be different pixels"),
        ((0, 0), (20, 20), "first must be a pixel of the mask"),
        ((20, 20), (20, 90), "second must be a pixel of the mask"),
    ],
)
def test_pixels_that_cannot_be_used_are_refused(
    first: tuple[int, int], second: tuple[int, int], reason: str
) -> None:
    with pytest.raises(InputError, match=reason):
        divide(two_disks(17), first, second)


def test_a_model_is_asked_for_either_part() -> None:
    model = FakeSegmenter()
    mask, box = two_disks(17), (10, 5, 51, 75)
    prepared = prepare_image(np.zeros((80, 100), np.uint8))
    parts = split_mask(model, prepared, box, mask, (30, 25), (30, 42))
    assert parts is not None
    check(mask, parts)
    asked = [
        [(*click.pixel, click.positive) for click in request.clicks]
        for request in model.runs
    ]
    assert asked == [
        [(30, 25, True), (30, 42, False)],
        [(30, 42, True), (30, 25, False)],
    ]
    assert split_mask(model, prepared, box, mask, (30, 25), (30, 42), yes) is None


def yes() -> bool:
    return True
