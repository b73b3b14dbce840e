"""Redo takes undo back: random histories come out as they were, bit for bit.

`GPCIS_HISTORIES` of each kind are tried.
"""

from __future__ import annotations

import os
from typing import Any

import numpy as np
import pytest

from _interleaving import NUMBERS, WAYS, Queue, User, make_small
from napari_gpcis.plugin import background
from napari_gpcis.plugin.settings.preferences import PREFERENCES
from napari_gpcis.plugin.tools.base import Tool
from napari_gpcis.plugin.tools.objects.classes import ObjectClasses

SEEDS = range(int(os.environ.get("GPCIS_HISTORIES", "6")))
ACTIONS = 30
CLICKS = ("click",) * 8 + ("click_background",) * 3 + ("accept",) * 6
CHOICES = "box", "way", "overwrite", "select_label"
EDITS = "correct", "delete", "drag", "switch_sign", "clear"
STACK = ("follow", "copy", "change_plane") * 2
DRAWING = ("stroke",) * 3
OTHER_WAYS = "lasso", "scribble", "paint_superpixels", "snap", "larger_superpixels"
OTHER_MASKS = "alternative", "alternative", "toggle_tidy", "threshold", "brush"
REGROUPING = "regroup", "merge", "with_the_chosen", "double_click", "click_as_the_mouse"
SEARCHING = "find_similar", *("review",) * 4, "click_candidate"
CLASSES = "classify", "classify", "activate"
REST = (*OTHER_WAYS, *OTHER_MASKS, *REGROUPING, *SEARCHING, *CLASSES)
MORE_NUMBERS = {"classify": (1000, 1000, 3), "activate": (3,)}
NOTHING = "Nothing to"


class Historian(User):
    """A user who takes back all that was done, and does it again.

    Parameters
    ----------
    bench, seed
        See `User`.
    hurry
        Whether some actions are done before the answers to those before have come.
    """

    def __init__(self, bench: Any, seed: int, *, hurry: bool = False) -> None:
        super().__init__(bench, seed)
        self.hurry = hurry
        self.steps = 0
        self.classes = ObjectClasses(bench.controller, list)
        self.classes.attach(self.annotation)

    def classify(self, one: int, other: int, number: int) -> None:
        """Give a class to an object or two, on any planes."""
        there = [label for _, label in self._objects()]
        self.classes.assign(
            [there[n % len(there)] for n in (one, other) if there], number
        )

    def activate(self, number: int) -> None:
        """Give a class to objects that are accepted from now on."""
        self.classes.activate(number)

    def do(self, name: str) -> None:
        """Do something, and perhaps wait until it is done."""
        limits = MORE_NUMBERS.get(name, NUMBERS.get(name, ()))
        numbers = [int(self.random.integers(one)) for one in limits]
        if name in ("accept", "clear", "toggle_tidy"):
            self.bench.controller.command(name)
        else:
            getattr(self, name)(*numbers)
        self.done.append((name, tuple(numbers)))
        if name in ("follow", "copy", "change_plane") or not self.hurry:
            self.settle()
        elif self.random.integers(4) == 0:
            self.work()
            self.turn()
        else:
            self.annotation.click_layers.settle()

    def travel(self, direction: str, most: int = 1000) -> int:
        """Undo or redo as often as possible; return how often it was."""
        for times in range(most):
            self.bench.controller.travel_in_labels(direction)
            if NOTHING in self.annotation.message:
                return times
            if not self.hurry:
                self.settle()
        assert most < 1000, "there is no end"
        return most

    def back_and_forth_again(self) -> None:
        """Undo all on all planes, and redo it in the opposite order."""
        last, visits, found = self.step, [], True
        planes = sorted({plane.steps[0] for plane in self.annotation._planes} - {last})
        while found:
            found = False
            for step in (last, *planes):
                self._show(step)
                times = self.travel("undo")
                found |= times > 0
                visits.append((step, times))
        self.steps = sum(times for _, times in visits)
        assert not any(known.clicks for known in self.annotation._planes.values())
        for step, times in reversed(visits):
            self._show(step)
            assert self.travel("redo", times) == times
        self._show(last)
        self.settle()

    def _show(self, step: int) -> None:
        """Turn to a plane; that it is open may be waited for."""
        if step != self.step:
            self.change_plane(step)
            self.settle()

    def state(self) -> tuple[Any, ...]:
        """Return all that undo and redo may change."""
        self.settle()
        saved = self.autosaver.record.saved()
        planes = self.annotation._planes.items()
        return (
            self.labels.data.copy(),
            {(plane.axes, plane.steps): plane.objects for plane in saved.planes},
            {(plane.axes, plane.steps): plane.rejected for plane in saved.planes},
            saved.classes,
            {
                plane: (known.clicks, known.current.prompts, known.drawn.hand_edits)
                for plane, known in planes
                if known.clicks
            },
        )

    def end(self) -> None:
        """Let go of the viewer, for another user."""
        for tool in vars(self).values():
            if isinstance(tool, Tool):
                tool.close()
        self.bench.controller.stop()
        self.bench.viewer.layers.clear()
        PREFERENCES.reset()
        PREFERENCES.autosave = False
        self.bench.controller.writing.mode = "new"


@pytest.fixture
def quiet(monkeypatch: pytest.MonkeyPatch, request: Any) -> Any:
    """A bench without threads."""
    monkeypatch.setattr(background, "LatestWins", Queue)
    make_small(monkeypatch)
    PREFERENCES.autosave = False
    return request.getfixturevalue("bench")


def check_same(state: tuple[Any, ...], expected: tuple[Any, ...]) -> None:
    np.testing.assert_array_equal(state[0], expected[0])
    assert state[1:] == expected[1:]


def test_five_objects_of_which_two_were_corrected(quiet: Any) -> None:
    user = Historian(quiet, 0)
    for row, col in ((8, 8), (8, 24), (8, 40), (30, 10), (30, 30)):
        user.click(row, col)
        user.settle()
        user.bench.controller.command("accept")
    for label, row, col in ((2, 12, 24), (5, 30, 38)):
        user.labels.selected_label = label
        user.picking.refine_selected()
        user.settle()
        user.click(row, col)
        user.settle()
        user.bench.controller.command("accept")
        user.settle()
    before = user.state()
    assert sorted(set(np.unique(before[0])) - {0}) == [1, 2, 3, 4, 5]
    user.back_and_forth_again()
    assert user.steps == 5 * 2 + 2 * 3
    check_same(user.state(), before)
    user.check()


def test_strokes_and_clicks_come_back_in_their_order(quiet: Any) -> None:
    """With the labels layer active; U takes back clicks alone."""
    user = Historian(quiet, 0)
    pictures = [user.labels.data.copy()]
    for action in (
        lambda: user.click(10, 10),
        lambda: user.stroke(8, 8, 12),  # paints 6 over the live mask
        lambda: user.bench.controller.command("accept"),
        lambda: user.stroke(2, 30, 13),
        lambda: user.click(30, 30),
        lambda: user.stroke(30, 30, 0),  # erases
        lambda: user.bench.controller.command("accept"),
    ):
        action()
        user.settle()
        pictures.append(user.labels.data.copy())
    # What was erased of a current object stays so when it is opened again.
    assert not np.array_equal(pictures[-2], pictures[-3])
    for picture in pictures[-2::-1]:
        assert user.travel("undo", 1) == 1
        np.testing.assert_array_equal(user.labels.data, picture)
    assert user.travel("undo") == 0
    assert user.travel("redo", 6) == 6
    assert user.travel("redo", 1) == 1
    np.testing.assert_array_equal(user.labels.data, pictures[-1])
    assert user.travel("redo") == 0


def test_finished_objects_are_edited_among_clicks(quiet: Any) -> None:
    """What was done last is taken back first, also after the clicks were cleared."""
    user = Historian(quiet, 0)
    command, annotation = user.bench.controller.command, user.annotation
    pictures = [user.labels.data.copy()]
    for action in (
        lambda: user.click(8, 8),
        lambda: command("accept"),
        lambda: user.click(8, 30),
        lambda: command("accept"),
        lambda: user.click(30, 10),
        lambda: annotation.delete([(annotation.current.plane, 1)]),
        lambda: user.click(33, 14),
        lambda: command("clear"),
        lambda: annotation.delete([(annotation.current.plane, 2)]),
    ):
        action()
        user.settle()
        pictures.append(user.labels.data.copy())
    assert not pictures[-1].any()
    for picture in pictures[-2::-1]:
        command("undo")
        user.settle()
        np.testing.assert_array_equal(user.labels.data, picture)
    for picture in pictures[1:]:
        command("redo")
        user.settle()
        np.testing.assert_array_equal(user.labels.data, picture)
    user.check()


def test_an_object_that_is_opened_again_goes_back_by_its_own_steps(quiet: Any) -> None:
    """By each as it was made: a drag, other masks, a stroke in between."""
    user = Historian(quiet, 0)
    pictures, clicks = [user.labels.data.copy()], [()]
    for action in (
        lambda: user.click(20, 20),
        lambda: user.drag(0, 24, 24),
        lambda: user.stroke(24, 34, 16),  # paints 10 beside the mask
        lambda: user.alternative(3),  # a larger one, that goes around it
        lambda: user.click(12, 30),
        lambda: user.bench.controller.command("accept"),
    ):
        action()
        user.settle()
        pictures.append(user.labels.data.copy())
        clicks.append(user.annotation.current.clicks)
    areas = [np.count_nonzero(one == 1) for one in pictures]
    assert areas[4] > areas[3] > 0
    for direction, places in (("undo", range(5, -1, -1)), ("redo", range(1, 7))):
        for place in places:
            assert user.travel(direction, 1) == 1
            np.testing.assert_array_equal(user.labels.data, pictures[place])
            assert user.annotation.current.clicks == clicks[place]


def test_a_stroke_over_another_object_is_redone_with_its_object(quiet: Any) -> None:
    """What the stroke has covered comes back with undo, and goes again with redo."""
    user = Historian(quiet, 0)
    user.change_plane(3)
    user.settle()
    user.stroke(9, 19, 10)  # draws 4, as another object
    user.click(9, 8)
    user.settle()
    label = user.annotation.current.drawn.live.label
    user.brush(9, 16, 0)  # draws the current object, over the other one
    user.settle()
    drawn = user.labels.data.copy()
    user.bench.controller.command("accept")
    user.settle()
    np.testing.assert_array_equal(user.labels.data, drawn)
    assert drawn[3, 11, 19] == label
    assert user.travel("undo", 2) == 2
    assert user.labels.data[3, 11, 19] == 4
    assert user.travel("redo", 2) == 2
    np.testing.assert_array_equal(user.labels.data, drawn)


@pytest.mark.parametrize("value", [11, 15, 6], ids=["current", "another", "erase"])
@pytest.mark.parametrize("way", ["overwrite", "add", "cut", "replace"])
def test_a_stroke_is_redone_when_the_mask_is_written_otherwise(
    value: int, way: str, quiet: Any
) -> None:
    """Label and way of the mask are others than when the stroke was drawn.

    Undo leaves what is there without the stroke, and redo what was there with it.
    """
    pictures = []
    for draws in (False, True):
        user = Historian(quiet, 0)
        user.change_plane(3)
        user.settle()
        user.stroke(24, 24, 10)  # draws 4, as another object
        user.click(16, 16)
        user.settle()
        assert user.annotation.current.drawn.live.label == 5
        if draws:
            user.stroke(19, 19, value)  # over the mask, the other object, and beside
            user.settle()
        user.labels.selected_label = 4
        if way == "overwrite":
            user.overwrite()
        else:
            user.way(WAYS.index(way))
        user.settle()
        pictures.append(_with_mask_as(99, user))
        if draws:
            assert (pictures[1] != pictures[0]).any()
            for direction, expected in (("undo", 0), ("redo", 1)) * 2:
                assert user.travel(direction, 1) == 1
                user.settle()
                found = _with_mask_as(99, user)
                np.testing.assert_array_equal(found, pictures[expected])
        user.end()


def _with_mask_as(value: int, user: Historian) -> np.ndarray:
    """Return the labels; a new label of the mask depends on those drawn before."""
    live, labels = user.annotation.current.drawn.live, user.labels.data.copy()
    if live.new:
        labels[labels == live.label] = value
    return labels


def test_an_object_is_of_its_class_again_when_it_is_redone(quiet: Any) -> None:
    """Not of the one that is active by then."""
    user = Historian(quiet, 0)
    command, annotation = user.bench.controller.command, user.annotation
    for row, col, number in ((8, 8, None), (8, 30, 2)):
        if number is not None:
            user.activate(number)
        user.click(row, col)
        user.settle()
        command("accept")
        user.settle()
    assert annotation.classes.numbers == {2: 2}
    user.activate(1)
    user.back_and_forth_again()
    assert annotation.classes.numbers == {2: 2}
    command("undo")
    user.settle()
    command("accept")  # anew: of the class that is active now
    user.settle()
    assert annotation.classes.numbers == {2: 1}


def test_what_is_added_to_an_object_has_its_class(quiet: Any) -> None:
    """Not the active one: a copy on another plane, and more of the same label."""
    user = Historian(quiet, 0)
    command, annotation = user.bench.controller.command, user.annotation
    user.click(20, 20)
    user.settle()
    command("accept")
    user.settle()
    user.classes.assign([1], 2)
    user.activate(1)
    for place in ("plane", "label"):
        if place == "plane":
            user.labels.selected_label = 1
            user.picking.refine_selected()
            user.settle()
            user.copy(1)
        else:
            user.labels.selected_label = 1
            user.bench.controller.writing.mode = "add"
            user.click(34, 34)
        user.settle()
        command("accept")
        user.settle()
        assert annotation.classes.numbers == {1: 2}
    assert (user.labels.data == 1).any(axis=(1, 2)).sum() == 2
    user.back_and_forth_again()
    assert annotation.classes.numbers == {1: 2}
    user.bench.controller.writing.mode = "new"
    user.click(6, 6)
    user.settle()
    command("accept")
    user.settle()
    assert annotation.classes.numbers == {1: 2, 2: 1}


def test_undo_takes_away_no_class_that_was_made_after_the_edit(quiet: Any) -> None:
    """Nor one that was renamed since; only those that giving a class has made."""
    user = Historian(quiet, 0)
    command, annotation = user.bench.controller.command, user.annotation
    user.click(8, 8)
    user.settle()
    command("accept")
    user.settle()
    for given, then in ((0, 1), (2, 3)):
        user.classes.assign([1], given)
        user.activate(then)
        user.activate(0)
    assert annotation.classes.numbers == {1: 2}
    user.classes.assign([1], 4)
    before = annotation.classes
    command("undo")
    assert annotation.classes.classes == before.classes[:4]
    assert annotation.classes.numbers == {1: 2}
    command("redo")
    assert annotation.classes == before
    user.classes.rename(4, "cell")
    before = annotation.classes
    for _ in range(3):
        command("undo")
    assert annotation.classes.numbers == {}
    assert annotation.classes.classes == before.classes
    for _ in range(3):
        command("redo")
    assert annotation.classes == before


@pytest.mark.parametrize("seed", SEEDS)
def test_all_that_was_undone_is_redone(seed: int, quiet: Any) -> None:
    """Each answer has come before the next action, on one plane or two."""
    user = Historian(quiet, seed)
    user.change_plane(3)
    user.settle()
    for _ in range(ACTIONS):
        user.do(str(user.random.choice((*CLICKS, *CHOICES, *EDITS, *DRAWING))))
    before = user.state()
    user.back_and_forth_again()
    assert user.steps > ACTIONS // 4
    check_same(user.state(), before)
    user.check()


@pytest.mark.parametrize("tools", [(), (*REST, *REST)], ids=["clicks", "all tools"])
@pytest.mark.parametrize("seed", SEEDS)
def test_it_is_redone_on_all_planes(
    seed: int, tools: tuple[str, ...], quiet: Any
) -> None:
    """With objects that were propagated and copied; no more planes than stay open."""
    user = Historian(quiet, seed)
    actions = (*CLICKS, *EDITS, *STACK, *DRAWING, *tools)
    try:
        for _ in range(2 * ACTIONS if tools else ACTIONS):
            name = str(user.random.choice(actions))
            if name == "change_plane":
                user.change_plane(2 + int(user.random.integers(3)))
                user.settle()
            elif name != "copy" or 2 <= user.step < 4:
                user.do(name)
        before = user.state()
        user.back_and_forth_again()
        check_same(user.state(), before)
        user.check()
    except BaseException as problem:
        problem.add_note(f"{user.done}")
        raise


@pytest.mark.parametrize("seed", SEEDS)
def test_what_waits_to_be_accepted_is_redone(seed: int, quiet: Any) -> None:
    """A user who hurries ends where one does who never looks back."""
    states = []
    for looks_back in (False, True):
        user = Historian(quiet, seed, hurry=True)
        user.change_plane(3)
        user.settle()
        try:
            for _ in range(ACTIONS):
                user.do(str(user.random.choice((*CLICKS, *CHOICES, *EDITS))))
            if looks_back:
                user.back_and_forth_again()
            states.append(user.state())
            user.check()
        except BaseException as problem:
            problem.add_note(f"{looks_back}, {user.done}")
            raise
        user.end()
    check_same(*states)


@pytest.mark.parametrize("seed", SEEDS)
def test_all_else_that_was_undone_is_redone(seed: int, quiet: Any) -> None:
    """Other masks, superpixels, candidates, classes, split and merged objects."""
    user = Historian(quiet, seed)
    actions = (*CLICKS, *CHOICES, *EDITS, *DRAWING, *REST, *REST)
    user.change_plane(3)
    user.settle()
    try:
        for _ in range(2 * ACTIONS):
            user.do(str(user.random.choice(actions)))
        before = user.state()
        user.back_and_forth_again()
        assert user.steps > ACTIONS // 4
        check_same(user.state(), before)
        user.check()
    except BaseException as problem:
        problem.add_note(f"{user.done}")
        raise
