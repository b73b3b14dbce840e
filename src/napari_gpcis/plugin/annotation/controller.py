"""The controller: one viewer, one inference thread, and the image being annotated."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple
from weakref import WeakSet, ref

from napari.utils.notifications import show_error, show_info
from qtpy.QtCore import QObject, Qt, QTimer, Signal
from qtpy.QtWidgets import QApplication

from napari_gpcis.errors import CheckpointError, InputError, UnknownModelError
from napari_gpcis.plugin.annotation.annotation import Annotation
from napari_gpcis.plugin.annotation.jobs import Models
from napari_gpcis.plugin.background import BackgroundThread
from napari_gpcis.plugin.connections import Connections
from napari_gpcis.plugin.debouncing import Debouncer
from napari_gpcis.plugin.labels.write_mode import WriteOptions
from napari_gpcis.plugin.settings.shortcuts import Keys
from napari_gpcis.plugin.viewer.frames import Frames
from napari_gpcis.plugin.viewer.layers import (
    NameFollower,
    claim_layers,
    fit_labels,
    lies_on,
    unwrapped,
)
from napari_gpcis.plugin.viewer.overlays import answering_layer_event
from napari_gpcis.plugin.viewer.planes import layer_shape
from napari_gpcis.wording import counted

if TYPE_CHECKING:
    from collections.abc import Callable
    from weakref import ReferenceType

    from napari.components import ViewerModel
    from napari.layers import Image, Labels, Layer, Points

    from napari_gpcis.plugin.annotation.jobs import SegmenterFactory
    from napari_gpcis.plugin.annotation.plane import PlaneAnnotation
    from napari_gpcis.plugin.annotation.undo.edits import ObjectEdit, StrokeEdit
    from napari_gpcis.session.session import Session


_CONTROLLERS: WeakSet[Controller] = WeakSet()


class Controller(QObject):
    """Starts and ends annotations, watches their layers, and reports errors.

    Parameters
    ----------
    viewer
        The napari viewer.
    factory
        Makes a segmenter of a model's name; called on the inference thread.
    model
        Name of the model to begin with.
    parent
        Qt parent.

    Attributes
    ----------
    cancels
        Functions that end something of their own, and return whether it was there: the
        command ``cancel`` calls them before it ends the current object.
    closed
        True once it was closed, or deleted with its window: nothing can be done.
    """

    status_changed = Signal(str)
    """Emitted with the new :attr:`status`."""
    plane_changed = Signal()
    """The displayed plane is another one, or none, or its session has been opened."""
    current_changed = Signal()
    """The current object has changed, or how far its mask is."""
    started = Signal(object)
    """An :class:`.Annotation` has begun; its layers are there."""
    stopped = Signal()
    """The annotation has ended; its layers may be gone."""

    def __init__(
        self,
        viewer: ViewerModel,
        factory: SegmenterFactory,
        model: str,
        parent: QObject | None = None,
    ) -> None:
        super().__init__(parent)
        self.annotation: Annotation | None = None
        self.viewer = viewer
        self.closed = False
        self.writing = WriteOptions(self)
        self._message = ""
        self._ended: dict[str, ReferenceType[Layer]] = {}  # layers of the last one
        self._told = ""
        self._commands: dict[str, Callable[[], None]] = {
            "undo": self._undo,
            "cancel": self._cancel,
        }
        self.cancels: list[Callable[[], bool]] = []
        self._histories: dict[str, _History] = {}
        self._names: dict[str, NameFollower] = {}
        self._held: dict[str, _Held] = {}
        self._models = Models(factory, model)
        self._keys = Keys(viewer, self.command, self.ready, self.travel_in_labels, self)
        self._keys.hold = self.hold
        self._worker = BackgroundThread(self, on_error=self._on_error)
        self._frames = Frames(parent)
        self._followed = Connections()  # of the viewer
        self._followed.connect(viewer.layers.events.removed, self._on_removed)
        application = QApplication.instance()
        if isinstance(application, QApplication):
            self._followed.connect(application.applicationStateChanged, self._end_held)
        self._watched = Connections()  # of the annotation's layers
        self._debouncer = Debouncer(self._check_fit, parent=self)
        self._ending = QTimer(self)  # looks whether masks are there
        self._ending.setInterval(_PERIOD)
        self._ending.timeout.connect(self._check_fit)
        self._accepted = ""  # what is said of it when it has ended
        _CONTROLLERS.add(self)

    # What the user can do ---------------------------------------------------------

    def start(
        self,
        image: Image,
        labels: Labels | None = None,
        *,
        anew: bool = False,
        accepts: bool = True,
    ) -> bool:
        """Annotate an image; return whether that was possible.

        If it was not, one notification says why and what ran before goes on. If it
        was, objects being clicked are accepted where they are, and the status says so.

        Parameters
        ----------
        image
            The image layer.
        labels
            The labels layer to write into; ``None`` takes the image's earlier one or
            makes a new one.
        anew
            Whether ``None`` makes a new one in any case.
        accepts
            Whether objects being clicked are accepted.
        """
        image = unwrapped(image)
        try:
            note = "" if labels is None else fit_labels(labels, image)
            layers = claim_layers(self.viewer, image, labels, anew=anew)
            self._check_unused(layers.positive)
        except InputError as error:
            show_error(str(error))
            return False
        if note:
            show_info(note)
        before = self.annotation
        words = before.leave() if before is not None and accepts else ""
        self.stop()
        self.annotation = Annotation(
            self.viewer,
            image,
            layers,
            self._worker,
            self._models,
            self.writing,
            self._frames,
            self,
        )
        self._take_history(self.annotation)
        self._follow_name(image)
        self.annotation.say_once_open(words)
        self._watch(self.annotation)
        self._keys.bind(layers, image)
        self._keys.use()
        self.ready()
        self.started.emit(self.annotation)
        self.annotation.enter_plane()
        return True

    def stop(self, message: str = "") -> None:
        """End the annotation; all masks found so far stay in the labels layer."""
        annotation = self.annotation
        if annotation is not None:
            self._watched.end()
            annotation.end_work()
            self._keep_history(annotation)
            ended = {"image": annotation.image, "labels": annotation.layers.labels}
            self._ended = {role: ref(unwrapped(one)) for role, one in ended.items()}
            self.annotation = None
            self._keys.unbind()
            annotation.close()
            annotation.deleteLater()
            self.stopped.emit()
        self._message = message
        self._tell()

    def say_once_open(self, message: str) -> None:
        """Tell the user something, if need be as soon as the displayed plane is open.

        Parameters
        ----------
        message
            The message. It stays until the next one.
        """
        current = None if self.annotation is None else self.annotation.current
        if self.annotation is None:
            self._message = message
            self._tell()
        elif current is not None and current.session is None:
            self.annotation.say_once_open(message)
        else:
            self.annotation.say(message)

    def close(self) -> bool:
        """End everything; return whether the inference thread has ended."""
        self.closed = True
        self._followed.end()
        self.stop()
        self._histories.clear()
        for follower in self._names.values():
            follower.close()
        self._names.clear()
        self.writing.close()
        self._keys.close()
        return self._worker.close()

    def command(self, name: str) -> None:
        """Run a command by its name, see :data:`.COMMANDS`.

        None is run while a stroke is being drawn: it would change the object below.

        Commands that no other part has registered are methods of the displayed
        plane's :class:`.PlaneAnnotation`.
        """
        annotation = self.annotation
        if annotation is not None and annotation.pressed and annotation.stroking:
            annotation.say(STROKING)
            return
        if annotation is not None:
            annotation.click_layers.settle()  # what was clicked before comes first
            if self.session is not None:
                annotation.clear_message()  # of the command before
        if name in self._commands:
            self._commands[name]()
        elif annotation is not None and annotation.current is not None:
            getattr(annotation.current, name)()
        if annotation is not None and annotation.current is None:
            annotation.tell_obstacle()

    def use_keys(self) -> None:
        """Take note that this is the widget in use, for keys that several share."""
        self._keys.use()

    def register(self, name: str, run: Callable[[], None]) -> None:
        """Let ``run`` carry out the command of this name."""
        self._commands[name] = run

    def register_held(
        self, name: str, begin: Callable[[], None], end: Callable[[], None]
    ) -> None:
        """Let a command last as long as its key is held, or until it is run again."""
        self._held[name] = _Held(begin, end)
        self._commands[name] = self._held[name].toggle

    def hold(self, name: str, held: bool) -> None:
        """Begin or end a command that lasts as long as its key is held."""
        if name in self._held:
            self._held[name].set(held)

    def _end_held(self, state: Qt.ApplicationState) -> None:
        """End what lasts while a key is held: its release goes to another window."""
        if state != Qt.ApplicationState.ApplicationActive:
            for name in self._held:
                self.hold(name, False)

    def ready(self) -> None:
        """Make the points layers ready for clicks again, hidden ones as well."""
        if self.annotation is not None:
            self.annotation.click_layers.unhide()
            self.annotation.click_layers.select(self.viewer)

    def travel_in_labels(self, direction: str) -> None:
        """Undo or redo what was done last: by clicks, or in the labels by hand."""
        annotation = self.annotation
        if annotation is None:
            return
        if annotation.stroking:
            annotation.say(STROKING)
        elif annotation.untouched:  # what was drawn before it began
            getattr(annotation.layers.labels, direction)()
        elif direction == "redo" or not annotation.take_back_stroke():
            self.command(direction)

    @property
    def model(self) -> str:
        """Name of the model; setting it replays the running clicks with the new one."""
        return self._models.name

    @model.setter
    def model(self, name: str) -> None:
        if name != self._models.name:
            self._models.name = name
            if self.annotation is not None:
                self.annotation.reopen()

    def reload_model(self) -> None:
        """Load the model anew, for another device; running clicks are replayed."""
        self._models.reload()
        if self.annotation is not None:
            self.annotation.reopen()

    @property
    def worker(self) -> BackgroundThread:
        """The inference thread; there is one before an annotation begins, too."""
        return self._worker

    @property
    def models(self) -> Models:
        """The model in use, for work on other threads."""
        return self._models

    # What a display shows ---------------------------------------------------------

    @property
    def session(self) -> Session | None:
        """The session of the displayed plane, if it is open."""
        current = self.annotation.current if self.annotation is not None else None
        return None if current is None else current.session

    @property
    def refused_keys(self) -> dict[str, str]:
        """Keys that somebody else has bound in this viewer, by command, in words."""
        return self._keys.refused

    @property
    def status(self) -> str:
        """State of the annotation for the status line."""
        annotation = self.annotation
        if annotation is None:
            return self._message
        return annotation.message or progress(annotation.current)

    # What happens elsewhere -------------------------------------------------------

    def _undo(self) -> None:
        """End work in progress, or else undo the last edit."""
        annotation = self.annotation
        if annotation is None or annotation.undo_stack.interrupt():
            return
        current = annotation.current
        if current is None:
            return
        if annotation.undo_stack.last_is_by_hand(current):
            annotation.take_back_stroke()
        else:
            current.undo()

    def _cancel(self) -> None:
        """End the latest thing that goes on: work, a choice, a tool, the object."""
        annotation = self.annotation
        if annotation is None or annotation.undo_stack.interrupt():
            return
        if any(cancel() for cancel in self.cancels):
            return
        if annotation.current is not None:
            annotation.current.cancel()

    def _tell(self, *_: object) -> None:
        """Tell the status, if it is another one."""
        status = self.status
        if status != self._told:
            self._told = status
            self.status_changed.emit(status)

    def _on_error(self, error: Exception) -> None:
        """Tell of an error on the inference thread, by one notification."""
        annotation = self.annotation
        if annotation is None:
            return
        reason = str(error) or type(error).__name__
        if isinstance(error, (CheckpointError, UnknownModelError)):
            annotation.say(_NO_MODEL)
            show_error(f"GPCIS cannot use the model: {reason}")
            return
        annotation.say(str(error) if isinstance(error, InputError) else _TRY_AGAIN)
        show_error(f"GPCIS could not compute the mask: {reason}")

    def _on_removed(self, event: Any) -> None:
        """End the annotation if the image or one of its layers was deleted."""
        annotation = self.annotation
        names: dict[str, Layer] = {}
        if annotation is not None:
            names = {"image": annotation.image, **annotation.layers._asdict()}
        for role, layer in names.items():
            if layer == event.value:
                with answering_layer_event():
                    self.stop(_GONE[role])
                break
        else:
            self._on_removed_later(event.value)
        self._histories.pop(event.value.unique_id, None)
        follower = self._names.pop(event.value.unique_id, None)
        if follower is not None:
            follower.close()

    def _on_removed_later(self, layer: Layer) -> None:
        """Say what is left of an annotation that has ended: a layer was removed."""
        ended = {role: known() for role, known in self._ended.items()}
        concerned = any(one is not None and layer == one for one in ended.values())
        if self.annotation is not None or not concerned:
            return
        layers = self.viewer.layers
        gone = [role for role, one in ended.items() if one not in layers]
        self._message = _GONE[gone[0]] if len(gone) == 1 else ""
        self._tell()

    def _follow_name(self, image: Image) -> None:
        """Let layers of the image have its name from now on, also after the end."""
        if image.unique_id not in self._names:
            self._names[image.unique_id] = NameFollower(self.viewer, image)

    def _keep_history(self, annotation: Annotation) -> None:
        """Keep what can be undone in labels, until they are annotated again."""
        labels = annotation.layers.labels
        history = _History(layer_shape(labels), annotation.undo_stack.outlived)
        self._histories[labels.unique_id] = history

    def _take_history(self, annotation: Annotation) -> None:
        """Go on with what could be undone in these labels before."""
        labels = annotation.layers.labels
        history = self._histories.pop(labels.unique_id, None)
        if history is not None and history.shape == layer_shape(labels):
            annotation.undo_stack.go_on_from(history.edits)

    def _check_unused(self, points: Points) -> None:
        """Check that no other widget follows the clicks in a layer."""
        for other in _CONTROLLERS - {self}:
            if other.annotation and other.annotation.layers.positive == points:
                msg = "Another GPCIS widget annotates this image: press Stop there."
                raise InputError(msg)

    def _watch(self, annotation: Annotation) -> None:
        """Watch image and labels, and pass on the news."""
        events = annotation.events
        annotation.message_changed.connect(self._tell)
        events.seen.connect(self._tell)
        events.clicking_changed.connect(self._on_clicking)
        events.plane_changed.connect(self.plane_changed)
        events.current_changed.connect(self.current_changed)
        for layer in (annotation.image, annotation.layers.labels):
            self._watched.connect(layer.events.data, self._on_new_data)
            for name in _PLACE_EVENTS:
                self._watched.connect(layer.events[name], self._on_moved)

    def _on_clicking(self, clicking: bool) -> None:
        if clicking:
            self._keys.use()

    def _on_new_data(self, event: Any) -> None:
        """Read a changed image anew, and replay the running clicks on it."""
        annotation = self.annotation
        if annotation is None:
            return
        if layer_shape(annotation.layers.labels) != layer_shape(annotation.image):
            self.stop(_NO_FIT)
        elif event.source == annotation.image:
            annotation.reopen()

    def _on_moved(self) -> None:
        """Check the fit soon: image and labels may be moved one after the other."""
        self._debouncer.throttle()

    def _check_fit(self) -> None:
        """End the annotation if image and labels no longer lie on each other.

        Masks that are on their way come first.
        """
        annotation = self.annotation
        if annotation is None or lies_on(annotation.layers.labels, annotation.image):
            self._ending.stop()
        elif annotation.awaited:
            if not self._ending.isActive():
                self._accepted = ""
                if annotation.accept_all():
                    self._accepted = _ACCEPTED.format(annotation.layers.labels.name)
                self._ending.start()
            words = _NO_FIT_YET.format(counted(annotation.awaited, "object"))
            if annotation.message != words:
                annotation.say(words)
        else:
            waited = self._accepted if self._ending.isActive() else ""
            self._ending.stop()
            words = annotation.leave()  # else masks would stay without their clicks
            self.stop(" ".join(filter(None, (_NO_FIT, waited, words))))


class _History(NamedTuple):
    """Shape of labels, and what can be undone in them."""

    shape: tuple[int, ...]
    edits: tuple[ObjectEdit | StrokeEdit, ...]


class _Held:
    """A command that lasts: how it begins and ends, and whether it is going on."""

    def __init__(self, begin: Callable[[], None], end: Callable[[], None]) -> None:
        self._begin, self._end = begin, end
        self._on = False

    def set(self, on: bool) -> None:
        """Begin or end it, if that is not so already."""
        if on != self._on:
            self._on = on
            (self._begin if on else self._end)()

    def toggle(self) -> None:
        """Begin it, or end it."""
        self.set(not self._on)


STROKING = "Release the mouse button first: a stroke is being drawn."
_PLACE_EVENTS = ("scale", "translate", "rotate", "shear", "affine")
_NO_FIT = (
    "Image and labels no longer have the same shape and place. Masks are kept; choose "
    "'New layer', or make them fit, and press Start."
)
_NO_FIT_YET = (
    "Image and labels no longer have the same shape and place: the annotation ends as "
    "soon as the mask of {} is there."
)
_ACCEPTED = "What was being clicked was accepted in {!r}."
_PERIOD = 50
"""Milliseconds between two looks whether the masks are there."""
_NO_MODEL = "The model cannot be used: choose another one."
_TRY_AGAIN = "That did not work; the next click tries again."
_GONE = {
    "image": "The image was removed. Its masks are kept in the labels layer.",
    "labels": "The labels layer was removed. Press Start to begin a new one.",
    "positive": "The positive clicks' layer was removed. Masks are kept; press Start.",
    "negative": "The negative clicks' layer was removed. Masks are kept; press Start.",
}


def progress(current: PlaneAnnotation | None) -> str:
    """Say in one line how far the current object is."""
    if current is None:
        return ""
    if current.session is None:
        return "Loading the model and the image ..."
    count = len(current.clicks)
    if not count:
        return "Ready: click on an object."
    parts = [f"{count} click{'s' if count > 1 else ''}"]
    if current.drawn.live.label:
        parts.append(_OBJECT[current.drawn.live.how].format(current.drawn.live.label))
    if current.unseen or current.busy:
        parts.append("computing ...")
    elif current.seconds is not None:
        parts.append(_time(current.seconds))
    return " \u00b7 ".join(parts)


def _time(seconds: float) -> str:
    """Say how long a click took."""
    return f"{seconds * 1000:.0f} ms" if seconds < 1 else f"{seconds:.1f} s"


_OBJECT = {
    "add": "object {}",
    "cut": "subtracting from object {}",
    "replace": "correcting object {}",
}
