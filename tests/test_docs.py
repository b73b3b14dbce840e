"""What the documentation shows works as it stands."""

from __future__ import annotations

import re
import runpy
import shlex
from pathlib import Path

import numpy as np
import pytest
import torch
from skimage.data import coins
from tifffile import imwrite

from napari_gpcis import Segmenter, checkpoints
from napari_gpcis.checkpoints import ModelInfo, _known, save_checkpoint
from napari_gpcis.cli import main
from napari_gpcis.model import build_model

ROOT = Path(__file__).parents[1]
PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *ROOT.glob("docs/*.md")]
NAME = "gpcis-mobilenet-v2"


@pytest.fixture
def workplace(
    tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch
) -> Path:
    """A folder with an image, and a model that has learnt nothing by that name."""
    models = tmp_path_factory.mktemp("models")
    with torch.random.fork_rng():
        torch.manual_seed(0)
        network = build_model("mobilenet_v2")
    info = ModelInfo(NAME, "mobilenet_v2")
    save_checkpoint(models / f"{NAME}.safetensors", network, info)
    monkeypatch.setattr(_known, "FOLDER", models)
    folder = tmp_path_factory.mktemp("work")
    monkeypatch.chdir(folder)
    imwrite(folder / "cells.tif", np.ascontiguousarray(coins()))
    (folder / "clicks.csv").write_text("image,row,col\ncells.tif,120,80\n")
    return folder


@pytest.mark.parametrize("page", ["README.md", "docs/scripting.md"])
def test_python_examples_run(page: str, workplace: Path) -> None:
    blocks = re.findall(r"```python\n(.*?)```", (ROOT / page).read_text(), re.DOTALL)
    assert blocks
    names: dict[str, object] = {"image": coins()}
    for block in blocks:
        (workplace / "example.py").write_text(block)
        names = runpy.run_path(str(workplace / "example.py"), names)
    assert isinstance(names["segmenter"], Segmenter)
    assert (workplace / "clicks.json").is_file()


@pytest.mark.parametrize("page", ["README.md", "docs/scripting.md"])
def test_command_lines_run(page: str, workplace: Path) -> None:
    lines = re.findall(r"^    napari-gpcis (\w.*)$", (ROOT / page).read_text(), re.M)
    assert lines
    for line in lines:
        (workplace / "labels.tif").unlink(missing_ok=True)
        assert main(shlex.split(line)) == 0, line


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_lead_somewhere(page: Path) -> None:
    for target in re.findall(r"\]\((?!https?:)([^)#]*)", page.read_text()):
        assert (page.parent / target).exists(), target


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
