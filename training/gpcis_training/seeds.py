"""Random streams of a training run, one for each use of random numbers."""

from __future__ import annotations

from enum import IntEnum

import numpy as np


class Stream(IntEnum):
    """Uses of random numbers. Each has its own stream.

    The values decide the numbers: changing one changes every run.
    """

    DURATION = 1
    CLICK = 2
    NOISE = 3
    PASSES = 4
    WEIGHT = 5
    LAYERS = 6
    ORDER = 7
    CROP = 8
    CLICK_SETS = 9
    PERMUTATION = 10
    SCENE = 11


def generator(seed: int, stream: Stream, *numbers: int) -> np.random.Generator:
    """Return the generator of one stream, the same whenever it is asked for."""
    return np.random.default_rng((seed, int(stream), *numbers))
