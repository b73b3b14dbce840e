"""Objects for other programs: OME-TIFF labels, a table of objects, COCO annotations.

All functions take a label image of any number of axes, integers, 0 for background. Two
of its axes are those of a picture (by default the last two); along the others lie its
planes: time points, depths.
"""

from __future__ import annotations

import csv
import json
from typing import TYPE_CHECKING, Any

import numpy as np

from napari_gpcis._calibration import Calibration, PlaneIndex, checked, planes
from napari_gpcis.errors import InputError
from napari_gpcis.files import replacing

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from numpy.typing import ArrayLike, NDArray

__all__ = [
    "COLUMNS",
    "Calibration",
    "PlaneIndex",
    "coco",
    "object_table",
    "planes",
    "run_lengths",
    "write_coco",
    "write_table",
    "write_tiff",
]

_OME_AXES = 5

COLUMNS = (
    "id",
    "plane",
    "area",
    "area_units",
    "unit",
    "centroid_row",
    "centroid_column",
    "row_min",
    "column_min",
    "row_max",
    "column_max",
    "clicks",
)
"""Columns of the table. Boxes are half-open; ``area_units`` is in ``unit`` squared."""


def object_table(
    labels: ArrayLike,
    clicks: Mapping[tuple[PlaneIndex, int], int] | None = None,
    calibration: Calibration | None = None,
) -> list[dict[str, Any]]:
    """Describe each object of each plane, see :data:`COLUMNS`.

    Parameters
    ----------
    labels
        The label image.
    clicks
        Number of clicks of an object, by plane and id; an object that is missing has
        an empty entry (it was not made by clicks).
    calibration
        What a pixel is; a square of side 1 by default.
    """
    from skimage.measure import regionprops

    array = checked(labels)
    known = calibration or Calibration.of(array.ndim)
    height, width = (known.scale[axis] for axis in known.axes)
    unit = known.units[known.axes[0]]
    rows = []
    for index, plane in planes(array, known):
        for region in regionprops(plane.astype(np.int64, copy=False)):
            area = int(region.num_pixels)
            row, column = (float(value) for value in region.centroid)
            box = (int(value) for value in region.bbox)
            number = (clicks or {}).get((index, int(region.label)), "")
            values = (
                int(region.label),
                " ".join(map(str, index)),
                area,
                area * height * width,
                unit,
                row,
                column,
                *box,
                number,
            )
            rows.append(dict(zip(COLUMNS, values, strict=True)))
    return rows


def write_table(
    path: Path,
    labels: ArrayLike,
    clicks: Mapping[tuple[PlaneIndex, int], int] | None = None,
    calibration: Calibration | None = None,
) -> None:
    """Write `object_table` as CSV, one row for each object of each plane.

    Raises
    ------
    InputError
        If the labels cannot be used.
    OSError
        If the disk refuses; an older file stays as it was.
    """
    rows = object_table(labels, clicks, calibration)
    with (
        replacing(path) as temporary,
        temporary.open("w", newline="", encoding="utf-8") as stream,
    ):
        writer = csv.DictWriter(stream, COLUMNS)
        writer.writeheader()
        writer.writerows(rows)


def write_tiff(
    path: Path, labels: ArrayLike, calibration: Calibration | None = None
) -> None:
    """Write labels as TIFF with OME metadata: axes, and the size of a pixel.

    The integers are unsigned, of 16 bits, or of 32 if there are more objects.

    Raises
    ------
    InputError
        If the labels cannot be used.
    OSError
        If the disk refuses; an older file stays as it was.
    """
    from tifffile import imwrite

    array = checked(labels)
    known = calibration or Calibration.of(array.ndim)
    if array.ndim > _OME_AXES:
        msg = f"TIFF with OME metadata holds {_OME_AXES} axes, got {array.ndim}"
        raise InputError(msg)
    small = int(array.max(initial=0)) <= np.iinfo(np.uint16).max
    kind = np.uint16 if small else np.uint32
    metadata: dict[str, Any] = {"axes": known.letters}
    for letter, size, unit in zip(known.letters, known.scale, known.units, strict=True):
        if letter in "XYZ" and (size, unit) != (1, "pixel"):
            metadata[f"PhysicalSize{letter}"] = size
            metadata[f"PhysicalSize{letter}Unit"] = OME_UNITS.get(unit, unit)
    with replacing(path) as temporary:
        imwrite(
            temporary,
            array.astype(kind),
            ome=True,
            metadata=metadata,
            photometric="minisblack",
            compression="zlib",
        )


OME_UNITS = {
    "meter": "m",
    "centimeter": "cm",
    "millimeter": "mm",
    "micrometer": "µm",
    "nanometer": "nm",
    "angstrom": "Å",
    "second": "s",
}
"""Names of units in napari, and what OME calls them."""


def coco(
    labels: ArrayLike,
    file_name: str,
    calibration: Calibration | None = None,
    category: str = "object",
) -> dict[str, Any]:
    """Return COCO annotations: one image for each plane, one mask for each object.

    Masks are run-length encoded (column by column, uncompressed), which every reader
    of COCO takes; ``bbox`` is x, y, width, height. An object keeps its id as
    ``object_id`` in all planes.

    Parameters
    ----------
    labels
        The label image.
    file_name
        What the image is called; planes of a stack have their index as ``plane``.
    calibration
        Tells which axes are those of the picture.
    category
        What the objects are.
    """
    images: list[dict[str, Any]] = []
    annotations: list[dict[str, Any]] = []
    for index, plane in planes(labels, calibration):
        picture = {
            "id": len(images) + 1,
            "file_name": file_name,
            "height": plane.shape[0],
            "width": plane.shape[1],
            "plane": list(index),
        }
        images.append(picture)
        for number in np.unique(plane[plane > 0]):
            annotation = _annotation(plane == number, int(number))
            annotation["id"] = len(annotations) + 1
            annotation["image_id"] = picture["id"]
            annotations.append(annotation)
    return {
        "info": {"description": "made with napari-gpcis"},
        "images": images,
        "annotations": annotations,
        "categories": [{"id": 1, "name": category, "supercategory": ""}],
    }


def write_coco(
    path: Path,
    labels: ArrayLike,
    file_name: str,
    calibration: Calibration | None = None,
    category: str = "object",
) -> None:
    """Write `coco` as JSON.

    Raises
    ------
    InputError
        If the labels cannot be used.
    OSError
        If the disk refuses; an older file stays as it was.
    """
    content = coco(labels, file_name, calibration, category)
    with replacing(path) as temporary:
        temporary.write_text(json.dumps(content), encoding="utf-8")


def _annotation(mask: NDArray[np.bool_], number: int) -> dict[str, Any]:
    rows = np.flatnonzero(mask.any(axis=1))
    cols = np.flatnonzero(mask.any(axis=0))
    box = [
        int(cols[0]),
        int(rows[0]),
        int(cols[-1] - cols[0]) + 1,
        int(rows[-1] - rows[0]) + 1,
    ]
    return {
        "category_id": 1,
        "object_id": number,
        "segmentation": {"size": list(mask.shape), "counts": run_lengths(mask)},
        "area": int(np.count_nonzero(mask)),
        "bbox": box,
        "iscrowd": 0,
    }


def run_lengths(mask: NDArray[np.bool_]) -> list[int]:
    """Return the lengths of the runs of a mask, column by column, background first."""
    flat = np.concatenate([[False], mask.ravel(order="F"), [not mask.flat[-1]]])
    ends = np.flatnonzero(flat[1:] != flat[:-1])
    return [int(length) for length in np.diff(ends, prepend=0)]
