"""The training loop on Lightning Fabric: steps, log, checkpoints, resume."""

from __future__ import annotations

import json
import math
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from lightning_fabric import Fabric
from torch.utils.data import DataLoader, Sampler
from tqdm import tqdm

from gpcis_training.auxiliary import AuxiliaryLoss
from gpcis_training.carry import Batch, CarryOver
from gpcis_training.losses import normalised_focal_loss
from gpcis_training.samples import Sample, SampleStream
from gpcis_training.start import (
    freeze_statistics,
    parameter_groups,
    start_model,
    to_channels_last,
)
from napari_gpcis.errors import CheckpointError, InputError
from napari_gpcis.files import replacing
from napari_gpcis.model import TRAINING_EPSILON2, ClickNetwork

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from gpcis_training.config import FitConfig

    Watch = Callable[["Trainer", dict[str, float]], bool]
    """Called after each step with its figures; ``False`` ends the training there."""

_LOG_EVERY = 50


class _From(Sampler[int]):
    """Indices from a start, so that a resumed run goes on with new samples."""

    def __init__(self, start: int, stop: int) -> None:
        self._range = range(start, stop)

    def __iter__(self) -> Iterator[int]:
        return iter(self._range)

    def __len__(self) -> int:
        return len(self._range)


class Trainer:
    """One training run in a folder.

    Parameters
    ----------
    config
        The run.
    data_root
        Folder below which the configuration's data paths lie.
    output
        Folder for checkpoints (``state.pt``) and the log (``log.jsonl``).
    initial_weights
        Published encoder weights to start from.
    start
        A checkpoint (name or .safetensors) to start from instead.
    precision, devices
        For Fabric, e.g. ``"bf16-mixed"`` and ``1``.

    Attributes
    ----------
    watch
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
    ) -> None:
        self.config = config
        self.output = Path(output)
        self.output.mkdir(parents=True, exist_ok=True)
        self.fabric = Fabric(accelerator="auto", devices=devices, precision=precision)
        self.fabric.launch()
        self.fabric.seed_everything(config.seed + self.fabric.global_rank)
        self.folders = [entry.open(Path(data_root)) for entry in config.data]
        model = start_model(config, initial_weights, start)
        to_channels_last(model)
        optimiser = torch.optim.Adam(
            parameter_groups(model, config), lr=config.optimiser.lr
        )
        self.bare: ClickNetwork = model
        self.auxiliary = AuxiliaryLoss(model, config.auxiliary)
        self.model, self.optimiser = self.fabric.setup(model, optimiser)
        self.model.mark_forward_method("forward_train")
        self.step = 0
        self.drawn = 0
        self.minutes = 0.0
        self.watch: Watch | None = None

    @property
    def state_file(self) -> Path:
        """Where the resumable state is kept."""
        return self.output / "state.pt"

    def resume(self) -> bool:
        """Load the last state of the output folder; ``False`` if there is none."""
        if not self.state_file.is_file():
            return False
        state = torch.load(self.state_file, map_location="cpu", weights_only=True)
        try:
            self.bare.load_state_dict(state["model"])
            self.optimiser.load_state_dict(state["optimiser"])
        except (KeyError, RuntimeError, ValueError) as error:
            msg = f"{str(self.state_file)!r} is not from this configuration: {error}"
            raise CheckpointError(msg) from error
        self.step, self.drawn = state["step"], state["drawn"]
        self.minutes = state["minutes"]
        torch.set_rng_state(state["rng"])
        return True

    def save(self) -> None:
        """Write the state; a crash while writing leaves the previous one."""
        if not self.fabric.is_global_zero:
            return
        state = {
            "model": self.bare.state_dict(),
            "optimiser": self.optimiser.state_dict(),
            "step": self.step,
            "drawn": self.drawn,
            "minutes": self.minutes,
            "rng": torch.get_rng_state(),
        }
        with replacing(self.state_file) as draft:
            torch.save(state, draft)

    def progress(self) -> float:
        """Return the finished share of the schedule, by steps or by the clock."""
        share = self.step / self.config.steps
        if self.config.max_minutes:
            share = max(share, self.minutes / self.config.max_minutes)
        return min(share, 1.0)

    def fit(self) -> ClickNetwork:
        """Train to the end of the schedule and return the network."""
        self.model.train()
        if self.config.frozen_statistics:
            freeze_statistics(self.bare)
        stream = self._carry_over()
        window: list[dict[str, float]] = []
        began, before = time.monotonic(), self.minutes
        saved = before
        bar = tqdm(
            total=self.config.steps,
            initial=self.step,
            unit="step",
            disable=not self.fabric.is_global_zero,
        )
        while self.progress() < 1:
            self._set_rate()
            self.bare.epsilon2 = self._epsilon2()
            figures = self._train_step(stream)
            window.append(figures)
            self.step += 1
            bar.update()
            self.drawn = stream.started
            elapsed = before + (time.monotonic() - began) / 60
            self.minutes = self.fabric.broadcast(elapsed)  # one clock, one schedule
            if self.step % _LOG_EVERY == 0:
                self._log(window, bar)
                window = []
            if self.minutes - saved >= self.config.checkpoint_minutes:
                self.save()
                saved = self.minutes
            if self.watch is not None and not self.watch(self, figures):
                break
        bar.close()
        self.save()
        self.fabric.barrier()
        return self.bare

    def _carry_over(self) -> CarryOver:
        """Open the sample stream behind the samples already drawn."""
        config, rank = self.config, self.fabric.global_rank
        total = config.steps * config.batch_size * 2
        stream = SampleStream(
            self.folders,
            total,
            config.seed * 1000 + rank,
            config.augment,
            config.clicks,
        )
        loader: DataLoader[Sample] = DataLoader(
            stream,
            batch_size=None,
            sampler=_From(self.drawn, total),
            num_workers=config.workers,
            prefetch_factor=32 if config.workers else None,
            persistent_workers=config.workers > 0,
            worker_init_fn=_one_thread,
        )
        rng = np.random.default_rng((config.seed, rank, self.step))
        carry = CarryOver(
            iter(loader),
            config.batch_size,
            config.max_extra_clicks,
            rng,
            config.clicks,
        )
        carry.started += self.drawn
        return carry

    def _train_step(self, stream: CarryOver) -> dict[str, float]:
        waited = time.perf_counter()
        batch = stream.batch()
        inputs = batch.inputs.to(self.fabric.device, memory_format=torch.channels_last)
        target = batch.target.to(self.fabric.device)
        points = batch.points.to(self.fabric.device)
        scores, variational = self.model.forward_train(inputs, points)
        focal = normalised_focal_loss(scores.logits.float(), target)
        loss = focal + variational + self.auxiliary(target)
        if not bool(torch.isfinite(loss)):
            msg = f"the loss became {float(loss.detach())} at step {self.step}"
            raise InputError(msg)
        self.fabric.backward(loss)
        self.fabric.clip_gradients(
            self.model, self.optimiser, max_norm=self.config.optimiser.clip
        )
        self.optimiser.step()
        self.optimiser.zero_grad()
        probability = scores.logits.detach().float().sigmoid().cpu()
        trained = time.perf_counter()
        stream.advance(probability)
        return {
            "loss": float(focal.detach()),
            "variational": float(variational.detach()),
            **_batch_iou(probability, batch),
            "compute": trained - waited,
            "loading": time.perf_counter() - trained,
        }

    def _set_rate(self) -> None:
        optimiser, share = self.config.optimiser, self.progress()
        warm = min(1.0, (share + 1e-4) / max(optimiser.warmup, 1e-4))
        factor = warm * 0.5 * (1 + math.cos(math.pi * share))
        for group in self.optimiser.param_groups:
            group["lr"] = optimiser.lr * group["factor"] * factor

    def _epsilon2(self) -> float:
        """Return the noise of this step: from the start down to the published one."""
        start, share = self.config.epsilon2_start, self.config.epsilon2_share
        left = max(0.0, 1 - self.progress() / share) if share > 0 else 0.0
        return float(TRAINING_EPSILON2 * (start / TRAINING_EPSILON2) ** left)

    def _log(self, window: list[dict[str, float]], bar: Any) -> None:
        names = sorted({name for entry in window for name in entry})
        means = {
            name: float(np.mean([entry[name] for entry in window if name in entry]))
            for name in names
        }
        entry = {
            "step": self.step,
            "samples": self.step * self.config.batch_size,
            "minutes": round(self.minutes, 2),
            **{name: round(value, 5) for name, value in means.items()},
        }
        bar.set_postfix(loss=means["loss"], iou=means["iou"])
        if self.fabric.is_global_zero:
            with (self.output / "log.jsonl").open("a", encoding="utf-8") as log:
                log.write(json.dumps(entry) + "\n")


def _one_thread(worker: int) -> None:
    """Keep data workers from competing with the network for cores."""
    del worker
    torch.set_num_threads(1)


def _batch_iou(probability: torch.Tensor, batch: Batch) -> dict[str, float]:
    """Return the mean IoU, and that of samples at their first visit."""
    predicted, target = probability > 0.5, batch.target > 0.5
    both = (predicted & target).sum(dim=(1, 2, 3))
    either = (predicted | target).sum(dim=(1, 2, 3)).clamp(min=1)
    iou = both / either
    means = {"iou": float(iou.mean())}
    for turn in range(int(batch.turn.max()) + 1):
        if bool((batch.turn == turn).any()):
            means[f"iou_{turn}"] = float(iou[batch.turn == turn].mean())
    return means
