"""Atomic writes: errors name the file, and nothing is left of a failure."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from napari_gpcis.files import replacing

if TYPE_CHECKING:
    from pathlib import Path


@pytest.mark.parametrize("name", ["nowhere/clicks.json", "folder"])
def test_an_error_names_the_file_and_not_the_temporary_one(
    tmp_path: Path, name: str
) -> None:
    (tmp_path / "folder").mkdir()
    path = tmp_path / name
    with pytest.raises(OSError, match=r"\[Errno") as caught, replacing(path) as draft:
        draft.write_text("new")
    assert caught.value.filename == str(path)
    assert str(caught.value).endswith(f": {str(path)!r}")
    assert [file.name for file in tmp_path.iterdir()] == ["folder"]


def test_an_error_about_another_file_stays_as_it_is(tmp_path: Path) -> None:
    other = tmp_path / "other.txt"
    with pytest.raises(FileNotFoundError) as caught, replacing(tmp_path / "a.txt"):
        other.read_text()
    assert caught.value.filename == str(other)


@pytest.mark.parametrize("stem", ["x" * 251, "\u00e4" * 125])
def test_a_name_as_long_as_it_may_be_is_written(tmp_path: Path, stem: str) -> None:
    """Though that of the temporary file would be too long."""
    path = tmp_path / f"{stem}.tif"
    with replacing(path) as temporary:
        temporary.write_bytes(b"there")
        other = path.with_name(f"{stem[:-1]}.tif")
        with replacing(other) as beside:  # another one that begins alike
            beside.write_bytes(b"too")
        assert beside != temporary
    assert sorted(tmp_path.iterdir()) == sorted([path, other])
    assert (path.read_bytes(), other.read_bytes()) == (b"there", b"too")
