"""Small training runs: a fast network, disks to learn from."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch

from _toy_backbone import ToyBackbone
from gpcis_training.augment import AugmentOptions
from gpcis_training.config import FitConfig, FolderConfig, OptimiserConfig
from gpcis_training.engine import Trainer
from napari_gpcis.backbones.base import register

if TYPE_CHECKING:
    from pathlib import Path

register("toy", ToyBackbone)


def toy_config(**entries: Any) -> FitConfig:
    """Ten steps of two or three samples of 48 pixels."""
    defaults: dict[str, Any] = {
        "network": "toy",
        "data": (FolderConfig("disks"),),
        "options": {"basis": 16, "gp_stride": 4},
        "name": "tiny",
        "steps": 10,
        "batch_size": 3,
        "max_extra_clicks": 3,
        "workers": 0,
        "optimiser": OptimiserConfig(lr=1e-2),
        "augment": AugmentOptions(size=48),
    }
    return FitConfig(**{**defaults, **entries})


def train(
    config: FitConfig, root: Path, run: Path, until: int | None = None
) -> Trainer:
    """Train, resuming what is there; stop after step ``until`` as a person would."""
    trainer = Trainer(config, root, run)
    trainer.resume()
    trainer.watch = lambda trainer, figures: trainer.step != until
    trainer.fit()
    return trainer


def assert_same_weights(first: Trainer, second: Trainer) -> None:
    """Compare two networks bit by bit, buffers included."""
    left, right = first.bare.state_dict(), second.bare.state_dict()
    assert left.keys() == right.keys()
    different = [name for name in left if not torch.equal(left[name], right[name])]
    assert not different
