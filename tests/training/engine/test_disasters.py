"""Killed while writing, and full disks: an intact state is always there."""

import errno
import os
import resource
import signal
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest
import torch

from gpcis_training.engine import state as state_module
from gpcis_training.engine.state import clear_drafts, read_state, write_state
from gpcis_training.engine.trainer import Trainer
from napari_gpcis.errors import CheckpointError
from training._folders import write_disks
from training._runs import assert_same_weights, toy_config, train

TESTS = Path(__file__).parents[2]
PROGRAM = Path(__file__).with_name("_killed_writer.py")


@pytest.fixture
def root(tmp_path):
    write_disks(tmp_path / "disks")
    return tmp_path


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_a_run_killed_while_writing_resumes_from_the_state_before(root):
    run = root / "run"
    inherited = os.environ.get("PYTHONPATH", "")
    path = os.pathsep.join(filter(None, [str(TESTS), inherited]))
    environment = {**os.environ, "PYTHONPATH": path, "OMP_NUM_THREADS": "1"}
    program = subprocess.Popen(
        [sys.executable, str(PROGRAM), str(root), str(run)],
        env=environment,
        stderr=subprocess.PIPE,
        text=True,
    )
    deadline = time.monotonic() + 600
    while not (run / "writing").exists() and time.monotonic() < deadline:
        assert program.poll() is None, program.stderr.read()
        time.sleep(0.1)
    loading = psutil.Process(program.pid).children(recursive=True)
    assert loading
    program.send_signal(signal.SIGKILL)
    assert program.wait() == -signal.SIGKILL
    program.stderr.close()
    assert psutil.wait_procs(loading, timeout=60)[1] == []  # none is left

    (draft,) = run.glob(".state.*.pt")
    with pytest.raises(CheckpointError, match="is damaged"):
        read_state(draft)
    assert read_state(run / "state.pt")["step"] == 2
    resumed = train(toy_config(), root, run)
    assert not draft.exists()
    assert_same_weights(resumed, train(toy_config(), root, root / "whole"))


def test_a_full_disk_is_told_and_leaves_the_state_before(root):
    """The system refuses to let files grow beyond a limit, as a quota does."""
    trainer = train(toy_config(), root, root / "run", until=2)
    before = trainer.state_file.read_bytes()
    trainer.step = 3
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    ignored = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    try:
        resource.setrlimit(resource.RLIMIT_FSIZE, (len(before) // 2, hard))
        with pytest.raises(CheckpointError) as caught:
            trainer.save()
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
        signal.signal(signal.SIGXFSZ, ignored)
    assert isinstance(caught.value.__cause__, OSError)
    assert caught.value.__cause__.errno == errno.EFBIG
    for part in ("state.pt' cannot be written", "File too large", "before is kept"):
        assert part in str(caught.value)
    assert trainer.state_file.read_bytes() == before
    assert sorted(path.name for path in (root / "run").glob("*state*")) == ["state.pt"]
    assert not list((root / "run").glob(".state*"))
    assert train(toy_config(), root, root / "run").step == 10


@pytest.mark.parametrize("at", [0, 1, 5])
def test_no_space_left_at_any_moment(tmp_path, monkeypatch, at):
    class FullDisk(state_module._Stream):
        writes = 0

        def write(self, data):
            if FullDisk.writes == at:
                self.failure = OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
                raise self.failure
            FullDisk.writes += 1
            return super().write(data)

    path = tmp_path / "state.pt"
    content = {"weights": torch.arange(100_000), "more": torch.ones(9)}
    write_state(path, {"step": 1})
    monkeypatch.setattr(state_module, "_Stream", FullDisk)
    with pytest.raises(CheckpointError, match="No space left on device; the state"):
        write_state(path, content)
    assert read_state(path) == {"step": 1}
    assert [file.name for file in tmp_path.iterdir()] == ["state.pt"]


def test_a_folder_that_cannot_be_written_is_named(tmp_path):
    with pytest.raises(
        CheckpointError, match="cannot be written: No such file"
    ) as told:
        write_state(tmp_path / "gone" / "state.pt", {"step": 1})
    assert "kept" not in str(told.value)


def test_only_drafts_are_cleared(tmp_path):
    kept = ["state.pt", "log.jsonl", ".state.txt", ".other.3.pt"]
    for name in (*kept, ".state.17.pt", ".state.4711.pt"):
        (tmp_path / name).touch()
    clear_drafts(tmp_path / "state.pt")
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted(kept)


def test_control_c_is_not_for_the_loading_processes(root):
    """A terminal sends it to all; the run then ends with the samples that it needs."""
    trainer = Trainer(toy_config(workers=1, steps=40), root, root / "run")

    def interrupt(trainer, _):
        if trainer.step == 2:
            loading = psutil.Process().children(recursive=True)
            assert loading
            for process in loading:
                process.send_signal(signal.SIGINT)
        return True

    trainer.callback = interrupt
    trainer.fit()
    assert trainer.step == 40
