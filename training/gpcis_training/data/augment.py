"""Crops and colours: a target becomes a network input.

The published augmentation cuts a box whose sides are independent truncated normal
fractions of the image, pads it where a fraction exceeds 1, and resizes without keeping
the aspect. Two published slips are mended: the crop ends at ``x1 + w`` (not at the
right border), and each object's own binary mask is resized (ids are never mixed). A
share of crops instead follows the object, as zooming does when predicting.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import torch
from scipy import ndimage
from torch.nn import functional

from napari_gpcis.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Sequence

    import numpy.typing as npt
    from torch import Tensor

    from gpcis_training.data.folders import Target


ZOOM_LAWS = ("uniform", "log")


@dataclass(frozen=True)
class AugmentOptions:
    """Augmentation of samples: crops and colours.

    Parameters
    ----------
    size
        Side of the square network input, pixels.
    zoom
        Share of crops around the object.
    zoom_range
        Crop side as a multiple of the object's bounding box.
    zoom_law
        ``"uniform"``: all multiples of the range are as likely. ``"log"``: all ratios
        of two are, so that objects come in all sizes.
    zoom_square
        Whether crops around the object are square (but for the border of the image),
        of a multiple of its longer side. Otherwise each side is drawn for itself.
    ratio
        Mean, standard deviation, lower and upper bound of the fractions of the
        image's sides (published: 0.8, 0.4, 0.3, 1.3).
    flip_vertical, flip_horizontal, transpose
        Probabilities.
    colour
        Probability of a change of brightness, contrast and colour balance.
    grey
        Probability of removing the colour.
    invert
        Probability of a negative image (useful for microscopy).
    object_in_crop
        Draw the object among those that a crop of the image shows, as published; with
        ``zoom`` 0. Otherwise the object comes first, and a crop without it is drawn
        again.
    min_part
        Connected parts of the target with fewer pixels of the crop are removed
        (published: 900 of 256 x 256, there after the clicks were drawn, so that some
        lay on removed parts; here before).
    to_border
        Let crops reach from their left side to the right border, as the published
        code does by a slip.
    """

    size: int = 256
    zoom: float = 0.55
    zoom_range: tuple[float, float] = (1.1, 2.2)
    zoom_law: str = "uniform"
    zoom_square: bool = False
    ratio: tuple[float, float, float, float] = (0.8, 0.4, 0.3, 1.3)
    flip_vertical: float = 0.1
    flip_horizontal: float = 0.5
    transpose: float = 0.0
    colour: float = 0.75
    grey: float = 0.1
    invert: float = 0.0
    object_in_crop: bool = False
    min_part: int = 0
    to_border: bool = False

    def __post_init__(self) -> None:
        """Check options that exclude each other."""
        if self.object_in_crop and self.zoom > 0:
            msg = f"object_in_crop needs zoom 0, got {self.zoom}"
            raise InputError(msg)
        if self.zoom_law not in ZOOM_LAWS:
            known = ", ".join(ZOOM_LAWS)
            msg = f"zoom_law must be one of {known}, got {self.zoom_law!r}"
            raise InputError(msg)


class Crop(NamedTuple):
    """A network input before clicks."""

    image: npt.NDArray[np.float32]
    """Shape ``(3, S, S)``, in [0, 1]."""
    mask: npt.NDArray[np.bool_]
    """Shape ``(S, S)``."""
    others: npt.NDArray[np.bool_]
    """Other labelled objects, shape ``(S, S)``."""
    part: npt.NDArray[np.bool_] | None = None
    """The first of two merged objects, shape ``(S, S)``."""
    ignore: npt.NDArray[np.bool_] | None = None
    """Pixels that are neither object nor background, shape ``(S, S)``."""


Box = tuple[int, int, int, int]


def augment(
    target: Target,
    options: AugmentOptions,
    rng: np.random.Generator,
    box: Box | None = None,
) -> Crop:
    """Cut, resize, flip and colour a target.

    Parameters
    ----------
    target
        Image and object.
    options
        Of the augmentation.
    rng
        Source of randomness.
    box
        Region to cut; drawn by default.
    """
    if box is None:
        box = draw_box(target.mask, options, rng)
    image = _resized(target.image.transpose(2, 0, 1), box, options.size)
    planes = [target.mask, target.others]
    planes += [] if target.part is None else [target.part]
    if target.ignore is not None:  # with all else that is no background: no gaps
        planes.append(target.ignore | target.mask | target.others)
    masks = np.stack(planes).astype(np.uint8) * 255
    resized = _resized(masks, box, options.size) > 127.5
    flips = _draw_flips(options, rng)
    image = _colour(_flip(image, flips) / 255, options, rng)
    resized = _flip(resized, flips)
    mask = _large_parts(resized[0], options.min_part)
    part = None if target.part is None else resized[2] & mask
    others, ignore = resized[1].copy(), None
    if target.ignore is not None:
        ignore = resized[-1] & ~resized[0] & ~others
    return Crop(np.ascontiguousarray(image), mask, others, part, ignore)


class Scene(NamedTuple):
    """A network input with whole label images, before a target is chosen."""

    image: npt.NDArray[np.float32]
    """Shape ``(3, S, S)``, in [0, 1]."""
    labels: tuple[npt.NDArray[np.integer], ...]
    """One of each annotator, shape ``(S, S)``; 0 where nothing is labelled."""
    ignore: npt.NDArray[np.bool_]
    """Pixels that are neither object nor background, shape ``(S, S)``."""


def augment_scene(
    image: npt.NDArray[np.uint8],
    labels: Sequence[npt.NDArray[np.integer]],
    ignore: npt.NDArray[np.bool_] | None,
    mask: npt.NDArray[np.bool_],
    options: AugmentOptions,
    rng: np.random.Generator,
) -> Scene:
    """Cut, resize, flip and colour an image with all its labels.

    Labels are resampled to the nearest pixel, so that ids are never mixed.

    Parameters
    ----------
    image
        Shape ``(H, W, 3)``.
    labels
        Shape ``(H, W)`` each.
    ignore
        Pixels that are neither object nor background; ``None``: none are.
    mask
        The object that a crop around an object is drawn about.
    options
        Of the augmentation.
    rng
        Source of randomness.
    """
    box = draw_box(mask, options, rng)
    resized = _resized(image.transpose(2, 0, 1), box, options.size)
    flips = _draw_flips(options, rng)
    colours = _colour(_flip(resized, flips) / 255, options, rng)
    planes = [*labels]
    planes += [] if ignore is None else [ignore.astype(np.uint8)]
    found = [_nearest(plane, box, options.size) for plane in planes]
    found = [np.ascontiguousarray(_flip(plane[None], flips)[0]) for plane in found]
    unknown = np.zeros((options.size, options.size), dtype=bool)
    if ignore is not None:
        unknown = found.pop() > 0
    return Scene(np.ascontiguousarray(colours), tuple(found), unknown)


def draw_box(
    mask: npt.NDArray[np.bool_], options: AugmentOptions, rng: np.random.Generator
) -> Box:
    """Draw a crop: around an object, or anywhere.

    Parameters
    ----------
    mask
        The object.
    options
        Of the augmentation.
    rng
        Source of randomness.
    """
    if rng.random() < options.zoom:
        return _box_around(mask, options, rng)
    return random_box(mask.shape, options, rng)


def _nearest(
    plane: npt.NDArray[np.integer], box: Box, size: int
) -> npt.NDArray[np.integer]:
    """Cut ``(H, W)`` to a box, zero outside, and take the nearest pixels."""
    top, bottom, left, right = box
    places = (np.arange(size) + 0.5) / size
    rows = np.floor(top + places * (bottom - top)).astype(int)
    cols = np.floor(left + places * (right - left)).astype(int)
    height, width = plane.shape
    inside = ((rows >= 0) & (rows < height))[:, None] & ((cols >= 0) & (cols < width))
    cut = plane[rows.clip(0, height - 1)[:, None], cols.clip(0, width - 1)]
    return np.where(inside, cut, 0).astype(plane.dtype)


def _large_parts(mask: npt.NDArray[np.bool_], smallest: int) -> npt.NDArray[np.bool_]:
    """Return a copy without the connected parts that are too small."""
    if smallest <= 1:
        return mask.copy()
    parts, count = ndimage.label(mask)
    areas = np.bincount(parts.ravel(), minlength=count + 1)
    large = areas >= smallest
    large[0] = False
    return np.asarray(large[parts])


def _box_around(
    mask: npt.NDArray[np.bool_], options: AugmentOptions, rng: np.random.Generator
) -> Box:
    """Return a jittered box around the object, within the image."""
    extents = []
    for axis in (0, 1):
        inside = np.flatnonzero(mask.any(axis=1 - axis))
        extents.append((int(inside[0]), int(inside[-1]) + 1))
    longest = max(high - low for low, high in extents)
    common = _zoom(options, rng) if options.zoom_square else None
    box = []
    for (low, high), length in zip(extents, mask.shape, strict=True):
        if common is None:
            size = max((high - low) * _zoom(options, rng), 16)
        else:
            size = max(longest * common, 16)
        centre = (low + high) / 2 + rng.uniform(-0.5, 0.5) * (size - (high - low))
        start, stop = round(centre - size / 2), round(centre + size / 2)
        if common is not None:  # move it into the image rather than cut it
            shift = max(-start, 0) - max(stop - length, 0) if size < length else 0
            start, stop = start + shift, stop + shift
        box += [max(start, 0), min(stop, length)]
    return box[0], box[1], box[2], box[3]


def _zoom(options: AugmentOptions, rng: np.random.Generator) -> float:
    """Draw the side of a crop as a multiple of the object's."""
    low, high = options.zoom_range
    if options.zoom_law == "log":
        return float(np.exp(rng.uniform(np.log(low), np.log(high))))
    return float(rng.uniform(low, high))


def random_box(
    shape: tuple[int, ...], options: AugmentOptions, rng: np.random.Generator
) -> Box:
    """Return the published random box; it may reach beyond the image.

    Parameters
    ----------
    shape
        Of the image.
    options
        Of the augmentation.
    rng
        Source of randomness.

    Returns
    -------
    tuple of int
        First row, row after the last, first column, column after the last.
    """
    mean, std, low, high = options.ratio
    box = []
    for size in shape[:2]:
        ratio = rng.normal(mean, std)
        while not low <= ratio <= high:
            ratio = rng.normal(mean, std)
        length = max(int(size * ratio), 8)
        room = size - length
        start = int(rng.integers(min(room, 0), max(room, 0) + 1))
        box += [start, start + length]
    if options.to_border:
        box[3] = max(box[3], shape[1])
    return box[0], box[1], box[2], box[3]


def _resized(
    planes: npt.NDArray[np.uint8], box: Box, size: int
) -> npt.NDArray[np.float32]:
    """Cut ``(C, H, W)`` to a box, zero outside, and resize with antialiasing."""
    top, bottom, left, right = box
    rows = slice(max(top, 0), min(bottom, planes.shape[1]))
    cols = slice(max(left, 0), min(right, planes.shape[2]))
    cut = torch.from_numpy(np.ascontiguousarray(planes[:, rows, cols]))
    pads = (cols.start - left, right - cols.stop, rows.start - top, bottom - rows.stop)
    if any(pads):
        cut = functional.pad(cut, pads)
    return _interpolate(cut[None].float(), size)[0].numpy()


def _interpolate(planes: Tensor, size: int) -> Tensor:
    return functional.interpolate(
        planes, size=(size, size), mode="bilinear", antialias=True
    )


def _draw_flips(
    options: AugmentOptions, rng: np.random.Generator
) -> tuple[bool, bool, bool]:
    return (
        rng.random() < options.flip_vertical,
        rng.random() < options.flip_horizontal,
        rng.random() < options.transpose,
    )


def _flip(planes: npt.NDArray[Any], flips: tuple[bool, bool, bool]) -> npt.NDArray[Any]:
    vertical, horizontal, transpose = flips
    if vertical:
        planes = planes[:, ::-1]
    if horizontal:
        planes = planes[:, :, ::-1]
    if transpose:
        planes = planes.swapaxes(1, 2)
    return planes


def _colour(
    image: npt.NDArray[np.floating[Any]],
    options: AugmentOptions,
    rng: np.random.Generator,
) -> npt.NDArray[np.float32]:
    """Change brightness, contrast, gamma and colour balance; maybe grey, negative."""
    if rng.random() < options.colour:
        contrast, shift = rng.uniform(0.7, 1.35), rng.uniform(-0.2, 0.2)
        balance = rng.uniform(-0.05, 0.05, size=(3, 1, 1))
        image = (image - 0.5) * contrast + 0.5 + shift + balance
        image = np.clip(image, 0, 1) ** rng.uniform(0.7, 1.4)
    if rng.random() < options.grey:
        image = np.repeat(image.mean(axis=0, keepdims=True), 3, axis=0)
    if rng.random() < options.invert:
        image = 1 - image
    return np.asarray(np.clip(image, 0, 1), dtype=np.float32)
