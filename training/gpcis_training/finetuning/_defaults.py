"""The training configuration that suits the images."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np
import torch

from gpcis_training.config import FitConfig, FolderConfig, OptimiserConfig
from gpcis_training.data.augment import AugmentOptions
from gpcis_training.data.click_simulation import ClickOptions
from gpcis_training.evaluation import DrawingRule

if TYPE_CHECKING:
    from gpcis_training.finetuning._splitting import Split
    from gpcis_training.finetuning.options import FinetuneOptions
    from gpcis_training.finetuning.prepare import Gathered
    from napari_gpcis.checkpoints import ModelInfo

WINDOW = 256
"""Side in pixels of the view of a first click, unless objects are larger."""
MIN_EVALUATED = 64
"""Smaller objects are not evaluated, pixels."""
_CPU_SIZE = 192


def make_config(
    options: FinetuneOptions, gathered: Gathered, split: Split, start: ModelInfo
) -> FitConfig:
    """Return a configuration; what the options leave open follows from the images.

    Parameters
    ----------
    options
        Of the person.
    gathered, split
        The images.
    start
        The model to start from.
    """
    planes = len(split.train)
    steps = options.steps or int(min(6000, 600 + 60 * planes))
    size = options.size or (
        start.inference.infer_size if torch.cuda.is_available() else _CPU_SIZE
    )
    ratio = _view_share(gathered)
    return FitConfig(
        network=start.architecture,
        options=dict(start.options),
        data=(FolderConfig("train", union=options.union, merge=0.03),),
        licence=start.licence,
        steps=steps,
        batch_size=options.batch_size,
        seed=options.seed,
        max_extra_clicks=3,
        epsilon2_start=1e-2,
        checkpoint_minutes=1.0,
        workers=options.workers,
        frozen_statistics=True,
        optimiser=OptimiserConfig(
            lr=options.lr or 1e-3, encoder_lr=options.encoder_lr or 0.15, warmup=0.03
        ),
        augment=AugmentOptions(
            size=size,
            zoom=0.6,
            zoom_range=(1.1, 3.2),
            ratio=(ratio, 0.4 * ratio, 0.4 * ratio, min(1.3, 1.6 * ratio)),
            flip_vertical=0.5,
            transpose=0.5,
            grey=0.15,
            invert=0.05,
        ),
        clicks=ClickOptions(gamma=0.7, single_start=0.4, off_centre=0.2),
    )


def view_window(gathered: Gathered) -> int:
    """Return the side of the first view: 256 pixels, more where objects are larger."""
    sides = [side for plane in gathered.planes for side in plane.sides]
    large = float(np.percentile(sides, 90)) if sides else 0.0
    return max(WINDOW, 32 * math.ceil(2 * large / 32))


def drawing_rule(
    gathered: Gathered, planes: int, objects: int, seed: int, union: bool
) -> DrawingRule:
    """Return how validation objects are drawn: about so many, from each plane alike."""
    share = objects / 2 if union else objects
    return DrawingRule(
        per_image=max(1, math.ceil(share / planes)),
        min_area=MIN_EVALUATED,
        window=view_window(gathered),
        seed=seed,
    )


def _view_share(gathered: Gathered) -> float:
    """Return the share of an image's side that a first view shows, as a median."""
    window = view_window(gathered)
    sides = [math.sqrt(p.shape[0] * p.shape[1]) for p in gathered.planes]
    return float(min(0.8, max(0.1, window / float(np.median(sides)))))
