"""Random deeds, with answers that come at random moments: repeatable, without threads.

Work for the inference thread waits in a queue until it is its turn among the deeds. So
a seed gives the same order of events on any machine, and a hundred events a second.
"""

from __future__ import annotations

from collections import OrderedDict
from typing import TYPE_CHECKING, Any

import numpy as np
from qtpy.QtWidgets import QApplication

import _fake_segmenter
from _fake_segmenter import FakeSegmenter
from napari_gpcis.plugin.copying import Copying
from napari_gpcis.plugin.keeping import Keeper
from napari_gpcis.plugin.picking import Picking
from napari_gpcis.plugin.planes import Plane
from napari_gpcis.plugin.preferences import PREFERENCES
from napari_gpcis.plugin.propagation import Propagation
from napari_gpcis.plugin.worker import Answer
from napari_gpcis.prompts import replay

if TYPE_CHECKING:
    from collections.abc import Callable

SHAPE = (6, 40, 48)
"""More planes than stay open."""
RADIUS, HOLE = 7, 4
FEW = 3, 3
"""Where some persons click: again and again on the same places."""
BETWEEN_CHECKS = 15
WAYS = ("new", "add", "cut", "replace")


class Queue:
    """Does the work of `LatestWins`, but only when it is told to."""

    alive = False

    def __init__(self, deliver: Callable[[Answer], None], use: str) -> None:
        self._deliver = deliver
        self.waiting: OrderedDict[Any, tuple[int, Any]] = OrderedDict()
        self._latest: dict[Any, int] = {}
        self._tickets = 0

    def submit(self, key: Any, work: Any) -> int:
        self._tickets += 1
        self._latest[key] = self._tickets
        self.waiting[key] = self._tickets, work
        return self._tickets

    def cancel(self, key: Any) -> None:
        self.waiting.pop(key, None)
        self._latest.pop(key, None)

    def wanted(self, key: Any, ticket: int) -> bool:
        return self._latest.get(key) == ticket

    def busy(self, key: Any) -> bool:
        return key in self._latest

    def close(self, timeout: float = 0.0) -> bool:
        self.waiting.clear()
        self._latest.clear()
        return True

    def forget(self, answer: Answer) -> bool:
        if not self.wanted(answer.key, answer.ticket):
            return False
        del self._latest[answer.key]
        return True

    def work(self) -> bool:
        """Do what waits longest; its answer then waits in the loop of events."""
        if not self.waiting:
            return False
        key, (ticket, work) = self.waiting.popitem(last=False)
        value = work(lambda: not self.wanted(key, ticket))
        if self.wanted(key, ticket):
            self._deliver(Answer(key, ticket, value, None, 0.0))
        return True


class Person:
    """Does things at random.

    Parameters
    ----------
    bench
        A binding whose worker has a `Queue`.
    seed
        Says what is done.
    """

    def __init__(self, bench: Any, seed: int) -> None:
        self.bench = bench
        self.random = np.random.default_rng(seed)
        self.done: list[tuple[str, tuple[int, ...]]] = []
        self.keeper = Keeper(bench.binding)
        self.picking = Picking(bench.binding)
        self.propagation = Propagation(bench.binding)
        self.copying = Copying(bench.binding, self.propagation)
        self.image = bench.viewer.add_image(np.zeros(SHAPE, np.uint8))
        self.by_hand = np.zeros(SHAPE, dtype=bool)
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
        waits = f"{current.clicks} wait, ends {current.accepting}"
        assert current.clicks == current.session.clicks, waits
        assert not current.accepting, waits
        shown, saved = self.finished(), self.keeper.record.saved()
        data = self.image.data
        made = replay(saved, FakeSegmenter(), data, labels=shown, any_model=True)
        wrong = (made != shown) & ~self.by_hand
        assert not wrong.any(), (
            f"{np.count_nonzero(wrong)} pixels differ, of {made[wrong]}"
        )
        for plane, known in self.annotation._planes.items():
            painter = self.annotation._painter
            ghost = not known.clicks and painter.shows(plane, known.held)
            assert not ghost, f"object {known.held.label} has no clicks"

    def finished(self) -> np.ndarray:
        """Return the labels without the running objects."""
        data = np.array(self.labels.data, dtype=np.int64)
        for plane, known in self.annotation._planes.items():
            whole = (0, 0, *known.shape)
            painter = self.annotation._painter
            plane.take(data)[...] = painter.others(plane, known.held, whole)
        return data

    # What is done ---------------------------------------------------------------------

    def click(self, row: int, col: int) -> None:
        self.annotation.layers.positive.add(self._place(row, col))

    def click_background(self, row: int, col: int) -> None:
        self.annotation.layers.negative.add(self._place(row, col))

    def alt_click(self, row: int, col: int) -> None:
        self.annotation.prompts._alt = True
        self.click(row, col)

    def command(self, number: int) -> None:
        self.bench.binding.command(COMMANDS[number])

    def change_plane(self, step: int) -> None:
        self.bench.viewer.dims.set_current_step(0, step)

    def way(self, number: int) -> None:
        self.bench.binding.writing.way = WAYS[number]
        self._write_otherwise()

    def cover(self) -> None:
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

    def other_device(self) -> None:
        self.bench.binding.reload_model()

    def image_changed(self) -> None:
        self.image.data = np.array(self.image.data)

    def follow(self, number: int) -> None:
        self.propagation.follow([(1,), (-1,), (1, -1)][number])

    def paint(self, row: int, col: int, value: int) -> None:
        """Draw or erase by hand."""
        before = np.array(self.labels.data)
        rows, cols = (grid.ravel() for grid in np.mgrid[row : row + 5, col : col + 5])
        inside = (rows < SHAPE[1]) & (cols < SHAPE[2])
        planes = np.full(np.count_nonzero(inside), self.step)
        place = planes, rows[inside], cols[inside]
        self.labels.data_setitem(place, max(0, value - 6))
        self.by_hand |= before != self.labels.data

    def start_anew(self) -> None:
        """What is being clicked stays drawn, but nothing is saved of it any more."""
        self.by_hand |= np.array(self.labels.data) != self.finished()
        self.bench.binding.stop()
        self.begin()

    def work(self) -> None:
        self.queue.work()

    def turn(self) -> None:
        QApplication.processEvents()

    def settle(self) -> None:
        """Wait until nothing is on its way."""
        for _ in range(1000):
            self.turn()
            waits = self.annotation._debouncer, self.annotation.prompts._debouncer
            busy = self.queue.work() or any(one.pending for one in waits)
            if not busy:
                self.turn()
                return
        raise AssertionError("there is no end")

    # Helpers --------------------------------------------------------------------------

    def begin(self) -> None:
        assert self.bench.binding.start(self.image)
        self.settle()

    @property
    def annotation(self) -> Any:
        return self.bench.binding.annotation

    @property
    def labels(self) -> Any:
        return self.annotation.layers.labels

    @property
    def queue(self) -> Queue:
        return self.bench.binding._worker._queue

    @property
    def step(self) -> int:
        return int(self.bench.viewer.dims.current_step[0])

    def _place(self, row: int, col: int) -> list[int]:
        """Return a point of the displayed plane, where the person clicks."""
        return [self.step, row % self.area[0], col % self.area[1]]

    def _write_otherwise(self) -> None:
        if self.annotation.current is not None:
            self.annotation.current.write_otherwise()

    def _objects(self) -> list[tuple[Plane, int]]:
        running = self.annotation.running_labels()
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


COMMANDS = (
    *("accept",) * 5,
    *("undo",) * 4,
    *("redo",) * 2,
    "clear",
    "toggle_sign",
    "accept_next",
)
PLACE = SHAPE[1:]
NUMBERS: dict[str, tuple[int, ...]] = {
    "click": PLACE,
    "click_background": PLACE,
    "alt_click": PLACE,
    "command": (len(COMMANDS),),
    "change_plane": SHAPE[:1],
    "way": (len(WAYS),),
    "select_label": (1000,),
    "delete": (1000, 1000),
    "correct": (1000,),
    "drag": (1000, *PLACE),
    "remove_point": (1000,),
    "follow": (3,),
    "paint": (*PLACE, 18),
}
"""Up to which numbers are drawn for a deed."""
WEIGHTS = {
    "click": 30,
    "click_background": 12,
    "command": 40,
    "alt_click": 2,
    "change_plane": 7,
    "way": 5,
    "cover": 2,
    "select_label": 3,
    "delete": 6,
    "correct": 4,
    "drag": 2,
    "remove_point": 2,
    "other_device": 1,
    "image_changed": 1,
    "follow": 1,
    "paint": 3,
    "start_anew": 0.7,
    "work": 40,
    "turn": 25,
    "settle": 12,
}
"""What is done, and how often."""
