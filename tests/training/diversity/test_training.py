"""Training of latent diversity: objects, resuming, both stages, the saved system."""

import json

import numpy as np
import pytest
import torch
from skimage.io import imsave

from gpcis_training.config import FolderConfig
from gpcis_training.diversity.clicks import TrainingClicks
from gpcis_training.diversity.losses import LossOptions
from gpcis_training.diversity.options import (
    ABLATIONS,
    DiversityConfig,
    load_diversity_config,
)
from gpcis_training.diversity.published import published_ablation
from gpcis_training.diversity.system import System, load_system
from gpcis_training.diversity.training import Trainer
from gpcis_training.diversity.vgg19 import random_vgg19
from napari_gpcis.errors import CheckpointError, InputError
from training._folders import write_pair_of_disks

CLICKS = TrainingClicks(margin=1, step=3, band=6, no_negatives=0.5)


def _config(**options):
    given = {
        "data": (FolderConfig("cells"),),
        "masks": 2,
        "features": False,
        "dilations": (1, 2),
        "side": 30,
        "steps": 4,
        "selector_steps": 3,
        "lr": 1e-2,
        "clicks": CLICKS,
    }
    return DiversityConfig(**{**given, **options})


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    root = tmp_path_factory.mktemp("data")
    write_pair_of_disks(root / "cells")
    return root


def _weights(system):
    parts = [*system.proposals.parameters(), *system.selector.parameters()]
    return torch.cat([part.detach().flatten() for part in parts])


def test_an_epoch_visits_every_object(root, tmp_path):
    trainer = Trainer(_config(side=None), root, tmp_path)
    names = [(one.labels.name, one.label) for one in trainer.objects]
    assert names == [("a.png", 3), ("a.png", 7), ("b__0.png", 3), ("b__0.png", 7)]
    areas = sorted(int(trainer.example(k).target.sum()) for k in range(4))
    again = sorted(int(trainer.example(k).target.sum()) for k in range(4, 8))
    assert areas == again
    assert len(set(areas)) == 2  # two sizes of disks
    example = trainer.example(0)
    assert example.image.shape == (1, 3, 60, 90)
    assert 0 <= example.image.min() < 60 < 150 < example.image.max() <= 255
    positive, negative = (example.guidance[0, k] == 0 for k in (2, 3))
    assert positive.any()
    assert example.target[positive].all()
    assert not example.target[negative].any()


def test_images_are_made_smaller_and_thin_objects_stay(root, tmp_path):
    example = Trainer(_config(), root, tmp_path).example(0)
    assert example.image.shape == (1, 3, 20, 30)
    assert example.target.shape == (20, 30)
    thin = tmp_path / "thin"
    for part in ("images", "labels"):
        (thin / part).mkdir(parents=True)
    labels = np.zeros((100, 100), np.uint8)
    labels[50] = 1
    picture = np.zeros((100, 100, 3), np.uint8)
    imsave(thin / "images" / "a.png", picture, check_contrast=False)
    imsave(thin / "labels" / "a.png", labels, check_contrast=False)
    config = _config(data=(FolderConfig("thin"),), side=10)
    target = Trainer(config, tmp_path, tmp_path).example(0).target
    assert target.sum() == 10


def test_a_resumed_run_is_the_run_without_a_stop(root, tmp_path):
    whole = Trainer(_config(), root, tmp_path / "whole")
    whole.fit(progress=False)
    for _ in range(4):  # 2 steps each time: across both stages
        part = Trainer(_config(), root, tmp_path / "parts")
        part.resume()
        part.fit(stop_after=2, progress=False)
    assert torch.equal(_weights(part.system), _weights(whole.system))
    assert part.log == whole.log
    log = json.loads((tmp_path / "parts" / "log.json").read_text())
    assert [(entry["stage"], entry["step"]) for entry in log] == [
        ("proposals", 4),
        ("selector", 3),
    ]
    start = System.create(_config(), None)
    assert not torch.equal(_weights(start), _weights(whole.system))
    loaded = load_system(whole.result_file)
    assert torch.equal(_weights(loaded), _weights(whole.system))
    assert loaded.config == whole.config
    with pytest.raises(InputError, match="another configuration"):
        Trainer(_config(lr=1e-3), root, tmp_path / "parts").resume()


def test_the_selector_leaves_the_proposals_as_they_are(root, tmp_path):
    trainer = Trainer(_config(), root, tmp_path)
    trainer.fit(stop_after=4, progress=False)
    before = [part.clone() for part in trainer.system.proposals.parameters()]
    scores = [part.clone() for part in trainer.system.selector.parameters()]
    trainer.fit(progress=False)
    after = list(trainer.system.proposals.parameters())
    assert all(torch.equal(*pair) for pair in zip(before, after, strict=True))
    changed = zip(scores, trainer.system.selector.parameters(), strict=True)
    assert any(not torch.equal(*pair) for pair in changed)


def test_the_loss_falls_and_the_best_mask_is_better_than_the_mean(root, tmp_path):
    loss = LossOptions(constraints="none")
    config = _config(
        steps=100, side=45, loss=loss, lr=1e-3, selector=False, dilations=(1, 2, 4)
    )
    trainer = Trainer(config, root, tmp_path)
    trainer.fit(progress=False)
    first, last = trainer.log
    assert last["loss"] < 0.85 * first["loss"]
    assert last["best_iou"] > 0.4
    assert last["best_iou"] > last["mean_iou"]


def test_the_hypercolumn_is_read_and_its_weights_are_checked(root, tmp_path):
    config = _config(features=True, side=16, steps=1, selector_steps=1)
    trainer = Trainer(config, root, tmp_path, random_vgg19())
    trainer.fit(progress=False)
    assert load_system(trainer.result_file, random_vgg19()).proposals.channels == 1479
    with pytest.raises(InputError, match="VGG-19 must be given"):
        load_system(trainer.result_file)
    other = random_vgg19()
    other.source = "0" * 64
    with pytest.raises(InputError, match="weights of the training"):
        load_system(trainer.result_file, other)


def test_files_that_are_no_system_are_one_line(tmp_path):
    from safetensors.torch import save_file

    path = tmp_path / "x.safetensors"
    with pytest.raises(CheckpointError, match="no file"):
        load_system(path)
    path.write_bytes(b"\x00" * 5)
    with pytest.raises(CheckpointError, match="no readable safetensors"):
        load_system(path)
    save_file({"w": torch.zeros(1)}, path)
    with pytest.raises(CheckpointError, match="holds no networks of latent diversity"):
        load_system(path)
    System.create(_config(), None).save(path)
    content = path.read_bytes().replace(b'\\"masks\\": 2', b'\\"masks\\": 3')
    path.write_bytes(content)
    with pytest.raises(CheckpointError, match="does not hold the networks"):
        load_system(path)


def test_a_set_without_objects_is_one_line(root, tmp_path):
    for part in ("images", "labels"):
        (tmp_path / "none" / part).mkdir(parents=True)
        name = tmp_path / "none" / part / "a.png"
        imsave(name, np.zeros((9, 9), np.uint8), check_contrast=False)
    config = _config(data=(FolderConfig("none"),))
    with pytest.raises(InputError, match="no object of at least 80 pixels"):
        Trainer(config, tmp_path, tmp_path)


@pytest.mark.parametrize(
    ("name", "changed"),
    [
        ("no_features", {"features": False}),
        ("cross_entropy", {"loss": LossOptions("cross_entropy")}),
        ("l1", {"loss": LossOptions("l1")}),
        ("no_diversity", {"masks": 1}),
        ("no_distances", {"distances": False}),
        ("no_clicks", {"click_maps": False}),
        ("no_constraints", {"loss": LossOptions(constraints="none")}),
        ("ranked", {"loss": LossOptions(ranked=0.01), "selector": False}),
    ],
)
def test_ablations_change_one_thing(tmp_path, name, changed):
    path = tmp_path / "c.yaml"
    path.write_text("data: [{path: SBD, form: sbd}]\n", encoding="utf-8")
    full = load_diversity_config(path)
    found = load_diversity_config(path, ablation=name)
    expected = DiversityConfig(**{**vars(full), **changed})
    assert found == expected
    assert found != full
    assert found.selects is (name not in ("ranked", "no_diversity"))
    assert published_ablation(name) > published_ablation("full") == 5.95


def test_each_ablation_has_its_published_figure():
    assert len(ABLATIONS) == len([published_ablation(name) for name in ABLATIONS]) == 8


def test_steps_come_from_epochs_or_are_given():
    assert _config(steps=None, selector_steps=None, epochs=2.0).count_steps(30) == (
        60,
        60,
    )
    assert _config().count_steps(30) == (4, 3)
    assert _config(selector=False).count_steps(30) == (4, 0)


@pytest.mark.parametrize(
    ("entries", "message"),
    [
        ("masks: 0", "masks must be a whole number"),
        ("side: small", "side must be a whole number"),
        ("lr: 0", "lr and epochs"),
        ("dilations: [0]", "dilations must be"),
        ("loss: {measure: dice}", "measure must be"),
        ("colour: red", "unknown entries"),
    ],
)
def test_mistakes_in_the_configuration_are_one_line(tmp_path, entries, message):
    path = tmp_path / "c.yaml"
    path.write_text(f"data: [{{path: x}}]\n{entries}\n", encoding="utf-8")
    with pytest.raises(InputError, match=message):
        load_diversity_config(path)
    with pytest.raises(InputError, match="ablation must be"):
        load_diversity_config(path, ablation="all")
