"""Notes of how the objects of an annotation came, plane by plane."""

from __future__ import annotations

from typing import TYPE_CHECKING
from weakref import ReferenceType, ref

from napari_gpcis.session.labels import noted

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from napari_gpcis.plugin.annotation.edits import PlaneOfHistory
    from napari_gpcis.plugin.viewer.planes import Plane
    from napari_gpcis.session.labels import ClickedStep, ObjectNote
    from napari_gpcis.session.session import Session

    Notes = dict[int, ObjectNote]


class _PlaneNotes:
    """Notes of one plane: those of earlier sessions, and those with the latest."""

    def __init__(self) -> None:
        self.earlier: Notes = {}
        self.now: Notes = {}
        self._session: ReferenceType[Session] | None = None
        self._count = 0

    def add(self, steps: Iterable[tuple[int | None, ClickedStep]]) -> None:
        """Take steps of no session that is open."""
        for notes in (self.earlier, self.now):
            _take(notes, steps)

    def follow(self, session: Session) -> None:
        """Take the steps of the session that have come, or go back."""
        known = None if self._session is None else self._session()
        if known is not session:
            self.earlier = dict(self.now)
            self._session, self._count = ref(session), 0
        steps = session.steps
        if len(steps) < self._count:  # undone: what it was before is told by the rest
            self.now, self._count = dict(self.earlier), 0
        _take(self.now, [(step.id, step) for step in steps[self._count :]])
        self._count = len(steps)


class ObjectNotes:
    """Notes of all objects that were made here, or came from a file.

    Parameters
    ----------
    known
        Returns a plane that was visited.
    """

    def __init__(self, known: Callable[[Plane], PlaneOfHistory | None]) -> None:
        self._known = known
        self._planes: dict[Plane, _PlaneNotes] = {}

    def of(self, plane: Plane) -> Mapping[int, ObjectNote]:
        """Return the notes of a plane as they are now, by id."""
        notes = self._planes.setdefault(plane, _PlaneNotes())
        known = self._known(plane)
        if known is not None and known.session is not None:
            notes.follow(known.session)
        return notes.now

    def add(self, plane: Plane, steps: Iterable[ClickedStep]) -> None:
        """Take steps that no open session has, such as those of a file."""
        numbered = [(getattr(step, "id", None), step) for step in steps]
        self.of(plane)
        self._planes[plane].add(numbered)


def _take(notes: Notes, steps: Iterable[tuple[int | None, ClickedStep]]) -> None:
    for label, step in steps:
        if label is not None:
            note = noted(notes.get(label), step)
            if note is None:
                notes.pop(label, None)
            else:
                notes[label] = note
