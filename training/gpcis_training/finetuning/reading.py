"""Training planes read from image and label files of any kind."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from skimage import measure

from gpcis_training.data.folders import network_colours
from napari_gpcis.errors import InputError
from napari_gpcis.imagefiles import (
    PICTURES,
    exif_orientation,
    read_array,
    read_label_file,
    whole_numbers,
)

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from numpy.typing import NDArray

    from gpcis_training.data.pairing import PairOfFiles

    Labels = NDArray[np.uint16]

COMPONENTS = ("auto", "always", "never")
_MOST_CHANNELS = 16
"""An undeclared leading axis of more entries is taken for planes, not channels."""
_NAMED = 10


@dataclass(frozen=True)
class Plane:
    """One two-dimensional training image.

    Parameters
    ----------
    source
        Name of its file.
    index
        Number of the plane in the file, from 0; ``None`` if it has only one.
    image
        Shape ``(H, W, 3)``, uint8.
    labels
        One label image ``(H, W)`` for each annotator, ids from 1, 0 = nothing.
    """

    source: str
    index: int | None
    image: NDArray[np.uint8]
    labels: tuple[Labels, ...]

    @property
    def name(self) -> str:
        """Name of the plane in splits and messages."""
        return self.source if self.index is None else f"{self.source}[{self.index}]"


@dataclass(frozen=True)
class ReadingRule:
    """Rule by which files become planes.

    Parameters
    ----------
    channels
        Up to three channels, as for :meth:`napari_gpcis.Segmenter.predict`.
    components
        Whether the connected pieces of one id are objects of their own: ``"auto"``
        does so in label images with a single id (a black and white mask).
    """

    channels: tuple[int, ...] | None = None
    components: str = "auto"


class Problem(NamedTuple):
    """A file and the reason why it cannot be used."""

    file: str
    reason: str

    def __str__(self) -> str:
        """Return both in one line."""
        return f"{self.file}: {self.reason}"


def read_planes(pair: PairOfFiles, rule: ReadingRule) -> Iterator[Plane]:
    """Read the labelled planes of one image file; others are passed over.

    Raises
    ------
    InputError
        If image or labels cannot be used, their shapes differ, or nothing is
        labelled.
    """
    label_stacks = [_label_array(path) for path in pair.labels]
    image, axes = _image_of(pair.image, label_stacks[0].shape)
    yield from planes_of(pair.image.name, image, axes, label_stacks, rule)


def _image_of(path: Path, labels: Sequence[int]) -> tuple[NDArray[Any], str]:
    """Return the content of an image file, with one letter for each axis.

    A photograph with an EXIF orientation is read as napari shows it: as it is stored.
    It is turned only if its labels have the shape of the turned one alone, as those
    that ``napari-gpcis segment`` writes.
    """
    stored, axes = read_array(path, turned=False)
    if path.suffix.lower() in PICTURES and exif_orientation(path) != 1:
        turned, _ = read_array(path)
        if tuple(stored.shape[:2]) != tuple(labels[-2:]) == turned.shape[:2]:
            return turned, axes
    return stored, axes


def _label_array(path: Path) -> NDArray[Any]:
    """Return the content of a label file, or name it in the error."""
    try:
        return read_label_file(path)[0]
    except InputError as error:
        msg = f"its labels {path.name} cannot be read: {error}"
        raise InputError(msg) from error


def planes_of(
    source: str,
    image: NDArray[Any],
    axes: str,
    labels: Sequence[NDArray[Any]],
    rule: ReadingRule,
) -> Iterator[Plane]:
    """Yield the labelled planes of arrays; see :func:`read_planes`."""
    stacks = [_checked_labels(stack) for stack in labels]
    shape = stacks[0].shape
    if any(stack.shape != shape for stack in stacks):
        msg = f"its label files differ in shape: {[s.shape for s in stacks]}"
        raise InputError(msg)
    planes, coloured = _stacked(image, axes, shape)
    height_width = shape[-2:]
    flat = [stack.reshape(-1, *height_width) for stack in stacks]
    used = [k for k in range(len(planes)) if any(stack[k].any() for stack in flat)]
    if not used:
        msg = "its labels are empty: 0 everywhere"
        raise InputError(msg)
    channels = rule.channels if coloured else None
    for k in used:
        annotations = [stack[k] for stack in flat if stack[k].any()]
        yield Plane(
            source,
            k if len(planes) > 1 else None,
            network_colours(planes[k], channels),
            tuple(_objects(one, rule.components) for one in annotations),
        )


def unusable_files(problems: list[Problem], files: int) -> InputError:
    """Return the error that names the unusable files.

    Parameters
    ----------
    problems
        At least one.
    files
        Number of files that were read.
    """
    named = "\n  ".join(str(problem) for problem in problems[:_NAMED])
    rest = len(problems) - _NAMED
    more = f"\n  and {rest} more" if rest > 0 else ""
    msg = (
        f"{len(problems)} of {files} image files cannot be used:\n  {named}{more}\n"
        "Mend them, or leave them out with on_error='skip' (--on-error skip)."
    )
    return InputError(msg)


def _checked_labels(labels: NDArray[Any]) -> NDArray[Any]:
    """Return whole numbers from 0, without leading axes of one plane."""
    while labels.ndim > 2 and labels.shape[0] == 1:
        labels = labels[0]
    return whole_numbers(labels, "its labels")


def _stacked(
    image: NDArray[Any], axes: str, shape: tuple[int, ...]
) -> tuple[NDArray[Any], bool]:
    """Return planes ``(n, H, W[, C])``, and ``True`` if they have channels."""
    while image.ndim > len(shape) and image.shape[0] == 1 and image.shape != shape:
        image, axes = image[0], axes[1:]
    if image.shape == shape:
        return image.reshape(-1, *shape[-2:]), False
    if axes.endswith("S") and (image.shape[-1], *image.shape[:-1]) == shape:
        image = np.moveaxis(image, -1, 0)  # planes that were written as components
        return image.reshape(-1, *shape[-2:]), False
    axis = _channel_axis(image.shape, axes, shape)
    if axis is None:
        msg = f"its shape {image.shape} does not fit that of its labels, {shape}"
        raise InputError(msg)
    image = np.moveaxis(image, axis, -1)
    return image.reshape(-1, *shape[-2:], image.shape[-1]), True


def _channel_axis(image: Sequence[int], axes: str, labels: Sequence[int]) -> int | None:
    """Return the axis that the image has and the labels lack."""
    if len(image) != len(labels) + 1:
        return None
    order = (len(image) - 1, *range(len(image) - 2))
    for axis in order:
        if [*image[:axis], *image[axis + 1 :]] != list(labels):
            continue
        declared = axes[axis : axis + 1] in ("S", "C")
        if declared or image[axis] <= _MOST_CHANNELS:
            return int(axis)
    return None


def _objects(labels: NDArray[Any], components: str) -> Labels:
    """Return the label image with its objects numbered from 1."""
    values, inverse = np.unique(labels, return_inverse=True)
    numbers: NDArray[Any] = inverse.reshape(labels.shape) + int(values[0] > 0)
    objects = len(values) - int(values[0] == 0)
    if components == "always" or (components == "auto" and objects == 1):
        pieces: Any = measure.label  # skimage publishes no types
        numbers = pieces(numbers)
    if numbers.max() > np.iinfo(np.uint16).max:
        msg = f"its labels have {numbers.max()} objects; at most 65535 can be used"
        raise InputError(msg)
    return numbers.astype(np.uint16)
