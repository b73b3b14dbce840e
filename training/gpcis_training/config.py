"""Configuration of a training run, read from YAML."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, field, fields, is_dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, get_args, get_origin, get_type_hints

import yaml

from gpcis_training.data.augment import AugmentOptions
from gpcis_training.data.click_simulation import ClickOptions
from gpcis_training.data.folders import FORMS, DataFolder
from napari_gpcis.checkpoints import InferenceSettings
from napari_gpcis.errors import InputError
from napari_gpcis.files import replacing

if TYPE_CHECKING:
    from collections.abc import Iterable

_FOLDER_OPTIONS = (
    "weight",
    "union",
    "merge",
    "form",
    "split",
    "min_fill",
    "never_alone",
)


@dataclass(frozen=True)
class FolderConfig:
    """One data set.

    Parameters
    ----------
    path
        Relative to the data root given when running.
    weight, union, merge, form, split, min_fill, never_alone
        See :class:`gpcis_training.data.DataFolder`.
    """

    path: str
    weight: float = 1.0
    union: float = 0.0
    merge: float = 0.15
    form: str = "folder"
    split: str = "train"
    min_fill: float = 0.0
    never_alone: tuple[int, ...] = ()

    def __post_init__(self) -> None:
        """Check the form."""
        _one_of("form", self.form, FORMS)

    def open(self, root: Path) -> DataFolder:
        """List the files of the set below ``root``."""
        options = {name: getattr(self, name) for name in _FOLDER_OPTIONS}
        return DataFolder(root / self.path, **options)


@dataclass(frozen=True)
class OptimiserConfig:
    """Adam with a warm-up, then a cosine or a staircase.

    Parameters
    ----------
    lr
        Peak learning rate.
    encoder_lr
        Factor on the pre-trained encoder (published: 0.1 on the whole DeepLab).
    encoder
        Beginnings of the names of the parameters that learn at the encoder's rate; by
        default those that suit the network.
    warmup
        Share of the run.
    clip
        Largest norm of the gradient; 0 for no limit.
    schedule
        ``"cosine"``: half a cosine down to 0. ``"steps"``: the rate is multiplied by
        ``decay`` at each of the milestones.
    milestones
        In epochs if the run is measured in them, otherwise in steps.
    decay
        See ``schedule``.
    """

    lr: float = 3e-3
    encoder_lr: float = 0.12
    encoder: tuple[str, ...] = ()
    warmup: float = 0.03
    clip: float = 5.0
    schedule: str = "cosine"
    milestones: tuple[float, ...] = ()
    decay: float = 0.1

    def __post_init__(self) -> None:
        """Check the schedule."""
        _one_of("schedule", self.schedule, ("cosine", "steps"))


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
    epochs
        Length of the schedule in passes over the images of all sets, instead of
        ``steps``: so many times the number of images, divided by the batch (rounded
        down, as incomplete batches are dropped).
    max_minutes
        Wall-clock limit; the schedule then follows the clock where that is faster.
    batch_size
        Samples of a step on each device.
    seed
        Of all randomness.
    iteration
        Simulation of earlier clicks. ``"carry"``: a sample keeps its slot for 1 to
        ``1 + max_extra_clicks`` steps; its own output becomes the previous mask and
        gives the next click. ``"passes"``, as published: 0 to ``max_extra_clicks``
        passes without gradients before each step, as many for the whole batch.
        ``"unroll"``: a sample is encoded once and answered ``unrolled_clicks`` times
        in one step, each time with a click on the largest error of the answer before
        and that as previous mask; all answers are learned from. For networks that
        encode an image without clicks.
    max_extra_clicks
        See ``iteration``.
    unrolled_clicks
        See ``iteration``.
    click_weights
        Weight of the loss of each unrolled click, by default 1. Their mean counts as
        1.
    late_clicks, late_samples
        After the unrolled clicks, so many samples of a batch, those with the least
        IoU, get so many clicks more. An answer to one of them counts as much in the
        loss as one to an unrolled click does on average.
    early_size
        Side in network pixels of the frame in which the unrolled clicks are made,
        smaller than ``augment.size``, in which the late ones are: for a model that is
        run with ``fine_size``. The samples are encoded at both sizes. 0 for one size.
    quality
        Weight of the loss of the predicted IoU, for networks that predict it.
    average
        Decay of an exponential average of the weights, such as 0.998: the exported
        weights are then the average. 0 for none.
    in_order
        Draw each image once per pass (published), instead of any at any time. For
        one data set.
    variational
        Weight of the variational term, which has the published factor 1e-3 already;
        0 leaves it out (variant a of the paper's Table 4).
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
    sync_statistics
        Whether batch norm takes mean and variance over the batches of all devices
        (GPUs only); each device has its own otherwise, as published.
    zero_start
        Parameters that start from 0, by the beginnings of their names, as
        ``linear.``: a classifier that is to replace another on trained features.
    inference
        Settings of the exported checkpoint, see
        :class:`napari_gpcis.checkpoints.InferenceSettings`.
    """

    network: str
    data: tuple[FolderConfig, ...]
    options: dict[str, Any] = field(default_factory=dict)
    name: str = "my-model"
    licence: str = ""
    training_data: str = ""
    description: str = ""
    steps: int = 10000
    epochs: float | None = None
    max_minutes: float | None = None
    batch_size: int = 8
    seed: int = 0
    iteration: str = "carry"
    max_extra_clicks: int = 2
    unrolled_clicks: int = 4
    click_weights: tuple[float, ...] = ()
    late_clicks: int = 0
    late_samples: int = 1
    early_size: int = 0
    quality: float = 0.1
    average: float = 0.0
    in_order: bool = False
    variational: float = 1.0
    epsilon2_start: float = 1e-2
    epsilon2_share: float = 0.5
    auxiliary: float = 0.4
    checkpoint_minutes: float = 5.0
    workers: int = 1
    frozen_statistics: bool = False
    sync_statistics: bool = False
    zero_start: tuple[str, ...] = ()
    inference: dict[str, Any] = field(default_factory=dict)
    optimiser: OptimiserConfig = field(default_factory=OptimiserConfig)
    augment: AugmentOptions = field(default_factory=AugmentOptions)
    clicks: ClickOptions = field(default_factory=ClickOptions)

    def __post_init__(self) -> None:
        """Check options that would fail only in the middle of a run."""
        _one_of("iteration", self.iteration, ("carry", "passes", "unroll"))
        self._check_unrolling()
        if self.in_order and len(self.data) != 1:
            msg = f"in_order needs one data set, got {len(self.data)}"
            raise InputError(msg)
        if self.frozen_statistics and self.sync_statistics:
            msg = "frozen_statistics and sync_statistics exclude each other"
            raise InputError(msg)
        if self.variational < 0:
            msg = f"variational must be a number from 0, got {self.variational}"
            raise InputError(msg)
        self.settings()

    def _check_unrolling(self) -> None:
        """Raise `InputError` unless each unrolled click has its weight."""
        if self.unrolled_clicks < 1:
            msg = f"unrolled_clicks must be at least 1, got {self.unrolled_clicks}"
            raise InputError(msg)
        weights = self.click_weights
        if weights and len(weights) != self.unrolled_clicks:
            msg = (
                f"click_weights must have {self.unrolled_clicks} numbers, as "
                f"unrolled_clicks says, got {len(weights)}"
            )
            raise InputError(msg)
        if weights and not (min(weights) >= 0 and sum(weights) > 0):
            msg = f"click_weights must be from 0 and not all 0, got {weights}"
            raise InputError(msg)
        if self.late_clicks < 0:
            msg = f"late_clicks must be at least 0, got {self.late_clicks}"
            raise InputError(msg)
        if not 1 <= self.late_samples <= self.batch_size:
            msg = (
                f"late_samples must be from 1 to batch_size ({self.batch_size}), "
                f"got {self.late_samples}"
            )
            raise InputError(msg)
        if self.early_size and not 32 <= self.early_size <= self.augment.size:
            msg = (
                f"early_size must be 0, or from 32 to augment.size "
                f"({self.augment.size}), got {self.early_size}"
            )
            raise InputError(msg)
        if not 0 <= self.average < 1:
            msg = f"average must be at least 0 and below 1, got {self.average}"
            raise InputError(msg)

    def settings(self) -> InferenceSettings:
        """Return the inference settings of the exported checkpoint.

        By default at the size that first clicks are trained with.
        """
        size = self.early_size or self.augment.size
        try:
            return InferenceSettings(**{"infer_size": size, **self.inference})
        except TypeError as error:
            msg = f"inference: {error}"
            raise InputError(msg) from error

    def count_steps(self, images: int, places: int) -> int:
        """Return the steps of the schedule.

        Parameters
        ----------
        images
            Number of images of all sets.
        places
            Samples of a step on all devices together.
        """
        if self.epochs is None:
            return self.steps
        return max(round(self.epochs * max(images // places, 1)), 1)


def load_config(
    path: str | Path,
    overrides: dict[str, Any] | None = None,
    assignments: Iterable[str] = (),
) -> FitConfig:
    """Read and check a YAML configuration.

    Parameters
    ----------
    path
        The file.
    overrides
        Top-level entries that replace those of the file.
    assignments
        Single entries, as ``optimiser.lr=1e-3`` or ``options.head=linear``.

    Raises
    ------
    InputError
        If the file is missing, no mapping, or has an unknown or ill-typed entry.
    """
    content = read_mapping(Path(path).expanduser(), overrides, assignments)
    config: FitConfig = build(FitConfig, content, Path(path).name)
    return config


def read_mapping(
    path: Path,
    overrides: dict[str, Any] | None = None,
    assignments: Iterable[str] = (),
) -> dict[str, Any]:
    """Return the mapping of a YAML file, with the entries that replace others.

    Raises
    ------
    InputError
        If the file is missing or no mapping, or an assignment is none.
    """
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
    content = {**content, **(overrides or {})}
    for assignment in assignments:
        set_entry(content, assignment)
    return content


def save_config(path: Path, config: Any) -> None:
    """Write a configuration as YAML that :func:`load_config` reads.

    Raises
    ------
    OSError
        If the disk refuses.
    """
    content = json.loads(json.dumps(asdict(config)))  # tuples become lists
    with replacing(path) as draft:
        draft.write_text(yaml.safe_dump(content, sort_keys=False), encoding="utf-8")


def build(kind: Any, content: Any, where: str) -> Any:
    """Turn a mapping into a dataclass.

    Parameters
    ----------
    kind
        The dataclass; its fields may be dataclasses, or tuples of one.
    content
        The mapping.
    where
        Its name in errors.

    Raises
    ------
    InputError
        If an entry is unknown, missing or ill-typed.
    """
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


def set_entry(content: dict[str, Any], assignment: str) -> None:
    """Change one entry of a mapping, in place.

    Parameters
    ----------
    content
        The mapping.
    assignment
        ``KEY=VALUE``; dots lead into mappings (``optimiser.lr=1e-3``), the value is
        YAML (``data=[{path: cells}]``).

    Raises
    ------
    InputError
        If it is no assignment, or a dot leads into something else than a mapping.
    """
    key, sign, text = assignment.partition("=")
    *path, last = key.split(".")
    if not sign or not last:
        msg = f"set must be KEY=VALUE, got {assignment!r}"
        raise InputError(msg)
    try:
        value = yaml.safe_load(text)
    except yaml.YAMLError as error:
        msg = f"set: the value of {key} is not valid YAML: {error}"
        raise InputError(msg) from error
    for name in path:
        content = content.setdefault(name, {})
        if not isinstance(content, dict):
            msg = f"set: {name} in {key!r} is no mapping"
            raise InputError(msg)
    content[last] = value


def _convert(hint: Any, value: Any, where: str) -> Any:
    if is_dataclass(hint):
        return build(hint, value, where)
    if get_origin(hint) is tuple and is_dataclass(get_args(hint)[0]):
        return tuple(build(get_args(hint)[0], entry, where) for entry in value)
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


def _one_of(name: str, value: str, known: tuple[str, ...]) -> None:
    """Raise `InputError` unless a value is one of those known."""
    if value not in known:
        msg = f"{name} must be one of {', '.join(known)}, got {value!r}"
        raise InputError(msg)
