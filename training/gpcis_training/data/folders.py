"""Data sets of images and label images: their files, cached, and their targets.

A set is ``ROOT/images/NAME.(jpg|png|tif|...)`` with ``ROOT/labels/NAME.png`` (integers,
0 = nothing labelled); several annotations of one image are ``NAME__0.png``,
``NAME__1.png`` and so on. ``ROOT/ignore/NAME.png``, where there is one, marks pixels
that are neither object nor background (0 where the labels hold). The Semantic
Boundaries Dataset is read in its own form.
"""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass, field
from threading import Lock
from typing import TYPE_CHECKING, Any, Generic, NamedTuple, TypeVar

import numpy as np
from scipy import ndimage
from skimage.io import imread

from gpcis_training.data.sbd import list_sbd, read_sbd_instances
from napari_gpcis.errors import InputError
from napari_gpcis.inference.image import prepare_image, to_rgb

if TYPE_CHECKING:
    from collections.abc import Callable, Hashable, Sequence
    from pathlib import Path

    import numpy.typing as npt

    Image = npt.NDArray[np.uint8]
    Labels = npt.NDArray[np.integer]

IMAGE_SUFFIXES = (".png", ".jpg", ".jpeg", ".tif", ".tiff", ".bmp")
FORMS = ("folder", "sbd")
"""Layouts of a set on disk."""
MIN_OBJECT = 80
"""Smallest object that is drawn as a target, in pixels of the file."""
Array = TypeVar("Array", bound=np.ndarray[Any, Any])


class Pair(NamedTuple):
    """An image file and its annotations."""

    image: Path
    labels: tuple[Path, ...]
    ignore: Path | None = None
    """Mask of the pixels that are neither object nor background."""


class Target(NamedTuple):
    """An image and one object to segment in it."""

    image: Image
    mask: npt.NDArray[np.bool_]
    others: npt.NDArray[np.bool_]
    part: npt.NDArray[np.bool_] | None = None
    """The first of two objects that were merged to the target."""
    ignore: npt.NDArray[np.bool_] | None = None
    """Pixels that are neither object nor background; not in ``mask``."""


@dataclass(frozen=True)
class DataFolder:
    """One set of images and how to draw targets from it.

    Parameters
    ----------
    root
        Folder with ``images`` and ``labels``.
    weight
        Relative share of the training samples.
    union
        Probability of the union of all labelled objects as the target (garments
        worn together, a cell of nucleus and cytoplasm).
    merge
        Probability of two objects as one target (0.15 in the published code).
    form
        ``"folder"``: images and labels as above. ``"sbd"``: ``img``, ``inst`` and
        lists of names, see :mod:`gpcis_training.data.sbd`.
    split
        The list, for ``"sbd"``.
    min_fill
        Objects that fill a smaller share of their bounding box are left out (0.08
        in the published code).
    never_alone
        Ids that are no object but part of one, and targets in the union only (the
        cytoplasm around a nucleus).
    """

    root: Path
    weight: float = 1.0
    union: float = 0.0
    merge: float = 0.15
    form: str = "folder"
    split: str = "train"
    min_fill: float = 0.0
    never_alone: tuple[int, ...] = ()
    pairs: tuple[Pair, ...] = field(init=False)

    def __post_init__(self) -> None:
        """List the files."""
        if self.form == "sbd":
            files = list_sbd(self.root, self.split)
            pairs = tuple(Pair(file.image, (file.instances,)) for file in files)
        else:
            pairs = find_pairs(self.root)
        object.__setattr__(self, "pairs", pairs)

    def labels(self, path: Path) -> Labels:
        """Read a label image of the set, without the objects that are left out."""
        if self.min_fill <= 0:
            return read_labels(path)
        key = (path, self.min_fill)
        return _labels.get(key, lambda: _compact(read_labels(path), self.min_fill))

    def without_parts(
        self, areas: npt.NDArray[np.integer | np.floating]
    ) -> npt.NDArray[np.integer | np.floating]:
        """Return the areas of ids, 0 for those that are no object alone.

        Parameters
        ----------
        areas
            Pixels of each id, from 0 on.
        """
        areas = areas.copy()
        areas[[one for one in self.never_alone if one < len(areas)]] = 0
        return areas


def find_pairs(root: Path) -> tuple[Pair, ...]:
    """Pair the images of a folder with their label images.

    Raises
    ------
    InputError
        If a folder is missing, an image has no labels, or there are no images.
    """
    images, labels = root / "images", root / "labels"
    for folder in (images, labels):
        if not folder.is_dir():
            msg = f"data folder {str(root)!r}: no folder {folder.name!r} in it"
            raise InputError(msg)
    files = [p for p in sorted(images.iterdir()) if p.suffix.lower() in IMAGE_SUFFIXES]
    stems = {path.stem for path in files}
    by_stem: dict[str, list[Path]] = {}
    for path in sorted(labels.iterdir()):
        name = path.stem
        while name not in stems and "__" in name:
            name = name.rpartition("__")[0]
        by_stem.setdefault(name, []).append(path)
    missing = [path.name for path in files if path.stem not in by_stem]
    if missing or not files:
        what = f"no labels for {missing[:5]}" if missing else "no images"
        msg = f"data folder {str(root)!r}: {what}"
        raise InputError(msg)
    ignored = ignore_files(root)
    return tuple(
        Pair(path, tuple(by_stem[path.stem]), ignored.get(path.stem)) for path in files
    )


def ignore_files(root: Path) -> dict[str, Path]:
    """Return the masks of ignored pixels in a data folder, by stem of their image."""
    folder = root / "ignore"
    files = sorted(folder.iterdir()) if folder.is_dir() else []
    return {path.stem: path for path in files}


def draw_target(
    folders: Sequence[DataFolder], rng: np.random.Generator, tries: int = 50
) -> Target:
    """Draw a data set by weight, an image, an annotation and an object of it.

    Parameters
    ----------
    folders
        The sets.
    rng
        Source of randomness.
    tries
        Draws before giving up on sets without any usable object.

    Raises
    ------
    InputError
        If no drawn annotation has an object of at least 80 pixels.
    """
    for _ in range(tries):
        folder, pair = draw_pair(folders, rng)
        labels = folder.labels(pair.labels[rng.integers(len(pair.labels))])
        ids = draw_ids(np.bincount(labels.ravel()), folder, rng)
        if ids is None:
            continue
        return make_target(pair, labels, ids)
    msg = f"no object of at least {MIN_OBJECT} pixels in {tries} drawn annotations"
    raise InputError(msg)


def draw_pair(
    folders: Sequence[DataFolder], rng: np.random.Generator
) -> tuple[DataFolder, Pair]:
    """Draw a data set by weight, and one of its images."""
    shares = np.array([folder.weight for folder in folders])
    folder = folders[rng.choice(len(folders), p=shares / shares.sum())]
    return folder, folder.pairs[rng.integers(len(folder.pairs))]


def draw_ids(
    areas: npt.NDArray[np.integer | np.floating],
    folder: DataFolder,
    rng: np.random.Generator,
) -> npt.NDArray[np.intp] | None:
    """Return the ids of one target, or ``None`` if none is large enough.

    Parameters
    ----------
    areas
        Pixels of each id, of the background first.
    folder
        With its probabilities.
    rng
        Source of randomness.
    """
    areas = areas.copy()
    areas[0] = 0
    if rng.random() < folder.union:
        ids = np.flatnonzero(areas)
        return ids if areas.sum() >= MIN_OBJECT else None
    areas = folder.without_parts(areas)
    ids = np.flatnonzero(areas >= MIN_OBJECT)
    if len(ids) == 0:
        return None
    count = 2 if len(ids) > 1 and rng.random() < folder.merge else 1
    return rng.choice(ids, size=count, replace=False)


def make_target(pair: Pair, labels: Labels, ids: npt.NDArray[np.intp]) -> Target:
    """Return the target of some objects of an image.

    Raises
    ------
    InputError
        If image and labels differ in size.
    """
    image = read_image(pair.image)
    if image.shape[:2] != labels.shape:
        msg = (
            f"{pair.image.name} has {image.shape[:2]} pixels, but its labels "
            f"{labels.shape}"
        )
        raise InputError(msg)
    mask, others = np.isin(labels, ids), labels > 0
    part = labels == ids[0] if len(ids) == 2 else None
    ignore = read_ignored(pair)
    if ignore is None:
        return Target(image, mask, others & ~mask, part)
    mask, others = mask & ~ignore, others & ~ignore
    return Target(image, mask, others & ~mask, part, ignore)


def read_ignored(pair: Pair) -> npt.NDArray[np.bool_] | None:
    """Return the pixels that are neither object nor background, ``(H, W)``.

    ``None`` if the labels hold everywhere.

    Raises
    ------
    InputError
        If their size is not that of the labels.
    """
    if pair.ignore is None:
        return None
    ignored = read_labels(pair.ignore) > 0
    shape = read_labels(pair.labels[0]).shape
    if ignored.shape != shape:
        msg = f"{pair.ignore.name} has {ignored.shape} pixels, but its labels {shape}"
        raise InputError(msg)
    return ignored


def read_image(path: Path) -> Image:
    """Read an image as the colours that predicting would see; kept, read-only.

    Returns
    -------
    array
        Shape ``(H, W, 3)``, uint8: colour with 8 bits as it is, everything else
        stretched as :meth:`napari_gpcis.Segmenter.prepare` does.

    Raises
    ------
    InputError
        If the file is no image plane of one, three or four channels.
    """
    return _images.get(path, lambda: _read_image(path))


def read_labels(path: Path) -> Labels:
    """Read a label image, shape ``(H, W)``, the smallest unsigned integer type.

    It is kept and read-only. A ``.mat`` file is one of the Semantic Boundaries Dataset.

    Raises
    ------
    InputError
        If the file is not one plane of integers.
    """
    return _labels.get(path, lambda: _read_labels(path))


class ArrayCache(Generic[Array]):
    """Cache of the arrays used last. Each data loading process has its own.

    Parameters
    ----------
    limit
        Bytes of all arrays together.
    """

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._held: OrderedDict[Hashable, Array] = OrderedDict()
        self._lock = Lock()
        self.size = 0

    def get(self, key: Hashable, make: Callable[[], Array]) -> Array:
        """Return the array of a key, made now if it is not there.

        It is read-only.
        """
        with self._lock:
            if key in self._held:
                self._held.move_to_end(key)
                return self._held[key]
        array = make()
        array.flags.writeable = False
        with self._lock:
            self._keep(key, array)
        return array

    def _keep(self, key: Hashable, array: Array) -> None:
        if key in self._held or array.nbytes > self._limit:
            return
        self._held[key] = array
        self.size += array.nbytes
        while self.size > self._limit:
            self.size -= self._held.popitem(last=False)[1].nbytes


_images: ArrayCache[npt.NDArray[np.uint8]] = ArrayCache(1024**3)
_labels: ArrayCache[npt.NDArray[np.integer]] = ArrayCache(512 * 1024**2)


def _read_image(path: Path) -> Image:
    array = np.asarray(imread(path))
    if array.ndim == 3 and array.shape[-1] in (2, 4):
        array = array[..., : array.shape[-1] - 1]
    if array.dtype == np.uint8 and array.ndim == 3 and array.shape[-1] == 3:
        return np.ascontiguousarray(array)
    try:
        return network_colours(array)
    except InputError as error:
        msg = f"{path.name}: {error}"
        raise InputError(msg) from error


def network_colours(
    array: npt.NDArray[Any], channels: tuple[int, ...] | None = None
) -> Image:
    """Return an image as the network sees it, rounded to 8 bits, ``(H, W, 3)``.

    Parameters
    ----------
    array
        Shape ``(H, W)`` or ``(H, W, C)``.
    channels
        Up to three channels, as for :meth:`napari_gpcis.Segmenter.predict`.
    """
    prepared = prepare_image(array, channels=channels)
    rgb = np.asarray(to_rgb(prepared.read(slice(None), slice(None))))
    return np.ascontiguousarray((rgb.transpose(1, 2, 0) * 255 + 0.5).astype(np.uint8))


def _read_labels(path: Path) -> Labels:
    if path.suffix == ".mat":
        return read_sbd_instances(path)
    array = label_plane(np.asarray(imread(path)), path.name)
    largest = int(array.max(initial=0))
    small = np.min_scalar_type(max(largest, 1))
    return np.ascontiguousarray(array.astype(small))


def label_plane(array: npt.NDArray[Any], name: object) -> Labels:
    """Return the one plane of a label image, shape ``(H, W)``.

    Parameters
    ----------
    array
        Shape ``(H, W)``, or ``(H, W, C)`` with all channels alike.
    name
        Name of the file, for the error.

    Raises
    ------
    InputError
        If it is not one plane of integers.
    """
    if array.ndim == 3 and (array == array[..., :1]).all():
        array = array[..., 0]
    if array.ndim != 2 or array.dtype.kind not in "bui":
        msg = f"{name}: {array.dtype} of shape {array.shape} is no label image"
        raise InputError(msg)
    return array


def _compact(labels: Labels, min_fill: float) -> Labels:
    """Return labels without the objects that hardly fill their bounding box."""
    kept = labels.copy()
    areas = np.bincount(labels.ravel())
    boxes = ndimage.find_objects(labels)
    for ident in np.flatnonzero(areas[1:]) + 1:
        box = boxes[ident - 1]
        if areas[ident] < min_fill * labels[box].size:
            kept[box][labels[box] == ident] = 0
    return kept
