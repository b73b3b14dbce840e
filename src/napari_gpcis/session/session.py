"""One image being annotated: its clicks, their history and the finished objects."""

from __future__ import annotations

from abc import ABC
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING

import numpy as np

from napari_gpcis.errors import InputError
from napari_gpcis.geometry import Box, check_clicks, clip_box, contains, square_around
from napari_gpcis.inference.image import channel_indices
from napari_gpcis.inference.start_mask import make_start_mask
from napari_gpcis.session.current import Clicking, Prompts
from napari_gpcis.session.labels import FinishedObject, ObjectLabels, finished
from napari_gpcis.session.saved import (
    SavedSession,
    check_same,
    fingerprint,
    prompts_of,
    read_session,
    saved_object,
    saved_prompts,
    write_session,
)

if TYPE_CHECKING:
    import os
    from collections.abc import Iterable, Sequence

    from numpy.typing import ArrayLike, NDArray

    from napari_gpcis.clicks import Click
    from napari_gpcis.inference.prediction import Prediction
    from napari_gpcis.inference.segmenter import PreparedImage, Segmenter
    from napari_gpcis.inference.start_mask import StartMask
    from napari_gpcis.session.current import History
    from napari_gpcis.session.labels import How, LabelChange
    from napari_gpcis.session.saved import SavedObject

__all__ = ["FinishedObject", "Session"]


class Finishing(Clicking, ABC):
    """The finished objects of one image, and the current one.

    Parameters
    ----------
    segmenter, prepared
        See `Clicking`.
    labels
        Objects that exist already, see `Session`.
    """

    def __init__(
        self, segmenter: Segmenter, prepared: PreparedImage, labels: ArrayLike | None
    ) -> None:
        super().__init__(segmenter, prepared)
        self._labels = ObjectLabels(self.shape, labels)

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

    def accept(
        self,
        *,
        label: int | None = None,
        overwrite: bool = False,
        how: How | None = None,
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
        prediction, prompts = self._acceptable(), self._history.current
        number = self._labels.write(prediction, prompts, label, how, overwrite)
        self._restart()
        return number

    def accept_drawn(
        self, change: LabelChange, *, label: int, how: How, overwrite: bool
    ) -> None:
        """Begin the next object: the mask of this one was written elsewhere.

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
        prediction, prompts = self._acceptable(), self._history.current
        self.note(finished(prediction, prompts, label, how, overwrite), change)
        self._restart()

    def _acceptable(self) -> Prediction:
        """Return the prediction that `accept` writes."""
        prediction = self.prediction
        if prediction is None:
            why = "its prediction is missing" if self.clicks else "there is no click"
            msg = f"nothing can be accepted: {why}"
            raise InputError(msg)
        return prediction

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
        self.push_mask(mask, clicks)
        return self._complete()

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
        if self.clicks:
            msg = "a mask can only begin an object: the current one has clicks"
            raise InputError(msg)
        checked = check_clicks(clicks, self.shape)
        start = make_start_mask(
            mask, self.shape, corner=corner, place_click=not checked, label=label
        )
        self._change(Prompts(checked or start.clicks, start.view, start))

    def push_start(self, start: StartMask) -> None:
        """Begin the current object with a start of another session, see `start`."""
        if self.clicks:
            msg = "a mask can only begin an object: the current one has clicks"
            raise InputError(msg)
        self._change(Prompts(start.clicks, start.view, start))

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

    def undo_accept(self) -> Prediction | None:
        """Take the last `accept` or `delete` back, see `reopen`, and predict."""
        self.reopen()
        return self._complete()

    def reopen(self) -> int:
        """Take the last `accept` or `delete` back without predicting.

        The pixels it changed are restored (those that were changed since stay as they
        are) and the clicks of an accepted object return. `undo` then takes them back
        one by one.

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
        last = self._labels.take_back()
        self._restart(Prompts(last.clicks, last.view, last.start))
        if last.clicks:
            self._threshold = last.threshold
        return last.id


VIEW_FACTOR = 4
"""The first view is this many times the median size of the finished objects."""
MIN_VIEW = 64
"""Least side of that view, in data pixels."""
LARGEST_WINDOW = 4096
"""Side of the window around the first click on a plane that is read by tiles."""


class Session(Finishing):
    """One image being annotated, object after object.

    Parameters
    ----------
    segmenter
        The model.
    image, contrast, channels
        See :meth:`Segmenter.prepare`. The image is not copied: do not change it.
    labels
        Objects that exist already, integers, shape (H, W), 0 for background. They
        are copied, and protected like finished objects.

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
    ) -> None:
        super().__init__(
            segmenter, segmenter.prepare(image, contrast, channels), labels
        )
        self._contrast = None if contrast is None else self._prepared.limits[0]
        self._channels = None if channels is None else channel_indices(channels)
        self._view: Box | None = None

    # -- what is there ---------------------------------------------------------

    @property
    def view(self) -> Box | None:
        """What the next first click is zoomed to: a box in data pixels; may be set.

        Half-open, ``(row_min, col_min, row_max, col_max)``; what lies outside the
        image is cut off. With ``None`` the first click is zoomed to a square about
        it, four times the median size of the finished objects (at least 64 pixels),
        or to the whole image if there are none.
        """
        return self._view

    @view.setter
    def view(self, view: Sequence[float] | None) -> None:
        self._view = None if view is None else clip_box(view, self.shape)

    def _first_view(self, click: Click) -> Box | None:
        """Return what the first click of an object is zoomed to.

        Of a plane that is read tile by tile, it is no more than a window.
        """
        view = self._usual_view(click)
        if not self._prepared.tiled:
            return view
        window = square_around(click, LARGEST_WINDOW, self.shape)
        if view is None or not contains(view, click):
            return window
        low = max(view[0], window[0]), max(view[1], window[1])
        return *low, min(view[2], window[2]), min(view[3], window[3])

    def _usual_view(self, click: Click) -> Box | None:
        """Return what the person sees, or what suits the finished objects."""
        sizes = [max(done.size) for done in self.objects if done.how != "cut"]
        if self._view is not None or not sizes:
            return self._view
        size = np.median(sizes)
        return square_around(
            click, max(MIN_VIEW, round(VIEW_FACTOR * size)), self.shape
        )

    @property
    def history(self) -> History:
        """The clicks of the current object and their steps, see `go_on`."""
        return self._history

    def go_on(self, history: History) -> None:
        """Go on with the current object of another session on the same image.

        Parameters
        ----------
        history
            Its clicks, with what undo and redo reach. Nothing is predicted yet.
        """
        self._restart()
        self._history = history.each(self._seen_here)

    def _seen_here(self, prompts: Prompts) -> Prompts:
        """Return prompts with a view that fits the image."""
        if prompts.start is not None or not prompts.clicks:
            return prompts
        self.view = prompts.view
        return replace(prompts, view=self._first_view(prompts.clicks[0]))

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
        current = self._history.current
        info = self._segmenter.info
        return SavedSession(
            shape=self.shape,
            model=info.name,
            fingerprint=fingerprint(info),
            contrast=self._contrast,
            channels=self._channels,
            initial_labels=self._labels.initial,
            objects=tuple(map(saved_object, self._labels.steps)),
            current=saved_prompts(current, self._threshold),
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

    def _replay(self, saved: SavedObject) -> None:
        """Make the saved prompts the current ones, and predict."""
        self.threshold = saved.threshold
        self._restart(prompts_of(saved, self.shape))
        self._complete()
