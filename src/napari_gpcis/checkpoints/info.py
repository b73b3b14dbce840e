"""Checkpoint header: identity of a model and its inference settings."""

from __future__ import annotations

import json
import math
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import TYPE_CHECKING, Any

from napari_gpcis.errors import CheckpointError, InputError

if TYPE_CHECKING:
    import os
    from collections.abc import Callable

FORMAT = "gpcis-checkpoint"
VERSION = "1"
_LENGTH_BYTES = 8
_PICKLES = (b"PK\x03\x04", b"\x80\x02", b"\x80\x03", b"\x80\x04", b"\x80\x05")


@dataclass(frozen=True)
class InferenceSettings:
    """Settings with which a model is run; part of its checkpoint.

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
    frames
        ``"zoom"``: the region of interest follows the mask at every click, as
        published. ``"stay"``: it stays while the object fits into it and is not too
        small in it, so that an image is encoded once for many clicks.
    least_fill
        With ``frames="stay"``: the object is too small if the longer side of its box
        is a smaller share of the frame's. A new frame is ``expansion`` times as long
        as the object.
    first_frames
        With ``frames="stay"``: most frames that are tried for a first click, the view
        first, then closer ones; the answer with the best expected IoU is taken.
    fine_size, fine_clicks
        With ``frames="stay"``: side of the square in place of ``infer_size`` from so
        many clicks on an object on, where the frame has more pixels than
        ``infer_size``. An object that needs many clicks often has details that are
        lost at the smaller one. 0: never.
    temperature
        Logits are divided by it, so that probabilities are those found on held-out
        images; the mask at a threshold of 0.5 does not depend on it.

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
    frames: str = "zoom"
    least_fill: float = 0.25
    first_frames: int = 1
    fine_size: int = 0
    fine_clicks: int = 6
    temperature: float = 1.0

    def __post_init__(self) -> None:
        """Check the ranges."""
        self._require("infer_size", int, lambda v: v >= 32, "an integer from 32")
        self._require("epsilon2", float, lambda v: v > 0, "a number above 0")
        self._require("gp_stride", int, lambda v: v in (1, 2, 4), "1, 2 or 4")
        self._require("expansion", float, lambda v: v >= 1, "a number from 1")
        for name in ("crop_threshold", "mask_threshold"):
            self._require(name, float, lambda v: 0 < v < 1, "between 0 and 1")
        self._require("frames", str, lambda v: v in ("zoom", "stay"), "zoom or stay")
        self._require("least_fill", float, lambda v: 0 <= v < 1, "from 0 and below 1")
        self._require("first_frames", int, lambda v: v in (1, 2, 3), "1, 2 or 3")
        fine = f"0, or an integer from infer_size ({self.infer_size})"
        self._require("fine_size", int, lambda v: v == 0 or v >= self.infer_size, fine)
        self._require("fine_clicks", int, lambda v: v >= 2, "an integer from 2")
        self._require("temperature", float, lambda v: v > 0, "a number above 0")
        for name in ("antialias", "mirror"):
            self._require(name, bool, lambda _: True, "true or false")

    def _require(
        self,
        name: str,
        kind: type,
        in_range: Callable[[Any], bool],
        accepted: str,
    ) -> None:
        """Raise `InputError` unless a setting has its type and lies in its range."""
        value: Any = getattr(self, name)
        kinds: tuple[type, ...] = (float, int) if kind is float else (kind,)
        right = type(value) in kinds and (kind is str or math.isfinite(value))
        if not right or not in_range(value):
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
        Name of the network, see :func:`napari_gpcis.model.build_model`.
    options
        Keyword arguments of the network (JSON values).
    inference
        How the model is to be run.
    licence
        Terms of the weights.
    training_data
        What it was trained on, and under which terms.
    description
        One sentence for the user who chooses a model.
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


def make_header(info: ModelInfo) -> dict[str, str]:
    """Return the safetensors metadata of a checkpoint."""
    return {"format": FORMAT, "version": VERSION, "info": json.dumps(info.to_dict())}


def read_info(path: str | os.PathLike[str]) -> ModelInfo:
    """Return what a checkpoint file says about itself.

    The whole layout is checked (a truncated file is found out), but no tensor is
    read and PyTorch is not imported.

    Parameters
    ----------
    path
        A checkpoint file; ``~`` stands for the home folder.

    Raises
    ------
    CheckpointError
        If the file is missing, damaged, or not a checkpoint of this program.
    """
    from safetensors import SafetensorError, safe_open

    file = Path(path).expanduser()
    _check_container(file)
    try:
        with safe_open(file, framework="np") as opened:
            metadata = opened.metadata() or {}
    except (OSError, SafetensorError) as error:
        msg = f"checkpoint {file} is damaged: {error}"
        raise CheckpointError(msg) from error
    return _parse(metadata, file)


def _check_container(file: Path) -> None:
    """Raise `CheckpointError` unless the file can be a complete safetensors file."""
    try:
        size = file.stat().st_size
        with file.open("rb") as stream:
            start = stream.read(_LENGTH_BYTES + 1)
    except FileNotFoundError as error:
        msg = f"checkpoint {file} does not exist"
        raise CheckpointError(msg) from error
    except OSError as error:
        msg = f"checkpoint {file} cannot be read: {error.strerror}"
        raise CheckpointError(msg) from error
    if start.startswith(_PICKLES):
        msg = (
            f"checkpoint {file} is a pickle (as torch.save writes), whatever its name; "
            "it may contain code and is not opened. A safetensors file is needed: "
            "napari-gpcis convert makes one of published weights"
        )
        raise CheckpointError(msg)
    if len(start) > _LENGTH_BYTES and start[-1:] != b"{":
        msg = f"checkpoint {file} is not a safetensors file"
        raise CheckpointError(msg)
    length = int.from_bytes(start[:_LENGTH_BYTES], "little")
    if size < _LENGTH_BYTES + max(length, 2):
        msg = f"checkpoint {file} is truncated: only {size} bytes long"
        raise CheckpointError(msg)


def _parse(metadata: dict[str, str], file: Path) -> ModelInfo:
    """Return the information in safetensors metadata."""
    if metadata.get("format") != FORMAT:
        msg = (
            f"{file} is a safetensors file, but not a checkpoint of napari-gpcis: "
            f"its format is {metadata.get('format')!r}, not {FORMAT!r}"
        )
        raise CheckpointError(msg)
    if metadata.get("version") != VERSION:
        msg = (
            f"checkpoint {file} has format version {metadata.get('version')!r}; this "
            f"version of napari-gpcis reads {VERSION!r}"
        )
        raise CheckpointError(msg)
    try:
        return ModelInfo.from_dict(json.loads(metadata.get("info", "")))
    except (InputError, TypeError, ValueError) as error:
        msg = f"checkpoint {file} has unreadable model information: {error}"
        raise CheckpointError(msg) from error
