"""Published weights of the paper's networks, by their official names."""

from __future__ import annotations

import logging
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor

from _toy_backbone import make_toy_model
from gpcis_training.cli import main
from gpcis_training.config import FitConfig
from gpcis_training.engine.start import parameter_groups, start_model
from gpcis_training.initial_weights import focalclick, load_initial_weights
from napari_gpcis import Click, Segmenter
from napari_gpcis.errors import CheckpointError, InputError
from napari_gpcis.model.gpcis import GPCIS, build_model
from training._folders import write_disks
from training._published_files import CLASSIFIERS, FOCALCLICK
from training._published_files import imagenet as _imagenet
from training._published_files import keys as _keys
from training._published_files import values as _values

NETWORKS = ["resnet50", "hrnet18s", "segformer_b0"]


def _transformers(nvidia: dict[str, Tensor]) -> dict[str, Tensor]:
    """The same weights as the transformers library names them."""
    state: dict[str, Tensor] = {}
    layers = {
        "attn.q.": "attention.self.query.",
        "attn.sr.": "attention.self.sr.",
        "attn.norm.": "attention.self.layer_norm.",
        "attn.proj.": "attention.output.dense.",
        "norm1.": "layer_norm_1.",
        "norm2.": "layer_norm_2.",
        "fc1.": "dense1.",
        "fc2.": "dense2.",
    }
    for key, value in nvidia.items():
        part, _, rest = key.partition(".")
        if part == "head":
            state[f"classifier.{rest}"] = value
            continue
        stage = int(part[-1]) - 1
        if part.startswith("patch_embed"):
            rest = rest.replace("norm.", "layer_norm.")
            state[f"segformer.encoder.patch_embeddings.{stage}.{rest}"] = value
        elif part.startswith("norm"):
            state[f"segformer.encoder.layer_norm.{stage}.{rest}"] = value
        elif "attn.kv." in rest:
            for half, name in zip(value.chunk(2), ("key", "value"), strict=True):
                new = rest.replace("attn.kv.", f"attention.self.{name}.")
                state[f"segformer.encoder.block.{stage}.{new}"] = half.clone()
        else:
            for theirs, new in layers.items():
                rest = rest.replace(theirs, new)
            state[f"segformer.encoder.block.{stage}.{rest}"] = value
    return state


def _encoder(model: GPCIS) -> dict[str, Tensor]:
    return model.get_submodule("model.backbone").state_dict()


# -- FocalClick ------------------------------------------------------------------


@pytest.mark.parametrize("name", FOCALCLICK)
def test_every_encoder_key_of_focalclick_has_its_place(name: str) -> None:
    model = build_model(name)
    own = {key: tuple(value.shape) for key, value in model.state_dict().items()}
    rename = FOCALCLICK[name][1]
    named = {key: rename(key) for key in _keys(name)}
    for key, ours in named.items():
        if ours is not None:
            assert own[ours] == _keys(name)[key], key
    used = [ours for ours in named.values() if ours is not None]
    assert len(used) == len(set(used))
    assert sorted(used) == sorted(focalclick.names_to_fill(model))
    unused = {key for key, ours in named.items() if ours is None}
    last = {
        "hrnet18s": ("feature_extractor.cls_head.",),
        "segformer_b0": ("feature_extractor.decode_head.linear_pred.", "maps_transf"),
    }
    assert all(key.startswith(("refiner.", *last[name])) for key in unused)
    left = {key.split(".")[0] for key in own} - {key.split(".")[0] for key in used}
    assert left == {"omega", "omega_var", "logsigma2", "weights", "theta", "u_mlp"}


@pytest.mark.parametrize("name", FOCALCLICK)
def test_focalclick_checkpoint_is_a_start(name: str, tmp_path: Path) -> None:
    state = _values(_keys(name))
    config = {"class": "isegm.model.is_hrnet_model.HRNetModel", "params": {"width": 18}}
    torch.save({"state_dict": state, "config": config}, tmp_path / "last.pth")
    model = build_model(name)
    theta = model.theta.weight.clone()
    assert load_initial_weights(model, tmp_path / "last.pth") > 50
    own = model.state_dict()
    for key, value in state.items():
        ours = FOCALCLICK[name][1](key)
        assert ours is None or torch.equal(own[ours], value), key
    assert torch.equal(model.theta.weight, theta)


# -- ImageNet --------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "form"),
    [
        ("resnet50", "plain"),
        *product(["hrnet18s", "segformer_b0"], ["plain", "nested", "safetensors"]),
    ],
)
def test_imagenet_file_fills_the_encoder(name: str, form: str, tmp_path: Path) -> None:
    state = _imagenet(name)
    file = tmp_path / ("w.safetensors" if form == "safetensors" else "w.pth")
    if form == "safetensors":
        save_file(state, file)
    elif name == "hrnet18s" and form == "nested":
        torch.save({f"model.{key}": value for key, value in state.items()}, file)
    else:
        torch.save({"state_dict": state} if form == "nested" else state, file)
    model = build_model(name)
    before = {key: value.clone() for key, value in model.state_dict().items()}
    count = load_initial_weights(model, file)
    encoder = _encoder(model)
    assert count == len({key.rpartition(".")[0] for key in encoder})
    sums = {key: float(value.double().sum()) for key, value in encoder.items()}
    wanted = [
        float(value.double().sum())
        for key, value in state.items()
        if key not in CLASSIFIERS[name]
    ]
    assert sorted(sums.values()) == sorted(wanted)
    for key, value in model.state_dict().items():
        if not key.startswith("model.backbone."):
            assert torch.equal(value, before[key]), key
    if name != "segformer_b0":  # the names are the published ones
        assert all(torch.equal(encoder[key], state[key]) for key in encoder)


def test_both_namings_of_mit_b0_give_the_same_network(tmp_path: Path) -> None:
    nvidia = _imagenet("segformer_b0")
    torch.save(nvidia, tmp_path / "mit_b0.pth")
    save_file(_transformers(nvidia), tmp_path / "model.safetensors")
    first, second = build_model("segformer_b0"), build_model("segformer_b0")
    load_initial_weights(first, tmp_path / "mit_b0.pth")
    load_initial_weights(second, tmp_path / "model.safetensors")
    ours = _encoder(first)
    theirs = _encoder(second)
    assert all(torch.equal(ours[key], theirs[key]) for key in ours)
    attention = first.model.backbone.stages[1].blocks[0].attn
    assert torch.equal(attention.kv.weight, nvidia["block2.0.attn.kv.weight"])


def test_licence_of_mit_b0_is_logged(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    torch.save(_imagenet("segformer_b0"), tmp_path / "mit_b0.pth")
    with caplog.at_level(logging.INFO):
        load_initial_weights(build_model("segformer_b0"), tmp_path / "mit_b0.pth")
    assert "non-commercial" in caplog.text
    caplog.clear()
    torch.save(_imagenet("hrnet18s"), tmp_path / "hrnet.pth")
    with caplog.at_level(logging.INFO):
        load_initial_weights(build_model("hrnet18s"), tmp_path / "hrnet.pth")
    assert not caplog.records


def test_files_without_counters_load(tmp_path: Path) -> None:
    state = {
        key: value
        for key, value in _imagenet("hrnet18s").items()
        if not key.endswith("num_batches_tracked")
    }
    torch.save(state, tmp_path / "old.pth")
    model = build_model("hrnet18s")
    load_initial_weights(model, tmp_path / "old.pth")
    assert torch.equal(model.model.backbone.conv1.weight, state["conv1.weight"])


# -- refusals --------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "fault"),
    [
        ("resnet50", "missing"),
        *product(["hrnet18s", "segformer_b0"], ["foreign", "missing", "extra"]),
        *product(["hrnet18s"], ["shape", "list"]),
    ],
)
def test_unfit_files_are_refused_and_change_nothing(
    name: str, fault: str, tmp_path: Path
) -> None:
    state: Any = _imagenet(name)
    key = next(
        key for key in state if key.endswith("0.conv1.weight") or "attn.q" in key
    )
    if fault == "foreign":
        state = {"features.0.weight": torch.zeros(3)}
    elif fault == "missing":
        del state[key]
    elif fault == "shape":
        state[key] = state[key][:16]
    elif fault == "extra":
        state[f"{key.split('.')[0]}.9.conv9.weight"] = torch.zeros(1)
    else:
        state = [state]
    torch.save(state, tmp_path / "w.pth")
    model = build_model(name)
    before = {key: value.clone() for key, value in model.state_dict().items()}
    with pytest.raises(CheckpointError, match=r"w\.pth"):
        load_initial_weights(model, tmp_path / "w.pth")
    after = model.state_dict()
    assert all(torch.equal(value, after[key]) for key, value in before.items())


class _Harmful:
    def __reduce__(self) -> tuple[Any, ...]:
        return (Path.touch, (Path("harmful"),))


@pytest.mark.parametrize("suffix", ["pth", "safetensors"])
def test_no_file_is_executed_and_damage_is_named(suffix: str, tmp_path: Path) -> None:
    model = build_model("hrnet18s")
    harmful = tmp_path / f"harmful.{suffix}"
    torch.save({"conv1.weight": _Harmful()}, harmful)
    with pytest.raises(CheckpointError, match=r"harmful\."):
        load_initial_weights(model, harmful)
    assert not Path("harmful").exists()
    damaged = tmp_path / f"damaged.{suffix}"
    damaged.write_bytes(b"weights")
    with pytest.raises(CheckpointError, match=r"damaged\."):
        load_initial_weights(model, damaged)


def test_missing_file_and_unknown_network_are_refused(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match="no file"):
        load_initial_weights(build_model("hrnet18s"), tmp_path / "none.pth")
    (tmp_path / "w.pth").write_bytes(b"")
    with pytest.raises(InputError, match="not for ToyBackbone"):
        load_initial_weights(make_toy_model(), tmp_path / "w.pth")


# -- a run -----------------------------------------------------------------------


@pytest.mark.parametrize("name", NETWORKS)
def test_a_run_starts_from_the_file_with_a_slow_encoder(
    name: str, tmp_path: Path
) -> None:
    torch.save(_imagenet(name), tmp_path / "w.pth")
    config = FitConfig(network=name, data=())
    model = start_model(config, tmp_path / "w.pth", None)
    before = _encoder(build_model(name))
    after = _encoder(model)
    assert any(not torch.equal(before[key], after[key]) for key in before)
    slow, fast = parameter_groups(model, config)
    assert slow["factor"] == config.optimiser.encoder_lr
    assert fast["factor"] == 1
    encoder = {id(p) for p in model.get_submodule("model.backbone").parameters()}
    assert encoder <= {id(parameter) for parameter in slow["params"]}
    assert id(model.theta.weight) in {id(parameter) for parameter in fast["params"]}
    count = len(slow["params"]) + len(fast["params"])
    assert count == len(list(model.parameters()))


@pytest.mark.parametrize("name", NETWORKS)
def test_command_line_trains_and_exports_each_network(
    name: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write_disks(tmp_path / "disks")
    torch.save(_imagenet(name), tmp_path / "w.pth")
    config = tmp_path / "run.yaml"
    config.write_text(
        f"network: {name}\nname: tiny\nsteps: 1\nbatch_size: 2\nworkers: 0\n"
        "data: [{path: disks}]\naugment: {size: 64}\n"
    )
    arguments = ["fit", str(config), "--data", str(tmp_path), "-o", str(tmp_path / "r")]
    assert main([*arguments, "--initial-weights", str(tmp_path / "w.pth")]) == 0
    assert "trained 1 steps" in capsys.readouterr().out
    segmenter = Segmenter.from_pretrained(tmp_path / "r" / "tiny.safetensors")
    assert segmenter.info.architecture == name
    mask = segmenter.predict(np.zeros((50, 70, 3), np.uint8), [Click(20, 30)]).mask
    assert mask.shape == (50, 70)
    assert mask[20, 30]
