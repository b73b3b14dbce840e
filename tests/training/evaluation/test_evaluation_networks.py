"""Every network goes the same way: weights, checkpoint, command, figures."""

from __future__ import annotations

import csv

import pytest
import torch

from gpcis_training.cli import main
from napari_gpcis.backbones.base import available
from napari_gpcis.checkpoints import InferenceSettings, ModelInfo, save_checkpoint
from napari_gpcis.model.gpcis import build_model
from training._folders import write_disks

PUBLISHED_COUNT = {"resnet50": 39_388_964}
NETWORKS = (
    "efficientnet_lite0",
    "efficientnet_lite0_deep",
    "efficientnet_lite2",
    "hrnet18s",
    "mobilenet_v2",
    "resnet50",
    "segformer_b0",
)


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    """One image with two disks."""
    folder = tmp_path_factory.mktemp("sets")
    write_disks(folder / "disks", images=1)
    return folder


def test_all_networks_are_here():
    # Other tests may have registered a toy in the same process.
    assert set(NETWORKS) == set(available()) - {"toy"}


@pytest.mark.parametrize(
    ("name", "options"),
    [(name, {}) for name in NETWORKS]
    + [("mobilenet_v2", {"head": "linear"}), ("hrnet18s", {"head": "linear"})],
)
def test_random_weights_end_to_end(root, tmp_path, capsys, name, options):
    torch.manual_seed(0)
    model = build_model(name, **options)
    settings = InferenceSettings(infer_size=64)
    path = tmp_path / f"{name}.safetensors"
    info = ModelInfo(f"random-{name}", name, options, settings)
    save_checkpoint(path, model, info)
    output = tmp_path / "out.json"
    arguments = ["evaluate", str(path), "--root", str(root), "--dataset", "disks"]
    arguments += ["--max-clicks", "2", "-o", str(output)]
    assert main(arguments) == 0
    (row,) = csv.DictReader(output.with_suffix(".csv").read_text().splitlines())
    assert (row["method"], row["objects"]) == (f"random-{name}", "2")
    count = sum(p.numel() for p in model.parameters())
    assert int(row["parameters"]) == count == PUBLISHED_COUNT.get(name, count)
    head = "linear head" if options else "Gaussian process at stride 4 with ε² 1e-07"
    assert f"random-{name}: input 64 x 64, {head}" in capsys.readouterr().out
    assert 1 <= float(row["noc90"]) <= 2
    assert 0 <= float(row["iou1"]) <= 1
    assert row["noic"] == row["noic_steps"] == "0"
