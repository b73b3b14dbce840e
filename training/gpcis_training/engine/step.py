"""One training step and its losses: forward, loss, backward, next clicks."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

import torch
from torch.nn import functional

from gpcis_training.engine.start import freeze_statistics
from gpcis_training.seeds import Stream, generator
from napari_gpcis.backbones.hrnet18s import OCRHead
from napari_gpcis.errors import InputError
from napari_gpcis.model import GPCIS, Draws
from napari_gpcis.model.grid import Grid, locate

if TYPE_CHECKING:
    from lightning_fabric import Fabric
    from lightning_fabric.wrappers import _FabricModule, _FabricOptimizer
    from torch import Tensor, nn

    from gpcis_training.config import FitConfig
    from gpcis_training.engine.slots import Batch, ClickBatch
    from napari_gpcis.model import ClickNetwork, GPScores

_LARGEST_SEED = 2**31
_EPS = 1e-12


class TrainingStep:
    """Training step, called once for each step of a run.

    Random numbers of a step depend on the seed, the step and, where they belong to a
    sample, on the sample. So a resumed run and a run on several devices draw those of
    an uninterrupted one. Only layers that drop branches or channels draw differently
    on each device.

    Parameters
    ----------
    fabric
        Runs on one device or many.
    model, optimiser
        As set up by Fabric.
    network
        The network itself, without what Fabric wraps around it.
    config
        The run.
    """

    def __init__(
        self,
        fabric: Fabric,
        model: _FabricModule,
        optimiser: _FabricOptimizer,
        network: ClickNetwork,
        config: FitConfig,
    ) -> None:
        self._fabric, self._config = fabric, config
        self._model, self._optimiser, self._network = model, optimiser, network
        self._auxiliary = AuxiliaryLoss(network, config.auxiliary)

    def train_mode(self) -> None:
        """Switch training behaviour on, batch norm as the configuration says."""
        self._model.train()
        if self._config.frozen_statistics:
            freeze_statistics(self._network)

    def __call__(self, click_batch: ClickBatch, step: int) -> dict[str, float]:
        """Make a step and return its figures.

        Parameters
        ----------
        click_batch
            The samples; it takes the output.
        step
            Number of the step.

        Raises
        ------
        InputError
            If the loss is not finite.
        """
        began = time.perf_counter()
        if self._config.iteration == "passes":
            self._passes(click_batch, step)
        batch = click_batch.batch()
        scores, losses = self.learn(batch, step)
        probability = scores.logits.detach().float().sigmoid().cpu()
        trained = time.perf_counter()
        click_batch.advance(probability)
        return {
            **losses,
            **_batch_iou(probability, batch),
            "compute": trained - began,
            "loading": time.perf_counter() - trained,
        }

    def learn(self, batch: Batch, step: int) -> tuple[GPScores, dict[str, float]]:
        """Change the weights by one batch; return its scores and losses."""
        device = self._fabric.device
        inputs = batch.inputs.to(device, memory_format=torch.channels_last)
        points, target = batch.points.to(device), batch.target.to(device)
        draws = self._draws(batch, step)
        scores, variational = self._model.forward_train(inputs, points, draws=draws)
        focal = normalised_focal_loss(scores.logits.float(), target)
        loss = focal + self._auxiliary(target)
        if self._config.variational > 0:
            share = self._config.variational * self._share(batch)
            loss = loss + share * variational
        if not bool(torch.isfinite(loss)):
            msg = f"the loss became {float(loss.detach())} at step {step}"
            raise InputError(msg)
        self._fabric.backward(loss)
        if self._config.optimiser.clip > 0:
            self._fabric.clip_gradients(
                self._model, self._optimiser, max_norm=self._config.optimiser.clip
            )
        self._optimiser.step()
        self._optimiser.zero_grad()
        focal, variational = focal.detach(), variational.detach()
        return scores, {"loss": float(focal), "variational": float(variational)}

    def _draws(self, batch: Batch, step: int) -> Draws | None:
        """Return the random numbers of a step, and seed the layers that draw some."""
        seed, device = self._config.seed, self._fabric.device
        layers = generator(seed, Stream.LAYERS, step, self._fabric.global_rank)
        torch.manual_seed(int(layers.integers(_LARGEST_SEED)))
        if not isinstance(self._network, GPCIS):
            return None
        noise, omega = batch.noise.to(device), self._network.omega
        if omega is None:
            return Draws(noise, None)
        weight = generator(seed, Stream.WEIGHT, step)
        basis = weight.standard_normal(tuple(omega.shape), dtype="float32")
        return Draws(noise, torch.from_numpy(basis).to(device))

    def _share(self, batch: Batch) -> float:
        """Return the weight of this device's mean over clicks in that over all."""
        if self._fabric.world_size == 1 or not isinstance(self._network, GPCIS):
            return 1.0
        stride, size = self._network.gp_stride, tuple(batch.target.shape[-2:])
        shape = tuple(-(-side // stride) for side in size)
        cells = locate(batch.points, size, Grid(batch.points, None, shape, stride))
        own = cells.used.sum().to(self._fabric.device, torch.float64)
        everyone = self._fabric.all_reduce(own.clone(), reduce_op="sum")
        assert isinstance(everyone, torch.Tensor)
        return float(own / everyone) * self._fabric.world_size

    @torch.no_grad()
    def _passes(self, click_batch: ClickBatch, step: int) -> None:
        """Simulate earlier clicks by passes of the network, as published.

        The number of passes is drawn for the whole batch; the network is in
        evaluation mode meanwhile and keeps the noise of training.
        """
        most = self._config.max_extra_clicks
        rng = generator(self._config.seed, Stream.PASSES, step)
        count = int(rng.integers(most + 1))
        if count == 0:
            return
        self._network.eval()
        for passes in range(count):
            batch = click_batch.batch()
            inputs = batch.inputs.to(
                self._fabric.device, memory_format=torch.channels_last
            )
            with self._fabric.autocast():
                scores = self._network(inputs, batch.points.to(self._fabric.device))
            click_batch.click(scores.logits.float().sigmoid().cpu(), passes)
        self.train_mode()


def normalised_focal_loss(
    logits: Tensor,
    target: Tensor,
    alpha: float = 0.5,
    gamma: float = 2.0,
    ignore: float = -1.0,
) -> Tensor:
    """Return the normalised focal loss, averaged over the batch.

    With ``p_t`` the probability of the true class, ``beta = (1 - p_t)^gamma`` and the
    detached multiplier ``M = n / sum(beta)`` of each image, the loss of a pixel is
    ``-alpha beta M log p_t``; that of an image is the mean over its ``n`` valid pixels.
    ``beta`` itself is differentiated.

    Parameters
    ----------
    logits
        Shape ``(B, 1, H, W)``.
    target
        Shape ``(B, 1, H, W)``: 1 object, 0 background, ``ignore`` neither.
    alpha, gamma
        Weight and focusing exponent.
    ignore
        Value of pixels without a label.

    Returns
    -------
    Tensor
        Scalar.
    """
    valid = target != ignore
    probability = logits.sigmoid()
    right = torch.where(valid, 1 - (target - probability).abs(), 1.0)
    beta = (1 - right) ** gamma
    count = valid.sum(dim=(1, 2, 3), keepdim=True)
    multiplier = count / (beta.sum(dim=(1, 2, 3), keepdim=True) + _EPS)
    log_right = (right + _EPS).clamp(max=1.0).log()
    loss = -alpha * beta * multiplier.detach() * log_right * valid
    return (loss.sum(dim=(1, 2, 3)) / (count.flatten() + _EPS)).mean()


class AuxiliaryLoss:
    """Binary cross-entropy on the guess from which the region is gathered (RITM).

    Without it the guess is trained only through the region's feature, which may turn
    out to be that of anything. A network without such a head has a loss of 0.

    Parameters
    ----------
    model
        The network. Its forward pass is watched: call the loss once after each.
    weight
        Factor on the loss.
    """

    def __init__(self, model: nn.Module, weight: float) -> None:
        self.weight = weight
        self._guess: Tensor | None = None
        heads = [part for part in model.modules() if isinstance(part, OCRHead)]
        if weight > 0 and heads:
            heads[0].aux_head.register_forward_hook(self._keep)

    def __call__(self, target: Tensor, ignore: float = -1.0) -> Tensor:
        """Return the weighted loss of the last forward pass.

        Parameters
        ----------
        target
            Shape ``(B, 1, H, W)``: 1 object, 0 background, ``ignore`` neither.
        ignore
            Value of pixels without a label.

        Returns
        -------
        Tensor
            Scalar: the mean over pixels with a label.
        """
        if self._guess is None:
            return target.new_zeros(())
        guess, self._guess = self._guess.float(), None
        logits = functional.interpolate(
            guess, size=target.shape[-2:], mode="bilinear", align_corners=True
        )
        valid = (target != ignore).to(logits)
        entropy = functional.binary_cross_entropy_with_logits(
            logits, target.clamp(min=0), weight=valid, reduction="sum"
        )
        return self.weight * entropy / valid.sum().clamp(min=1)

    def _keep(self, module: nn.Module, inputs: tuple[Tensor, ...], out: Tensor) -> None:
        del module, inputs
        self._guess = out if torch.is_grad_enabled() else None


def _batch_iou(probability: torch.Tensor, batch: Batch) -> dict[str, float]:
    """Return the mean IoU, overall and by the samples' steps in their slots."""
    predicted, target = probability > 0.5, batch.target > 0.5
    both = (predicted & target).sum(dim=(1, 2, 3))
    either = (predicted | target).sum(dim=(1, 2, 3)).clamp(min=1)
    iou = both / either
    means = {"iou": float(iou.mean())}
    for step in range(int(batch.slot_step.max()) + 1):
        chosen = batch.slot_step == step
        if bool(chosen.any()):
            means[f"iou_{step}"] = float(iou[chosen].mean())
    return means
