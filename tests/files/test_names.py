"""Names of files that are made: they fit, stay different, and are found again."""

from __future__ import annotations

import os
import unicodedata
from typing import TYPE_CHECKING

import numpy as np
import pytest

from napari_gpcis.checkpoints import user_model_file
from napari_gpcis.cli import main
from napari_gpcis.errors import InputError
from napari_gpcis.files import ResultFiles, fitting_stem
from napari_gpcis.imagefiles import label_files, read_labels, split_labels, write_labels
from napari_gpcis.imagefiles.folder import CLICKS, LABELS, ImageFolder

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

LONG = {
    "ascii": "m" * 250,
    "umlaut": "\u00e4" * 124,
    "kanji": "\u7d30\u80de" * 41,
    "emoji": "\U0001f52c" * 62,
}
"""Names of about 250 bytes, which an image of the ending ``.tif`` may have."""


@pytest.fixture(params=LONG.values(), ids=LONG.keys())
def stem(request: pytest.FixtureRequest) -> str:
    return str(request.param)


def test_a_name_that_fits_stays_as_it_is() -> None:
    assert fitting_stem("x" * 243, CLICKS, LABELS) == "x" * 243
    assert fitting_stem("\u00e4" * 121, CLICKS) == "\u00e4" * 121
    assert fitting_stem("") == ""


def test_a_longer_one_is_cut_between_characters(stem: str) -> None:
    short = fitting_stem(stem, CLICKS, LABELS)
    kept, _, told_apart = short.rpartition("~")
    assert stem.startswith(kept)
    assert len(told_apart) == 8
    room = 255 - len(CLICKS) - len(os.fsencode(short))
    assert 0 <= room < len(stem[0].encode())
    assert fitting_stem(short, CLICKS, LABELS) == short
    assert unicodedata.is_normalized("NFC", short)


def test_names_that_differ_at_their_end_stay_different(stem: str) -> None:
    names = {fitting_stem(f"{stem}{number}", CLICKS) for number in range(1000)}
    assert len(names) == 1000


@pytest.mark.parametrize(
    "made",
    [
        lambda image: image.with_name(fitting_stem(image.stem, CLICKS) + CLICKS),
        lambda image: label_files([image], None)[0],
        lambda image: ResultFiles(image.parent, ".ome.zarr").of(image),
        lambda image: ResultFiles(image.parent, ".png").of(image).with_suffix(".json"),
    ],
)
def test_files_of_long_names_can_be_made(
    tmp_path: Path, stem: str, made: Callable[[Path], Path]
) -> None:
    first, other = (made(tmp_path / f"{stem[:-1]}{end}.tif") for end in "ab")
    first.write_text("first")
    other.write_text("other")
    assert len(list(tmp_path.iterdir())) == 2


def test_labels_of_long_names_are_found_in_a_folder(tmp_path: Path, stem: str) -> None:
    for end in ("1.tif", "2.tif", "2.png"):
        (tmp_path / f"{stem[:-1]}{end}").write_bytes(b"")
    folder = ImageFolder.open(tmp_path)
    assert all(image.usable and not image.begun for image in folder.images)
    labels = {image.labels for image in folder.images}
    assert len(labels) == 3
    for image in folder.images:
        image.labels.write_bytes(b"")
        image.clicks.write_bytes(b"")
    again = ImageFolder.open(tmp_path)
    assert [image.name for image in again.images] == [
        image.name for image in folder.images
    ]
    assert all(image.begun for image in again.images)


def test_labels_of_long_names_are_no_images_to_be_split(
    tmp_path: Path, stem: str
) -> None:
    images = [tmp_path / f"{stem[:-1]}{end}.tif" for end in "ab"]
    stack = np.arange(32, dtype=np.uint8).reshape(2, 4, 4)
    for image in images:
        write_labels(image, np.zeros((4, 4), np.uint8))
    write_labels(tmp_path / "stack.tif", stack)
    written = split_labels(tmp_path / "stack.tif", images)
    np.testing.assert_array_equal([read_labels(path) for path in written], stack)
    everything = [*images, *written]
    again = split_labels(tmp_path / "stack.tif", everything, overwrite=True)
    assert again == written


def test_a_zarr_of_a_long_name_is_written(tmp_path: Path) -> None:
    path = tmp_path / f"{'z' * 250}.zarr"
    for value in (1, 2):  # another one is replaced
        write_labels(path, np.full((4, 4), value, np.uint8))
    assert np.all(read_labels(path) == 2)
    assert list(tmp_path.iterdir()) == [path]


def test_too_long_a_name_of_a_user_is_told(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(InputError, match=r"255 bytes, x+\.\.\. has 7 more"):
        user_model_file("x" * 250)
    labels = tmp_path / "labels.tif"
    write_labels(labels, np.zeros((4, 4), np.uint8))
    out = tmp_path / f"{'x' * 260}.csv"
    assert main(["export", str(labels), "-o", str(out)]) == 2
    assert "255 bytes" in capsys.readouterr().err


@pytest.mark.parametrize(
    "name", ["n" * 300 + ".tif", "\u00e4" * 140, "n" * 260 + "/a.tif"]
)
def test_a_command_says_which_path_is_too_long(
    name: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Of a file that is written or read, or of its folder."""
    image, given = tmp_path / "a.png", str(tmp_path / name)
    click = "--click", "5,5"
    longest = max(name.split("/"), key=len)
    more = len(os.fsencode(longest)) - 255
    for argument, asked in {
        "output": ["segment", str(image), *click, "-o", given],
        "labels": ["segment", str(image), *click, "-o", "a.tif", "--labels", given],
        "images": ["segment", given, *click, "-o", "a.tif"],
        "file": ["convert", given],
    }.items():
        assert main(asked) == 2
        assert capsys.readouterr().err == (
            f"napari-gpcis: {argument}: the name of a file may have 255 bytes, "
            f"{longest[:40]}... has {more} more\n"
        )


def test_labels_are_not_written_to_a_name_that_is_too_long(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"255 bytes, nnn.* has 49 more"):
        write_labels(tmp_path / ("n" * 300 + ".tif"), np.zeros((4, 5), np.int32))
