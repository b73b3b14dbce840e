"""Recovery files of unsaved work: written in one step, locked, read back.

One file for each annotation lies in the user's state folder: prompts as JSON and all
planes with objects, packed, in one NumPy archive that replaces the older one in one
step. A lock that the operating system drops when the process dies tells work that
another napari is doing from unsaved work after a crash. Nothing here needs Qt.
"""

from __future__ import annotations

import json
import os
import time
import uuid
import zlib
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from threading import Event
from typing import TYPE_CHECKING, Any, NamedTuple
from zipfile import BadZipFile

import numpy as np
from filelock import FileLock, Timeout

from napari_gpcis.errors import InputError
from napari_gpcis.files import replacing
from napari_gpcis.prompts import SavedAnnotation, SavedPlane, parse_annotation

if TYPE_CHECKING:
    from collections.abc import Callable, Hashable, Iterator

    from numpy.typing import NDArray

    Place = tuple[tuple[int, int], tuple[int, ...]]
    _Sums = tuple[int, int]


SUFFIX = ".npz"
_HEAD = "annotation"
LARGEST = 1 << 31
"""Bytes of labels above which only planes with prompts are kept."""


@dataclass(frozen=True)
class Recovered:
    """Unsaved work of a process that has ended, in its recovery file.

    Attributes
    ----------
    file
        The recovery file.
    saved
        The prompts.
    planes
        Axes and steps of the planes that were kept, see `SavedPlane`.
    dtype
        Type of the labels.
    source
        File of the image, if it came from one.
    when
        Seconds since 1970 at which it was written.
    objects
        Number of finished objects, those without clicks included.
    name
        Name of the labels layer; empty in a file of an earlier version.
    """

    file: Path
    saved: SavedAnnotation
    planes: tuple[Place, ...]
    dtype: str
    source: str
    when: float
    objects: int
    name: str = ""

    @property
    def amount(self) -> str:
        """Contents in words: objects, and clicks of unfinished ones."""
        return self.saved.in_words(self.objects)

    def labels(self) -> NDArray[np.int32]:
        """Return the labels of the whole image; planes that were not kept are empty.

        Raises
        ------
        InputError
            If the file is damaged.
        OSError
            If it cannot be read.
        """
        labels = np.zeros(self.saved.shape, np.int32)
        with _reading(self.file) as archive:
            for place, (axes, steps) in enumerate(self.planes):
                index = SavedPlane(axes, steps, ()).index
                packed = archive[f"plane_{place}"]
                labels[index] = unpack(packed, self.dtype, labels[index].shape)
        return labels

    @property
    def waiting(self) -> bool:
        """True if the file is still there, and nobody works on it by now."""
        return self.file.is_file() and _abandoned(self.file)

    def discard(self) -> None:
        """Delete the file: the work is not wanted.

        One that is being worked on by now stays: it was restored somewhere else.
        """
        if _abandoned(self.file):
            _remove(self.file)


class RecoveryFile:
    """One recovery file of this process, which outlives Qt objects."""

    def __init__(self) -> None:
        self.path: Path | None = None
        self.closing = Event()
        self._lock: FileLock | None = None

    def claim(self) -> Path:
        """Return the path, locked for this process.

        Raises
        ------
        OSError
            If the folder cannot be used.
        """
        if self.path is None:
            folder = state_folder() / "recovery"
            folder.mkdir(exist_ok=True)
            path = folder / f"{uuid.uuid4().hex}{SUFFIX}"
            lock = FileLock(_lock_of(path))
            lock.acquire(timeout=0)
            self.path, self._lock = path, lock
        return self.path

    def take_over(self, file: Path) -> bool:
        """Go on with the file of a process that has ended: it stays until replaced.

        Returns
        -------
        bool
            ``False`` if another process works on it by now, or there is a file here.
        """
        lock = FileLock(_lock_of(file))
        if self.path is not None or not _acquired(lock):
            return False
        self.path, self._lock = file, lock
        return True

    def leave(self) -> None:
        """Leave the file to whoever wants to recover the work: it is not saved."""
        self.closing.set()
        if self._lock is not None:
            self._lock.release()
            self._lock = None

    def remove(self) -> None:
        """Delete the file on a clean end: nothing is left to recover."""
        self.closing.set()
        if self.path is not None and self._lock is not None:
            with suppress(OSError):
                self.path.unlink(missing_ok=True)
            self._lock.release()
            _remove(self.path)
            self.path = None


def unsaved_work() -> list[Recovered]:
    """Return unsaved work of processes that have ended, the latest first."""
    found: list[Recovered] = []
    with suppress(OSError):
        for file in (state_folder() / "recovery").glob(f"[!.]*{SUFFIX}"):
            if _abandoned(file):
                with suppress(InputError, OSError):
                    found.append(read_recovery(file))
    return sorted(found, key=lambda one: one.when, reverse=True)


def read_recovery(file: Path) -> Recovered:
    """Read one recovery file; nothing in it is executed.

    Raises
    ------
    InputError
        If it is damaged.
    OSError
        If it cannot be read.
    """
    with _reading(file) as archive:
        data = json.loads(str(archive[_HEAD]))
        saved = parse_annotation(data["saved"], str(file))
        planes = tuple(_place(axes, steps) for axes, steps in data["planes"])
        source, when = str(data["source"]), float(data["when"])
        dtype = np.dtype(str(data["dtype"])).str
        objects = int(data.get("objects", len(saved.ids)))
        name = str(data.get("name", ""))
        return Recovered(file, saved, planes, dtype, source, when, objects, name)


@contextmanager
def _reading(file: Path) -> Iterator[Any]:
    """Open a recovery file; whatever is wrong with it becomes an `InputError`."""
    try:
        with (
            file.open("rb") as stream,
            np.load(stream, allow_pickle=False) as archive,
        ):
            yield archive
    except InputError:
        raise
    except (BadZipFile, ValueError, KeyError, TypeError, EOFError) as error:
        msg = f"{file} is a damaged recovery file: {error!r}"
        raise InputError(msg) from error


def write_recovery(
    file: Path,
    saved: SavedAnnotation,
    labels: NDArray[Any],
    axes: tuple[int, int],
    source: str,
    name: str,
    packer: Packer,
    closing: Event,
    changed: Callable[[], bool],
    _cancelled: Callable[[], bool],
) -> bool:
    """Write a recovery file in one step (on the thread).

    The user may draw meanwhile: then a pixel is kept as it was, or as it is now.

    Parameters
    ----------
    file, saved, labels, axes, source, name
        The file, and what is written.
    packer, closing
        Compresses the planes, and tells that the work has ended.
    changed
        Asked once the labels are copied: whether they may not be those of the prompts.

    Returns
    -------
    bool
        ``False`` if they have changed: the file is as it was.
    """
    places = _places(saved, labels, axes)
    packed = [
        packer.pack(place, labels[SavedPlane(*place, ()).index]) for place in places
    ]
    if changed():
        return False
    arrays = {f"plane_{number}": one.pixels for number, one in enumerate(packed)}
    ids: set[int] = set().union(*(one.ids for one in packed))
    head = {
        "saved": json.loads(saved.to_json()),
        "planes": places,
        "dtype": labels.dtype.str,
        "source": source,
        "name": name,
        "when": time.time(),
        "objects": saved.count_objects(ids),
    }
    arrays[_HEAD] = np.array(json.dumps(head))
    with suppress(_GivenUpError), replacing(file) as temporary:
        with temporary.open("wb") as stream:
            np.savez(stream, allow_pickle=False, **arrays)
        if closing.is_set():
            raise _GivenUpError
    return True


def remove_recovery(file: Path, _cancelled: Callable[[], bool]) -> None:
    """Delete a recovery file whose work is undone; it stays locked (on the thread)."""
    file.unlink(missing_ok=True)


def _places(
    saved: SavedAnnotation, labels: NDArray[Any], axes: tuple[int, int]
) -> list[Place]:
    """Return the planes with objects; of huge stacks only those with prompts."""
    if labels.nbytes > LARGEST:
        return [(plane.axes, plane.steps) for plane in saved.planes]
    sizes = [1 if axis in axes else size for axis, size in enumerate(labels.shape)]
    every = ((axes, steps) for steps in np.ndindex(*sizes))
    return [one for one in every if labels[SavedPlane(*one, ()).index].any()]


def _place(axes: Any, steps: Any) -> Place:
    rows, cols = (int(axis) for axis in axes)
    return (rows, cols), tuple(int(step) for step in steps)


class _GivenUpError(Exception):
    """Raised when the work has ended cleanly meanwhile."""


def _abandoned(file: Path) -> bool:
    """Return whether no living process holds a file."""
    lock = FileLock(_lock_of(file))
    if not _acquired(lock):
        return False
    lock.release()
    return True


def _acquired(lock: FileLock) -> bool:
    """Acquire a lock if it is free; return whether it was."""
    try:
        lock.acquire(timeout=0)
    except (Timeout, OSError):
        return False
    return True


def _lock_of(file: Path) -> Path:
    return file.with_suffix(".lock")


def _remove(file: Path) -> None:
    with suppress(OSError):
        file.unlink(missing_ok=True)
        _lock_of(file).unlink(missing_ok=True)


_FAST = 1
"""Level of zlib: labels shrink to less than a hundredth with the least effort too."""


class Packed(NamedTuple):
    """Pixels of a plane in row-major order, compressed with zlib, and its ids."""

    pixels: NDArray[np.uint8]
    ids: frozenset[int]


class Packer:
    """Compressor of planes that remembers its results."""

    def __init__(self) -> None:
        self._known: dict[Hashable, tuple[_Sums, Packed]] = {}

    def pack(self, place: Hashable, plane: NDArray[Any]) -> Packed:
        """Return the pixels of a plane, compressed.

        Parameters
        ----------
        place
            Which plane it is; the latest of a place is remembered.
        plane
            Its pixels. Others may change them meanwhile.
        """
        copy = np.array(plane, order="C")
        sums = zlib.crc32(copy.data), zlib.adler32(copy.data)
        known = self._known.get(place)
        if known is None or known[0] != sums:
            pixels = np.frombuffer(zlib.compress(copy.data, _FAST), np.uint8)
            ids = frozenset(np.unique(copy).tolist())
            known = self._known[place] = sums, Packed(pixels, ids)
        return known[1]


def unpack(
    packed: NDArray[np.uint8], dtype: str, shape: tuple[int, ...]
) -> NDArray[Any]:
    """Return a plane that was packed.

    Raises
    ------
    InputError
        If that is not a plane of this dtype and shape.
    """
    kind = np.dtype(dtype)
    size = int(np.prod(shape)) * kind.itemsize
    try:
        found = zlib.decompressobj().decompress(packed.tobytes(), size + 1)
    except zlib.error as error:
        msg = f"a packed plane is damaged: {error}"
        raise InputError(msg) from error
    if len(found) != size:
        msg = f"a packed plane does not hold {size} bytes, as {shape} {kind} must"
        raise InputError(msg)
    return np.frombuffer(found, kind).reshape(shape)


VARIABLE = "NAPARI_GPCIS_STATE"


def state_folder() -> Path:
    """Return the folder, made if need be.

    It is that of the environment variable ``NAPARI_GPCIS_STATE``, or the one that the
    operating system has for such files.

    Raises
    ------
    OSError
        If it cannot be made.
    """
    named = os.environ.get(VARIABLE)
    if named:
        folder = Path(named).expanduser()
    else:
        from platformdirs import user_state_path

        folder = user_state_path("napari-gpcis", appauthor=False)
    folder.mkdir(parents=True, exist_ok=True)
    return folder
