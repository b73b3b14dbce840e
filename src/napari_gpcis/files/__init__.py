"""Atomic writes, and tables in CSV."""

from napari_gpcis.files.atomic import common_folder, replacing

__all__ = ["common_folder", "replacing"]
