"""The contour of the mask that a click would give; runs on the inference thread."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from napari_gpcis.errors import GPCISError

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

    from napari_gpcis.clicks import Click
    from napari_gpcis.inference.prediction import Prediction
    from napari_gpcis.inference.segmenter import PreparedImage, Segmenter
    from napari_gpcis.inference.start_mask import Start
    from napari_gpcis.plugin.viewer.planes import Box, Plane

SMOOTH = 1.0
"""How far a drawn curve may leave the contour, in pixels of the network's grid."""


@dataclass(frozen=True)
class Question:
    """A snapshot of what there is, and the click to try."""

    segmenter: Segmenter
    prepared: PreparedImage
    plane: Plane
    click: Click
    threshold: float
    previous: Prediction | None
    view: Box | None
    start: Start | None


@dataclass(frozen=True)
class Contour:
    """An answer: closed curves on a plane, rows and columns."""

    plane: Plane
    click: Click
    curves: list[NDArray[np.float64]]


class Answers:
    """Answers questions, and keeps what serves the next ones."""

    def __init__(self) -> None:
        self._begun: tuple[Start, Prediction] | None = None

    def find(self, question: Question, cancelled: Callable[[], bool]) -> Contour | None:
        """Return the contour; ``None`` if it is not wanted any more or fails."""
        if cancelled():
            return None
        try:
            found = question.segmenter.preview(
                question.prepared,
                question.click,
                self._previous(question),
                question.view,
            )
        except (GPCISError, RuntimeError):
            return None  # the click itself would tell
        shown = found.with_threshold(question.threshold)
        return Contour(question.plane, question.click, _smooth(shown))

    def _previous(self, question: Question) -> Prediction | None:
        """Return the prediction before; of a starting mask, what the network sees.

        A starting mask has not been seen by the network before the first own click,
        so there are no features yet: they are made once.
        """
        previous, start = question.previous, question.start
        if previous is None or previous.seen is not None or start is None:
            return previous
        if self._begun is None or self._begun[0] is not start:
            seen = question.segmenter.step(
                question.prepared, start.clicks, start.prediction, start.view
            )
            self._begun = start, seen
        return self._begun[1]


def _smooth(prediction: Prediction) -> list[NDArray[np.float64]]:
    """Return the contours of a prediction with few corners."""
    from skimage.measure import approximate_polygon  # slow to import

    height = prediction.roi[2] - prediction.roi[0]
    pixel = height / prediction.maps.probability.shape[0]
    return [
        np.asarray(approximate_polygon(curve, SMOOTH * pixel))
        for curve in prediction.outlines()
    ]
