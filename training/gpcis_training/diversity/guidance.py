"""Guidance: distance maps and click maps of positive and negative clicks."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from scipy.ndimage import distance_transform_edt

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

FAR = 255.0
"""Distances are truncated here; without a click of a sign it is the distance."""


def clicked(
    shape: tuple[int, int], pixels: Sequence[tuple[int, int]]
) -> NDArray[np.bool_]:
    """Return a map that is true at the pixels of clicks."""
    found = np.zeros(shape, dtype=bool)
    for pixel in pixels:
        found[pixel] = True
    return found


def distance_map(clicks: NDArray[np.bool_], far: float = FAR) -> NDArray[np.float32]:
    """Return the Euclidean distance to the nearest click, at most `far` pixels.

    Parameters
    ----------
    clicks
        True at clicks, shape ``(H, W)``. Without any, the distance is `far` everywhere.
    far
        Largest distance.
    """
    if not clicks.any():
        return np.full(clicks.shape, far, np.float32)
    distances = distance_transform_edt(~clicks)
    return np.asarray(np.minimum(distances, far), dtype=np.float32)


def guidance(
    positive: NDArray[np.bool_],
    negative: NDArray[np.bool_],
    *,
    distances: bool = True,
    clicks: bool = True,
    far: float = FAR,
) -> NDArray[np.float32]:
    """Return the maps that the networks see, in [0, 1].

    In the order of the published code: distances to positive and to negative clicks,
    then positive and negative click maps, which are 0 at clicks and 1 elsewhere.

    Parameters
    ----------
    positive, negative
        True at clicks, shape ``(H, W)``.
    distances, clicks
        Whether these maps are among them.
    far
        Distances are truncated here, and divided by it.

    Returns
    -------
    array
        Shape ``(4, H, W)``, or ``(2, H, W)``, or ``(0, H, W)``.
    """
    maps = [distance_map(m, far) / np.float32(far) for m in (positive, negative)]
    chosen = maps if distances else []
    if clicks:
        chosen = [*chosen, *((~m).astype(np.float32) for m in (positive, negative))]
    return np.stack(chosen) if chosen else np.zeros((0, *positive.shape), np.float32)
