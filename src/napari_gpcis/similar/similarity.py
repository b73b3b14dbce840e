"""Similarity of a plane's cells to examples: a Gaussian process in closed form.

The process of :mod:`napari_gpcis.gp` over features that no click has changed, with
the inducing points of the examples as observations. The kernel is that of the click
model: a deep part plus a colour part. Its length scales are long and its noise is high,
since a few examples have to speak for objects that look a little different.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from napari_gpcis.similar.examples import grid_of, vectors

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from torch import Tensor

    from napari_gpcis.inference.engine import FrameFeatures
    from napari_gpcis.inference.resampling import Floats
    from napari_gpcis.similar.examples import Examples

RGB_CHANNELS = 3
LENGTH = 1.0
"""Length scale of the deep features, which are vectors of length 1."""
COLOUR_LENGTH = 1.5
"""Length scale of colour, in standard deviations of colours of photographs."""
COLOUR_WEIGHT = 3.0
"""Weight of the colour kernel; that of the deep one is 1."""
_JITTER = 1e-6


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
        self._points = torch.from_numpy(_scaled(points.features))[None]
        self._kernel = _deep_and_colour(self._points.shape[2])
        covariance = gp.click_kernel(self._points, *self._kernel)
        covariance = (
            covariance
            - _nothing(self._kernel)
            + torch.diag_embed(torch.from_numpy(points.noise)[None])
        )
        targets = torch.from_numpy(points.targets)[None]
        used = torch.ones(targets.shape, dtype=torch.bool)
        self._given = gp.condition(covariance, targets, used, _JITTER)

    def mean(self, features: FrameFeatures) -> Floats:
        """Return the posterior mean of a frame's cells, shape ``(h, w)``.

        About 1 on objects like the examples, -1 on what lay around them, 0 on what
        resembles neither.
        """
        import torch

        from napari_gpcis import gp

        pixels = torch.from_numpy(_scaled(vectors(features)))[None]
        k_mn = gp.cross_kernel(pixels, self._points, *self._kernel)
        k_mn = k_mn - _nothing(self._kernel)
        mean = gp.update_mean(k_mn, self._given)[0].numpy()
        return np.asarray(mean.reshape(grid_of(features)), dtype=np.float32)


def _deep_and_colour(size: int) -> tuple[Tensor, Tensor]:
    """Return the logarithms of the deep precisions, and the weight of colour."""
    import torch

    flat = torch.zeros(size - RGB_CHANNELS, dtype=torch.float64)
    return flat, torch.tensor([COLOUR_WEIGHT], dtype=torch.float64)


def _nothing(kernel: tuple[Tensor, Tensor]) -> float:
    """Return what the deep kernel adds where there are no deep features."""
    return 0.0 if len(kernel[0]) else 1.0


def _scaled(values: Floats) -> NDArray[np.float64]:
    """Return features in units of their length scales, float64."""
    scaled = values.astype(np.float64)
    scaled[:, :-RGB_CHANNELS] /= LENGTH
    scaled[:, -RGB_CHANNELS:] /= COLOUR_LENGTH
    return scaled
