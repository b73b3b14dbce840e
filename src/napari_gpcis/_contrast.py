"""Which values of an image become black and white."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np

from napari_gpcis.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

Limits: TypeAlias = tuple[float, float]

PERCENTILES = (0.1, 99.9)
"""Percentiles that become black and white unless a contrast is given."""


def checked_contrast(contrast: Sequence[float]) -> Limits:
    """Return a contrast that a person gave as two numbers, or raise."""
    try:
        low, high = (float(value) for value in contrast)
    except (TypeError, ValueError):
        msg = f"contrast must be two numbers (low, high), got {contrast!r}"
        raise InputError(msg) from None
    if not (low < high and math.isfinite(high - low)):
        msg = f"contrast must be finite with low < high, got {contrast!r}"
        raise InputError(msg)
    return low, high


def not_finite(bad: int, total: int, where: str) -> InputError:
    """Return the error that tells of NaN or infinite values."""
    msg = (
        f"image must have finite values, but {bad} of the {total} values in {where} "
        "are NaN or infinite; replace them first, for example with "
        "numpy.nan_to_num(image)"
    )
    return InputError(msg)


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
    return bool(sample.min() >= 0 and sample.max() <= 1)


def _stretch(sample: NDArray[Any]) -> Limits:
    """Return percentiles; the extremes where those coincide; never an empty range."""
    values = sample.astype(np.float64)
    if not np.isfinite(values).all():  # beyond float64: longdouble only
        raise not_finite(int((~np.isfinite(values)).sum()), values.size, "float64")
    low, high = (float(limit) for limit in np.percentile(values, PERCENTILES))
    if not low < high:
        low, high = float(values.min()), float(values.max())
    if not math.isfinite(high - low):
        msg = f"image must have a finite range, got values from {low} to {high}"
        raise InputError(msg)
    return (low, high) if low < high else (low, low + max(1.0, abs(low)))
