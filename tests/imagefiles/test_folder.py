"""A folder of images: which files are images, where their labels go, how far it is."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from napari_gpcis.errors import InputError
from napari_gpcis.imagefiles.folder import PROGRESS, ImageFolder, natural_key


def fill(folder: Path, *names: str) -> None:
    for name in names:
        (folder / name).touch()


def names(folder: ImageFolder) -> list[str]:
    return [image.name for image in folder.images]


def test_images_are_found_in_natural_order_without_their_labels(tmp_path: Path) -> None:
    fill(tmp_path, "cell10.png", "cell2.png", "Cell1.tif", "labels.png", "a_seg.png")
    fill(tmp_path, "cell2.labels.tif", "cell10_masks.png", "cell2_cp_masks.png")
    (tmp_path / "cell2.clicks.json").write_text("{}")
    (tmp_path / "notes.txt").write_text("notes")
    (tmp_path / ".hidden.png").write_text("")
    (tmp_path / "inner").mkdir()
    fill(tmp_path / "inner", "deep.png")
    (tmp_path / "volume.zarr").mkdir()
    (tmp_path / "volume.zarr" / ".zattrs").write_text("{}")
    folder = ImageFolder.open(tmp_path)
    assert names(folder) == [
        "a_seg.png",
        "Cell1.tif",
        "cell2.png",
        "cell10.png",
        "labels.png",
        "volume.zarr",
    ]
    assert folder.left_out == ("notes.txt",)
    assert folder.images[2].begun
    assert not folder.images[3].begun


@pytest.mark.parametrize(
    "ordered",
    [
        ("img2.png", "img10.png", "img100.png"),
        ("2a.png", "2b.png", "10a.png"),  # no hexadecimal numbers
        ("00071198d059.png", "094afe36759e.png", "1d4a5e729bb9.png", "1x.png"),
        ("12ab34cd_2.png", "1d4a5e729bb9.png", "8d29c5a03e05.png", "f3ab00000012.png"),
        ("8d29c5a0-2.png", "8d29c5a0-10.png"),
        ("well_01.png", "well_02.png", "well_10.png", "well_11.png"),
        ("007.png", "08.png", "1.png", "9.png", "10.png"),
        ("t0.png", "t1.png", "t10.png"),
        ("a.png", "a1.png", "B2.png", "b10.png"),
    ],
)
def test_numbers_are_ordered_as_numbers_but_not_in_checksums(
    ordered: tuple[str, ...],
) -> None:
    for names_ in (ordered[::-1], sorted(ordered)):
        found = sorted(map(Path, names_), key=natural_key)
        assert [path.name for path in found] == [*ordered]


def test_images_of_equal_names_have_files_of_their_own(tmp_path: Path) -> None:
    fill(tmp_path, "a.png", "a.tif", "A.jpg", "b.png", "b.ome.tif", "c.png")
    folder = ImageFolder.open(tmp_path)
    files = [image.labels.name.casefold() for image in folder.images]
    assert len({*files}) == len(files) == 6
    assert folder.images[-1].labels.name == "c.labels.tif"
    for image in folder.images:
        fill(tmp_path, image.labels.name)
    assert names(ImageFolder.open(tmp_path)) == names(folder)


def test_it_goes_on_where_it_was_left(tmp_path: Path) -> None:
    fill(tmp_path, "1.png", "2.png", "3.png")
    folder = ImageFolder.open(tmp_path)
    assert (folder.current, folder.done) == (0, 0)
    folder.mark(0, done=True)
    folder.mark(2, done=True)
    folder.go_to(1)
    again = ImageFolder.open(tmp_path)
    assert (again.current, again.done) == (1, 2)
    (tmp_path / "3.png").rename(tmp_path / "away")
    less = ImageFolder.open(tmp_path)
    assert less.done == 1
    less.mark(1, done=True)
    (tmp_path / "away").rename(tmp_path / "3.png")
    assert ImageFolder.open(tmp_path).done == 3, "what came back is done as before"


def test_without_the_image_it_begins_with_the_first_that_is_not_done(
    tmp_path: Path,
) -> None:
    fill(tmp_path, "1.png", "2.png", "3.png")
    folder = ImageFolder.open(tmp_path)
    folder.mark(0, done=True)
    folder.go_to(2)
    (tmp_path / "3.png").unlink()
    assert ImageFolder.open(tmp_path).current == 1


@pytest.mark.parametrize(
    "content",
    ["", "[1]", "{}", '{"format": "napari-gpcis-progress", "done": 3, "current": 4}'],
)
def test_a_damaged_file_of_progress_is_as_none(tmp_path: Path, content: str) -> None:
    fill(tmp_path, "1.png")
    (tmp_path / PROGRESS).write_text(content)
    folder = ImageFolder.open(tmp_path)
    assert (folder.current, folder.done) == (0, 0)
    folder.mark(0, done=True)
    assert json.loads((tmp_path / PROGRESS).read_text())["done"] == ["1.png"]


def test_a_folder_without_images_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="holds no image"):
        ImageFolder.open(tmp_path)
    with pytest.raises(InputError, match="cannot be read"):
        ImageFolder.open(tmp_path / "nowhere")
