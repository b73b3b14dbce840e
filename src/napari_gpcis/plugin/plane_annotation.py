"""The running object on one plane: from clicks to a drawn mask to an accepted object.

Everything here runs in the GUI thread and returns at once; predictions are asked of
the inference thread and drawn when they come.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

import numpy as np

from napari_gpcis.errors import InputError
from napari_gpcis.plugin.painter import EMPTY, Painted
from napari_gpcis.plugin.planes import layer_shape, visible_box
from napari_gpcis.plugin.work import infer

if TYPE_CHECKING:
    from collections.abc import Callable, Hashable, Sequence

    from napari.layers import Image

    from napari_gpcis.clicks import Click
    from napari_gpcis.plugin.events import AnnotationEvents
    from napari_gpcis.plugin.layers import ClickLayers
    from napari_gpcis.plugin.painter import Painter
    from napari_gpcis.plugin.planes import Box, Plane
    from napari_gpcis.plugin.prompts import Prompts
    from napari_gpcis.plugin.work import Found, Opened
    from napari_gpcis.plugin.worker import InferenceThread
    from napari_gpcis.session import Session


@dataclass(frozen=True)
class Surroundings:
    """What all planes of an image share.

    Attributes
    ----------
    image, layers
        The image and the layers on it.
    prompts, painter
        The clicks in the points layers and the writer of the labels layer.
    worker
        The inference thread.
    events
        Where to report what others may want to hear.
    say
        Tells the person something; an empty message tells that something changed.
    """

    image: Image
    layers: ClickLayers
    prompts: Prompts
    painter: Painter
    worker: InferenceThread
    events: AnnotationEvents
    say: Callable[[str], None]


class PlaneAnnotation:
    """One plane being annotated.

    Parameters
    ----------
    plane
        The plane.
    around
        What it shares with the other planes.

    Attributes
    ----------
    session
        ``None`` until the plane is opened, and after it was set aside.
    held
        What the running object shows in the labels layer.
    accepting
        The number of clicks to accept as soon as their mask is there, else 0. Later
        clicks wait: they belong to the next object.
    seconds
        How long the last answer took to compute.
    """

    def __init__(self, plane: Plane, around: Surroundings) -> None:
        self.plane = plane
        self.session: Session | None = None
        self.held = Painted()
        self.accepting = 0
        self.seconds: float | None = None
        self._around = around
        self._view: Box | None = None

    @property
    def key(self) -> Hashable:
        """Key of this plane's requests to the inference thread."""
        return id(self._around), self.plane

    @property
    def clicks(self) -> tuple[Click, ...]:
        """Clicks of the running object, as the points layers hold them."""
        known = () if self.session is None else self.session.clicks
        return self._around.prompts.clicks(self.plane, known)

    @property
    def busy(self) -> bool:
        """Whether an answer is on its way."""
        return self.session is None or self._around.worker.busy(self.key)

    # Opening and closing ----------------------------------------------------------

    def opened(self, opened: Opened) -> None:
        """Take the session that was made for this plane."""
        self.session = opened.session

    def set_aside(self) -> None:
        """Free the image's memory; points and masks stay in their layers."""
        self._around.worker.cancel(self.key)
        self.session = None

    def give_up(self) -> None:
        """End the running object: its mask stays drawn, its points go."""
        self._around.worker.cancel(self.key)
        self._around.prompts.replace(self.plane, ())
        self.held = Painted()

    # From points to a mask --------------------------------------------------------

    def synchronise(self) -> None:
        """Let the session follow the points, and ask for what is missing."""
        session = self.session
        if session is None:
            self._around.say("")
            return
        clicks, outside = self._on_image(self.clicks)
        clicks = clicks[: self.accepting or None]
        if clicks != session.clicks or self._missing(session):
            if not session.clicks:
                self._view = self._view or self._visible()
                session.view = self._view
            follow(session, clicks)
            self._around.events.clicks_changed.emit(self)
            self.predict()
        self._around.say(outside)

    def predict(self) -> None:
        """Ask for the mask of all clicks, or take the mask away if there are none."""
        session, around = self.session, self._around
        if session is None:
            return
        if session.clicks:
            work = partial(
                infer, session.segmenter, session.request(), session.prediction
            )
            around.worker.submit(self.key, work)
        else:
            around.worker.cancel(self.key)
            nothing = np.zeros((0, 0), dtype=bool)
            around.painter.paint(self.plane, self.held, EMPTY, nothing)
            self._view = self.seconds = None
            around.events.predicted.emit(self)
        around.say("")

    def found(self, found: Found, seconds: float) -> None:
        """Draw the mask that was found, unless the clicks have changed since."""
        session, request = self.session, found.request
        if session is None:
            return
        if request is not None and not session.fulfil(request, found.predictions):
            return
        self.seconds = seconds
        try:
            self._around.painter.paint(self.plane, self.held, found.box, found.mask)
        except InputError as error:
            self.accepting = 0
            self._around.say(str(error))
            return
        self._around.events.predicted.emit(self)
        if self.accepting:
            self._finish(session)
        else:
            self._around.say("")

    def failed(self) -> None:
        """Go on after an error: the clicks stay, the next one tries again."""
        self.accepting = 0

    # What a person can do ---------------------------------------------------------

    def accept(self) -> None:
        """Finish the running object, now or as soon as its mask is there."""
        clicks = self.clicks
        if not clicks:
            self._around.say("Nothing to accept yet: click on an object first.")
        elif self.session is None or self.busy:
            self.accepting = len(clicks)
            self._around.say("")
        else:
            self._finish(self.session)

    def clear(self) -> None:
        """Remove all clicks of the running object, and with them its mask."""
        self.accepting = 0
        self._around.prompts.replace(self.plane, ())
        self.synchronise()

    def undo(self) -> None:
        """Take back the last change; without clicks, reopen the last object."""
        session, self.accepting = self.session, 0
        if session is None:
            return
        if session.undo_click():
            self._show_clicks(session)
        elif session.objects and not session.clicks:
            label = session.reopen()
            self.held = self._around.painter.held(self.plane, label)
            self._around.events.objects_changed.emit()
            self._show_clicks(session)
        else:
            self._around.say("Nothing to undo.")

    def redo(self) -> None:
        """Repeat what was taken back."""
        session, self.accepting = self.session, 0
        if session is None:
            return
        if session.redo_click():
            self._show_clicks(session)
        else:
            self._around.say("Nothing to redo.")

    # Steps ------------------------------------------------------------------------

    def _finish(self, session: Session) -> None:
        """Accept the object that is drawn, and go on with later clicks."""
        around, self.accepting = self._around, 0
        drawn = around.painter.shows(self.plane, self.held)
        if session.prediction is None or not drawn:
            around.say("There is no mask to accept: click on the object once more.")
            return
        accepted = session.clicks
        session.labels[...] = around.painter.others(self.plane, self.held)
        try:
            label = session.accept(label=self.held.label)
        except InputError as error:
            around.say(str(error))
            return
        around.painter.end_step()
        self.held, self._view, self.seconds = Painted(), None, None
        later = [click for click in self.clicks if click not in accepted]
        around.prompts.replace(self.plane, later)
        self.synchronise()
        around.events.accepted.emit(self, label)
        around.events.objects_changed.emit()
        around.say(f"Object {label} is done. Click on the next one.")

    def _show_clicks(self, session: Session) -> None:
        """Bring the session's clicks into the points layers, and its mask."""
        self._around.prompts.replace(self.plane, session.clicks)
        self.predict()

    def _missing(self, session: Session) -> bool:
        """Return whether the mask of all clicks is neither known nor asked for."""
        return bool(session.clicks) and session.prediction is None and not self.busy

    def _on_image(self, clicks: Sequence[Click]) -> tuple[tuple[Click, ...], str]:
        """Return the clicks on the image; points beside it are removed, and why."""
        rows, cols = self.plane.shape(layer_shape(self._around.image))
        inside = tuple(
            click
            for click in clicks
            if 0 <= click.pixel[0] < rows and 0 <= click.pixel[1] < cols
        )
        if len(inside) == len(clicks):
            return inside, ""
        self._around.prompts.replace(self.plane, inside)
        return inside, "That click was outside the image and has been removed."

    def _visible(self) -> Box | None:
        shape = self.plane.shape(layer_shape(self._around.image))
        return visible_box(self._around.layers.labels, self.plane, shape)


def follow(session: Session, clicks: Sequence[Click]) -> None:
    """Give a session these clicks; nothing is predicted here.

    New clicks at the end are pushed one by one. Any other change (points were dragged
    or deleted) is one step, so that one undo takes it back.
    """
    have = session.clicks
    if tuple(clicks[: len(have)]) != have:
        session.push_clicks(clicks)
        return
    for click in clicks[len(have) :]:
        session.push_click(click.row, click.col, click.positive)
