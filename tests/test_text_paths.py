"""Scripts may name files by text, as they come from a notebook."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest

from napari_gpcis.batch import Settings, Task, read_clicks
from napari_gpcis.clicks import Click
from napari_gpcis.export import write_coco, write_table, write_tiff
from napari_gpcis.imagefiles import (
    read_array,
    read_image,
    read_labels,
    split_labels,
    write_labels,
)
from napari_gpcis.outlines import write_geojson, write_imagej

if TYPE_CHECKING:
    from pathlib import Path

LABELS = np.zeros((20, 30), np.uint16)
LABELS[3:9, 4:14] = 2


@pytest.fixture(autouse=True)
def _home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("USERPROFILE", str(tmp_path))


@pytest.mark.parametrize("folder", ["", "~/"])
def test_files_are_written_and_read_by_text(tmp_path: Path, folder: str) -> None:
    write_table(f"{folder}t.csv", LABELS)
    write_tiff(f"{folder}t.tif", LABELS)
    write_coco(f"{folder}t.json", LABELS, "image.tif")
    write_geojson(f"{folder}t.geojson", LABELS)
    write_imagej(f"{folder}t.roi", LABELS)
    write_labels(f"{folder}l.png", LABELS)
    write_labels(f"{folder}l.zarr", LABELS, f"{folder}t.tif")
    names = {path.name for path in tmp_path.iterdir()}
    assert names >= {"t.csv", "t.tif", "t.json", "t.geojson", "t.roi", "l.png"}
    for name in ("t.tif", "l.png", "l.zarr"):
        assert (read_labels(folder + name) == LABELS).all()
        assert (read_image(folder + name) == LABELS).all()
        assert (read_array(folder + name)[0] == LABELS).all()
    (written,) = split_labels(f"{folder}t.tif", [f"{folder}l.png"], f"{folder}out")
    assert written == tmp_path / "out" / "l_labels.tif" or not folder
    assert (read_labels(written) == LABELS).all()


@pytest.mark.parametrize("folder", ["", "~/"])
def test_batches_by_text(tmp_path: Path, folder: str) -> None:
    (tmp_path / "t.csv").write_text("image,row,col\na.tif,1,2\n")
    (task,) = read_clicks(f"{folder}t.csv", [f"{folder}a.tif"])
    assert task.image.absolute() == tmp_path / "a.tif"
    settings = Settings(f"{folder}out")  # type: ignore[arg-type]
    own = Task(f"{folder}b.tif", ((Click(1, 2),),))  # type: ignore[arg-type]
    assert settings.target(own.image).absolute() == tmp_path / "out" / "b.tif"
