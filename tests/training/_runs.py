"""Small training runs: a fast network, disks to learn from."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch

from _toy_backbone import ToyBackbone
from gpcis_training.config import FitConfig, FolderConfig, OptimiserConfig
from gpcis_training.data.augment import AugmentOptions
from gpcis_training.engine.trainer import Trainer
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


STARTS: dict[str, str | None] = {"toy": None, "mobilenet_v2": "gpcis-mobilenet-v2"}


def comparable(network: str, batch_size: int) -> FitConfig:
    """A run that is the same on one device and on several, batch norm frozen.

    Adam turns the rounding errors of tiny gradients into steps of up to the learning
    rate; so it is small, and the larger network a trained one.
    """
    return toy_config(
        network=network,
        options={"gp_stride": 4},
        steps=4,
        batch_size=batch_size,
        frozen_statistics=True,
        optimiser=OptimiserConfig(lr=1e-4, encoder_lr=1.0, warmup=0.0),
    )


def train(
    config: FitConfig,
    root: Path,
    run: Path,
    until: int | None = None,
    start: str | None = None,
) -> Trainer:
    """Train, resuming what is there; stop after step ``until`` as a user would."""
    trainer = Trainer(config, root, run, start=start)
    trainer.resume()
    trainer.callback = lambda trainer, figures: trainer.step != until
    trainer.fit()
    return trainer


def assert_same_weights(first: Trainer, second: Trainer) -> None:
    """Compare two networks bit by bit, buffers included."""
    left, right = first.network.state_dict(), second.network.state_dict()
    assert left.keys() == right.keys()
    different = [name for name in left if not torch.equal(left[name], right[name])]
    assert not different
