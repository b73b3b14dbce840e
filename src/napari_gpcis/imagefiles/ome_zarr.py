"""Images and labels in OME-Zarr, versions 0.4 and 0.5.

Read and written by the zarr library (extra ``zarr``); of its metadata only axes,
resolutions and the size of a pixel are used.
"""

from __future__ import annotations

import os
import shutil
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from napari_gpcis.errors import InputError
from napari_gpcis.files import fitting_stem
from napari_gpcis.imagefiles.planes import plane_index

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from numpy.typing import NDArray

ZARR = ".zarr"
LABELS = "labels"
"""Group of an image that holds its label images."""
VERSIONS = {"0.4": 2, "0.5": 3}
"""Versions of OME-Zarr that are written, and the format of Zarr of each."""
_MARKS = (".zgroup", ".zarray", "zarr.json")
_FILES = (".tif", ".tiff", ".png", ".jpg", ".jpeg", ".npy", ".json", ".csv")
_OLD_AXES = "tczyx"
_TYPES = {"T": "time", "C": "channel"}
_CHUNK, _SMALL = 512, 1024
"""Side of a chunk; resolutions are halved until the sides are below this."""


@dataclass(frozen=True)
class _Level:
    """One resolution: the shape of its array, and where its pixels lie."""

    shape: tuple[int, ...]
    scale: tuple[float, ...]
    translation: tuple[float, ...] = ()

    @property
    def transforms(self) -> list[dict[str, Any]]:
        """The entries of the metadata."""
        steps: list[dict[str, Any]] = [{"type": "scale", "scale": [*self.scale]}]
        if self.translation:
            shift = [*self.translation]
            steps.append({"type": "translation", "translation": shift})
        return steps

    def of(self, whole: NDArray[Any]) -> NDArray[Any]:
        """Return an array at this resolution: its nearest pixels."""
        for axis, (size, full) in enumerate(zip(self.shape, whole.shape, strict=True)):
            if size == full:
                continue
            step = round(full / size)
            places = np.arange(size) * step
            if size != -(-full // step):  # not every second, third ... pixel
                places = ((np.arange(size) + 0.5) * full / size).astype(np.intp)
            whole = whole.take(places, axis=axis)
        return whole


@dataclass(frozen=True)
class ZarrAxes:
    """Axes of an image in OME-Zarr.

    Attributes
    ----------
    letters
        One for each axis, as TIFF names them.
    scale
        Size of a pixel along each axis.
    units
        Unit of each axis, such as ``"micrometer"``; ``"pixel"`` where unknown.
    """

    letters: str
    scale: tuple[float, ...]
    units: tuple[str, ...]


def is_zarr(path: Path) -> bool:
    """Return whether a path is, or would be, a group of a Zarr folder."""
    suffix = path.suffix.lower()
    if suffix == ZARR:
        return True
    if suffix in _FILES and not path.is_dir():
        return False
    inside = any(parent.suffix.lower() == ZARR for parent in path.parents)
    return inside or any((path / mark).is_file() for mark in _MARKS)


def read_zarr(path: Path, plane: Sequence[int] | None) -> tuple[NDArray[Any], str]:
    """Read the full resolution of an image; of one plane only its chunks are read."""
    node = _open(path)
    if _is_array(node):
        array, axes = node, ""
    else:
        scales = _multiscales(node, path)
        array = node[scales["datasets"][0]["path"]]
        axes = _axes(scales, array).letters
    index = (
        (slice(None),) * array.ndim
        if plane is None
        else plane_index(array.shape, axes, plane)
    )
    values = np.asarray(array[index])
    if "C" not in axes:
        return values, axes
    kept = "".join(
        letter
        for letter, place in zip(axes, index, strict=True)
        if isinstance(place, slice)
    )
    values = np.moveaxis(values, kept.index("C"), -1)
    return values, axes.replace("C", "") + "C"


def label_groups(path: Path) -> tuple[Path, ...]:
    """Return the label images inside an OME-Zarr image."""
    folder = path / LABELS
    if not is_zarr(path) or not folder.is_dir():
        return ()
    return tuple(
        one for one in sorted(folder.iterdir()) if one.is_dir() and _is_group(one)
    )


def zarr_axes(path: Path) -> ZarrAxes | None:
    """Return axes and pixel size of an OME-Zarr image; ``None`` of a bare array.

    Raises
    ------
    InputError
        If it is no image.
    """
    node = _open(path)
    if _is_array(node):
        return None
    scales = _multiscales(node, path)
    return _axes(scales, node[scales["datasets"][0]["path"]])


def zarr_version(path: Path) -> str:
    """Return the version of OME-Zarr in which labels fit to an image."""
    return "0.5" if (path / "zarr.json").is_file() else "0.4"


def write_zarr(
    path: Path,
    labels: NDArray[Any],
    axes: ZarrAxes | None = None,
    version: str | None = None,
) -> None:
    """Write a label image as OME-Zarr, in one step, with smaller resolutions.

    Inside an image, as ``image.zarr/labels/NAME``, it is entered in the list of its
    label images, in the version of the image and with as many resolutions, each of the
    size that the image has there: OME-Zarr wants them so.

    Parameters
    ----------
    path
        The new folder; one that is there is replaced when the new one is complete.
    labels
        Integers from 0; the last two axes are rows and columns.
    axes
        Axes and pixel size; the usual letters and 1 by default.
    version
        A key of `VERSIONS`; that of the image, or 0.4, by default.

    Raises
    ------
    InputError
        If zarr is not installed, or the version is unknown.
    OSError
        If the disk refuses.
    """
    zarr = _zarr()
    image = path.parent.parent if path.parent.name == LABELS else None
    image = image if image is not None and is_zarr(image) else None
    chosen = version or ("0.4" if image is None else zarr_version(image))
    if chosen not in VERSIONS:
        msg = f"version must be one of {', '.join(VERSIONS)}, got {chosen!r}"
        raise InputError(msg)
    known = axes or _default_axes(labels.ndim)
    if image is not None:
        path.parent.mkdir(exist_ok=True)
    beside = fitting_stem(f".{path.stem}.{os.getpid()}", ZARR)
    temporary = path.with_name(f"{beside}{ZARR}")
    shutil.rmtree(temporary, ignore_errors=True)
    try:
        group = zarr.open_group(str(temporary), mode="w", zarr_format=VERSIONS[chosen])
        levels = _halved(labels.shape, known)
        if image is not None:
            levels = _resolutions_of(image, labels.shape, known) or levels
        inside = image is not None
        _fill(group, path.name, labels, known, chosen, levels, inside=inside)
        _replace(path, temporary)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)
    if image is not None:
        _enter(path, chosen)


def _fill(
    group: Any,
    name: str,
    labels: NDArray[Any],
    axes: ZarrAxes,
    version: str,
    levels: list[_Level],
    *,
    inside: bool,
) -> None:
    """Write all resolutions of a label image and its metadata."""
    largest = int(labels.max(initial=0))
    kind = np.uint16 if largest <= np.iinfo(np.uint16).max else np.uint32
    whole, datasets = labels.astype(kind), []
    sides = axes.letters.index("Y"), axes.letters.index("X")
    for number, level in enumerate(levels):
        chunks = tuple(
            min(size, _CHUNK) if axis in sides else 1
            for axis, size in enumerate(level.shape)
        )
        options: dict[str, Any] = {}
        if version == "0.4":
            options["chunk_key_encoding"] = {"name": "v2", "separator": "/"}
        else:
            options["dimension_names"] = [letter.lower() for letter in axes.letters]
        stored = group.create_array(
            str(number),
            shape=level.shape,
            dtype=kind,
            chunks=tuple(max(1, size) for size in chunks),
            **options,
        )
        stored[...] = level.of(whole)
        datasets.append(
            {"path": str(number), "coordinateTransformations": level.transforms}
        )
    multiscales: dict[str, Any] = {
        "name": name.removesuffix(ZARR),
        "axes": _axes_entries(axes),
        "datasets": datasets,
        "type": "nearest",
    }
    label: dict[str, Any] = {"source": {"image": "../../"}} if inside else {}
    if version == "0.4":
        multiscales["version"] = label["version"] = version
        group.attrs.update({"multiscales": [multiscales], "image-label": label})
    else:
        content = {"multiscales": [multiscales], "image-label": label}
        group.attrs.update({"ome": {"version": version, **content}})


def _halved(shape: tuple[int, ...], axes: ZarrAxes) -> list[_Level]:
    """Return resolutions whose rows and columns are halved until they are small."""
    sides = axes.letters.index("Y"), axes.letters.index("X")
    found, step = [_Level(shape, axes.scale)], 1
    while max(found[-1].shape[axis] for axis in sides) > _SMALL:
        step *= 2
        parts = [step if axis in sides else 1 for axis in range(len(shape))]
        found.append(
            _Level(
                tuple(-(-size // by) for size, by in zip(shape, parts, strict=True)),
                tuple(size * by for size, by in zip(axes.scale, parts, strict=True)),
            )
        )
    return found


def _resolutions_of(
    image: Path, shape: tuple[int, ...], axes: ZarrAxes
) -> list[_Level]:
    """Return the resolutions of an image for labels of it; none of a bare array."""
    group = _open(image)
    if _is_array(group):
        return []
    scales = _multiscales(group, image)
    found: list[_Level] = []
    full: dict[str, int] = {}
    for dataset in scales["datasets"]:
        array = group[dataset["path"]]
        own = _axes({**scales, "datasets": [dataset]}, array)
        sizes = dict(zip(own.letters, array.shape, strict=True))
        full = full or sizes
        steps = dict(zip(own.letters, own.scale, strict=True))
        shifts = dict(zip(own.letters, _translation(dataset, array.ndim), strict=True))
        level = _Level(
            tuple(
                max(1, round(size * sizes[letter] / full[letter]))
                if letter in sizes
                else size
                for letter, size in zip(axes.letters, shape, strict=True)
            ),
            tuple(
                steps.get(letter, size)
                for letter, size in zip(axes.letters, axes.scale, strict=True)
            ),
            tuple(shifts.get(letter, 0.0) for letter in axes.letters),
        )
        found.append(level if any(shifts.values()) else replace(level, translation=()))
    return found


def _translation(dataset: dict[str, Any], ndim: int) -> tuple[float, ...]:
    """Return where the first pixel of a resolution lies along each axis."""
    for step in dataset.get("coordinateTransformations", ()):
        shift = step.get("translation", ())
        if step.get("type") == "translation" and len(shift) == ndim:
            return tuple(map(float, shift))
    return (0.0,) * ndim


def _axes_entries(axes: ZarrAxes) -> list[dict[str, str]]:
    """Return the entries of the axes in the metadata."""
    entries = []
    for letter, unit in zip(axes.letters, axes.units, strict=True):
        entry = {"name": letter.lower(), "type": _TYPES.get(letter, "space")}
        if unit != "pixel":
            entry["unit"] = unit
        entries.append(entry)
    return entries


def _replace(path: Path, temporary: Path) -> None:
    """Put a complete folder in the place of another."""
    old = path.with_name(fitting_stem(f".{path.stem}.{os.getpid()}", ".old") + ".old")
    if path.exists():
        path.rename(old)
    try:
        temporary.rename(path)
    except OSError:
        if old.exists():
            old.rename(path)
        raise
    shutil.rmtree(old, ignore_errors=True)


def _enter(path: Path, version: str) -> None:
    """Enter a label image in the list of its image."""
    zarr = _zarr()
    parent = zarr.open_group(str(path.parent), mode="a", zarr_format=VERSIONS[version])
    held = dict(parent.attrs)
    content = dict(held.get("ome", {})) if version == "0.5" else held
    content["labels"] = list(dict.fromkeys([*content.get("labels", []), path.name]))
    if version == "0.5":
        content = {"ome": {"version": version, **content}}
    parent.attrs.update(content)


def _default_axes(ndim: int) -> ZarrAxes:
    """Return the usual axes of so many dimensions."""
    letters = "TCZYX"[5 - ndim :] if ndim != 4 else "TZYX"
    return ZarrAxes(letters, (1.0,) * ndim, ("pixel",) * ndim)


def _zarr() -> Any:
    """Return the zarr library."""
    try:
        import zarr
    except ImportError as error:
        msg = "OME-Zarr needs: pip install 'napari-gpcis[zarr]'"
        raise InputError(msg) from error
    return zarr


def _open(path: Path) -> Any:
    """Return the array or group at a path."""
    zarr = _zarr()
    try:
        return zarr.open(str(path), mode="r")
    except (OSError, KeyError, ValueError, TypeError) as error:
        msg = f"image {path} is no Zarr folder that can be read: {error}"
        raise InputError(msg) from error


def _is_array(node: Any) -> bool:
    return hasattr(node, "dtype")


def _is_group(path: Path) -> bool:
    return any((path / mark).is_file() for mark in (".zgroup", "zarr.json"))


def _multiscales(group: Any, path: Path) -> dict[str, Any]:
    """Return the metadata of the image in a group."""
    attributes = dict(group.attrs)
    content = attributes.get("ome", attributes)
    found = content.get("multiscales")
    if found:
        try:
            _ = group[found[0]["datasets"][0]["path"]].shape
        except (KeyError, IndexError, TypeError, AttributeError) as error:
            msg = f"image {path}: its OME-Zarr metadata are damaged ({error!r})"
            raise InputError(msg) from error
        return dict(found[0])
    if "plate" in content:
        wells = [str(well.get("path")) for well in content["plate"].get("wells", [])]
        msg = f"{path} is a plate: name one image, such as {path}/{wells[0]}/0"
        raise InputError(msg if wells else f"{path} is a plate without wells")
    names = sorted(key for key, _ in group.members())
    parts = ", ".join(name for name in names if name not in ("OME", LABELS))
    hint = f"; images may be in it: {parts}" if parts else ""
    msg = f"{path} is no OME-Zarr image{hint}"
    raise InputError(msg)


def _axes(scales: dict[str, Any], array: Any) -> ZarrAxes:
    """Return axes and pixel size of the full resolution."""
    entries = scales.get("axes") or list(_OLD_AXES[-array.ndim :])
    named = [{"name": one} if isinstance(one, str) else one for one in entries]
    if len(named) != array.ndim:
        msg = f"OME-Zarr names {len(named)} axes for an array of shape {array.shape}"
        raise InputError(msg)
    letters = "".join(
        "C" if one.get("type") == "channel" else str(one["name"])[:1].upper()
        for one in named
    )
    scale = [1.0] * array.ndim
    for steps in (
        scales["datasets"][0].get("coordinateTransformations", ()),
        scales.get("coordinateTransformations", ()),
    ):
        for step in steps:
            if step.get("type") == "scale" and len(step["scale"]) == array.ndim:
                scale = [
                    a * float(b) for a, b in zip(scale, step["scale"], strict=True)
                ]
    units = tuple(str(one.get("unit") or "pixel") for one in named)
    return ZarrAxes(letters, tuple(scale), units)
