"""Clicks as points: two Points layers, one per sign, that the user may also edit.

napari's Add mode puts a point at a click of any mouse button into the active layer.
:class:`ClickLayers` moves it to the layer its button means (left: positive, right:
negative) and reports every change, whoever made it: clicks, drags, deletions, scripts.
It is reported first and moved then, as napari takes its time to move a point.
"""

from __future__ import annotations

from collections import defaultdict, deque
from contextlib import contextmanager
from itertools import count
from time import perf_counter
from typing import TYPE_CHECKING, Any, Literal, NamedTuple, TypeAlias

import numpy as np
from qtpy.QtCore import QObject, Signal

from napari_gpcis.clicks import Click
from napari_gpcis.plugin.connections import Connections
from napari_gpcis.plugin.debouncing import Debouncer
from napari_gpcis.plugin.viewer.layers import RIGHT_BUTTON

if TYPE_CHECKING:
    from collections.abc import (
        Callable,
        Collection,
        Container,
        Generator,
        Iterator,
        Sequence,
    )

    from napari.layers import Image, Points

    from napari_gpcis.plugin.viewer.planes import Plane

    Key = tuple[float, ...]

Shape: TypeAlias = Literal["box", "lasso", "scribble", "superpixels"]
"""Shapes that a drag draws."""
BOX: Shape = "box"
LASSO: Shape = "lasso"
SCRIBBLE: Shape = "scribble"
SUPERPIXELS: Shape = "superpixels"
"""Superpixels that a stroke crosses: a press alone is one, too, with any button."""
_Instead: TypeAlias = Literal["pick", "choose", "draw", "take"]
"""Deed of a click that makes no point: to correct or choose what is there.

A line that ends where it began ("draw") is a click to napari.
"""

CLICK_TRAVEL = 5.0
"""A press and release further apart (canvas pixels) is a drag (as in napari)."""


class _Point(NamedTuple):
    """A point of a layer, which keeps its number while it is moved.

    Attributes
    ----------
    number
        Later points have larger ones.
    key
        Coordinates in the layer.
    plane, click
        The click that it shows, ``None`` if the user made or moved the point.
    """

    number: int
    key: Key
    plane: Plane | None = None
    click: Click | None = None


class ClickLayers(QObject):
    """A view of the clicks of one image in two Points layers.

    The clicks belong to the objects that are being clicked; here they are shown, and
    edits of the points are told by number: each point keeps its number while it is
    moved, so an edit is an addition, a move or a removal of a known click.

    Parameters
    ----------
    image
        The image the clicks belong to.
    positive, negative
        The two layers.
    parent
        Qt parent.

    Attributes
    ----------
    drawing : str, optional
        Shape that a drag of the left button draws: "box", "lasso", "scribble",
        "superpixels", see `draw`. With Shift held it draws a box in any case.
    clickable : bool
        Whether a click makes a point: there is a plane that it lies on.
    taker : Callable, optional
        Called with the point of the image of each click, which then is nothing else.
    clicked : float, optional
        When the mouse was pressed for the click that is being told, or when the point
        of a script was added, as `time.perf_counter` tells.
    claims : Callable
        Returns whether a left click at a point of the image is no click on a new
        object but chooses a finished one. With Shift held it is not asked.
    """

    changed = Signal()
    """Emitted once per turn of the event loop in which points were changed."""
    refused = Signal(str)
    """Emitted with a message when points were removed that cannot be clicks."""
    picked = Signal(object)
    """Emitted with a point of the image that was clicked with Alt held."""
    chosen = Signal(object)
    """Emitted with a point of the image whose click was claimed, see `claims`."""
    doubled = Signal(object)
    """Emitted with a point of the image that was clicked twice, quickly."""
    dragged = Signal(str, object, bool)
    """Emitted while a shape is drawn: which, its points in the image, its sign."""
    drawn = Signal(str, object, bool)
    """Emitted with the same when a shape was drawn."""
    drawing_changed = Signal()
    """Emitted when drags draw another shape, or none."""

    def __init__(
        self,
        image: Image,
        positive: Points,
        negative: Points,
        parent: QObject | None = None,
    ) -> None:
        super().__init__(parent)
        self._image = image
        self.layers = {True: positive, False: negative}
        self.drawing: Shape | None = None
        self.clickable = True
        self.taker: Callable[[Any], None] | None = None
        self.claims: Callable[[Any], bool] = _claims_nothing
        self._invalid = 0
        self.clicked: float | None = None
        self._pressed: bool | None = None
        self._pressed_at = 0.0
        self._instead: _Instead | None = None
        self._unwanted: list[tuple[bool, Any, _Instead | None]] = []
        self._misplaced: list[tuple[bool, Any]] = []
        self._numbers = count(1)
        self._points: dict[bool, list[_Point]] = {True: [], False: []}
        self._fresh: list[tuple[bool, _Point]] = []
        self._quiet = False
        self._debouncer = Debouncer(self._settle, parent=self)
        self._connections = Connections()
        for layer in self.layers.values():
            self._connections.connect(layer.events.data, self._on_data)
            layer.mouse_drag_callbacks.append(self._on_press)
            layer.mouse_double_click_callbacks.append(self._on_double_click)

    def close(self) -> None:
        """Let go of the layers."""
        self._debouncer.cancel()
        self._connections.end()
        for layer in self.layers.values():
            if self._on_press in layer.mouse_drag_callbacks:
                layer.mouse_drag_callbacks.remove(self._on_press)
            if self._on_double_click in layer.mouse_double_click_callbacks:
                layer.mouse_double_click_callbacks.remove(self._on_double_click)

    def draw(self, shape: Shape | None) -> None:
        """Let drags draw a shape, or none."""
        if shape != self.drawing:
            self.drawing = shape
            self.drawing_changed.emit()

    def settle(self) -> None:
        """Report changes now that would be reported at the next turn of the loop."""
        self._debouncer.flush()

    def clicks(self, plane: Plane) -> list[tuple[int, Click]]:
        """Return the clicks on a plane with their numbers, in the order of these.

        Parameters
        ----------
        plane
            The plane; points beside it do not count.
        """
        self._number()
        found = [
            (point.number, click)
            for positive, points in self._points.items()
            for point in points
            if (click := self._click(positive, point, plane)) is not None
        ]
        return sorted(found, key=lambda item: item[0])

    def selected(self, plane: Plane) -> set[int]:
        """Return the numbers of the clicks on a plane that the user has selected."""
        self._place_misplaced()
        self._number()
        return {
            self._points[positive][place].number
            for positive, layer in self.layers.items()
            if str(layer.mode) == "select"
            for place in layer.selected_data
            if self._click(positive, self._points[positive][place], plane) is not None
        }

    def show(
        self,
        plane: Plane,
        clicks: Sequence[Click],
        instead: Collection[int] | None = None,
    ) -> tuple[int, ...]:
        """Show clicks on a plane; nothing is reported.

        Parameters
        ----------
        plane, clicks
            What is to be shown.
        instead
            Numbers of the points that go; by default all of the plane.

        Returns
        -------
        tuple of int
            The numbers of the clicks, in their order.
        """
        self._number()
        shown = [(next(self._numbers), click) for click in clicks]
        with self._silence():
            for positive in self.layers:
                wanted = [item for item in shown if item[1].positive is positive]
                self._show_in(positive, plane, wanted, instead)
        return tuple(number for number, _ in shown)

    @property
    def hidden(self) -> bool:
        """True if the layer that takes the clicks is hidden: napari adds nothing."""
        return not self.layers[True].visible

    def unhide(self) -> None:
        """Make the layers visible."""
        for layer in self.layers.values():
            if not layer.visible:
                layer.visible = True

    def select(self, viewer: Any) -> None:
        """Make the layers ready for clicks: positive layer active, Add mode on."""
        for layer in self.layers.values():
            layer.mode = "add"
        viewer.layers.selection.active = self.layers[True]

    # Points and their numbers -----------------------------------------------------

    def _show_in(
        self,
        positive: bool,
        plane: Plane,
        wanted: Sequence[tuple[int, Click]],
        instead: Collection[int] | None,
    ) -> None:
        """Give one layer the clicks of its sign, leaving the other points."""
        layer, points = self.layers[positive], self._points[positive]
        shown = [self._click(positive, point, plane) for point in points]
        if instead is None:
            goes = [click is not None for click in shown]
        else:
            goes = [point.number in instead for point in points]
        have = [click for click, gone in zip(shown, goes, strict=True) if gone]
        if have == [click for _, click in wanted]:
            again = iter(wanted)
            self._points[positive] = [
                _shown(point.key, plane, *next(again)) if gone else point
                for point, gone in zip(points, goes, strict=True)
            ]
            return
        self._place_misplaced()
        stay = [point for point, gone in zip(points, goes, strict=True) if not gone]
        rows = [self._place(layer, plane, click) for _, click in wanted]
        keys = [point.key for point in stay]
        layer.selected_data = set()
        layer.data = np.array([*keys, *rows]).reshape(-1, layer.ndim)
        new = _keys(layer)[len(stay) :]
        self._points[positive] = stay + [
            _shown(key, plane, *item) for key, item in zip(new, wanted, strict=True)
        ]

    def _number(self) -> None:
        """Give numbers to points that are new, and to those that were moved again."""
        self._remove_invalid()
        for positive, keys in self._keys_by_sign().items():
            if keys != [point.key for point in self._points[positive]]:
                self._points[positive] = self._renumbered(positive, keys)

    def _keys_by_sign(self) -> dict[bool, list[Key]]:
        """Return the coordinates of the points of each sign."""
        found = {positive: _keys(layer) for positive, layer in self.layers.items()}
        for positive, point in self._misplaced:
            key = tuple(map(float, point))
            places = [place for place, one in enumerate(found[positive]) if one == key]
            if places:  # it will be moved
                found[not positive].append(found[positive].pop(places[-1]))
        return found

    def _remove_invalid(self) -> None:
        """Remove points whose coordinates are no finite numbers: scripts make such."""
        found = 0
        for layer in self.layers.values():
            valid = np.isfinite(np.asarray(layer.data, dtype=float)).all(axis=1)
            if not valid.all():
                found += int(np.count_nonzero(~valid))
                with self._silence():
                    layer.selected_data = set()
                    layer.data = np.asarray(layer.data)[valid]
        self._fresh = [one for one in self._fresh if np.isfinite(one[1].key).all()]
        self._invalid += found

    def _renumbered(self, positive: bool, keys: Sequence[Key]) -> list[_Point]:
        """Return the points of a layer: known ones, moved ones, and new ones."""
        known: defaultdict[Key, deque[_Point]] = defaultdict(deque)
        for point in self._points[positive]:
            known[point.key].append(point)
        found = [known[key].popleft() if known[key] else None for key in keys]
        used = {point.number for point in found if point is not None}
        lost = [point for point in self._points[positive] if point.number not in used]
        fresh: defaultdict[Key, deque[_Point]] = defaultdict(deque)
        for sign, point in self._fresh:
            if sign is positive:
                fresh[point.key].append(point)
        moved = iter(lost)
        made = []
        for key, same in zip(keys, found, strict=True):
            if same is not None:
                made.append(same)
            elif fresh[key]:
                made.append(fresh[key].popleft())
            else:  # a known point that was moved, or a new one nobody told of
                before = next(moved, None)
                number = next(self._numbers) if before is None else before.number
                made.append(_Point(number, key))
        return made

    def _click(self, positive: bool, point: _Point, plane: Plane) -> Click | None:
        """Return the click that a point is on a plane, ``None`` beside it."""
        if point.plane == plane:
            return point.click
        pixel = plane.pixel(self._to_image(positive, point.key))
        return None if pixel is None else Click(*pixel, positive)

    def _place(self, layer: Points, plane: Plane, click: Click) -> Any:
        """Return the coordinates of a click in a points layer."""
        point = plane.point(click.row, click.col)
        return layer.world_to_data(self._image.data_to_world(point))

    def _to_image(self, positive: bool, point: Any) -> Any:
        """Return a point's coordinates in the image's data."""
        return self._image.world_to_data(self.layers[positive].data_to_world(point))

    # The mouse --------------------------------------------------------------------

    def _on_press(self, layer: Points, event: Any) -> Generator[None, None, None]:
        """Note what a mouse press asks for, until it became a point or not."""
        self._pressed_at = perf_counter()
        adding = str(layer.mode) == "add"
        self._pressed = positive = _is_positive(event)
        shape = self._drawn_by(event) if adding else None
        start, place = np.asarray(event.pos, dtype=float), self._in_image(event)
        self._instead = None
        if adding:
            self._instead = self.asked_instead(place, event.modifiers, positive)
        path, draws = [place], shape == SUPERPIXELS
        if shape is not None:
            layer.mouse_pan = False
        if draws:
            self._instead, positive = "draw", positive and "Alt" not in event.modifiers
            self.dragged.emit(shape, path, positive)
        yield
        while event.type == "mouse_move":
            if shape is not None:
                path.append(self._in_image(event))
                if not draws and _travel(start, event) >= CLICK_TRAVEL:
                    draws, self._instead = True, "draw"
                self.dragged.emit(shape, path, positive)
            yield
        if shape is not None and str(layer.mode) == "add":
            layer.mouse_pan = self.drawing is None
        if _travel(start, event) >= CLICK_TRAVEL or str(layer.mode) != "add":
            self._pressed = self._instead = None
        if draws and str(layer.mode) == "add":
            self.drawn.emit(shape, [*path, self._in_image(event)], positive)

    def asked_instead(
        self, place: Any, modifiers: Container[str], positive: bool
    ) -> _Instead | None:
        """Return what a press of the mouse asks for instead of a click.

        Parameters
        ----------
        place
            A point of the image.
        modifiers
            Names of the keys that are held.
        positive
            The sign that the click would have.
        """
        if self.taker is not None:
            return "take"
        if "Alt" in modifiers:
            return "pick"
        plain = positive and "Shift" not in modifiers
        return "choose" if plain and self.clickable and self.claims(place) else None

    def is_click(self, place: Any, modifiers: Container[str]) -> bool:
        """Return whether a press of the mouse would be a click, see `asked_instead`."""
        other = self.asked_instead(place, modifiers, "Control" not in modifiers)
        return other is None and self.drawing != SUPERPIXELS

    def _on_double_click(self, layer: Points, event: Any) -> None:
        """Tell of a double click of the left button."""
        painting = self.drawing == SUPERPIXELS or self.taker is not None
        if str(layer.mode) == "add" and event.button == LEFT_BUTTON and not painting:
            self.settle()
            if self.clickable:
                self.doubled.emit(self._in_image(event))

    def _drawn_by(self, event: Any) -> Shape | None:
        """Return what a press draws, if the mouse is moved."""
        if not self.clickable or self.taker:
            return None
        if self.drawing == SUPERPIXELS and "Shift" not in event.modifiers:
            return SUPERPIXELS
        if event.button == RIGHT_BUTTON:
            return None
        return BOX if "Shift" in event.modifiers else self.drawing

    def _in_image(self, event: Any) -> Any:
        """Return the mouse's place in the image's data."""
        return np.asarray(self._image.world_to_data(event.position))

    # Changes of the layers --------------------------------------------------------

    def _on_data(self, event: Any) -> None:
        """Take note of a change of either layer."""
        if self._quiet:
            return
        if str(event.action) not in ("added", "removed", "changed"):
            # a point without a place is removed though napari fails to show it
            self._debouncer.throttle()
            return
        positive = self.layers[True] == event.source
        if str(event.action) == "added":
            self._on_added(positive, event.source, len(event.data_indices))
        # a point that napari still reads for the screen must not be taken away
        self._debouncer.throttle(before_painting=event.source.loaded)

    def _on_added(self, positive: bool, layer: Points, count: int) -> None:
        """Give numbers to new points; note those that belong into the other layer."""
        pressed, self._pressed = self._pressed, None
        instead, self._instead = self._instead, None
        clicked = pressed is not None and count == 1
        if count == 1 and (instead or (clicked and not self.clickable)):
            self._unwanted.append((positive, np.array(layer.data[-1]), instead))
            return
        self.clicked = self._pressed_at if clicked else perf_counter()
        for point in layer.data[-count:]:
            sign = positive
            if count == 1 and pressed is not None and pressed is not positive:
                self._misplaced.append((positive, np.array(point)))
                sign = pressed
            key = tuple(map(float, point))
            self._fresh.append((sign, _Point(next(self._numbers), key)))

    def _settle(self) -> None:
        """Report the change, then bring misplaced points into their layer."""
        unwanted, self._unwanted = self._unwanted, []
        if unwanted:
            with self._silence():
                for positive, point, _ in unwanted:
                    self._remove(positive, point)
        before = dict(self._points)
        self._number()
        drawn = bool(unwanted) and all(instead == "draw" for *_, instead in unwanted)
        same = all(self._points[sign] is points for sign, points in before.items())
        self._fresh.clear()
        if not (drawn and same):  # the point that a stroke ends with is none
            self.changed.emit()
        self.clicked = None
        self._place_misplaced()
        self._deselect()
        self._tell_invalid()
        for positive, point, instead in unwanted if self.clickable else ():
            place = np.asarray(self._to_image(positive, point))
            if instead == "take" and self.taker is not None:
                self.taker(place)
            elif instead in ("choose", "pick"):
                (self.chosen if instead == "choose" else self.picked).emit(place)

    def _tell_invalid(self) -> None:
        """Tell how many points were removed that cannot be clicks."""
        count, self._invalid = self._invalid, 0
        if count:
            self.refused.emit(_INVALID.format(count, "s were" if count > 1 else " was"))

    def _deselect(self) -> None:
        """Take the selection off new points: its colour would hide that of their sign.

        Points that the user has selected stay so.
        """
        for layer in self.layers.values():
            if str(layer.mode) == "add" and layer.selected_data:
                layer.selected_data = set()

    def _place_misplaced(self) -> None:
        """Bring misplaced points into their layer."""
        misplaced, self._misplaced = self._misplaced, []
        if misplaced:
            with self._silence():
                for positive, point in misplaced:
                    self._move(positive, point)

    def _move(self, positive: bool, point: Any) -> None:
        """Move one point from a layer to the other."""
        if self._remove(positive, point):
            self.layers[not positive].add(point)

    def _remove(self, positive: bool, point: Any) -> bool:
        """Remove one point; ``False`` if it has gone within the same turn."""
        layer = self.layers[positive]
        places = np.flatnonzero(np.all(layer.data == point, axis=1))
        if len(places) == 0:
            return False
        layer.selected_data = set()
        layer.data = np.delete(layer.data, places[-1], axis=0)
        return True

    @contextmanager
    def _silence(self) -> Iterator[None]:
        """Report nothing that happens inside."""
        before, self._quiet = self._quiet, True
        try:
            yield
        finally:
            self._quiet = before


LEFT_BUTTON = 1
_INVALID = "{} point{} removed: the coordinates must be finite numbers."


def _claims_nothing(_place: Any) -> bool:
    return False


def _shown(key: Key, plane: Plane, number: int, click: Click) -> _Point:
    """Return the point that shows a click."""
    return _Point(number, key, plane, click)


def _keys(layer: Points) -> list[Key]:
    """Return the coordinates of all points of a layer."""
    return [tuple(row) for row in np.asarray(layer.data, dtype=float).tolist()]


def _travel(start: Any, event: Any) -> float:
    """Return how far the mouse is from where it was pressed, canvas pixels."""
    return float(np.linalg.norm(start - np.asarray(event.pos, dtype=float)))


def _is_positive(event: Any) -> bool:
    """Return which sign a mouse button with its modifiers asks for."""
    return event.button != RIGHT_BUTTON and "Control" not in event.modifiers
