"""Evaluation of latent diversity: known masks, seeds, published rows, the command."""

import json

import numpy as np
import pytest
import torch

from gpcis_training.cli import main
from gpcis_training.config import FolderConfig
from gpcis_training.diversity.evaluation import (
    diversity_table,
    evaluate_diversity,
)
from gpcis_training.diversity.options import DiversityConfig
from gpcis_training.diversity.predictor import DiversityPredictor
from gpcis_training.diversity.published import note, published_rows
from gpcis_training.diversity.system import System
from gpcis_training.evaluation.datasets import folder_objects
from napari_gpcis.errors import InputError
from training._folders import write_pair_of_disks

CONFIG = DiversityConfig(
    (FolderConfig("cells"),), masks=3, features=False, dilations=(1,), side=45
)


class KnownMasks:
    """Two masks, always the same: all, and the left half, which is shown."""

    side = None

    def __init__(self):
        self.images = 0

    def start(self, image, first_view=None):
        self.images += 1
        everything = np.ones(image.shape[:2], bool)
        left = everything.copy()
        left[:, 45:] = False
        self.masks = np.stack([everything, left])

    def click(self, row, col, positive):
        return self.masks[1]


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    root = tmp_path_factory.mktemp("data")
    write_pair_of_disks(root / "cells")
    return root


def test_figures_of_known_masks(root):
    chosen = folder_objects("cells", root, None).limited(2)
    known = KnownMasks()
    found = evaluate_diversity(known, root, chosen, repeats=2, max_clicks=3)
    assert known.images == len(found.outcomes) == 4
    left, right = found.outcomes[0], found.outcomes[2]
    areas = [249, 609]  # of disks of radius 9 and 14
    assert left.offered == pytest.approx((areas[0] / 5400, areas[0] / 2700))
    assert right.offered == pytest.approx((areas[1] / 5400, 0))
    assert found.noc(0.85).mean == 3
    assert found.selected.mean == pytest.approx((areas[0] / 2700 + 0) / 2)
    best = (areas[0] / 2700 + areas[1] / 5400) / 2
    assert found.oracle.mean == pytest.approx(best)
    mean = (sum(left.offered) + sum(right.offered)) / 4
    assert found.chance.mean == pytest.approx(mean)


def test_the_seed_decides_the_clicks(root):
    chosen = folder_objects("cells", root, None).limited(1)

    def clicks(**options):
        found = evaluate_diversity(KnownMasks(), root, chosen, max_clicks=2, **options)
        return [one.run.clicks for one in found.outcomes]

    assert clicks(seed=1) == clicks(seed=1)
    assert clicks(seed=1) != clicks(seed=2)
    assert len(set(clicks(seed=1))) == 3  # the repeats differ
    assert len(clicks(law="centre")) == 1
    with pytest.raises(InputError, match="clicks must be one of"):
        clicks(law="anywhere")
    with pytest.raises(InputError, match="from 1"):
        clicks(repeats=0)


def test_the_predictor_keeps_the_image_and_shows_what_the_selector_says(root):
    system = System.create(CONFIG, None)
    calls = []
    encode = system.proposals.encode
    system.proposals.encode = lambda *given: calls.append(1) or encode(*given)
    predictor = DiversityPredictor(system)
    image = np.random.default_rng(0).integers(0, 255, (60, 90, 3)).astype(np.uint8)
    predictor.start(image)
    first = predictor.click(10, 20, True)
    assert first.shape == (60, 90)
    assert predictor.masks.shape == (3, 60, 90)
    assert np.array_equal(first, predictor.masks[predictor.shown])
    all_masks = predictor.masks
    predictor.click(50, 80, False)
    predictor.start(image)
    assert np.array_equal(predictor.click(10, 20, True), first)  # clicks are forgotten
    assert np.array_equal(predictor.masks, all_masks)
    assert len(calls) == 1
    for best in range(3):
        torch.nn.init.zeros_(system.selector.last.weight)
        with torch.no_grad():
            system.selector.last.bias.copy_(torch.eye(3)[best])
        predictor.click(5, 5, True)
        assert predictor.shown == best
    predictor.start(image[..., 0].astype(np.uint16) * 100)  # grey, 16 bits
    assert len(calls) == 2


def test_published_figures_stand_beside_ours(root):
    chosen = folder_objects("cells", root, None).limited(1)
    found = evaluate_diversity(KnownMasks(), root, chosen, repeats=1, max_clicks=1)
    named = type(found)("davis", *list(vars(found).values())[1:])
    text = diversity_table([named])
    assert "| latent diversity (published)" in text
    assert "5.95" in text
    assert "9.57" in text
    assert "the data may differ" in text
    assert "(published)" not in diversity_table([found])
    rows = [published_rows(name)[0] for name in ("grabcut", "sbd", "coco_things_val")]
    assert [(row.noc85, row.noc90) for row in rows] == [
        (3.2, 4.79),
        (7.41, 10.78),
        (7.86, 12.45),
    ]
    assert "CVPR 2018" in note()


def test_the_command_fits_and_evaluates(root, tmp_path, capsys):
    config = tmp_path / "c.yaml"
    config.write_text(
        "data: [{path: cells}]\nmasks: 2\nside: 24\nsteps: 2\nselector_steps: 2\n"
        "dilations: [1]\nname: small\nclicks: {margin: 1, step: 3}\n",
        encoding="utf-8",
    )
    fit = ["diversity", "fit", str(config), "--data", str(root), "-o", str(tmp_path)]
    assert main(fit) == 1
    error = capsys.readouterr().err
    assert error.startswith("gpcis-train diversity fit: VGG-19 must be given")
    assert error.count("\n") == 1
    assert main([*fit, "--vgg", "random"]) == 0
    printed = capsys.readouterr().out
    assert "VGG-19: random weights" in printed
    assert "proposals 2: loss" in printed
    system, output = tmp_path / "small.safetensors", tmp_path / "out.json"
    evaluate = ["diversity", "evaluate", str(system), "--root", str(root), "--set"]
    options = ["cells", "--limit", "1", "--repeats", "2", "--max-clicks", "2"]
    options += ["--vgg", "random", "-o", str(output)]
    assert main([*evaluate, *options]) == 0
    assert "| cells | this, boundary clicks | 1" in capsys.readouterr().out
    (found,) = json.loads(output.read_text())["results"]
    assert len(found["results"]) == 2
    assert found["oracle"] >= found["selected"]
    assert main([*evaluate, "cells"]) == 1
    assert "VGG-19 must be given" in capsys.readouterr().err
