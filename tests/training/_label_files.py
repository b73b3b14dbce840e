"""Images with disks, and files of many kinds with the same content."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from PIL import Image
from skimage.draw import disk
from tifffile import imwrite

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray


def disks(seed: int = 0, size: int = 96) -> tuple[NDArray[Any], NDArray[Any]]:
    """Return a grey image (H, W), uint8, and its labels with two disks."""
    rng = np.random.default_rng(seed)
    labels = np.zeros((size, size), dtype=np.uint8)
    for ident, centre in enumerate(((28, 30), (64, 66)), start=1):
        rows, cols = disk(centre, 14 + 2 * rng.random(), shape=labels.shape)
        labels[rows, cols] = ident
    image = rng.integers(0, 60, size=labels.shape) + 120 * (labels > 0)
    return image.astype(np.uint8), labels


def write(path: Path, array: NDArray[Any], **options: Any) -> Path:
    """Write an array as its suffix says."""
    path.parent.mkdir(parents=True, exist_ok=True)
    if path.suffix == ".npy":
        np.save(path, array)
    elif path.suffix == ".tif":
        imwrite(path, array, **options)
    else:
        Image.fromarray(array).save(path)
    return path


def write_set(root: Path, count: int = 5) -> Path:
    """Write a set of PNG files with labels of the same names."""
    for index in range(count):
        image, labels = disks(index)
        write(root / "images" / f"cell {index}.png", image)
        write(root / "labels" / f"cell {index}.png", labels)
    return root
