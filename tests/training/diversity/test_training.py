"""Training and evaluation from configuration to table, on disks."""

from __future__ import annotations

import json
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from gpcis_training.cli import main
from gpcis_training.diversity.checkpoint import load_diversity
from gpcis_training.diversity.clicks import SamplingOptions
from gpcis_training.diversity.config import (
    ABLATIONS,
    DiversityConfig,
    load_diversity_config,
)
from gpcis_training.diversity.evaluation import published_cells
from gpcis_training.diversity.predictor import DiversityPredictor
from gpcis_training.diversity.training import DiversityTrainer
from gpcis_training.diversity.vgg19 import random_vgg19
from gpcis_training.diversity.visits import Visits, reduced, reduced_shape
from napari_gpcis.errors import CheckpointError, InputError
from training._folders import write_disks

CONFIGS = sorted(
    (Path(__file__).parents[3] / "training" / "configs" / "diversity").glob("*.yaml")
)


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("data")
    write_disks(folder / "disks", images=2)
    return folder


def config(**more: Any) -> DiversityConfig:
    from gpcis_training.config import FolderConfig
    from gpcis_training.diversity.losses import LossOptions
    from gpcis_training.diversity.network import Design

    given = {
        "name": "small",
        "design": Design(masks=3, vgg=False, far=16),
        "loss": LossOptions(constraint="mean", ranks=0.001),
        "clicks": SamplingOptions(none=0.5),
        "size": 16,
        "min_object": 8,
        "steps": 12,
        "selector_steps": 4,
        "lr": 2e-3,
    }
    return DiversityConfig(data=(FolderConfig("disks"),), **{**given, **more})


def test_shipped_configurations_are_valid() -> None:
    assert [path.stem for path in CONFIGS] == ["sbd", "small"]
    for path in CONFIGS:
        found = load_diversity_config(path)
        assert found.design.channels == 1479
        assert found.ablation == ""
        for name in ABLATIONS:
            assert load_diversity_config(path, ablation=name).ablation == name


def test_an_epoch_visits_each_object_once_image_by_image(root: Path) -> None:
    folders = [entry.open(root) for entry in config().data]
    visits = Visits(folders, 16, 8, seed=3)
    assert len(visits.objects) == 8  # two images, two annotations, two disks
    first, second = visits.epoch(0), visits.epoch(1)
    assert sorted(first) == sorted(second) == list(range(8))
    assert first == visits.epoch(0)
    assert len({tuple(visits.epoch(k)) for k in range(6)}) > 1
    images = [visits.image_key(k) for k in first]
    assert sum(a != b for a, b in pairwise(images)) == 1
    example = visits.read(first[0])
    assert example.image.shape == (16, 16, 3)
    assert example.target.sum() >= 8
    assert len(example.others) == 1
    assert not (example.target & example.others[0]).any()
    with pytest.raises(InputError, match="at least 10000 pixels"):
        Visits(folders, 16, 10000)


def test_reduced_planes_take_the_nearest_pixels() -> None:
    assert reduced_shape((50, 100), 20) == (10, 20)
    assert reduced_shape((50, 100), 0) == (50, 100)
    plane = np.arange(16).reshape(4, 4)
    assert reduced(plane, 2).tolist() == [[5, 7], [13, 15]]


def test_a_run_that_was_stopped_goes_on_bit_by_bit(root: Path, tmp_path: Path) -> None:
    whole = DiversityTrainer(config(), root, tmp_path / "a", progress=False)
    whole.fit()
    for most in (5, 9, None):  # in the first network, in the second, to the end
        part = DiversityTrainer(config(), root, tmp_path / "b", progress=False)
        assert part.resume() == (most != 5)
        part.fit(most)
    one, other = (load_diversity(tmp_path / run / "small.safetensors") for run in "ab")
    assert one.selector is not None
    assert other.selector is not None
    for network, again in (
        (one.proposals, other.proposals),
        (one.selector, other.selector),
    ):
        for name, value in network.state_dict().items():
            assert torch.equal(value, again.state_dict()[name]), name
    changed = DiversityTrainer(config(lr=1e-3), root, tmp_path / "b", progress=False)
    with pytest.raises(CheckpointError, match="is not from this run"):
        changed.resume()


def test_the_second_phase_leaves_the_first_network_as_it_is(
    root: Path, tmp_path: Path
) -> None:
    trainer = DiversityTrainer(config(steps=2), root, tmp_path, progress=False)
    trainer.fit(2)
    assert trainer.phase == "proposals"
    before = {k: v.clone() for k, v in trainer.proposals.state_dict().items()}
    assert trainer.selector is not None
    select = {k: v.clone() for k, v in trainer.selector.state_dict().items()}
    trainer.fit()
    assert trainer.phase == "selector"
    assert trainer.figures["right"] in (0.0, 1.0)
    after = trainer.proposals.state_dict()
    assert all(torch.equal(before[name], after[name]) for name in before)
    learned = trainer.selector.state_dict()
    assert any(not torch.equal(select[name], learned[name]) for name in select)


def test_features_of_an_image_are_computed_once(root: Path, tmp_path: Path) -> None:
    from gpcis_training.diversity.network import Design

    vgg = random_vgg19()
    calls: list[int] = []
    vgg.register_forward_hook(lambda *_: calls.append(1))
    used = config(design=Design(masks=2, far=16), steps=8, selector=False)
    trainer = DiversityTrainer(used, root, tmp_path, vgg, progress=False)
    trained = load_diversity(trainer.fit())
    assert len(calls) == 2  # two images
    assert trained.vgg == vgg.source
    assert trained.selector is None
    with pytest.raises(InputError, match="VGG-19 must be those of the training"):
        DiversityPredictor(trained)
    predictor = DiversityPredictor(trained, vgg)
    image = np.zeros((40, 50, 3), np.uint8)
    for _ in range(3):
        predictor.start(image)
        assert predictor.click(20, 20, True).shape == (40, 50)
    assert len(calls) == 3
    with pytest.raises(InputError, match="VGG-19 must be given"):
        DiversityTrainer(used, root, tmp_path, progress=False)


def test_a_click_that_changes_sign_counts_once(root: Path, tmp_path: Path) -> None:
    trainer = DiversityTrainer(config(steps=1), root, tmp_path, progress=False)
    trained = load_diversity(trainer.fit())
    image = np.random.default_rng(0).integers(0, 255, (20, 20, 3)).astype(np.uint8)
    one, other = (DiversityPredictor(trained) for _ in range(2))
    with pytest.raises(RuntimeError, match="start"):
        one.click(1, 1, True)
    one.start(image)
    other.start(image)
    one.click(10, 10, True)
    one.click(10, 10, False)
    other.click(10, 10, False)
    assert np.array_equal(one.masks, other.masks)
    assert one.masks.shape == (3, 20, 20)
    assert one.chosen == other.chosen


def test_fit_and_evaluate_from_the_command_line(
    root: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "c.yaml"
    path.write_text(
        "data: [{path: disks}]\nname: tiny\ndesign: {masks: 3, far: 16}\nsize: 16\n"
        "min_object: 8\nsteps: 3\nselector_steps: 2\n",
        encoding="utf-8",
    )
    fit = ["diversity", "fit", str(path), "--data", str(root), "-o", str(tmp_path)]
    assert main(fit) == 1
    assert "--vgg must name" in capsys.readouterr().err
    assert main([*fit, "--ablation", "no_vgg"]) == 0
    model, output = tmp_path / "tiny.safetensors", tmp_path / "found.json"
    evaluate = ["diversity", "evaluate", str(model), "--root", str(root), "--set"]
    more = ["--limit", "2", "--max-clicks", "2", "--repeats", "2", "-o", str(output)]
    assert main([*evaluate, "disks", *more, "--clicks", "distance", "centre"]) == 0
    printed = capsys.readouterr().out
    assert "tiny (no_vgg)" in printed
    assert "may differ here" in printed
    assert "NoC@85" not in printed  # two clicks are too few for it
    found = json.loads(output.read_text("utf-8"))
    assert [one["clicks"] for one in found] == ["distance", "centre"]
    assert [len(one["results"][0]["runs"]) for one in found] == [2, 1]
    for one in found:
        assert one["random"] <= one["oracle"]
        assert one["selected"] <= one["oracle"]
        first = one["results"][0]["runs"][0]
        assert first["ious"][0] == first["first"][first["chosen"]]
        assert len(first["first"]) == 3
    model.write_bytes(b"damaged")
    assert main([*evaluate, "disks"]) == 1
    assert "no readable safetensors file" in capsys.readouterr().err


def test_published_rows_stand_beside_their_sets() -> None:
    rows = published_cells("davis", ["no_vgg", "", "ranked"])
    assert rows[0] == {"Method": "*LD (paper)*", "NoC@85": "5.95", "NoC@90": "9.57"}
    assert [row["NoC@85"] for row in rows[-2:]] == ["9.41", "6.13"]
    assert published_cells("sbd")[0]["NoC@90"] == "10.78"
    assert published_cells("tiny_coco_val")[0]["NoC@85"] == "7.86"
    assert published_cells("bsds500_val") == []
