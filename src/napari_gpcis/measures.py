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

__all__ = ["equivalent_diameter", "mean_intensities"]


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
    band = _Band(image)
    for label, box in sorted(boxes, key=lambda item: item[1][0]):
        if cancelled():
            break
        mask = np.asarray(labels[slices(box)]) == label
        values = band.read(box)[mask]
        if values.size:
            found[label] = float(values.mean(dtype=np.float64))
    return found


class _Band:
    """Rows of an image that is read from disk: those of many boxes are read at once."""

    ROWS = 256

    def __init__(self, image: Any) -> None:
        self._image = image
        self._rows, self._top, self._bottom = image, 0, int(image.shape[0])
        if not isinstance(image, np.ndarray):
            self._bottom = 0

    def read(self, box: Box) -> NDArray[Any]:
        """Return the pixels of a box; boxes come by falling height of their top."""
        top, left, bottom, right = box
        if not self._top <= top < bottom <= self._bottom:
            self._top, self._bottom = (
                top,
                min(max(bottom, top + self.ROWS), int(self._image.shape[0])),
            )
            self._rows = np.asarray(self._image[self._top : self._bottom])
        part = self._rows[top - self._top : bottom - self._top, left:right]
        return np.asarray(part)
