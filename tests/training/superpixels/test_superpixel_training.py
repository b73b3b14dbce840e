"""Training of superpixels: resumable, exported, all options."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch

from gpcis_training.cli import main
from gpcis_training.config import FolderConfig
from gpcis_training.seeds import Stream, generator
from gpcis_training.superpixels.config import (
    LossConfig,
    SuperpixelConfig,
    load_superpixel_config,
)
from gpcis_training.superpixels.crops import (
    CropOptions,
    auxiliary_modality,
    draw_crops,
    normalise,
)
from gpcis_training.superpixels.trainer import SuperpixelTrainer
from napari_gpcis.errors import CheckpointError, InputError
from napari_gpcis.superpixels.weights import load_superpixels
from training._folders import write_disks


def config(**entries):
    defaults = {
        "data": (FolderConfig("disks"),),
        "name": "tiny",
        "width": 8,
        "content": 4,
        "crops": CropOptions(size=48, scales=(1.0, 1.2)),
        "steps": 4,
        "batch_size": 2,
        "lr": 1e-2,
    }
    return SuperpixelConfig(**{**defaults, **entries})


@pytest.fixture
def data(tmp_path):
    write_disks(tmp_path / "disks")
    return tmp_path


def weights(trainer):
    return {n: t.clone() for n, t in trainer.network.state_dict().items()}


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"auxiliary": "none", "average": 0.9, "clip": 1.0, "schedule": "cosine"},
        {"auxiliary": "sobel_magnitude", "auxiliary_every": 2, "gate": False},
        {"auxiliary": "lab", "own_statistics": True, "strict_reference": True},
        {"losses": LossConfig(laplacian=360, embedding=1e-3, pure=0.1)},
        {
            "losses": LossConfig(target="colour", compactness=10),
            "auxiliary": "invert",
        },
    ],
    ids=["published", "plain", "no gate", "strict", "laplacian", "unsupervised"],
)
def test_a_run_that_is_resumed_is_the_run(data, options):
    whole = SuperpixelTrainer(config(**options), data, data / "whole")
    whole.fit()
    first = SuperpixelTrainer(config(**options), data, data / "parts")
    first.fit(lambda trainer: trainer.step < 2)
    assert first.step == 2
    second = SuperpixelTrainer(config(**options), data, data / "parts")
    assert second.resume()
    second.fit()
    assert second.step == 4
    for name, tensor in weights(whole).items():
        assert torch.equal(tensor, weights(second)[name]), name


def test_the_loss_falls(data):
    trainer = SuperpixelTrainer(
        config(auxiliary="none", steps=60, crops=CropOptions(size=64)),
        data,
        data / "run",
    )
    losses = []
    trainer.model.train()
    while trainer.progress() < 1:
        losses.append(trainer.train_step()["loss"])
    assert np.mean(losses[-10:]) < np.mean(losses[:10]) / 2


def test_each_step_with_both_modalities_has_all_losses(data):
    trainer = SuperpixelTrainer(config(auxiliary_every=2), data, data / "run")
    both, one = trainer.train_step(), trainer.train_step()
    assert set(both) == {"loss", "superpixel", "auxiliary", "alignment", "information"}
    assert set(one) == {"loss", "superpixel"}
    parts = sum(value for name, value in both.items() if name != "loss")
    assert both["loss"] == pytest.approx(parts, rel=1e-5)


def test_the_estimator_learns_by_its_own_optimiser(data):
    trainer = SuperpixelTrainer(config(), data, data / "run")
    before = {n: t.clone() for n, t in trainer.estimator.state_dict().items()}
    trainer.train_step()
    after = trainer.estimator.state_dict()
    assert any(not torch.equal(before[name], after[name]) for name in before)
    main_parameters = {
        id(p) for group in trainer.optimiser.param_groups for p in group["params"]
    }
    assert not main_parameters & {id(p) for p in trainer.estimator.parameters()}


@pytest.mark.parametrize("quirk", [True, False])
def test_the_rate_decays_as_published(data, quirk):
    trainer = SuperpixelTrainer(
        config(decay_biases_only=quirk, steps=10), data, data / "run"
    )
    trainer.step = 5
    trainer._set_pace()
    biases, weights_ = (group["lr"] for group in trainer.optimiser.param_groups)
    decayed = 1e-2 * 0.5**0.9
    assert biases == pytest.approx(decayed)
    assert weights_ == pytest.approx(1e-2 if quirk else decayed)
    decays = [group["weight_decay"] for group in trainer.optimiser.param_groups]
    assert decays == [0, 4e-4]


def test_a_state_of_another_network_is_refused(data):
    SuperpixelTrainer(config(), data, data / "run").save()
    other = SuperpixelTrainer(config(width=16), data, data / "run")
    with pytest.raises(CheckpointError, match="not from this configuration"):
        other.resume()


def test_crops_are_a_function_of_seed_and_step(data):
    folders = [FolderConfig("disks").open(data)]
    options = CropOptions(size=48, grey=0.5, invert=0.5)
    one, same = (draw_crops(folders, options, 3, 7, 2) for _ in range(2))
    other = draw_crops(folders, options, 3, 7, 3)
    assert torch.equal(one.image, same.image)
    assert torch.equal(one.labels, same.labels)
    assert not torch.equal(one.image, other.image)
    assert one.image.shape == (3, 3, 48, 48)
    assert one.labels.dtype == torch.int64
    assert one.image.min() >= 0
    assert one.image.max() <= 1


def test_labels_lie_where_the_image_has_them(data):
    folders = [FolderConfig("disks").open(data)]
    crops = draw_crops(folders, CropOptions(size=64), 8, 0, 0)
    bright = crops.image[:, 0] > 0.5  # disks are bright in red
    for image, labels in zip(bright, crops.labels, strict=True):
        if 0.1 < image.float().mean() < 0.9:
            inside = labels[image].bincount(minlength=3)
            outside = labels[~image].bincount(minlength=3)
            background = int(outside.argmax())
            assert inside[background] < 0.1 * inside.sum()


def test_more_than_fifty_regions_count_as_the_first(tmp_path):
    from skimage.io import imsave

    (tmp_path / "images").mkdir()
    (tmp_path / "labels").mkdir()
    labels = np.arange(64, dtype=np.uint8).reshape(8, 8).repeat(8, 0).repeat(8, 1)
    imsave(tmp_path / "images" / "a.png", labels, check_contrast=False)
    imsave(tmp_path / "labels" / "a.png", labels, check_contrast=False)
    folders = [FolderConfig(".").open(tmp_path)]
    crops = draw_crops(folders, CropOptions(size=64, scales=(1.0,)), 2, 0, 0)
    assert len(crops.labels.unique()) == 50
    assert int(crops.labels.max()) == 49


def test_the_published_modality_is_the_signed_sum_of_sobel_responses():
    torch.manual_seed(0)
    image = torch.randn(1, 3, 5, 6)
    padded = torch.nn.functional.pad(image, (1, 1, 1, 1))
    across = torch.tensor([[-1.0, 0, 1], [-2, 0, 2], [-1, 0, 1]])
    down = torch.tensor([[-1.0, -2, -1], [0, 0, 0], [1, 2, 1]])
    found = auxiliary_modality(image, "sobel_sum")
    assert found.shape == image.shape
    for row in range(5):
        for col in range(6):
            window = padded[0, :, row : row + 3, col : col + 3]
            expected = (window * (across + down)).sum()
            torch.testing.assert_close(found[0, 0, row, col], expected)
    assert torch.equal(found[:, 0], found[:, 2])
    assert auxiliary_modality(image, "sobel_magnitude").min() >= 0


def test_other_modalities():
    image = torch.rand(1, 3, 4, 4)
    negative = auxiliary_modality(normalise(image), "invert")
    torch.testing.assert_close(negative, normalise(1 - image))
    white = auxiliary_modality(normalise(torch.ones(1, 3, 4, 4)), "lab")
    torch.testing.assert_close(white[:, 0], torch.ones(1, 4, 4))
    with pytest.raises(InputError, match="auxiliary must be one of"):
        auxiliary_modality(image, "depth")


def test_the_command_trains_exports_and_resumes(data, capsys):
    path = data / "tiny.yaml"
    path.write_text(
        "data: [{path: disks}]\nname: tiny\nwidth: 8\ncontent: 4\nsteps: 2\n"
        "batch_size: 2\ncrops: {size: 48}\nlicence: CC0-1.0\n"
    )
    run = data / "run"
    words = ["superpixels", "fit", str(path), "--data", str(data), "-o", str(run)]
    assert main(words) == 0
    network, info = load_superpixels(run / "tiny.safetensors")
    assert (info.name, info.licence) == ("tiny", "CC0-1.0")
    assert info.extra["steps"] == "2"
    assert network.auxiliary_encoder is None
    assert json.loads(info.extra["recipe"])["losses"]["compactness"] == 0.003
    assert main([*words, "--set", "steps=3"]) == 0
    assert "resuming at step 2 of 3" in capsys.readouterr().out
    out = data / "copy.safetensors"
    again = ["superpixels", "export", str(path), str(run), "-o", str(out)]
    assert main(again) == 0
    assert load_superpixels(out)[1].extra["steps"] == "3"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("crops: {size: 50}", "multiple of 16"),
        ("crops: {scales: []}", "scales must be positive"),
        ("auxiliary: depth", "auxiliary must be one of"),
        ("losses: {target: depth}", "target must be one of"),
        ("schedule: steps", "schedule must be one of"),
        ("average: 1.0", "average must be"),
        ("batch_size: 0", "batch_size must be at least 1"),
        ("depth: 3", "unknown entries"),
    ],
)
def test_a_configuration_is_checked(tmp_path, text, message):
    path = tmp_path / "bad.yaml"
    path.write_text(f"data: [{{path: disks}}]\n{text}\n")
    with pytest.raises(InputError, match=message):
        load_superpixel_config(path)


def test_streams_do_not_meet():
    assert len({int(stream) for stream in Stream}) == len(Stream)
    crop, order = (generator(0, s, 1) for s in (Stream.CROP, Stream.ORDER))
    assert crop.integers(1 << 30) != order.integers(1 << 30)


ABLATION = Path(__file__).parents[3] / "training/configs/superpixels/ablation.yaml"
SMALL = (
    "data=[{path: disks}]",
    "width=8",
    "content=4",
    "crops.size=48",
    "steps=2",
    "batch_size=2",
    "warmup=0",
    "average=0",
)


def test_variants_are_trained_exported_and_evaluated(data, capsys):
    assignments = [word for entry in SMALL for word in ("--set", entry)]
    words = ["superpixels", "ablate", str(ABLATION), "--data", str(data)]
    words += ["-o", str(data / "runs"), "--evaluate", "disks", "--numbers", "20"]
    words += ["--images", "9"]  # it has three
    assert main([*words, *assignments]) == 0
    names = ["full", "no-auxiliary", "no-gate", "no-alignment", "no-information"]
    saved = {}
    for name in names:
        network, info = load_superpixels(data / "runs" / f"{name}.safetensors")
        assert info.name == f"cds-lite-{name}"
        assert info.extra["steps"] == "2"
        assert (network.gate is None) == (name == "no-gate")
        saved[name] = network.state_dict()
    for name in names[1:]:  # each part has its share in the gradient
        encoder = [key for key in saved["full"] if key.startswith("encoder")]
        assert any(
            not torch.equal(saved[name][key], saved["full"][key]) for key in encoder
        ), name
    table = capsys.readouterr().out.splitlines()
    assert [line.split()[0] for line in table[-6:]] == ["slic", *names]
    made = json.loads(next((data / "runs").glob("*disks.json")).read_text())["results"]
    assert len(made) == 6 * 3
    assert main([*words, *assignments]) == 0  # all is there already
    assert "full: from step 2 to 2" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--variants", "no-decoder"], "variants must be some of full, no-auxiliary"),
        (["--set", "auxiliary=none"], "must have an auxiliary modality, a gate"),
        (["--evaluate", "disks", "circles"], "circles"),
    ],
)
def test_an_ablation_needs_what_it_leaves_out(data, capsys, words, message):
    start = ["superpixels", "ablate", str(ABLATION), "--data", str(data)]
    assert main([*start, "-o", str(data / "runs"), *words]) == 2
    assert message in capsys.readouterr().err
