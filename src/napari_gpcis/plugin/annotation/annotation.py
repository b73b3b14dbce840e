"""One image being annotated: the layers on it, and its planes as they are visited."""

from __future__ import annotations

from contextlib import suppress
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np
from qtpy.QtCore import QObject, Signal

from napari_gpcis.errors import InputError
from napari_gpcis.geometry import slices
from napari_gpcis.objects.classes import ClassedObjects
from napari_gpcis.plugin.annotation.click_layers import ClickLayers
from napari_gpcis.plugin.annotation.context import AnnotationContext
from napari_gpcis.plugin.annotation.events import AnnotationEvents
from napari_gpcis.plugin.annotation.jobs import is_tiled, open_plane
from napari_gpcis.plugin.annotation.notes import ObjectNotes
from napari_gpcis.plugin.annotation.plane import PlaneAnnotation
from napari_gpcis.plugin.annotation.undo.edit_writer import EditWriter
from napari_gpcis.plugin.annotation.undo.stack import UndoStack
from napari_gpcis.plugin.connections import Connections
from napari_gpcis.plugin.debouncing import Debouncer
from napari_gpcis.plugin.labels.pixels import PAINTING
from napari_gpcis.plugin.labels.writer import LabelsWriter
from napari_gpcis.plugin.viewer.channels import chosen_contrast
from napari_gpcis.plugin.viewer.layers import check_unlocked
from napari_gpcis.plugin.viewer.overlays import CurveLayer
from napari_gpcis.plugin.viewer.planes import displayed_plane, full_resolution
from napari_gpcis.session.saved import SavedObject
from napari_gpcis.wording import counted

if TYPE_CHECKING:
    from collections.abc import (
        Callable,
        Hashable,
        Iterable,
        Iterator,
        Mapping,
        Sequence,
    )

    from napari.components import ViewerModel
    from napari.layers import Image, Points
    from numpy.typing import NDArray

    from napari_gpcis.clicks import Click
    from napari_gpcis.geometry import Box, Mask
    from napari_gpcis.plugin.annotation.jobs import Models, Opened
    from napari_gpcis.plugin.annotation.object_queue import Recalled
    from napari_gpcis.plugin.background import BackgroundThread
    from napari_gpcis.plugin.labels.live_mask import LiveMask
    from napari_gpcis.plugin.labels.write_mode import WriteOptions
    from napari_gpcis.plugin.viewer.frames import Frames
    from napari_gpcis.plugin.viewer.layers import AnnotationLayers
    from napari_gpcis.plugin.viewer.planes import Plane
    from napari_gpcis.session.saved import SavedSession
    from napari_gpcis.session.session import Session
    from napari_gpcis.similar import Candidate

    Pixels = tuple[tuple[NDArray[Any], ...], NDArray[Any]]
    """Indices on each axis of the labels, and a label for each."""

DIMS_EVENTS = ("current_step", "order", "ndisplay", "units")

ACCEPTED = "Object {} was accepted in {!r}."
ALL_ACCEPTED = "Objects {} were accepted in {!r}."
NONE_DELETED = "Nothing was deleted: these objects are gone already."
NOT_ACCEPTED = "Clicks that had no mask yet: {}. They go on with the next Start here."

KEPT_SESSIONS = 4
"""Planes whose image stays prepared in memory."""


class Annotation(QObject):
    """Clicks in two Points layers become masks in a Labels layer.

    Parameters
    ----------
    viewer
        The viewer; it says which plane is shown.
    image
        The image being annotated.
    layers
        The points and labels layers on it.
    worker, models
        The inference thread and its models.
    writing
        What the user has chosen about writing masks.
    frames
        Tells when what is drawn is on the screen.
    parent
        Qt parent.

    Attributes
    ----------
    rejected
        Candidates of a search that are no objects, by their plane.
    classes, active_class
        Classes of the objects, and the number of that of objects to come.
    notes
        How the objects came.
    pressed
        Whether a mouse button is down on the canvas.
    candidate_at : Callable, optional
        Returns the candidate that a first click on a plane corrects.
    give_way
        Functions that end long work on the inference thread for what the user does
        now, and return whether there was some.
    endings
        Functions that end long work and write what it has found so far: before the
        annotation ends, or what has become of it is saved or discarded.
    findings
        Functions that return whether long work has found something that its ending
        will write.
    """

    message_changed = Signal(str)
    """Emitted with a message for the user; empty if there is none any more."""

    def __init__(
        self,
        viewer: ViewerModel,
        image: Image,
        layers: AnnotationLayers,
        worker: BackgroundThread,
        models: Models,
        writing: WriteOptions,
        frames: Frames,
        parent: QObject | None = None,
    ) -> None:
        super().__init__(parent)
        self.image = image
        self.layers = layers
        self.current: PlaneAnnotation | None = None
        self.message = self._first_words = self._later_words = ""
        self.events = AnnotationEvents(self)
        self.click_layers = ClickLayers(image, layers.positive, layers.negative, self)
        self.curves = CurveLayer(viewer, image, layers.negative)
        self.viewer = self._viewer = viewer
        self.worker = self._worker = worker
        self._models = models
        self._writer = LabelsWriter(
            layers.labels, self._on_drawn_by_others, self.events.whole.emit
        )
        self._planes: dict[Plane, PlaneAnnotation] = {}
        edit_writer = EditWriter(self._writer, self.events, self._planes)
        self.notes = ObjectNotes(self._session_of)
        self.undo_stack = UndoStack(edit_writer, self.notes, lambda: self.current)
        self._context = AnnotationContext(
            image,
            layers,
            self.click_layers,
            self._writer,
            worker,
            frames,
            self.events,
            writing,
            self.undo_stack,
            self._say,
            self._is_tiled,
            self._on_drawn,
            self._offered,
            self.notes,
        )
        self.classes = ClassedObjects()
        self.active_class = 0
        self.rejected: dict[Plane, tuple[Candidate, ...]] = {}
        self.candidate_at: Callable[[Plane, Click], Candidate | None] | None
        self.candidate_at = None
        self.give_way: list[Callable[[], bool]] = []
        self.endings: list[Callable[[], object]] = []
        self.findings: list[Callable[[], bool]] = []
        self._drawn = self.pressed = False
        self._debouncer = Debouncer(self._on_displayed, parent=self)
        self._connections = Connections()
        self.click_layers.changed.connect(self._on_points)
        self.click_layers.refused.connect(self._say)
        self.events.planes_written.connect(self._on_written)
        self.events.step_made.connect(self._on_step_made)
        self.events.object_changed.connect(self._on_object_changed)
        self.events.object_deleted.connect(self._on_object_deleted)
        self.events.step_withdrawn.connect(self._on_step_withdrawn)
        self.events.whole.connect(self._on_whole)
        self.events.current_changed.connect(self._on_current_changed)
        self.events.waiting_changed.connect(self._on_waiting)
        for name in viewer.dims.events.emitters.keys() & DIMS_EVENTS:
            self._connections.connect(viewer.dims.events[name], self._on_dims)
        active = viewer.layers.selection.events.active
        self._connections.connect(active, self._on_active)
        for points in self._points:
            self._connections.connect(points.events.mode, self._on_active)
        self._connections.connect(layers.labels.events.paint, self._on_painted)
        self._connections.connect(layers.labels.events.editable, self._on_locked)
        viewer.mouse_drag_callbacks.append(self._on_press)

    def close(self) -> None:
        """Stop; what is drawn in the labels layer stays, current objects as well."""
        self._connections.end()
        if self._on_press in self._viewer.mouse_drag_callbacks:
            self._viewer.mouse_drag_callbacks.remove(self._on_press)
        self._debouncer.cancel()
        self._worker.cancel(self._opening)
        for plane in self._planes.values():
            plane.give_up()
        self.click_layers.close()
        self.curves.close()
        self._writer.close()
        self.current = None

    @property
    def lost_layer(self) -> bool:
        """True if the image, or one of the layers on it, is not in the viewer now."""
        there = self._viewer.layers
        return any(layer not in there for layer in (self.image, *self.layers))

    def end_work(self) -> None:
        """End long work; what it has found so far is written, see `endings`."""
        for end in self.endings:
            end()
        self.events.ending.emit()

    @property
    def has_findings(self) -> bool:
        """True if long work goes on whose ending will write something."""
        return any(found() for found in self.findings)

    def say(self, message: str) -> None:
        """Tell the user something, in the status line."""
        self._say(message)

    def say_once_open(self, message: str) -> None:
        """Tell the user something as soon as the displayed plane is open.

        If an object is being clicked there, as soon as its mask is made.
        """
        self._first_words = message

    @property
    def awaited(self) -> int:
        """Objects being clicked whose masks are on their way, on all planes."""
        count = 0
        for plane in self._planes.values():
            opening = plane is self.current and self._worker.busy(self._opening)
            known = plane.session is not None
            if self._worker.busy(plane.key) if known else opening:
                count += sum(bool(one.clicks) for one in plane.objects.all)
        return count

    def accept_all(self) -> bool:
        """Accept the objects being clicked, now or as soon as their masks are there.

        Returns
        -------
        bool
            Whether there are any.
        """
        self.click_layers.settle()
        clicked = [one for one in self._planes.values() if one.current.clicks]
        for plane in clicked:
            plane.accept()
        return bool(clicked)

    def leave(self) -> str:
        """Accept the objects being clicked, to go over to other layers.

        Returns
        -------
        str
            What has become of them, for the user; empty if there are none.
        """
        self.click_layers.settle()
        done, left = [], 0
        for plane in [*self._planes.values()]:
            label = plane.drawn.live.label
            known = plane.first.prediction is not None and not plane.busy
            if plane.current.clicks and known:
                plane.accept()
            if label and not plane.clicks:
                done.append(str(label))
            left += len(plane.clicks)
        words, which = [], ACCEPTED if len(done) == 1 else ALL_ACCEPTED
        if done:
            words.append(which.format(", ".join(done), self.layers.labels.name))
        if left:
            words.append(NOT_ACCEPTED.format(left))
        return " ".join(words)

    def clear_message(self) -> None:
        """Clear the message: it is out of date."""
        self.message = ""
        self.message_changed.emit("")

    def delete(self, objects: Iterable[tuple[Plane, int]]) -> int:
        """Delete finished objects, as one undo step of the labels layer.

        Parameters
        ----------
        objects
            Plane and id of each.

        Returns
        -------
        int
            How many there were; 0 if the labels are locked.
        """
        if self._is_locked():
            return 0
        self._writer.end_step()
        chosen: dict[Plane, list[int]] = {}
        for plane, label in objects:
            chosen.setdefault(plane, []).append(label)
        parts = []
        for plane, labels in chosen.items():
            known = self._planes.get(plane) or PlaneAnnotation(plane, self._context)
            parts += known.finished_objects.delete(labels)
        self._writer.end_step()
        if parts:
            self.undo_stack.add_deleted(parts)
        deleted = f"{counted(len(parts), 'object')} deleted."
        self._say(deleted if parts else NONE_DELETED)
        return len(parts)

    def classify(self, numbers: Mapping[int, int]) -> None:
        """Give objects classes, by the number of the class of each id."""
        known = self.classes.numbers
        if any(known.get(label, 0) != number for label, number in numbers.items()):
            self.classes = self.classes.assigned(numbers)
            self.events.classes_changed.emit()

    def classify_accepted(self, label: int, number: int | None = None) -> None:
        """Give an object that was accepted a class, if it is a new one.

        A part of an object keeps the class of that: what was added to it, or copied
        to another plane.

        Parameters
        ----------
        label
            Its id.
        number
            Number of the class; by default of the active one.
        """
        if self.classes.used and not self._writer.is_shared(label):
            self.classify({label: self.active_class if number is None else number})

    def take_classes(self, classes: ClassedObjects, active: str | None = None) -> None:
        """Take over classes of objects; those there were stay, and the active one.

        Nothing is told.

        Parameters
        ----------
        classes
            The classes, and the objects of each.
        active
            Name of the class that is active from now on; by default as before.
        """
        name = active or self.classes.classes[self.active_class].name
        self.classes = classes.with_classes(self.classes.classes)
        names = [one.name for one in self.classes.classes]
        self.active_class = names.index(name) if name in names else 0

    def split(
        self,
        label: int,
        box: Box,
        parts: tuple[Mask, Mask],
        clicks: tuple[Click, Click],
    ) -> int:
        """Make two objects of one of the displayed plane, as one undo step.

        Parameters
        ----------
        label
            Its id, which the larger part keeps.
        box, parts
            Its box, and the masks of both parts there.
        clicks
            A click on either part.

        Returns
        -------
        int
            The id of the smaller part; 0 if the object is not what it was, or one is
            being clicked.
        """
        current, whole = self.current, parts[0] | parts[1]
        if current is None or current.session is None or current.clicks:
            return 0
        self._writer.flush()
        now = current.plane.take(self.layers.labels.data) == label
        same = np.array_equal(now[slices(box)], whole)
        if not same or np.count_nonzero(now) != np.count_nonzero(whole):
            return 0
        sizes = [np.count_nonzero(part) for part in parts]
        large, small = (0, 1) if sizes[0] >= sizes[1] else (1, 0)
        kept = label, parts[large], clicks[large]
        new = self.undo_stack.add_split(
            current, box, kept, (parts[small], clicks[small])
        )
        self.classify({new: self.classes.numbers.get(label, 0)})
        self._say(f"Object {label} is split: its smaller part is object {new}.")
        return new

    def merge(self, objects: Iterable[tuple[Plane, int]]) -> int:
        """Make finished objects one, as one undo step of the labels layer.

        Parameters
        ----------
        objects
            Plane and id of each; one on several planes is named for each of them.

        Returns
        -------
        int
            Their id, that of the largest; 0 if they cannot be merged.
        """
        if self._is_locked():
            return 0
        chosen: dict[Plane, set[int]] = {}
        sizes: dict[int, int] = {}
        for plane, label in objects:
            chosen.setdefault(plane, set()).add(label)
        known = (self.known(plane) for plane in chosen)
        occupied = next((one.occupied for one in known if one and one.occupied), "")
        if occupied:
            self._say(occupied)
            return 0
        for plane, labels in chosen.items():
            for label, (_, mask) in self.masks(plane, [*labels]).items():
                sizes[label] = sizes.get(label, 0) + int(np.count_nonzero(mask))
        if len(sizes) < 2:
            self._say("It takes two finished objects to merge.")
            return 0
        largest = max(sizes, key=lambda label: (sizes[label], -label))
        self.undo_stack.add_merged(largest, chosen)
        self._say(f"{len(sizes)} objects are merged: they are object {largest} now.")
        return largest

    def masks(self, plane: Plane, labels: Sequence[int]) -> dict[int, tuple[Box, Mask]]:
        """Return boxes and masks of objects of a plane, of those that are there."""
        return self._writer.masks(plane, labels)

    def known(self, plane: Plane) -> PlaneAnnotation | None:
        """Return a plane that was visited, ``None`` if it was not."""
        return self._planes.get(plane)

    def _session_of(self, plane: Plane) -> Session | None:
        known = self._planes.get(plane)
        return None if known is None else known.session

    def current_labels(self) -> dict[Plane, int]:
        """Return the ids of the current objects that are new, by their planes.

        One that is added to an object that is there has no id of its own.
        """
        return {
            plane: live.label
            for plane, known in self._planes.items()
            if (live := known.drawn.live).label and live.alone and known.clicks
        }

    @property
    def drawing_rest(self) -> bool:
        """True while a large mask is drawn in part only; `events.whole` tells more."""
        return self._writer.rest is not None

    def live_of(self, plane: Plane) -> LiveMask | None:
        """Return a copy of what the current object of a plane shows and hides there.

        ``None`` if there is no current object, or it has no mask.
        """
        live = self._live(plane)
        return None if live is None else live.copy()

    def _live(self, plane: Plane) -> LiveMask | None:
        known = self._planes.get(plane)
        if known is None or not known.drawn.live.label or not known.clicks:
            return None
        return known.drawn.live

    def finish_drawing(self) -> None:
        """Draw the rest of a large mask now, as somebody is about to read the labels.

        It may be one of any plane.
        """
        self._writer.flush()

    def unfinished(self) -> list[Pixels]:
        """Return the pixels that current objects have changed, as they were before."""
        self._writer.flush()
        found = []
        for plane in self._planes:
            live = self._live(plane)
            if live is None:
                continue
            before = self._writer.others(plane, live, live.box)
            now = plane.take(self.layers.labels.data)[slices(live.box)]
            rows, cols = np.nonzero(before != now)
            places = plane.indices(rows + live.box[0], cols + live.box[1])
            found.append((places, before[rows, cols]))
        return found

    @property
    def ending_step(self) -> bool:
        """True if the labels tell just now of an edit that was a current object's."""
        return self._writer.telling

    @property
    def untouched(self) -> bool:
        """True if there are no clicks, and nothing was written to the labels layer.

        Neither in an earlier annotation of these labels.
        """
        clicked = any(plane.clicks for plane in self._planes.values())
        written = self._writer.has_written or self.undo_stack.goes_on
        return not (clicked or written or self._drawn)

    def take_back_stroke(self) -> bool:
        """Take back what was drawn by hand; ``False`` if that was not done last."""
        self.click_layers.settle()
        if self._is_locked() or not self.undo_stack.take_back_stroke(self.current):
            return False
        self._say("The last change of the mask is taken back.")
        return True

    @property
    def stroking(self) -> bool:
        """True while the mouse button is down to draw: by hand, or with a tool."""
        if not self.pressed:
            return False
        labels, active = self.layers.labels, self._viewer.layers.selection.active
        if active is not None and active == labels:
            return str(labels.mode) in PAINTING
        return self.click_layers.drawing is not None and self.clicking

    @property
    def clicking(self) -> bool:
        """True if a click on the canvas is a click on an object."""
        active = self._viewer.layers.selection.active
        return any(points == active and points.mode == "add" for points in self._points)

    def enter_plane(self) -> None:
        """Turn to the displayed plane; other planes keep their clicks and masks."""
        self._writer.end_step()
        try:
            plane = self._displayed()
        except InputError as error:
            self.current = None
            self.click_layers.clickable = False
            self.events.current_changed.emit()
            self.events.plane_changed.emit()
            self._say(str(error))
            return
        self.click_layers.clickable = True
        self._leave_other_axes(plane)
        self.current = self._planes.pop(plane, None)
        if self.current is None:
            self.current = PlaneAnnotation(plane, self._context)
        self._planes[plane] = self.current  # the order of visits, the latest last
        self._set_aside()
        if self.current.session is None:
            self._open(plane)
        self._expect_size(self.current)
        self.current.synchronise()
        self.events.plane_entered.emit()
        self.events.plane_changed.emit()

    def _on_displayed(self) -> None:
        """Turn to the displayed plane, unless it is the one that was displayed.

        The range of a slider changes with the layers, also of one without a plane.
        """
        current = self.current
        if current is not None and current.session is not None:
            with suppress(InputError):  # it is told on entering
                if self._displayed() == current.plane:
                    return
        self.enter_plane()

    def _displayed(self) -> Plane:
        """Return the displayed plane.

        Raises
        ------
        InputError
            If none can be annotated: see `displayed_plane`, or the labels are locked.
        """
        check_unlocked(self.layers.labels)
        return displayed_plane(self._viewer, self.image)

    def _on_locked(self) -> None:
        """Halt while the labels are locked: nothing is drawn, clicks and masks stay."""
        if not self.layers.labels.editable:
            self.undo_stack.interrupt()
            for plane in self._planes.values():
                plane.halt()
        self.enter_plane()

    def tell_obstacle(self) -> None:
        """Say why no plane can be annotated now, if that is so."""
        if self.obstacle:
            self._say(self.obstacle)

    @property
    def obstacle(self) -> str:
        """Reason for which no plane can be annotated now; empty for none."""
        try:
            self._displayed()
        except InputError as error:
            return str(error)
        return ""

    def _is_locked(self) -> bool:
        """Return whether the labels are locked; if so, it is said."""
        try:
            check_unlocked(self.layers.labels)
        except InputError as error:
            self._say(str(error))
            return True
        return False

    def recall(
        self, plane: Plane, recalled: Sequence[Recalled], label: int = 0
    ) -> None:
        """Go on with objects on a plane, at once or when it is displayed.

        Parameters
        ----------
        plane, recalled
            Where, and what they are, see `PlaneAnnotation.recall`.
        label
            Id that the first object had when it was drawn before, if it is in the
            labels no more: it has the same again, if nobody took a higher one.
        """
        if label:
            self._writer.release(label)
        known = self._planes.setdefault(plane, PlaneAnnotation(plane, self._context))
        known.recall(recalled)

    def reopen(self) -> None:
        """Make all sessions anew, for another model; clicks stay and are replayed."""
        for plane in self._planes.values():
            plane.set_aside()
        self.enter_plane()

    @property
    def _opening(self) -> Hashable:
        """Key under which planes are opened: only the latest matters."""
        return id(self._context), "open"

    def _open(self, plane: Plane) -> None:
        """Have a plane read and its session made."""
        data, colour = full_resolution(self.image), bool(self.image.rgb)
        contrast = chosen_contrast(self.image)
        work = partial(
            open_plane, self._models, data, plane, colour=colour, contrast=contrast
        )
        self._worker.submit(
            self._opening, work, self._on_opened, self._on_failed, awaited=True
        )

    def _offered(self, plane: Plane, click: Click) -> Candidate | None:
        return None if self.candidate_at is None else self.candidate_at(plane, click)

    def _is_tiled(self, plane: Plane) -> bool:
        return is_tiled(full_resolution(self.image), plane)

    def _on_opened(self, opened: Opened | None, _seconds: float) -> None:
        plane = None if opened is None else self._planes.get(opened.plane)
        if plane is not None and opened is not None:
            plane.opened(opened)
            self._expect_size(plane)
            plane.synchronise()
            self.events.plane_changed.emit()
            words, self._first_words = self._first_words, ""
            if words and plane.busy:
                self._later_words = words
            elif words:
                self._say(words)

    def _expect_size(self, plane: PlaneAnnotation) -> None:
        """Have objects of a plane expected to be as large as on the one seen before."""
        if plane.session is None:
            return
        for other in reversed(self._planes.values()):
            if other is plane or other.plane.axes != plane.plane.axes:
                continue
            size = None if other.session is None else other.session.typical_size
            if size is not None:
                plane.session.expected_size = size
                return

    def _on_failed(self, error: Exception) -> None:
        """Report that a plane cannot be opened: labels and clicks stay."""
        self._worker.report(error)

    def _on_waiting(self, plane: PlaneAnnotation) -> None:
        """Keep the class with which objects were accepted until their masks come."""
        plane.objects.note_class(self.active_class)

    def _on_current_changed(self) -> None:
        """Clear the message, or say what was to be said once a mask is made."""
        current = self.current
        if self._later_words and current is not None and not current.busy:
            words, self._later_words = self._later_words, ""
            self._say(words)
        else:
            self.message = ""
            self.message_changed.emit("")

    def _on_drawn(self, plane: Plane) -> None:
        """Keep what is drawn on other planes out of the displayed one's undo step."""
        if self.current is None or self.current.plane != plane:
            self._writer.end_step()

    def _on_points(self) -> None:
        """Follow changed points on the displayed plane, and those lost elsewhere."""
        current = self.current
        if not self.layers.labels.editable:
            return  # they are looked at when it is unlocked
        for plane in list(self._planes.values()):
            if plane is not current and plane.running:
                plane.synchronise()
        failed = current and current.session is None
        if current is None or (failed and not self._worker.busy(self._opening)):
            self.enter_plane()  # there was none, or opening it failed: try again
        else:
            current.synchronise()

    def _on_written(self, *_: object) -> None:
        """Open the displayed plane again if its session had to be closed."""
        current = self.current
        if current is not None and current.session is None:
            self.enter_plane()

    def _on_step_made(self, plane: Plane, made: SavedSession) -> None:
        self.notes.add(plane, made.objects)

    def _on_object_changed(self, plane: Plane, done: SavedObject) -> None:
        self.notes.add(plane, [done])

    def _on_object_deleted(self, plane: Plane, label: int) -> None:
        self.notes.add(plane, [SavedObject((), None, 0.5, id=label, how="delete")])

    def _on_step_withdrawn(self, plane: Plane, label: int) -> None:
        self.notes.withdraw(plane, label)

    def _on_whole(self) -> None:
        """Say why nothing is seen of a large mask, now that all of it is drawn."""
        if self.current is not None:
            self.current.tell_covered()

    def _on_press(self, _viewer: Any, event: Any) -> Iterator[None]:
        """Take note that a mouse button is down, whatever layer is active."""
        self.pressed = True
        yield
        while event.type == "mouse_move":
            yield
        self.pressed = False

    def _on_painted(self, event: Any) -> None:
        """Take note of what the user has drawn by hand."""
        if not self._writer.telling:
            self._drawn = True
            self._share_drawn()
            self.undo_stack.add_stroke(event.value, self.current)

    def _on_drawn_by_others(self) -> None:
        """Tell of pixels that are changed while they are displayed."""
        planes = () if self.current is None else (self.current.plane,)
        self.events.drawn_by_others.emit(frozenset(planes))

    def _share_drawn(self) -> None:
        """Take note that an id was drawn by hand that another plane may have."""
        label, current = int(self.layers.labels.selected_label), self.current
        own = 0 if current is None else current.drawn.live.label
        if label > 0 and label != own and self.image.ndim > 2:
            self._writer.share(label)

    def _on_dims(self) -> None:
        self._debouncer.throttle()

    def _on_active(self) -> None:
        self.events.clicking_changed.emit(self.clicking)

    @property
    def _points(self) -> tuple[Points, Points]:
        return self.layers.positive, self.layers.negative

    def _say(self, message: str) -> None:
        self.message = message
        self.message_changed.emit(message)

    def _leave_other_axes(self, plane: Plane) -> None:
        """Finish, as they are, objects that run in planes of another orientation.

        What was finished there can be undone when they are displayed again.
        """
        for other, known in self._planes.items():
            if other.axes != plane.axes and known.running:
                known.give_up()
                self.undo_stack.forget_undone()

    def _set_aside(self) -> None:
        """Free the images of planes visited long ago."""
        opened = [plane for plane in self._planes.values() if plane.session is not None]
        for plane in opened[:-KEPT_SESSIONS]:
            plane.set_aside()
