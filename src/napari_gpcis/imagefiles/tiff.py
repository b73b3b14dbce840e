"""TIFF files, of every compression that tifffile or Pillow decodes."""

from __future__ import annotations

import logging
import struct
import zlib
from io import BytesIO
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from napari_gpcis.errors import InputError
from napari_gpcis.imagefiles.pictures import colours
from napari_gpcis.imagefiles.planes import check_step, plane_index

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from numpy.typing import NDArray
    from tifffile import TiffFile, TiffFrame, TiffPage, TiffPageSeries

_LZW, _JPEG, _DEFLATE = 5, (6, 7), 8
_CMYK, _YCBCR, _LAB = 5, 6, (8, 9, 10)
"""Numbers of compressions and colour spaces in TIFF."""
_ALPHA = (1, 2)
"""Kinds of extra samples that are transparency."""
_COMPRESSION, _ORIENTATION = 259, 274
_SEGMENTS = ((273, 279), (324, 325))
"""Tags of strips and of tiles: their places, their sizes."""
_ORDINARY = ("generic", "uniform", "shaped")
"""Series of pages that belong to no format in which several sizes have a meaning."""

_IMAGEJ_UNITS = {
    **dict.fromkeys(("µm", "μm", "um", "micron", "microns", "micrometer"), "µm"),
    **dict.fromkeys(("nm", "nanometer"), "nm"),
    **dict.fromkeys(("pm", "picometer"), "pm"),
    **dict.fromkeys(("mm", "millimeter"), "mm"),
    **dict.fromkeys(("cm", "centimeter"), "cm"),
    **dict.fromkeys(("m", "meter"), "m"),
    **dict.fromkeys(("inch", "inches", "in"), "in"),
    **dict.fromkeys(("å", "angstrom"), "Å"),
    **dict.fromkeys(("s", "sec", "second", "seconds"), "s"),
    **dict.fromkeys(("ms", "msec", "millisecond"), "ms"),
    **dict.fromkeys(("min", "minute", "minutes"), "min"),
    **dict.fromkeys(("h", "hour", "hours"), "h"),
}
"""Units as ImageJ and its plug-ins spell them, in lower case, and the names of OME."""


def read_tiff(path: Path, plane: Sequence[int] | None) -> tuple[NDArray[Any], str]:
    """Read the first series of a TIFF file, its channels moved to the last axis.

    Of pages that were written one by one, `plane` is the number of one; all of one
    size and type are a stack. Three or four planes that were written as the components
    of colours are a stack if `plane` has an index for them.
    """
    image, axes, plane, alpha = _stored(path, plane)
    if axes.startswith("S") and plane is not None and len(plane) == len(axes) - 2:
        axes = "Q" + axes[1:]
    for channel in "SC":
        if channel in axes:
            image = np.moveaxis(image, axes.index(channel), -1)
            axes = axes.replace(channel, "") + channel
            break
    if alpha and axes.endswith("S") and image.shape[-1] in (2, 4):
        image = image[..., :-1]
    if plane is None:
        return image, axes
    return image[plane_index(image.shape, axes, plane)], axes


def read_label_tiff(path: Path) -> tuple[NDArray[Any], str]:
    """Read the first series of a TIFF file in the order of its axes.

    Labels have no colours: components that lie apart are planes.
    """
    image, axes = _stored(path, None)[:2]
    if axes.startswith("S"):
        axes = "Q" + axes[1:]
    return image, axes


def tiff_sizes(path: Path) -> dict[str, tuple[float, str]]:
    """Return the size of a pixel that an OME-TIFF names, or one that ImageJ wrote.

    The resolution of other files is that of a printer, and no size of what is seen.

    Returns
    -------
    dict
        Size and unit, as OME writes it (``"µm"``), by the letter of the axis: X, Y, Z,
        and T for the time between frames. Empty for other files.
    """
    from tifffile import TiffFile

    with TiffFile(path) as file:
        if file.ome_metadata:
            return _ome_sizes(file.ome_metadata)
        return _imagej_sizes(file) if file.imagej_metadata else {}


def _ome_sizes(text: str) -> dict[str, tuple[float, str]]:
    """Return size and unit of a pixel from the XML of OME."""
    from xml.etree.ElementTree import ParseError

    from tifffile import xml2dict

    try:
        images = xml2dict(text)["OME"]["Image"]
        pixels = (images[0] if isinstance(images, list) else images).get("Pixels", {})
    except (ParseError, KeyError, AttributeError):  # pixels can be read without it
        return {}
    names = {one: f"PhysicalSize{one}" for one in "XYZ"} | {"T": "TimeIncrement"}
    found = {}
    for letter, name in names.items():
        size = pixels.get(name)
        if isinstance(size, (int, float)) and 0 < size < float("inf"):
            usual = "s" if letter == "T" else "µm"
            found[letter] = float(size), str(pixels.get(f"{name}Unit", usual))
    return found


def _imagej_sizes(file: TiffFile) -> dict[str, tuple[float, str]]:
    """Return size and unit of a pixel as ImageJ has written them.

    It counts pixels per unit in the tags of the resolution, and names the unit in its
    own lines, with those of rows, depth and time where they are others.
    """
    known = file.imagej_metadata or {}
    across, down = file.pages.first.get_resolution()
    sizes = {
        "X": (1 / across if across else 0, known.get("unit")),
        "Y": (1 / down if down else 0, known.get("yunit", known.get("unit"))),
        "Z": (known.get("spacing", 0), known.get("zunit", known.get("unit"))),
        "T": (known.get("finterval", 0), known.get("tunit", "s")),
    }
    found = {}
    for letter, (size, name) in sizes.items():
        unit = _IMAGEJ_UNITS.get(str(name).strip().replace(r"\u00B5", "µ").lower())
        if unit and isinstance(size, (int, float)) and 0 < abs(size) < float("inf"):
            found[letter] = abs(float(size)), unit
    return found


class _Stored(NamedTuple):
    """Pixels of a file in the order of its axes.

    Attributes
    ----------
    image, axes
        The pixels, and a letter for each axis.
    plane
        What is left to choose of a plane.
    alpha
        Whether the last component is transparency.
    """

    image: NDArray[Any]
    axes: str
    plane: Sequence[int] | None
    alpha: bool


def _stored(path: Path, plane: Sequence[int] | None) -> _Stored:
    """Return what a file holds, of single pages the chosen one."""
    from tifffile import TiffFile

    # what tifffile logs about a damaged file comes as an exception as well
    logging.getLogger("tifffile").setLevel(logging.CRITICAL)
    with TiffFile(path) as file:
        series = file.series[0]
        pages = _single_pages(file)
        if pages and _are_alike(pages) and (plane is None or len(plane) != 1):
            stack = [_pixels(path, one) for one in pages]
            image, axes = np.stack([one for one, _ in stack]), "I" + stack[0][1]
        else:
            if pages:
                series, plane = _one_page(pages, plane), ()
            image, axes = _pixels(path, series)
        alpha = _has_alpha(series.keyframe)
    return _Stored(image, axes, plane, alpha)


def _pixels(path: Path, series: TiffPageSeries) -> tuple[NDArray[Any], str]:
    """Return the pixels of a series, by whatever decodes them."""
    try:
        return _decoded(path, series)
    except (ValueError, ImportError) as error:
        if isinstance(error, ValueError) and "imagecodecs" not in str(error):
            raise
        return _without_imagecodecs(path, series, error)


def _are_alike(pages: list[TiffPageSeries]) -> bool:
    """Return whether pages that were written one by one are planes of a stack."""
    return len({(tuple(one.shape), one.dtype, one.axes) for one in pages}) == 1


def _single_pages(file: TiffFile) -> list[TiffPageSeries]:
    """Return the pages of a file in which they belong to no series, else nothing."""
    whole = [one for one in file.series if not one.keyframe.is_reduced]
    if len(whole) < 2 or any(one.kind not in _ORDINARY for one in whole):
        return []
    return _pages(file)


def _pages(file: TiffFile) -> list[TiffPageSeries]:
    """Return each page of a file as a series of its own, thumbnails left out."""
    from tifffile import TiffPageSeries

    found = []
    for page in file.pages:
        whole = page.aspage()
        if not whole.is_reduced:
            found.append(TiffPageSeries([whole], whole.shape, whole.dtype, whole.axes))
    return found


def _one_page(
    pages: list[TiffPageSeries], plane: Sequence[int] | None
) -> TiffPageSeries:
    """Return the page that is chosen."""
    if plane is None or len(plane) != 1:
        wish = "save them as files of their own"
        if plane is not None:
            wish = "choose one with --plane I, from 0"
        sizes = [" x ".join(map(str, one.shape)) for one in pages]
        types = [str(one.dtype) for one in pages]
        differ, values = ("type", types) if len({*sizes}) == 1 else ("size", sizes)
        listed = ", ".join(values[:4])
        msg = f"image has {len(pages)} pages of unequal {differ} ({listed}): {wish}"
        raise InputError(msg)
    check_step(plane[0], len(pages))
    return pages[plane[0]]


def _decoded(path: Path, series: TiffPageSeries) -> tuple[NDArray[Any], str]:
    """Return the pixels of a series; colours that are no RGB are converted."""
    page, axes = series.keyframe, str(series.axes)
    if page.photometric in _LAB:
        msg = f"image {path} has CIELAB colours: save it as RGB"
        raise InputError(msg)
    unconverted = page.photometric == _YCBCR and page.compression not in _JPEG
    if page.photometric == _CMYK or unconverted:
        if page.dtype != np.uint8 or not axes.endswith("S"):
            msg = f"image {path} has CMYK or YCbCr colours: save it as RGB"
            raise InputError(msg)
        return _by_pillow(path, series), axes
    return np.asarray(series.asarray()), axes


def _without_imagecodecs(
    path: Path, series: TiffPageSeries, error: Exception
) -> tuple[NDArray[Any], str]:
    """Return the pixels of a series that tifffile alone cannot decode."""
    from tifffile import TiffFile

    page, axes = series.keyframe, str(series.axes)
    try:
        if page.compression != _LZW:
            return _by_pillow(path, series), axes
        whole = BytesIO(path.read_bytes())
        with TiffFile(whole, mode="r+") as copy:
            for one in copy.pages:
                _unpack_lzw(whole, one.aspage())
        whole.seek(0)
        with TiffFile(whole) as copy:
            image = _same_series(copy, series).asarray()
        return np.asarray(image), axes
    except (OSError, SyntaxError, ValueError, TypeError, IndexError) as why:
        msg = (
            f"image {path} has a compression that needs more to be read (pip install "
            f"imagecodecs), or is damaged: {error}; {why}"
        )
        raise InputError(msg) from why


def _same_series(copy: TiffFile, series: TiffPageSeries) -> TiffPageSeries:
    """Return the series of a copy that begins with the same page."""
    from tifffile import TiffPageSeries

    for one in copy.series:
        same = one.keyframe.index == series.keyframe.index
        if same and tuple(one.shape) == tuple(series.shape):
            return one
    page = copy.pages[series.keyframe.index].aspage()
    return TiffPageSeries([page], page.shape, page.dtype, page.axes)


def _by_pillow(path: Path, series: TiffPageSeries) -> NDArray[Any]:
    """Return the pixels of a series as Pillow decodes its pages."""
    from PIL import Image

    planes: list[NDArray[Any] | None] = []
    with Image.open(path) as picture:
        for page in series.pages:
            planes.append(None if page is None else _page_by_pillow(picture, page))
    known = next(plane for plane in planes if plane is not None)
    filled = [np.zeros_like(known) if plane is None else plane for plane in planes]
    shape = tuple(series.shape)
    if str(series.axes).endswith("S") and known.ndim == 3:
        shape = (*shape[:-1], known.shape[-1])
    return np.stack(filled).reshape(shape)


def _page_by_pillow(picture: Any, page: TiffPage | TiffFrame) -> NDArray[Any]:
    """Return one page, with rows and columns as they lie in the file."""
    from PIL.Image import Transpose

    back = {
        2: Transpose.FLIP_LEFT_RIGHT,
        3: Transpose.ROTATE_180,
        4: Transpose.FLIP_TOP_BOTTOM,
        5: Transpose.TRANSPOSE,
        6: Transpose.ROTATE_90,
        7: Transpose.TRANSVERSE,
        8: Transpose.ROTATE_270,
    }
    picture.seek(page.index)
    turned = back.get(picture.tag_v2.get(_ORIENTATION, 1))
    picture.load()  # Pillow turns it by its orientation, tifffile does not
    return colours(picture if turned is None else picture.transpose(turned))


def _unpack_lzw(stream: BytesIO, page: TiffPage) -> None:
    """Replace the LZW segments of a page in a file by ones that tifffile decodes."""
    if page.compression != _LZW:
        return
    sizes = _segment_sizes(page)
    offsets, counts = [], []
    for number, (offset, count) in enumerate(
        zip(page.dataoffsets, page.databytecounts, strict=True)
    ):
        stream.seek(offset)
        plain = b""
        if count:
            size = sizes[number % len(sizes)]
            plain = zlib.compress(_decode_lzw(stream.read(count), size), level=0)
        stream.seek(0, 2)
        offsets.append(stream.tell() if count else 0)
        counts.append(len(plain))
        stream.write(plain)
    places, lengths = next(pair for pair in _SEGMENTS if pair[0] in page.tags)
    page.tags[places].overwrite(offsets)
    page.tags[lengths].overwrite(counts)
    page.tags[_COMPRESSION].overwrite(_DEFLATE)


def _segment_sizes(page: TiffPage) -> list[int]:
    """Return the bytes of each decoded segment of one component of a page."""
    samples = page.samplesperpixel if page.planarconfig == 1 else 1
    if page.is_tiled:
        row = -(-page.tilewidth * samples * page.bitspersample // 8)
        return [row * page.tilelength * max(page.tiledepth, 1)]
    row = -(-page.imagewidth * samples * page.bitspersample // 8)
    rows = min(page.rowsperstrip or page.imagelength, page.imagelength)
    starts = range(0, page.imagelength, rows)
    return [row * min(rows, page.imagelength - start) for start in starts]


def _decode_lzw(data: bytes, size: int) -> bytes:
    """Decode LZW to so many bytes: Pillow reads them as a picture of one row."""
    from PIL.TiffImagePlugin import TiffImageFile

    entries = (
        (256, 4, size),
        (257, 4, 1),
        (258, 3, 8),
        (_COMPRESSION, 3, _LZW),
        (262, 3, 1),
        (273, 4, 8 + 2 + 10 * 12 + 4),
        (277, 3, 1),
        (278, 4, 1),
        (279, 4, len(data)),
        (284, 3, 1),
    )
    head = struct.pack("<2sHIH", b"II", 42, 8, len(entries))
    head += b"".join(struct.pack("<HHII", tag, kind, 1, n) for tag, kind, n in entries)
    with TiffImageFile(BytesIO(head + bytes(4) + data)) as row:
        return np.asarray(row).tobytes()


def _has_alpha(page: TiffPage) -> bool:
    """Return whether the last sample of a page is its transparency."""
    extra = page.extrasamples
    return bool(extra) and int(extra[-1]) in _ALPHA
