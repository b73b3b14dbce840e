"""Samples of a training step: scenes encoded once, visited with several clicks."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import torch
from torch.nn import functional

from gpcis_training.alternatives.losses import Targets
from gpcis_training.alternatives.targets import draw_click, draw_scene
from gpcis_training.data.click_simulation import (
    MAX_CLICKS,
    ClickOptions,
    add_error_click,
)
from gpcis_training.seeds import Stream, generator
from napari_gpcis.model.base import Encoded

if TYPE_CHECKING:
    from collections.abc import Sequence

    import numpy.typing as npt
    from torch import Tensor

    from gpcis_training.alternatives.config import AlternativesConfig
    from gpcis_training.alternatives.targets import Ambiguous, DrawnScene
    from gpcis_training.data.folders import DataFolder
    from napari_gpcis.inference.torch_cpu import TorchCPUModel


class EncodedScene(NamedTuple):
    """A scene and what the frozen network makes of it without clicks."""

    drawn: DrawnScene
    encoded: Encoded


class ClickSample(NamedTuple):
    """A click in a scene."""

    scene: EncodedScene
    clicked: Ambiguous
    points: npt.NDArray[np.float32]
    """Shape ``(48, 3)``; later clicks are added here."""


class SceneBlocks:
    """Samples by their number: a block of scenes is visited, then the next.

    Parameters
    ----------
    folders
        The sets.
    config
        The run.
    model
        The frozen network.
    """

    def __init__(
        self,
        folders: Sequence[DataFolder],
        config: AlternativesConfig,
        model: TorchCPUModel,
    ) -> None:
        self._folders, self._config, self._model = tuple(folders), config, model
        self._block = -1
        self._scenes: dict[int, EncodedScene] = {}

    def sample(self, number: int) -> ClickSample:
        """Return sample ``number``: the same for the same seed."""
        config, draw = self._config, self._config.draw
        block, place = divmod(number, draw.scenes * draw.visits)
        visit, place = divmod(place, draw.scenes)
        order = generator(config.seed, Stream.ORDER, block, visit)
        index = block * draw.scenes + int(order.permutation(draw.scenes)[place])
        if block != self._block:
            self._block, self._scenes = block, {}
        if index not in self._scenes:
            self._scenes[index] = self._encode(index)
        scene = self._scenes[index]
        rng = generator(config.seed, Stream.CLICK, number)
        clicked = draw_click(scene.drawn, rng, draw.centre, draw.objects)
        points = np.full((2 * MAX_CLICKS, 3), -1, dtype=np.float32)
        points[0] = (*clicked.pixel, 0)
        return ClickSample(scene, clicked, points)

    def _encode(self, index: int) -> EncodedScene:
        config = self._config
        drawn = draw_scene(self._folders, config.seed, index, config.augment)
        rgb = torch.from_numpy(drawn.scene.image)[None]
        with torch.no_grad():
            return EncodedScene(drawn, self._model.encode(rgb))


def click_again(
    sample: ClickSample,
    probability: npt.NDArray[np.float32],
    rng: np.random.Generator,
) -> ClickSample:
    """Add a click on an error of the mask; objects that it contradicts are left out.

    Parameters
    ----------
    sample
        With its clicks so far.
    probability
        The mask, shape ``(S, S)``.
    rng
        Source of randomness.
    """
    points, meant = sample.points.copy(), sample.clicked.objects[0]
    before = points[:, 2].max()
    ignore = sample.scene.drawn.scene.ignore
    add_error_click(points, meant, probability, ClickOptions(off_centre=1), rng, ignore)
    added = np.flatnonzero(points[:, 2] > before)
    if len(added) == 0:
        return sample
    row, col = points[added[0], :2].astype(int)
    positive = bool(added[0] < MAX_CLICKS)
    objects = tuple(
        mask for mask in sample.clicked.objects if mask[row, col] == positive
    )
    clicked = sample.clicked._replace(objects=objects)
    return ClickSample(sample.scene, clicked, points)


def joined(parts: Sequence[Encoded]) -> Encoded:
    """Return the encodings of several images as one batch."""
    features = zip(*(part.features for part in parts), strict=True)
    return Encoded(
        torch.cat([part.rgb for part in parts]),
        tuple(torch.cat(maps) for maps in features),
    )


def make_targets(
    samples: Sequence[ClickSample], shape: tuple[int, int], meant: float
) -> Targets:
    """Return the objects of samples on a grid.

    Parameters
    ----------
    samples
        The samples.
    shape
        Of the grid.
    meant
        Weight of the object that was meant where there are others.
    """
    count = max(len(sample.clicked.objects) for sample in samples)
    masks = torch.zeros(len(samples), count, *shape)
    weights = torch.zeros(len(samples), count)
    valid = []
    for row, sample in enumerate(samples):
        objects = np.stack(sample.clicked.objects)
        masks[row, : len(objects)] = _shares(objects, shape)
        weights[row, 0] = 1.0
        if len(objects) > 1:
            weights[row, 0] = meant
            weights[row, 1 : len(objects)] = (1 - meant) / (len(objects) - 1)
        valid.append(_shares(~sample.scene.drawn.scene.ignore[None], shape)[0])
    return Targets(masks, weights, torch.stack(valid))


def _shares(masks: npt.NDArray[np.bool_], shape: tuple[int, int]) -> Tensor:
    """Return the share of each cell that masks ``(T, S, S)`` cover."""
    planes = torch.from_numpy(masks).float()[None]
    return functional.interpolate(planes, size=shape, mode="area")[0]
