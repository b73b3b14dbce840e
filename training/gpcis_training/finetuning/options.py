"""What a person may choose when fine-tuning."""

from __future__ import annotations

import math
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

from gpcis_training.finetuning.reading import COMPONENTS
from napari_gpcis.errors import InputError
from napari_gpcis.inference.image import channel_indices

ON_ERROR = ("refuse", "skip")
PRECISIONS = ("auto", "32-true", "bf16-mixed")


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

    def __post_init__(self) -> None:
        """Check the ranges."""
        for name, accepted in (
            ("on_error", ON_ERROR),
            ("components", COMPONENTS),
            ("precision", PRECISIONS),
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
