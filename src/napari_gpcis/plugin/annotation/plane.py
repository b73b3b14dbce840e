"""What a person can do with the running object and the finished ones on one plane."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING
from weakref import ref

import numpy as np

from napari_gpcis.clicks import Click
from napari_gpcis.plugin.annotation.jobs import Found
from napari_gpcis.plugin.deeds import Part
from napari_gpcis.plugin.ends import Ends
from napari_gpcis.plugin.labels.live_mask import Painted
from napari_gpcis.plugin.plane_clicks import PlaneClicks
from napari_gpcis.session.labels import FinishedObject, LabelChange

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import ArrayLike

    from napari_gpcis.plugin.viewer.planes import Box
    from napari_gpcis.session.labels import How
    from napari_gpcis.session.session import Session


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
