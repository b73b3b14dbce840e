"""Visits: each epoch goes once to each object, image by image."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import torch
from torch.nn import functional
from tqdm import tqdm

from gpcis_training.data.folders import read_ignored
from gpcis_training.data.folders import read_image as read_colours
from gpcis_training.seeds import Stream, generator
from napari_gpcis.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from numpy.typing import NDArray

    from gpcis_training.data.folders import DataFolder, Pair


class TrainingObject(NamedTuple):
    """One label of one annotation of an image."""

    folder: int
    pair: int
    annotation: int
    label: int


class Example(NamedTuple):
    """An object in its image, reduced where the run asks for it."""

    image: NDArray[np.uint8]
    """Shape ``(H, W, 3)``."""
    target: NDArray[np.bool_]
    """Shape ``(H, W)``."""
    others: tuple[NDArray[np.bool_], ...]
    """Other objects of the image."""
    valid: NDArray[np.bool_]
    """Pixels for which the labels hold."""


class Visits:
    """The objects of a run, in the order of each epoch.

    The objects of an image are visited one after the other, so that its features are
    computed once.

    Parameters
    ----------
    folders
        Data sets.
    size
        Longer side to which images are reduced, pixels; 0: never.
    min_object
        Smallest object, pixels of the reduced image.
    seed
        Of the order.
    progress
        Show a bar while the labels are read.

    Raises
    ------
    InputError
        If there is no object.
    """

    def __init__(
        self,
        folders: Sequence[DataFolder],
        size: int = 0,
        min_object: int = 1,
        seed: int = 0,
        *,
        progress: bool = False,
    ) -> None:
        self.folders, self.size, self.seed = tuple(folders), size, seed
        files = [
            (f, p) for f, folder in enumerate(folders) for p in range(len(folder.pairs))
        ]
        bar = tqdm(files, "listing objects", unit="image", disable=not progress)
        images = [tuple(self._list(f, p, min_object)) for f, p in bar]
        self._images = tuple(objects for objects in images if objects)
        self.objects = tuple(one for objects in self._images for one in objects)
        if not self.objects:
            msg = f"data must hold objects of at least {min_object} pixels, found none"
            raise InputError(msg)
        self._numbers = {one: k for k, one in enumerate(self.objects)}

    def epoch(self, number: int, phase: int = 0) -> list[int]:
        """Return the numbers of all objects in the order of an epoch."""
        rng = generator(self.seed, Stream.ORDER, phase, number)
        return [
            self._numbers[self._images[image][k]]
            for image in rng.permutation(len(self._images))
            for k in rng.permutation(len(self._images[image]))
        ]

    def read(self, number: int) -> Example:
        """Return an object with its image."""
        one = self.objects[number]
        pair = self.folders[one.folder].pairs[one.pair]
        labels, valid = self._labels(one.folder, pair, one.annotation)
        image = read_colours(pair.image)
        if image.shape[:2] != self._shape(one.folder, pair, one.annotation):
            label = pair.labels[one.annotation]
            msg = f"{pair.image.name} and {label.name} must have the same size"
            raise InputError(msg)
        found = [ident for ident in np.unique(labels[valid]) if ident]
        return Example(
            reduced_image(image, self.size),
            (labels == one.label) & valid,
            tuple((labels == i) & valid for i in found if i != one.label),
            valid,
        )

    def image_key(self, number: int) -> tuple[int, int]:
        """Return what is the same for all objects of an image."""
        one = self.objects[number]
        return one.folder, one.pair

    def _list(self, folder: int, index: int, smallest: int) -> Iterator[TrainingObject]:
        """Yield the objects of an image that are large enough."""
        pair = self.folders[folder].pairs[index]
        for annotation in range(len(pair.labels)):
            labels, valid = self._labels(folder, pair, annotation)
            areas = np.bincount(labels[valid])
            for label in np.flatnonzero(areas >= smallest).tolist():
                if label:
                    yield TrainingObject(folder, index, annotation, label)

    def _labels(
        self, folder: int, pair: Pair, annotation: int
    ) -> tuple[NDArray[np.integer], NDArray[np.bool_]]:
        """Return reduced labels and where they hold."""
        path: Path = pair.labels[annotation]
        labels = self.folders[folder].labels(path)
        ignored = read_ignored(pair)
        valid = np.ones(labels.shape, dtype=bool) if ignored is None else ~ignored
        return reduced(labels, self.size), reduced(valid, self.size)

    def _shape(self, folder: int, pair: Pair, annotation: int) -> tuple[int, ...]:
        return self.folders[folder].labels(pair.labels[annotation]).shape


def reduced_shape(shape: Sequence[int], size: int) -> tuple[int, int]:
    """Return height and width with a longer side of at most `size` (0: as it is)."""
    height, width = shape[:2]
    scale = min(1.0, size / max(height, width)) if size else 1.0
    return max(round(height * scale), 1), max(round(width * scale), 1)


def reduced(plane: NDArray[Any], size: int) -> NDArray[Any]:
    """Return a plane at the pixels nearest to those of its reduced shape."""
    shape = reduced_shape(plane.shape, size)
    rows, cols = (
        ((np.arange(new) + 0.5) * old / new).astype(int)
        for new, old in zip(shape, plane.shape, strict=True)
    )
    return plane[np.ix_(rows, cols)]


def reduced_image(image: NDArray[np.uint8], size: int) -> NDArray[np.uint8]:
    """Return an image ``(H, W, 3)`` reduced with a low-pass filter."""
    shape = reduced_shape(image.shape, size)
    if shape == image.shape[:2]:
        return image
    planes = torch.from_numpy(image.transpose(2, 0, 1).astype(np.float32))[None]
    small = functional.interpolate(planes, size=shape, mode="bilinear", antialias=True)
    values = small[0].numpy().transpose(1, 2, 0)
    return np.ascontiguousarray((values + 0.5).clip(0, 255).astype(np.uint8))
