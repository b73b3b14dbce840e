"""Uncertainty maps as layers: made on demand, removed on stop.

Each map lies on the part of the image that the network saw, in the network's own
resolution, so that showing it costs the same on an image of any size.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from napari.layers import Image
from napari.utils.colormaps import Colormap, ensure_colormap
from qtpy.QtCore import Signal

from napari_gpcis.next_click import doubt
from napari_gpcis.plugin.tools.base import Tool
from napari_gpcis.plugin.viewer.overlays import (
    display_of,
    grid_to_world,
    on_axes,
    put,
    same_place,
    take_away,
)

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

    from napari_gpcis.inference.prediction import Prediction
    from napari_gpcis.plugin.annotation.annotation import Annotation
    from napari_gpcis.plugin.annotation.controller import Controller
    from napari_gpcis.plugin.annotation.plane import PlaneAnnotation
    from napari_gpcis.plugin.viewer.planes import Plane

    Values = Callable[[Prediction], NDArray[Any]]


class Map(NamedTuple):
    """One kind of map.

    Attributes
    ----------
    title, help
        Its name and what it tells, in words.
    colormap
        Name of a napari colormap; its lowest value is transparent, see `faded`.
    limits
        The values at the two ends of the colormap: always the same.
    ends
        What these two values mean.
    values
        Takes the map out of a prediction, on the network's grid.
    """

    title: str
    help: str
    colormap: str
    limits: tuple[float, float]
    ends: tuple[str, str]
    values: Values


MAPS = {
    "variance": Map(
        "Uncertainty (variance)",
        "Posterior variance: how little the clicks so far tell about each pixel. A "
        "click makes it small on everything that looks alike.",
        "magma",
        (0.0, 1.0),
        ("0: known", "1: unknown"),
        lambda found: found.maps.variance,
    ),
    "doubt": Map(
        "Chance that the mask is wrong",
        "Where the model may have decided wrongly: a thin line along the border is "
        "normal, a wide spot is worth a click.",
        "inferno",
        (0.0, 0.5),
        ("0: right", "0.5: a guess"),
        doubt,
    ),
    "probability": Map(
        "Probability of the object",
        "How sure the model is that a pixel belongs to the object. The mask is "
        "where it is above the threshold.",
        "viridis",
        (0.0, 1.0),
        ("0: background", "1: object"),
        lambda found: found.maps.probability,
    ),
}
"""All maps, in the order in which they are offered."""
FIRST = "doubt"
"""The map that the key shows if the user has not chosen others."""
OPACITY = 0.6
FADED = 0.25
"""Share of a colormap over which a map fades out, so that the image is seen there."""


class UncertaintyMaps(Tool):
    """Maps of the displayed plane's last prediction, as layers.

    Parameters
    ----------
    controller
        Its annotations are followed.

    Attributes
    ----------
    shown
        Names of the maps that are wanted, see :data:`MAPS`.
    """

    changed = Signal()
    """Emitted when other maps are wanted."""

    def __init__(self, controller: Controller) -> None:
        super().__init__(controller)
        self.shown: set[str] = set()
        self._last = {FIRST}
        self._layers: dict[str, Image] = {}
        controller.register("uncertainty", self.toggle)

    def show(self, name: str, wanted: bool) -> None:
        """Show or hide one map."""
        if wanted == (name in self.shown):
            return
        (self.shown.add if wanted else self.shown.discard)(name)
        self._last = set(self.shown) or self._last
        self._refresh()
        self.changed.emit()

    def toggle(self) -> None:
        """Show the maps that were chosen last, or hide all."""
        self.shown = set() if self.shown else set(self._last)
        self._refresh()
        self.changed.emit()

    def on_attached(self, annotation: Annotation) -> None:
        """Follow what is predicted."""
        events, layers = annotation.events, self.controller.viewer.layers
        self.follow(events.predicted, self._on_predicted)
        self.follow(events.plane_entered, self._refresh)
        self.follow(layers.events.removed, self._on_removed)

    def on_detached(self, annotation: Annotation) -> None:  # noqa: ARG002
        """Take the layers of all maps away."""
        layers, self._layers = self._layers, {}
        for layer in layers.values():
            take_away(self.controller.viewer, layer)

    def _on_predicted(self, plane: PlaneAnnotation) -> None:
        if self.shown and plane is self.current:
            self._refresh()

    def _refresh(self) -> None:
        """Bring the layers up to date with what is wanted and what is known."""
        annotation, current = self.annotation, self.current
        if annotation is None:
            return
        for name in set(self._layers) - self.shown:
            take_away(self.controller.viewer, self._layers.pop(name))
        found = None if current is None else predicted(current)
        for name in MAPS:
            if name in self.shown and current is not None and found is not None:
                self._show(annotation, current.plane, name, found)
            elif name in self._layers:
                self._layers[name].visible = False

    def _show(
        self, annotation: Annotation, plane: Plane, name: str, found: Prediction
    ) -> None:
        """Put a map of a prediction into its layer, which is made if need be."""
        values = np.asarray(MAPS[name].values(found), dtype=np.float32)
        data = on_axes(values, plane)
        matrix = grid_to_world(annotation.image, plane, found)
        layer = self._layers.get(name)
        if layer is None:
            layer = _new_layer(annotation, name, data, matrix)
            self._layers[name] = layer
            put(self.controller.viewer, layer, below=annotation.layers.labels)
        else:
            layer.data, layer.affine = data, matrix
            layer.visible = True

    def _on_removed(self, event: Any) -> None:
        """Note that the user has deleted a map's layer."""
        for name, layer in list(self._layers.items()):
            if layer == event.value:
                del self._layers[name]
                self.show(name, wanted=False)


def predicted(plane: PlaneAnnotation) -> Prediction | None:
    """Return a plane's prediction, if the model made it from clicks.

    A mask that an object begins with says nothing about what the model is unsure of.
    """
    found = None if plane.session is None else plane.session.prediction
    if found is None or np.isnan(found.maps.variance).any():
        return None
    return found


def faded(name: str) -> Colormap:
    """Return a colormap of napari that is transparent at its lowest value.

    Parameters
    ----------
    name
        Name of the colormap.
    """
    places = np.linspace(0, 1, 256)
    colours = ensure_colormap(name).map(places)
    colours[:, 3] = np.minimum(places / FADED, 1)
    return Colormap(colours, name=f"{name}, faded", controls=places)


def _new_layer(
    annotation: Annotation,
    name: str,
    data: NDArray[np.float32],
    matrix: NDArray[np.float64],
) -> Image:
    """Return a layer that shows a map with its fixed range."""
    kind = MAPS[name]
    return Image(
        data,
        name=f"{kind.title} on {annotation.image.name}",
        metadata=display_of(annotation.image),
        affine=matrix,
        colormap=faded(kind.colormap),
        contrast_limits=kind.limits,
        interpolation2d="linear",
        opacity=OPACITY,
        rgb=False,
        **same_place(annotation.image),
    )
