"""The contrast that a person has chosen for an image; kept with its layer."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from napari.layers import Image

KEY = "napari-gpcis contrast"
"""Key in the layer's metadata."""


def chosen_contrast(image: Image) -> tuple[float, float] | None:
    """Return the values that become black and white; ``None``: from the values."""
    limits = image.metadata.get(KEY)
    if image.rgb or limits is None:
        return None
    low, high = limits
    return float(low), float(high)


def choose_contrast(image: Image, *, fixed: bool) -> None:
    """Fix the contrast to what the layer shows now, or free it."""
    if fixed and not image.rgb:
        image.metadata[KEY] = tuple(float(limit) for limit in image.contrast_limits)
    else:
        image.metadata.pop(KEY, None)
