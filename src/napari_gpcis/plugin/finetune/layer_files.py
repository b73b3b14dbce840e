"""Layers as files for the training process: only the planes that have labels."""

from __future__ import annotations

import re
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from napari_gpcis.errors import InputError
from napari_gpcis.plugin.viewer.planes import full_resolution, layer_shape

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from napari.layers import Layer

PREFIX = "napari-gpcis-"
"""Begin of the name of a temporary folder."""


class Pair(NamedTuple):
    """An image and its labels as arrays of any kind, read plane by plane."""

    name: str
    image: Any
    labels: Any
    colour: bool
    """True if the image's last axis holds RGB or RGBA."""


class TemporaryFolder:
    """Folder for files that are needed for a while; it outlives Qt's objects."""

    def __init__(self) -> None:
        self._folder: TemporaryDirectory[str] | None = None

    def make(self) -> Path:
        """Make it anew, empty, and return its path."""
        self.remove()
        self._folder = TemporaryDirectory(prefix=PREFIX, ignore_cleanup_errors=True)
        return Path(self._folder.name)

    def remove(self, *_: object) -> None:
        """Remove it with all that it holds, if it is there."""
        folder, self._folder = self._folder, None
        if folder is not None:
            folder.cleanup()


def pair_of(image: Layer, labels: Layer) -> Pair:
    """Return the arrays of two layers (in the GUI thread).

    Raises
    ------
    InputError
        If their shapes differ.
    """
    shapes = layer_shape(image), layer_shape(labels)
    if shapes[0] != shapes[1]:
        msg = (
            f"{image.name!r} has shape {shapes[0]}, its labels {labels.name!r} "
            f"{shapes[1]}: they must be the same"
        )
        raise InputError(msg)
    colour = bool(getattr(image, "rgb", False))
    arrays = full_resolution(image), full_resolution(labels)
    return Pair(image.name, *arrays, colour)


def write_pairs(
    pairs: Sequence[Pair], folder: Path, cancelled: Callable[[], bool]
) -> tuple[Path, Path] | None:
    """Write the labelled planes of all pairs (on a thread).

    Parameters
    ----------
    pairs
        Images and labels.
    folder
        Gets ``images`` and ``labels`` with one NumPy file for each pair.
    cancelled
        Asked between planes; if true the answer is ``None``.

    Returns
    -------
    tuple or None
        The two folders.

    Raises
    ------
    InputError
        If a pair has no labelled pixel.
    """
    images, labels = folder / "images", folder / "labels"
    for part in (images, labels):
        part.mkdir(parents=True)
    for number, pair in enumerate(pairs):
        file = f"{number:02d} {_safe(pair.name)}.npy"
        places = []
        for place in _places(pair.labels.shape):
            if cancelled():
                return None
            if np.any(np.asarray(pair.labels[place])):
                places.append(place)
        if not places:
            msg = f"the labels of {pair.name!r} are empty: nothing to learn from"
            raise InputError(msg)
        if not _write(pair, places, images / file, labels / file, cancelled):
            return None
    return images, labels


def _write(
    pair: Pair,
    places: list[tuple[int, ...]],
    image_file: Path,
    labels_file: Path,
    cancelled: Callable[[], bool],
) -> bool:
    """Write planes into two stacks, one at a time; ``False`` if cancelled."""
    stacks: list[Any] = []
    for file, array, first in (
        (image_file, pair.image, _image_plane(pair, places[0])),
        (labels_file, pair.labels, np.asarray(pair.labels[places[0]])),
    ):
        shape = (len(places), *first.shape)
        dtype = np.dtype(array.dtype)
        stacks.append(
            np.lib.format.open_memmap(file, mode="w+", dtype=dtype, shape=shape)
        )
    for number, place in enumerate(places):
        if cancelled():
            return False
        stacks[0][number] = _image_plane(pair, place)
        stacks[1][number] = np.asarray(pair.labels[place])
    for stack in stacks:
        stack.flush()
    return True


def _image_plane(pair: Pair, place: tuple[int, ...]) -> Any:
    plane = np.asarray(pair.image[place])
    return plane[..., :3] if pair.colour else plane


def _places(shape: tuple[int, ...]) -> Iterator[tuple[int, ...]]:
    """Yield the index of each plane, rows and columns being the last two axes."""
    return iter(np.ndindex(*shape[:-2]))


def _safe(name: str) -> str:
    """Return a name for any file system, without the ``__`` that marks annotators."""
    return re.sub(r"[^\w .+-]|__+", "_", name)[:60].strip() or "image"
