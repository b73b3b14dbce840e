"""The user's own models: listed by name, checked, never fatal."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
import torch

from napari_gpcis.checkpoints import (
    ModelInfo,
    broken_user_models,
    find_checkpoint,
    list_models,
    load_checkpoint,
    save_checkpoint,
    user_model_file,
    user_model_folder,
)
from napari_gpcis.cli import main
from napari_gpcis.errors import CheckpointError, InputError, UnknownModelError
from napari_gpcis.model.gpcis import build_model

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("NAPARI_GPCIS_HOME", str(tmp_path))
    return tmp_path


def write(file: Path, name: str) -> Path:
    with torch.random.fork_rng():
        network = build_model("mobilenet_v2")
    file.parent.mkdir(parents=True, exist_ok=True)
    save_checkpoint(file, network, ModelInfo(name, "mobilenet_v2", description="mine"))
    return file


def names() -> list[str]:
    return [model.name for model in list_models()]


def test_a_model_has_the_name_of_its_file(home: Path) -> None:
    """In the list, where it is loaded, and in what it says of itself."""
    folder = user_model_folder()
    first = write(folder / "em.safetensors", "em")
    assert "em" in names()
    copy = folder / "em two.safetensors"
    copy.write_bytes(first.read_bytes())
    assert {"em", "em two"} <= set(names())
    first.rename(folder / "em three.safetensors")
    listed = {"em three": folder / "em three.safetensors", "em two": copy}
    assert "em" not in names()
    for name, file in listed.items():
        assert name in names()
        assert find_checkpoint(name) == file
        for key in (name, file):
            assert load_checkpoint(key)[1].name == name
    with pytest.raises(UnknownModelError, match="em three, em two"):
        find_checkpoint("em")  # which of both?
    copy.unlink()
    assert find_checkpoint("em") == listed["em three"]  # as old scripts call it
    assert load_checkpoint("em")[1].name == "em three"
    elsewhere = write(home / "elsewhere" / "file.safetensors", "mine")
    assert load_checkpoint(elsewhere)[1].name == "mine"


def test_a_taken_name_gives_way_to_the_one_in_the_header(home: Path) -> None:
    folder = user_model_folder()
    taken = write(folder / "gpcis-resnet50-sbd.safetensors", "mine")
    assert "mine" in names()
    assert find_checkpoint("mine") == taken
    assert load_checkpoint(taken)[1].name == "mine"
    second = write(folder / "mine.safetensors", "gpcis-resnet50-sbd")
    assert names().count("mine") == 1  # no name is left for the first
    assert find_checkpoint("mine") == second
    assert load_checkpoint("mine")[1].name == "mine"
    with pytest.raises(CheckpointError, match="is not here yet"):
        find_checkpoint("gpcis-resnet50-sbd")


def test_broken_files_are_named_and_harm_nothing(
    home: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    good = write(user_model_folder() / "good.safetensors", "good")
    torn = user_model_folder() / "torn.safetensors"
    torn.write_bytes(good.read_bytes()[:1000])
    assert "good" in names()
    assert "torn" not in names()
    (reason,) = broken_user_models().values()
    assert "torn.safetensors is truncated" in reason
    assert main(["models"]) == 0
    assert "cannot be used: checkpoint" in capsys.readouterr().out


def test_a_new_model_gets_a_file_in_the_folder(home: Path) -> None:
    assert user_model_file("EM run 2") == home / "models" / "EM run 2.safetensors"
    assert (home / "models").is_dir()


@pytest.mark.parametrize(
    "name", ["", " a", "../a", ".hidden", "a/b", "gpcis-resnet50-sbd"]
)
def test_names_that_cannot_be_used_are_refused(name: str) -> None:
    with pytest.raises(InputError, match="name"):
        user_model_file(name)


def test_a_folder_that_cannot_be_made_is_explained(home: Path) -> None:
    (home / "models").write_text("a file, not a folder")
    with pytest.raises(CheckpointError, match="cannot be stored"):
        user_model_file("mine")
