"""Pixels of an image that are changed in place: the plane is opened anew.

A script may write into ``layer.data`` and call ``layer.refresh()``. No event tells that
the pixels are others, so a check sum of the displayed plane is compared whenever the
layer has been drawn anew. Of large planes it is that of a part of the rows.
"""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any
from zlib import crc32

import numpy as np

from napari_gpcis.plugin.debouncing import Debouncer
from napari_gpcis.plugin.tools.base import Tool
from napari_gpcis.plugin.viewer.planes import full_resolution

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

    from napari_gpcis.plugin.annotation.annotation import Annotation
    from napari_gpcis.plugin.annotation.controller import Controller
    from napari_gpcis.plugin.viewer.planes import Plane

CHECKED_BYTES = 1 << 24
"""Of larger planes only some rows are looked at."""
WAIT = 200
"""Milliseconds after which it is looked at: a slider draws many planes."""


class ImageChangeWatcher(Tool):
    """Opens planes anew whose pixels have changed in place.

    Parameters
    ----------
    controller
        Whose image is watched.
    """

    def __init__(self, controller: Controller) -> None:
        super().__init__(controller)
        self._known: dict[Plane, int] = {}
        self._debouncer = Debouncer(self._look, WAIT, self)

    def on_attached(self, annotation: Annotation) -> None:
        """Watch its image."""
        image = annotation.image.events
        self.follow(annotation.events.plane_entered, self._look)
        self.follow(image.set_data, self._on_drawn)
        self.follow(image.data, self._on_new_data)

    def on_detached(self, annotation: Annotation) -> None:  # noqa: ARG002
        """Forget its pixels."""
        self._debouncer.cancel()
        self._known.clear()

    def _on_drawn(self, _event: Any = None) -> None:
        self._debouncer.throttle()

    def _on_new_data(self, _event: Any = None) -> None:
        """Forget the old array; the controller opens the plane anew."""
        self._known.clear()

    def _look(self) -> None:
        """Have the displayed plane looked at, on the inference thread."""
        annotation, current = self.annotation, self.current
        if annotation is None or current is None:
            return
        data = full_resolution(annotation.image)
        if isinstance(data, np.ndarray):
            self.ask(partial(_check, data, current.plane), self._on_checked)

    def _on_checked(self, checked: tuple[Plane, int], _seconds: float) -> None:
        plane, found = checked
        before = self._known.setdefault(plane, found)
        if before != found and self.annotation is not None:
            self._known = {plane: found}
            self.annotation.reopen()


def _check(
    data: NDArray[Any], plane: Plane, _cancelled: Callable[[], bool]
) -> tuple[Plane, int]:
    """Return a plane and its check sum (on the thread)."""
    pixels = plane.take(data)
    step = max(1, pixels.nbytes // CHECKED_BYTES)
    return plane, crc32(pixels[::step].tobytes())
