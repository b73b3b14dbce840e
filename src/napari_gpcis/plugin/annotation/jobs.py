"""Jobs of the inference thread: loading a model, opening a plane, predicting.

Nothing here touches a layer's attributes or a viewer; images come as arrays, answers
go back as plain values.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from napari_gpcis.errors import GPCISError
from napari_gpcis.geometry import EMPTY
from napari_gpcis.inference.backends import reserve_gui_core
from napari_gpcis.inference.tiled import TiledPlane
from napari_gpcis.plugin.settings.preferences import PREFERENCES
from napari_gpcis.session.current import shown_as

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from numpy.typing import NDArray

    from napari_gpcis.clicks import Click
    from napari_gpcis.geometry import Mask
    from napari_gpcis.inference.prediction import Prediction
    from napari_gpcis.inference.segmenter import PreparedImage, Request, Segmenter
    from napari_gpcis.inference.start_mask import StartMask
    from napari_gpcis.inference.tidy import Tidy
    from napari_gpcis.plugin.viewer.planes import Box, Plane
    from napari_gpcis.propagation import PlaneResult
    from napari_gpcis.session.session import Session

    SegmenterFactory = Callable[[str], Segmenter]


TILED_PIXELS = 1 << 25
"""Planes from so many pixels on are read tile by tile, unless they are in memory."""


@dataclass(frozen=True)
class Opened:
    """A plane that is ready for clicks."""

    plane: Plane
    session: Session


@dataclass(frozen=True)
class Found:
    """The answer to a request, with the mask as it is to be drawn.

    Attributes
    ----------
    request, predictions
        For :meth:`Session.fulfil`; the request is ``None`` where all was known.
    box, mask
        The mask of all clicks on its half-open box.
    """

    request: Request | None
    predictions: tuple[Prediction, ...]
    box: Box
    mask: NDArray[np.bool_]


class Models:
    """The model in use, loaded once.

    Parameters
    ----------
    factory
        Makes a segmenter of a model's name or file.
    name
        The model to use; may be set at any time, from any thread.
    """

    def __init__(self, factory: SegmenterFactory, name: str) -> None:
        self.name = name
        self._factory = factory
        self._round = 0
        self._loaded: tuple[tuple[str, int], Segmenter] | None = None

    def get(self) -> Segmenter:
        """Return the segmenter of the model, loading it if need be (on the thread).

        The thread that asks computes with it, and leaves a core to the window.
        """
        reserve_gui_core()
        wanted = self.name, self._round
        if self._loaded is None or self._loaded[0] != wanted:
            self._loaded = wanted, self._factory(wanted[0])
        return self._loaded[1]

    def reload(self) -> None:
        """Have the model loaded anew when it is next needed, for another device."""
        self._round += 1


def load_segmenter(name: str) -> Segmenter:
    """Load a model by name or file to the preferred device (the default factory)."""
    from napari_gpcis.inference.segmenter import Segmenter  # heavy: only on the thread

    return Segmenter.from_pretrained(name, device=PREFERENCES.device)


def open_plane(
    models: Models,
    data: Any,
    plane: Plane,
    cancelled: Callable[[], bool],
    *,
    colour: bool,
    contrast: tuple[float, float] | None = None,
) -> Opened | None:
    """Read one plane and make its session.

    Parameters
    ----------
    models
        Gives the model to use.
    data
        The layer's array of any kind; only the plane is read.
    plane
        Which plane.
    cancelled
        If true once the model is there, the answer is ``None``.
    colour
        Whether the last axis holds RGB or RGBA; opacity is left out.
    contrast
        Values that become black and white; ``None``: from the values of the plane.
    """
    from napari_gpcis.session.session import Session  # heavy: only on the thread

    segmenter = models.get()
    if cancelled():
        return None
    image = read_plane(data, plane, colour=colour)
    return Opened(plane, Session(segmenter, image, contrast=contrast))


def is_tiled(data: Any, plane: Plane) -> bool:
    """Return whether a plane is read tile by tile: large, and not in memory."""
    rows, cols = plane.shape(data.shape)
    return not isinstance(data, np.ndarray) and rows * cols >= TILED_PIXELS


def read_plane(data: Any, plane: Plane, *, colour: bool) -> NDArray[Any] | TiledPlane:
    """Read one plane of an array of any kind, and nothing else; opacity is left out.

    A very large plane that is not in memory is not read at all: the answer reads
    itself, tile by tile.
    """
    if not is_tiled(data, plane):
        image = np.asarray(plane.take(data))
        return image[..., :3] if colour else image
    import dask.array  # napari needs it; slow to import

    da: Any = dask.array  # its functions have no types
    lazy = plane.take(data if isinstance(data, da.Array) else da.from_array(data))
    return TiledPlane(lazy[..., :3] if colour else lazy)


def propagate_plane(
    segmenter: Segmenter,
    data: Any,
    plane: Plane,
    before: PlaneResult | tuple[Plane, NDArray[np.bool_], tuple[int, int]],
    cancelled: Callable[[], bool],
    *,
    colour: bool,
    threshold: float,
    tidy: Tidy | None,
    contrast: tuple[float, float] | None = None,
) -> tuple[PlaneResult, PlaneResult] | None:
    """Read one plane and find an object of the plane beside it there.

    Parameters
    ----------
    segmenter
        The model.
    data, plane, colour, contrast
        See :func:`open_plane`.
    before
        The object on the plane beside it; or that plane, a mask, and the pixel at
        which the mask begins.
    cancelled
        If true at the beginning, the answer is ``None``.
    threshold
        Probability above which a pixel is object.
    tidy
        Rules by which the mask is tidied.

    Returns
    -------
    tuple of Carried
        The object on the plane beside it and on this one; ``None`` if cancelled.
    """
    from napari_gpcis.propagation import begin, carry  # heavy: only on the thread

    if cancelled():
        return None
    if isinstance(before, tuple):
        first, mask, corner = before
        image = read_plane(data, first, colour=colour)
        before = begin(segmenter.prepare(image, contrast), mask, corner)
    image = read_plane(data, plane, colour=colour)
    found = carry(
        segmenter,
        image,
        before.mask,
        before.box[:2],
        threshold=threshold,
        tidy=tidy,
        contrast=contrast,
        pattern=before.pattern,
    )
    return before, found


def find_again(
    first: PreparedImage,
    mask: NDArray[np.bool_],
    corner: tuple[int, int],
    second: PreparedImage,
    cancelled: Callable[[], bool],
) -> tuple[int, int] | None:
    """Return the rows and columns by which an object has moved between two planes.

    Parameters
    ----------
    first, mask, corner
        The plane that has it, its mask, and the pixel at which that begins.
    second
        The other plane.
    cancelled
        If true at the beginning, the answer is ``None``.
    """
    from napari_gpcis.propagation import begin  # heavy: only on the thread

    if cancelled():
        return None
    pattern = begin(first, mask, corner).pattern
    return (0, 0) if pattern is None else pattern.displacement(second)


def place_planes(
    segmenter: Segmenter,
    data: Any,
    masks: Sequence[tuple[Plane, Box, NDArray[np.bool_]]],
    cancelled: Callable[[], bool],
    *,
    colour: bool,
    contrast: tuple[float, float] | None = None,
) -> list[tuple[Plane, PlaneResult]] | None:
    """Return masks as the object of their planes, without a prediction.

    Parameters
    ----------
    segmenter
        The model.
    data, colour, contrast
        See :func:`open_plane`.
    masks
        Planes, with the box and the mask on each.
    cancelled
        Asked before each plane; if true, the answer is ``None``.
    """
    from napari_gpcis.propagation import place_mask  # heavy: only on the thread

    found = []
    for plane, box, mask in masks:
        if cancelled():
            return None
        image = read_plane(data, plane, colour=colour)
        one = place_mask(segmenter, image, mask, box[:2], contrast=contrast)
        found.append((plane, one))
    return found


def infer(
    segmenter: Segmenter,
    request: Request | None,
    known: Prediction | None,
    cancelled: Callable[[], bool],
    *,
    threshold: float,
    tidy: Tidy | None,
) -> Found | None:
    """Predict what a request lacks and draw the mask of its last click.

    Parameters
    ----------
    segmenter
        The model.
    request
        What is to be predicted; ``None`` if ``known`` is up to date.
    known
        The prediction of all clicks, if there is one.
    cancelled
        Asked between clicks; if true the answer is ``None``.
    threshold
        Probability above which a pixel is object.
    tidy
        Rules by which the mask is tidied.
    """
    found = () if request is None else segmenter.run(request, cancelled)
    start = None if request is None else request.start
    predictions = tuple(shown_as(item, threshold, tidy, start) for item in found)
    last = predictions[-1] if predictions else known
    if last is None or (request is not None and not predictions) or cancelled():
        return None
    return Found(request, predictions, *last.trimmed)


LARGEST = 10**6
"""Most pixels of a mask under the mouse that is compared with finished objects."""
SMOOTH = 1.0
"""Tolerance of a drawn curve, in pixels of the network's grid."""


@dataclass(frozen=True)
class Question:
    """A snapshot of what there is, and the click to try."""

    segmenter: Segmenter
    prepared: PreparedImage
    plane: Plane
    click: Click
    threshold: float
    tidy: Tidy | None
    previous: Prediction | None
    view: Box | None
    start: StartMask | None
    typical_size: float | None = None


@dataclass(frozen=True)
class Contour:
    """An answer: closed curves on a plane, rows and columns.

    Attributes
    ----------
    plane, click, curves
        The plane, what was asked for, and the curves.
    drawn
        Box and mask that the click would give; ``None`` for a very large one.
    """

    plane: Plane
    click: Click
    curves: list[NDArray[np.float64]]
    drawn: tuple[Box, Mask] | None = None


class Answers:
    """Answers questions, and keeps what serves the next ones."""

    def __init__(self) -> None:
        self._begun: tuple[StartMask, Prediction] | None = None

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
                question.typical_size,
            )
        except (GPCISError, RuntimeError):
            return None  # the click itself would tell
        shown = shown_as(found, question.threshold, question.tidy, question.start)
        top, left, bottom, right = shown.extent(question.threshold) or EMPTY
        area = (bottom - top) * (right - left)
        drawn = shown.trimmed if 0 < area <= LARGEST else None
        return Contour(question.plane, question.click, _smooth(shown), drawn)

    def _previous(self, question: Question) -> Prediction | None:
        """Return the prediction before; of a starting mask, what the network sees.

        A starting mask has not been seen by the network before the first own click,
        so there are no features yet: they are made once. A model whose frames stay
        needs none: its preview is the click itself.
        """
        previous, start = question.previous, question.start
        stays = question.segmenter.info.inference.frames == "stay"
        if previous is None or previous.seen is not None or start is None or stays:
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
