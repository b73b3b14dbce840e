import json
import subprocess
import sys

import numpy as np
import pytest
import torch

from gpcis_training.cli import main
from gpcis_training.config import load_config
from gpcis_training.data.folders import DataFolder
from gpcis_training.data.samples import SampleStream
from gpcis_training.engine.slots import ClickBatch, SlotSampler, SlotSchedule
from gpcis_training.engine.trainer import Trainer
from napari_gpcis import Click, Segmenter
from napari_gpcis.errors import CheckpointError, InputError
from training._folders import write_disks

CONFIG = """
network: mobilenet_v2
name: tiny
steps: 3
batch_size: 2
workers: 0
data: [{path: disks, weight: 1.0, union: 0.2}]
augment: {size: 64}
clicks: {single_start: 0.5}
"""


@pytest.fixture
def root(tmp_path):
    write_disks(tmp_path / "disks")
    return tmp_path


@pytest.fixture
def config_file(tmp_path):
    path = tmp_path / "tiny.yaml"
    path.write_text(CONFIG)
    return path


def test_samples_are_a_function_of_seed_and_index(root):
    folders = [DataFolder(root / "disks")]
    first, second = SampleStream(folders, seed=3), SampleStream(folders, seed=3)
    other = SampleStream(folders, seed=4)
    assert torch.equal(first[5].image, second[5].image)
    assert torch.equal(first[5].points, second[5].points)
    assert not torch.equal(first[5].image, other[5].image)


def test_carried_samples_keep_their_mask_and_get_a_click(root):
    stream = SampleStream([DataFolder(root / "disks")])
    schedule = SlotSchedule(0, 2, 3)
    sampler = SlotSampler(schedule, range(2))
    click_batch = ClickBatch((stream[index] for index in sampler), schedule)
    carried = 0
    for _ in range(8):
        before = click_batch.batch()
        click_batch.advance(torch.full((2, 1, 256, 256), 0.25))
        after = click_batch.batch()
        for index in range(2):
            if after.slot_step[index] == 0:
                assert after.inputs[index, 3].abs().max() == 0
                continue
            carried += 1
            assert torch.equal(after.inputs[index, :3], before.inputs[index, :3])
            assert (after.inputs[index, 3] == 0.25).all()
            count = (after.points[index, :, 0] >= 0).sum()
            assert count == (before.points[index, :, 0] >= 0).sum() + 1
    assert carried > 3


def test_fit_learns_and_its_checkpoint_predicts(root, config_file, capsys):
    run = root / "run"
    status = main(
        ["fit", str(config_file), "--data", str(root), "-o", str(run), "--steps", "60"]
    )
    assert status == 0
    assert "trained 60 steps" in capsys.readouterr().out
    entry = json.loads((run / "log.jsonl").read_text().splitlines()[0])
    assert entry["step"] == 50
    assert 0 < entry["iou"] < 1
    segmenter = Segmenter.from_pretrained(run / "tiny.safetensors")
    assert segmenter.info.inference.infer_size == 64
    assert segmenter.info.extra["samples"] == "120"
    picture = np.zeros((80, 100, 3), dtype=np.uint8)
    mask = segmenter.predict(picture, [Click(40, 50)]).mask
    assert mask.shape == (80, 100)
    assert mask[40, 50]


def test_resume_goes_on_from_the_saved_step(root, config_file):
    config = load_config(config_file)
    first = Trainer(config, root, root / "run")
    first.fit()
    longer = load_config(config_file, {"steps": 5})
    second = Trainer(longer, root, root / "run")
    assert second.resume()
    assert second.step == 3
    assert second.drawn == first.drawn
    for name, value in first.network.state_dict().items():
        assert torch.equal(value, second.network.state_dict()[name])
    second.fit()
    assert second.step == 5


def test_a_state_of_another_network_is_refused(root, config_file):
    Trainer(load_config(config_file), root, root / "run").fit()
    other = load_config(config_file, {"options": {"linear_basis": False}})
    with pytest.raises(CheckpointError, match="not from this configuration"):
        Trainer(other, root, root / "run").resume()


def test_export_without_a_run_says_so(config_file, tmp_path, capsys):
    status = main(["export", str(config_file), str(tmp_path), "-o", "x.safetensors"])
    assert status == 2
    assert "no training state" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("network: [", "not valid YAML"),
        ("- a", "expected a mapping"),
        (CONFIG + "spets: 3\n", r"unknown entries \['spets'\]"),
        (CONFIG.replace("steps: 3", "steps: many"), "steps must be of type int"),
        (CONFIG.replace("network: mobilenet_v2\n", ""), "network"),
    ],
)
def test_bad_configurations_are_explained(tmp_path, text, message):
    path = tmp_path / "bad.yaml"
    path.write_text(text)
    with pytest.raises(InputError, match=message):
        load_config(path)


@pytest.mark.slow
def test_two_processes_train_together(root, config_file):
    """Fabric starts the second process itself, by running the program again."""
    run = root / "run"
    program = [sys.executable, "-m", "gpcis_training.cli", "fit", str(config_file)]
    arguments = ["--data", str(root), "-o", str(run), "--devices", "2"]
    done = subprocess.run(
        [*program, *arguments], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("trained 3 steps") == 1
    assert Segmenter.from_pretrained(run / "tiny.safetensors").info.name == "tiny"
