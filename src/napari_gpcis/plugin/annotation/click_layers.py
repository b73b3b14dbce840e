"""Clicks as points: two Points layers, one per sign, that a person may also edit.

napari's Add mode puts a point at a click of any mouse button into the active layer.
:class:`Prompts` moves it to the layer its button means (left: positive, right:
negative) and reports every change, whoever made it: clicks, drags, deletions, scripts.
"""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import numpy as np
from qtpy.QtCore import QObject, Signal

from napari_gpcis.clicks import Click
from napari_gpcis.plugin.connections import Connections
from napari_gpcis.plugin.debouncing import Debouncer
from napari_gpcis.plugin.viewer.layers import RIGHT_BUTTON

if TYPE_CHECKING:
    from collections.abc import Generator, Hashable, Iterator, Sequence

    from napari.layers import Image, Points

    from napari_gpcis.plugin.viewer.planes import Plane


CLICK_TRAVEL = 5.0
"""A press and release further apart (canvas pixels) is a drag (as in napari)."""


class Prompts(QObject):
    """The clicks of one image, as they stand in its two Points layers.

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
    boxing : bool
        Whether a drag of the left button draws a box without Shift, too.
    """

    changed = Signal()
    """Emitted once per turn of the event loop in which points were changed."""
    picked = Signal(object)
    """Emitted with a point of the image that was clicked with Alt held."""
    dragged = Signal(object, object)
    """Emitted while a box is drawn, with two opposite corners, points of the image."""
    boxed = Signal(object, object)
    """Emitted with two opposite corners when a box was drawn."""

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
        self.boxing = False
        self._pressed: bool | None = None
        self._alt = False
        self._unwanted: list[tuple[bool, Any]] = []
        self._misplaced: list[tuple[bool, Any]] = []
        self._arrivals: list[tuple[bool, tuple[float, ...]]] = []
        self._quiet = False
        self._debouncer = Debouncer(self._settle, parent=self)
        self._connections = Connections()
        for layer in self.layers.values():
            self._connections.connect(layer.events.data, self._on_data)
            layer.mouse_drag_callbacks.append(self._on_press)

    def close(self) -> None:
        """Let go of the layers."""
        self._debouncer.cancel()
        self._connections.end()
        for layer in self.layers.values():
            if self._on_press in layer.mouse_drag_callbacks:
                layer.mouse_drag_callbacks.remove(self._on_press)

    def settle(self) -> None:
        """Report changes now that would be reported at the next turn of the loop."""
        self._debouncer.flush()

    def clicks(self, plane: Plane, known: Sequence[Click] = ()) -> tuple[Click, ...]:
        """Return the clicks on a plane, in the order in which they were made.

        Parameters
        ----------
        plane
            The plane; points beside it do not count.
        known
            Clicks whose order is known; they keep it, others follow as they came.
        """
        found = [
            (Click(*pixel, positive), arrival)
            for positive, point, arrival in self._points()
            if (pixel := plane.pixel(self._to_image(positive, point))) is not None
        ]
        found.sort(key=lambda item: item[1])
        order = Order(known)
        placed = [(order.take(click), click) for click, _ in found]
        placed.sort(key=lambda item: item[0])
        return tuple(click for _, click in placed)

    def selected(self, plane: Plane) -> tuple[Click, ...]:
        """Return the clicks on a plane that a person has selected."""
        return tuple(
            Click(*pixel, positive)
            for positive, layer in self.layers.items()
            if str(layer.mode) == "select"
            for place in sorted(layer.selected_data)
            if (pixel := plane.pixel(self._to_image(positive, layer.data[place])))
        )

    def replace(self, plane: Plane, clicks: Sequence[Click]) -> None:
        """Make the points on a plane be exactly these clicks; nothing is reported."""
        with self._silence():
            for positive, layer in self.layers.items():
                self._replace_in(layer, plane, positive, clicks)
        self._arrivals += self._in_order(plane, clicks)

    def _in_order(
        self, plane: Plane, clicks: Sequence[Click]
    ) -> list[tuple[bool, tuple[float, ...]]]:
        """Return the points of a plane that are not known yet, in the clicks' order."""
        found = {
            Click(*pixel, positive): (positive, _key(point))
            for positive, point, _ in self._points()
            if (pixel := plane.pixel(self._to_image(positive, point))) is not None
        }
        keys = [found[click] for click in clicks if click in found]
        return [key for key in keys if key not in self._arrivals]

    def select(self, viewer: Any) -> None:
        """Make the layers ready for clicks: positive layer active, Add mode on."""
        for layer in self.layers.values():
            layer.mode = "add"
        viewer.layers.selection.active = self.layers[True]

    def _replace_in(
        self, layer: Points, plane: Plane, positive: bool, clicks: Sequence[Click]
    ) -> None:
        """Give one layer the clicks of its sign, leaving points beside the plane."""
        wanted = [click for click in clicks if click.positive is positive]
        have = [plane.pixel(self._to_image(positive, point)) for point in layer.data]
        pixels = [(click.row, click.col) for click in wanted]
        if [pixel for pixel in have if pixel is not None] == pixels:
            return
        beside = [
            point
            for point, pixel in zip(layer.data, have, strict=True)
            if pixel is None
        ]
        points = [self._from_image(layer, plane.point(*pixel)) for pixel in pixels]
        layer.selected_data = set()
        layer.data = np.array(beside + points).reshape(-1, layer.ndim)

    def _points(self) -> Iterator[tuple[bool, Any, int]]:
        """Yield sign, coordinates and time of arrival of every point."""
        arrivals = Order(self._arrivals)
        for positive, layer in self.layers.items():
            for point in layer.data:
                yield positive, point, arrivals.take((positive, _key(point)))

    def _to_image(self, positive: bool, point: Any) -> Any:
        """Return a point's coordinates in the image's data."""
        return self._image.world_to_data(self.layers[positive].data_to_world(point))

    def _from_image(self, layer: Points, point: Any) -> Any:
        """Return coordinates in a points layer for a place in the image's data."""
        return layer.world_to_data(self._image.data_to_world(point))

    def _on_press(self, layer: Points, event: Any) -> Generator[None, None, None]:
        """Note what a mouse press asks for, until it became a point or not."""
        adding = str(layer.mode) == "add"
        self._pressed = _is_positive(event)
        self._alt = adding and "Alt" in event.modifiers
        boxing = adding and self._draws_box(event)
        start, place = np.asarray(event.pos, dtype=float), self._in_image(event)
        if boxing:
            layer.mouse_pan = False
        yield
        while event.type == "mouse_move":
            if boxing:
                self.dragged.emit(place, self._in_image(event))
            yield
        if boxing and str(layer.mode) == "add":
            layer.mouse_pan = not self.boxing
        travel = np.linalg.norm(start - np.asarray(event.pos, dtype=float))
        if travel >= CLICK_TRAVEL or str(layer.mode) != "add":
            self._pressed, self._alt = None, False
            if boxing:
                self.boxed.emit(place, self._in_image(event))

    def _draws_box(self, event: Any) -> bool:
        """Return whether a press begins a box, if the mouse is moved."""
        return event.button != RIGHT_BUTTON and (
            self.boxing or "Shift" in event.modifiers
        )

    def _in_image(self, event: Any) -> Any:
        """Return the mouse's place in the image's data."""
        return np.asarray(self._image.world_to_data(event.position))

    def _on_data(self, event: Any) -> None:
        """Take note of a change of either layer."""
        if self._quiet or str(event.action) not in ("added", "removed", "changed"):
            return
        positive = self.layers[True] == event.source
        if str(event.action) == "added":
            self._on_added(positive, event.source, len(event.data_indices))
        self._debouncer.throttle()

    def _on_added(self, positive: bool, layer: Points, count: int) -> None:
        """Note the order of new points, and those that belong into the other layer."""
        pressed, self._pressed = self._pressed, None
        alt, self._alt = self._alt, False
        if alt and count == 1:
            self._unwanted.append((positive, np.array(layer.data[-1])))
            return
        for point in layer.data[-count:]:
            sign = positive
            if count == 1 and pressed is not None and pressed is not positive:
                self._misplaced.append((positive, np.array(point)))
                sign = pressed
            self._arrivals.append((sign, _key(point)))

    def _settle(self) -> None:
        """Bring misplaced points into their layer, then report the change."""
        misplaced, self._misplaced = self._misplaced, []
        unwanted, self._unwanted = self._unwanted, []
        with self._silence():
            for positive, point in misplaced:
                self._move(positive, point)
            for positive, point in unwanted:
                self._remove(positive, point)
        self._deselect()
        held = {(sign, _key(point)) for sign, point, _ in self._points()}
        self._arrivals = [key for key in self._arrivals if key in held]
        self.changed.emit()
        for positive, point in unwanted:
            self.picked.emit(np.asarray(self._to_image(positive, point)))

    def _deselect(self) -> None:
        """Take the selection off new points: its colour would hide that of their sign.

        Points that a person has selected stay so.
        """
        for layer in self.layers.values():
            if str(layer.mode) == "add" and layer.selected_data:
                layer.selected_data = set()

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


def _key(point: Any) -> tuple[float, ...]:
    return tuple(map(float, point))


def _is_positive(event: Any) -> bool:
    """Return which sign a mouse button with its modifiers asks for."""
    return event.button != RIGHT_BUTTON and "Control" not in event.modifiers


class Order:
    """Where things stand in a list; of those that are the same, each in turn.

    Parameters
    ----------
    things
        The list.
    """

    def __init__(self, things: Sequence[Hashable]) -> None:
        self._end = len(things)
        self._places: dict[Hashable, list[int]] = {}
        for place in reversed(range(self._end)):
            self._places.setdefault(things[place], []).append(place)

    def take(self, thing: Hashable) -> int:
        """Return the first place not taken yet; behind the end if there is none."""
        places = self._places.get(thing)
        return places.pop() if places else self._end
