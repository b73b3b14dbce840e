"""Image files and label files: read, written, split."""

from napari_gpcis.imagefiles.arrays import is_pickled
from napari_gpcis.imagefiles.labels import read_label_file, read_labels, whole_numbers
from napari_gpcis.imagefiles.ome_zarr import (
    ZarrAxes,
    is_zarr,
    label_groups,
    write_zarr,
    zarr_axes,
)
from napari_gpcis.imagefiles.outputs import (
    WRITABLE,
    check_free,
    check_output,
    is_same_file,
)
from napari_gpcis.imagefiles.pictures import exif_orientation
from napari_gpcis.imagefiles.reading import (
    PICTURES,
    READABLE,
    TIFF,
    read_array,
    read_image,
)
from napari_gpcis.imagefiles.splitting import label_files, split_labels
from napari_gpcis.imagefiles.tiff import tiff_sizes
from napari_gpcis.imagefiles.writing import write_labels

__all__ = [
    "PICTURES",
    "READABLE",
    "TIFF",
    "WRITABLE",
    "ZarrAxes",
    "check_free",
    "check_output",
    "exif_orientation",
    "is_pickled",
    "is_same_file",
    "is_zarr",
    "label_files",
    "label_groups",
    "read_array",
    "read_image",
    "read_label_file",
    "read_labels",
    "split_labels",
    "tiff_sizes",
    "whole_numbers",
    "write_labels",
    "write_zarr",
    "zarr_axes",
]
