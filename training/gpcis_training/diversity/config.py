"""Configuration of a training run of the published system, read from YAML."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from gpcis_training.config import FolderConfig, build, read_mapping
from gpcis_training.data.folders import MIN_OBJECT
from gpcis_training.diversity.clicks import SamplingOptions
from gpcis_training.diversity.losses import RANKS_PAPER, LossOptions
from gpcis_training.diversity.network import Design
from napari_gpcis.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Iterable

ABLATIONS: dict[str, tuple[str, ...]] = {
    "no_vgg": ("design.vgg=false",),
    "cross_entropy": ("loss.distance=cross_entropy",),
    "l1": ("loss.distance=l1",),
    "no_diversity": ("design.masks=1", "selector=false"),
    "no_distances": ("design.distances=false",),
    "no_clicks": ("design.clicks=false",),
    "no_constraints": ("loss.constraint=none",),
    "ranked": (f"loss.ranks={RANKS_PAPER}", "selector=false"),
}
"""Rows of the published Table 4: name -> entries of the configuration."""


@dataclass(frozen=True)
class DiversityConfig:
    """A training run: the network that proposes, then the one that selects.

    Parameters
    ----------
    data
        The sets; weights and merged objects are not used: each epoch visits each
        object.
    name
        Of the model.
    design
        Inputs and outputs.
    loss
        Of the network that proposes.
    clicks
        Law of the clicks.
    selector
        Whether a network selects. Otherwise the first mask is shown.
    size
        Images are reduced to this longer side, pixels; 0: never.
    min_object
        Smallest object, pixels of the reduced image.
    epochs
        Passes over all objects for each network (published: 100).
    steps, selector_steps
        Steps of each network instead of `epochs`.
    lr
        Learning rate of Adam.
    seed
        Of all randomness.
    checkpoint_minutes
        Time between states on disk.
    """

    data: tuple[FolderConfig, ...]
    name: str = "my-diversity"
    design: Design = field(default_factory=Design)
    loss: LossOptions = field(default_factory=LossOptions)
    clicks: SamplingOptions = field(default_factory=SamplingOptions)
    selector: bool = True
    size: int = 0
    min_object: int = MIN_OBJECT
    epochs: float = 100.0
    steps: int | None = None
    selector_steps: int | None = None
    lr: float = 1e-4
    seed: int = 0
    checkpoint_minutes: float = 5.0

    def __post_init__(self) -> None:
        """Check what would fail only in the middle of a run."""
        if not self.data:
            msg = "data must name at least one set, got none"
            raise InputError(msg)
        if self.selector and self.design.masks == 1:
            msg = "selector must be false where design.masks is 1"
            raise InputError(msg)
        for name in ("steps", "selector_steps"):
            value = getattr(self, name)
            if value is not None and (not isinstance(value, int) or value < 1):
                msg = f"{name} must be a whole number from 1, got {value!r}"
                raise InputError(msg)
        if self.size < 0 or self.min_object < 1 or self.lr <= 0 or self.epochs <= 0:
            msg = (
                "size must be from 0, min_object from 1, lr and epochs above 0, got "
                f"{self.size}, {self.min_object}, {self.lr} and {self.epochs}"
            )
            raise InputError(msg)

    def recipe(self) -> dict[str, Any]:
        """Return the entries but those of the data, as plain values."""
        return {key: value for key, value in asdict(self).items() if key != "data"}

    @property
    def ablation(self) -> str:
        """Name of the row of Table 4 that this run is; empty for none."""
        found = [
            name
            for name, holds in (
                ("no_vgg", not self.design.vgg),
                ("cross_entropy", self.loss.distance == "cross_entropy"),
                ("l1", self.loss.distance == "l1"),
                ("no_diversity", self.design.masks == 1),
                ("no_distances", not self.design.distances),
                ("no_clicks", not self.design.clicks),
                ("no_constraints", self.loss.constraint == "none"),
                ("ranked", self.design.masks > 1 and not self.selector),
            )
            if holds
        ]
        return " + ".join(found)


def load_diversity_config(
    path: str | Path, assignments: Iterable[str] = (), ablation: str | None = None
) -> DiversityConfig:
    """Read and check a YAML configuration.

    Parameters
    ----------
    path
        The file.
    assignments
        Single entries, as ``loss.ranks=0.01``.
    ablation
        Name of a row of :data:`ABLATIONS`.

    Raises
    ------
    InputError
        If the file is missing or has an unknown or ill-typed entry.
    """
    entries = [*(ABLATIONS[ablation] if ablation else ()), *assignments]
    file = Path(path).expanduser()
    content = read_mapping(file, assignments=entries)
    config: DiversityConfig = build(DiversityConfig, content, file.name)
    return config
