"""Throughput of a run: samples per second, with loading and without."""

from __future__ import annotations

import time
from dataclasses import dataclass, replace
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

from gpcis_training.engine.trainer import Trainer

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from gpcis_training.config import FitConfig


@dataclass(frozen=True)
class Throughput:
    """Samples a second of one process.

    Parameters
    ----------
    network
        Of the network's step alone, one batch again and again: forward, loss,
        backward, optimiser.
    loaded
        Of whole steps as training makes them, loading and clicks included.
    waiting
        Share of the time of whole steps outside the network: waiting for samples, and
        simulating clicks.
    clicks
        Answers to clicks that each sample of a step trains, on average.
    """

    network: float
    loaded: float
    waiting: float
    clicks: float = 1

    @property
    def ratio(self) -> float:
        """Speed with loading as a share of that without."""
        return self.loaded / self.network

    def __str__(self) -> str:
        """Return both figures and their ratio."""
        return (
            f"network alone {self.network:.2f} samples/s, with loading "
            f"{self.loaded:.2f} samples/s: {self.ratio:.0%} "
            f"({self.waiting:.0%} of the time outside the network); "
            f"{self.clicks * self.loaded:.2f} clicks/s"
        )


def measure_throughput(
    config: FitConfig, data_root: str | Path, steps: int = 30, **options: Any
) -> Throughput:
    """Measure the steps of a run; nothing is kept.

    The network alone is timed before and after the whole steps, so that a machine that
    becomes slower or faster meanwhile does not favour either; with unrolled clicks it
    is what of the whole steps is not spent on samples and clicks.

    Parameters
    ----------
    config
        The run.
    data_root
        See :class:`gpcis_training.engine.trainer.Trainer`.
    steps
        Steps that are timed of each kind, after a third as many that are not.
    **options
        Of the trainer: ``precision``, ``devices`` and so on.
    """
    with TemporaryDirectory(prefix="gpcis-throughput-") as folder:
        endless = replace(config, steps=2**31, epochs=None, max_minutes=None)
        trainer = Trainer(endless, data_root, folder, **options)
        training_step = trainer.training_step
        training_step.train_mode()
        size = config.batch_size
        if config.iteration == "unroll":
            loaded, waiting = _whole_steps(trainer, steps)
            network = loaded - waiting
            late = config.late_clicks * config.late_samples / size
            clicks = config.unrolled_clicks + late
            return Throughput(size / network, size / loaded, waiting / loaded, clicks)
        batch = trainer.open_samples(workers=0).batch()
        before = _timed(lambda step: training_step.learn(batch, step), steps)
        loaded, waiting = _whole_steps(trainer, steps)
        after = _timed(lambda step: training_step.learn(batch, step), steps)
    return Throughput(2 * size / (before + after), size / loaded, waiting / loaded)


def _whole_steps(trainer: Trainer, steps: int) -> tuple[float, float]:
    """Return the seconds of a whole step, and those of it outside the network."""
    click_batch = trainer.open_samples()
    outside: list[float] = []

    def step(number: int) -> None:
        outside.append(trainer.training_step(click_batch, number)["loading"])

    seconds = _timed(step, steps)
    return seconds, sum(outside[-steps:]) / steps


def _timed(step: Callable[[int], object], steps: int) -> float:
    """Return the seconds of a step, the first ones left out."""
    early = max(steps // 3, 1)
    for number in range(early):
        step(number)
    began = time.perf_counter()
    for number in range(early, early + steps):
        step(number)
    return (time.perf_counter() - began) / steps
