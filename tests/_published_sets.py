"""Miniature data sets in the folder form of the published ones, drawn by the tests."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from scipy.io import savemat
from skimage.draw import disk
from skimage.io import imsave

if TYPE_CHECKING:
    from pathlib import Path

SHAPE = (48, 64)
CENTRES = ((16, 18), (30, 44))
RADIUS = 10


def instances(shift: int = 0) -> np.ndarray:
    """Return two disks, ids 1 and 2, on 0."""
    labels = np.zeros(SHAPE, np.uint8)
    for ident, (row, col) in enumerate(CENTRES, start=1):
        labels[disk((row + shift, col), RADIUS, shape=SHAPE)] = ident
    return labels


def picture(labels: np.ndarray, seed: int = 0) -> np.ndarray:
    """Return colours that show the labels."""
    rng = np.random.default_rng(seed)
    colours = np.array([(30, 40, 70), (210, 120, 60), (90, 200, 80)], np.uint8)
    noise = rng.integers(0, 20, (*labels.shape, 3), dtype=np.uint8)
    return colours[labels] + noise


def write_sbd(root: Path, train: int = 3, val: int = 2) -> Path:
    """Write ``img``, ``inst``, ``train.txt`` and ``val.txt``; return ``root``."""
    for part in ("img", "inst"):
        (root / part).mkdir(parents=True)
    names = [f"2008_{number:06d}" for number in range(train + val)]
    for shift, name in enumerate(names):
        labels = instances(shift)
        imsave(root / "img" / f"{name}.jpg", picture(labels), check_contrast=False)
        write_instances(root / "inst" / f"{name}.mat", labels)
    (root / "train.txt").write_text("\n".join(names[:train]) + "\n")
    (root / "val.txt").write_text("\n".join(names[train:]) + "\n")
    return root


def write_instances(path: Path, labels: np.ndarray) -> None:
    """Write one file of the folder ``inst`` in the form that is distributed."""
    count = int(labels.max())
    boundaries = np.empty((count, 1), dtype=object)
    boundaries[:] = [[labels == ident] for ident in range(1, count + 1)]
    content = {
        "Segmentation": labels,
        "Boundaries": boundaries,
        "Categories": np.full((count, 1), 15, np.uint8),
    }
    savemat(path, {"GTinst": content}, do_compression=True)
