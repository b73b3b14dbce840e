"""Actions and answers in every order; more of them with

    GPCIS_INTERLEAVINGS=200 pytest tests/plugin/annotation/test_interleaving.py

`GPCIS_INTERLEAVING_FIRST` is the seed to begin with.
"""

from __future__ import annotations

import os
from typing import Any

import pytest

from _interleaving import Queue, User, make_small
from napari_gpcis.plugin import background as worker
from napari_gpcis.plugin.settings.preferences import PREFERENCES

FIRST = int(os.environ.get("GPCIS_INTERLEAVING_FIRST", "0"))
COUNT = int(os.environ.get("GPCIS_INTERLEAVINGS", "3"))
EVENTS = 300


@pytest.fixture
def queued(monkeypatch: pytest.MonkeyPatch, request: Any) -> Any:
    """A bench without threads."""
    monkeypatch.setattr(worker, "LatestWins", Queue)
    make_small(monkeypatch)
    PREFERENCES.autosave = False
    return request.getfixturevalue("bench")


@pytest.mark.parametrize("seed", range(FIRST, FIRST + COUNT))
def test_whatever_comes_first_clicks_give_the_masks_again(
    queued: Any, seed: int
) -> None:
    user = User(queued, seed)
    try:
        user.run(EVENTS)
    except BaseException as problem:
        problem.add_note(f"seed {seed}: {user.done}")
        raise
