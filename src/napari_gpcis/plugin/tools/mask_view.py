"""Masks out of the way for a moment: none at all, or their outlines only."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from napari.layers import Labels

from napari_gpcis.plugin.tools.base import Tool
from napari_gpcis.plugin.viewer.planes import visible_box
from napari_gpcis.plugin.viewer.segments import Segments

if TYPE_CHECKING:
    from napari.layers import Layer

    from napari_gpcis.plugin.annotation.annotation import Annotation
    from napari_gpcis.plugin.annotation.controller import Controller

ALL = "all objects"
LIGHT = "#ffffff"


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
        labels = annotation.layers.labels
        box = visible_box(labels, current.plane, current.shape)
        top, left, bottom, right = box or (0, 0, *current.shape)
        seen = np.asarray(current.plane.take(labels.data))[top:bottom, left:right]
        pieces = Segments.of_labels(seen, (top, left))
        colours = {
            int(label): labels.get_color(int(label))[:3]
            for label in np.unique(pieces.values)
            if label != current.live.label
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
