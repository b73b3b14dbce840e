"""CandidateReview: what was accepted and rejected of the candidates, as steps."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from napari_gpcis.errors import InputError, several
from napari_gpcis.geometry import clip_box
from napari_gpcis.session.current import Prompts
from napari_gpcis.session.labels import FinishedObject, checked_id

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from napari_gpcis.session.labels import ObjectLabels
    from napari_gpcis.similar import Candidate


@dataclass(frozen=True, eq=False)
class Decision:
    """Candidates that were accepted or rejected together.

    Attributes
    ----------
    candidates
        These candidates.
    steps
        What accepting them did to the labels, in order; empty for a rejection.
    """

    candidates: tuple[Candidate, ...]
    steps: tuple[FinishedObject, ...] = ()


class CandidateReview:
    """Decisions about candidates, the last of which can be taken back.

    Parameters
    ----------
    labels
        The labels into which candidates are written.

    Attributes
    ----------
    earlier
        Candidates that were rejected before, as in a session that was saved.
    """

    def __init__(self, labels: ObjectLabels) -> None:
        self._labels = labels
        self._decisions: list[Decision] = []
        self.earlier: tuple[Candidate, ...] = ()

    @property
    def rejected(self) -> tuple[Candidate, ...]:
        """Candidates that are no such objects, in order."""
        now = (
            candidate
            for decision in self._decisions
            if not decision.steps
            for candidate in decision.candidates
        )
        return (*self.earlier, *now)

    def accept(
        self,
        candidates: Sequence[Candidate],
        label: int | None = None,
        *,
        overwrite: bool = False,
    ) -> tuple[int, ...]:
        """Write candidates as new objects, see `Session.accept_candidates`."""
        for candidate in candidates:
            self._check(candidate)
        number = self._labels.next_id() if label is None else checked_id(label)
        checked_id(number + max(0, len(candidates) - 1))
        numbers: list[int] = []
        steps: list[FinishedObject] = []
        problem: InputError | None = None
        for candidate in candidates:
            step = accepted_step(candidate, number, overwrite=overwrite)
            try:
                self._labels.write_mask(candidate.box, candidate.mask, step)
            except InputError as error:
                problem = error
                numbers.append(0)
                continue
            steps.append(step)
            numbers.append(number)
            number += 1
        if steps:
            self._decisions.append(Decision(tuple(candidates), tuple(steps)))
        elif problem is not None:
            raise problem
        return tuple(numbers)

    def reject(self, candidates: Sequence[Candidate]) -> None:
        """Remember candidates as negative examples, as one step."""
        for candidate in candidates:
            self._check(candidate)
        if candidates:
            self._decisions.append(Decision(tuple(candidates)))

    def owns(self, step: FinishedObject) -> bool:
        """Return whether a step accepted a candidate."""
        return self._of(step) is not None

    def take_back_accepted(self) -> tuple[Candidate, ...]:
        """Take back the decision that the last step of the labels belongs to."""
        found = self._of(self._labels.steps[-1])
        if found is None:
            msg = "the last object was no candidate"
            raise InputError(msg)
        return self._take_back(found)

    def take_back(self) -> tuple[Candidate, ...]:
        """Take the last decision back, see `Session.undo_candidates`."""
        if not self._decisions:
            msg = "no candidate was accepted or rejected that could be taken back"
            raise InputError(msg)
        return self._take_back(self._decisions[-1])

    def _take_back(self, decision: Decision) -> tuple[Candidate, ...]:
        """Take one decision back, whose steps must be the last ones."""
        count, done = len(decision.steps), self._labels.steps
        end = done[len(done) - count :] if count <= len(done) else []
        if list(map(id, end)) != list(map(id, decision.steps)):
            msg = (
                "the candidates cannot be taken back: objects were accepted, deleted "
                "or taken back after them"
            )
            raise InputError(msg)
        for _ in decision.steps:
            self._labels.take_back()
        self._decisions.remove(decision)
        return decision.candidates

    def _of(self, step: FinishedObject) -> Decision | None:
        """Return the decision that a step belongs to."""
        for decision in reversed(self._decisions):
            if any(step is own for own in decision.steps):
                return decision
        return None

    def _check(self, candidate: Candidate) -> None:
        """Raise `InputError` if a candidate is one of a larger image."""
        shape = self._labels.array.shape
        if clip_box(candidate.box, shape, "candidate") != candidate.box:
            msg = (
                f"candidate must lie inside the image of shape {shape}, got the box "
                f"{candidate.box}"
            )
            raise InputError(msg)


def checked_candidates(
    given: Iterable[Candidate] | Candidate,
) -> tuple[Candidate, ...]:
    """Return candidates, or the one candidate, as a tuple.

    Raises
    ------
    InputError
        If one is none.
    """
    from napari_gpcis.similar import Candidate  # heavy: not needed by a click

    return several(given, Candidate, "candidates", "what `find_similar` has found")


def accepted_step(
    candidate: Candidate, label: int, *, overwrite: bool = False
) -> FinishedObject:
    """Return the step that a candidate becomes when it is accepted.

    Replaying its click gives its mask again.

    Parameters
    ----------
    candidate
        The candidate.
    label
        Its id.
    overwrite
        Whether it takes pixels of other objects.
    """
    return FinishedObject(
        label,
        (candidate.click,),
        candidate.view,
        candidate.threshold,
        overwrite,
        (candidate.mask.shape[0], candidate.mask.shape[1]),
        tidy=candidate.tidy,
        area=candidate.area,
        quality=candidate.quality,
        found=True,
    )


def candidate_prompts(candidate: Candidate) -> Prompts:
    """Return the prompts of an object that begins with a candidate."""
    return Prompts((candidate.click,), candidate.view, None, candidate.tidy, found=True)
