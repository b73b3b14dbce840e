"""Learned alternatives: targets, losses, a run from configuration to table."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from _toy_backbone import make_toy_model
from gpcis_training.alternatives.config import (
    AlternativesConfig,
    DrawOptions,
    load_alternatives_config,
)
from gpcis_training.alternatives.losses import (
    LossOptions,
    Targets,
    allowed_proposals,
    alternatives_loss,
    mask_ious,
    soft_jaccard,
)
from gpcis_training.alternatives.targets import (
    DrawnScene,
    draw_click,
    draw_scene,
    objects_at,
)
from gpcis_training.alternatives.trainer import AlternativesTrainer
from gpcis_training.cli import main
from gpcis_training.config import FolderConfig, OptimiserConfig
from gpcis_training.data.augment import AugmentOptions, Scene, augment_scene
from gpcis_training.data.folders import DataFolder
from napari_gpcis import Segmenter, list_models
from napari_gpcis.backbones.base import register
from napari_gpcis.checkpoints import (
    InferenceSettings,
    ModelInfo,
    load_checkpoint,
    save_checkpoint,
)
from napari_gpcis.checkpoints.proposals import load_proposals, proposals_file
from napari_gpcis.errors import CheckpointError, InputError
from training._folders import write_disks

CONFIGS = sorted(
    (Path(__file__).parents[3] / "training" / "configs" / "alternatives").glob("*.yaml")
)
SIZE = 48


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("data")
    write_disks(folder / "disks", images=2)
    return folder


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    from _toy_backbone import ToyBackbone

    register("toy", ToyBackbone)
    path = tmp_path_factory.mktemp("models") / "small.safetensors"
    info = ModelInfo(
        "small",
        "toy",
        {"basis": 32, "gp_stride": 4},
        InferenceSettings(infer_size=SIZE),
        licence="CC0",
        extra={"fingerprint": "abc"},
    )
    save_checkpoint(path, make_toy_model(gp_stride=4), info, half=False)
    return path


def config(**more: Any) -> AlternativesConfig:
    given = {
        "data": (FolderConfig("disks", union=0.5, merge=0.0),),
        "width": 8,
        "fine_width": 8,
        "dilations": (1,),
        "steps": 8,
        "batch_size": 3,
        "average": 0.5,
        "draw": DrawOptions(scenes=4, visits=2, more_clicks=0.5),
        "optimiser": OptimiserConfig(lr=1e-2),
        "augment": AugmentOptions(size=SIZE),
    }
    return AlternativesConfig(**{**given, **more})


def trainer(root: Path, model: Path, run: Path, **more: Any) -> AlternativesTrainer:
    return AlternativesTrainer(config(**more), model, root, run, progress=False)


# -- targets -----------------------------------------------------------------------


def nested() -> DrawnScene:
    """Return a nucleus (2) in a cell (1), touching another cell (3), far from 4."""
    fine = np.zeros((SIZE, SIZE), dtype=np.uint8)
    fine[4:28, 4:24] = 1
    fine[8:20, 8:20] = 2
    fine[4:28, 25:40] = 3
    fine[34:46, 10:40] = 4
    coarse = (fine > 0).astype(np.uint8)
    coarse[30:] = 0
    image = np.zeros((3, SIZE, SIZE), dtype=np.float32)
    scene = Scene(image, (fine, coarse), np.zeros((SIZE, SIZE), dtype=bool))
    folder = DataFolder.__new__(DataFolder)
    object.__setattr__(folder, "union", 0.0)
    object.__setattr__(folder, "merge", 0.0)
    return DrawnScene(scene, folder)


def test_a_click_means_what_any_annotator_labelled_there():
    drawn = nested()
    fine, coarse = drawn.scene.labels
    found = objects_at(drawn, (10, 10))
    assert [mask.sum() for mask in found] == [(fine == 2).sum(), coarse.sum()]
    assert [mask.sum() for mask in objects_at(drawn, (40, 20))] == [(fine == 4).sum()]
    assert objects_at(drawn, (0, 0)) == []
    object.__setattr__(drawn.folder, "merge", 0.5)
    object.__setattr__(drawn.folder, "union", 0.5)
    cell, union, pair, both, *_ = objects_at(drawn, (24, 10))
    assert (cell == (fine == 1)).all()
    assert (union == (fine > 0)).all()
    assert (pair == np.isin(fine, (1, 2))).all()  # the nucleus touches it most
    assert (both == (coarse > 0)).all()


def test_a_part_is_meant_with_the_whole_alone():
    drawn = nested()
    object.__setattr__(drawn.folder, "union", 1.0)
    object.__setattr__(drawn.folder, "never_alone", (1,))
    fine, coarse = drawn.scene.labels
    found = objects_at(drawn, (24, 10))
    assert [mask.sum() for mask in found] == [(fine > 0).sum(), coarse.sum()]
    object.__setattr__(drawn.folder, "union", 0.0)
    drawn = drawn._replace(scene=drawn.scene._replace(labels=(fine,)))
    for seed in range(40):
        first, *_ = draw_click(drawn, np.random.default_rng(seed), 0.3, 4).objects
        assert not first[fine == 1].any()


def test_what_was_meant_is_first_and_holds_the_click():
    drawn = nested()
    object.__setattr__(drawn.folder, "union", 0.4)
    object.__setattr__(drawn.folder, "merge", 0.3)
    kinds = set()
    for seed in range(80):
        rng = np.random.default_rng(seed)
        clicked = draw_click(drawn, rng, 0.3, 4)
        assert all(mask[clicked.pixel] for mask in clicked.objects)
        assert 1 <= len(clicked.objects) <= 4
        kinds.add(int(clicked.objects[0].sum()))
        for number, mask in enumerate(clicked.objects):
            for other in clicked.objects[:number]:
                assert (mask & other).sum() < 0.9 * (mask | other).sum()
    fine = drawn.scene.labels[0]
    assert {(fine == 2).sum(), (fine == 4).sum(), (fine > 0).sum()} < kinds


def test_scenes_keep_labels_and_image_together(root):
    folder = FolderConfig("disks").open(root)
    options = AugmentOptions(size=SIZE, zoom=1.0, colour=0, grey=0, transpose=0.5)
    for index in range(6):
        scene = draw_scene([folder], 0, index, options).scene
        assert scene.image.shape == (3, SIZE, SIZE)
        inside = scene.labels[0] > 0
        red = scene.image[0]
        assert red[inside].mean() > 0.6 > 0.3 > red[~inside].mean()
        again = draw_scene([folder], 0, index, options).scene
        assert np.array_equal(scene.image, again.image)
    assert not np.array_equal(
        scene.image, draw_scene([folder], 1, index, options).scene.image
    )


def test_nothing_is_labelled_where_a_scene_ignores():
    rng = np.random.default_rng(0)
    image = rng.integers(0, 255, (60, 60, 3), dtype=np.uint8)
    labels = np.ones((60, 60), dtype=np.uint8)
    labels[:, 30:] = 2
    ignore = np.zeros((60, 60), dtype=bool)
    ignore[20:40] = True
    scene = augment_scene(
        image, [labels], ignore, labels == 1, AugmentOptions(size=60, zoom=1), rng
    )
    assert 0.05 < scene.ignore.mean() < 0.7
    assert set(np.unique(scene.labels[0])) <= {0, 1, 2}


# -- losses ------------------------------------------------------------------------


def square(side: int) -> torch.Tensor:
    mask = torch.zeros(12, 12)
    mask[:side, :side] = 1
    return mask


def problem(*sides: int) -> tuple[torch.Tensor, Targets]:
    """Return logits of a plain 6 x 6 mask, a larger and a smaller one; objects."""
    logits = torch.stack([6 * square(side) - 3 for side in (6, 8, 4)])[None]
    masks = torch.stack([square(side) for side in sides])[None]
    weights = torch.full((1, len(sides)), 1 / len(sides))
    return logits.requires_grad_(), Targets(masks, weights, torch.ones(1, 12, 12))


KINDS = ("larger", "smaller")
ALONE = LossOptions(mean=0, entropy=0, rating=0)


def test_hindsight_teaches_the_best_of_its_kind_alone():
    for side, slot in ((10, 1), (3, 2)):
        logits, targets = problem(side)
        alternatives_loss(
            logits, torch.zeros(1, 3), targets, KINDS, ALONE
        ).total.backward()
        touched = logits.grad[0].abs().sum((1, 2)) > 0
        assert touched.tolist() == [number == slot for number in range(3)]


def test_an_object_of_the_other_kind_is_not_answered():
    logits, targets = problem(7, 10, 4)
    allowed = allowed_proposals(logits[:, 0].sigmoid(), targets, KINDS, 1.15)[0]
    assert allowed.tolist() == [[True, False], [True, False], [False, True]]
    same = allowed_proposals(logits[:, 0].sigmoid(), problem(6)[1], KINDS, 1.15)[0]
    assert same.tolist() == [[True, True]]  # neither suits: both may
    free = allowed_proposals(logits[:, 0].sigmoid(), targets, ("any", "larger"), 1.15)[
        0
    ]
    assert free.tolist() == [[True, True], [True, True], [True, False]]


def test_the_mean_keeps_all_of_a_kind_alive():
    logits, targets = problem(10)
    options = LossOptions(mean=0.1, entropy=0, rating=0)
    kinds = ("larger", "any")
    alternatives_loss(
        logits, torch.zeros(1, 3), targets, kinds, options
    ).total.backward()
    one, other = logits.grad[0, 1:].abs().sum((1, 2))
    assert 0 < other < one


def test_distances_and_entropies_of_squares():
    logits, targets = problem(8, 4)
    expected = torch.tensor([[[36 / 64, 1, 16 / 64], [16 / 36, 16 / 64, 1]]])
    torch.testing.assert_close(mask_ious(logits, targets), expected)
    hard = 100 * logits.detach()
    torch.testing.assert_close(1 - soft_jaccard(hard.sigmoid(), targets), expected)
    options = LossOptions(mean=0, entropy=1, rating=0, solved=1, least=1)
    found = alternatives_loss(logits, torch.zeros(1, 3), targets, KINDS, options)
    by_hand = torch.nn.functional.binary_cross_entropy_with_logits(
        logits[0, 1:], targets.masks[0]
    )
    jaccard = soft_jaccard(logits.sigmoid(), targets)[0]
    expected_loss = by_hand + (jaccard[0, 1] + jaccard[1, 2]) / 2
    torch.testing.assert_close(found.total, expected_loss)


def test_unknown_pixels_count_for_nothing():
    logits, targets = problem(8)
    valid = targets.valid.clone()
    valid[:, 6:] = 0
    options = LossOptions(rating=0)
    known = alternatives_loss(
        logits, torch.zeros(1, 3), targets._replace(valid=valid), KINDS, options
    )
    known.total.backward()
    assert (logits.grad[:, :, 6:] == 0).all()


def test_ratings_learn_the_expected_iou():
    logits, targets = problem(8, 4)
    ratings = torch.zeros(1, 3, requires_grad=True)
    optimiser = torch.optim.Adam([ratings], lr=0.2)
    options = LossOptions(mean=0, entropy=0)
    for _ in range(200):
        optimiser.zero_grad()
        alternatives_loss(
            logits.detach(), ratings, targets, KINDS, options
        ).total.backward()
        optimiser.step()
    expected = mask_ious(logits, targets).mean(1)
    torch.testing.assert_close(ratings.sigmoid(), expected, atol=0.01, rtol=0)


# -- a run -------------------------------------------------------------------------


def test_shipped_configurations_are_valid():
    assert [path.stem for path in CONFIGS] == ["generalist_lite0"]
    for path in CONFIGS:
        found = load_alternatives_config(path, ["kinds=[any,any]", "loss.mean=0"])
        assert found.kinds == ("any", "any")
        assert len(load_alternatives_config(path).kinds) == 5


@pytest.mark.parametrize(
    ("entries", "reason"),
    [
        ({"data": ()}, "data must name at least one set"),
        ({"kinds": ("wider",)}, "kinds must be at least one of"),
        ({"steps": 0}, "steps, batch_size, width and fine_width"),
        ({"average": 1.0}, "average must be at least 0"),
    ],
)
def test_entries_out_of_range(entries, reason):
    with pytest.raises(InputError, match=reason):
        config(**entries)


def test_a_run_resumes_bit_by_bit_and_learns(root, model, tmp_path):
    whole = trainer(root, model, tmp_path / "whole")
    whole.fit()
    first = trainer(root, model, tmp_path / "parts")
    first.fit(3)
    second = trainer(root, model, tmp_path / "parts")
    assert second.resume()
    assert second.step == 3
    second.fit()
    assert second.figures == whole.figures
    one, other = whole.head.state_dict(), second.head.state_dict()
    assert all(torch.equal(one[name], other[name]) for name in one)
    assert whole.checkpoint.read_bytes() != b""
    kept, _ = load_proposals(whole.checkpoint)
    again, _ = load_proposals(second.checkpoint)
    for left, right in zip(kept.parameters(), again.parameters(), strict=True):
        assert torch.equal(left, right)
    stranger = trainer(root, model, tmp_path / "parts", seed=5)
    with pytest.raises(CheckpointError, match="is not from this run"):
        stranger.resume()


def test_a_run_may_begin_with_the_alternatives_of_another_model(root, model, tmp_path):
    first = trainer(root, model, tmp_path / "first")
    first.fit()
    kept, _ = load_proposals(first.checkpoint)
    network, info = load_checkpoint(model)
    later = tmp_path / "later.safetensors"
    info = replace(info, name="later", extra={"fingerprint": "def"})
    save_checkpoint(later, network, info, half=False)
    fresh = trainer(root, later, tmp_path / "second")
    fresh.start_from(first.checkpoint)
    given = fresh.head.state_dict()
    assert all(torch.equal(given[name], kept.state_dict()[name]) for name in given)
    fresh.fit(2)
    resumed = trainer(root, later, tmp_path / "second")
    assert resumed.resume()
    resumed.fit()
    _, found = load_proposals(resumed.checkpoint)
    assert (found.extra["model"], found.extra["start"]) == ("def", "abc")
    assert "start" not in load_proposals(first.checkpoint)[1].extra
    others = trainer(root, later, tmp_path / "third", kinds=("any",))
    with pytest.raises(InputError, match=r"kinds \['any'\]"):
        others.start_from(first.checkpoint)


def test_the_loss_falls(root, model, tmp_path):
    two = DrawOptions(scenes=2, visits=100, more_clicks=0)
    learner = trainer(root, model, tmp_path, steps=40, draw=two)
    found = [learner.make_step() for _ in range(40)]
    losses = [each["loss"] for each in found]
    assert np.mean(losses[-10:]) < 0.85 * np.mean(losses[:5])
    assert all(each["best"] >= max(each["plain"], each["selected"]) for each in found)


def test_command_and_table(root, model, tmp_path, capsys):
    file = tmp_path / "small.yaml"
    file.write_text(
        "data: [{path: disks, union: 0.5}]\nwidth: 8\nfine_width: 8\ndilations: [1]\n"
        "steps: 3\nbatch_size: 2\naugment: {size: 48}\ndraw: {scenes: 2}\n"
    )
    run = tmp_path / "run"
    arguments = ["alternatives", "fit", file, "--model", model, "--data", root]
    arguments = [str(each) for each in (*arguments, "-o", run)]
    assert main(arguments) == 0
    assert "trained 3 steps" in capsys.readouterr().out
    assert main(arguments) == 0
    assert "resuming at step 3 of 3" in capsys.readouterr().out
    weights = run / "small.safetensors"
    head, info = load_proposals(weights)
    assert (info.extra["model"], info.licence) == ("abc", "CC0")
    assert head.kinds == ("larger", "smaller", "larger", "smaller", "any")
    output = tmp_path / "out.json"
    command = ["ambiguity", model, "--root", root, "--set", "disks", "--subset", 2]
    command += ["--max-clicks", 2, "-o", output, "--alternatives"]
    distinct = []
    for chosen in (weights, "none"):
        assert main([str(each) for each in (*command, chosen)]) == 0
        distinct.append(json.loads(output.read_text())["results"][0]["distinct"])
    assert distinct[0] != distinct[1]
    assert main([str(each) for each in (*command, model)]) == 1
    assert "is a toy network, no alternatives" in capsys.readouterr().err


# -- the file beside the checkpoint --------------------------------------------------


def test_weights_are_used_with_their_model_alone(root, model, tmp_path):
    learner = trainer(root, model, tmp_path)
    learner.export()
    place = proposals_file(model)
    assert place.parent.parent == model.parent
    assert Segmenter.from_pretrained(model)._proposals is None
    place.parent.mkdir()
    place.write_bytes(learner.checkpoint.read_bytes())
    assert Segmenter.from_pretrained(model)._proposals is not None
    learner._fingerprint = "another"
    learner.export()
    place.write_bytes(learner.checkpoint.read_bytes())
    assert Segmenter.from_pretrained(model)._proposals is None
    place.write_bytes(b"damaged file")
    with pytest.raises(CheckpointError, match="not a safetensors file"):
        Segmenter.from_pretrained(model)
    place.unlink()
    assert all("alternatives" not in entry.name for entry in list_models())


def test_a_model_without_fingerprint_has_none(root, tmp_path):
    register_path = tmp_path / "bare.safetensors"
    info = ModelInfo("bare", "toy", {"basis": 32, "gp_stride": 4})
    save_checkpoint(register_path, make_toy_model(gp_stride=4), info)
    with pytest.raises(InputError, match="no fingerprint"):
        trainer(root, register_path, tmp_path)
