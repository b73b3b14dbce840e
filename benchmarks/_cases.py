"""What is timed: networks, images and actions."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np
import torch

from napari_gpcis import Click, Segmenter, Session
from napari_gpcis.alternatives import select
from napari_gpcis.alternatives.proposals import propose
from napari_gpcis.checkpoints import InferenceSettings, ModelInfo
from napari_gpcis.checkpoints.registry import DEFAULT_MODEL
from napari_gpcis.inference.prediction import NetworkInput
from napari_gpcis.model.gpcis import build_model

if TYPE_CHECKING:
    from collections.abc import Callable

    from napari_gpcis import Prediction

SIZES = (384, 1024, 4096)
ACTIONS = (
    "encode",
    "first",
    "first, encoded",
    "following 5",
    "following 20",
    "undo",
    "preview",
    "other masks",
)
_PUBLISHED = InferenceSettings(infer_size=384, gp_stride=1, antialias=False)
_FEATURE_GRID = InferenceSettings(infer_size=384, gp_stride=4)


@dataclass(frozen=True)
class Setup:
    """A network and how it is run."""

    label: str
    network: str
    settings: InferenceSettings | None
    exact: bool
    backend: str = "torch"

    @cached_property
    def segmenter(self) -> Segmenter:
        """The network, with random weights where none are shipped."""
        if self.settings is None:
            return Segmenter.from_pretrained(
                self.network, "cpu", exact=self.exact, backend=self.backend
            )
        torch.manual_seed(0)
        model = build_model(self.network)
        info = ModelInfo(self.label, self.network, inference=self.settings)
        return Segmenter(model, info, exact=self.exact, backend=self.backend)


REFERENCE = Setup("resnet50, as published", "resnet50", _PUBLISHED, exact=True)


def ways(backends: tuple[str, ...]) -> list[Setup]:
    """Return all that is timed besides the reference."""
    found = []
    for backend in backends:
        for network, settings in (
            ("resnet50", _PUBLISHED),
            ("hrnet18s", _FEATURE_GRID),
            ("segformer_b0", _FEATURE_GRID),
            ("gpcis-mobilenet-v2", None),
            (DEFAULT_MODEL, None),
        ):
            label = f"{network}, {backend}"
            found.append(Setup(label, network, settings, exact=False, backend=backend))
    found.append(Setup(f"{DEFAULT_MODEL}, exact", DEFAULT_MODEL, None, exact=True))
    return found


def picture(size: int) -> np.ndarray:
    """Return a grey disk on a darker ground with noise, uint8, shape (size, size)."""
    rows, cols = np.ogrid[:size, :size]
    inside = (rows - size / 2) ** 2 + (cols - size / 2) ** 2 < (size / 4) ** 2
    image = np.random.default_rng(0).integers(60, 100, (size, size), dtype=np.uint8)
    image[inside] += 90
    return image


def clicks_on(size: int, count: int) -> list[Click]:
    """Return clicks in turn on the disk and off it."""
    angles = np.arange(count) * 2.4
    radii = np.where(np.arange(count) % 2 == 0, 0.12, 0.38) * size
    return [
        Click(
            size / 2 + radius * np.cos(angle),
            size / 2 + radius * np.sin(angle),
            positive=number % 2 == 0,
        )
        for number, (angle, radius) in enumerate(zip(angles, radii, strict=True))
    ]


def action(way: Setup, name: str, size: int) -> Callable[[], object]:
    """Return what is to be timed; everything it needs is made before.

    Parameters
    ----------
    way
        The network.
    name
        One of `ACTIONS`. ``first`` prepares the image and encodes it as well; a
        network whose frames stay has encoded already what it sees at a later click.
    size
        Side of the image in pixels.
    """
    segmenter, image = way.segmenter, picture(size)
    if name == "first":
        return lambda: segmenter.step(segmenter.prepare(image), clicks_on(size, 1))
    prepared = segmenter.prepare(image)
    if name == "encode":
        engine = segmenter._engine
        return lambda: _encode(engine, prepared)
    if name == "undo":
        return _undo(segmenter, image, size)
    if name == "first, encoded":
        segmenter.encode(prepared)
        return lambda: segmenter.step(prepared, clicks_on(size, 1))
    count = int(name.split()[-1]) if name.startswith("following") else 5
    clicks = clicks_on(size, count)
    previous: Prediction | None = None
    if count > 1:
        previous = segmenter.step(prepared, clicks[:-1])
    if name == "other masks":
        answer = segmenter.step(prepared, clicks, previous)
        return lambda: select(answer, propose(segmenter, prepared, answer))
    if name == "preview":
        return lambda: segmenter.preview(prepared, clicks[-1], previous)
    return lambda: segmenter.step(prepared, clicks, previous)


def _encode(engine: object, prepared: object) -> object:
    with torch.inference_mode():
        return engine._encode(prepared, NetworkInput((0, 0, *prepared.shape)))


def _undo(segmenter: Segmenter, image: np.ndarray, size: int) -> Callable[[], object]:
    session = Session(segmenter, image)
    for click in clicks_on(size, 2):
        session.add_click(click.row, click.col, click.positive)

    def undo() -> object:
        found = session.undo()
        session.redo()
        return found

    return undo
