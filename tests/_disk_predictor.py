"""A predictor for evaluations that draws disks: the same on every machine.

Its name and its form as text stand in `tests/data/saved_0.1.0/results.partial`.
"""

from __future__ import annotations

from typing import Any

import numpy as np


class DiskPredictor:
    """Draws a disk at each positive click, and a hole at each negative one."""

    def __init__(self, radius: int = 11) -> None:
        self.radius = radius
        self.calls = 0

    def __repr__(self) -> str:
        return f"DiskPredictor({self.radius})"

    def start(self, image: np.ndarray, first_view: Any) -> None:
        self._mask = np.zeros(image.shape[:2], dtype=bool)

    def click(self, row: int, col: int, positive: bool) -> np.ndarray:
        self.calls += 1
        rows, cols = np.indices(self._mask.shape)
        reach = self.radius if positive else 4
        near = (rows - row) ** 2 + (cols - col) ** 2 <= reach**2
        self._mask = self._mask | near if positive else self._mask & ~near
        return self._mask.copy()
