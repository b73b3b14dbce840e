"""Random actions, with answers that come at random moments: without threads.

Work for the inference thread waits in a queue until it is its turn among the actions.
So a seed gives the same order of events on any machine, and a hundred events a second.
"""

from __future__ import annotations

import threading
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import numpy as np
from qtpy.QtWidgets import QApplication

import _fake_segmenter
from _fake_search import replace_search
from _fake_segmenter import FakeSegmenter
from napari_gpcis.geometry import slices
from napari_gpcis.plugin.background import LatestWins
from napari_gpcis.plugin.saving.autosave import Autosaver
from napari_gpcis.plugin.settings.preferences import PREFERENCES
from napari_gpcis.plugin.tools.alternatives import AlternativeMasks
from napari_gpcis.plugin.tools.display.outlines import CurrentOutline, MaskView
from napari_gpcis.plugin.tools.display.uncertainty import predicted
from napari_gpcis.plugin.tools.drawing import DrawingTool
from napari_gpcis.plugin.tools.hover import Hover
from napari_gpcis.plugin.tools.image_changes import ImageChangeWatcher
from napari_gpcis.plugin.tools.next_click import NextClickGuide
from napari_gpcis.plugin.tools.objects.regrouping import Regrouping
from napari_gpcis.plugin.tools.picking import Picking
from napari_gpcis.plugin.tools.similar.candidates import SimilarObjects
from napari_gpcis.plugin.tools.stack.copying import Copying
from napari_gpcis.plugin.tools.stack.propagation import Propagation
from napari_gpcis.plugin.tools.superpixels.outlined import Settings, Superpixels
from napari_gpcis.plugin.tools.superpixels.painting import SuperpixelPainting
from napari_gpcis.plugin.viewer.planes import Plane
from napari_gpcis.prompts import replay

if TYPE_CHECKING:
    from collections.abc import Callable

    from napari_gpcis.plugin.background import Answer

SHAPE = (6, 40, 48)
"""More planes than stay open."""
RADIUS, HOLE = 7, 4
FEW = 3, 3
"""Where some users click: again and again on the same places."""
BETWEEN_CHECKS = 15
WAYS = ("new", "add", "cut", "replace")


class Queue(LatestWins):
    """The real queue without a thread: works only when it is told to.

    An exception in the work is raised, as no test here asks for one.
    """

    alive = False

    def __init__(self, deliver: Callable[[Answer], None], use: str) -> None:
        super().__init__(deliver, use)
        self._thread = threading.current_thread()  # so that none is started

    def work(self) -> bool:
        """Do what waits longest; its answer then waits in the loop of events."""
        answer = self.run_next()
        if answer is not None and answer.error is not None:
            raise answer.error
        return answer is not None


class User:
    """Does things at random.

    Parameters
    ----------
    bench
        A controller whose worker has a `Queue`.
    seed
        Says what is done.
    """

    def __init__(self, bench: Any, seed: int) -> None:
        self.bench = bench
        self.random = np.random.default_rng(seed)
        self.done: list[tuple[str, tuple[int, ...]]] = []
        self.autosaver = Autosaver(bench.controller)
        self.picking = Picking(bench.controller)
        self.regrouping = Regrouping(bench.controller, self.picking)
        self.boxes = DrawingTool(bench.controller)
        self.hover = Hover(bench.controller)
        self.outline = CurrentOutline(bench.controller)
        self.mask_view = MaskView(bench.controller)
        self.guide = NextClickGuide(bench.controller)
        self.alternatives = AlternativeMasks(bench.controller)
        self.similar = SimilarObjects(bench.controller)
        self.superpixels = Superpixels(bench.controller)
        self.superpixels.settings = Settings(40)
        self.painting = SuperpixelPainting(bench.controller, self.superpixels)
        self.painting.picking = self.picking
        self.watcher = ImageChangeWatcher(bench.controller)
        self.watcher._debouncer.throttle = lambda: None  # it looks when it is told to
        self.propagation = Propagation(bench.controller)
        self.copying = Copying(bench.controller, self.propagation)
        self.image = bench.viewer.add_image(np.zeros(SHAPE, np.uint8))
        bench.segmenter.soft = seed % 3 == 2
        self.by_hand = np.zeros(SHAPE, dtype=bool)
        self.drawn = np.zeros(SHAPE, dtype=bool)
        self.area = FEW if seed % 2 else SHAPE[1:]
        self.begin()

    def run(self, count: int) -> None:
        """Do so many things, and check every few."""
        shares = np.array([*WEIGHTS.values()]) / sum(WEIGHTS.values())
        for number in range(1, count + 1):
            name = str(self.random.choice([*WEIGHTS], p=shares))
            limits = NUMBERS.get(name, ())
            numbers = tuple(int(self.random.integers(limit)) for limit in limits)
            self.done.append((name, numbers))
            getattr(self, name)(*numbers)
            if number % BETWEEN_CHECKS == 0:
                self.settle()
                self.check()

    # What must hold -------------------------------------------------------------------

    def check(self) -> None:
        """Saved clicks give the finished objects; no mask is there without clicks.

        Nothing waits for an answer that will not come.
        """
        current = self.annotation.current
        self._note_hand_edits()
        waits = f"{current.clicks} wait, accepting {current.accepting}"
        assert current.clicks == current.session.clicks, waits
        assert not current.accepting, waits
        shown, saved = self.finished(), self.autosaver.record.saved()
        data = self.image.data
        model = FakeSegmenter()
        model.soft = self.bench.segmenter.soft
        made = replay(saved, model, data, labels=shown, any_model=True)
        wrong = (made != shown) & ~self.by_hand
        assert not wrong.any(), (
            f"{np.count_nonzero(wrong)} pixels differ, of {made[wrong]}"
        )
        for plane, known in self.annotation._planes.items():
            writer = self.annotation._writer
            ghost = not known.clicks and writer.shows(plane, known.drawn.live)
            assert not ghost, f"object {known.drawn.live.label} has no clicks"
        self.check_tools()

    def check_tools(self) -> None:
        """Each tool has the answer to its own last question."""
        worker, current = self.annotation.worker, self.annotation.current
        tools = self.hover, self.guide, self.watcher, self.picking, self.alternatives
        assert (self.regrouping.task is None) == (
            self.annotation.click_layers.taker is None
        )
        for tool in (*tools, self.similar, self.regrouping):
            assert tool.annotation is self.annotation
            assert not worker.busy(tool.key)
        assert not worker.any_busy
        assert not worker._askers
        assert self.hover._waiting is None
        assert self.similar.progress is None
        self.check_candidates()
        assert not self.painting._waiting
        found = predicted(current) if self.guide.wanted else None
        advice = self.guide.advice
        assert (None if advice is None else advice.prediction) is found
        assert advice is None or advice.plane == current.plane

    def check_candidates(self) -> None:
        """What was rejected is saved and is no candidate; nor is what was clicked on.

        Candidates are those of the displayed plane, each once.
        """
        offered, current = self.similar.candidates, self.annotation.current
        assert len(set(offered)) == len(offered)
        rejected = self.annotation.rejected
        saved = {plane.steps: plane for plane in self.autosaver.record.saved().planes}
        for plane, gone in rejected.items():
            known = saved[plane.steps].rejected if gone else ()
            assert [one.click for one in gone] == [one.click for one in known]
            assert not set(gone) & set(offered)
        if offered:
            assert self.similar._plane == current.plane
        taken = {one.click for one in self.similar._taken_up}
        clicked = {one.clicks[0] for one in current.objects.all if one.clicks}
        assert not taken & clicked & {one.click for one in offered}

    def finished(self) -> np.ndarray:
        """Return the labels without the running objects."""
        data = np.array(self.labels.data, dtype=np.int64)
        for plane, known in self.annotation._planes.items():
            whole = (0, 0, *known.shape)
            writer = self.annotation._writer
            plane.take(data)[...] = writer.others(plane, known.drawn.live, whole)
        return data

    # What is done ---------------------------------------------------------------------

    def click(self, row: int, col: int) -> None:
        self.annotation.layers.positive.add(self._place(row, col))

    def click_background(self, row: int, col: int) -> None:
        self.annotation.layers.negative.add(self._place(row, col))

    def alt_click(self, row: int, col: int) -> None:
        self.annotation.click_layers._instead = "pick"
        self.click(row, col)

    def click_as_the_mouse(self, row: int, col: int) -> None:
        """Click with the left button: a finished object may claim it."""
        place = self._place(row, col)
        clicks = self.annotation.click_layers
        self.turn()  # what was clicked before is known
        if clicks.claims(np.array(place, float)):
            clicks._pressed, clicks._instead = True, "choose"
        self.annotation.layers.positive.add(place)

    def double_click(self, row: int, col: int) -> None:
        """Click twice: the object there is corrected."""
        self.click_as_the_mouse(row, col)
        clicks = self.annotation.click_layers
        clicks.settle()
        clicks.doubled.emit(np.array(self._place(row, col), float))

    def regroup(self, row: int, col: int, splits: int) -> None:
        """Begin to split or to merge, with a click or two as the mouse makes them."""
        name = "split_object" if splits else "merge_objects"
        self.bench.controller.command(name)
        clicks = self.annotation.click_layers
        for at in ((row, col), (row + 4, col + 3)):
            if clicks.taker is not None:
                clicks._pressed, clicks._instead = True, "take"
                self.annotation.layers.positive.add(self._place(*at))
                self.turn()

    def merge(self, one: int, other: int) -> None:
        """Merge two objects, on any planes."""
        there = self._objects()
        chosen = {there[number % len(there)] for number in (one, other) if there}
        self.annotation.merge(sorted(chosen, key=str))

    def with_the_chosen(self, number: int) -> None:
        """Press a button of the banner."""
        picking = self.picking
        (picking.correct_chosen, picking.delete_chosen, picking.choose_none)[number]()

    def hold(self, number: int) -> None:
        """Press or release a key that hides masks, or shows outlines only."""
        name, held = ("hide_masks", "outlines_only")[number % 2], bool(number // 2)
        self.bench.controller.hold(name, held)

    def brush(self, row: int, col: int, erases: int) -> None:
        """Draw on the current object, or erase from it."""
        current = self.annotation.current
        label = 0 if current is None else current.drawn.live.label
        if label:
            self.stroke(row, col, 0 if erases else label + 6)

    def command(self, number: int) -> None:
        self.bench.controller.command(COMMANDS[number])

    def alternative(self, number: int) -> None:
        """Go to another mask for the same clicks."""
        which = ("next", "previous", "smaller", "larger")[number]
        self.bench.controller.command(f"alternative_{which}")

    def find_similar(self) -> None:
        """Search the plane for candidates."""
        self.bench.controller.command("find_similar")

    def review(self, number: int) -> None:
        """Decide about candidates, or end the search."""
        names = "next", "accept", "reject", "accept_all", "cancel"
        if names[number] == "cancel":
            self.similar.cancel()
        else:
            self.bench.controller.command(f"similar_{names[number]}")

    def click_candidate(self, number: int, sign: int) -> None:
        """Click on a candidate, or just beside it."""
        shown = self.similar.shown
        if shown and self.similar._plane == self.annotation.current.plane:
            place = shown[number % len(shown)].click
            layers = self.annotation.layers
            point = [self.step, place.row, place.col + (0 if sign else 3)]
            (layers.positive if sign else layers.negative).add(point)

    def switch_sign(self, number: int) -> None:
        """Select a click and turn its sign."""
        layer = self.annotation.layers.positive
        if len(layer.data):
            layer.selected_data = {number % len(layer.data)}
        self.bench.controller.command("toggle_sign")

    def box(self, row: int, col: int, height: int, width: int) -> None:
        """Draw a box, which may be too small, or lie outside in part."""
        start = self.step, row, col
        end = self.step, row + height - 6, col + width - 6
        self.annotation.click_layers.drawn.emit("box", [start, end], True)

    def lasso(self, row: int, col: int, height: int, width: int) -> None:
        """Draw a triangle, which may be too small, or lie outside in part."""
        below, right = row + height - 6, col + width - 6
        path = [(self.step, *at) for at in ((row, col), (below, col), (row, right))]
        self.annotation.click_layers.drawn.emit("lasso", path, True)

    def scribble(self, row: int, col: int, along: int, sign: int) -> None:
        """Draw a line, which may lie outside in part."""
        path = [(self.step, row, col), (self.step, row + 2, col + along - 6)]
        self.annotation.click_layers.drawn.emit("scribble", path, bool(sign))

    def paint_superpixels(self, row: int, col: int, along: int, sign: int) -> None:
        """Draw a stroke with the tool for superpixels in hand."""
        clicks = self.annotation.click_layers
        clicks.draw("superpixels")
        self._compute_superpixels()
        path = [(self.step, row, col), (self.step, row + 2, col + along - 6)]
        clicks.drawn.emit("superpixels", path, bool(sign))
        clicks.draw(None)
        self._note_hand_edits()

    def snap(self) -> None:
        """Snap the mask to superpixels, which are computed for that."""
        self.bench.controller.command("snap")
        self._compute_superpixels()
        self._note_hand_edits()

    def larger_superpixels(self, number: int) -> None:
        """Go to larger superpixels, or to smaller ones."""
        self.superpixels.step(number - 2)

    def _compute_superpixels(self) -> None:
        while self.superpixels._thread._queue.work():
            self.turn()

    def _note_hand_edits(self) -> None:
        """What is kept by hand on clicked objects is not among the saved clicks."""
        for plane, known in self.annotation._planes.items():
            kept = [
                one for each in known.drawn._by_hand.values() for one in each.values()
            ]
            kept += [edits for _, edits in known.drawn._by_hand_of_step.values()]
            for edits in kept:
                part = plane.take(self.by_hand)[slices(edits.box)]
                part |= edits.drawn | edits.erased

    def threshold(self, number: int) -> None:
        """Move the slider, as the panel does."""
        value = (1 + number) / 10
        self.bench.controller.writing.threshold = value
        if self.annotation.current is not None:
            self.annotation.current.set_threshold(value)

    def change_plane(self, step: int) -> None:
        self.bench.viewer.dims.set_current_step(0, step)

    def way(self, number: int) -> None:
        self.bench.controller.writing.mode = WAYS[number]
        self._write_otherwise()

    def overwrite(self) -> None:
        PREFERENCES.protect = not PREFERENCES.protect
        self._write_otherwise()

    def select_label(self, number: int) -> None:
        ids = np.unique(self.labels.data)
        self.labels.selected_label = int(ids[number % len(ids)])

    def delete(self, one: int, other: int) -> None:
        """Delete an object or two, on any planes."""
        there = self._objects()
        chosen = {there[number % len(there)] for number in (one, other) if there}
        self.annotation.delete(sorted(chosen, key=str))

    def correct(self, number: int) -> None:
        ids = np.unique(self.labels.data[self.step])
        self.labels.selected_label = int(ids[number % len(ids)])
        self.picking.refine_selected()

    def drag(self, number: int, row: int, col: int) -> None:
        layer = self.annotation.layers.positive
        points = np.array(layer.data)
        if len(points):
            points[number % len(points)] = self._place(row, col)
            layer.data = points

    def remove_point(self, number: int) -> None:
        layer = self.annotation.layers.positive
        if len(layer.data):
            layer.data = np.delete(layer.data, number % len(layer.data), axis=0)

    def other_model(self, number: int) -> None:
        """Change to a model of another name, which draws the same masks."""
        self.bench.controller.model = ("fake", "other")[number]

    def other_device(self) -> None:
        self.bench.controller.reload_model()

    def image_changed(self) -> None:
        self.image.data = np.array(self.image.data)

    def follow(self, number: int) -> None:
        self.propagation.propagate([(1,), (-1,), (1, -1)][number])

    def stop_following(self) -> None:
        self.propagation.cancel()

    def copy(self, number: int) -> None:
        """Copy the object to the plane before or after this one."""
        self.copying.copy((-1, 1)[number])

    def move_mouse(self, row: int, col: int) -> None:
        """Move the mouse over the image, which previews a click there."""
        PREFERENCES.hover_preview = True
        place = self.image.data_to_world(self._place(row, col))
        event = SimpleNamespace(is_dragging=False, position=place, modifiers=())
        self.hover._on_move(None, event)

    def mark_next_click(self) -> None:
        """Switch the ring on or off."""
        self.guide.wanted = not self.guide.wanted

    def change_in_place(self) -> None:
        """Change pixels in place, and have the watcher look before it would."""
        self.image.data[self.step] ^= 1
        self.watcher._look()

    def stroke(self, row: int, col: int, value: int) -> None:
        """Draw or erase with the mouse; it ends when the button is released."""
        labels, pixels = self.labels, self.annotation._writer._pixels
        mode, labels.mode = labels.mode, "paint"
        event = SimpleNamespace(type="mouse_press", button=1)
        pressed = pixels.on_press(labels, event)
        next(pressed)
        with labels.block_history():
            self.paint(row, col, value)
            self.paint(row + 2, col + 3, value)
        event.type = "mouse_release"
        next(pressed, None)
        labels.mode = mode

    def in_labels(self, number: int) -> None:
        """Undo or redo with the labels layer active; what was drawn may come back."""
        before = np.array(self.labels.data)
        self.bench.controller.travel_in_labels(("undo", "undo", "redo")[number])
        self.by_hand |= (before != self.labels.data) & (self.drawn | self.by_hand)

    def back_and_forth(self, count: int) -> None:
        """Undo, and redo at once what was undone: all clicks are as they were."""
        if self.propagation.running or self.copying._pending is not None:
            return
        if self.annotation._debouncer.pending:
            return  # another plane is about to be displayed
        self.annotation.click_layers.settle()
        before, undone = self.standing(), self.annotation.undo_stack._undone
        times = 0
        while times < count:
            known = len(undone)
            self.bench.controller.command("undo")
            undone = self.annotation.undo_stack._undone
            if len(undone) <= known:
                break
            times += 1
        else:
            for _ in range(times):
                self.bench.controller.command("redo")
            assert self.standing() == before

    def standing(self) -> list[Any]:
        """Return the clicks of the displayed plane, object by object, and its steps."""
        current = self.annotation.current
        steps = () if current.session is None else current.session.steps
        waiting = [one.prompts for one in current.objects.waiting]
        return [*steps, *waiting, current.clicks, current.current.start]

    def paint(self, row: int, col: int, value: int) -> None:
        """Draw or erase by a script."""
        before = np.array(self.labels.data)
        rows, cols = (grid.ravel() for grid in np.mgrid[row : row + 5, col : col + 5])
        inside = (rows < SHAPE[1]) & (cols < SHAPE[2])
        planes = np.full(np.count_nonzero(inside), self.step)
        place = planes, rows[inside], cols[inside]
        if len(planes):
            self.labels.data_setitem(place, max(0, value - 6))
        self.drawn |= before != self.labels.data
        self.by_hand |= before != self.labels.data

    def start_anew(self) -> None:
        """What is being clicked stays drawn, but nothing is saved of it any more."""
        self.by_hand |= np.array(self.labels.data) != self.finished()
        self.bench.controller.stop()
        self.begin()

    def work(self) -> None:
        self.queue.work()

    def turn(self) -> None:
        QApplication.processEvents()

    def settle(self) -> None:
        """Wait until nothing is on its way."""
        for _ in range(1000):
            self.turn()
            waits = (
                self.annotation._debouncer,
                self.annotation.click_layers._debouncer,
                self.painting._soon,
            )
            works = self.queue, self.superpixels._thread._queue  # strokes wait for them
            busy = sum(one.work() for one in works) > 0
            busy = busy or any(one.pending for one in waits)
            if not busy:
                self.turn()
                if not self.queue.any_busy:
                    return
        raise AssertionError("there is no end")

    # Helpers --------------------------------------------------------------------------

    def begin(self) -> None:
        assert self.bench.controller.start(self.image)
        self.settle()

    @property
    def annotation(self) -> Any:
        return self.bench.controller.annotation

    @property
    def labels(self) -> Any:
        return self.annotation.layers.labels

    @property
    def queue(self) -> Queue:
        return self.bench.controller._worker._queue

    @property
    def step(self) -> int:
        return int(self.bench.viewer.dims.current_step[0])

    def _place(self, row: int, col: int) -> list[int]:
        """Return a point of the displayed plane, where the user clicks."""
        return [self.step, row % self.area[0], col % self.area[1]]

    def _write_otherwise(self) -> None:
        if self.annotation.current is not None:
            self.annotation.current.write_otherwise()

    def _objects(self) -> list[tuple[Plane, int]]:
        running = self.annotation.current_labels()
        return [
            (plane, int(label))
            for step in range(SHAPE[0])
            for label in np.unique(self.labels.data[step])
            for plane in [Plane((1, 2), (step, 0, 0))]
            if label and running.get(plane) != label
        ]


def make_small(monkeypatch: Any) -> None:
    """Let the fake draw masks that fit the image."""
    monkeypatch.setattr(_fake_segmenter, "RADIUS", RADIUS)
    monkeypatch.setattr(_fake_segmenter, "HOLE", HOLE)
    replace_search(monkeypatch)


COMMANDS = (
    *("accept",) * 5,
    *("undo",) * 4,
    *("redo",) * 2,
    "clear",
    "cancel",
    "toggle_sign",
    "accept_next",
)
PLACE = SHAPE[1:]
NUMBERS: dict[str, tuple[int, ...]] = {
    "click": PLACE,
    "click_background": PLACE,
    "alt_click": PLACE,
    "click_as_the_mouse": PLACE,
    "double_click": PLACE,
    "with_the_chosen": (3,),
    "regroup": (*PLACE, 2),
    "merge": (1000, 1000),
    "hold": (4,),
    "brush": (*PLACE, 2),
    "command": (len(COMMANDS),),
    "alternative": (4,),
    "review": (5,),
    "click_candidate": (1000, 2),
    "switch_sign": (1000,),
    "box": (*PLACE, 30, 30),
    "lasso": (*PLACE, 30, 30),
    "scribble": (*PLACE, 30, 2),
    "paint_superpixels": (*PLACE, 30, 2),
    "larger_superpixels": (5,),
    "threshold": (9,),
    "change_plane": SHAPE[:1],
    "way": (len(WAYS),),
    "select_label": (1000,),
    "delete": (1000, 1000),
    "correct": (1000,),
    "drag": (1000, *PLACE),
    "remove_point": (1000,),
    "other_model": (2,),
    "follow": (3,),
    "copy": (2,),
    "paint": (*PLACE, 18),
    "stroke": (*PLACE, 18),
    "in_labels": (3,),
    "back_and_forth": (9,),
    "move_mouse": PLACE,
}
"""Up to which numbers are drawn for an action."""
WEIGHTS = {
    "click": 30,
    "click_background": 12,
    "command": 40,
    "alt_click": 2,
    "click_as_the_mouse": 8,
    "double_click": 2,
    "with_the_chosen": 3,
    "regroup": 8,
    "merge": 4,
    "hold": 3,
    "brush": 4,
    "alternative": 5,
    "find_similar": 4,
    "review": 14,
    "click_candidate": 4,
    "switch_sign": 2,
    "box": 3,
    "lasso": 2,
    "scribble": 2,
    "paint_superpixels": 5,
    "snap": 2,
    "larger_superpixels": 1,
    "threshold": 3,
    "change_plane": 7,
    "way": 5,
    "overwrite": 2,
    "select_label": 3,
    "delete": 6,
    "correct": 4,
    "drag": 2,
    "remove_point": 2,
    "other_model": 1,
    "other_device": 1,
    "image_changed": 1,
    "follow": 2,
    "stop_following": 0.5,
    "copy": 3,
    "paint": 2,
    "stroke": 2,
    "in_labels": 3,
    "back_and_forth": 3,
    "move_mouse": 6,
    "mark_next_click": 2,
    "change_in_place": 1,
    "start_anew": 0.7,
    "work": 40,
    "turn": 25,
    "settle": 12,
}
"""What is done, and how often."""
