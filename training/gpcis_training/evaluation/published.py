"""The four data sets of the paper, as their users keep them on the disk.

Each may be the root itself or a folder in it: ``GrabCut``, ``Berkeley``, ``DAVIS`` and
``SBD`` (or ``SBD/dataset``).
"""

from __future__ import annotations

from itertools import islice
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from tqdm import tqdm

from gpcis_training.data.sbd import list_sbd, read_sbd_instances
from gpcis_training.evaluation.datasets import (
    DrawingRule,
    EvaluationObject,
    ObjectSet,
    check_limit,
)
from gpcis_training.evaluation.files import FORMS
from napari_gpcis.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


class PublishedSet(NamedTuple):
    """One data set of the paper."""

    folders: tuple[str, ...]
    """Where it may lie below the root."""
    objects: int
    """How many objects its authors evaluate."""
    infer_size: int
    """Side of the network's input in the published evaluation."""


PUBLISHED_SETS = {
    "grabcut": PublishedSet((".", "GrabCut"), 50, 384),
    "berkeley": PublishedSet((".", "Berkeley"), 100, 384),
    "davis": PublishedSet((".", "DAVIS"), 345, 384),
    "sbd": PublishedSet((".", "dataset", "SBD", "SBD/dataset"), 6671, 256),
}
"""By name, which is that of the form as well."""


def published_objects(name: str, root: Path, limit: int | None = None) -> ObjectSet:
    """Return the objects of a set of the paper.

    Parameters
    ----------
    name
        ``"grabcut"``, ``"berkeley"``, ``"davis"`` or ``"sbd"``.
    root
        The folder of the set, or one that holds it.
    limit
        The first objects only; ``None``: all.

    Raises
    ------
    InputError
        If the set is not there, or an image has no mask.
    """
    check_limit(limit)
    folder = _folder(name, root)
    found = _sbd(root / folder) if name == "sbd" else _masks(name, root / folder)
    objects = tuple(islice(found, limit))
    if not objects:
        msg = f"data set {name} in {root / folder} must hold images, found none"
        raise InputError(msg)
    return ObjectSet(name, folder, DrawingRule(), objects, form=name)


def _folder(name: str, root: Path) -> str:
    """Return where a set lies below the root."""
    form = FORMS[name]
    for folder in PUBLISHED_SETS[name].folders:
        place = root / folder
        if (place / form.images).is_dir() and (place / form.labels).is_dir():
            return folder
    parts = f"{form.images} and {form.labels}"
    msg = f"root must hold the folders {parts} of {name}, got {root}"
    raise InputError(msg)


def _stem(path: Path) -> str:
    """Return the name up to its first dot, by which the published code pairs files."""
    return path.name.split(".")[0]


def _files(folder: Path) -> list[Path]:
    """Return the files of a folder by name, without hidden ones."""
    files = (path for path in folder.iterdir() if path.is_file())
    return sorted(path for path in files if not path.name.startswith("."))


def _masks(name: str, folder: Path) -> Iterator[EvaluationObject]:
    """Yield the one object of each image."""
    form = FORMS[name]
    images = _files(folder / form.images)
    masks = {_stem(path): path for path in _files(folder / form.labels)}
    missing = [path.name for path in images if _stem(path) not in masks]
    if missing:
        msg = f"data set {name} in {folder}: no mask for {missing[:5]}"
        raise InputError(msg)
    for path in images:
        yield EvaluationObject(path.name, masks[_stem(path)].name, ())


def _sbd(folder: Path) -> Iterator[EvaluationObject]:
    """Yield the instances of the validation images."""
    files = list_sbd(folder, "val")
    for file in tqdm(files, "listing SBD", unit="image", leave=False):
        for ident in np.unique(read_sbd_instances(file.instances)):
            if ident:
                ids = (int(ident),)
                yield EvaluationObject(file.image.name, file.instances.name, ids)
