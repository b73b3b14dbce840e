"""Random events against what must always hold; for hours if asked to.

    GPCIS_SOAK_MINUTES=60 pytest tests/plugin/test_soak.py -s

A failure prints the seed and the last events; `GPCIS_SOAK_SEED` repeats a run.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from _fake_search import replace_search
from _soak import SHAPE, SlowSegmenter, Soak
from napari_gpcis.plugin.background import LatestWins

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

MINUTES = float(os.environ.get("GPCIS_SOAK_MINUTES", "1"))
SEED = int(os.environ.get("GPCIS_SOAK_SEED", "2"))
GROWTH = 50.0
"""Mebibytes that a run may need more, once it is warm."""


@pytest.fixture
def failures(monkeypatch: pytest.MonkeyPatch) -> list[BaseException]:
    """Exceptions of the work on all threads."""
    seen: list[BaseException] = []
    run = LatestWins._run

    def noting(self: LatestWins, *arguments: Any) -> Any:
        answer = run(self, *arguments)
        if answer.error is not None:
            seen.append(answer.error)
        return answer

    monkeypatch.setattr(LatestWins, "_run", noting)
    return seen


@pytest.fixture
def segmenter() -> SlowSegmenter:
    return SlowSegmenter()


@pytest.mark.slow
@pytest.mark.timeout(60 * MINUTES + 300)
def test_a_restless_user_breaks_nothing(
    open_desk: Callable[..., Any],
    failures: list[BaseException],
    errors: list[str],
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
) -> None:
    replace_search(monkeypatch)
    desk = open_desk(np.zeros(SHAPE, np.uint8), scale=(2, 1, 1))
    soak = Soak(desk, SEED, tmp_path)
    try:
        soak.run(MINUTES)
        assert not failures
        assert not errors
    except BaseException as problem:
        problem.add_note(f"seed {SEED}, {soak.count} events; last: {[*soak.past]}")
        raise
    print(
        f"\n{soak.count} events, {soak.checks} checks, {soak.replays} replays, "
        f"{soak.saved} saved labels, {soak.visits} folders, "
        f"{soak.grown:.0f} MiB more in the end; every 400 events {soak.memory} MiB"
    )
    assert soak.grown < GROWTH
