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


def trimap(labels: np.ndarray) -> np.ndarray:
    """Return the first disk as 255 with a rim of 128, as three equal channels."""
    row, col = np.argwhere(labels == 1).mean(axis=0)
    plane = np.zeros(labels.shape, np.uint8)
    plane[disk((row, col), RADIUS + 2, shape=labels.shape)] = 128
    plane[labels == 1] = 255
    return np.repeat(plane[..., None], 3, axis=-1)


def write_masks(
    root: Path, folders: tuple[str, str], names: tuple[str, ...], suffix: str
) -> Path:
    """Write images and masks of the first disk; return ``root``."""
    for part in folders:
        (root / part).mkdir(parents=True)
    for shift, name in enumerate(names):
        labels = instances(shift)
        image, mask = (root / part for part in folders)
        imsave(image / name, picture(labels), check_contrast=False)
        stem = name.split(".")[0]
        imsave(mask / f"{stem}{suffix}", trimap(labels), check_contrast=False)
    return root


def write_grabcut(root: Path) -> Path:
    """Write ``data_GT`` and ``boundary_GT``."""
    names = ("banana1.bmp", "person2.jpg", "sheep.jpg")
    return write_masks(root, ("data_GT", "boundary_GT"), names, ".bmp")


def write_berkeley(root: Path) -> Path:
    """Write ``images`` and ``masks``."""
    return write_masks(root, ("images", "masks"), ("101027.jpg", "3096.jpg"), ".png")


def write_davis(root: Path) -> Path:
    """Write ``img`` and ``gt``, both disks of a frame in colours of their own."""
    for part in ("img", "gt"):
        (root / part).mkdir(parents=True)
    colours = np.array([(0, 0, 0), (0, 128, 0), (0, 0, 1)], np.uint8)
    for shift in range(2):
        labels = instances(shift)
        name = f"bear_0000{shift}"
        imsave(root / "img" / f"{name}.jpg", picture(labels), check_contrast=False)
        imsave(root / "gt" / f"{name}.png", colours[labels], check_contrast=False)
    return root
