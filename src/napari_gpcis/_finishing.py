"""Finished objects: accepting, deleting, taking that back; starting from masks."""

from __future__ import annotations

from abc import ABC
from typing import TYPE_CHECKING

from napari_gpcis._history import Prompts
from napari_gpcis.errors import InputError
from napari_gpcis.geometry import check_clicks
from napari_gpcis.inference.start_mask import start_from
from napari_gpcis.session.current import Clicking
from napari_gpcis.session.labels import ObjectLabels, finished

if TYPE_CHECKING:
    from collections.abc import Iterable

    import numpy as np
    from numpy.typing import ArrayLike, NDArray

    from napari_gpcis.clicks import Click
    from napari_gpcis.inference.prediction import Prediction
    from napari_gpcis.inference.segmenter import PreparedImage, Segmenter
    from napari_gpcis.inference.start_mask import Start
    from napari_gpcis.session.labels import FinishedObject, How, LabelChange


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
        start = start_from(
            mask, self.shape, corner=corner, settled=not checked, label=label
        )
        self._change(Prompts(checked or start.clicks, start.view, start))

    def push_start(self, start: Start) -> None:
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
