"""Appearance of an object on its plane: how it stands out from its surroundings."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from scipy.ndimage import distance_transform_edt

from napari_gpcis.geometry import clip_box, placed

if TYPE_CHECKING:
    from napari_gpcis.geometry import Mask
    from napari_gpcis.inference.image import PreparedImage

MIN_STD = 0.02
"""Least standard deviation of values in [0, 1]: ratios of flat objects stay finite."""
_RING_GRID = 512  # larger surroundings are read on a coarser grid


def contrast_to_noise(
    prepared: PreparedImage, mask: Mask, corner: tuple[int, int]
) -> float:
    """Return the contrast-to-noise ratio of an object to its surroundings.

    Parameters
    ----------
    prepared
        The plane.
    mask, corner
        The object: shape (h, w), and the pixel at which it begins.

    Returns
    -------
    float
        Difference of the mean values inside and in a ring about it, divided by the
        standard deviation (root of the mean variance of both); of the channel where
        it is largest. 0 if the mask is empty or fills the image.
    """
    return look_of(prepared, mask, corner).ratio


class Look(NamedTuple):
    """Appearance of an object on its plane, see :func:`contrast_to_noise`.

    Attributes
    ----------
    ratio
        The contrast-to-noise ratio.
    inside, around
        Mean values of the channel where it is largest.
    """

    ratio: float = 0.0
    inside: float = 0.0
    around: float = 0.0


def look_of(prepared: PreparedImage, mask: Mask, corner: tuple[int, int]) -> Look:
    """Return what an object looks like; nothing if it has no surroundings."""
    if not mask.any():
        return Look()
    wide = max(3, round(np.sqrt(np.count_nonzero(mask) / np.pi) / 2))
    frame = clip_box(
        (
            corner[0] - wide,
            corner[1] - wide,
            corner[0] + mask.shape[0] + wide,
            corner[1] + mask.shape[1] + wide,
        ),
        prepared.shape,
    )
    step = -(-max(frame[2] - frame[0], frame[3] - frame[1]) // _RING_GRID)
    here = (*corner, corner[0] + mask.shape[0], corner[1] + mask.shape[1])
    inside = placed(mask, here, frame)[::step, ::step]
    away = distance_transform_edt(~inside) * step
    ring = (away > step) & (away <= wide)
    if not ring.any() or not inside.any():
        return Look()
    rows = np.arange(frame[0], frame[2], step)
    values = prepared.read(rows, np.arange(frame[1], frame[3], step))
    object_values, ring_values = values[:, inside], values[:, ring]
    inner, outer = object_values.mean(axis=1), ring_values.mean(axis=1)
    spread = np.sqrt((object_values.var(axis=1) + ring_values.var(axis=1)) / 2)
    ratios = np.abs(inner - outer) / np.maximum(spread, MIN_STD)
    best = int(ratios.argmax())
    return Look(float(ratios[best]), float(inner[best]), float(outer[best]))
