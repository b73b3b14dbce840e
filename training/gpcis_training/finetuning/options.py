"""Options of a fine-tuning, and the configuration derived from the images."""

from __future__ import annotations

import math
from dataclasses import dataclass, fields
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from gpcis_training.config import FitConfig, FolderConfig, OptimiserConfig
from gpcis_training.data.augment import AugmentOptions
from gpcis_training.data.click_simulation import ClickOptions
from gpcis_training.evaluation import DrawingRule
from gpcis_training.finetuning.reading import COMPONENTS
from napari_gpcis.errors import InputError
from napari_gpcis.inference.image import channel_indices

if TYPE_CHECKING:
    from gpcis_training.finetuning.prepare import PreparedData, Split
    from napari_gpcis.checkpoints import ModelInfo

ON_ERROR = ("refuse", "skip")
KEEP = ("better", "trained")
PRECISIONS = ("auto", "32-true", "bf16-mixed")
WINDOW = 256
"""Side in pixels of the view of a first click, unless objects are larger."""
MIN_EVALUATED = 64
"""Smaller objects are not evaluated, pixels."""
_CPU_SIZE = 192
_UNROLLED = (1.5, 1.0, 1.0, 1.0)  # weights of the clicks on one encoding


@dataclass(frozen=True)
class FinetuneOptions:
    """Settings of a fine-tuning; ``None`` is decided from the images.

    Parameters
    ----------
    pairs
        CSV or JSON file that pairs images with labels, where names differ.
    channels
        Up to three channels of images that have more.
    on_error
        ``"refuse"``: stop when a file cannot be used; ``"skip"``: leave it out.
    components
        Whether connected pieces of one id are objects of their own: ``"auto"`` (where
        an image has a single id), ``"always"`` or ``"never"``.
    union
        Share of samples in which all objects of an image together are the target,
        such as a whole cell whose parts are labelled.
    split
        JSON file with the lists ``train`` and ``val``.
    seed
        Of split and training.
    max_minutes
        Wall-clock limit of everything, both evaluations included.
    steps, batch_size, size, lr, encoder_lr
        Optimiser steps, samples a step, side of the crops in pixels, peak learning
        rate, and the factor on it for the encoder.
    patience
        Training ends after so many validations without improvement.
    objects
        Objects that are evaluated before and after.
    precision
        ``"auto"`` takes bfloat16 where it is faster.
    workers
        Data loading processes.
    keep
        ``"better"``: if the trained weights need no fewer clicks, no model is written.
        ``"trained"`` writes them all the same.
    """

    pairs: Path | None = None
    channels: tuple[int, ...] | None = None
    on_error: str = "refuse"
    components: str = "auto"
    union: float = 0.0
    split: Path | None = None
    seed: int = 0
    max_minutes: float = 15.0
    steps: int | None = None
    batch_size: int = 8
    size: int | None = None
    lr: float | None = None
    encoder_lr: float | None = None
    patience: int = 6
    objects: int = 32
    precision: str = "auto"
    workers: int = 1
    keep: str = "better"

    def __post_init__(self) -> None:
        """Check the ranges."""
        for name, accepted in (
            ("on_error", ON_ERROR),
            ("components", COMPONENTS),
            ("precision", PRECISIONS),
            ("keep", KEEP),
        ):
            if getattr(self, name) not in accepted:
                msg = f"{name} must be one of {accepted}, got {getattr(self, name)!r}"
                raise InputError(msg)
        for name in ("max_minutes", "lr", "encoder_lr"):
            value = getattr(self, name)
            if value is not None and not (value > 0 and math.isfinite(value)):
                msg = f"{name} must be a number above 0, got {value!r}"
                raise InputError(msg)
        lowest = {"steps": 1, "batch_size": 1, "size": 64, "patience": 1}
        for name, least in {**lowest, "objects": 1, "workers": 0}.items():
            value = getattr(self, name)
            if value is not None and value < least:
                msg = f"{name} must be at least {least}, got {value!r}"
                raise InputError(msg)
        if not 0 <= self.union <= 1:
            msg = f"union must be between 0 and 1, got {self.union!r}"
            raise InputError(msg)

    def to_dict(self) -> dict[str, object]:
        """Return the JSON form."""
        values = {f.name: getattr(self, f.name) for f in fields(self)}
        for name in ("pairs", "split"):
            values[name] = None if values[name] is None else str(values[name])
        return values


def make_options(settings: dict[str, Any]) -> FinetuneOptions:
    """Return options of keyword arguments; paths may be text, channels one number.

    Raises
    ------
    InputError
        If one is unknown or out of range.
    """
    known = [field.name for field in fields(FinetuneOptions)]
    unknown = sorted(set(settings) - set(known))
    if unknown:
        msg = f"unknown options {unknown}; known: {', '.join(known)}"
        raise InputError(msg)
    values = dict(settings)
    for name in ("pairs", "split"):
        if values.get(name) is not None:
            values[name] = Path(values[name]).expanduser()
    if values.get("channels") is not None:
        try:
            values["channels"] = channel_indices(values["channels"])
        except TypeError:
            msg = f"channels must be integers, got {values['channels']!r}"
            raise InputError(msg) from None
    return FinetuneOptions(**values)


def make_config(
    options: FinetuneOptions, prepared: PreparedData, split: Split, start: ModelInfo
) -> FitConfig:
    """Return the training configuration for these options and images.

    Options that are ``None`` follow from the images. A model that encodes once and
    answers many clicks is trained so: several clicks share an encoding.

    Parameters
    ----------
    options
        Of the user.
    prepared, split
        The images.
    start
        The model to start from.
    """
    planes = len(split.train)
    steps = options.steps or int(min(6000, 600 + 60 * planes))
    size = options.size or (
        start.inference.infer_size if torch.cuda.is_available() else _CPU_SIZE
    )
    ratio = _view_share(prepared)
    shared = start.inference.frames == "stay"  # an encoding serves many clicks
    return FitConfig(
        network=start.architecture,
        options=dict(start.options),
        data=(FolderConfig("train", union=options.union, merge=0.03),),
        licence=start.licence,
        steps=steps,
        batch_size=options.batch_size,
        seed=options.seed,
        max_extra_clicks=3,
        iteration="unroll" if shared else "carry",
        click_weights=_UNROLLED if shared else (),
        unrolled_clicks=len(_UNROLLED),
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


def drawing_rule(
    prepared: PreparedData, planes: int, objects: int, seed: int, union: bool
) -> DrawingRule:
    """Return the rule that draws about so many objects, from each plane alike."""
    share = objects / 2 if union else objects
    return DrawingRule(
        per_image=max(1, math.ceil(share / planes)),
        min_area=MIN_EVALUATED,
        window=view_window(prepared),
        seed=seed,
    )


def view_window(prepared: PreparedData) -> int:
    """Return the side of the first view: 256 pixels, more where objects are larger."""
    sides = [side for plane in prepared.planes for side in plane.sides]
    large = float(np.percentile(sides, 90)) if sides else 0.0
    return max(WINDOW, 32 * math.ceil(2 * large / 32))


def _view_share(prepared: PreparedData) -> float:
    """Return the share of an image's side that a first view shows, as a median."""
    window = view_window(prepared)
    sides = [math.sqrt(p.shape[0] * p.shape[1]) for p in prepared.planes]
    return float(min(0.8, max(0.1, window / float(np.median(sides)))))
