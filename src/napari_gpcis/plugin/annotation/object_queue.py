"""Objects being clicked on one plane: those that wait to be accepted, and the next."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, NamedTuple
from weakref import WeakKeyDictionary

from napari_gpcis.plugin.labels.hand_edits import NONE, HandEdits

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from napari_gpcis.clicks import Click
    from napari_gpcis.plugin.annotation.click_layers import ClickLayers
    from napari_gpcis.plugin.viewer.planes import Plane
    from napari_gpcis.session.current import CurrentObject, Prompts
    from napari_gpcis.session.labels import WriteMode


class Recalled(NamedTuple):
    """An object that was being clicked, and goes on.

    Attributes
    ----------
    prompts, threshold
        What its mask is made of.
    label, how, overwrite
        The object that it is to change, 0 for a new one, and how, see
        `Session.accept`.
    by_hand
        Pixels that were drawn and erased by hand.
    class_number
        Number of the class with which it was accepted; ``None``: it was not.
    """

    prompts: Prompts
    threshold: float
    label: int
    how: WriteMode
    overwrite: bool
    by_hand: HandEdits = NONE
    class_number: int | None = None


class ObjectQueue:
    """Objects being clicked on one plane, with the points that show their clicks.

    A user who is quicker than the model accepts an object before its mask is there: it
    then waits, and the next one is clicked meanwhile.

    Parameters
    ----------
    plane
        The plane.
    layers
        Where the clicks are shown and edited.
    make
        Makes a new object.
    begin
        Called with an object before it gets its first click, and with that if it is
        one of the mouse: the object may then begin with other clicks before it.

    Attributes
    ----------
    current
        The object that further clicks belong to.
    waiting
        Objects that are to be accepted as soon as their masks are there.
    class_numbers
        Number of the class with which each of these was accepted.
    """

    def __init__(
        self,
        plane: Plane,
        layers: ClickLayers,
        make: Callable[[], CurrentObject],
        begin: Callable[[CurrentObject, Click | None], object],
    ) -> None:
        self._plane = plane
        self._layers = layers
        self._make = make
        self._begin = begin
        self.current = make()
        self.waiting: list[CurrentObject] = []
        self.class_numbers: WeakKeyDictionary[CurrentObject, int] = WeakKeyDictionary()
        self._shown: list[tuple[CurrentObject, tuple[Click, ...]]] = []
        self._numbers: tuple[int, ...] = ()

    @property
    def first(self) -> CurrentObject:
        """The object whose mask is computed and drawn."""
        return self.waiting[0] if self.waiting else self.current

    @property
    def all(self) -> tuple[CurrentObject, ...]:
        """All of them, in the order in which they were clicked."""
        return *self.waiting, self.current

    @property
    def last_waits_alone(self) -> bool:
        """True if one object waits, and nothing was clicked after it."""
        unused = not (self.current.clicks or self.current.can_redo)
        return len(self.waiting) == 1 and unused

    @property
    def clicks(self) -> tuple[Click, ...]:
        """Clicks of all of them, in order."""
        if not self.waiting:
            return self.current.prompts.clicks
        return tuple(click for one in self.all for click in one.clicks)

    # Steps ------------------------------------------------------------------------

    def wait(self, following: CurrentObject | None = None) -> None:
        """Let the current object wait to be accepted, and begin the next one.

        Parameters
        ----------
        following
            The next one; by default a new one.
        """
        self.waiting.append(self.current)
        self.current = following or self._make()
        self.show()

    def note_class(self, number: int) -> None:
        """Take note of the class, by its number, of objects that wait from now on."""
        self.class_numbers.pop(self.current, None)
        for one in self.waiting:
            self.class_numbers.setdefault(one, number)

    def withdraw(self) -> CurrentObject | None:
        """Go on with the object that waits last.

        Returns
        -------
        CurrentObject or None
            The object that was begun after it; ``None`` if none waits.
        """
        if not self.waiting:
            return None
        following, self.current = self.current, self.waiting.pop()
        self.show()
        return following

    def go_on_with(self, current: CurrentObject) -> None:
        """Make this the current object."""
        self.current = current
        self.show()

    def next(self, following: CurrentObject | None = None) -> None:
        """Let go of the first object, which is finished.

        Parameters
        ----------
        following
            The object that is current then; by default one that waits, or a new one.
        """
        if self.waiting:
            self.waiting.pop(0)
        else:
            self.current = following or self._make()
        self.show()

    def begin_anew(self, recalled: Sequence[Recalled] = ()) -> None:
        """Leave all objects as they are, without points; go on with new ones.

        Parameters
        ----------
        recalled
            The new ones; all but the last are accepted, and wait for their masks.
            None: one that has no clicks.
        """
        self.waiting, self.current = [], self._make()
        for number, (prompts, threshold, *_) in enumerate(recalled):
            if number:
                self.waiting.append(self.current)
                self.current = self._make()
            self.current.restart(prompts)
            self.current.view, self.current.threshold = prompts.view, threshold
        self.show(instead_of_all=True)

    def set_clicks(self, clicks: tuple[Click, ...]) -> None:
        """Make these the clicks of the current object, as one step."""
        if not self.current.clicks:
            self._begin(self.current, None)
        self.current.set_clicks(clicks)
        self.show()

    def switch_sign(self) -> None:
        """Switch the sign of the selected clicks, or of the last one."""
        chosen = self._layers.selected(self._plane) & set(self._numbers)
        chosen = chosen or set(self._numbers[-1:])
        numbers = iter(self._numbers)
        for one in self.all:
            one.set_clicks(
                _switched(click) if next(numbers) in chosen else click
                for click in one.clicks
            )
        self.show()

    # Points -----------------------------------------------------------------------

    def show(self, *, instead_of_all: bool = False) -> None:
        """Show the clicks there are now; edits that were not taken over yet stay.

        Parameters
        ----------
        instead_of_all
            They do not stay: all points of the plane go.
        """
        self._shown = self._clicked()
        instead = None if instead_of_all else self._numbers
        self._numbers = self._layers.show(self._plane, self.clicks, instead)

    def take_edits(self) -> tuple[bool, bool]:
        """Take over edits of points: which clicks came, moved or went.

        Returns
        -------
        bool, bool
            Whether clicks have changed, and whether some lay beside the image, which
            were removed.
        """
        if self._shown != self._clicked():
            self.show()  # they were changed by whoever has the session
        there = dict(self._layers.clicks(self._plane))
        numbers = tuple(there)
        if numbers == self._numbers and tuple(there.values()) == self.clicks:
            return False, False
        before = self.clicks
        inside = {number: c for number, c in there.items() if self._is_inside(c)}
        beside = len(inside) < len(there)
        known = iter(self._numbers)
        kept = [
            [
                inside.pop(number)
                for number in [next(known) for _ in one.clicks]
                if number in inside
            ]
            for one in self.all
        ]
        for one, clicks in zip(self.waiting, kept, strict=False):
            one.set_clicks(clicks)
        self._add(kept[-1], list(inside.values()))
        self.waiting = [one for one in self.waiting if one.clicks]
        self._numbers = numbers
        self.show()
        return self.clicks != before, beside

    def _clicked(self) -> list[tuple[CurrentObject, tuple[Click, ...]]]:
        """Return the objects that have clicks, with them."""
        prompts = ((one, one.prompts) for one in self.all)
        return [(one, asked.clicks) for one, asked in prompts if asked.clicks]

    def _add(self, kept: list[Click], added: list[Click]) -> None:
        """Give the current object the clicks it has kept, and new ones.

        New ones are steps of their own, unless others have changed as well.
        """
        current = self.current
        if added and not kept:
            fresh = not current.clicks
            self._begin(current, added[0] if fresh else None)
            kept = list(current.clicks) if fresh else kept
        if tuple(kept) != current.clicks:
            current.set_clicks(kept + added)
            return
        for click in added:
            current.add_click(click.row, click.col, click.positive)

    def _is_inside(self, click: Click) -> bool:
        rows, cols = self.current.shape
        row, col = click.pixel
        return 0 <= row < rows and 0 <= col < cols


def _switched(click: Click) -> Click:
    """Return a click with the other sign."""
    return replace(click, positive=not click.positive)
