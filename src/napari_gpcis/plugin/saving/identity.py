"""Identity of images: whether work that was kept is of one that is open now.

Name, file and pixels tell, as far as they are known. Images of a series have one shape,
so that a shape says nothing.
"""

from __future__ import annotations

import os
from enum import IntEnum
from hashlib import blake2b
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from napari_gpcis.imagefiles.ome_zarr import ZARR
from napari_gpcis.imagefiles.reading import READABLE

MOST_VALUES = 1 << 17
"""So many values of an image, evenly spread, are looked at for its digest."""


class ImageIdentity(NamedTuple):
    """What is known of an image.

    Attributes
    ----------
    name
        Name of its layer.
    source
        Its file; empty if it came from none, or if that is not known.
    digest
        See `digest_of_pixels`.
    """

    name: str
    source: str = ""
    digest: str = ""

    @property
    def in_words(self) -> str:
        """Name, and file if there is one."""
        return f"{self.name!r} ({self.source})" if self.source else repr(self.name)


class Match(IntEnum):
    """How surely two images are the same, from the surest on."""

    SAME = 0
    """Of one file and name."""
    ALIKE = 1
    """Of the same pixels, wherever they came from."""
    LIKELY = 2
    """Of one file, or of one name and without a file; pixels do not contradict."""
    UNKNOWN = 3
    """The user has to say it."""
    OTHER = 4
    """Of another file, and the file of the first is still there."""


def match(work: ImageIdentity, image: ImageIdentity) -> Match:
    """Return whether work is of an image of its shape.

    Parameters
    ----------
    work
        The image that the work was done on.
    image
        One that is open now.
    """
    known = bool(work.digest and image.digest)
    alike = known and work.digest == image.digest
    if work.source and image.source:
        one, other = map(_real, (work.source, image.source))
        if one == other and (alike or not known):
            return Match.SAME if work.name == image.name else Match.LIKELY
        if alike:
            return Match.ALIKE
        apart = one != other and not _in_one_zarr(one, other)
        return Match.OTHER if apart and one.exists() else Match.UNKNOWN
    if alike:
        return Match.ALIKE
    fileless = not work.source and not image.source
    named = base_name(work.name) == base_name(image.name)
    return Match.LIKELY if fileless and named and not known else Match.UNKNOWN


def contradicts(saved: ImageIdentity, image: ImageIdentity) -> bool:
    """Return whether saved clicks are of another image than that they are opened on.

    The user has chosen both, so they belong together unless something says otherwise:
    pixels, or the name where these are not known of both.

    Parameters
    ----------
    saved, image
        The image of the file, whose name may be empty, and the chosen one.
    """
    if saved.digest and image.digest:
        return saved.digest != image.digest
    return bool(saved.name) and not is_called(image, saved.name)


def is_called(image: ImageIdentity, name: str) -> bool:
    """Return whether an image, or its file, has a name, endings apart."""
    names = {image.name, Path(image.source).name} - {""}
    return base_name(name) in map(base_name, names)


def digest_of_pixels(data: Any, *, colour: bool = False) -> str:
    """Return a digest of an image, of the same pixels the same; empty if unknown.

    It is unknown of arrays that are not in memory, whose pixels take long to read, and
    of one value everywhere.

    Parameters
    ----------
    data
        Pixels of any shape.
    colour
        Whether the last axis holds RGB or RGBA; transparency does not count.
    """
    if not _is_in_memory(data) or data.dtype.kind not in "biuf" or not data.size:
        return ""
    values = data[..., :3] if colour else data
    step = -(-values.size // MOST_VALUES) | 1  # odd: not the same columns in each row
    sample = np.asarray(values.flat[::step], dtype="<f8")
    if np.all(sample == sample[0]):
        return ""
    text = repr((values.shape, step)).encode()
    return blake2b(text + sample.tobytes(), digest_size=16).hexdigest()


def base_name(layer: str) -> str:
    """Return the name of files about a layer, without their endings.

    The layer may be named as its file; other dots belong to the name: ``"0.5 um"``.
    """
    path = Path(layer)
    return (path.stem if path.suffix.lower() in READABLE else path.name) or "objects"


def _is_in_memory(data: Any) -> bool:
    """Return whether an array is one of NumPy that is not read from a file."""
    base = data
    while isinstance(base, np.ndarray) and not isinstance(base, np.memmap):
        base = base.base
    return isinstance(data, np.ndarray) and not isinstance(base, np.memmap)


def _real(source: str) -> Path:
    """Return a file without links and detours, as other paths to it have it."""
    return Path(os.path.normcase(Path(source).resolve()))


def _in_one_zarr(one: Path, other: Path) -> bool:
    """Return whether one is part of the other: an OME-Zarr image and its level."""
    outer, inner = sorted((one, other), key=lambda path: len(path.parts))
    parts = (outer, *outer.parents)
    inside = outer in inner.parents
    return inside and any(part.suffix.lower() == ZARR for part in parts)
