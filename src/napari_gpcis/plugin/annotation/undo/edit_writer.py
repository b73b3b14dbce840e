"""Writes edits of finished objects, takes them back and writes them again.

An edit on a plane that is open belongs to its session, like an object that was clicked
there. An edit on any other plane is told to whoever records the prompts.
"""

from __future__ import annotations

from contextlib import ExitStack, contextmanager
from dataclasses import replace
from typing import TYPE_CHECKING
from weakref import ref

from napari_gpcis.geometry import slices
from napari_gpcis.plugin.annotation.undo.edits import PlaneEdit
from napari_gpcis.plugin.labels.multi_plane import take_back, write, write_new
from napari_gpcis.session.labels import FinishedObject, digest_of
from napari_gpcis.session.review import accepted_step
from napari_gpcis.session.saved import prompts_of, saved_object

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence

    from napari_gpcis.plugin.annotation.events import AnnotationEvents
    from napari_gpcis.plugin.annotation.undo.edits import ObjectEdit, PlaneOfHistory
    from napari_gpcis.plugin.labels.writer import LabelsWriter
    from napari_gpcis.plugin.viewer.planes import Plane
    from napari_gpcis.propagation import PlaneResult
    from napari_gpcis.session.labels import LabelChange, WriteMode
    from napari_gpcis.session.regrouping import Regrouped
    from napari_gpcis.session.saved import SavedSession
    from napari_gpcis.session.session import Session
    from napari_gpcis.similar import Candidate

    Planes = Mapping[Plane, PlaneOfHistory]


class EditWriter:
    """Writes edits of finished objects to the labels, and to sessions and the record.

    Parameters
    ----------
    labels_writer
        The writer of the labels layer.
    events
        Where steps of planes are told that are not open.
    planes
        The planes that were visited.

    Attributes
    ----------
    labels_writer, events, planes
        As given.
    writing
        Whether an edit is being written: what changes in the layer then was not drawn
        by hand.
    """

    def __init__(
        self, labels_writer: LabelsWriter, events: AnnotationEvents, planes: Planes
    ) -> None:
        self.labels_writer = labels_writer
        self.events = events
        self.planes = planes
        self._labels = labels_writer.labels
        self.writing = False

    @contextmanager
    def written(self, planes: Iterable[Plane]) -> Iterator[None]:
        """Make one undo step of the layer, below what is being clicked on planes.

        Parameters
        ----------
        planes
            The planes that are written to.
        """
        self.labels_writer.end_step()
        with ExitStack() as running:
            for plane in dict.fromkeys(planes):
                known = self.planes.get(plane)
                if known is not None:
                    running.enter_context(known.drawn.temporarily_removed())
            self.writing = True
            try:
                yield
            finally:
                self.writing = False
        self.labels_writer.end_step()

    def accept_candidates(
        self, session: Session, plane: Plane, candidates: Sequence[Candidate]
    ) -> list[PlaneEdit]:
        """Write candidates of a search as new objects, and make them steps.

        Parameters
        ----------
        session, plane
            The plane, and its session.
        candidates
            What was found there; one without a free pixel is left out.
        """
        steps = [
            accepted_step(one, self.labels_writer.new_label(plane))
            for one in candidates
        ]
        objects = [
            (step.id, one.box, one.mask)
            for step, one in zip(steps, candidates, strict=True)
        ]
        with self.written([plane]):
            changes = write_new(self._labels, plane, objects)
        return [
            self._noted(session, plane, step, change)
            for step, change in zip(steps, changes, strict=True)
            if change.where.any()
        ]

    def regroup(self, plane: Plane, steps: Sequence[Regrouped]) -> list[PlaneEdit]:
        """Write steps whose changes build on each other, and make them steps.

        Parameters
        ----------
        plane
            The plane.
        steps
            See `split_steps` and `merge_steps`.
        """
        known = self.planes.get(plane)
        session = None if known is None else known.session
        self._exchange([(plane, change.reversed) for _, change in steps])
        parts = []
        for step, change in steps:
            if session is not None:
                parts.append(self._noted(session, plane, step, change))
            else:
                self.events.object_changed.emit(plane, saved_object(step))
                parts.append(PlaneEdit(plane, step.id, change, step=step))
        return parts

    def redraw(
        self,
        session: Session,
        plane: Plane,
        step: FinishedObject,
        change: LabelChange,
    ) -> PlaneEdit:
        """Change pixels of a finished object by hand.

        Parameters
        ----------
        session, plane
            The plane, and its session.
        step, change
            What the object is then, and its pixels.
        """
        with self.written([plane]):
            take_back(self._labels, [(plane, change.reversed)])
        return self._noted(session, plane, step, change)

    def _noted(
        self, session: Session, plane: Plane, step: FinishedObject, change: LabelChange
    ) -> PlaneEdit:
        """Make a change a step of an open session."""
        session.note(step, change)
        return PlaneEdit(plane, step.id, change, ref(session), step)

    def propagate(
        self,
        label: int,
        found: Sequence[tuple[Plane, PlaneResult]],
        again: Collection[Plane],
        *,
        overwrite: bool,
    ) -> list[PlaneEdit]:
        """Write the masks of an object on several planes, and make them steps.

        Parameters
        ----------
        label
            The object.
        found
            Planes, and what was found there.
        again
            Those of the planes whose mask an earlier run has written: it is replaced.
        overwrite
            Whether pixels of other objects are taken as well.
        """
        masks = [(plane, one.box, one.mask) for plane, one in found]
        changes = write(self._labels, masks, label, overwrite=overwrite, instead=again)
        return [
            self._note(
                PlaneEdit(plane, label, change),
                one,
                "replace" if plane in again else "add",
                overwrite=overwrite,
            )
            for (plane, one), change in zip(found, changes, strict=True)
            if change.where.any()
        ]

    def _note(
        self, part: PlaneEdit, one: PlaneResult, how: WriteMode, *, overwrite: bool
    ) -> PlaneEdit:
        """Make what was found on a plane a step of its session, or tell of it."""
        if one.saved is None:
            return part
        box = part.change.box  # what the object has beyond it is not of the run
        written = part.plane.take(self._labels.data)[slices(box)]
        digest = digest_of(written, part.label, box[:2])
        session = self._session_like(part.plane, one.saved)
        if session is None:
            made = one.accepted(part.label, overwrite=overwrite)
            done = replace(made.objects[0], how=how, digest=digest)
            made = replace(made, objects=(done,))
            self.events.step_made.emit(part.plane, made)
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
            prompts.tidy,
            area=one.area,
            made_by=saved.made_by,
            digest=digest,
        )
        session.note(step, part.change)
        return replace(part, session=ref(session), step=step)

    def _session_like(self, plane: Plane, saved: SavedSession) -> Session | None:
        """Return the plane's session; one of another model or contrast is closed."""
        known = self.planes.get(plane)
        if known is None or known.session is None:
            return None
        open_now = known.session.saved()
        if replace(open_now, objects=(), current=saved.current) == saved:
            return known.session
        known.set_aside()
        return None

    def standing(self, parts: Iterable[PlaneEdit]) -> tuple[LabelChange, ...]:
        """Return what edits have changed, as far as it is still there."""
        return tuple(
            part.change.standing(
                part.plane.take(self._labels.data)[slices(part.change.box)]
            )
            for part in parts
        )

    def take_back(self, edit: ObjectEdit) -> tuple[tuple[LabelChange, ...], bool]:
        """Take back an edit, as far as nothing was built on its steps since.

        Parameters
        ----------
        edit
            The edit; none of its objects becomes the current one.

        Returns
        -------
        changes : tuple of LabelChange
            What is given back, in the order of the parts.
        whole : bool
            Whether all of its parts were taken back.
        """
        undone = [part for part in reversed(edit.parts) if self._withdraw(part)]
        with self.written(part.plane for part in undone):
            if edit.chained:
                pairs = ((part.plane, part.change) for part in undone)
                changes = self._exchange(pairs)
            else:
                changes = self.standing(undone)
                planes = (part.plane for part in undone)
                take_back(self._labels, [*zip(planes, changes, strict=True)])
        return changes[::-1], len(undone) == len(edit.parts)

    def repeat(self, edit: ObjectEdit, changes: Sequence[LabelChange]) -> None:
        """Write the pixels of an edit again, and make it steps again.

        Parameters
        ----------
        edit
            An edit that was undone.
        changes
            What was given back then, part by part.
        """
        with self.written(edit.planes):
            planes = [part.plane for part in edit.parts]
            again = [change.reversed for change in changes]
            pairs = [*zip(planes, again, strict=True)]
            if edit.chained:
                self._exchange(pairs)
            else:
                take_back(self._labels, pairs)
        for part in edit.parts:
            session = self._open_session(part)
            if session is not None and part.step is not None:
                session.note(part.step, part.change)
            elif part.made is not None:
                self.events.step_made.emit(part.plane, part.made)
            elif part.step is not None:
                self.events.object_changed.emit(part.plane, saved_object(part.step))
            else:
                self.events.object_deleted.emit(part.plane, part.label)

    def _exchange(
        self, changes: Iterable[tuple[Plane, LabelChange]]
    ) -> tuple[LabelChange, ...]:
        """Take back changes one after the other, as one undo step of the layer.

        Returns
        -------
        tuple of LabelChange
            The changes, of the pixels that were still as they had been left.
        """
        found = []
        with self._labels.block_history():
            for plane, change in changes:
                now = change.standing(plane.take(self._labels.data)[slices(change.box)])
                take_back(self._labels, [(plane, now)])
                found.append(now)
        return tuple(found)

    def _withdraw(self, part: PlaneEdit) -> bool:
        """Take a step out of its session or the record; ``False`` if it is gone."""
        session = self._open_session(part)
        if session is None:
            self.events.step_withdrawn.emit(part.plane, part.label)
            return True
        if not session.steps or session.steps[-1] is not part.step:
            return False
        session.withdraw()
        return True

    def _open_session(self, part: PlaneEdit) -> Session | None:
        """Return the session that has a step, if it is still that of the plane."""
        session = None if part.session is None else part.session()
        known = self.planes.get(part.plane)
        here = known is not None and known.session is session
        return session if here else None
