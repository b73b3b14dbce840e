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
    for label, box in boxes:
        if cancelled():
            break
        part = slices(box)
        mask = np.asarray(labels[part]) == label
        values: NDArray[Any] = np.asarray(image[part])[mask]
        if values.size:
            found[label] = float(values.mean(dtype=np.float64))
    return found
