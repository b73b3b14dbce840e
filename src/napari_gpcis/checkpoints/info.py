"""What a checkpoint says about itself."""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass, field, fields
from typing import TYPE_CHECKING, Any

from napari_gpcis.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Callable


@dataclass(frozen=True)
class InferenceSettings:
    """How a model is to be run; part of its checkpoint.

    Parameters
    ----------
    infer_size
        Side, in network pixels, of the square that the network sees; a region is
        resized to it whatever its aspect ratio.
    epsilon2
        Noise variance of the Gaussian process at the clicks.
    gp_stride
        Grid of the Gaussian process: 1 for every network pixel (as published), 4
        for the feature grid, whose logits are then upsampled.
    expansion
        How much larger than the current object the zoomed-in region is.
    crop_threshold, mask_threshold
        Probability above which a pixel counts as object, for the zoom and for the
        mask.
    antialias
        Whether images are low-pass filtered when they are made smaller.
    mirror
        Whether the network also sees the mirror image, and the logits of both are
        averaged: fewer clicks, in twice the time. Not done in the paper.

    Raises
    ------
    InputError
        If a value is outside its range.
    """

    infer_size: int = 256
    epsilon2: float = 1e-7
    gp_stride: int = 4
    expansion: float = 1.4
    crop_threshold: float = 0.49
    mask_threshold: float = 0.5
    antialias: bool = True
    mirror: bool = False

    def __post_init__(self) -> None:
        """Check the ranges."""
        self._require("infer_size", int, lambda v: v >= 32, "an integer from 32")
        self._require("epsilon2", float, lambda v: v > 0, "a number above 0")
        self._require("gp_stride", int, lambda v: v in (1, 2, 4), "1, 2 or 4")
        self._require("expansion", float, lambda v: v >= 1, "a number from 1")
        for name in ("crop_threshold", "mask_threshold"):
            self._require(name, float, lambda v: 0 < v < 1, "between 0 and 1")
        for name in ("antialias", "mirror"):
            self._require(name, bool, lambda _: True, "true or false")

    def _require(
        self,
        name: str,
        kind: type,
        in_range: Callable[[float], bool],
        accepted: str,
    ) -> None:
        """Raise `InputError` unless a setting has its type and lies in its range."""
        value = getattr(self, name)
        kinds = {float, int} if kind is float else {kind}
        if type(value) not in kinds or not math.isfinite(value) or not in_range(value):
            msg = f"{name} must be {accepted}, got {value!r}"
            raise InputError(msg)


@dataclass(frozen=True)
class ModelInfo:
    """The identity of a model.

    Parameters
    ----------
    name
        What a user types, such as ``"gpcis-mobilenet-v2"``.
    architecture
        Name of the network, see :func:`napari_gpcis.model.gpcis.build_model`.
    options
        Keyword arguments of the network (JSON values).
    inference
        How the model is to be run.
    licence
        Terms of the weights.
    training_data
        What it was trained on, and under which terms.
    description
        One sentence for the person who chooses a model.
    extra
        Anything else worth keeping (schedule, figures), as text.
    """

    name: str
    architecture: str
    options: dict[str, Any] = field(default_factory=dict)
    inference: InferenceSettings = field(default_factory=InferenceSettings)
    licence: str = ""
    training_data: str = ""
    description: str = ""
    extra: dict[str, str] = field(default_factory=dict)

    def to_dict(self) -> dict[str, Any]:
        """Return the JSON form."""
        return asdict(self)

    @classmethod
    def from_dict(cls, data: dict[str, Any]) -> ModelInfo:
        """Return the information whose JSON form is `data`.

        Raises
        ------
        InputError
            If a field is missing, unknown or of another type.
        """
        _check_fields(cls, data)
        for key in ("options", "inference", "extra"):
            if not isinstance(data.get(key, {}), dict):
                msg = f"{key} must be an object, got {data[key]!r}"
                raise InputError(msg)
        inference = data.get("inference", {})
        _check_fields(InferenceSettings, inference)
        settings = InferenceSettings(**inference)
        return cls(**{**data, "inference": settings})


def _check_fields(cls: type, data: object) -> None:
    """Raise `InputError` unless `data` can be the keyword arguments of `cls`."""
    known = {f.name for f in fields(cls)}
    required = {"name", "architecture"} & known
    if not isinstance(data, dict) or not required <= data.keys() <= known:
        found = sorted(data) if isinstance(data, dict) else data
        msg = f"the fields must be among {sorted(known)}, got {found!r}"
        raise InputError(msg)
