"""Region of interest: the part of the image that is zoomed in to for a click.

As published it follows the mask at every click. A *frame* stays instead, while the
object fits into it, so that the network encodes it once for many clicks.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from napari_gpcis.geometry import clip_box, contains, whole_image

if TYPE_CHECKING:
    from collections.abc import Iterable

    from napari_gpcis.checkpoints import InferenceSettings
    from napari_gpcis.clicks import Click
    from napari_gpcis.geometry import Box
    from napari_gpcis.inference.prediction import Prediction

MIN_TARGET = 10
"""Least side of the box around an object, in data pixels (published value)."""
MIN_FRAME = 32
"""Least side of a frame, in data pixels."""
RIM = 1 / 64
"""A mask so near to a frame's border, as a share of its side, may go on beyond it."""
CLOSER = (1.0, 2.0)
"""Network pixels per data pixel of the closer frames of a first click."""
TYPICAL = 4.0
"""Side of the closer frame for a likely size, in sizes: better than 1.4 or 2.5."""
MUCH_CLOSER = 0.7
"""Closer frames are at most so long, as a share of the view."""
STEP = 4
"""Closer frames begin at multiples of their side divided by this."""


def region(
    shape: tuple[int, int],
    clicks: tuple[Click, ...],
    previous: Prediction | None,
    view: Box | None,
    settings: InferenceSettings,
) -> Box:
    """Return the region of interest, see the notes of `Segmenter`.

    Parameters
    ----------
    shape
        Height and width of the image.
    clicks
        All clicks so far.
    previous
        The prediction of the click before.
    view
        Box that is used while there is no mask; ``None`` for the whole image.
    settings
        How the model is run.
    """
    extent = None if previous is None else previous.extent(settings.crop_threshold)
    if previous is None or extent is None:
        first = whole_image(shape) if view is None else clip_box(view, shape)
        return around_clicks(first, clicks)
    target = around_clicks(extent, clicks)
    if settings.frames == "zoom":
        return target_box(target, shape, settings.expansion)
    if previous.seen is not None and _stays(previous.roi, target, shape, settings):
        return previous.roi
    return frame_around(target, shape, settings.expansion)


def network_size(
    roi: Box, clicks: tuple[Click, ...], settings: InferenceSettings
) -> int:
    """Return the side of the square that a region of interest is resized to.

    Parameters
    ----------
    roi
        The region of interest.
    clicks
        All clicks so far.
    settings
        How the model is run.

    Returns
    -------
    int
        In network pixels: ``infer_size``, or ``fine_size`` after many clicks.
    """
    size = settings.infer_size
    fine = settings.frames == "stay" and len(clicks) >= settings.fine_clicks
    if fine and settings.fine_size and longer_side(roi) > size:
        return settings.fine_size
    return size


def closer_frames(
    shape: tuple[int, int],
    click: Click,
    view: Box,
    settings: InferenceSettings,
    typical_size: float | None = None,
) -> list[Box]:
    """Return frames that show more of the surroundings of a first click than the view.

    Their places are multiples of a quarter of their side, so that neighbouring clicks
    share them. There are none if the view is close already.

    Parameters
    ----------
    shape
        Height and width of the image.
    click
        The first click.
    view
        The frame that is tried first.
    settings
        How the model is run.
    typical_size
        Diameter that the object is likely to have, in pixels: the first closer frame
        is then four times as long, the others those nearest to it.
    """
    found: list[Box] = []
    longest = longer_side(view)
    sides = [settings.infer_size / zoom for zoom in CLOSER]
    if typical_size is not None:
        likely = TYPICAL * typical_size
        sides = [likely, *sorted(sides, key=lambda side: abs(np.log(side / likely)))]
    whole = [max(round(side), MIN_FRAME) for side in sides]
    for side in [*dict.fromkeys(whole)][: settings.first_frames - 1]:
        if side <= MUCH_CLOSER * longest:
            found.append(_grid_frame(click, side, shape))
    return [box for box in found if contains(box, click)]


def reaches_beyond(extent: Box, frame: Box, shape: tuple[int, int]) -> bool:
    """Return whether a mask may go on beyond its frame: it lies at the frame's border.

    Borders that are those of the image do not count.

    Parameters
    ----------
    extent
        Box of the mask.
    frame
        What the network saw.
    shape
        Height and width of the image.
    """
    for axis in (0, 1):
        rim = RIM * (frame[2 + axis] - frame[axis])
        if frame[axis] > 0 and extent[axis] < frame[axis] + rim:
            return True
        end = frame[2 + axis]
        if end < shape[axis] and extent[2 + axis] > end - rim:
            return True
    return False


def fill(extent: Box, frame: Box) -> float:
    """Return the longer side of an object's box as a share of its frame's."""
    return longer_side(extent) / longer_side(frame)


def longer_side(box: Box) -> int:
    """Return the longer side of a box, in pixels."""
    return max(box[2] - box[0], box[3] - box[1])


def around_clicks(box: Box, clicks: Iterable[Click]) -> Box:
    """Return the box, grown to hold the pixels of all positive clicks."""
    top, left, bottom, right = box
    for click in clicks:
        if click.positive:
            row, col = click.pixel
            top, bottom = min(top, row), max(bottom, row + 1)
            left, right = min(left, col), max(right, col + 1)
    return top, left, bottom, right


def target_box(box: Box, shape: tuple[int, int], expansion: float) -> Box:
    """Return the box of an object, expanded for the network as published.

    Each side becomes ``expansion`` times as long about its centre (at least ten
    pixels), its inclusive ends are rounded half to even and clamped to the image.
    """
    row_min, row_max = _expand(box[0], box[2], shape[0], expansion)
    col_min, col_max = _expand(box[1], box[3], shape[1], expansion)
    return row_min, col_min, row_max, col_max


def frame_around(box: Box, shape: tuple[int, int], expansion: float) -> Box:
    """Return the square frame of an object, shifted into the image.

    Its side is ``expansion`` times the longer side of the object's box, at least 32
    pixels; where the image is smaller, the frame is as long as the image.

    Parameters
    ----------
    box
        Of the object.
    shape
        Height and width of the image.
    expansion
        See above.
    """
    side = max(round(expansion * longer_side(box)), MIN_FRAME)
    rows = _shifted((box[0] + box[2] - side) // 2, side, shape[0])
    cols = _shifted((box[1] + box[3] - side) // 2, side, shape[1])
    return rows[0], cols[0], rows[1], cols[1]


def _stays(
    frame: Box, target: Box, shape: tuple[int, int], settings: InferenceSettings
) -> bool:
    """Return whether an object still suits its frame."""
    inside = (
        frame[0] <= target[0]
        and frame[1] <= target[1]
        and target[2] <= frame[2]
        and target[3] <= frame[3]
    )
    if not inside or reaches_beyond(target, frame, shape):
        return False
    return fill(target, frame) >= settings.least_fill or longer_side(frame) <= MIN_FRAME


def _grid_frame(click: Click, side: int, shape: tuple[int, int]) -> Box:
    """Return a square that holds a click in its middle half, but for image borders."""
    step = max(side // STEP, 1)
    starts = []
    for place in click.pixel:
        # the click lies between 3/8 and 5/8 of the side
        starts.append(round((place - side / 2) / step) * step)
    rows = _shifted(starts[0], side, shape[0])
    cols = _shifted(starts[1], side, shape[1])
    return rows[0], cols[0], rows[1], cols[1]


def _shifted(start: int, side: int, length: int) -> tuple[int, int]:
    """Return an interval of the image, moved into it, or all of the image."""
    if side >= length:
        return 0, length
    start = min(max(start, 0), length - side)
    return start, start + side


def _expand(start: int, stop: int, length: int, expansion: float) -> tuple[int, int]:
    """Return one side of a box, expanded and clamped."""
    centre = (start + stop - 1) / 2
    half = max(expansion * (stop - start), MIN_TARGET) / 2
    return max(0, round(centre - half)), min(length - 1, round(centre + half)) + 1
