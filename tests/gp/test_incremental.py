"""Kernel columns and Cholesky rows, one observation at a time."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from _gp_problems import Problem, make_problem, problems
from napari_gpcis.gp import (
    Columns,
    Field,
    condition,
    incremental,
    update_mean,
    variance,
)


def field_of(problem: Problem, epsilon2: float = 1e-7) -> Field:
    return Field(problem.pixels[0], problem.log_precision, problem.rgb_weight, epsilon2)


def observe(state: Columns, cells: list[int], noise: float = 0.0) -> Columns:
    clicked = state.field.pixels[cells]
    return state.observing(cells, clicked, torch.full((len(cells),), noise).double())


def assert_close(found: torch.Tensor, expected: torch.Tensor) -> None:
    torch.testing.assert_close(found, expected, rtol=0, atol=1e-6)


@given(problems)
@settings(max_examples=40)
def test_appended_rows_are_the_full_factor(problem: Problem) -> None:
    clicks = problem.targets.shape[1]
    state = Columns.none(field_of(problem))
    for count in range(1, clicks + 1):
        state = observe(state, list(range(count)))
    full = problem.condition(1e-7)
    torch.testing.assert_close(state.cholesky, full.cholesky[0], rtol=0, atol=1e-9)
    torch.testing.assert_close(state.k_nm, problem.k_mn[0].T, rtol=0, atol=1e-12)
    assert_close(state.update(problem.targets[0]), update_mean(problem.k_mn, full)[0])
    assert_close(
        state.variance(), variance(problem.k_mn, problem.k_mm_diagonal, full)[0]
    )


@pytest.mark.parametrize("equal", [False, True])
def test_blocks_of_rows_are_the_rows(
    monkeypatch: pytest.MonkeyPatch, equal: bool
) -> None:
    """Also where a pivot fails: from there on the jitter is that of single rows."""
    generator = torch.Generator().manual_seed(13)
    pixels = torch.randn(300, 9, generator=generator, dtype=torch.float64)
    noise = 0.01 * torch.rand(90, generator=generator, dtype=torch.float64)
    if equal:
        pixels[57] = pixels[40]
        noise[[40, 57]] = torch.tensor([0.0, -1e-3]).double()
    precision, weight = torch.zeros(6).double(), torch.tensor(0.3).double()
    field = Field(pixels, precision, weight, 0.0 if equal else 1e-7)
    cells, residual = list(range(90)), torch.linspace(-1, 1, 90).double()
    begun = Columns.none(field).observing(cells[:5], pixels[:5], noise[:5])
    blocks = begun.observing(cells, pixels[:90], noise)
    monkeypatch.setattr(incremental, "_BLOCK", 1)
    rows = begun.observing(cells, pixels[:90], noise)
    assert blocks.jitter == rows.jitter
    assert (blocks.jitter > field.epsilon2) == equal
    torch.testing.assert_close(blocks.cholesky, rows.cholesky, rtol=0, atol=1e-10)
    assert_close(blocks.update(residual), rows.update(residual))
    assert_close(blocks.variance(), rows.variance())


def test_many_observations_are_no_loop_over_rows(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Each row by itself copies the factor: 90 s for 3,000 clicks on one object.

    A network that encodes clicks as well observes all of them anew at each.
    """
    calls: list[int] = []
    with_row = Columns._with_row

    def counting(state: Columns, covariance: torch.Tensor) -> Columns:
        calls.append(len(state.keys))
        return with_row(state, covariance)

    monkeypatch.setattr(Columns, "_with_row", counting)
    pixels = torch.randn(200, 9, dtype=torch.float64)
    precision, weight = torch.zeros(6).double(), torch.tensor(0.3).double()
    field = Field(pixels, precision, weight, 1e-7)
    state = Columns.none(field).observing(range(200), pixels, torch.zeros(200).double())
    assert calls == []
    assert state.cholesky.shape == (200, 200)
    for known in (190, 198):
        state.first(known).observing(range(200), pixels, torch.zeros(200).double())
    assert calls == []


def test_noise_is_that_of_each_observation() -> None:
    problem = make_problem(seed=7, batch=1)
    noise = torch.tensor([0.0, 0.1, 0.2, 0.0, 1.0], dtype=torch.float64)
    state = Columns.none(field_of(problem))
    state = state.observing(range(5), problem.clicks[0], noise)
    noisy = problem.k_nn + torch.diag(noise)
    full = condition(noisy, problem.targets, problem.used, 1e-7)
    assert_close(state.update(problem.targets[0]), update_mean(problem.k_mn, full)[0])


def test_undo_drops_the_row() -> None:
    problem = make_problem(seed=8, batch=1)
    state = Columns.none(field_of(problem))
    two = observe(state, [4, 9])
    three = observe(two, [4, 9, 2])
    undone = observe(three, [4, 9])
    assert undone.keys == (4, 9)
    assert torch.equal(undone.cholesky, two.cholesky)
    assert torch.equal(undone.k_nm, two.k_nm)
    other = observe(three, [4, 9, 17])
    afresh = observe(state, [4, 9, 17])
    torch.testing.assert_close(other.cholesky, afresh.cholesky, rtol=0, atol=1e-14)
    assert observe(three, []).update(torch.zeros(0).double()).eq(0).all()


def test_only_what_is_new_is_computed(monkeypatch: pytest.MonkeyPatch) -> None:
    problem = make_problem(seed=9, batch=1)
    asked: list[int] = []
    against_all = Field.against_all

    def counting(field: Field, clicked: torch.Tensor) -> torch.Tensor:
        asked.append(len(clicked))
        return against_all(field, clicked)

    monkeypatch.setattr(Field, "against_all", counting)
    state = Columns.none(field_of(problem))
    for cells in ([1, 2, 3], [1, 2, 3, 4], [1, 2, 3, 5], [1, 2], [1, 7, 3]):
        state = observe(state, cells)
    assert asked == [3, 1, 1, 2]


@given(
    st.lists(
        st.lists(st.integers(0, 8), unique=True, max_size=6), min_size=1, max_size=5
    )
)
@settings(max_examples=40)
def test_the_way_does_not_matter(history: list[list[int]]) -> None:
    problem = make_problem(seed=10, batch=1)
    state = start = Columns.none(field_of(problem))
    for cells in history:
        state = observe(state, cells)
    direct = observe(start, history[-1])
    targets = torch.linspace(-1, 1, len(history[-1]), dtype=torch.float64)
    assert_close(state.update(targets), direct.update(targets))
    assert_close(state.variance(), direct.variance())


def test_chunks_change_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    problem = make_problem(seed=11, batch=1)
    whole = observe(Columns.none(field_of(problem)), [0, 5, 11])
    monkeypatch.setattr(incremental, "_CHUNK", 7)
    parts = observe(Columns.none(field_of(problem)), [0, 5, 11])
    torch.testing.assert_close(parts.k_nm, whole.k_nm, rtol=0, atol=1e-14)
    torch.testing.assert_close(parts.variance(), whole.variance(), rtol=0, atol=1e-14)


def test_equal_vectors_are_damped_and_logged(
    caplog: pytest.LogCaptureFixture,
) -> None:
    problem = make_problem(seed=12, batch=1)
    problem.pixels[0, 1] = problem.pixels[0, 0]
    state = observe(Columns.none(field_of(problem, epsilon2=0.0)), [0, 1, 2])
    assert "not positive definite" in caplog.text
    assert state.jitter > 0
    targets = torch.tensor([1.0, 1.0, -1.0], dtype=torch.float64)
    assert_close(state.update(targets)[:3], targets)
