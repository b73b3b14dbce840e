"""Which objects a plane of labels holds: their areas and boxes.

Planes are read in strips, so that a thread that does this never holds up another for
long, however large the plane is.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from napari_gpcis.geometry import moved, union

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from numpy.typing import NDArray

    from napari_gpcis.plugin.viewer.planes import Box

STRIP = 1 << 20
"""Pixels read at once."""
DENSE = 1 << 16
"""Ids up to this one are counted directly."""


class Entry(NamedTuple):
    """One object on one plane.

    Attributes
    ----------
    area
        Number of pixels.
    box
        The smallest half-open box around them.
    """

    area: int
    box: Box


def scan(
    labels: Any, cancelled: Callable[[], bool] = lambda: False
) -> dict[int, Entry] | None:
    """Return the objects of a plane, by their ids in ascending order.

    Parameters
    ----------
    labels
        Shape (H, W), integers; ids above 0 are objects.
    cancelled
        Asked before each strip; if true the answer is ``None``.
    """
    found: dict[int, Entry] = {}
    height, width = labels.shape
    step = max(1, STRIP // max(1, width))
    for start in range(0, height, step):
        if cancelled():
            return None
        strip = np.maximum(np.asarray(labels[start : start + step]), 0)
        for label, entry in _scan_strip(strip):
            box = moved(entry.box, (start, 0))
            before = found.get(label, Entry(0, box))
            found[label] = Entry(before.area + entry.area, union(before.box, box))
    return dict(sorted(found.items()))


def _scan_strip(strip: NDArray[Any]) -> Iterator[tuple[int, Entry]]:
    """Yield the objects of one strip."""
    from scipy.ndimage import find_objects  # slow to import

    top = int(strip.max(initial=0))
    if top == 0:
        return
    ids = np.arange(top + 1) if top <= DENSE else np.unique(strip)
    if top > DENSE:
        strip = np.searchsorted(ids, strip)
        if ids[0] != 0:
            ids, strip = np.concatenate([[0], ids]), strip + 1
    areas = np.bincount(strip.ravel())
    for place, box in enumerate(find_objects(strip.astype(np.int32)), start=1):
        if box is not None:
            rows, cols = box
            corners = (rows.start, cols.start, rows.stop, cols.stop)
            yield int(ids[place]), Entry(int(areas[place]), corners)
