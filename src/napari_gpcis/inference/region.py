"""Region of interest: the part of the image that is zoomed in to for a click."""

from __future__ import annotations

from typing import TYPE_CHECKING

from napari_gpcis.geometry import clip_box, whole_image

if TYPE_CHECKING:
    from collections.abc import Iterable

    from napari_gpcis.checkpoints import InferenceSettings
    from napari_gpcis.clicks import Click
    from napari_gpcis.geometry import Box
    from napari_gpcis.inference.prediction import Prediction

MIN_TARGET = 10
"""Least side of the box around an object, in data pixels (published value)."""


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
    if extent is None:
        first = whole_image(shape) if view is None else clip_box(view, shape)
        return around_clicks(first, clicks)
    return target_box(around_clicks(extent, clicks), shape, settings.expansion)


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


def _expand(start: int, stop: int, length: int, expansion: float) -> tuple[int, int]:
    """Return one side of a box, expanded and clamped."""
    centre = (start + stop - 1) / 2
    half = max(expansion * (stop - start), MIN_TARGET) / 2
    return max(0, round(centre - half)), min(length - 1, round(centre + half)) + 1
