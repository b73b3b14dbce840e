"""Candidates of a search: objects like the finished ones, to accept or reject."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, NamedTuple
from weakref import WeakKeyDictionary

import numpy as np
from napari.utils.colormaps.standardize_color import transform_color
from qtpy.QtCore import Qt, Signal

from napari_gpcis.geometry import EMPTY, moved, slices, union
from napari_gpcis.plugin.settings.shortcuts import key_of
from napari_gpcis.plugin.tools.base import Tool
from napari_gpcis.plugin.tools.similar.search import Progress, Question, Search
from napari_gpcis.plugin.viewer.planes import bring_into_view
from napari_gpcis.plugin.viewer.segments import Segments
from napari_gpcis.similar import LEAST_CONFIDENCE, resolved
from napari_gpcis.wording import counted

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from numpy.typing import NDArray

    from napari_gpcis.clicks import Click
    from napari_gpcis.plugin.annotation.annotation import Annotation
    from napari_gpcis.plugin.annotation.controller import Controller
    from napari_gpcis.plugin.annotation.undo.edits import ObjectEdit
    from napari_gpcis.plugin.tools.similar.search import Copy, SearchResult
    from napari_gpcis.plugin.viewer.planes import Plane
    from napari_gpcis.similar import Candidate, Examples

CURVE = "similar objects"
PINK, YELLOW = "#ff8ad8", "#ffd400"
"""Colours of candidates, and of the chosen one."""
BESIDE, NEAREST = 0.2, 2.0
"""A click so far beside a candidate corrects it: share of the side of a square of its
area, and pixels at least."""
MOST_KEPT = 8
"""So many sets of examples are kept, the latest."""
COUNT = "{} of {} candidates shown."
NONE = "None of {} candidates shown: all are below the chosen confidence."
PUT_AWAY = "The candidates are put away: {} looks for them anew."
LOOKED_AT = "Candidate {} of {}, confidence {:.0f} %."
NOTHING_FOUND = "No candidate was found."
ENDED = "The search was ended."
NO_CANDIDATE = "No candidate is shown: {} looks for objects like the finished ones."
NO_EXAMPLE = "Accept one to five objects first: others like them are looked for."
NO_EXAMPLE_OF = "Accept one to five objects of the class {!r} first: its examples."
OPEN_OBJECT = "Accept the object that you click first, or clear its clicks."


class _Decided(NamedTuple):
    """Candidates of a plane that were accepted or rejected together."""

    plane: Plane
    candidates: tuple[Candidate, ...]
    rejected: bool


class SimilarObjects(Tool):
    """Looks for objects like the finished ones of the displayed plane.

    Nothing is written before it is accepted. A click ends the search: what was found
    by then is kept. The first click of an object that lies on a candidate that is
    shown, or just beside it, corrects the candidate: it is the current object then.

    Parameters
    ----------
    controller
        Its annotations are followed.

    Attributes
    ----------
    candidates
        What was found and is not decided yet, the most confident first.
    chosen
        The candidate that is looked at.
    kept
        Examples of earlier searches by the name of their plane, the latest last.
    source
        Name of the kept examples that are used beside those of the displayed plane;
        ``None`` for none.
    """

    changed = Signal()
    """Emitted when candidates, the chosen one, or the progress has changed."""
    _searched = Signal(object, object, object)

    def __init__(self, controller: Controller) -> None:
        super().__init__(controller)
        self.candidates: list[Candidate] = []
        self.chosen: Candidate | None = None
        self._least = LEAST_CONFIDENCE
        self.kept: dict[str, Examples] = {}
        self.source: str | None = None
        self._plane: Plane | None = None
        self._name, self._class = "", 0
        self._decided: WeakKeyDictionary[ObjectEdit, _Decided] = WeakKeyDictionary()
        self._taken_up: list[Candidate] = []
        self._gone: list[Candidate] = []
        self._outline: tuple[list[Candidate], Segments] | None = None
        self._search: Search | None = None
        queued = Qt.ConnectionType.QueuedConnection
        self._searched.connect(self._on_progress, queued)
        for name, run in (
            ("find_similar", self.find),
            ("similar_next", self.go_to_next),
            ("similar_accept", self.accept),
            ("similar_reject", self.reject),
            ("similar_accept_all", self.accept_all),
        ):
            controller.register(name, run)
        controller.cancels.append(self.put_away)

    @property
    def least(self) -> float:
        """Least confidence of the candidates that are shown."""
        return self._least

    @least.setter
    def least(self, least: float) -> None:
        self._least = least
        self._show()

    @property
    def shown(self) -> list[Candidate]:
        """The candidates that are confident enough."""
        return [one for one in self.candidates if one.confidence >= self._least]

    @property
    def summary(self) -> str:
        """How many candidates are shown, in words, and which is looked at.

        Empty if there are none.
        """
        if not self.candidates:
            return ""
        shown, every = len(self.shown), len(self.candidates)
        count = COUNT.format(shown, every) if shown else NONE.format(every)
        return " ".join(filter(None, (count, self.looked_at)))

    @property
    def looked_at(self) -> str:
        """The candidate that is looked at, in words; empty if there is none."""
        shown, chosen = self.shown, self.chosen
        if chosen is None or chosen not in shown:
            return ""
        place = shown.index(chosen) + 1
        return LOOKED_AT.format(place, len(shown), 100 * chosen.confidence)

    @property
    def plane_name(self) -> str:
        """Name of the displayed plane among the kept examples."""
        annotation, current = self.annotation, self.current
        if annotation is None or current is None:
            return ""
        plane = current.plane
        steps = [str(s) for n, s in enumerate(plane.steps) if n not in plane.axes]
        return " ".join([annotation.image.name, *steps])

    @property
    def other_examples(self) -> list[str]:
        """Names of kept examples of other planes and images, the latest first."""
        own = self.plane_name
        return [name for name in reversed(self.kept) if name != own]

    @property
    def progress(self) -> Progress | None:
        """How far the search is; ``None`` while there is none."""
        return None if self._search is None else self._search.progress

    @property
    def ending(self) -> bool:
        """True if a search ends as soon as the present tile is done."""
        return self._search is not None and self._search.stop.is_set()

    def on_attached(self, annotation: Annotation) -> None:
        """Follow clicks, the plane, and what is undone."""
        events = annotation.events
        annotation.undo_stack.interrupts.append(self._interrupt)
        annotation.candidate_at = self._take_up
        annotation.give_way.append(self._interrupt)
        self.follow(events.clicks_changed, self._on_clicks)
        self.follow(events.objects_changed, self._check_taken_up)
        self.follow(events.plane_entered, self._on_plane)
        self.follow(events.edit_undone, self._on_undone)
        self.follow(events.edit_redone, self._on_redone)

    def on_detached(self, annotation: Annotation) -> None:
        """Forget everything."""
        self._end_search()
        annotation.candidate_at = None
        annotation.curves.clear(CURVE)
        self._forget()
        self._decided.clear()
        self.changed.emit()

    # The search -------------------------------------------------------------------

    def find(self) -> None:
        """Search the displayed plane for objects like its finished ones."""
        annotation, current = self.annotation, self.current
        if annotation is None or current is None or current.session is None:
            return
        if self._search is not None:
            return
        if current.clicks:
            self.say(OPEN_OBJECT)
            return
        current.finish_drawing()
        plane = current.plane
        source = self.source if self.source in self.other_examples else None
        question = Question(
            plane,
            current.session,
            annotation.classes,
            annotation.active_class,
            annotation.rejected.get(plane, ()),
            None if source is None else self.kept[source],
        )
        self._search = search = Search(question, annotation, self.ask)
        search.copy_labels(partial(self._on_copied, search), self._on_failed)
        self.changed.emit()

    def _on_copied(self, search: Search, copy: Copy) -> None:
        """Search by the examples in a copy of the labels."""
        if search is not self._search:
            return  # another plane is displayed by now
        question, ids = search.question, copy.ids
        classes = question.classes
        if classes.used:
            ids = classes.members(question.number, ids)
        if question.others is None and not ids:
            named = NO_EXAMPLE_OF.format(classes.classes[question.number].name)
            self._search = None
            self.say(named if classes.used else NO_EXAMPLE)
            self.changed.emit()
            return
        self._forget()
        self._plane, self._class = question.plane, question.number
        self._name = self.plane_name
        search.run(
            copy.labels,
            ids if classes.used or not ids else None,
            partial(self._searched.emit, search),
            partial(self._on_found, search),
            self._on_failed,
        )
        self._show()

    def cancel(self) -> None:
        """End the search after the present tile; what was found is kept."""
        if self._search is not None:
            self._search.stop.set()
        self.changed.emit()

    def _end_search(self) -> None:
        """Want nothing of the search any more."""
        search, self._search = self._search, None
        if search is not None:
            search.end()

    def _on_progress(
        self, search: Search, progress: Progress, found: list[Candidate] | None
    ) -> None:
        """Show how far the search is, and now and then what it has found so far."""
        if search is self._search:
            search.progress = progress
            if found is None:
                self.changed.emit()
            else:
                self._offer(found)
                self._show()

    def _on_failed(self, error: Exception) -> None:
        self._search = None
        if self.annotation is not None:
            self.annotation.worker.report(error)
        self._show()

    def _on_found(
        self, search: Search, found: SearchResult | None, _seconds: float
    ) -> None:
        self._search = None
        current = self.current
        if found is not None and found.examples is not None:
            self.kept.pop(self._name, None)
            self.kept[self._name] = found.examples
            for name in [*self.kept][:-MOST_KEPT]:
                del self.kept[name]
        if found is None or current is None or current.plane != self._plane:
            self._forget()
        else:
            self._offer(found.candidates)
            ended = f"{ENDED} " if search.stop.is_set() else ""
            self.say(ended + (self.summary or NOTHING_FOUND))
        self._show()

    def _offer(self, found: list[Candidate]) -> None:
        """Offer what a search has found, but for what was decided meanwhile."""
        if self._gone or self._taken_up:
            found = resolved(found, 0.0, [*self._gone, *self._taken_up])
        self.candidates = found
        if self.chosen not in found:
            self.chosen = None

    # Decisions --------------------------------------------------------------------

    def go_to_next(self) -> None:
        """Look at the next candidate that is shown, after the last at the first."""
        shown = self.shown
        if self.annotation is None or self._plane is None or not shown:
            self._say_none()
            return
        place = shown.index(self.chosen) + 1 if self.chosen in shown else 0
        self._look_at(shown[place % len(shown)])
        self.say(self.looked_at)
        self._show()

    def _look_at(self, candidate: Candidate | None) -> None:
        """Choose a candidate; the view moves if it is not in sight."""
        annotation, self.chosen = self.annotation, candidate
        if annotation is not None and self._plane is not None and candidate is not None:
            bring_into_view(
                annotation.viewer,
                annotation.image,
                annotation.layers.labels,
                self._plane,
                candidate.box,
                centred=False,
                zooms=False,
            )

    def accept(self) -> None:
        """Accept the chosen candidate, and look at the next one."""
        if self.chosen in self.shown:
            self._decide([self.chosen])
        else:
            self.go_to_next()

    def accept_all(self) -> None:
        """Accept all candidates that are shown, as one step of undo."""
        if self.shown:
            self._decide(self.shown)
        else:
            self._say_none()

    def reject(self) -> None:
        """Reject the chosen candidate: it is no such object."""
        if self.chosen in self.shown:
            self._decide([self.chosen], rejected=True)
        else:
            self.go_to_next()

    def _say_none(self) -> None:
        self.say(NO_CANDIDATE.format(key_of("find_similar")))

    def _decide(
        self, candidates: Sequence[Candidate], *, rejected: bool = False
    ) -> None:
        """Write candidates, or reject them, as one step of undo."""
        annotation, current, plane = self.annotation, self.current, self._plane
        if annotation is None or current is None or plane is None:
            return
        stack = annotation.undo_stack
        following = self._after(candidates[-1])
        decided = _Decided(plane, tuple(candidates), rejected)
        self._take(decided)
        edit = (
            stack.add_note("Not rejected any more.", "Rejected again.")
            if rejected
            else stack.add_similar(current, candidates)
        )
        words = "Nothing is left of it: its pixels belong to other objects."
        if edit is not None:
            self._decided[edit] = decided
            if annotation.classes.used:
                made = {part.label: self._class for part in edit.parts}
                annotation.classify(made)
            done = "rejected" if rejected else "accepted"
            words = f"{counted(len(candidates), 'candidate')} {done}."
        self._look_at(following if following in self.shown else None)
        self.say(" ".join(filter(None, (words, self.looked_at))))
        self._show()

    def _after(self, candidate: Candidate) -> Candidate | None:
        """Return the candidate that is shown after another one."""
        shown = self.shown
        place = shown.index(candidate) + 1
        return shown[place] if place < len(shown) else None

    def _take(self, decided: _Decided) -> None:
        """Offer candidates no more."""
        if decided.plane == self._plane:
            gone = set(decided.candidates)
            self.candidates = [one for one in self.candidates if one not in gone]
            self._gone += decided.candidates
        if decided.rejected and self.annotation is not None:
            rejected = self.annotation.rejected
            before = rejected.get(decided.plane, ())
            rejected[decided.plane] = (*before, *decided.candidates)
            self.annotation.events.rejections_changed.emit()

    def _on_undone(self, edit: ObjectEdit) -> None:
        """Offer again what was accepted or rejected."""
        decided, annotation = self._decided.get(edit), self.annotation
        if decided is None or annotation is None:
            return
        back = set(decided.candidates)
        if decided.rejected:
            before = annotation.rejected.get(decided.plane, ())
            rejected = tuple(one for one in before if one not in back)
            annotation.rejected[decided.plane] = rejected
            annotation.events.rejections_changed.emit()
        if decided.plane == self._plane:
            self._gone = [one for one in self._gone if one not in back]
            known = set(self.candidates)
            self._return(one for one in decided.candidates if one not in known)
            self.chosen = decided.candidates[0]
            self._show()

    def _return(self, candidates: Iterable[Candidate]) -> None:
        """Offer candidates again."""
        self.candidates = sorted(
            (*self.candidates, *candidates), key=lambda one: -one.confidence
        )

    def _on_redone(self, edit: ObjectEdit) -> None:
        decided = self._decided.get(edit)
        if decided is not None:
            self._take(decided)
            self._show()

    # Correcting -------------------------------------------------------------------

    def _take_up(self, plane: Plane, click: Click) -> Candidate | None:
        """Return the candidate that a first click corrects, which is offered no more.

        That is the one it lies on, or just beside; of several the nearest.
        """
        if plane != self._plane or not self.candidates:
            return None
        near = [
            (distance, number, one)
            for number, one in enumerate(self.shown)
            if (distance := _distance(one, click)) is not None
        ]
        if not near:
            return None
        taken = min(near)[2]
        if taken not in self._taken_up:
            self._taken_up.append(taken)
        return taken

    def _check_taken_up(self) -> None:
        """Offer candidates that were taken up and are no objects any more."""
        current = self.current
        if not self._taken_up or current is None or current.plane != self._plane:
            return
        objects = [one.clicks for one in current.objects.all]
        if current.session is not None:
            objects += [step.clicks for step in current.session.steps]
        used = {clicks[0] for clicks in objects if clicks}
        known = set(self.candidates)
        gone = {one for one in self._taken_up if one.click in used}
        back = [one for one in self._taken_up if one not in gone and one not in known]
        if back or gone & known:
            self.candidates = [one for one in self.candidates if one not in gone]
            self._return(back)
            if self.chosen in gone:
                self.chosen = None
            self._show()

    # The window -------------------------------------------------------------------

    def _on_clicks(self, *_: object) -> None:
        """Let clicks go first; offer again what is not clicked on any more."""
        if self._search is not None and self.current and self.current.clicks:
            self.cancel()
        if self._taken_up:
            self._check_taken_up()

    def _on_plane(self) -> None:
        """Forget the candidates of another plane."""
        if self.current is None or self.current.plane != self._plane:
            self.cancel()
            self._end_search()
            self._forget()
        self._show()

    def _interrupt(self) -> bool:
        """End a search; return whether there was one."""
        running = self._search is not None
        self.cancel()
        return running

    def put_away(self) -> bool:
        """Offer the candidates no more; return whether there were some.

        While an object is clicked they stay.
        """
        current = self.current
        if not self.candidates or current is None or current.clicks:
            return False
        self._forget()
        self._show()
        self.say(PUT_AWAY.format(key_of("find_similar")))
        return True

    def _forget(self) -> None:
        """Offer nothing, on no plane."""
        self.candidates, self.chosen, self._plane = [], None, None
        self._taken_up, self._gone, self._outline = [], [], None

    def _show(self) -> None:
        """Draw the outlines of the candidates that are confident enough."""
        annotation, shown = self.annotation, self.shown
        if annotation is None:
            return
        if self._plane is None or not shown:
            annotation.curves.clear(CURVE)
        else:
            if self._outline is None or self._outline[0] != shown:
                corner, numbers = _numbered(shown)
                self._outline = shown, Segments.of_labels(numbers, corner)
            outline, colours = self._outline[1], {}
            if self.chosen in shown:
                colours[shown.index(self.chosen) + 1] = transform_color(YELLOW)[0]
            annotation.curves.show(CURVE, self._plane, outline, PINK, colours)
        self.changed.emit()


def _distance(candidate: Candidate, click: Click) -> float | None:
    """Return how far a click lies beside a candidate; ``None`` if it is no part of it.

    0 on the candidate itself.
    """
    reach = max(NEAREST, BESIDE * float(np.sqrt(candidate.area)))
    row, col = click.pixel
    top, left, bottom, right = candidate.box
    beside = max(top - row, row - bottom + 1, left - col, col - right + 1)
    if beside > reach:
        return None
    rows, cols = np.nonzero(candidate.mask)
    found = float(np.hypot(rows + top - row, cols + left - col).min())
    return found if found <= reach else None


def _numbered(
    candidates: Sequence[Candidate],
) -> tuple[tuple[int, int], NDArray[np.int32]]:
    """Return the numbers of candidates, from 1, and the corner of their box."""
    frame = EMPTY
    for one in candidates:
        frame = union(frame, one.box)
    numbers = np.zeros((frame[2] - frame[0], frame[3] - frame[1]), dtype=np.int32)
    for number, one in reversed([*enumerate(candidates, start=1)]):
        part = numbers[slices(moved(one.box, (-frame[0], -frame[1])))]
        part[one.mask] = number
    return (frame[0], frame[1]), numbers
