"""Training data as PNG planes in a folder of the run, split in two.

Files of any kind become the folders of :mod:`gpcis_training.data`: ``train`` and
``val``, each with ``images`` and ``labels``.
"""

from __future__ import annotations

import json
import re
from dataclasses import asdict, dataclass, replace
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from PIL import Image

from gpcis_training.data.folders import MIN_OBJECT
from gpcis_training.finetuning.reading import Problem
from napari_gpcis.errors import GPCISError, InputError
from napari_gpcis.imagefiles import read_label_file

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from numpy.typing import NDArray

    from gpcis_training.finetuning.reading import Plane

_TRAIN_SHARE = 0.75
"""Of a single image, this part of its longer side is trained on."""
VALIDATION_SHARE = 0.2
MAX_FILES = 50
_FEW_FILES = 4


class PlaneSource(NamedTuple):
    """A file, or layer, that yields planes."""

    name: str
    read: Callable[[], Iterator[Plane]]


@dataclass(frozen=True)
class StoredPlane:
    """One plane that was stored, and its objects.

    Parameters
    ----------
    name
        As in the split.
    file
        Stem of its files.
    shape
        Height and width.
    areas, sides
        Of each object of the first annotation: pixels, and the longer side of its
        bounding box.
    annotators
        Number of label images.
    """

    name: str
    file: str
    shape: tuple[int, int]
    areas: tuple[int, ...]
    sides: tuple[int, ...]
    annotators: int

    @property
    def source(self) -> str:
        """Name of the plane's file."""
        return re.sub(r"\[\d+\]$", "", self.name)


@dataclass(frozen=True)
class PreparedData:
    """All stored planes, and the files that could not be used."""

    planes: tuple[StoredPlane, ...]
    problems: tuple[Problem, ...]
    files: int
    cut: bool = False
    """``True`` if a single plane was cut in two, so that one part validates."""

    @property
    def objects(self) -> int:
        """Number of labelled objects."""
        return sum(len(plane.areas) for plane in self.planes)

    @property
    def small(self) -> int:
        """Number of objects too small to be drawn as targets."""
        return sum(area < MIN_OBJECT for p in self.planes for area in p.areas)


@dataclass(frozen=True)
class Split:
    """Division of the planes into training and validation, by name.

    Parameters
    ----------
    train, val
        Names, as ``cells.tif`` or ``stack.tif[3]``.
    seed
        Of the draw; ``None`` if the split was given.
    how
        Description of how it was made.
    """

    train: tuple[str, ...]
    val: tuple[str, ...]
    seed: int | None
    how: str

    def to_dict(self) -> dict[str, object]:
        """Return the JSON form."""
        return asdict(self)


def prepare_planes(
    sources: list[PlaneSource],
    folder: Path,
    report: Callable[[int, int], None] | None = None,
) -> PreparedData:
    """Store the planes of all sources below ``folder``.

    Parameters
    ----------
    sources
        Files or layers.
    folder
        New folder; gets ``all/images`` and ``all/labels``.
    report
        Called with the number of sources read and in total.

    Raises
    ------
    InputError
        If no object is left that could be trained on.
    """
    for kind in ("images", "labels"):
        (folder / "all" / kind).mkdir(parents=True)
    planes: list[StoredPlane] = []
    problems: list[Problem] = []
    for done, source in enumerate(sources):
        kept = len(planes)
        try:
            for plane in source.read():
                planes.append(_store(plane, folder / "all", len(planes)))
        except (GPCISError, OSError) as error:
            planes = planes[:kept]  # files of a half-read stack are overwritten
            problems.append(Problem(source.name, str(error)))
        if report is not None:
            report(done + 1, len(sources))
    prepared = PreparedData(tuple(planes), tuple(problems), len(sources))
    return _cut_single(prepared, folder / "all")


def check_usable(prepared: PreparedData) -> None:
    """Raise `InputError` unless there is an object that could be trained on."""
    if prepared.objects > prepared.small:
        return
    named = "; ".join(str(problem) for problem in prepared.problems[:5])
    what = f" ({named})" if named else ""
    msg = (
        f"no object of at least {MIN_OBJECT} pixels in {prepared.files} image files: "
        f"{prepared.objects} labelled objects{what}"
    )
    raise InputError(msg)


def make_split(prepared: PreparedData, seed: int) -> Split:
    """Keep about a fifth of the planes, at most 50, for validation.

    Whole files are drawn where there are four or more, since the planes of a stack
    resemble each other; of fewer files the last planes are taken.
    """
    names = [plane.name for plane in prepared.planes]
    if prepared.cut:
        how = (
            "the one image was cut in two: three quarters to train on, one to validate"
        )
        return Split((names[0],), (names[1],), seed, how)
    files = list(dict.fromkeys(plane.source for plane in prepared.planes))
    if len(files) < _FEW_FILES:
        count = max(1, round(VALIDATION_SHARE * len(names)))
        how = f"the last {count} of {len(names)} planes, of {len(files)} files"
        return Split(tuple(names[:-count]), tuple(names[-count:]), seed, how)
    count = min(max(1, round(VALIDATION_SHARE * len(files))), MAX_FILES)
    drawn = np.random.default_rng(seed).choice(len(files), count, replace=False)
    held = {files[index] for index in drawn}
    val = tuple(p.name for p in prepared.planes if p.source in held)
    train = tuple(p.name for p in prepared.planes if p.source not in held)
    return Split(train, val, seed, f"{count} of {len(files)} files, drawn at random")


def read_split(path: Path, prepared: PreparedData) -> Split:
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
    for plane in prepared.planes:
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


def apply_split(prepared: PreparedData, split: Split, folder: Path) -> None:
    """Move the stored planes to ``train`` and ``val``."""
    by_name = {plane.name: plane.file for plane in prepared.planes}
    for part, names in (("train", split.train), ("val", split.val)):
        for kind in ("images", "labels"):
            (folder / part / kind).mkdir(parents=True)
        for name in names:
            for path in _files_of(folder / "all", by_name[name]):
                path.rename(folder / part / path.parent.name / path.name)


def _files_of(folder: Path, stem: str) -> list[Path]:
    return [*folder.glob(f"images/{stem}.png"), *folder.glob(f"labels/{stem}*.png")]


def _store(plane: Plane, folder: Path, number: int) -> StoredPlane:
    """Write one plane and measure its objects."""
    stem = f"{number:05d}"
    for path in _files_of(folder, stem):
        path.unlink()
    _write(folder / "images" / f"{stem}.png", plane.image)
    several = len(plane.labels) > 1
    for annotator, labels in enumerate(plane.labels):
        suffix = f"__{annotator}" if several else ""
        _write(folder / "labels" / f"{stem}{suffix}.png", labels)
    areas, sides = _measure(plane.labels[0])
    height, width = plane.image.shape[:2]
    annotators = len(plane.labels)
    return StoredPlane(plane.name, stem, (height, width), areas, sides, annotators)


def _write(path: Path, array: NDArray[Any]) -> None:
    if array.dtype == np.uint16 and array.max() <= np.iinfo(np.uint8).max:
        array = array.astype(np.uint8)
    Image.fromarray(array).save(path, compress_level=1)


def _measure(labels: NDArray[np.uint16]) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """Return area and longer side of each object."""
    from scipy.ndimage import find_objects

    areas = np.bincount(labels.ravel())[1:]
    boxes = find_objects(labels)
    sides = [max(s.stop - s.start for s in box) for box in boxes if box]
    return tuple(areas[areas > 0].tolist()), tuple(sides)


def _cut_single(prepared: PreparedData, folder: Path) -> PreparedData:
    """Cut a single plane in two, so that one part can be validated on."""
    if len(prepared.planes) != 1:
        return prepared
    from gpcis_training.finetuning.reading import Plane

    whole = prepared.planes[0]
    image, *labels = (
        read_label_file(p)[0] for p in sorted(_files_of(folder, whole.file))
    )
    axis = int(np.argmax(whole.shape))
    at = round(_TRAIN_SHARE * whole.shape[axis])
    parts = []
    for number, part in enumerate((slice(0, at), slice(at, None))):
        region = (part,) if axis == 0 else (slice(None), part)
        annotations = tuple(one[region].astype(np.uint16) for one in labels)
        cut = Plane(
            f"{whole.name}, part {number + 1}", None, image[region], annotations
        )
        parts.append(_store(cut, folder, number + 1))
    for path in _files_of(folder, whole.file):
        path.unlink()
    return replace(prepared, planes=tuple(parts), cut=True)
