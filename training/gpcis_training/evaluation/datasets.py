"""Objects to evaluate: fixed object lists, and any folder of labels.

Folders are those of :mod:`gpcis_training.data`. An object is one label, or the union of
several; it is taken as it is, so the parts of an object that something else cuts in two
stay one object.

Some lists are of planes that are laid out of the images of a folder when they are read,
see :mod:`gpcis_training.data.planes`; their tiles stand in the list.
"""

from __future__ import annotations

import json
import logging
import zlib
from dataclasses import asdict, dataclass, replace
from functools import cache, lru_cache
from importlib.resources import files
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple, TypeVar

import numpy as np
from skimage.io import imread

from gpcis_training.data.folders import (
    Pair,
    find_pairs,
    ignore_files,
    label_plane,
    read_ignored,
    read_labels,
)
from gpcis_training.data.pairing import find_pairs_of_files
from gpcis_training.data.planes import (
    Tile,
    draw_tiles,
    plane_image,
    plane_labels,
    whole_objects,
)
from gpcis_training.data.sbd import read_sbd_instances
from napari_gpcis import imagefiles
from napari_gpcis.errors import InputError

if TYPE_CHECKING:
    import os
    from collections.abc import Callable, Sequence

    from numpy.typing import NDArray

    GroundTruth = NDArray[np.int8]


LABELS = "labels"
"""The form of this package: ``images`` and ``labels``."""
PLANES = "planes"
"""Planes laid out of the images of such a folder; named ``LIST/NUMBER``."""
PLANE, TILE = 1024, 256
"""Sides of a plane and of its tiles, pixels."""
FILES = "files"
"""Any folders: objects name their files."""
_UNSURE = 128
Item = TypeVar("Item")


class Form(NamedTuple):
    """Layout of one kind of data set on disk."""

    images: str
    """Folder of the images, below that of the set."""
    labels: str
    """Folder of the label files."""
    read: Callable[[Path, tuple[int, ...]], GroundTruth]
    """Returns the ground truth of one object: 1 on it, -1 ignored, 0 elsewhere."""
    load: Callable[[Path], NDArray[np.generic]]
    """Reads an image: ``(H, W)`` or ``(H, W, C)``, any dtype."""
    has_ignore: bool = False
    """The set may have a folder ``ignore`` of masks with the images' names."""


def _channels(path: Path) -> NDArray[np.integer | np.bool_]:
    """Read a mask file, shape ``(H, W, C)`` without transparency."""
    array = np.asarray(imread(path))
    planes = array[..., None] if array.ndim == 2 else array
    if planes.ndim != 3 or planes.dtype.kind not in "bui":
        msg = f"{path}: {array.dtype} of shape {array.shape} is no mask"
        raise InputError(msg)
    if planes.shape[-1] in (2, 4):
        return planes[..., :-1]
    return planes


def read_ids(path: Path, ids: tuple[int, ...]) -> GroundTruth:
    """Return the union of some labels of a label image."""
    return np.isin(read_labels(path), ids).astype(np.int8)


def read_trimap(path: Path) -> GroundTruth:
    """Return the object of a mask whose first channel is 128 where it is unsure."""
    plane = _channels(path)[..., 0]
    bright = plane if plane.dtype == bool else plane > _UNSURE
    truth = np.asarray(bright, dtype=np.int8)
    truth[np.asarray(plane == _UNSURE)] = -1
    return truth


def read_any(path: Path) -> GroundTruth:
    """Return all that is not black, as one object."""
    shown = (_channels(path) != 0).any(axis=-1)
    return np.asarray(shown, dtype=np.int8)


_instances = lru_cache(maxsize=4)(read_sbd_instances)


def read_instance(path: Path, ids: tuple[int, ...]) -> GroundTruth:
    """Return one instance of SBD; the others are background."""
    return np.isin(_instances(path), ids).astype(np.int8)


def _whole(
    read: Callable[[Path], GroundTruth],
) -> Callable[[Path, tuple[int, ...]], GroundTruth]:
    """Return a reader of files that hold one object each, which needs no ids."""
    return lambda path, _ids: read(path)


def read_picture(path: Path) -> NDArray[np.generic]:
    """Read an image file as it is."""
    return np.asarray(imread(path))


def read_plane(path: Path) -> NDArray[np.integer]:
    """Read a label image of any kind that the package reads, shape ``(H, W)``.

    Raises
    ------
    InputError
        If the file is not one plane of integers.
    """
    return label_plane(imagefiles.read_image(path, turned=False), path)


def _read_stored(path: Path) -> NDArray[np.generic]:
    """Read an image of any kind as napari shows it: not turned by EXIF."""
    return imagefiles.read_image(path, turned=False)


def _read_plane_ids(path: Path, ids: tuple[int, ...]) -> GroundTruth:
    """Return the union of some labels of a label image of any kind."""
    return np.isin(read_plane(path), ids).astype(np.int8)


def _tiles(plane: Path) -> tuple[Path, list[Tile]]:
    """Return the folder and the tiles of ``FOLDER/LIST/NUMBER``."""
    tiles = read_list(plane.parent.name)["planes"][plane.name]
    return plane.parent.parent, [Tile(*tile) for tile in tiles]


@lru_cache(maxsize=4)
def _laid_image(plane: Path) -> NDArray[np.generic]:
    """Return the image of a plane."""
    return plane_image(*_tiles(plane), TILE)


@lru_cache(maxsize=4)
def _laid_labels(plane: Path) -> NDArray[np.integer]:
    """Return the labels of a plane."""
    return plane_labels(*_tiles(plane), TILE)


def _laid_ids(plane: Path, ids: tuple[int, ...]) -> GroundTruth:
    """Return the union of some labels of a plane."""
    return np.isin(_laid_labels(plane), ids).astype(np.int8)


FORMS = {
    LABELS: Form("images", "labels", read_ids, read_picture, has_ignore=True),
    FILES: Form("", "", _read_plane_ids, _read_stored),
    PLANES: Form("", "", _laid_ids, _laid_image),
    "grabcut": Form("data_GT", "boundary_GT", _whole(read_trimap), read_picture),
    "berkeley": Form("images", "masks", _whole(read_trimap), read_picture),
    "davis": Form("img", "gt", _whole(read_any), read_picture),
    "sbd": Form("img", "inst", read_instance, read_picture),
}
"""All forms by name."""


_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class EvaluationObject:
    """One object: file names inside the folder, and the labels that make it up."""

    image: str
    label: str
    ids: tuple[int, ...]

    def to_list(self) -> list[Any]:
        """Return the JSON form, a list."""
        return [self.image, self.label, self.ids]

    @classmethod
    def from_list(cls, data: Sequence[Any]) -> EvaluationObject:
        """Return the object whose JSON form is ``data``."""
        image, label, ids = data
        return cls(image, label, tuple(ids))


@dataclass(frozen=True)
class DrawingRule:
    """Rule by which the objects of a folder are drawn.

    Parameters
    ----------
    per_image
        At most so many objects an image, drawn at random; ``None``: all.
    min_area, min_fraction, max_fraction
        Accepted areas, in pixels and as a fraction of the image.
    combine
        ``"each"``: every label is an object. ``"all"``: the union of all labels is the
        only one. Otherwise groups of labels, each group one object.
    exclude
        Labels that are no objects of their own.
    annotation
        Number of the annotation that is taken if an image has several.
    window
        Size in pixels of the first view, a square around the first click, where the
        image is larger; ``None``: the first view is the whole image.
    seed
        Seed of the draw.
    """

    per_image: int | None = None
    min_area: int = 1
    min_fraction: float = 0.0
    max_fraction: float = 1.0
    combine: str | tuple[tuple[int, ...], ...] = "each"
    exclude: tuple[int, ...] = ()
    annotation: int = 0
    window: int | None = None
    seed: int = 0

    def choose(self, annotations: Sequence[Path]) -> Path:
        """Return the annotation of an image that is taken."""
        return annotations[min(self.annotation, len(annotations) - 1)]


@dataclass(frozen=True)
class ObjectSet:
    """Objects of one folder, with the rule by which they were drawn."""

    name: str
    folder: str
    rule: DrawingRule
    objects: tuple[EvaluationObject, ...]
    form: str = LABELS
    """Layout of the folder, see :data:`gpcis_training.evaluation.datasets.FORMS`."""

    def limited(self, limit: int | None) -> ObjectSet:
        """Return the set with its first ``limit`` objects only (``None``: all)."""
        check_limit(limit)
        return replace(self, objects=self.objects[:limit])

    def subset(self, count: int | None) -> ObjectSet:
        """Return the set with ``count`` objects, evenly spread (``None``: all)."""
        check_limit(count)
        if count is None:
            return self
        return replace(self, objects=evenly_spread(self.objects, count))


def evenly_spread(items: Sequence[Item], count: int) -> tuple[Item, ...]:
    """Return some items of a sequence, evenly spread and in its order.

    Examples
    --------
    >>> evenly_spread("abcdefg", 3)
    ('a', 'c', 'e')
    >>> evenly_spread("ab", 3)
    ('a', 'b')
    """
    step = max(1, len(items) / count)
    return tuple(items[int(k * step)] for k in range(min(count, len(items))))


_SKIN_AND_HAIR = (41, 19)
_HALF_PERCENT = DrawingRule(2, min_fraction=0.005)
_FOUR_CELLS = DrawingRule(4, min_area=64, window=256)
_EIGHT_CELLS = DrawingRule(8, min_area=64, window=256)
RULES: dict[str, tuple[str, DrawingRule]] = {
    "bsds500_val": (
        "natural/bsds500/val",
        DrawingRule(per_image=2, min_fraction=0.005, max_fraction=0.6),
    ),
    "tiny_coco_val": ("natural/tiny_coco/val", DrawingRule(2, min_area=1000)),
    "ccp_val_person": ("natural/ccp/val", DrawingRule(combine="all")),
    "ccp_val_garment": (
        "natural/ccp/val",
        DrawingRule(1, min_fraction=0.01, exclude=_SKIN_AND_HAIR),
    ),
    "dsb2018_val": ("microscopy/dsb2018/val", DrawingRule(2, min_area=64, window=256)),
    "isbi2012_em_val": ("microscopy/isbi2012_em/val", DrawingRule(8, window=256)),
    "wbc_val_cell": ("microscopy/wbc/val", DrawingRule(combine=((1, 2),), window=256)),
    "wbc_val_nucleus": ("microscopy/wbc/val", DrawingRule(combine=((2,),), window=256)),
    "voc_val": ("natural/voc/val", DrawingRule(1, min_fraction=0.005)),
    "coco_things_val": ("natural/coco_things/val", _HALF_PERCENT),
    "car_parts_val": ("natural/car_parts/val", _HALF_PERCENT),
    "food_val": ("natural/food/val", _HALF_PERCENT),
    "flowers_val": ("natural/flowers/val", _HALF_PERCENT),
    "bbbc039_val": ("microscopy/bbbc039/val", _FOUR_CELLS),
    "em_axons_val": ("microscopy/em_axons/val", _EIGHT_CELLS),
    "emps_val": ("microscopy/emps/val", _FOUR_CELLS),
    "usiigaci_phase_val": ("microscopy/usiigaci_phase/val", _FOUR_CELLS),
    "yeast_brightfield_val": ("microscopy/yeast_brightfield/val", _FOUR_CELLS),
    "monuseg_val": ("microscopy/monuseg/val", _FOUR_CELLS),
    "gbm_nuclei_val": ("microscopy/gbm_nuclei/val", _FOUR_CELLS),
    "glas_val": ("microscopy/glas/val", _EIGHT_CELLS),
    "sorghum_seeds_val": ("microscopy/sorghum_seeds/val", _FOUR_CELLS),
    "dsb2018_planes": (
        "microscopy/dsb2018/val",
        DrawingRule(25, min_area=64, window=256),
    ),
}
"""The validation protocol: name -> folder below the data root, rule of its list."""
PLANE_LISTS = {"dsb2018_planes": 4}
"""Lists of planes, and how many planes."""
GROUPS = ("all", "natural", "microscopy")
"""Names of many lists at once; those of planes are not among them."""


def object_sets() -> list[str]:
    """Return the names of the object lists that come with the package."""
    return sorted(RULES)


def grouped_sets(name: str) -> list[str]:
    """Return the object lists that a name stands for, itself if it is no group.

    Examples
    --------
    >>> grouped_sets("natural")[:3]
    ['bsds500_val', 'car_parts_val', 'ccp_val_garment']
    >>> grouped_sets("voc_val")
    ['voc_val']
    """
    if name not in GROUPS:
        return [name]
    chosen = [each for each in object_sets() if each not in PLANE_LISTS]
    if name == "all":
        return chosen
    return [each for each in chosen if RULES[each][0].startswith(f"{name}/")]


@cache
def read_list(name: str) -> dict[str, Any]:
    """Read the file of an object list that comes with the package."""
    text = (files(__package__) / "objects" / f"{name}.json").read_text("utf-8")
    data: dict[str, Any] = json.loads(text)
    return data


def load_objects(name: str) -> ObjectSet:
    """Return an object list that comes with the package.

    Raises
    ------
    InputError
        If there is no list of that name.
    """
    if name not in RULES:
        known = ", ".join(object_sets())
        msg = f"objects must be a folder or one of {known}; got {name!r}"
        raise InputError(msg)
    folder, rule = RULES[name]
    objects = tuple(map(EvaluationObject.from_list, read_list(name)["objects"]))
    form = PLANES if name in PLANE_LISTS else LABELS
    return ObjectSet(name, folder, rule, objects, form)


def draw_list(name: str, root: Path, path: str | Path) -> ObjectSet:
    """Draw an object list of the validation protocol anew, and write it.

    Parameters
    ----------
    name
        One of :func:`object_sets`.
    root
        Folder that holds the data sets.
    path
        The JSON file.
    """
    folder, rule = RULES[name]
    if name not in PLANE_LISTS:
        drawn = ObjectSet(name, folder, rule, draw_objects(root / folder, rule))
        save_objects(path, drawn)
        return drawn
    planes = draw_planes(root / folder, PLANE_LISTS[name], rule.seed)
    items = []
    for number, tiles in planes.items():
        labels = whole_objects(plane_labels(root / folder, tiles, TILE), TILE)
        plane = f"{name}/{number}"
        ids_drawn = draw_ids(labels, plane, rule)
        items += [EvaluationObject(plane, plane, ids) for ids in ids_drawn]
    drawn = ObjectSet(name, folder, rule, tuple(items), PLANES)
    save_objects(path, drawn, planes)
    return drawn


def draw_planes(folder: Path, count: int, seed: int) -> dict[str, list[Tile]]:
    """Draw the tiles of planes from images whose objects are bright on dark ground.

    No image occurs twice.

    Parameters
    ----------
    folder
        With ``images`` and ``labels``. Images of several channels are left out.
    count
        Number of planes of 1,024 x 1,024 pixels.
    seed
        Of the draw.
    """
    found = []
    for pair in find_pairs(folder):
        image, labels = read_picture(pair.image), read_labels(pair.labels[0])
        inside = labels > 0
        if image.ndim != 2 or not inside.any() or inside.all():
            continue
        if image[inside].mean() > image[~inside].mean():
            tile = Tile(pair.image.name, pair.labels[0].name, 0, 0)
            found.append((tile, (image.shape[0], image.shape[1])))
    each = (PLANE // TILE) ** 2
    tiles = draw_tiles(found, count * each, TILE, np.random.default_rng(seed))
    return {str(k): tiles[k * each : (k + 1) * each] for k in range(count)}


def save_objects(
    path: str | Path,
    drawn: ObjectSet,
    planes: dict[str, list[Tile]] | None = None,
) -> None:
    """Write an object list as JSON, one object a line; of planes, with their tiles."""
    head = {"name": drawn.name, "folder": drawn.folder, "rule": asdict(drawn.rule)}
    if planes is not None:
        head["planes"] = planes
    lines = [json.dumps(o.to_list()) for o in drawn.objects]
    text = json.dumps(head)[:-1] + ',\n"objects": [\n' + ",\n".join(lines) + "\n]}\n"
    Path(path).write_text(text, encoding="utf-8")


def folder_objects(folder: str, root: Path, rule: DrawingRule | None) -> ObjectSet:
    """Return the objects of a folder below ``root`` as a set named after it."""
    rule = rule or DrawingRule()
    return ObjectSet(folder, folder, rule, draw_objects(root / folder, rule))


def file_objects(
    images: str | os.PathLike[str],
    labels: str | os.PathLike[str],
    pairs: str | os.PathLike[str] | None = None,
    rule: DrawingRule | None = None,
) -> ObjectSet:
    """Return the objects of any folder of images and any of labels.

    Parameters
    ----------
    images, labels
        Folders of TIFF, PNG, JPEG or NumPy files, each one plane; both may be the
        same. A label file has the name of its image, perhaps with ``_labels``,
        ``_mask`` or the like behind it.
    pairs
        A CSV file with the columns ``image`` and ``labels``, or such a JSON file,
        where names differ.
    rule
        Rule by which objects are drawn; by default every label is one.

    Returns
    -------
    ObjectSet
        To be evaluated with ``root="."``. Images without labels are left out, and
        named in the log.

    Raises
    ------
    InputError
        If nothing pairs, a file cannot be read, or there is no accepted object.
    """
    rule = rule or DrawingRule()
    table = None if pairs is None else Path(pairs)
    found, alone = find_pairs_of_files(Path(images), Path(labels), table)
    if alone:
        _log.warning("%d images without labels, such as %s", len(alone), alone[0])
    drawn = []
    for image, labelled in found:
        label = rule.choose(labelled)
        drawn += [
            EvaluationObject(image.as_posix(), label.as_posix(), ids)
            for ids in draw_ids(read_plane(label), label.name, rule)
        ]
    if not drawn:
        msg = f"labels must hold objects that the rule accepts, found none in {labels}"
        raise InputError(msg)
    return ObjectSet(Path(images).as_posix(), ".", rule, tuple(drawn), form=FILES)


def draw_objects(
    folder: str | Path, rule: DrawingRule | None = None
) -> tuple[EvaluationObject, ...]:
    """Draw the objects of a folder: the same ones every time.

    The draw in an image depends on the seed, the name of its label file and the labels
    in it, not on the other files. Areas are those outside the ignored pixels.

    Parameters
    ----------
    folder
        Folder with ``images`` and ``labels``, perhaps ``ignore``.
    rule
        Accepted objects and their number; by default every label is an object.

    Raises
    ------
    InputError
        If the folder is no data folder, or holds no accepted object.
    """
    rule = rule or DrawingRule()
    drawn: list[EvaluationObject] = []
    for pair in find_pairs(Path(folder)):
        label = rule.choose(pair.labels)
        labels, ignored = read_labels(label), read_ignored(pair)
        if ignored is not None:
            labels = np.where(ignored, 0, labels)
        drawn += [
            EvaluationObject(pair.image.name, label.name, ids)
            for ids in draw_ids(labels, label.name, rule)
        ]
    if not drawn:
        msg = f"folder must hold objects that the rule accepts, found none in {folder}"
        raise InputError(msg)
    return tuple(drawn)


def draw_ids(
    labels: NDArray[np.integer], name: str, rule: DrawingRule
) -> list[tuple[int, ...]]:
    """Draw the objects of one label image.

    Parameters
    ----------
    labels
        Shape ``(H, W)``.
    name
        Name of its file, which with the seed decides the draw.
    rule
        Accepted objects and their number.
    """
    candidates = _candidates(labels, rule)
    if rule.per_image is None or len(candidates) <= rule.per_image:
        return candidates
    rng = np.random.default_rng([rule.seed, zlib.crc32(name.encode())])
    chosen = rng.choice(len(candidates), rule.per_image, replace=False)
    return [candidates[i] for i in sorted(chosen)]


def read_image(path: str | Path) -> NDArray[np.generic]:
    """Read an image file as it is: ``(H, W)`` or ``(H, W, C)``, any dtype."""
    return read_picture(Path(path))


def ground_truth(
    folder: str | Path, item: EvaluationObject, form: str = LABELS
) -> NDArray[np.int8]:
    """Return the ground truth of one object: 1 on it, -1 ignored, else 0.

    Pixels of the mask in ``ignore``, where the set has one for the image, are ignored:
    the robot does not click there, and no figure counts them.

    Raises
    ------
    InputError
        If a file is no label image, or mask and labels differ in size.
    """
    layout, root = FORMS[form], Path(folder)
    label = root / layout.labels / item.label
    truth = layout.read(label, item.ids)
    if layout.has_ignore:
        mask = ignore_files(root).get(Path(item.image).stem)
        ignored = read_ignored(Pair(root / layout.images / item.image, (label,), mask))
        if ignored is not None:
            truth[ignored] = -1
    return truth


def all_objects(
    folder: str | Path, item: EvaluationObject, form: str, rule: DrawingRule
) -> NDArray[np.int32]:
    """Return all objects of an image, not those of a list alone, shape ``(H, W)``.

    Parameters
    ----------
    folder
        Of the set.
    item
        Any object of the image.
    form
        Layout of the folder, see `FORMS`.
    rule
        What is an object; how many are drawn of an image does not matter.

    Returns
    -------
    ndarray
        1, 2, ... on the objects, 0 on the background, -1 where nothing counts: on
        ignored pixels, and on labels that the rule does not accept.

    Raises
    ------
    InputError
        If images of the form have one object each, or a file is no label image.
    """
    readers: dict[str, Callable[[Path], NDArray[np.integer]]] = {
        LABELS: read_labels,
        FILES: read_plane,
        PLANES: _laid_labels,
    }
    read = readers.get(form)
    if read is None:
        msg = f"all objects of an image are known of label images only, not of {form!r}"
        raise InputError(msg)
    labels = read(Path(folder) / FORMS[form].labels / item.label)
    found = np.where(labels > 0, -1, 0).astype(np.int32)
    groups = draw_ids(labels, item.label, replace(rule, per_image=None))
    for number, ids in enumerate(groups, start=1):
        found[np.isin(labels, ids)] = number
    found[ground_truth(folder, item, form) < 0] = -1
    return found


def first_view(
    shape: tuple[int, int],
    click: tuple[int, int],
    window: int | None,
    shift: tuple[float, float] = (0.0, 0.0),
) -> tuple[int, int, int, int] | None:
    """Return the window around the first click, kept inside the image.

    Parameters
    ----------
    shape
        Height and width of the image.
    click
        Pixel of the first click.
    window
        Height and width of the view; ``None``: no view.
    shift
        How far the view is moved down and to the right, in heights and widths of it.

    Returns
    -------
    tuple or None
        Half-open box; ``None`` if there is no window or it holds the whole image.

    Examples
    --------
    >>> first_view((1000, 200), (10, 50), 256)
    (0, 0, 256, 200)
    """
    if window is None or max(shape) <= window:
        return None
    sizes = [min(window, size) for size in shape]
    starts = [
        min(max(c - s // 2 + round(part * s), 0), size - s)
        for c, s, size, part in zip(click, sizes, shape, shift, strict=True)
    ]
    return starts[0], starts[1], starts[0] + sizes[0], starts[1] + sizes[1]


def view_shift(item: EvaluationObject, most: float, seed: int) -> tuple[float, float]:
    """Draw how far the first view of an object is moved, see :func:`first_view`.

    The same for views of all sizes; it depends on the object and the seed alone.

    Parameters
    ----------
    item
        The object.
    most
        Largest shift in either direction; 0: none.
    seed
        Of the draw.
    """
    name = f"view {(item.image, item.label, item.ids)!r}"
    rng = np.random.default_rng([seed, zlib.crc32(name.encode())])
    down, right = rng.uniform(-most, most, 2).tolist()
    return down, right


def check_limit(limit: int | None) -> None:
    """Raise `InputError` unless a number of objects can be asked for."""
    if limit is not None and limit < 1:
        msg = f"limit must be at least 1, got {limit}"
        raise InputError(msg)


def _candidates(
    labels: NDArray[np.integer], rule: DrawingRule
) -> list[tuple[int, ...]]:
    """Return the objects of one label image that the rule accepts."""
    present = [int(i) for i in np.unique(labels) if i > 0 and i not in rule.exclude]
    if rule.combine == "each":
        groups: list[tuple[int, ...]] = [(i,) for i in present]
    elif rule.combine == "all":
        groups = [tuple(present)] if present else []
    else:
        groups = [tuple(ids) for ids in rule.combine if not isinstance(ids, str)]
    low = max(1, rule.min_area, rule.min_fraction * labels.size)
    high = rule.max_fraction * labels.size
    areas = [np.count_nonzero(np.isin(labels, ids)) for ids in groups]
    return [ids for ids, area in zip(groups, areas, strict=True) if low <= area <= high]
