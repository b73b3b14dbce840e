"""Images for the pictures, made from the samples that come with the package."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from scipy import ndimage

from napari_gpcis.plugin.sample_data import read_sample

if TYPE_CHECKING:
    from numpy.typing import NDArray

SAMPLE = "nuclei_fluorescence"
PLANES = 9
DRIFT = 2
"""Pixels by which everything moves from plane to plane."""
DEPTH = 3.6
"""Planes from the middle of a nucleus to where it ends."""


class Automatic(NamedTuple):
    """Labels as an automatic program may give them.

    Attributes
    ----------
    labels
        The labels.
    merged
        The two nuclei that it took for one.
    partial
        The nucleus of which it found a part.
    """

    labels: NDArray[np.integer]
    merged: tuple[int, int]
    partial: int


def known_labels() -> NDArray[np.integer]:
    """Return the labels of the sample as experts drew them."""
    return read_sample(f"{SAMPLE}_labels")


def whole(labels: NDArray[np.integer], smallest: int = 500) -> list[int]:
    """Return the nuclei of fair size that the edge of the image does not cut."""
    edge = np.concatenate([labels[0], labels[-1], labels[:, 0], labels[:, -1]])
    sizes = np.bincount(labels.ravel())
    return [int(n) for n in np.setdiff1d(np.flatnonzero(sizes >= smallest), [0, *edge])]


def automatic_labels() -> Automatic:
    """Return the known labels with two mistakes, as automatic programs make them."""
    labels = known_labels().astype(np.int32)
    one, other = neighbours(labels)
    labels[_bridged((labels == one) | (labels == other))] = one
    labels[labels == other] = one
    partial = next(n for n in whole(labels, 700) if n != one)
    place = labels == partial
    rows = np.nonzero(place)[0]
    below = np.arange(len(labels))[:, None] > np.quantile(rows, 0.45)
    labels[place & below] = 0
    return Automatic(labels, (one, other), partial)


def neighbours(labels: NDArray[np.integer]) -> tuple[int, int]:
    """Return the two whole nuclei that lie nearest to each other."""
    known, best = whole(labels), (np.inf, (0, 0))
    for one in known:
        away = ndimage.distance_transform_edt(labels != one)
        for other in known:
            gap = float(away[labels == other].min())
            if other > one and gap < best[0]:
                best = gap, (one, other)
    return best[1]


def _bridged(mask: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Return two pieces with what lies between them."""
    return np.asarray(ndimage.binary_closing(mask, iterations=8))


def artificial_stack() -> tuple[NDArray[np.uint8], NDArray[np.integer]]:
    """Return a stack in which each nucleus of the sample is a ball, and its labels."""
    picture, labels = read_sample(SAMPLE).astype(float), known_labels()
    ground = float(np.median(picture[labels == 0]))
    rng = np.random.default_rng(0)
    middles = rng.uniform(2.5, PLANES - 3.5, labels.max() + 1)
    inner = np.zeros(picture.shape)
    for label in range(1, int(labels.max()) + 1):
        depth = ndimage.distance_transform_edt(labels == label)
        inner = np.maximum(inner, depth / max(depth.max(), 1))
    planes, found = [], []
    for plane in range(PLANES):
        off = np.abs(plane - middles[labels]) / DEPTH
        seen = (labels > 0) & (inner > 1 - np.sqrt(np.clip(1 - off**2, 0, 1)))
        values = np.where(seen, picture, ground)
        values = ndimage.gaussian_filter(values, 1.0) + rng.normal(0, 1, labels.shape)
        shift = DRIFT * (plane - PLANES // 2)
        planes.append(np.roll(np.clip(values, 0, 255).astype(np.uint8), shift, 1))
        found.append(np.roll(np.where(seen, labels, 0), shift, 1))
    return np.stack(planes), np.stack(found)
