"""Initial weights of SegFormer-B0: MiT-B0 of ImageNet, or FocalClick's network.

The architecture is free; NVIDIA's weights are for non-commercial use, and so is what
is trained from them.
"""

from __future__ import annotations

import logging
import re
from typing import TYPE_CHECKING

import torch

from gpcis_training.initial_weights import focalclick
from gpcis_training.initial_weights.files import fill, read_state_dict
from gpcis_training.initial_weights.mit_names import nvidia_name, transformers_name
from napari_gpcis.errors import CheckpointError

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from torch import Tensor

    from napari_gpcis.model import ClickNetwork

_logger = logging.getLogger(__name__)

_LICENCE = (
    "%s: the MiT-B0 weights are NVIDIA's, licensed for non-commercial use only; "
    "so is every network trained from them"
)
_KEYS = re.compile(r"(.*\.attention\.self\.)key(\..*)")


def load_segformer_b0(model: ClickNetwork, path: Path) -> int:
    """Fill the encoder from ``mit_b0``, without its classifier, and log the licence.

    The names may be NVIDIA's (``block1.0.attn.q``) or those of transformers
    (``segformer.encoder.block.0.0.attention.self.query``). A FocalClick checkpoint
    (``segformerB0_s2``) gives the decoder and the embedding of clicks, too. All of
    these weights are licensed for non-commercial use only.
    """
    state = read_state_dict(path)
    if focalclick.is_focalclick(state):
        count = focalclick.load(model, state, focalclick.segformer_b0_name, path.name)
    else:
        encoder = model.get_submodule("model.backbone")
        names = encoder.state_dict().keys()
        source = f"mit_b0 ({path.name})"
        count = fill(encoder, renamed(state, path.name), names, source)
    _logger.warning(_LICENCE, path.name)
    return count


def renamed(state: Mapping[str, Tensor], source: str) -> dict[str, Tensor]:
    """Return the encoder of a ``mit_b0`` state dict under our names.

    Parameters
    ----------
    state
        In NVIDIA's naming or that of transformers; classifiers are left out.
    source
        For messages.

    Raises
    ------
    CheckpointError
        If the naming is neither.
    """
    if any("attention.self." in key for key in state):
        names = {key: transformers_name(key) for key in state}
        state = _join_keys_and_values(state)
    else:
        names = {key: nvidia_name(key) for key in state}
    ours = {
        name: state[key]
        for key, name in names.items()
        if name is not None and key in state
    }
    if not ours:
        msg = f"{source}: no mit_b0 state dict (keys 'block1.0.attn.q.weight')"
        raise CheckpointError(msg)
    return ours


def _join_keys_and_values(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Stack the layers of keys and values: one layer, keys first, named as keys."""
    joined = dict(state)
    for name in state:
        match = _KEYS.fullmatch(name)
        if match is not None:
            value = joined.pop(f"{match[1]}value{match[2]}", None)
            if value is not None:
                joined[name] = torch.cat([state[name], value])
    return joined
