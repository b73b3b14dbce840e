"""Which sample stands in which place of the batch, step after step.

A batch has places. A sample stays in its place for some steps, then the next one of the
stream takes it. How long it stays depends on the seed and its number alone, never on
what the network says, and so does every random number of a sample. The whole run is
thus a function of its seed: it can be stopped and resumed, and divided among any number
of processes, each of which has some of the places, with the same samples in every step.
"""

from __future__ import annotations

from enum import IntEnum
from typing import TYPE_CHECKING

import numpy as np
from torch.utils.data import Sampler

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence


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


class Roster:
    """The samples that stand in the places of a batch.

    Parameters
    ----------
    seed
        Of the run.
    places
        Number of places, those of all processes together.
    max_extra
        A sample stays 1 to ``1 + max_extra`` steps.
    drawn
        Samples that were drawn before: the number of the next one.
    standing
        Number and turn of samples that stand already, of the first places; the
        others are filled with new samples.

    Attributes
    ----------
    indices, turns : list of int
        For each place the number of its sample, and the steps it stood there before.
    drawn : int
        Samples drawn so far.
    """

    def __init__(
        self,
        seed: int,
        places: int,
        max_extra: int,
        drawn: int = 0,
        standing: Sequence[tuple[int, int]] = (),
    ) -> None:
        self.seed = seed
        self.drawn = drawn
        self._max_extra = max_extra
        kept = standing[:places]
        self.indices = [index for index, _ in kept]
        self.turns = [turn for _, turn in kept]
        for _ in range(places - len(kept)):
            self.indices.append(self._next())
            self.turns.append(0)

    def copy(self) -> Roster:
        """Return a roster that goes on alone."""
        standing = list(zip(self.indices, self.turns, strict=True))
        return Roster(self.seed, len(standing), self._max_extra, self.drawn, standing)

    def advance(self) -> list[int]:
        """Make a step and return the places that got a new sample, in order."""
        renewed = []
        for place, index in enumerate(self.indices):
            self.turns[place] += 1
            if self.turns[place] >= self.stay(index):
                self.indices[place], self.turns[place] = self._next(), 0
                renewed.append(place)
        return renewed

    def stay(self, index: int) -> int:
        """Return for how many steps a sample stays."""
        rng = generator(self.seed, Purpose.STAY, index)
        return 1 + int(rng.integers(self._max_extra + 1))

    def _next(self) -> int:
        self.drawn += 1
        return self.drawn - 1


class ComingSamples(Sampler[int]):
    """Numbers of the samples that some places will need, in order, without end.

    Parameters
    ----------
    roster
        As it stands; it is not changed.
    mine
        The places.
    """

    def __init__(self, roster: Roster, mine: range) -> None:
        self._roster = roster.copy()
        self._mine = mine

    def __iter__(self) -> Iterator[int]:
        """Return those that stand already, then those of each step."""
        roster = self._roster.copy()
        yield from (roster.indices[place] for place in self._mine)
        while True:
            for place in roster.advance():
                if place in self._mine:
                    yield roster.indices[place]
