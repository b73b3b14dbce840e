"""Superpixels: small connected regions of similar pixels, learned or by SLIC.

Importing this package does not import PyTorch.
"""

from napari_gpcis.superpixels.methods import METHODS, checked_method, superpixels
from napari_gpcis.superpixels.snapping import snap
from napari_gpcis.superpixels.superpixel_gp import SuperpixelGP, SuperpixelPrediction

__all__ = [
    "METHODS",
    "SuperpixelGP",
    "SuperpixelPrediction",
    "checked_method",
    "snap",
    "superpixels",
]
