"""One image being annotated: its clicks, their history and the finished objects."""

from __future__ import annotations

from functools import partial
from numbers import Real
from typing import TYPE_CHECKING

import numpy as np

from napari_gpcis.alternatives.choices import Choices
from napari_gpcis.alternatives.proposals import propose
from napari_gpcis.alternatives.selection import LIMIT, select
from napari_gpcis.errors import InputError, check_kind, several
from napari_gpcis.geometry import square_around
from napari_gpcis.inference.image import channel_indices
from napari_gpcis.inference.start_mask import make_start_mask, mask_of_image
from napari_gpcis.inference.tidy import DEFAULT_TIDY, check_tidy
from napari_gpcis.objects.classes import ClassedObjects
from napari_gpcis.session.current import CurrentObject, Prompts
from napari_gpcis.session.labels import (
    FinishedObject,
    ObjectLabels,
    checked_id,
    finished,
)
from napari_gpcis.session.review import CandidateReview, checked_candidates
from napari_gpcis.session.saved import (
    SavedSession,
    candidate_of,
    check_same,
    fingerprint,
    prompts_of,
    read_session,
    saved_candidate,
    saved_object,
    saved_prompts,
    write_session,
)

if TYPE_CHECKING:
    import os
    from collections.abc import Callable, Iterable, Sequence

    from numpy.typing import ArrayLike, NDArray

    from napari_gpcis.alternatives.selection import Alternative
    from napari_gpcis.clicks import Click
    from napari_gpcis.geometry import Box
    from napari_gpcis.inference.image import PreparedImage
    from napari_gpcis.inference.prediction import Prediction
    from napari_gpcis.inference.segmenter import Request, Segmenter
    from napari_gpcis.inference.start_mask import StartMask
    from napari_gpcis.inference.tidy import Tidy
    from napari_gpcis.session.labels import LabelChange, WriteMode
    from napari_gpcis.session.saved import SavedObject
    from napari_gpcis.similar import Candidate, Examples

__all__ = ["FinishedObject", "Session"]

VIEW_FACTOR = 4
"""The first view is this many times the median size of the finished objects."""
MIN_VIEW = 64
"""Least side of that view, in data pixels."""
MIN_OBJECTS = 2
"""Accepted objects from which on their size is taken for that of the next."""


class Session:
    """One image being annotated, object after object.

    Parameters
    ----------
    segmenter
        The model.
    image, contrast, channels
        See :meth:`Segmenter.prepare`. The image is not copied: do not change it.
    labels
        Objects that exist already, integers, shape (H, W), 0 and less for background.
        They are copied, and protected like finished objects.
    tidy
        Rules by which masks are tidied, see `tidy`; ``None``: they are not.

    Attributes
    ----------
    classes : ClassedObjects
        Classes of the objects, see `classify`; all are of one class at first.
    choices : Choices
        Which `alternatives` were accepted; sessions of one model may share it.

    Raises
    ------
    InputError
        If an argument cannot be used.

    Notes
    -----
    *Two ways to use it.* `add_click`, `replace_clicks`, `undo`, `redo` predict in
    place. A program that must not wait calls `push_click`, `push_clicks`,
    `undo_click`, `redo_click`, gives what `request` returns to `Segmenter.run` on
    another thread, and hands the answer to `fulfil`. The session itself belongs to
    one thread.

    *Errors in the model* are raised as they are, and no click is lost: it stays,
    `prediction` is ``None``, and the next `add_click` or `request` tries again
    (`undo` takes it back).
    """

    def __init__(
        self,
        segmenter: Segmenter,
        image: ArrayLike,
        *,
        contrast: Sequence[float] | None = None,
        channels: int | Sequence[int] | None = None,
        labels: ArrayLike | None = None,
        tidy: Tidy | None = DEFAULT_TIDY,
    ) -> None:
        self._segmenter = segmenter
        self._prepared = segmenter.prepare(image, contrast, channels)
        self._contrast = None if contrast is None else self._prepared.limits[0]
        self._channels = None if channels is None else channel_indices(channels)
        self._labels = ObjectLabels(self.shape, labels)
        self._expected_size: float | None = None
        self._review = CandidateReview(self._labels)
        self.classes = ClassedObjects()
        self.choices = Choices()
        check_tidy(tidy)
        threshold = segmenter.info.inference.mask_threshold
        self.current = CurrentObject(self.shape, threshold=threshold, tidy=tidy)

    # -- what is there ---------------------------------------------------------

    @property
    def segmenter(self) -> Segmenter:
        """The model."""
        return self._segmenter

    @property
    def prepared(self) -> PreparedImage:
        """The image as the model reads it."""
        return self._prepared

    @property
    def shape(self) -> tuple[int, int]:
        """Height and width of the image."""
        return self._prepared.shape

    @property
    def limits(self) -> tuple[tuple[float, float], ...]:
        """The values of each channel that are black and white for the model."""
        return self._prepared.limits

    @property
    def current(self) -> CurrentObject:
        """The object being clicked; may be set, to go on with one clicked elsewhere.

        Raises
        ------
        InputError
            If the object is one of a plane of another shape.
        """
        return self._current

    @current.setter
    def current(self, current: CurrentObject) -> None:
        if current.shape != self.shape:
            msg = (
                f"current must be an object on a plane of shape {self.shape}, got one "
                f"of shape {current.shape}"
            )
            raise InputError(msg)
        current.default_view = self._view_by_size
        current.typical_size = self._find_typical_size
        current.tiled = self._prepared.tiled
        self._current = current

    @property
    def clicks(self) -> tuple[Click, ...]:
        """The clicks of the current object, in order."""
        return self._current.clicks

    @property
    def prediction(self) -> Prediction | None:
        """The prediction of all current clicks; ``None`` if there is none (yet)."""
        return self._current.prediction

    @property
    def start(self) -> StartMask | None:
        """The mask that the current object began with; ``None`` for none."""
        return self._current.start

    @property
    def threshold(self) -> float:
        """Probability above which a pixel is object; may be set, between 0 and 1."""
        return self._current.threshold

    @threshold.setter
    def threshold(self, threshold: float) -> None:
        self._current.threshold = threshold

    @property
    def tidy(self) -> Tidy | None:
        """Rules by which the current mask is tidied; ``None``: it is not.

        May be set, for the current object and those after it. Nothing is predicted
        anew; for an object that has clicks it is a step that `undo` takes back.
        """
        return self._current.tidy

    @tidy.setter
    def tidy(self, tidy: Tidy | None) -> None:
        check_tidy(tidy)
        self._current.tidy = self._current.default_tidy = tidy

    @property
    def can_undo(self) -> bool:
        """True if `undo` has a step to take back."""
        return self._current.can_undo

    @property
    def can_redo(self) -> bool:
        """True if `redo` has a step to repeat."""
        return self._current.can_redo

    @property
    def view(self) -> Box | None:
        """View of the next first click: a box in data pixels; may be set.

        Half-open, ``(row_min, col_min, row_max, col_max)``; what lies outside the
        image is cut off. With ``None`` the first click is zoomed to a square about
        it, four times the median size of the finished objects (at least 64 pixels),
        or to the whole image if there are none.
        """
        return self._current.view

    @view.setter
    def view(self, view: Sequence[float] | None) -> None:
        self._current.view = view

    @property
    def typical_size(self) -> float | None:
        """Median equivalent diameter of the accepted objects, in pixels.

        That of a disk of the same area. With fewer than two objects it is what
        `expected_size` says. A model that tries closer frames for a first click tries
        one that suits it.
        """
        areas = [done.area for done in self.objects if done.how != "cut" and done.area]
        if len(areas) < MIN_OBJECTS:
            return self.expected_size
        return float(np.median(np.sqrt(4 * np.array(areas) / np.pi)))

    @property
    def expected_size(self) -> float | None:
        """Diameter in pixels that objects are expected to have; may be set.

        It holds until two objects are accepted; ``None`` if nothing is known.

        Raises
        ------
        InputError
            If it is set to what is no finite number above 0.
        """
        return self._expected_size

    @expected_size.setter
    def expected_size(self, size: float | None) -> None:
        if size is not None:
            check_kind(size, Real, "expected_size", "a number above 0, or None")
            if not 0 < size < np.inf:
                msg = f"expected_size must be a finite number above 0, got {size}"
                raise InputError(msg)
        self._expected_size = None if size is None else float(size)

    @property
    def labels(self) -> NDArray[np.int32]:
        """The label image (H, W), int32, 0 for background.

        It may be edited in place (a painted pixel is protected like any other), but
        such edits are not among the prompts that `save` keeps.
        """
        return self._labels.array

    @property
    def objects(self) -> tuple[FinishedObject, ...]:
        """The objects accepted in this session, in order.

        Those that were deleted or replaced since are left out.
        """
        return self._labels.objects

    @property
    def steps(self) -> tuple[FinishedObject, ...]:
        """All that was done to the labels, in order; `reopen` takes the last back."""
        return tuple(self._labels.steps)

    @property
    def last_change(self) -> LabelChange | None:
        """The pixels that the last of `steps` changed."""
        return self._labels.changes[-1] if self._labels.changes else None

    # -- predicting in place ---------------------------------------------------

    def add_click(self, row: float, col: float, positive: bool = True) -> Prediction:
        """Add a click and predict.

        Parameters
        ----------
        row, col
            Data pixels, pixel centres at integers.
        positive
            On the object, or on what must not belong to it.

        Raises
        ------
        InputError
            If the click lies outside the image (it is not added).
        """
        self.push_click(row, col, positive)
        self._complete()
        found = self.prediction
        if found is None:  # the model has answered less than it was asked
            msg = "there is no prediction of this click"
            raise InputError(msg)
        return found

    def undo(self) -> Prediction | None:
        """Take the last change of the clicks back; nothing happens without one.

        Finished objects are not touched: see `undo_accept`.
        """
        self.undo_click()
        return self._complete()

    def redo(self) -> Prediction | None:
        """Repeat what was undone; nothing happens if nothing was."""
        self.redo_click()
        return self._complete()

    def clear(self) -> Prediction | None:
        """Remove all clicks of the current object and its start; can be undone."""
        self.push_clicks(())
        return self.prediction

    def replace_clicks(self, clicks: Iterable[Click]) -> Prediction | None:
        """Make these the clicks of the current object, and predict.

        However many clicks differ, `undo` takes it back in one step. What is known of
        an unchanged beginning is not predicted again.

        Parameters
        ----------
        clicks
            All clicks, in order; none at all is `clear`.

        Raises
        ------
        InputError
            If a click lies outside the image (nothing is changed).
        """
        self.push_clicks(clicks)
        return self._complete()

    def start_from(
        self, mask: ArrayLike, clicks: Iterable[Click] = ()
    ) -> Prediction | None:
        """Begin the current object with a mask, from elsewhere or the next plane.

        Parameters
        ----------
        mask
            Shape (H, W), boolean or integers (nonzero is object).
        clicks
            Clicks to begin with: the network sees them with the mask, and predicts.
            Without any, the mask stays as it is until the next click, and one positive
            click is placed in its middle.

        Raises
        ------
        InputError
            If the current object has clicks, the mask is empty or does not fit the
            image, or a click lies outside.
        """
        self.push_mask(mask_of_image(mask, self.shape), clicks)
        return self._complete()

    def refine(self, label: int) -> Prediction | None:
        """Make an object of `labels` the current one, to correct it by clicks.

        Its mask is what the network sees as the mask before the next click. One
        positive click is placed in its middle; nothing is predicted yet. `labels`
        stays as it is until `accept` replaces the object; `undo` or `clear` give it
        back unchanged.

        Parameters
        ----------
        label
            Id of any object, whoever made it.

        Raises
        ------
        InputError
            If there is no such object, or the current object has clicks.
        """
        box, mask = self._labels.find(label)
        self.push_mask(mask, corner=box[:2], label=int(label))
        return self.prediction

    def alternatives(self, limit: int = LIMIT) -> tuple[Alternative, ...]:
        """Return what else the clicks of the current object may mean.

        Parameters
        ----------
        limit
            At most so many, the present mask among them.

        Returns
        -------
        tuple of Alternative
            The present mask first, then those of the slots that were accepted for the
            last objects (`choices`), then the others, a larger and a smaller one before
            the rest. All obey every click. A mask that no network made, such as one
            that was chosen or is being refined, is the only one until the next click.

        Raises
        ------
        InputError
            If there is no prediction, or the limit is below 1.
        """
        prediction = self._complete()
        if prediction is None:
            msg = "alternatives need at least one click, got none"
            raise InputError(msg)
        proposals = propose(self._segmenter, self._prepared, prediction)
        return select(prediction, proposals, limit, self.choices.preferred)

    def choose(self, index: int) -> Prediction | None:
        """Make an alternative the mask of the current object, as one step.

        The next click goes on from it; `undo` gives the mask before back.

        Parameters
        ----------
        index
            Place among `alternatives`; 0, the present mask, changes nothing.

        Raises
        ------
        InputError
            If there is no such alternative.
        """
        if not isinstance(index, (int, np.integer)):
            msg = f"index must be a whole number, got {index!r}"
            raise InputError(msg)
        found = self.alternatives(max(index, 0) + 1)
        if not 0 <= index < len(found):
            msg = f"index must be one of 0 to {len(found) - 1}, got {index}"
            raise InputError(msg)
        if index:
            start = self._current.choose(found[index].prediction)
            self.choices.take(start, found[index].slot)
        return self.prediction

    def _complete(self) -> Prediction | None:
        """Predict what is missing, here and now."""
        request = self.request()
        if request is not None:
            self.fulfil(request, self._segmenter.run(request))
        return self.prediction

    # -- predicting elsewhere --------------------------------------------------

    def push_click(self, row: float, col: float, positive: bool = True) -> None:
        """Add a click without predicting, see `add_click`."""
        self._current.add_click(row, col, positive)

    def push_clicks(self, clicks: Iterable[Click]) -> None:
        """Replace all clicks without predicting, see `replace_clicks`."""
        self._current.set_clicks(clicks)

    def undo_click(self) -> bool:
        """Undo without predicting; ``False`` if there was nothing to undo."""
        return self._current.undo()

    def redo_click(self) -> bool:
        """Redo without predicting; ``False`` if there was nothing to redo."""
        return self._current.redo()

    def push_mask(
        self,
        mask: ArrayLike,
        clicks: Iterable[Click] = (),
        *,
        corner: tuple[int, int] = (0, 0),
        label: int | None = None,
    ) -> None:
        """Begin the current object with a mask without predicting, see `start_from`.

        Parameters
        ----------
        mask, clicks
            See `start_from`.
        corner
            Row and column of the image at which the mask begins.
        label
            The id of the object that is refined by it; `accept` then replaces it.
        """
        sequence = tuple(clicks)
        start = make_start_mask(
            mask, self.shape, corner=corner, place_click=not sequence, label=label
        )
        self._current.begin(start, sequence)

    def push_start(self, start: StartMask) -> None:
        """Begin the current object with a start of another session, see `start`."""
        self._current.begin(start)

    def request(self) -> Request | None:
        """Return what is to be predicted, or ``None`` if nothing is missing."""
        return self._current.request(self._prepared)

    def fulfil(self, request: Request, predictions: Sequence[Prediction]) -> bool:
        """Take the answer to a request.

        Answers are kept as long as they are of use: for the current clicks, their
        beginning, or a state that undo and redo can reach. So clicks may have been
        added meanwhile; then `request` asks only for what is still missing.

        Returns
        -------
        bool
            ``False`` if nothing could be used (stale, or cancelled). If ``True``,
            `prediction` may still be ``None``: later clicks are missing.
        """
        if request.prepared is not self._prepared:
            return False
        return self._current.fulfil(request, predictions)

    # -- finished objects ------------------------------------------------------

    def accept(
        self,
        *,
        label: int | None = None,
        overwrite: bool = False,
        how: WriteMode | None = None,
    ) -> int:
        """Write the mask into `labels` and begin the next object.

        Parameters
        ----------
        label
            The id of the object; by default the one that is being refined (see
            `refine`), else the largest id plus one.
        overwrite
            Also take pixels that belong to other objects.
        how
            ``"add"``: the mask is added to the object; a new id makes a new object.
            ``"cut"``: the mask is cut from the object. ``"replace"``: the mask takes
            the object's place. By default ``"replace"`` for an object that is being
            refined, else ``"add"``.

        Returns
        -------
        int
            The id.

        Raises
        ------
        InputError
            If there is no prediction, the mask adds (or cuts) no pixel, or the id
            cannot be used.
        """
        prediction, prompts = self._acceptable(), self._current.prompts
        number = self._labels.write(prediction, prompts, label, how, overwrite)
        self.choices.finish(prompts.start)
        self._current.restart()
        return number

    def accept_drawn(
        self, change: LabelChange, *, label: int, how: WriteMode, overwrite: bool
    ) -> None:
        """Begin the next object: the mask of this one was written elsewhere.

        `current` is another one from then on; that which was accepted keeps the steps
        of its clicks, and may be set again after `withdraw`.

        Parameters
        ----------
        change
            The pixels that it changed; `labels` follows.
        label, how, overwrite
            See `accept`.

        Raises
        ------
        InputError
            If there is no prediction.
        """
        prediction, prompts = self._acceptable(), self._current.prompts
        self.note(finished(prediction, prompts, label, how, overwrite), change)
        self.choices.finish(prompts.start)
        done = self._current
        done.finish()
        self.current = CurrentObject(
            self.shape, threshold=done.threshold, tidy=done.default_tidy
        )

    def undo_accept(self) -> Prediction | None:
        """Take the last `accept` or `delete` back, see `reopen`, and predict."""
        self.reopen()
        return self._complete()

    def reopen(self) -> int:
        """Take the last `accept` or `delete` back without predicting.

        The pixels it changed are restored (those that were changed since stay as they
        are) and the clicks of an accepted object return. `undo` then takes them back
        one by one. Candidates that were accepted together are taken back together,
        and nobody has clicked them: nothing returns but the background.

        Returns
        -------
        int
            The id of the object.

        Raises
        ------
        InputError
            If nothing was accepted or deleted, or the current object has clicks.
        """
        if self.clicks:
            msg = "the last object cannot return: the current one has clicks"
            raise InputError(msg)
        if self._labels.steps and self._review.owns(self._labels.steps[-1]):
            label = self._labels.steps[-1].id
            self._review.take_back_accepted()
            return label
        last = self._labels.take_back()
        self._current.restart(
            Prompts(
                last.clicks,
                last.view,
                last.start,
                last.tidy,
                last.typical_size,
                last.found,
            )
        )
        if last.clicks:
            self._current.threshold = last.threshold
        return last.id

    def delete(self, label: int) -> None:
        """Remove an object from `labels`; `reopen` brings it back.

        Parameters
        ----------
        label
            Id of any object, whoever made it.

        Raises
        ------
        InputError
            If there is no such object.
        """
        self._labels.delete(label)

    def note(self, step: FinishedObject, change: LabelChange) -> None:
        """Add a step that was made elsewhere, as by following a stack.

        Parameters
        ----------
        step
            What was done; it is saved with the others, and `reopen` takes it back.
        change
            The pixels that it changed; `labels` follows.
        """
        self._labels.note(step, change)

    def withdraw(self) -> None:
        """Take the last step back; what is being clicked stays as it is.

        Raises
        ------
        InputError
            If nothing was accepted or deleted.
        """
        self._labels.take_back()

    def _acceptable(self) -> Prediction:
        """Return the prediction that `accept` writes."""
        prediction = self.prediction
        if prediction is None:
            why = "its prediction is missing" if self.clicks else "there is no click"
            msg = f"nothing can be accepted: {why}"
            raise InputError(msg)
        return prediction

    def _find_typical_size(self) -> float | None:
        return self.typical_size

    def _view_by_size(self, click: Click) -> Box | None:
        """Return a first view that suits the finished objects; ``None`` without any."""
        sizes = [max(done.size) for done in self.objects if done.how != "cut"]
        if not sizes:
            return None
        side = max(MIN_VIEW, round(VIEW_FACTOR * np.median(sizes)))
        return square_around(click, side, self.shape)

    # -- classes ---------------------------------------------------------------

    def classify(
        self, labels: Iterable[int] | int, name: str, colour: str | None = None
    ) -> None:
        """Give objects a class, which is made if there is none of this name.

        Parameters
        ----------
        labels
            Id of an object, or ids of several.
        name
            Name of the class, see `classes`.
        colour
            Its colour, such as ``"#e69f00"``; by default it stays, or the next one of
            a list.

        Raises
        ------
        InputError
            If there is no such object, or the name or colour is none.
        """
        whole = (int, np.integer)
        ids = several(labels, whole, "labels", "ids of objects")
        chosen = [checked_id(label) for label in ids]
        there = np.unique(self.labels)
        for label in chosen:
            if label not in there:
                msg = f"labels must be ids of objects, got {label}"
                raise InputError(msg)
        names = [one.name for one in self.classes.classes]
        number = names.index(name) if name in names else len(names)
        named = self.classes.named(number, name, colour)
        self.classes = named.assigned(dict.fromkeys(chosen, number))

    # -- objects like the accepted ones -----------------------------------------

    def examples(self, labels: Iterable[int] | int | None = None) -> Examples:
        """Return objects of this image as examples, for any image.

        Parameters
        ----------
        labels
            Their ids; by default all objects. Rejected candidates belong to the
            examples as well, as negative ones.

        Raises
        ------
        InputError
            If there is no such object.
        """
        from napari_gpcis.similar import collect  # heavy: not needed by a click

        return collect(
            self._segmenter,
            self._prepared,
            self.labels,
            labels,
            self._review.rejected,
        )

    def find_similar(
        self,
        labels: Iterable[int] | int | None = None,
        *,
        examples: Examples | None = None,
        least: float | None = None,
        cancelled: Callable[[], bool] = lambda: False,
    ) -> tuple[Candidate, ...]:
        """Return objects like some that are there, each segmented by one click.

        Nothing is written: see `accept_candidate`.

        Parameters
        ----------
        labels
            Id of the example, or ids of several; by default all objects.
        examples
            Those of another image, see `examples`, in place of ``labels``.
        least
            Least confidence, in [0, 1]; 0 for all candidates, by default
            `napari_gpcis.similar.LEAST_CONFIDENCE`.
        cancelled
            Asked before each tile of the image; if true, what was found by then is
            returned.

        Returns
        -------
        tuple of Candidate
            The most confident first. None shares more than about a third of its
            pixels with another, or half with an object that is there. Candidates that
            were rejected do not return.

        Raises
        ------
        InputError
            If there is no such object, or both ``labels`` and ``examples`` are given,
            or the examples are those of another model.
        """
        from napari_gpcis.similar import LEAST_CONFIDENCE, resolved, search

        if labels is not None and examples is not None:
            msg = "labels and examples cannot both be given: give one of them"
            raise InputError(msg)
        if least is None:
            least = LEAST_CONFIDENCE
        number = isinstance(least, (int, float, np.number))
        if not (number and 0 <= least <= 1):
            msg = f"least must lie between 0 and 1, got {least!r}"
            raise InputError(msg)
        found = search(
            self._segmenter,
            self._prepared,
            self.labels,
            self.examples(labels) if examples is None else examples,
            threshold=self.threshold,
            tidy=self.tidy,
            cancelled=cancelled,
        )
        every = [one for part in found for one in part.candidates]
        return tuple(resolved(every, least, self._review.rejected))

    def accept_candidate(
        self, candidate: Candidate, *, label: int | None = None, overwrite: bool = False
    ) -> int:
        """Write a candidate into `labels` as a new object, as one step.

        Parameters
        ----------
        candidate
            From `find_similar`.
        label
            The id of the object; by default the largest id plus one.
        overwrite
            Also take pixels that belong to other objects.

        Returns
        -------
        int
            The id.

        Raises
        ------
        InputError
            If it lies outside the image, adds no pixel, or the id cannot be used.
        """
        (one,) = checked_candidates((candidate,))
        return self._review.accept((one,), label, overwrite=overwrite)[0]

    def accept_candidates(
        self, candidates: Iterable[Candidate] | Candidate
    ) -> tuple[int, ...]:
        """Write several candidates as new objects, all as one step.

        Parameters
        ----------
        candidates
            From `find_similar`; where two share pixels, the first has them.

        Returns
        -------
        tuple of int
            Their ids, in order; 0 for one that would have added no pixel.

        Raises
        ------
        InputError
            If one lies outside the image, or none adds a pixel.
        """
        return self._review.accept(checked_candidates(candidates))

    def reject_candidate(self, *candidates: Candidate | Iterable[Candidate]) -> None:
        """Make candidates negative examples of the next `find_similar`, as one step.

        They are saved with the prompts. They may also be given as one list.

        Raises
        ------
        InputError
            If one is no candidate, or lies outside the image.
        """
        checked = tuple(
            one for given in candidates for one in checked_candidates(given)
        )
        self._review.reject(checked)

    @property
    def rejected(self) -> tuple[Candidate, ...]:
        """Candidates that are no such objects, those of a saved session first."""
        return self._review.rejected

    def undo_candidates(self) -> tuple[Candidate, ...]:
        """Take the last acceptance or rejection of candidates back.

        Returns
        -------
        tuple of Candidate
            The candidates, which may be accepted or rejected again.

        Raises
        ------
        InputError
            If there was none, or objects were accepted or deleted since.
        """
        return self._review.take_back()

    # -- prompts on disk -------------------------------------------------------

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write the prompts of all objects, and those of the current one, as JSON.

        Raises
        ------
        OSError
            If the file cannot be written; an older file stays as it was.
        """
        write_session(path, self.saved())

    def saved(self) -> SavedSession:
        """Return what `save` writes: values that do not change any more."""
        info, current = self._segmenter.info, self._current
        return SavedSession(
            shape=self.shape,
            model=info.name,
            fingerprint=fingerprint(info),
            contrast=self._contrast,
            channels=self._channels,
            initial_labels=self._labels.initial,
            objects=tuple(map(saved_object, self._labels.steps)),
            current=saved_prompts(current.prompts, current.threshold),
            rejected=tuple(map(saved_candidate, self._review.rejected)),
            classes=self.classes,
        )

    @classmethod
    def load(
        cls,
        path: str | os.PathLike[str],
        segmenter: Segmenter,
        image: ArrayLike,
        *,
        labels: ArrayLike | None = None,
        any_model: bool = False,
    ) -> Session:
        """Replay saved prompts: the masks and labels are those that were saved.

        Parameters
        ----------
        path
            File from `save`.
        segmenter
            The model that was used.
        image
            The image; contrast and channels come from the file.
        labels
            The labels the saved session began with, if it had any.
        any_model
            Accept another model, whose masks will differ.

        Raises
        ------
        InputError
            If the file is damaged, or image, labels or model are not those of the
            file.
        OSError
            If the file cannot be read.
        """
        saved = read_session(path)
        as_seen = partial(cls, contrast=saved.contrast, channels=saved.channels)
        session = as_seen(segmenter, image, labels=labels)
        model = None if any_model else segmenter.info
        check_same(saved, session.shape, session._labels.initial, model)
        session.classes = saved.classes
        session._review.earlier = tuple(
            candidate_of(one, session.shape) for one in saved.rejected
        )
        for item in saved.objects:
            session.repeat(item)
        session._replay(saved.current)
        return session

    def repeat(self, saved: SavedObject) -> None:
        """Do what a saved step did to the labels.

        Raises
        ------
        InputError
            If it cannot be done: its object is not there, or has no pixel left.
        """
        if saved.how == "delete":
            if saved.id is not None:
                self.delete(saved.id)
            return
        self._replay(saved)
        self.accept(label=saved.id, how=saved.how, overwrite=saved.overwrite)
        self._labels.note_run(saved.made_by, saved.digest)

    def _replay(self, saved: SavedObject) -> None:
        """Make the saved prompts the current ones, and predict."""
        self.threshold = saved.threshold
        self._current.restart(prompts_of(saved, self.shape))
        self._complete()
