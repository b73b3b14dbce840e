"""The ring around the most valuable next click, shown when the user asks for it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from napari.layers import Points
from qtpy.QtCore import Signal

from napari_gpcis.next_click import NextClick, expected_agreement, next_click
from napari_gpcis.plugin.settings.shortcuts import key_of
from napari_gpcis.plugin.tools.base import Tool
from napari_gpcis.plugin.tools.display.uncertainty import predicted
from napari_gpcis.plugin.viewer.overlays import (
    display_of,
    image_to_world,
    put,
    same_place,
    take_away,
)
from napari_gpcis.plugin.viewer.planes import center_on, layer_shape

if TYPE_CHECKING:
    from collections.abc import Callable

    from napari_gpcis.inference.prediction import Prediction
    from napari_gpcis.plugin.annotation.annotation import Annotation
    from napari_gpcis.plugin.annotation.controller import Controller
    from napari_gpcis.plugin.annotation.plane import PlaneAnnotation
    from napari_gpcis.plugin.viewer.planes import Plane

RING_COLOUR = "#ffffff"
RING_SIZE = 26
"""Diameter of the ring on the screen, smaller only where the image is tiny."""
RING_WIDTH = 0.08
"""Its line, as a share of the diameter."""
RING_SHARE = 1 / 8
"""Diameter before the limit, as a share of the image."""


class Advice(NamedTuple):
    """Advice on a prediction: the next click, and the agreement expected now."""

    prediction: Prediction
    plane: Plane
    click: NextClick | None
    agreement: float


class NextClickGuide(Tool):
    """Marks the most valuable next click on the displayed plane.

    Parameters
    ----------
    controller
        Its annotations are followed.

    Attributes
    ----------
    advice
        The last advice, ``None`` if there is none for the displayed plane.
    """

    changed = Signal()
    """Emitted when :attr:`message` or :attr:`wanted` have changed."""

    def __init__(self, controller: Controller) -> None:
        super().__init__(controller)
        self.advice: Advice | None = None
        self._wanted = False
        self._going = False
        self._layer: Points | None = None
        controller.register("next_click", self.go)

    @property
    def wanted(self) -> bool:
        """True if the next click is marked; may be set."""
        return self._wanted

    @wanted.setter
    def wanted(self, wanted: bool) -> None:
        if wanted != self._wanted:
            self._wanted = wanted
            self._refresh()
            self.changed.emit()

    @property
    def message(self) -> str:
        """The advice, as a text for the user."""
        if not self._wanted:
            return ""
        if self.advice is None:
            return "Click on an object first; then the ring shows where to go on."
        share = f"{self.advice.agreement:.0%}"
        if self.advice.click is None:
            return (
                f"No click needed: the model expects {share} agreement of the mask "
                f"with the object. Look, and accept ({key_of('accept')})."
            )
        return (
            f"A click in the ring helps most: left if it belongs to the object, right "
            f"if not. Expected agreement of the mask now: {share}."
        )

    def go(self) -> None:
        """Move the view to the next click; mark it first if it is not marked."""
        self._going = True
        if not self._wanted:
            self.wanted = True
        elif self.advice is not None:
            self._look()

    def on_attached(self, annotation: Annotation) -> None:
        """Follow what is predicted."""
        events, layers = annotation.events, self.controller.viewer.layers
        self.follow(events.predicted, self._on_predicted)
        self.follow(events.clicks_changed, self._on_predicted)
        self.follow(events.accepted, self._on_predicted)
        self.follow(events.plane_entered, self._refresh)
        self.follow(layers.events.removed, self._on_removed)

    def on_detached(self, annotation: Annotation) -> None:  # noqa: ARG002
        """Take the ring and its layer away."""
        self._forget()
        self._going = False
        layer, self._layer = self._layer, None
        if layer is not None:
            take_away(self.controller.viewer, layer)

    def _on_predicted(self, plane: PlaneAnnotation, *_: object) -> None:
        if (self._wanted or self.advice is not None) and plane is self.current:
            self._refresh()

    def _refresh(self) -> None:
        """Ask for advice on the present prediction, or take the ring away."""
        current = self.current
        found = None if current is None else predicted(current)
        if not self._wanted or current is None or found is None:
            self._forget()
        elif self.advice is None or self.advice.prediction is not found:
            self._forget()
            self.ask(_job(found, current.plane), self._on_advice)

    def _forget(self) -> None:
        """Take the ring away: it is out of date, or not wanted."""
        self.cancel_job()
        known, self.advice = self.advice, None
        if self._layer is not None:
            self._layer.visible = False
        if known is not None:
            self.changed.emit()

    def _on_advice(self, advice: Advice | None, _seconds: float) -> None:
        """Show the advice that was asked for."""
        annotation = self.annotation
        if annotation is None or advice is None:
            return
        self.advice = advice
        self._mark(annotation, advice)
        if self._going:
            self._look()
        self.changed.emit()

    def _mark(self, annotation: Annotation, advice: Advice) -> None:
        """Draw the ring, or hide it if the model is sure."""
        if self._layer is None:
            self._layer = _new_layer(annotation)
            put(self.controller.viewer, self._layer, below=annotation.layers.negative)
        self._layer.visible = advice.click is not None
        if advice.click is not None:
            point = advice.plane.point(advice.click.row, advice.click.col)
            self._layer.data = point[None]
            self._layer.selected_data = set()

    def _look(self) -> None:
        """Move the view so that the ring is in its middle."""
        self._going = False
        annotation, advice = self.annotation, self.advice
        if annotation is None or advice is None or advice.click is None:
            return
        row, col = advice.click.row, advice.click.col
        place = row, col, row + 1, col + 1
        center_on(self.controller.viewer, annotation.image, advice.plane, place)

    def _on_removed(self, event: Any) -> None:
        """Switch off when the user deletes the ring's layer."""
        if self._layer is not None and self._layer == event.value:
            self._layer = None
            self.wanted = False


def _job(found: Prediction, plane: Plane) -> Callable[[Callable[[], bool]], Any]:
    """Return the job for the inference thread."""

    def advise(cancelled: Callable[[], bool]) -> Advice | None:
        if cancelled():
            return None
        return Advice(found, plane, next_click(found), expected_agreement(found))

    return advise


def _new_layer(annotation: Annotation) -> Points:
    """Return the layer of the ring, without a point."""
    image = annotation.image
    return Points(
        np.empty((0, image.ndim)),
        ndim=image.ndim,
        name=f"next click on {image.name}",
        metadata=display_of(image),
        symbol="disc",
        face_color="transparent",
        border_color=RING_COLOUR,
        border_width=RING_WIDTH,
        size=max(layer_shape(image)) * RING_SHARE + 1,
        canvas_size_limits=(0, RING_SIZE),  # a lower limit makes the line thick
        affine=image_to_world(image),
        **same_place(image),
    )
