"""Small data sets in the folder form, drawn by the tests."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from skimage.draw import disk
from skimage.io import imsave

if TYPE_CHECKING:
    from pathlib import Path


def write_disks(root: Path, images: int = 3, size: int = 96, seed: int = 0) -> Path:
    """Write coloured disks on noise with two annotations each; return ``root``."""
    rng = np.random.default_rng(seed)
    (root / "images").mkdir(parents=True)
    (root / "labels").mkdir()
    for index in range(images):
        labels = np.zeros((size, size), dtype=np.uint8)
        picture = rng.integers(0, 60, size=(size, size, 3), dtype=np.uint8)
        for ident, centre in enumerate(((30, 30), (60, 66)), start=1):
            rows, cols = disk(centre, 14 + 2 * index, shape=labels.shape)
            labels[rows, cols] = ident
            picture[rows, cols] = (200, 90 * ident, 40)
        imsave(root / "images" / f"p{index}.png", picture, check_contrast=False)
        for annotator in range(2):
            name = root / "labels" / f"p{index}__{annotator}.png"
            imsave(name, labels, check_contrast=False)
    return root
