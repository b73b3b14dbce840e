"""Names of files that are made from those of others: they fit, and stay different."""

from __future__ import annotations

import os
import zlib
from collections import Counter
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from napari_gpcis.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Sequence

LONGEST = 255
"""Length that a name may have, in the units of `name_length`."""
_OME = (".ome.tiff", ".ome.tif", ".ome.zarr")


def name_length(name: str) -> int:
    """Return the length of a name as file systems count it.

    It is that in bytes, on Windows in units of UTF-16.
    """
    if os.name == "nt":
        return len(name.encode("utf-16-le", "surrogatepass")) // 2
    return len(os.fsencode(name))


def fitting_stem(stem: str, *endings: str) -> str:
    """Return the beginning of a name that is not too long with any of some endings.

    Parameters
    ----------
    stem
        What the name is to begin with.
    endings
        Endings of the files that are to have the same beginning.

    Returns
    -------
    str
        ``stem`` where that fits. Otherwise as many of its characters as fit, and a sum
        of all of them, so that names that differ in their last characters only stay
        different.

    Examples
    --------
    >>> fitting_stem("cells", ".clicks.json", ".labels.tif")
    'cells'
    >>> fitting_stem("c" * 244, ".clicks.json")[-12:]
    'ccc~a98ac4c0'
    """
    room = LONGEST - max(map(name_length, endings), default=0)
    if name_length(stem) <= room:
        return stem
    told_apart = f"~{zlib.crc32(stem.encode('utf-8', 'surrogatepass')):08x}"
    kept = stem
    while kept and name_length(kept) > room - len(told_apart):
        kept = kept[:-1]
    return kept + told_apart


def check_length(path: Path, role: str) -> None:
    """Raise `InputError` if no file, or no folder, can have a name of a path.

    Parameters
    ----------
    path
        A file that a user has named.
    role
        What errors call it.
    """
    for name in path.parts:
        more = name_length(name) - LONGEST
        if more > 0:
            msg = (
                f"{role}: the name of a file may have {LONGEST} bytes, {name[:40]}... "
                f"has {more} more"
            )
            raise InputError(msg)


def stem_of(path: Path) -> str:
    """Return the name of an image without its ending: all of ``.ome.tif``."""
    for ending in _OME:
        if path.name.lower().endswith(ending):
            return path.name[: -len(ending)]
    return path.stem


def common_folder(files: Sequence[Path]) -> Path | None:
    """Return the folder below which files of equal names are told apart.

    Parameters
    ----------
    files
        Their names count without the last suffix, since results get one of their own.

    Returns
    -------
    Path or None
        The innermost folder that holds all files, absolute; ``None`` if names differ
        anyway, or there is no such folder.
    """
    stems = [file.stem for file in files]
    if len(set(stems)) == len(stems):
        return None
    try:
        return Path(os.path.commonpath([file.absolute().parent for file in files]))
    except ValueError:  # on several drives
        return None


@dataclass(frozen=True)
class ResultFiles:
    """Files of results, one for each image.

    Attributes
    ----------
    folder
        Folder of the results.
    suffix
        Their ending.
    root
        Folder of images below which the results keep the subfolders of the images;
        ``None``: there are none.
    whole_names
        Images whose results are called by their whole names (``a.png.tif``), absolute.
    plain
        Whether ``.ome`` at the end of the name of an image is left out of all results,
        rather than of those alone that have one of their own.
    """

    folder: Path
    suffix: str
    root: Path | None = None
    whole_names: frozenset[Path] = frozenset()
    plain: bool = False

    def of(self, image: Path) -> Path:
        """Return the file of an image; one for its clicks (``.json``) fits as well."""
        folder = self.folder
        if self.root is not None:
            folder /= image.absolute().parent.relative_to(self.root)
        stem = image.name if image.absolute() in self.whole_names else image.stem
        if self.plain or self.suffix.startswith(".ome"):
            stem = stem.removesuffix(".ome")
        return folder / f"{fitting_stem(stem, self.suffix, '.json')}{self.suffix}"

    def told_apart(self, images: Sequence[Path]) -> ResultFiles:
        """Return the same for several images, no two of which get the same file.

        Those of the same name in several folders get subfolders of the same names;
        those of one folder that differ in their endings only get their whole names.

        Raises
        ------
        InputError
            If two get the same all the same, or a result would replace an image.
        """
        found = self
        if found.root is None:
            found = replace(found, root=common_folder(images))
        while equal := found._equal(images) - found.whole_names:
            found = replace(found, whole_names=found.whole_names | equal)
        found._check(images)
        return found

    def _equal(self, images: Sequence[Path]) -> set[Path]:
        """Return the images whose files are those of others too."""
        count = Counter(self.of(image) for image in images)
        return {image.absolute() for image in images if count[self.of(image)] > 1}

    def _check(self, images: Sequence[Path]) -> None:
        """Raise `InputError` where results would replace images or each other."""
        known: dict[Path, Path] = {}
        own = {image.resolve() for image in images}
        for image in images:
            file = self.of(image)
            other = known.setdefault(file, image)
            if other != image:
                msg = f"{other} and {image} would both be written to {file}"
                raise InputError(msg)
            if file.resolve() in own:
                msg = f"output {file} is one of the images; choose another folder"
                raise InputError(msg)
