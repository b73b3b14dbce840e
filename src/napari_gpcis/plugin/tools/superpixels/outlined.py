"""Superpixels of the displayed plane: computed on a thread, outlined, on levels."""

from __future__ import annotations

import hashlib
import math
from collections import OrderedDict
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any, Literal, NamedTuple, TypeAlias

import numpy as np
from napari.layers import Image
from napari.utils.colormaps import Colormap
from napari.utils.colormaps.standardize_color import transform_color
from qtpy.QtCore import Qt, Signal

from napari_gpcis.errors import GPCISError
from napari_gpcis.geometry import moved, slices, whole_image
from napari_gpcis.inference.image import PreparedImage
from napari_gpcis.plugin.background import BackgroundThread
from napari_gpcis.plugin.debouncing import Debouncer
from napari_gpcis.plugin.tools.base import Tool
from napari_gpcis.plugin.viewer.overlays import (
    display_of,
    image_to_world,
    on_axes,
    put,
    same_place,
    take_away,
)
from napari_gpcis.plugin.viewer.planes import visible_box

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Sequence

    from numpy.typing import NDArray
    from qtpy.QtCore import QObject

    from napari_gpcis.geometry import Box, Mask
    from napari_gpcis.plugin.annotation.annotation import Annotation
    from napari_gpcis.plugin.annotation.controller import Controller
    from napari_gpcis.plugin.viewer.planes import Plane
    from napari_gpcis.superpixels.hierarchy import Hierarchy

SizeUnit: TypeAlias = Literal["number", "pixels", "world"]
"""In what the size of superpixels is given: how many, or their mean diameter."""
MOST_PIXELS = 1 << 22
"""Of larger planes the visible part is divided, if that is not larger."""
KEPT = 6
"""So many planes and settings are remembered."""
PARTS = 3
"""Parts of the work."""
WAIT = 400
"""Milliseconds after a change of the settings: further ones may follow."""
COLOUR, OPACITY = "#00e5ff", 0.5
"""Colour of the outlines."""
NONE = "There are no superpixels: show them first."
COMPUTING = "The superpixels are being computed: try again once they are there."
ZOOM_IN = (
    "Zoom in first: superpixels are computed for up to four million pixels at once."
)


class Settings(NamedTuple):
    """Wanted superpixels.

    Attributes
    ----------
    size, unit
        How large, and in what that is given.
    method, compactness
        See :func:`napari_gpcis.superpixels.superpixels`.
    """

    size: float = 600
    unit: SizeUnit = "number"
    method: str = "auto"
    compactness: float | None = None

    def number_on(self, shape: tuple[int, int], pixel_area: float) -> int:
        """Return how many there are to be on so many rows and columns.

        A diameter is that of a disk of the same area.

        Parameters
        ----------
        shape
            Rows and columns.
        pixel_area
            Area of a pixel in the unit of the layer.
        """
        pixels = shape[0] * shape[1]
        if self.unit == "number":
            return min(max(round(self.size), 1), pixels)
        area = math.pi / 4 * self.size**2
        if self.unit == "world":
            area /= pixel_area
        return min(max(round(pixels / area), 1), pixels)


@dataclass(frozen=True, eq=False)
class Divided:
    """Superpixels of a box of a plane, on levels.

    Attributes
    ----------
    plane, box
        Where.
    token
        Number of the prepared image they were made of.
    settings
        How they were wanted.
    hierarchy
        The superpixels.
    """

    plane: Plane
    box: Box
    token: int
    settings: Settings
    hierarchy: Hierarchy

    def at(self, level: int, places: NDArray[np.float64]) -> list[int]:
        """Return the superpixels at places of the plane, shape (n, 2); none beside."""
        pixels = np.floor(np.asarray(places) + 0.5).astype(int) - self.box[:2]
        shape = self.hierarchy.fine.shape
        inside = (pixels >= 0).all(axis=1) & (pixels < shape).all(axis=1)
        fine = self.hierarchy.fine[tuple(pixels[inside].T)]
        return [int(one) for one in np.unique(self.hierarchy.tables[level][fine])]

    def region(self, level: int, ids: Collection[int]) -> tuple[Box, Mask]:
        """Return box and mask of superpixels, in pixels of the plane."""
        box, mask = self.hierarchy.region(level, ids)
        return moved(box, self.box[:2]), mask


class Memory:
    """Superpixels by the pixels they were made of; the least recently used go."""

    def __init__(self) -> None:
        self._known: OrderedDict[tuple[Any, ...], Hierarchy] = OrderedDict()

    def find(self, key: tuple[Any, ...]) -> Hierarchy | None:
        """Return what is known."""
        known = self._known.get(key)
        if known is not None:
            self._known.move_to_end(key)
        return known

    def keep(self, key: tuple[Any, ...], made: Hierarchy) -> None:
        """Remember superpixels."""
        self._known[key] = made
        while len(self._known) > KEPT:
            self._known.popitem(last=False)

    def clear(self) -> None:
        """Forget all."""
        self._known.clear()


class Superpixels(Tool):
    """Superpixels of the displayed plane, computed while they are wanted.

    Parameters
    ----------
    controller
        Its annotations are followed.
    parent
        Qt parent.

    Attributes
    ----------
    divided
        Those that are there; ``None`` if there are none yet.
    level
        The level of these that is shown and painted with.
    part
        Part of the work that goes on, from 0 on; ``None`` if none does.
    problem
        Why there are none, in words.
    """

    changed = Signal()
    """Emitted when other superpixels are there or wanted, or their part of the work."""
    ready = Signal()
    """Emitted when superpixels have come, or will not come."""
    _begun = Signal(object, int)

    def __init__(self, controller: Controller, parent: QObject | None = None) -> None:
        super().__init__(controller, parent)
        self.divided: Divided | None = None
        self.level = 0
        self.part: int | None = None
        self.problem = ""
        self._larger = 0  # levels away from the wanted number
        self._settings = Settings()
        self._shown = self._needed = False
        self._layer: Image | None = None
        self._drawn: tuple[Divided, int] | None = None
        self._asked: object = None
        self._memory = Memory()
        self._thread = BackgroundThread(self, "superpixels")
        self._soon = Debouncer(self._refresh, WAIT, self)
        self._begun.connect(self._on_begun, Qt.ConnectionType.QueuedConnection)
        controller.register("superpixels_smaller", partial(self.step, -1))
        controller.register("superpixels_larger", partial(self.step, 1))

    def close(self) -> None:
        """Let go of the annotation, and end the thread."""
        super().close()
        self._soon.cancel()
        self._thread.close()

    # What is wanted ---------------------------------------------------------------

    @property
    def shown(self) -> bool:
        """True if outlines are shown; may be set."""
        return self._shown

    @shown.setter
    def shown(self, shown: bool) -> None:
        self._shown = shown
        self._on_wanted()

    @property
    def needed(self) -> bool:
        """True if a tool needs them; may be set."""
        return self._needed

    @needed.setter
    def needed(self, needed: bool) -> None:
        self._needed = needed
        self._on_wanted()

    @property
    def wanted(self) -> bool:
        """True if superpixels are to be there."""
        return self._shown or self._needed

    @property
    def settings(self) -> Settings:
        """The wanted superpixels; may be set."""
        return self._settings

    @settings.setter
    def settings(self, settings: Settings) -> None:
        if settings != self._settings:
            self._settings = settings
            self._larger, self.problem = 0, ""
            self._soon.throttle()
            self.changed.emit()

    def in_unit(self, unit: SizeUnit) -> Settings:
        """Return the settings with the size in another unit, about the same."""
        settings, current = self._settings, self.current
        if self.annotation is None or current is None:
            size = {"number": 600.0, "pixels": 20.0, "world": 10.0}[unit]
            return settings._replace(unit=unit, size=size)
        shape = current.shape
        area = self._pixel_area(self.annotation, current.plane)
        count = settings.number_on(shape, area)
        size = float(count)
        if unit != "number":
            each = shape[0] * shape[1] / count * (area if unit == "world" else 1)
            size = float(f"{2 * math.sqrt(each / math.pi):.3g}")
        return settings._replace(unit=unit, size=size)

    @staticmethod
    def _pixel_area(annotation: Annotation, plane: Plane) -> float:
        """Return the area of a pixel of a plane in the unit of the image."""
        sides = [abs(float(annotation.image.scale[axis])) for axis in plane.axes]
        return sides[0] * sides[1]

    @property
    def count(self) -> int:
        """Number of superpixels that are shown."""
        return 0 if self.divided is None else self.divided.hierarchy.counts[self.level]

    def step(self, by: int) -> None:
        """Go to larger superpixels, or to smaller ones, at once."""
        if self.divided is None:
            self.say(NONE if self.part is None else COMPUTING)
            return
        before, last = self.level, len(self.divided.hierarchy.counts) - 1
        self.level = min(max(before + by, 0), last)
        self._larger += self.level - before
        self.say(f"{self.count} superpixels")
        self._draw()
        self.changed.emit()

    def cancel(self) -> None:
        """Give up what is being computed."""
        if self.part is not None:
            self._give_up()
            self.problem = "Cancelled."
            self.changed.emit()
            self.ready.emit()

    # Following --------------------------------------------------------------------

    def on_attached(self, annotation: Annotation) -> None:
        """Follow the plane and the image."""
        self.follow(annotation.events.plane_changed, self._on_plane)
        self.follow(annotation.image.events.data, self._forget)
        self.follow(annotation.viewer.layers.events.removed, self._on_removed)

    def on_detached(self, annotation: Annotation) -> None:  # noqa: ARG002
        """Forget everything, and take the outlines away."""
        self._forget()
        self._remove_layer()
        self._shown = self._needed = False
        self.changed.emit()

    def _forget(self, *_: Any) -> None:
        self._soon.cancel()
        self._give_up()
        self._memory.clear()
        self.divided, self.problem = None, ""

    def _give_up(self) -> None:
        self._thread.cancel(self.key)
        self.part = self._asked = None

    def _on_removed(self, event: Any) -> None:
        """Take note that the user has deleted the layer of the outlines."""
        if event.value == self._layer:
            self._layer = self._drawn = None
            self.shown = False

    def _on_plane(self) -> None:
        if self.wanted:
            self._refresh()
        elif self.divided is not None and not self._fits(self.divided):
            self.divided = None

    def _on_wanted(self) -> None:
        self.problem = ""
        if self.wanted:
            self._refresh()
        else:
            self._soon.cancel()
            self._give_up()
        if not self._shown:
            self._remove_layer()
        self.changed.emit()

    def _fits(self, divided: Divided) -> bool:
        """Return whether superpixels are those of what is displayed."""
        session = self.controller.session
        return (
            self.current is not None
            and session is not None
            and divided.plane == self.current.plane
            and divided.token == session.prepared.token
        )

    # Computing --------------------------------------------------------------------

    def compute(self) -> None:
        """Compute superpixels of what is displayed now, even if there are some."""
        self.problem = ""
        self.divided = None
        self._refresh()

    def _refresh(self) -> None:
        """Show superpixels, or have them computed, if they are wanted."""
        known = self.divided
        if known is not None and not self._fits(known):
            known = self.divided = None
        if self.wanted and (known is None or known.settings != self._settings):
            self._ask()
        self._draw()
        self.changed.emit()

    def _ask(self) -> None:
        """Have superpixels computed, on the thread."""
        annotation, current = self.annotation, self.current
        session = self.controller.session
        if annotation is None or current is None or session is None:
            return  # it is opened soon
        self._give_up()
        box = self._box(annotation, current.plane, current.shape)
        if box is None:
            self.problem = ZOOM_IN
            self.say(ZOOM_IN)
            self.ready.emit()
            return
        shape = box[2] - box[0], box[3] - box[1]
        area = self._pixel_area(annotation, current.plane)
        count = self._settings.number_on(shape, area)
        self._asked, self.part = object(), 0
        job = _job(
            session.prepared,
            current.plane,
            box,
            self._settings,
            count,
            self._memory,
            partial(self._begun.emit, self._asked),
        )
        self._thread.submit(self.key, job, self._on_divided, self._on_failed)

    @staticmethod
    def _box(
        annotation: Annotation, plane: Plane, shape: tuple[int, int]
    ) -> Box | None:
        """Return what is divided: the plane, or its part in sight, if not too large."""
        if shape[0] * shape[1] <= MOST_PIXELS:
            return whole_image(shape)
        box = visible_box(annotation.layers.labels, plane, shape)
        if box is None or (box[2] - box[0]) * (box[3] - box[1]) > MOST_PIXELS:
            return None
        return box

    def _on_begun(self, asked: object, part: int) -> None:
        if asked is self._asked:
            self.part = part
            self.changed.emit()

    def _on_divided(self, found: tuple[Divided, int] | None, _seconds: float) -> None:
        self.part = self._asked = None
        if found is not None and self._fits(found[0]):
            self.divided, count = found
            last = len(self.divided.hierarchy.counts) - 1
            level = self.divided.hierarchy.nearest(count) + self._larger
            self.level = min(max(level, 0), last)
            self.problem = ""
        self._draw()
        self.changed.emit()
        self.ready.emit()

    def _on_failed(self, error: Exception) -> None:
        """Tell why there are none: it is no error of the clicks."""
        self.part = self._asked = None
        known = isinstance(error, (GPCISError, OSError))
        self.problem = str(error) if known else f"{type(error).__name__}: {error}"
        self.say(f"No superpixels: {self.problem}")
        self._draw()
        self.changed.emit()
        self.ready.emit()

    # The outlines -----------------------------------------------------------------

    def _draw(self) -> None:
        """Bring the outlines up to date."""
        annotation, divided = self.annotation, self.divided
        if annotation is None or divided is None or not self._shown:
            if self._layer is not None:
                self._layer.visible = False
            return
        if self._drawn is not None and self._layer is not None:
            self._layer.visible = True
            if self._drawn[0] is divided and self._drawn[1] == self.level:
                return
        self._drawn = divided, self.level
        borders = divided.hierarchy.borders(self.level)
        data = on_axes(borders.view(np.uint8), divided.plane)
        shift = np.eye(annotation.image.ndim + 1)
        shift[:-1, -1] = divided.plane.point(*divided.box[:2])
        matrix = image_to_world(annotation.image) @ shift
        if self._layer is None:
            self._layer = _new_layer(annotation, data, matrix)
            put(annotation.viewer, self._layer, below=annotation.layers.labels)
        else:
            self._layer.data, self._layer.affine = data, matrix

    def _remove_layer(self) -> None:
        layer, self._layer, self._drawn = self._layer, None, None
        if layer is not None:
            take_away(self.controller.viewer, layer)


def _new_layer(
    annotation: Annotation, data: NDArray[np.uint8], matrix: NDArray[np.float64]
) -> Image:
    """Return the layer of the outlines."""
    colour = transform_color(COLOUR)[0]
    return Image(
        data,
        name=f"superpixels on {annotation.image.name}",
        metadata=display_of(annotation.image),
        affine=matrix,
        colormap=Colormap([(*colour[:3], 0.0), colour], name="superpixels"),
        contrast_limits=(0, 1),
        interpolation2d="nearest",
        opacity=OPACITY,
        rgb=False,
        **same_place(annotation.image),
    )


def _job(
    prepared: PreparedImage,
    plane: Plane,
    box: Box,
    settings: Settings,
    count: int,
    memory: Memory,
    begun: Callable[[int], object],
) -> Callable[[Callable[[], bool]], tuple[Divided, int] | None]:
    """Return the job for the thread."""

    def work(cancelled: Callable[[], bool]) -> tuple[Divided, int] | None:
        from napari_gpcis.superpixels.hierarchy import divide  # slow to import

        channels = [np.asarray(one[slices(box)]) for one in prepared.planes]
        part = PreparedImage(tuple(channels), prepared.limits)
        key = (_digest(channels), part.limits, count, settings[2:])
        made = memory.find(key)
        if made is None:
            made = divide(
                part,
                count,
                method=settings.method,
                compactness=settings.compactness,
                cancelled=cancelled,
                begun=begun,
            )
            if made is None:
                return None
            made.fine_boxes  # noqa: B018  (found here, not while the mouse moves)
            memory.keep(key, made)
        return Divided(plane, box, prepared.token, settings, made), count

    return work


def _digest(channels: Sequence[NDArray[Any]]) -> bytes:
    """Return what tells pixels from others."""
    found = hashlib.blake2b(digest_size=16)
    for one in channels:
        found.update(f"{one.shape} {one.dtype}".encode())
        found.update(np.ascontiguousarray(one).data)
    return found.digest()
