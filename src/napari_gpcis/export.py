"""Export of objects: OME-TIFF labels, a CSV table, COCO annotations.

All functions take a label image of any number of axes, integers, 0 for background. Two
of its axes are those of a picture (by default the last two); along the others lie its
planes: time points, depths.
"""

from __future__ import annotations

import csv
import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np

from napari_gpcis import geometry
from napari_gpcis.errors import InputError
from napari_gpcis.files import replacing

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from pathlib import Path

    from numpy.typing import ArrayLike, NDArray

    Labels = NDArray[np.integer[Any]]

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
_OME_AXES = 5
_OTHERS = "TZCRQ"
"""Letters of axes that are not those of the picture; a single one is depth."""
PlaneIndex: TypeAlias = tuple[int, ...]
"""Index on the axes that are not those of the picture, in their order."""


@dataclass(frozen=True)
class Calibration:
    """Size, unit and axis of a pixel in the world.

    Attributes
    ----------
    scale
        Size of a pixel along each axis of the labels, at least 0.
    units
        Unit along each axis, such as ``"micrometer"``; ``"pixel"`` where unknown.
    axes
        The two axes of the picture: rows, columns.
    letters
        A letter for each axis, as TIFF names them: ``"TYX"``, ``"ZYX"``.

    Raises
    ------
    InputError
        If these do not belong together.
    """

    scale: tuple[float, ...]
    units: tuple[str, ...]
    axes: tuple[int, int]
    letters: str

    def __post_init__(self) -> None:
        """Check the lengths."""
        count = len(self.scale)
        if not count == len(self.units) == len(self.letters) or count < 2:
            msg = (
                "scale, units and letters must have one entry for each axis, got "
                f"{self.scale}, {self.units} and {self.letters!r}"
            )
            raise InputError(msg)
        if not all(np.isfinite(size) and size > 0 for size in self.scale):
            msg = f"scale must be positive, got {self.scale}"
            raise InputError(msg)

    @classmethod
    def of(
        cls,
        ndim: int,
        scale: Sequence[float] | None = None,
        units: Sequence[str] | str = "pixel",
        axes: tuple[int, int] | None = None,
    ) -> Calibration:
        """Return a calibration, with defaults where nothing is given.

        Parameters
        ----------
        ndim
            Number of axes of the labels.
        scale, units, axes
            As above; the sign of a scale is dropped, one unit counts for all axes.

        Raises
        ------
        InputError
            If the axes are too few, too many or not two of them.
        """
        if ndim < 2:
            msg = f"labels must have rows and columns, got {ndim} axes"
            raise InputError(msg)
        rows, cols = (ndim - 2, ndim - 1) if axes is None else axes
        if ndim > len(_OTHERS) + 2:
            msg = f"labels may have up to {len(_OTHERS) + 2} axes, got {ndim}"
            raise InputError(msg)
        if not 0 <= rows < cols < ndim:
            msg = f"axes must be two of the {ndim} axes, ascending, got {axes}"
            raise InputError(msg)
        named = (units,) * ndim if isinstance(units, str) else tuple(units)
        others = iter(_OTHERS[: ndim - 2] if ndim != 3 else "Z")
        found = {rows: "Y", cols: "X"}
        name = "".join(found.get(axis) or next(others) for axis in range(ndim))
        sizes = (1.0,) * ndim if scale is None else tuple(abs(float(s)) for s in scale)
        return cls(sizes, named, (rows, cols), name)


def object_table(
    labels: ArrayLike,
    clicks: Mapping[tuple[PlaneIndex, int], int] | None = None,
    calibration: Calibration | None = None,
) -> list[dict[str, Any]]:
    """Return one row for each object of each plane, see :data:`COLUMNS`.

    Parameters
    ----------
    labels
        The label image.
    clicks
        Number of clicks of an object, by plane and id; an object that is missing has
        an empty entry (it was not made by clicks).
    calibration
        Size and unit of a pixel; a square of side 1 by default.

    Raises
    ------
    InputError
        If the labels cannot be used.
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
        Name of the class of all objects.

    Raises
    ------
    InputError
        If the labels cannot be used.
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
    """Return the COCO annotation of one object, without its ids in the file."""
    top, left, bottom, right = geometry.box_of(mask) or geometry.EMPTY
    return {
        "category_id": 1,
        "object_id": number,
        "segmentation": {"size": list(mask.shape), "counts": run_lengths(mask)},
        "area": int(np.count_nonzero(mask)),
        "bbox": [left, top, right - left, bottom - top],
        "iscrowd": 0,
    }


def run_lengths(mask: NDArray[np.bool_]) -> list[int]:
    """Return the COCO run lengths of a mask: column by column, background first.

    Parameters
    ----------
    mask
        Shape (h, w), at least one pixel.
    """
    return list(geometry.run_lengths(mask, order="F"))


def planes(
    labels: ArrayLike, calibration: Calibration | None = None
) -> Iterator[tuple[PlaneIndex, Labels]]:
    """Yield each plane of a label image: its index, and its pixels.

    Raises
    ------
    InputError
        If the labels are no integers, or have less than two axes.
    """
    array = checked(labels)
    known = calibration or Calibration.of(array.ndim)
    moved = np.moveaxis(array, known.axes, (-2, -1))
    for index in np.ndindex(moved.shape[:-2]):
        yield index, moved[index]


def checked(labels: ArrayLike) -> Labels:
    """Return labels as an array of integers.

    Raises
    ------
    InputError
        If they are none, are negative, or have less than two axes.
    """
    array = np.asarray(labels)
    if array.ndim < 2 or array.dtype.kind not in "bui":
        msg = (
            "labels must be integers with at least two axes, got shape "
            f"{array.shape}, dtype {array.dtype}"
        )
        raise InputError(msg)
    if array.size and int(array.min()) < 0:
        msg = f"labels must be 0 or more, got {int(array.min())}"
        raise InputError(msg)
    return array
