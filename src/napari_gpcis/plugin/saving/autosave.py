"""Autosaving: a recovery file of each annotation, written while work goes on."""

from __future__ import annotations

from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any
from weakref import WeakValueDictionary

import numpy as np
from filelock import Timeout
from qtpy.QtCore import QObject, QTimer, Signal

from napari_gpcis.errors import in_words
from napari_gpcis.files import fitting_stem
from napari_gpcis.plugin.background import BackgroundThread
from napari_gpcis.plugin.connections import Connections
from napari_gpcis.plugin.saving.record import Record, place_of
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

    from napari.layers import Image, Labels
    from numpy.typing import NDArray

    from napari_gpcis.plugin.annotation.annotation import Annotation
    from napari_gpcis.plugin.annotation.controller import Controller
    from napari_gpcis.plugin.background import Job
    from napari_gpcis.plugin.saving.recovery_file import Recovered
    from napari_gpcis.prompts import SavedAnnotation


BESIDE = ".autosave.clicks.json"
"""End of the name of a copy beside an image, after the image's own name."""
EARLIER = ".earlier"
"""Added to the name of a copy that was there before the annotation began."""


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
        return partial(
            self._write, work, version, self._beside() if kept else None, saved
        )

    @property
    def is_written(self) -> bool:
        """True if the recovery file has the record as it is now, or need not have."""
        return self._written == self.record.version

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
        work(cancelled)
        self._written = version
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
        self.record.close()
        if not self.record.wanted:
            self.file.remove()
            return
        if not self.is_written and not self.record.released:
            with suppress(OSError, Timeout):
                job = self.job()
                if job is not None:
                    job(lambda: False)
        self.file.leave()


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

    def is_on(self, image: Image) -> bool:
        """Return whether it is of an image, or of one of its name and file."""
        return self.work.record.is_on(image)

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


class RecoveryWriter(QObject):
    """Writes one record to its recovery file whenever it has changed.

    Parameters
    ----------
    record
        The prompts to write, with their labels.
    thread
        The thread that writes.
    parent
        Qt parent.
    """

    failed = Signal(str)
    """Emitted once with the reason, if the file cannot be written."""
    not_copied = Signal(str)
    """Emitted with the reason, if the copy beside the image cannot be written."""

    def __init__(
        self, record: Record, thread: BackgroundThread, parent: QObject | None = None
    ) -> None:
        super().__init__(parent)
        self.work = Work(record)
        self._warned = self._suspended = False
        self._thread = thread
        self._connections = Connections()
        self._timer = QTimer(self)  # no throttler: its periods go on after a write
        self._timer.setSingleShot(True)
        self._timer.timeout.connect(self.write)
        self.follow(record)

    @property
    def file(self) -> RecoveryFile:
        """The file."""
        return self.work.file

    def follow(self, record: Record) -> None:
        """Write another record from now on, which goes on with the same labels."""
        self._connections.end()
        self._suspended = False
        self.work.record = record
        self._connections.connect(record.changed, self._on_changed)
        self._connections.connect(record.accepted, self.write)
        self._connections.connect(record.settled, self._on_settled)

    def write(self) -> None:
        """Write the record as it is now, or remove its file, on the thread."""
        self._timer.stop()
        try:
            job = self.work.job()
        except (OSError, Timeout) as error:
            self._warn(in_words(error))
            return
        if job is not None:
            self._thread.submit(self.file, job, self._on_written, self._on_failed)

    def take_over(self, file: Path) -> None:
        """Go on with the recovery file that the record was restored from.

        It is replaced when the record is written, and goes when it is saved.
        """
        if not self.file.take_over(file):
            self.write()

    def go_on(self, work: Work) -> None:
        """Go on with work that the record was restored from, and with its file."""
        self.file.remove()
        work.go_on(self.work.record)
        self.work = work

    def write_pending(self) -> None:
        """Write what is not written yet."""
        if not self.work.is_written:
            self.write()

    def suspend(self) -> None:
        """Write what is pending, and release labels that are no longer in the viewer.

        Nothing but the prompts is kept in memory. Unsaved work that is in no file
        stays there.
        """
        self._suspended = True
        if self.work.record.released:
            return
        if self.work.is_written or not self.work.record.wanted:
            self.work.release()
        else:
            self.write()

    def forget(self) -> None:
        """Delete the file: the work is not wanted as it is now."""
        self._timer.stop()
        if self.file.path is not None:
            job = partial(remove_recovery, self.file.path)
            self._thread.submit(self.file, job, failed=self._on_failed)

    def _on_settled(self) -> None:
        """Remove the file if all is saved: after a crash it would be offered."""
        if not self.work.record.unsaved:
            self.write()

    def _on_written(self, _nothing: None, _seconds: float) -> None:
        if self._suspended and self.work.is_written:
            self.work.release()

    def _on_changed(self) -> None:
        if not self._timer.isActive():
            self._timer.start(1000 * PREFERENCES.autosave_seconds)

    def _on_failed(self, error: Exception) -> None:
        if isinstance(error, CopyError):
            self.not_copied.emit(str(error))
        else:
            self._warn(in_words(error))

    def _warn(self, why: str) -> None:
        """Tell once that the file cannot be written."""
        if not self._warned:
            self._warned = True
            self.failed.emit(why)


class Autosaver(QObject):
    """Autosave of one widget: a record and a recovery file for each labels layer.

    Parameters
    ----------
    controller
        Its annotations are recorded.
    parent
        Qt parent.

    Attributes
    ----------
    record
        Record of the latest annotation, which may have ended; ``None`` before the
        first.
    """

    failed = Signal(str)
    """Emitted once for each annotation with the reason, if it cannot be saved."""
    not_copied = Signal(str)
    """Emitted with the reason, if the copy beside an image cannot be written."""
    removed = Signal(object)
    """Emitted with unsaved work that has lost a layer, see `Removed`."""
    settled = Signal(object)
    """Emitted with it when it goes on, or needs not be kept any more."""
    gone_on = Signal(object, object)
    """Emitted with an :class:`.Annotation` that goes on where it was interrupted.

    And with the prompts of then: their unfinished objects are in the labels.
    """

    def __init__(self, controller: Controller, parent: QObject | None = None) -> None:
        super().__init__(parent)
        self.record: Record | None = None
        self._writers: list[tuple[Record, RecoveryWriter]] = []
        self._works: list[Work] = []
        self._removed: list[Removed] = []
        self._layers = controller.viewer.layers
        self._soon = QTimer(self)  # several layers are removed one by one
        self._soon.setSingleShot(True)
        self._soon.timeout.connect(self._look_for_removed)
        self._connections = Connections()
        self._connections.connect(self._layers.events.removed, self._on_removed)
        self._thread = BackgroundThread(self, "recovery files")
        controller.started.connect(self._on_started)
        controller.stopped.connect(self._on_stopped)

    @property
    def unsaved(self) -> list[Record]:
        """Records with work that was neither saved nor discarded."""
        return [work.record for work in self._works if work.record.unsaved]

    def has_siblings(self, record: Record) -> bool:
        """Return whether another labels layer of the same image has work as well."""
        return any(
            work.record is not record
            and not work.record.empty
            and (work.record.image_name, work.record.source)
            == (record.image_name, record.source)
            for work in self._works
        )

    def holds_unsaved(self, labels: Labels) -> bool:
        """Return whether a labels layer has work that is not saved."""
        return any(record.is_of(labels) for record in self.unsaved)

    def is_shown(self, record: Record) -> bool:
        """Return whether the labels layer of a record is in the viewer."""
        return any(record.is_of(layer) for layer in self._layers)

    def bring_back(self, record: Record) -> None:
        """Have the labels of a record in memory that were released, to save them.

        Raises
        ------
        InputError
            If the recovery file is damaged.
        OSError
            If it cannot be read.
        """
        for work in self._works:
            if work.record is record and record.released:
                record.take_labels(work.labels())

    def take_over(self, found: Recovered | Removed) -> None:
        """Go on with what the latest record was restored from, and with its file."""
        for record, writer in self._writers:
            if record is not self.record:
                continue
            if isinstance(found, Removed):
                self._works.remove(writer.work)
                writer.go_on(found.work)
                self._forget_writer(found.work, writer)
                self._settle(found)
            else:
                writer.take_over(found.file)
            return

    def discard(self, removed: Removed) -> None:
        """Take note that work that has lost a layer is not wanted as it is."""
        for record, writer in self._writers:
            if writer.work is removed.work:
                writer.forget()
                record.settle(record.version)

    @property
    def end(self) -> Callable[..., None]:
        """Function that ends autosaving, even after Qt has deleted this object.

        Files of work that is neither saved nor discarded stay.
        """
        works, end_thread = self._works, self._thread.end_thread
        end_following = self._connections.end

        def end(*_: object) -> None:
            end_following()
            end_thread()
            for work in works:
                work.finish()
            works.clear()

        return end

    def _on_started(self, annotation: Annotation) -> None:
        record = Record(annotation, self)
        record.settled.connect(self._on_settled)
        labels = annotation.layers.labels
        unfinished: SavedAnnotation | None = None
        for place, (earlier, writer) in enumerate(self._writers):
            if earlier.is_of(labels):  # stopped before, now it goes on
                if earlier.interrupted and earlier.is_on(annotation.image):
                    unfinished = earlier.saved()
                record.follow_up(earlier, clicks=unfinished is not None)
                writer.follow(record)
                self._settle(*self._removed_of(writer.work))
                earlier.deleteLater()
                self._writers[place] = record, writer
                break
        else:
            writer = RecoveryWriter(record, self._thread, self)
            writer.failed.connect(self.failed)
            writer.not_copied.connect(self.not_copied)
            self._writers.append((record, writer))
            self._works.append(writer.work)
        self.record = record
        self._release_removed()
        if unfinished is not None and unfinished.unfinished:
            self.gone_on.emit(annotation, unfinished)

    def _release_removed(self) -> None:
        """Release labels that are no longer in the viewer."""
        for record, writer in self._writers:
            if not self.is_shown(record):
                writer.suspend()

    def _on_stopped(self) -> None:
        if self.record is not None:
            self.record.end()
            self._on_removed()

    def _on_removed(self, _event: Any = None) -> None:
        self._soon.start(0)

    def _look_for_removed(self) -> None:
        """Tell of unsaved work that has lost a layer since it was looked for last."""
        for record, writer in self._writers:
            whole = self.is_shown(record) and not record.interrupted
            ended = writer.work not in self._works
            if whole or ended or not record.wanted or self._removed_of(writer.work):
                continue
            writer.write_pending()
            found = Removed(writer.work)
            self._removed.append(found)
            self.removed.emit(found)

    def _removed_of(self, work: Work) -> list[Removed]:
        return [one for one in self._removed if one.work is work]

    def _on_settled(self) -> None:
        """Take note that work was saved."""
        self._settle(*(one for one in self._removed if not one.work.record.unsaved))

    def _settle(self, *found: Removed) -> None:
        """Tell of work that it needs not be offered any more."""
        for one in found:
            self._removed.remove(one)
            self.settled.emit(one)

    def _forget_writer(self, work: Work, but: RecoveryWriter) -> None:
        """Forget the record and the writer that work had before it was restored."""
        for record, writer in [*self._writers]:
            if writer.work is work and writer is not but:
                self._writers.remove((record, writer))
                writer.deleteLater()
                record.close()
                record.deleteLater()
