"""A restless person at the widget: random events for hours, and what must hold.

Every event is a real one: mouse, keys, sliders, layers. In between, and while answers
are on their way, the person's finished objects are compared with those before: only
what was deleted, cut, replaced, corrected, undone or drawn over may have changed.
"""

from __future__ import annotations

import copy
import gc
import os
import time
from collections import Counter, deque
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from imageio.v3 import imwrite
from napari.layers import Image
from qtpy.QtCore import QEvent, Qt
from qtpy.QtTest import QTest
from qtpy.QtWidgets import QApplication

from _fake_segmenter import FakeSegmenter
from napari_gpcis.geometry import slices
from napari_gpcis.imagefiles import read_label_file
from napari_gpcis.plugin.annotation.undo.edits import StrokeEdit
from napari_gpcis.plugin.dock.panels.clicking import WRITE_MODES, ClickingPanel
from napari_gpcis.plugin.dock.panels.files import BUTTONS, FilesPanel
from napari_gpcis.plugin.dock.panels.folder import FolderPanel
from napari_gpcis.plugin.dock.panels.objects import ObjectsPanel
from napari_gpcis.plugin.dock.panels.other_masks import OtherMasksPanel
from napari_gpcis.plugin.dock.panels.similar import SimilarPanel
from napari_gpcis.plugin.dock.panels.stack import StackPanel
from napari_gpcis.plugin.dock.panels.superpixels import SuperpixelsPanel
from napari_gpcis.plugin.labels.live_mask import LiveMask
from napari_gpcis.plugin.saving.export import file_names
from napari_gpcis.plugin.saving.recovery_file import read_recovery
from napari_gpcis.plugin.settings.preferences import PREFERENCES
from napari_gpcis.prompts import replay

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from napari_gpcis.inference.prediction import Prediction
    from napari_gpcis.inference.segmenter import Request

SHAPE = (6, 96, 128)
"""More planes than the widget keeps open."""
LEFT, RIGHT = Qt.MouseButton.LeftButton, Qt.MouseButton.RightButton
SHIFT, CONTROL = Qt.KeyboardModifier.ShiftModifier, Qt.KeyboardModifier.ControlModifier
ALT = Qt.KeyboardModifier.AltModifier
WARM = 400
"""Events after which little is done for the first time any more."""
PATIENCE = 120.0
MANY = 12
"""With more objects than these on a plane, the person deletes more than he makes."""


class SlowSegmenter(FakeSegmenter):
    """The fake, taking its time; it keeps no list of what it was asked."""

    def __init__(self, name: str = "fake") -> None:
        super().__init__(name)
        self.runs = self.previews = deque(maxlen=1)
        self._rng = np.random.default_rng(0)
        self.slow = 0.03

    def run(self, request: Request, cancelled: Any = None) -> tuple[Prediction, ...]:
        time.sleep(self._rng.random() * self.slow)
        return super().run(request, cancelled)

    def preview(self, *arguments: Any) -> Prediction:
        time.sleep(self._rng.random() * self.slow / 3)
        return super().preview(*arguments)


def resident() -> float:
    """Return the memory of this process, in MiB (Linux; elsewhere 0)."""
    status = Path("/proc/self/statm")
    if not status.exists():
        return 0.0
    return int(status.read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE") / 2**20


class Soak:
    """The person, with a fixed seed.

    Parameters
    ----------
    desk
        A widget in a viewer that shows an image of the shape `SHAPE`.
    seed
        Says what is done.
    folder
        Where files are written.
    """

    def __init__(self, desk: Any, seed: int, folder: Path) -> None:
        self.desk, self.folder = desk, folder
        self.random = np.random.default_rng(seed)
        self.seed = seed
        self.count = 0
        self.past: deque[str] = deque(maxlen=60)
        self.trail: deque[tuple[str, np.ndarray, dict[Any, LiveMask]]] = deque(
            maxlen=60
        )
        self.touched: set[int] = set()
        self.covering: set[int] = set()
        self.undone: set[int] = set()
        self.by_hand = np.zeros(SHAPE, dtype=bool)
        self.before = np.zeros(SHAPE, dtype=np.int64)
        self.checks = self.replays = self.saved = self.visits = 0
        self.memory: list[int] = []
        self._follow()

    # What is done ---------------------------------------------------------------------

    def run(self, minutes: float) -> None:
        """Do things for so long, and note how much memory grows after warming up.

        It is warm after `WARM` events and a third of the time.
        """
        start, warm = time.monotonic(), None
        end, third = start + 60 * minutes, start + 20 * minutes
        while time.monotonic() < end:
            self.step()
            if warm is None and self.count >= WARM and time.monotonic() > third:
                warm = self._memory()
        self.settle()
        self.check()
        self.check_saved()
        self.grown = 0.0 if warm is None else self._memory() - warm

    def step(self) -> None:
        """Do one thing; look at what came of it now and then."""
        self.count += 1
        shares = np.array([*WEIGHTS.values()]) / sum(WEIGHTS.values())
        name = str(self.random.choice([*WEIGHTS], p=shares))
        self.past.append(name)
        if not self.ready:
            self.restart()
        getattr(self, name)()
        self._remember(name)
        self.wait(self.pick((0, 0, 0.005, 0.02, 0.06)))
        if self.random.random() < 0.2:
            self.settle()
            self.check()
        if self.count % 400 == 0:
            self.settle()
            self.check()
            self.check_saved()
            self.memory.append(round(self._memory()))

    def click(self) -> None:
        self.desk.robot.click(self.image, self.place(), LEFT)

    def click_background(self) -> None:
        self.desk.robot.click(self.image, self.place(), RIGHT)

    def double_click(self) -> None:
        place = self.place()
        self.desk.robot.click(self.image, place)
        self.desk.robot.click(self.image, place)

    def draw_box(self) -> None:
        start, end = self.place(), self.place()
        self.desk.robot.drag(self.image, start, end, LEFT, SHIFT)

    def draw_line(self) -> None:
        """Draw a lasso or a scribble, and stop drawing."""
        key = (Qt.Key.Key_L, Qt.Key.Key_S)[int(self.random.integers(2))]
        self.press(key, SHIFT)
        self.desk.robot.draw(self.image, [self.place() for _ in range(4)])
        self.press(key, SHIFT)

    def find_similar(self) -> None:
        self.press(Qt.Key.Key_F, SHIFT)

    def review(self) -> None:
        """Go to the next candidate, and decide about it, or about all."""
        with self._new_edits():
            self.press(Qt.Key.Key_D)
            for _ in range(1 + self.below(3)):
                self.press(self.pick((Qt.Key.Key_D, Qt.Key.Key_T, Qt.Key.Key_R)))

    def accept_candidates(self) -> None:
        """Accept the few most confident ones together."""
        slider = self.similar.least
        slider.setValue(85)
        with self._new_edits():
            self.press(Qt.Key.Key_Enter, SHIFT)
        slider.setValue(25)

    @contextmanager
    def _new_edits(self) -> Iterator[None]:
        """Expect the objects of the edits that are made meanwhile."""
        stack = self.desk.controller.annotation.undo_stack
        known = [*stack._edits()]
        yield
        for edit in stack._edits():
            if all(edit is not one for one in known):
                self.touched |= {part.label for part in edit.parts}

    def cancel_search(self) -> None:
        QTest.mouseClick(self.similar.stop_button, LEFT)

    def correct_candidate(self) -> None:
        """Click on a candidate, or just beside it."""
        shown = self.similar.similar.shown
        if shown:
            click = self.pick(shown).click
            place = self.plane, click.row, click.col + self.pick((0, 3))
            self.desk.robot.click(self.image, place, self.pick((LEFT, RIGHT)))

    def paint_superpixels(self) -> None:
        """Paint with superpixels, or take some away, and stop that."""
        self.press(Qt.Key.Key_P, SHIFT)
        tool = self.superpixels.superpixels
        self.until(lambda: tool.part is None)
        taking = self.pick((Qt.KeyboardModifier.NoModifier, ALT))
        with self._hand():
            path = [self.place() for _ in range(3)]
            self.desk.robot.draw(self.image, path, LEFT, taking)
        self.press(self.pick((Qt.Key.Key_BracketLeft, Qt.Key.Key_BracketRight)))
        self.press(Qt.Key.Key_P, SHIFT)
        self._note_hand_edits()

    def snap(self) -> None:
        """Snap the mask to superpixels, which are computed for that."""
        with self._hand():
            self.press(Qt.Key.Key_G, SHIFT)
            tool = self.superpixels.superpixels
            self.until(lambda: tool.part is None)
        self._note_hand_edits()

    def other_mask(self) -> None:
        """Look at other masks for the same clicks, some with the mouse."""
        keys = Qt.Key.Key_Y, Qt.Key.Key_Comma, Qt.Key.Key_Period
        for _ in range(1 + self.below(3)):
            if self.random.random() < 0.2:
                self.press(Qt.Key.Key_Y, SHIFT)
            else:
                self.press(self.pick(keys))
            self.wait(self.pick((0, 0.02, 0.1)))
        shown = [one for one in self.other_masks.buttons if one.isVisible()]
        if shown:
            QTest.mouseClick(self.pick(shown), LEFT)

    def tidy_switch(self) -> None:
        """Switch tidying the current object, or of those to come."""
        self.press(Qt.Key.Key_T, SHIFT)

    def give_class(self) -> None:
        """Give a class to the chosen objects, or to all from now on."""
        digits = Qt.Key.Key_1, Qt.Key.Key_2, Qt.Key.Key_3
        if self.random.random() < 0.5 and self.panel.sorted.rowCount():
            self.panel.list.selectRow(self.below(self.panel.sorted.rowCount()))
        self.press(self.pick(digits), CONTROL)
        self.panel.list.clearSelection()

    def propagate(self) -> None:
        """Have the object found on other planes, now and then stop that."""
        stack = self.stack
        buttons = stack.propagate_back, stack.propagate_both, stack.propagate_on
        QTest.mouseClick(self.pick((*buttons, stack.copy_on, stack.fill)), LEFT)
        self.wait(self.pick((0, 0.05, 0.2)))
        if self.random.random() < 0.3:
            self.press(Qt.Key.Key_Escape)

    def save(self) -> None:
        """Save clicks and labels, or export; the labels saved are those shown."""
        files = self.files
        name = self.pick(("save", "save", *files.buttons))
        if name == "open" or not files.buttons[name].isEnabled():
            return
        self.settle()
        ending = {one.name: one.ending for one in BUTTONS}[name]
        path = self.folder / f"saved{ending}"
        files.write(name, path)
        self.until(lambda: not files.saver.busy)
        assert path.is_file(), files.message.text()
        if name in ("save", "labels"):
            written = file_names(path)[1] if name == "save" else path
            labels, _ = read_label_file(written)
            np.testing.assert_array_equal(labels, self.finished())
            self.saved += 1

    def visit_folder(self) -> None:
        """Annotate two images of a folder, and come back to the stack."""
        self.new_way()
        self._end_running()
        self.check()
        home = self.folder / f"images {self.count}"
        home.mkdir()
        for name in ("a.png", "b.png"):
            imwrite(home / name, np.zeros(SHAPE[1:], np.uint8))
        panel, layers = self.folder_panel, {*map(id, self.viewer.layers)}
        panel.navigator.open(home)
        for name in ("a", "b"):
            self.until(lambda: not panel.navigator.busy)
            self.until(lambda: self.desk.widget.session is not None)
            (image,) = (
                one
                for one in self.viewer.layers
                if isinstance(one, Image) and one.name == f"{name}.png"
            )
            row, col = 20 + self.below(50), 20 + self.below(80)
            self.viewer.reset_view()
            self.press(Qt.Key.Key_G)
            self.desk.robot.click(image, (row, col))
            self.settle()
            self.press(Qt.Key.Key_N)
            self.settle()
            assert self.labels.data[row, col] == 1, self.desk.widget.status.text()
            QTest.mouseClick(panel.done, LEFT)
            if name == "a":
                panel.navigator.go(1)
                self.until(lambda: not panel.navigator.busy)
                labels, _ = read_label_file(home / "a.labels.tif")
                assert labels[row, col] == 1
        self.desk.widget.start_button.click()
        for layer in [one for one in self.viewer.layers if id(one) not in layers]:
            self.viewer.layers.remove(layer)
        self.desk.widget.image_combo.layer = self.image
        self.visits += 1

    def _note_hand_edits(self) -> None:
        """What is kept by hand on clicked objects is not among the saved clicks."""
        annotation = self.desk.controller.annotation
        for plane, known in annotation._planes.items():
            edits = known.drawn.hand_edits
            part = plane.take(self.by_hand)[slices(edits.box)]
            part |= edits.drawn | edits.erased

    def move_mouse(self) -> None:
        for _ in range(5):
            self.desk.robot.move(self.image, self.place())

    def pick_object(self) -> None:
        self.desk.robot.click(self.image, self.place(), LEFT, ALT)

    def split(self) -> None:
        """Split an object, or click somewhere else and stop."""
        self._regroup(Qt.Key.Key_X)

    def merge(self) -> None:
        """Merge two objects, or click somewhere else and stop."""
        self._regroup(Qt.Key.Key_V)

    def _regroup(self, key: Any) -> None:
        there = np.argwhere(self.finished()[self.plane] > 0)
        self.press(key, SHIFT)
        for _ in range(2):
            place = self.place()
            if len(there) and self.random.random() < 0.9:
                place = (self.plane, *there[self.below(len(there))])
            self.desk.robot.click(self.image, place)
            self.wait(0.02)
        if self.random.random() < 0.7:
            self.settle()
        self.press(Qt.Key.Key_Escape)
        for edit in self.desk.controller.annotation.undo_stack._edits():
            if edit.chained:
                self.touched |= {part.label for part in edit.parts}
            break

    def accept(self) -> None:
        self.press(Qt.Key.Key_N)

    def accept_next_plane(self) -> None:
        self.press(Qt.Key.Key_N, SHIFT)

    def undo(self) -> None:
        self._may_undo()
        self.press(Qt.Key.Key_U)

    def redo(self) -> None:
        self.press(Qt.Key.Key_U, SHIFT)

    def clear(self) -> None:
        self.press(Qt.Key.Key_K)

    def turn_click(self) -> None:
        self.press(Qt.Key.Key_Q)

    def hover(self) -> None:
        self.press(Qt.Key.Key_W)

    def next_click(self) -> None:
        self.press(Qt.Key.Key_H)

    def uncertainty(self) -> None:
        self.press(Qt.Key.Key_H, SHIFT)

    def next_object(self) -> None:
        self.press(Qt.Key.Key_J)

    def correct(self) -> None:
        self.press(Qt.Key.Key_R, SHIFT)

    def choose_way(self) -> None:
        names = [name for name, _ in WRITE_MODES]
        combo = self.clicking.write_mode
        combo.setCurrentIndex(self.below(len(names)))
        combo.activated.emit(combo.currentIndex())

    def new_way(self) -> None:
        combo = self.clicking.write_mode
        combo.setCurrentIndex(0)
        combo.activated.emit(0)

    def overwrite(self) -> None:
        PREFERENCES.protect = not PREFERENCES.protect

    def threshold(self) -> None:
        PREFERENCES.threshold = self.pick((0.3, 0.5, 0.7))

    def select_label(self) -> None:
        ids = np.unique(self.labels.data)
        self.labels.selected_label = int(self.pick(ids))

    def delete_objects(self) -> None:
        panel, rows = self.panel, self.panel.sorted.rowCount()
        panel.list.clearSelection()
        for _ in range(min(rows, 1 + self.below(3))):
            panel.list.selectRow(self.below(rows))
        self.touched |= {found.label for found in panel.selected()}
        QTest.mouseClick(panel.delete_button, LEFT)

    def tidy_up(self) -> None:
        """Delete many objects, or they fill the image."""
        if self.panel.sorted.rowCount() > MANY:
            self.panel.list.selectAll()
            self.touched |= {found.label for found in self.panel.selected()}
            QTest.mouseClick(self.panel.delete_button, LEFT)

    def change_plane(self) -> None:
        self.viewer.dims.set_current_step(0, self.below(SHAPE[0]))

    def zoom(self) -> None:
        height, width = SHAPE[1:]
        row, col = self.below(height - 40), self.below(width - 40)
        plane, size = self.plane, self.pick((40, 60, 120))
        low, high = (plane, row, col), (plane, row + size, col + size)
        self.desk.robot.look_at(self.image, low, high, 0.9)

    def see_all(self) -> None:
        self.viewer.reset_view()

    def rename(self) -> None:
        layer = self.pick(list(self.viewer.layers))
        layer.name = f"layer {self.below(1000)}"

    def reorder(self) -> None:
        count = len(self.viewer.layers)
        self.viewer.layers.move(self.below(count), 0)

    def hide(self) -> None:
        layer = self.pick((self.labels, self.image, self.desk.positive))
        layer.visible = not layer.visible

    def other_layer(self) -> None:
        layers = list(self.viewer.layers)
        self.viewer.layers.selection.active = self.pick(layers)

    def drag_point(self) -> None:
        layer = self.desk.positive
        if len(layer.data):
            layer.mode = "select"
            self.viewer.layers.selection.active = layer
            point = layer.data[self.below(len(layer.data))]
            self.desk.robot.drag(self.image, point, self.place())
            if self.random.random() < 0.3:
                self.desk.robot.press(Qt.Key.Key_Delete)
            self.press(Qt.Key.Key_G)

    def paint(self) -> None:
        self._edit("paint")

    def erase(self) -> None:
        self._edit("erase")

    def fill(self) -> None:
        self._edit("fill")

    def undo_in_labels(self) -> None:
        annotation = self.desk.controller.annotation
        last = annotation.undo_stack._last_stroke(annotation.current)
        self._travel(last is not None, Qt.Key.Key_Z, CONTROL)

    def redo_in_labels(self) -> None:
        undone = self.desk.controller.annotation.undo_stack._undone
        drawn = bool(undone) and isinstance(undone[-1].edit, StrokeEdit)
        self._travel(drawn, Qt.Key.Key_Z, CONTROL | SHIFT)

    def edit_by_script(self) -> None:
        """Another plugin writes an object and refreshes the layer."""
        plane, row, col = map(int, self.place())
        number = int(self.random.integers(1, 60))
        with self._hand():
            self.labels.data[plane, row : row + 9, col : col + 9] = number
            self.labels.refresh()

    def other_model(self) -> None:
        self.desk.controller.model = self.pick(("fake", "other"))

    def new_device(self) -> None:
        self.desk.controller.reload_model()

    def image_changed(self) -> None:
        self.image.data = np.array(self.image.data)

    def image_edited_in_place(self) -> None:
        self.image.data[self.plane] += 1
        self.image.refresh()

    def other_image_comes_and_goes(self) -> None:
        layer = self.viewer.add_image(np.zeros(SHAPE[1:], np.uint8))
        self.wait(0.02)
        self.viewer.layers.remove(layer)

    def stop(self) -> None:
        self._end_running()
        self.desk.widget.start_button.click()

    def delete_points(self) -> None:
        self._end_running()
        points = self.pick((self.desk.positive, self.desk.negative))
        self.viewer.layers.remove(points)

    def delete_labels(self) -> None:
        self.settle()
        self.check()
        self.check_saved()
        self.viewer.layers.remove(self.labels)

    def display_3d_and_back(self) -> None:
        self.viewer.dims.ndisplay = 3
        self.wait(0.02)
        self.viewer.dims.ndisplay = 2

    # What must hold -------------------------------------------------------------------

    def check(self) -> None:
        """Finished objects are as they were, but for those that were touched."""
        if not self.ready:
            return
        now, before = self.finished(), self.before
        places = now != before
        if places.any():
            old, new = before[places], now[places]
            allowed = [0, *self.touched]
            fine = np.isin(old, allowed) & np.isin(new, allowed)
            fine |= np.isin(new, [*self.covering]) | np.isin(old, [*self.undone])
            lost = {*map(int, old[~fine]), *map(int, new[~fine])} - set(allowed)
            assert not lost, (
                f"objects {sorted(lost)} changed (touched: {self.touched}); plane, "
                f"before, after: {self._changes(places, before, now)}; the life of one "
                f"pixel: {self._life(np.argwhere(places)[~fine][0])}"
            )
        self.before = now
        self.touched, self.covering, self.undone = set(), set(), set()
        self.checks += 1
        self._remember("-- all was well")
        assert not self._history_held, "the layer's history is held open for ever"

    def _changes(
        self, places: np.ndarray, before: np.ndarray, now: np.ndarray
    ) -> Counter[tuple[int, ...]]:
        """Count pixels by plane, what they were, what they are, and if by hand."""
        where = np.nonzero(places)
        values = where[0], before[where], now[where], self.by_hand[where]
        return Counter(zip(*(map(int, one) for one in values), strict=True))

    def _remember(self, name: str) -> None:
        """Note what is there after a deed, to tell later how a pixel changed."""
        annotation = self.desk.controller.annotation
        if annotation is not None:
            planes = annotation._planes.items()
            live = {plane: copy.deepcopy(known.drawn.live) for plane, known in planes}
            self.trail.append((name, np.array(self.labels.data), live))

    def _life(self, pixel: np.ndarray) -> str:
        """Tell what a pixel was after each of the last deeds, and what held it."""
        step, row, col = map(int, pixel)
        lines = []
        for name, data, planes in self.trail:
            live = next(
                (h for p, h in planes.items() if p.steps[0] == step), LiveMask()
            )
            top, left, bottom, right = live.box
            holds = hidden = None
            if top <= row < bottom and left <= col < right:
                holds = bool(live.mask[row - top, col - left])
                if live.before is not None:
                    hidden = int(live.before[row - top, col - left])
            lines.append(
                f"{name}: {data[step, row, col]}, held by {live.label} ({live.how}, "
                f"cover {live.overwrite}): {holds} over {hidden}"
            )
        return "\n".join(["", *lines])

    def check_saved(self) -> None:
        """The saved prompts give the finished objects again, but for edits by hand."""
        if not self.ready:
            return
        autosaver = self.desk.widget.recovery.autosaver
        saved, shown = autosaver.record.saved(), self.finished()
        model = FakeSegmenter()
        made = replay(saved, model, self.image.data, labels=shown, any_model=True)
        wrong = (made != shown) & ~self.by_hand
        where = np.argwhere(wrong)
        assert not len(where), (
            f"{len(where)} pixels differ, first at {where[0]}: "
            f"ids {sorted(set(made[wrong]) | set(shown[wrong]))}; the life of the "
            f"first: {self._life(where[0])}"
        )
        self.replays += 1
        self._check_recovery(autosaver)

    def _check_recovery(self, autosaver: Any) -> None:
        """The recovery file holds what is shown."""
        recovery = next(
            one for record, one in autosaver._writers if record is autosaver.record
        )
        recovery.write()
        file = recovery.file.path
        if file is None:
            return
        self.until(lambda: not recovery._thread.busy(recovery.file))
        made = read_recovery(file).labels()
        np.testing.assert_array_equal(made, self.labels.data)

    def finished(self) -> np.ndarray:
        """Return the labels without the running objects."""
        annotation = self.desk.controller.annotation
        data = np.array(self.labels.data, dtype=np.int64)
        for plane, known in annotation._planes.items():
            whole = (0, 0, *known.shape)
            rest = annotation._writer.others(plane, known.drawn.live, whole)
            plane.take(data)[...] = rest
        return data

    def settle(self) -> None:
        """Wait until nothing is on its way."""
        self.until(lambda: self.quiet)

    @property
    def quiet(self) -> bool:
        controller = self.desk.controller
        annotation = controller.annotation
        if annotation is None or annotation.current is None:
            return annotation is None or bool(annotation.message)
        if controller._worker._queue._latest or annotation._debouncer.pending:
            return False
        if self.stack.propagation.running:
            return False
        prompts = annotation.click_layers
        current = annotation.current
        session = current.session
        if prompts._debouncer.pending or session is None or current.accepting:
            return False
        return current.clicks == session.clicks

    # Helpers --------------------------------------------------------------------------

    @property
    def viewer(self) -> Any:
        return self.desk.viewer

    @property
    def image(self) -> Any:
        return self.desk.image

    @property
    def labels(self) -> Any:
        return self.desk.labels

    @property
    def clicking(self) -> ClickingPanel:
        panels = self.desk.widget.panels
        return next(panel for panel in panels if isinstance(panel, ClickingPanel))

    @property
    def similar(self) -> SimilarPanel:
        panels = self.desk.widget.panels
        return next(panel for panel in panels if isinstance(panel, SimilarPanel))

    @property
    def superpixels(self) -> SuperpixelsPanel:
        panels = self.desk.widget.panels
        return next(panel for panel in panels if isinstance(panel, SuperpixelsPanel))

    @property
    def panel(self) -> ObjectsPanel:
        panels = self.desk.widget.panels
        return next(panel for panel in panels if isinstance(panel, ObjectsPanel))

    @property
    def other_masks(self) -> OtherMasksPanel:
        panels = self.desk.widget.panels
        return next(panel for panel in panels if isinstance(panel, OtherMasksPanel))

    @property
    def stack(self) -> StackPanel:
        panels = self.desk.widget.panels
        return next(panel for panel in panels if isinstance(panel, StackPanel))

    @property
    def files(self) -> FilesPanel:
        panels = self.desk.widget.panels
        return next(panel for panel in panels if isinstance(panel, FilesPanel))

    @property
    def folder_panel(self) -> FolderPanel:
        panels = self.desk.widget.panels
        return next(panel for panel in panels if isinstance(panel, FolderPanel))

    @property
    def plane(self) -> int:
        return int(self.viewer.dims.current_step[0])

    @property
    def ready(self) -> bool:
        """Whether an annotation runs."""
        return self.desk.controller.annotation is not None

    @property
    def _history_held(self) -> bool:
        """Whether edits by hand would not be steps of their own."""
        annotation = self.desk.controller.annotation
        live = bool(_unwrapped(self.labels)._block_history)
        return live and not annotation._writer.drawing

    def restart(self) -> None:
        """Press Start again after the annotation has ended."""
        combo = self.desk.widget.labels_combo
        combo.layer = None
        assert self.desk.widget.start()
        self.until(lambda: self.desk.widget.session is not None)
        self._follow()

    def pick(self, things: Sequence[Any]) -> Any:
        return things[self.below(len(things))]

    def below(self, limit: int) -> int:
        return int(self.random.integers(limit))

    def press(self, *key: Any) -> None:
        self.desk.robot.press(*key)

    def place(self) -> tuple[float, float, float]:
        """Return a point of the displayed plane that is seen."""
        low, high = np.asarray(self.labels.corner_pixels)[:, 1:]
        rows = sorted((max(0, int(low[0])), min(SHAPE[1] - 1, int(high[0]))))
        cols = sorted((max(0, int(low[1])), min(SHAPE[2] - 1, int(high[1]))))
        return (
            self.plane,
            rows[0] + self.below(rows[1] - rows[0] + 1),
            cols[0] + self.below(cols[1] - cols[0] + 1),
        )

    def wait(self, seconds: float) -> None:
        end = time.monotonic() + seconds
        QApplication.processEvents()
        # What was to be deleted later: only a running event loop does it by itself.
        QApplication.sendPostedEvents(None, QEvent.Type.DeferredDelete)
        while time.monotonic() < end:
            QApplication.processEvents()
            time.sleep(0.001)

    def until(self, condition: Callable[[], bool]) -> None:
        end = time.monotonic() + PATIENCE
        while not condition():
            assert time.monotonic() < end, self.desk.widget.status.text()
            self.wait(0.002)

    def _follow(self) -> None:
        """Begin with the labels that there are now."""
        annotation = self.desk.controller.annotation
        annotation.events.accepted.connect(self._on_accepted)
        annotation.events.edit_undone.connect(self._on_edit_undone)
        annotation.events.edit_redone.connect(self._on_edit_redone)
        labels = _unwrapped(annotation.layers.labels)
        if getattr(self, "_labels", None) is not labels:
            self._labels = labels
            self.by_hand[...] = False
        self.before = self.finished()

    def _on_accepted(self, plane: Any, label: int) -> None:
        self.touched.add(label)
        if plane.session.steps[-1].overwrite:
            self.covering.add(label)
            # What it covers may be drawn over by hand before the next look.
            here = plane.plane.take(self.labels.data) == label
            plane.plane.take(self.before)[here] = label

    def _may_undo(self) -> None:
        """Expect that the last objects come back, or go."""
        annotation = self.desk.controller.annotation
        for known in annotation._planes.values():
            if known.session is not None and known.session.steps:
                self.undone.add(known.session.steps[-1].id)
        self.touched |= self.undone

    def _on_edit_undone(self, edit: Any) -> None:
        self.undone |= {part.label for part in edit.parts}
        self.touched |= self.undone

    def _on_edit_redone(self, edit: Any) -> None:
        labels = {part.label for part in edit.parts}
        self.touched |= labels
        self.covering |= labels  # as they were, they may have overwritten others

    def _end_running(self) -> None:
        """What is being clicked stays drawn, but nothing is saved of it any more."""
        self.settle()
        data = np.array(self.labels.data)
        self.by_hand |= data != self.finished()
        self.touched |= set(map(int, np.unique(data)))

    def _hand(self) -> _Hand:
        return _Hand(self)

    def _edit(self, mode: str) -> None:
        """Draw with the mouse in the labels layer, and go back to clicking."""
        with self._hand():
            self.viewer.layers.selection.active = self.labels
            self.labels.mode = mode
            self.labels.brush_size = self.pick((3, 10, 20))
            self.desk.robot.drag(self.labels, self.place(), self.place())
            self.labels.mode = "pan_zoom"
        self.press(Qt.Key.Key_G)

    def _travel(self, drawn: bool, *key: Any) -> None:
        """Undo or redo with the labels layer active: clicks, or what was drawn."""
        self.viewer.layers.selection.active = self.labels
        self._may_undo()
        if drawn or self.desk.controller.annotation.untouched:
            with self._hand():
                self.press(*key)
        else:
            self.press(*key)
        self.press(Qt.Key.Key_G)

    def _memory(self) -> float:
        gc.collect()
        return resident()


def _unwrapped(layer: Any) -> Any:
    """Return a layer itself, of which napari gives proxies."""
    return getattr(layer, "__wrapped__", layer)


class _Hand:
    """Takes down which pixels are changed by hand inside, and the ids concerned.

    A mask may be drawn in the middle of a stroke: what the stroke then changes, or
    covers, is told by the layer's history alone.
    """

    def __init__(self, soak: Soak) -> None:
        self._soak = soak
        self._drawn = np.zeros(SHAPE, dtype=bool)

    def __enter__(self) -> None:
        self._before = np.array(self._soak.labels.data)
        self._hidden = self._soak.finished() if self._soak.ready else self._before
        self._soak.labels.events.paint.connect(self._on_paint)

    def __exit__(self, *_: object) -> None:
        now, soak = self._soak.labels.data, self._soak
        soak.labels.events.paint.disconnect(self._on_paint)
        places = self._drawn | (now != self._before)
        soak.by_hand |= places
        # What the running object covers is drawn over as well.
        for labels in (now, self._before, self._hidden):
            soak.touched |= set(map(int, np.unique(labels[places])))

    def _on_paint(self, event: Any) -> None:
        annotation = self._soak.desk.controller.annotation
        if annotation is None or not annotation._writer._pixels.ending:
            for place, *atom in event.value:
                mask = atom[0] if len(atom) == 3 else None  # a box and its pixels
                self._drawn[place] |= True if mask is None else mask


WEIGHTS = {
    "click": 30,
    "click_background": 12,
    "double_click": 1,
    "draw_box": 2,
    "draw_line": 2,
    "find_similar": 3,
    "review": 4,
    "accept_candidates": 2,
    "cancel_search": 1,
    "correct_candidate": 2,
    "paint_superpixels": 2,
    "snap": 1,
    "other_mask": 4,
    "tidy_switch": 2,
    "give_class": 3,
    "propagate": 3,
    "save": 1,
    "visit_folder": 0.5,
    "move_mouse": 6,
    "pick_object": 4,
    "split": 2,
    "merge": 1,
    "accept": 14,
    "accept_next_plane": 2,
    "undo": 8,
    "redo": 4,
    "clear": 3,
    "turn_click": 2,
    "hover": 2,
    "next_click": 1,
    "uncertainty": 1,
    "next_object": 1,
    "correct": 2,
    "choose_way": 3,
    "new_way": 3,
    "overwrite": 1,
    "threshold": 1,
    "select_label": 3,
    "delete_objects": 3,
    "tidy_up": 3,
    "change_plane": 6,
    "zoom": 2,
    "see_all": 2,
    "rename": 1,
    "reorder": 1,
    "hide": 1,
    "other_layer": 2,
    "drag_point": 2,
    "paint": 2,
    "erase": 2,
    "fill": 1,
    "undo_in_labels": 2,
    "redo_in_labels": 1,
    "edit_by_script": 1,
    "other_model": 1,
    "new_device": 0.5,
    "image_changed": 0.5,
    "image_edited_in_place": 0.5,
    "other_image_comes_and_goes": 0.5,
    "stop": 0.5,
    "delete_points": 0.3,
    "delete_labels": 0.3,
    "display_3d_and_back": 0.3,
}
"""What is done, and how often."""
