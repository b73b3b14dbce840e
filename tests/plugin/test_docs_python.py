"""Every Python block of the documentation runs as it stands, page by page."""

from __future__ import annotations

import runpy
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from skimage.data import coins
from tifffile import imwrite

import gpcis_training
from _documented import PAGES, ROOT, python_blocks
from napari_gpcis import Segmenter, Session
from napari_gpcis.prompts import SavedAnnotation, SavedPlane, write_prompts
from training._label_files import write_set

if TYPE_CHECKING:
    from pathlib import Path

WAIT = 20_000
TINY = {
    "steps": 2,
    "batch_size": 2,
    "size": 64,
    "objects": 2,
    "workers": 0,
    "precision": "32-true",
}
"""Fine-tuning is begun as the page says, but for the time it may take."""
SHOWN = [page for page in PAGES if python_blocks(page)]


@pytest.fixture
def workplace(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with the files that the pages speak of."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("NAPARI_GPCIS_HOME", str(tmp_path / "home"))
    real = gpcis_training.finetune
    monkeypatch.setattr(
        gpcis_training, "finetune", partial(real, **TINY), raising=False
    )
    write_set(tmp_path / "my", 2)
    write_set(tmp_path / "my-cells" / "val", 1)
    for name in ("a", "b"):
        imwrite(tmp_path / "my" / f"{name}.tif", np.ascontiguousarray(coins()))
    imwrite(tmp_path / "my.labels.tif", np.zeros((2, *coins().shape), np.uint16))
    return tmp_path


@pytest.mark.slow
@pytest.mark.parametrize("page", SHOWN, ids=lambda page: page.stem)
def test_the_blocks_of_a_page_run_one_after_the_other(
    page: Path, workplace: Path, request: pytest.FixtureRequest, qtbot: Any
) -> None:
    names: dict[str, Any] = {"image": coins(), "stack": np.stack([coins()] * 2)}
    try:
        for number, block in python_blocks(page):
            prepare(block, names, request)
            file = workplace / f"line_{number}.py"
            file.write_text(block, encoding="utf-8")
            names |= runpy.run_path(str(file), names)
            wait_for_widget(names, qtbot)
    finally:
        if "widget" in names:
            names["widget"].shut_down()
    assert CHECKS[page.stem](names, workplace)


def prepare(block: str, names: dict[str, Any], request: pytest.FixtureRequest) -> None:
    """Make what a block needs that a reader has by then."""
    if "viewer" in block and "viewer" not in names:
        viewer = request.getfixturevalue("make_napari_viewer_proxy")(show=True)
        viewer.__wrapped__.add_image(coins())
        names["viewer"] = viewer.__wrapped__
    if "nan_to_num" in block:
        names["viewer"].layers[0].data = np.full((40, 40), np.nan)
    if "stack.clicks.json" in block:
        save_stack(names["segmenter"], names["stack"])


def wait_for_widget(names: dict[str, Any], qtbot: Any) -> None:
    """Wait until the widget that a block has opened is ready, as the page says."""
    widget = names.get("widget")
    if widget is not None:
        qtbot.waitUntil(lambda: widget.session is not None, timeout=WAIT)


def save_stack(segmenter: Segmenter, stack: np.ndarray) -> None:
    """Save clicks on the second plane of a stack, as the widget does."""
    session = Session(segmenter, stack[1])
    session.view = (40, 10, 140, 110)
    session.add_click(87, 44)
    session.accept()
    plane = SavedPlane((1, 2), (1, 0, 0), (session.saved(),))
    write_prompts("stack.clicks.json", SavedAnnotation("stack", stack.shape, (plane,)))


def _scripting(names: dict[str, Any], folder: Path) -> bool:
    drawn = names["viewer"].layers["Image objects"].data
    same = np.array_equal(names["again"].labels, names["session"].labels)
    there = [(folder / f"coins.{end}").is_file() for end in ("ome.tif", "csv", "json")]
    return same and all(there) and (names["labels"][1] == 1).any() and drawn.any()


CHECKS = {
    "README": lambda names, folder: (folder / "clicks.json").is_file(),
    "scripting": _scripting,
    "fine-tuning": lambda names, folder: names["result"].after.clicks85 <= 20,
    "evaluation": lambda names, folder: names["result"].summary_at(20).noc[0.9].mean,
    "troubleshooting": lambda names, folder: not names["viewer"].layers[0].data.any(),
    "folder": lambda names, folder: len(list(folder.glob("my/*_labels.tif"))) == 2,
    "find-similar": lambda names, folder: len(np.unique(names["session"].labels)) == 4,
    "superpixels": lambda names, folder: (
        np.any(names["snapped"] & names["mask"]) and names["preview"][20, 30]
    ),
}
"""What must be there after the last block of each page."""


def test_every_page_with_blocks_is_checked() -> None:
    assert {page.stem for page in SHOWN} == set(CHECKS)
    assert ROOT / "README.md" in SHOWN
