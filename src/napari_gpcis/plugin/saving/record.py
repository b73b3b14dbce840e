"""Record of all prompts of an image, plane by plane, that outlives sessions.

Sessions come and go (the model is changed, planes are set aside to free memory), and
with them the list of what was done. The record outlives them.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any, NamedTuple
from weakref import ReferenceType, ref

import numpy as np
from napari.layers import Labels
from qtpy.QtCore import QObject, Signal

from napari_gpcis.errors import InputError
from napari_gpcis.geometry import run_lengths
from napari_gpcis.objects.classes import ClassedObjects
from napari_gpcis.plugin.connections import Connections
from napari_gpcis.plugin.labels.hand_edits import NONE
from napari_gpcis.plugin.saving.identity import ImageIdentity, identity_of, source_of
from napari_gpcis.plugin.saving.record_state import RecordState
from napari_gpcis.plugin.viewer.layers import geometry
from napari_gpcis.plugin.viewer.planes import Plane, full_resolution, layer_shape
from napari_gpcis.plugin.viewer.stack_files import plane_files
from napari_gpcis.prompts import SavedAnnotation, SavedPlane
from napari_gpcis.session.labels import digest_of, noted
from napari_gpcis.session.saved import (
    SavedCandidate,
    SavedEdits,
    SavedObject,
    SavedSession,
    candidate_of,
    saved_candidate,
    saved_prompts,
)

if TYPE_CHECKING:
    from collections.abc import Iterable

    from napari.layers import Image
    from numpy.typing import NDArray

    from napari_gpcis.plugin.annotation.annotation import Annotation, Pixels
    from napari_gpcis.plugin.annotation.plane import PlaneAnnotation
    from napari_gpcis.session.current import CurrentObject
    from napari_gpcis.session.labels import ObjectNote
    from napari_gpcis.session.session import Session


_NOTHING = SavedObject((), None, 0.5)


class _ImageName(NamedTuple):
    """Name and file of an image."""

    name: str
    source: str

    @classmethod
    def of(cls, image: Image) -> _ImageName:
        """Return those of a layer."""
        return cls(image.name, source_of(image))


MOST_COUNTED = 1 << 28
"""Bytes of labels whose objects are counted at once."""


class _PlaneRecord:
    """Prompts of one plane: those of earlier sessions, and of the latest one."""

    def __init__(self, earlier: tuple[SavedSession, ...] = ()) -> None:
        self.earlier = earlier
        self.now: SavedSession | None = None
        self.running = 0
        self.following: tuple[SavedObject, ...] = ()
        self._session: ReferenceType[Session] | None = None

    def note(self, plane: PlaneAnnotation) -> bool:
        """Note the prompts of a plane, of all objects that are being clicked.

        Returns
        -------
        bool
            ``False`` if the plane is not open, and its clicks are those that are known.
        """
        before, objects, drawn = (self.now, self.following), plane.objects, plane.drawn
        alone = drawn.live.alone and bool(plane.clicks)
        self.running = drawn.live.label if alone else 0
        self.following = ()
        if objects.waiting:
            self.following = tuple(_saved(one, plane) for one in objects.all[1:])
        session, live = plane.session, drawn.live
        plain = live.new and not live.overwrite and drawn.hand_edits is NONE
        plain &= not objects.waiting
        if session is not None and plain and session.current is objects.first:
            self._note_session(session)
            return True
        first = _saved(objects.first, plane)
        if session is not None:
            self._note_session(session, first)
            return True
        if self.now is not None:
            self.now = replace(self.now, current=first)
        elif first.clicks:  # it was never open: no model has seen the clicks
            self.now = SavedSession(plane.shape, "", None, None, None, None, (), first)
        return before != (self.now, self.following)

    def _note_session(
        self, session: Session, current: SavedObject | None = None
    ) -> None:
        known = None if self._session is None else self._session()
        if known is not session:
            if self.now is not None and self.now.objects:
                self.earlier = (*self.earlier, replace(self.now, current=_NOTHING))
            self._session = ref(session)
        self.now = session.saved()
        if current is not None:
            self.now = replace(self.now, current=current)

    def add(self, made: SavedSession) -> None:
        """Note a step that was made while no session was open."""
        now = self.now
        if now is not None and now.objects:
            self.earlier = (*self.earlier, replace(now, current=_NOTHING))
            self.now, self._session = replace(now, objects=()), None
        self.earlier = (*self.earlier, made)

    def add_object(self, done: SavedObject) -> None:
        """Note a step that needs no model, made while no session was open."""
        if self.sessions:
            last = replace(self.sessions[-1], objects=(done,), current=_NOTHING)
            self.add(last)

    def withdraw(self, label: int) -> None:
        """Forget the last step, if it was done on this object."""
        known = [*self.earlier] + ([] if self.now is None else [self.now])
        places = [place for place, one in enumerate(known) if one.objects]
        if not places or known[places[-1]].objects[-1].id != label:
            return
        last = known[places[-1]]
        known[places[-1]] = replace(last, objects=last.objects[:-1])
        if self.now is not None:
            self.now = known.pop()
        self.earlier = tuple(one for one in known if one.objects)

    @property
    def sessions(self) -> tuple[SavedSession, ...]:
        """All sessions that have clicks or objects."""
        now = self.now
        if now is None or not (now.objects or now.current.clicks):
            return self.earlier
        return (*self.earlier, now)


def _saved(one: CurrentObject, plane: PlaneAnnotation) -> SavedObject:
    """Return the saved form of an object being clicked, and what it is to become."""
    drawn, number = plane.drawn, plane.objects.class_numbers.get(one)
    saved, target = saved_prompts(one.prompts, one.threshold), drawn.target_of(one)
    if number is not None:
        saved = replace(saved, class_number=number)
    if target is not None and one.clicks:
        label, how, overwrite = target
        saved = replace(saved, how=how, overwrite=overwrite, target=label or None)
    edits = drawn.hand_edits_of(one)
    if edits is not NONE:
        runs = run_lengths(edits.drawn), run_lengths(edits.erased)
        saved = replace(saved, by_hand=SavedEdits(edits.box, *runs))
    return saved


class Record(QObject):
    """The prompts of one annotation.

    Parameters
    ----------
    annotation
        The annotation that is recorded, until it ends.
    parent
        Qt parent.

    Attributes
    ----------
    version
        Another number whenever clicks or objects are not what they were.
    image_id
        The ``unique_id`` of the image.
    kept
        Whether the user has asked that the work be kept when it ends.
    interrupted
        Whether the annotation ended because one of its layers was removed: what was
        being clicked was not accepted.
    """

    changed = Signal()
    """Emitted when clicks or objects have changed."""
    accepted = Signal()
    """Emitted when an object was finished, or accepted before its mask is there."""
    settled = Signal()
    """Emitted when what there was up to some version needs not be kept any more."""

    def __init__(self, annotation: Annotation, parent: QObject | None = None) -> None:
        super().__init__(parent)
        self._annotation: Annotation | None = annotation
        self._about = _ImageName.of(annotation.image)
        self.image_id = str(annotation.image.unique_id)
        self.interrupted = False
        self._labels: Labels | None = annotation.layers.labels
        self._layer_id = annotation.layers.labels.unique_id
        self._layer_name = ""  # of labels that were released
        self._place: dict[str, Any] = {}  # of the same
        self._shape = layer_shape(annotation.layers.labels)
        self._digest: str | None = None  # once it is asked for
        self._planes: dict[Plane, _PlaneRecord] = {}
        self._files: dict[tuple[int, ...], str] = {}
        self._classes = ClassedObjects()
        self._active_class = ""
        self._rejected: dict[Plane, tuple[SavedCandidate, ...]] = {}
        self._settled = self.version = 0
        self._discarded: int | None = None
        self.kept = False
        self._drawn = False
        self._digests: dict[Plane, str | None] = {}
        self._opened: set[Plane] = set()  # with an object whose mask is to come
        self.changed.connect(self._on_changed)
        events = annotation.events
        events.clicks_changed.connect(self._note)
        events.waiting_changed.connect(self._on_waiting)
        events.ending.connect(self._note_clicked)
        events.predicted.connect(self._note)
        events.accepted.connect(self._on_accepted)
        events.objects_changed.connect(self._on_objects)
        events.planes_written.connect(self._on_written)
        events.step_made.connect(self._on_step)
        events.object_changed.connect(self._on_object)
        events.object_deleted.connect(self._on_deleted)
        events.step_withdrawn.connect(self._on_withdrawn)
        events.rejections_changed.connect(self.changed)
        events.classes_changed.connect(self.changed)
        self._connections = Connections()
        self._connections.connect(annotation.layers.labels.events.paint, self._on_paint)

    @property
    def labels(self) -> Labels:
        """The labels layer.

        Raises
        ------
        InputError
            If it was released.
        """
        if self._labels is None:
            msg = "These labels were removed from the viewer."
            raise InputError(msg)
        return self._labels

    @property
    def layer_name(self) -> str:
        """Name of the labels layer, or that which it had when it was released."""
        return self._layer_name if self._labels is None else self._labels.name

    @property
    def image_name(self) -> str:
        """Name of the image."""
        return self._image.name

    @property
    def image_digest(self) -> str:
        """Digest of the pixels of the image, as they were when it was first asked."""
        if self._digest is None and self._annotation is not None:
            self._digest = identity_of(self._annotation.image).digest
        return self._digest or ""

    @property
    def source(self) -> str:
        """File of the image; empty if it came from none."""
        return self._image.source

    @property
    def touched(self) -> bool:
        """True if anything was done since it was saved, with clicks or by hand."""
        return self.version != self._settled

    def is_of(self, labels: Labels) -> bool:
        """Return whether it is the record of a labels layer."""
        return bool(self._layer_id == labels.unique_id)

    @property
    def unsaved(self) -> bool:
        """True if there is work that was neither saved nor discarded.

        What long work has found is work as well, before its end writes it.
        """
        annotation = self._annotation
        if annotation is not None and annotation.has_findings:
            return True
        return not self.empty and self.version != self._settled

    @property
    def state(self) -> RecordState:
        """What another record of the same labels may go on with."""
        discarded = self.version == self._discarded
        settled = self.version if discarded else self._settled
        return RecordState(
            self.saved(),
            self.image_id,
            ImageIdentity(*self._image, self.image_digest),
            self._digests,
            self.active_class,
            self.version,
            settled,
            self._drawn,
        )

    def follow_up(
        self, earlier: RecordState, *, clicks: bool = False, active_class: str = ""
    ) -> None:
        """Go on with the work of an earlier record of the same labels.

        Parameters
        ----------
        earlier
            What was known when it ended.
        clicks
            Whether objects that were not finished go on, too.
        active_class
            Name of the class of objects to come; by default the one that is active.
        """
        self.add_earlier(earlier.saved, clicks=clicks, active_class=active_class)
        self.version, self._settled = earlier.version, earlier.settled
        self._drawn |= earlier.drawn
        if clicks and not self.touched:
            going_on = earlier.saved.unfinished
            self.settle_opened(Plane(one.axes, one.steps) for one in going_on)

    def note_drawing(self) -> None:
        """Take note that labels were drawn by hand: they are work without clicks."""
        self._drawn = True
        self.changed.emit()

    def settle(self, version: int) -> None:
        """Take note that the work of a version was saved."""
        self._settled = version
        self.settled.emit()

    def discard(self) -> None:
        """Take note that the work is not wanted, if it ends as it is now."""
        self._discarded = self.version

    def keep(self, *, asked: bool = False) -> None:
        """Take note that the work is wanted: it has not ended after `discard`.

        Parameters
        ----------
        asked
            Whether the user has asked that it be kept: then it is in any case.
        """
        self._discarded, self.kept = None, asked

    @property
    def wanted(self) -> bool:
        """True if the work is to be left for the next time when it ends."""
        return self.unsaved and self.version != self._discarded

    def settle_opened(self, unfinished: Iterable[Plane]) -> None:
        """Take note that all comes from a file, unfinished objects too.

        Parameters
        ----------
        unfinished
            Their planes. That their masks are drawn again is no change.
        """
        self._settled, self._opened = self.version, set(unfinished)
        if self._opened and self._annotation is not None:
            self._annotation.events.predicted.connect(self._on_drawn_again)

    def end(self) -> None:
        """End with the annotation; the record stays, and strokes are work as before.

        The image is not kept in memory.
        """
        self._about, self._files = self._image, self.plane_files
        self._digest = self.image_digest
        self._rejected, self._classes = self._rejected_now(), self.classes
        self._active_class = self.active_class
        self._connections.end()
        if self._annotation is not None:
            self.interrupted = self._annotation.lost_layer
            self._digests = self._digests_now()
        self._annotation = None
        if self._labels is not None:
            self._connections.connect(self._labels.events.paint, self._on_paint)

    def _digests_now(self) -> dict[Plane, str | None]:
        """Return the digests of the masks of unfinished objects that are drawn."""
        labels = None if self._labels is None else self._labels.data
        if labels is None or labels.shape != self._shape:
            return {}
        return {
            Plane(one.axes, one.steps): digest_of(labels[one.index], one.running)
            for one in self.saved().unfinished
            if one.running
        }

    def close(self) -> None:
        """Take note of nothing any more, not even of strokes."""
        self._connections.end()

    @property
    def released(self) -> bool:
        """True if the labels were released."""
        return self._labels is None

    def release(self) -> None:
        """Release the labels, so that they can be freed; the prompts stay."""
        self._connections.end()
        if self._labels is not None:
            self._layer_name, self._place = self._labels.name, geometry(self._labels)
        self._labels = None

    def take_labels(self, data: NDArray[Any]) -> None:
        """Have labels again that were released, in a layer that is in no viewer.

        Parameters
        ----------
        data
            Their pixels, as they were, of the shape of the image.
        """
        self._labels = Labels(data, name=self._layer_name, **self._place)

    def add_earlier(
        self, saved: SavedAnnotation, *, clicks: bool = False, active_class: str = ""
    ) -> None:
        """Add saved prompts of an earlier time.

        Parameters
        ----------
        saved
            The prompts.
        clicks, active_class
            See `follow_up`.
        """
        if self._annotation is not None and saved.classes.used:
            self._annotation.take_classes(saved.classes, active_class or None)
            self._annotation.events.classes_changed.emit()
        for plane in saved.planes:
            done = [replace(one, current=_NOTHING) for one in plane.sessions]
            record = _PlaneRecord(tuple(one for one in done if one.objects))
            if clicks and plane.sessions:
                record.now = replace(plane.sessions[-1], objects=())
                record.following = plane.following
            place = Plane(plane.axes, plane.steps)
            self._planes[place] = record
            if self._annotation is not None:
                self._annotation.notes.add(place, plane.objects)
            if self._annotation is not None and plane.rejected:
                shape = place.shape(self._shape)
                self._annotation.rejected[place] = tuple(
                    candidate_of(one, shape) for one in plane.rejected
                )

    @property
    def empty(self) -> bool:
        """True if there are no clicks and no objects, and nothing was drawn by hand."""
        clicked = any(plane.sessions for plane in self._planes.values())
        return not (clicked or self._drawn)

    def saved(self, labels_file: str | None = None) -> SavedAnnotation:
        """Return all prompts, as values that do not change any more."""
        rejected = self._rejected_now()
        known = {**{plane: _PlaneRecord() for plane in rejected}, **self._planes}
        planes = (
            SavedPlane(
                plane.axes,
                plane.steps,
                one.sessions,
                one.running,
                rejected.get(plane, ()),
                one.following,
            )
            for plane, one in known.items()
            if one.sessions or plane in rejected
        )
        return SavedAnnotation(
            self.image_name,
            self._shape,
            tuple(planes),
            labels_file,
            self.classes,
            self.image_digest,
        )

    def finish_drawing(self) -> None:
        """Have the rest of a large mask drawn now: the labels are to be read."""
        if self._annotation is not None:
            self._annotation.finish_drawing()
            self._note_clicked()

    @property
    def amount(self) -> str:
        """Contents in words: objects, drawn by hand as well, and further clicks.

        In labels that take long to look through, objects without clicks do not count.
        """
        self.finish_drawing()
        saved = self.saved()
        if self._labels is None or self._labels.data.nbytes > MOST_COUNTED:
            return saved.amount
        return saved.in_words(saved.count_objects(np.unique(self._labels.data)))

    @property
    def classes(self) -> ClassedObjects:
        """Classes of the objects."""
        annotation = self._annotation
        return self._classes if annotation is None else annotation.classes

    @property
    def active_class(self) -> str:
        """Name of the class of objects to come."""
        annotation = self._annotation
        if annotation is None:
            return self._active_class
        return annotation.classes.classes[annotation.active_class].name

    def notes(self) -> dict[tuple[tuple[int, ...], int], ObjectNote]:
        """Return how each object came, by plane index and id.

        Planes are those along :attr:`axes`.
        """
        found: dict[tuple[tuple[int, ...], int], ObjectNote] = {}
        for plane in self.saved().planes:
            if plane.axes != self.axes:
                continue
            index = tuple(
                step for axis, step in enumerate(plane.steps) if axis not in plane.axes
            )
            notes: dict[int, ObjectNote | None] = {}
            for done in plane.objects:
                notes[done.id or 0] = noted(notes.get(done.id or 0), done)
            found |= {
                (index, label): note
                for label, note in notes.items()
                if note is not None
            }
        return found

    @property
    def image(self) -> Any:
        """Pixels of the image at full resolution; ``None`` after the annotation."""
        annotation = self._annotation
        return None if annotation is None else full_resolution(annotation.image)

    @property
    def axes(self) -> tuple[int, int]:
        """The two axes of all planes with objects, or else the last two."""
        used = {plane.axes for plane, one in self._planes.items() if one.sessions}
        if len(used) == 1:
            return used.pop()
        ndim = len(self._shape)
        return ndim - 2, ndim - 1

    @property
    def plane_files(self) -> dict[tuple[int, ...], str]:
        """Files of the planes, by plane index, where each has one of its own."""
        if self._annotation is None:
            return self._files
        image = self._annotation.image
        return plane_files(full_resolution(image), len(self._shape), self.axes)

    def unfinished(self) -> list[Pixels]:
        """Return the pixels that objects being clicked have changed, as before.

        After an annotation that was interrupted their masks are still in the labels.
        """
        if self._annotation is not None:
            return self._annotation.unfinished()
        found: list[Pixels] = []
        for plane in self.saved().unfinished if self.interrupted else ():
            now = self.labels.data[plane.index]
            before = plane.without_unfinished(now)
            rows, cols = np.nonzero(now != before)
            places = [np.full(len(rows), step) for step in plane.steps]
            for axis, within in zip(plane.axes, (rows, cols), strict=True):
                places[axis] = within
            found.append((tuple(places), before[rows, cols]))
        return found

    @property
    def _image(self) -> _ImageName:
        """Name and file of the image: its layer may have been renamed."""
        if self._annotation is None:
            return self._about
        return _ImageName.of(self._annotation.image)

    def _rejected_now(self) -> dict[Plane, tuple[SavedCandidate, ...]]:
        """Return the candidates that were rejected, by plane."""
        if self._annotation is None:
            return self._rejected
        return {
            plane: tuple(map(saved_candidate, candidates))
            for plane, candidates in self._annotation.rejected.items()
            if candidates
        }

    def _on_changed(self) -> None:
        self.version += 1

    def _on_paint(self) -> None:
        """Take note of an edit by hand, also after the annotation."""
        if self._annotation is None or not self._annotation.ending_step:
            self.note_drawing()

    def _note_clicked(self) -> None:
        """Note the objects being clicked as they are drawn now, by hand as well."""
        for place, record in self._planes.items():
            annotation = self._annotation
            plane = None if annotation is None else annotation.known(place)
            if plane is not None and plane.clicks:
                record.note(plane)

    def _on_drawn_again(self, plane: PlaneAnnotation) -> None:
        """Do not count the first mask of a plane, which was just noted."""
        if plane.plane in self._opened and self.version == self._settled + 1:
            self._settled = self.version
        self._opened.discard(plane.plane)

    def _note(self, plane: PlaneAnnotation) -> None:
        known = self._planes.setdefault(plane.plane, _PlaneRecord())
        if known.note(plane):
            self.changed.emit()

    def _on_accepted(self, plane: PlaneAnnotation, _label: int) -> None:
        self._note(plane)
        self.accepted.emit()

    def _on_waiting(self, plane: PlaneAnnotation) -> None:
        self._note(plane)
        self.accepted.emit()

    def _on_step(self, plane: Plane, made: SavedSession) -> None:
        self._planes.setdefault(plane, _PlaneRecord()).add(made)
        self.changed.emit()

    def _on_object(self, plane: Plane, done: SavedObject) -> None:
        if plane in self._planes:
            self._planes[plane].add_object(done)
            self.changed.emit()

    def _on_deleted(self, plane: Plane, label: int) -> None:
        self._on_object(plane, replace(_NOTHING, id=label, how="delete"))

    def _on_withdrawn(self, plane: Plane, label: int) -> None:
        if plane in self._planes:
            self._planes[plane].withdraw(label)
            self.changed.emit()

    def _on_written(self, planes: Iterable[Plane]) -> None:
        """Note the prompts of planes that are not displayed."""
        for plane in planes:
            known = None if self._annotation is None else self._annotation.known(plane)
            if known is not None:
                self._note(known)
        self.changed.emit()
        self.accepted.emit()

    def _on_objects(self) -> None:
        current = None if self._annotation is None else self._annotation.current
        if current is not None:
            self._note(current)
