"""The training loop on Lightning Fabric: steps, log, checkpoints, resume."""

from __future__ import annotations

import json
import time
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from lightning_fabric import Fabric
from torch.optim.swa_utils import AveragedModel
from tqdm import tqdm

from gpcis_training.config import save_config
from gpcis_training.engine.loading import open_loader
from gpcis_training.engine.slots import ClickBatch, SlotSampler
from gpcis_training.engine.start import (
    noise,
    parameter_groups,
    progress,
    rate_factor,
    start_model,
    synchronise_statistics,
    to_channels_last,
)
from gpcis_training.engine.state import (
    clear_drafts,
    read_state,
    restore_schedule,
    restore_slots,
    slots_state,
    write_state,
)
from gpcis_training.engine.step import TrainingStep
from napari_gpcis.batch.workers import interrupts_ignored
from napari_gpcis.errors import CheckpointError

if TYPE_CHECKING:
    from collections.abc import Callable

    from gpcis_training.config import FitConfig
    from napari_gpcis.model import ClickNetwork

    StepCallback = Callable[["Trainer", dict[str, float]], bool]
    """Called after each step with its figures; ``False`` ends the training there."""

_LOG_EVERY = 50


class Trainer:
    """One training run in a folder.

    Parameters
    ----------
    config
        The run.
    data_root
        Folder below which the configuration's data paths lie.
    output
        Folder for checkpoints (``state.pt``), the log (``log.jsonl``) and the
        configuration (``config.yaml``); one that all nodes see.
    initial_weights
        Published encoder weights to start from.
    start
        A checkpoint (name or .safetensors) to start from instead.
    precision, devices, num_nodes, strategy
        For Fabric, e.g. ``"bf16-mixed"``, ``1``, ``1`` and ``"ddp"``. Each device has a
        batch of ``config.batch_size``.

    Attributes
    ----------
    network
        The network itself, without what Fabric wraps around it.
    training_step
        Makes the steps.
    global_batch_size
        Samples of a step on all devices together: the number of slots.
    average
        Exponential average of the network's weights, if the run keeps one.
    callback
        Called after each step with the trainer and the step's figures; training ends
        when it returns ``False``. It must leave the network in training mode.
    """

    def __init__(
        self,
        config: FitConfig,
        data_root: str | Path,
        output: str | Path,
        *,
        initial_weights: str | Path | None = None,
        start: str | Path | None = None,
        precision: Any = "32-true",
        devices: int = 1,
        num_nodes: int = 1,
        strategy: str = "auto",
    ) -> None:
        self.output = Path(output)
        self.output.mkdir(parents=True, exist_ok=True)
        self.fabric = Fabric(
            accelerator="auto",
            devices=devices,
            num_nodes=num_nodes,
            strategy=strategy,
            precision=precision,
        )
        self.fabric.launch()
        self.fabric.seed_everything(config.seed + self.fabric.global_rank)
        self.folders = [entry.open(Path(data_root)) for entry in config.data]
        self.global_batch_size = config.batch_size * self.fabric.world_size
        images = sum(len(folder.pairs) for folder in self.folders)
        self.config = replace(
            config, steps=config.count_steps(images, self.global_batch_size)
        )
        model = start_model(config, initial_weights, start)
        if config.sync_statistics:
            model = synchronise_statistics(model, self.fabric.device)
        to_channels_last(model)
        groups = parameter_groups(model, config)
        optimiser = torch.optim.Adam(groups, lr=config.optimiser.lr)
        self.network: ClickNetwork = model
        self.model, self.optimiser = self.fabric.setup(model, optimiser)
        for method in ("forward_train", "unroll"):
            self.model.mark_forward_method(method)
        self.average = start_average(model, config.average)
        self.training_step = TrainingStep(
            self.fabric, self.model, self.optimiser, model, self.config
        )
        self._state: dict[str, Any] = {}
        self._click_batch: ClickBatch | None = None
        self.step = 0
        self.minutes = 0.0
        self.callback: StepCallback | None = None

    @property
    def state_file(self) -> Path:
        """File of the resumable state."""
        return self.output / "state.pt"

    @property
    def drawn(self) -> int:
        """Samples drawn so far."""
        known: int = self._state.get("drawn", 0)
        return known if self._click_batch is None else self._click_batch.schedule.drawn

    def resume(self) -> bool:
        """Load the last state of the output folder; ``False`` if there is none.

        The run then goes on as if it had not been stopped, weights bit by bit (on one
        kind of machine, and unless ``max_minutes`` ties the schedule to the clock).
        States of earlier versions, which lack the samples in flight, go on with new
        samples.

        Raises
        ------
        CheckpointError
            If the state is damaged or from another configuration.
        """
        if not self.state_file.is_file():
            return False
        state = read_state(self.state_file)
        try:
            self.network.load_state_dict(state["model"])
            self.optimiser.load_state_dict(state["optimiser"])
            if self.average is not None:
                self._restore_average(state)
            self.step, self.minutes = state["step"], state["minutes"]
        except (KeyError, RuntimeError, ValueError) as error:
            msg = f"{str(self.state_file)!r} is not from this configuration: {error}"
            raise CheckpointError(msg) from error
        self._state = {key: state[key] for key in ("drawn", "places") if key in state}
        self._click_batch = None
        return True

    def _restore_average(self, state: dict[str, Any]) -> None:
        """Take over the average of a state; the weights themselves if it has none."""
        assert self.average is not None
        self.average.module.load_state_dict(state.get("average", state["model"]))
        self.average.n_averaged.fill_(state["step"])

    def save(self) -> None:
        """Write the state; a crash while writing leaves the previous one.

        All processes must call it: each holds some of the samples.

        Raises
        ------
        CheckpointError
            If the disk refuses; the previous state is kept.
        """
        state = {
            "model": self.network.state_dict(),
            "optimiser": self.optimiser.state_dict(),
            "step": self.step,
            "drawn": self.drawn,
            "minutes": self.minutes,
        }
        if self.average is not None:
            state["average"] = self.average.module.state_dict()
        if self._click_batch is not None:
            state["places"] = slots_state(self._click_batch, self._gather)
        elif "places" in self._state:
            state["places"] = self._state["places"]
        if self.fabric.is_global_zero:
            write_state(self.state_file, state)

    def progress(self) -> float:
        """Return the finished share of the schedule, by steps or by the clock."""
        return progress(self.config, self.step, self.minutes)

    def fit(self) -> ClickNetwork:
        """Train to the end of the schedule and return the network.

        Raises
        ------
        CheckpointError
            If the disk refuses a state; the previous one is kept.
        """
        self.training_step.train_mode()
        if self.fabric.is_global_zero:
            clear_drafts(self.state_file)
            save_config(self.output / "config.yaml", self.config)
        self._click_batch = click_batch = self._click_batch or self.open_samples()
        began, before = time.monotonic(), self.minutes
        saved = before
        window: list[dict[str, float]] = []
        with self._bar() as bar:
            while self.progress() < 1:
                self._set_pace()
                figures = self.training_step(click_batch, self.step)
                window.append(figures)
                self.step += 1
                self._update_average()
                bar.update()
                elapsed = before + (time.monotonic() - began) / 60
                self.minutes = self.fabric.broadcast(elapsed)  # one clock for all
                if self.step % _LOG_EVERY == 0:
                    self._log(window, bar)
                    window = []
                if self.minutes - saved >= self.config.checkpoint_minutes:
                    self.save()
                    saved = self.minutes
                if self.callback is not None and not self.callback(self, figures):
                    break
        self.save()
        self.fabric.barrier()
        return self.network

    def _update_average(self) -> None:
        """Bring the average up to date with the network."""
        if self.average is not None:
            self.average.update_parameters(self.network)

    def _bar(self) -> Any:
        return tqdm(
            total=self.config.steps,
            initial=self.step,
            unit="step",
            disable=not self.fabric.is_global_zero,
        )

    def open_samples(self, workers: int | None = None) -> ClickBatch:
        """Open this process's share of the samples, from the state's position on.

        Parameters
        ----------
        workers
            Loading processes; by default as configured.
        """
        config, rank = self.config, self.fabric.global_rank
        if workers is not None:
            config = replace(config, workers=workers)
        slots = range(rank * config.batch_size, (rank + 1) * config.batch_size)
        extra = config.max_extra_clicks if config.iteration == "carry" else 0
        schedule = restore_schedule(
            self._state, config.seed, self.global_batch_size, extra
        )
        state = restore_slots(self._state, schedule, slots, config.augment.size)
        loader = open_loader(self.folders, config, SlotSampler(schedule, slots))
        with interrupts_ignored():  # by the processes that begin
            samples = iter(loader)
        return ClickBatch(samples, schedule, slots, config.clicks, state)

    def _gather(self, values: torch.Tensor) -> torch.Tensor:
        """Join a tensor of all processes along its first axis."""
        if self.fabric.world_size == 1:
            return values
        gathered = self.fabric.all_gather(values.to(self.fabric.device))
        assert isinstance(gathered, torch.Tensor)
        return gathered.flatten(0, 1).cpu()

    def _set_pace(self) -> None:
        """Set learning rate and noise of the next step."""
        share = self.progress()
        factor = self.config.optimiser.lr * rate_factor(self.config, share)
        for group in self.optimiser.param_groups:
            group["lr"] = group["factor"] * factor
        self.network.epsilon2 = noise(self.config, share)

    def _log(self, window: list[dict[str, float]], bar: Any) -> None:
        names = sorted({name for entry in window for name in entry})
        means = {
            name: float(np.mean([entry[name] for entry in window if name in entry]))
            for name in names
        }
        entry = {
            "step": self.step,
            "samples": self.step * self.global_batch_size,
            "minutes": round(self.minutes, 2),
            **{name: round(value, 5) for name, value in means.items()},
            "samples_per_second": round(
                self.global_batch_size / (means["compute"] + means["loading"]), 2
            ),
            "samples_per_second_without_loading": round(
                self.global_batch_size / means["compute"], 2
            ),
        }
        bar.set_postfix(loss=means["loss"], iou=means["iou"])
        if self.fabric.is_global_zero:
            with (self.output / "log.jsonl").open("a", encoding="utf-8") as log:
                log.write(json.dumps(entry) + "\n")


def start_average(network: torch.nn.Module, decay: float) -> AveragedModel | None:
    """Return an exponential average of a network that starts as it is now.

    Early on it follows the network faster: after ``n`` steps its decay is at most
    ``(1 + n) / (10 + n)``.
    """
    if decay == 0:
        return None

    @torch.no_grad()
    def follow(averages: Any, values: Any, count: torch.Tensor | int) -> None:
        share = min(decay, (1 + int(count)) / (10 + int(count)))
        for average, value in zip(averages, values, strict=True):
            if average.is_floating_point():
                average.lerp_(value.to(average), 1 - share)
            else:  # a counter
                average.copy_(value)

    return AveragedModel(network, multi_avg_fn=follow, use_buffers=True)
