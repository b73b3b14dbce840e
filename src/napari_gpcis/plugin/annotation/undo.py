"""What was done to finished objects, on all planes in order, so that undo finds it.

A step on a plane that is open belongs to its session, like an object that was clicked
there. A step on any other plane is told to whoever records the prompts.
"""

from __future__ import annotations

from collections import deque
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Protocol
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
    from napari_gpcis.plugin.labels.writer import Painter
    from napari_gpcis.plugin.viewer.planes import Plane
    from napari_gpcis.propagation import Carried
    from napari_gpcis.session.labels import How, LabelChange
    from napari_gpcis.session.saved import SavedSession
    from napari_gpcis.session.session import Session

    Known = Callable[[Plane], "PlaneOfHistory | None"]


MOST_DEEDS = 200
"""So many deeds are remembered."""


class PlaneOfHistory(Protocol):
    """A plane as the history sees it: what is open there, and how to write below it."""

    @property
    def plane(self) -> Plane:
        """The plane."""

    @property
    def session(self) -> Session | None:
        """Its session, if it is open."""

    def lifted(self) -> AbstractContextManager[None]:
        """Take the current object's mask off the labels for a while."""

    def set_aside(self) -> None:
        """Close its session."""


class Past:
    """The deeds of one annotation.

    Parameters
    ----------
    painter
        The writer of the labels layer.
    events
        Where steps are told, and accepted objects heard of.
    known
        Returns a plane that was visited.
    """

    def __init__(
        self, painter: Painter, events: AnnotationEvents, known: Known
    ) -> None:
        self._painter = painter
        self._labels = painter.labels
        self._events = events
        self._known = known
        self._deeds: deque[Deed] = deque(maxlen=MOST_DEEDS)
        self._gone: deque[FinishedObject] = deque(maxlen=MOST_DEEDS)
        events.accepted.connect(self._on_accepted)

    # Deeds ------------------------------------------------------------------------

    def add_followed(
        self, label: int, found: Sequence[tuple[Plane, Carried]], *, cover: bool
    ) -> Deed:
        """Write the masks of an object that was followed, as one undo step.

        They take the place of those that an earlier run has written.

        Parameters
        ----------
        label
            The object's id.
        found
            Planes, and what was found there.
        cover
            Whether pixels of other objects are taken as well.
        """
        with self._written(plane for plane, _ in found):
            parts = self._follow(label, found, cover=cover)
        return self._add(parts, "All planes of the run are as before.", alone=True)

    def _follow(
        self, label: int, found: Sequence[tuple[Plane, Carried]], *, cover: bool
    ) -> list[Part]:
        """Write the masks of an object that was followed, and make them steps."""
        masks = [(plane, one.box, one.mask) for plane, one in found]
        again = {plane for plane, _ in found if self._from_run(plane, label)}
        changes = write(self._labels, masks, label, cover=cover, instead=again)
        return [
            self._note(
                Part(plane, label, change, left=self._left(plane, label, change)),
                one,
                "replace" if plane in again else "add",
                cover=cover,
            )
            for (plane, one), change in zip(found, changes, strict=True)
            if change.where.any()
        ]

    @contextmanager
    def _written(self, planes: Iterable[Plane]) -> Iterator[None]:
        """Make one undo step of the layer, below what is being clicked on planes."""
        self._painter.end_step()
        with ExitStack() as running:
            for plane in dict.fromkeys(planes):
                known = self._known(plane)
                if known is not None:
                    running.enter_context(known.lifted())
            yield
        self._painter.end_step()

    def by_hand(self, plane: Plane, label: int) -> bool:
        """Return whether an object has pixels on a plane that no run has written."""
        there = bool((plane.take(self._labels.data) == label).any())
        return there and not self._from_run(plane, label)

    def _from_run(self, plane: Plane, label: int) -> bool:
        """Return whether an object is on a plane exactly as the last run left it."""
        for deed in reversed(self._deeds):
            for part in deed.parts if deed.alone else ():
                if part.plane == plane and part.label == label:
                    return self._untouched(part)
        return False

    def _untouched(self, part: Part) -> bool:
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

    def add_deleted(self, parts: Sequence[Part]) -> Deed:
        """Take note of objects that were deleted together."""
        for part in parts:
            if part.session is None:
                self._events.object_deleted.emit(part.plane, part.label)
        ids = sorted({part.label for part in parts})
        if len(parts) == 1:
            words = f"Object {ids[0]} is back."
        else:
            words = f"{len(parts)} objects are back."
        return self._add(parts, words)

    def forget(self, step: FinishedObject) -> None:
        """Take note that a session has taken back a step by itself."""
        self._gone.append(step)
        for deed in self._deeds:
            if deed.accepted is not None and deed.accepted[0] is step:
                self._deeds.remove(deed)
                return

    # Undo -------------------------------------------------------------------------

    def undo(self, current: PlaneOfHistory) -> Deed | None:
        """Take back the last deed that can be, on whatever planes it was done.

        Objects that were accepted on the displayed plane come first if they came
        later: these are its session's own.

        Parameters
        ----------
        current
            The displayed plane.

        Returns
        -------
        Deed or None
            What was undone; ``None`` if it is the turn of the plane's own session, or
            nothing was done.
        """
        later: set[Plane] = set()
        for deed in reversed(self._deeds):
            if deed.accepted is not None:
                session = deed.accepted[1]()
                if session is not None and session is current.session:
                    return None
            elif not (later if deed.alone else later & deed.planes):
                self._take_back(deed)
                return deed
            later |= deed.planes
        return None

    def _take_back(self, deed: Deed) -> None:
        self._deeds.remove(deed)
        undone = [part for part in reversed(deed.parts) if self._withdraw(part)]
        with self._written(part.plane for part in undone):
            take_back(self._labels, [(part.plane, part.change) for part in undone])
        self._tell(deed)
        self._events.deed_undone.emit(deed)

    def _withdraw(self, part: Part) -> bool:
        """Take a step out of its session or the record; ``False`` if it is gone."""
        if any(step is part.step for step in self._gone):
            return False
        session = None if part.session is None else part.session()
        known = self._known(part.plane)
        if session is None or known is None or known.session is not session:
            self._events.step_withdrawn.emit(part.plane, part.label)
            return True
        if not session.steps or session.steps[-1] is not part.step:
            return False
        session.withdraw()
        return True

    # Notes ------------------------------------------------------------------------

    def _note(self, part: Part, one: Carried, how: How, *, cover: bool) -> Part:
        """Make what was found on a plane a step of its session, or tell of it."""
        if one.saved is None:
            return part
        session = self._session_like(part.plane, one.saved)
        if session is None:
            made = one.accepted(part.label, overwrite=cover)
            made = replace(made, objects=(replace(made.objects[0], how=how),))
            self._events.step_made.emit(part.plane, made)
            return part
        saved = one.saved.current
        prompts = prompts_of(saved, one.saved.shape)
        step = FinishedObject(
            part.label,
            prompts.clicks,
            prompts.view,
            saved.threshold,
            cover,
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

    def _add(self, parts: Sequence[Part], words: str, *, alone: bool = False) -> Deed:
        planes = frozenset(part.plane for part in parts)
        deed = Deed(tuple(parts), planes, words, alone)
        self._deeds.append(deed)
        self._tell(deed)
        return deed

    def _tell(self, deed: Deed) -> None:
        """Tell that finished objects are not what they were."""
        self._events.planes_written.emit(deed.planes)
        self._events.objects_changed.emit()

    def _on_accepted(self, plane: PlaneOfHistory, _label: int) -> None:
        session = plane.session
        if session is not None and session.steps:
            accepted = session.steps[-1], ref(session)
            planes = frozenset({plane.plane})
            self._deeds.append(Deed((), planes, accepted=accepted))


@dataclass(frozen=True, eq=False)
class Part:
    """What a deed has changed on one plane.

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
    """

    plane: Plane
    label: int
    change: LabelChange
    session: ReferenceType[Session] | None = None
    step: FinishedObject | None = None
    left: Mask | None = None


@dataclass(frozen=True, eq=False)
class Deed:
    """What was done at once.

    Attributes
    ----------
    parts
        The changes, plane by plane; none for an object that was accepted: its
        session knows them.
    planes
        All planes concerned.
    words
        What to say once it is undone.
    alone
        Whether it can only be undone as long as nothing was accepted after it.
    accepted
        The step of an object that was accepted, and the session that has it.
    """

    parts: tuple[Part, ...]
    planes: frozenset[Plane]
    words: str = ""
    alone: bool = False
    accepted: tuple[FinishedObject, ReferenceType[Session]] | None = None
