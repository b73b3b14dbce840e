"""What other programs get: pixels, sizes and masks are those of the labels."""

from __future__ import annotations

import csv
import json
import time
from typing import TYPE_CHECKING

import numpy as np
import pytest
from pycocotools.coco import COCO
from tifffile import TiffFile, imread

from napari_gpcis.errors import InputError
from napari_gpcis.export import (
    COLUMNS,
    Calibration,
    coco,
    object_table,
    planes,
    run_lengths,
    write_coco,
    write_table,
    write_tiff,
)
from napari_gpcis.sparse_labels import SparseLabels

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture
def labels() -> np.ndarray:
    """Two planes: an L and a bar, and an object with two parts and a hole."""
    stack = np.zeros((2, 8, 10), np.int32)
    stack[0, 1:4, 2] = stack[0, 3, 2:6] = 7
    stack[0, 6, 0:10] = 2
    stack[1, 2:7, 3:8] = 7
    stack[1, 4, 5] = 0
    stack[1, 0, 0] = 7
    return stack


def test_the_table_has_what_can_be_counted_by_hand(labels: np.ndarray) -> None:
    known = Calibration.of(3, (2.0, 0.5, 0.25), "micrometer")
    rows = object_table(labels, {((0,), 7): 4}, known)
    assert [(row["plane"], row["id"]) for row in rows] == [("0", 2), ("0", 7), ("1", 7)]
    bar, ell, last = rows
    assert tuple(bar) == COLUMNS
    assert (bar["area"], bar["area_units"], bar["unit"]) == (10, 1.25, "micrometer")
    assert (bar["centroid_row"], bar["centroid_column"]) == (6, 4.5)
    box = [ell[f"{axis}_{end}"] for end in ("min", "max") for axis in ("row", "column")]
    assert box == [1, 2, 4, 6]
    assert (ell["area"], ell["clicks"]) == (6, 4)
    assert ell["centroid_row"] == pytest.approx((1 + 2 + 3 * 4) / 6)
    assert (last["area"], last["clicks"]) == (25, "")


def test_the_table_is_csv(labels: np.ndarray, tmp_path: Path) -> None:
    write_table(tmp_path / "objects.csv", labels)
    with (tmp_path / "objects.csv").open(newline="") as stream:
        rows = list(csv.DictReader(stream))
    expected = object_table(labels)
    assert [{k: str(v) for k, v in row.items()} for row in expected] == rows
    assert rows[0]["unit"] == "pixel"


@pytest.mark.parametrize("largest", [7, 70_000])
def test_tiff_has_the_pixels_and_their_size(
    labels: np.ndarray, tmp_path: Path, largest: int
) -> None:
    labels[labels == 7] = largest
    known = Calibration.of(3, (2.0, -0.5, 0.25), "micrometer")
    write_tiff(tmp_path / "labels.tif", labels, known)
    with TiffFile(tmp_path / "labels.tif") as file:
        assert file.series[0].axes == "ZYX"
        np.testing.assert_array_equal(file.asarray(), labels)
        assert file.asarray().dtype == (np.uint16 if largest == 7 else np.uint32)
        words = file.ome_metadata
    for word in (
        'PhysicalSizeX="0.25"',
        'PhysicalSizeY="0.5"',
        'PhysicalSizeZ="2.0"',
        'PhysicalSizeXUnit="µm"',
    ):
        assert word in words


@pytest.mark.parametrize(
    ("names", "units", "letters"),
    [
        (("t", "y", "x"), ("second", "micrometer", "micrometer"), "TYX"),
        (("time", "y", "x"), "pixel", "TYX"),
        (None, ("minute", "pixel", "pixel"), "TYX"),
        (None, "micrometer", "ZYX"),
        (("c", "y", "x"), "pixel", "CYX"),
        (("axis -4", "axis -3", "axis -2", "axis -1"), "pixel", "TZYX"),
        (("t", "axis -3", "axis -2", "axis -1"), "pixel", "TZYX"),
        (("z", "t", "y", "x"), "pixel", "ZTYX"),
        (("Channel", "axis -3", "y", "x"), "pixel", "CTYX"),
        (("y", "x", "t"), "pixel", "YXT"),
        (("t", "t", "y", "x"), "pixel", "TZYX"),
    ],
)
def test_axes_are_known_by_name_and_unit(
    names: tuple[str, ...] | None, units: tuple[str, ...] | str, letters: str
) -> None:
    known = Calibration.of(len(letters), units=units, names=names)
    assert known.letters == letters


@pytest.mark.parametrize(
    ("unit", "increment", "word"), [("second", 30.0, "s"), ("millisecond", 2.5, "ms")]
)
def test_time_between_frames(
    labels: np.ndarray, tmp_path: Path, unit: str, increment: float, word: str
) -> None:
    units = (unit, "micrometer", "micrometer")
    known = Calibration.of(3, (increment, 0.5, 0.5), units, names=("t", "y", "x"))
    write_tiff(tmp_path / "labels.tif", labels, known)
    with TiffFile(tmp_path / "labels.tif") as file:
        assert file.series[0].axes == "TYX"
        np.testing.assert_array_equal(file.asarray(), labels)
        words = file.ome_metadata
    assert f'TimeIncrement="{increment}" TimeIncrementUnit="{word}"' in words
    assert "PhysicalSizeZ" not in words
    assert 'SizeT="2"' in words


def test_a_unit_that_ome_does_not_know(tmp_path: Path) -> None:
    write_tiff(
        tmp_path / "a.tif", np.eye(4, dtype=int), Calibration.of(2, (2, 2), "yard")
    )
    with TiffFile(tmp_path / "a.tif") as file:
        assert 'PhysicalSizeXUnit="reference frame"' in file.ome_metadata


def test_a_size_without_a_unit_is_kept(tmp_path: Path) -> None:
    square = Calibration.of(2, (0.5, 1.0))
    write_tiff(tmp_path / "labels.tif", np.eye(4, dtype=int), square)
    with TiffFile(tmp_path / "labels.tif") as file:
        words = file.ome_metadata
    assert 'PhysicalSizeY="0.5" PhysicalSizeYUnit="pixel"' in words
    assert "PhysicalSizeX" not in words


@pytest.mark.parametrize("ndim", range(2, 12))
def test_any_number_of_axes(ndim: int, tmp_path: Path) -> None:
    labels = np.zeros((2, 1, 1, 2, 1, 2, 2, 1, 3, 6, 5)[11 - ndim :], np.uint8)
    labels[..., 1:3, 2:4] = 3
    labels[..., 4:, 0] = np.arange(np.prod(labels.shape[:-2])).reshape(
        *labels.shape[:-2], 1
    )
    write_tiff(tmp_path / "labels.tif", labels)
    with TiffFile(tmp_path / "labels.tif") as file:
        np.testing.assert_array_equal(file.asarray().reshape(labels.shape), labels)
    assert len(list(planes(labels))) == np.prod(labels.shape[:-2], dtype=int)


@pytest.mark.parametrize(
    ("labels", "kind"),
    [
        (np.array([[-1, 1], [3, 2]]), np.int16),
        (np.array([[-1, 1], [3, 70_000]]), np.int32),
        (np.array([[0, 2**31], [3, 2]], np.uint64), np.uint32),
        (np.array([[0, 2**32], [3, 2**40]], np.uint64), np.uint64),
        (np.array([[0, 2], [-1, 2**40]]), np.int64),
        (np.array([[0, 1], [1, 0]], bool), np.uint16),
        (np.array([[0, 1], [1, 0]], ">u2"), np.uint16),
        (np.broadcast_to(np.array([0, 3], "i4"), (3, 2)), np.uint16),
        (np.arange(12).reshape(3, 4)[::-1, ::-2], np.uint16),
    ],
)
def test_labels_of_any_integers(labels: np.ndarray, kind: type, tmp_path: Path) -> None:
    write_tiff(tmp_path / "labels.tif", labels)
    with TiffFile(tmp_path / "labels.tif") as file:
        np.testing.assert_array_equal(file.asarray(), labels)
        assert file.asarray().dtype == kind
    ids = [int(label) for label in np.unique(labels) if label > 0]
    assert [row["id"] for row in object_table(labels)] == ids
    assert [one["object_id"] for one in coco(labels, "a.png")["annotations"]] == ids


def test_tiles_are_written_like_the_whole(tmp_path: Path) -> None:
    stack = np.zeros((4, 700, 1100), np.int32)
    stack[1, 500:520, 1000:1100] = 3
    stack[3, 699, 0] = 1
    known = Calibration.of(3, names=("t", "y", "x"))
    write_tiff(tmp_path / "labels.tif", SparseLabels.of(stack), known)
    np.testing.assert_array_equal(imread(tmp_path / "labels.tif"), stack)
    for axes in ((0, 1), (1, 2)):
        other = Calibration.of(3, axes=axes)
        sparse = SparseLabels.of(stack)
        assert object_table(sparse, calibration=other) == object_table(
            stack, calibration=other
        )
        assert coco(sparse, "a", other) == coco(stack, "a", other)


def test_a_picture_along_other_axes(labels: np.ndarray, tmp_path: Path) -> None:
    known = Calibration.of(3, axes=(0, 2))
    assert known.letters == "YZX"
    write_tiff(tmp_path / "labels.tif", labels, known)
    with TiffFile(tmp_path / "labels.tif") as file:
        assert file.series[0].axes == "YZX"
        np.testing.assert_array_equal(file.asarray(), labels)
    found = dict(planes(labels, known))
    np.testing.assert_array_equal(found[(6,)], labels[:, 6])
    assert len(found) == labels.shape[1]


@pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")
def test_coco_decodes_to_the_same_pixels(labels: np.ndarray, tmp_path: Path) -> None:
    write_coco(tmp_path / "coco.json", labels, "cells.tif", category="nucleus")
    read = COCO(tmp_path / "coco.json")
    assert [picture["plane"] for picture in read.loadImgs(read.getImgIds())] == [
        [0],
        [1],
    ]
    assert read.loadCats([1])[0]["name"] == "nucleus"
    again = np.zeros_like(labels)
    for found in read.loadAnns(read.getAnnIds()):
        mask = read.annToMask(found).astype(bool)
        again[found["image_id"] - 1][mask] = found["object_id"]
        assert found["area"] == mask.sum()
        column, row, width, height = found["bbox"]
        rows, cols = np.nonzero(mask)
        assert (row, column) == (rows.min(), cols.min())
        assert (height, width) == (np.ptp(rows) + 1, np.ptp(cols) + 1)
    np.testing.assert_array_equal(again, labels)


def test_pictures_with_files_of_their_own(labels: np.ndarray) -> None:
    content = coco(labels, "stack", file_names={(0,): "a.tif", (1,): "b.tif"})
    names = [(one["file_name"], one["plane"]) for one in content["images"]]
    assert names == [("a.tif", [0]), ("b.tif", [1])]


def test_many_objects_cost_their_boxes() -> None:
    rows, cols = np.mgrid[:2000, :2000]
    grid = rows // 20 * 100 + cols // 20 + 1
    grid = np.where((rows % 20 < 16) & (cols % 20 < 16), grid, 0)
    start = time.perf_counter()
    found = coco(grid, "a.png")["annotations"]
    assert len(found) == 10_000
    assert time.perf_counter() - start < 20  # a minute where each was looked for
    assert {one["area"] for one in found} == {256}


def test_coco_is_json() -> None:
    content = coco(np.eye(4, dtype=np.int64), "a.png")
    assert json.loads(json.dumps(content)) == content
    assert [one["id"] for one in content["annotations"]] == [1]


@pytest.mark.parametrize("seed", range(5))
def test_runs_give_the_mask_back(seed: int) -> None:
    mask = np.random.default_rng(seed).random((5, 4)) < 0.5
    values = np.arange(len(run_lengths(mask))) % 2 == 1
    np.testing.assert_array_equal(
        np.repeat(values, run_lengths(mask)).reshape(mask.shape, order="F"), mask
    )


def test_an_empty_image_has_no_objects(tmp_path: Path) -> None:
    empty = np.zeros((4, 5), np.int32)
    assert object_table(empty) == []
    assert coco(empty, "a.png")["annotations"] == []
    write_tiff(tmp_path / "labels.tif", empty)


@pytest.mark.parametrize(
    ("labels", "words"),
    [
        (np.zeros((3, 3)), "labels must be integers .* dtype float64"),
        (np.zeros(3, int), r"labels must be integers .* shape \(3,\)"),
    ],
)
def test_what_is_no_label_image(labels: np.ndarray, words: str, tmp_path: Path) -> None:
    file = tmp_path / "labels.tif"
    file.write_text("old")
    with pytest.raises(InputError, match=words):
        write_tiff(file, labels)
    assert file.read_text() == "old"
    with pytest.raises(InputError, match=words):
        object_table(labels)


def test_a_calibration_that_does_not_fit() -> None:
    with pytest.raises(InputError, match="scale must be positive"):
        Calibration.of(2, (0, 1))
    with pytest.raises(InputError, match="one entry for each axis"):
        Calibration.of(3, (1, 1))
    with pytest.raises(InputError, match="axes must be two of the 3 axes"):
        Calibration.of(3, axes=(2, 1))
    with pytest.raises(InputError, match="rows and columns, got 1"):
        Calibration.of(1)


def test_a_calibration_of_other_axes_is_refused(tmp_path):
    path = tmp_path / "t.csv"
    for write in (write_table, write_tiff):
        with pytest.raises(InputError, match="calibration must have the 2 axes"):
            write(path, np.ones((4, 5), int), calibration=Calibration.of(3))
    assert not path.exists()
