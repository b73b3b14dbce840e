"""Objects like the finished ones: a search, and candidates to accept or reject."""

from __future__ import annotations

from functools import partial
from threading import Event
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from napari.utils.colormaps.standardize_color import transform_color
from qtpy.QtCore import Qt, Signal

from napari_gpcis.geometry import EMPTY, moved, slices, union
from napari_gpcis.plugin.tools.base import TemporaryKeys, Tool
from napari_gpcis.plugin.viewer.planes import center_on
from napari_gpcis.plugin.viewer.segments import Segments

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from numpy.typing import NDArray

    from napari_gpcis.plugin.annotation.annotation import Annotation
    from napari_gpcis.plugin.annotation.controller import Controller
    from napari_gpcis.plugin.annotation.edits import ObjectEdit
    from napari_gpcis.plugin.viewer.planes import Plane
    from napari_gpcis.session.session import Session
    from napari_gpcis.similar import Candidate

CURVE = "similar objects"
PINK, YELLOW = "#ff8ad8", "#ffd400"
"""Colours of candidates, and of the chosen one."""
LEAST = 0.25
"""Confidence above which candidates are shown at first."""
NEXT_KEY, ACCEPT_KEY, REJECT_KEY = "D", "T", "R"
"""Keys of the click layers while there are candidates."""
NO_EXAMPLE = "Accept one to five objects first: others like them are looked for."
OPEN_OBJECT = "Accept the object that you click first, or clear its clicks."


class Progress(NamedTuple):
    """Tiles that were searched, and how many there are."""

    done: int
    total: int


class _Decided(NamedTuple):
    """Candidates that were accepted or rejected together."""

    candidates: tuple[Candidate, ...]
    rejected: bool


class SimilarObjects(Tool):
    """Looks for objects like the finished ones of the displayed plane.

    Nothing is written before it is accepted. A click ends the search: what was found
    by then is kept.

    Parameters
    ----------
    controller
        Its annotations are followed.

    Attributes
    ----------
    candidates
        What was found and is not decided yet, the most confident first.
    progress
        How far the search is; ``None`` while there is none.
    chosen
        The candidate that is looked at.
    """

    changed = Signal()
    """Emitted when candidates, the chosen one, or the progress has changed."""
    _searched = Signal(object, object)

    def __init__(self, controller: Controller) -> None:
        super().__init__(controller)
        self.candidates: list[Candidate] = []
        self.progress: Progress | None = None
        self.chosen: Candidate | None = None
        self._least = LEAST
        self._plane: Plane | None = None
        self._rejected: list[Candidate] = []
        self._decided: dict[ObjectEdit, _Decided] = {}
        self._stop = Event()
        self._keys = TemporaryKeys()
        queued = Qt.ConnectionType.QueuedConnection
        self._searched.connect(self._on_progress, queued)

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
    def ending(self) -> bool:
        """True if a search ends as soon as the present tile is done."""
        return self.progress is not None and self._stop.is_set()

    def on_attached(self, annotation: Annotation) -> None:
        """Follow clicks, the plane, and what is undone."""
        events = annotation.events
        annotation.undo_stack.interrupts.append(self._interrupt)
        self.follow(events.clicks_changed, self._on_clicks)
        self.follow(events.plane_entered, self._on_plane)
        self.follow(events.edit_undone, self._on_undone)
        self.follow(events.edit_redone, self._on_redone)

    def on_detached(self, annotation: Annotation) -> None:
        """Forget everything."""
        self._stop.set()
        self._keys.clear()
        annotation.curves.clear(CURVE)
        self._forget()
        self._rejected.clear()
        self._decided.clear()
        self.changed.emit()

    # The search -------------------------------------------------------------------

    def find(self) -> None:
        """Search the displayed plane for objects like its finished ones."""
        annotation, current = self.annotation, self.current
        if annotation is None or current is None or current.session is None:
            return
        if self.progress is not None:
            return
        if current.clicks:
            self.say(OPEN_OBJECT)
            return
        current.finish_drawing()
        plane = current.plane
        labels = np.array(plane.take(annotation.layers.labels.data))
        if not (labels > 0).any():
            self.say(NO_EXAMPLE)
            return
        if plane != self._plane:
            self._rejected.clear()
        self._forget()
        self._plane, self.progress, self._stop = plane, Progress(0, 1), Event()
        tell = partial(self._searched.emit, self._stop)
        rejected = tuple(self._rejected)
        job = _job(current.session, labels, rejected, self._stop, tell)
        self.ask(job, self._on_found, self._on_failed)
        self._show()

    def cancel(self) -> None:
        """End the search after the present tile; what was found is kept."""
        self._stop.set()
        self.changed.emit()

    def _on_progress(self, search: Event, progress: Progress) -> None:
        if search is self._stop and self.progress is not None:
            self.progress = progress
            self.changed.emit()

    def _on_failed(self, error: Exception) -> None:
        self.progress = None
        if self.annotation is not None:
            self.annotation.worker.report(error)
        self._show()

    def _on_found(self, found: list[Candidate] | None, _seconds: float) -> None:
        self.progress = None
        current = self.current
        if found is None or current is None or current.plane != self._plane:
            self._forget()
        else:
            self.candidates = found
            self.say(f"{_count(found)} found.")
        self._show()

    # Decisions --------------------------------------------------------------------

    def go_to_next(self) -> None:
        """Look at the next candidate that is shown, after the last at the first."""
        annotation, shown = self.annotation, self.shown
        if annotation is None or self._plane is None or not shown:
            return
        place = shown.index(self.chosen) + 1 if self.chosen in shown else 0
        self.chosen = shown[place % len(shown)]
        center_on(annotation.viewer, annotation.image, self._plane, self.chosen.box)
        self._show()

    def accept(self) -> None:
        """Accept the chosen candidate, and look at the next one."""
        if self.chosen in self.shown:
            self._decide([self.chosen])
        else:
            self.go_to_next()

    def accept_all(self) -> None:
        """Accept all candidates that are shown, as one step of undo."""
        self._decide(self.shown)

    def reject(self) -> None:
        """Reject the chosen candidate: it is no such object."""
        if self.chosen in self.shown:
            self._decide([self.chosen], rejected=True)
        else:
            self.go_to_next()

    def _decide(
        self, candidates: Sequence[Candidate], *, rejected: bool = False
    ) -> None:
        """Write candidates, or reject them, as one step of undo."""
        annotation, current = self.annotation, self.current
        if annotation is None or current is None or not candidates:
            return
        stack = annotation.undo_stack
        following = self._after(candidates[-1])
        edit = (
            stack.add_rejected() if rejected else stack.add_similar(current, candidates)
        )
        decided = _Decided(tuple(candidates), rejected)
        if edit is None:
            self.say("Nothing is left of it: its pixels belong to other objects.")
        else:
            self._decided[edit] = decided
            done = "rejected" if rejected else "accepted"
            self.say(f"{_count(candidates)} {done}.")
        self._take(decided)
        self.chosen = following if following in self.shown else None
        self._show()

    def _after(self, candidate: Candidate) -> Candidate | None:
        """Return the candidate that is shown after another one."""
        shown = self.shown
        place = shown.index(candidate) + 1
        return shown[place] if place < len(shown) else None

    def _take(self, decided: _Decided) -> None:
        """Offer candidates no more."""
        self.candidates = [
            one for one in self.candidates if one not in decided.candidates
        ]
        if decided.rejected:
            self._rejected.extend(decided.candidates)

    def _on_undone(self, edit: ObjectEdit) -> None:
        """Offer again what was accepted or rejected."""
        decided = self._decided.get(edit)
        if decided is None:
            return
        self._rejected = [
            one for one in self._rejected if one not in decided.candidates
        ]
        if self.current is not None and self.current.plane == self._plane:
            self.candidates += decided.candidates
            self.candidates.sort(key=lambda one: -one.confidence)
            self.chosen = decided.candidates[0]
        self._show()

    def _on_redone(self, edit: ObjectEdit) -> None:
        decided = self._decided.get(edit)
        if decided is not None:
            self._take(decided)
            self._show()

    # The window -------------------------------------------------------------------

    def _on_clicks(self, *_: object) -> None:
        """Let clicks go first."""
        if self.progress is None:
            return
        if self.current is not None and self.current.clicks:
            self.cancel()

    def _on_plane(self) -> None:
        """Forget the candidates of another plane."""
        if self.current is None or self.current.plane != self._plane:
            self.cancel()
            self._forget()
            self._decided.clear()
            self._show()

    def _interrupt(self) -> bool:
        """End a search; return whether there was one."""
        running = self.progress is not None
        self.cancel()
        return running

    def _forget(self) -> None:
        self.candidates, self.chosen, self.progress = [], None, None

    def _show(self) -> None:
        """Draw the outlines, and bind the keys while there is something to decide."""
        annotation, shown = self.annotation, self.shown
        if annotation is None:
            return
        if self._plane is None or not shown:
            annotation.curves.clear(CURVE)
            self._keys.clear()
        else:
            corner, numbers = _numbered(shown)
            outline = Segments.of_labels(numbers, corner)
            colours = {}
            if self.chosen in shown:
                colours[shown.index(self.chosen) + 1] = transform_color(YELLOW)[0]
            annotation.curves.show(CURVE, self._plane, outline, PINK, colours)
            self._keys.bind(
                annotation,
                {
                    NEXT_KEY: self.go_to_next,
                    ACCEPT_KEY: self.accept,
                    REJECT_KEY: self.reject,
                },
            )
        self.changed.emit()


def _count(candidates: Sequence[Candidate]) -> str:
    """Return the number of candidates in words."""
    return f"{len(candidates)} candidate{'' if len(candidates) == 1 else 's'}"


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


def _job(
    session: Session,
    labels: NDArray[np.integer],
    rejected: tuple[Candidate, ...],
    stop: Event,
    tell: Callable[[Progress], None],
) -> Callable[[Callable[[], bool]], list[Candidate]]:
    """Return the job for the inference thread."""
    segmenter, prepared = session.segmenter, session.prepared
    threshold, tidy = session.threshold, session.tidy

    def work(cancelled: Callable[[], bool]) -> list[Candidate]:
        from napari_gpcis.similar import collect, resolved, search  # heavy

        examples = collect(segmenter, prepared, labels, None, rejected)
        found: list[Candidate] = []
        for part in search(
            segmenter,
            prepared,
            labels,
            examples,
            threshold=threshold,
            tidy=tidy,
            cancelled=lambda: cancelled() or stop.is_set(),
        ):
            found += part.candidates
            tell(Progress(part.done, part.total))
        return resolved(found, 0.0, rejected)

    return work
