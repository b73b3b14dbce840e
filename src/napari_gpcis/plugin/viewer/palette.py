"""Colours of objects: far from those of the image, and lighter for the current one.

Here alone stand private names of napari, for what its public ones do slowly. napari may
rename them at any time. Then the same things are shown a little later: a labels layer
is drawn as a whole, and its planes are mapped to colours at once. A test runs all this
with a napari that has none of these names.
"""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any

import numpy as np
from napari.layers import Image
from napari.utils.colormaps import CyclicLabelColormap
from napari.utils.colormaps.standardize_color import transform_color

from napari_gpcis.geometry import CACHED_PIXELS, row_strips
from napari_gpcis.plugin.connections import Connections

if TYPE_CHECKING:
    from collections.abc import Sequence

    from napari.components import ViewerModel
    from napari.layers import Labels, Layer
    from numpy.typing import NDArray

    from napari_gpcis.plugin.viewer.planes import Box, Plane

_log = logging.getLogger(__name__)

OBJECT_COLOURS = (
    "#7dff3d",
    "#ffee33",
    "#ff3df2",
    "#a970ff",
    "#ff5c5c",
    "#2effc0",
    "#ff9ed8",
    "#c9ff2e",
    "#d3b8ff",
    "#ff2e8a",
    "#8affd6",
    "#fff59e",
)
"""Colours of objects: bright for dark and grey images, none near those of clicks."""
LEAST_DISTANCE = 55.0
"""Least distance (CIE 1976) of an object's colour to a colour of the image."""
RARE = 0.02
"""Colours that fewer of the image's pixels have do not matter."""
FEWEST = 4
"""So many colours are used, however near they are."""
MANY, MOST = 252, 65532
"""Numbers of colours of which one can be changed: multiples of 12, for the table of one
byte and that of two."""


def colours_for(viewer: ViewerModel, image: Layer) -> tuple[str, ...]:
    """Return the colours of objects that keep their distance from an image's own.

    Parameters
    ----------
    viewer
        The viewer; other visible images count as well.
    image
        The image.
    """
    shown = [
        layer
        for layer in viewer.layers
        if isinstance(layer, Image) and (layer.visible or layer == image)
    ]
    pixels = [_pixels_of(layer) for layer in shown]
    return far_from(np.concatenate([np.zeros((0, 3)), *pixels]))


def far_from(pixels: NDArray[np.float64]) -> tuple[str, ...]:
    """Return the colours of objects that are seen on pixels of these colours.

    Parameters
    ----------
    pixels
        Red, green and blue between 0 and 1, shape (n, 3).

    Returns
    -------
    tuple of str
        At least four, in the order of `OBJECT_COLOURS`.
    """
    if len(pixels) == 0:
        return OBJECT_COLOURS
    candidates = np.concatenate([transform_color(one) for one in OBJECT_COLOURS])
    there = _lab(pixels)
    away = np.linalg.norm(_lab(candidates[:, :3])[:, None] - there[None], axis=2)
    near = np.quantile(away, RARE, axis=1)
    order = np.argsort(-near, kind="stable")
    fewest = set(order[:FEWEST].tolist())
    return tuple(
        colour
        for place, colour in enumerate(OBJECT_COLOURS)
        if near[place] >= LEAST_DISTANCE or place in fewest
    )


class ObjectColormap(CyclicLabelColormap):  # type: ignore[misc]  # napari has no types
    """A colormap of labels in which large arrays are mapped a few rows at a time.

    napari maps a plane of 32-bit labels as a whole, through copies of its size: for
    8192 x 8192 pixels that stops the window for a second each time, and a new layer is
    mapped three times. Rows that hold nothing but background need not be computed, and
    few rows stay in the cache of the processor. The colours are the same.
    """

    def _data_to_texture(self, values: Any) -> Any:
        """Return entries of the table for labels, see napari's method of the name.

        A napari without that method never calls this one, and maps as ever.
        """
        mapped = super()._data_to_texture
        if np.size(values) <= CACHED_PIXELS or values.itemsize <= 2:
            return mapped(values)
        along = int(np.argmax(np.abs(values.strides)))
        rows = np.moveaxis(values, along, 0)
        found = np.zeros(rows.shape, mapped(np.zeros(1, dtype=values.dtype)).dtype)
        beside = int(np.prod(rows.shape[1:]))
        for strip in row_strips((len(rows), beside)):
            if self.background_value != 0 or rows[strip].any():
                found[strip] = mapped(rows[strip])
        return np.moveaxis(found, 0, along)


def colormap_of(colours: Sequence[str]) -> ObjectColormap:
    """Return a colormap of labels; each of its first ids has an entry of its own."""
    found = np.concatenate([transform_color(one) for one in colours])
    return ObjectColormap(_table(found, MANY))


def _pixels_of(image: Image) -> NDArray[np.float64]:
    """Return colours of pixels as napari shows them, of its small picture."""
    thumbnail = np.asarray(image.thumbnail, dtype=float) / 255
    return np.asarray(thumbnail[thumbnail[..., 3] > 0][:, :3])


def _lab(colours: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return colours (sRGB, (n, 3)) in CIE L*a*b* under daylight (D65)."""
    low = colours <= 0.04045
    linear = np.where(low, colours / 12.92, ((colours + 0.055) / 1.055) ** 2.4)
    x, y, z = (linear @ _TO_XYZ.T / _WHITE).T
    far = 6 / 29
    x, y, z = (
        np.where(c > far**3, np.cbrt(c), c / (3 * far**2) + 4 / 29) for c in (x, y, z)
    )
    return np.stack([116 * y - 16, 500 * (x - y), 200 * (y - z)], axis=1)


_TO_XYZ = np.array(
    [
        [0.4124564, 0.3575761, 0.1804375],
        [0.2126729, 0.7151522, 0.0721750],
        [0.0193339, 0.1191920, 0.9503041],
    ]
)
_WHITE = np.array([0.95047, 1.0, 1.08883])


def _table(colours: NDArray[Any], most: int) -> NDArray[Any]:
    """Return background and colours, repeated up to about ``most`` colours."""
    count = max(1, most // len(colours))
    background = np.array([[0.0, 0.0, 0.0, 1.0]])
    return np.concatenate([background, np.tile(colours, (count, 1))])


class Fill:
    """Makes the colour of one label of a layer lighter, and whole again afterwards.

    Nothing else in the layer changes its colour. A layer whose colours were chosen
    label by label is left alone.

    Parameters
    ----------
    labels
        The layer.
    """

    def __init__(self, labels: Labels) -> None:
        self._labels = labels
        self._label, self._alpha = 0, 1.0
        self._changing = False
        self._connections = Connections()
        self._connections.connect(labels.events.colormap, self._on_colormap)

    def close(self) -> None:
        """Make all colours whole."""
        self._connections.end()
        self.lighten(0, 1.0)

    def lighten(self, label: int, alpha: float) -> None:
        """Draw a label with a share of its opacity, all others as they are.

        Parameters
        ----------
        label
            The label; 0 for none.
        alpha
            Its share, between 0 and 1.
        """
        if (label, alpha) == (self._label, self._alpha):
            return
        before, self._label, self._alpha = self._label, label, alpha
        colormap = self._labels.colormap
        if isinstance(getattr(colormap, "__wrapped__", colormap), CyclicLabelColormap):
            self._apply(before, label, alpha)

    def _apply(self, before: int, label: int, alpha: float) -> None:
        """Change the opacity of one colour back, and that of another."""
        colours = np.array(self._labels.colormap.colors)
        colours[_place(before, colours), 3] = 1.0
        count = len(colours) - 1
        wanted = MANY if label <= MANY else MOST
        if count <= MANY // 2 or count < min(label, MOST):
            colours = _table(colours[1:], wanted)
        if label > 0:
            colours[_place(label, colours), 3] = alpha
        self._set(colours)

    def _set(self, colours: NDArray[Any]) -> None:
        """Give the layer these colours; its pixels are mapped anew only if need be."""
        labels = self._labels
        self._changing = True
        try:
            known = labels.colormap.colors
            if len(known) == len(colours) and labels.data.dtype.itemsize > 2:
                known[:] = colours
                labels.events.colormap()
            else:
                labels.colormap = ObjectColormap(colours)
        finally:
            self._changing = False

    def _on_colormap(self, _event: Any = None) -> None:
        """Begin again with the colours that the user has chosen."""
        if self._changing:
            return
        label, alpha = self._label, self._alpha
        self._label, self._alpha = 0, 1.0
        colormap = self._labels.colormap
        if isinstance(getattr(colormap, "__wrapped__", colormap), CyclicLabelColormap):
            colours = np.array(colormap.colors)
            colours[1:, 3] = 1.0
            self._set(colours)
        self.lighten(label, alpha)


def _place(label: int, colours: NDArray[Any]) -> int:
    """Return the entry of a label in a table of colours."""
    return (label - 1) % (len(colours) - 1) + 1 if label > 0 else 0


def draw_part(labels: Labels, plane: Plane, box: Box) -> bool:
    """Draw a half-open box of a plane anew; return whether that was possible.

    Where it was not, ``labels.refresh`` draws the same as part of the whole.

    Parameters
    ----------
    labels
        A layer whose array was changed there.
    plane, box
        Where.
    """
    layer: Any = getattr(labels, "__wrapped__", labels)  # napari hands out proxies
    try:
        if not _shows(layer, plane):
            return False
        where = _frame(plane, box)
        seen = tuple(where[axis] for axis in layer._slice_input.displayed)
        image = layer._slice.image
        if not np.shares_memory(image.raw, layer.data):
            return False
        image.view[seen] = layer._raw_to_displayed(image.raw, seen)
        layer._accumulate_updated_slice(where)
        layer._partial_labels_refresh()
    except (AttributeError, TypeError) as error:
        _log.info("this napari draws labels layers as a whole: %s", error)
        return False
    return True


def _shows(layer: Any, plane: Plane) -> bool:
    """Return whether this plane is what the layer has sliced for the display."""
    if not (layer.visible and layer.loaded):
        return False
    point = layer._get_pt_not_disp()
    beside = {axis for axis in range(layer.ndim) if axis not in plane.axes}
    return set(point) == beside and all(
        int(point[axis]) == plane.steps[axis] for axis in beside
    )


def _frame(plane: Plane, box: Box) -> tuple[slice, ...]:
    """Return the box as a slice along each axis of the layer."""
    sides = {plane.axes[0]: (box[0], box[2]), plane.axes[1]: (box[1], box[3])}
    return tuple(
        slice(*sides.get(axis, (step, step + 1)))
        for axis, step in enumerate(plane.steps)
    )
