"""The running object on one plane: from clicks to a drawn mask.

Everything here runs in the GUI thread and returns at once; predictions are asked of
the inference thread and drawn when they come.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from contextlib import contextmanager
from functools import partial
from typing import TYPE_CHECKING

from napari_gpcis.errors import InputError
from napari_gpcis.plugin.annotation.jobs import infer
from napari_gpcis.plugin.annotation.pending import Draft, follow
from napari_gpcis.plugin.ends import Ends
from napari_gpcis.plugin.labels.live_mask import Painted
from napari_gpcis.plugin.viewer.planes import layer_shape, visible_box

if TYPE_CHECKING:
    from collections.abc import Hashable, Iterator, Sequence

    from napari_gpcis.clicks import Click
    from napari_gpcis.plugin.annotation.context import Surroundings
    from napari_gpcis.plugin.annotation.jobs import Found, Opened
    from napari_gpcis.plugin.viewer.planes import Box, Plane
    from napari_gpcis.session.current import Prompts
    from napari_gpcis.session.session import Session


class PlaneClicks(ABC):
    """The clicks on one plane and the mask they give.

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
    draft
        The clicks while there is no session.
    held
        What the running object shows in the labels layer.
    ends
        Where objects end that are to be accepted as soon as their masks are there.
    seconds
        How long the last answer took to compute.
    """

    def __init__(self, plane: Plane, around: Surroundings) -> None:
        self.plane = plane
        self.session: Session | None = None
        self.draft = Draft()
        self.held = Painted()
        self.ends = Ends()
        self.seconds: float | None = None
        self._around = around
        self._view: Box | None = None
        self._threshold: float | None = None

    @property
    def key(self) -> Hashable:
        """Key of this plane's requests to the inference thread."""
        return id(self._around), self.plane

    @property
    def shape(self) -> tuple[int, int]:
        """Rows and columns of the plane."""
        return self.plane.shape(layer_shape(self._around.image))

    @property
    def clicked(self) -> Session | Draft:
        """Where the clicks are taken down: in the session, or until it is there."""
        return self.draft if self.session is None else self.session

    @property
    def clicks(self) -> tuple[Click, ...]:
        """Clicks of the running object, as the points layers hold them."""
        return self._around.prompts.clicks(self.plane, self.clicked.clicks)

    @property
    def accepting(self) -> int:
        """The number of clicks to accept as soon as their mask is there, else 0.

        Later clicks wait: they belong to the next object.
        """
        return self.ends.first

    @property
    def busy(self) -> bool:
        """Whether an answer is on its way."""
        return self.session is None or self._around.worker.busy(self.key)

    @property
    def running(self) -> bool:
        """Whether an object is being clicked, as far as it is followed."""
        return bool(self.clicked.clicks or self.held.label)

    @property
    def view(self) -> Box | None:
        """What the first click is zoomed to: a box that was drawn, or what is seen."""
        return self._view or visible_box(
            self._around.layers.labels, self.plane, self.shape
        )

    @property
    def _first_threshold(self) -> float:
        """The threshold of a new object, or of one that goes on after a pause."""
        return self._threshold or self._around.writing.threshold

    # Opening and closing ----------------------------------------------------------

    def recall(self, prompts: Prompts, threshold: float) -> None:
        """Go on with saved prompts as soon as the plane is open."""
        self._view, self._threshold = prompts.view, threshold
        self.draft.recall(prompts)
        self._around.prompts.replace(self.plane, prompts.clicks)

    def opened(self, opened: Opened) -> None:
        """Take the session that was made for this plane."""
        self.session = opened.session
        self.session.threshold = self._first_threshold
        if self.draft.clicks:
            self._threshold = None
        self.session.go_on(self.draft.history)
        self.draft = Draft()

    def set_aside(self) -> None:
        """Free the image's memory; points and masks stay in their layers."""
        self._around.worker.cancel(self.key)
        if self.session is not None:
            self.draft = Draft(self.session.history)
            if self.session.clicks:
                self._threshold = self.session.threshold
        self.session = None

    def give_up(self) -> None:
        """End the running object: its mask stays drawn, its points go."""
        self._around.worker.cancel(self.key)
        self._around.prompts.replace(self.plane, ())
        self.held, self.draft = Painted(), Draft()

    # From points to a mask --------------------------------------------------------

    def synchronise(self) -> None:
        """Take down what the points are now, and ask for what is missing."""
        clicked = self.clicked
        self.ends.follow(self.clicks)
        clicks, outside = self._on_image(self.clicks)
        clicks = clicks[: self.accepting or None]
        if clicks != clicked.clicks or self._missing():
            if not clicked.clicks:
                self._begin()
            follow(clicked, clicks)
            self._around.events.clicks_changed.emit(self)
            self.predict()
        elif self.accepting and self.session is not None and not self.busy:
            self._finish(self.session)  # a mask that it began with needs no answer
            return
        self._around.say(outside)

    def _begin(self) -> None:
        """Take what the first click of an object is seen with, and its threshold."""
        self._view = self.clicked.view = self.view
        if self.session is not None:
            self.session.threshold, self._threshold = self._first_threshold, None

    def predict(self) -> None:
        """Ask for the mask of all clicks, or take the mask away if there are none.

        While the plane is not open, nothing can be asked for.
        """
        session, around = self.session, self._around
        if not self.clicked.clicks:
            around.worker.cancel(self.key)
            self._let_go()
            self._view, self.seconds, self.ends = None, None, Ends()
            around.events.predicted.emit(self)
        elif session is not None:
            work = partial(
                infer,
                session.segmenter,
                session.request(),
                session.prediction,
                threshold=session.threshold,
            )
            around.worker.submit(self.key, work)
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
            self._hold(session)
            self._around.painter.paint(self.plane, self.held, found.box, found.mask)
        except InputError as error:
            self.ends = Ends()
            self.synchronise()
            self._around.say(str(error))
            return
        self._around.events.predicted.emit(self)
        if self.accepting:
            self._finish(session)
        else:
            self._around.say("")

    @contextmanager
    def lifted(self) -> Iterator[None]:
        """Take the running mask off the labels while what is under it is changed.

        Afterwards it is there again, as far as it may be.
        """
        held, painter = self.held, self._around.painter
        if not held.label:
            yield
            return
        box, mask = painter.seen(self.plane, held)
        painter.give_back(self.plane, held)
        try:
            yield
        finally:
            known = None if self.session is None else self.session.prediction
            if known is not None:
                box, mask = known.trimmed
            if held.how == "replace":  # the object may be another one now
                self.held = painter.replaced(self.plane, held.label, cover=held.cover)
            painter.paint(self.plane, self.held, box, mask)

    def finish_drawing(self) -> None:
        """Draw the rest of a large mask now, as somebody is about to read it."""
        self._around.painter.flush()

    def failed(self) -> None:
        """Go on after an error: the clicks stay, the next one tries again."""
        self.ends = Ends()

    def _hold(self, session: Session) -> None:
        """Decide once what the running object does to the labels."""
        around, start = self._around, session.start
        if self.held.label:
            return
        if start is None or start.label is None:
            self.held = around.writing.begin(self.plane, around.painter)
            return
        cover = around.writing.cover
        self.held = around.painter.replaced(self.plane, start.label, cover=cover)

    def _let_go(self) -> None:
        """Take the mask away; an object that was corrected is as before."""
        held, self.held = self.held, Painted()
        self._around.painter.give_back(self.plane, held)
        if held.new:
            self._around.painter.release(held.label)

    @abstractmethod
    def _finish(self, session: Session) -> None:
        """Accept the object that is drawn."""

    def _missing(self) -> bool:
        """Return whether the mask of all clicks is neither known nor asked for."""
        session = self.session
        return bool(
            session and session.clicks and session.prediction is None and not self.busy
        )

    def _on_image(self, clicks: Sequence[Click]) -> tuple[tuple[Click, ...], str]:
        """Return the clicks on the image; points beside it are removed, and why."""
        rows, cols = self.shape
        inside = tuple(
            click
            for click in clicks
            if 0 <= click.pixel[0] < rows and 0 <= click.pixel[1] < cols
        )
        if len(inside) == len(clicks):
            return inside, ""
        self._around.prompts.replace(self.plane, inside)
        return inside, "That click was outside the image and has been removed."
