"""Start of a run: network, first weights, parameter groups, schedules."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import torch
from torch.nn.modules.batchnorm import _BatchNorm

from gpcis_training.initial_weights import load_initial_weights
from napari_gpcis.checkpoints import load_checkpoint
from napari_gpcis.errors import InputError
from napari_gpcis.model import TRAINING_EPSILON2, ClickNetwork, build_model

if TYPE_CHECKING:
    from pathlib import Path

    from gpcis_training.config import FitConfig, OptimiserConfig

ENCODER_PREFIXES = {
    "mobilenet_v2": ("model.stem.", "model.blocks.", "model.aspp"),
    "resnet50": ("model.",),  # decoder included, as published
    "hrnet18s": ("model.backbone.",),
    "efficientnet_lite0": ("model.image_tower.encoder.",),
    "efficientnet_lite0_deep": ("model.image_tower.encoder.",),
    "efficientnet_lite2": ("model.image_tower.encoder.",),
    "segformer_b0": ("model.backbone.", "maps_transform."),  # as in FocalClick
}
"""Names of the parameters of each network that learn at the encoder's rate."""
_BASIS = ("omega", "theta.")
_ROUNDING = 1e-6


def start_model(
    config: FitConfig, initial_weights: str | Path | None, start: str | Path | None
) -> ClickNetwork:
    """Build the network and give it the weights it starts from.

    A network without basis functions may start from one that has some, and one with
    added blocks from the one without, see `Backbone.additions`.

    Raises
    ------
    InputError
        If the network has no such options, the checkpoint is of another network or
        has other parameters, or nothing is called as ``zero_start`` says.
    """
    try:
        model = build_model(config.network, **config.options)
    except TypeError as error:
        msg = f"options of {config.network}: {error}"
        raise InputError(msg) from error
    if start is not None:
        _take_over(model, start)
    elif initial_weights is not None:
        load_initial_weights(model, initial_weights)
    for prefix in config.zero_start:
        _set_to_zero(model, prefix)
    return model


def parameter_groups(model: ClickNetwork, config: FitConfig) -> list[dict[str, Any]]:
    """Split the parameters: pre-trained encoder at a lower rate, rest at full."""
    prefixes = config.optimiser.encoder
    prefixes = prefixes or ENCODER_PREFIXES.get(config.network, ("model.",))
    encoder: list[torch.nn.Parameter] = []
    rest: list[torch.nn.Parameter] = []
    for name, parameter in model.named_parameters():
        (encoder if name.startswith(prefixes) else rest).append(parameter)
    factors = (config.optimiser.encoder_lr, 1.0)
    return [
        {"params": parameters, "factor": factor}
        for parameters, factor in zip((encoder, rest), factors, strict=True)
        if parameters
    ]


def progress(config: FitConfig, step: int, minutes: float) -> float:
    """Return the finished share of the schedule, by steps or by the clock."""
    share = step / config.steps
    if config.max_minutes:
        share = max(share, minutes / config.max_minutes)
    return min(share, 1.0)


def rate_factor(config: FitConfig, share: float) -> float:
    """Return the factor on the learning rate after a share of the run.

    A linear warm-up, times half a cosine down to 0 or a staircase.
    """
    optimiser = config.optimiser
    warm = min(1.0, (share + 1e-4) / max(optimiser.warmup, 1e-4))
    if optimiser.schedule == "cosine":
        return warm * 0.5 * (1 + math.cos(math.pi * share))
    return warm * _staircase(optimiser, share * (config.epochs or config.steps))


def noise(config: FitConfig, share: float) -> float:
    """Return ``epsilon^2``: from the start down to the published one, geometrically."""
    start, until = config.epsilon2_start, config.epsilon2_share
    left = max(0.0, 1 - share / until) if until > 0 else 0.0
    return float(TRAINING_EPSILON2 * (start / TRAINING_EPSILON2) ** left)


def to_channels_last(model: torch.nn.Module) -> None:
    """Lay 4-D parameters out channels last, in place: faster on CPUs and GPUs."""
    for parameter in model.parameters():
        if parameter.ndim == 4:
            parameter.data = parameter.data.contiguous(
                memory_format=torch.channels_last
            )


def freeze_statistics(model: torch.nn.Module) -> None:
    """Let batch norm layers keep their mean and variance, in place.

    Scale and shift still learn. Statistics of tiny batches of few images are worse
    than those that the network comes with.
    """
    for module in model.modules():
        if isinstance(module, _BatchNorm):
            module.eval()


def synchronise_statistics(model: ClickNetwork, device: torch.device) -> ClickNetwork:
    """Let batch norm layers take mean and variance over the batches of all devices.

    Raises
    ------
    InputError
        If the device is not a GPU: PyTorch synchronises on GPUs only.
    """
    if device.type != "cuda":
        msg = f"sync_statistics needs GPUs, this run is on {device.type!r}"
        raise InputError(msg)
    layer: Any = torch.nn.SyncBatchNorm  # PyTorch types it half
    converted = layer.convert_sync_batchnorm(model)
    assert isinstance(converted, ClickNetwork)
    return converted


def _take_over(model: ClickNetwork, start: str | Path) -> None:
    """Copy the weights of a checkpoint."""
    loaded, _ = load_checkpoint(start)
    state, own = loaded.state_dict(), model.state_dict()
    if not any(name.startswith(_BASIS) for name in own):
        state = {k: v for k, v in state.items() if not k.startswith(_BASIS)}
    added = tuple(f"model.{name}" for name in model.model.additions)
    if added and not any(name.startswith(added) for name in state):
        state |= {k: v for k, v in own.items() if k.startswith(added)}
    differ = sorted(
        name
        for name in state.keys() | own.keys()
        if name not in state or name not in own or state[name].shape != own[name].shape
    )
    if differ:
        named = ", ".join(differ[:3])
        msg = (
            f"start {str(start)!r} is of another network or has other options: "
            f"{len(differ)} parameters differ, such as {named}"
        )
        raise InputError(msg)
    model.load_state_dict(state)


@torch.no_grad()
def _set_to_zero(model: ClickNetwork, prefix: str) -> None:
    """Set the parameters whose names begin so to 0."""
    found = [p for name, p in model.named_parameters() if name.startswith(prefix)]
    if not found:
        msg = f"zero_start: no parameter's name begins with {prefix!r}"
        raise InputError(msg)
    for parameter in found:
        parameter.zero_()


def _staircase(optimiser: OptimiserConfig, position: float) -> float:
    """Return ``decay`` to the power of the milestones passed."""
    passed = sum(position + _ROUNDING >= stone for stone in optimiser.milestones)
    return float(optimiser.decay**passed)
