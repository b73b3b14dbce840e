"""The stream of training samples, a pure function of seed and index."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import torch
from torch.utils.data import Dataset

from gpcis_training.data.augment import AugmentOptions, Crop, augment, random_box
from gpcis_training.data.click_simulation import ClickOptions, sample_clicks
from gpcis_training.data.folders import (
    DataFolder,
    draw_ids,
    draw_pair,
    draw_target,
    make_target,
)
from gpcis_training.seeds import Stream, generator
from napari_gpcis.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Sequence

    import numpy.typing as npt

    from gpcis_training.data.augment import Box
    from gpcis_training.data.folders import Labels, Pair

MAX_TRIES = 1000
MIN_AREA = 80
MAX_SHARE = 0.85
"""A sample's target covers more than 80 pixels and at most this share (published)."""


class Sample(NamedTuple):
    """One start: image, target and first clicks."""

    image: torch.Tensor
    """Shape ``(3, S, S)``, in [0, 1]."""
    mask: torch.Tensor
    """Shape ``(S, S)``, bool."""
    points: torch.Tensor
    """Shape ``(48, 3)``."""
    ignore: torch.Tensor
    """Pixels that are neither object nor background, shape ``(S, S)``, bool."""


class SampleStream(Dataset[Sample]):
    """Samples by index, without end; the same seed and index give the same sample.

    Parameters
    ----------
    folders
        Data sets.
    seed
        Of all randomness.
    augment_options, click_options
        Laws by which crops and clicks are drawn.
    in_order
        Take the images of the one set in passes, each once in a pass, in another
        order in each; an image that gives no usable crop is replaced by any other.
    """

    def __init__(
        self,
        folders: Sequence[DataFolder],
        seed: int = 0,
        augment_options: AugmentOptions | None = None,
        click_options: ClickOptions | None = None,
        *,
        in_order: bool = False,
    ) -> None:
        self.folders = tuple(folders)
        self.seed = seed
        self.augment_options = augment_options or AugmentOptions()
        self.click_options = click_options or ClickOptions()
        self.in_order = in_order

    def __getitem__(self, index: int) -> Sample:
        """Draw sample ``index``; crops with hardly any target are drawn again.

        Raises
        ------
        InputError
            If no usable crop was found in a thousand tries, or a file cannot be read.
        """
        rng = np.random.default_rng((self.seed, index))
        crop = self._first(index, rng)
        for _ in range(MAX_TRIES):
            if crop is not None and _usable(crop):
                break
            crop = self._any(rng)
        else:
            roots = ", ".join(str(folder.root) for folder in self.folders)
            msg = f"no crop with a usable object in {MAX_TRIES} tries: {roots}"
            raise InputError(msg)
        points = sample_clicks(crop, self.click_options, rng)
        ignore = np.zeros_like(crop.mask) if crop.ignore is None else crop.ignore
        return Sample(
            torch.from_numpy(crop.image),
            torch.from_numpy(crop.mask),
            torch.from_numpy(points),
            torch.from_numpy(ignore),
        )

    def _first(self, index: int, rng: np.random.Generator) -> Crop | None:
        """Cut the image that is next in order; ``None`` if any may be taken."""
        if not self.in_order:
            return None
        (folder,) = self.folders
        epoch, position = divmod(index, len(folder.pairs))
        order = generator(self.seed, Stream.ORDER, epoch).permutation(len(folder.pairs))
        return self._cut(folder, folder.pairs[order[position]], rng)

    def _any(self, rng: np.random.Generator) -> Crop | None:
        """Cut any image, or ``None`` if the crop drawn shows no object."""
        if not (self.in_order or self.augment_options.object_in_crop):
            return augment(draw_target(self.folders, rng), self.augment_options, rng)
        return self._cut(*draw_pair(self.folders, rng), rng)

    def _cut(
        self, folder: DataFolder, pair: Pair, rng: np.random.Generator
    ) -> Crop | None:
        """Cut one image and draw an object of it."""
        options = self.augment_options
        labels = folder.labels(pair.labels[rng.integers(len(pair.labels))])
        areas, box = np.bincount(labels.ravel()).astype(float), None
        if options.object_in_crop:
            box = random_box(labels.shape, options, rng)
            areas = _areas(labels, box, options.size)
        ids = draw_ids(areas, folder, rng)
        if ids is None:
            return None
        return augment(make_target(pair, labels, ids), options, rng, box)


def _areas(labels: Labels, box: Box, size: int) -> npt.NDArray[np.float64]:
    """Return the area of each id in a crop, in pixels once resized."""
    top, bottom, left, right = box
    shown = labels[max(top, 0) : max(bottom, 0), max(left, 0) : max(right, 0)]
    scale = size**2 / ((bottom - top) * (right - left))
    return np.bincount(shown.ravel(), minlength=1).astype(np.float64) * scale


def _usable(crop: Crop) -> bool:
    return bool(MIN_AREA < crop.mask.sum() <= MAX_SHARE * crop.mask.size)
