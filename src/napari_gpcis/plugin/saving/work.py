"""Work: a record of prompts with its recovery file, and work that has lost a layer."""

from __future__ import annotations

from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple
from weakref import WeakKeyDictionary, WeakValueDictionary

import numpy as np
from filelock import Timeout

from napari_gpcis.errors import in_words
from napari_gpcis.files import fitting_stem
from napari_gpcis.plugin.saving.identity import place_of
from napari_gpcis.plugin.saving.recovery_file import (
    Packer,
    RecoveryFile,
    read_recovery,
    remove_recovery,
    write_recovery,
)
from napari_gpcis.plugin.settings.preferences import PREFERENCES
from napari_gpcis.prompts import write_prompts

if TYPE_CHECKING:
    from collections.abc import Callable

    from napari.layers import Labels
    from numpy.typing import NDArray

    from napari_gpcis.plugin.background import Job
    from napari_gpcis.plugin.saving.record import Record
    from napari_gpcis.plugin.saving.record_state import RecordState
    from napari_gpcis.prompts import SavedAnnotation


BESIDE = ".autosave.clicks.json"
"""End of the name of a copy beside an image, after the image's own name."""
EARLIER = ".earlier"
"""Added to the name of a copy that was there before the annotation began."""


TRIES = 4
"""Copies of the labels before one is written that work went on during."""


class CopyError(OSError):
    """The copy beside the image cannot be written; the recovery file was."""


class Work:
    """One record and its recovery file, which outlive Qt's objects.

    Parameters
    ----------
    record
        The prompts to write, with their labels.

    Attributes
    ----------
    record, file
        The record, and the file.
    """

    def __init__(self, record: Record) -> None:
        self.record = record
        self.file = RecoveryFile()
        self._packer = Packer()
        self._written: int | None = None
        self._left = TRIES
        self._copy: Path | None = None

    def job(self) -> Job | None:
        """Return what writes the record as it is now, or removes its file.

        The file goes if the record is empty, or saved. ``None`` if nothing is to be
        done: labels that were released, for one, are in the file.

        Raises
        ------
        OSError, Timeout
            If the file cannot be used.
        """
        record = self.record
        done = record.empty or not record.unsaved
        nothing = self.file.path is None if done else record.released
        kept = PREFERENCES.autosave or record.kept
        if nothing or not (kept or done) or self.file.closing.is_set():
            return None
        record.finish_drawing()
        path, version, saved = self.file.claim(), record.version, record.saved()
        work: Job
        if done:
            work = partial(remove_recovery, path)
        else:
            pixels = record.labels.data, record.axes
            names = record.source, record.labels.name
            work = partial(write_recovery, path, saved, *pixels, *names)
            work = partial(work, self._packer, self.file.closing)
            work = partial(work, lambda: bool(self._left) and record.version != version)
        return partial(
            self._write, work, version, self._beside() if kept else None, saved
        )

    @property
    def is_written(self) -> bool:
        """True if the recovery file has the record as it is now, or need not have."""
        return self._written == self.record.version

    @property
    def is_late(self) -> bool:
        """True if work went on while it was copied: it is to be written again."""
        return self._left < TRIES

    def go_on(self, record: Record) -> None:
        """Write another record from now on: the work was restored from this one."""
        self.record, self._written = record, None

    def _write(
        self,
        work: Job,
        version: int,
        beside: Path | None,
        saved: SavedAnnotation,
        cancelled: Callable[[], bool],
    ) -> None:
        """Write the recovery file, then the copy beside the image (on the thread)."""
        if work(cancelled) is False:
            self._left -= 1
            return
        self._written, self._left = version, TRIES
        if beside is None:
            return
        try:
            if self._copy is None and beside.is_file():  # of another day's work
                beside.replace(beside.with_name(beside.name + EARLIER))
            self._copy = beside
            write_prompts(beside, saved)
        except OSError as error:
            raise CopyError(in_words(error)) from error

    def _beside(self) -> Path | None:
        """Return the file beside the image; ``None`` if none is wanted or possible."""
        source = Path(self.record.source)
        if not (PREFERENCES.autosave_beside and self.record.source and source.exists()):
            return None
        place = place_of(str(source))
        inside = source.relative_to(place).parts  # of one image of an OME-Zarr plate
        stem = "-".join((place.name, *inside))
        file = place.with_name(fitting_stem(stem, BESIDE + EARLIER) + BESIDE)
        owner = _COPIES.setdefault(file, self)
        return file if owner is self else None  # a second layer has its recovery file

    def release(self) -> None:
        """Release the labels, so that they can be freed; the prompts stay."""
        self.record.release()
        self._packer = Packer()

    def labels(self) -> NDArray[np.int32]:
        """Return the labels, from memory or from the recovery file.

        Raises
        ------
        InputError
            If the file is damaged.
        OSError
            If it cannot be read.
        """
        if self.record.released and self.file.path is not None:
            return read_recovery(self.file.path).labels()
        return np.array(self.record.labels.data, np.int32)

    def finish(self) -> None:
        """Leave the file if its work is neither saved nor discarded, or remove it.

        What was changed since it was written is written first.
        """
        record = self.record
        record.close()
        if not record.wanted:
            self.file.remove()
        elif not (self.is_written or record.released):
            with suppress(OSError, Timeout):
                job = self.job()
                if job is not None:
                    job(lambda: False)
        if not record.released:
            LEFT[record.labels] = WorkLeft(record.state, self.file.path)
        self.file.leave()


class WorkLeft(NamedTuple):
    """Work that a closed widget has left in a labels layer, and its recovery file."""

    state: RecordState
    file: Path | None


LEFT: WeakKeyDictionary[Labels, WorkLeft] = WeakKeyDictionary()
"""Work that goes on when the same labels are annotated by another widget."""
_COPIES: WeakValueDictionary[Path, Work] = WeakValueDictionary()
"""Which work has a copy beside an image."""


class Removed:
    """Unsaved work that has lost one of its layers while napari goes on.

    Parameters
    ----------
    work
        The work.

    Attributes
    ----------
    saved, amount
        Its prompts, and its contents in words.
    name
        Name of the labels layer.
    """

    def __init__(self, work: Work) -> None:
        self.work = work
        record = work.record
        self.saved, self.amount = record.saved(), record.amount
        self.name = record.layer_name

    @property
    def source(self) -> str:
        """File of the image, if it came from one."""
        return self.work.record.source

    @property
    def layer(self) -> Labels | None:
        """The labels layer, ``None`` if it was released."""
        record = self.work.record
        return None if record.released else record.labels

    @property
    def image_id(self) -> str:
        """The ``unique_id`` of the image."""
        return self.work.record.image_id

    def labels(self) -> NDArray[np.int32]:
        """Return the labels, from memory or from the recovery file.

        Raises
        ------
        InputError
            If the file is damaged.
        OSError
            If it cannot be read.
        """
        return self.work.labels()
