"""Pairs of image and label files, by name or by a CSV or JSON file."""

from __future__ import annotations

import csv
import json
import re
from typing import TYPE_CHECKING, Any, NamedTuple

from napari_gpcis.errors import InputError
from napari_gpcis.imagefiles import READABLE

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

_ENDINGS = re.compile(r"[-_.](labels?|masks?|cp_masks|seg|gt|annotations?)$", re.I)
_ANNOTATOR = re.compile(r"__\w+$")


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
        ``_gt``, and by ``__0``, ``__1`` ... where several annotators labelled it.

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
    by_name: dict[str, list[Path]] = {}
    for path in _files(labels):
        for name in {path.stem, *_image_names(path.stem)}:
            by_name.setdefault(name, []).append(path)
    same = images.resolve() == labels.resolve()
    pairs, alone = [], []
    stems = {path.stem for path in _files(images)}
    for path in _files(images):
        if same and stems & _image_names(path.stem):
            continue  # this one is the labels of another image
        found = [p for p in by_name.get(path.stem, []) if not (same and p == path)]
        if found:
            pairs.append(PairOfFiles(path, tuple(found)))
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


def _image_names(stem: str) -> set[str]:
    """Return the names an image may have whose labels are called ``stem``."""
    bare = _ANNOTATOR.sub("", stem)
    return {bare, _ENDINGS.sub("", bare)} - {stem}


def _files(folder: Path) -> Iterable[Path]:
    files = (path for path in sorted(folder.iterdir()) if not _hidden(path))
    return [path for path in files if path.suffix.lower() in READABLE]


def _hidden(path: Path) -> bool:
    return path.name.startswith(".")


def _listed(pairing: Path, images: Path, labels: Path) -> list[PairOfFiles]:
    if not pairing.is_file():
        msg = f"pairs: no file {str(pairing)!r}"
        raise InputError(msg)
    try:
        rows = _rows(pairing)
    except (ValueError, UnicodeDecodeError, csv.Error) as error:
        msg = f"pairs {pairing.name} cannot be read: {error}"
        raise InputError(msg) from error
    together: dict[Path, list[Path]] = {}
    for image, label in rows:
        together.setdefault(images / image, []).append(labels / label)
    if not together:
        msg = f"pairs {pairing.name} names no image"
        raise InputError(msg)
    missing = [
        str(path)
        for image, files in together.items()
        for path in (image, *files)
        if not path.is_file()
    ]
    if missing:
        msg = f"pairs {pairing.name} names {len(missing)} missing files: {missing[:5]}"
        raise InputError(msg)
    return [PairOfFiles(image, tuple(files)) for image, files in together.items()]


def _rows(pairing: Path) -> list[tuple[str, str]]:
    """Return image and label file of each line or entry."""
    text = pairing.read_text(encoding="utf-8-sig")
    if pairing.suffix.lower() == ".json":
        return _json_rows(json.loads(text))
    reader = csv.DictReader(text.splitlines(), skipinitialspace=True)
    if not {"image", "labels"} <= set(reader.fieldnames or ()):
        msg = f"expected the columns image,labels, got {reader.fieldnames}"
        raise ValueError(msg)
    return [(row["image"].strip(), row["labels"].strip()) for row in reader]


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
