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

from napari_gpcis.errors import InputError

if TYPE_CHECKING:
    import numpy.typing as npt

    Labels = npt.NDArray[np.integer[Any]]

TOLERANCE = 0.0025
"""Distance at which boundaries agree, as a share of the image's diagonal."""


class Agreement(NamedTuple):
    """Agreement of superpixels with one annotation."""

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
    asa_fg: float
    """As ``asa``, the share of the pixels of objects alone, those whose region is not
    0; NaN without any."""


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


def agreement(
    superpixels: Labels,
    regions: Labels,
    ignored: npt.NDArray[np.bool_] | None = None,
) -> Agreement:
    """Return how superpixels agree with an annotation.

    Parameters
    ----------
    superpixels, regions
        Labels of the same shape ``(H, W)``; each value of the regions is one, 0 as
        well.
    ignored
        Pixels that count nowhere; a border between one of them and another is none.

    Returns
    -------
    Agreement
        Figures from 0 to 1.

    Raises
    ------
    InputError
        If all pixels are ignored.
    """
    kept = None if ignored is None or not ignored.any() else ~ignored
    if kept is not None and not kept.any():
        msg = "an annotation must have a pixel that is not ignored"
        raise InputError(msg)
    ids, overlap = _overlap(superpixels, regions, kept)
    pixels = int(overlap.sum())
    right = overlap.max(axis=1).toarray().ravel()
    asa = float(right.sum()) / pixels
    objects = ids[np.asarray(overlap.argmax(axis=1)).ravel()] != 0
    foreground = int(overlap[:, ids != 0].sum())
    asa_fg = float(right[objects].sum()) / foreground if foreground else math.nan
    sizes = np.asarray(overlap.sum(axis=1)).ravel()
    pairs = overlap.tocoo()
    outside = sizes[pairs.row] - pairs.data
    ue_np = float(np.minimum(pairs.data, outside).sum()) / pixels
    recall, precision = _boundary_agreement(superpixels, regions, kept)
    return Agreement(asa, 1 - asa, ue_np, recall, precision, asa_fg)


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


def boundaries(
    labels: Labels, kept: npt.NDArray[np.bool_] | None = None
) -> npt.NDArray[np.bool_]:
    """Return the pixels with another label above, below, left or right of them.

    Parameters
    ----------
    labels
        Shape ``(H, W)``.
    kept
        Pixels that count, bool; by default all do.
    """
    found = np.zeros(labels.shape, bool)
    down = labels[1:] != labels[:-1]
    right = labels[:, 1:] != labels[:, :-1]
    if kept is not None:
        down &= kept[1:] & kept[:-1]
        right &= kept[:, 1:] & kept[:, :-1]
    found[1:] |= down
    found[:-1] |= down
    found[:, 1:] |= right
    found[:, :-1] |= right
    return found


def tolerance(shape: tuple[int, ...]) -> int:
    """Return the distance at which boundaries agree, in pixels."""
    return round(TOLERANCE * math.hypot(*shape))


def _overlap(
    superpixels: Labels, regions: Labels, kept: npt.NDArray[np.bool_] | None
) -> tuple[npt.NDArray[Any], sparse.csr_matrix[Any]]:
    """Return the ids of the regions, and the pixels they share with superpixels."""
    one, two = superpixels.ravel(), regions.ravel()
    if kept is not None:
        one, two = one[kept.ravel()], two[kept.ravel()]
    rows = np.unique(one, return_inverse=True)[1].ravel()
    ids, cols = np.unique(two, return_inverse=True)
    ones = np.ones(one.size, np.int64)
    return ids, sparse.coo_matrix((ones, (rows, cols.ravel()))).tocsr()


def _boundary_agreement(
    superpixels: Labels, regions: Labels, kept: npt.NDArray[np.bool_] | None
) -> tuple[float, float]:
    """Return recall and precision of boundaries; 1 where there are none."""
    drawn, true = boundaries(superpixels), boundaries(regions, kept)
    side = 2 * tolerance(superpixels.shape) + 1
    hits = int((true & ndimage.maximum_filter(drawn, side)).sum())
    if kept is not None:
        drawn &= kept
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
