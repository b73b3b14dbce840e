"""Figures of superpixels as the field computes them.

Definitions are those of the public superpixel benchmark (Stutz, Hermans and Leibe,
2018). A regular grid is right about a share of any image: compare methods at the same
number of superpixels, and at the same compactness.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from scipy import ndimage, sparse
from skimage.measure import label as connected_parts

if TYPE_CHECKING:
    import numpy.typing as npt

    Labels = npt.NDArray[np.integer[Any]]

TOLERANCE = 0.0025
"""Distance at which boundaries agree, as a share of the image's diagonal."""


class Agreement(NamedTuple):
    """How superpixels agree with one annotation."""

    asa: float
    """Achievable segmentation accuracy: share of the pixels that are right if each
    superpixel gets the region it overlaps most."""
    ue: float
    """Undersegmentation error, ``1 - asa``."""
    ue_np: float
    """Undersegmentation error of Neubert and Protzel: for each region, of each
    superpixel that touches it the smaller of the parts inside and outside."""
    br: float
    """Boundary recall: share of the annotation's boundary pixels near one of the
    superpixels'."""
    bp: float
    """Boundary precision: share of boundary pixels of superpixels that are true; a
    found boundary pixel of the annotation counts once."""


class Shape(NamedTuple):
    """Figures of superpixels that need no annotation."""

    number: int
    """Number of superpixels."""
    compactness: float
    """Mean over pixels of ``4 pi A / P^2`` of their superpixel."""
    variation: float
    """Explained variation: share of the variance of colour that lies between
    superpixels."""
    components: int
    """Number of 4-connected parts."""


def agreement(superpixels: Labels, regions: Labels) -> Agreement:
    """Return how superpixels agree with an annotation.

    Parameters
    ----------
    superpixels, regions
        Labels of the same shape ``(H, W)``; each value of the regions is one, 0 as
        well.

    Returns
    -------
    Agreement
        Figures from 0 to 1.
    """
    overlap = _overlap(superpixels, regions)
    pixels = superpixels.size
    asa = float(overlap.max(axis=1).sum()) / pixels
    sizes = np.asarray(overlap.sum(axis=1)).ravel()
    pairs = overlap.tocoo()
    outside = sizes[pairs.row] - pairs.data
    ue_np = float(np.minimum(pairs.data, outside).sum()) / pixels
    recall, precision = _boundary_agreement(superpixels, regions)
    return Agreement(asa, 1 - asa, ue_np, recall, precision)


def shape_figures(
    superpixels: Labels, image: npt.NDArray[Any], before: Labels | None = None
) -> Shape:
    """Return the figures that need no annotation.

    Parameters
    ----------
    superpixels
        Labels, shape ``(H, W)``.
    image
        Shape ``(H, W)`` or ``(H, W, C)``, of the same height and width.
    before
        Labels whose parts are counted, as they were before each superpixel was made
        connected; by default the superpixels themselves.
    """
    ids = np.unique(superpixels, return_inverse=True)[1].reshape(superpixels.shape)
    parts = superpixels if before is None else before
    components = int(connected_parts(parts, background=-1, connectivity=1).max())
    return Shape(
        int(ids.max()) + 1, _compactness(ids), _variation(ids, image), components
    )


def boundaries(labels: Labels) -> npt.NDArray[np.bool_]:
    """Return the pixels with another label above, below, left or right of them."""
    found = np.zeros(labels.shape, bool)
    down = labels[1:] != labels[:-1]
    right = labels[:, 1:] != labels[:, :-1]
    found[1:] |= down
    found[:-1] |= down
    found[:, 1:] |= right
    found[:, :-1] |= right
    return found


def tolerance(shape: tuple[int, ...]) -> int:
    """Return the distance at which boundaries agree, in pixels."""
    return round(TOLERANCE * math.hypot(*shape))


def _overlap(superpixels: Labels, regions: Labels) -> sparse.csr_matrix[Any]:
    """Return the pixels that each superpixel shares with each region."""
    rows = np.unique(superpixels, return_inverse=True)[1].ravel()
    cols = np.unique(regions, return_inverse=True)[1].ravel()
    ones = np.ones(superpixels.size, np.int64)
    return sparse.coo_matrix((ones, (rows, cols))).tocsr()


def _boundary_agreement(superpixels: Labels, regions: Labels) -> tuple[float, float]:
    """Return recall and precision of boundaries; 1 where there are none."""
    drawn, true = boundaries(superpixels), boundaries(regions)
    side = 2 * tolerance(superpixels.shape) + 1
    hits = int((true & ndimage.maximum_filter(drawn, side)).sum())
    false = int((drawn & ~ndimage.maximum_filter(true, side)).sum())
    wanted = int(true.sum())
    recall = hits / wanted if wanted else 1.0
    precision = hits / (hits + false) if hits + false else 1.0
    return recall, precision


def _compactness(ids: Labels) -> float:
    """Return the mean over pixels of ``4 pi A / P^2``; ``P`` counts pixel edges."""
    count = int(ids.max()) + 1
    padded = np.pad(ids, 1, constant_values=-1)
    outline = np.zeros(count)
    for axis in (0, 1):
        pair = np.moveaxis(padded, axis, 0)
        before, after = pair[:-1], pair[1:]
        edges = before != after
        for side in (before[edges], after[edges]):
            outline += np.bincount(side[side >= 0], minlength=count)
    area = np.bincount(ids.ravel(), minlength=count)
    return float((area * 4 * np.pi * area / outline**2).sum() / ids.size)


def _variation(ids: Labels, image: npt.NDArray[Any]) -> float:
    """Return the share of the variance that lies between superpixels; 1 if none."""
    values = image.reshape(ids.size, -1).astype(np.float64)
    flat, area = ids.ravel(), np.bincount(ids.ravel())
    centred = values - values.mean(axis=0)
    total = float((centred**2).sum())
    sums = np.stack([np.bincount(flat, column) for column in centred.T], axis=1)
    between = float((sums**2 / area[:, None]).sum())
    return between / total if total > 0 else 1.0
