"""The speed of a run, told by a clock that the test turns."""

from types import SimpleNamespace

import pytest

from gpcis_training.cli import main
from gpcis_training.engine import step, throughput
from gpcis_training.engine.slots import ClickBatch
from gpcis_training.engine.step import TrainingStep
from gpcis_training.engine.throughput import measure_throughput
from training._folders import write_disks
from training._runs import toy_config


@pytest.fixture
def root(tmp_path):
    write_disks(tmp_path / "disks")
    return tmp_path


def test_whole_steps_are_compared_with_those_of_the_network(root, monkeypatch):
    """A step takes 2 s in the network and 1 s for clicks and samples."""
    now = [0.0]
    clock = SimpleNamespace(perf_counter=lambda: now[0])
    monkeypatch.setattr(step, "time", clock)
    monkeypatch.setattr(throughput, "time", clock)

    def taking(seconds, function):
        def slow(*arguments):
            now[0] += seconds
            return function(*arguments)

        return slow

    monkeypatch.setattr(TrainingStep, "learn", taking(2.0, TrainingStep.learn))
    monkeypatch.setattr(ClickBatch, "advance", taking(1.0, ClickBatch.advance))
    found = measure_throughput(toy_config(batch_size=3), root, steps=6)
    assert found.network == pytest.approx(3 / 2)
    assert found.loaded == pytest.approx(1.0)
    assert found.ratio == pytest.approx(2 / 3)
    assert found.waiting == pytest.approx(1 / 3)
    assert str(found).startswith("network alone 1.50 samples/s, with loading 1.00")
    assert "67%" in str(found)
    assert str(found).endswith("; 1.00 clicks/s")


def test_unrolled_clicks_count_each(root, monkeypatch):
    """A step of 3 samples and 4 clicks each takes 2 s and 1 s outside the network."""
    now = [0.0]
    clock = SimpleNamespace(perf_counter=lambda: now[0])
    monkeypatch.setattr(step, "time", clock)
    monkeypatch.setattr(throughput, "time", clock)
    descend, advance = TrainingStep._descend, ClickBatch.advance

    def slow_descend(*arguments):
        now[0] += 2.0
        return descend(*arguments)

    def slow_advance(*arguments):
        now[0] += 1.0
        return advance(*arguments)

    monkeypatch.setattr(TrainingStep, "_descend", slow_descend)
    monkeypatch.setattr(ClickBatch, "advance", slow_advance)
    config = toy_config(batch_size=3, iteration="unroll", unrolled_clicks=4)
    found = measure_throughput(config, root, steps=4)
    assert found.network == pytest.approx(3 / 2)
    assert found.loaded == pytest.approx(1.0)
    assert str(found).endswith("; 4.00 clicks/s")


def test_the_command_leaves_nothing_behind(root, capsys):
    config = root / "c.yaml"
    config.write_text("network: toy\ndata: [{path: disks}]\nbatch_size: 2\n")
    before = sorted(path.name for path in root.iterdir())
    arguments = ["throughput", str(config), "--data", str(root), "--timed", "2"]
    options = ["--size", "48", "--workers", "1", "--set", "options.gp_stride=4"]
    assert main([*arguments, *options]) == 0
    assert "samples/s, with loading" in capsys.readouterr().out
    assert sorted(path.name for path in root.iterdir()) == before
