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
from napari_gpcis.model import GPCIS, ClickInput, Draws
from napari_gpcis.model.grid import Grid, locate

if TYPE_CHECKING:
    from lightning_fabric import Fabric
    from lightning_fabric.wrappers import _FabricModule, _FabricOptimizer
    from torch import Tensor, nn

    from gpcis_training.config import FitConfig
    from gpcis_training.engine.slots import Batch, ClickBatch
    from napari_gpcis.model import ClickNetwork, GPScores, Learned

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
        if self._config.iteration == "unroll":
            return self._unroll(click_batch, step)
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
        with self._fabric.autocast():  # Fabric leaves it out on a single device
            scores, variational = self._model.forward_train(inputs, points, draws=draws)
        focal = normalised_focal_loss(scores.logits.float(), target)
        loss = focal + self._auxiliary(target)
        if self._config.variational > 0:
            share = self._config.variational * self._share(batch)
            loss = loss + share * variational
        self._descend(loss, step)
        focal, variational = focal.detach(), variational.detach()
        return scores, {"loss": float(focal), "variational": float(variational)}

    def _descend(self, loss: Tensor, step: int) -> None:
        """Change the weights by the gradients of a loss."""
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

    def _unroll(self, click_batch: ClickBatch, step: int) -> dict[str, float]:
        """Make a step of several clicks on one encoding, see :class:`FitConfig`.

        Late clicks have an encoding of their own if it is of another size. Clicks on
        errors cost time outside the network, which counts as loading.
        """
        config = self._config
        began, outside = time.perf_counter(), 0.0
        batches = [click_batch.batch()]
        figures: dict[str, float] = {}
        probability = torch.empty(0)
        late: list[int] | None = None
        anew: ClickInput | None = None  # of the first late click, at its own size

        def follow(answer: Learned) -> ClickInput | None:
            nonlocal outside, probability, late, anew
            paused, count = time.perf_counter(), len(batches)
            logits = _enlarged(answer, config.augment.size).scores.logits
            current = logits.detach().float().sigmoid().cpu()
            iou = _iou(current, batches[-1].target)
            name = f"iou_{count - 1}" if late is None else f"late_{count - 1}"
            figures[name] = float(iou.mean())
            if late is None:
                probability = current
            following = None
            if count < config.unrolled_clicks + config.late_clicks:
                chosen = None
                if count == config.unrolled_clicks:
                    chosen = iou.argsort(stable=True)[: config.late_samples]
                    late, current = chosen.tolist(), current[chosen]
                click_batch.click(current, count - 1, late)
                batches.append(click_batch.batch(count, late))
                given = self._click_input(batches[-1], step, chosen)
                if chosen is not None and config.early_size:
                    anew = given._replace(chosen=None)
                else:
                    size = config.early_size if late is None else 0
                    following = _reduced(given, size)
            outside += time.perf_counter() - paused
            return following

        device = self._fabric.device
        rgb = batches[0].inputs[:, :3].to(device, memory_format=torch.channels_last)
        first = self._click_input(batches[0], step)
        early = _resized(rgb, config.early_size), _reduced(first, config.early_size)
        with self._fabric.autocast():  # Fabric leaves it out on a single device
            answers = self._model.unroll(*early, follow)
            if anew is not None:
                answers += self._model.unroll(rgb[late], anew, follow)
        answers = [_enlarged(answer, config.augment.size) for answer in answers]
        loss, means = self._unrolled_loss(answers, batches)
        self._descend(loss, step)
        trained = time.perf_counter()
        click_batch.advance(probability)
        loading = time.perf_counter() - trained + outside
        unrolled = [v for name, v in figures.items() if name.startswith("iou_")]
        figures["iou"] = sum(unrolled) / len(unrolled)
        return {
            **figures,
            **means,
            "compute": trained - began - outside,
            "loading": loading,
        }

    def _click_input(
        self, batch: Batch, step: int, chosen: Tensor | None = None
    ) -> ClickInput:
        """Return a batch as a network takes it, besides the image."""
        device = self._fabric.device
        previous, draws = batch.inputs[:, 3:].to(device), self._draws(batch, step)
        if chosen is not None:
            chosen = chosen.to(device)
        return ClickInput(batch.points.to(device), previous, draws, chosen)

    def _unrolled_loss(
        self, answers: list[Learned], batches: list[Batch]
    ) -> tuple[Tensor, dict[str, float]]:
        """Return the loss of all answers, and the means of its terms."""
        config = self._config
        device = self._fabric.device
        weights = self._answer_weights()
        loss = torch.zeros((), device=device)
        terms: dict[str, list[float]] = {"loss": [], "variational": [], "quality": []}
        for answer, batch, weight in zip(answers, batches, weights, strict=True):
            target = batch.target.to(device)
            focal = normalised_focal_loss(answer.scores.logits.float(), target)
            own = focal
            if config.variational > 0:
                own = own + config.variational * self._share(batch) * answer.loss
            if answer.quality is not None and config.quality > 0:
                quality = quality_loss(answer.quality, answer.scores, target)
                own = own + config.quality * quality
                terms["quality"].append(float(quality.detach()))
            loss = loss + weight * own
            terms["loss"].append(float(focal.detach()))
            terms["variational"].append(float(answer.loss.detach()))
        return loss, {
            name: sum(values) / len(values) for name, values in terms.items() if values
        }

    def _answer_weights(self) -> list[float]:
        """Return the weights of the answers of a step: 1 for all but the late ones."""
        config = self._config
        weights = config.click_weights or (1.0,) * config.unrolled_clicks
        share = config.late_samples / config.batch_size / config.unrolled_clicks
        late = [share] * config.late_clicks
        return [weight / sum(weights) for weight in weights] + late

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


def _resized(maps: Tensor, size: int) -> Tensor:
    """Resize square maps ``(B, C, S, S)``, as in use; 0 leaves them as they are."""
    if size in (0, maps.shape[-1]):
        return maps
    small = functional.interpolate(maps, (size, size), mode="bilinear", antialias=True)
    return small.contiguous(memory_format=torch.channels_last)


def _reduced(given: ClickInput, size: int) -> ClickInput:
    """Return clicks and previous mask in a smaller frame; 0 leaves them as they are."""
    whole = given.previous.shape[-1]
    if size in (0, whole):
        return given
    places = (given.points[..., :2] + 0.5) * (size / whole) - 0.5
    places = places.clamp(min=0)  # below 0 there would be no click
    moved = torch.cat([places, given.points[..., 2:]], dim=-1)
    points = torch.where(given.points[..., :1] >= 0, moved, given.points)
    return given._replace(points=points, previous=_resized(given.previous, size))


def _enlarged(answer: Learned, size: int) -> Learned:
    """Return an answer whose scores have the size of the samples."""
    logits = answer.scores.logits
    if logits.shape[-1] == size:
        return answer
    logits = functional.interpolate(logits, (size, size), mode="bilinear")
    return answer._replace(scores=answer.scores._replace(logits=logits))


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


def quality_loss(quality: Tensor, scores: GPScores, target: Tensor) -> Tensor:
    """Return the binary cross-entropy of the predicted IoU with the true one.

    Parameters
    ----------
    quality
        Logit of the predicted IoU, ``(B,)``.
    scores
        Scores of the mask.
    target
        Shape ``(B, 1, H, W)``: 1 object, 0 background, -1 neither.

    Returns
    -------
    Tensor
        Scalar: the mean over the batch, least where the prediction is the IoU.
    """
    iou = _iou(scores.logits.detach().float().sigmoid(), target)
    return functional.binary_cross_entropy_with_logits(quality.float(), iou)


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
    iou = _iou(probability, batch.target)
    means = {"iou": float(iou.mean())}
    for step in range(int(batch.slot_step.max()) + 1):
        chosen = batch.slot_step == step
        if bool(chosen.any()):
            means[f"iou_{step}"] = float(iou[chosen].mean())
    return means


def _iou(probability: Tensor, target: Tensor) -> Tensor:
    """Return the IoU of each mask over pixels with a label, ``(B,)``."""
    predicted, wanted = (probability > 0.5) & (target >= 0), target > 0.5
    both = (predicted & wanted).sum(dim=(1, 2, 3))
    either = (predicted | wanted).sum(dim=(1, 2, 3)).clamp(min=1)
    return both / either
