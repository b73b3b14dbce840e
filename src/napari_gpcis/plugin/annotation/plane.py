"""One plane being annotated: its objects being clicked, and the mask of the first."""

from __future__ import annotations

from functools import partial
from time import perf_counter
from typing import TYPE_CHECKING

import numpy as np
from napari.utils.notifications import show_warning

from napari_gpcis.clicks import Click
from napari_gpcis.errors import InputError
from napari_gpcis.geometry import placed, union
from napari_gpcis.inference.start_mask import make_start_mask
from napari_gpcis.inference.tidy import DEFAULT_TIDY
from napari_gpcis.plugin.annotation.drawn_object import DrawnObject
from napari_gpcis.plugin.annotation.finished_objects import FinishedObjects
from napari_gpcis.plugin.annotation.jobs import Found, infer
from napari_gpcis.plugin.annotation.object_queue import ObjectQueue, Recalled
from napari_gpcis.plugin.labels.hand_edits import NONE, HandEdits
from napari_gpcis.plugin.viewer.planes import layer_shape, visible_box
from napari_gpcis.session.current import CurrentObject
from napari_gpcis.session.review import candidate_prompts

if TYPE_CHECKING:
    from collections.abc import Hashable, Sequence

    from numpy.typing import ArrayLike

    from napari_gpcis.geometry import Mask
    from napari_gpcis.inference.prediction import Prediction
    from napari_gpcis.plugin.annotation.context import AnnotationContext
    from napari_gpcis.plugin.annotation.jobs import Opened
    from napari_gpcis.plugin.viewer.planes import Box, Plane
    from napari_gpcis.session.labels import LabelChange
    from napari_gpcis.session.session import Session


class PlaneAnnotation:
    """One plane being annotated.

    Its objects are clicked one after the other. The mask of the first that is not
    finished is computed and drawn; if it waits to be accepted, it is finished as soon
    as its mask is there, and the next one is the first.

    Everything here runs in the GUI thread and returns at once; predictions are asked of
    the inference thread and drawn when they come.

    Parameters
    ----------
    plane
        The plane.
    context
        What it shares with the other planes.

    Attributes
    ----------
    session
        ``None`` until the plane is opened, and after it was set aside.
    objects
        The objects being clicked.
    key
        Key of its requests to the inference thread.
    drawn
        The first object as it is drawn in the labels layer.
    finished_objects
        Those that are finished, as they are drawn there.
    seconds
        Time from the last click to its mask on the screen, or in the labels layer if
        there is no canvas to see; ``None`` if nothing was computed.
    unseen
        Whether the mask that was found is on its way to the screen.
    finished
        The object that was accepted last, with the steps of its clicks.
    """

    def __init__(self, plane: Plane, context: AnnotationContext) -> None:
        self.plane = plane
        self.session: Session | None = None
        self.key: Hashable = id(context), plane
        self._context = context
        self.objects = ObjectQueue(
            plane, context.click_layers, self._new_object, self._begin
        )
        self.drawn = DrawnObject(plane, self.objects, context.writer, context.writing)
        self.finished_objects = FinishedObjects(self, context)
        self.seconds: float | None = None
        self.unseen = False
        self._clicked: float | None = None  # when, of what is not asked for yet
        self._began = 0.0  # when it was clicked, of what was asked for last
        self._asked: tuple[Click, ...] = ()
        self.finished: CurrentObject | None = None

    @property
    def shape(self) -> tuple[int, int]:
        """Rows and columns of the plane."""
        return self.plane.shape(layer_shape(self._context.image))

    @property
    def current(self) -> CurrentObject:
        """The object that further clicks belong to."""
        return self.objects.current

    @property
    def first(self) -> CurrentObject:
        """The object whose mask is computed and drawn."""
        return self.objects.first

    @property
    def clicks(self) -> tuple[Click, ...]:
        """Clicks of all objects that are not finished, in order."""
        return self.objects.clicks

    @property
    def accepting(self) -> bool:
        """True if an object is to be accepted as soon as its mask is there."""
        return bool(self.objects.waiting)

    @property
    def occupied(self) -> str:
        """Reason why no finished object can be changed now; empty if one can."""
        if self.current.clicks:
            return _CLICKED
        return _WAITED if self.objects.waiting else ""

    @property
    def busy(self) -> bool:
        """True if an answer is on its way."""
        return self.session is None or self._context.worker.busy(self.key)

    @property
    def running(self) -> bool:
        """True if an object is being clicked."""
        return bool(self.drawn.live.label or self.clicks)

    @property
    def view(self) -> Box | None:
        """View of the first click: a box that was drawn, or what is seen."""
        seen = self._context.layers.labels
        return self.current.view or visible_box(seen, self.plane, self.shape)

    def _new_object(self) -> CurrentObject:
        context = self._context
        return CurrentObject(
            self.shape,
            threshold=context.writing.threshold,
            tidy=context.writing.tidy,
            tiled=context.is_tiled(self.plane),
        )

    # Opening and closing ----------------------------------------------------------

    def recall(self, recalled: Sequence[Recalled]) -> None:
        """Go on with objects as soon as the plane is open.

        Parameters
        ----------
        recalled
            Them, see `ObjectQueue.begin_anew`.
        """
        self.objects.begin_anew(recalled)
        for one, known in zip(self.objects.all, recalled, strict=True):
            if known.label or known.overwrite:
                self.drawn.recall_target(
                    one, known.label, known.how, overwrite=known.overwrite
                )
            if known.by_hand is not NONE:
                self.drawn.recall_hand_edits(one, known.by_hand)
            if known.class_number is not None:
                self.objects.class_numbers[one] = known.class_number

    def opened(self, opened: Opened) -> None:
        """Take the session that was made for this plane."""
        self.session = opened.session
        self.session.current = self.first

    def set_aside(self) -> None:
        """Free the image's memory; points and masks stay in their layers."""
        self._context.worker.cancel(self.key)
        self._context.notes.of(self.plane)  # takes the last steps of the session
        self.session = None
        for one in self.objects.all:
            one.forget_predictions()

    def halt(self) -> None:
        """Draw no answer that is on its way: it is asked for again when displayed."""
        self._context.writer.flush()
        self._context.worker.cancel(self.key)

    def give_up(self) -> None:
        """End what is being clicked: its mask stays drawn, its points go."""
        self._context.worker.cancel(self.key)
        self.drawn.leave()
        self.objects.begin_anew()
        if self.session is not None and self.session.shape == self.shape:
            self.session.current = self.current

    # From clicks to a mask --------------------------------------------------------

    def synchronise(self) -> None:
        """Take over what was edited in the points layers; ask for what is missing."""
        self._context.click_layers.settle()
        before = self.first
        clicks = before.clicks
        edited, beside = self.objects.take_edits()
        first = self.first
        if first is not before:
            self.drawn.let_go()  # its clicks were removed
        if edited:
            self._clicked = self._context.click_layers.clicked
            self._context.undo_stack.forget_undone()
            self._context.events.clicks_changed.emit(self)
            first = self.first
        if first is not before or first.clicks != clicks or self._missing():
            self.predict()
        elif self.accepting and self.session is not None and not self.busy:
            self.predict()  # all is known: it is drawn, and accepted
        else:
            self._context.events.current_changed.emit()
        if beside:
            self._context.say(_OUTSIDE)

    def predict(self) -> None:
        """Ask for the mask of the first object, or take it away without clicks.

        While the plane is not open, nothing can be asked for.
        """
        session, first, context = self.session, self.first, self._context
        if not first.clicks:
            context.worker.cancel(self.key)
            self.drawn.let_go()
            first.view, self.seconds, self.unseen = None, None, False
            context.events.predicted.emit(self)
        elif session is not None:
            session.current = first
            self._asked = first.clicks
            self._began, self._clicked = self._clicked or perf_counter(), None
            work = partial(
                infer,
                session.segmenter,
                session.request(),
                first.prediction,
                threshold=first.threshold,
                tidy=first.tidy,
            )
            context.worker.submit(
                self.key, work, self._on_found, self._on_failed, awaited=True
            )
        context.events.current_changed.emit()

    def found(self, found: Found, *, computed: bool = False) -> None:
        """Draw the mask that was found, unless the clicks have changed since.

        Parameters
        ----------
        found
            The mask.
        computed
            Whether it was computed for the clicks: then its time is told.
        """
        session, request = self.session, found.request
        if session is None:
            return
        if request is not None and not session.fulfil(request, found.predictions):
            return
        self.seconds, self.unseen = None, False
        try:
            self.drawn.draw(found.box, found.mask)
        except InputError as error:
            self._go_back()
            self._context.say(str(error))
            return
        if computed:
            self._time()
        self._context.events.predicted.emit(self)
        if self.accepting:
            self._finish(session)
        else:
            self._context.events.current_changed.emit()
            if self._context.writer.rest is None:
                self.tell_covered()

    def tell_covered(self) -> None:
        """Say so if nothing is seen of the mask, as finished objects are protected.

        Of a large mask it is known as soon as all of it is drawn.
        """
        live, known = self.drawn.live, self.first.prediction
        if live.mask.any() or not live.label or live.how == "cut" or known is None:
            return
        if self.drawn.with_hand_edits(*known.trimmed)[1].any():
            self._context.say(COVERED)

    def _time(self) -> None:
        """Take the time since the click as soon as its mask is on the screen."""
        self.unseen = self._context.frames.call_next(self._on_seen)
        if not self.unseen:
            self.seconds = perf_counter() - self._began

    def _on_seen(self) -> None:
        """Take the time, unless only a part of the mask is on the screen."""
        if self.unseen and self._context.writer.rest is not None:
            self._time()
        elif self.unseen:
            self.unseen, self.seconds = False, perf_counter() - self._began
            self._context.events.seen.emit()

    def _on_found(self, found: Found | None, _seconds: float) -> None:
        """Take an answer of the inference thread."""
        if found is not None:
            self.found(found, computed=bool(found.predictions))
            self._context.drawn(self.plane)

    def _on_failed(self, error: Exception) -> None:
        """Report an error of the inference thread: the next click tries again.

        An object whose image cannot be read is not accepted.
        """
        if isinstance(error, InputError) and self.accepting:
            self._do_not_accept()
        self._context.worker.report(error)

    # By hand ----------------------------------------------------------------------

    def draw_by_hand(self, box: Box, drawn: Mask, erased: Mask) -> bool:
        """Add pixels to the mask of the current object, and take others from it.

        It is one step of undo. An object that began with a mask, and has no clicks of
        its own, begins with the changed mask instead. Any other keeps what is drawn
        and erased through further clicks.

        Parameters
        ----------
        box, drawn, erased
            A box of the plane, and pixels of it.

        Returns
        -------
        bool
            ``False`` if nothing is changed: there is no current object, one waits for
            its mask, or nothing would be left of it.
        """
        self._context.click_layers.settle()
        current = self.current
        if self.accepting or not current.clicks:
            return False
        if (
            current.start is not None
            and current.begun_only
            and self.drawn.hand_edits is NONE
        ):
            return self._begin_instead(box, drawn, erased)
        before = after = self.drawn.hand_edits
        for mask, is_drawn in ((drawn, True), (erased, False)):
            rows, cols = np.nonzero(mask)
            after = after.with_stroke(
                rows + box[0], cols + box[1], drawn=is_drawn, clicks=current.clicks
            )
        if after is before:
            return False
        self.drawn.set_hand_edits(after)
        self._context.undo_stack.add_hand_edits(self, before)
        self._draw_known()
        return True

    def _begin_instead(self, box: Box, drawn: Mask, erased: Mask) -> bool:
        """Begin the current object with its mask as it is after an edit by hand."""
        start = self.current.start
        assert start is not None
        both = union(start.box, box)
        mask = placed(start.mask, start.box, both) | placed(drawn, box, both)
        mask &= ~placed(erased, box, both)
        if not mask.any():
            return False
        self.current.begin_instead(
            make_start_mask(mask, self.shape, corner=both[:2], label=start.label)
        )
        self._context.undo_stack.forget_undone()
        self._show_known()
        return True

    def draw_with_hand_edits(self, edits: HandEdits) -> None:
        """Draw the mask anew with other edits by hand."""
        self.drawn.set_hand_edits(edits)
        self._draw_known()

    def _draw_known(self) -> None:
        """Draw the mask of the first object, if it is known: else it comes later."""
        known = None if self.session is None else self.first.prediction
        if known is not None:
            self.found(Found(None, (), *known.trimmed))

    def finish_drawing(self) -> None:
        """Draw the rest of a large mask now, as somebody is about to read it."""
        self._context.writer.flush()

    # Commands ---------------------------------------------------------------------

    def accept(self) -> None:
        """Finish the current object, now or as soon as its mask is there."""
        if not self.clicks:
            self._context.say("Nothing to accept yet: click on an object first.")
        elif not self.current.clicks:
            self.synchronise()  # tries again after an error
        elif self._accept():
            self._context.undo_stack.forget_undone()

    def _accept(self, following: CurrentObject | None = None) -> bool:
        """Finish the current object, now or as soon as its mask is there.

        Parameters
        ----------
        following
            The object that is current after it; by default a new one.

        Returns
        -------
        bool
            ``False`` if it cannot be accepted.
        """
        session = self.session
        known = session is not None and self.first.prediction is not None
        if session is not None and known and not (self.busy or self.accepting):
            return self._finish(session, following)
        self.drawn.keep_target()
        self.objects.wait(following)
        self._context.events.waiting_changed.emit(self)
        self._context.writing.finished()
        if session is not None:
            self.synchronise()
        return True

    def clear(self) -> None:
        """Remove all clicks of the object that was clicked last, and its mask."""
        if not self.current.clicks:
            self.objects.withdraw()
        self.change_clicks(())

    def cancel(self) -> None:
        """End the object that was clicked last: one being corrected is as before."""
        if self.current.clicks or self.objects.waiting:
            self.clear()
            self._context.say(_CANCELLED)
        elif self.current.start is not None and not self._undo_click():
            self.undo()

    def undo(self) -> None:
        """Take back the last change: of the clicks, or of finished objects."""
        context = self._context
        if context.undo_stack.last_is_newer(self):
            context.say(context.undo_stack.undo(self) or _NO_UNDO)
        elif self._undo_click():
            return
        elif (following := self.objects.withdraw()) is not None:
            context.undo_stack.note_withdrawn(self, following)
            context.events.waiting_changed.emit(self)
            context.events.current_changed.emit()
            context.say("Not accepted: the object goes on.")
        elif self.current.clicks or not (words := context.undo_stack.undo(self)):
            place = context.undo_stack.accepted_elsewhere(self)
            there = "" if place is None else _UNDO_THERE.format(place)
            context.say(f"{_NO_UNDO}{there}")
        else:
            context.say(words)

    def _undo_click(self) -> bool:
        """Take back a step of the current object's clicks; ``False`` without any."""
        undone = self.current.undo()
        if undone:
            self._context.undo_stack.note_undone_click(self)
            self._show_clicks()
        return undone

    def redo(self) -> None:
        """Repeat what was undone last."""
        words = self._context.undo_stack.redo(self)
        if words is None:
            place = self._context.undo_stack.undone_elsewhere(self)
            there = "" if place is None else _REDO_THERE.format(place)
            self._context.say(f"{_NO_REDO}{there}")
        elif words:
            self._context.say(words)

    def toggle_sign(self) -> None:
        """Turn the sign of the selected clicks, or of the last one."""
        self._context.click_layers.settle()
        if not self.clicks:
            self._context.say("No click to switch: click on an object first.")
            return
        self.objects.switch_sign()
        self._changed()

    def toggle_tidy(self) -> None:
        """Tidy the mask of the current object, or leave it as the model makes it.

        It is a step of its clicks: undo takes it back.
        """
        self._context.click_layers.settle()
        current = self.current
        if not current.clicks:
            self._context.say("No mask to tidy: click on an object first.")
            return
        usual = self._context.writing.tidy or DEFAULT_TIDY
        current.tidy = usual if current.tidy is None else None
        self._changed()

    # What other parts ask for -----------------------------------------------------

    def change_clicks(self, clicks: Sequence[Click]) -> None:
        """Make these the clicks of the current object, as one step of undo."""
        if tuple(clicks) == self.current.clicks:
            return
        self.objects.set_clicks(tuple(clicks))
        self._changed()

    def choose(
        self, prediction: Prediction | None, slot: int = 0, *, instead: bool = False
    ) -> None:
        """Draw another mask for the same clicks, as one step of undo.

        Parameters
        ----------
        prediction
            The mask; ``None`` for the one before the last choice.
        slot
            See `Alternative`.
        instead
            Whether it takes the place of the choice made last, which must be the last
            step.
        """
        if instead:
            self.current.undo()
        if prediction is not None:
            start = self.current.choose(prediction)
            if self.session is not None:
                self.session.choices.take(start, slot)
        self._context.undo_stack.forget_undone()
        self._show_known()

    def draw_box(self, box: Box) -> bool:
        """Begin an object with a box: what is in it is zoomed to, and clicked.

        Returns
        -------
        bool
            ``False`` if an object is running already.
        """
        self._context.click_layers.settle()
        if self.clicks:
            self._context.say(
                "A box begins an object: accept or clear the current one first."
            )
            return False
        self.current.view = box
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
        self._context.click_layers.settle()
        session = self.session
        if session is None or self.clicks:
            self._context.say(self.occupied or "Not open yet: try again.")
            return False
        self.drawn.forget_before(self.current)
        session.push_mask(mask, clicks, corner=corner, label=label)
        self._changed()
        return True

    def set_threshold(self, threshold: float) -> None:
        """Draw the live mask anew with another threshold; nothing is predicted.

        Objects that wait to be accepted keep theirs.
        """
        if self.current.threshold != threshold:
            self.current.threshold = threshold
            if self.current.clicks and not self.accepting:
                self.predict()

    def write_otherwise(self) -> None:
        """Write the live mask in the way that is chosen now.

        Objects that wait to be accepted, or are corrected, are written as before.
        """
        if self.drawn.choose_target_anew() and self.current.clicks:
            self.predict()

    def show_session(self) -> None:
        """Draw at once what the session holds: a script has changed it."""
        if self.session is not None:
            self._show_known()
            self.finish_drawing()

    def finish_waiting(self) -> None:
        """Predict and finish, here and now, the objects that wait to be accepted.

        A script goes on with the object that was begun after them.
        """
        self._context.click_layers.settle()
        count = len(self.objects.waiting)
        while self.session is not None and self.accepting:
            self.session.replace_clicks(self.session.clicks)
            self.show_session()
            if len(self.objects.waiting) >= count:
                return  # there is no id for it
            count = len(self.objects.waiting)

    # What the history asks for ----------------------------------------------------

    def reopen(self, session: Session, finished: CurrentObject | None) -> int:
        """Make the object that was accepted last the current one again.

        Parameters
        ----------
        session
            That of this plane, which has it as its last step.
        finished
            The object with the steps of its clicks; ``None`` if they are not known any
            more: then undo takes back one click after the other.

        Returns
        -------
        int
            Its id.
        """
        step, change = session.steps[-1], session.last_change
        edits = self.drawn.hand_edits_of_last_step(session)
        session.current = self.objects.current = finished or self._new_object()
        if finished is None:
            label = session.reopen()
        else:
            session.withdraw()
            label = step.id
        if edits is not NONE:
            self.drawn.set_hand_edits(edits)
        if change is not None and step.how != "delete":
            self.drawn.reopen(label, step.how, change, overwrite=step.overwrite)
        self._show_clicks()
        return label

    def redo_click(self) -> bool:
        """Repeat a step of the current object's clicks; ``False`` if there is none."""
        if not self.current.redo():
            return False
        self._show_clicks()
        return True

    def wait_again(self, following: CurrentObject) -> bool:
        """Accept the current object, whose mask was not there when it was accepted.

        Parameters
        ----------
        following
            The object that was current after it.

        Returns
        -------
        bool
            ``False`` if it cannot be accepted.
        """
        return bool(self.current.clicks) and self._accept(following)

    def go_on_with(self, current: CurrentObject) -> None:
        """Make an object the current one that was left out, or clicked after it."""
        self.drawn.let_go()
        self.objects.go_on_with(current)
        if self.session is not None:
            self.session.current = self.first
        self._show_clicks()

    def accept_again(
        self, label: int, change: LabelChange, following: CurrentObject | None
    ) -> None:
        """Finish the current object, which the session has as its last step again.

        Parameters
        ----------
        label
            Its id.
        change
            The pixels to be changed again.
        following
            The object that was current after it; by default a new one.
        """
        context = self._context
        context.worker.cancel(self.key)
        edits = self.drawn.hand_edits
        self.drawn.let_go()
        if self.session is not None:
            self.drawn.keep_hand_edits(self.session, edits)
        context.writer.reserve(label)
        context.writer.restore(self.plane, change.reversed)
        self.finished = self.first
        self.finished.finish()
        self._next(following)
        context.events.accepted.emit(self, label)

    # Steps ------------------------------------------------------------------------

    def _begin(self, current: CurrentObject, click: Click | None) -> None:
        """Take what the first click of an object is seen with, and how it is shown."""
        if not current.clicks:
            self.drawn.forget_before(current)
        current.view = self.view
        current.threshold = self._context.writing.threshold
        current.tidy = self._context.writing.tidy
        offered = None if click is None else self._context.offered(self.plane, click)
        if offered is not None:  # the click corrects what was found there
            current.threshold = offered.threshold
            current.begin_with(candidate_prompts(offered))

    def _finish(self, session: Session, following: CurrentObject | None = None) -> bool:
        """Accept the first object, which is drawn, and go on with the next.

        Returns
        -------
        bool
            ``False`` if it cannot be accepted.
        """
        context, live, waited = self._context, self.drawn.live, self.accepting
        if session.prediction is None or not self.drawn.is_shown:
            if not (waited and self._do_not_accept()):
                context.say(_NOTHING[live.how])
            return False
        label = live.label
        change = self.drawn.change()
        edits = self.drawn.hand_edits
        session.accept_drawn(
            change, label=label, how=live.how, overwrite=live.overwrite
        )
        context.writer.end_step()
        self.drawn.keep_hand_edits(session, edits)
        self.drawn.leave()
        self.finished = self.first
        self._next(following)
        if not waited:
            context.writing.finished()
        context.events.accepted.emit(self, label)
        context.events.objects_changed.emit(frozenset({self.plane}))
        context.say(_DONE[live.how].format(label))
        return True

    def _do_not_accept(self) -> bool:
        """Go on without accepting the first object, which waits for it.

        If nothing was clicked after it, it is the current object again. Otherwise it
        is left out, so that the objects after it are what they were; undo brings it
        back.

        Returns
        -------
        bool
            Whether it is left out.
        """
        first = self.first
        if self.objects.last_waits_alone:
            self._go_back()
            return False
        how = self.drawn.live.how
        self.drawn.let_go()
        self._context.undo_stack.add_left_out(self.plane, first)
        self._next()
        self._context.events.predicted.emit(self)  # its mask is gone
        show_warning(_LEFT_OUT[how])
        return True

    def _go_back(self) -> None:
        """Make an object that waits the current one, if nothing was clicked after it.

        If something was, it goes on waiting: the next click tries again.
        """
        if self.objects.last_waits_alone:
            self.objects.withdraw()
            self._context.events.waiting_changed.emit(self)
        self._context.events.current_changed.emit()

    def _next(self, following: CurrentObject | None = None) -> None:
        """Begin the next object, or go on with one that waits."""
        self.objects.next(following)
        self.seconds, self.unseen = None, False
        if self.session is not None:
            self.session.current = self.first
        self.synchronise()

    def _missing(self) -> bool:
        """Return whether the first object's mask is neither known nor asked for."""
        first = self.first
        return bool(
            self.session is not None
            and first.clicks
            and first.prediction is None
            and not self.busy
        )

    def _changed(self) -> None:
        """Go on after a new step of the clicks."""
        self._context.undo_stack.forget_undone()
        self._show_clicks()

    def _show_known(self) -> None:
        """Show the clicks there are now, and draw their mask if it is known."""
        session, context = self.session, self._context
        context.worker.cancel(self.key)
        self.objects.show()
        context.events.clicks_changed.emit(self)
        if session is None or session.prediction is None:
            self.predict()
        else:
            self.found(Found(None, (), *session.prediction.trimmed))

    def _show_clicks(self) -> None:
        """Show the clicks there are now, and ask for the mask of the first object.

        While an object waits for its mask, that was asked for already.
        """
        self.objects.show()
        self._context.events.clicks_changed.emit(self)
        if self.accepting and self.first.clicks == self._asked:
            self._context.events.current_changed.emit()
        else:
            self.predict()


TAKEN = "That belongs to finished objects, which are protected."
COVERED = (
    "Nothing to show: finished objects are protected, and all of the mask is on them. "
    "Undo goes back."
)
_CLICKED = "Accept or clear the current object first."
_WAITED = "Accepted objects wait for their masks: try again when these are there."
_OUTSIDE = "That click was outside the image and has been removed."
_NO_UNDO, _NO_REDO = "Nothing to undo.", "Nothing to redo."
_UNDO_THERE = " The last object was accepted on plane {}: go there to take it back."
_REDO_THERE = " The last step was undone on plane {}: go there to repeat it."
_CANCELLED = "Cancelled: undo brings the clicks back."
_NOTHING = {
    "add": "There is no mask to accept: click on the object once more.",
    "cut": "Nothing to subtract: the mask does not overlap the selected label.",
    "replace": "There is no mask to accept: click on the object once more.",
}
_LEFT_OUT = {
    "add": "An object without a mask was left out; undo brings it back.",
    "cut": "What would have subtracted nothing was left out; undo brings it back.",
    "replace": "A correction without a mask was left out; undo brings it back.",
}
_DONE = {
    "add": "Object {} is done. Click on the next one.",
    "cut": "Subtracted from object {}. Click on the next one.",
    "replace": "Object {} is corrected. Click on the next one.",
}
