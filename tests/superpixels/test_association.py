"""Soft association: pooling, unpooling, hard labels."""

import numpy as np
import pytest
import torch

from napari_gpcis.superpixels.association import (
    NEIGHBOURS,
    from_cells,
    hard_labels,
    mask_outside,
    pool,
    to_cells,
    unpool,
)

GRID = 3, 4
SHAPE = 48, 64


def random_association(seed=0, masked=True):
    torch.manual_seed(seed)
    logits = torch.randn(2, 9, *SHAPE, dtype=torch.float64)
    return (mask_outside(logits) if masked else logits).softmax(dim=1)


def dense(association):
    """Return Q as a matrix of pixels and superpixels, by the definition."""
    matrix = np.zeros((SHAPE[0] * SHAPE[1], GRID[0] * GRID[1]))
    for row in range(SHAPE[0]):
        for col in range(SHAPE[1]):
            for channel, (dr, dc) in enumerate(NEIGHBOURS):
                r, c = row // 16 + dr, col // 16 + dc
                if 0 <= r < GRID[0] and 0 <= c < GRID[1]:
                    pixel = row * SHAPE[1] + col
                    matrix[pixel, r * GRID[1] + c] = association[channel, row, col]
    return matrix


def test_cells_and_back():
    values = torch.arange(2 * 3 * 48 * 64).reshape(2, 3, 48, 64)
    cells = to_cells(values)
    assert cells.shape == (2, 3, 4, 256, 3)
    assert torch.equal(cells[1, 2, 1, 17], values[1, :, 33, 17])
    assert torch.equal(from_cells(cells), values)


@pytest.mark.parametrize("masked", [True, False])
def test_pooling_is_the_weighted_mean(masked):
    association = random_association(masked=masked)
    values = torch.randn(2, 5, *SHAPE, dtype=torch.float64)
    pooled = pool(values, association)
    for batch in (0, 1):
        q = dense(association[batch])
        f = values[batch].reshape(5, -1).numpy()
        expected = (f @ q) / (q.sum(axis=0) + 1e-8)
        found = pooled[batch].reshape(5, -1).numpy()
        np.testing.assert_allclose(found, expected, atol=1e-9)


@pytest.mark.parametrize("masked", [True, False])
def test_unpooling_is_the_weighted_mean(masked):
    association = random_association(masked=masked)
    pooled = torch.randn(2, 5, *GRID, dtype=torch.float64)
    found = unpool(pooled, association)
    for batch in (0, 1):
        expected = pooled[batch].reshape(5, -1).numpy() @ dense(association[batch]).T
        np.testing.assert_allclose(found[batch].reshape(5, -1), expected, atol=1e-12)


def test_a_constant_stays_constant():
    constant = torch.full((2, 1, *SHAPE), 7.0, dtype=torch.float64)
    for masked in (True, False):
        association = random_association(masked=masked)
        again = unpool(pool(constant, association), association)
        away = again[..., 16:-16, 16:-16]
        torch.testing.assert_close(away, torch.full_like(away, 7.0))
        assert masked == bool(torch.isclose(again, constant).all())


def test_one_hot_association_gives_exact_means():
    association = torch.zeros(1, 9, *SHAPE, dtype=torch.float64)
    association[:, 4] = 1  # each pixel in its own cell
    values = torch.randn(1, 2, *SHAPE, dtype=torch.float64)
    means = to_cells(values).mean(dim=-2).permute(0, 3, 1, 2)
    torch.testing.assert_close(pool(values, association), means, atol=1e-9, rtol=0)


def test_masked_neighbours_get_nothing():
    association = random_association()
    torch.testing.assert_close(
        association.sum(dim=1), torch.ones(2, *SHAPE, dtype=torch.float64)
    )
    assert association[:, :3, :16].sum() == 0  # above the first row
    assert association[:, 6:, -16:].sum() == 0
    assert association[:, ::3, :, :16].sum() == 0
    assert association[:, 2::3, :, -16:].sum() == 0


def test_hard_labels_are_the_likeliest_superpixel():
    association = random_association()
    expected = dense(association[0]).argmax(axis=1).reshape(SHAPE)
    assert np.array_equal(hard_labels(association)[0], expected)


def test_choices_outside_the_grid_go_to_its_border():
    association = torch.zeros(1, 9, *SHAPE)
    association[:, 0] = 1  # top left of each cell
    labels = hard_labels(association)[0]
    assert labels[0, 0] == 0
    assert labels[0, 40] == 1
    assert labels[20, 40] == 1
    assert labels[40, 60] == 1 * 4 + 2


@pytest.mark.parametrize("device", ["cpu", "meta"])
def test_any_device(device):
    association = torch.rand(1, 9, *SHAPE, device=device)
    pooled = pool(torch.rand(1, 3, *SHAPE, device=device), association)
    assert unpool(pooled, association).device.type == device
    assert mask_outside(association).device.type == device
    assert hard_labels(association).device.type == device
