"""Atomic writes, names of files that are made, and tables in CSV."""

from napari_gpcis.files.atomic import replacing
from napari_gpcis.files.names import ResultFiles, common_folder, fitting_stem

__all__ = ["ResultFiles", "common_folder", "fitting_stem", "replacing"]
