"""Measures of objects: mean intensity, and the diameter of a disk of the same area.

They are those of scikit-image's ``regionprops``, of many objects at once.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from napari_gpcis.geometry import slices

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from numpy.typing import NDArray

    from napari_gpcis.geometry import Box

__all__ = ["PlanePixels", "equivalent_diameter", "mean_intensities"]


def equivalent_diameter(area: int, height: float = 1.0, width: float = 1.0) -> float:
    """Return the diameter of a disk of the same area.

    Parameters
    ----------
    area
        Number of pixels.
    height, width
        Size of a pixel; the diameter is in its unit.
    """
    return float(np.sqrt(4 * area * height * width / np.pi))


def mean_intensities(
    labels: Any,
    image: Any,
    boxes: Iterable[tuple[int, Box]],
    cancelled: Callable[[], bool] = lambda: False,
) -> dict[int, float]:
    """Return the mean of the image on each of some objects, by their ids.

    Only the boxes are read. Of several channels, the mean of all counts.

    Parameters
    ----------
    labels
        Shape (H, W), integers.
    image
        Shape (H, W) or (H, W, C).
    boxes
        Ids of objects, and boxes around them.
    cancelled
        Asked before each object; if true, what is done so far is returned.
    """
    found: dict[int, float] = {}
    ordered = sorted(boxes, key=lambda item: item[1][0])
    band = _Band(image, len(ordered))
    for label, box in ordered:
        if cancelled():
            break
        mask = np.asarray(labels[slices(box)]) == label
        values = band.read(box)[mask]
        if values.size:
            found[label] = float(values.mean(dtype=np.float64))
    return found


class PlanePixels:
    """Plane of an array, on disk perhaps, of which parts are read when asked for.

    Parameters
    ----------
    data
        The array, of any number of axes.
    index
        Index of the plane: a number, or the whole axis for rows and for columns.
    """

    def __init__(self, data: Any, index: tuple[int | slice, ...]) -> None:
        self._data, self._index = data, index
        self.in_memory = isinstance(data, np.ndarray)
        whole = (n for n, one in enumerate(index) if isinstance(one, slice))
        self.shape = tuple(int(data.shape[axis]) for axis in whole)

    def __getitem__(self, place: tuple[slice, slice]) -> NDArray[Any]:
        """Return the pixels of some rows and columns."""
        parts = iter(place)
        index = (next(parts) if isinstance(n, slice) else n for n in self._index)
        return np.asarray(self._data[tuple(index)])


class _Band:
    """Rows of an image: of one on disk those of many boxes are read at once."""

    ROWS, FEW = 256, 16

    def __init__(self, image: Any, count: int) -> None:
        self._image, self._pixels = image, image
        self._top, self._bottom = 0, 0
        in_memory = getattr(image, "in_memory", isinstance(image, np.ndarray))
        self._one_by_one = in_memory or count <= self.FEW

    def read(self, box: Box) -> NDArray[Any]:
        """Return the pixels of a box; boxes come from the top to the bottom."""
        top, left, bottom, right = box
        if self._one_by_one:
            return np.asarray(self._image[slices(box)])
        if not self._top <= top < bottom <= self._bottom:
            lowest = max(bottom, top + self.ROWS)
            self._top, self._bottom = top, min(lowest, int(self._image.shape[0]))
            rows = slice(self._top, self._bottom)
            self._pixels = np.asarray(self._image[rows, slice(0, None)])
        part = self._pixels[top - self._top : bottom - self._top, left:right]
        return np.asarray(part)
