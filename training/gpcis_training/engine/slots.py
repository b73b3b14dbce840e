"""Slots of a training batch: samples that stay for several steps and get clicks.

The published trainer runs the network up to three times without gradients to simulate
earlier clicks. Here a sample keeps its slot in the batch for one to three steps: its
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
from gpcis_training.seeds import Stream, generator

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    import numpy.typing as npt

    from gpcis_training.data.samples import Sample


class SlotSchedule:
    """Schedule of the samples in the slots of the global batch.

    Parameters
    ----------
    seed
        Of the run.
    count
        Number of slots, those of all processes together.
    max_extra
        A sample keeps its slot for 1 to ``1 + max_extra`` steps.
    drawn
        Samples that were drawn before: the index of the next one.
    occupied
        Index and step of samples already in the first slots; the others are filled
        with new samples.

    Attributes
    ----------
    indices, steps : list of int
        For each slot the index of its sample, and the steps the sample has been there.
    drawn : int
        Samples drawn so far.
    """

    def __init__(
        self,
        seed: int,
        count: int,
        max_extra: int,
        drawn: int = 0,
        occupied: Sequence[tuple[int, int]] = (),
    ) -> None:
        self.seed = seed
        self.drawn = drawn
        self._max_extra = max_extra
        kept = occupied[:count]
        self.indices = [index for index, _ in kept]
        self.steps = [step for _, step in kept]
        for _ in range(count - len(kept)):
            self.indices.append(self._next())
            self.steps.append(0)

    def copy(self) -> SlotSchedule:
        """Return an independent copy."""
        occupied = list(zip(self.indices, self.steps, strict=True))
        return SlotSchedule(
            self.seed, len(occupied), self._max_extra, self.drawn, occupied
        )

    def advance(self) -> list[int]:
        """Make a step and return the slots that got a new sample, in order."""
        renewed = []
        for slot, index in enumerate(self.indices):
            self.steps[slot] += 1
            if self.steps[slot] >= self.duration(index):
                self.indices[slot], self.steps[slot] = self._next(), 0
                renewed.append(slot)
        return renewed

    def duration(self, index: int) -> int:
        """Return the number of steps for which a sample keeps its slot."""
        rng = generator(self.seed, Stream.DURATION, index)
        return 1 + int(rng.integers(self._max_extra + 1))

    def _next(self) -> int:
        self.drawn += 1
        return self.drawn - 1


class SlotSampler(Sampler[int]):
    """Indices of the samples that some slots will need, in order, without end.

    Parameters
    ----------
    schedule
        The present one; it is not changed.
    slots
        Slots of this process.
    """

    def __init__(self, schedule: SlotSchedule, slots: range) -> None:
        self._schedule = schedule.copy()
        self._slots = slots

    def __iter__(self) -> Iterator[int]:
        """Return the indices in the slots now, then those of each step."""
        schedule = self._schedule.copy()
        yield from (schedule.indices[slot] for slot in self._slots)
        while True:
            for slot in schedule.advance():
                if slot in self._slots:
                    yield schedule.indices[slot]


class Batch(NamedTuple):
    """Input of one training step."""

    inputs: torch.Tensor
    """RGB and previous mask, ``(B, 4, S, S)``."""
    points: torch.Tensor
    """Clicks, ``(B, 2 N, 3)``."""
    target: torch.Tensor
    """Masks, ``(B, 1, S, S)``, float; -1 where a pixel is neither object nor
    background."""
    slot_step: torch.Tensor
    """Steps that each sample has been in its slot, ``(B,)``."""
    noise: torch.Tensor
    """Standard normal numbers, one for each click, ``(B, 2 N)``."""


class SlotState(NamedTuple):
    """Clicks and masks of the slots: with the samples, enough to resume."""

    points: torch.Tensor
    """Clicks so far, ``(B, 48, 3)``."""
    previous: torch.Tensor
    """Previous masks, ``(B, 1, S, S)``."""


class ClickBatch:
    """Batch whose samples get one more click in each step.

    Parameters
    ----------
    samples
        The samples that :class:`SlotSampler` lists.
    schedule
        Samples of all slots, those of other processes included. It is advanced with
        each step.
    slots
        The slots of this process; by default all.
    options
        Laws of the clicks on errors.
    state
        Clicks and masks to go on with, for all of these slots.
    """

    def __init__(
        self,
        samples: Iterator[Sample],
        schedule: SlotSchedule,
        slots: range | None = None,
        options: ClickOptions | None = None,
        state: SlotState | None = None,
    ) -> None:
        self.schedule = schedule
        self._numbers = range(len(schedule.indices)) if slots is None else slots
        self._options = options or ClickOptions()
        self._samples = samples
        self._slots = [_Slot(next(samples)) for _ in self._numbers]
        if state is not None:
            self._restore(state)

    def batch(self, passes: int = 0, chosen: Sequence[int] | None = None) -> Batch:
        """Return the input of the next step.

        Parameters
        ----------
        passes
            Clicks that were added without a step, see :meth:`click`; other noise is
            drawn for each.
        chosen
            The samples to return, by their places in the batch; by default all.
        """
        places = range(len(self._slots)) if chosen is None else chosen
        slots = [self._slots[place] for place in places]
        numbers = [self._numbers[place] for place in places]
        images = torch.stack([slot.sample.image for slot in slots])
        previous = torch.stack([slot.previous for slot in slots])
        masks = torch.stack([slot.sample.mask for slot in slots]).float()
        masks[torch.stack([slot.sample.ignore for slot in slots])] = -1
        clicks = np.stack([slot.points for slot in slots])
        noise = np.stack([self._noise(number, passes) for number in numbers])
        points = _trimmed(np.concatenate([clicks, noise], axis=2), clicks)
        steps = torch.tensor([self.schedule.steps[number] for number in numbers])
        return Batch(
            torch.cat([images, previous], dim=1),
            points[..., :3].contiguous(),
            masks[:, None],
            steps,
            points[..., 3].contiguous(),
        )

    def advance(self, probability: torch.Tensor) -> None:
        """Take the output of a step: next clicks, or new samples.

        Parameters
        ----------
        probability
            Shape ``(B, 1, S, S)``, detached, on the CPU.
        """
        renewed = set(self.schedule.advance())
        for offset, number in enumerate(self._numbers):
            if number in renewed:
                self._slots[offset] = _Slot(next(self._samples))
            else:
                self._click(offset, probability[offset])

    def click(
        self,
        probability: torch.Tensor,
        passes: int,
        chosen: Sequence[int] | None = None,
    ) -> None:
        """Add a click to each sample without making a step.

        Parameters
        ----------
        probability
            Of these samples, see :meth:`advance`.
        passes
            Clicks that were added so to these samples before.
        chosen
            The samples, by their places in the batch; by default all.
        """
        places = range(len(self._slots)) if chosen is None else chosen
        for place, own in zip(places, probability, strict=True):
            self._click(place, own, passes + 1)

    def state(self) -> SlotState:
        """Return the clicks and masks that a resumed run needs."""
        points = np.stack([slot.points for slot in self._slots])
        previous = torch.stack([slot.previous for slot in self._slots])
        return SlotState(torch.from_numpy(points), previous)

    def _click(self, offset: int, probability: torch.Tensor, extra: int = 0) -> None:
        """Make an output the previous mask, and its largest error the next click."""
        slot, number = self._slots[offset], self._numbers[offset]
        index, step = self.schedule.indices[number], self.schedule.steps[number]
        slot.previous = probability
        add_error_click(
            slot.points,
            slot.sample.mask.numpy(),
            probability[0].numpy(),
            self._options,
            generator(self.schedule.seed, Stream.CLICK, index, step, extra),
            slot.sample.ignore.numpy(),
        )

    def _noise(self, number: int, passes: int) -> npt.NDArray[np.float32]:
        index, step = self.schedule.indices[number], self.schedule.steps[number]
        rng = generator(
            self.schedule.seed, Stream.NOISE, index, step, *[passes] * (passes > 0)
        )
        return rng.standard_normal((2 * MAX_CLICKS, 1), dtype=np.float32)

    def _restore(self, state: SlotState) -> None:
        """Restore clicks and masks of the samples past their first step."""
        for offset, number in enumerate(self._numbers):
            if self.schedule.steps[number] > 0:
                self._slots[offset].points = state.points[offset].numpy().copy()
                self._slots[offset].previous = state.previous[offset].clone()


class _Slot:
    """One sample with its clicks and its previous mask."""

    def __init__(self, sample: Sample) -> None:
        self.sample = sample
        self.points = sample.points.numpy().copy()
        self.previous = torch.zeros_like(sample.image[:1])


def _trimmed(
    rows: npt.NDArray[np.float32], points: npt.NDArray[np.float32]
) -> torch.Tensor:
    """Drop the rows that no image of the batch uses, both halves alike."""
    halves = rows.reshape(len(rows), 2, MAX_CLICKS, -1)
    taken = points[..., 0].reshape(len(points), 2, MAX_CLICKS) >= 0
    used = max(int(taken.sum(axis=2).max()), 1)
    kept = halves[:, :, :used].reshape(len(rows), 2 * used, -1)
    return torch.from_numpy(np.ascontiguousarray(kept))
