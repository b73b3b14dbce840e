"""FocalClick's networks of the same two architectures, brought to our names.

All of their encoder and decoder is used. What is left out: the last 1x1 convolution
(a classifier there, the features of the Gaussian process here), the refiner, and the
Conv1S branch that their SegFormer holds but does not use.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from gpcis_training.initial_weights.files import fill
from gpcis_training.initial_weights.mit_names import nvidia_name

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from torch import Tensor

    from napari_gpcis.model import ClickNetwork

_NETWORK = "feature_extractor."
_GUIDANCE = "maps_transform."
_LAST_LAYERS = ("model.ocr.cls_head.", "model.decoder.predict.")

_OCR = re.compile(r"(aux_head|conv3x3_ocr|ocr_distri_head)\..*")
_DECODER_PROJECTION = re.compile(r"decode_head\.linear_c([1-4])\.proj\.(.*)")


def is_focalclick(state: Mapping[str, Tensor]) -> bool:
    """Return ``True`` for the state dict of a whole FocalClick (or RITM) network."""
    return any(key.startswith(_NETWORK) for key in state)


def hrnet18s_name(key: str) -> str | None:
    """Return our name for one of ``hrnet18s_s2``; ``None`` if it has no use."""
    if key.startswith(_GUIDANCE):
        return key
    if not key.startswith(_NETWORK):
        return None
    rest = key.removeprefix(_NETWORK)
    if rest.startswith("cls_head."):
        return None
    return f"model.ocr.{rest}" if _OCR.fullmatch(rest) else f"model.backbone.{rest}"


def segformer_b0_name(key: str) -> str | None:
    """Return our name for one of ``segformerB0_s2``; ``None`` if it has no use."""
    if not key.startswith(_NETWORK):
        return None
    part, _, rest = key.removeprefix(_NETWORK).partition(".")
    if part == "backbone":
        if rest.startswith("patch_embed_side1."):
            return _GUIDANCE + rest.removeprefix("patch_embed_side1.")
        name = nvidia_name(rest)
        return None if name is None else f"model.backbone.{name}"
    projection = _DECODER_PROJECTION.fullmatch(f"{part}.{rest}")
    if projection is not None:
        return f"model.decoder.project.{int(projection[1]) - 1}.{projection[2]}"
    for theirs, ours in (("linear_fuse.conv.", "fuse."), ("linear_fuse.bn.", "norm.")):
        if rest.startswith(theirs):
            return f"model.decoder.{ours}{rest.removeprefix(theirs)}"
    return None


def names_to_fill(model: ClickNetwork) -> list[str]:
    """Return all names of a network that such a checkpoint has weights for."""
    return [
        name
        for name in model.state_dict()
        if name.startswith(("model.", _GUIDANCE)) and not name.startswith(_LAST_LAYERS)
    ]


def load(
    model: ClickNetwork,
    state: Mapping[str, Tensor],
    rename: Callable[[str], str | None],
    source: str,
) -> int:
    """Fill encoder, decoder and click layers; return the number of layers."""
    pairs = ((rename(key), value) for key, value in state.items())
    ours = {name: value for name, value in pairs if name is not None}
    return fill(model, ours, names_to_fill(model), f"FocalClick's network ({source})")
