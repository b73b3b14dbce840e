"""Training of superpixels on Lightning Fabric, resumable."""

from __future__ import annotations

import json
import math
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from lightning_fabric import Fabric
from torch import Tensor, nn
from tqdm import tqdm

from gpcis_training.config import save_config
from gpcis_training.engine.start import to_channels_last
from gpcis_training.engine.state import clear_drafts, read_state, write_state
from gpcis_training.engine.trainer import start_average
from gpcis_training.superpixels.crops import (
    auxiliary_modality,
    draw_crops,
    normalise,
    to_lab,
)
from gpcis_training.superpixels.losses import (
    MutualInformation,
    alignment_loss,
    boundary_weights,
    colour_loss,
    embedding_loss,
    laplacian_loss,
    superpixel_loss,
)
from napari_gpcis.errors import CheckpointError
from napari_gpcis.superpixels.cds import CDS

if TYPE_CHECKING:
    from collections.abc import Callable

    from gpcis_training.superpixels.config import SuperpixelConfig
    from gpcis_training.superpixels.crops import Crops

_LOG_EVERY = 50
_POWER = 0.9
_PARTS = ("model", "estimator", "optimiser", "estimator_optimiser")


class SuperpixelTrainer:
    """One training run in a folder.

    Parameters
    ----------
    config
        The run.
    data_root
        Folder below which the configuration's data paths lie.
    output
        Folder for checkpoints (``state.pt``), the log (``log.jsonl``) and the
        configuration (``config.yaml``).
    precision
        For Fabric, e.g. ``"bf16-mixed"``.

    Attributes
    ----------
    network
        The network.
    step, minutes
        Steps and time so far.
    """

    def __init__(
        self,
        config: SuperpixelConfig,
        data_root: str | Path,
        output: str | Path,
        *,
        precision: Any = "32-true",
    ) -> None:
        self.config = config
        self.output = Path(output)
        self.output.mkdir(parents=True, exist_ok=True)
        self.fabric = Fabric(accelerator="auto", devices=1, precision=precision)
        self.fabric.launch()
        self.fabric.seed_everything(config.seed)
        self.folders = [entry.open(Path(data_root)) for entry in config.data]
        self.network = build_network(config)
        to_channels_last(self.network)
        self._estimator = MutualInformation(config.content)
        self._optimiser = torch.optim.Adam(_groups(self.network, config), lr=config.lr)
        self._estimator_optimiser = torch.optim.Adam(
            self._estimator.parameters(), lr=config.estimator_lr
        )
        self.model, self.optimiser = self.fabric.setup(self.network, self._optimiser)
        for method in ("forward_pair", "embed"):
            self.model.mark_forward_method(method)
        self.estimator, self.estimator_optimiser = self.fabric.setup(
            self._estimator, self._estimator_optimiser
        )
        self.estimator.mark_forward_method("learning_loss")
        self.average = start_average(self.network, config.average)
        self.step = 0
        self.minutes = 0.0

    @property
    def state_file(self) -> Path:
        """File of the resumable state."""
        return self.output / "state.pt"

    def resume(self) -> bool:
        """Load the last state of the output folder; ``False`` if there is none.

        Raises
        ------
        CheckpointError
            If the state is damaged or from another configuration.
        """
        if not self.state_file.is_file():
            return False
        state = read_state(self.state_file)
        try:
            for name in _PARTS:
                self._part(name).load_state_dict(state[name])
            if self.average is not None:
                self.average.module.load_state_dict(state["average"])
                self.average.n_averaged.fill_(state["step"])
            self.step, self.minutes = state["step"], state["minutes"]
        except (KeyError, RuntimeError, ValueError) as error:
            msg = f"{str(self.state_file)!r} is not from this configuration: {error}"
            raise CheckpointError(msg) from error
        return True

    def save(self) -> None:
        """Write the state; a crash while writing leaves the previous one.

        Raises
        ------
        CheckpointError
            If the disk refuses; the previous state is kept.
        """
        state: dict[str, Any] = {n: self._part(n).state_dict() for n in _PARTS}
        if self.average is not None:
            state["average"] = self.average.module.state_dict()
        write_state(
            self.state_file, {**state, "step": self.step, "minutes": self.minutes}
        )

    def progress(self) -> float:
        """Return the finished share of the schedule, by steps or by the clock."""
        share = self.step / self.config.steps
        if self.config.max_minutes:
            share = max(share, self.minutes / self.config.max_minutes)
        return min(share, 1.0)

    def fit(self, callback: Callable[[SuperpixelTrainer], bool] | None = None) -> CDS:
        """Train to the end of the schedule and return the network.

        Parameters
        ----------
        callback
            Called after each step; training ends when it returns ``False``.

        Raises
        ------
        CheckpointError
            If the disk refuses a state; the previous one is kept.
        """
        clear_drafts(self.state_file)
        save_config(self.output / "config.yaml", self.config)
        began, before = time.monotonic(), self.minutes
        saved = before
        window: list[dict[str, float]] = []
        self.model.train()
        with tqdm(total=self.config.steps, initial=self.step, unit="step") as bar:
            while self.progress() < 1:
                window.append(self.train_step())
                bar.update()
                self.minutes = before + (time.monotonic() - began) / 60
                if self.step % _LOG_EVERY == 0:
                    self._log(window, bar)
                    window = []
                if self.minutes - saved >= self.config.checkpoint_minutes:
                    self.save()
                    saved = self.minutes
                if callback is not None and not callback(self):
                    break
        self.save()
        return self.network

    def train_step(self) -> dict[str, float]:
        """Make one step on new crops; return its losses."""
        config = self.config
        self._set_pace()
        crops = draw_crops(
            self.folders, config.crops, config.batch_size, config.seed, self.step
        )
        image, labels = (self.fabric.to_device(part) for part in crops)
        losses, styles = self._losses(crops._replace(image=image, labels=labels))
        total = torch.stack(list(losses.values())).sum()
        self.optimiser.zero_grad()
        self.fabric.backward(total)
        if config.clip:
            self.fabric.clip_gradients(self.model, self.optimiser, max_norm=config.clip)
        self.optimiser.step()
        if styles is not None:
            self.estimator_optimiser.zero_grad()
            self.fabric.backward(self.estimator.learning_loss(*styles))
            self.estimator_optimiser.step()
        self.step += 1
        if self.average is not None:
            self.average.update_parameters(self.network)
        return {n: float(v.detach()) for n, v in {"loss": total, **losses}.items()}

    def _losses(
        self, crops: Crops
    ) -> tuple[dict[str, Tensor], tuple[Tensor, Tensor] | None]:
        """Return the weighted losses of a batch and the styles of both modalities."""
        config = self.config
        weights, image = config.losses, normalise(crops.image)
        if config.auxiliary == "none" or self.step % config.auxiliary_every:
            association, embedding = self.model.embed(image)
            return self._superpixel_losses(crops, association, embedding), None
        pair = self.model.forward_pair(
            image, auxiliary_modality(image, config.auxiliary)
        )
        losses = self._superpixel_losses(crops, pair.association, pair.embedding)
        losses["auxiliary"] = self._reconstruction(crops, pair.auxiliary_association)
        losses["alignment"] = weights.alignment * alignment_loss(
            pair.content, pair.auxiliary_content
        )
        if not config.gate:  # nothing is style
            return losses, None
        styles = pair.style, pair.auxiliary_style
        losses["information"] = weights.information * self.estimator(*styles)
        return losses, styles

    def _superpixel_losses(
        self, crops: Crops, association: Tensor, embedding: Tensor
    ) -> dict[str, Tensor]:
        """Return the losses of one modality."""
        weights = self.config.losses
        losses = {"superpixel": self._reconstruction(crops, association)}
        if weights.laplacian:
            losses["laplacian"] = weights.laplacian * laplacian_loss(association)
        if weights.embedding:
            random = torch.Generator().manual_seed(self.config.seed + self.step)
            losses["embedding"] = weights.embedding * embedding_loss(
                embedding, crops.labels, generator=random
            )
        return losses

    def _reconstruction(self, crops: Crops, association: Tensor) -> Tensor:
        """Return the superpixel loss of labels or colours."""
        weights = self.config.losses
        if weights.target == "colour":
            lab = to_lab(crops.image)
            return colour_loss(association, lab, weights.compactness)
        emphasis = None
        if weights.pure != 1:
            emphasis = boundary_weights(crops.labels, weights.pure)
        return superpixel_loss(association, crops.labels, weights.compactness, emphasis)

    def _set_pace(self) -> None:
        """Set the learning rates of the next step."""
        config, share = self.config, self.progress()
        warm = min(1.0, (share + 1e-4) / max(config.warmup, 1e-4))
        decay = (1 - share) ** _POWER
        if config.schedule == "cosine":
            decay = 0.5 * (1 + math.cos(math.pi * share))
        for group in self.optimiser.param_groups:
            kept = config.decay_biases_only and group["weights"]
            group["lr"] = config.lr * warm * (1.0 if kept else decay)

    def _part(self, name: str) -> Any:
        """Return a part of the state."""
        return {
            "model": self.network,
            "estimator": self._estimator,
            "optimiser": self._optimiser,
            "estimator_optimiser": self._estimator_optimiser,
        }[name]

    def _log(self, window: list[dict[str, float]], bar: Any) -> None:
        """Append the means of some steps to the log."""
        names = sorted({name for entry in window for name in entry})
        means = {n: np.mean([e[n] for e in window if n in e]) for n in names}
        bar.set_postfix(loss=float(means["loss"]))
        entry = {
            "step": self.step,
            "minutes": round(self.minutes, 2),
            "lr": self.optimiser.param_groups[-1]["lr"],
            **{name: round(float(value), 5) for name, value in means.items()},
        }
        with (self.output / "log.jsonl").open("a", encoding="utf-8") as log:
            log.write(json.dumps(entry) + "\n")


def build_network(config: SuperpixelConfig) -> CDS:
    """Return the network of a configuration, with its initial weights."""
    return CDS(
        config.width,
        config.content,
        auxiliary=config.auxiliary != "none",
        gate=config.gate,
        strict_reference=config.strict_reference,
        own_statistics=config.own_statistics,
    )


def _groups(network: nn.Module, config: SuperpixelConfig) -> list[dict[str, Any]]:
    """Return biases, which do not decay towards 0, and weights, which do.

    Scales of batch norm are weights, as their names say.
    """
    weights: list[nn.Parameter] = []
    biases: list[nn.Parameter] = []
    for name, parameter in network.named_parameters():
        (weights if name.endswith("weight") else biases).append(parameter)
    return [
        {"params": biases, "weight_decay": 0.0, "weights": False},
        {"params": weights, "weight_decay": config.weight_decay, "weights": True},
    ]
