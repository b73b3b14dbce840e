"""A segmenter that draws disks: fast, deterministic, without weights."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING

import numpy as np

from napari_gpcis._normalise import prepare_image
from napari_gpcis.checkpoints import InferenceSettings, ModelInfo
from napari_gpcis.prediction import GridMaps, Prediction

if TYPE_CHECKING:
    from collections.abc import Callable

    from napari_gpcis.clicks import Click
    from napari_gpcis.segmenter import Request

RADIUS = 12
HOLE = 5


def disks(shape: tuple[int, int], clicks: tuple[Click, ...]) -> np.ndarray:
    """The mask the fake gives: disks at positive, holes at negative clicks."""
    rows, cols = np.indices(shape)
    mask = np.zeros(shape, dtype=bool)
    for click in clicks:
        distance = np.hypot(rows - click.pixel[0], cols - click.pixel[1])
        if click.positive:
            mask |= distance <= RADIUS
    for click in clicks:
        distance = np.hypot(rows - click.pixel[0], cols - click.pixel[1])
        if not click.positive:
            mask &= distance > HOLE
    return mask


class FakeSegmenter:
    """Follows the contract of ``Segmenter`` as far as the plugin and session use it.

    ``gate`` stops it before each run until the test opens it; ``error`` is raised
    instead of an answer. ``runs`` and ``threads`` tell what was asked of it.
    """

    def __init__(self, name: str = "fake") -> None:
        self.info = ModelInfo(
            name=name,
            architecture="fake",
            options={},
            inference=InferenceSettings(),
            licence="CC0-1.0",
            training_data="none",
            description="Draws disks.",
            extra={},
        )
        self.prepare = prepare_image
        self.gate = threading.Event()
        self.gate.set()
        self.entered = threading.Semaphore(0)
        self.error: Exception | None = None
        self.runs: list[Request] = []
        self.threads: set[int] = set()

    def run(
        self, request: Request, cancelled: Callable[[], bool] | None = None
    ) -> tuple[Prediction, ...]:
        self.runs.append(request)
        self.threads.add(threading.get_ident())
        self.entered.release()
        assert self.gate.wait(10), "the test forgot to open the gate"
        if self.error is not None:
            raise self.error
        if cancelled is not None and cancelled():
            return ()
        first = len(request.done) + 1
        return tuple(
            self._predict(request, request.clicks[:count])
            for count in range(first, len(request.clicks) + 1)
        )

    def _predict(self, request: Request, clicks: tuple[Click, ...]) -> Prediction:
        shape = request.prepared.shape
        probability = disks(shape, clicks).astype(np.float32)
        maps = GridMaps(*(probability.copy() for _ in GridMaps._fields))
        return Prediction(shape, (0, 0, *shape), clicks, 0.5, maps, True)
