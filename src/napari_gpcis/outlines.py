"""Outlines of objects: GeoJSON for QuPath, regions of interest for ImageJ.

An outline follows the edges of the pixels, so that filling it gives the same pixels.
Its coordinates are corners of pixels: the first pixel lies between 0 and 1.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from scipy import ndimage

from napari_gpcis.errors import InputError
from napari_gpcis.export import by_planes, calibrated
from napari_gpcis.files import replacing
from napari_gpcis.objects.classes import check_classes

if TYPE_CHECKING:
    import os
    from collections.abc import Iterator

    from numpy.typing import ArrayLike, NDArray

    from napari_gpcis.export import Calibration
    from napari_gpcis.objects.classes import ClassedObjects
    from napari_gpcis.sparse_labels import PlaneIndex, SparseLabels

    Ring = list[tuple[int, int]]

ROI, ROI_SET = ".roi", ".zip"
_STEPS = ((0, 1), (1, 0), (0, -1), (-1, 0))
"""Right, down, left, up: each is a right turn from the one before."""
_MAX_SIDE = 2**15 - 1
_MAX_CORNERS = 2**16 - 1
_MOVE, _LINE, _CLOSE = 0, 1, 4
"""Segments of a composite region in ImageJ."""
_QUPATH_CHANNELS = -1
"""All channels, in QuPath."""


class Polygon(NamedTuple):
    """One piece of an object: its outer ring, and those of its holes.

    A ring is a list of corners ``(x, y)``; the last one is not the first again.
    """

    outer: Ring
    holes: tuple[Ring, ...]


class _Object(NamedTuple):
    """An object of a plane."""

    place: PlaneIndex
    label: int
    polygons: list[Polygon]


def polygons(mask: NDArray[np.bool_]) -> list[Polygon]:
    """Return the outlines of a mask, one polygon for each piece.

    Pixels that touch at a corner only are pieces of their own.

    Parameters
    ----------
    mask
        Shape ``(rows, columns)``.
    """
    pieces, count = ndimage.label(mask)
    outer: dict[int, Ring] = {}
    holes: dict[int, list[Ring]] = {number: [] for number in range(1, count + 1)}
    for ring, (row, col) in _rings(np.asarray(mask, bool)):
        piece = int(pieces[row, col])
        if _area(ring) > 0:
            outer[piece] = ring
        else:
            holes[piece].append(ring)
    return [Polygon(outer[piece], tuple(holes[piece])) for piece in sorted(outer)]


def geojson(
    labels: ArrayLike | SparseLabels,
    calibration: Calibration | None = None,
    classes: ClassedObjects | None = None,
) -> dict[str, Any]:
    """Return the objects as GeoJSON that QuPath opens as annotations, in pixels.

    Parameters
    ----------
    labels
        The label image. An object has its label as ``name``; on a stack, one feature
        for each plane.
    calibration
        Tells which axes are those of the picture, and which is time or depth.
    classes
        Classes of the objects, which QuPath shows; none are written of one class alone.

    Raises
    ------
    InputError
        If the labels cannot be used.
    """
    check_classes(classes)
    known = calibrated(labels, calibration)
    features = []
    for found in _objects(labels, known):
        rings = [
            [_closed(ring) for ring in (p.outer, *p.holes)] for p in found.polygons
        ]
        several = len(rings) > 1
        geometry: dict[str, Any] = {
            "type": "MultiPolygon" if several else "Polygon",
            "coordinates": rings if several else rings[0],
        }
        if found.place:
            place = _place(found.place, known)
            geometry["plane"] = {
                "c": place.get("C", _QUPATH_CHANNELS),
                "z": place.get("Z", 0),
                "t": place.get("T", 0),
            }
        properties: dict[str, Any] = {
            "objectType": "annotation",
            "name": str(found.label),
            "object_id": found.label,
        }
        if classes is not None and classes.used:
            name, colour = classes.of(found.label)
            parts = (colour[place : place + 2] for place in (1, 3, 5))
            red_green_blue = [int(part, 16) for part in parts]
            properties["classification"] = {"name": name, "color": red_green_blue}
        features.append(
            {"type": "Feature", "geometry": geometry, "properties": properties}
        )
    return {"type": "FeatureCollection", "features": features}


def write_geojson(
    path: str | os.PathLike[str],
    labels: ArrayLike | SparseLabels,
    calibration: Calibration | None = None,
    classes: ClassedObjects | None = None,
) -> None:
    """Write `geojson` to a file.

    Raises
    ------
    InputError
        If the labels cannot be used.
    OSError
        If the disk refuses; an older file stays as it was.
    """
    content = geojson(labels, calibration, classes)
    with replacing(path) as temporary:
        temporary.write_text(json.dumps(content), encoding="utf-8")


def write_imagej(
    path: str | os.PathLike[str],
    labels: ArrayLike | SparseLabels,
    calibration: Calibration | None = None,
) -> None:
    """Write the objects as regions of interest that ImageJ's ROI Manager opens.

    A region is called like its label, on a stack after its plane; pieces and holes
    make it a composite one.

    Parameters
    ----------
    path
        Ends in ``.zip``; or in ``.roi`` if there is one object.
    labels
        The label image, up to 32,767 pixels a side.
    calibration
        Tells which axes are those of the picture, and which is time or depth.

    Raises
    ------
    InputError
        If the labels cannot be used, or roifile is not installed.
    OSError
        If the disk refuses; an older file stays as it was.
    """
    try:
        from roifile import roiwrite
    except ImportError as error:
        msg = "regions for ImageJ need: pip install 'napari-gpcis[imagej]'"
        raise InputError(msg) from error
    known = calibrated(labels, calibration)
    image = by_planes(labels, known.axes)
    if max(image.plane_shape) > _MAX_SIDE:
        msg = f"regions for ImageJ reach to {_MAX_SIDE} pixels, got {image.shape}"
        raise InputError(msg)
    regions = [_region(found, known) for found in _objects(image, known)]
    if not regions:
        msg = "the labels have no object"
        raise InputError(msg)
    single = Path(path).suffix.lower() == ROI
    if single and len(regions) > 1:
        msg = f"a .roi file holds one object, got {len(regions)}: use .zip"
        raise InputError(msg)
    with replacing(path) as temporary:
        roiwrite(temporary, regions[0] if single else regions, mode="w")


def _objects(
    labels: ArrayLike | SparseLabels, calibration: Calibration
) -> Iterator[_Object]:
    """Yield the objects of all planes with their outlines."""
    image = by_planes(labels, calibration.axes)
    for index in image.planes():
        for number, (_, box) in image.objects(index).items():
            found = polygons(image.read(index, box) == number)
            shifted = [_shifted(one, box[0], box[1]) for one in found]
            yield _Object(index, int(number), shifted)


def _rings(mask: NDArray[np.bool_]) -> Iterator[tuple[Ring, tuple[int, int]]]:
    """Yield all outlines of a mask, and a pixel of the object inside each.

    The object lies on the right hand; where two pixels touch at a corner the outline
    turns right and stays with its own.
    """
    padded = np.pad(mask, 1)
    inner = padded[1:-1, 1:-1]
    outside = (
        padded[:-2, 1:-1],
        padded[1:-1, 2:],
        padded[2:, 1:-1],
        padded[1:-1, :-2],
    )
    starts = ((0, 0), (0, 1), (1, 1), (1, 0))
    edges: dict[tuple[int, int], list[int]] = {}
    pixels: dict[tuple[int, int, int], tuple[int, int]] = {}
    for way, (neighbour, (down, right)) in enumerate(zip(outside, starts, strict=True)):
        for row, col in zip(*np.nonzero(inner & ~neighbour), strict=True):
            corner = int(row) + down, int(col) + right
            edges.setdefault(corner, []).append(way)
            pixels[(*corner, way)] = int(row), int(col)
    while edges:
        corner = next(iter(edges))
        way = edges[corner][0]
        pixel = pixels[(*corner, way)]
        yield _follow(edges, corner, way), pixel


def _follow(
    edges: dict[tuple[int, int], list[int]], corner: tuple[int, int], way: int
) -> Ring:
    """Return the outline from an edge on, and take its edges away."""
    ring: Ring = []
    start, first, before = corner, way, -1
    while True:
        ways = edges[corner]
        ways.remove(way)
        if not ways:
            del edges[corner]
        if way != before:
            ring.append((corner[1], corner[0]))
        before = way
        corner = corner[0] + _STEPS[way][0], corner[1] + _STEPS[way][1]
        right, ways = (way + 1) % 4, edges.get(corner, [])
        if corner == start and (first == right or right not in ways):
            break
        way = right if right in ways else ways[0]
    if before == first:
        ring.pop(0)  # it began in the middle of a side
    return ring


def _area(ring: Ring) -> float:
    """Return the signed area; that of an outer ring is positive."""
    x, y = np.array(ring, float).T
    return float((x * np.roll(y, -1) - np.roll(x, -1) * y).sum() / 2)


def _shifted(polygon: Polygon, rows: int, cols: int) -> Polygon:
    """Return a polygon at its place in the plane."""
    outer, *holes = (
        [(x + cols, y + rows) for x, y in ring] for ring in (polygon[0], *polygon[1])
    )
    return Polygon(outer, tuple(holes))


def _closed(ring: Ring) -> list[list[int]]:
    """Return a ring that ends where it begins, as GeoJSON wants it."""
    return [list(corner) for corner in (*ring, ring[0])]


def _place(index: PlaneIndex, calibration: Calibration) -> dict[str, int]:
    """Return the index on each axis that is not one of the picture, by letter."""
    others = [
        letter
        for axis, letter in enumerate(calibration.letters)
        if axis not in calibration.axes
    ]
    return dict(zip(others, index, strict=True))


def _region(found: _Object, calibration: Calibration) -> Any:
    """Return an object as a region of interest."""
    from roifile import ROI_TYPE, ImagejRoi

    corners = np.array([corner for one in found.polygons for corner in one.outer])
    (left, top), (right, bottom) = corners.min(0), corners.max(0)
    place = _place(found.place, calibration)
    prefix = "".join(f"{letter.lower()}{step + 1}-" for letter, step in place.items())
    region = ImagejRoi()
    region.name = f"{prefix}{found.label}"
    region.top, region.left = int(top), int(left)
    region.bottom, region.right = int(bottom), int(right)
    if len(place) == 1:
        region.position = found.place[0] + 1
    elif place:
        region.c_position = place.get("C", 0) + 1
        region.z_position = place.get("Z", 0) + 1
        region.t_position = place.get("T", 0) + 1
    simple = len(found.polygons) == 1 and not found.polygons[0].holes
    if simple and len(corners) <= _MAX_CORNERS:
        region.roitype = ROI_TYPE.TRACED
        region.n_coordinates = len(corners)
        region.integer_coordinates = (corners - (left, top)).astype(np.int32)
        return region
    region.roitype = ROI_TYPE.RECT
    values: list[int] = []
    for polygon in found.polygons:
        for ring in (polygon.outer, *polygon.holes):
            for number, (x, y) in enumerate(ring):
                values += [_LINE if number else _MOVE, x, y]
            values.append(_CLOSE)
    region.multi_coordinates = np.array(values, np.float32)
    region.shape_roi_size = len(values)
    return region
