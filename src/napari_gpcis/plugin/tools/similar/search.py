"""Search of one plane for objects like the finished ones, on the inference thread."""

from __future__ import annotations

import time
from functools import partial
from threading import Event
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from napari_gpcis.plugin.connections import Connections
from napari_gpcis.similar import collect, resolved, search

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

    from napari_gpcis.objects.classes import ClassedObjects
    from napari_gpcis.plugin.annotation.annotation import Annotation
    from napari_gpcis.plugin.background import Failed
    from napari_gpcis.plugin.viewer.planes import Plane
    from napari_gpcis.session.session import Session
    from napari_gpcis.similar import Candidate, Examples

NEWS = 1.0
"""Seconds between two looks at what a search has found so far."""
TRIES = 3
"""So often labels are copied anew because they were changed meanwhile."""


class Progress(NamedTuple):
    """Tiles that were searched, and how many there are."""

    done: int
    total: int


class SearchResult(NamedTuple):
    """Candidates, and the examples of the plane itself, if it has any."""

    candidates: list[Candidate]
    examples: Examples | None


class Copy(NamedTuple):
    """Copy of the labels of a plane, and the ids of its objects."""

    labels: NDArray[np.integer]
    ids: list[int]


class Question(NamedTuple):
    """Input of a search, but for the labels.

    Attributes
    ----------
    plane, session
        The plane that is searched.
    classes, number
        Classes of the objects, and that of the examples.
    rejected, others
        Candidates that are no such objects, and examples of another image.
    """

    plane: Plane
    session: Session
    classes: ClassedObjects
    number: int
    rejected: tuple[Candidate, ...]
    others: Examples | None


class Search:
    """One search of a plane: a copy of its labels, and then a job on the copy.

    Labels that were changed while they were copied are copied anew.

    Parameters
    ----------
    question
        What is looked for.
    annotation
        The annotation whose labels are copied.
    ask
        Asks the inference thread for a job, as `Tool.ask` does.

    Attributes
    ----------
    question
        As given.
    progress
        How far it is.
    stop
        Set to end it after the present tile; what was found by then is its answer.
    edited
        Whether labels were changed since they were asked for.
    """

    def __init__(
        self, question: Question, annotation: Annotation, ask: Callable[..., None]
    ) -> None:
        self.question = question
        self.progress = Progress(0, 1)
        self.stop = Event()
        self.edited = False
        self._annotation = annotation
        self._ask = ask
        self._edits = Connections()  # of what tells it, until they are there

    def copy_labels(
        self, deliver: Callable[[Copy], None], failed: Failed, tries: int = TRIES
    ) -> None:
        """Have the labels of the plane copied on the thread.

        Parameters
        ----------
        deliver, failed
            Called with the copy, or with an error.
        tries
            Number of copies that may be made.
        """
        self.edited = False
        self._edits.end()
        annotation = self._annotation
        events, labels = annotation.events, annotation.layers.labels.events
        for signal in (
            events.predicted,
            events.objects_changed,
            events.planes_written,
            events.drawn_by_others,
            labels.paint,
            labels.data,
        ):
            self._edits.connect(signal, self._on_edited)
        job = partial(_copied, self.question.plane, annotation.layers.labels.data)
        self._ask(job, partial(self._on_copied, deliver, failed, tries), failed)

    def _on_edited(self, *_: object) -> None:
        """Take note that a copy may have some pixels as they were and some as now."""
        self.edited = True
        self._edits.end()

    def _on_copied(
        self,
        deliver: Callable[[Copy], None],
        failed: Failed,
        tries: int,
        copied: Copy,
        _seconds: float,
    ) -> None:
        """Deliver a copy, or copy anew what was changed meanwhile."""
        self._edits.end()
        if self.edited and tries > 1 and not self.stop.is_set():
            self.copy_labels(deliver, failed, tries - 1)
        else:
            deliver(copied)

    def run(
        self,
        labels: NDArray[np.integer],
        ids: list[int] | None,
        tell: Callable[[Progress, list[Candidate] | None], None],
        deliver: Callable[[SearchResult | None, float], None],
        failed: Failed,
    ) -> None:
        """Search on the thread.

        Parameters
        ----------
        labels
            The copy of the labels.
        ids
            Objects that are the examples; ``None`` for all.
        tell
            Called on the thread, with the progress after each tile, and now and then
            with what was found so far.
        deliver, failed
            Called with the answer, or with an error.
        """
        self._ask(_job(self.question, labels, ids, self.stop, tell), deliver, failed)

    def end(self) -> None:
        """End it, as nobody wants its answer any more."""
        self.stop.set()
        self._edits.end()


def _copied(
    plane: Plane, labels: NDArray[np.integer], _cancelled: Callable[[], bool]
) -> Copy:
    """Return a copy of the labels of a plane, and the ids of its objects."""
    copy = np.array(plane.take(labels))
    return Copy(copy, np.unique(copy[copy > 0]).tolist())


def _job(
    question: Question,
    labels: NDArray[np.integer],
    ids: list[int] | None,
    stop: Event,
    tell: Callable[[Progress, list[Candidate] | None], None],
) -> Callable[[Callable[[], bool]], SearchResult]:
    """Return the job for the inference thread."""
    session, others = question.session, question.others
    segmenter, prepared, rejected = (
        session.segmenter,
        session.prepared,
        question.rejected,
    )
    threshold, tidy = session.threshold, session.tidy

    def work(cancelled: Callable[[], bool]) -> SearchResult:
        own: Examples | None = None
        if others is None or ids is None or ids:
            own = examples = collect(segmenter, prepared, labels, ids, rejected)
            if others is not None:
                examples = others.joined(own)
        else:
            examples = others
        found: list[Candidate] = []
        told = time.monotonic()
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
            now = time.monotonic()
            news = None
            if part.candidates and (now - told > NEWS or found == [*part.candidates]):
                told, news = now, resolved(found, 0.0, rejected)
            tell(Progress(part.done, part.total), news)
        return SearchResult(resolved(found, 0.0, rejected), own)

    return work
