"""Configuration of a training run of learned alternatives, read from YAML."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from gpcis_training.alternatives.losses import LossOptions
from gpcis_training.config import FolderConfig, OptimiserConfig, build, read_mapping
from gpcis_training.data.augment import AugmentOptions
from napari_gpcis.errors import InputError
from napari_gpcis.model.proposal_head import DEFAULT_KINDS, KINDS

if TYPE_CHECKING:
    from collections.abc import Iterable


@dataclass(frozen=True)
class DrawOptions:
    """Laws of scenes and clicks.

    Parameters
    ----------
    scenes
        Scenes in a block. They are encoded once and visited several times, each time
        with other clicks; then the next block is drawn.
    visits
        Times that each scene of a block is visited.
    centre
        Share of clicks in the deeper half of an object; the others fall anywhere
        inside, as hurried users click.
    objects
        Most objects that one click may mean.
    more_clicks
        Share of steps whose samples get a second click, on an error of the mask.
    """

    scenes: int = 64
    visits: int = 4
    centre: float = 0.3
    objects: int = 6
    more_clicks: float = 0.3

    def __post_init__(self) -> None:
        """Check the ranges."""
        if min(self.scenes, self.visits, self.objects) < 1:
            msg = (
                "scenes, visits and objects must be from 1, got "
                f"{self.scenes}, {self.visits} and {self.objects}"
            )
            raise InputError(msg)
        if not (0 <= self.centre <= 1 and 0 <= self.more_clicks <= 1):
            msg = (
                "centre and more_clicks must be from 0 to 1, got "
                f"{self.centre} and {self.more_clicks}"
            )
            raise InputError(msg)


@dataclass(frozen=True)
class AlternativesConfig:
    """A training run of learned alternatives.

    Parameters
    ----------
    data
        The sets. ``union``: probability of all labelled objects together as what is
        meant (the person, the cell); ``merge``: of an object with the one that
        touches it most. Several annotations of an image are all used.
    licence, training_data
        For the file.
    kinds
        Of the proposals, in their order; ``(any, any)`` and ``loss.mean=0`` are three
        masks with a plain minimum.
    width, fine_width, dilations
        See :class:`napari_gpcis.model.ProposalHead`.
    steps
        Optimiser steps.
    batch_size
        Samples of a step.
    max_minutes
        Wall-clock limit; the schedule then follows the clock where that is faster.
    average
        Decay of an exponential average of the weights; 0 for none.
    seed
        Of all randomness.
    checkpoint_minutes
        Time between states on disk.
    draw, loss, optimiser, augment
        Their options; ``optimiser.encoder_lr`` is not used.
    """

    data: tuple[FolderConfig, ...]
    licence: str = ""
    training_data: str = ""
    kinds: tuple[str, ...] = DEFAULT_KINDS
    width: int = 96
    fine_width: int = 32
    dilations: tuple[int, ...] = (1, 2, 2, 1)
    steps: int = 6000
    batch_size: int = 8
    max_minutes: float | None = None
    average: float = 0.99
    seed: int = 0
    checkpoint_minutes: float = 3.0
    draw: DrawOptions = field(default_factory=DrawOptions)
    loss: LossOptions = field(default_factory=LossOptions)
    optimiser: OptimiserConfig = field(default_factory=OptimiserConfig)
    augment: AugmentOptions = field(default_factory=AugmentOptions)

    def __post_init__(self) -> None:
        """Check what would fail only in the middle of a run."""
        if not self.data:
            msg = "data must name at least one set, got none"
            raise InputError(msg)
        if not self.kinds or not set(self.kinds) <= set(KINDS):
            msg = f"kinds must be at least one of {', '.join(KINDS)}, got {self.kinds}"
            raise InputError(msg)
        if min(self.steps, self.batch_size, self.width, self.fine_width) < 1:
            msg = (
                "steps, batch_size, width and fine_width must be from 1, got "
                f"{self.steps}, {self.batch_size}, {self.width} and {self.fine_width}"
            )
            raise InputError(msg)
        if not 0 <= self.average < 1:
            msg = f"average must be at least 0 and below 1, got {self.average}"
            raise InputError(msg)

    def recipe(self) -> dict[str, Any]:
        """Return the entries but texts, as plain values."""
        texts = ("licence", "training_data")
        return {key: value for key, value in asdict(self).items() if key not in texts}


def load_alternatives_config(
    path: str | Path, assignments: Iterable[str] = ()
) -> AlternativesConfig:
    """Read and check a YAML configuration.

    Parameters
    ----------
    path
        The file.
    assignments
        Single entries, as ``loss.mean=0``.

    Raises
    ------
    InputError
        If the file is missing or has an unknown or ill-typed entry.
    """
    file = Path(path).expanduser()
    content = read_mapping(file, assignments=assignments)
    config: AlternativesConfig = build(AlternativesConfig, content, file.name)
    return config
