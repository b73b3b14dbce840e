"""Images whose pixels are changed in place: what was made of the old ones goes.

A script may write into ``layer.data`` and call ``layer.refresh()``. No event tells that
the pixels are others, so a check sum of the displayed plane is compared whenever the
layer has been drawn anew. Of large planes it is that of a part of the rows.
"""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any
from zlib import crc32

import numpy as np
from qtpy.QtCore import QObject

from napari_gpcis.plugin.connections import Connections
from napari_gpcis.plugin.debouncing import Debouncer
from napari_gpcis.plugin.viewer.planes import full_resolution

if TYPE_CHECKING:
    from collections.abc import Callable, Hashable

    from numpy.typing import NDArray

    from napari_gpcis.plugin.annotation.annotation import Annotation
    from napari_gpcis.plugin.annotation.controller import Binding
    from napari_gpcis.plugin.viewer.planes import Plane

CHECKED_BYTES = 1 << 24
"""Of larger planes only some rows are looked at."""
WAIT = 200
"""Milliseconds after which it is looked at: a slider draws many planes."""


class ImageChangeWatcher(QObject):
    """Opens planes anew whose pixels have changed in place.

    Parameters
    ----------
    binding
        Whose image is watched.
    """

    def __init__(self, binding: Binding) -> None:
        super().__init__(binding)
        self._annotation: Annotation | None = None
        self._known: dict[Plane, int] = {}
        self._debouncer = Debouncer(self._look, WAIT, self)
        self._connections = Connections()
        binding.started.connect(self._on_started)
        binding.stopped.connect(self._on_stopped)

    @property
    def key(self) -> Hashable:
        """Key of the requests to the inference thread."""
        return id(self), "check sum"

    def _on_started(self, annotation: Annotation) -> None:
        self._annotation = annotation
        image = annotation.image.events
        self._connections.connect(annotation.events.plane_entered, self._look)
        self._connections.connect(image.set_data, self._on_drawn)
        self._connections.connect(image.data, self._on_new_data)

    def _on_stopped(self) -> None:
        annotation, self._annotation = self._annotation, None
        self._debouncer.cancel()
        self._connections.end()
        self._known.clear()
        if annotation is not None:
            annotation.worker.cancel(self.key)

    def _on_drawn(self, _event: Any = None) -> None:
        self._debouncer.throttle()

    def _on_new_data(self, _event: Any = None) -> None:
        """Forget the old array; the binding opens the plane anew."""
        self._known.clear()

    def _look(self) -> None:
        """Have the displayed plane looked at, on the inference thread."""
        annotation = self._annotation
        current = None if annotation is None else annotation.current
        if annotation is None or current is None:
            return
        data = full_resolution(annotation.image)
        if isinstance(data, np.ndarray):
            job = partial(_check, data, current.plane)
            annotation.worker.submit(self.key, job, self._on_checked)

    def _on_checked(self, checked: tuple[Plane, int], _seconds: float) -> None:
        annotation = self._annotation
        if annotation is None:
            return
        plane, found = checked
        before = self._known.setdefault(plane, found)
        if before != found:
            self._known = {plane: found}
            annotation.reopen()


def _check(
    data: NDArray[Any], plane: Plane, _cancelled: Callable[[], bool]
) -> tuple[Plane, int]:
    """Return a plane and its check sum (on the thread)."""
    pixels = plane.take(data)
    step = max(1, pixels.nbytes // CHECKED_BYTES)
    return plane, crc32(pixels[::step].tobytes())
