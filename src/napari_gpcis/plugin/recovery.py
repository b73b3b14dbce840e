"""Running work kept in a file, so that a crash takes nothing with it.

One file for each annotation lies in the user's state folder: prompts as JSON and the
label planes they belong to, in one NumPy archive that replaces the older one in one
step. A lock that the operating system drops when the process dies tells work that
another napari is doing from work that was left behind.
"""

from __future__ import annotations

import json
import time
import uuid
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from functools import partial
from threading import Event
from typing import TYPE_CHECKING, Any
from zipfile import BadZipFile

import numpy as np
from filelock import FileLock, Timeout
from qtpy.QtCore import QObject, QTimer, Signal

from napari_gpcis.errors import InputError
from napari_gpcis.files import replacing
from napari_gpcis.plugin.preferences import PREFERENCES
from napari_gpcis.plugin.state import state_folder
from napari_gpcis.plugin.worker import InferenceThread
from napari_gpcis.prompts import SavedAnnotation, parse_annotation

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from numpy.typing import NDArray

    from napari_gpcis.plugin.record import Record
    from napari_gpcis.plugin.worker import Answer

SUFFIX = ".npz"
_HEAD = "annotation"
_WRITE = "write"


@dataclass(frozen=True)
class Recovered:
    """Work that was left behind.

    Attributes
    ----------
    file
        Where it lies.
    saved
        The prompts.
    source
        File of the image, if it came from one.
    when
        Seconds since 1970 at which it was written.
    """

    file: Path
    saved: SavedAnnotation
    source: str
    when: float

    def labels(self) -> NDArray[np.int32]:
        """Return the labels of the whole image; planes without prompts are empty.

        Raises
        ------
        InputError
            If the file is damaged.
        OSError
            If it cannot be read.
        """
        labels = np.zeros(self.saved.shape, np.int32)
        with _reading(self.file) as archive:
            for place, plane in enumerate(self.saved.planes):
                labels[plane.index] = archive[f"plane_{place}"]
        return labels

    def discard(self) -> None:
        """Delete the file: the work was brought back, or is not wanted."""
        _remove(self.file)


class RecoveryFile:
    """One file of this process; knows nothing of Qt, which may have gone already."""

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

    def remove(self) -> None:
        """End cleanly: nothing is left to recover."""
        self.closing.set()
        if self.path is not None and self._lock is not None:
            with suppress(OSError):
                self.path.unlink(missing_ok=True)
            self._lock.release()
            _remove(self.path)
            self.path = None


class Recovery(QObject):
    """Keeps the work of one record in a file while it goes on.

    Parameters
    ----------
    record
        The work.
    parent
        Qt parent.
    """

    failed = Signal(str)
    """The work could not be written, and why; said once."""

    def __init__(self, record: Record, parent: QObject | None = None) -> None:
        super().__init__(parent)
        self.file = RecoveryFile()
        self._record = record
        self._told = False
        self._thread = InferenceThread(self)
        self._thread.answered.connect(self._on_written)
        self._timer = QTimer(self)
        self._timer.setSingleShot(True)
        self._timer.timeout.connect(self.write)
        self.follow(record)

    def follow(self, record: Record) -> None:
        """Keep the work of another record, which goes on with the same labels."""
        if record is not self._record:
            self._record.changed.disconnect(self._on_changed)
            self._record.accepted.disconnect(self.write)
        self._record = record
        record.changed.connect(self._on_changed)
        record.accepted.connect(self.write)

    @property
    def end(self) -> Callable[[], None]:
        """Ends the work cleanly, even after Qt has deleted this object."""
        file, end_thread = self.file, self._thread.end_thread

        def end() -> None:
            file.closing.set()
            end_thread()
            file.remove()

        return end

    def write(self) -> None:
        """Write what there is now, on a thread."""
        self._timer.stop()
        if not PREFERENCES.autosave or self._record.empty or self.file.closing.is_set():
            return
        try:
            path = self.file.claim()
        except (OSError, Timeout) as error:
            self._tell(str(error))
            return
        saved = self._record.saved()
        labels = self._record.labels.data
        planes = [np.array(labels[plane.index]) for plane in saved.planes]
        source = str(getattr(self._record.image.source, "path", "") or "")
        closing = self.file.closing
        self._thread.submit(
            _WRITE, partial(_write, path, saved, planes, source, closing)
        )

    def _on_changed(self) -> None:
        if not self._timer.isActive():
            self._timer.start(1000 * PREFERENCES.autosave_seconds)

    def _on_written(self, answer: Answer) -> None:
        if answer.error is not None:
            self._tell(str(answer.error))

    def _tell(self, why: str) -> None:
        """Say once that recovery does not work."""
        if not self._told:
            self._told = True
            self.failed.emit(why)


def left_behind() -> list[Recovered]:
    """Return work of processes that have ended without removing it, latest first."""
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
        return Recovered(file, saved, str(data["source"]), float(data["when"]))


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


def _write(
    file: Path,
    saved: SavedAnnotation,
    planes: list[NDArray[Any]],
    source: str,
    closing: Event,
    _cancelled: Callable[[], bool],
) -> None:
    """Write a recovery file in one step (on the thread)."""
    head = {"saved": json.loads(saved.to_json()), "source": source, "when": time.time()}
    arrays = {f"plane_{place}": plane for place, plane in enumerate(planes)}
    arrays[_HEAD] = np.array(json.dumps(head))
    with suppress(_GivenUpError), replacing(file) as temporary:
        with temporary.open("wb") as stream:
            np.savez_compressed(stream, allow_pickle=False, **arrays)
        if closing.is_set():
            raise _GivenUpError


class _GivenUpError(Exception):
    """The work has ended cleanly meanwhile."""


def _abandoned(file: Path) -> bool:
    """Return whether no living process holds a file."""
    lock = FileLock(_lock_of(file))
    try:
        lock.acquire(timeout=0)
    except (Timeout, OSError):
        return False
    lock.release()
    return True


def _lock_of(file: Path) -> Path:
    return file.with_suffix(".lock")


def _remove(file: Path) -> None:
    with suppress(OSError):
        file.unlink(missing_ok=True)
        _lock_of(file).unlink(missing_ok=True)
