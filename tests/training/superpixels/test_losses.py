"""Losses of superpixels."""

import numpy as np
import pytest
import torch

from gpcis_training.superpixels.losses import (
    MutualInformation,
    alignment_loss,
    boundary_weights,
    colour_loss,
    embedding_loss,
    laplacian_loss,
    superpixel_loss,
)
from napari_gpcis.superpixels.association import NEIGHBOURS, mask_outside
from napari_gpcis.superpixels.cds import CDS

GRID = 3, 4
SHAPE = 48, 64


def own_cells():
    """Each pixel belongs to its own cell."""
    association = torch.zeros(1, 9, *SHAPE)
    association[:, 4] = 1
    return association


def random_association(seed=0):
    torch.manual_seed(seed)
    return mask_outside(torch.randn(1, 9, *SHAPE)).softmax(dim=1)


def test_labels_that_follow_the_cells_cost_only_their_positions():
    labels = torch.zeros(1, *SHAPE, dtype=torch.int64)
    labels[:, :, 32:] = 1
    centre = np.arange(16) - 7.5
    distance = np.hypot(centre[:, None], centre[None]).sum() * 12
    expected = 0.005 * 0.003 / 16 * distance
    found = float(superpixel_loss(own_cells(), labels))
    assert found == pytest.approx(expected, rel=1e-3)


def test_labels_that_divide_a_cell_cost_their_entropy():
    labels = torch.zeros(1, *SHAPE, dtype=torch.int64)
    labels[:, :, :8] = 1  # half of three cells
    found = float(superpixel_loss(own_cells(), labels, compactness=0))
    assert found == pytest.approx(0.005 * 3 * 256 * np.log(2), rel=1e-4)


def test_the_batch_is_averaged():
    labels = torch.randint(0, 3, (1, *SHAPE))
    one = superpixel_loss(random_association(), labels)
    two = superpixel_loss(
        random_association().expand(2, -1, -1, -1), labels.expand(2, -1, -1)
    )
    torch.testing.assert_close(one, two)


def test_weights_multiply_the_entropy_of_pixels():
    labels = torch.randint(0, 3, (1, *SHAPE))
    plain = superpixel_loss(random_association(), labels, 0)
    twice = superpixel_loss(random_association(), labels, 0, torch.full((1, *SHAPE), 2))
    torch.testing.assert_close(twice, 2 * plain)


def test_divided_cells_weigh_more():
    labels = torch.zeros(1, *SHAPE, dtype=torch.int64)
    labels[0, 3, 5] = 1
    weights = boundary_weights(labels)[0]
    assert weights[0, 0] == pytest.approx(10 * float(weights[20, 20]))
    assert float(weights.mean()) == pytest.approx(1, abs=1e-5)
    assert len(weights[:16, :16].unique()) == len(weights[16:].unique()) == 1


def test_colours_that_are_constant_in_cells_cost_only_their_positions():
    lab = torch.zeros(1, 3, *SHAPE)
    lab[:, :, :16, :16] = 50
    assert float(colour_loss(own_cells(), lab, 0)) == pytest.approx(0, abs=1e-4)
    lab[:, 0, :8, :16] = 70  # half of a cell differs by 20: 10 from the mean
    found = float(colour_loss(own_cells(), lab, 0))
    assert found == pytest.approx(0.005 * 256 * 0.1, rel=1e-3)


def test_equal_contents_are_aligned():
    content = torch.randn(2, 8, *SHAPE)
    assert float(alignment_loss(content, content)) == pytest.approx(0, abs=1e-6)


def test_alignment_is_the_divergence_of_means_over_cells():
    first, second = torch.randn(2, 8, *SHAPE), torch.randn(2, 8, *SHAPE)
    total = 0.0
    for batch in (0, 1):
        for row in range(3):
            for col in range(4):
                cell = (
                    slice(None),
                    slice(16 * row, 16 * row + 16),
                    slice(16 * col, 16 * col + 16),
                )
                p = first[batch][cell].mean(dim=(1, 2)).softmax(dim=0)
                q = second[batch][cell].mean(dim=(1, 2)).softmax(dim=0)
                total += float((p * (p / q).log()).sum())
    found = float(alignment_loss(first, second))
    assert found == pytest.approx(total / 24, rel=1e-4)
    assert found > 0


@torch.no_grad()
def test_nothing_is_known_of_a_constant_or_of_a_single_style():
    torch.manual_seed(0)
    estimator = MutualInformation(8)
    style = torch.randn(6, 8)
    constant = torch.ones(6, 8)
    of_constant, of_one = estimator(style, constant), estimator(style[:1], style[1:2])
    assert of_constant.item() == pytest.approx(0, abs=1e-6)
    assert of_one.item() == pytest.approx(0, abs=1e-6)


@torch.no_grad()
def test_the_bound_is_that_of_the_specification():
    torch.manual_seed(0)
    estimator = MutualInformation(5)
    a, b = torch.randn(4, 5), torch.randn(4, 5)
    mean, variance = estimator.mean(a), estimator.log_variance(a).exp()
    total, learning = 0.0, 0.0
    for i in range(4):
        for d in range(5):
            own = float((b[i, d] - mean[i, d]) ** 2)
            others = np.mean([float((b[j, d] - mean[i, d]) ** 2) for j in range(4)])
            total += (others - own) / (2 * float(variance[i, d]))
            learning += own / float(variance[i, d]) + float(variance[i, d].log())
    assert float(estimator(a, b)) == pytest.approx(total / 4, rel=1e-4)
    assert float(estimator.learning_loss(a, b)) == pytest.approx(learning / 4, rel=1e-4)


def test_what_it_learns_it_learns_alone():
    style = torch.randn(4, 8, requires_grad=True)
    MutualInformation(8).learning_loss(style, style).backward()
    assert style.grad is None


def test_related_styles_share_information_once_it_has_learned():
    torch.manual_seed(0)
    estimator = MutualInformation(4, hidden=16)
    optimiser = torch.optim.Adam(estimator.parameters(), lr=1e-2)
    for _ in range(200):
        style = torch.randn(32, 4)
        optimiser.zero_grad()
        estimator.learning_loss(style, style).backward()
        optimiser.step()
    style = torch.randn(64, 4)
    related = estimator(style, style).item()
    assert related > 2 * abs(estimator(style, torch.randn(64, 4)).item())


def dense_laplacian(association):
    """The definition: each superpixel on its window, pixel by pixel."""
    maps = np.zeros((GRID[0] * GRID[1], SHAPE[0] + 2, SHAPE[1] + 2))
    for channel, (dr, dc) in enumerate(NEIGHBOURS):
        for row in range(GRID[0]):
            for col in range(GRID[1]):
                r, c = row + dr, col + dc
                if 0 <= r < GRID[0] and 0 <= c < GRID[1]:
                    place = (
                        slice(16 * row, 16 * row + 16),
                        slice(16 * col, 16 * col + 16),
                    )
                    inner = maps[r * GRID[1] + c, 1:-1, 1:-1]
                    inner[place] = association[0, channel][place]
    traces = []
    for padded in maps:
        inner = padded[1:-1, 1:-1]
        shifts = [
            padded[1 + dr : padded.shape[0] - 1 + dr, 1 + dc : padded.shape[1] - 1 + dc]
            for dr, dc in NEIGHBOURS
            if (dr, dc) != (0, 0)
        ]
        traces.append(sum((inner * shift).sum() for shift in shifts))
    return 1 - np.mean(traces) / 17_860


def test_the_laplacian_loss_is_that_of_the_definition():
    association = random_association()
    expected = dense_laplacian(association.numpy())
    assert float(laplacian_loss(association)) == pytest.approx(expected, rel=1e-5)
    expected = dense_laplacian(own_cells().numpy())
    assert float(laplacian_loss(own_cells())) == pytest.approx(expected, rel=1e-5)


def test_whole_superpixels_have_the_smaller_laplacian_loss():
    stray = own_cells()
    stray[:, 4, ::2, ::2] = 0
    stray[:, 5, ::2, ::2] = 1
    assert laplacian_loss(own_cells()) < laplacian_loss(stray)


def test_embeddings_far_apart_cost_nothing():
    labels = torch.zeros(2, 8, 8, dtype=torch.int64)
    labels[:, :, 4:] = 3
    embedding = torch.zeros(2, 4, 8, 8, requires_grad=True)
    loss = embedding_loss(embedding, labels)
    assert loss.item() == pytest.approx(1.5**2, rel=1e-3)
    loss.backward()
    assert torch.isfinite(embedding.grad).all()
    far = torch.zeros(2, 4, 8, 8)
    far[:, 0, :, 4:] = 2.0
    assert float(embedding_loss(far, labels)) == 0
    far[:, 0, :, 4:] = 0.5
    assert float(embedding_loss(far, labels)) == pytest.approx(1.0, rel=1e-3)


def test_embeddings_are_drawn_by_the_generator():
    labels = torch.randint(0, 3, (1, 16, 16))
    embedding = torch.randn(1, 4, 16, 16)
    losses = [
        float(embedding_loss(embedding, labels, generator=torch.Generator()))
        for _ in range(2)
    ]
    assert losses[0] == losses[1]


def test_twenty_steps_on_one_image_more_than_halve_the_loss():
    torch.manual_seed(0)
    rows, cols = torch.meshgrid(torch.arange(48), torch.arange(64), indexing="ij")
    labels = (((rows - 22) ** 2 + (cols - 30) ** 2) < 200).long()[None]
    image = labels[:, None].float().expand(-1, 3, -1, -1) - 0.43
    network = CDS(16, 8).train()
    optimiser = torch.optim.Adam(network.parameters(), lr=1e-2)
    losses = []
    for _ in range(21):
        loss = superpixel_loss(network(image), labels)
        losses.append(float(loss.detach()))
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
    assert losses[-1] < losses[0] / 2
