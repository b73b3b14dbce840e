"""Channels and contrast of an image: the picture that the model sees.

Up to three channels along an axis become one picture, a layer of its own, so that the
user sees what the model sees. It is made
plane by plane, when it is looked at, and lies on all channels of the image at once.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from napari.layers import Image

from napari_gpcis.errors import InputError
from napari_gpcis.plugin.viewer.layers import MARK
from napari_gpcis.plugin.viewer.overlays import image_to_world, same_place
from napari_gpcis.plugin.viewer.planes import full_resolution, layer_shape

if TYPE_CHECKING:
    from collections.abc import Sequence

    from napari.components import ViewerModel
    from numpy.typing import NDArray

    Limits = tuple[float, float]


MOST_CHANNELS = 32
"""Longest axis that may hold channels."""
PERCENTILES = (0.1, 99.9)
SAMPLE_SIDE = 1024
"""Rows and columns on which percentiles are taken, about."""

KEY = "napari-gpcis contrast"
"""Key of the chosen contrast in the layer's metadata."""


def channel_axes(image: Image) -> tuple[int, ...]:
    """Return the axes of an image that may be one of channels."""
    if image.rgb or image.ndim < 3:
        return ()
    shape = layer_shape(image)
    return tuple(a for a, size in enumerate(shape) if 2 <= size <= MOST_CHANNELS)


def channel_limits(
    image: Image, axis: int, channels: Sequence[int], plane: Sequence[int]
) -> list[Limits]:
    """Return the percentiles 0.1 and 99.9 of each channel on one plane.

    Parameters
    ----------
    image, axis, channels
        See :func:`blend`.
    plane
        Index on every axis; the last two axes but ``axis`` are read as a whole.
    """
    data, shape = full_resolution(image), layer_shape(image)
    whole = [a for a in range(image.ndim) if a != axis][-2:]
    found = []
    for channel in channels:
        index: list[Any] = [
            min(p, size - 1) for p, size in zip(plane, shape, strict=True)
        ]
        for a in whole:
            index[a] = slice(None, None, max(1, shape[a] // SAMPLE_SIDE))
        index[axis] = channel
        values = np.asarray(data[tuple(index)]).astype(np.float64)
        values = values[np.isfinite(values)]
        low, high = np.percentile(values, PERCENTILES) if values.size else (0.0, 1.0)
        found.append((float(low), float(high) if high > low else float(low) + 1))
    return found


def blend(
    image: Image, axis: int, channels: Sequence[int], limits: Sequence[Limits]
) -> Image:
    """Return a layer that shows up to three channels in colour.

    Parameters
    ----------
    image
        The image.
    axis
        Its axis of channels.
    channels
        One is shown grey; two red and green, with their mean in blue; three red,
        green and blue.
    limits
        For each of them, the values that become black and full colour.

    Returns
    -------
    Image
        An RGB layer of uint8 with the axes of the image; along the axis of channels
        it has one pixel, as long as all channels together.

    Raises
    ------
    InputError
        If there are none or more than three channels, or one is not there.
    """
    import dask.array  # napari needs it; slow to import

    da: Any = dask.array  # its functions have no types
    size = layer_shape(image)[axis]
    if not 1 <= len(channels) <= 3 or any(not 0 <= c < size for c in channels):
        msg = f"channels must be one to three of 0 to {size - 1}, got {tuple(channels)}"
        raise InputError(msg)
    data = full_resolution(image)
    whole = data if isinstance(data, da.Array) else da.from_array(data)
    here = tuple([slice(None)] * axis)
    planes = [
        da.map_blocks(_scaled, whole[(*here, slice(c, c + 1))], lim, dtype=np.uint8)
        for c, lim in zip(channels, limits, strict=True)
    ]
    if len(planes) == 1:
        planes *= 3
    elif len(planes) == 2:
        planes.append(da.map_blocks(_mean, *planes, dtype=np.uint8))
    stretch = np.eye(image.ndim + 1)
    stretch[axis, axis], stretch[axis, -1] = size, (size - 1) / 2
    names = ", ".join(map(str, channels))
    return Image(
        da.stack(planes, axis=-1),
        rgb=True,
        name=f"{image.name}, channels {names}",
        metadata={MARK: {"role": "channels", "image": str(image.unique_id)}},
        affine=image_to_world(image) @ stretch,
        **same_place(image),
    )


def show_without(viewer: ViewerModel, image: Image, axis: int) -> None:
    """Show two other axes of an image, if one of those displayed has its channels.

    Channels that come last in a file are a displayed axis at first: napari takes them
    for columns.

    Parameters
    ----------
    viewer
        The viewer.
    image, axis
        See :func:`blend`.
    """
    hidden = axis + viewer.dims.ndim - image.ndim
    if hidden in viewer.dims.displayed:
        others = (one for one in viewer.dims.order if one != hidden)
        viewer.dims.order = (hidden, *others)
        viewer.reset_view()


def _scaled(values: NDArray[Any], limits: Limits) -> NDArray[np.uint8]:
    """Bring values between the limits to 0 to 255."""
    low, high = limits
    share = np.clip((values.astype(np.float32) - low) / (high - low), 0, 1)
    whole: NDArray[np.uint8] = (np.nan_to_num(share) * 255 + 0.5).astype(np.uint8)
    return whole


def _mean(one: NDArray[np.uint8], other: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Return the mean of two channels."""
    mean: NDArray[np.uint8] = ((one.astype(np.uint16) + other) // 2).astype(np.uint8)
    return mean


def chosen_contrast(image: Image) -> tuple[float, float] | None:
    """Return the values that become black and white; ``None``: from the values."""
    limits = image.metadata.get(KEY)
    if image.rgb or limits is None:
        return None
    low, high = limits
    return float(low), float(high)


def choose_contrast(image: Image, *, fixed: bool) -> None:
    """Fix the contrast to the layer's present limits, or take it from the values."""
    if fixed and not image.rgb:
        image.metadata[KEY] = tuple(float(limit) for limit in image.contrast_limits)
    else:
        image.metadata.pop(KEY, None)
