"""What a person can do with the running object and the finished ones on one plane."""

from __future__ import annotations

from abc import ABC, abstractmethod
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING
from weakref import ref

import numpy as np

from napari_gpcis.clicks import Click
from napari_gpcis.errors import InputError
from napari_gpcis.plugin.annotation.jobs import Found, infer
from napari_gpcis.plugin.annotation.pending import Draft, Ends, follow
from napari_gpcis.plugin.annotation.undo import Part
from napari_gpcis.plugin.labels.live_mask import Painted
from napari_gpcis.plugin.viewer.planes import layer_shape, visible_box
from napari_gpcis.session.labels import FinishedObject, LabelChange

if TYPE_CHECKING:
    from collections.abc import Hashable, Iterator, Sequence

    from numpy.typing import ArrayLike

    from napari_gpcis.plugin.annotation.context import Surroundings
    from napari_gpcis.plugin.annotation.jobs import Opened
    from napari_gpcis.plugin.viewer.planes import Box, Plane
    from napari_gpcis.session.current import Prompts
    from napari_gpcis.session.labels import How
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
            around.worker.submit(self.key, work, self._on_found, self._on_failed)
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

    def _on_found(self, found: Found | None, seconds: float) -> None:
        """Take an answer of the inference thread."""
        if found is not None:
            self.found(found, seconds)
            self._around.drawn(self.plane)

    def _on_failed(self, error: Exception) -> None:
        """Go on after an error of the inference thread, which is reported."""
        self.failed()
        self._around.worker.report(error)

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


class PlaneAnnotation(PlaneClicks):
    """One plane being annotated; see :class:`.PlaneClicks` for its parameters."""

    # Commands ---------------------------------------------------------------------

    def accept(self) -> None:
        """Finish the running object, now or as soon as its mask is there."""
        clicks = self.clicks
        if not clicks:
            self._around.say("Nothing to accept yet: click on an object first.")
        elif self.session is None or self.busy:
            self.ends.add(clicks)
            if self.session is not None:
                self._around.say("")
        else:
            self._finish(self.session)

    def clear(self) -> None:
        """Remove all clicks of the running object, and with them its mask."""
        self.ends = Ends()
        self._around.prompts.replace(self.plane, ())
        self.synchronise()

    def undo(self) -> None:
        """Take back the last change; without clicks, the last object or deletion."""
        session, clicked = self.session, self.clicked
        if self.accepting:
            self._undo_accepting()
        elif clicked.undo_click():
            self._show_clicks()
        elif clicked.clicks:
            self._around.say("Nothing to undo.")
        elif (deed := self._around.past.undo(self)) is not None:
            self._around.say(deed.words)
        elif session is not None and session.steps:
            self._take_back(session)
        else:
            self._around.say("Nothing to undo.")

    def redo(self) -> None:
        """Repeat what was taken back."""
        if not self.accepting and self.clicked.redo_click():
            self._show_clicks()
        else:
            self._around.say("Nothing to redo.")

    def toggle_sign(self) -> None:
        """Turn the sign of the selected clicks, or of the last one."""
        clicks = self.clicks
        if not clicks:
            self._around.say("No click to flip: click on an object first.")
            return
        turned = set(self._around.prompts.selected(self.plane)) or {clicks[-1]}
        self.change_clicks(
            [
                replace(click, positive=not click.positive)
                if click in turned
                else click
                for click in clicks
            ]
        )

    # What other parts ask for -----------------------------------------------------

    def change_clicks(self, clicks: Sequence[Click]) -> None:
        """Make these the clicks of the running object, as one step of undo."""
        if tuple(clicks[: self.accepting]) != self.clicks[: self.accepting]:
            self.ends = Ends()
        self._around.prompts.replace(self.plane, clicks)
        self.synchronise()

    def draw_box(self, box: Box) -> bool:
        """Begin an object with a box: what is in it is zoomed to, and clicked.

        Returns
        -------
        bool
            ``False`` if an object is running already.
        """
        self._around.prompts.settle()
        if self.clicks:
            self._around.say(
                "A box begins an object: accept or clear the running one first."
            )
            return False
        self._view = box
        middle = (box[0] + box[2] - 1) / 2, (box[1] + box[3] - 1) / 2
        self.change_clicks([Click(*middle)])
        return True

    def begin_with(
        self,
        mask: ArrayLike,
        corner: tuple[int, int] = (0, 0),
        *,
        label: int | None = None,
        clicks: Sequence[Click] = (),
    ) -> bool:
        """Begin an object with a mask, see `Session.push_mask`.

        Returns
        -------
        bool
            ``False`` if an object is running already, or the plane is not open.
        """
        self._around.prompts.settle()
        session = self.session
        if session is None or self.clicks:
            running = "Accept or clear the running object first."
            self._around.say(running if self.clicks else "Not open yet: try again.")
            return False
        session.push_mask(mask, clicks, corner=corner, label=label)
        self._show_clicks()
        return True

    def set_threshold(self, threshold: float) -> None:
        """Draw the running mask anew with another threshold; nothing is predicted."""
        if self.session is not None and self.session.threshold != threshold:
            self.session.threshold = threshold
            if self.session.clicks:
                self.predict()

    def write_otherwise(self) -> None:
        """Write the running mask in the way that is chosen now."""
        clicked = self.clicked
        if clicked.start is None or clicked.start.label is None:
            self._around.painter.give_back(self.plane, self.held)
            self.held = Painted()
            if clicked.clicks:
                self.predict()

    def delete(self, label: int) -> Part | None:
        """Delete a finished object of this plane.

        Parameters
        ----------
        label
            Its id.

        Returns
        -------
        Part or None
            What was changed; ``None`` if there is no such object, or it is the running
            one.
        """
        if self.held.label == label and self.clicks:
            return None
        with self.lifted():
            return self._delete(label)

    def _delete(self, label: int) -> Part | None:
        around, session = self._around, self.session
        found = around.painter.find(self.plane, label)
        if found is None:
            return None
        before, after = np.asarray(label), np.asarray(0)
        change = LabelChange(found.box, found.mask, before, after)
        part = Part(self.plane, label, change)
        if session is not None:
            size = found.mask.shape
            step = FinishedObject(label, (), None, 0.5, False, size, "delete")
            session.note(step, change)
            part = Part(self.plane, label, change, ref(session), step)
        around.painter.write(self.plane, found.box, found.mask, 0)
        return part

    def show_session(self) -> None:
        """Draw at once what the session holds: a script has changed it."""
        session, around = self.session, self._around
        if session is None:
            return
        around.worker.cancel(self.key)
        around.prompts.replace(self.plane, session.clicks)
        around.events.clicks_changed.emit(self)
        if session.prediction is None:
            self.predict()
        else:
            self.found(Found(None, (), *session.prediction.trimmed), 0.0)
            self.finish_drawing()

    def hold_as(self, label: int | None, how: How | None, cover: bool | None) -> None:
        """Write the running mask otherwise than was chosen, see `Session.accept`."""
        before, painter = self.held, self._around.painter
        painter.give_back(self.plane, before)
        number = label or before.label or painter.new_label(self.plane)
        way = how or before.how
        painter.reserve(number)
        found = painter.find(self.plane, number) if way == "replace" else None
        self.held = found or Painted(number, way, new=before.new and not label)
        self.held.cover = before.cover if cover is None else cover

    # Steps ------------------------------------------------------------------------

    def _finish(self, session: Session) -> None:
        """Accept the object that is drawn, and go on with later clicks."""
        around, held, ends = self._around, self.held, self.ends
        self.ends = Ends()
        drawn = around.painter.shows(self.plane, held)
        if session.prediction is None or not drawn:
            self.synchronise()  # later clicks belong to this object, then
            around.say(_NOTHING[held.how])
            return
        accepted, label = session.clicks, held.label
        later = [*self.clicks]
        for click in accepted:  # the same place may have been clicked again
            if click in later:
                later.remove(click)
        change = around.painter.change(self.plane, held)
        session.accept_drawn(change, label=label, how=held.how, overwrite=held.cover)
        around.painter.end_step()
        self.held, self._view, self.seconds = Painted(), None, None
        around.prompts.replace(self.plane, later)
        self.ends = ends.passed(len(accepted))
        self.synchronise()
        around.writing.finished()
        around.events.accepted.emit(self, label)
        around.events.objects_changed.emit()
        around.say(_DONE[held.how].format(label))

    def _take_back(self, session: Session) -> None:
        """Reopen the last object, or bring back the last one that was deleted."""
        step, change = session.steps[-1], session.last_change
        label = session.reopen()
        self._around.past.forget(step)
        if change is not None and step.how == "delete":
            self._around.painter.restore(self.plane, change)
            self._around.say(f"Object {label} is back.")
        elif change is not None and step.how != "delete":
            self.held = self._around.painter.reheld(self.plane, label, step.how, change)
            self.held.cover = step.overwrite
            self._show_clicks()
        self._around.events.objects_changed.emit()

    def _undo_accepting(self) -> None:
        """Take back a click after accept was pressed, or else that it was pressed."""
        clicks = self.clicks
        if self.ends.withdraw(clicks):
            self._around.say("Not accepted: the object goes on.")
        else:
            self._around.prompts.replace(self.plane, clicks[:-1])
            self._around.say("")

    def _show_clicks(self) -> None:
        """Bring the clicks that were taken down into the points layers; their mask."""
        self._around.prompts.replace(self.plane, self.clicked.clicks)
        self._around.events.clicks_changed.emit(self)
        self.predict()


_NOTHING = {
    "add": "There is no mask to accept: click on the object once more.",
    "cut": "The mask covers nothing of the selected label: nothing can be cut.",
    "replace": "There is no mask to accept: click on the object once more.",
}
_DONE = {
    "add": "Object {} is done. Click on the next one.",
    "cut": "Cut from object {}. Click on the next one.",
    "replace": "Object {} is corrected. Click on the next one.",
}
