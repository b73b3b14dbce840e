"""State dicts in the layout of published files, random values."""

from __future__ import annotations

import json
from pathlib import Path

import torch
from torch import Tensor

from gpcis_training.initial_weights import focalclick as _focalclick

DATA = Path(__file__).parents[1] / "data"
FOCALCLICK = {
    "hrnet18s": ("focalclick_hrnet18s_s2_keys.json", _focalclick.hrnet18s_name),
    "segformer_b0": (
        "focalclick_segformerb0_s2_keys.json",
        _focalclick.segformer_b0_name,
    ),
}
# What an ImageNet file holds beside the encoder.
CLASSIFIERS = {
    "resnet50": {"fc.weight": (1000, 2048), "fc.bias": (1000,)},
    "hrnet18s": {
        "incre_modules.0.0.conv1.weight": (32, 18, 1, 1),
        "downsamp_modules.0.0.bias": (256,),
        "final_layer.0.weight": (2048, 1024, 1, 1),
        "classifier.weight": (1000, 2048),
    },
    "segformer_b0": {"head.weight": (1000, 256), "head.bias": (1000,)},
}


def keys(name: str) -> dict[str, tuple[int, ...]]:
    content = json.loads((DATA / FOCALCLICK[name][0]).read_text())
    return {key: tuple(shape) for key, shape in content.items()}


def values(shapes: dict[str, tuple[int, ...]]) -> dict[str, Tensor]:
    generator = torch.Generator().manual_seed(0)
    return {
        key: torch.rand(shape, generator=generator)
        if not key.endswith("num_batches_tracked")
        else torch.tensor(3)
        for key, shape in shapes.items()
    }


def imagenet(name: str) -> dict[str, Tensor]:
    """The published file: the encoder's official names and shapes, random values."""
    if name == "resnet50":
        own = json.loads((DATA / "gpcis_resnet50_keys.json").read_text())
        prefix = "model.backbone."
    else:
        own = keys(name)
        prefix = {"hrnet18s": "feature_extractor."}.get(
            name, "feature_extractor.backbone."
        )
    other = ("aux_head", "conv3x3_ocr", "ocr_", "cls_head", "patch_embed_side1")
    shapes = {
        key.removeprefix(prefix): tuple(shape)
        for key, shape in own.items()
        if key.startswith(prefix) and not key.removeprefix(prefix).startswith(other)
    }
    return values({**shapes, **CLASSIFIERS[name]})


def plausible(name: str) -> dict[str, Tensor]:
    """The same layout with values that a network can run on."""
    generator = torch.Generator().manual_seed(1)
    state = imagenet(name)
    for key, value in state.items():
        if value.ndim > 1:
            fan_in = value[0].numel()
            state[key] = torch.randn(value.shape, generator=generator) / fan_in**0.5
        elif key.endswith(("weight", "running_var")):
            state[key] = 1 + 0.1 * torch.rand(value.shape, generator=generator)
        elif value.is_floating_point():
            state[key] = 0.1 * torch.randn(value.shape, generator=generator)
    return state
