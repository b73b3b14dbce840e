"""CandidateReview: what was accepted and rejected of the candidates, as steps."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from napari_gpcis.errors import InputError
from napari_gpcis.session.labels import FinishedObject

if TYPE_CHECKING:
    from collections.abc import Sequence

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
    """

    def __init__(self, labels: ObjectLabels) -> None:
        self._labels = labels
        self._decisions: list[Decision] = []

    @property
    def rejected(self) -> tuple[Candidate, ...]:
        """Candidates that are no such objects, in order."""
        return tuple(
            candidate
            for decision in self._decisions
            if not decision.steps
            for candidate in decision.candidates
        )

    def accept(
        self,
        candidates: Sequence[Candidate],
        label: int | None = None,
        *,
        overwrite: bool = False,
    ) -> tuple[int, ...]:
        """Write candidates as new objects, see `Session.accept_candidates`."""
        numbers: list[int] = []
        steps: list[FinishedObject] = []
        problem: InputError | None = None
        for candidate in candidates:
            number = self._labels.next_id() if label is None else label
            step = accepted_step(candidate, number, overwrite=overwrite)
            try:
                self._labels.write_mask(candidate.box, candidate.mask, step)
            except InputError as error:
                problem = error
                numbers.append(0)
                continue
            numbers.append(number)
            steps.append(step)
        if steps:
            self._decisions.append(Decision(tuple(candidates), tuple(steps)))
        elif problem is not None:
            raise problem
        return tuple(numbers)

    def reject(self, candidates: Sequence[Candidate]) -> None:
        """Remember candidates as negative examples, as one step."""
        if candidates:
            self._decisions.append(Decision(tuple(candidates)))

    def owns(self, step: FinishedObject) -> bool:
        """Return whether a step accepted a candidate."""
        return any(step is own for each in self._decisions for own in each.steps)

    def take_back(self) -> tuple[Candidate, ...]:
        """Take the last decision back, see `Session.undo_candidates`."""
        if not self._decisions:
            msg = "no candidate was accepted or rejected that could be taken back"
            raise InputError(msg)
        last = self._decisions[-1]
        end = self._labels.steps[len(self._labels.steps) - len(last.steps) :]
        if any(one is not other for one, other in zip(end, last.steps, strict=True)):
            msg = (
                "the candidates cannot be taken back: objects were accepted or "
                "deleted after them, which are to be taken back first"
            )
            raise InputError(msg)
        for _ in last.steps:
            self._labels.take_back()
        return self._decisions.pop().candidates


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
        candidate.mask.shape,
    )
