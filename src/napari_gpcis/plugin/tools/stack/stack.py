"""Stack: the planes of the image being annotated, and objects on them."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from napari_gpcis.geometry import EMPTY, box_of, moved, slices
from napari_gpcis.plugin.viewer.axes import axis_name, stack_axis
from napari_gpcis.plugin.viewer.planes import Plane, layer_shape
from napari_gpcis.propagation import interpolate

if TYPE_CHECKING:
    from collections.abc import Callable

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
        Axis of the image along which the next plane lies; ``None``: see
        :func:`.stack_axis`.
    chosen
        Returns the id of the object that is chosen on the displayed plane, 0 for none.
    held
        Whether the axis in use stays, whatever is displayed: while a run goes on.
    """

    def __init__(self, annotation: Annotation) -> None:
        self.annotation = annotation
        self.chosen: Callable[[], int] = int
        self.axis: int | None = None
        self.held = False
        self._along = 0

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
        """The axis in use; where no plane is displayed, as in 3-D, the one before."""
        axes = self.axes
        if axes and not self.held:
            here = self.annotation
            default = stack_axis(here.viewer, here.image, axes)
            self._along = self.axis if self.axis in axes else default
        return self._along

    def number(self, plane: Plane) -> int:
        """Return the place of a plane along the axis."""
        return plane.steps[self.along]

    def name(self, plane: Plane) -> str:
        """Return what a plane is called; with its axis, if there are several."""
        name, image = f"Plane {self.number(plane)}", self.annotation.image
        sizes = enumerate(layer_shape(image))
        if sum(size > 1 and axis not in plane.axes for axis, size in sizes) < 2:
            return name
        return f"{name} along {axis_name(self.annotation.viewer, image, self.along)}"

    def beside(self, plane: Plane, direction: int) -> Plane | None:
        """Return the neighbour of a plane, ``None`` at the end of the stack."""
        if not self.held and not self.axes:
            return None
        steps = list(plane.steps)
        steps[self.along] += direction
        size = layer_shape(self.annotation.image)[self.along]
        inside = 0 <= steps[self.along] < size
        return Plane(plane.axes, tuple(steps)) if inside else None

    def count(self, plane: Plane, direction: int) -> int:
        """Return the number of planes in a direction."""
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
        """Return the current object, else the chosen or last one of this plane.

        Returns
        -------
        Source or str
            The reason, if there is none.
        """
        current = self.annotation.current
        if current is None or current.session is None or not self.axes:
            return "There are no further planes."
        current.finish_drawing()
        if current.clicks and (current.busy or not current.drawn.live.mask.any()):
            return "The mask is still being computed: try again."
        data = self.annotation.layers.labels.data
        if current.clicks:
            label, box, mask = (
                current.drawn.live.label,
                current.drawn.live.box,
                current.drawn.live.mask,
            )
        else:
            done = current.session.objects
            selected = int(self.annotation.layers.labels.selected_label)
            label = self.chosen() or (done[-1].id if done else selected)
            box = 0, 0, *current.shape
            mask = np.asarray(current.plane.take(data) == label)
        inside = box_of(mask)
        if inside is None or label == 0:
            return "Click on an object first, or select the label of one."
        part = mask[slices(inside)].copy()
        return Source(current.plane, moved(inside, box[:2]), part, label)

    def between(
        self, first: Plane, last: Plane, label: int
    ) -> list[tuple[Plane, Box, Mask]]:
        """Return an object interpolated on all planes between two that have it."""
        labels = self.annotation.layers.labels.data
        ends = []
        for plane in (first, last):
            mask = np.asarray(plane.take(labels) == label)
            box = box_of(mask) or EMPTY
            ends.append((box, mask[slices(box)]))
        shape = first.shape(layer_shape(self.annotation.image))
        gap = self.number(last) - self.number(first)
        found, plane = [], first
        for number in range(1, gap):
            plane = self.beside(plane, 1) or last
            found.append((plane, *interpolate(ends[0], ends[1], number / gap, shape)))
        return found

    def accept(self) -> bool:
        """Accept the current object, if there is one; return whether none is left."""
        current = self.annotation.current
        if current is not None and current.clicks:
            current.accept()
        return current is not None and not current.clicks
