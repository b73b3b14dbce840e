"""Batch segmentation: a CSV of clicks in, one label image per image out."""

from napari_gpcis.batch.clicks_table import COLUMNS, Task, read_clicks
from napari_gpcis.batch.run import (
    Settings,
    Summary,
    segment_image,
    segment_images,
)

__all__ = [
    "COLUMNS",
    "Settings",
    "Summary",
    "Task",
    "read_clicks",
    "segment_image",
    "segment_images",
]
