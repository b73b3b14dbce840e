"""Pairs of image and label files, by name or by a CSV or JSON file."""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, Any, NamedTuple

from napari_gpcis.errors import InputError
from napari_gpcis.files.tables import read_table
from napari_gpcis.imagefiles import READABLE, is_pickled, is_zarr, label_groups

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from pathlib import Path

_ENDINGS = re.compile(r"[-_.](labels?|masks?|cp_masks|seg|gt|annotations?)$", re.I)
_OME = ".ome"


class PairOfFiles(NamedTuple):
    """An image file and the label files of it, one for each annotator."""

    image: Path
    labels: tuple[Path, ...]


def find_pairs_of_files(
    images: Path, labels: Path, pairing: Path | None = None
) -> tuple[list[PairOfFiles], list[str]]:
    """Pair image files with label files.

    Parameters
    ----------
    images, labels
        Folders; both may be the same one.
    pairing
        A CSV file with the columns ``image`` and ``labels``, or a JSON file with a
        mapping from image to label file(s) or a list of such objects. Paths in it are
        relative to the two folders. Without it, a label file has the name of its
        image, followed by nothing, ``_labels``, ``_mask``, ``_masks``, ``_seg`` or
        ``_gt``, and by ``__0``, ``__1`` ... where several annotators labelled it. If
        several images fit, the longest name counts. A ``_seg.npy`` file of Cellpose is
        passed over where there is another label file.

    Returns
    -------
    pairs : list of PairOfFiles
        In the order of image names.
    alone : list of str
        Names of images without labels.

    Raises
    ------
    InputError
        If a folder or the pairing cannot be used, or nothing pairs.
    """
    for name, folder in (("images", images), ("labels", labels)):
        if not folder.is_dir():
            msg = f"{name} must be a folder, got {str(folder)!r}"
            raise InputError(msg)
    if pairing is not None:
        return _listed(pairing, images, labels), []
    return _by_name(images, labels)


def _by_name(images: Path, labels: Path) -> tuple[list[PairOfFiles], list[str]]:
    files = _files(images)
    names = _Names({_name(path) for path in files})
    same = images.resolve() == labels.resolve()
    if same:
        names = _Names.in_one_folder(files)
        files = [path for path in files if names.image_of(_name(path)) is None]
    belonging: dict[str, list[Path]] = {}
    for path in _files(labels):
        image = names.image_of(_name(path))
        if image is not None:
            belonging.setdefault(image, []).append(path)
    pairs, alone = [], []
    for path in files:
        found = _label_files(belonging.get(_name(path), ())) or label_groups(path)
        if found:
            pairs.append(PairOfFiles(path, found))
        else:
            alone.append(path.name)
    if not pairs:
        shown = ", ".join(alone[:3]) or f"none ending in {', '.join(READABLE)}"
        msg = (
            f"no image in {str(images)!r} has a label file of its name in "
            f"{str(labels)!r}; images: {shown}. If the names differ, give a CSV file "
            "with the columns image,labels as pairs"
        )
        raise InputError(msg)
    return pairs, alone


class _Names:
    """Names of images, and whose labels a file of another name holds.

    Parameters
    ----------
    images
        Names without suffix.
    labelled
        Those that have labels of their own, in a folder with images and labels:
        there a name with ``__2`` may be that of another image. ``None`` where the
        labels have their own folder.
    """

    def __init__(self, images: set[str], labelled: set[str] | None = None) -> None:
        self._images = images
        self._labelled = labelled

    @classmethod
    def in_one_folder(cls, files: Sequence[Path]) -> _Names:
        """Return the names of a folder with both images and labels."""
        stems = {_name(path) for path in files}
        candidates = (_endings_removed(stem) for stem in stems)
        return cls(stems, {_first_in(names, stems) or "" for names in candidates})

    def image_of(self, stem: str) -> str | None:
        """Return the image whose labels a file holds: the longest name that fits.

        In a folder of labels a name of its own comes first. In a folder with both,
        ``None`` for images.
        """
        ended = _endings_removed(stem)
        annotated = _annotators_removed(stem)
        if self._labelled is None:
            return _first_in([stem, *ended, *annotated], self._images)
        found = _first_in(ended, self._images - {stem})
        if found is None and stem not in self._labelled:
            found = _first_in(annotated, self._images - {stem} - self._labelled)
        return found


def _endings_removed(stem: str) -> list[str]:
    """Return the names an image may have whose labels end in ``_masks`` or so."""
    found = []
    for name in (stem, *_annotators_removed(stem)):
        bare = _ENDINGS.sub("", name)
        if bare != name:
            bare = bare.removesuffix(_OME)
            found += [bare, *_annotators_removed(bare)]
    return found


def _annotators_removed(stem: str) -> list[str]:
    """Return the names an image may have whose labels end in ``__0`` or so."""
    found = []
    while "__" in stem:
        stem = stem.rpartition("__")[0]
        found.append(stem)
    return found


def _first_in(names: Iterable[str], known: set[str]) -> str | None:
    """Return the longest of some names that is known."""
    return max((name for name in names if name in known), key=len, default=None)


def _label_files(files: Sequence[Path]) -> tuple[Path, ...]:
    """Return label files; Python objects of Cellpose count where nothing else is."""
    plain = [path for path in files if not _is_seg_file(path)]
    return tuple(plain or files)


def _is_seg_file(path: Path) -> bool:
    """Return whether a file is one that the window of Cellpose writes."""
    if path.suffix.lower() != ".npy":
        return False
    try:
        return is_pickled(path)
    except (ValueError, OSError):
        return False  # reading it will say what is wrong


def _name(path: Path) -> str:
    """Return the name of a file without its endings."""
    return path.stem.removesuffix(_OME)


def _files(folder: Path) -> list[Path]:
    files = (path for path in sorted(folder.iterdir()) if not _hidden(path))
    readable = (path for path in files if path.suffix.lower() in READABLE)
    return [path for path in readable if path.is_file() or is_zarr(path)]


def _hidden(path: Path) -> bool:
    return path.name.startswith(".")


def _listed(pairing: Path, images: Path, labels: Path) -> list[PairOfFiles]:
    if not pairing.is_file():
        msg = f"pairs: no file {str(pairing)!r}"
        raise InputError(msg)
    try:
        rows = _rows(pairing)
    except InputError:
        raise
    except (ValueError, UnicodeDecodeError) as error:
        msg = f"pairs {pairing.name} cannot be read: {error}"
        raise InputError(msg) from error
    together: dict[Path, list[Path]] = {}
    for image, label in rows:
        together.setdefault(_in(images, image), []).append(_in(labels, label))
    if not together:
        msg = f"pairs {pairing.name} names no image"
        raise InputError(msg)
    missing = [
        str(path)
        for image, files in together.items()
        for path in (image, *files)
        if not path.exists()
    ]
    if missing:
        msg = f"pairs {pairing.name} names {len(missing)} missing files: {missing[:5]}"
        raise InputError(msg)
    return [PairOfFiles(image, tuple(files)) for image, files in together.items()]


def _in(folder: Path, text: str) -> Path:
    """Return a path in a folder; backslashes separate folders as on Windows."""
    path = folder / text
    if "\\" in text and not path.exists():
        return folder / text.replace("\\", "/")
    return path


def _rows(pairing: Path) -> list[tuple[str, str]]:
    """Return image and label file of each line or entry."""
    if pairing.suffix.lower() == ".json":
        return _json_rows(json.loads(pairing.read_text(encoding="utf-8-sig")))
    table = read_table(pairing, ("image", "labels"), "pairs")
    return [(row.cells["image"], row.cells["labels"]) for row in table.rows]


def _json_rows(content: Any) -> list[tuple[str, str]]:
    entries: list[tuple[Any, Any]] | None = None
    if isinstance(content, dict):
        entries = list(content.items())
    if isinstance(content, list) and all(isinstance(e, dict) for e in content):
        entries = [(entry.get("image"), entry.get("labels")) for entry in content]
    if entries is None:
        msg = "expected a mapping, or a list of objects with image and labels"
        raise ValueError(msg)
    rows = []
    for image, files in entries:
        for file in files if isinstance(files, list) else [files]:
            if not isinstance(image, str) or not isinstance(file, str):
                msg = f"expected file names, got {image!r}: {file!r}"
                raise ValueError(msg)
            rows.append((image, file))
    return rows
