"""OME-Zarr, versions 0.4 and 0.5: images and labels, read and written."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import zarr

from gpcis_training.data.pairing import find_pairs_of_files
from gpcis_training.finetuning.reading import ReadingRule, read_planes
from napari_gpcis.cli import main
from napari_gpcis.errors import InputError
from napari_gpcis.imagefiles import (
    ZarrAxes,
    read_array,
    read_image,
    read_labels,
    write_labels,
    write_zarr,
)
from napari_gpcis.imagefiles.ome_zarr import zarr_axes, zarr_version

if TYPE_CHECKING:
    from pathlib import Path

RNG = np.random.default_rng(0)
MOVIE = RNG.integers(0, 500, (2, 3, 4, 50, 60)).astype(np.uint16)
LABELS = np.zeros((50, 60), np.int32)
LABELS[5:20, 5:25] = 7
LABELS[30:45, 30:50] = 9
SCALE = (1.0, 1.0, 2.0, 0.5, 0.25)


def write_image(path: Path, array: np.ndarray, version: str) -> Path:
    """Write an image as other programs do, the letters of its axes by their number."""
    old = version == "0.4"
    group = zarr.open_group(str(path), mode="w", zarr_format=2 if old else 3)
    names = "tczyx"[5 - array.ndim :]
    options: dict[str, Any] = {}
    if old:
        options["chunk_key_encoding"] = {"name": "v2", "separator": "/"}
    chunks = (*(1,) * (array.ndim - 2), 32, 32)
    stored = group.create_array(
        "s0", shape=array.shape, dtype=array.dtype, chunks=chunks, **options
    )
    stored[...] = array
    kinds = {"t": "time", "c": "channel"}
    axes = [{"name": name, "type": kinds.get(name, "space")} for name in names]
    for axis in axes[-2:]:
        axis["unit"] = "micrometer"
    scale = {"type": "scale", "scale": list(SCALE[5 - array.ndim :])}
    sets = [{"path": "s0", "coordinateTransformations": [scale]}]
    content: dict[str, Any] = {"multiscales": [{"axes": axes, "datasets": sets}]}
    group.attrs.update(content if old else {"ome": {"version": version, **content}})
    return path


@pytest.fixture(params=["0.4", "0.5"])
def version(request: pytest.FixtureRequest) -> str:
    return str(request.param)


def test_a_plane_of_a_movie_with_its_channels(tmp_path: Path, version: str) -> None:
    path = write_image(tmp_path / "i.ome.zarr", MOVIE, version)
    found = read_image(path, (1, 2))
    np.testing.assert_array_equal(found, np.moveaxis(MOVIE[1, :, 2], 0, -1))
    array, axes = read_array(path)
    assert axes == "TZYXC"
    np.testing.assert_array_equal(array, np.moveaxis(MOVIE, 1, -1))
    with pytest.raises(InputError, match=r"plane must have 2 indices .*axes TCZYX"):
        read_image(path)
    one = write_image(tmp_path / "one.zarr", MOVIE[:1, :1, :1], version)
    np.testing.assert_array_equal(read_image(one)[..., 0], MOVIE[0, 0, 0])


def test_labels_inside_an_image_are_entered_there(tmp_path: Path, version: str) -> None:
    image = write_image(tmp_path / "i.ome.zarr", MOVIE[0, 0, 0], version)
    for name in ("cells", "cells", "nuclei"):
        write_labels(image / "labels" / name, LABELS, source=image)
    found = image / "labels" / "cells"
    np.testing.assert_array_equal(read_labels(found), LABELS)
    assert zarr_version(found) == version
    assert zarr_axes(found) == ZarrAxes("YX", (0.5, 0.25), ("micrometer",) * 2)
    attributes = dict(zarr.open_group(str(image / "labels"), mode="r").attrs)
    assert attributes.get("ome", attributes)["labels"] == ["cells", "nuclei"]
    within = dict(zarr.open_group(str(found), mode="r").attrs)
    within = within.get("ome", within)
    assert within["image-label"]["source"] == {"image": "../../"}
    assert {one.name for one in found.parent.iterdir() if one.is_dir()} == {
        "cells",
        "nuclei",
    }


def add_levels(path: Path, version: str, *shapes: tuple[int, ...]) -> None:
    """Add smaller resolutions to an image, with their scales and places."""
    group = zarr.open_group(str(path), mode="a")
    held = dict(group.attrs)
    content = dict(held.get("ome", held))
    (scales,) = content["multiscales"]
    whole = group["s0"]
    (known,) = scales["datasets"][0]["coordinateTransformations"]
    for number, shape in enumerate(shapes, start=1):
        group.create_array(f"s{number}", shape=shape, dtype=whole.dtype, chunks=shape)
        by = [a / b for a, b in zip(whole.shape, shape, strict=True)]
        scale = [a * b for a, b in zip(known["scale"], by, strict=True)]
        shift = [a * (b - 1) / 2 for a, b in zip(known["scale"], by, strict=True)]
        steps = [
            {"type": "scale", "scale": scale},
            {"type": "translation", "translation": shift},
        ]
        entry = {"path": f"s{number}", "coordinateTransformations": steps}
        scales["datasets"].append(entry)
    content = {**content, "multiscales": [scales]}
    group.attrs.update(content if version == "0.4" else {"ome": content})


def datasets(path: Path) -> list[dict[str, Any]]:
    attributes = dict(zarr.open_group(str(path), mode="r").attrs)
    (scales,) = attributes.get("ome", attributes)["multiscales"]
    return list(scales["datasets"])


def test_labels_have_the_resolutions_of_their_image(
    tmp_path: Path, version: str
) -> None:
    """OME-Zarr: as many as the image; also where the depth or thirds are reduced."""
    image = write_image(tmp_path / "i.ome.zarr", MOVIE[0, 0], version)
    add_levels(image, version, (4, 25, 30), (2, 17, 20), (2, 9, 11))
    depths = np.stack([LABELS * (number + 1) for number in range(4)])
    write_zarr(image / "labels" / "cells", depths, zarr_axes(image))
    found = zarr.open_group(str(image / "labels" / "cells"), mode="r")
    shapes = [found[one["path"]].shape for one in datasets(image / "labels" / "cells")]
    assert shapes == [(4, 50, 60), (4, 25, 30), (2, 17, 20), (2, 9, 11)]
    np.testing.assert_array_equal(found["1"][...], depths[:, ::2, ::2])
    np.testing.assert_array_equal(found["2"][...], depths[::2, ::3, ::3])
    small = found["3"][...]
    assert {*np.unique(small)} == {0, 7, 9, 21, 27}
    for own, other in zip(
        datasets(image / "labels" / "cells"), datasets(image), strict=True
    ):
        steps = own["coordinateTransformations"]
        assert steps == other["coordinateTransformations"]

    plane = image / "labels" / "plane"  # without the depth
    write_labels(plane, LABELS, source=image)
    found = zarr.open_group(str(plane), mode="r")
    shapes = [found[one["path"]].shape for one in datasets(plane)]
    assert shapes == [(50, 60), (25, 30), (17, 20), (9, 11)]
    scales = [
        one["coordinateTransformations"][0]["scale"][-1] for one in datasets(plane)
    ]
    np.testing.assert_allclose(scales, [0.25, 0.5, 0.75, 0.25 * 60 / 11])


def test_large_labels_have_smaller_resolutions(tmp_path: Path) -> None:
    large = np.zeros((2100, 1500), np.uint32)
    large[400:800, 200:600] = 70_000
    write_zarr(tmp_path / "l.zarr", large)
    group = zarr.open_group(str(tmp_path / "l.zarr"), mode="r")
    shapes = [group[str(level)].shape for level in range(3)]
    assert shapes == [(2100, 1500), (1050, 750), (525, 375)]
    np.testing.assert_array_equal(group["1"][...], large[::2, ::2])
    (content,) = group.attrs["multiscales"]
    scales = [
        one["coordinateTransformations"][0]["scale"] for one in content["datasets"]
    ]
    assert scales == [[1, 1], [2, 2], [4, 4]]
    np.testing.assert_array_equal(read_labels(tmp_path / "l.zarr"), large)


def test_a_failure_leaves_the_old_labels(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "l.zarr"
    write_zarr(path, LABELS)

    def full(*_: object, **__: object) -> None:
        raise OSError("no space left")

    with monkeypatch.context() as patched:
        patched.setattr(zarr.Group, "create_array", full)
        with pytest.raises(OSError, match="no space"):
            write_zarr(path, LABELS * 2)
    np.testing.assert_array_equal(read_labels(path), LABELS)
    assert [one.name for one in tmp_path.iterdir()] == ["l.zarr"]
    write_zarr(path, LABELS * 2, version="0.5")
    np.testing.assert_array_equal(read_labels(path), LABELS * 2)
    with pytest.raises(InputError, match=r"version must be one of 0\.4, 0\.5"):
        write_zarr(path, LABELS, version="0.3")


def test_what_is_no_image_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def group(name: str, **attributes: object) -> Path:
        made = zarr.open_group(str(tmp_path / name), mode="w", zarr_format=2)
        made.attrs.update(attributes)
        return tmp_path / name

    plate = group("plate.zarr", plate={"wells": [{"path": "A/1"}]})
    several = group("several.zarr", **{"bioformats2raw.layout": 3})
    zarr.open_group(str(several), mode="a").create_group("0")
    damaged = group("damaged.zarr", multiscales=[{"datasets": [{"path": "x"}]}])
    (tmp_path / "empty.zarr").mkdir()
    for path, words in (
        (plate, r"is a plate: name one image, such as .*A/1/0"),
        (several, "images may be in it: 0"),
        (damaged, "metadata are damaged"),
        (tmp_path / "empty.zarr", "no Zarr folder that can be read"),
        (tmp_path / "none.zarr", "does not exist"),
    ):
        with pytest.raises(InputError, match=words):
            read_image(path)
    monkeypatch.setitem(sys.modules, "zarr", None)
    with pytest.raises(InputError, match=r"pip install 'napari-gpcis\[zarr\]'"):
        read_image(plate)


def test_fine_tuning_reads_images_with_labels_inside(
    tmp_path: Path, version: str
) -> None:
    for name in ("a", "b"):
        image = write_image(tmp_path / f"{name}.ome.zarr", MOVIE[0, 0, 0], version)
        if name == "a":
            write_labels(image / "labels" / "cells", LABELS, source=image)
    write_labels(tmp_path / "b_labels.ome.zarr", LABELS)
    pairs, alone = find_pairs_of_files(tmp_path, tmp_path)
    assert [(p.image.name, [x.name for x in p.labels]) for p in pairs] == [
        ("a.ome.zarr", ["cells"]),
        ("b.ome.zarr", ["b_labels.ome.zarr"]),
    ]
    assert alone == []
    for pair in pairs:
        (plane,) = read_planes(pair, ReadingRule())
        assert np.array_equal(plane.labels[0] > 0, LABELS > 0)


def test_the_command_line_reads_and_writes_it(tmp_path: Path, version: str) -> None:
    image = write_image(tmp_path / "i.ome.zarr", MOVIE, version)
    output = image / "labels" / "cells"
    words = ["segment", str(image), "--plane", "0,1", "--click", "20,20"]
    words += ["-o", str(output), "--device", "cpu"]
    assert main(words) == 0
    assert read_labels(output)[20, 20] == 1
    assert main(words) == 2  # it exists
    table = tmp_path / "clicks.csv"
    table.write_text("image,row,col\ni.ome.zarr,20,20\n")
    many = ["segment", "--clicks", str(table), "-o", str(tmp_path / "out")]
    assert main([*many, "--plane", "0,1", "--format", "ome.zarr"]) == 0
    np.testing.assert_array_equal(
        read_labels(tmp_path / "out" / "i.ome.zarr"), read_labels(output)
    )
