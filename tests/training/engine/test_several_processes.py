"""Training on several devices, here two processes on the CPU (gloo)."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

from gpcis_training.engine.state import read_state
from training._folders import write_disks
from training._runs import STARTS, comparable, toy_config, train

TESTS = Path(__file__).parents[2]
PROGRAM = Path(__file__).with_name("_two_processes.py")


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """Two networks trained in two processes, each with a batch of two."""
    root = tmp_path_factory.mktemp("runs")
    write_disks(root / "disks")
    inherited = os.environ.get("PYTHONPATH", "")
    path = os.pathsep.join([str(TESTS), inherited]).strip(os.pathsep)
    done = subprocess.run(
        [sys.executable, str(PROGRAM), str(root)],
        env={**os.environ, "PYTHONPATH": path, "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        check=False,
        timeout=1500,
    )
    assert done.returncode == 0, done.stderr
    return root


@pytest.fixture
def root(trained, tmp_path):
    """Another folder for each test, with the same data and runs."""
    shutil.copytree(trained, tmp_path / "runs")
    return tmp_path / "runs"


@pytest.mark.slow
@pytest.mark.timeout(1800)
@pytest.mark.parametrize("network", ["toy", "mobilenet_v2"])
def test_two_processes_give_the_weights_of_one_with_twice_the_batch(root, network):
    config, start = comparable(network, batch_size=4), STARTS[network]
    single = train(config, root, root / "one", start=start)
    state = read_state(root / f"{network}-two" / "state.pt")
    weights = single.network.state_dict()
    torch.testing.assert_close(state["model"], dict(weights), rtol=0, atol=1e-5)
    ours, theirs = read_state(single.state_file)["places"], state["places"]
    assert torch.equal(ours["index"], theirs["index"])
    assert torch.equal(ours["turn"], theirs["turn"])
    torch.testing.assert_close(ours["previous"], theirs["previous"], rtol=0, atol=1e-4)
    early = train(config, root, root / "early", until=1, start=start)
    moved = [
        float((early.network.get_parameter(name) - value).detach().abs().max())
        for name, value in single.network.named_parameters()
    ]
    assert np.median(moved) > 1e-4  # so that agreement within 1e-5 says something


@pytest.mark.slow
@pytest.mark.timeout(1800)
def test_a_run_of_two_processes_may_go_on_in_one(root):
    config = toy_config(**{**comparable("toy", 4).__dict__, "steps": 6})
    resumed = train(config, root, root / "toy-two")
    assert resumed.step == 6
    whole = train(config, root, root / "whole")
    held, wanted = (read_state(run.state_file)["places"] for run in (resumed, whole))
    assert torch.equal(held["index"], wanted["index"])
    assert torch.equal(held["turn"], wanted["turn"])
