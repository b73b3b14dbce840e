"""Undo and redo of finished objects, on all planes in the order they were changed.

Clicks of the object being clicked have a history of their own, which goes with the
object (see :class:`.CurrentObject`), so that scripts without a window have it too.
Here stand the edits of finished objects (accepted, deleted, propagated), and the order
in which clicks and edits were undone, so that redo goes the same way back.
"""

from __future__ import annotations

from collections import deque
from dataclasses import replace
from typing import TYPE_CHECKING, Any
from weakref import ref

import numpy as np

from napari_gpcis.geometry import EMPTY
from napari_gpcis.plugin.annotation.undo.edits import (
    ObjectEdit,
    PlaneEdit,
    StrokeEdit,
    UndoneStep,
    deleted,
    edit_of,
    outlived,
)
from napari_gpcis.plugin.annotation.undo.stroke_writer import StrokeWriter
from napari_gpcis.plugin.labels.strokes import Stroke
from napari_gpcis.session.labels import FinishedObject, LabelChange, digest_of
from napari_gpcis.session.regrouping import merge_steps, split_steps
from napari_gpcis.wording import counted, counted_are

if TYPE_CHECKING:
    from collections.abc import (
        Callable,
        Collection,
        Iterable,
        Iterator,
        Mapping,
        Sequence,
    )

    from napari_gpcis.clicks import Click
    from napari_gpcis.geometry import Box, Mask
    from napari_gpcis.plugin.annotation.notes import ObjectNotes
    from napari_gpcis.plugin.annotation.undo.edit_writer import EditWriter
    from napari_gpcis.plugin.annotation.undo.edits import PlaneOfHistory
    from napari_gpcis.plugin.labels.hand_edits import HandEdits
    from napari_gpcis.plugin.viewer.planes import Plane
    from napari_gpcis.propagation import PlaneResult
    from napari_gpcis.session.current import CurrentObject
    from napari_gpcis.session.session import Session
    from napari_gpcis.similar import Candidate


MAX_UNDO = 200
"""So many edits are remembered."""


class UndoStack:
    """The edits of one annotation, with those that were undone.

    Parameters
    ----------
    edit_writer
        Writes edits to the labels and sessions of the annotation. Its events tell of
        edits as well, and of accepted objects.
    notes
        Notes of how the objects came.
    displayed
        Returns the displayed plane, on which edits are made.

    Attributes
    ----------
    interrupts
        Functions that end work in progress, and return whether there was some: an undo
        ends it instead of taking an edit back.
    goes_on
        Whether there were edits of an earlier annotation of the labels.
    """

    def __init__(
        self,
        edit_writer: EditWriter,
        notes: ObjectNotes,
        displayed: Callable[[], PlaneOfHistory | None],
    ) -> None:
        self._edit_writer = edit_writer
        self._stroke_writer = StrokeWriter(edit_writer)
        self._writer = edit_writer.labels_writer
        self._labels = self._writer.labels
        self._events = edit_writer.events
        self._planes = edit_writer.planes
        self._notes = notes
        self._displayed = displayed
        self.interrupts: list[Callable[[], bool]] = []
        self.goes_on = False
        self._done: deque[ObjectEdit | StrokeEdit] = deque(maxlen=MAX_UNDO)
        self._undone: list[UndoneStep] = []
        self._events.accepted.connect(self._on_accepted)

    def interrupt(self) -> bool:
        """End work in progress; return whether there was some."""
        return any(end() for end in self.interrupts)

    @property
    def outlived(self) -> tuple[ObjectEdit | StrokeEdit, ...]:
        """The edits in order, as they are once this annotation has ended."""
        return tuple(outlived(self._done))

    def go_on_from(self, edits: Iterable[ObjectEdit | StrokeEdit]) -> None:
        """Take over the edits of an earlier annotation of the same labels."""
        self._done.extend(edits)
        self.goes_on = bool(self._done)

    # New edits --------------------------------------------------------------------

    def add_propagated(
        self,
        label: int,
        found: Sequence[tuple[Plane, PlaneResult]],
        *,
        overwrite: bool,
        interpolated: bool = False,
    ) -> ObjectEdit:
        """Write the masks of an object on several planes, as one undo step.

        They take the place of those that an earlier run has written.

        Parameters
        ----------
        label
            The object's id.
        found
            Planes, and what was found there.
        overwrite
            Whether pixels of other objects are taken as well.
        interpolated
            Whether the object was filled in between planes, and not propagated.
        """
        self._writer.share(label)
        with self._edit_writer.written(plane for plane, _ in found):
            again = {plane for plane, _ in found if self._from_run(plane, label)}
            parts = self._edit_writer.propagate(
                label, found, again, overwrite=overwrite
            )
        words = INTERPOLATED if interpolated else PROPAGATED
        undone, redone = (
            text.format(label, counted(len(found), "plane")) for text in words
        )
        return self._add(ObjectEdit(tuple(parts), undone, redone, alone=True))

    def add_similar(
        self, current: PlaneOfHistory, candidates: Sequence[Candidate]
    ) -> ObjectEdit | None:
        """Write candidates as new objects of the displayed plane, as one undo step.

        Parameters
        ----------
        current
            The plane, whose session is open.
        candidates
            What a search has found there.

        Returns
        -------
        ObjectEdit or None
            ``None`` if they have no free pixel.
        """
        session, plane = current.session, current.plane
        if session is None:
            return None
        parts = self._edit_writer.accept_candidates(session, plane, candidates)
        if not parts:
            return None
        objects = counted_are(len(parts), "object")
        undone = f"{objects} not accepted any more."
        redone = f"{objects} accepted again."
        return self._add(ObjectEdit(tuple(parts), undone, redone))

    def add_note(self, undone: str, redone: str) -> ObjectEdit:
        """Take note of an edit that changes no pixel, as when a candidate is rejected.

        Parameters
        ----------
        undone, redone
            Messages for the user; who has made the edit hears of both by the events.
        """
        return self._add(ObjectEdit((), undone, redone))

    def add_split(
        self,
        current: PlaneOfHistory,
        box: Box,
        kept: tuple[int, Mask, Click],
        other: tuple[Mask, Click],
    ) -> int:
        """Give a part of an object of the displayed plane a new id, as one undo step.

        Parameters
        ----------
        current
            The plane, whose session is open; nothing is being clicked there.
        box
            Box of the object.
        kept, other
            See `split_steps`.

        Returns
        -------
        int
            The new id.
        """
        new, label = self._writer.new_label(current.plane), kept[0]
        shape = current.plane.shape(self._labels.data.shape)
        steps = split_steps(shape, box, kept, (new, *other))
        with self._edit_writer.written([current.plane]):
            parts = self._edit_writer.regroup(current.plane, steps)
        undone, redone = f"Object {label} is whole again.", f"Object {label} is split."
        self._add(ObjectEdit(tuple(parts), undone, redone, chained=True))
        return new

    def add_merged(
        self, label: int, objects: Mapping[Plane, Collection[int]]
    ) -> ObjectEdit | None:
        """Give objects of some planes one id, as one undo step.

        Parameters
        ----------
        label
            The id.
        objects
            Ids of the objects, plane by plane.

        Returns
        -------
        ObjectEdit or None
            ``None`` if they have the id already, or are not there.
        """
        parts: list[PlaneEdit] = []
        self._writer.share(label)
        with self._edit_writer.written(objects):
            for plane, labels in objects.items():
                masks = self._writer.masks(plane, [*{*labels, label}])
                shape = plane.shape(self._labels.data.shape)
                parts += self._edit_writer.regroup(
                    plane, merge_steps(shape, label, masks)
                )
        if not parts:
            return None
        undone = "The merged objects are apart again."
        redone = f"Object {label} is merged again."
        return self._add(ObjectEdit(tuple(parts), undone, redone, chained=True))

    def add_deleted(self, parts: Sequence[PlaneEdit]) -> ObjectEdit:
        """Take note of objects that were deleted together."""
        for part in parts:
            if part.session is None:
                self._events.object_deleted.emit(part.plane, part.label)
        return self._add(deleted(tuple(parts)))

    def add_left_out(self, plane: Plane, left_out: CurrentObject) -> None:
        """Take note of an object that was to be accepted and could not."""
        nothing = LabelChange(EMPTY, np.zeros((0, 0), bool), np.zeros(()), np.zeros(()))
        edit = ObjectEdit(
            (PlaneEdit(plane, 0, nothing),),
            redone="The object is left out again.",
            accepted=True,
            left_out=left_out,
        )
        self._done.append(edit)

    def add_stroke(self, item: Any, current: PlaneOfHistory | None) -> None:
        """Take note of pixels that were drawn by hand; no other such can be redone.

        Parameters
        ----------
        item
            The pixels, as the layer's history tells them.
        current
            The displayed plane.
        """
        if self._edit_writer.writing:
            return
        self._forget_strokes()
        edit = StrokeEdit.of(Stroke.of(self._labels, item), current)
        self._done.append(edit)
        self._events.drawn_by_others.emit(edit.drawn_planes(current))

    def add_hand_edits(self, current: PlaneOfHistory, before: HandEdits) -> None:
        """Take note of other edits by hand of the current object, see `add_stroke`.

        Parameters
        ----------
        current
            The displayed plane, which has them already.
        before
            The edits before.
        """
        self._forget_strokes()
        self._done.append(
            StrokeEdit.redrawing(Stroke(self._labels, ()), current, before)
        )

    def add_redrawn(
        self,
        current: PlaneOfHistory,
        step: FinishedObject,
        change: LabelChange,
    ) -> ObjectEdit | None:
        """Change pixels of a finished object by hand, as one undo step.

        Parameters
        ----------
        current
            The displayed plane.
        step
            What the object is then.
        change
            The pixels.

        Returns
        -------
        ObjectEdit or None
            ``None`` if the plane is not open.
        """
        session, plane = current.session, current.plane
        if session is None:
            return None
        part = self._edit_writer.redraw(session, plane, step, change)
        undone, redone = (
            f"Object {step.id} is as it was before.",
            f"Object {step.id} is changed again.",
        )
        return self._add(ObjectEdit((part,), undone, redone))

    def _forget_strokes(self) -> None:
        """Take note that no stroke can be redone any more."""
        self._undone = [
            step for step in self._undone if not isinstance(step.edit, StrokeEdit)
        ]

    def forget_undone(self) -> None:
        """Take note of a new edit: what was undone can be redone no more."""
        self._undone.clear()

    def _add(self, edit: ObjectEdit) -> ObjectEdit:
        self.forget_undone()
        self._append(edit)
        self._tell(edit)
        return edit

    def _append(self, edit: ObjectEdit) -> None:
        """Take note of an edit, and of the clicks that there were before it.

        It was done on the displayed plane, on whatever planes its objects are.
        """
        self._done.append(edit)
        concerned = [self._planes.get(plane) for plane in edit.planes or self._planes]
        for known in (*concerned, self._displayed()):
            if known is not None:
                edit.steps[known.current] = known.current.steps

    def _on_accepted(self, plane: PlaneOfHistory, label: int) -> None:
        """Take note of an object that a session has accepted."""
        session = plane.session
        if session is not None and session.last_change is not None:
            step, change = session.steps[-1], session.last_change
            part = PlaneEdit(plane.plane, label, change, ref(session), step)
            self._done.append(edit_of((part,), plane.finished))

    # Propagated objects -----------------------------------------------------------

    def by_hand(self, plane: Plane, label: int) -> bool:
        """Return whether an object has pixels on a plane that no run has written."""
        there = bool((plane.take(self._labels.data) == label).any())
        return there and not self._from_run(plane, label)

    def _from_run(self, plane: Plane, label: int) -> bool:
        """Return whether an object is on a plane exactly as the last run left it.

        The run may have been before the work was saved, or before a stop.
        """
        note = self._notes.of(plane).get(label)
        if note is None or note.digest is None:
            return False
        return note.digest == digest_of(plane.take(self._labels.data), label)

    # Undo -------------------------------------------------------------------------

    def last_is_newer(self, current: PlaneOfHistory) -> bool:
        """Return whether what `undo` takes back was done after the last click.

        Parameters
        ----------
        current
            The displayed plane.
        """
        edit, _ = self._to_take_back(current)
        return edit is not None and edit.is_newer(current.current)

    def accepted_elsewhere(self, current: PlaneOfHistory) -> str | None:
        """Return the plane on which the last object was accepted, if it is another.

        Parameters
        ----------
        current
            The displayed plane.

        Returns
        -------
        str or None
            The plane's place in the stack; ``None`` if nothing was accepted elsewhere
            that can be taken back there.
        """
        for edit in self._edits():
            (plane, *others) = edit.planes or [current.plane]
            known = self._planes.get(plane)
            here = known is not None and self._is_last_here(edit, known)
            if others or not (edit.ended or (edit.accepted and here)):
                continue
            return _place(plane, current.plane)
        return None

    def undone_elsewhere(self, current: PlaneOfHistory) -> str | None:
        """Return the plane on which something was undone last, if it is another.

        Parameters
        ----------
        current
            The displayed plane.
        """
        for step in reversed(self._undone):
            (plane, *others) = step.planes or [current.plane]
            return None if others else _place(plane, current.plane)
        return None

    def undo(self, current: PlaneOfHistory) -> str:
        """Take back the last edit that can be, on whatever planes it was done.

        An object that was accepted is taken back on its own plane only, while that
        plane's session lasts. An edit is passed over if a later one that stays was done
        on one of its planes. A run is passed over if anything stays that was done
        later, and never taken back on one of its planes alone.

        Parameters
        ----------
        current
            The displayed plane.

        Returns
        -------
        str
            What to tell the user; empty if there is nothing to take back.
        """
        edit, later = self._to_take_back(current)
        if edit is None:
            return self._take_back_forgotten(current)
        if edit.accepted:
            return self._reopen(edit, current)
        if not later & edit.planes:
            return self._take_back(edit)
        return self._take_back_here(self._split(edit, current), current)

    def _to_take_back(
        self, current: PlaneOfHistory
    ) -> tuple[ObjectEdit | None, set[Plane]]:
        """Return the last edit that can be taken back here, see `undo`.

        Parameters
        ----------
        current
            The displayed plane.

        Returns
        -------
        edit : ObjectEdit or None
            The edit.
        later : set of Plane
            The planes of later edits, which stay.
        """
        later: set[Plane] = set()
        for edit in self._edits():
            if edit.accepted:
                possible = self._is_last_here(edit, current)
            elif edit.ended and current.plane not in edit.planes:
                possible = False  # it is taken back there
            elif edit.alone:
                possible = not later
            else:
                possible = not later & edit.planes
                possible |= self._can_split(edit, current, later)
            if possible:
                return edit, later
            later |= edit.planes
        return None, later

    def _take_back_here(self, edit: ObjectEdit, current: PlaneOfHistory) -> str:
        """Take back an edit of this plane alone."""
        return self._reopen(edit, current) if edit.accepted else self._take_back(edit)

    def _can_split(
        self, edit: ObjectEdit, current: PlaneOfHistory, later: set[Plane]
    ) -> bool:
        """Return whether what an edit has done on this plane can be taken back alone.

        Parameters
        ----------
        edit
            An edit that cannot be taken back as a whole: other planes were worked on
            since.
        current
            The displayed plane.
        later
            The planes that were worked on.
        """
        if current.plane not in edit.planes - later:
            return False
        here = [part.step for part in edit.parts if part.plane == current.plane]
        steps = () if current.session is None else current.session.steps
        return bool(steps) and steps[-1] is here[-1]

    def _split(self, edit: ObjectEdit, current: PlaneOfHistory) -> ObjectEdit:
        """Make what an edit has done on this plane an edit of its own."""
        here = tuple(part for part in edit.parts if part.plane == current.plane)
        rest = tuple(part for part in edit.parts if part.plane != current.plane)
        self._done[self._done.index(edit)] = replace(edit, parts=rest)
        return replace(edit, parts=here) if edit.chained else edit_of(here)

    def take_back_stroke(self, current: PlaneOfHistory | None) -> bool:
        """Take back what was drawn by hand, if that was done last.

        Parameters
        ----------
        current
            The displayed plane.

        Returns
        -------
        bool
            ``False`` if something else was done last, or nothing was drawn here.
        """
        edit = self._last_stroke(current)
        if edit is None:
            return False
        again = self._stroke_writer.take_back(edit, current)
        if again is None:
            return False
        self._done.remove(edit)
        self._undone.append(UndoneStep(edit.planes, again))
        self._events.objects_changed.emit(edit.drawn_planes(current))
        return True

    def last_is_by_hand(self, current: PlaneOfHistory) -> bool:
        """Return whether a stroke on the current object was done last."""
        edit = self._last_stroke(current)
        return edit is not None and edit.belongs_to(current)

    def _last_stroke(self, current: PlaneOfHistory | None) -> StrokeEdit | None:
        """Return the last stroke of a plane, if nothing was done there since."""
        here = frozenset() if current is None else frozenset({current.plane})
        for edit in reversed(self._done):
            if isinstance(edit, ObjectEdit):
                if edit.planes & here:
                    return None
            elif edit.planes <= here:
                older = current is not None and edit.is_older(current)
                return None if older else edit
        return None

    def _edits(self) -> Iterator[ObjectEdit]:
        """Yield the edits of finished objects, the last first."""
        return (edit for edit in reversed(self._done) if isinstance(edit, ObjectEdit))

    def _is_last_here(self, edit: ObjectEdit, current: PlaneOfHistory) -> bool:
        """Return whether an accepted object, opened again, uncovers no later step.

        Later steps of the session stay if their edits are passed over. Those that are
        no edits any more are taken back in its place, see `_take_back_forgotten`.
        """
        if edit.left_out is not None:
            return current.plane in edit.planes
        session = self._session_here(edit, current)
        if session is None:
            return False
        last = session.steps[-1] if session.steps else None
        return last is edit.parts[0].step or self._is_forgotten(last)

    def _is_forgotten(self, step: FinishedObject | None) -> bool:
        """Return whether a step of a session belongs to no edit any more.

        What a run has made is taken back with the run, or not at all.
        """
        return not (
            step is None
            or step.made_by is not None
            or any(part.step is step for edit in self._edits() for part in edit.parts)
        )

    def _session_here(
        self, edit: ObjectEdit, current: PlaneOfHistory
    ) -> Session | None:
        """Return the session of an accepted object, if it is that of this plane."""
        part = edit.parts[0]
        session = None if part.session is None else part.session()
        return session if session is current.session else None

    def _reopen(self, edit: ObjectEdit, current: PlaneOfHistory) -> str:
        """Make an accepted object the current one again."""
        following = current.current
        undone = UndoneStep(edit.planes, edit, following=following)
        if edit.left_out is not None:
            self._done.remove(edit)
            current.go_on_with(edit.left_out)
            self._undone.append(undone)
            self._events.edit_undone.emit(edit)
            return "The object that was left out goes on."
        session, part = self._session_here(edit, current), edit.parts[0]
        if session is None or session.steps[-1] is not part.step:
            return self._take_back_forgotten(current)
        self._writer.flush()
        self._drop(edit)
        undone = undone._replace(changes=self._edit_writer.standing([part]))
        label = current.reopen(session, edit.finished)
        self._undone.append(undone)
        self._events.objects_changed.emit(edit.planes)
        self._events.edit_undone.emit(edit)
        return f"Object {label} goes on."

    def _take_back_forgotten(self, current: PlaneOfHistory) -> str:
        """Take back the last step of a session, if it is no edit any more."""
        session = current.session
        if session is None or session.last_change is None:
            return ""
        step, change = session.steps[-1], session.last_change
        if not self._is_forgotten(step):
            return ""
        part = PlaneEdit(current.plane, step.id, change, ref(session), step)
        return self._take_back_here(edit_of((part,)), current)

    def _drop(self, edit: ObjectEdit) -> None:
        """Take an edit from those that were done, unless it was never among them."""
        if edit in self._done:
            self._done.remove(edit)

    def _take_back(self, edit: ObjectEdit) -> str:
        """Take back an edit whose objects do not become the current one."""
        self._drop(edit)
        changes, whole = self._edit_writer.take_back(edit)
        if whole:
            self._undone.append(UndoneStep(edit.planes, edit, changes=changes))
        else:
            self.forget_undone()
        self._tell(edit)
        self._events.edit_undone.emit(edit)
        return edit.undone

    # Redo -------------------------------------------------------------------------

    def note_undone_click(self, plane: PlaneOfHistory) -> None:
        """Take note that a step of the current object's clicks was undone."""
        self._undone.append(UndoneStep(frozenset({plane.plane}), object=plane.current))

    def note_redone_click(self, plane: PlaneOfHistory) -> None:
        """Take note that a script has redone a step of the current object's clicks."""
        if self._undone:
            last = self._undone[-1]
            clicks = last.edit is None and last.following is None
            if clicks and last.object is plane.current:
                self._undone.pop()

    def note_withdrawn(self, plane: PlaneOfHistory, following: CurrentObject) -> None:
        """Take note that an accept was undone before its mask was there.

        Parameters
        ----------
        plane
            The plane; its current object is the one that was to be accepted.
        following
            The object that was current before.
        """
        planes = frozenset({plane.plane})
        undone = UndoneStep(planes, object=plane.current, following=following)
        self._undone.append(undone)

    def redo(self, current: PlaneOfHistory) -> str | None:
        """Repeat what was undone last, if it can be on this plane.

        Clicks and accepted objects are repeated on their own plane only. An edit is
        passed over if a later one that stays undone was done on one of its planes.

        Parameters
        ----------
        current
            The displayed plane.

        Returns
        -------
        str or None
            What to tell the user; ``None`` if nothing can be repeated.
        """
        later: set[Plane] = set()
        for step in reversed(self._undone):
            words = self._redo_step(step, current, later)
            if words is not None:
                self._undone = [one for one in self._undone if one is not step]
                return words
            if current.plane in step.planes:
                return None
            later |= step.planes
        return "" if current.redo_click() else None

    def _redo_step(
        self, step: UndoneStep, current: PlaneOfHistory, later: set[Plane]
    ) -> str | None:
        """Repeat one step; ``None`` if that is not possible."""
        edit = step.edit
        if edit is None:
            if step.object is not current.current:
                return None
            following = step.following
            if following is None:
                return "" if current.redo_click() else None
            return "" if current.wait_again(following) else None
        if isinstance(edit, StrokeEdit):
            return self._redo_stroke(edit, current)
        if edit.accepted:
            done = self._accept_again(edit, current, step)
        else:
            done = not (later if edit.alone else later & edit.planes)
            done &= not edit.ended or current.plane in edit.planes
            if done:
                self._edit_writer.repeat(edit, step.changes)
                self._append(edit)
                self._events.planes_written.emit(edit.planes)
        if not done:
            return None
        self._events.objects_changed.emit(edit.planes)
        self._events.edit_redone.emit(edit)
        return edit.redone

    def _redo_stroke(self, edit: StrokeEdit, current: PlaneOfHistory) -> str | None:
        """Repeat a stroke; ``None`` if that is not possible."""
        if not edit.planes <= {current.plane}:
            return None
        done = self._stroke_writer.repeat(edit, current)
        if done is None:
            return None
        self._done.append(done)
        self._events.objects_changed.emit(edit.drawn_planes(current))
        return _DRAWN_AGAIN

    def _accept_again(
        self, edit: ObjectEdit, current: PlaneOfHistory, undone: UndoneStep
    ) -> bool:
        """Accept an object again, if its clicks are those with which it was."""
        if edit.left_out is not None:
            if edit.left_out is not current.current or undone.following is None:
                return False
            current.go_on_with(undone.following)
            self._done.append(edit)
            return True
        part, session = edit.parts[0], self._session_here(edit, current)
        if session is None or part.step is None:
            return False
        step, now = part.step, session.current.prompts
        if (now.clicks, now.start) != (step.clicks, step.start):
            return False
        session.note(step, part.change)
        current.accept_again(step.id, undone.changes[0], undone.following)
        return True

    def _tell(self, edit: ObjectEdit) -> None:
        """Tell that finished objects are not what they were."""
        self._events.planes_written.emit(edit.planes)
        self._events.objects_changed.emit(edit.planes)


def _place(plane: Plane, displayed: Plane) -> str | None:
    """Return where a plane is in the stack; ``None`` for the displayed plane.

    ``None`` as well for planes that no slider shows as long as the axes are these.
    """
    if plane == displayed or plane.axes != displayed.axes:
        return None
    steps = [step for axis, step in enumerate(plane.steps) if axis not in plane.axes]
    return ", ".join(map(str, steps))


PROPAGATED = (
    "Propagating object {} to {} was undone: they are as before.",
    "Object {} is propagated to {} again.",
)
INTERPOLATED = (
    "Filling object {} on {} was undone: they are as before.",
    "Object {} is filled in on {} again.",
)
"""What is said when a run, or what was filled in, is undone and redone."""
_DRAWN_AGAIN = "The change of the mask is there again."
