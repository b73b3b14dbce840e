"""Configuration of a training run of superpixels, read from YAML."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from gpcis_training.config import FolderConfig, build, read_mapping
from gpcis_training.superpixels.crops import AUXILIARIES, CropOptions
from napari_gpcis.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Iterable

SCHEDULES = ("poly", "cosine")
TARGETS = ("labels", "colour")
VARIANTS = {
    "full": (),
    "no-auxiliary": ("auxiliary=none",),
    "no-gate": ("gate=false",),
    "no-alignment": ("losses.alignment=0",),
    "no-information": ("losses.information=0",),
}
"""Variants of an ablation, and the entries that each changes."""


@dataclass(frozen=True)
class LossConfig:
    """Weights of the losses; 0 leaves one out.

    Parameters
    ----------
    target
        ``"labels"``: superpixels rebuild the regions of the annotators. ``"colour"``:
        they rebuild the colours of the image; no labels are needed.
    compactness
        Weight of positions: 0.003 for labels (published), in the units of SLIC for
        colour.
    pure
        Weight of the cross-entropy in cells of one label, 1 in others; 1 as published
        for CDS, 0.1 for the Laplacian loss.
    laplacian
        Weight of the Laplacian loss (published: 360).
    embedding
        Weight of the hinge on distances between embeddings (published: 1e-3).
    alignment, information
        Weights of the local-grid alignment and of the mutual information, for runs
        with an auxiliary modality (published: 1).
    """

    target: str = "labels"
    compactness: float = 0.003
    pure: float = 1.0
    laplacian: float = 0.0
    embedding: float = 0.0
    alignment: float = 1.0
    information: float = 1.0

    def __post_init__(self) -> None:
        """Check the target."""
        _one_of("target", self.target, TARGETS)


@dataclass(frozen=True)
class SuperpixelConfig:
    """A training run of superpixels.

    Parameters
    ----------
    data
        The sets.
    name, licence, training_data, description
        For the exported checkpoint.
    width, content, gate, strict_reference, own_statistics
        Of the network, see `napari_gpcis.superpixels.cds.CDS`.
    auxiliary
        The auxiliary modality, or ``"none"``.
    auxiliary_every
        Only each such step has the auxiliary modality (published: 1). It doubles the
        time of a step.
    losses
        Their weights.
    crops
        Crops of the images.
    steps
        Optimiser steps of the schedule (published: 150 000).
    max_minutes
        Wall-clock limit; the schedule then follows the clock where that is faster.
    batch_size
        Crops of a step (published: 8). The mutual information needs two.
    lr
        Peak learning rate (published: 5e-4).
    estimator_lr
        Learning rate of the estimator of mutual information (published: 5e-4).
    weight_decay
        Of weights, biases have none (published: 4e-4).
    schedule
        ``"poly"``: ``(1 - t)^0.9`` (published), or half a ``"cosine"``.
    decay_biases_only
        As the published code: only the learning rate of biases (those of batch norm
        as well) decays, weights keep theirs.
    warmup
        Share of the run in which the rate rises (published: 0).
    clip
        Largest norm of the gradient; 0 for no limit (published).
    average
        Decay of an exponential average of the weights, which is then exported; 0 for
        none (published).
    seed
        Of all randomness.
    checkpoint_minutes
        Time between checkpoints.
    """

    data: tuple[FolderConfig, ...]
    name: str = "my-superpixels"
    licence: str = ""
    training_data: str = ""
    description: str = ""
    width: int = 64
    content: int = 32
    gate: bool = True
    strict_reference: bool = False
    own_statistics: bool = False
    auxiliary: str = "sobel_sum"
    auxiliary_every: int = 1
    losses: LossConfig = field(default_factory=LossConfig)
    crops: CropOptions = field(default_factory=CropOptions)
    steps: int = 150_000
    max_minutes: float | None = None
    batch_size: int = 8
    lr: float = 5e-4
    estimator_lr: float = 5e-4
    weight_decay: float = 4e-4
    schedule: str = "poly"
    decay_biases_only: bool = False
    warmup: float = 0.0
    clip: float = 0.0
    average: float = 0.0
    seed: int = 0
    checkpoint_minutes: float = 5.0

    def __post_init__(self) -> None:
        """Check options that would fail only in the middle of a run."""
        _one_of("auxiliary", self.auxiliary, AUXILIARIES)
        _one_of("schedule", self.schedule, SCHEDULES)
        for name in ("auxiliary_every", "batch_size", "steps", "width", "content"):
            if getattr(self, name) < 1:
                msg = f"{name} must be at least 1, got {getattr(self, name)}"
                raise InputError(msg)
        if not 0 <= self.average < 1:
            msg = f"average must be at least 0 and below 1, got {self.average}"
            raise InputError(msg)


def load_superpixel_config(
    path: str | Path, assignments: Iterable[str] = ()
) -> SuperpixelConfig:
    """Read and check a YAML configuration.

    Parameters
    ----------
    path
        The file.
    assignments
        Single entries, as ``losses.laplacian=360``.

    Raises
    ------
    InputError
        If the file is missing, no mapping, or has an unknown or ill-typed entry.
    """
    path = Path(path).expanduser()
    content = read_mapping(path, assignments=assignments)
    config: SuperpixelConfig = build(SuperpixelConfig, content, path.name)
    return config


def _one_of(name: str, value: str, known: tuple[str, ...]) -> None:
    """Raise `InputError` unless a value is one of those known."""
    if value not in known:
        msg = f"{name} must be one of {', '.join(known)}, got {value!r}"
        raise InputError(msg)
