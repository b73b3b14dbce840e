"""The former place of the segmenter: an alias for one release."""

from napari_gpcis.inference.segmenter import Box, PreparedImage, Request, Segmenter

__all__ = ["Box", "PreparedImage", "Request", "Segmenter"]
