from pathlib import Path

import pytest

from gpcis_training.config import load_config
from gpcis_training.diversity.config import load_diversity_config
from napari_gpcis.model.gpcis import build_model

FOLDER = Path(__file__).parents[3] / "training" / "configs"
DIVERSITY = sorted((FOLDER / "diversity").glob("*.yaml"))
SUPERPIXELS = sorted(FOLDER.glob("superpixels_*.yaml"))  # have their own test
CONFIGS = sorted({*FOLDER.glob("*.yaml")} - {*SUPERPIXELS})


@pytest.mark.parametrize("path", CONFIGS, ids=lambda path: path.stem)
def test_shipped_configurations_are_valid(path):
    config = load_config(path)
    model = build_model(config.network, **config.options)
    assert sum(p.numel() for p in model.parameters()) > 1e6
    assert config.licence
    assert config.training_data


@pytest.mark.parametrize("path", DIVERSITY, ids=lambda path: path.stem)
def test_shipped_configurations_of_diversity_are_valid(path):
    config = load_diversity_config(path)
    assert config.design.masks == 6
    assert config.data


def test_both_stages_build_the_same_network():
    names = ("natural_mobilenet_v2.yaml", "natural_mobilenet_v2_256.yaml")
    first, second = (load_config(FOLDER / name) for name in names)
    assert (first.network, first.options) == (second.network, second.options)
    assert first.augment.size < second.augment.size
