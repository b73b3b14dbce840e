"""The most valuable next click, on predictions made by hand."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from gpcis_training.evaluation import suggestions
from napari_gpcis.clicks import Click
from napari_gpcis.errors import InputError
from napari_gpcis.inference.prediction import GridMaps, Prediction
from napari_gpcis.next_click import (
    calibrated,
    doubt,
    expected_agreement,
    expected_iou,
    next_click,
)


def predict(
    probability, variance=None, roi=(0, 0, 64, 64), clicks=(), threshold=0.5
) -> Prediction:
    grid = np.asarray(probability, dtype=np.float32)
    spread = np.ones_like(grid) if variance is None else np.float32(variance)
    maps = GridMaps(grid, np.zeros_like(grid), np.zeros_like(grid), spread)
    return Prediction((500, 500), roi, tuple(clicks), threshold, maps, True)


def scene(*spots, size: int = 64) -> np.ndarray:
    """A sure object on sure ground, with squares (row, col, half, probability)."""
    grid = np.full((size, size), 0.01)
    grid[16:48, 16:48] = 0.99
    for row, col, half, probability in spots:
        grid[row - half : row + half + 1, col - half : col + half + 1] = probability
    return grid


@pytest.mark.parametrize("gamma", [0.0, 1.0, 2.0, 3.0])
def test_calibration_undoes_the_focal_loss(gamma) -> None:
    # what minimises the expected focal loss of a coin of bias eta gives eta back
    grid = np.linspace(0.001, 0.999, 9981)
    for eta in (0.05, 0.3, 0.5, 0.9):
        loss = -eta * (1 - grid) ** gamma * np.log(grid)
        loss -= (1 - eta) * grid**gamma * np.log(1 - grid)
        best = grid[loss.argmin()]
        assert calibrated(np.array([best]), gamma)[0] == pytest.approx(eta, abs=2e-3)


def test_the_wide_spot_wins_over_the_narrow_one() -> None:
    found = next_click(predict(scene((32, 30, 5, 0.6), (8, 8, 1, 0.45))), sure=1.0)
    assert found is not None
    assert (found.row, found.col) == (32, 30)
    assert found.value > 0


def test_missing_and_superfluous_doubt_is_one_region() -> None:
    grid = np.full((64, 64), 0.01)
    grid[:, 20:30], grid[:, 30:40] = 0.55, 0.45  # one band, two signs
    found = next_click(predict(grid))
    assert found is not None
    assert found.col == 28  # of the band, a quarter of the mask's size beyond it
    assert found.value == pytest.approx(9)


def test_a_border_is_no_place_to_click_but_a_spot_is() -> None:
    grid = scene((32, 32, 4, 0.6))
    grid[15:49, 15], grid[15:49, 48] = 0.5, 0.5
    found = next_click(predict(grid), sure=1.0)
    assert found is not None
    assert (found.row, found.col) == (32, 32)


def test_background_far_from_the_mask_is_no_place_to_click() -> None:
    grid = np.full((128, 128), 0.01)
    grid[16:48, 16:48] = 0.99
    grid[30:35, 44:54] = 0.4  # beside the object
    grid[80:120, 80:120] = 0.45  # nobody knows what is there
    variance = np.ones((128, 128))
    variance[:64, :64] = 0.01
    found = next_click(predict(grid, variance, roi=(0, 0, 128, 128)), sure=1.0)
    assert found is not None
    assert 30 <= found.row < 35
    assert 44 <= found.col < 57


def test_without_a_mask_doubt_is_looked_for_everywhere() -> None:
    grid = np.full((64, 64), 0.01)
    grid[40:50, 40:50] = 0.45
    found = next_click(predict(grid))
    assert found is not None
    assert (found.row, found.col) in [
        (row, col) for row in (44, 45) for col in (44, 45)
    ]


def test_the_pixel_is_one_of_the_image() -> None:
    grid = scene((32, 30, 5, 0.6))
    shifted = next_click(predict(grid, roi=(100, 200, 228, 456)), sure=1.0)
    assert shifted is not None
    assert shifted.row == 100 + 2 * 32 + 1  # the middle of two rows
    assert 200 + 4 * 27 < shifted.col < 200 + 4 * 34  # on the ridge of the spot
    small = next_click(predict(grid, roi=(100, 200, 132, 232)), sure=1.0)
    assert small is not None
    assert (small.row, small.col) == (116, 215)


def test_a_sure_model_asks_for_nothing() -> None:
    assert next_click(predict(scene())) is None
    unsure = predict(scene((32, 32, 12, 0.6)))
    assert next_click(unsure) is not None
    assert next_click(unsure, sure=expected_iou(unsure)) is None


def test_spots_below_a_pixel_are_left_alone() -> None:
    found = predict(scene((32, 32, 6, 0.6)), roi=(0, 0, 4, 4))
    assert next_click(found, sure=1.0) is None


def test_no_place_is_asked_for_twice() -> None:
    grid, clicks = scene((32, 30, 5, 0.6)), []
    for _ in range(3):
        found = next_click(predict(grid, clicks=clicks), sure=1.0)
        assert found is not None
        assert (found.row, found.col) not in [click.pixel for click in clicks]
        clicks.append(Click(found.row, found.col))


def test_the_expected_agreement_is_a_ratio_of_expected_areas() -> None:
    grid = np.full((4, 4), 1e-9)
    grid[:2] = 1 - 1e-9
    assert expected_iou(predict(grid)) == pytest.approx(1, abs=1e-4)
    grid[0] = 0.5 + 1e-6
    assert expected_iou(predict(grid)) == pytest.approx((4 + 2) / 8, abs=1e-3)
    assert expected_iou(predict(np.full((4, 4), 0.2))) == 0


def test_doubt_follows_the_threshold() -> None:
    grid = np.full((4, 4), 0.6)
    assert doubt(predict(grid)).max() < 0.5
    assert doubt(predict(grid, threshold=0.7)).min() > 0.5


@pytest.mark.parametrize("sure", [0, -1, 1.1, float("nan")])
def test_sure_is_a_share(sure) -> None:
    with pytest.raises(InputError, match="sure must be"):
        next_click(predict(scene()), sure)


def test_the_comparison_counts_clicks(segmenter_of_disks) -> None:
    from napari_gpcis.session.session import Session

    gt = np.zeros((40, 40), dtype=np.int8)
    gt[10:31, 10:31] = 1
    session = Session(segmenter_of_disks, np.zeros((40, 40), np.uint8))
    done = suggestions.run(session, gt, None, None, 3)
    assert len(done.ious) == 3
    assert done.ious[0] == pytest.approx(401 / 481)  # disk and square, centred
    text = suggestions.table({"robot": [done]}, 3)
    assert "IoU&3" in text
    assert f"{done.ious[2]:.3f}" in text
    assert "sure in 100%" in suggestions.calibration([done])


@pytest.fixture
def segmenter_of_disks():
    from _fake_segmenter import FakeSegmenter

    return FakeSegmenter()


def test_the_predicted_quality_counts_where_there_is_one() -> None:
    found = predict(scene((32, 32, 12, 0.55)))
    assert expected_agreement(found) == expected_iou(found)
    poor, good = replace(found, quality=0.15), replace(found, quality=0.95)
    assert (expected_agreement(poor), expected_agreement(good)) == (0.15, 0.95)
    sure = predict(scene())
    assert next_click(sure) is None
    assert next_click(replace(sure, quality=0.95)) is None
    assert next_click(found) is not None
    assert next_click(good) is None
