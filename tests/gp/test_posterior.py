"""Conditioning on clicks: mean, variance, merging and jitter."""

from __future__ import annotations

import logging
from itertools import pairwise

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from _gp_problems import Problem, make_problem, problems, reference_posterior
from napari_gpcis.gp import condition, observed, update_mean, variance

LOGGER = "napari_gpcis.gp.posterior"


def _variance(
    problem: Problem, epsilon2: float = 1e-7, click_variance: float = 1e-4
) -> torch.Tensor:
    return variance(
        problem.k_mn,
        problem.k_mm_diagonal,
        problem.condition(epsilon2),
        click_variance,
    )


def _first_clicks(problem: Problem, count: int) -> Problem:
    return Problem(
        problem.pixels,
        problem.targets[:, :count],
        problem.log_precision,
        problem.rgb_weight,
    )


@pytest.mark.parametrize("epsilon2", [1e-7, 1e-2, 1.0])
@pytest.mark.parametrize("click_variance", [0.0, 1e-4, 0.01])
def test_mean_and_variance_are_equation_10(
    epsilon2: float, click_variance: float
) -> None:
    problem = make_problem(seed=2)
    mean = update_mean(problem.k_mn, problem.condition(epsilon2))
    var = _variance(problem, epsilon2, click_variance)
    for image in range(2):
        expected = reference_posterior(problem, image, epsilon2, click_variance)
        np.testing.assert_allclose(mean[image], expected[0], atol=1e-9)
        np.testing.assert_allclose(var[image], expected[1].clip(0), atol=1e-9)


@given(problems)
@settings(max_examples=40)
def test_mean_interpolates_as_epsilon_vanishes(problem: Problem) -> None:
    clicks = problem.targets.shape[1]
    errors = []
    for epsilon2 in (1e-1, 1e-3, 1e-5, 1e-7, 1e-9):
        mean = update_mean(problem.k_mn, problem.condition(epsilon2))[:, :clicks]
        errors.append(float((mean - problem.targets).norm()))
    assert all(large > small for large, small in pairwise(errors))
    smallest = float(torch.linalg.eigvalsh(problem.k_nn).min())
    assert errors[-1] <= 1e-8 + 1e-9 / smallest * float(problem.targets.norm())


@given(problems)
@settings(max_examples=40)
def test_variance_at_a_click_is_that_of_the_click(problem: Problem) -> None:
    clicks = problem.targets.shape[1]
    var = _variance(problem, epsilon2=1e-10, click_variance=1e-4)[:, :clicks]
    torch.testing.assert_close(var, torch.full_like(var, 1e-4), rtol=0, atol=1e-6)


@given(problems.filter(lambda problem: problem.targets.shape[1] > 1))
@settings(max_examples=40)
def test_variance_shrinks_when_a_click_is_added(problem: Problem) -> None:
    clicks = problem.targets.shape[1]
    before = _variance(_first_clicks(problem, clicks - 1), 1e-7, click_variance=0.0)
    after = _variance(problem, 1e-7, click_variance=0.0)
    assert bool((after <= before + 1e-10).all())
    assert bool((after[:, clicks - 1] < before[:, clicks - 1]).all())
    assert bool((before <= problem.k_mm_diagonal).all())
    assert bool((after >= 0).all())


@given(problems, st.randoms(use_true_random=False))
@settings(max_examples=40)
def test_order_of_clicks_does_not_matter(problem: Problem, random: object) -> None:
    clicks = problem.targets.shape[1]
    order = list(range(clicks))
    random.shuffle(order)
    conditioned = condition(
        problem.k_nn[:, order][:, :, order],
        problem.targets[:, order],
        problem.used,
        1e-7,
    )
    mean = update_mean(problem.k_mn[:, :, order], conditioned)
    var = variance(problem.k_mn[:, :, order], problem.k_mm_diagonal, conditioned)
    expected = update_mean(problem.k_mn, problem.condition(1e-7))
    torch.testing.assert_close(mean, expected, rtol=0, atol=1e-6)
    torch.testing.assert_close(var, _variance(problem), rtol=0, atol=1e-6)


def test_images_of_a_batch_are_independent() -> None:
    problem = make_problem(seed=4, batch=3)
    mean = update_mean(problem.k_mn, problem.condition(1e-7))
    var = _variance(problem)
    for image in range(3):
        alone = Problem(
            problem.pixels[image : image + 1],
            problem.targets[image : image + 1],
            problem.log_precision,
            problem.rgb_weight,
        )
        alone_mean = update_mean(alone.k_mn, alone.condition(1e-7))
        torch.testing.assert_close(mean[image], alone_mean[0], rtol=0, atol=1e-12)
        torch.testing.assert_close(var[image], _variance(alone)[0], rtol=0, atol=1e-12)


def test_unused_slots_change_nothing() -> None:
    problem = make_problem(seed=5, clicks=5)
    used = torch.tensor([[True, False, True, True, False], [False] * 5])
    conditioned = condition(problem.k_nn, problem.targets, used, 1e-7)
    keep = [0, 2, 3]
    few = condition(
        problem.k_nn[:1, keep][:, :, keep],
        problem.targets[:1, keep],
        used[:1, keep],
        1e-7,
    )
    mean = update_mean(problem.k_mn, conditioned)
    var = variance(problem.k_mn, problem.k_mm_diagonal, conditioned)
    torch.testing.assert_close(mean[0], update_mean(problem.k_mn[:1, :, keep], few)[0])
    torch.testing.assert_close(
        var[0], variance(problem.k_mn[:1, :, keep], problem.k_mm_diagonal, few)[0]
    )
    assert torch.equal(mean[1], torch.zeros(30, dtype=torch.float64))
    assert torch.equal(var[1], problem.k_mm_diagonal.expand(30))


@pytest.mark.parametrize(
    ("pixels", "order", "valid", "expected"),
    [
        ([3, 4, 5], [0, 1, 2], [1, 1, 1], [1, 1, 1]),
        ([3, 3, 5], [0, 1, 2], [1, 1, 1], [0, 1, 1]),
        ([3, 3, 5], [1, 0, 2], [1, 1, 1], [1, 0, 1]),
        ([3, 3, 3], [1, 2, 0], [1, 1, 1], [0, 1, 0]),
        ([3, 3, 5], [0, 1, 2], [1, 0, 1], [1, 0, 1]),
        ([3, 3, 5], [4, 4, 4], [1, 1, 1], [0, 1, 1]),
        ([3, 3, 3], [0, 1, 2], [0, 0, 0], [0, 0, 0]),
    ],
)
def test_of_clicks_in_one_pixel_the_last_stands(
    pixels: list[int], order: list[int], valid: list[int], expected: list[int]
) -> None:
    kept = observed(
        torch.tensor([pixels]), torch.tensor([order]), torch.tensor([valid]).bool()
    )
    assert kept.int().tolist() == [expected]


_slot = st.tuples(st.integers(0, 4), st.booleans())


@given(st.lists(_slot, min_size=1, max_size=10), st.randoms(use_true_random=False))
@settings(max_examples=60)
def test_merging_does_not_depend_on_the_slots(
    slots: list[tuple[int, bool]], random: object
) -> None:
    history = [(pixel, valid, order) for order, (pixel, valid) in enumerate(slots)]
    last = {pixel: order for pixel, valid, order in history if valid}
    random.shuffle(history)
    pixels, valid, order = (
        torch.tensor([column]) for column in zip(*history, strict=True)
    )
    kept = observed(pixels, order, valid.bool())
    assert sorted(order[kept].tolist()) == sorted(last.values())


def test_singular_kernel_is_damped_and_logged(
    caplog: pytest.LogCaptureFixture,
) -> None:
    k_nn = torch.ones(1, 2, 2, dtype=torch.float64)
    used = torch.ones(1, 2, dtype=torch.bool)
    targets = torch.tensor([[1.0, 1.0]], dtype=torch.float64)
    with caplog.at_level(logging.WARNING, logger=LOGGER):
        conditioned = condition(k_nn, targets, used, epsilon2=0.0)
    assert "not positive definite" in caplog.text
    torch.testing.assert_close(
        update_mean(k_nn, conditioned), targets, rtol=0, atol=1e-6
    )


def test_jitter_grows_only_where_it_must(caplog: pytest.LogCaptureFixture) -> None:
    regular = torch.eye(2, dtype=torch.float64) + 0.5
    k_nn = torch.stack([regular, torch.ones(2, 2, dtype=torch.float64)])
    used = torch.ones(2, 2, dtype=torch.bool)
    targets = torch.ones(2, 2, dtype=torch.float64)
    with caplog.at_level(logging.WARNING, logger=LOGGER):
        conditioned = condition(k_nn, targets, used, epsilon2=0.0)
    assert caplog.records
    factor = torch.linalg.cholesky(regular)
    assert torch.equal(conditioned.cholesky[0], factor)


def test_regular_kernel_logs_nothing(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.DEBUG, logger=LOGGER):
        make_problem(seed=6).condition(1e-7)
    assert not caplog.records


def test_hopeless_kernel_raises() -> None:
    k_nn = torch.tensor([[[1.0, 99.0], [99.0, 1.0]]], dtype=torch.float64)
    used = torch.ones(1, 2, dtype=torch.bool)
    with pytest.raises(torch.linalg.LinAlgError):
        condition(k_nn, torch.ones(1, 2), used, epsilon2=1e-7)
