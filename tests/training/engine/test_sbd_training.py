"""The paper's recipe on a miniature of its data set, made of the sample images."""

from pathlib import Path

import numpy as np
import pytest
import torch
import yaml
from skimage.io import imread, imsave

import napari_gpcis
from _published_sets import write_instances
from gpcis_training.config import load_config
from gpcis_training.data.folders import DataFolder
from gpcis_training.engine.export import export_checkpoint
from gpcis_training.engine.trainer import Trainer
from napari_gpcis import Click, Segmenter
from napari_gpcis.checkpoints import load_checkpoint
from training._published_files import plausible
from training._runs import assert_same_weights

CONFIGS = Path(__file__).parents[3] / "training" / "configs"
SAMPLES = Path(napari_gpcis.__file__).parent / "plugin" / "samples"
NETWORKS = ["resnet50", "hrnet18s", "segformer_b0"]
SMALL = [
    "steps=3",
    "epochs=",
    "batch_size=2",
    "workers=0",
    "augment.size=64",
    "augment.min_part=30",
    "options.gp_stride=4",
    "inference={infer_size: 64}",
]


@pytest.fixture(scope="module")
def root(tmp_path_factory) -> Path:
    """Four strips of the stained nuclei as img, inst and train.txt."""
    root = tmp_path_factory.mktemp("data")
    folder = root / "sbd"
    for part in ("img", "inst"):
        (folder / part).mkdir(parents=True)
    picture = imread(SAMPLES / "nuclei_stained.png")
    labels = imread(SAMPLES / "nuclei_stained_labels.png")
    names = []
    for col in range(0, 320, 80):
        box = np.s_[:, col : col + 80]
        names.append(f"2008_{col:06d}")
        numbered = np.unique(labels[box], return_inverse=True)[1]
        numbered = numbered.reshape(labels[box].shape).astype(np.uint8)
        imsave(folder / "img" / f"{names[-1]}.jpg", picture[box])
        write_instances(folder / "inst" / f"{names[-1]}.mat", numbered)
    (folder / "train.txt").write_text("\n".join(names))
    return root


@pytest.mark.parametrize("network", NETWORKS)
def test_configurations_hold_the_published_values(network):
    config = load_config(CONFIGS / f"sbd_{network}.yaml")
    optimiser, clicks, augment = config.optimiser, config.clicks, config.augment
    assert optimiser.lr == (5e-4 if network == "hrnet18s" else 5e-3)
    assert optimiser.encoder_lr == 0.1
    assert (optimiser.schedule, optimiser.milestones) == ("steps", (190, 220))
    assert (optimiser.clip, optimiser.warmup) == (0, 0)
    assert (config.epochs, config.batch_size) == (230, 64)
    assert config.count_steps(8498, 64) == 230 * 132
    assert (config.iteration, config.max_extra_clicks) == ("passes", 3)
    assert config.epsilon2_start == 1e-2
    assert config.variational == 1
    assert augment.size == 256
    assert augment.ratio == (0.8, 0.4, 0.3, 1.3)
    assert (augment.flip_vertical, augment.flip_horizontal) == (0.3, 0.3)
    assert augment.zoom == augment.colour == augment.grey == augment.invert == 0
    assert augment.min_part == 900
    assert (clicks.gamma, clicks.erode, clicks.single_start) == (0.7, 0.9, 0)
    assert clicks.strategies == (0.1, 0.4, 0.5)
    assert (config.data[0].merge, config.data[0].min_fill) == (0.15, 0.08)
    assert config.licence
    assert config.settings().infer_size == 384


@pytest.mark.slow
@pytest.mark.timeout(1200)
@pytest.mark.parametrize("network", NETWORKS)
def test_the_recipe_starts_stops_resumes_and_exports(network, root, tmp_path):
    config = load_config(CONFIGS / f"sbd_{network}.yaml", assignments=SMALL)
    weights = tmp_path / "imagenet.pth"
    torch.save(plausible(network), weights)

    def train(run: str, until: int | None = None) -> Trainer:
        trainer = Trainer(config, root, tmp_path / run, initial_weights=weights)
        trainer.resume()
        trainer.callback = lambda trainer, figures: trainer.step != until
        trainer.fit()
        return trainer

    whole = train("whole")
    train("parts", until=1)
    parts = train("parts")
    assert parts.step == whole.step == 3
    assert_same_weights(whole, parts)

    file = tmp_path / "model.safetensors"
    info = export_checkpoint(parts.state_file, parts.config, file)
    assert info.extra["samples"] == "6"
    assert yaml.safe_load(info.extra["recipe"])["optimiser"]["milestones"] == [190, 220]
    model, read = load_checkpoint(file)
    assert read.architecture == network
    for name, value in parts.network.state_dict().items():
        stored = model.state_dict()[name]
        torch.testing.assert_close(stored, value, rtol=2e-3, atol=1e-4)
    picture = imread(SAMPLES / "nuclei_stained.png")[:80, :90]
    prediction = Segmenter(model, read).predict(picture, [Click(40, 45)])
    assert prediction.mask[40, 45]
    assert np.isfinite(prediction.probability).all()


def test_epochs_are_passes_over_the_images(root, tmp_path):
    config = load_config(CONFIGS / "sbd_resnet50.yaml", assignments=SMALL[2:])
    folder = config.data[0].open(root)
    assert len(folder.pairs) == 4
    assert config.count_steps(len(folder.pairs), 2) == 460
    assert config.count_steps(len(folder.pairs), 3) == 230  # the rest is dropped
    assert config.count_steps(1, 3) == 230


def test_instances_that_hardly_fill_their_box_are_left_out(root, tmp_path):
    folder = tmp_path / "sbd"
    for part in ("img", "inst"):
        (folder / part).mkdir(parents=True)
    labels = np.zeros((60, 80), np.uint8)
    labels[10:30, 10:30] = 2
    np.fill_diagonal(labels[30:60, 40:70], 3)
    labels[30:60, 72] = 4
    plain = np.full((60, 80, 3), 9, np.uint8)
    imsave(folder / "img" / "a.jpg", plain, check_contrast=False)
    write_instances(folder / "inst" / "a.mat", labels)
    (folder / "train.txt").write_text("a")
    path = folder / "inst" / "a.mat"
    whole, strict = (DataFolder(folder, form="sbd", min_fill=f) for f in (0, 0.08))
    assert np.array_equal(whole.labels(path), labels)
    assert set(np.unique(strict.labels(path))) == {0, 2, 4}
    assert np.array_equal(strict.labels(path) == 2, labels == 2)
