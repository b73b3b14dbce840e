"""Random numbers of a run: one sequence for each use."""

from __future__ import annotations

from enum import IntEnum

import numpy as np


class Purpose(IntEnum):
    """What random numbers are for; each use has its own sequence."""

    STAY = 1
    CLICK = 2
    NOISE = 3
    PASSES = 4
    WEIGHT = 5
    LAYERS = 6
    ORDER = 7


def generator(seed: int, purpose: Purpose, *numbers: int) -> np.random.Generator:
    """Return the random numbers for one use, the same whenever they are asked for."""
    return np.random.default_rng((seed, int(purpose), *numbers))
