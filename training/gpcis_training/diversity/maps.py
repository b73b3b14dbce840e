"""Maps of the clicks: where they are, and how far each pixel is from them."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import torch
from scipy.ndimage import distance_transform_edt

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray
    from torch import Tensor

    from napari_gpcis.clicks import Click

FAR = 255.0
"""Largest distance, and the distance where there is no click."""


def click_maps(clicks: Sequence[Click], shape: tuple[int, int]) -> Tensor:
    """Return the four maps that the networks see.

    Parameters
    ----------
    clicks
        Clicks inside the image.
    shape
        Height and width of the image.

    Returns
    -------
    tensor
        Shape ``(1, 4, H, W)``, from 0 to 255: Euclidean distance to the nearest
        positive and negative click, then 0 at the positive and negative clicks and 255
        elsewhere. A sign without clicks has 255 everywhere.
    """
    marks = np.full((2, *shape), FAR, dtype=np.float32)
    for click in clicks:
        marks[0 if click.positive else 1][click.pixel] = 0
    stacked = np.stack([*map(_distances, marks), *marks])
    return torch.from_numpy(stacked)[None]


def _distances(marks: NDArray[np.float32]) -> NDArray[np.float32]:
    if marks.all():
        return marks
    distances = np.minimum(distance_transform_edt(marks), FAR)
    return np.asarray(distances, dtype=np.float32)
