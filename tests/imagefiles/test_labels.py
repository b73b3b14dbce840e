"""Label files of other programs are whole numbers, or are refused in one line."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest
from PIL import Image
from tifffile import imwrite

from napari_gpcis.errors import InputError
from napari_gpcis.imagefiles import (
    read_image,
    read_label_file,
    read_labels,
    split_labels,
)

if TYPE_CHECKING:
    from pathlib import Path

LABELS = np.zeros((40, 50), np.uint16)
LABELS[5:15, 5:20] = 7
LABELS[20:30, 30:45] = 300


def test_labels_follow_the_plane(tmp_path: Path) -> None:
    stack = np.stack([np.stack([LABELS * 0, LABELS])] * 3)
    np.save(tmp_path / "l.npy", stack)
    np.testing.assert_array_equal(read_labels(tmp_path / "l.npy", (2, 1)), LABELS)
    imwrite(tmp_path / "l.tif", stack, photometric="minisblack")
    np.testing.assert_array_equal(read_labels(tmp_path / "l.tif", (2, 1)), LABELS)
    imwrite(tmp_path / "plane.tif", LABELS)
    np.testing.assert_array_equal(read_labels(tmp_path / "plane.tif", (2, 1)), LABELS)
    with pytest.raises(InputError, match=r"labels .*plane must have 2 indices"):
        read_labels(tmp_path / "l.npy", (2,))
    with pytest.raises(InputError, match="from 0 to 1, got 5"):
        read_labels(tmp_path / "l.npy", (2, 5))


@pytest.mark.parametrize("compression", [None, "tiff_lzw"])
@pytest.mark.parametrize("name", ["l.png", "l.tif"])
def test_palette_labels_are_indices(
    tmp_path: Path, name: str, compression: str | None
) -> None:
    picture = Image.fromarray((LABELS > 0).astype(np.uint8) * 3, mode="P")
    picture.putpalette([9, 9, 9, 8, 0, 0, 0, 8, 0, 0, 0, 200])
    options = {"compression": compression} if name == "l.tif" else {}
    picture.save(tmp_path / name, **options)
    np.testing.assert_array_equal(read_labels(tmp_path / name), (LABELS > 0) * 3)


@pytest.mark.parametrize("count", [3, 4])
def test_few_planes_are_no_colours(tmp_path: Path, count: int) -> None:
    stack = np.stack([LABELS * number for number in range(count)])
    imwrite(tmp_path / "l.tif", stack, photometric="rgb", planarconfig="separate")
    np.testing.assert_array_equal(read_labels(tmp_path / "l.tif", (1,)), LABELS)
    last = read_image(tmp_path / "l.tif", (count - 1,))
    np.testing.assert_array_equal(last, LABELS * (count - 1))


def test_whole_numbers_may_be_stored_as_others(tmp_path: Path) -> None:
    for kind in (np.float32, np.float64, np.int64, np.uint32):
        np.save(tmp_path / "l.npy", LABELS.astype(kind))
        found = read_labels(tmp_path / "l.npy")
        assert found.dtype.kind in "iu"
        np.testing.assert_array_equal(found, LABELS)
    grey = np.dstack([(LABELS > 0).astype(np.uint8) * 200] * 3)
    Image.fromarray(grey).save(tmp_path / "l.png")
    np.testing.assert_array_equal(read_labels(tmp_path / "l.png"), grey[..., 0])


@pytest.mark.parametrize(
    ("array", "words"),
    [
        (LABELS + 0.5, "not whole numbers"),
        (np.where(LABELS > 0, np.nan, 0.0), "not whole numbers"),
        (LABELS.astype(int) - 1, "must be 0 or above, got -1"),
        (LABELS * 1j, "have dtype complex128"),
    ],
)
def test_other_numbers_are_refused(
    tmp_path: Path, array: np.ndarray, words: str
) -> None:
    np.save(tmp_path / "l.npy", array)
    with pytest.raises(InputError, match=words):
        read_labels(tmp_path / "l.npy")


def test_masks_of_cellpose_are_read_without_running_code(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    content = {
        "masks": LABELS,
        "flows": [np.zeros((2, 2))],
        "est_diam": np.float64(3),
        "filename": "cells.tif",
    }
    np.save(tmp_path / "c_seg.npy", np.array(content))
    np.testing.assert_array_equal(read_labels(tmp_path / "c_seg.npy"), LABELS)
    np.save(tmp_path / "c_seg.npy", np.array({**content, "more": Evil()}))
    with pytest.raises(InputError, match=r"builtins\.print is not accepted"):
        read_labels(tmp_path / "c_seg.npy")
    assert "code was run" not in capsys.readouterr().out


class Evil:
    """An object that runs code when it is unpickled."""

    def __reduce__(self):
        return print, ("code was run",)


@pytest.fixture
def stack(tmp_path: Path) -> Path:
    """Three images of a folder, and the labels of their stack."""
    (tmp_path / "my").mkdir()
    for number in (1, 2, 3):
        imwrite(tmp_path / "my" / f"well_0{number}.tif", LABELS)
    planes = np.stack(
        [np.full((40, 50), 10 * number, np.uint16) for number in (1, 2, 3)]
    )
    imwrite(tmp_path / "my.labels.tif", planes, photometric="minisblack")
    return tmp_path


def test_splitting_can_be_repeated(stack: Path) -> None:
    expected = [stack / "my" / f"well_0{number}_labels.tif" for number in (1, 2, 3)]
    for _ in range(2):
        images = sorted((stack / "my").glob("*.tif"))
        assert split_labels(stack / "my.labels.tif", images) == expected
        found = [int(read_labels(path).max()) for path in expected]
        assert found == [10, 20, 30]


def test_splitting_replaces_nothing_unasked(stack: Path) -> None:
    images = sorted((stack / "my").glob("*.tif"))
    imwrite(stack / "my" / "well_02_labels.tif", LABELS)
    with pytest.raises(InputError, match=r"well_02_labels\.tif exists and differs"):
        split_labels(stack / "my.labels.tif", images)
    assert not (stack / "my" / "well_01_labels.tif").exists()
    written = split_labels(stack / "my.labels.tif", images, overwrite=True)
    assert read_labels(written[1]).max() == 20


def test_splitting_never_replaces_the_labels_or_an_image(stack: Path) -> None:
    images = sorted((stack / "my").glob("*.tif"))
    labels = stack / "my" / "well_01_labels.tif"
    (stack / "my.labels.tif").rename(labels)
    with pytest.raises(InputError, match=r"labels\.tif is the label image itself"):
        split_labels(labels, images, overwrite=True)
    other = stack / "well_02_labels.tif"
    imwrite(other, LABELS)
    with pytest.raises(InputError, match="is one of the images itself"):
        split_labels(labels, [*images[1:], other], stack, overwrite=True)
    assert read_label_file(labels)[0].shape == (3, 40, 50)
    np.testing.assert_array_equal(read_labels(other), LABELS)


def test_what_cannot_be_split_is_told(stack: Path) -> None:
    images = sorted((stack / "my").glob("*.tif"))
    with pytest.raises(InputError, match="2 images need as many planes"):
        split_labels(stack / "my.labels.tif", images[:2])
    imwrite(images[1], LABELS[:30])
    with pytest.raises(InputError, match=r"well_02\.tif has shape \(30, 50\)"):
        split_labels(stack / "my.labels.tif", images)
    twice = [images[0], images[0].with_suffix(".png"), images[2]]
    with pytest.raises(InputError, match="would both get"):
        split_labels(stack / "my.labels.tif", twice)


def test_equal_names_are_split_into_subfolders(tmp_path: Path) -> None:
    images = [tmp_path / plate / "a.tif" for plate in ("one", "two")]
    for image in images:
        image.parent.mkdir()
        imwrite(image, LABELS)
    np.save(tmp_path / "l.npy", np.stack([LABELS, LABELS * 2]))
    found = split_labels(tmp_path / "l.npy", images, tmp_path / "out", ending=".png")
    assert found == [tmp_path / "out" / p / "a_labels.png" for p in ("one", "two")]
    np.testing.assert_array_equal(read_labels(found[1]), LABELS * 2)
