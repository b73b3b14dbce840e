"""Outlines of objects: of the current one, and of all while a key is held."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from napari.layers import Labels

from napari_gpcis.plugin.debouncing import Debouncer
from napari_gpcis.plugin.settings.preferences import PREFERENCES, follow
from napari_gpcis.plugin.tools.base import Tool
from napari_gpcis.plugin.viewer.palette import Fill
from napari_gpcis.plugin.viewer.planes import visible_box
from napari_gpcis.plugin.viewer.segments import Segments

if TYPE_CHECKING:
    from napari.layers import Layer

    from napari_gpcis.plugin.annotation.annotation import Annotation
    from napari_gpcis.plugin.annotation.controller import Controller
    from napari_gpcis.plugin.viewer.planes import Box

CURRENT, ALL = "current object", "all objects"
"""Names of the curves."""
LIGHT = "#ffffff"
"""Colour of the inner line."""
LIGHT_FILL = 0.35
"""Share of its opacity that the fill keeps."""
AGAIN = 40
"""Milliseconds after which strokes by hand are looked at."""


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
            events.whole,
        ):
            self.follow(signal, self._soon.throttle)
        self.follow(events.drawn_by_others, self._later.throttle)
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

    def _draw(self) -> None:
        """Draw the outline anew; that of a mask that is being drawn comes later."""
        annotation, current, fill = self.annotation, self.current, self._fill
        if annotation is None or fill is None:
            return
        seen = None if current is None else current.drawn.seen
        if current is None or not current.drawn.live.label:
            annotation.curves.clear(CURRENT)
            fill.lighten(0, 1.0)
        elif seen is not None:
            box, mask = seen
            outline = Segments.of_labels(mask, box[:2])
            annotation.curves.show(CURRENT, current.plane, outline, LIGHT)
            alpha = LIGHT_FILL if PREFERENCES.light_fill else 0.0
            label = 0 if current.drawn.live.how == "cut" else current.drawn.live.label
            fill.lighten(label, alpha)


class MaskView(Tool):
    """Hides all masks, or shows outlines alone, while a key is held.

    The layers stay visible for napari, with an opacity of 0: what is drawn meanwhile
    is part of their history.

    Parameters
    ----------
    controller
        Its annotations are followed.
    """

    def __init__(self, controller: Controller) -> None:
        super().__init__(controller)
        self._hidden: list[tuple[Layer, float]] = []
        self._outlined = False
        controller.register_held("hide_masks", self.hide, self.show)
        controller.register_held("outlines_only", self.outline, self.show)

    @property
    def hiding(self) -> bool:
        """True while masks are hidden, or outlines are shown in their place."""
        return bool(self._hidden)

    def hide(self) -> None:
        """Hide all masks and outlines."""
        annotation = self.annotation
        if annotation is None:
            return
        self.show()
        masks = [one for one in annotation.viewer.layers if isinstance(one, Labels)]
        curves = annotation.curves.layer
        for layer in masks if curves is None else [*masks, curves]:
            self._hidden.append((layer, float(layer.opacity)))
            layer.opacity = 0.0

    def outline(self) -> None:
        """Show outlines only, of the objects in view."""
        annotation, current = self.annotation, self.current
        if annotation is None or current is None:
            return
        self.hide()
        self._hidden = [
            (layer, opacity) for layer, opacity in self._hidden if self._keep(layer)
        ]
        current.finish_drawing()
        labels = annotation.layers.labels
        box = visible_box(labels, current.plane, current.shape)
        top, left, bottom, right = _wider(box, current.shape)
        seen = np.asarray(current.plane.take(labels.data))[top:bottom, left:right]
        pieces = Segments.of_labels(seen, (top, left))
        colours = {
            int(label): labels.get_color(int(label))[:3]
            for label in np.unique(pieces.values)
            if label != current.drawn.live.label
        }
        whole = {label: np.array([*rgb, 1.0]) for label, rgb in colours.items()}
        annotation.curves.show(ALL, current.plane, pieces, LIGHT, whole)
        self._outlined = True

    def show(self) -> None:
        """Show all masks as they were."""
        hidden, self._hidden = self._hidden, []
        for layer, opacity in hidden:
            if layer.opacity == 0.0:  # unless the user has moved the slider meanwhile
                layer.opacity = opacity
        if self._outlined and self.annotation is not None:
            self.annotation.curves.clear(ALL)
        self._outlined = False

    def on_detached(self, annotation: Annotation) -> None:
        """Show everything again."""
        self.show()
        annotation.curves.clear(ALL)

    def _keep(self, layer: Layer) -> bool:
        """Return whether a layer stays hidden; the outlines are shown again."""
        annotation = self.annotation
        curves = None if annotation is None else annotation.curves.layer
        if curves is not None and layer == curves:
            layer.opacity = 1.0
            return False
        return True


def _wider(box: Box | None, shape: tuple[int, int]) -> Box:
    """Return a box with a margin, at whose edge objects end out of sight."""
    if box is None:
        return 0, 0, *shape
    rows, cols = (box[2] - box[0]) // 4 + 2, (box[3] - box[1]) // 4 + 2
    low = max(0, box[0] - rows), max(0, box[1] - cols)
    return *low, min(shape[0], box[2] + rows), min(shape[1], box[3] + cols)
