"""A segmenter that takes what is bright and touches a positive click."""

from __future__ import annotations

from typing import Any

import numpy as np
from scipy import ndimage

from _fake_segmenter import FakeSegmenter
from napari_gpcis.inference.prediction import GridMaps, Prediction


class BrightSegmenter(FakeSegmenter):
    """Segments real pixels, so that an object can be followed through a stack."""

    def _predict(self, request: Any, clicks: Any) -> Prediction:
        shape = request.prepared.shape
        rows, cols = (slice(0, size) for size in shape)
        parts, _ = ndimage.label(request.prepared.read(rows, cols)[0] > 0.5)
        wanted = {int(parts[click.pixel]) for click in clicks if click.positive}
        mask = np.isin(parts, sorted(wanted - {0}))
        probability = np.where(mask, 0.95, 0.05).astype(np.float32)
        variance = np.full(shape, 0.5, dtype=np.float32)
        maps = GridMaps(probability, probability.copy(), probability.copy(), variance)
        return Prediction(shape, (0, 0, *shape), clicks, 0.5, maps, True)


def ball_stack(planes: int = 9, size: int = 64, radius: float = 14) -> np.ndarray:
    """A bright ball on dark ground that moves to the right; gone at both ends."""
    depth, rows, cols = np.indices((planes, size, size))
    middle = (planes - 1) / 2
    reach = radius**2 - ((depth - middle) * radius / (middle - 0.3)) ** 2
    shift = 2.0 * (depth - middle)
    inside = (rows - size / 2) ** 2 + (cols - size / 2 - shift) ** 2 <= reach
    return np.where(inside, 200, 30).astype(np.uint8)


BALL = ball_stack()
TRUTH = BALL > 100
MIDDLE = 4
"""The ball, where it is, and the plane on which it is largest."""
