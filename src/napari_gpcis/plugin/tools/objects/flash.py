"""Flash: the outlines of chosen objects go on and off a few times."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from qtpy.QtCore import QTimer

from napari_gpcis.plugin.tools.base import Tool
from napari_gpcis.plugin.viewer.segments import Segments

if TYPE_CHECKING:
    from collections.abc import Sequence

    from qtpy.QtCore import QObject

    from napari_gpcis.plugin.annotation.annotation import Annotation
    from napari_gpcis.plugin.annotation.controller import Controller
    from napari_gpcis.plugin.viewer.planes import Plane

FLASH, FLASH_COLOUR = "flash", "#ffd400"
BLINK, TIMES = 180, 3
"""Milliseconds that a flashing outline is on or off, and how often."""


class Flash(Tool):
    """Outline of objects that is on and off a few times.

    Parameters
    ----------
    controller
        Its annotations are followed.
    parent
        Qt parent.
    """

    def __init__(self, controller: Controller, parent: QObject | None = None) -> None:
        super().__init__(controller, parent)
        self._shown: tuple[Plane, Segments] | None = None
        self._left = 0
        self._timer = QTimer(self)
        self._timer.setInterval(BLINK)
        self._timer.timeout.connect(self._turn)

    def on_detached(self, annotation: Annotation) -> None:
        """Show nothing."""
        self._timer.stop()
        annotation.curves.clear(FLASH)

    def show(self, plane: Plane, labels: Sequence[int]) -> None:
        """Flash the outlines of objects of a plane."""
        if self.annotation is None:
            return
        masks = self.annotation.masks(plane, labels).values()
        pieces = [Segments.of_labels(mask, box[:2]) for box, mask in masks]
        if pieces:
            together = Segments(*map(np.concatenate, zip(*pieces, strict=True)))
            self._shown, self._left = (plane, together), 2 * TIMES
            self._turn()
            self._timer.start()

    def _turn(self) -> None:
        """Draw the outlines, or take them away."""
        annotation = self.annotation
        if annotation is None or self._shown is None or self._left <= 0:
            self._timer.stop()
        elif self._left % 2:
            annotation.curves.clear(FLASH)
        else:
            annotation.curves.show(FLASH, *self._shown, FLASH_COLOUR)
        self._left -= 1
