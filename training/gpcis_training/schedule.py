"""What changes in the course of a run: learning rate and noise."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from napari_gpcis.model.gpcis import TRAINING_EPSILON2

if TYPE_CHECKING:
    from gpcis_training.config import FitConfig, OptimiserConfig

_ROUNDING = 1e-6


def progress(config: FitConfig, step: int, minutes: float) -> float:
    """Return the finished share of the schedule, by steps or by the clock."""
    share = step / config.steps
    if config.max_minutes:
        share = max(share, minutes / config.max_minutes)
    return min(share, 1.0)


def rate_factor(config: FitConfig, share: float) -> float:
    """Return the factor on the learning rate after a share of the run.

    A linear warm-up, times half a cosine down to 0 or a staircase.
    """
    optimiser = config.optimiser
    warm = min(1.0, (share + 1e-4) / max(optimiser.warmup, 1e-4))
    if optimiser.schedule == "cosine":
        return warm * 0.5 * (1 + math.cos(math.pi * share))
    return warm * _staircase(optimiser, share * (config.epochs or config.steps))


def _staircase(optimiser: OptimiserConfig, position: float) -> float:
    """Return ``decay`` to the power of the milestones passed."""
    passed = sum(position + _ROUNDING >= stone for stone in optimiser.milestones)
    return float(optimiser.decay**passed)


def noise(config: FitConfig, share: float) -> float:
    """Return ``epsilon^2``: from the start down to the published one, geometrically."""
    start, until = config.epsilon2_start, config.epsilon2_share
    left = max(0.0, 1 - share / until) if until > 0 else 0.0
    return float(TRAINING_EPSILON2 * (start / TRAINING_EPSILON2) ** left)
