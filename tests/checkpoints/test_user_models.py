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


def test_a_model_is_listed_and_found_by_the_name_in_its_header(home: Path) -> None:
    file = write(user_model_folder() / "whatever.safetensors", "my cells")
    assert "my cells" in names()
    assert find_checkpoint("my cells") == file
    with pytest.raises(UnknownModelError, match="my cells"):
        find_checkpoint("whatever")


def test_a_taken_name_gives_way_to_the_name_of_the_file(home: Path) -> None:
    folder = user_model_folder()
    write(folder / "a.safetensors", "mine")
    second = write(folder / "b.safetensors", "mine")
    shipped = write(folder / "c.safetensors", "gpcis-resnet50-sbd")
    assert {"mine", "b", "c"} <= set(names())
    assert find_checkpoint("b") == second
    assert find_checkpoint("c") == shipped


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
