"""The training data in one form: planes as PNG, in a folder of the run.

Whatever the files were, from here on they are the folders of
:mod:`gpcis_training.data.folders`: ``train`` and ``val``, each with ``images`` and ``labels``.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from PIL import Image

from gpcis_training.data.folders import MIN_OBJECT
from napari_gpcis.errors import GPCISError, InputError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from numpy.typing import NDArray

    from gpcis_training.finetuning._splitting import Split
    from gpcis_training.finetuning.reading import Plane

from gpcis_training.finetuning._problems import Problem

_TRAIN_SHARE = 0.75
"""Of a single image, this part of its longer side is trained on."""


class Source(NamedTuple):
    """A file, or layer, that yields planes."""

    name: str
    read: Callable[[], Iterator[Plane]]


@dataclass(frozen=True)
class Measured:
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
        """Name of the file it is from."""
        return re.sub(r"\[\d+\]$", "", self.name)


@dataclass(frozen=True)
class Gathered:
    """All planes, and what could not be used."""

    planes: tuple[Measured, ...]
    problems: tuple[Problem, ...]
    files: int
    cut: bool = False
    """Whether a single plane was cut in two, to have something to validate on."""

    @property
    def objects(self) -> int:
        """How many objects are labelled."""
        return sum(len(plane.areas) for plane in self.planes)

    @property
    def small(self) -> int:
        """How many objects are too small to be drawn as targets."""
        return sum(area < MIN_OBJECT for p in self.planes for area in p.areas)


def gather(
    sources: list[Source],
    folder: Path,
    report: Callable[[int, int], None] | None = None,
) -> Gathered:
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
    planes: list[Measured] = []
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
    gathered = Gathered(tuple(planes), tuple(problems), len(sources))
    return _cut_single(gathered, folder / "all")


def check_usable(gathered: Gathered) -> None:
    """Raise `InputError` unless there is an object that could be trained on."""
    if gathered.objects > gathered.small:
        return
    named = "; ".join(str(problem) for problem in gathered.problems[:5])
    what = f" ({named})" if named else ""
    msg = (
        f"no object of at least {MIN_OBJECT} pixels in {gathered.files} image files: "
        f"{gathered.objects} labelled objects{what}"
    )
    raise InputError(msg)


def sort_into(gathered: Gathered, split: Split, folder: Path) -> None:
    """Move the stored planes to ``train`` and ``val``."""
    by_name = {plane.name: plane.file for plane in gathered.planes}
    for part, names in (("train", split.train), ("val", split.val)):
        for kind in ("images", "labels"):
            (folder / part / kind).mkdir(parents=True)
        for name in names:
            for path in _files_of(folder / "all", by_name[name]):
                path.rename(folder / part / path.parent.name / path.name)


def _files_of(folder: Path, stem: str) -> list[Path]:
    return [*folder.glob(f"images/{stem}.png"), *folder.glob(f"labels/{stem}*.png")]


def _store(plane: Plane, folder: Path, number: int) -> Measured:
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
    return Measured(plane.name, stem, (height, width), areas, sides, annotators)


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


def _cut_single(gathered: Gathered, folder: Path) -> Gathered:
    """Cut a single plane in two, so that one part can be validated on."""
    if len(gathered.planes) != 1:
        return gathered
    from gpcis_training.finetuning.reading import Plane, read_label_file

    whole = gathered.planes[0]
    image, *labels = (read_label_file(p) for p in sorted(_files_of(folder, whole.file)))
    axis = int(np.argmax(whole.shape))
    at = round(_TRAIN_SHARE * whole.shape[axis])
    parts = []
    for number, part in enumerate((slice(0, at), slice(at, None))):
        place = (part,) if axis == 0 else (slice(None), part)
        annotations = tuple(one[place].astype(np.uint16) for one in labels)
        cut = Plane(f"{whole.name}, part {number + 1}", None, image[place], annotations)
        parts.append(_store(cut, folder, number + 1))
    for path in _files_of(folder, whole.file):
        path.unlink()
    return replace(gathered, planes=tuple(parts), cut=True)
