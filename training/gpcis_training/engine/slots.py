"""Iterative clicks without extra forward passes.

The published trainer runs the network up to three times without gradients to simulate
earlier clicks. Here a sample keeps its place in the batch for one to three steps: its
training output becomes the previous mask, and its largest error the next click. Every
forward pass is thus also a training step. (The published way is an option, see
:mod:`gpcis_training.engine.step`.)
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import torch
from torch.utils.data import Sampler

from gpcis_training.data.click_simulation import (
    MAX_CLICKS,
    ClickOptions,
    add_error_click,
)
from gpcis_training.seeds import Purpose, generator

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    import numpy.typing as npt

    from gpcis_training.data.samples import Sample


class Batch(NamedTuple):
    """One training step's input."""

    inputs: torch.Tensor
    """RGB and previous mask, ``(B, 4, S, S)``."""
    points: torch.Tensor
    """Clicks, ``(B, 2 N, 3)``."""
    target: torch.Tensor
    """Masks, ``(B, 1, S, S)``, float."""
    turn: torch.Tensor
    """How many times each sample was seen before, ``(B,)``."""
    noise: torch.Tensor
    """Standard normal numbers, one for each click, ``(B, 2 N)``."""


class Standing(NamedTuple):
    """What the places hold beside their samples: enough to go on after a stop."""

    points: torch.Tensor
    """Clicks so far, ``(B, 48, 3)``."""
    previous: torch.Tensor
    """Previous masks, ``(B, 1, S, S)``."""


class _Place:
    """One sample on its way through the batch."""

    def __init__(self, sample: Sample) -> None:
        self.sample = sample
        self.points = sample.points.numpy().copy()
        self.previous = torch.zeros_like(sample.image[:1])


class CarryOver:
    """A batch in which samples stay for several clicks.

    Parameters
    ----------
    samples
        The samples that :class:`gpcis_training.engine.slots.ComingSamples` lists.
    roster
        Who stands where, places of other processes included. It is advanced with
        each step.
    mine
        The places of this process; by default all.
    options
        Where clicks on errors fall.
    standing
        Clicks and masks to go on with, for all of these places.
    """

    def __init__(
        self,
        samples: Iterator[Sample],
        roster: Roster,
        mine: range | None = None,
        options: ClickOptions | None = None,
        standing: Standing | None = None,
    ) -> None:
        self.roster = roster
        self._mine = range(len(roster.indices)) if mine is None else mine
        self._options = options or ClickOptions()
        self._samples = samples
        self._places = [_Place(next(samples)) for _ in self._mine]
        if standing is not None:
            self._restore(standing)

    def batch(self) -> Batch:
        """Return the input of the next step."""
        places = self._places
        images = torch.stack([place.sample.image for place in places])
        previous = torch.stack([place.previous for place in places])
        masks = torch.stack([place.sample.mask for place in places])
        clicks = np.stack([place.points for place in places])
        noise = np.stack([self._noise(number) for number in self._mine])
        points = _trimmed(np.concatenate([clicks, noise], axis=2), clicks)
        turn = torch.tensor([self.roster.turns[number] for number in self._mine])
        return Batch(
            torch.cat([images, previous], dim=1),
            points[..., :3].contiguous(),
            masks[:, None].float(),
            turn,
            points[..., 3].contiguous(),
        )

    def advance(self, probability: torch.Tensor) -> None:
        """Give the step's output back: next clicks, or new samples.

        Parameters
        ----------
        probability
            Shape ``(B, 1, S, S)``, detached, on the CPU.
        """
        renewed = set(self.roster.advance())
        for offset, number in enumerate(self._mine):
            if number in renewed:
                self._places[offset] = _Place(next(self._samples))
            else:
                self._click(offset, probability[offset])

    def click(self, probability: torch.Tensor, turn: int) -> None:
        """Add a click to each sample without making a step.

        Parameters
        ----------
        probability
            See :meth:`advance`.
        turn
            How many clicks were added so to these samples before.
        """
        for offset in range(len(self._places)):
            self._click(offset, probability[offset], turn + 1)

    def standing(self) -> Standing:
        """Return what is needed, beside the roster, to go on after a stop."""
        points = np.stack([place.points for place in self._places])
        previous = torch.stack([place.previous for place in self._places])
        return Standing(torch.from_numpy(points), previous)

    def _click(self, offset: int, probability: torch.Tensor, extra: int = 0) -> None:
        """Make an output the previous mask, and its largest error the next click."""
        place, number = self._places[offset], self._mine[offset]
        index, turn = self.roster.indices[number], self.roster.turns[number]
        place.previous = probability
        add_error_click(
            place.points,
            place.sample.mask.numpy(),
            probability[0].numpy(),
            self._options,
            generator(self.roster.seed, Purpose.CLICK, index, turn, extra),
        )

    def _noise(self, number: int) -> npt.NDArray[np.float32]:
        index, turn = self.roster.indices[number], self.roster.turns[number]
        rng = generator(self.roster.seed, Purpose.NOISE, index, turn)
        return rng.standard_normal((2 * MAX_CLICKS, 1), dtype=np.float32)

    def _restore(self, standing: Standing) -> None:
        """Give the samples that stood already their clicks and masks back."""
        for offset, number in enumerate(self._mine):
            if self.roster.turns[number] > 0:
                self._places[offset].points = standing.points[offset].numpy().copy()
                self._places[offset].previous = standing.previous[offset].clone()


def _trimmed(
    slots: npt.NDArray[np.float32], points: npt.NDArray[np.float32]
) -> torch.Tensor:
    """Drop the slots that no image of the batch uses, both halves alike."""
    halves = slots.reshape(len(slots), 2, MAX_CLICKS, -1)
    taken = points[..., 0].reshape(len(points), 2, MAX_CLICKS) >= 0
    used = max(int(taken.sum(axis=2).max()), 1)
    kept = halves[:, :, :used].reshape(len(slots), 2 * used, -1)
    return torch.from_numpy(np.ascontiguousarray(kept))


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
