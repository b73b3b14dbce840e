"""The planes beside the displayed one: which there are, and turning to them."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from napari_gpcis.geometry import box_of, moved, slices
from napari_gpcis.plugin.viewer.planes import Plane, layer_shape

if TYPE_CHECKING:
    from napari_gpcis.geometry import Mask
    from napari_gpcis.plugin.annotation.annotation import Annotation
    from napari_gpcis.plugin.viewer.planes import Box


class Source(NamedTuple):
    """An object on one plane."""

    plane: Plane
    box: Box
    mask: Mask
    label: int


class Stack:
    """The planes of one annotated image, along one axis.

    Parameters
    ----------
    annotation
        The image being annotated.

    Attributes
    ----------
    axis
        Axis of the image along which the next plane lies; ``None``: the last one that
        is not displayed.
    """

    def __init__(self, annotation: Annotation) -> None:
        self.annotation = annotation
        self.axis: int | None = None

    @property
    def axes(self) -> tuple[int, ...]:
        """Axes of the image along which it has further planes."""
        current = self.annotation.current
        if current is None:
            return ()
        shape = layer_shape(self.annotation.image)
        return tuple(
            axis
            for axis, size in enumerate(shape)
            if size > 1 and axis not in current.plane.axes
        )

    @property
    def along(self) -> int:
        """The axis in use; there must be one."""
        axes = self.axes
        return self.axis if self.axis is not None and self.axis in axes else axes[-1]

    def number(self, plane: Plane) -> int:
        """Return the place of a plane along the axis."""
        return plane.steps[self.along]

    def beside(self, plane: Plane, direction: int) -> Plane | None:
        """Return the neighbour of a plane, ``None`` at the end of the stack."""
        if not self.axes:
            return None
        steps = list(plane.steps)
        steps[self.along] += direction
        size = layer_shape(self.annotation.image)[self.along]
        inside = 0 <= steps[self.along] < size
        return Plane(plane.axes, tuple(steps)) if inside else None

    def count(self, plane: Plane, direction: int) -> int:
        """Return how many planes lie in a direction."""
        size = layer_shape(self.annotation.image)[self.along]
        here = self.number(plane)
        return size - 1 - here if direction > 0 else here

    def show(self, plane: Plane) -> None:
        """Turn the viewer to a plane; the view stays."""
        dims, image = self.annotation.viewer.dims, self.annotation.image
        world = np.asarray(image.data_to_world(plane.point(0, 0)), dtype=float)
        missing = dims.ndim - image.ndim
        for axis in range(image.ndim):
            if axis not in plane.axes:
                dims.set_point(axis + missing, world[axis])

    def source(self) -> Source | str:
        """Return the running object, or else the last one of the displayed plane.

        Returns
        -------
        Source or str
            Or, in words, why there is none.
        """
        current = self.annotation.current
        if current is None or current.session is None or not self.axes:
            return "There are no further planes."
        current.finish_drawing()
        if current.clicks and (current.busy or not current.held.mask.any()):
            return "The mask is still being computed: try again."
        data = self.annotation.layers.labels.data
        if current.clicks:
            label, box, mask = current.held.label, current.held.box, current.held.mask
        else:
            done = current.session.objects
            chosen = int(self.annotation.layers.labels.selected_label)
            label = done[-1].id if done else chosen
            box = 0, 0, *current.shape
            mask = np.asarray(current.plane.take(data) == label)
        inside = box_of(mask)
        if inside is None or label == 0:
            return "Click on an object first, or select the label of one."
        part = mask[slices(inside)].copy()
        return Source(current.plane, moved(inside, box[:2]), part, label)

    def accept(self) -> bool:
        """Accept the running object, if there is one; return whether none runs."""
        current = self.annotation.current
        if current is not None and current.clicks:
            current.accept()
        return current is not None and not current.clicks
