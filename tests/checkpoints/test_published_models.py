"""Published models: downloaded once, converted without running code, found by name."""

from __future__ import annotations

import errno
import hashlib
import io
import json
import os
import pickle
import shutil
import subprocess
import sys
from collections import namedtuple
from pathlib import Path
from typing import TYPE_CHECKING

import filelock
import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from _model_server import ModelServer, serving
from _rule_weights import rule_state_dict
from napari_gpcis import Segmenter
from napari_gpcis.checkpoints import (
    InferenceSettings,
    ModelEntry,
    ModelInfo,
    convert_checkpoint,
    download_model,
    find_checkpoint,
    list_models,
    load_checkpoint,
    read_info,
)
from napari_gpcis.checkpoints.cache import cache_folder
from napari_gpcis.checkpoints.convert import write_converted
from napari_gpcis.checkpoints.download import ProgressBar, RemoteFile
from napari_gpcis.checkpoints.registry import PUBLISHED, PublishedModel
from napari_gpcis.cli import main
from napari_gpcis.errors import CheckpointError, DownloadError, UnknownModelError
from napari_gpcis.model.gpcis import build_model

if TYPE_CHECKING:
    from collections.abc import Iterator

DATA = Path(__file__).parents[1] / "data"
SBD = "gpcis-resnet50-sbd"
CONFIG = {"class": "os.system", "params": {"backbone": {"value": "resnet50"}}}


def packed(state: dict[str, object]) -> bytes:
    """Return a file as the published code writes it."""
    stream = io.BytesIO()
    torch.save({"state_dict": state, "config": CONFIG}, stream)
    return stream.getvalue()


@pytest.fixture(scope="module")
def weights() -> bytes:
    with torch.random.fork_rng():
        torch.manual_seed(0)
        return packed(build_model("mobilenet_v2").state_dict())


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = tmp_path / "home"
    monkeypatch.setenv("NAPARI_GPCIS_HOME", str(folder))
    return folder


@pytest.fixture
def server(weights: bytes, home: Path) -> Iterator[ModelServer]:
    with serving(weights) as running:
        yield running


@pytest.fixture
def small(server: ModelServer, monkeypatch: pytest.MonkeyPatch) -> PublishedModel:
    """A published model on the server: small, but otherwise like the others."""
    digest = hashlib.sha256(server.content).hexdigest()
    file = RemoteFile("Small.pth", (server.url,), len(server.content), digest)
    info = ModelInfo(
        "small", "mobilenet_v2", licence="MIT", extra={"fingerprint": digest[:16]}
    )
    published = PublishedModel(info, file)
    monkeypatch.setitem(PUBLISHED, "small", published)
    return published


def files(folder: Path) -> list[str]:
    """Return what a user sees in a folder."""
    names = (path.name for path in folder.iterdir())
    return sorted(name for name in names if not name.endswith(".lock"))


def entry(name: str) -> ModelEntry:
    (found,) = (model for model in list_models() if model.name == name)
    return found


# -- what is published -----------------------------------------------------------------


def test_the_authors_checkpoint_is_known_to_the_last_bit() -> None:
    published = PUBLISHED[SBD]
    assert published.file.size == 157_934_784
    assert len(published.file.sha256) == 64
    assert published.file.sha256.startswith("1b59a4c8b7f1ea30")
    assert published.file.sha256.endswith("00195c3c9")
    assert published.info.inference == InferenceSettings(
        infer_size=384,
        epsilon2=1e-7,
        gp_stride=1,
        expansion=1.4,
        mask_threshold=0.5,
        antialias=False,
    )
    for url in published.file.urls:
        assert url.startswith("https://")
        assert "zmhhmz/GPCIS_CVPR2023" in url
        assert url.endswith("/checkpoints/GPCIS_Resnet50.pth")


@pytest.mark.parametrize("name", PUBLISHED)
def test_each_published_model_says_what_it_is(name: str) -> None:
    info = PUBLISHED[name].info
    assert info.name == name
    assert all((info.licence, info.training_data, info.description))
    build_model(info.architecture, **info.options)


def test_it_is_listed_before_it_is_here(home: Path) -> None:
    listed = entry(SBD)
    assert (listed.is_here, listed.file, listed.size) == (False, None, 157_934_784)
    assert not home.exists()
    with pytest.raises(CheckpointError, match=f"napari-gpcis models download {SBD}"):
        find_checkpoint(SBD)


# -- download --------------------------------------------------------------------------


def test_first_use_downloads_and_converts(
    small: PublishedModel, server: ModelServer, home: Path, weights: bytes
) -> None:
    segmenter = Segmenter.from_pretrained("small", device="cpu")
    assert segmenter.info == small.info
    assert files(home) == ["small.safetensors"]
    expected = torch.load(io.BytesIO(weights), weights_only=True)["state_dict"]
    stored = load_file(home / "small.safetensors")
    assert stored.keys() == expected.keys()
    for name, tensor in expected.items():
        assert torch.equal(stored[name], tensor), name
    model, _ = load_checkpoint("small")
    assert model.epsilon2 == small.info.inference.epsilon2
    assert len(server.asked) == 1
    listed = entry("small")
    assert listed.file == home / "small.safetensors"
    assert listed.size == listed.file.stat().st_size
    assert listed.info == small.info
    assert find_checkpoint("small") == listed.file


def test_the_folder_of_the_operating_system(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("NAPARI_GPCIS_HOME")
    folder = cache_folder()
    assert folder.is_absolute()
    assert "napari-gpcis" in folder.parts
    monkeypatch.setenv("NAPARI_GPCIS_HOME", "~/models")
    assert cache_folder() == Path.home() / "models"


def test_the_command_line(
    small: PublishedModel, home: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["models", "download", "small"]
    assert main(words) == 0
    assert main(words) == 0
    out = f"small is in {home / 'small.safetensors'}\n"
    assert capsys.readouterr().out == out * 2
    assert main(["models"]) == 0
    (row,) = (
        line.split()
        for line in capsys.readouterr().out.splitlines()
        if line.startswith("small")
    )
    assert row[3:] == ["yes", "MIT"]


def test_stopping_on_the_command_line(
    small: PublishedModel,
    home: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    def stop(*_: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(ProgressBar, "__call__", stop)
        assert main(["models", "download", "small"]) == 2
    assert "the same command goes on from here" in capsys.readouterr().err
    assert files(home) == ["Small.pth.part"]
    assert main(["models", "download", "small"]) == 0


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_the_bar_is_for_people(
    small: PublishedModel, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shown = {}
    for kind in (Terminal, io.StringIO):
        stream = kind()
        monkeypatch.setattr(sys, "stderr", stream)
        with ProgressBar("small") as bar:
            download_model("small", bar)
        shown[kind] = stream.getvalue()
        (home / "small.safetensors").unlink()
    assert "small: 100%" in shown[Terminal]
    assert shown[io.StringIO] == ""
    monkeypatch.setattr(sys, "stderr", None)  # a program without a console
    load_checkpoint("small")


def test_an_unknown_name(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["models", "download", "large"]) == 2
    error = capsys.readouterr().err
    assert "unknown model 'large'; known models: " in error
    assert SBD in error
    with pytest.raises(UnknownModelError, match="'large'"):
        download_model("large")


def test_an_error_leaves_the_cache_as_it_was(
    small: PublishedModel,
    server: ModelServer,
    home: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    server.statuses = [404]
    assert main(["models", "download", "small"]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("napari-gpcis: Small.pth could not be downloaded")
    assert "answered 404" in line
    assert files(home) == []
    assert not entry("small").is_here


def test_a_damaged_file_in_the_cache_is_replaced(
    small: PublishedModel, server: ModelServer, home: Path
) -> None:
    path = download_model("small")
    size = path.stat().st_size
    path.write_bytes(path.read_bytes()[:-100])
    assert not entry("small").is_here
    assert load_checkpoint("small")[1] == small.info
    assert path.stat().st_size == size
    assert len(server.asked) == 2


def test_a_complete_download_is_not_repeated(
    small: PublishedModel, server: ModelServer, home: Path
) -> None:
    home.mkdir()
    (home / "Small.pth").write_bytes(server.content)
    download_model("small")
    assert server.asked == []
    assert files(home) == ["small.safetensors"]


def test_a_disk_that_is_too_small_is_noticed_first(
    small: PublishedModel,
    server: ModelServer,
    home: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    usage = namedtuple("usage", ["total", "used", "free"])
    free = 2 * small.file.size - 1
    monkeypatch.setattr(shutil, "disk_usage", lambda _: usage(0, 0, free))
    with pytest.raises(DownloadError, match=r"small needs \d+ MB in .*home, where"):
        download_model("small")
    assert server.asked == []


def test_a_disk_that_fills_up_while_converting(
    small: PublishedModel,
    server: ModelServer,
    home: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def full(_: int) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", full)
        with pytest.raises(CheckpointError, match="cannot be written: No space left"):
            download_model("small")
    assert files(home) == ["Small.pth"]
    download_model("small")
    assert files(home) == ["small.safetensors"]
    assert len(server.asked) == 1


def test_a_cache_that_cannot_be_written(
    small: PublishedModel,
    server: ModelServer,
    home: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise OSError(errno.EROFS, os.strerror(errno.EROFS))

    message = "stored in .*home: Read-only file system.*NAPARI_GPCIS_HOME"
    with monkeypatch.context() as patch:
        patch.setattr(Path, "mkdir", refuse)
        with pytest.raises(CheckpointError, match=message):
            download_model("small")
    with monkeypatch.context() as patch:
        patch.setattr(filelock.FileLock, "acquire", refuse)
        with pytest.raises(CheckpointError, match=message):
            download_model("small")
    assert server.asked == []
    download_model("small")
    monkeypatch.setattr(Path, "mkdir", refuse)
    monkeypatch.setattr(filelock.FileLock, "acquire", refuse)
    assert load_checkpoint("small")[1] == small.info


def test_a_cache_that_is_no_folder(small: PublishedModel, home: Path) -> None:
    home.write_text("a file")
    with pytest.raises(CheckpointError, match=r"stored in .*home: File exists"):
        download_model("small")
    assert not entry("small").is_here


ANOTHER_PROCESS = """
import json, sys
from napari_gpcis.checkpoints import ModelInfo, download_model
from napari_gpcis.checkpoints.convert import write_converted
from napari_gpcis.checkpoints.download import RemoteFile
from napari_gpcis.checkpoints.download import ProgressBar
from napari_gpcis.checkpoints.registry import PUBLISHED, PublishedModel

name, url, size, digest = json.loads(sys.argv[1])
file = RemoteFile(name, (url,), size, digest)
PUBLISHED["small"] = PublishedModel(ModelInfo("small", "mobilenet_v2"), file)
print("ready", flush=True)
print(download_model("small"))
"""


def test_two_processes_at_once(
    small: PublishedModel, server: ModelServer, home: Path
) -> None:
    server.gate.clear()
    file = small.file
    text = json.dumps([file.name, server.url, file.size, file.sha256])
    command = [sys.executable, "-c", ANOTHER_PROCESS, text]
    processes = [
        subprocess.Popen(command, stdout=subprocess.PIPE, text=True) for _ in range(2)
    ]
    for process in processes:
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
    server.wait_until_asked()
    with pytest.raises(subprocess.TimeoutExpired):  # both wait, one for the other
        processes[0].wait(0.5)
    assert len(server.asked) == 1
    server.gate.set()
    for process in processes:
        out, _ = process.communicate(timeout=120)
        assert out == f"{home / 'small.safetensors'}\n"
        assert process.returncode == 0
    assert len(server.asked) == 1
    assert files(home) == ["small.safetensors"]


# -- the user's own files --------------------------------------------------------------


def test_models_in_the_folder_are_known_by_their_file_names(
    small: PublishedModel, home: Path
) -> None:
    mine = home / "mine.safetensors"
    download_model("small").rename(mine)
    shutil.copy(mine, home / ".mine.17.safetensors")  # as while it is written
    (home / "torn.safetensors").write_bytes(mine.read_bytes()[:-5000])
    assert entry("mine").file == mine
    assert not entry("small").is_here
    names = [model.name for model in list_models()]
    assert names == sorted({*names, "mine", "small"} - {"torn", ".mine.17"})
    assert load_checkpoint("mine")[1].name == "mine"
    with pytest.raises(CheckpointError, match=r"torn\.safetensors is damaged"):
        load_checkpoint("torn")


# -- conversion ------------------------------------------------------------------------


def test_a_published_file_is_recognised(
    small: PublishedModel,
    server: ModelServer,
    home: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    source = tmp_path / "renamed.bin"
    source.write_bytes(server.content)
    for _ in range(2):
        assert main(["convert", str(source)]) == 0
        assert capsys.readouterr().out == f"wrote {home / 'small.safetensors'}\n"
    assert load_checkpoint("small")[1] == small.info
    assert source.exists()
    out = tmp_path / "out.safetensors"
    words = ["convert", str(source), "-o", str(out)]
    assert main(words) == 0
    assert read_info(out) == small.info
    out.write_bytes(b"precious")
    assert main(words) == 2
    assert "exists; overwrite replaces it" in capsys.readouterr().err
    assert out.read_bytes() == b"precious"
    assert main([*words, "--overwrite"]) == 0
    assert server.asked == []


class Evil:
    def __reduce__(self) -> tuple[object, tuple[str]]:
        return print, ("code from a file of weights was executed",)


def evil_content(kind: str) -> bytes:
    stream = io.BytesIO()
    if kind == "pickle":
        return pickle.dumps({"state_dict": {}, "config": Evil()})
    if kind == "zip":
        torch.save({"state_dict": {}, "config": Evil()}, stream)
    else:
        torch.save(torch.nn.Linear(1, 1), stream)
    return stream.getvalue()


@pytest.mark.parametrize("kind", ["pickle", "zip", "module"])
def test_code_is_never_run(
    kind: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    source = tmp_path / "evil.pth"
    source.write_bytes(evil_content(kind))
    with pytest.raises(CheckpointError, match="holds code or objects"):
        convert_checkpoint(source)
    with pytest.raises(CheckpointError, match="napari-gpcis convert"):
        load_checkpoint(source)
    assert capsys.readouterr().out == ""
    assert files(tmp_path) == ["evil.pth"]


def test_code_in_a_download_is_never_run(
    small: PublishedModel,
    server: ModelServer,
    home: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    server.content = evil_content("zip")
    digest = hashlib.sha256(server.content).hexdigest()
    file = RemoteFile("Small.pth", (server.url,), len(server.content), digest)
    monkeypatch.setitem(PUBLISHED, "small", PublishedModel(small.info, file))
    with pytest.raises(CheckpointError, match="holds code or objects"):
        download_model("small")
    assert capsys.readouterr().out == ""


def test_weights_that_cannot_be_used(tmp_path: Path, weights: bytes) -> None:
    source = tmp_path / "weights.pth"
    with pytest.raises(CheckpointError, match=r"weights.pth cannot be read: No such"):
        convert_checkpoint(source)
    cases = {
        "does not fit the network": weights,
        "the file is damaged": weights[: len(weights) // 2],
        "hold no state dict": packed({"omega": [1.0]}),
    }
    for message, content in {**cases, "file is damaged": b""}.items():
        source.write_bytes(content)
        with pytest.raises(CheckpointError, match=message):
            convert_checkpoint(source)
    with pytest.raises(CheckpointError, match=r"out.pth must end in .safetensors"):
        convert_checkpoint(source, tmp_path / "out.pth")
    assert files(tmp_path) == ["weights.pth"]


def test_numbers_that_are_none(
    tmp_path: Path, small: PublishedModel, weights: bytes
) -> None:
    state = torch.load(io.BytesIO(weights), weights_only=True)["state_dict"]
    state["theta.weight"][0, 0] = torch.nan
    source = tmp_path / "Small.pth"
    source.write_bytes(packed(state))
    with pytest.raises(CheckpointError, match=r"not finite, in theta\.weight"):
        write_converted(source, tmp_path / "out.safetensors", small.info)


# -- the real structure ----------------------------------------------------------------


@pytest.mark.slow
def test_the_published_structure_end_to_end(
    home: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """A file like the authors': served, cut once, converted, right to 1e-4."""
    content = packed(rule_state_dict(DATA / "gpcis_resnet50_keys.json"))
    assert len(content) == pytest.approx(PUBLISHED[SBD].file.size, rel=0.01)
    with serving(content) as server:
        server.cuts = [50_000_000]
        digest = hashlib.sha256(content).hexdigest()
        file = RemoteFile("GPCIS_Resnet50.pth", (server.url,), len(content), digest)
        published = PublishedModel(PUBLISHED[SBD].info, file)
        monkeypatch.setitem(PUBLISHED, SBD, published)
        model, info = load_checkpoint(SBD)
    assert len(server.asked) == 2
    assert files(home) == [f"{SBD}.safetensors"]
    assert info == published.info
    assert (model.epsilon2, model.gp_stride) == (1e-7, 1)
    with np.load(DATA / "gpcis_resnet50_parity.npz", allow_pickle=False) as stored:
        x = torch.from_numpy(np.concatenate([stored["image"], stored["prev_mask"]]))
        points = torch.from_numpy(stored["points_a"])
        with torch.no_grad():
            logits = model(x[None], points).logits
        np.testing.assert_allclose(
            logits, stored["a_logits_eps1e-7"], rtol=0, atol=1e-4
        )
    by_hand = tmp_path / "trained_by_me.pth"
    by_hand.write_bytes(content)
    monkeypatch.delitem(PUBLISHED, SBD)
    converted = convert_checkpoint(by_hand)
    assert converted == tmp_path / "trained_by_me.safetensors"
    assert read_info(converted).inference == info.inference
