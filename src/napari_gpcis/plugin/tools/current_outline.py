"""Outline of the current object, with a light fill or none: the image is seen in it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from napari_gpcis.plugin.debouncing import Debouncer
from napari_gpcis.plugin.settings.preferences import PREFERENCES, follow
from napari_gpcis.plugin.tools.base import Tool
from napari_gpcis.plugin.viewer.palette import Fill
from napari_gpcis.plugin.viewer.segments import Segments

if TYPE_CHECKING:
    from napari_gpcis.plugin.annotation.annotation import Annotation
    from napari_gpcis.plugin.annotation.controller import Controller

CURRENT = "current object"
LIGHT = "#ffffff"
"""Colour of the inner line."""
LIGHT_FILL = 0.35
"""Share of its opacity that the fill keeps."""
AGAIN = 40
"""Milliseconds after which a large mask that is still being drawn is looked at again,
and strokes by hand."""


class CurrentOutline(Tool):
    """Draws the border of the current object's pixels, and makes its fill light.

    Parameters
    ----------
    controller
        Its annotations are followed.
    """

    def __init__(self, controller: Controller) -> None:
        super().__init__(controller)
        self._fill: Fill | None = None
        self._soon = Debouncer(self._draw, parent=self)
        self._later = Debouncer(self._draw, AGAIN, self)
        self._end = follow(PREFERENCES.events.light_fill, self._on_change, self)

    def close(self) -> None:
        """Let go of the annotation and the preferences."""
        super().close()
        self._end()

    def on_attached(self, annotation: Annotation) -> None:
        """Follow masks, by clicks and by hand."""
        events, labels = annotation.events, annotation.layers.labels
        self._fill = Fill(labels)
        for signal in (
            events.predicted,
            events.accepted,
            events.plane_entered,
            events.planes_written,
            events.objects_changed,
        ):
            self.follow(signal, self._on_change)
        self.follow(labels.events.labels_update, self._on_drawn)
        annotation.curves.prepare()

    def on_detached(self, annotation: Annotation) -> None:
        """Take the outline away; the fill is as that of any other object."""
        self._soon.cancel()
        self._later.cancel()
        annotation.curves.clear(CURRENT)
        if self._fill is not None:
            self._fill.close()
        self._fill = None

    def _on_change(self, *_: Any) -> None:
        self._soon.throttle()

    def _on_drawn(self, _event: Any = None) -> None:
        """Follow what is drawn by hand."""
        annotation = self.annotation
        if annotation is not None and not annotation.writing_now:
            self._later.throttle()

    def _draw(self) -> None:
        """Draw the outline anew, unless the mask is still being drawn."""
        annotation, current, fill = self.annotation, self.current, self._fill
        if annotation is None or fill is None:
            return
        seen = None if current is None else current.seen
        if current is None or not current.live.label:
            annotation.curves.clear(CURRENT)
            fill.lighten(0, 1.0)
        elif seen is None:
            self._later.throttle()
        else:
            box, mask = seen
            outline = Segments.of_labels(mask, box[:2])
            annotation.curves.show(CURRENT, current.plane, outline, LIGHT)
            alpha = LIGHT_FILL if PREFERENCES.light_fill else 0.0
            label = 0 if current.live.how == "cut" else current.live.label
            fill.lighten(label, alpha)
