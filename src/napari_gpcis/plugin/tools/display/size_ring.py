"""The ring at the mouse before a first click: how large the object is likely to be."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from superqt.utils import QSignalThrottler

from napari_gpcis.plugin.connections import Connections
from napari_gpcis.plugin.debouncing import Debouncer
from napari_gpcis.plugin.settings.preferences import PREFERENCES, follow
from napari_gpcis.plugin.tools.base import MouseTool
from napari_gpcis.plugin.viewer.overlays import image_to_world
from napari_gpcis.plugin.viewer.segments import Segments

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from qtpy.QtCore import QObject

    from napari_gpcis.plugin.annotation.annotation import Annotation
    from napari_gpcis.plugin.annotation.controller import Controller

PERIOD = 30
"""Milliseconds between two drawings at least."""
AFTER = 250
"""Milliseconds after a click when the ring goes: first the mask is drawn."""
PIECES = 48
"""Straight pieces of the ring."""
COLOUR = "#ffffff"
"""Colour of its inner line."""
_RING = "size ring"


class SizeRing(MouseTool):
    """Ring of the typical size at the mouse, while the preference ``size_ring`` is on.

    It has the area of a disk of the diameter :attr:`.Session.typical_size`, for which a
    first click tries a view that suits it, and is a circle on the screen, also where
    pixels are not square. It is drawn where a press of the mouse would begin an object,
    and not while the preview shows the very mask.

    Parameters
    ----------
    controller
        Its annotations are followed.
    parent
        Qt parent.
    """

    def __init__(self, controller: Controller, parent: QObject | None = None) -> None:
        super().__init__(controller, parent)
        self._mouse: tuple[Any, Any] | None = None  # its place, and the keys held
        self._while_shown = Connections()
        self._throttler = QSignalThrottler(parent=self)
        self._throttler.setTimeout(PERIOD)
        self._throttler.triggered.connect(self._draw)
        self._later = Debouncer(self.clear, AFTER, self)
        self._ends = (
            follow(PREFERENCES.events.size_ring, self._on_change, self),
            follow(PREFERENCES.events.hover_preview, self._on_change, self),
        )

    def close(self) -> None:
        """Let go of the annotation and the preferences."""
        super().close()
        for end in self._ends:
            end()

    @property
    def shown(self) -> bool:
        """True if the ring is drawn."""
        return self.annotation is not None and self.annotation.curves.shows(_RING)

    def on_detached(self, annotation: Annotation) -> None:
        """Take the ring away."""
        self.clear()
        super().on_detached(annotation)
        annotation.curves.clear(_RING)

    def clear(self) -> None:
        """Draw no ring until the mouse moves again."""
        self._throttler.cancel()
        self._later.cancel()
        self._while_shown.end()
        self._mouse = None
        if self.annotation is not None:
            self.annotation.curves.clear(_RING)

    def _on_change(self, *_: Any) -> None:
        self.clear()

    def _on_click(self, *_: Any) -> None:
        """Draw no ring any more, but do not keep the click waiting for that."""
        self._throttler.cancel()
        self._later.throttle()

    def _on_over(self, *_: Any) -> None:
        if self.annotation and not self.annotation.viewer.mouse_over_canvas:
            self.clear()

    def on_mouse_moved(self, event: Any) -> None:
        """Draw the ring at the mouse, soon."""
        if not PREFERENCES.size_ring or PREFERENCES.hover_preview:
            return
        if event.is_dragging:
            self.clear()
            return
        self._mouse = event.position, event.modifiers
        self._throttler.throttle()

    def _draw(self) -> None:
        """Draw the ring where the mouse is, if a press there begins an object."""
        annotation, current, diameter = self.annotation, self.current, self._diameter()
        if annotation is None or current is None or self._mouse is None or not diameter:
            self.clear()
            return
        place, keys = annotation.image.world_to_data(self._mouse[0]), self._mouse[1]
        pixel = current.plane.pixel(place)
        if pixel is None or not annotation.click_layers.is_click(place, keys):
            self.clear()
            return
        if not self.shown:
            self._follow_end(annotation)
        world = image_to_world(annotation.image)[:-1, list(current.plane.axes)]
        pieces = Segments.of_curves([_circle(pixel, diameter, world)])
        annotation.curves.show(_RING, current.plane, pieces, COLOUR)

    def _diameter(self) -> float | None:
        """Return the diameter of the ring, ``None`` if none is to be drawn."""
        annotation, current = self.annotation, self.current
        if annotation is None or current is None or not annotation.clicking:
            return None
        session = current.session
        return None if session is None or current.running else session.typical_size

    def _follow_end(self, annotation: Annotation) -> None:
        """Follow what ends the ring, only while there is one: a click needs no more."""
        self._while_shown.end()
        events, over = annotation.events, annotation.viewer.events.mouse_over_canvas
        for signal in (
            events.plane_entered,
            events.clicking_changed,
            events.objects_changed,
        ):
            self._while_shown.connect(signal, self._on_change)
        self._while_shown.connect(events.clicks_changed, self._on_click)
        self._while_shown.connect(over, self._on_over)


def _circle(
    centre: tuple[float, float], diameter: float, world: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Return a closed curve that is a circle in the world.

    Parameters
    ----------
    centre
        Row and column of its middle.
    diameter
        That of a disk of its area, in pixels.
    world
        How far a row and a column go in the world, shape (axes of the world, 2).

    Returns
    -------
    NDArray
        Rows and columns, (n, 2), the outside to its left.
    """
    angle = np.linspace(0, 2 * np.pi, PIECES + 1)
    around = np.stack([np.cos(angle), np.sin(angle)], axis=1)
    squares, directions = np.linalg.eigh(world.T @ world)
    lengths = np.sqrt(squares)  # of a pixel in the world, along the directions
    sides = np.sqrt(lengths.prod()) / lengths
    to_pixels = (directions * sides) @ directions.T * (diameter / 2)
    ring: NDArray[np.float64] = np.asarray(centre) + around @ to_pixels
    return ring
