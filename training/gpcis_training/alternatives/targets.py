"""Targets of several granularities: all objects that one click may mean.

A click inside a garment may mean the garment or the person, one inside a nucleus the
nucleus or the cell; several annotators of one image divide it coarsely and finely; a
cell that touches another may be meant alone or with it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from scipy import ndimage

from gpcis_training.data.augment import augment_scene
from gpcis_training.data.folders import (
    MIN_OBJECT,
    draw_pair,
    read_ignored,
    read_image,
)
from gpcis_training.data.samples import MAX_SHARE, MAX_TRIES, MIN_AREA
from gpcis_training.seeds import Stream, generator
from napari_gpcis.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Sequence

    import numpy.typing as npt

    from gpcis_training.data.augment import AugmentOptions, Scene
    from gpcis_training.data.folders import DataFolder

    Mask = npt.NDArray[np.bool_]

SAME = 0.9
"""Objects of a larger IoU are one target."""
_REACH = 2
_LEAST_CONTACT = 4


class Ambiguous(NamedTuple):
    """A click and the objects that it may mean, the one that was meant first."""

    pixel: tuple[int, int]
    objects: tuple[Mask, ...]
    """Shape ``(S, S)`` each."""


class DrawnScene(NamedTuple):
    """A scene and the set that it is from; nothing is labelled where it ignores."""

    scene: Scene
    folder: DataFolder


def draw_scene(
    folders: Sequence[DataFolder], seed: int, index: int, options: AugmentOptions
) -> DrawnScene:
    """Draw scene ``index``: the same for the same seed.

    Parameters
    ----------
    folders
        The sets.
    seed
        Of all randomness.
    index
        Number of the scene.
    options
        Of the augmentation.

    Raises
    ------
    InputError
        If no crop in a thousand shows an object that can be used.
    """
    rng = generator(seed, Stream.SCENE, index)
    for _ in range(MAX_TRIES):
        folder, pair = draw_pair(folders, rng)
        labels = [folder.labels(path) for path in pair.labels]
        chosen = labels[rng.integers(len(labels))]
        areas = np.bincount(chosen.ravel())
        areas[0] = 0
        ids = np.flatnonzero(folder.without_parts(areas) >= MIN_OBJECT)
        if len(ids) == 0:
            continue
        mask = chosen == rng.choice(ids)
        if rng.random() < folder.union:
            mask = chosen > 0
        scene = augment_scene(
            read_image(pair.image), labels, read_ignored(pair), mask, options, rng
        )
        known = tuple(np.where(scene.ignore, 0, plane) for plane in scene.labels)
        if any(len(_usable_ids(plane, folder)) for plane in known):
            return DrawnScene(scene._replace(labels=known), folder)
    roots = ", ".join(str(folder.root) for folder in folders)
    msg = f"no crop with a usable object in {MAX_TRIES} tries: {roots}"
    raise InputError(msg)


def draw_click(
    drawn: DrawnScene, rng: np.random.Generator, centre: float, limit: int
) -> Ambiguous:
    """Draw an object, a click in it, and what else the click may mean.

    Parameters
    ----------
    drawn
        The scene.
    rng
        Source of randomness.
    centre
        Share of clicks in the deeper half of the object; the others fall anywhere.
    limit
        Most objects.
    """
    scene, folder = drawn
    planes = [plane for plane in scene.labels if len(_usable_ids(plane, folder))]
    plane = planes[rng.integers(len(planes))]
    region = meant = plane == rng.choice(_usable_ids(plane, folder))
    kind = rng.random()
    if kind < folder.union:
        meant = plane > 0
    elif kind < folder.union + folder.merge:
        meant = _with_neighbour(plane, region)
    region = meant if _usable(meant) else region
    pixel = _click_in(region, rng, centre)
    objects = [region]
    for other in objects_at(drawn, pixel):
        if len(objects) < limit and all(_iou(other, one) < SAME for one in objects):
            objects.append(other)
    return Ambiguous(pixel, tuple(objects))


def objects_at(drawn: DrawnScene, pixel: tuple[int, int]) -> list[Mask]:
    """Return all labelled objects that a click may mean, of all annotators.

    Parameters
    ----------
    drawn
        The scene.
    pixel
        The click.
    """
    scene, folder = drawn
    found: list[Mask] = []
    for plane in scene.labels:
        ident = plane[pixel]
        if ident == 0:
            continue
        region = plane == ident
        if ident not in folder.never_alone:
            found.append(region)
        if folder.union > 0:
            found.append(plane > 0)
        if folder.merge > 0:
            found.append(_with_neighbour(plane, region))
    return [mask for mask in found if _usable(mask)]


def _usable_ids(
    plane: npt.NDArray[np.integer], folder: DataFolder
) -> npt.NDArray[np.intp]:
    """Return the ids of objects neither too small nor nearly the whole crop."""
    areas = np.bincount(plane.ravel(), minlength=1)
    areas[0] = 0
    alone = folder.without_parts(areas)
    return np.flatnonzero((alone > MIN_AREA) & (alone <= MAX_SHARE * plane.size))


def _usable(mask: Mask) -> bool:
    return bool(MIN_AREA < mask.sum() <= MAX_SHARE * mask.size)


def _with_neighbour(plane: npt.NDArray[np.integer], region: Mask) -> Mask:
    """Return a region with the object that touches it most; itself if none does."""
    rows, cols = np.flatnonzero(region.any(1)), np.flatnonzero(region.any(0))
    box = np.s_[
        max(rows[0] - _REACH, 0) : rows[-1] + _REACH + 1,
        max(cols[0] - _REACH, 0) : cols[-1] + _REACH + 1,
    ]
    inner = region[box]
    rim = ndimage.binary_dilation(inner, iterations=_REACH) & ~inner
    contacts = np.bincount(plane[box][rim], minlength=1)
    contacts[0] = 0
    if contacts.max(initial=0) < _LEAST_CONTACT:
        return region
    return np.asarray(region | (plane == contacts.argmax()))


def _click_in(region: Mask, rng: np.random.Generator, centre: float) -> tuple[int, int]:
    """Draw a pixel of a region, of its deeper half or any."""
    allowed = region
    if rng.random() < centre:
        depth = ndimage.distance_transform_edt(np.pad(region, 1))[1:-1, 1:-1]
        allowed = depth > depth.max() / 2
    place = rng.choice(np.flatnonzero(allowed))
    row, col = np.unravel_index(place, region.shape)
    return int(row), int(col)


def _iou(one: Mask, other: Mask) -> float:
    both = np.count_nonzero(one & other)
    return both / (np.count_nonzero(one) + np.count_nonzero(other) - both)
