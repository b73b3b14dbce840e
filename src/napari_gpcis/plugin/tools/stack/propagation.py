"""Propagation of an object through the planes of a stack.

Plane after plane is found on the inference thread; all of them are written at the end,
as one undo step. The object keeps its id. Between two planes on which it is right it
can be interpolated instead.
"""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, NamedTuple
from weakref import WeakKeyDictionary, ref

from qtpy.QtCore import Signal

from napari_gpcis.plugin.annotation.jobs import place_planes, propagate_plane
from napari_gpcis.plugin.tools.base import Tool
from napari_gpcis.plugin.tools.stack.stack import Source, Stack
from napari_gpcis.plugin.viewer.channels import chosen_contrast
from napari_gpcis.plugin.viewer.planes import (
    Plane,
    full_resolution,
    layer_shape,
)
from napari_gpcis.propagation import reason_to_doubt, reason_to_stop
from napari_gpcis.wording import counted, counted_are

if TYPE_CHECKING:
    from collections.abc import Sequence
    from weakref import ReferenceType

    from napari_gpcis.plugin.annotation.annotation import Annotation
    from napari_gpcis.plugin.annotation.controller import Controller
    from napari_gpcis.plugin.annotation.undo.edits import ObjectEdit
    from napari_gpcis.plugin.tools.picking import Picking
    from napari_gpcis.propagation import PlaneResult
    from napari_gpcis.session.session import Session

STOPPED = "Stopped: nothing was found so far."


class _Run(NamedTuple):
    """A run in progress: its origin, its plane, the directions that are left.

    ``history`` has the object on the origin and the planes after it in this direction;
    ``shape`` is that of the labels: where they get another, nothing is written.
    """

    origin: Source
    plane: Plane
    history: tuple[PlaneResult, ...]
    directions: tuple[int, ...]
    session: Session
    shape: tuple[int, ...]


class _List(NamedTuple):
    """Planes that were found, as they were listed at a time.

    Attributes
    ----------
    label, found, message
        The object, and what is shown of it, see `Propagation`.
    edit
        The edit by which it was written last.
    """

    label: int = 0
    found: tuple[tuple[Plane, PlaneResult], ...] = ()
    message: str = ""
    edit: ReferenceType[ObjectEdit] | None = None


class Propagation(Tool):
    """Propagates an object through the stack until it vanishes, or is in doubt.

    Parameters
    ----------
    controller
        Its annotations are followed.

    Attributes
    ----------
    stack
        The planes of the image being annotated, ``None`` without one.
    found
        Planes of the last run in order, with the object on each, and those that were
        filled in since; of a run that is undone, as they were before it.
    message
        Reason why the last run ended where it did.
    total
        How many planes the run may visit.
    through_doubt
        Whether a run goes on after a plane that is in doubt.
    picking
        Has the object that is chosen, which comes before the last one.
    """

    changed = Signal()
    """Emitted when the progress of a run, or its result, has changed."""

    def __init__(self, controller: Controller) -> None:
        super().__init__(controller)
        self.stack: Stack | None = None
        self.found: list[tuple[Plane, PlaneResult]] = []
        self.message = ""
        self.total = 0
        self.through_doubt = False
        self.picking: Picking | None = None
        self._run: _Run | None = None
        self._label = 0  # of the object that was found
        self._edit: ObjectEdit | None = None
        self._lists: WeakKeyDictionary[ObjectEdit, tuple[_List, _List]] = (
            WeakKeyDictionary()
        )
        self._before = self._list

    def on_attached(self, annotation: Annotation) -> None:
        """Take its stack."""
        self.stack = Stack(annotation)
        self.stack.chosen = self._chosen
        annotation.undo_stack.interrupts.append(self._interrupt)
        annotation.endings.append(self.cancel)
        annotation.findings.append(lambda: self.running and bool(self.found))
        self.follow(annotation.events.edit_undone, self._on_undone)
        self.follow(annotation.events.edit_redone, self._on_redone)

    def on_detached(self, annotation: Annotation) -> None:  # noqa: ARG002
        """Forget its stack and all runs."""
        self.stack = self._run = None
        self._lists.clear()
        self._show(_List())

    def _chosen(self) -> int:
        """Return the id of the object that is chosen on the displayed plane, or 0."""
        if self.picking is None or self.current is None:
            return 0
        return self.picking.chosen_on(self.current.plane)

    @property
    def _list(self) -> _List:
        """What was found last, and by which edit it was written."""
        edit = None if self._edit is None else ref(self._edit)
        return _List(self._label, tuple(self.found), self.message, edit)

    def _show(self, known: _List) -> None:
        """Show what was found at another time."""
        self._label, self.message = known.label, known.message
        self.found = [*known.found]
        self._edit = None if known.edit is None else known.edit()
        self.changed.emit()

    def _note(self, edit: ObjectEdit) -> None:
        """Take note that what was found is written."""
        self._edit = edit
        self._lists[edit] = self._before, self._list

    @property
    def running(self) -> bool:
        """True if an object is being propagated."""
        return self._run is not None

    def propagate(self, directions: Sequence[int]) -> None:
        """Propagate the current, chosen or last object, see `Stack.source`.

        Parameters
        ----------
        directions
            1 for the next planes, -1 for the previous ones; both one after the other.
        """
        stack, session = self.stack, self.controller.session
        if stack is None or session is None or self.running:
            return
        source = stack.source()
        if isinstance(source, str):
            self.say(source)
            return
        if not stack.accept():
            return
        self._before = self._list
        self.found, self._label, self._edit = [], source.label, None
        self.total = sum(stack.count(source.plane, one) for one in directions)
        shape = layer_shape(stack.annotation.layers.labels)
        self._run = _Run(source, source.plane, (), tuple(directions), session, shape)
        stack.held = True
        self.message = ""
        self._step()

    def fill_between(self) -> None:
        """Interpolate an object between two planes on which it was made by hand.

        These are the nearest ones about the displayed plane, or that plane and the
        nearest one across a gap. What runs have written between them is replaced.
        """
        stack, session = self.stack, self.controller.session
        if stack is None or session is None or self.running or not stack.accept():
            return
        source, current = stack.source(), self.current
        if current is None or not stack.axes:
            self.say(str(source))
            return
        labels = stack.annotation.layers.labels
        label = int(labels.selected_label)
        if isinstance(source, Source):
            label = source.label
        ends = self._ends(stack, current.plane, label)
        if ends is None:
            self.say(_NO_GAP.format(label))
            return
        job = partial(
            place_planes,
            session.segmenter,
            full_resolution(stack.annotation.image),
            stack.between(*ends, label),
            colour=bool(stack.annotation.image.rgb),
            contrast=chosen_contrast(stack.annotation.image),
        )
        deliver = partial(self._on_placed, label)
        self.ask(job, deliver, self._on_not_placed)
        self.say("Interpolating ...")

    def _ends(
        self, stack: Stack, plane: Plane, label: int
    ) -> tuple[Plane, Plane] | None:
        """Return the planes between which an object is interpolated."""
        by_hand = stack.annotation.undo_stack.by_hand

        def nearest(direction: int) -> Plane | None:
            found = stack.beside(plane, direction)
            while found is not None and not by_hand(found, label):
                found = stack.beside(found, direction)
            return found

        before, after = nearest(-1), nearest(1)
        pairs = [(before, after)]
        if by_hand(plane, label):
            pairs = [(before, plane), (plane, after)]
        for first, last in pairs:
            if first is None or last is None:
                continue
            if stack.number(last) - stack.number(first) > 1:
                return first, last
        return None

    def _on_placed(
        self,
        label: int,
        found: list[tuple[Plane, PlaneResult]] | None,
        _seconds: float,
    ) -> None:
        """Write what was interpolated, as one undo step."""
        if self.stack is None or found is None:
            return
        self._before = self._list
        known = dict(self.found) if label == self._label else {}
        self._label, self.message = label, ""  # why the run before it ended is settled
        self.found = sorted({**known, **dict(found)}.items(), key=_by_steps)
        edit = self.stack.annotation.undo_stack.add_propagated(
            label,
            found,
            overwrite=self.controller.writing.overwrite,
            interpolated=True,
        )
        self._note(edit)
        self.say(f"Object {label}: interpolated on {counted(len(found), 'plane')}.")

    def _on_not_placed(self, error: Exception) -> None:
        if self.annotation is not None:
            self.annotation.worker.report(error)
        self.say("Nothing was interpolated.")

    def cancel(self) -> None:
        """Stop propagating; what was found so far is kept."""
        if self.running:
            kept = f"Stopped: {counted_are(len(self.found), 'plane')} kept."
            self._finish(kept if self.found else STOPPED)

    def say(self, message: str) -> None:
        """Tell the user something, in the status line and in the section."""
        super().say(message)
        self.changed.emit()

    def _step(self) -> None:
        """Ask for the object on the next plane, or end the run."""
        run, stack = self._run, self.stack
        if run is None or stack is None:
            return
        if not run.directions:
            count = counted(len(self.found), "plane")
            self._finish(f"Object {self._label}: propagated through {count}.")
            return
        plane = stack.beside(run.plane, run.directions[0])
        if plane is None:
            self._turn(run, f"{stack.name(run.plane)}: the stack ends.")
            return
        image, origin = stack.annotation.image, run.origin
        if stack.annotation.undo_stack.by_hand(plane, origin.label):
            reason = "the object is there already, made by hand; it is kept."
            self._turn(run, f"{stack.name(plane)}: {reason}")
            return
        job = partial(
            propagate_plane,
            run.session.segmenter,
            full_resolution(image),
            plane,
            run.history[-1]
            if run.history
            else (origin.plane, origin.mask, origin.box[:2]),
            colour=bool(image.rgb),
            threshold=run.session.threshold,
            tidy=self.controller.writing.tidy,
            contrast=chosen_contrast(image),
        )
        self._run = run._replace(plane=plane)
        self.ask(job, self._on_found, self._on_failed)
        self.changed.emit()

    def _turn(self, run: _Run, reason: str) -> None:
        """Go on from where the run began, in the next direction."""
        self.message = f"{self.message}\n{reason}".strip()
        onward = run.directions[1:]
        self._run = run._replace(plane=run.origin.plane, history=(), directions=onward)
        self._step()

    def _on_failed(self, error: Exception) -> None:
        if self.annotation is not None:
            self.annotation.worker.report(error)
        self._finish(f"Stopped by an error after {counted(len(self.found), 'plane')}.")

    def _on_found(
        self, found: tuple[PlaneResult, PlaneResult] | None, _seconds: float
    ) -> None:
        """Go on after a plane, or end there."""
        run = self._run
        if run is None or self.stack is None or found is None:
            return
        before, carried = found
        reason, name = reason_to_stop(carried, before), self.stack.name(run.plane)
        if reason:
            self._turn(run, f"{name}: {reason}.")
            return
        history = run.history or (before,)
        doubt = reason_to_doubt(carried, history)
        carried = replace(carried, doubt=doubt)
        self.found.append((run.plane, replace(carried, pattern=None)))
        if doubt and not self.through_doubt:
            self._turn(run, f"{name} is in doubt: {doubt}. {_LOOK}")
            return
        kept = replace(history[-1], pattern=None)  # of many planes they are large
        self._run = run._replace(history=(*history[:-1], kept, carried))
        self._step()

    def _finish(self, message: str) -> None:
        """Write the planes that were found, and tell the user."""
        run, stack, self._run = self._run, self.stack, None
        if run is None or stack is None:
            return
        annotation = stack.annotation
        stack.held = False
        self.cancel_job()
        self.found.sort(key=_by_steps)
        if self.found and layer_shape(annotation.layers.labels) == run.shape:
            overwrite = self.controller.writing.overwrite
            label = run.origin.label
            edit = annotation.undo_stack.add_propagated(
                label, self.found, overwrite=overwrite
            )
            self._note(edit)
        self.say(message)

    def _interrupt(self) -> bool:
        """End a run; return whether there was one."""
        running = self.running
        self.cancel()
        return running

    def _on_undone(self, edit: ObjectEdit) -> None:
        """Show what was found before the run that was undone as a whole."""
        if edit is self._edit and edit in self._lists:
            self._show(self._lists[edit][0])

    def _on_redone(self, edit: ObjectEdit) -> None:
        """Show again what was found by a run that was undone."""
        if edit in self._lists and not self.running:
            self._show(self._lists[edit][1])


def _by_steps(item: tuple[Plane, PlaneResult]) -> tuple[int, ...]:
    return item[0].steps


_NO_GAP = (
    "Nothing to fill: object {} must be made or corrected by hand on a plane on each "
    "side, with planes between them."
)
_LOOK = "Correct it if it is wrong, and propagate again from there."
