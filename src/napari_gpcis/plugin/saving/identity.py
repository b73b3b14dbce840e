"""Identity of images: whether work that was kept is of one that is open now.

Name, file and pixels tell, as far as they are known. Images of a series have one shape,
so that a shape says nothing.
"""

from __future__ import annotations

import os
from enum import Enum, IntEnum
from hashlib import blake2b
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from napari_gpcis.imagefiles.ome_zarr import ZARR
from napari_gpcis.imagefiles.reading import READABLE
from napari_gpcis.plugin.viewer.planes import full_resolution

if TYPE_CHECKING:
    from napari.layers import Image

MOST_VALUES = 1 << 17
"""So many values of an image, evenly spread, are looked at for its digest."""
FILE = "napari-gpcis-file"
"""Metadata of an image that was read here: its file."""
_ONE_VALUE = "one value: "
"""Begin of the digest of an image that has one value everywhere."""


class ImageIdentity(NamedTuple):
    """Name, file and digest, by which an image is known again.

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


class Pixels(Enum):
    """Result of comparing the pixels of two images by their digests."""

    ALIKE = 0
    ONE_VALUE = 1
    """Of the same one value everywhere, as many images are."""
    OTHER = 2
    NOT_COMPARED = 3
    """Those of one of them are not known."""


class Match(IntEnum):
    """Degree of certainty that two images are the same, from the surest on."""

    SAME = 0
    """Of one file and name."""
    ALIKE = 1
    """Of the same pixels, wherever they came from."""
    LIKELY = 2
    """Of one file, and no other pixels; or of one name and value, and no file."""
    UNKNOWN = 3
    """The user has to say it."""
    OTHER = 4
    """Of another file, and the file of the first is still there."""


def source_of(image: Image) -> str:
    """Return the file that an image came from; empty if it came from none.

    The same file has the same path, from whatever folder it was opened.
    """
    path = str(getattr(image.source, "path", "") or image.metadata.get(FILE, ""))
    relative = path and not Path(path).is_absolute() and Path(path).exists()
    return str(Path(path).absolute()) if relative else path


def identity_of(image: Image) -> ImageIdentity:
    """Return what is known of an image by which it is known again."""
    digest = digest_of_pixels(full_resolution(image), colour=bool(image.rgb))
    return ImageIdentity(image.name, source_of(image), digest)


def place_of(source: str) -> Path:
    """Return the file or folder beside which files about an image belong.

    Parameters
    ----------
    source
        File of the image. What lies in an OME-Zarr image is part of it: then it is
        the outermost folder that is called ``.zarr``.
    """
    path = Path(source)
    around = [one for one in path.parents if one.suffix.lower() == ZARR]
    return around[-1] if around else path


def match(work: ImageIdentity, image: ImageIdentity) -> Match:
    """Return whether work is of an image of its shape.

    Parameters
    ----------
    work
        The image that the work was done on.
    image
        One that is open now.
    """
    pixels = compare_pixels(work, image)
    if work.source and image.source:
        one, other = map(_real, (work.source, image.source))
        if one == other and pixels is not Pixels.OTHER:
            return Match.SAME if work.name == image.name else Match.LIKELY
        if pixels is Pixels.ALIKE:
            return Match.ALIKE
        apart = one != other and not _in_one_zarr(one, other)
        return Match.OTHER if apart and one.exists() else Match.UNKNOWN
    if pixels is Pixels.ALIKE:
        return Match.ALIKE
    fileless = not work.source and not image.source
    named = base_name(work.name) == base_name(image.name)
    likely = fileless and named and pixels is Pixels.ONE_VALUE
    return Match.LIKELY if likely else Match.UNKNOWN


def compare_pixels(one: ImageIdentity, other: ImageIdentity) -> Pixels:
    """Return what the digests of two images say."""
    if not (one.digest and other.digest):
        return Pixels.NOT_COMPARED
    if one.digest != other.digest:
        return Pixels.OTHER
    blank = one.digest.startswith(_ONE_VALUE)
    return Pixels.ONE_VALUE if blank else Pixels.ALIKE


def contradicts(saved: ImageIdentity, image: ImageIdentity) -> bool:
    """Return whether saved clicks are of another image than that they are opened on.

    The user has chosen both, so they belong together unless something says otherwise:
    pixels, or the name where these are not known of both, or of one value.

    Parameters
    ----------
    saved, image
        The image of the file, whose name may be empty, and the chosen one.
    """
    pixels = compare_pixels(saved, image)
    if pixels in (Pixels.ALIKE, Pixels.OTHER):
        return pixels is Pixels.OTHER
    return bool(saved.name) and not is_called(image, saved.name)


def is_opened_again(work: ImageIdentity, image: ImageIdentity) -> bool:
    """Return whether work goes on with an image unasked, in its labels of before.

    Of the same pixels, or of one name and file where the pixels do not contradict it.

    Parameters
    ----------
    work, image
        See `match`.
    """
    if (work.name, work.source) == (image.name, image.source):
        return compare_pixels(work, image) is not Pixels.OTHER
    return match(work, image) <= Match.ALIKE


def is_called(image: ImageIdentity, name: str) -> bool:
    """Return whether an image, or its file, has a name, endings apart."""
    names = {image.name, Path(image.source).name} - {""}
    return base_name(name) in map(base_name, names)


def digest_of_pixels(data: Any, *, colour: bool = False) -> str:
    """Return a digest of an image, of the same pixels the same; empty if unknown.

    It is unknown of arrays that are not in memory, whose pixels take long to read. Of
    an image of one value everywhere it is that value, as `compare_pixels` knows.

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
    if np.all(sample == sample[0]):  # one value everywhere, or nearly everywhere
        if values.min() == values.max():
            return f"{_ONE_VALUE}{float(sample[0]) + 0.0} in {values.shape}"
        places = np.flatnonzero(values != values.flat[0])
        places = places[:: -(-places.size // MOST_VALUES)]
        found = places, values.flat[places]
        sample = np.concatenate((sample, *found), dtype="<f8", casting="unsafe")
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
