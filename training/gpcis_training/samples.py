"""The stream of training samples, a pure function of seed and index."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import torch
from torch.utils.data import Dataset

from gpcis_training.augment import AugmentOptions, augment
from gpcis_training.click_simulation import ClickOptions, sample_clicks
from gpcis_training.data import DataFolder, draw_target

if TYPE_CHECKING:
    from collections.abc import Sequence

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


class SampleStream(Dataset[Sample]):
    """Samples by index; the same seed and index give the same sample.

    Parameters
    ----------
    folders
        Data sets.
    length
        Number of samples.
    seed
        Of all randomness.
    augment_options, click_options
        How crops and clicks are drawn.
    """

    def __init__(
        self,
        folders: Sequence[DataFolder],
        length: int,
        seed: int = 0,
        augment_options: AugmentOptions | None = None,
        click_options: ClickOptions | None = None,
    ) -> None:
        self.folders = tuple(folders)
        self.length = length
        self.seed = seed
        self.augment_options = augment_options or AugmentOptions()
        self.click_options = click_options or ClickOptions()

    def __len__(self) -> int:
        """Return the number of samples."""
        return self.length

    def __getitem__(self, index: int) -> Sample:
        """Draw sample ``index``; crops with hardly any target are drawn again."""
        rng = np.random.default_rng((self.seed, index))
        while True:
            crop = augment(draw_target(self.folders, rng), self.augment_options, rng)
            if MIN_AREA < crop.mask.sum() <= MAX_SHARE * crop.mask.size:
                break
        points = sample_clicks(crop, self.click_options, rng)
        return Sample(
            torch.from_numpy(crop.image),
            torch.from_numpy(crop.mask),
            torch.from_numpy(points),
        )
