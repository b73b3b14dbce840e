"""Redo takes undo back: random histories come out as they were, bit for bit."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from _interleaving import PLACE, Person, Queue, make_small
from napari_gpcis.plugin import background
from napari_gpcis.plugin.settings.preferences import PREFERENCES

DEEDS = 30
WHAT = (
    *("click",) * 8,
    *("click_background",) * 3,
    *("accept",) * 6,
    "correct",
    "delete",
    "drag",
    "switch_sign",
    "box",
    "way",
    "overwrite",
    "select_label",
)
NOTHING = "Nothing to"


class Quiet(Person):
    """A user who waits for each answer."""

    def do(self, name: str) -> None:
        """Do something, and wait until it is done."""
        limits = {
            "click": PLACE,
            "click_background": PLACE,
            "delete": (1000, 1000),
            "correct": (1000,),
            "drag": (1000, *PLACE),
            "switch_sign": (1000,),
            "box": (*PLACE, 30, 30),
            "way": (4,),
            "select_label": (1000,),
        }.get(name, ())
        numbers = tuple(int(self.random.integers(limit)) for limit in limits)
        if name in ("accept", "undo", "redo"):
            self.bench.controller.command(name)
        else:
            getattr(self, name)(*numbers)
        self.done.append((name, numbers))
        self.settle()

    def delete(self, one: int, other: int) -> None:
        """Delete an object or two of the displayed plane."""
        there = [item for item in self._objects() if item[0].steps[0] == self.step]
        chosen = {there[number % len(there)] for number in (one, other) if there}
        self.annotation.delete(sorted(chosen, key=str))

    def again_and_again(self, name: str) -> int:
        """Undo or redo until nothing is left; return how often it was possible."""
        for times in range(1000):
            self.do(name)
            if NOTHING in self.annotation.message:
                return times
        raise AssertionError("there is no end")

    def state(self) -> tuple[Any, ...]:
        """Return all that undo and redo may change."""
        saved = self.autosaver.record.saved()
        return (
            self.labels.data.copy(),
            [(plane.axes, plane.steps, plane.objects) for plane in saved.planes],
            self.annotation.current.clicks,
        )


@pytest.fixture
def quiet(monkeypatch: pytest.MonkeyPatch, request: Any) -> Any:
    """A bench without threads."""
    monkeypatch.setattr(background, "LatestWins", Queue)
    make_small(monkeypatch)
    PREFERENCES.autosave = False
    return request.getfixturevalue("bench")


@pytest.mark.parametrize("seed", range(40))
def test_all_that_was_undone_is_redone(seed: int, quiet: Any) -> None:
    user = Quiet(quiet, seed)
    for plane in (1, 3) if seed % 2 else (2,):
        user.change_plane(plane)
        user.settle()
        for _ in range(DEEDS):
            user.do(str(user.random.choice(WHAT)))
    labels, objects, clicks = user.state()
    undone = user.again_and_again("undo")
    assert undone > DEEDS // 4
    assert not user.annotation.current.clicks
    assert user.again_and_again("redo") == undone
    again, objects_again, clicks_again = user.state()
    np.testing.assert_array_equal(again, labels)
    assert (objects_again, clicks_again) == (objects, clicks)
    user.check()
