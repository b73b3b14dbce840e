"""Options of training: each changes what it should and nothing else."""

import math

import numpy as np
import pytest
import torch
from skimage.io import imsave

from gpcis_training.config import (
    FitConfig,
    FolderConfig,
    OptimiserConfig,
    load_config,
    save_config,
    set_entry,
)
from gpcis_training.data.augment import AugmentOptions, Crop, augment, random_box
from gpcis_training.data.click_simulation import ClickOptions, sample_clicks
from gpcis_training.data.folders import ArrayCache, DataFolder, Target, draw_target
from gpcis_training.data.samples import SampleStream
from gpcis_training.engine.export import export_checkpoint
from gpcis_training.engine.start import (
    noise,
    parameter_groups,
    progress,
    rate_factor,
    start_model,
)
from napari_gpcis.checkpoints import ModelInfo, load_checkpoint, save_checkpoint
from napari_gpcis.errors import InputError
from napari_gpcis.model import build_model
from training._folders import write_disks
from training._runs import assert_same_weights, toy_config, train


@pytest.fixture
def root(tmp_path):
    write_disks(tmp_path / "disks")
    return tmp_path


# -- schedules ---------------------------------------------------------------------


def test_the_published_staircase():
    optimiser = OptimiserConfig(
        schedule="steps", milestones=(190, 220), warmup=0, clip=0
    )
    config = toy_config(epochs=230.0, steps=230 * 132, optimiser=optimiser)
    rates = [rate_factor(config, epoch / 230) for epoch in range(230)]
    assert rates == pytest.approx([1] * 190 + [0.1] * 30 + [0.01] * 10)
    last_of_first = (190 * 132 - 1) / (230 * 132)
    assert rate_factor(config, last_of_first) == 1


def test_milestones_of_runs_in_steps():
    optimiser = OptimiserConfig(
        schedule="steps", milestones=(4, 8), decay=0.5, warmup=0
    )
    config = toy_config(steps=10, optimiser=optimiser)
    rates = [rate_factor(config, progress(config, step, 0)) for step in range(10)]
    assert rates == pytest.approx([1] * 4 + [0.5] * 4 + [0.25] * 2)


def test_cosine_with_warm_up():
    config = toy_config(optimiser=OptimiserConfig(warmup=0.1))
    assert rate_factor(config, 0) == pytest.approx(1e-3)
    assert rate_factor(config, 0.05) == pytest.approx(
        0.501 * 0.5 * (1 + math.cos(0.05 * math.pi))
    )
    assert rate_factor(config, 0.5) == pytest.approx(0.5)
    assert rate_factor(config, 1) == pytest.approx(0)


def test_the_clock_ends_a_run_that_steps_would_not():
    config = toy_config(steps=100, max_minutes=4.0)
    assert progress(config, 10, 1.0) == 0.25
    assert progress(config, 50, 1.0) == 0.5
    assert progress(config, 10, 9.0) == 1


def test_noise_falls_to_the_published_one():
    config = toy_config(epsilon2_start=1.0, epsilon2_share=0.5)
    values = [noise(config, share) for share in (0, 0.25, 0.5, 1)]
    assert values == pytest.approx([1, 0.1, 0.01, 0.01])
    assert noise(toy_config(), 0) == pytest.approx(0.01)


# -- what is learnt ----------------------------------------------------------------


def test_the_encoder_may_be_named():
    config = toy_config(optimiser=OptimiserConfig(encoder_lr=0.1, encoder=("theta",)))
    model = start_model(config, None, None)
    slow, rest = parameter_groups(model, config)
    assert (slow["factor"], rest["factor"]) == (0.1, 1)
    assert {id(p) for p in slow["params"]} == {id(p) for p in model.theta.parameters()}
    assert len(rest["params"]) == len(list(model.parameters())) - 2


def test_without_the_variational_term_the_rest_is_the_same(root):
    first = train(toy_config(steps=1, optimiser=_sgd_like()), root, root / "with")
    without = toy_config(steps=1, optimiser=_sgd_like(), variational=0.0)
    second = train(without, root, root / "without")
    double = toy_config(steps=1, optimiser=_sgd_like(), variational=2000.0)
    third = train(double, root, root / "double")
    gradients = [_first_moments(run) for run in (first, second, third)]
    kernel = {"logsigma2", "weights"}  # the term's inverse is detached
    for name, (full, none, strong) in _joined(gradients).items():
        term = (strong - none) / 2000
        torch.testing.assert_close(full - none, term, rtol=0.2, atol=2e-6)
        if name in kernel or name.startswith(("omega", "theta")):
            assert not term.any()
    assert (gradients[0]["u_mlp.2.bias"] - gradients[1]["u_mlp.2.bias"]).abs() > 1e-5


def _sgd_like() -> OptimiserConfig:
    return OptimiserConfig(lr=1e-3, clip=0.0, warmup=0.0)


def _first_moments(run) -> dict[str, torch.Tensor]:
    """Gradients of the one step made: Adam's first moment is a tenth of them."""
    state = run.optimiser.state_dict()
    numbers = [number for group in state["param_groups"] for number in group["params"]]
    parameters = [p for group in run.optimiser.param_groups for p in group["params"]]
    names = {id(parameter): name for name, parameter in run.network.named_parameters()}
    return {
        names[id(parameter)]: 10 * state["state"][number]["exp_avg"]
        for number, parameter in zip(numbers, parameters, strict=True)
        if number in state["state"]
    }


def _joined(parts):
    return {name: tuple(part[name] for part in parts) for name in parts[0]}


@pytest.mark.parametrize(
    "options",
    [
        {"head": "linear"},
        {"learn_kernel": False},
        {"learn_basis": False},
        {"rgb": False},
        {"click_patch": 3, "click_noise": 0.1},
        {"basis": 0, "linear_basis": True},
    ],
)
def test_options_of_building_are_trained_resumed_and_recorded(root, options):
    base = {} if "head" in options else {"basis": 16}
    config = toy_config(options={"gp_stride": 4, **base, **options}, steps=4)
    whole = train(config, root, root / "whole")
    train(config, root, root / "parts", until=2)
    parts = train(config, root, root / "parts")
    assert_same_weights(whole, parts)
    fresh = start_model(config, None, None)
    fixed = {n for n, p in fresh.named_parameters() if not p.requires_grad}
    moved = set(_first_moments(parts))
    assert moved == {name for name, _ in fresh.named_parameters()} - fixed
    file = root / "m.safetensors"
    export_checkpoint(parts.state_file, parts.config, file)
    model, info = load_checkpoint(file)
    assert info.options == config.options
    assert type(model) is type(parts.network)


@pytest.fixture
def with_basis(root):
    options = {"gp_stride": 4, "basis": 16, "linear_basis": True}
    run = train(toy_config(options=options, steps=1), root, root / "basis")
    export_checkpoint(run.state_file, run.config, root / "basis.safetensors")
    return root / "basis.safetensors"


def test_a_run_without_basis_functions_starts_from_one_with_some(with_basis):
    options = {"gp_stride": 4, "basis": 0, "linear_basis": True}
    before = load_checkpoint(with_basis)[0].state_dict()
    taken = start_model(toy_config(options=options), None, with_basis).state_dict()
    assert set(before) - set(taken) == {
        "omega",
        "omega_var",
        "theta.weight",
        "theta.bias",
    }
    assert all(torch.equal(value, before[name]) for name, value in taken.items())
    config = toy_config(options=options, zero_start=("linear.",))
    zeroed = start_model(config, None, with_basis).state_dict()
    for name, value in zeroed.items():
        assert torch.equal(value, 0 * value) == name.startswith("linear.")
        assert name.startswith("linear.") or torch.equal(value, before[name])


def test_a_network_with_added_blocks_starts_from_the_one_without(tmp_path):
    torch.manual_seed(0)
    plain = build_model("efficientnet_lite0")
    info = ModelInfo("plain", "efficientnet_lite0")
    save_checkpoint(tmp_path / "plain.safetensors", plain, info, half=False)
    config = toy_config(network="efficientnet_lite0_deep", options={})
    deep = start_model(config, None, tmp_path / "plain.safetensors")
    before, taken = plain.state_dict(), deep.state_dict()
    added = tuple(f"model.{name}" for name in deep.model.additions)
    assert set(taken) - set(before) == {
        name for name in taken if name.startswith(added)
    }
    assert all(torch.equal(taken[name], value) for name, value in before.items())
    info = ModelInfo("deep", "efficientnet_lite0_deep")
    save_checkpoint(tmp_path / "deep.safetensors", deep, info, half=False)
    again = start_model(config, None, tmp_path / "deep.safetensors").state_dict()
    assert all(torch.equal(again[name], value) for name, value in taken.items())
    with pytest.raises(InputError, match=r"parameters differ, such as model\..*deeper"):
        start_model(
            toy_config(network="efficientnet_lite0", options={}),
            None,
            tmp_path / "deep.safetensors",
        )


def test_other_differences_from_the_start_are_refused(with_basis):
    options = {"gp_stride": 4, "basis": 8, "linear_basis": True}
    with pytest.raises(InputError, match="3 parameters differ, such as omega, theta"):
        start_model(toy_config(options=options), None, with_basis)
    config = toy_config(options={**options, "basis": 16}, zero_start=("liner",))
    with pytest.raises(InputError, match=r"zero_start: .* begins with 'liner'"):
        start_model(config, None, with_basis)


def test_options_that_the_network_has_not_are_named(root):
    config = toy_config(options={"heads": "linear"})
    with pytest.raises(InputError, match=r"options of toy: .*'heads'"):
        start_model(config, None, None)


@pytest.mark.parametrize("iteration", ["carry", "passes"])
def test_earlier_clicks_are_simulated_either_way(root, iteration):
    """After passes all samples are new; a batch has as many extra clicks for all."""
    run = train(
        toy_config(iteration=iteration, steps=12, clicks=ClickOptions(single_start=1)),
        root,
        root / "run",
    )
    steps = run._click_batch.schedule.steps
    assert run.drawn == 39 if iteration == "passes" else run.drawn < 39
    assert (max(steps) == 0) == (iteration == "passes")


# -- samples -----------------------------------------------------------------------


def test_in_order_each_image_is_taken_once_in_a_pass(root):
    folder = DataFolder(root / "disks")
    for index, pair in enumerate(folder.pairs):  # grey levels tell the images apart
        picture = np.full((96, 96, 3), 40 * index + 40, np.uint8)
        imsave(pair.image, picture, check_contrast=False)
    options = AugmentOptions(size=48, zoom=0, ratio=(0.9, 0.05, 0.8, 0.99), colour=0)
    stream = SampleStream([folder], 3, options, in_order=True)
    levels = [round(float(stream[i].image.max()) * 255) for i in range(12)]
    for turn in range(4):
        assert sorted(levels[3 * turn : 3 * turn + 3]) == [40, 80, 120]
    orders = {tuple(levels[3 * turn : 3 * turn + 3]) for turn in range(4)}
    assert len(orders) > 1
    free = SampleStream([folder], 3, options)
    drawn = [round(float(free[i].image.max()) * 255) for i in range(12)]
    assert any(sorted(drawn[3 * t : 3 * t + 3]) != [40, 80, 120] for t in range(4))


def test_in_order_needs_one_set():
    with pytest.raises(InputError, match="in_order needs one data set, got 2"):
        toy_config(in_order=True, data=(FolderConfig("a"), FolderConfig("b")))


def test_objects_are_drawn_among_those_the_crop_shows(root):
    """Of a small crop in a corner only that corner's object can be the target."""
    options = AugmentOptions(
        size=48,
        zoom=0,
        ratio=(0.5, 0.01, 0.45, 0.55),
        object_in_crop=True,
        flip_horizontal=0,
        flip_vertical=0,
        colour=0,
        grey=0,
    )
    folder = DataFolder(root / "disks", merge=0)
    stream = SampleStream([folder], 0, options)
    for index in range(30):
        sample = stream[index]
        green = sample.image[1][sample.mask].mean()  # 90 or 180, by the object
        assert sample.mask.sum() > 80
        assert abs(green * 255 - 90) < 30 or abs(green * 255 - 180) < 30
    with pytest.raises(InputError, match="object_in_crop needs zoom 0"):
        AugmentOptions(object_in_crop=True)


def test_a_set_without_usable_objects_ends_with_an_error(root):
    options = AugmentOptions(size=8, zoom=0, object_in_crop=True)
    tiny = SampleStream([DataFolder(root / "disks", merge=0)], 0, options)
    with pytest.raises(InputError, match="no crop with a usable object in 1000 tries"):
        tiny[0]


def test_small_parts_are_removed_before_clicks_are_drawn():
    mask = np.zeros((64, 64), bool)
    mask[5:25, 5:25] = True
    mask[50:54, 50:54] = True
    target = Target(np.zeros((64, 64, 3), np.uint8), mask, np.zeros_like(mask))
    still = {"zoom": 0, "flip_horizontal": 0, "flip_vertical": 0, "size": 64}
    box = (0, 64, 0, 64)
    for smallest, kept in ((0, mask.sum()), (17, 400), (401, 0)):
        options = AugmentOptions(min_part=smallest, **still)
        crop = augment(target, options, np.random.default_rng(0), box)
        assert crop.mask.sum() == kept


def test_the_published_slip_reaches_the_right_border():
    slip = AugmentOptions(zoom=0, ratio=(0.4, 0.02, 0.3, 0.5), to_border=True)
    mended = AugmentOptions(zoom=0, ratio=(0.4, 0.02, 0.3, 0.5))
    for seed in range(20):
        first = random_box((90, 120), slip, np.random.default_rng(seed))
        second = random_box((90, 120), mended, np.random.default_rng(seed))
        assert first[:3] == second[:3]
        assert first[3] == 120
        assert second[3] - second[2] < 60


# -- clicks ------------------------------------------------------------------------


def _crop() -> Crop:
    mask = np.zeros((64, 64), bool)
    mask[8:30, 8:30] = True
    mask[40:60, 40:60] = True
    part = mask.copy()
    part[32:] = False
    return Crop(np.zeros((3, 64, 64), np.float32), mask, np.zeros_like(mask), part)


def test_merged_objects_get_a_first_click_each():
    for seed in range(30):
        rng = np.random.default_rng(seed)
        points = sample_clicks(_crop(), ClickOptions(each_object=True), rng)
        assert points[0, 0] < 30
        assert points[1, 0] >= 40
        assert (points[:24, 0] >= 0).sum() <= 24
    apart = [
        sample_clicks(_crop(), ClickOptions(single_start=1), np.random.default_rng(s))
        for s in range(30)
    ]
    assert {int((points[:, 0] >= 0).sum()) for points in apart} == {1}
    assert {bool(points[0, 0] < 30) for points in apart} == {True, False}


def test_merged_objects_are_told_apart(root):
    merged = draw_target(
        [DataFolder(root / "disks", merge=1.0)], np.random.default_rng(0)
    )
    assert merged.part is not None
    assert 0 < merged.part.sum() < merged.mask.sum()
    assert not (merged.part & ~merged.mask).any()
    alone = draw_target(
        [DataFolder(root / "disks", merge=0.0)], np.random.default_rng(0)
    )
    assert alone.part is None


def test_jitter_moves_clicks_and_keeps_their_labels():
    crop = _crop()
    moved = 0
    for seed in range(20):
        still = sample_clicks(crop, ClickOptions(), np.random.default_rng(seed))
        options = ClickOptions(jitter=3.0)
        points = sample_clicks(crop, options, np.random.default_rng(seed))
        for slot in np.flatnonzero(points[:, 0] >= 0):
            row, col = points[slot, :2].astype(int)
            assert crop.mask[row, col] == (slot < 24)
        moved += int((points[0, :2] != still[0, :2]).any())
    assert moved > 10


# -- configurations ----------------------------------------------------------------


def test_entries_can_be_set_one_by_one(tmp_path):
    path = tmp_path / "c.yaml"
    path.write_text("network: toy\ndata: [{path: a}]\noptimiser: {lr: 1.0}\n")
    assignments = [
        "optimiser.encoder_lr=0.5",
        "options.head=linear",
        "variational=0",
        "clicks.strategies=[0.2, 0.3, 0.5]",
        "data=[{path: b, weight: 2}]",
    ]
    config = load_config(path, assignments=assignments)
    assert config.optimiser == OptimiserConfig(lr=1.0, encoder_lr=0.5)
    assert config.options == {"head": "linear"}
    assert config.variational == 0
    assert config.clicks.strategies == (0.2, 0.3, 0.5)
    assert config.data == (FolderConfig("b", weight=2.0),)


@pytest.mark.parametrize(
    ("assignment", "message"),
    [
        ("steps", "set must be KEY=VALUE, got 'steps'"),
        ("=3", "set must be KEY=VALUE, got '=3'"),
        ("steps=[", "set: the value of steps is not valid YAML"),
        ("name.first=3", "set: name in 'name.first' is no mapping"),
    ],
)
def test_bad_assignments_are_explained(assignment, message):
    with pytest.raises(InputError, match=message):
        set_entry({"name": "x"}, assignment)


@pytest.mark.parametrize(
    ("entries", "message"),
    [
        (
            {"iteration": "once"},
            "iteration must be one of carry, passes, unroll, got 'once'",
        ),
        ({"variational": -1.0}, "variational must be a number from 0"),
        ({"inference": {"size": 3}}, "inference: .*'size'"),
        ({"inference": {"infer_size": 3}}, "infer_size must be an integer from 32"),
        ({"frozen_statistics": True, "sync_statistics": True}, "exclude each other"),
    ],
)
def test_entries_that_cannot_be_used_are_refused(entries, message):
    with pytest.raises(InputError, match=message):
        toy_config(**entries)


def test_unknown_schedules_and_forms_are_refused():
    with pytest.raises(InputError, match="schedule must be one of cosine, steps"):
        OptimiserConfig(schedule="poly")
    with pytest.raises(InputError, match="form must be one of folder, sbd"):
        FolderConfig("a", form="coco")


def test_a_run_writes_its_configuration(root):
    config = toy_config(
        steps=1, optimiser=OptimiserConfig(milestones=(1.5, 2.0), schedule="steps")
    )
    run = train(config, root, root / "run")
    assert load_config(root / "run" / "config.yaml") == run.config == config


def test_configurations_survive_a_file(tmp_path):
    config = FitConfig("resnet50", (FolderConfig("x", union=0.1),), epochs=3.0)
    save_config(tmp_path / "c.yaml", config)
    assert load_config(tmp_path / "c.yaml") == config


# -- cache -------------------------------------------------------------------------


def test_the_cache_keeps_what_was_used_last_within_its_limit():
    cache = ArrayCache(100)
    made = []

    def get(key, size):
        def make():
            made.append(key)
            return np.zeros(size, np.uint8)

        return cache.get(key, make)

    get("a", 40)
    get("b", 40)
    assert get("a", 40) is get("a", 40)
    get("c", 40)
    assert made == ["a", "b", "c"]
    assert cache.size == 80
    get("a", 40)
    get("b", 40)
    assert made == ["a", "b", "c", "b"]
    get("large", 101)
    get("large", 101)
    assert made[-2:] == ["large", "large"]
    assert cache.size <= 100
    with pytest.raises(ValueError, match="read-only"):
        get("a", 40)[0] = 1
