"""Training data: folders of images and labels, simulated clicks, samples."""

from gpcis_training.data.folders import (
    FORMS,
    DataFolder,
    Pair,
    Target,
    draw_ids,
    draw_target,
    find_pairs,
    make_target,
    read_labels,
)

__all__ = [
    "FORMS",
    "DataFolder",
    "Pair",
    "Target",
    "draw_ids",
    "draw_target",
    "find_pairs",
    "make_target",
    "read_labels",
]
