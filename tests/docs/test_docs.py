"""What the documentation shows works as it stands."""

from __future__ import annotations

import re
import shlex
from typing import TYPE_CHECKING

import numpy as np
import pytest
from skimage.data import coins
from tifffile import imwrite

from _documented import PAGES, ROOT
from napari_gpcis import checkpoints
from napari_gpcis.cli import main

if TYPE_CHECKING:
    from pathlib import Path

WITHOUT_LINKS: set[str] = set()
"""Pages that link to nothing in the repository."""


@pytest.fixture
def workplace(
    tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch
) -> Path:
    """A folder with an image and a table of clicks."""
    folder = tmp_path_factory.mktemp("work")
    monkeypatch.chdir(folder)
    imwrite(folder / "cells.tif", np.ascontiguousarray(coins()))
    (folder / "clicks.csv").write_text("image,row,col\ncells.tif,120,80\n")
    return folder


@pytest.mark.parametrize("page", ["README.md", "docs/scripting.md"])
def test_command_lines_run(page: str, workplace: Path) -> None:
    lines = re.findall(r"^    napari-gpcis (\w.*)$", (ROOT / page).read_text(), re.M)
    assert lines
    for line in lines:
        (workplace / "labels.tif").unlink(missing_ok=True)
        assert main(shlex.split(line)) == 0, line


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_lead_somewhere(page: Path) -> None:
    targets = re.findall(r"\]\((?!https?:)([^)#]*)", page.read_text())
    assert bool(targets) != (page.name in WITHOUT_LINKS)
    for target in targets:
        assert (page.parent / target).exists(), target


def test_pictures_are_small_and_all_are_shown() -> None:
    folder = ROOT / "docs" / "pictures"
    texts = [page.read_text(encoding="utf-8") for page in PAGES]
    shown = {
        name for text in texts for name in re.findall(r"pictures/(\S+\.png)", text)
    }
    assert {file.name for file in folder.iterdir()} == shown
    for file in folder.iterdir():
        assert file.stat().st_size <= 150_000, file.name


def test_options_of_the_command_line_are_documented() -> None:
    from napari_gpcis.cli import _make_parser

    text = (ROOT / "docs/scripting.md").read_text()
    (commands,) = (a for a in _make_parser()._actions if a.dest == "==SUPPRESS==")
    for action in commands.choices["segment"]._actions:
        if action.option_strings and action.dest != "help":
            names = "|".join(action.option_strings)
            assert re.search(rf"(?<![\w-])({names})[ `]", text), action


def test_public_names_of_checkpoints() -> None:
    for name in checkpoints.__all__:
        assert callable(getattr(checkpoints, name))
