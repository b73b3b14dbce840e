"""Several clicks on one encoding in one step, and the average of the weights."""

from __future__ import annotations

import math

import pytest
import torch
from torch.nn import functional

from gpcis_training.data.click_simulation import ClickOptions
from gpcis_training.engine.export import export_checkpoint
from gpcis_training.engine.state import read_state
from gpcis_training.engine.step import normalised_focal_loss, quality_loss
from gpcis_training.engine.trainer import Trainer
from napari_gpcis.checkpoints import load_checkpoint
from napari_gpcis.errors import InputError
from napari_gpcis.model import ClickInput, GPScores, build_model
from training._folders import write_disks
from training._runs import assert_same_weights, toy_config, train

OPTIONS = {"basis": 16, "gp_stride": 4, "quality": True}


@pytest.fixture
def root(tmp_path):
    write_disks(tmp_path / "disks")
    return tmp_path


def unrolling(**entries):
    defaults = {
        "iteration": "unroll",
        "unrolled_clicks": 3,
        "options": OPTIONS,
        "clicks": ClickOptions(single_start=1),
    }
    return toy_config(**{**defaults, **entries})


def test_an_image_is_encoded_once_for_all_its_clicks(root):
    trainer = Trainer(unrolling(), root, root / "run")
    encoded, points = [], []
    network = trainer.network
    network.model.layers.register_forward_hook(lambda *_: encoded.append(1))
    learn = network.learn

    def recorded(given, clicks, previous, **options):
        points.append((clicks, previous))
        return learn(given, clicks, previous, **options)

    network.learn = recorded
    batch = trainer.open_samples()
    figures = trainer.training_step(batch, 0)
    assert len(encoded) == 1
    assert [int((p[0, :, 0] >= 0).sum()) for p, _ in points] == [1, 2, 3]
    assert not points[0][1].any()
    assert points[1][1].any()
    assert {"iou_0", "iou_1", "iou_2", "loss", "quality", "variational"} <= set(figures)
    again = trainer.open_samples()
    assert not torch.equal(again.batch().inputs, batch.batch().inputs), "new samples"


def test_the_gradient_is_that_of_the_weighted_mean_of_all_answers(root):
    config = unrolling(click_weights=(3.0, 1.0, 0.0), variational=0.0, quality=0.0)
    trainer = Trainer(config, root, root / "run")
    step, network = trainer.training_step, trainer.network
    batch = trainer.open_samples().batch()
    asked = []

    def follow(answer):
        asked.append(answer)
        if len(asked) == 3:
            return None
        return ClickInput(batch.points, torch.full_like(batch.target, 0.3))

    torch.manual_seed(0)
    first = ClickInput(batch.points, batch.inputs[:, 3:])
    answers = network.unroll(batch.inputs[:, :3], first, follow)
    assert [id(a) for a in answers] == [id(a) for a in asked]
    losses = [normalised_focal_loss(a.scores.logits, batch.target) for a in answers]
    loss, _ = step._unrolled_loss(answers, [batch] * 3)
    expected = (3 * losses[0] + losses[1]) / 4
    torch.testing.assert_close(loss, expected)
    loss.backward()
    assert network.model.layers[0].weight.grad.abs().sum() > 0


def test_the_worst_samples_get_more_clicks_on_the_same_encoding(root):
    config = unrolling(late_clicks=2, late_samples=2, batch_size=4)
    trainer = Trainer(config, root, root / "run")
    network, encoded, asked = trainer.network, [], []
    network.model.layers.register_forward_hook(lambda *_: encoded.append(1))
    learn = network.learn

    def recorded(given, clicks, previous, **options):
        answer = learn(given, clicks, previous, **options)
        asked.append((given, clicks, previous, answer))
        return answer

    network.learn = recorded
    batch = trainer.open_samples()
    target = batch.batch().target
    figures = trainer.training_step(batch, 0)
    assert len(encoded) == 1
    assert [len(given.rgb) for given, *_ in asked] == [4, 4, 4, 2, 2]
    counts = [int((clicks[0, :, 0] >= 0).sum()) for _, clicks, *_ in asked]
    assert counts == [1, 2, 3, 4, 5]

    probability = asked[2][3].scores.logits.detach().sigmoid()
    both = ((probability > 0.5) & (target > 0.5)).sum(dim=(1, 2, 3))
    either = ((probability > 0.5) | (target > 0.5)).sum(dim=(1, 2, 3))
    worst = (both / either).argsort()[:2]
    for given, _, previous, _ in asked[3:]:
        torch.testing.assert_close(given.rgb, asked[0][0].rgb[worst])
        assert torch.equal(given.features[0], asked[0][0].features[0][worst])
        assert previous.shape[0] == 2
    torch.testing.assert_close(asked[3][2], probability[worst])
    names = {name for name in figures if name.startswith(("iou", "late"))}
    assert names == {"iou", "iou_0", "iou_1", "iou_2", "late_3", "late_4"}
    assert figures["iou"] == pytest.approx(
        sum(figures[f"iou_{count}"] for count in range(3)) / 3
    )


def test_early_clicks_are_made_in_a_smaller_frame(root):
    config = unrolling(late_clicks=2, late_samples=2, batch_size=4, early_size=32)
    assert config.augment.size == 48
    assert config.settings().infer_size == 32
    trainer = Trainer(config, root, root / "run")
    network, asked = trainer.network, []
    learn = network.learn

    def recorded(given, clicks, previous, **options):
        answer = learn(given, clicks, previous, **options)
        asked.append((given.rgb, clicks, previous, answer.scores.logits.detach()))
        return answer

    network.learn = recorded
    samples = trainer.open_samples()
    whole = samples.batch()
    before = [p.detach().clone() for p in network.parameters()]
    figures = trainer.training_step(samples, 0)
    shapes = [(len(rgb), rgb.shape[-1], p.shape[-1]) for rgb, _, p, _ in asked]
    assert shapes == [(4, 32, 32)] * 3 + [(2, 48, 48)] * 2
    small = functional.interpolate(
        whole.inputs[:, :3], (32, 32), mode="bilinear", antialias=True
    )
    torch.testing.assert_close(asked[0][0], network.normalise(small))
    used = whole.points[..., 0] >= 0
    expected = (whole.points[used][:, :2] + 0.5) * 2 / 3 - 0.5
    torch.testing.assert_close(asked[0][1][used][:, :2], expected.clamp(min=0))
    assert (asked[0][1][~used] == -1).all()

    logits = functional.interpolate(asked[2][3], (48, 48), mode="bilinear")
    probability = logits.sigmoid()
    target = whole.target > 0.5
    both = ((probability > 0.5) & target).sum(dim=(1, 2, 3))
    either = ((probability > 0.5) | target).sum(dim=(1, 2, 3))
    worst = (both / either).argsort()[:2]
    torch.testing.assert_close(asked[3][2], probability[worst])
    normal = network.normalise(whole.inputs[worst, :3])
    torch.testing.assert_close(asked[3][0], normal)
    counts = [int((clicks[0, :, 0] >= 0).sum()) for _, clicks, *_ in asked]
    assert counts == [1, 2, 3, 4, 5]
    assert asked[4][1].max() > 32, "places of the whole sample"
    assert {"late_3", "late_4", "iou_2"} <= set(figures)
    after = network.parameters()
    assert any(not torch.equal(*pair) for pair in zip(before, after, strict=True))


def test_a_late_answer_counts_as_much_as_an_unrolled_one(root):
    config = unrolling(
        late_clicks=2, late_samples=1, batch_size=4, variational=0.0, quality=0.0
    )
    trainer = Trainer(config, root, root / "run")
    batches, answers = [], []
    unrolled_loss = trainer.training_step._unrolled_loss

    def kept(given, of):
        answers.extend(given)
        batches.extend(of)
        return unrolled_loss(given, of)

    trainer.training_step._unrolled_loss = kept
    click_batch = trainer.open_samples()
    before = {k: v.clone() for k, v in trainer.network.named_parameters()}
    figures = trainer.training_step(click_batch, 0)
    assert math.isfinite(figures["loss"])
    assert any(
        not torch.equal(v, before[k]) for k, v in trainer.network.named_parameters()
    )
    losses = [
        normalised_focal_loss(answer.scores.logits.detach(), batch.target)
        for answer, batch in zip(answers, batches, strict=True)
    ]
    assert [len(batch.target) for batch in batches] == [4, 4, 4, 1, 1]
    loss, _ = unrolled_loss(answers, batches)
    # three answers of four samples each, and two of one sample, all with one weight
    expected = (4 * sum(losses[:3]) + sum(losses[3:])) / 12
    torch.testing.assert_close(loss.detach(), expected)


def test_it_learns(root):
    config = unrolling(steps=60, quality=1.0)
    shown = []
    trainer = Trainer(config, root, root / "run")
    trainer.callback = lambda _, figures: shown.append(figures) or True
    trainer.fit()
    for name in ("loss", "quality"):
        early = sum(f[name] for f in shown[:10])
        assert sum(f[name] for f in shown[-10:]) < early, name


@pytest.mark.parametrize("workers", [0, 1])
def test_a_stopped_run_goes_on_bit_by_bit_with_its_average(root, workers):
    config = unrolling(
        average=0.9, workers=workers, late_clicks=2, early_size=32 * workers
    )
    whole = train(config, root, root / "whole")
    train(config, root, root / "parts", until=4)
    parts = train(config, root, root / "parts")
    assert_same_weights(whole, parts)
    first, second = (read_state(run.state_file)["average"] for run in (whole, parts))
    assert all(torch.equal(first[name], second[name]) for name in first)


def test_the_average_follows_the_weights_and_is_exported(root, tmp_path):
    config = unrolling(average=0.75, steps=6)
    seen = []
    trainer = Trainer(config, root, root / "run")
    start = trainer.network.linear if config.options.get("linear_basis") else None
    assert start is None
    expected = trainer.network.logsigma2.detach().clone()
    trainer.callback = lambda t, _: (
        seen.append(t.network.logsigma2.detach().clone()) or True
    )
    trainer.fit()
    for count, value in enumerate(seen):
        decay = 0.0 if count == 0 else min(0.75, (1 + count) / (10 + count))
        expected = decay * expected + (1 - decay) * value
    averaged = read_state(trainer.state_file)["average"]
    torch.testing.assert_close(averaged["logsigma2"], expected)
    file = tmp_path / "average.safetensors"
    export_checkpoint(trainer.state_file, config, file)
    loaded, _ = load_checkpoint(file)
    torch.testing.assert_close(
        loaded.state_dict()["logsigma2"], expected, rtol=1e-3, atol=1e-3
    )


def test_a_network_without_quality_unrolls_as_well(root):
    options = {"basis": 16, "gp_stride": 4}
    run = train(unrolling(options=options, steps=2), root, root / "run")
    assert run.step == 2
    run = train(unrolling(options={"head": "linear"}, steps=2), root, root / "linear")
    assert run.step == 2


def test_quality_loss_is_least_at_the_true_iou():
    target = torch.zeros(1, 1, 4, 4)
    target[..., :2] = 1
    target[..., 3, :] = -1
    logits = torch.full_like(target, -4.0)
    logits[..., 0] = 4  # 3 of the 6 object pixels that count, nothing else
    logits[..., 3, :] = 4  # where no label is
    scores = GPScores(logits, logits, torch.zeros_like(logits))
    places = torch.linspace(0.05, 0.95, 19)
    losses = [float(quality_loss(p.logit().reshape(1), scores, target)) for p in places]
    assert float(places[losses.index(min(losses))]) == pytest.approx(0.5)


@pytest.mark.parametrize(
    ("entries", "message"),
    [
        ({"unrolled_clicks": 0}, "unrolled_clicks must be at least 1, got 0"),
        ({"click_weights": (1.0,)}, "click_weights must have 3 numbers"),
        ({"click_weights": (0.0, 0.0, 0.0)}, "not all 0"),
        ({"click_weights": (1.0, -1.0, 1.0)}, "must be from 0"),
        ({"late_clicks": -1}, "late_clicks must be at least 0, got -1"),
        ({"early_size": 16}, "early_size must be 0, or from 32 to augment.size .48."),
        ({"early_size": 65}, "early_size must be 0, or from 32"),
        ({"late_samples": 0}, "late_samples must be from 1 to batch_size"),
        ({"late_samples": 9, "batch_size": 8}, "batch_size .8., got 9"),
        ({"average": 1.0}, "average must be at least 0 and below 1, got 1"),
    ],
)
def test_options_out_of_range_are_refused(entries, message):
    with pytest.raises(InputError, match=message):
        unrolling(**entries)


def test_low_precision_reaches_the_network_on_one_device(root):
    trainer = Trainer(unrolling(), root, root / "run", precision="bf16-mixed")
    kinds = set()
    trainer.network.model.layers.register_forward_hook(
        lambda _module, _inputs, output: kinds.add(output.dtype)
    )
    figures = trainer.training_step(trainer.open_samples(), 0)
    assert kinds == {torch.bfloat16}
    assert math.isfinite(figures["loss"])


# -- quality ---------------------------------------------------------------------------


def test_quality_takes_no_gradient_to_the_mask_and_knows_no_neighbour():
    torch.manual_seed(0)
    model = build_model("mobilenet_v2", gp_stride=4, quality=True)
    raw = torch.randn(2, 48, 8, 8, requires_grad=True)
    logits = torch.randn(2, 1, 32, 32, requires_grad=True)
    both = model.quality(raw, logits)
    assert both.shape == (2,)
    both.sum().backward()
    assert logits.grad is None
    assert raw.grad.abs().sum() > 0
    alone = model.quality(raw[1:], logits[1:])
    torch.testing.assert_close(alone[0], both[1])
