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


def write_pair_of_disks(root: Path) -> None:
    """Write two images with two bright disks each, ids 3 and 7, the second larger.

    The second image has another annotation, in which nothing is labelled.
    """
    for part in ("images", "labels"):
        (root / part).mkdir(parents=True)
    rng = np.random.default_rng(0)
    for name, labels_name in (("a", "a.png"), ("b", "b__0.png")):
        labels = np.zeros((60, 90), dtype=np.uint8)
        labels[disk((20, 22), 9)] = 3
        labels[disk((36, 62), 14)] = 7
        image = np.where(labels[..., None] > 0, (200, 120, 60), (30, 40, 70))
        noisy = image + rng.normal(0, 4, image.shape)
        imsave(root / "images" / f"{name}.png", noisy.clip(0, 255).astype(np.uint8))
        imsave(root / "labels" / labels_name, labels, check_contrast=False)
    empty = np.zeros((60, 90), dtype=np.uint8)
    imsave(root / "labels" / "b__1.png", empty, check_contrast=False)
