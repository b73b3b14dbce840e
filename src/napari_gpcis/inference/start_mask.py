"""Objects that begin with a mask: one to refine, or one from the next plane."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np

from napari_gpcis.clicks import Click
from napari_gpcis.errors import InputError
from napari_gpcis.geometry import Box, box_of, moved, slices, target_box
from napari_gpcis.inference.prediction import GridMaps, Prediction

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import ArrayLike, NDArray

    Mask = NDArray[np.bool_]

VIEW_GROWTH = 2.0
"""The network sees a box so many times the mask's, should the mask be lost."""
DEPTH_GRID = 256
"""Largest side of the grid on which depths inside a mask are measured."""


@dataclass(frozen=True, eq=False)
class Start:
    """The mask that an object begins with: its mask before the first click.

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
    _settled: dict[tuple[Click, ...], Prediction] = field(default_factory=dict)

    @property
    def view(self) -> Box:
        """What the network sees if it loses the mask."""
        return target_box(self.box, self.shape, VIEW_GROWTH)

    @cached_property
    def prediction(self) -> Prediction:
        """The mask as a prediction: probability 1 inside; nothing else is known."""
        probability = self.mask.astype(np.float32)
        unknown = np.broadcast_to(np.float32(np.nan), probability.shape)
        maps = GridMaps(probability, unknown, unknown, unknown)
        return Prediction(self.shape, self.box, (), 0.5, maps, half_pixel=True)

    def settles(self, clicks: tuple[Click, ...]) -> bool:
        """Tell whether the mask as it is stands for these clicks."""
        return clicks == self.clicks[: len(clicks)]

    def after(self, clicks: tuple[Click, ...]) -> Prediction:
        """Return the mask as the prediction of clicks that it settles."""
        if clicks not in self._settled:
            self._settled[clicks] = replace(self.prediction, clicks=clicks)
        return self._settled[clicks]


def start_from(
    mask: ArrayLike,
    shape: tuple[int, int],
    *,
    corner: tuple[int, int] = (0, 0),
    settled: bool = True,
    label: int | None = None,
) -> Start:
    """Make a start of a mask.

    Parameters
    ----------
    mask
        Shape (h, w), boolean or integers (nonzero is object).
    shape
        Height and width of the image.
    corner
        Row and column of the image at which the mask begins.
    settled
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
    clicks = (inner_click(part, box[:2]),) if settled else ()
    return Start(shape, box, part, clicks, label)


def inner_click(mask: Mask, corner: tuple[int, int] = (0, 0)) -> Click:
    """Return a positive click in the middle of a mask, as far inside as can be.

    Parameters
    ----------
    mask
        Shape (h, w), at least one pixel.
    corner
        Row and column of the image at which the mask begins.
    """
    from scipy.ndimage import distance_transform_edt  # slow to import

    step = max(1, -(-max(mask.shape) // DEPTH_GRID))
    coarse = mask[::step, ::step]
    if not coarse.any():
        coarse, step = mask, 1
    depth = distance_transform_edt(np.pad(coarse, 1))[1:-1, 1:-1]
    row, col = np.unravel_index(int(depth.argmax()), depth.shape)
    return Click(int(row) * step + corner[0], int(col) * step + corner[1])


def to_runs(mask: Mask) -> tuple[int, ...]:
    """Return the lengths of the runs of a mask, row after row, 0s first."""
    flat = np.concatenate([[False], mask.ravel(), [not mask.ravel()[-1]]])
    edges = np.flatnonzero(flat[1:] != flat[:-1])
    return tuple(map(int, np.diff(edges, prepend=0)))


def from_runs(runs: Sequence[int], size: tuple[int, int]) -> Mask:
    """Return the mask of these runs.

    Raises
    ------
    ValueError
        If they are not those of a mask of this size.
    """
    lengths = np.asarray(runs, dtype=np.int64)
    if lengths.sum() != size[0] * size[1] or (lengths < 0).any():
        msg = f"runs do not fill a mask of {size[0]} x {size[1]} pixels"
        raise ValueError(msg)
    values = np.arange(len(lengths)) % 2 == 1
    return np.repeat(values, lengths).reshape(size)
