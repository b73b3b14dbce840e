"""PreparedImage: channels and contrast of an image, normalised to [0, 1]."""

from __future__ import annotations

import math
import operator
from dataclasses import dataclass, field
from itertools import count
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np

from napari_gpcis.errors import InputError
from napari_gpcis.inference.tiled import TiledChannel, TiledPlane

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import ArrayLike, NDArray

    from napari_gpcis.inference.resampling import Floats, Index

Limits: TypeAlias = tuple[float, float]
PERCENTILES = (0.1, 99.9)
"""Percentiles that become black and white unless a contrast is given."""
SAMPLE_PIXELS = 1 << 20
"""Percentiles of larger images are taken on a regular subsample of this size."""
_IN_IT, _IN_FLOAT64 = "in it", "in float64"
_IN_SQUARES = "in the sampled squares"
_RGB = 3
_RGBA = 4
_COARSE = 1e6  # above, float32 no longer resolves differences of one well
_tokens = count()


@dataclass(frozen=True, eq=False)
class PreparedImage:
    """An image plane with its contrast; normalised crop by crop, when read.

    The pixels are those of the array it was made from, not a copy: do not change
    that array while the prepared image is in use.

    Attributes
    ----------
    planes
        One to three channels, each (H, W), in the dtype of the image.
    limits
        Values of each channel that become 0 and 1; what lies beyond is clipped.
    token
        A number that no other prepared image has.
    """

    planes: tuple[NDArray[Any] | TiledChannel, ...]
    limits: tuple[Limits, ...]
    token: int = field(default_factory=lambda: next(_tokens))

    @property
    def shape(self) -> tuple[int, int]:
        """Height and width."""
        height, width = self.planes[0].shape
        return height, width

    @property
    def tiled(self) -> bool:
        """True if the pixels are read tile by tile."""
        return isinstance(self.planes[0], TiledChannel)

    def read(self, rows: Index, cols: Index) -> Floats:
        """Return normalised channels ``(C, rows, cols)`` on a grid of pixels.

        Pixels without a value (NaN) are black, infinite ones black or white.
        """
        index: Any = (rows, cols)
        if not isinstance(rows, slice) and not isinstance(cols, slice):
            index = np.ix_(rows, cols)
        channels = zip(self.planes, self.limits, strict=True)
        return np.stack([_normalise(plane[index], lim) for plane, lim in channels])


def prepare_image(
    image: ArrayLike | TiledPlane,
    contrast: Sequence[float] | None = None,
    channels: int | Sequence[int] | None = None,
) -> PreparedImage:
    """Return an image plane with its channels and contrast.

    Parameters
    ----------
    image
        Shape (H, W) or (H, W, C), boolean, integer or floating point. A
        `napari_gpcis.inference.tiled.TiledPlane` is read only where it is needed.
    contrast
        ``(low, high)``: the values of the image that become black and white. By
        default uint8 colour is taken as it is (0 to 255), and so is floating-point
        colour within [0, 1]; booleans are 0 and 1; of everything else, each channel
        is stretched between its 0.1 and 99.9 percentiles (of a regular subsample,
        for images over a million pixels). Pixels that are NaN or infinite do not count.
    channels
        Index of up to three channels, shown as grey, red-green or red-green-blue.
        Needed for C > 3; only four uint8 channels are taken as RGBA by themselves,
        and alpha is ignored.

    Raises
    ------
    InputError
        If the image is empty, of another dimension or dtype, or all its values are
        NaN or infinite; if channels or contrast do not fit.
    """
    if isinstance(image, TiledPlane):
        return _prepare_tiled(image, contrast, channels)
    array = _checked_array(image)
    chosen = _choose_channels(array, channels)
    planes = (
        (array,) if array.ndim == 2 else tuple(array[..., index] for index in chosen)
    )
    if contrast is not None:
        limits: tuple[Limits, ...] = (checked_contrast(contrast),) * len(planes)
    else:
        colour = channels is None and len(planes) == _RGB
        limits = default_limits(_samples(planes), colour)
    return PreparedImage(planes, limits)


def _prepare_tiled(
    image: TiledPlane,
    contrast: Sequence[float] | None,
    channels: int | Sequence[int] | None,
) -> PreparedImage:
    """Prepare a plane that is read tile by tile."""
    chosen = _choose_channels(image, channels)
    planes = tuple(TiledChannel(image, index) for index in chosen)
    if contrast is not None:
        return PreparedImage(planes, (checked_contrast(contrast),) * len(planes))
    samples = _with_values([image.sample(index) for index in chosen])
    if samples is None:
        raise not_finite(_IN_SQUARES)
    colour = channels is None and len(planes) == _RGB
    return PreparedImage(planes, default_limits(samples, colour))


def _checked_array(image: ArrayLike) -> NDArray[Any]:
    """Return an image as an array, or raise `InputError`."""
    array = np.asarray(image)
    accepted = "(H, W) or (H, W, C)"
    if array.ndim not in (2, 3):
        msg = f"image must have shape {accepted}, got shape {array.shape}"
        raise InputError(msg)
    if array.size == 0:
        msg = f"image must have at least one pixel and channel, got shape {array.shape}"
        raise InputError(msg)
    check_dtype(array.dtype)
    return array


def check_dtype(dtype: np.dtype[Any]) -> None:
    """Raise `InputError` unless pixels of a type are real numbers, or booleans."""
    if dtype.kind not in "buif":
        accepted = "a boolean, integer or real floating-point dtype"
        msg = f"image must have {accepted}, got {dtype}"
        raise InputError(msg)


def _choose_channels(
    array: NDArray[Any] | TiledPlane, channels: int | Sequence[int] | None
) -> tuple[int, ...]:
    """Return the indices of the channels to use, or raise `InputError`."""
    number = 1 if array.ndim == 2 else array.shape[2]
    if channels is not None:
        return _checked_channels(channels, number)
    if number <= _RGB:
        return tuple(range(number))
    if number == _RGBA and array.dtype == np.uint8:
        return 0, 1, 2
    msg = (
        f"channels must name up to three of the {number} channels of an image of "
        f"shape {array.shape} and dtype {array.dtype}, for example channels=(0, 1, 2); "
        "channels come last in the shape"
    )
    raise InputError(msg)


def channel_indices(channels: int | Sequence[int]) -> tuple[int, ...]:
    """Return one channel or several as plain integers; `TypeError` for others."""
    if isinstance(channels, (int, np.integer)):
        return (int(channels),)
    return tuple(operator.index(channel) for channel in channels)


def _checked_channels(channels: int | Sequence[int], number: int) -> tuple[int, ...]:
    """Return one to three indices below ``number``, or raise `InputError`."""
    try:
        indices = channel_indices(channels)
    except TypeError:
        msg = f"channels must be an integer or a sequence of them, got {channels!r}"
        raise InputError(msg) from None
    if not 1 <= len(indices) <= _RGB or not all(0 <= i < number for i in indices):
        msg = (
            f"channels must be one to three indices from 0 to {number - 1}, "
            f"got {channels!r}"
        )
        raise InputError(msg)
    return indices


def checked_contrast(contrast: Sequence[float]) -> Limits:
    """Return a contrast given as two numbers, or raise `InputError`."""
    try:
        low, high = (float(value) for value in contrast)
    except (TypeError, ValueError):
        msg = f"contrast must be two numbers (low, high), got {contrast!r}"
        raise InputError(msg) from None
    if not (low < high and math.isfinite(high - low)):
        msg = f"contrast must be finite with low < high, got {contrast!r}"
        raise InputError(msg)
    return low, high


def default_limits(samples: Sequence[NDArray[Any]], colour: bool) -> tuple[Limits, ...]:
    """Return the contrast of each channel, from samples of its values."""
    kind = samples[0].dtype
    if kind == np.bool_:
        return ((0.0, 1.0),) * len(samples)
    if colour and kind == np.uint8:
        return ((0.0, 255.0),) * len(samples)
    if colour and kind.kind == "f" and all(_within_unit(s) for s in samples):
        return ((0.0, 1.0),) * len(samples)
    return tuple(_stretch(sample) for sample in samples)


def _within_unit(sample: NDArray[Any]) -> bool:
    """Return whether all values lie in [0, 1]."""
    return bool(sample.min() >= 0 and sample.max() <= 1)


def _stretch(sample: NDArray[Any]) -> Limits:
    """Return percentiles; the extremes where those coincide; never an empty range."""
    if sample.dtype.kind in "ui" and sample.dtype.itemsize <= 2:
        low, high = counted_percentiles(sample, PERCENTILES)
    else:
        values = sample.astype(np.float64)
        if not np.isfinite(values).all():  # beyond float64: longdouble only
            raise not_finite(_IN_FLOAT64)
        low, high = (float(limit) for limit in np.percentile(values, PERCENTILES))
    if not low < high:
        low, high = float(sample.min()), float(sample.max())
    if not math.isfinite(high - low):
        msg = f"image must have a finite range, got values from {low} to {high}"
        raise InputError(msg)
    return (low, high) if low < high else (low, low + max(1.0, abs(low)))


def counted_percentiles(
    values: NDArray[np.integer], percentiles: Sequence[float]
) -> list[float]:
    """Return percentiles as `numpy.percentile` does, from how often each value occurs.

    A few times as fast as partitioning, for integers of up to 16 bits.

    Parameters
    ----------
    values
        At least one, of any shape; a type of one or two bytes.
    percentiles
        From 0 to 100, at any place between two values interpolated linearly.
    """
    lowest = int(np.iinfo(values.dtype).min)
    shifted = values.ravel() if lowest == 0 else values.ravel().astype(int) - lowest
    below = np.bincount(shifted).cumsum()  # below[v]: how many are at most v
    places = np.asarray(percentiles, dtype=float) / 100 * (values.size - 1)
    before = np.floor(places)
    first = np.searchsorted(below, before, side="right") + lowest
    after = np.searchsorted(below, np.ceil(places), side="right") + lowest
    return [float(v) for v in first + (after - first) * (places - before)]


def _sample(plane: NDArray[Any]) -> NDArray[Any]:
    """Return a regular subsample of about `SAMPLE_PIXELS` pixels at most."""
    step = math.ceil(math.sqrt(plane.size / SAMPLE_PIXELS))
    # a long thin image has fewer rows or columns than the step
    rows = min(step, plane.shape[0])
    cols = min(math.ceil(plane.size / (SAMPLE_PIXELS * rows)), plane.shape[1])
    return plane[::rows, ::cols]


def _samples(planes: Sequence[NDArray[Any]]) -> list[NDArray[Any]]:
    """Return values of each channel, from the whole where the sample has none."""
    found = _with_values([_sample(plane) for plane in planes])
    if found is None:
        found = _with_values(planes)
    if found is None:
        raise not_finite(_IN_IT)
    return found


def _with_values(samples: Sequence[NDArray[Any]]) -> list[NDArray[Any]] | None:
    """Return the finite values of each channel; ``None`` if there are none at all.

    A channel without any is taken for black.
    """
    if samples[0].dtype.kind != "f":
        return list(samples)
    found = [values[np.isfinite(values)] for values in samples]
    if not any(values.size for values in found):
        return None
    return [values if values.size else np.zeros(1, values.dtype) for values in found]


def not_finite(where: str) -> InputError:
    """Return the error for an image without any finite value."""
    msg = (
        f"image must have finite values, but all values {where} are NaN or infinite; "
        "replace them first, for example with numpy.nan_to_num(image)"
    )
    return InputError(msg)


def _normalise(values: NDArray[Any], limits: Limits) -> Floats:
    """Return values with the limits at 0 and 1, clipped, NaN at 0; float32.

    Computed in float64 where float32 is too coarse.
    """
    floating = values.dtype.kind == "f"
    wide = floating or values.dtype.itemsize > 2 or max(map(abs, limits)) > _COARSE
    scaled: NDArray[np.floating[Any]] = values.astype(
        np.float64 if wide else np.float32
    )
    if floating:
        scaled[np.isnan(scaled)] = limits[0]
    np.clip(scaled, *limits, out=scaled)
    np.subtract(scaled, limits[0], out=scaled)
    np.divide(scaled, limits[1] - limits[0], out=scaled)
    np.clip(scaled, 0, 1, out=scaled)
    return scaled.astype(np.float32, copy=False)


def to_rgb(channels: Any) -> Any:
    """Return one to three channels ``(C, ...)`` as red, green and blue.

    One channel is grey. Two become red and green, and blue is their mean, so that
    two equal channels are grey as well. Three stay.
    """
    if len(channels) == 1:
        return channels[[0, 0, 0]]
    if len(channels) == _RGB:
        return channels
    rgb = channels[[0, 1, 0]]
    rgb[2] = (channels[0] + channels[1]) / 2
    return rgb
