"""Checkpoint files: what is written comes back, and bad files say what is wrong."""

from __future__ import annotations

import errno
import json
import os
import pickle
import subprocess
import sys
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest
import torch
from safetensors.torch import load_file, safe_open, save_file

from napari_gpcis.checkpoints import (
    InferenceSettings,
    ModelInfo,
    find_checkpoint,
    list_models,
    load_checkpoint,
    read_info,
    registry,
    save_checkpoint,
)
from napari_gpcis.errors import CheckpointError, InputError, UnknownModelError
from napari_gpcis.model.gpcis import GPCIS, build_model

if TYPE_CHECKING:
    from pathlib import Path

INFO = ModelInfo(
    name="small",
    architecture="mobilenet_v2",
    inference=InferenceSettings(infer_size=192, epsilon2=1e-6, gp_stride=4),
    licence="CC0-1.0",
    training_data="none",
    description="Random weights: zażółć",
    extra={"samples": "0"},
)


@pytest.fixture(scope="module")
def model() -> GPCIS:
    with torch.random.fork_rng():
        torch.manual_seed(0)
        return build_model("mobilenet_v2")


@pytest.fixture(scope="module")
def template(model: GPCIS, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("checkpoints") / "small.safetensors"
    save_checkpoint(path, model, INFO)
    return path


@pytest.fixture
def checkpoint(template: Path, tmp_path: Path) -> Path:
    path = tmp_path / "small.safetensors"
    path.write_bytes(template.read_bytes())
    return path


def rewrite(path: Path, **changes: object) -> None:
    """Write a checkpoint again with other metadata or tensors."""
    with safe_open(path, framework="pt") as opened:
        metadata = dict(opened.metadata())
    state = load_file(path)
    for name, value in changes.items():
        if isinstance(value, torch.Tensor):
            state[name] = value
        elif value is None:
            del state[name]
        else:
            metadata[name] = str(value)
    save_file(state, path, metadata)


def test_weights_come_back_through_float16(model: GPCIS, checkpoint: Path) -> None:
    loaded, info = load_checkpoint(checkpoint)
    assert info == INFO
    assert (loaded.epsilon2, loaded.gp_stride) == (1e-6, 4)
    assert not loaded.training
    state = loaded.state_dict()
    assert state.keys() == model.state_dict().keys()
    for name, tensor in model.state_dict().items():
        assert state[name].dtype == tensor.dtype, name
        if tensor.is_floating_point():
            assert torch.equal(state[name], tensor.half().float()), name
        else:
            assert torch.equal(state[name], tensor), name
    assert {t.dtype for t in load_file(checkpoint).values()} == {
        torch.float16,
        torch.int64,
    }


def test_full_precision_is_exact(model: GPCIS, tmp_path: Path) -> None:
    path = tmp_path / "full.safetensors"
    save_checkpoint(path, model, INFO, half=False)
    loaded, _ = load_checkpoint(str(path))
    for name, tensor in model.state_dict().items():
        assert torch.equal(loaded.state_dict()[name], tensor), name


def test_a_value_too_large_for_float16_stays_exact(
    model: GPCIS, tmp_path: Path
) -> None:
    path = tmp_path / "large.safetensors"
    before = model.omega.detach().clone()
    try:
        with torch.no_grad():
            model.omega[0, 0] = 1e6
        save_checkpoint(path, model, INFO)
    finally:
        with torch.no_grad():
            model.omega.copy_(before)
    loaded, _ = load_checkpoint(path)
    assert loaded.omega[0, 0].item() == 1e6


def test_loading_leaves_the_random_state_alone(checkpoint: Path) -> None:
    before = torch.get_rng_state()
    load_checkpoint(checkpoint)
    assert torch.equal(torch.get_rng_state(), before)


def test_home_folder_is_expanded(
    checkpoint: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOME", str(checkpoint.parent))
    monkeypatch.setenv("USERPROFILE", str(checkpoint.parent))
    assert load_checkpoint("~/small.safetensors")[1] == INFO
    assert read_info("~/small.safetensors") == INFO


def test_save_expands_the_home_folder(
    model: GPCIS, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("USERPROFILE", str(tmp_path))
    save_checkpoint("~/mine.safetensors", model, INFO)
    assert (tmp_path / "mine.safetensors").is_file()


@pytest.mark.parametrize("keep", [0, 5, 9, 400, 0.5, -1])
def test_truncated_file(checkpoint: Path, keep: float) -> None:
    content = checkpoint.read_bytes()
    length = round(keep * len(content)) if isinstance(keep, float) else keep
    checkpoint.write_bytes(content[:length])
    with pytest.raises(CheckpointError, match=r"small\.safetensors is (trunc|damag)"):
        load_checkpoint(checkpoint)


def test_damaged_header(checkpoint: Path) -> None:
    content = bytearray(checkpoint.read_bytes())
    content[9:200] = b"#" * 191
    checkpoint.write_bytes(content)
    with pytest.raises(CheckpointError, match="is damaged"):
        load_checkpoint(checkpoint)


class Bomb:
    """Creates a file when unpickled."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[object, tuple[str]]:
        return os.mkdir, (str(self.path),)


@pytest.mark.parametrize("zipped", [False, True])
def test_pickle_with_a_safe_name_is_not_executed(tmp_path: Path, zipped: bool) -> None:
    path, mark = tmp_path / "model.safetensors", tmp_path / "mark"
    if zipped:
        torch.save({"state_dict": Bomb(mark)}, path)
    else:
        path.write_bytes(pickle.dumps(Bomb(mark)))
    with pytest.raises(CheckpointError, match="is a pickle"):
        load_checkpoint(path)
    assert not mark.exists()


def test_another_kind_of_file(tmp_path: Path) -> None:
    path = tmp_path / "image.safetensors"
    path.write_bytes(b"\x89PNG\r\n\x1a\n" + bytes(100))
    with pytest.raises(CheckpointError, match="is not a safetensors file"):
        load_checkpoint(path)


def test_a_foreign_safetensors_file(tmp_path: Path) -> None:
    path = tmp_path / "foreign.safetensors"
    save_file({"weight": torch.zeros(2)}, path)
    with pytest.raises(CheckpointError, match="not a checkpoint of napari-gpcis"):
        load_checkpoint(path)


def test_missing_file(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match=r"none\.safetensors does not exist"):
        load_checkpoint(tmp_path / "none.safetensors")


def test_a_folder_is_not_a_checkpoint(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match="cannot be read"):
        load_checkpoint(tmp_path)


def test_another_format_version(checkpoint: Path) -> None:
    rewrite(checkpoint, version="7")
    with pytest.raises(CheckpointError, match="format version '7'"):
        load_checkpoint(checkpoint)


@pytest.mark.parametrize(
    "info",
    [
        "",
        "[]",
        json.dumps({"name": "x"}),
        json.dumps({**INFO.to_dict(), "colour": 1}),
        json.dumps({**INFO.to_dict(), "options": [1]}),
        json.dumps({**INFO.to_dict(), "inference": {"infer_size": -1}}),
        json.dumps({**INFO.to_dict(), "inference": {"infer_size": "big"}}),
    ],
)
def test_unreadable_information(checkpoint: Path, info: str) -> None:
    rewrite(checkpoint, info=info or " ")
    with pytest.raises(CheckpointError, match="unreadable model information"):
        load_checkpoint(checkpoint)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"omega": None}, "omega is missing"),
        ({"stranger": torch.zeros(1)}, "stranger is not known"),
        ({"omega": torch.zeros(3, 1)}, r"omega has shape \(3, 1\), not \("),
    ],
)
def test_wrong_weights(
    checkpoint: Path, changes: dict[str, object], message: str
) -> None:
    rewrite(checkpoint, **changes)
    with pytest.raises(CheckpointError, match=message):
        load_checkpoint(checkpoint)


@pytest.mark.parametrize(
    "info",
    [replace(INFO, architecture="vgg"), replace(INFO, options={"no_such_option": 1})],
)
def test_a_network_that_cannot_be_built(checkpoint: Path, info: ModelInfo) -> None:
    rewrite(checkpoint, info=json.dumps(info.to_dict()))
    with pytest.raises(CheckpointError, match="cannot be built"):
        load_checkpoint(checkpoint)


def test_unknown_name_lists_the_known_ones(
    checkpoint: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(registry, "FOLDER", checkpoint.parent)
    known = "'gpcis-big'; known models: gpcis-resnet50-sbd, small"
    with pytest.raises(UnknownModelError, match=known):
        load_checkpoint("gpcis-big")
    assert load_checkpoint("small")[1] == INFO


def test_a_full_disk_keeps_the_old_file(
    model: GPCIS, checkpoint: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = checkpoint.read_bytes()

    def full(_: int) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(CheckpointError, match="No space left"):
        save_checkpoint(checkpoint, model, INFO, half=False)
    assert checkpoint.read_bytes() == before
    assert [p.name for p in checkpoint.parent.iterdir()] == [checkpoint.name]


def test_a_missing_folder_is_named(model: GPCIS, tmp_path: Path) -> None:
    path = tmp_path / "none" / "small.safetensors"
    with pytest.raises(CheckpointError, match="cannot be written: No such file"):
        save_checkpoint(path, model, INFO)


@pytest.mark.parametrize(
    "values",
    [
        {"infer_size": 16},
        {"infer_size": 256.0},
        {"epsilon2": 0.0},
        {"epsilon2": float("inf")},
        {"gp_stride": 3},
        {"expansion": 0.5},
        {"mask_threshold": 1.0},
        {"crop_threshold": "0.5"},
        {"antialias": 1},
        {"mirror": "yes"},
    ],
)
def test_settings_out_of_range(values: dict[str, object]) -> None:
    with pytest.raises(InputError, match=next(iter(values))):
        InferenceSettings(**values)


def test_bundled_models_are_found_by_name() -> None:
    bundled = [model for model in list_models() if model.is_here]
    assert bundled
    for model in bundled:
        assert read_info(find_checkpoint(model.name)) == model.info


def test_no_models_at_all(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(registry, "FOLDER", tmp_path)
    monkeypatch.setattr(registry, "PUBLISHED", {})
    assert list_models() == []
    with pytest.raises(UnknownModelError, match="known models: none"):
        find_checkpoint("small")


def test_listing_imports_no_torch() -> None:
    code = (
        "import sys, napari_gpcis as g; g.list_models(); "
        "heavy = ('torch', 'napari', 'qtpy', 'magicgui', 'requests', 'tqdm'); "
        "print([m for m in heavy "
        "if m in sys.modules])"
    )
    command = [sys.executable, "-c", code]
    done = subprocess.run(command, check=True, capture_output=True, text=True)
    assert done.stdout.strip() == "[]"
