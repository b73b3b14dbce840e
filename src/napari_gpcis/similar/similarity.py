"""Similarity of a plane's cells to examples: a Gaussian process in closed form.

The process of :mod:`napari_gpcis.gp` over features that no click has changed, with the
inducing points of the examples as observations. Its prior mean is a little below 0: what
resembles nothing is background. Length scale and the share of colour are those of the
highest predictive density of the objects left out one at a time [1]_.

References
----------
.. [1] Rasmussen and Williams, "Gaussian processes for machine learning", 2006,
   section 5.4.2.
"""

from __future__ import annotations

from itertools import product
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from napari_gpcis.similar.examples import grid_of, vectors

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from napari_gpcis.inference.engine import FrameFeatures
    from napari_gpcis.inference.resampling import Floats
    from napari_gpcis.similar.examples import Examples, Points

PRIOR_MEAN = -0.4
LENGTHS = (0.2, 0.35, 0.6, 1.0)
"""Length scales of the deep features, which are vectors of length 1."""
COLOURS = ((0.0, 1.0), (0.5, 0.7), (0.5, 0.25), (2.0, 0.7), (2.0, 0.25))
"""Weight and length scale of the colour kernel."""
COLOURS_ALONE = ((1.0, 1.0), (1.0, 0.5), (1.0, 0.25), (1.0, 0.12))
_JITTER = 1e-6


class Kernel(NamedTuple):
    """Hyper-parameters of the covariance function."""

    length: float
    """Length scale of the deep features."""
    weight: float
    """Weight of the colour kernel; the deep one has weight 1."""
    colour: float
    """Length scale of colour."""


class SimilarityMap:
    """The Gaussian process given examples; gives the map of any frame.

    Parameters
    ----------
    examples
        The observations.
    """

    def __init__(self, examples: Examples) -> None:
        import torch

        from napari_gpcis import gp

        points = examples.points
        self.kernel = best_kernel(points)
        self._points = self._scaled(points.features)
        covariance = _covariance(points, self.kernel)[None]
        residual = torch.from_numpy(points.targets - PRIOR_MEAN)[None]
        used = torch.ones(residual.shape, dtype=torch.bool)
        self._given = gp.condition(covariance, residual, used, _JITTER)

    def mean(self, features: FrameFeatures) -> Floats:
        """Return the posterior mean of a frame's cells, shape ``(h, w)``.

        About 1 on objects like the examples, -1 on what lay around them, `PRIOR_MEAN`
        on what resembles nothing.
        """
        import torch

        from napari_gpcis import gp

        pixels = self._scaled(vectors(features))
        dim = pixels.shape[1] - 3
        flat = torch.zeros(dim, dtype=torch.float64)
        weight = torch.tensor([self.kernel.weight], dtype=torch.float64)
        arrays = (torch.from_numpy(one)[None] for one in (pixels, self._points))
        k_mn = gp.cross_kernel(*arrays, flat, weight) - _nothing(dim)
        update = gp.update_mean(k_mn, self._given)[0].numpy()
        return (PRIOR_MEAN + update).reshape(grid_of(features)).astype(np.float32)

    def _scaled(self, values: Floats) -> NDArray[np.float64]:
        """Return features in units of their length scales."""
        return _scaled(values, self.kernel)


def best_kernel(points: Points) -> Kernel:
    """Return the kernel with the highest leave-one-object-out predictive density."""
    alone = points.features.shape[1] == 3
    lengths, colours = ((1.0,), COLOURS_ALONE) if alone else (LENGTHS, COLOURS)
    tried = [Kernel(length, *colour) for length, colour in product(lengths, colours)]
    return max(tried, key=lambda kernel: left_out_density(points, kernel))


def left_out_density(points: Points, kernel: Kernel) -> float:
    """Return the mean log predictive density of the objects left out one at a time.

    Of one object alone, its points are left out instead.
    """
    noisy = _covariance(points, kernel).numpy()
    inverse = np.linalg.inv(noisy + _JITTER * np.eye(len(noisy)))
    residual = points.targets - PRIOR_MEAN
    weights = inverse @ residual
    groups = np.unique(points.group)
    if len(groups) == 1:
        blocks = [np.array([place]) for place in range(len(residual))]
    else:
        blocks = [np.flatnonzero(points.group == group) for group in groups]
    total = 0.0
    for block in blocks:
        spread = np.linalg.inv(inverse[np.ix_(block, block)])
        error = spread @ weights[block]
        variance = np.diag(spread)
        total -= float((0.5 * np.log(variance) + 0.5 * error**2 / variance).sum())
    return total / len(residual)


def _covariance(points: Points, kernel: Kernel) -> NDArray[np.float64]:
    """Return ``K_nn`` with the noise of each point, as a tensor, float64."""
    import torch

    from napari_gpcis import gp

    values = torch.from_numpy(_scaled(points.features, kernel))
    dim = values.shape[1] - 3
    flat = torch.zeros(dim, dtype=torch.float64)
    weight = torch.tensor([kernel.weight], dtype=torch.float64)
    covariance = gp.click_kernel(values, flat, weight) - _nothing(dim)
    return covariance + torch.diag(torch.from_numpy(points.noise))


def _nothing(dim: int) -> float:
    """Return what the deep kernel adds where there are no deep features."""
    return 0.0 if dim else 1.0


def _scaled(values: Floats, kernel: Kernel) -> NDArray[np.float64]:
    """Return features in units of their length scales, float64."""
    scaled = values.astype(np.float64)
    scaled[:, :-3] /= kernel.length
    scaled[:, -3:] /= kernel.colour
    return scaled
