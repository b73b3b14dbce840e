"""Undo and redo of finished objects, on all planes in the order they were changed.

Clicks of the object being clicked have a history of their own, which goes with the
object (see :class:`.CurrentObject`), so that scripts without a window have it too.
Here stand the edits of finished objects (accepted, deleted, propagated), and the order
in which clicks and edits were undone, so that redo goes the same way back.

An edit on a plane that is open belongs to its session, like an object that was clicked
there. An edit on any other plane is told to whoever records the prompts.
"""

from __future__ import annotations

from collections import deque
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, NamedTuple, Protocol
from weakref import ref

import numpy as np

from napari_gpcis.geometry import slices
from napari_gpcis.plugin.labels.multi_plane import take_back, write
from napari_gpcis.session.labels import FinishedObject
from napari_gpcis.session.saved import prompts_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence
    from contextlib import AbstractContextManager
    from weakref import ReferenceType

    from napari_gpcis.geometry import Mask
    from napari_gpcis.plugin.annotation.events import AnnotationEvents
    from napari_gpcis.plugin.labels.writer import LabelsWriter
    from napari_gpcis.plugin.viewer.planes import Plane
    from napari_gpcis.propagation import PlaneResult
    from napari_gpcis.session.current import CurrentObject
    from napari_gpcis.session.labels import LabelChange, WriteMode
    from napari_gpcis.session.saved import SavedSession
    from napari_gpcis.session.session import Session

    Known = Callable[[Plane], "PlaneOfHistory | None"]


MAX_UNDO = 200
"""So many edits are remembered."""


class PlaneOfHistory(Protocol):
    """A plane as the history sees it: what is open there, and how to write below it."""

    @property
    def plane(self) -> Plane:
        """The plane."""

    @property
    def session(self) -> Session | None:
        """Its session, if it is open."""

    @property
    def accepting(self) -> bool:
        """True if an object is to be accepted as soon as its mask is there."""

    def temporarily_removed(self) -> AbstractContextManager[None]:
        """Take the live mask off the labels for a while."""

    def set_aside(self) -> None:
        """Close its session."""

    def reopen(self, session: Session) -> int:
        """Make the object that was accepted last the current one again."""

    @property
    def current(self) -> CurrentObject:
        """The object being clicked."""

    def accept_again(
        self,
        session: Session,
        step: FinishedObject,
        change: LabelChange,
        following: CurrentObject | None,
    ) -> None:
        """Finish the current object as it was finished before."""

    def redo_click(self) -> bool:
        """Repeat a step of the current object's clicks."""


@dataclass(frozen=True, eq=False)
class PlaneEdit:
    """The change of one object on one plane.

    Attributes
    ----------
    plane, label
        Where, and which object.
    change
        The pixels.
    session, step
        The session that has it as a step; ``None`` if none was open.
    left
        The object's pixels in the box of the change, where a run has written them.
    made
        Prompts that give the object, where no session was open.
    """

    plane: Plane
    label: int
    change: LabelChange
    session: ReferenceType[Session] | None = None
    step: FinishedObject | None = None
    left: Mask | None = None
    made: SavedSession | None = None


@dataclass(frozen=True, eq=False)
class ObjectEdit:
    """An edit of finished objects that is undone and redone as a whole.

    Attributes
    ----------
    parts
        The changes, plane by plane.
    undone, redone
        Messages for the user.
    accepted
        Whether it is an object that was accepted: undo makes it the current one again.
    alone
        Whether it can only be undone as long as nothing was accepted after it.
    """

    parts: tuple[PlaneEdit, ...]
    undone: str = ""
    redone: str = ""
    accepted: bool = False
    alone: bool = False

    @property
    def planes(self) -> frozenset[Plane]:
        """All planes concerned."""
        return frozenset(part.plane for part in self.parts)


class _Undone(NamedTuple):
    """A step that was undone.

    Attributes
    ----------
    planes
        All planes concerned.
    edit
        The edit; ``None`` for a step of clicks.
    object
        Whose clicks; for an accepted object the one that was clicked after it.
    """

    planes: frozenset[Plane]
    edit: ObjectEdit | None
    object: CurrentObject | None = None


class UndoStack:
    """The edits of one annotation, with those that were undone.

    Parameters
    ----------
    writer
        The writer of the labels layer.
    events
        Where edits are told, and accepted objects heard of.
    known
        Returns a plane that was visited.

    Attributes
    ----------
    interrupts
        Functions that end work in progress, and return whether there was some: an undo
        ends it instead of taking an edit back.
    """

    def __init__(
        self, writer: LabelsWriter, events: AnnotationEvents, known: Known
    ) -> None:
        self._writer = writer
        self._labels = writer.labels
        self._events = events
        self._known = known
        self.interrupts: list[Callable[[], bool]] = []
        self._done: deque[ObjectEdit] = deque(maxlen=MAX_UNDO)
        self._undone: list[_Undone] = []
        self._gone: deque[FinishedObject] = deque(maxlen=MAX_UNDO)
        events.accepted.connect(self._on_accepted)

    def interrupt(self) -> bool:
        """End work in progress; return whether there was some."""
        return any(end() for end in self.interrupts)

    # New edits --------------------------------------------------------------------

    def add_propagated(
        self, label: int, found: Sequence[tuple[Plane, PlaneResult]], *, overwrite: bool
    ) -> ObjectEdit:
        """Write the masks of an object that was followed, as one undo step.

        They take the place of those that an earlier run has written.

        Parameters
        ----------
        label
            The object's id.
        found
            Planes, and what was found there.
        overwrite
            Whether pixels of other objects are taken as well.
        """
        with self._written(plane for plane, _ in found):
            parts = self._follow(label, found, overwrite=overwrite)
        undone = "All planes of the run are as before."
        redone = f"Object {label} is on all planes of the run again."
        return self._add(ObjectEdit(tuple(parts), undone, redone, alone=True))

    def add_deleted(self, parts: Sequence[PlaneEdit]) -> ObjectEdit:
        """Take note of objects that were deleted together."""
        for part in parts:
            if part.session is None:
                self._events.object_deleted.emit(part.plane, part.label)
        ids = sorted({part.label for part in parts})
        one = len(parts) == 1
        objects = f"Object {ids[0]} is" if one else f"{len(parts)} objects are"
        return self._add(
            ObjectEdit(tuple(parts), f"{objects} back.", f"{objects} deleted again.")
        )

    def forget_undone(self) -> None:
        """Take note of a new edit: what was undone can be redone no more."""
        self._undone.clear()

    def _add(self, edit: ObjectEdit) -> ObjectEdit:
        self.forget_undone()
        self._done.append(edit)
        self._tell(edit)
        return edit

    def _on_accepted(self, plane: PlaneOfHistory, label: int) -> None:
        """Take note of an object that a session has accepted."""
        session = plane.session
        if session is not None and session.last_change is not None:
            step, change = session.steps[-1], session.last_change
            part = PlaneEdit(plane.plane, label, change, ref(session), step)
            redone = _REDONE.get(step.how, "Object {} is done again.").format(label)
            self._done.append(ObjectEdit((part,), "", redone, accepted=True))

    # Propagated objects -----------------------------------------------------------

    def _follow(
        self, label: int, found: Sequence[tuple[Plane, PlaneResult]], *, overwrite: bool
    ) -> list[PlaneEdit]:
        """Write the masks of an object that was followed, and make them steps."""
        masks = [(plane, one.box, one.mask) for plane, one in found]
        again = {plane for plane, _ in found if self._from_run(plane, label)}
        changes = write(self._labels, masks, label, overwrite=overwrite, instead=again)
        return [
            self._note(
                PlaneEdit(plane, label, change, left=self._left(plane, label, change)),
                one,
                "replace" if plane in again else "add",
                overwrite=overwrite,
            )
            for (plane, one), change in zip(found, changes, strict=True)
            if change.where.any()
        ]

    @contextmanager
    def _written(self, planes: Iterable[Plane]) -> Iterator[None]:
        """Make one undo step of the layer, below what is being clicked on planes."""
        self._writer.end_step()
        with ExitStack() as running:
            for plane in dict.fromkeys(planes):
                known = self._known(plane)
                if known is not None:
                    running.enter_context(known.temporarily_removed())
            yield
        self._writer.end_step()

    def by_hand(self, plane: Plane, label: int) -> bool:
        """Return whether an object has pixels on a plane that no run has written."""
        there = bool((plane.take(self._labels.data) == label).any())
        return there and not self._from_run(plane, label)

    def _from_run(self, plane: Plane, label: int) -> bool:
        """Return whether an object is on a plane exactly as the last run left it."""
        for edit in reversed(self._done):
            for part in edit.parts if edit.alone else ():
                if part.plane == plane and part.label == label:
                    return self._untouched(part)
        return False

    def _untouched(self, part: PlaneEdit) -> bool:
        """Return whether nobody has changed an object since a run wrote it."""
        session = None if part.session is None else part.session()
        if session is not None:
            steps = [step for step in session.steps if step.id == part.label]
            if not steps or steps[-1] is not part.step:
                return False
        now = part.plane.take(self._labels.data) == part.label
        left = part.left
        return (
            left is not None
            and np.array_equal(now[slices(part.change.box)], left)
            and np.count_nonzero(now) == np.count_nonzero(left)
        )

    def _left(self, plane: Plane, label: int, change: LabelChange) -> Mask:
        """Return the object's pixels in the box of a change."""
        return np.asarray(plane.take(self._labels.data)[slices(change.box)] == label)

    def _note(
        self, part: PlaneEdit, one: PlaneResult, how: WriteMode, *, overwrite: bool
    ) -> PlaneEdit:
        """Make what was found on a plane a step of its session, or tell of it."""
        if one.saved is None:
            return part
        session = self._session_like(part.plane, one.saved)
        if session is None:
            made = one.accepted(part.label, overwrite=overwrite)
            made = replace(made, objects=(replace(made.objects[0], how=how),))
            self._events.step_made.emit(part.plane, made)
            return replace(part, made=made)
        saved = one.saved.current
        prompts = prompts_of(saved, one.saved.shape)
        step = FinishedObject(
            part.label,
            prompts.clicks,
            prompts.view,
            saved.threshold,
            overwrite,
            one.mask.shape,
            how,
            prompts.start,
        )
        session.note(step, part.change)
        return replace(part, session=ref(session), step=step)

    def _session_like(self, plane: Plane, saved: SavedSession) -> Session | None:
        """Return the plane's session; one of another model or contrast is closed."""
        known = self._known(plane)
        if known is None or known.session is None:
            return None
        open_now = known.session.saved()
        if replace(open_now, objects=(), current=saved.current) == saved:
            return known.session
        known.set_aside()
        return None

    # Undo -------------------------------------------------------------------------

    def undo(self, current: PlaneOfHistory) -> str:
        """Take back the last edit that can be, on whatever planes it was done.

        An object that was accepted is taken back on its own plane only, while that
        plane's session lasts. An edit is passed over if a later one that stays was done
        on one of its planes, a run also if anything stays that was done later.

        Parameters
        ----------
        current
            The displayed plane.

        Returns
        -------
        str
            What to tell the user; empty if there is nothing to take back.
        """
        later: set[Plane] = set()
        for edit in reversed(self._done):
            if edit.accepted:
                if self._session_here(edit, current) is not None:
                    return self._reopen(edit, current)
            elif not (later if edit.alone else later & edit.planes):
                return self._take_back(edit)
            later |= edit.planes
        return self._take_back_unknown(current)

    def _session_here(
        self, edit: ObjectEdit, current: PlaneOfHistory
    ) -> Session | None:
        """Return the session of an accepted object, if it is that of this plane."""
        part = edit.parts[0]
        session = None if part.session is None else part.session()
        return session if session is current.session else None

    def _reopen(self, edit: ObjectEdit, current: PlaneOfHistory) -> str:
        """Make an accepted object the current one again."""
        session, part = self._session_here(edit, current), edit.parts[0]
        if session is None or session.steps[-1] is not part.step:
            return self._take_back_unknown(current)
        self._done.remove(edit)
        following = current.current
        label = current.reopen(session)
        self._undone.append(_Undone(edit.planes, edit, following))
        self._events.objects_changed.emit()
        return f"Object {label} goes on."

    def _take_back_unknown(self, current: PlaneOfHistory) -> str:
        """Take back the last step of a session that is not among the edits any more."""
        session = current.session
        if session is None or session.last_change is None:
            return ""
        step, change = session.steps[-1], session.last_change
        self._gone.append(step)
        self.forget_undone()
        if step.how == "delete":
            session.withdraw()
            self._writer.restore(current.plane, change)
        else:
            current.reopen(session)
        self._events.objects_changed.emit()
        back = "is back" if step.how == "delete" else "goes on"
        return f"Object {step.id} {back}."

    def _take_back(self, edit: ObjectEdit) -> str:
        """Take back an edit whose objects do not become the current one."""
        self._done.remove(edit)
        undone = [part for part in reversed(edit.parts) if self._withdraw(part)]
        with self._written(part.plane for part in undone):
            take_back(self._labels, [(part.plane, part.change) for part in undone])
        if len(undone) == len(edit.parts):
            self._undone.append(_Undone(edit.planes, edit))
        else:
            self.forget_undone()
        self._tell(edit)
        self._events.edit_undone.emit(edit)
        return edit.undone

    def _withdraw(self, part: PlaneEdit) -> bool:
        """Take a step out of its session or the record; ``False`` if it is gone."""
        if any(step is part.step for step in self._gone):
            return False
        session = self._open_session(part)
        if session is None:
            self._events.step_withdrawn.emit(part.plane, part.label)
            return True
        if not session.steps or session.steps[-1] is not part.step:
            return False
        session.withdraw()
        return True

    def _open_session(self, part: PlaneEdit) -> Session | None:
        """Return the session that has a step, if it is still that of the plane."""
        session = None if part.session is None else part.session()
        known = self._known(part.plane)
        here = known is not None and known.session is session
        return session if here else None

    # Redo -------------------------------------------------------------------------

    def note_undone_click(self, plane: PlaneOfHistory) -> None:
        """Take note that a step of the current object's clicks was undone."""
        self._undone.append(_Undone(frozenset({plane.plane}), None, plane.current))

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
        if current.accepting:
            return "" if current.redo_click() else None
        later: set[Plane] = set()
        for step in reversed(self._undone):
            words = self._redo_step(step, current, later)
            if words is not None:
                self._undone.remove(step)
                return words
            if current.plane in step.planes:
                return None
            later |= step.planes
        return "" if current.redo_click() else None

    def _redo_step(
        self, step: _Undone, current: PlaneOfHistory, later: set[Plane]
    ) -> str | None:
        """Repeat one step; ``None`` if that is not possible."""
        edit = step.edit
        if edit is None:
            here = step.object is current.current
            return "" if here and current.redo_click() else None
        if edit.accepted:
            done = self._accept_again(edit, current, step.object)
        else:
            done = not (later if edit.alone else later & edit.planes)
            if done:
                self._repeat(edit)
        if not done:
            return None
        self._events.objects_changed.emit()
        self._events.edit_redone.emit(edit)
        return edit.redone

    def _accept_again(
        self, edit: ObjectEdit, current: PlaneOfHistory, following: CurrentObject | None
    ) -> bool:
        """Accept an object again, if its clicks are those with which it was."""
        part, session = edit.parts[0], self._session_here(edit, current)
        if session is None or part.step is None:
            return False
        step, now = part.step, session.current.prompts
        if (now.clicks, now.start) != (step.clicks, step.start):
            return False
        current.accept_again(session, step, part.change, following)
        return True

    def _repeat(self, edit: ObjectEdit) -> None:
        """Write the pixels of an edit again, and make it steps again."""
        with self._written(edit.planes):
            changes = [(part.plane, part.change.reversed) for part in edit.parts]
            take_back(self._labels, changes)
        for part in edit.parts:
            session = self._open_session(part)
            if session is not None and part.step is not None:
                session.note(part.step, part.change)
            elif part.made is not None:
                self._events.step_made.emit(part.plane, part.made)
            else:
                self._events.object_deleted.emit(part.plane, part.label)
        self._done.append(edit)
        self._events.planes_written.emit(edit.planes)

    def _tell(self, edit: ObjectEdit) -> None:
        """Tell that finished objects are not what they were."""
        self._events.planes_written.emit(edit.planes)
        self._events.objects_changed.emit()


_REDONE = {
    "cut": "Subtracted from object {} again.",
    "replace": "Object {} is corrected again.",
}
