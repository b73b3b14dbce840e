"""Stop rule: when an object counts as gone, and when the user should look at it.

Agreement and certainty can stay high while a mask drifts: it grows a little from plane
to plane, and each plane agrees with the one before. So an object is also held against
its own history since the user has seen it: its size, its shape and its brightness.
Where one of them is another, the plane is in doubt.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from napari_gpcis.propagation.appearance import MIN_STD

if TYPE_CHECKING:
    from collections.abc import Sequence

    from napari_gpcis.geometry import Mask
    from napari_gpcis.propagation.plane_result import PlaneResult

RECENT = 5
"""Brightness may change slowly: that of so many planes before is compared."""
_SHAPE_GRID = 64  # shapes are compared on a grid of so many pixels


@dataclass(frozen=True)
class StopRule:
    """Limits beyond which an object counts as gone, or as in doubt.

    Attributes
    ----------
    agreement
        It is gone where the mask agrees less than this (IoU) with the plane before.
    certainty
        It is gone where the model expects less than this agreement of its own mask.
    shrink, grow
        It is gone where its area falls below, or jumps above, this multiple of the
        area on the plane before.
    area
        It is gone where it has fewer pixels.
    distinct
        It is gone where its contrast-to-noise ratio (:func:`contrast_to_noise`) is
        less than this share of that on the plane before: where there is nothing, the
        network still gets the mask of that plane.
    size
        It is in doubt where its area is more than this multiple of that on the plane
        where the run began.
    shape
        It is in doubt where its outline, moved and scaled onto that of the plane where
        the run began, covers it less than this (IoU).
    brightness
        It is in doubt where its mean value differs from that of the planes before by
        more than this multiple of its contrast (mean inside less mean around it).
    """

    agreement: float = 0.4
    certainty: float = 0.3
    shrink: float = 0.25
    grow: float = 3.0
    area: int = 9
    distinct: float = 0.3
    size: float = 2.0
    shape: float = 0.5
    brightness: float = 0.5


def reason_to_stop(
    found: PlaneResult, before: PlaneResult, rule: StopRule | None = None
) -> str:
    """Return the reason, in words, for which an object counts as gone; empty for none.

    Parameters
    ----------
    found
        The object on the next plane.
    before
        The object on the plane before.
    rule
        When it counts as gone.
    """
    rule, area = rule or StopRule(), before.area
    if found.area < max(1, rule.area, rule.shrink * area):
        return "it has vanished"
    if found.area > rule.grow * area:
        return "the mask jumps to a larger area"
    if found.agreement < rule.agreement:
        return "the mask no longer agrees with the plane before"
    if found.distinct < rule.distinct * before.distinct:
        return "nothing stands out there"
    if found.certainty < rule.certainty:
        return "the model is no longer certain"
    return ""


def reason_to_doubt(
    found: PlaneResult, history: Sequence[PlaneResult], rule: StopRule | None = None
) -> str:
    """Return the reason, in words, to doubt a plane; empty for none.

    Parameters
    ----------
    found
        The object on the next plane.
    history
        The object on the planes before, the first being that where the user has seen
        it.
    rule
        Its limits.
    """
    rule, origin = rule or StopRule(), history[0]
    ratio = found.area / max(1, origin.area)
    if ratio > rule.size:
        return f"it is {ratio:.1f} times as large as where it began"
    recent = history[-RECENT:]
    usual = float(np.median([one.brightness for one in recent]))
    scale = float(np.median([abs(one.contrast) for one in recent]))
    if abs(found.brightness - usual) > rule.brightness * max(scale, MIN_STD):
        return "its brightness is another than on the planes before"
    if _alike(found.mask, origin.mask) < rule.shape:
        return "its shape is another than where it began"
    return ""


def _alike(one: Mask, other: Mask) -> float:
    """Return the IoU of two outlines, moved and scaled onto each other."""
    first, second = _normalised(one), _normalised(other)
    joint = np.count_nonzero(first | second)
    return float(np.count_nonzero(first & second) / joint) if joint else 0.0


def _normalised(mask: Mask) -> Mask:
    """Return a mask on a small grid, moved to its middle, all of one area."""
    rows, cols = np.nonzero(mask)
    if not len(rows):
        return np.zeros((_SHAPE_GRID, _SHAPE_GRID), dtype=bool)
    step = 3 * np.sqrt(len(rows)) / _SHAPE_GRID  # pixels of the mask a grid pixel
    places = (np.arange(_SHAPE_GRID) - (_SHAPE_GRID - 1) / 2) * step
    down = np.rint(places + rows.mean()).astype(int)
    over = np.rint(places + cols.mean()).astype(int)
    in_rows = (down >= 0) & (down < mask.shape[0])
    in_cols = (over >= 0) & (over < mask.shape[1])
    found = np.zeros((_SHAPE_GRID, _SHAPE_GRID), dtype=bool)
    found[np.ix_(in_rows, in_cols)] = mask[np.ix_(down[in_rows], over[in_cols])]
    return found
