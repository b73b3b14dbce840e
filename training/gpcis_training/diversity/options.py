"""Configuration of a training of latent diversity, and the ablations of the paper."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from gpcis_training.config import FolderConfig, build, read_mapping
from gpcis_training.diversity.clicks import TrainingClicks
from gpcis_training.diversity.losses import LossOptions
from gpcis_training.diversity.network import DILATIONS, MASKS
from napari_gpcis.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Iterable

ABLATIONS = {
    "no_features": ("features=false",),
    "cross_entropy": ("loss.measure=cross_entropy",),
    "l1": ("loss.measure=l1",),
    "no_diversity": ("masks=1",),
    "no_distances": ("distances=false",),
    "no_clicks": ("click_maps=false",),
    "no_constraints": ("loss.constraints=none",),
    "ranked": ("loss.ranked=0.01", "selector=false"),
}
"""Rows of the paper's Table 4: what each changes in the configuration."""


@dataclass(frozen=True)
class DiversityConfig:
    """A training of both networks, one after the other, image by image.

    Parameters
    ----------
    data
        The sets. Every label of at least 80 pixels is an object.
    name, licence, training_data, description
        For the file that comes out.
    masks
        Number of masks M. With one there is nothing to select.
    features, distances, click_maps
        Parts of the input, see :class:`.Proposals`.
    output
        Last step of the proposals, see :class:`.Proposals`.
    selector
        Train the selector; otherwise the first mask is shown.
    dilations
        One a layer, in both networks.
    epochs
        Passes of each network over all objects.
    steps, selector_steps
        Number of objects seen by the proposals and the selector, instead of `epochs`.
    lr
        Learning rate of Adam.
    side
        Images are made smaller so that their longer side is at most so many pixels;
        ``None``: they stay as they are, as published.
    seed
        Of all randomness.
    checkpoint_minutes
        Time between states on disk.
    loss, clicks
        Laws of the loss and of the clicks.
    """

    data: tuple[FolderConfig, ...]
    name: str = "latent-diversity"
    licence: str = ""
    training_data: str = ""
    description: str = ""
    masks: int = MASKS
    features: bool = True
    distances: bool = True
    click_maps: bool = True
    output: str = "sigmoid"
    selector: bool = True
    dilations: tuple[int, ...] = DILATIONS
    epochs: float = 100.0
    steps: int | None = None
    selector_steps: int | None = None
    lr: float = 1e-4
    side: int | None = None
    seed: int = 0
    checkpoint_minutes: float = 5.0
    loss: LossOptions = field(default_factory=LossOptions)
    clicks: TrainingClicks = field(default_factory=TrainingClicks)

    def __post_init__(self) -> None:
        """Check options that would fail only in the middle of a run."""
        numbers: dict[str, Any] = {
            "masks": self.masks,
            "steps": self.steps,
            "selector_steps": self.selector_steps,
            "side": self.side,
        }
        for name, value in numbers.items():
            if value is not None and (not isinstance(value, int) or value < 1):
                msg = f"{name} must be a whole number from 1, got {value!r}"
                raise InputError(msg)
        if not self.data:
            msg = "data must name a set, got none"
            raise InputError(msg)
        if not self.dilations or min(self.dilations) < 1:
            msg = f"dilations must be numbers from 1, got {self.dilations}"
            raise InputError(msg)
        if not (self.lr > 0 and self.epochs > 0):
            msg = f"lr and epochs must be above 0, got {self.lr} and {self.epochs}"
            raise InputError(msg)

    @property
    def selects(self) -> bool:
        """``True`` if a selector chooses among several masks."""
        return self.selector and self.masks > 1

    def count_steps(self, objects: int) -> tuple[int, int]:
        """Return the steps of proposals and selector for a number of objects."""
        epochs = max(round(self.epochs * objects), 1)
        first = epochs if self.steps is None else self.steps
        second = epochs if self.selector_steps is None else self.selector_steps
        return first, second if self.selects else 0


def load_diversity_config(
    path: str | Path, assignments: Iterable[str] = (), ablation: str | None = None
) -> DiversityConfig:
    """Read and check a YAML configuration.

    Parameters
    ----------
    path
        The file.
    assignments
        Single entries, as ``loss.measure=l1``.
    ablation
        One of `ABLATIONS`.

    Raises
    ------
    InputError
        If the file is missing, or an entry is unknown or ill-typed.
    """
    if ablation is not None and ablation not in ABLATIONS:
        known = ", ".join(ABLATIONS)
        msg = f"ablation must be one of {known}, got {ablation!r}"
        raise InputError(msg)
    changes = () if ablation is None else ABLATIONS[ablation]
    path = Path(path).expanduser()
    entries = read_mapping(path, assignments=[*changes, *assignments])
    config: DiversityConfig = build(DiversityConfig, entries, path.name)
    return config
