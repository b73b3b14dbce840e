"""Encoding of what a click will see ahead of it, which is then as fast as the others.

Before the first click that is the view. It is asked for a moment after the view has
come to rest, while no object is being clicked, and only of models whose encoding serves
many clicks. One that was asked for is given up when the view moves on. Where the mouse
rests, a first click may be seen in closer frames: these are encoded as well. While an
object is being clicked, it is what a click sees from which on the network's input is
larger.
"""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any

import psutil
from qtpy.QtCore import QObject, QTimer

from napari_gpcis.clicks import Click
from napari_gpcis.errors import GPCISError
from napari_gpcis.geometry import contains, whole_image
from napari_gpcis.plugin.debouncing import Debouncer
from napari_gpcis.plugin.settings.preferences import PREFERENCES
from napari_gpcis.plugin.tools.base import MouseTool, Tool
from napari_gpcis.plugin.viewer.planes import camera_of

if TYPE_CHECKING:
    from collections.abc import Callable

    from napari_gpcis.geometry import Box
    from napari_gpcis.inference.segmenter import PreparedImage, Segmenter
    from napari_gpcis.plugin.annotation.annotation import Annotation
    from napari_gpcis.plugin.annotation.controller import Controller
    from napari_gpcis.plugin.annotation.jobs import Models
    from napari_gpcis.plugin.annotation.plane import PlaneAnnotation
    from napari_gpcis.session.session import Session

LOAD_WAIT = 300
"""Milliseconds for which a widget is shown before its model is loaded."""
WAIT = 250
"""Milliseconds for which the view has to rest."""
MOUSE_WAIT = 80
"""Milliseconds for which the mouse has to rest: a user who aims rests longer."""
LOW_MEMORY = 1 << 30
"""With fewer free bytes nothing is encoded ahead."""


class EarlyLoading(QObject):
    """Loads the model a moment after the widget is shown, before the first Start.

    That takes seconds, most of them for PyTorch, while the user chooses the image. It
    is part of the preference ``encode_ahead``. What is wrong with the model, Start
    tells.

    Parameters
    ----------
    controller
        Its model is loaded.
    is_here
        Returns whether the model has not to be downloaded first.
    parent
        Qt parent.
    """

    def __init__(
        self, controller: Controller, is_here: Callable[[], bool], parent: QObject
    ) -> None:
        super().__init__(parent)
        self._controller, self._is_here = controller, is_here
        self._timer = QTimer(self)
        self._timer.setSingleShot(True)
        self._timer.timeout.connect(self._load)

    def begin(self) -> None:
        """Load the model soon, unless an annotation has begun by then."""
        self._timer.start(LOAD_WAIT)

    def _load(self) -> None:
        controller = self._controller
        if controller.closed or controller.annotation is not None:
            return
        if PREFERENCES.encode_ahead and self._is_here() and not _memory_is_low():
            work = partial(_load, controller.models)
            controller.worker.submit("model", work, _ignore, _ignore)


class EarlyEncoding(Tool):
    """Encodes what a click will see, while the preference ``encode_ahead`` is on.

    Parameters
    ----------
    controller
        Its annotations are followed.
    """

    def __init__(self, controller: Controller) -> None:
        super().__init__(controller)
        self._debouncer = Debouncer(self._ask, WAIT, self)
        self._last = 0  # so many clicks the model sees before its input is larger

    def on_attached(self, annotation: Annotation) -> None:
        """Follow the view and the plane that is seen."""
        events, camera = annotation.events, camera_of(annotation.viewer).events
        for signal in (events.plane_changed, events.current_changed):
            self.follow(signal, self._debouncer.throttle)
        for event in (camera.center, camera.zoom):
            self.follow(event, self._on_moved)

    def on_detached(self, annotation: Annotation) -> None:  # noqa: ARG002
        """Ask for nothing any more."""
        self._debouncer.cancel()

    def _on_moved(self, _event: Any = None) -> None:
        self.cancel_job()
        self._debouncer.throttle()

    def _ask(self) -> None:
        """Ask for the encoding of what the next click sees, if it is another one."""
        current = self.current
        if current is None:
            return
        running = current.running
        if running and (not self._last or len(current.clicks) != self._last):
            return
        session = _session_to_encode(current)
        if session is None:
            return
        segmenter, prepared = session.segmenter, session.prepared
        settings = segmenter.info.inference
        if not running:
            self._last = settings.fine_clicks - 1 if settings.fine_size else 0
            encode: Callable[[], object] = partial(
                segmenter.encode, prepared, current.view
            )
        elif session.prediction is not None:
            encode = partial(segmenter.encode_finer, prepared, session.prediction)
        else:
            return
        self.ask(partial(_encode, encode), _ignore, _ignore, awaited=not running)


class MouseEncoding(MouseTool):
    """Encodes what a first click sees where the mouse rests, see `EarlyEncoding`.

    Parameters
    ----------
    controller
        Its annotations are followed.
    """

    def __init__(self, controller: Controller) -> None:
        super().__init__(controller)
        self._debouncer = Debouncer(self._ask, MOUSE_WAIT, self)
        self._place: Any = None

    def on_detached(self, annotation: Annotation) -> None:
        """Ask for nothing any more."""
        self._debouncer.cancel()
        super().on_detached(annotation)

    def on_mouse_moved(self, event: Any) -> None:
        """Ask for what a click at the mouse sees as soon as it rests."""
        if event.is_dragging:
            return
        self.cancel_job()
        self._place = event.position
        self._debouncer.throttle()

    def _ask(self) -> None:
        """Ask for the encodings of what a first click at the mouse may see."""
        annotation, current = self.annotation, self.current
        if annotation is None or current is None or current.running:
            return
        session = _session_to_encode(current)
        if session is None or session.segmenter.info.inference.first_frames < 2:
            return
        segmenter = session.segmenter
        pixel = current.plane.pixel(annotation.image.world_to_data(self._place))
        click = None if pixel is None else Click(*pixel)
        if click is None or not contains(whole_image(current.shape), click):
            return
        frames = segmenter.first_frames(
            current.shape, click, current.view, session.typical_size
        )
        work = partial(_encode_frames, segmenter, session.prepared, frames)
        self.ask(work, _ignore, _ignore)


def _session_to_encode(current: PlaneAnnotation) -> Session | None:
    """Return the session of a plane of which something may be encoded ahead.

    ``None`` if the user wants none of it, memory is low, the plane is not open or waits
    for an answer, or its model sees each click in frames of its own.
    """
    session = current.session
    if not PREFERENCES.encode_ahead or session is None or current.busy:
        return None
    stays = session.segmenter.info.inference.frames == "stay"
    return session if stays and not _memory_is_low() else None


def _load(models: Models, cancelled: Callable[[], bool]) -> None:
    """Load the model (on the thread)."""
    if not cancelled():
        models.get()


def _encode_frames(
    segmenter: Segmenter,
    prepared: PreparedImage,
    frames: list[Box],
    cancelled: Callable[[], bool],
) -> None:
    """Encode several frames (on the thread), as long as they are wanted."""
    for frame in frames:
        _encode(partial(segmenter.encode, prepared, frame), cancelled)


def _encode(encode: Callable[[], object], cancelled: Callable[[], bool]) -> None:
    """Encode (on the thread); what is wrong with the image, the click tells."""
    if cancelled():
        return
    try:
        encode()
    except (GPCISError, RuntimeError):
        return


def _memory_is_low() -> bool:
    free: int = psutil.virtual_memory().available
    return free < LOW_MEMORY


def _ignore(*_: object) -> None:
    """Do nothing."""
