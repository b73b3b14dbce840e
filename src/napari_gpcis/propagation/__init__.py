"""Propagation of an object through a stack or time-lapse, plane by plane.

The mask of one plane begins the next: it is moved to where the pixels around it are
found again, the network gets it as the previous mask, and clicks are placed where it is
deepest, as a user would place them. The agreement of two planes, and the certainty of
the model, tell where the user has to look. (Masks of a moving object that were not
moved lag behind it: the network trusts the mask before.)

Between two planes that are right the object can be interpolated without the model.
"""

from napari_gpcis.propagation.appearance import contrast_to_noise
from napari_gpcis.propagation.interpolation import interpolate
from napari_gpcis.propagation.pattern import Pattern
from napari_gpcis.propagation.plane_result import PlaneResult
from napari_gpcis.propagation.steps import (
    begin,
    follow,
    inner_clicks,
    place_mask,
    propagate_step,
)
from napari_gpcis.propagation.stop_rule import (
    StopRule,
    reason_to_doubt,
    reason_to_stop,
)

__all__ = [
    "Carried",
    "Pattern",
    "PlaneResult",
    "StopRule",
    "begin",
    "carry",
    "contrast_to_noise",
    "distinctness",
    "follow",
    "inner_clicks",
    "interpolate",
    "place_mask",
    "propagate_step",
    "reason_to_doubt",
    "reason_to_stop",
]

# the former names
Carried = PlaneResult
carry = propagate_step
distinctness = contrast_to_noise
