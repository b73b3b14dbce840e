"""Candidate: an object that was found and not accepted yet."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from napari_gpcis.clicks import Click
    from napari_gpcis.geometry import Box, Mask


@dataclass(frozen=True, eq=False)
class Candidate:
    """An object that was found, not written anywhere yet.

    Attributes
    ----------
    box
        The smallest half-open box around its mask, pixels.
    mask
        The mask on that box, bool, read-only.
    click
        The click that it was segmented by.
    view
        What that click was zoomed to.
    threshold
        Probability above which a pixel was object.
    confidence
        Quality times similarity, in [0, 1], less for an unusual size.
    quality
        Expected IoU of the mask with an object, in [0, 1].
    similarity
        How much its pixels resemble the examples, in [0, 1].
    """

    box: Box
    mask: Mask
    click: Click
    view: Box
    threshold: float
    confidence: float
    quality: float
    similarity: float

    @property
    def area(self) -> int:
        """Number of pixels."""
        return int(np.count_nonzero(self.mask))
