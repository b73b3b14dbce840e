"""One image being annotated: its clicks, their history and the finished objects."""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING

import numpy as np

from napari_gpcis._finishing import Finishing
from napari_gpcis._replay import (
    check_same,
    fingerprint,
    prompts_of,
    saved_object,
    saved_prompts,
)
from napari_gpcis.geometry import Box, clip_box, contains, square_around
from napari_gpcis.inference.image import channel_indices
from napari_gpcis.session.labels import FinishedObject
from napari_gpcis.session.saved import SavedSession, read_session, write_session

if TYPE_CHECKING:
    import os
    from collections.abc import Sequence

    from numpy.typing import ArrayLike

    from napari_gpcis._history import History, Prompts
    from napari_gpcis.clicks import Click
    from napari_gpcis.inference.segmenter import Segmenter
    from napari_gpcis.session.saved import SavedObject

__all__ = ["FinishedObject", "Session"]

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
