"""Trainer of learned alternatives: a small head on a frozen network."""

from __future__ import annotations

import json
import math
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch.nn import functional
from tqdm import tqdm

from gpcis_training.alternatives.losses import alternatives_loss
from gpcis_training.alternatives.samples import (
    SceneBlocks,
    click_again,
    joined,
    make_targets,
)
from gpcis_training.config import save_config
from gpcis_training.engine.state import clear_drafts, read_state, write_state
from gpcis_training.engine.trainer import start_average
from gpcis_training.seeds import Stream, generator
from napari_gpcis.checkpoints import ModelInfo, load_checkpoint
from napari_gpcis.checkpoints.proposals import ARCHITECTURE, load_proposals
from napari_gpcis.checkpoints.weights import fill_network, save_weights
from napari_gpcis.errors import CheckpointError, InputError
from napari_gpcis.inference.torch_cpu import TorchCPUModel
from napari_gpcis.model import GPCIS, ProposalHead
from napari_gpcis.model.proposal_head import ProposalInput

if TYPE_CHECKING:
    import os

    from torch import Tensor

    from gpcis_training.alternatives.config import AlternativesConfig
    from gpcis_training.alternatives.samples import ClickSample
    from napari_gpcis.model.base import Encoded
    from napari_gpcis.model.click_posterior import GridPosterior

_LOG_EVERY = 25


class AlternativesTrainer:
    """One training run in a folder.

    Parameters
    ----------
    config
        The run.
    model
        Name or checkpoint of the network whose features are used; it is not changed.
    data_root
        Folder below which the configuration's data paths lie.
    output
        Folder for the state (``state.pt``), the log (``log.jsonl``) and the weights
        (``MODEL.safetensors``).
    progress
        Show a bar.

    Attributes
    ----------
    head
        What is trained.
    step
        Steps so far.
    figures
        Figures of the last step: ``loss``; mean IoU of the mask itself (``plain``), of
        the best mask (``best``) and of that rated best (``selected``).

    Raises
    ------
    InputError
        If the network has no Gaussian process or no fingerprint, or the data cannot
        be used.
    """

    def __init__(
        self,
        config: AlternativesConfig,
        model: str | os.PathLike[str],
        data_root: str | Path,
        output: str | Path,
        *,
        progress: bool = True,
    ) -> None:
        network, self.model_info = load_checkpoint(model)
        known = self.model_info.extra.get("fingerprint")
        if not isinstance(network, GPCIS) or known is None:
            msg = f"{self.model_info.name} has no Gaussian process or no fingerprint"
            raise InputError(msg)
        self.config, self._fingerprint = config, known
        self.network = TorchCPUModel(network)
        self.samples = SceneBlocks(
            [entry.open(Path(data_root)) for entry in config.data],
            config,
            self.network,
        )
        self.output = Path(output)
        self.output.mkdir(parents=True, exist_ok=True)
        torch.manual_seed(config.seed)
        self.options = self._head_options(network)
        self.head = ProposalHead(**self.options)
        self.average = start_average(self.head, config.average)
        self.optimiser = torch.optim.AdamW(self.head.parameters(), weight_decay=1e-4)
        self.step, self.minutes = 0, 0.0
        self.figures: dict[str, float] = {}
        self._start = ""  # the model of the alternatives that it began with
        self._progress = progress

    @property
    def state_file(self) -> Path:
        """File of the resumable state."""
        return self.output / "state.pt"

    @property
    def checkpoint(self) -> Path:
        """File of the trained weights."""
        return self.output / f"{self.model_info.name}.safetensors"

    def start_from(self, path: str | os.PathLike[str]) -> None:
        """Begin with the weights of other alternatives, before the first step.

        Those of a model with nearly the same features, from which this one was
        trained on, need a fraction of the steps.

        Parameters
        ----------
        path
            Their file.

        Raises
        ------
        CheckpointError
            If the file is missing, damaged, or of a head of another shape.
        InputError
            If its proposals are of other kinds.
        """
        head, info = load_proposals(path)
        if list(info.options["kinds"]) != list(self.options["kinds"]):
            msg = (
                "alternatives to begin with must have the kinds "
                f"{self.options['kinds']}, {path} has {info.options['kinds']}"
            )
            raise InputError(msg)
        fill_network(self.head, head.state_dict(), Path(path))
        self.average = start_average(self.head, self.config.average)
        self._start = info.extra.get("model", "")

    def resume(self) -> bool:
        """Load the last state of the folder; ``False`` if there is none.

        The run goes on as if it had not been stopped, bit by bit on one machine,
        unless ``max_minutes`` ties the schedule to the clock.

        Raises
        ------
        CheckpointError
            If the state is damaged or from another configuration, model or data.
        """
        if not self.state_file.is_file():
            return False
        state = read_state(self.state_file)
        try:
            if state["recipe"] != self._identity():
                msg = "its configuration or model differ"
                raise ValueError(msg)
            self.head.load_state_dict(state["head"])
            self.optimiser.load_state_dict(state["optimiser"])
            if self.average is not None:
                self.average.module.load_state_dict(state["average"])
                self.average.n_averaged.fill_(state["step"])
            self.step, self.minutes = state["step"], state["minutes"]
            self._start = state["start"]
        except (KeyError, RuntimeError, ValueError) as error:
            reason = str(error).partition("\n")[0]
            msg = f"{str(self.state_file)!r} is not from this run: {reason}"
            raise CheckpointError(msg) from error
        return True

    def save(self) -> None:
        """Write the state and the weights; older files are replaced by complete ones.

        Raises
        ------
        CheckpointError
            If the disk refuses.
        """
        state: dict[str, Any] = {
            "recipe": self._identity(),
            "head": self.head.state_dict(),
            "optimiser": self.optimiser.state_dict(),
            "step": self.step,
            "minutes": self.minutes,
            "start": self._start,
        }
        if self.average is not None:
            state["average"] = self.average.module.state_dict()
        write_state(self.state_file, state)
        self.export()

    def export(self) -> None:
        """Write the weights, averaged if the run keeps an average.

        Raises
        ------
        CheckpointError
            If the disk refuses.
        """
        head = self.head if self.average is None else self.average.module
        info, config = self.model_info, self.config
        notes = {
            "model": self._fingerprint,
            "steps": str(self.step),
            "samples": str(self.step * config.batch_size),
            "minutes": f"{self.minutes:.0f}",
            "recipe": json.dumps(config.recipe(), sort_keys=True),
        }
        if self._start:
            notes["start"] = self._start
        description = ModelInfo(
            name=info.name,
            architecture=ARCHITECTURE,
            options=self.options,
            licence=config.licence or info.licence,
            training_data=config.training_data or info.training_data,
            description=f"Alternatives of {info.name}",
            extra=notes,
        )
        save_weights(self.checkpoint, head.state_dict(), description, half=True)

    def fit(self, most: int | None = None) -> Path:
        """Train to the end of the schedule and return the file of the weights.

        Parameters
        ----------
        most
            Stop after so many steps of this call, with the state written; ``None``:
            at the end.

        Raises
        ------
        CheckpointError
            If the disk refuses, or the loss is no finite number any more.
        """
        clear_drafts(self.state_file)
        save_config(self.output / "config.yaml", self.config)
        self.head.train()
        until = math.inf if most is None else self.step + most
        began, before, saved = time.monotonic(), self.minutes, self.minutes
        window: list[dict[str, float]] = []
        bar = tqdm(
            total=self.config.steps,
            initial=self.step,
            unit="step",
            disable=not self._progress,
        )
        with bar:
            while self.share < 1 and self.step < until:
                window.append(self.make_step())
                bar.update()
                self.minutes = before + (time.monotonic() - began) / 60
                if self.step % _LOG_EVERY == 0:
                    bar.set_postfix(self._log(window))
                    window.clear()
                if self.minutes - saved >= self.config.checkpoint_minutes:
                    self.save()
                    saved = self.minutes
        self.save()
        return self.checkpoint

    @property
    def share(self) -> float:
        """Finished share of the schedule, by steps or by the clock."""
        by_steps = self.step / self.config.steps
        if self.config.max_minutes is None:
            return by_steps
        return max(by_steps, self.minutes / self.config.max_minutes)

    def make_step(self) -> dict[str, float]:
        """Make one step and return its figures, see :attr:`figures`.

        Raises
        ------
        CheckpointError
            If the loss is no finite number; the state on disk is from before.
        """
        config = self.config
        first = self.step * config.batch_size
        samples = [self.samples.sample(first + k) for k in range(config.batch_size)]
        rng = generator(config.seed, Stream.DURATION, self.step)
        previous = torch.zeros(
            len(samples), 1, config.augment.size, config.augment.size
        )
        given = self._answer(samples, previous)
        if rng.random() < config.draw.more_clicks:
            size = previous.shape[-2:]
            before = torch.cat([one.prior + one.update for one in given[0]])
            before = functional.interpolate(before, size=size, mode="bilinear")
            previous = before.sigmoid()
            samples = [
                click_again(sample, mask.numpy(), rng)
                for sample, mask in zip(samples, previous[:, 0], strict=True)
            ]
            given = self._answer(samples, previous)
        grids, inputs = given
        residuals, wide = self.head(inputs)
        plain = torch.cat([grid.prior + grid.update for grid in grids])
        changes = torch.cat(
            [
                one[None] - grid.correction(one[None])
                for one, grid in zip(residuals, grids, strict=True)
            ]
        )
        logits = torch.cat([plain, plain + changes], dim=1)
        height, width = plain.shape[-2:]
        targets = make_targets(samples, (height, width), config.loss.meant)
        found = alternatives_loss(
            logits, self.head.rate(wide, logits), targets, config.kinds, config.loss
        )
        self._learn(found.total)
        self.figures = {
            "loss": float(found.total.detach()),
            "plain": float(found.plain),
            "best": float(found.best),
            "selected": float(found.selected),
        }
        return self.figures

    def _answer(
        self, samples: list[ClickSample], previous: Tensor
    ) -> tuple[list[GridPosterior], ProposalInput]:
        """Return what the frozen network says about the clicks of samples."""
        parts = [sample.scene.encoded for sample in samples]
        encoded = joined(parts)
        points = torch.from_numpy(np.stack([sample.points for sample in samples]))
        grids, inputs = [], []
        with torch.no_grad():
            raw = self.network.features(encoded, points, previous)
            for row, part in enumerate(parts):
                own = points[row : row + 1]
                posterior = self.network.click_posterior(part, raw[row : row + 1])
                grids.append(posterior.on_grid(own))
                inputs.append(posterior.proposal_input(grids[-1], own))
        context = zip(*(one.context for one in inputs), strict=True)
        return grids, ProposalInput(
            torch.cat([one.raw for one in inputs]),
            tuple(torch.cat(maps) for maps in context),
            torch.cat([one.guides for one in inputs]),
        )

    def _learn(self, loss: Tensor) -> None:
        """Make one step of the optimiser."""
        if not bool(torch.isfinite(loss)):
            msg = f"the loss is {float(loss)} at step {self.step}; a lower lr may help"
            raise CheckpointError(msg)
        options = self.config.optimiser
        warm = min(1.0, self.share / options.warmup) if options.warmup > 0 else 1.0
        if options.warmup > 0 and self.step == 0:
            warm = 1 / max(options.warmup * self.config.steps, 1)
        rate = options.lr * warm * 0.5 * (1 + math.cos(math.pi * self.share))
        for group in self.optimiser.param_groups:
            group["lr"] = rate
        self.optimiser.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        if options.clip > 0:
            torch.nn.utils.clip_grad_norm_(self.head.parameters(), options.clip)
        self.optimiser.step()
        self.step += 1
        if self.average is not None:
            self.average.update_parameters(self.head)

    def _head_options(self, network: GPCIS) -> dict[str, Any]:
        """Return the options of a head for a network, from a trial on black."""
        empty = torch.zeros(1, 3, 64, 64)
        points = torch.full((1, 2, 3), -1.0)
        with torch.no_grad():
            encoded: Encoded = network.encode(empty)
            raw = network.features(encoded, points, empty[:, :1])
            context = network.model.context(encoded.features, points)
        config = self.config
        return {
            "features": raw.shape[1],
            "context": [maps.shape[1] for maps in context],
            "kinds": list(config.kinds),
            "width": config.width,
            "fine_width": config.fine_width,
            "dilations": list(config.dilations),
        }

    def _identity(self) -> str:
        """Return what decides the run but its length."""
        free = ("steps", "max_minutes", "checkpoint_minutes")
        recipe = {k: v for k, v in self.config.recipe().items() if k not in free}
        return json.dumps([recipe, self._fingerprint])

    def _log(self, window: list[dict[str, float]]) -> dict[str, float]:
        """Write means of the last steps to the log and return them."""
        means = {
            name: round(float(np.mean([figures[name] for figures in window])), 5)
            for name in window[0]
        }
        entry = {"step": self.step, **means, "minutes": round(self.minutes, 2)}
        with (self.output / "log.jsonl").open("a", encoding="utf-8") as log:
            log.write(json.dumps(entry) + "\n")
        return means
