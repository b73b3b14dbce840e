"""A folder of images to be annotated: what is there, how far it is, where to go on.

How far it is stands in a small file in the folder itself, so that it goes with it.
"""

from __future__ import annotations

import json
import re
from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from napari_gpcis.errors import InputError
from napari_gpcis.files import replacing
from napari_gpcis.files.names import fitting_stem, stem_of
from napari_gpcis.imagefiles.ome_zarr import is_zarr
from napari_gpcis.imagefiles.reading import READABLE

if TYPE_CHECKING:
    from pathlib import Path

CLICKS, LABELS = ".clicks.json", ".labels.tif"
"""Endings of the files beside an image."""
PROGRESS = "napari-gpcis-progress.json"
"""Name of the file that says how far a folder is."""
FORMAT, VERSION = "napari-gpcis-progress", 1
_OF_FILES = (".clicks", ".json", ".tif", ".tiff")
"""Endings that a name of clicks or labels loses before its own is added."""
_WRITTEN = re.compile(r"[-_.](labels?|masks?|cp_masks|seg|gt)$", re.IGNORECASE)

_PIECES = re.compile(
    r"(?<![^\W_])(?=[0-9]*[a-f])(?=[a-f]*[0-9])[0-9a-f]{8,}(?![^\W_])|\d+|\D"
)
"""Pieces of a name: a hexadecimal word, a number, or a letter."""
_NUMBER = "9\uffff"
"""Place of numbers among letters: behind digits that are none, before all others."""


def files_of(base: Path) -> tuple[Path, Path]:
    """Return the files of clicks and of labels of a path without their endings.

    A name that would be too long with them is shortened, by the same for both.
    """
    stem = fitting_stem(base.name, CLICKS, LABELS)
    return base.with_name(stem + CLICKS), base.with_name(stem + LABELS)


@dataclass
class FolderImage:
    """One image of a folder.

    Attributes
    ----------
    path
        Its file.
    base
        Path of the files beside it, without their endings: that of the image without
        its own, unless another image has the same name before its ending.
    done
        Whether somebody has marked it as done.
    problem
        Why it cannot be annotated; empty if nothing is known against it.
    usable
        ``False`` if its files would be those of another image.
    begun
        Whether there are clicks or labels beside it.
    """

    path: Path
    base: Path
    done: bool = False
    problem: str = ""
    usable: bool = True
    begun: bool = False

    @property
    def name(self) -> str:
        """Name of the file."""
        return self.path.name

    @property
    def clicks(self) -> Path:
        """File of its clicks, which need not be there."""
        return files_of(self.base)[0]

    @property
    def labels(self) -> Path:
        """File of its labels, which need not be there."""
        return files_of(self.base)[1]


@dataclass
class ImageFolder:
    """Images of a folder in natural order, and the one to go on with.

    Attributes
    ----------
    path
        The folder.
    images
        Its images; at least one.
    left_out
        Names of files that are no images of a kind that can be read.
    current
        Index of the image to go on with.
    """

    path: Path
    images: list[FolderImage]
    left_out: tuple[str, ...] = ()
    current: int = 0
    _unknown: list[str] = field(default_factory=list)

    @classmethod
    def open(cls, path: Path) -> ImageFolder:
        """Look through a folder, and for how far it was.

        Folders in it are not looked into, but for those of OME-Zarr. Label images and
        files that were written here are no images.

        Parameters
        ----------
        path
            The folder.

        Raises
        ------
        InputError
            If it is no folder, cannot be read, or holds no image.
        """
        try:
            found = [one for one in path.iterdir() if not one.name.startswith(".")]
        except OSError as error:
            msg = f"folder {path} cannot be read: {error.strerror or error}"
            raise InputError(msg) from error
        kinds = [one for one in found if _is_image(one)]
        known = {name.casefold() for one in kinds for name in _names(one)}
        images = [one for one in kinds if not _is_written(one, known)]
        if not images:
            msg = f"folder {path} holds no image ({', '.join(READABLE)})"
            raise InputError(msg)
        count = Counter(stem_of(one).casefold() for one in images)
        entries = [
            FolderImage(one, one.with_name(_base(one, count[stem_of(one).casefold()])))
            for one in sorted(images, key=natural_key)
        ]
        others = sorted(
            one.name
            for one in found
            if one.is_file() and one not in kinds and not one.name.endswith(".json")
        )
        _name_doubles(entries)
        names = {one.name for one in found}
        for entry in entries:
            entry.begun = not names.isdisjoint((entry.clicks.name, entry.labels.name))
        folder = cls(path, entries, tuple(others))
        folder._read()
        return folder

    @property
    def done(self) -> int:
        """Number of images that are done."""
        return sum(image.done for image in self.images)

    def mark(self, index: int, *, done: bool) -> None:
        """Mark an image as done, or not, and write that down.

        Raises
        ------
        OSError
            If the folder refuses; the mark holds as long as the folder is open.
        """
        self.images[index].done = done
        self.write()

    def go_to(self, index: int) -> None:
        """Take note of the image to go on with.

        Raises
        ------
        OSError
            If the folder refuses.
        """
        self.current = index
        self.write()

    def write(self) -> None:
        """Write down how far it is; a failure leaves the file as it was.

        Raises
        ------
        OSError
            If the folder refuses.
        """
        data = {
            "format": FORMAT,
            "version": VERSION,
            "current": self.images[self.current].name,
            "done": [one.name for one in self.images if one.done] + self._unknown,
        }
        with replacing(self.path / PROGRESS) as temporary:
            temporary.write_text(json.dumps(data, indent=1) + "\n", encoding="utf-8")

    def _read(self) -> None:
        """Take over how far it was; a damaged file is as none."""
        data = _content(self.path / PROGRESS)
        done = {name for name in data.get("done", ()) if isinstance(name, str)}
        places = {image.name: place for place, image in enumerate(self.images)}
        for image in self.images:
            image.done = image.name in done
        self._unknown = sorted(done - set(places))  # images may come back
        first = next((n for n, one in enumerate(self.images) if not one.done), 0)
        self.current = places.get(data.get("current", ""), first)


def _content(file: Path) -> dict[str, Any]:
    """Return the content of a file of progress; nothing if it is none."""
    try:
        data = json.loads(file.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    if not isinstance(data, dict) or data.get("format") != FORMAT:
        return {}
    known = isinstance(data.get("done"), list) and isinstance(data.get("current"), str)
    return data if known else {}


def _is_image(path: Path) -> bool:
    """Return whether a path is one of an image, by its name."""
    if path.is_dir():
        return is_zarr(path)
    return path.suffix.lower() in READABLE


def _is_written(path: Path, known: set[str]) -> bool:
    """Return whether a file holds labels of another image of the folder."""
    stem = stem_of(path)
    short = _WRITTEN.sub("", stem)
    return short != stem and short.casefold() in known


def _names(path: Path) -> list[str]:
    """Return what labels of an image may be called, without what says that they are.

    It is its own name, or that of its files where others are equal or too long.
    """
    stem = stem_of(path)
    ends = [suffix.removeprefix(".") for suffix in READABLE]
    bases = _base(path, 1), _base(path, 2)
    short = (fitting_stem(base, CLICKS, LABELS) for base in bases)
    return [stem, *(f"{stem}_{end}" for end in ends), *short]


def _base(path: Path, count: int) -> str:
    """Return the name of an image's files, with its ending if it is not the only one.

    The ending follows a bar: a point would be taken for that of the file beside it.
    """
    stem = stem_of(path)
    if count > 1:
        stem = f"{stem}_{path.suffix.lower().removeprefix('.')}"
    while stem.lower().endswith(_OF_FILES):
        before, _, ending = stem.rpartition(".")
        stem = f"{before}_{ending}"
    return stem


def _name_doubles(images: list[FolderImage]) -> None:
    """Name the problem of images whose files would be those of another one."""
    known: dict[str, str] = {}
    for image in images:
        first = known.setdefault(image.base.name.casefold(), image.name)
        if first != image.name:
            image.usable = False
            image.problem = f"{image.labels.name} belongs to {first}: rename one"


def natural_key(path: Path) -> tuple[list[tuple[str, int]], str]:
    """Return what images are sorted by: numbers in names count as numbers.

    Digits are letters like others in names that are hexadecimal, such as checksums, and
    where numbers have zeros in front: these have all the same length, or are meant to
    stand before the others. So such names are in the order of a list of files.
    """
    units: list[tuple[str, int]] = []
    for piece in _PIECES.findall(path.name.casefold()):
        if piece.isdecimal() and (len(piece) == 1 or int(piece[0])):
            units.append((_NUMBER, int(piece)))
        else:
            units += [(letter, 0) for letter in piece]
    return units, path.name
