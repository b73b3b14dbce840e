"""The object being clicked: its prompts, their undo history, its predictions."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from napari_gpcis.clicks import Click
from napari_gpcis.errors import InputError
from napari_gpcis.geometry import check_clicks, clip_box, contains, square_around
from napari_gpcis.inference.prediction import check_threshold
from napari_gpcis.inference.segmenter import Request
from napari_gpcis.inference.start_mask import chosen_mask
from napari_gpcis.inference.tidy import DEFAULT_TIDY

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from napari_gpcis.geometry import Box
    from napari_gpcis.inference.image import PreparedImage
    from napari_gpcis.inference.prediction import Prediction
    from napari_gpcis.inference.start_mask import StartMask
    from napari_gpcis.inference.tidy import Tidy

LARGEST_WINDOW = 4096
"""Side of the window around the first click on a plane that is read by tiles."""


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
        The mask before the first click, or the one that was chosen for the first of
        the clicks, see `StartMask.clicks`; ``None`` for none.
    tidy
        Rules by which the mask is tidied; ``None``: it is not. Predictions do not
        depend on it, so prompts that differ in it alone are equal.
    typical_size
        Diameter that the object was likely to have when it got its first click.
    found
        Whether its first click is that of a candidate that a search has found: its
        view suits the examples, and no closer one is tried.
    """

    clicks: tuple[Click, ...] = ()
    view: Box | None = None
    start: StartMask | None = None
    tidy: Tidy | None = field(default=None, compare=False)
    typical_size: float | None = None
    found: bool = False

    def first(self, number: int) -> Prompts:
        """Return the first ``number`` clicks with the same beginning."""
        return replace(self, clicks=self.clicks[:number])

    @property
    def empty(self) -> bool:
        """True if there is neither a click nor a start."""
        return not self.clicks and self.start is None

    def begins_with(self, other: Prompts) -> bool:
        """Tell whether the other prompts are the first of these."""
        count = len(other.clicks)
        if count > len(self.clicks):
            return False
        if count and self.clicks[count - 1] != other.clicks[-1]:
            return False  # told at once, as a rule
        return self.first(count) == other


class CurrentObject:
    """The object being clicked on one plane, with the undo history of its clicks.

    It needs the plane's shape alone, so that it can be clicked before the image is
    read. What is missing is predicted by whoever asks for a `request`, runs it, and
    gives the answer to `fulfil`.

    Parameters
    ----------
    shape
        Rows and columns of the plane.
    threshold
        Probability above which a pixel is object.
    tiled
        Whether the plane is read tile by tile: then no more than a window around the
        first click is read for it.
    tidy
        Rules by which the mask is tidied; ``None``: it is not.

    Attributes
    ----------
    default_view : Callable
        Returns what the first click is zoomed to where `view` is ``None``.
    typical_size : Callable
        Returns the diameter that an object is likely to have, ``None`` if not known.
    default_tidy : Tidy or None
        `tidy` of an object that has no clicks yet.
    prompts : Prompts
        The clicks, and what the object began with; they change by the steps below.
    """

    def __init__(
        self,
        shape: tuple[int, int],
        *,
        threshold: float = 0.5,
        tiled: bool = False,
        tidy: Tidy | None = DEFAULT_TIDY,
    ) -> None:
        self.shape = shape
        self.tiled = tiled
        self.default_tidy = tidy
        self.default_view: Callable[[Click], Box | None] = _whole_plane
        self.typical_size: Callable[[], float | None] = _not_known
        self._view: Box | None = None
        self._threshold = threshold
        self.prompts = Prompts()
        self._history = _History()
        self._known = _KnownPredictions()
        self._last_shown: tuple[Prediction, Prediction] | None = None

    # -- state -----------------------------------------------------------------

    @property
    def clicks(self) -> tuple[Click, ...]:
        """The clicks, in order."""
        return self.prompts.clicks

    @property
    def start(self) -> StartMask | None:
        """The mask that the object began with; ``None`` for none."""
        return self.prompts.start

    @property
    def prediction(self) -> Prediction | None:
        """The prediction of all clicks; ``None`` if there is none (yet)."""
        found = self._find(self.prompts)
        return None if found is None else self._shown(found)

    @property
    def threshold(self) -> float:
        """Probability above which a pixel is object; may be set, between 0 and 1."""
        return self._threshold

    @threshold.setter
    def threshold(self, threshold: float) -> None:
        check_threshold(threshold)
        self._threshold = float(threshold)

    @property
    def tidy(self) -> Tidy | None:
        """Rules by which the mask is tidied; ``None``: it is not.

        May be set: with clicks it is a step that `undo` takes back, without any it
        holds for the objects to come.
        """
        now = self.prompts
        return self.default_tidy if now.empty else now.tidy

    @tidy.setter
    def tidy(self, tidy: Tidy | None) -> None:
        now = self.prompts
        if now.empty:
            self.default_tidy = tidy
        elif tidy != now.tidy:
            self._push(replace(now, tidy=tidy))

    @property
    def view(self) -> Box | None:
        """View of the next first click, a half-open box; may be set.

        What lies outside the plane is cut off.
        """
        return self._view

    @view.setter
    def view(self, view: Sequence[float] | None) -> None:
        self._view = None if view is None else clip_box(view, self.shape)

    @property
    def can_undo(self) -> bool:
        """True if `undo` has a step to take back."""
        return self._history.can_undo

    @property
    def can_redo(self) -> bool:
        """True if `redo` has a step to repeat."""
        return self._history.can_redo

    @property
    def steps(self) -> int:
        """Number of steps that `undo` can take back."""
        return self._history.steps

    @property
    def began(self) -> int:
        """Step with which the clicks began, counted from 1; that to come without any.

        Clicks that are there after all others were removed begin anew.
        """
        return self._history.began(self.prompts)

    # -- steps -----------------------------------------------------------------

    def add_click(self, row: float, col: float, positive: bool = True) -> None:
        """Add a click, as one step.

        Raises
        ------
        InputError
            If it lies outside the plane.
        """
        self.set_clicks((*self.clicks, Click(row, col, positive)))

    def set_clicks(self, clicks: Iterable[Click]) -> None:
        """Replace all clicks, as one step; the same clicks are none.

        Raises
        ------
        InputError
            If one lies outside the plane; nothing is changed then.
        """
        checked, now = check_clicks(clicks, self.shape), self.prompts
        if checked == now.clicks:
            return
        if not checked:
            self._push(Prompts())
        elif now.clicks or now.start is not None:
            self._push(replace(now, clicks=checked))
        else:
            view = self._first_view(checked[0])
            size = self.typical_size()
            self._push(Prompts(checked, view, None, self.default_tidy, size))

    def begin(self, start: StartMask, clicks: Sequence[Click] = ()) -> None:
        """Begin with a mask, as one step.

        Parameters
        ----------
        start
            The mask.
        clicks
            Clicks to begin with; by default those of the start.

        Raises
        ------
        InputError
            If there are clicks already, or one lies outside the plane.
        """
        if self.clicks:
            msg = "a mask can only begin an object: the current one has clicks"
            raise InputError(msg)
        checked = check_clicks(clicks, self.shape)
        settled = checked or start.clicks
        self._push(Prompts(settled, start.view, start, self.default_tidy))

    def begin_with(self, prompts: Prompts) -> None:
        """Begin with prompts that were made elsewhere, as one step.

        Raises
        ------
        InputError
            If there are clicks already.
        """
        if self.clicks:
            msg = "prompts can only begin an object: the current one has clicks"
            raise InputError(msg)
        self._push(prompts)

    @property
    def begun_only(self) -> bool:
        """True if there are no clicks but the one placed in the start mask."""
        start = self.start
        if start is None or len(self.clicks) != 1:
            return False
        return start.placed_first_of(self.clicks)

    def begin_instead(self, start: StartMask) -> None:
        """Begin with another mask than before, as one step, see `begun_only`.

        Raises
        ------
        InputError
            If there are other clicks.
        """
        if not self.begun_only:
            msg = "another mask can only begin an object that has no other clicks"
            raise InputError(msg)
        now = self.prompts
        self._push(replace(now, clicks=start.clicks, view=start.view, start=start))

    def choose(self, prediction: Prediction) -> StartMask:
        """Take another mask for the same clicks, as one step.

        Parameters
        ----------
        prediction
            The mask, which obeys the clicks.

        Returns
        -------
        StartMask
            What the next click goes on from.

        Raises
        ------
        InputError
            If it is that of other clicks, or empty.
        """
        now = self.prompts
        if not now.clicks or prediction.clicks != now.clicks:
            msg = "a mask can only be chosen for the clicks that it was made from"
            raise InputError(msg)
        label = None if now.start is None else now.start.label
        start = chosen_mask(prediction, label)
        self._push(replace(now, start=start))
        return start

    def undo(self) -> bool:
        """Go one step back; ``False`` if there was none."""
        there = self._history.can_undo
        if there:
            self.prompts = self._history.undo(self.prompts)
        return there

    def redo(self) -> bool:
        """Repeat a step that was undone; ``False`` if there was none."""
        there = self._history.can_redo
        if there:
            self.prompts = self._history.redo(self.prompts)
        return there

    def restart(self, prompts: Prompts | None = None) -> None:
        """Begin anew, with nothing or with prompts that undo takes back one by one."""
        self.prompts = prompts or Prompts()
        self._history.reset(self.prompts)
        self._known.clear()

    # -- predictions -----------------------------------------------------------

    def request(self, prepared: PreparedImage) -> Request | None:
        """Return what is to be predicted, or ``None`` if nothing is missing.

        Parameters
        ----------
        prepared
            The image of the plane.
        """
        asked = self.prompts
        done: list[Prediction] = []
        held = 0 if asked.start is None else len(asked.start.clicks)
        for number, known in enumerate(self._known.each(asked), start=1):
            found = self._find(asked.first(number)) if number <= held else known
            if found is None:
                return Request(
                    prepared,
                    asked.clicks,
                    tuple(done),
                    asked.view,
                    asked.start,
                    asked.typical_size,
                    asked.found,
                )
            done.append(found)
        return None

    def fulfil(self, request: Request, predictions: Sequence[Prediction]) -> bool:
        """Keep the answer to a request as far as it is of use.

        It is for the current clicks, their beginning, or a state that undo and redo
        can reach. So clicks may have been added meanwhile; then `request` asks only
        for what is still missing.

        Returns
        -------
        bool
            ``False`` if nothing could be used (stale, or cancelled). If ``True``,
            `prediction` may still be ``None``: later clicks are missing.
        """
        used = False
        asked = Prompts(
            request.clicks,
            request.view,
            request.start,
            typical_size=request.typical_size,
            found=request.exact_view,
        )
        for number, found in enumerate(predictions, start=len(request.done) + 1):
            prompts = asked.first(number)
            if self._is_wanted(prompts):
                shown = shown_as(found, self._threshold, self.tidy, prompts.start)
                self._known.put(prompts, shown)
                used = True
        return used

    def forget_predictions(self) -> None:
        """Predict anew what is needed: the model or the image is another one."""
        self._known.clear()
        self._last_shown = None

    def finish(self) -> None:
        """Keep no more than what undo needs, should the object be opened again."""
        self.forget_predictions()
        self._history.forget_undone()

    # -- details ---------------------------------------------------------------

    def _first_view(self, click: Click) -> Box | None:
        """Return what the first click is zoomed to."""
        view = self.default_view(click) if self._view is None else self._view
        if not self.tiled:
            return view
        window = square_around(click, LARGEST_WINDOW, self.shape)
        if view is None or not contains(view, click):
            return window
        low = max(view[0], window[0]), max(view[1], window[1])
        return *low, min(view[2], window[2]), min(view[3], window[3])

    def _find(self, prompts: Prompts) -> Prediction | None:
        """Return what is known for these prompts."""
        start = prompts.start
        if start is not None and start.holds_for(prompts.clicks):
            return start.prediction_for(prompts.clicks)
        last = self._known.last
        if last is not None and last[0] == prompts:
            return last[1].prediction
        return self._known.get(prompts)

    def _shown(self, found: Prediction) -> Prediction:
        """Return a prediction with the threshold and the tidying of this object."""
        last = self._last_shown
        known = last[1] if last is not None and last[0] is found else found
        prompts = self.prompts
        shown = shown_as(known, self._threshold, prompts.tidy, prompts.start)
        self._last_shown = found, shown
        return shown

    def _push(self, prompts: Prompts) -> None:
        """Make a step, and forget predictions that no undo or redo can reach."""
        forget = self._history.can_redo
        self._history.push(self.prompts)
        self.prompts = prompts
        if forget:
            self._known.keep([*self._history.longest(), prompts])

    def _is_wanted(self, prompts: Prompts) -> bool:
        """Tell whether a prediction for these prompts is, or may be, wanted again."""
        now = self.prompts.begins_with(prompts)
        return now or self._history.reaches(prompts)


def shown_as(
    found: Prediction, threshold: float, tidy: Tidy | None, start: StartMask | None
) -> Prediction:
    """Return a prediction as an object shows it; the same one if it is so already.

    Parameters
    ----------
    found
        The prediction.
    threshold
        Probability above which a pixel is object.
    tidy
        Rules by which the mask is tidied.
    start
        The mask that the object began with. As long as it holds as it is, it is not
        tidied; later its pieces count as clicked.
    """
    kept: tuple[tuple[int, int], ...] = ()
    if start is not None and start.holds_for(found.clicks):
        tidy = None
    elif start is not None and tidy is not None and tidy.clicked:
        kept = start.middles
    if found.threshold != threshold:
        found = found.with_threshold(threshold)
    if (found.tidy, found.kept) != (tidy, kept):
        found = found.with_tidy(tidy, kept)
    return found


class _KnownPredictions:
    """Predictions by their prompts, as a tree: each click leads to those after it.

    What is known for many clicks, and for all that came before them, is found by going
    through them once; a dictionary would go through all of them for each.

    Attributes
    ----------
    last : tuple of Prompts and _Node, optional
        What was asked for or kept last, which as a rule is asked for next.
    """

    def __init__(self) -> None:
        self._roots: dict[Prompts, _Node] = {}
        self.last: tuple[Prompts, _Node] | None = None

    def __len__(self) -> int:
        """Return the number of predictions."""
        nodes, count = list(self._roots.values()), 0
        while nodes:
            node = nodes.pop()
            count += node.prediction is not None
            nodes += node.following.values()
        return count

    def get(self, prompts: Prompts) -> Prediction | None:
        """Return the prediction of prompts; ``None`` if it is not known."""
        node = self._roots.get(replace(prompts, clicks=()))
        for click in prompts.clicks:
            node = None if node is None else node.following.get(click)
        if node is None:
            return None
        self.last = prompts, node
        return node.prediction

    def each(self, prompts: Prompts) -> list[Prediction | None]:
        """Return that of the first click, of the first two, and so on, each or none."""
        node = self._roots.get(replace(prompts, clicks=()))
        found = []
        for click in prompts.clicks:
            node = None if node is None else node.following.get(click)
            found.append(None if node is None else node.prediction)
        return found

    def put(self, prompts: Prompts, prediction: Prediction) -> None:
        """Keep a prediction."""
        node = self._roots.setdefault(replace(prompts, clicks=()), _Node())
        for click in prompts.clicks:
            if click not in node.following:
                node.following[click] = _Node()
            node = node.following[click]
        node.prediction = prediction
        self.last = prompts, node

    def keep(self, states: Iterable[Prompts]) -> None:
        """Forget all that none of these prompts begins with."""
        before, self.last = self._roots, None
        self._roots = {}
        for state in states:
            root = replace(state, clicks=())
            old = before.get(root)
            new = self._roots.setdefault(root, _Node())
            for click in state.clicks:
                old = None if old is None else old.following.get(click)
                if old is None:
                    break
                new = new.following.setdefault(click, _Node(old.prediction))

    def clear(self) -> None:
        """Forget all."""
        self._roots.clear()
        self.last = None


class _Node:
    """A prediction, and where further clicks lead to."""

    __slots__ = ("following", "prediction")

    def __init__(self, prediction: Prediction | None = None) -> None:
        self.prediction = prediction
        self.following: dict[Click, _Node] = {}


class _History:
    """Prompts that the current object had before its present ones, and undone ones."""

    def __init__(self) -> None:
        self._before: list[Prompts] = []
        self._undone: list[Prompts] = []

    def reset(self, now: Prompts) -> None:
        """Start anew: the clicks of the present prompts can be undone, one by one."""
        count = len(now.clicks)
        steps = [now.first(number) for number in range(1, count)]
        self._before = [Prompts(), *steps] if count else []
        self._undone = []

    def push(self, now: Prompts) -> None:
        """Keep the present prompts before a step; steps that were undone are lost."""
        self._before.append(now)
        self._undone.clear()

    def undo(self, now: Prompts) -> Prompts:
        """Return the prompts of one step before."""
        self._undone.append(now)
        return self._before.pop()

    def redo(self, now: Prompts) -> Prompts:
        """Return the prompts of the step that was undone last."""
        self._before.append(now)
        return self._undone.pop()

    def forget_undone(self) -> None:
        """Repeat no step any more."""
        self._undone.clear()

    @property
    def can_undo(self) -> bool:
        """True if there is a step to go back."""
        return bool(self._before)

    @property
    def can_redo(self) -> bool:
        """True if there is a step to repeat."""
        return bool(self._undone)

    @property
    def steps(self) -> int:
        """Number of steps to go back."""
        return len(self._before)

    def began(self, now: Prompts) -> int:
        """Return the number of the first step since there was nothing."""
        states = [*self._before, now]
        for number in range(len(states), 0, -1):
            if states[number - 1].empty:
                return number
        return 0

    def longest(self) -> list[Prompts]:
        """Return the states of undo and redo with which no next one begins."""
        states = [*self._before, *reversed(self._undone)]
        following = [*states[1:], Prompts()]
        return [
            state
            for state, after in zip(states, following, strict=True)
            if not after.begins_with(state)
        ]

    def reaches(self, prompts: Prompts) -> bool:
        """Tell whether undo or redo may want a prediction for these prompts."""
        return any(
            state.begins_with(prompts) for state in (*self._before, *self._undone)
        )


def _whole_plane(_click: Click) -> Box | None:
    return None


def _not_known() -> float | None:
    return None
