"""Boxes: the part of the image that the network sees, and clicks on its grid.

Every box is half-open, ``(row_min, col_min, row_max, col_max)``, in data pixels.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, TypeAlias

from napari_gpcis.clicks import Click
from napari_gpcis.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

Box: TypeAlias = tuple[int, int, int, int]

MIN_TARGET = 10
"""Least side of the box around an object, in data pixels (published value)."""


def whole_image(shape: tuple[int, int]) -> Box:
    """Return the box of all pixels."""
    return 0, 0, shape[0], shape[1]


def clip_box(box: Sequence[float], shape: tuple[int, int], name: str = "view") -> Box:
    """Return the pixels of ``box`` that lie inside the image.

    Parameters
    ----------
    box
        ``(row_min, col_min, row_max, col_max)``; fractions are rounded outwards.
    shape
        Height and width of the image.
    name
        Name of the argument, for the error.

    Raises
    ------
    InputError
        If these are not four finite numbers, or no pixel is inside the image.
    """
    accepted = "(row_min, col_min, row_max, col_max)"
    try:
        row_min, col_min, row_max, col_max = (float(value) for value in box)
    except (TypeError, ValueError):
        msg = f"{name} must be a box {accepted} of numbers, got {box!r}"
        raise InputError(msg) from None
    if not all(map(math.isfinite, (row_min, col_min, row_max, col_max))):
        msg = f"{name} must be a box {accepted} of finite numbers, got {box!r}"
        raise InputError(msg)
    clipped = (
        max(0, math.floor(row_min)),
        max(0, math.floor(col_min)),
        min(shape[0], math.ceil(row_max)),
        min(shape[1], math.ceil(col_max)),
    )
    if clipped[0] >= clipped[2] or clipped[1] >= clipped[3]:
        msg = (
            f"{name} must hold at least one pixel of the image of shape "
            f"{shape}, got the box {accepted} = {tuple(box)}"
        )
        raise InputError(msg)
    return clipped


def around_clicks(box: Box, clicks: Iterable[Click]) -> Box:
    """Grow a box until it holds the pixels of all positive clicks."""
    top, left, bottom, right = box
    for click in clicks:
        if click.positive:
            row, col = click.pixel
            top, bottom = min(top, row), max(bottom, row + 1)
            left, right = min(left, col), max(right, col + 1)
    return top, left, bottom, right


def target_box(box: Box, shape: tuple[int, int], expansion: float) -> Box:
    """Expand the box of an object for the network, as published.

    Each side becomes ``expansion`` times as long about its centre (at least ten
    pixels), its inclusive ends are rounded half to even and clamped to the image.
    """
    row_min, row_max = _expand(box[0], box[2], shape[0], expansion)
    col_min, col_max = _expand(box[1], box[3], shape[1], expansion)
    return row_min, col_min, row_max, col_max


def _expand(start: int, stop: int, length: int, expansion: float) -> tuple[int, int]:
    centre = (start + stop - 1) / 2
    half = max(expansion * (stop - start), MIN_TARGET) / 2
    return max(0, round(centre - half)), min(length - 1, round(centre + half)) + 1


def square_around(click: Click, side: int, shape: tuple[int, int]) -> Box:
    """Return the square about a click, clipped to the image."""
    row, col = click.pixel
    top, left = row - side // 2, col - side // 2
    return clip_box((top, left, top + side, left + side), shape)


def network_clicks(
    clicks: Iterable[Click], box: Box, size: int, *, half_pixel: bool
) -> list[Click]:
    """Move clicks from the image onto the ``size x size`` grid of the network.

    Published convention (``half_pixel=False``): ``(row - row_min) * size / h``, a
    fractional position. Half-pixel convention: the network pixel that contains the
    click, ``floor((row - row_min + 0.5) * size / h)``, as in training, where clicks
    lie on pixels. A click whose pixel is in the box stays on the grid; negative
    clicks elsewhere fall outside it, where the network may see the rim of their
    disk and the Gaussian process does not observe them.
    """
    scale = size / (box[2] - box[0]), size / (box[3] - box[1])
    return [_on_grid(click, box, size, scale, half_pixel) for click in clicks]


def _on_grid(
    click: Click, box: Box, size: int, scale: tuple[float, float], half_pixel: bool
) -> Click:
    row, col = click.row - box[0], click.col - box[1]
    if half_pixel:
        row = math.floor((row + 0.5) * scale[0])
        col = math.floor((col + 0.5) * scale[1])
        last = size - 1.0
    else:
        row, col = row * scale[0], col * scale[1]
        last = size - 1e-3  # the network truncates: still the last pixel
    if contains(box, click):
        row, col = min(max(row, 0.0), last), min(max(col, 0.0), last)
    return Click(row, col, click.positive)


def contains(box: Box, click: Click) -> bool:
    """Tell whether the pixel of a click lies in the box."""
    row, col = click.pixel
    return box[0] <= row < box[2] and box[1] <= col < box[3]


def check_clicks(clicks: Iterable[Click], shape: tuple[int, int]) -> tuple[Click, ...]:
    """Return the clicks as a tuple.

    Raises
    ------
    InputError
        If one is not a `Click` or lies outside the image.
    """
    checked = tuple(clicks)
    for click in checked:
        if not isinstance(click, Click):
            msg = f"clicks must be Click objects, got {type(click).__name__}: {click!r}"
            raise InputError(msg)
        if not contains(whole_image(shape), click):
            msg = (
                f"a click must lie inside the image of shape {shape} (rows 0 to "
                f"{shape[0] - 1}, columns 0 to {shape[1] - 1}), got row "
                f"{click.row:g}, column {click.col:g}"
            )
            raise InputError(msg)
    return checked
