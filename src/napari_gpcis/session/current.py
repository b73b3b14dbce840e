"""Clicks on one object: history, and predictions made here or elsewhere."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from napari_gpcis.clicks import Click
from napari_gpcis.geometry import check_clicks
from napari_gpcis.inference.prediction import check_threshold
from napari_gpcis.inference.segmenter import Request

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence

    from napari_gpcis.geometry import Box
    from napari_gpcis.inference.prediction import Prediction
    from napari_gpcis.inference.segmenter import PreparedImage, Segmenter
    from napari_gpcis.inference.start_mask import StartMask


class Clicking(ABC):
    """The clicks of the current object of one image.

    Parameters
    ----------
    segmenter
        The model.
    prepared
        The image.
    """

    def __init__(self, segmenter: Segmenter, prepared: PreparedImage) -> None:
        self._segmenter = segmenter
        self._prepared = prepared
        self._threshold = segmenter.info.inference.mask_threshold
        self._history = History()
        self._known: dict[Prompts, Prediction] = {}
        self._last_shown: tuple[Prediction, Prediction] | None = None

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
    def clicks(self) -> tuple[Click, ...]:
        """The clicks of the current object, in order."""
        return self._history.current.clicks

    @property
    def prediction(self) -> Prediction | None:
        """The prediction of all current clicks; ``None`` if there is none (yet)."""
        found = self._find(self._history.current)
        return None if found is None else self._shown(found)

    @property
    def start(self) -> StartMask | None:
        """The mask that the current object began with; ``None`` for none."""
        return self._history.current.start

    @property
    def threshold(self) -> float:
        """Probability above which a pixel is object; may be set, between 0 and 1."""
        return self._threshold

    @threshold.setter
    def threshold(self, threshold: float) -> None:
        check_threshold(threshold)
        self._threshold = float(threshold)

    @property
    def can_undo(self) -> bool:
        """Whether `undo` has a step to take back."""
        return self._history.can_undo

    @property
    def can_redo(self) -> bool:
        """Whether `redo` has a step to repeat."""
        return self._history.can_redo

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
            If the click lies outside the image (it is not added), or the image has
            NaN values where it is read.
        """
        self.push_click(row, col, positive)
        self._complete()
        return self._shown(self._known[self._history.current])

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
            If a click lies outside the image (nothing is changed), or the image has
            NaN values where it is read.
        """
        self.push_clicks(clicks)
        return self._complete()

    def _complete(self) -> Prediction | None:
        """Predict what is missing, here and now."""
        request = self.request()
        if request is not None:
            self.fulfil(request, self._segmenter.run(request))
        return self.prediction

    # -- predicting elsewhere --------------------------------------------------

    def push_click(self, row: float, col: float, positive: bool = True) -> None:
        """Add a click without predicting, see `add_click`."""
        self.push_clicks((*self.clicks, Click(row, col, positive)))

    def push_clicks(self, clicks: Iterable[Click]) -> None:
        """Replace all clicks without predicting, see `replace_clicks`."""
        checked = check_clicks(clicks, self.shape)
        if checked == self.clicks:
            return
        if not checked:
            self._change(Prompts())
        elif self.clicks or self.start is not None:
            self._change(replace(self._history.current, clicks=checked))
        else:
            self._change(Prompts(checked, self._first_view(checked[0])))

    def undo_click(self) -> bool:
        """Undo without predicting; ``False`` if there was nothing to undo."""
        return self._history.undo()

    def redo_click(self) -> bool:
        """Redo without predicting; ``False`` if there was nothing to redo."""
        return self._history.redo()

    def request(self) -> Request | None:
        """Return what is to be predicted, or ``None`` if nothing is missing."""
        asked = self._history.current
        done: list[Prediction] = []
        for number in range(1, len(asked.clicks) + 1):
            found = self._find(asked.first(number))
            if found is None:
                return Request(
                    self._prepared,
                    asked.clicks,
                    tuple(done),
                    asked.view,
                    asked.start,
                )
            done.append(found)
        return None

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
        used = False
        asked = Prompts(request.clicks, request.view, request.start)
        for number, found in enumerate(predictions, start=len(request.done) + 1):
            prompts = asked.first(number)
            if self._history.reaches(prompts):
                self._known[prompts] = found
                used = True
        return used

    def _find(self, prompts: Prompts) -> Prediction | None:
        """Return what is known for these prompts."""
        start = prompts.start
        if start is not None and start.holds_for(prompts.clicks):
            return start.prediction_for(prompts.clicks)
        return self._known.get(prompts)

    def _shown(self, found: Prediction) -> Prediction:
        """Return a prediction with the threshold of the session."""
        if found.threshold == self._threshold:
            return found
        last = self._last_shown
        if last is None or last[0] is not found or last[1].threshold != self._threshold:
            last = self._last_shown = found, found.with_threshold(self._threshold)
        return last[1]

    # -- steps -----------------------------------------------------------------

    @abstractmethod
    def _first_view(self, click: Click) -> Box | None:
        """Return what the first click of an object is zoomed to."""

    def _change(self, prompts: Prompts) -> None:
        """Make a step, and forget predictions that no undo or redo can reach."""
        forget = self._history.can_redo
        self._history.push(prompts)
        if forget:
            kept = filter(self._history.reaches, self._known)
            self._known = {key: self._known[key] for key in kept}

    def _restart(self, prompts: Prompts | None = None) -> None:
        """Begin with these prompts: nothing is redone, nothing predicted."""
        self._history.reset(prompts)
        self._known.clear()


@dataclass(frozen=True)
class Prompts:
    """The clicks of one object, and what it began with.

    Attributes
    ----------
    clicks
        The clicks, in order.
    view
        What the first click was zoomed to.
    start
        The mask before the first click; ``None`` for none.
    """

    clicks: tuple[Click, ...] = ()
    view: Box | None = None
    start: StartMask | None = None

    def first(self, number: int) -> Prompts:
        """Return the first ``number`` clicks with the same beginning."""
        return Prompts(self.clicks[:number], self.view, self.start)

    def begins_with(self, other: Prompts) -> bool:
        """Tell whether the other prompts are the first of these."""
        return self.first(len(other.clicks)) == other


class History:
    """Prompts of the current object, with those before and those undone."""

    def __init__(self) -> None:
        self.reset()

    def reset(self, prompts: Prompts | None = None) -> None:
        """Start anew: the clicks of the prompts can be undone, one by one."""
        self.current = prompts or Prompts()
        count = len(self.current.clicks)
        steps = [self.current.first(number) for number in range(1, count)]
        self._before: list[Prompts] = [Prompts(), *steps] if count else []
        self._undone: list[Prompts] = []

    def push(self, prompts: Prompts) -> None:
        """Make a step that can be undone; steps that were undone are forgotten."""
        self._before.append(self.current)
        self._undone.clear()
        self.current = prompts

    def undo(self) -> bool:
        """Go one step back; ``False`` if there is none."""
        return self._move(self._before, self._undone)

    def redo(self) -> bool:
        """Repeat a step that was undone; ``False`` if there is none."""
        return self._move(self._undone, self._before)

    def _move(self, origin: list[Prompts], target: list[Prompts]) -> bool:
        if not origin:
            return False
        target.append(self.current)
        self.current = origin.pop()
        return True

    def each(self, function: Callable[[Prompts], Prompts]) -> History:
        """Return the same history of what a function makes of each of its states."""
        made = History()
        made.current = function(self.current)
        made._before = [*map(function, self._before)]
        made._undone = [*map(function, self._undone)]
        return made

    @property
    def can_undo(self) -> bool:
        """Whether there is a step to go back."""
        return bool(self._before)

    @property
    def can_redo(self) -> bool:
        """Whether there is a step to repeat."""
        return bool(self._undone)

    def reaches(self, prompts: Prompts) -> bool:
        """Tell whether a prediction for these prompts may be wanted again."""
        return any(state.begins_with(prompts) for state in self._states())

    def _states(self) -> Iterator[Prompts]:
        yield self.current
        yield from self._before
        yield from self._undone
