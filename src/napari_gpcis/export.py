"""Export of objects: OME-TIFF labels, a CSV table, COCO annotations.

All functions take a label image of any number of axes: integers, 0 and less for
background. Two of its axes are those of a picture (by default the last two); along the
others lie its planes: time points, depths. Given as `SparseLabels`, they cost what the
objects cost, whatever the size of the image.
"""

from __future__ import annotations

import csv
import json
import zlib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from napari_gpcis import geometry
from napari_gpcis.errors import InputError, check_kind, several
from napari_gpcis.files import replacing
from napari_gpcis.objects.classes import ClassedObjects, check_classes
from napari_gpcis.objects.measures import (
    PlanePixels,
    equivalent_diameter,
    mean_intensities,
)
from napari_gpcis.sparse_labels import PlaneIndex, SparseLabels, checked

if TYPE_CHECKING:
    import os
    from collections.abc import Collection, Iterator, Sequence

    from numpy.typing import ArrayLike, NDArray

    from napari_gpcis.session.labels import ObjectNote

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
    "class",
    "equivalent_diameter",
    "mean_intensity",
    "origin",
    "quality",
)
"""Columns of the table.

Boxes are half-open; ``area_units`` is in ``unit`` squared, ``equivalent_diameter`` in
``unit``. ``origin`` is how an object came: ``clicks``, ``found``, ``propagated``,
``interpolated``, ``corrected``. What is not known is empty.
"""
OME_UNITS = {
    "kilometer": "km",
    "meter": "m",
    "decimeter": "dm",
    "centimeter": "cm",
    "millimeter": "mm",
    "micrometer": "µm",
    "nanometer": "nm",
    "picometer": "pm",
    "angstrom": "Å",
    "inch": "in",
    "pixel": "pixel",
}
"""Names of units of length in napari, and what OME calls them."""
OME_TIMES = {
    "day": "d",
    "hour": "h",
    "minute": "min",
    "second": "s",
    "millisecond": "ms",
    "microsecond": "µs",
    "nanosecond": "ns",
}
"""Names of units of time in napari, and what OME calls them."""
UNKNOWN_UNIT = "reference frame"
"""Unit of OME for one that it does not know."""
LETTERS = {
    "T": ("t", "time", "times", "timepoint", "timepoints", "frame", "frames"),
    "Z": ("z", "depth", "slice", "slices", "plane", "planes"),
    "C": ("c", "ch", "channel", "channels"),
}
"""Names of axes, in lower case, that tell their letter."""
_OTHERS = "TZCRQAPHE"
"""Letters of axes that are not those of the picture; a single one is depth."""
_OME_AXES = 6
"""OME holds so many axes: T, Z, C and one more, beside those of the picture."""
_STRIP_BYTES = 1 << 18
"""Bytes of a strip of a TIFF before it is compressed."""


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

    @property
    def fits_ome(self) -> bool:
        """True if OME can hold axes of these letters in their order."""
        return self.letters.endswith("YX") and len(self.letters) <= _OME_AXES

    @classmethod
    def of(
        cls,
        ndim: int,
        scale: Sequence[float] | None = None,
        units: Sequence[str] | str = "pixel",
        axes: tuple[int, int] | None = None,
        names: Sequence[str] | None = None,
    ) -> Calibration:
        """Return a calibration, with defaults where nothing is given.

        Parameters
        ----------
        ndim
            Number of axes of the labels.
        scale, units, axes
            As above; the sign of a scale is dropped, one unit counts for all axes.
        names
            What the axes are called, such as ``("t", "y", "x")``: time, depth and
            channels are known by their names, time by its unit as well.

        Raises
        ------
        InputError
            If the axes are too few, too many or not two of them.
        """
        check_kind(ndim, (int, np.integer), "ndim", "a whole number")
        if ndim < 2:
            msg = f"labels must have rows and columns, got {ndim} axes"
            raise InputError(msg)
        named = (units,) * ndim if isinstance(units, str) else tuple(units)
        known = known_letters(names or ("",) * ndim, named)
        if axes is None:
            axes = _picture_axes(ndim, known)
        rows, cols = axes
        if ndim > len(_OTHERS) + 2:
            msg = f"labels may have up to {len(_OTHERS) + 2} axes, got {ndim}"
            raise InputError(msg)
        if not 0 <= rows < cols < ndim:
            msg = f"axes must be two of the {ndim} axes, ascending, got {axes}"
            raise InputError(msg)
        found = {rows: "Y", cols: "X"}
        found |= {a: letter for a, letter in known.items() if a not in found}
        usual = _OTHERS[: ndim - 2] if ndim != 3 else "Z"
        free = [one for one in usual + _OTHERS if one not in found.values()]
        others = iter(dict.fromkeys(free))
        name = "".join(found.get(axis) or next(others) for axis in range(ndim))
        sizes = (1.0,) * ndim
        if scale is not None:
            numbers = (int, float, np.number)
            given = several(scale, numbers, "scale", "a number for each axis")
            sizes = tuple(abs(float(size)) for size in given)
        return cls(sizes, named, (rows, cols), name)


def known_letters(names: Sequence[str], units: Sequence[str]) -> dict[int, str]:
    """Return the letters of axes that are known by name or unit, each letter once.

    Parameters
    ----------
    names, units
        What the axes are called, in any case, and their units.

    Returns
    -------
    dict
        T, Z or C by the number of the axis.
    """
    known: dict[int, str] = {}
    for axis, (name, unit) in enumerate(zip(names, units, strict=False)):
        called = str(name).strip().lower()
        letter = next((one for one, by in LETTERS.items() if called in by), "")
        letter = "T" if not letter and unit in OME_TIMES else letter
        if letter and letter not in known.values():
            known[axis] = letter
    return known


def _picture_axes(ndim: int, known: Collection[int]) -> tuple[int, int]:
    """Return the last two axes that are not known to be others."""
    free = [axis for axis in range(ndim) if axis not in known]
    rows, cols = free[-2:] if len(free) > 1 else (ndim - 2, ndim - 1)
    return rows, cols


def by_planes(labels: ArrayLike | SparseLabels, axes: tuple[int, int]) -> SparseLabels:
    """Return labels by planes along these axes."""
    if not isinstance(labels, SparseLabels):
        return SparseLabels.of(labels, axes, copy=False)
    if labels.axes == axes:
        return labels
    again = SparseLabels(labels.shape, labels.dtype, axes)
    for places, values in labels.pixels():
        again.put(places, values)
    return again


def calibrated(
    labels: ArrayLike | SparseLabels, calibration: Calibration | None
) -> Calibration:
    """Return the calibration, by default that of square pixels.

    Raises
    ------
    InputError
        If it is that of another number of axes.
    """
    if not isinstance(labels, SparseLabels):
        labels = checked(labels)
    ndim = len(labels.shape)
    if calibration is not None:
        check_kind(calibration, Calibration, "calibration", "a Calibration")
    if calibration is not None and len(calibration.letters) != ndim:
        msg = f"calibration must have the {ndim} axes of the labels, got {calibration}"
        raise InputError(msg)
    return calibration or Calibration.of(ndim)


def object_table(
    labels: ArrayLike | SparseLabels,
    clicks: Mapping[tuple[PlaneIndex, int], int] | None = None,
    calibration: Calibration | None = None,
    *,
    classes: ClassedObjects | None = None,
    notes: Mapping[tuple[PlaneIndex, int], ObjectNote] | None = None,
    image: Any = None,
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
    classes
        Classes of the objects; by default all are of the class ``object``.
    notes
        How an object came, by plane and id.
    image
        The image, of the shape of the labels, with colours on a further axis or
        without; for the mean intensity.

    Raises
    ------
    InputError
        If the labels cannot be used.
    """
    known = calibrated(labels, calibration)
    check_classes(classes)
    for name, given in (("clicks", clicks), ("notes", notes)):
        if given is not None:
            check_kind(given, Mapping, name, "a mapping by plane index and id")
    objects, named = by_planes(labels, known.axes), classes or ClassedObjects()
    height, width = (known.scale[axis] for axis in known.axes)
    unit = known.units[known.axes[0]]
    rows = []
    for index in objects.planes():
        entries = objects.objects(index)
        means: dict[int, float] = {}
        if image is not None and entries:
            place = _plane_of(index, known.axes, len(objects.shape))
            boxes = [(label, box) for label, (_, box) in entries.items()]
            pixels = PlanePixels(image, place)
            means = mean_intensities(_Pixels(objects, index), pixels, boxes)
        for label, (area, box) in entries.items():
            mask = objects.read(index, box) == label
            note = (notes or {}).get((index, label))
            quality = None if note is None else note.quality
            in_rows, in_cols = mask.sum(axis=1), mask.sum(axis=0)
            values = (
                label,
                " ".join(map(str, index)),
                area,
                area * height * width,
                unit,
                float(in_rows @ np.arange(box[0], box[2]) / area),
                float(in_cols @ np.arange(box[1], box[3]) / area),
                *box,
                (clicks or {}).get((index, label), ""),
                named.of(label).name,
                equivalent_diameter(area, height, width),
                means.get(label, ""),
                "" if note is None else note.origin,
                "" if quality is None else quality,
            )
            rows.append(dict(zip(COLUMNS, values, strict=True)))
    return rows


class _Pixels:
    """One plane of labels, of which boxes are read."""

    def __init__(self, labels: SparseLabels, index: PlaneIndex) -> None:
        self._labels, self._index = labels, index

    def __getitem__(self, place: tuple[slice, slice]) -> Any:
        """Return the labels of a box."""
        rows, cols = place
        box = rows.start, cols.start, rows.stop, cols.stop
        return self._labels.read(self._index, box)


def _plane_of(
    index: PlaneIndex, axes: tuple[int, int], ndim: int
) -> tuple[int | slice, ...]:
    """Return the index of a plane in an array."""
    steps = iter(index)
    return tuple(slice(None) if n in axes else next(steps) for n in range(ndim))


def write_table(
    path: str | os.PathLike[str],
    labels: ArrayLike | SparseLabels,
    clicks: Mapping[tuple[PlaneIndex, int], int] | None = None,
    calibration: Calibration | None = None,
    *,
    classes: ClassedObjects | None = None,
    notes: Mapping[tuple[PlaneIndex, int], ObjectNote] | None = None,
    image: Any = None,
) -> None:
    """Write `object_table` as CSV, one row for each object of each plane.

    Raises
    ------
    InputError
        If the labels cannot be used.
    OSError
        If the disk refuses; an older file stays as it was.
    """
    rows = object_table(
        labels, clicks, calibration, classes=classes, notes=notes, image=image
    )
    with (
        replacing(path) as temporary,
        temporary.open("w", newline="", encoding="utf-8") as stream,
    ):
        writer = csv.DictWriter(stream, COLUMNS)
        writer.writeheader()
        writer.writerows(rows)


def write_tiff(
    path: str | os.PathLike[str],
    labels: ArrayLike | SparseLabels,
    calibration: Calibration | None = None,
) -> None:
    """Write labels as TIFF with OME metadata: axes, and the size of a pixel.

    The axes keep their order. The integers are unsigned, of 16 bits, or of 32 if there
    are larger ids, and signed if there are ids below 0. What OME cannot hold (a picture
    along other axes than the last two, more than six axes, ids of 64 bits) is written
    as plain TIFF with the axes in its description.

    Raises
    ------
    InputError
        If the labels cannot be used.
    OSError
        If the disk refuses; an older file stays as it was.
    """
    from tifffile import imwrite

    known = calibrated(labels, calibration)
    ndim = len(known.letters)
    image = by_planes(labels, (ndim - 2, ndim - 1))
    kind = _integers(*image.range)
    ome = known.fits_ome and kind.itemsize <= 4
    metadata: dict[str, Any] = {"axes": known.letters}
    if ome:
        metadata |= _sizes(known)
    height, width = image.plane_shape
    rows = max(1, min(height, _STRIP_BYTES // max(1, width * kind.itemsize)))
    with replacing(path) as temporary:
        imwrite(
            temporary,
            _strips(image, kind, rows),
            shape=image.shape,
            dtype=kind,
            rowsperstrip=rows,
            ome=ome,
            metadata=metadata,
            photometric="minisblack",
            compression="zlib",
        )


def _integers(low: int, high: int) -> np.dtype[Any]:
    """Return the smallest integers, of 16 bits or more, for a range of labels."""
    kinds = (np.int16, np.int32, np.int64) if low < 0 else (np.uint16, np.uint32)
    for kind in kinds:
        if np.iinfo(kind).min <= low and high <= np.iinfo(kind).max:
            return np.dtype(kind)
    return np.dtype(np.uint64)


def _sizes(known: Calibration) -> dict[str, Any]:
    """Return the size of a pixel and the time between frames, as OME says it."""
    found: dict[str, Any] = {}
    for letter, size, unit in zip(known.letters, known.scale, known.units, strict=True):
        if letter == "T" and unit in OME_TIMES:
            found["TimeIncrement"] = size
            found["TimeIncrementUnit"] = OME_TIMES[unit]
        elif letter in "XYZ" and (size, unit) != (1, "pixel"):
            found[f"PhysicalSize{letter}"] = size
            found[f"PhysicalSize{letter}Unit"] = OME_UNITS.get(unit, UNKNOWN_UNIT)
    return found


def _strips(image: SparseLabels, kind: np.dtype[Any], rows: int) -> Iterator[bytes]:
    """Yield the compressed strips of all planes; all empty ones are the same bytes."""
    height, width = image.plane_shape
    empty: dict[int, bytes] = {}
    for index in image.planes():
        for start in range(0, height, rows):
            stop = min(start + rows, height)
            if image.is_empty(index, start, stop):
                count = stop - start
                if count not in empty:
                    empty[count] = zlib.compress(bytes(count * width * kind.itemsize))
                yield empty[count]
            else:
                strip = image.read(index, (start, 0, stop, width)).astype(kind)
                yield zlib.compress(strip.data)


def coco(
    labels: ArrayLike | SparseLabels,
    file_name: str,
    calibration: Calibration | None = None,
    category: str = "object",
    file_names: Mapping[PlaneIndex, str] | None = None,
    classes: ClassedObjects | None = None,
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
    file_names
        What the pictures are called, by the index of their plane, where each has a
        file of its own.
    classes
        Classes of the objects, each a category; without them, or with one class alone,
        all are of the one category.

    Raises
    ------
    InputError
        If the labels cannot be used.
    """
    check_classes(classes)
    image = by_planes(labels, calibrated(labels, calibration).axes)
    images: list[dict[str, Any]] = []
    annotations: list[dict[str, Any]] = []
    for index in image.planes():
        picture = {
            "id": len(images) + 1,
            "file_name": (file_names or {}).get(index, file_name),
            "height": image.plane_shape[0],
            "width": image.plane_shape[1],
            "plane": list(index),
        }
        images.append(picture)
        for label, (area, box) in image.objects(index).items():
            mask = image.read(index, box) == label
            annotation = _annotation(mask, box, image.plane_shape, label, area)
            annotation["id"] = len(annotations) + 1
            annotation["image_id"] = picture["id"]
            if classes is not None:
                annotation["category_id"] = 1 + classes.numbers.get(label, 0)
            annotations.append(annotation)
    return {
        "info": {"description": "made with napari-gpcis"},
        "images": images,
        "annotations": annotations,
        "categories": [
            {"id": number, "name": name, "supercategory": ""}
            for number, name in enumerate(_names(classes, category), start=1)
        ],
    }


def _names(classes: ClassedObjects | None, category: str) -> list[str]:
    """Return the names of the categories."""
    if classes is None or not classes.used:
        return [category]
    return [one.name for one in classes.classes]


def write_coco(
    path: str | os.PathLike[str],
    labels: ArrayLike | SparseLabels,
    file_name: str,
    calibration: Calibration | None = None,
    category: str = "object",
    file_names: Mapping[PlaneIndex, str] | None = None,
    classes: ClassedObjects | None = None,
) -> None:
    """Write `coco` as JSON.

    Raises
    ------
    InputError
        If the labels cannot be used.
    OSError
        If the disk refuses; an older file stays as it was.
    """
    content = coco(labels, file_name, calibration, category, file_names, classes)
    with replacing(path) as temporary:
        temporary.write_text(json.dumps(content), encoding="utf-8")


def _annotation(
    mask: NDArray[np.bool_],
    box: geometry.Box,
    shape: tuple[int, int],
    number: int,
    area: int,
) -> dict[str, Any]:
    """Return the COCO annotation of one object, without its ids in the file."""
    top, left, bottom, right = box
    runs = geometry.column_runs(mask, box, shape)
    return {
        "category_id": 1,
        "object_id": number,
        "segmentation": {"size": list(shape), "counts": runs},
        "area": area,
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
