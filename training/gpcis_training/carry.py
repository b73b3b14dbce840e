"""Iterative clicks without extra forward passes.

The published trainer runs the network up to three times without gradients to simulate
earlier clicks. Here a sample keeps its place in the batch for one to three steps: its
training output becomes the previous mask, and its largest error the next click. Every
forward pass is thus also a training step.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import torch

from gpcis_training.click_simulation import (
    MAX_CLICKS,
    ClickOptions,
    add_error_click,
)

if TYPE_CHECKING:
    from collections.abc import Iterator

    from gpcis_training.samples import Sample


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


class _Slot:
    """One sample on its way through the batch."""

    def __init__(self, sample: Sample, visits: int) -> None:
        self.sample = sample
        self.points = sample.points.numpy().copy()
        self.previous = torch.zeros_like(sample.image[:1])
        self.turn = 0
        self.visits = visits


class CarryOver:
    """A batch in which samples stay for several clicks.

    Parameters
    ----------
    samples
        Endless or finite source of new samples.
    batch_size
        Number of places.
    max_extra_clicks
        A sample stays between 1 and ``1 + max_extra_clicks`` steps.
    rng
        Source of randomness.
    options
        Where clicks on errors fall.
    """

    def __init__(
        self,
        samples: Iterator[Sample],
        batch_size: int,
        max_extra_clicks: int,
        rng: np.random.Generator,
        options: ClickOptions | None = None,
    ) -> None:
        self._options = options or ClickOptions()
        self._samples = samples
        self._max_extra = max_extra_clicks
        self._rng = rng
        self.started = 0
        self._slots = [self._new() for _ in range(batch_size)]

    def _new(self) -> _Slot:
        self.started += 1
        visits = 1 + int(self._rng.integers(self._max_extra + 1))
        return _Slot(next(self._samples), visits)

    def batch(self) -> Batch:
        """Return the input of the next step."""
        slots = self._slots
        images = torch.stack([slot.sample.image for slot in slots])
        previous = torch.stack([slot.previous for slot in slots])
        masks = torch.stack([slot.sample.mask for slot in slots])
        points = torch.from_numpy(_trimmed(np.stack([s.points for s in slots])))
        turn = torch.tensor([slot.turn for slot in slots])
        inputs = torch.cat([images, previous], dim=1)
        return Batch(inputs, points, masks[:, None].float(), turn)

    def advance(self, probability: torch.Tensor) -> None:
        """Give the step's output back: next clicks, or new samples.

        Parameters
        ----------
        probability
            Shape ``(B, 1, S, S)``, detached, on the CPU.
        """
        for index, slot in enumerate(self._slots):
            slot.turn += 1
            if slot.turn >= slot.visits:
                self._slots[index] = self._new()
                continue
            slot.previous = probability[index]
            add_error_click(
                slot.points,
                slot.sample.mask.numpy(),
                probability[index, 0].numpy(),
                self._options,
                self._rng,
            )


def _trimmed(points: np.ndarray) -> np.ndarray:
    """Drop the slots that no image of the batch uses, both halves alike."""
    halves = points.reshape(len(points), 2, MAX_CLICKS, 3)
    used = int((halves[..., 0] >= 0).sum(axis=2).max())
    return np.ascontiguousarray(
        halves[:, :, : max(used, 1)].reshape(len(points), -1, 3)
    )
