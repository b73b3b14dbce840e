"""One plane of an array with any number of axes."""

from __future__ import annotations

from typing import TYPE_CHECKING

from napari_gpcis.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Sequence

CHANNELS = ("C", "S")
"""Letters of channel axes: fluorescence, samples of a pixel."""


def plane_index(
    shape: Sequence[int], axes: str, plane: Sequence[int]
) -> tuple[int | slice, ...]:
    """Return the index of one plane: its rows, columns and channels.

    Parameters
    ----------
    shape
        Of the array.
    axes
        One letter for each axis, ``S`` or ``C`` for channels; empty if the axes are
        not known, then channels are the last axis.
    plane
        One index for each axis before rows and columns; axes of length 1 may be left
        out.

    Raises
    ------
    InputError
        If the array has no rows and columns, or `plane` does not choose one plane.
    """
    ndim = len(shape)
    if ndim < 2:
        msg = f"image must have rows and columns, got shape {tuple(shape)}"
        raise InputError(msg)
    if axes:
        spatial = [axis for axis in range(ndim) if axes[axis] not in CHANNELS]
        leading = spatial[:-2]
    else:
        count = len(plane) if ndim - len(plane) in (2, 3) else ndim - 2
        leading = list(range(count))
    wanted = [axis for axis in leading if shape[axis] > 1]
    if len(plane) == len(leading):
        wanted = leading
    if len(plane) != len(wanted):
        named = f" (axes {axes})" if axes else ""
        msg = (
            f"plane must have {len(leading)} indices for an image of shape "
            f"{tuple(shape)}{named}, got {len(plane)}"
        )
        raise InputError(msg)
    index: list[int | slice] = [slice(None)] * ndim
    for axis in leading:
        index[axis] = 0
    for axis, step in zip(wanted, plane, strict=True):
        check_step(step, shape[axis])
        index[axis] = step
    return tuple(index)


def check_step(step: int, size: int) -> None:
    """Raise `InputError` unless there is such a step on an axis of this size."""
    if not 0 <= step < size:
        msg = f"plane index must be from 0 to {size - 1}, got {step}"
        raise InputError(msg)
