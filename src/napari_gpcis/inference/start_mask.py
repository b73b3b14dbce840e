"""Start mask of an object: one to refine, one from another plane, or a chosen one."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np

from napari_gpcis.clicks import Click
from napari_gpcis.errors import InputError
from napari_gpcis.geometry import Box, box_of, deepest_pixel, depth, moved, slices
from napari_gpcis.inference.prediction import GridMaps, Prediction
from napari_gpcis.inference.region import target_box

if TYPE_CHECKING:
    from numpy.typing import ArrayLike, NDArray

    Mask = NDArray[np.bool_]

VIEW_GROWTH = 2.0
"""Size of the view relative to the mask, should the mask be lost."""
DEPTH_GRID = 256
"""Largest side of the grid on which depths inside a mask are measured."""


@dataclass(frozen=True, eq=False)
class StartMask:
    """Mask of an object before its first click, or one chosen for its first clicks.

    Attributes
    ----------
    shape
        Height and width of the image.
    box
        The smallest box around the mask.
    mask
        The mask on that box, bool, read-only.
    clicks
        Clicks that the mask obeys as it is: for them nothing is predicted.
    label
        The id of the object that is being refined; ``None`` for a new object.
    """

    shape: tuple[int, int]
    box: Box
    mask: Mask
    clicks: tuple[Click, ...] = ()
    label: int | None = None
    _predictions: dict[tuple[Click, ...], Prediction] = field(default_factory=dict)

    @property
    def view(self) -> Box:
        """View of the network should the mask be lost."""
        return target_box(self.box, self.shape, VIEW_GROWTH)

    @cached_property
    def prediction(self) -> Prediction:
        """The mask as a prediction: probability 1 inside; nothing else is known."""
        probability = self.mask.astype(np.float32)
        unknown = np.broadcast_to(np.float32(np.nan), probability.shape)
        maps = GridMaps(probability, unknown, unknown, unknown)
        return Prediction(self.shape, self.box, (), 0.5, maps, half_pixel=True)

    @cached_property
    def middles(self) -> tuple[tuple[int, int], ...]:
        """Deepest pixel of each piece of the mask, row and column of the image."""
        from scipy.ndimage import label, maximum_position  # slow to import

        pieces, count = label(self.mask, np.ones((3, 3)))
        found = maximum_position(depth(self.mask), pieces, np.arange(1, count + 1))
        top, left = self.box[:2]
        return tuple((int(row) + top, int(col) + left) for row, col in found)

    def placed_first_of(self, clicks: tuple[Click, ...]) -> bool:
        """Return whether clicks begin with the one that was placed in the middle."""
        if not self.clicks or clicks[:1] != self.clicks:
            return False
        return clicks[0] == inner_click(self.mask, self.box[:2])

    def holds_for(self, clicks: tuple[Click, ...]) -> bool:
        """Return whether the mask, as it is, obeys these clicks."""
        return clicks == self.clicks[: len(clicks)]

    def prediction_for(self, clicks: tuple[Click, ...]) -> Prediction:
        """Return the mask as the prediction of clicks for which it holds."""
        if clicks not in self._predictions:
            self._predictions[clicks] = replace(self.prediction, clicks=clicks)
        return self._predictions[clicks]


def make_start_mask(
    mask: ArrayLike,
    shape: tuple[int, int],
    *,
    corner: tuple[int, int] = (0, 0),
    place_click: bool = True,
    label: int | None = None,
) -> StartMask:
    """Return the start mask of an array.

    Parameters
    ----------
    mask
        Shape (h, w), boolean or integers (nonzero is object).
    shape
        Height and width of the image.
    corner
        Row and column of the image at which the mask begins.
    place_click
        Whether a click in the middle of the mask is placed that the mask obeys.
    label
        Id of the object that is refined.

    Raises
    ------
    InputError
        If the mask is empty, no image plane of yes and no, or leaves the image.
    """
    array = np.asarray(mask)
    if array.ndim != 2 or array.dtype.kind not in "bui":
        msg = (
            "mask must be a 2-D array of booleans or integers, got shape "
            f"{array.shape} of dtype {array.dtype}"
        )
        raise InputError(msg)
    inside = box_of(array != 0)
    if inside is None:
        msg = "mask must hold at least one pixel of the object, got an empty one"
        raise InputError(msg)
    part = array[slices(inside)] != 0
    box = moved(inside, corner)
    if box[0] < 0 or box[1] < 0 or box[2] > shape[0] or box[3] > shape[1]:
        msg = f"mask must lie inside the image of shape {shape}, got the box {box}"
        raise InputError(msg)
    part.flags.writeable = False
    clicks = (inner_click(part, box[:2]),) if place_click else ()
    return StartMask(shape, box, part, clicks, label)


def mask_of_image(mask: ArrayLike, shape: tuple[int, int]) -> NDArray[Any]:
    """Return a mask as an array; a part of the image would lie at a wrong place.

    Parameters
    ----------
    mask
        Shape (H, W).
    shape
        Height and width of the image.

    Raises
    ------
    InputError
        If the mask has another shape.
    """
    array = np.asarray(mask)
    if array.shape != tuple(shape):
        msg = f"mask must have the image's shape {shape}, got {array.shape}"
        raise InputError(msg)
    return array


def chosen_mask(prediction: Prediction, label: int | None = None) -> StartMask:
    """Return the mask of a prediction as one that holds for its clicks.

    Parameters
    ----------
    prediction
        The mask and its clicks.
    label
        Id of the object that is refined; ``None`` for a new object.

    Raises
    ------
    InputError
        If the mask is empty.
    """
    box, mask = prediction.trimmed
    if not mask.size:
        msg = "a chosen mask must hold at least one pixel, got an empty one"
        raise InputError(msg)
    return StartMask(prediction.shape, box, mask, prediction.clicks, label)


def inner_click(mask: Mask, corner: tuple[int, int] = (0, 0)) -> Click:
    """Return a positive click at the deepest pixel of a mask.

    Parameters
    ----------
    mask
        Shape (h, w), at least one pixel.
    corner
        Row and column of the image at which the mask begins.
    """
    step = max(1, -(-max(mask.shape) // DEPTH_GRID))
    coarse = mask[::step, ::step]
    if not coarse.any():
        coarse, step = mask, 1
    row, col = deepest_pixel(depth(coarse))
    return Click(row * step + corner[0], col * step + corner[1])
