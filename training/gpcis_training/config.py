"""The configuration of a training run, read from YAML."""

from __future__ import annotations

from dataclasses import dataclass, field, fields, is_dataclass
from pathlib import Path
from typing import Any, get_type_hints

import yaml

from gpcis_training.augment import AugmentOptions
from gpcis_training.click_simulation import ClickOptions
from gpcis_training.data import DataFolder
from napari_gpcis.errors import InputError


@dataclass(frozen=True)
class FolderConfig:
    """One data set: ``path`` is relative to the data root given when running."""

    path: str
    weight: float = 1.0
    union: float = 0.0
    merge: float = 0.15

    def open(self, root: Path) -> DataFolder:
        """List the files of the set below ``root``."""
        return DataFolder(root / self.path, self.weight, self.union, self.merge)


@dataclass(frozen=True)
class OptimiserConfig:
    """Adam with a warm-up and a cosine.

    Parameters
    ----------
    lr
        Peak learning rate.
    encoder_lr
        Factor on the pre-trained encoder (published: 0.1 on the whole DeepLab).
    warmup
        Share of the run.
    clip
        Largest norm of the gradient.
    """

    lr: float = 3e-3
    encoder_lr: float = 0.12
    warmup: float = 0.03
    clip: float = 5.0


@dataclass(frozen=True)
class FitConfig:
    """A training run.

    Parameters
    ----------
    network
        Name for :func:`napari_gpcis.model.build_model`.
    data
        The sets.
    options
        Options for ``build_model``.
    name, licence, training_data, description
        For the exported checkpoint.
    steps
        Optimiser steps of the schedule.
    max_minutes
        Wall-clock limit; the schedule then follows the clock where that is faster.
    batch_size, seed
        As usual.
    max_extra_clicks
        A sample stays 1 to ``1 + max_extra_clicks`` steps; its own output becomes the
        previous mask and gives the next click.
    epsilon2_start, epsilon2_share
        ``epsilon^2`` falls geometrically from its start to the published 1e-2 within
        this share of the run. Features of an early network are nearly parallel and
        ``K_nn`` nearly singular; a large start lets the prior learn first.
    auxiliary
        Weight of the loss on the coarse guess of a network that makes one
        (`hrnet18s`; published for RITM: 0.4).
    checkpoint_minutes
        Time between checkpoints.
    workers
        Data loading processes.
    frozen_statistics
        Whether batch norm keeps the mean and variance it starts with, as suits few
        images and tiny batches.
    """

    network: str
    data: tuple[FolderConfig, ...]
    options: dict[str, Any] = field(default_factory=dict)
    name: str = "my-model"
    licence: str = ""
    training_data: str = ""
    description: str = ""
    steps: int = 10000
    max_minutes: float | None = None
    batch_size: int = 8
    seed: int = 0
    max_extra_clicks: int = 2
    epsilon2_start: float = 1e-2
    epsilon2_share: float = 0.5
    auxiliary: float = 0.4
    checkpoint_minutes: float = 5.0
    workers: int = 1
    frozen_statistics: bool = False
    optimiser: OptimiserConfig = field(default_factory=OptimiserConfig)
    augment: AugmentOptions = field(default_factory=AugmentOptions)
    clicks: ClickOptions = field(default_factory=ClickOptions)


def load_config(path: str | Path, overrides: dict[str, Any] | None = None) -> FitConfig:
    """Read and check a YAML configuration.

    Parameters
    ----------
    path
        The file.
    overrides
        Top-level entries that replace those of the file.

    Raises
    ------
    InputError
        If the file is missing, no mapping, or has an unknown or ill-typed entry.
    """
    path = Path(path).expanduser()
    if not path.is_file():
        msg = f"configuration: no file {str(path)!r}"
        raise InputError(msg)
    try:
        content = yaml.safe_load(path.read_text(encoding="utf-8"))
    except yaml.YAMLError as error:
        msg = f"configuration {path.name}: not valid YAML: {error}"
        raise InputError(msg) from error
    if not isinstance(content, dict):
        msg = f"configuration {path.name}: expected a mapping at the top"
        raise InputError(msg)
    config: FitConfig = _build(FitConfig, {**content, **(overrides or {})}, path.name)
    return config


def _build(kind: Any, content: Any, where: str) -> Any:
    """Turn a mapping into a dataclass, naming what does not fit."""
    if not isinstance(content, dict):
        msg = f"{where}: expected a mapping, got {content!r}"
        raise InputError(msg)
    known = {entry.name for entry in fields(kind)}
    unknown = sorted(set(content) - known)
    if unknown:
        msg = f"{where}: unknown entries {unknown}; known: {sorted(known)}"
        raise InputError(msg)
    hints = get_type_hints(kind)
    values = {
        key: _convert(hints[key], value, f"{where}: {key}")
        for key, value in content.items()
    }
    try:
        return kind(**values)
    except TypeError as error:
        msg = f"{where}: {error}"
        raise InputError(msg) from error


def _convert(hint: Any, value: Any, where: str) -> Any:
    if is_dataclass(hint):
        return _build(hint, value, where)
    if hint == tuple[FolderConfig, ...]:
        return tuple(_build(FolderConfig, entry, where) for entry in value)
    if isinstance(value, list):
        return tuple(value)
    if hint in (float, float | None) and isinstance(value, int | str):
        try:
            return float(value)
        except ValueError as error:
            msg = f"{where} must be a number, got {value!r}"
            raise InputError(msg) from error
    if hint in (int, str, bool) and not isinstance(value, hint):
        msg = f"{where} must be of type {hint.__name__}, got {value!r}"
        raise InputError(msg)
    return value
