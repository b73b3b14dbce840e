"""Files that a stack was read from."""

from __future__ import annotations

from typing import TYPE_CHECKING

import dask.array as da
import numpy as np
import pytest
import zarr
from dask import delayed
from tifffile import imread, imwrite

from napari_gpcis.plugin.viewer.stack_files import plane_files

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture
def files(tmp_path: Path) -> list[str]:
    names = []
    for folder in ("a", "b"):
        (tmp_path / folder).mkdir()
        for number in (1, 2):
            names.append(str(tmp_path / folder / f"well_{number}.tif"))
            imwrite(names[-1], np.full((20, 30, 3), number, np.uint8))
    return names


def lazy(file: str, shape: tuple[int, ...]) -> da.Array:
    """Return what napari's reader makes of one of several files."""
    return da.from_delayed(delayed(imread)(file), shape, np.uint8)


def test_each_plane_has_the_name_of_its_file(files: list[str]) -> None:
    stack = da.stack([lazy(file, (20, 30)) for file in files[:2]])
    assert plane_files(stack, 3, (1, 2)) == {(0,): "well_1.tif", (1,): "well_2.tif"}
    assert plane_files(stack[::-1], 3, (1, 2)) == {
        (0,): "well_2.tif",
        (1,): "well_1.tif",
    }


def test_folders_tell_files_of_one_name_apart(files: list[str]) -> None:
    stack = da.stack([lazy(file, (20, 30)) for file in files])
    assert list(plane_files(stack, 3, (1, 2)).values()) == [
        "a/well_1.tif",
        "a/well_2.tif",
        "b/well_1.tif",
        "b/well_2.tif",
    ]


def test_colours_and_further_axes(files: list[str]) -> None:
    colour = da.stack([lazy(file, (20, 30, 3)) for file in files[:2]])
    assert plane_files(colour, 3, (1, 2)) == {(0,): "well_1.tif", (1,): "well_2.tif"}
    deep = da.stack([lazy(file, (4, 20, 30)) for file in files[:2]])
    found = plane_files(deep, 4, (2, 3))
    assert len(found) == 8
    assert found[1, 3] == "well_2.tif"


@pytest.mark.parametrize(
    "kind", ["array", "zarr", "computed", "one file", "along the files"]
)
def test_stacks_without_files_of_their_own(files: list[str], kind: str) -> None:
    stack = da.stack([lazy(file, (20, 30)) for file in files])
    data = {
        "array": np.zeros((2, 20, 30)),
        "zarr": zarr.zeros(shape=(2, 20, 30), chunks=(1, 20, 30)),
        "computed": da.zeros((2, 20, 30), chunks=(1, 20, 30)),
        "one file": da.stack([lazy(files[0], (20, 30))] * 2),
        "along the files": stack,
    }[kind]
    axes = (0, 1) if kind == "along the files" else (1, 2)
    if kind == "along the files":
        data = stack.rechunk((4, 20, 30))
    assert plane_files(data, 3, axes) == {}
