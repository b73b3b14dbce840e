"""Published data sets and figures: the paper's four sets and its tables.

Each set may be the root itself or a folder in it: ``GrabCut``, ``Berkeley``, ``DAVIS``
and ``SBD`` (or ``SBD/dataset``).
"""

from __future__ import annotations

import json
from functools import cache
from importlib.resources import files
from itertools import islice
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from tqdm import tqdm

from gpcis_training.data.sbd import list_sbd, read_sbd_instances
from gpcis_training.evaluation.datasets import (
    FORMS,
    DrawingRule,
    EvaluationObject,
    ObjectSet,
    check_limit,
)
from napari_gpcis.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


class PublishedSet(NamedTuple):
    """One data set of the paper."""

    folders: tuple[str, ...]
    """Possible folders below the root."""
    objects: int
    """Number of objects that its authors evaluate."""
    infer_size: int
    """Side of the network's input in the published evaluation."""


PUBLISHED_SETS = {
    "grabcut": PublishedSet((".", "GrabCut"), 50, 384),
    "berkeley": PublishedSet((".", "Berkeley"), 100, 384),
    "davis": PublishedSet((".", "DAVIS"), 345, 384),
    "sbd": PublishedSet((".", "dataset", "SBD", "SBD/dataset"), 6671, 256),
}
"""By name, which is that of the form as well."""


class PublishedRow(NamedTuple):
    """Row of the paper: one method on one set; ``None`` where it reports nothing.

    IoU is in percent, parameters are in millions, seconds are those of one click.
    """

    method: str
    architecture: str
    set: str
    noc85: float | None
    noc90: float | None
    noc100: float | None
    nof100: int | None
    iou1: float | None
    iou5: float | None
    noic: int | None
    parameters: float | None
    seconds: float | None


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


def published_rows(set_name: str, architecture: str | None) -> list[PublishedRow]:
    """Return the paper's rows for a set, GPCIS first.

    Parameters
    ----------
    set_name
        Name of a data set.
    architecture
        Those of one network, with the methods it is compared with; one that is not in
        the paper, or ``None``: GPCIS with each of the paper's networks.

    Examples
    --------
    >>> [row.method for row in published_rows("davis", "resnet50")]
    ['GPCIS', 'RITM', 'FocalClick']
    >>> [row.noc90 for row in published_rows("davis", None)]
    [6.04, 6.16, 5.89]
    """
    rows = [PublishedRow(*row) for row in _data()["rows"] if row[2] == set_name]
    same = [row for row in rows if row.architecture == architecture]
    chosen = same or [row for row in rows if row.method == "GPCIS"]
    return sorted(chosen, key=lambda row: row.method != "GPCIS")


def published_noic(set_name: str, architecture: str | None) -> dict[float, int]:
    """Return the paper's NoIC by epsilon squared (Table 1), empty where there is none.

    Examples
    --------
    >>> published_noic("davis", "resnet50")[1e-7]
    2
    """
    found = _data()["noic_by_epsilon2"]
    if (found["set"], found["architecture"]) != (set_name, architecture):
        return {}
    return {float(epsilon2): int(noic) for epsilon2, noic in found["values"]}


def source() -> str:
    """Return the source of the figures."""
    return str(_data()["source"])


def hardware() -> str:
    """Return the hardware of the published seconds per click."""
    return str(_data()["hardware"])


def _folder(name: str, root: Path) -> str:
    """Return the folder of a set below the root."""
    form = FORMS[name]
    for folder in PUBLISHED_SETS[name].folders:
        place = root / folder
        if (place / form.images).is_dir() and (place / form.labels).is_dir():
            return folder
    parts = f"{form.images} and {form.labels}"
    msg = f"root must hold the folders {parts} of {name}, got {root}"
    raise InputError(msg)


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


def _files(folder: Path) -> list[Path]:
    """Return the files of a folder by name, without hidden ones."""
    files = (path for path in folder.iterdir() if path.is_file())
    return sorted(path for path in files if not path.name.startswith("."))


def _stem(path: Path) -> str:
    """Return the name up to its first dot, by which the published code pairs files."""
    return path.name.split(".")[0]


@cache
def _data() -> dict[str, Any]:
    """Read the file of figures."""
    text = (files(__package__) / "published.json").read_text("utf-8")
    data: dict[str, Any] = json.loads(text)
    return data
