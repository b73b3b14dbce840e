"""Which planes are trained on, and which only validated on."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING

import numpy as np

from napari_gpcis.errors import InputError

if TYPE_CHECKING:
    from pathlib import Path

    from gpcis_training.finetuning.prepare import Gathered

SHARE = 0.2
MOST = 50
_FEW_FILES = 4


@dataclass(frozen=True)
class Split:
    """Names of planes.

    Parameters
    ----------
    train, val
        Names, as ``cells.tif`` or ``stack.tif[3]``.
    seed
        Of the draw; ``None`` if the split was given.
    how
        How it was made, in words.
    """

    train: tuple[str, ...]
    val: tuple[str, ...]
    seed: int | None
    how: str

    def to_dict(self) -> dict[str, object]:
        """Return the JSON form."""
        return asdict(self)


def make_split(gathered: Gathered, seed: int) -> Split:
    """Keep about a fifth of the planes, at most 50, for validation.

    Whole files are drawn where there are four or more, since the planes of a stack
    resemble each other; of fewer files the last planes are taken.
    """
    names = [plane.name for plane in gathered.planes]
    if gathered.cut:
        how = (
            "the one image was cut in two: three quarters to train on, one to validate"
        )
        return Split((names[0],), (names[1],), seed, how)
    files = list(dict.fromkeys(plane.source for plane in gathered.planes))
    if len(files) < _FEW_FILES:
        count = max(1, round(SHARE * len(names)))
        how = f"the last {count} of {len(names)} planes, of {len(files)} files"
        return Split(tuple(names[:-count]), tuple(names[-count:]), seed, how)
    count = min(max(1, round(SHARE * len(files))), MOST)
    drawn = np.random.default_rng(seed).choice(len(files), count, replace=False)
    held = {files[index] for index in drawn}
    val = tuple(p.name for p in gathered.planes if p.source in held)
    train = tuple(p.name for p in gathered.planes if p.source not in held)
    return Split(train, val, seed, f"{count} of {len(files)} files, drawn at random")


def read_split(path: Path, gathered: Gathered) -> Split:
    """Read a split: JSON with ``train`` and ``val``, lists of plane or file names.

    The record that fine-tuning writes beside a model is accepted as it is. Planes
    that it does not name are left out.

    Raises
    ------
    InputError
        If it cannot be read, names what is not there, or a part is empty.
    """
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        content = content.get("split", content)
        parts = {part: list(content[part]) for part in ("train", "val")}
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        msg = f"split {path.name} must be JSON with the lists train and val: {error}"
        raise InputError(msg) from error
    known: dict[str, list[str]] = {}
    for plane in gathered.planes:
        for name in {plane.name, plane.source}:
            known.setdefault(name, []).append(plane.name)
    wrong = [n for names in parts.values() for n in names if n not in known]
    if wrong:
        msg = f"split {path.name} names {len(wrong)} unknown images: {wrong[:5]}"
        raise InputError(msg)
    train, val = (
        tuple(dict.fromkeys(plane for name in parts[part] for plane in known[name]))
        for part in ("train", "val")
    )
    if not train or not val or set(train) & set(val):
        msg = f"split {path.name}: train and val must be disjoint and not empty"
        raise InputError(msg)
    return Split(train, val, None, f"given in {path.name}")
