"""The amortised mean and the variational term of the loss."""

from __future__ import annotations

import numpy as np
import torch

from _gp_problems import make_problem
from napari_gpcis.gp import amortised_mean, condition, variational_loss

PROBLEM = make_problem(seed=8, clicks=4)
USED = torch.tensor([[True, True, False, True], [True, False, False, False]])
LABELS = torch.tensor([[1.0, 1, 1, -1], [-1, 1, 1, 1]], dtype=torch.float64)
MEAN = amortised_mean(PROBLEM.targets, LABELS)
SAMPLE = MEAN + 0.1 * PROBLEM.targets
FACTOR = condition(PROBLEM.k_nn, MEAN, USED, 1e-2).cholesky


def test_amortised_mean_has_the_sign_of_its_label() -> None:
    raw = torch.tensor([[-40.0, -1.0, 0.0, 1.0, 40.0]])
    expected = np.log1p(np.exp(np.array([-40.0, -1.0, 0.0, 1.0, 40.0])))
    for label in (1.0, -1.0):
        mean = amortised_mean(raw, torch.full_like(raw, label))
        assert bool((mean * label > 0).all())
        np.testing.assert_allclose(mean[0], label * expected, rtol=1e-6)


def _reference(sample: np.ndarray, mean: np.ndarray) -> float:
    """The loss with one block-diagonal inverse over all clicks of the batch."""
    used = USED.numpy()
    count = int(used.sum())
    matrix = np.zeros((count, count))
    start = 0
    for image in range(2):
        index = np.flatnonzero(used[image])
        block = PROBLEM.k_nn[image].numpy()[np.ix_(index, index)]
        stop = start + len(index)
        matrix[start:stop, start:stop] = block + 1e-2 * np.eye(len(index))
        start = stop
    target = (LABELS.numpy()[used] + 1) / 2
    probability = 1 / (1 + np.exp(-sample[used]))
    fit = -np.log(np.where(target == 1, probability, 1 - probability)).mean()
    return 1e-3 * (fit + mean[used] @ np.linalg.inv(matrix) @ mean[used] / count)


def test_loss_is_the_published_formula() -> None:
    loss = variational_loss(SAMPLE, MEAN, LABELS, FACTOR, USED)
    expected = _reference(SAMPLE.numpy(), MEAN.numpy())
    np.testing.assert_allclose(float(loss), expected, rtol=1e-10)


def test_gradient_reaches_sample_and_mean_but_not_the_kernel() -> None:
    sample = SAMPLE.clone().requires_grad_()
    mean = MEAN.clone().requires_grad_()
    factor = FACTOR.clone().requires_grad_()
    variational_loss(sample, mean, LABELS, factor, USED).backward()
    assert factor.grad is None
    for tensor, position in ((sample, 0), (mean, 1)):
        assert tensor.grad is not None
        for image, slot in ((0, 0), (0, 2), (0, 3), (1, 0)):
            arguments = [[SAMPLE.numpy().copy(), MEAN.numpy().copy()] for _ in "+-"]
            arguments[0][position][image, slot] += 1e-5
            arguments[1][position][image, slot] -= 1e-5
            slope = (_reference(*arguments[0]) - _reference(*arguments[1])) / 2e-5
            np.testing.assert_allclose(tensor.grad[image, slot], slope, atol=1e-9)


def test_unused_slots_do_not_count() -> None:
    noisy = torch.where(USED, SAMPLE, SAMPLE + 100)
    loss = variational_loss(noisy, torch.where(USED, MEAN, -MEAN), LABELS, FACTOR, USED)
    assert float(loss) == float(variational_loss(SAMPLE, MEAN, LABELS, FACTOR, USED))


def test_no_click_costs_nothing_and_still_has_a_gradient() -> None:
    sample = SAMPLE.clone().requires_grad_()
    loss = variational_loss(sample, MEAN, LABELS, FACTOR, torch.zeros_like(USED))
    loss.backward()
    assert loss.item() == 0
    assert torch.equal(sample.grad, torch.zeros_like(SAMPLE))
