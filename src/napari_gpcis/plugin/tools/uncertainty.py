"""What the model is unsure about, as layers: made on demand, gone on stop.

Each map lies on the part of the image that the network saw, in the network's own
resolution, so that showing it costs the same on an image of any size.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from napari.layers import Image
from qtpy.QtCore import QObject, Signal

from napari_gpcis.next_click import doubt
from napari_gpcis.plugin.connections import Connections
from napari_gpcis.plugin.viewer.overlays import (
    DISPLAY,
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
    from napari_gpcis.plugin.annotation.controller import Binding
    from napari_gpcis.plugin.annotation.plane import PlaneAnnotation

    Values = Callable[[Prediction], NDArray[Any]]


class Map(NamedTuple):
    """One kind of map.

    Attributes
    ----------
    title, help
        Its name and what it tells, in words.
    colormap
        Name of a napari colormap.
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
"""The map that the key shows if the person has not chosen others."""
OPACITY = 0.6


class UncertaintyMaps(QObject):
    """Shows maps of the displayed plane's last prediction, and keeps them up to date.

    Parameters
    ----------
    binding
        What they belong to.

    Attributes
    ----------
    shown
        Names of the maps that are wanted, see :data:`MAPS`.
    """

    changed = Signal()
    """Emitted when other maps are wanted."""

    def __init__(self, binding: Binding) -> None:
        super().__init__(binding)
        self.shown: set[str] = set()
        self._last = {FIRST}
        self._binding = binding
        self._layers: dict[str, Image] = {}
        self._connections = Connections()
        binding.started.connect(self._on_started)
        binding.stopped.connect(self._remove_all)
        binding.register("uncertainty", self.toggle)

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

    def _on_started(self, annotation: Annotation) -> None:
        events, layers = annotation.events, self._binding.viewer.layers
        self._connections.connect(events.predicted, self._on_predicted)
        self._connections.connect(events.plane_entered, self._refresh)
        self._connections.connect(layers.events.removed, self._on_removed)

    def _on_predicted(self, plane: PlaneAnnotation) -> None:
        annotation = self._binding.annotation
        if annotation is not None and plane is annotation.current:
            self._refresh()

    def _refresh(self) -> None:
        """Bring the layers up to date with what is wanted and what is known."""
        annotation = self._binding.annotation
        if annotation is None:
            return
        for name in set(self._layers) - self.shown:
            take_away(self._binding.viewer, self._layers.pop(name))
        session = self._binding.session
        found = None if session is None else predicted(session.prediction)
        for name in MAPS:
            if name in self.shown and found is not None:
                self._show(annotation, name, found)
            elif name in self._layers:
                self._layers[name].visible = False

    def _show(self, annotation: Annotation, name: str, found: Prediction) -> None:
        """Put a map of a prediction into its layer, which is made if need be."""
        current = annotation.current
        if current is None:
            return
        values = np.asarray(MAPS[name].values(found), dtype=np.float32)
        data = on_axes(values, current.plane)
        matrix = grid_to_world(annotation.image, current.plane, found)
        layer = self._layers.get(name)
        if layer is None:
            layer = _new_layer(annotation, name, data, matrix)
            self._layers[name] = layer
            put(self._binding.viewer, layer, below=annotation.layers.labels)
        else:
            layer.data, layer.affine = data, matrix
            layer.visible = True

    def _on_removed(self, event: Any) -> None:
        """Note that the person has deleted a map's layer."""
        for name, layer in list(self._layers.items()):
            if layer == event.value:
                del self._layers[name]
                self.show(name, wanted=False)

    def _remove_all(self) -> None:
        viewer = self._binding.viewer
        self._connections.end()
        layers, self._layers = self._layers, {}
        for layer in layers.values():
            take_away(viewer, layer)


def predicted(found: Prediction | None) -> Prediction | None:
    """Return a prediction if the model made it, not a mask that was given to it."""
    if found is None or np.isnan(found.maps.variance).any():
        return None
    return found


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
        metadata=dict(DISPLAY),
        affine=matrix,
        colormap=kind.colormap,
        contrast_limits=kind.limits,
        interpolation2d="linear",
        opacity=OPACITY,
        rgb=False,
        **same_place(annotation.image),
    )
