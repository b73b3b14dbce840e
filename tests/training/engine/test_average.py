"""The mean of checkpoints."""

import pytest
import torch

from gpcis_training.cli import main
from gpcis_training.engine.average import average
from napari_gpcis.checkpoints import ModelInfo, load_checkpoint, save_checkpoint
from napari_gpcis.errors import InputError
from napari_gpcis.model.gpcis import build_model

INFO = ModelInfo(
    "stages", "mobilenet_v2", options={"basis": 0}, extra={"fingerprint": "abc"}
)


@pytest.fixture
def files(tmp_path):
    paths = []
    for seed in (1, 2, 3):
        torch.manual_seed(seed)
        model = build_model("mobilenet_v2", basis=0)
        paths.append(tmp_path / f"stage {seed}.safetensors")
        save_checkpoint(paths[-1], model, INFO)
    return paths


def test_every_weight_is_the_mean(files, tmp_path, capsys):
    output = tmp_path / "mean.safetensors"
    assert main(["average", *map(str, files), "-o", str(output)]) == 0
    named = "stage 1.safetensors, stage 2.safetensors, stage 3.safetensors"
    assert f"the mean of {named}" in capsys.readouterr().out
    mean, info = load_checkpoint(output)
    states = [load_checkpoint(file)[0].state_dict() for file in files]
    for name, value in mean.state_dict().items():
        expected = sum(state[name].double() for state in states) / 3
        torch.testing.assert_close(value.double(), expected, rtol=1e-3, atol=1e-3)
    first = load_checkpoint(files[0])[1]
    assert (info.name, info.inference) == (first.name, first.inference)
    assert info.extra["mean_of"] == named
    # saved prompts and alternatives know a model by its weights
    assert info.extra["fingerprint"] != "abc"


def test_what_has_no_mean_is_refused(files, tmp_path):
    with pytest.raises(InputError, match="two or more checkpoints, got 1"):
        average(files[:1], tmp_path / "m.safetensors")
    with pytest.raises(InputError, match="one network: options of"):
        average([files[0], "gpcis-mobilenet-v2"], tmp_path / "m.safetensors")
    assert not (tmp_path / "m.safetensors").exists()
