"""Expected size: a plane that is opened anew knows how large its objects are."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any
from weakref import WeakKeyDictionary

import numpy as np

from napari_gpcis.objects.measures import equivalent_diameter
from napari_gpcis.plugin.debouncing import Debouncer
from napari_gpcis.plugin.tools.base import Tool
from napari_gpcis.session.session import MIN_OBJECTS

if TYPE_CHECKING:
    from qtpy.QtCore import QObject

    from napari_gpcis.plugin.annotation.annotation import Annotation
    from napari_gpcis.plugin.annotation.controller import Controller
    from napari_gpcis.plugin.tools.objects.index import ObjectIndex
    from napari_gpcis.session import Session

DELAY = 100
"""Milliseconds in which news of the objects is gathered."""


class ExpectedSize(Tool):
    """Tells the session of the displayed plane the size of the finished objects.

    A session knows the objects that it has accepted itself. Those that were finished
    before it was made count as well: before *Stop*, in saved clicks or labels that were
    opened, on other planes. `Session.expected_size` is the median diameter of those on
    the plane; with fewer than two there, that of all. What a script has set stays.

    Parameters
    ----------
    controller
        Its annotations are followed.
    index
        The finished objects.
    parent
        Qt parent.
    """

    def __init__(
        self, controller: Controller, index: ObjectIndex, parent: QObject | None = None
    ) -> None:
        super().__init__(controller, parent)
        self._index = index
        self._told: WeakKeyDictionary[Session, float | None] = WeakKeyDictionary()
        self._soon = Debouncer(self._tell, DELAY, self)
        index.looked_up.connect(self._on_change)

    def on_attached(self, annotation: Annotation) -> None:
        """Follow the planes that are opened."""
        self.follow(annotation.events.plane_changed, self._on_change)

    def on_detached(self, annotation: Annotation) -> None:  # noqa: ARG002
        """Tell nothing any more: the session is closed."""
        self._soon.cancel()

    def _on_change(self, *_: Any) -> None:
        if self.annotation is not None:
            self._soon.throttle()

    def _tell(self) -> None:
        """Tell the session of the displayed plane, unless it knows better."""
        current = self.current
        session = None if current is None else current.session
        if current is None or session is None:
            return
        if session.expected_size not in (None, self._told.get(session)):
            return
        objects = self._index.objects()
        here = [one for one in objects if one.plane == current.plane]
        known = here if len(here) >= MIN_OBJECTS else objects
        size = None
        if len(known) >= MIN_OBJECTS:
            sizes = [equivalent_diameter(one.entry.area) for one in known]
            size = float(np.median(sizes))
        session.expected_size = self._told[session] = size
