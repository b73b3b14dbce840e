"""Notes of how the objects of an annotation came, plane by plane."""

from __future__ import annotations

from operator import is_
from typing import TYPE_CHECKING
from weakref import ReferenceType, ref

from napari_gpcis.session.labels import noted

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from napari_gpcis.plugin.viewer.planes import Plane
    from napari_gpcis.session.labels import ClickedStep, ObjectNote
    from napari_gpcis.session.session import Session

    Notes = dict[int, ObjectNote]


class _PlaneNotes:
    """Notes of one plane: of its steps before the latest session, and of that."""

    def __init__(self) -> None:
        self.now: Notes = {}
        self._earlier: list[ClickedStep] = []
        self._before: Notes = {}
        self._session: ReferenceType[Session] | None = None
        self._steps: tuple[ClickedStep, ...] = ()

    def add(self, steps: Iterable[ClickedStep]) -> None:
        """Take steps that are none of the latest session."""
        self._earlier.extend(steps)
        self._begin_again()

    def end(self) -> None:
        """Take the steps of the latest session, which was closed, for earlier ones."""
        steps, self._steps, self._session = self._steps, (), None
        if steps:
            self.add(steps)

    def withdraw(self, label: int) -> None:
        """Forget the last earlier step, if it was done on this object."""
        if self._earlier and _label_of(self._earlier[-1]) == label:
            self._earlier.pop()
            self._begin_again()

    def follow(self, session: Session) -> None:
        """Take the steps of the session that have come, or go back."""
        if self._session is None or self._session() is not session:
            self.end()
            self._session = ref(session)
        known, self._steps = self._steps, session.steps
        if len(known) > len(self._steps) or not all(map(is_, known, self._steps)):
            self.now, known = dict(self._before), ()  # some were undone
        _take(self.now, self._steps[len(known) :])

    def _begin_again(self) -> None:
        self._before = {}
        _take(self._before, self._earlier)
        self.now = dict(self._before)
        _take(self.now, self._steps)


class ObjectNotes:
    """Notes of all objects that were made here, or came from a file.

    Parameters
    ----------
    session_of
        Returns the session of a plane, if it is open.
    """

    def __init__(self, session_of: Callable[[Plane], Session | None]) -> None:
        self._session_of = session_of
        self._planes: dict[Plane, _PlaneNotes] = {}

    def of(self, plane: Plane) -> Mapping[int, ObjectNote]:
        """Return the notes of a plane as they are now, by id."""
        return self._up_to_date(plane).now

    def add(self, plane: Plane, steps: Iterable[ClickedStep]) -> None:
        """Take steps that no open session has, such as those of a file."""
        self._up_to_date(plane).add(steps)

    def withdraw(self, plane: Plane, label: int) -> None:
        """Take note that the last step of a plane, which `add` has told, is undone.

        Parameters
        ----------
        plane, label
            The plane, and the object that the step was done on.
        """
        self._up_to_date(plane).withdraw(label)

    def _up_to_date(self, plane: Plane) -> _PlaneNotes:
        notes = self._planes.setdefault(plane, _PlaneNotes())
        session = self._session_of(plane)
        if session is None:
            notes.end()
        else:
            notes.follow(session)
        return notes


def _label_of(step: ClickedStep) -> int | None:
    return getattr(step, "id", None)


def _take(notes: Notes, steps: Iterable[ClickedStep]) -> None:
    for step in steps:
        label = _label_of(step)
        if label is not None:
            note = noted(notes.get(label), step)
            if note is None:
                notes.pop(label, None)
            else:
                notes[label] = note
