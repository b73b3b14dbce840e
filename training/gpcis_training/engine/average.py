"""``gpcis-train average``: the mean of the weights of several checkpoints.

Weights of stages of one run lie in one basin, and their mean is often better than each
(Izmailov et al., *Averaging Weights Leads to Wider Optima and Better Generalization*,
2018). Weights of runs that have nothing in common have no mean worth having.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import torch

from gpcis_training.engine.export import fingerprint
from napari_gpcis.checkpoints import load_checkpoint, save_checkpoint
from napari_gpcis.errors import InputError

if TYPE_CHECKING:
    import argparse
    from collections.abc import Sequence

    from napari_gpcis.checkpoints import ModelInfo
    from napari_gpcis.model import ClickNetwork


def average(models: Sequence[str | Path], output: str | Path) -> ModelInfo:
    """Write the mean of the weights of some checkpoints of one network.

    Parameters
    ----------
    models
        Names or paths, two or more. Name, licence, training data and settings are
        those of the first.
    output
        The file to write (float16).

    Returns
    -------
    ModelInfo
        Notes written beside the weights; its ``extra`` names the checkpoints.

    Raises
    ------
    InputError
        If there are fewer than two, or they are not of one network and one set of
        options.
    CheckpointError, UnknownModelError
        If one cannot be read.
    """
    if len(models) < 2:
        msg = f"models must be two or more checkpoints, got {len(models)}"
        raise InputError(msg)
    mean, info = load_checkpoint(models[0])
    others = [load_checkpoint(name) for name in models[1:]]
    for name, (_, other) in zip(models[1:], others, strict=True):
        for what in ("architecture", "options"):
            if getattr(other, what) != getattr(info, what):
                msg = (
                    f"models must be of one network: {what} of {str(name)!r} is "
                    f"{getattr(other, what)}, of {str(models[0])!r} "
                    f"{getattr(info, what)}"
                )
                raise InputError(msg)
    _take_mean(mean, [model for model, _ in others])
    names = ", ".join(Path(name).name for name in models)
    notes = {"fingerprint": fingerprint(mean.state_dict()), "mean_of": names}
    written = replace(info, extra={**info.extra, **notes})
    save_checkpoint(Path(output), mean, written)
    return written


@torch.no_grad()
def _take_mean(model: ClickNetwork, others: Sequence[ClickNetwork]) -> None:
    """Replace every floating-point entry by the mean over all models, in place."""
    states = [other.state_dict() for other in others]
    for name, value in model.state_dict().items():
        if value.is_floating_point():
            value.copy_(torch.stack([value, *(s[name] for s in states)]).mean(0))


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of ``gpcis-train average``."""
    parser.add_argument("models", nargs="+", help="names or paths of checkpoints")
    parser.add_argument("-o", "--output", required=True, help="the file to write")


def run(arguments: argparse.Namespace) -> int:
    """Run ``gpcis-train average`` and return the exit status."""
    info = average(arguments.models, arguments.output)
    print(f"{arguments.output}: the mean of {info.extra['mean_of']}")
    return 0
