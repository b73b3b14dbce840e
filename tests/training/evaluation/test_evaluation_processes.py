"""One evaluation shared by processes and machines gives the figures of one."""

from __future__ import annotations

import json
import os
import subprocess
import sys

import pytest

from gpcis_training.evaluation import evaluate, load_results
from gpcis_training.evaluation.jobs import Ranks, local_device
from training._evaluating import command, curves, write_sets, write_tiny


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    """Folders of disks and miniature sets of the paper."""
    return write_sets(tmp_path_factory.mktemp("sets"))


@pytest.fixture(scope="module")
def tiny(tmp_path_factory):
    """A network with random weights that runs at 64 pixels."""
    return write_tiny(tmp_path_factory.mktemp("models"))


@pytest.mark.slow
def test_processes_give_the_same_figures(root, tiny, tmp_path):
    arguments = [tiny, "--root", root, "--dataset", "disks", "--max-clicks", 3]
    assert command(*arguments, "-o", tmp_path / "one.json") == 0
    assert command(*arguments, "--jobs", 2, "-o", tmp_path / "two.json") == 0
    assert curves(tmp_path / "one.json") == curves(tmp_path / "two.json")


@pytest.mark.slow
def test_ranks_give_the_same_figures(root, tmp_path):
    output = tmp_path / "ranks.json"
    arguments = ["peer:watershed", "--root", root, "--dataset", "sbd", "disks"]
    arguments += ["--max-clicks", 4]
    launch = [sys.executable, "-m", "torch.distributed.run", "--standalone"]
    launch += ["--nproc-per-node", "2", "-m", "gpcis_training.cli", "evaluate"]
    found = subprocess.run(
        [*launch, *map(str, arguments), "-o", str(output)],
        capture_output=True,
        text=True,
        timeout=280,
        check=False,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
    )
    assert found.returncode == 0, found.stderr
    assert found.stdout.count("**disks**") == 1
    assert command(*arguments, "-o", tmp_path / "one.json") == 0
    assert curves(output) == curves(tmp_path / "one.json")
    items = [result.items for result in load_results(output)]
    assert items == [result.items for result in load_results(tmp_path / "one.json")]
    assert list(tmp_path.glob("*.partial*")) == []


def test_shards_are_disjoint_and_make_the_whole(root):
    seen = []

    class Noting(Ranks):
        def union(self, part):
            seen.append(dict(part))
            return {item: next(iter(part.values())) for item in wanted}

    whole = evaluate("peer:watershed", root, "disks", progress=False, limit=5)
    wanted = whole.items
    for rank in range(2):
        evaluate(
            "peer:watershed",
            root,
            "disks",
            progress=False,
            limit=5,
            ranks=Noting(rank, 2),
        )
    assert not set(seen[0]) & set(seen[1])
    union = seen[0] | seen[1]
    assert [union[item].ious for item in wanted] == [run.ious for run in whole.runs]


def test_each_rank_has_its_gpu(monkeypatch):
    monkeypatch.delenv("LOCAL_RANK", raising=False)
    assert local_device("cuda") == "cuda"
    monkeypatch.setenv("LOCAL_RANK", "3")
    assert [local_device(name) for name in ("cuda", "cpu")] == ["cuda:3", "cpu"]


def test_ranks_keep_runs_apart_and_read_all(root, tmp_path):
    kept = tmp_path / "x.partial"
    options = {"partial": kept, "progress": False}

    class Alone(Ranks):
        def union(self, part):
            return part | {item: next(iter(part.values())) for item in wanted}

    wanted = evaluate("peer:watershed", root, "disks", progress=False).items
    for rank in range(2):
        evaluate("peer:watershed", root, "disks", ranks=Alone(rank, 2), **options)
    assert {path.name for path in tmp_path.iterdir()} == {"x.partial", "x.partial.1"}
    lines = [
        json.loads(line)["object"][0]
        for path in sorted(tmp_path.iterdir())
        for line in path.read_text().splitlines()
        if line
    ]
    assert lines == ["p0.png", "p0.png", "p2.png", "p2.png", "p1.png", "p1.png"]
