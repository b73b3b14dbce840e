"""Edits of finished objects and of pixels drawn by hand, and steps that were undone."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, NamedTuple, Protocol
from weakref import WeakKeyDictionary

from napari_gpcis.session.saved import SavedObject, saved_object

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from weakref import ReferenceType

    from napari_gpcis.plugin.annotation.drawn_object import DrawnObject
    from napari_gpcis.plugin.annotation.object_queue import ObjectQueue
    from napari_gpcis.plugin.labels.hand_edits import HandEdits
    from napari_gpcis.plugin.labels.strokes import Stroke
    from napari_gpcis.plugin.viewer.planes import Plane
    from napari_gpcis.session.current import CurrentObject
    from napari_gpcis.session.labels import FinishedObject, LabelChange, WriteMode
    from napari_gpcis.session.saved import SavedSession
    from napari_gpcis.session.session import Session


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

    @property
    def drawn(self) -> DrawnObject:
        """The object whose mask is drawn, as the labels layer shows it."""

    @property
    def objects(self) -> ObjectQueue:
        """The objects being clicked."""

    def set_aside(self) -> None:
        """Close its session."""

    def reopen(self, session: Session, finished: CurrentObject | None) -> int:
        """Make the object that was accepted last the current one again."""

    @property
    def finished(self) -> CurrentObject | None:
        """The object that was accepted last, with the steps of its clicks."""

    @property
    def current(self) -> CurrentObject:
        """The object being clicked."""

    def draw_with_hand_edits(self, edits: HandEdits) -> None:
        """Draw the mask anew with other edits by hand."""

    def accept_again(
        self, label: int, change: LabelChange, following: CurrentObject | None
    ) -> None:
        """Finish the current object as it was finished before."""

    def wait_again(self, following: CurrentObject) -> bool:
        """Accept the current object, whose mask was not there when it was accepted."""

    def go_on_with(self, current: CurrentObject) -> None:
        """Make an object the current one."""

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
    made
        Prompts that give the object, where no session was open.
    """

    plane: Plane
    label: int
    change: LabelChange
    session: ReferenceType[Session] | None = None
    step: FinishedObject | None = None
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
    left_out
        An object that was to be accepted and could not: undo makes it the current one
        again, and nothing else is changed.
    finished
        The object that was accepted, with the steps of its clicks, if they are known.
    chained
        Whether changes on a plane build on those before them: what was done there is
        taken back as a whole.
    ended
        Whether it is an object that was accepted in a session that has ended: it is
        taken back on its plane as a whole, and its clicks do not go on.
    steps
        The objects that were current on its planes and on the displayed one, and how
        many steps of their clicks could be undone then: those that came later are
        undone first.
    """

    parts: tuple[PlaneEdit, ...]
    undone: str = ""
    redone: str = ""
    accepted: bool = False
    alone: bool = False
    left_out: CurrentObject | None = None
    finished: CurrentObject | None = None
    chained: bool = False
    ended: bool = False
    steps: WeakKeyDictionary[CurrentObject, int] = field(
        default_factory=WeakKeyDictionary
    )

    @property
    def planes(self) -> frozenset[Plane]:
        """All planes concerned."""
        return frozenset(part.plane for part in self.parts)

    def is_newer(self, current: CurrentObject) -> bool:
        """Return whether no step of an object's clicks was made after the edit."""
        steps = self.steps.get(current)
        return steps is not None and current.steps <= steps


@dataclass(frozen=True, eq=False)
class StrokeEdit:
    """Pixels that were drawn by hand, and what had been clicked by then.

    Attributes
    ----------
    stroke
        The pixels.
    planes
        The displayed plane; none if the image had none.
    object, steps
        The object that was current, and how many steps of its clicks could be undone.
    clicks
        Number of clicks of all objects that were not finished.
    label
        Id of the live mask, if no other object had it; else 0.
    by_hand
        Edits by hand of the object before and after, if the stroke is part of them.
    redrawn
        Whether the mask is drawn anew with these: the stroke itself has no pixels.
    written
        Label and write mode of the live mask that the stroke has pixels of; ``None``
        if it has pixels of none.
    """

    stroke: Stroke
    planes: frozenset[Plane] = frozenset()
    object: CurrentObject | None = None
    steps: int = 0
    clicks: int = 0
    label: int = 0
    by_hand: tuple[HandEdits, HandEdits] | None = None
    redrawn: bool = False
    written: tuple[int, WriteMode] | None = None

    @classmethod
    def of(cls, stroke: Stroke, current: PlaneOfHistory | None) -> StrokeEdit:
        """Return a stroke that was just drawn."""
        if current is None:
            return cls(stroke)
        live, clicks = current.drawn.live, len(current.objects.clicks)
        return cls(
            stroke,
            frozenset({current.plane}),
            current.current,
            current.current.steps,
            clicks,
            live.label if live.alone else 0,
            current.drawn.note_stroke(stroke),
            written=(live.label, live.how),
        )

    @classmethod
    def redrawing(
        cls, stroke: Stroke, current: PlaneOfHistory, before: HandEdits
    ) -> StrokeEdit:
        """Return other edits by hand of the current object, which is drawn with them.

        Parameters
        ----------
        stroke
            A stroke without pixels.
        current, before
            The plane, and the edits by hand before.
        """
        return cls(
            stroke,
            frozenset({current.plane}),
            current.current,
            current.current.steps,
            len(current.objects.clicks),
            by_hand=(before, current.drawn.hand_edits),
            redrawn=True,
        )

    def belongs_to(self, current: PlaneOfHistory, *, undone: bool = False) -> bool:
        """Return whether it is the last stroke on the object that is current.

        The object may have been accepted and opened again since: then it is another
        one, with the same edits by hand.

        Parameters
        ----------
        current
            The plane.
        undone
            Whether the stroke was undone: then it would be the next one.
        """
        if self.by_hand is None:
            return False
        before, after = self.by_hand
        return current.drawn.hand_edits is (before if undone else after)

    def for_mask_of(self, current: PlaneOfHistory) -> StrokeEdit:
        """Return the stroke without pixels of the mask, if that is written otherwise.

        The live mask may have another label than when the stroke was drawn, or do
        something else to it: then the pixels of the stroke say nothing of the mask,
        which is drawn anew with the edits by hand.

        Parameters
        ----------
        current
            The plane, whose object the stroke belongs to.
        """
        live = current.drawn.live
        if self.by_hand is None or self.written in (None, (live.label, live.how)):
            return self
        box, own = self.by_hand[1].differing(self.by_hand[0])
        stroke = self.stroke.beneath(current.plane, box, own, self.written[0])
        return replace(self, stroke=stroke, label=0, written=None)

    def drawn_planes(self, current: PlaneOfHistory | None) -> frozenset[Plane]:
        """Return all planes that it has pixels of: a brush may have a depth.

        Parameters
        ----------
        current
            The displayed plane, from whose axes the others are told.
        """
        if current is None:
            return self.planes
        return self.planes | self.stroke.planes(current.plane.axes)

    def is_older(self, current: PlaneOfHistory) -> bool:
        """Return whether something was clicked, or accepted, since it was drawn."""
        if self.object is current.current:
            return current.current.steps > self.steps
        waits = any(one is self.object for one in current.objects.waiting)
        return waits or len(current.objects.clicks) > self.clicks


class UndoneStep(NamedTuple):
    """A step that was undone.

    Attributes
    ----------
    planes
        All planes concerned.
    edit
        The edit; ``None`` for a step of clicks, or an accept whose mask was not there.
    object
        Whose clicks, or which object was to be accepted.
    following
        The object that was clicked after the accepted one.
    changes
        The pixels that were given back, part by part.
    """

    planes: frozenset[Plane]
    edit: ObjectEdit | StrokeEdit | None = None
    object: CurrentObject | None = None
    following: CurrentObject | None = None
    changes: tuple[LabelChange, ...] = ()


def edit_of(
    parts: tuple[PlaneEdit, ...], finished: CurrentObject | None = None
) -> ObjectEdit:
    """Return the edit that steps of one plane are: an accepted object, or deletions.

    Parameters
    ----------
    parts
        The steps.
    finished
        The accepted object with the steps of its clicks, if they are known.
    """
    step, label = parts[-1].step, parts[-1].label
    if step is None or step.how == "delete":
        return deleted(parts)
    redone = _REDONE.get(step.how, "Object {} is done again.").format(label)
    return ObjectEdit(parts[-1:], "", redone, accepted=True, finished=finished)


def deleted(parts: tuple[PlaneEdit, ...]) -> ObjectEdit:
    """Return the edit that deletions are."""
    one = len(parts) == 1
    objects = f"Object {parts[0].label} is" if one else f"{len(parts)} objects are"
    return ObjectEdit(parts, f"{objects} back.", f"{objects} deleted again.")


def outlived(
    edits: Iterable[ObjectEdit | StrokeEdit],
) -> Iterator[ObjectEdit | StrokeEdit]:
    """Yield edits as they are once the annotation they were made in has ended.

    Those that have changed no pixel of the labels are left out.
    """
    saved: dict[Session, SavedSession] = {}
    for edit in edits:
        if isinstance(edit, StrokeEdit):
            if not edit.redrawn:
                yield replace(
                    edit,
                    object=None,
                    steps=0,
                    clicks=0,
                    label=0,
                    by_hand=None,
                    written=None,
                )
        elif edit.left_out is None and edit.parts:
            parts = tuple(_as_saved(part, saved) for part in edit.parts)
            yield _ended(replace(edit, parts=parts, steps=WeakKeyDictionary()))


def _as_saved(part: PlaneEdit, saved: dict[Session, SavedSession]) -> PlaneEdit:
    """Return a change with saved prompts in place of the session.

    Parameters
    ----------
    part
        The change.
    saved
        Gets the saved form of the sessions, which is made once.
    """
    session = None if part.session is None else part.session()
    if session is None or part.step is None:
        return replace(part, session=None)
    if session not in saved:
        saved[session] = session.saved()
    step = saved_object(part.step)
    nothing = SavedObject((), None, step.threshold)
    made = replace(saved[session], objects=(step,), current=nothing)
    return replace(part, session=None, made=made)


def _ended(edit: ObjectEdit) -> ObjectEdit:
    """Return an edit that makes no object the current one again."""
    if not edit.accepted:
        return edit
    step, label = edit.parts[0].step, edit.parts[0].label
    new = step is not None and step.how == "add"
    words = _NOT_ACCEPTED if new else _AS_BEFORE
    undone = words.format(label)
    return replace(edit, accepted=False, finished=None, ended=True, undone=undone)


_NOT_ACCEPTED = "Object {} is not accepted any more."
_AS_BEFORE = "Object {} is as it was before."
_REDONE = {
    "cut": "Subtracted from object {} again.",
    "replace": "Object {} is corrected again.",
}
