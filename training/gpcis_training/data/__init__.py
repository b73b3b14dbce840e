"""Training data: folders of images and labels, simulated clicks, samples."""

from gpcis_training.data.folders import (
    FORMS,
    IMAGE_SUFFIXES,
    MIN_OBJECT,
    DataFolder,
    Pair,
    Target,
    draw_ids,
    draw_target,
    find_pairs,
    make_target,
    read_image,
    read_labels,
)

__all__ = [
    "FORMS",
    "IMAGE_SUFFIXES",
    "MIN_OBJECT",
    "DataFolder",
    "Pair",
    "Target",
    "draw_ids",
    "draw_target",
    "find_pairs",
    "make_target",
    "read_image",
    "read_labels",
]
