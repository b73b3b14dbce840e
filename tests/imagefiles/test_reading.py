"""Image files as cameras, microscopes and other programs write them."""

from __future__ import annotations

import io
import zlib
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from PIL import Image
from tifffile import TiffFile, TiffWriter, imwrite

from napari_gpcis.errors import InputError
from napari_gpcis.imagefiles import (
    exif_orientation,
    read_array,
    read_image,
    read_label_file,
)

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

_ORIENTATION = 274
STEPS = np.random.default_rng(0).integers(0, 4, (130, 170))
GREY = np.cumsum(STEPS, axis=1).astype(np.uint8)
RGB = np.stack([GREY, GREY // 2, 255 - GREY], axis=-1)
DEEP = RGB.astype(np.uint16) * 200


def packed(data: bytes) -> bytes:
    """Compress bytes by LZW, as Pillow does a picture of one row."""
    stream = io.BytesIO()
    row = Image.frombytes("L", (len(data), 1), data)
    row.save(stream, "tiff", compression="tiff_lzw", tiffinfo={278: 1})
    stream.seek(0)
    with TiffFile(stream) as file:
        page = file.pages[0]
        stream.seek(page.dataoffsets[0])
        return stream.read(page.databytecounts[0])


def write_lzw(path: Path, array: NDArray[Any], **options: Any) -> None:
    """Write a TIFF file of any layout with LZW compression."""
    imwrite(path, array, compression="zlib", **options)
    with path.open("r+b") as stream, TiffFile(stream) as file:
        for page in file.pages:
            offsets, counts = [], []
            for place, count in zip(page.dataoffsets, page.databytecounts, strict=True):
                stream.seek(place)
                segment = packed(zlib.decompress(stream.read(count)))
                stream.seek(0, 2)
                offsets.append(stream.tell())
                counts.append(len(segment))
                stream.write(segment)
            tags = (324, 325) if page.is_tiled else (273, 279)
            page.tags[tags[0]].overwrite(offsets)
            page.tags[tags[1]].overwrite(counts)
            page.tags[259].overwrite(5)


LAYOUTS: dict[str, tuple[NDArray[Any], dict[str, Any]]] = {
    "strips": (DEEP, {"photometric": "rgb", "rowsperstrip": 50}),
    "predictor": (DEEP, {"photometric": "rgb", "predictor": 2, "rowsperstrip": 50}),
    "tiles": (DEEP, {"photometric": "rgb", "tile": (64, 64), "predictor": 2}),
    "big-endian": (DEEP, {"photometric": "rgb", "byteorder": ">", "predictor": 2}),
    "floats": (GREY.astype(np.float32) / 3, {}),
}


@pytest.mark.parametrize("layout", LAYOUTS)
def test_lzw_of_every_layout(tmp_path: Path, layout: str) -> None:
    array, options = LAYOUTS[layout]
    write_lzw(tmp_path / "i.tif", array, **options)
    np.testing.assert_array_equal(read_image(tmp_path / "i.tif"), array)


def test_lzw_components_apart(tmp_path: Path) -> None:
    apart = np.moveaxis(DEEP, -1, 0).copy()
    write_lzw(tmp_path / "i.tif", apart, photometric="rgb", planarconfig="separate")
    np.testing.assert_array_equal(read_image(tmp_path / "i.tif"), DEEP)


def test_lzw_keeps_the_axes_of_ome(tmp_path: Path) -> None:
    stack = np.stack([np.stack([GREY, 255 - GREY])] * 3).astype(np.uint16)
    stack[2] //= 2
    axes = {"axes": "ZCYX"}
    write_lzw(tmp_path / "i.ome.tif", stack, metadata=axes, photometric="minisblack")
    found = read_image(tmp_path / "i.ome.tif", (2,))
    np.testing.assert_array_equal(found, np.moveaxis(stack[2], 0, -1))


@pytest.mark.parametrize("compression", ["group3", "group4"])
def test_facsimile(tmp_path: Path, compression: str) -> None:
    Image.fromarray(GREY > 100).save(tmp_path / "i.tif", compression=compression)
    np.testing.assert_array_equal(read_image(tmp_path / "i.tif"), GREY > 100)


def test_pages_in_jpeg(tmp_path: Path) -> None:
    pages = [Image.fromarray(page) for page in (GREY, GREY[::-1], 255 - GREY)]
    options = {"save_all": True, "append_images": pages[1:], "compression": "jpeg"}
    pages[0].save(tmp_path / "i.tif", **options)
    found = read_image(tmp_path / "i.tif", (2,))
    assert np.abs(found.astype(int) - (255 - GREY)).mean() < 4


@pytest.mark.parametrize("compression", [None, "tiff_lzw", "jpeg"])
def test_tiff_lies_as_it_is_stored(tmp_path: Path, compression: str | None) -> None:
    options: dict[str, Any] = {"tiffinfo": {_ORIENTATION: 6}}
    Image.fromarray(RGB).save(tmp_path / "i.tif", compression=compression, **options)
    assert read_image(tmp_path / "i.tif").shape == RGB.shape


@pytest.mark.filterwarnings("error")
def test_a_damaged_lzw_file_is_named(tmp_path: Path) -> None:
    write_lzw(tmp_path / "i.tif", DEEP, photometric="rgb")
    whole = bytearray((tmp_path / "i.tif").read_bytes())
    (tmp_path / "i.tif").write_bytes(whole[: len(whole) // 2])
    with pytest.raises(InputError, match=r"i\.tif .*damaged"):
        read_image(tmp_path / "i.tif")


@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("i.jpg", {"quality": 95}),
        ("i.tif", {}),
        ("i.tif", {"compression": "tiff_lzw"}),
    ],
)
def test_cmyk_becomes_rgb(tmp_path: Path, name: str, options: dict[str, Any]) -> None:
    Image.fromarray(RGB).convert("CMYK").save(tmp_path / name, **options)
    found = read_image(tmp_path / name)
    assert np.abs(found.astype(int) - RGB).mean() < 5


def test_other_colours_are_refused(tmp_path: Path) -> None:
    imwrite(tmp_path / "i.tif", RGB, photometric="cielab")
    with pytest.raises(InputError, match="CIELAB"):
        read_image(tmp_path / "i.tif")
    ink = np.dstack([DEEP, DEEP[..., 0]])
    imwrite(tmp_path / "i.tif", ink, photometric="separated", planarconfig="contig")
    with pytest.raises(InputError, match="CMYK"):
        read_image(tmp_path / "i.tif")


@pytest.mark.parametrize("name", ["i.jpg", "i.png"])
def test_pictures_are_turned_as_viewers_turn_them(tmp_path: Path, name: str) -> None:
    exif = Image.Exif()
    exif[_ORIENTATION] = 6
    Image.fromarray(RGB).save(tmp_path / name, exif=exif)
    found = read_image(tmp_path / name)
    turned = np.rot90(RGB, -1)
    assert found.shape == turned.shape
    assert np.abs(found.astype(int) - turned).mean() < 12
    assert exif_orientation(tmp_path / name) == 6
    Image.fromarray(RGB).save(tmp_path / name)
    assert exif_orientation(tmp_path / name) == 1


def test_two_pictures_in_one_jpeg(tmp_path: Path) -> None:
    picture = Image.fromarray(RGB)
    picture.save(tmp_path / "i.mpo", save_all=True, append_images=[picture])
    (tmp_path / "i.mpo").rename(tmp_path / "i.jpg")
    assert read_image(tmp_path / "i.jpg").shape == RGB.shape


def test_transparency_of_16_bits_is_left_out(tmp_path: Path) -> None:
    clear = np.dstack([DEEP, np.full(GREY.shape, 65535, np.uint16)])
    options: dict[str, Any] = {"photometric": "rgb", "extrasamples": ["unassalpha"]}
    imwrite(tmp_path / "i.tif", clear, **options)
    np.testing.assert_array_equal(read_image(tmp_path / "i.tif"), DEEP)
    write_lzw(tmp_path / "i.tif", clear, **options)
    np.testing.assert_array_equal(read_image(tmp_path / "i.tif"), DEEP)


def test_pages_of_unequal_size(tmp_path: Path) -> None:
    file = tmp_path / "i.tif"
    with TiffWriter(file) as writer:
        for number, shape in enumerate(((50, 60), (50, 60), (70, 40), (50, 60))):
            writer.write(np.full(shape, number, np.uint8), contiguous=False)
    for number, shape in enumerate(((50, 60), (50, 60), (70, 40), (50, 60))):
        np.testing.assert_array_equal(
            read_image(file, (number,)), np.full(shape, number)
        )
    with pytest.raises(InputError, match=r"4 pages of unequal size.*--plane"):
        read_image(file)
    with pytest.raises(InputError, match="from 0 to 3, got 4"):
        read_image(file, (4,))
    with pytest.raises(InputError, match="files of their own"):
        read_array(file)


def test_pages_of_unequal_type(tmp_path: Path) -> None:
    file = tmp_path / "i.tif"
    with TiffWriter(file) as writer:
        for dtype in (np.uint8, np.uint16, np.float32):
            writer.write(np.ones((50, 60), dtype))
    with pytest.raises(InputError, match=r"unequal type \(uint8, uint16, float32\)"):
        read_array(file)
    assert read_image(file, (2,)).dtype == np.float32


@pytest.mark.parametrize("colour", [False, True])
def test_pages_that_were_written_one_by_one_are_a_stack(
    tmp_path: Path, colour: bool
) -> None:
    file, shape = tmp_path / "i.tif", (50, 60, 3) if colour else (50, 60)
    pages = np.stack([np.full(shape, number, np.uint8) for number in range(3)])
    with TiffWriter(file) as writer:
        for page, packed in zip(pages, (None, "zlib", None), strict=True):
            options = {"photometric": "rgb"} if colour else {}
            writer.write(page, compression=packed, **options)
    array, axes = read_array(file)
    np.testing.assert_array_equal(array, pages)
    assert axes == ("IYXS" if colour else "IYX")
    np.testing.assert_array_equal(read_image(file, (1,)), pages[1])
    with pytest.raises(InputError, match="plane must have 1 indices"):
        read_image(file)
    if not colour:
        np.testing.assert_array_equal(read_label_file(file)[0], pages)


def test_a_thumbnail_is_no_page(tmp_path: Path) -> None:
    with TiffWriter(tmp_path / "i.tif") as writer:
        writer.write(GREY)
        writer.write(GREY[::8, ::8].copy(), subfiletype=1)
    np.testing.assert_array_equal(read_image(tmp_path / "i.tif"), GREY)


def test_axes_of_length_one_need_no_index(tmp_path: Path) -> None:
    axes = {"axes": "TZYX"}
    stack = np.stack([GREY, 255 - GREY])[None]
    imwrite(tmp_path / "i.ome.tif", stack, metadata=axes, photometric="minisblack")
    np.testing.assert_array_equal(read_image(tmp_path / "i.ome.tif", (1,)), 255 - GREY)
