"""SLIC by scikit-image, with the wanted number of superpixels."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np

from napari_gpcis.inference.image import to_rgb
from napari_gpcis.superpixels.connectivity import Shrunk, grid_labels, grid_shape

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from napari_gpcis.inference.image import PreparedImage

COMPACTNESS = 20.0
"""With ``SIGMA`` the best on the validation images of BSDS500."""
SIGMA = 1.0
_TRIES = 5
_CLOSE = 0.03
_PIXELS_EACH = 9
"""Superpixels of fewer pixels than so many are cells of a grid."""
LARGEST = 1 << 24
"""Larger planes are shrunk to at most so many pixels, by a whole number..."""
ENOUGH = 64
"""... as long as a superpixel has at least so many pixels."""
_STRIP = 1 << 21  # pixels that are shrunk at once


def slic_of_plane(
    prepared: PreparedImage,
    count: int,
    compactness: float = COMPACTNESS,
    tries: int = _TRIES,
) -> Shrunk:
    """Return superpixels of a plane of any size by SLIC.

    A plane of more than 16 megapixels is shrunk before, so that memory and time stay
    bounded and no tile has a seam; borders then are those of the pixels of the shrunk
    plane.

    Parameters
    ----------
    prepared
        The plane.
    count, compactness, tries
        See :func:`slic_labels`.

    Returns
    -------
    Shrunk
        Labels of the plane, or of the shrunk one.
    """
    height, width = prepared.shape
    factor = math.ceil(math.sqrt(height * width / LARGEST))
    most = math.isqrt(height * width // (ENOUGH * count))
    factor = max(min(factor, most), 1)
    labels = slic_labels(_shrunk(prepared, factor), count, compactness, tries)
    rows, cols = np.arange(height) // factor, np.arange(width) // factor
    return Shrunk(labels.astype(np.int32, copy=False), rows, cols)


def _shrunk(prepared: PreparedImage, factor: int) -> NDArray[np.float32]:
    """Return RGB ``(H, W, 3)``, each pixel the mean of ``factor`` squared."""
    height, width = prepared.shape
    step = max(_STRIP // (width * factor), 1) * factor
    starts = np.arange(0, width, factor)
    sizes = np.diff([*starts, width])
    strips = []
    for top in range(0, height, step):
        rgb = to_rgb(prepared.read(slice(top, min(top + step, height)), slice(None)))
        if factor > 1:
            rows = np.arange(0, rgb.shape[1], factor)
            heights = np.diff([*rows, rgb.shape[1]])
            rgb = np.add.reduceat(np.add.reduceat(rgb, rows, axis=1), starts, axis=2)
            rgb = rgb / (heights[:, None] * sizes).astype(np.float32)
        strips.append(np.ascontiguousarray(rgb.transpose(1, 2, 0)))
    return np.concatenate(strips)


def slic_labels(
    image: NDArray[np.float32],
    count: int,
    compactness: float = COMPACTNESS,
    tries: int = _TRIES,
) -> NDArray[Any]:
    """Return superpixels by SLIC.

    scikit-image returns fewer than it is asked for. It is asked again, by default up
    to five times, until the number is right within 3 %.

    Parameters
    ----------
    image
        RGB in [0, 1], shape ``(H, W, 3)``.
    count
        Wanted number.
    compactness
        Weight of positions against colours.
    tries
        How often it is asked at most.

    Returns
    -------
    array
        Labels, shape ``(H, W)``.
    """
    height, width = image.shape[:2]
    if height * width < _PIXELS_EACH * count:
        return grid_labels((height, width), grid_shape((height, width), count))
    asked, best, distance = float(count), None, np.inf
    for _ in range(tries):
        labels = _slic(image, max(round(asked), 1), compactness)
        found = np.unique(labels).size
        if abs(found - count) < distance:
            best, distance = labels, abs(found - count)
        if distance <= _CLOSE * count:
            break
        asked *= min(max(count / found, 0.5), 2.0)
    assert best is not None
    return best


def _slic(image: NDArray[np.float32], count: int, compactness: float) -> NDArray[Any]:
    """Return what scikit-image answers."""
    from skimage.segmentation import slic

    labels: NDArray[Any] = slic(
        image,
        n_segments=count,
        compactness=compactness,
        sigma=SIGMA,
        start_label=1,
        channel_axis=-1,
    )
    return labels
