"""A segmenter that draws disks: fast, deterministic, without weights."""

from __future__ import annotations

import threading
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from napari_gpcis.checkpoints import InferenceSettings, ModelInfo
from napari_gpcis.inference.image import prepare_image
from napari_gpcis.inference.prediction import GridMaps, NetworkInput, Prediction

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from napari_gpcis.clicks import Click
    from napari_gpcis.geometry import Box
    from napari_gpcis.inference.image import PreparedImage
    from napari_gpcis.inference.segmenter import Request

RADIUS = 12
HOLE = 5


def disks(
    shape: tuple[int, int], clicks: tuple[Click, ...], factor: float = 1.0
) -> np.ndarray:
    """The mask the fake gives: disks at positive, holes at negative clicks."""
    positive = tuple(click for click in clicks if click.positive)
    negative = tuple(click for click in clicks if not click.positive)
    return _near(shape, positive, factor * RADIUS) & ~_near(shape, negative, HOLE)


def _near(
    shape: tuple[int, int], clicks: tuple[Click, ...], reach: float
) -> np.ndarray:
    rows, cols = np.indices(shape)
    mask = np.zeros(shape, dtype=bool)
    for click in clicks:
        mask |= np.hypot(rows - click.pixel[0], cols - click.pixel[1]) <= reach
    return mask


class FakeSegmenter:
    """Follows the contract of ``Segmenter`` as far as the plugin and session use it.

    ``gate`` stops it before each run until the test opens it; ``error`` is raised
    instead of an answer. ``runs``, ``previews`` and ``threads`` tell what was asked of
    it. A starting mask stays, but for the holes. With ``soft`` the probability falls
    from the clicks outwards.
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
        self.soft = False
        self.runs: list[Request] = []
        self.previews: list[tuple[Click, Prediction | None, Box | None]] = []
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

    def preview(
        self,
        prepared: PreparedImage,
        click: Click,
        previous: Prediction | None = None,
        view: Box | None = None,
        typical_size: float | None = None,
    ) -> Prediction:
        self.previews.append((click, previous, view))
        self.threads.add(threading.get_ident())
        if self.error is not None:
            raise self.error
        before = () if previous is None else previous.clicks
        return _prediction(prepared.shape, (*before, click))

    def step(
        self,
        prepared: PreparedImage,
        clicks: tuple[Click, ...],
        previous: Prediction | None = None,
        view: Box | None = None,
    ) -> Prediction:
        return _prediction(prepared.shape, clicks, previous)

    def rescaled(
        self,
        prepared: PreparedImage,
        prediction: Prediction,
        factors: Sequence[float],
    ) -> list[Prediction]:
        """Disks of other sizes."""
        self.threads.add(threading.get_ident())
        if self.error is not None:
            raise self.error
        found = []
        for factor in factors:
            mask = disks(prepared.shape, prediction.clicks, factor).astype(np.float32)
            maps = GridMaps(*(mask.copy() for _ in GridMaps._fields))
            found.append(replace(prediction, maps=maps))
        return found

    def propose(
        self, prepared: PreparedImage, prediction: Prediction
    ) -> list[Prediction]:
        """Nothing was learned."""
        return []

    def _predict(self, request: Request, clicks: tuple[Click, ...]) -> Prediction:
        before = None if request.start is None else request.start.prediction
        return _prediction(request.prepared.shape, clicks, before, soft=self.soft)


def _prediction(
    shape: tuple[int, int],
    clicks: tuple[Click, ...],
    before: Prediction | None = None,
    *,
    soft: bool = False,
) -> Prediction:
    """The prediction of a fake: disks, and the mask before but for the holes."""
    mask = disks(shape, clicks)
    if before is not None:
        holes = tuple(click for click in clicks if not click.positive)
        mask |= before.mask & ~_near(shape, holes, HOLE)
    probability = mask.astype(np.float32)
    if soft:
        rows, cols = np.indices(shape)
        row, col = clicks[0].pixel
        probability *= np.clip(1 - np.hypot(rows - row, cols - col) / 25, 0, 1)
    maps = GridMaps(*(probability.copy() for _ in GridMaps._fields))
    whole = (0, 0, *shape)
    seen = NetworkInput(whole, clicks)
    return Prediction(shape, whole, clicks, 0.5, maps, True, seen)
