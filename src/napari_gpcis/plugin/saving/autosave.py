"""Autosaving: a recovery file of each annotation, written while work goes on."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from filelock import Timeout
from qtpy.QtCore import QObject, QTimer, Signal

from napari_gpcis.plugin.background import BackgroundThread
from napari_gpcis.plugin.connections import Connections
from napari_gpcis.plugin.saving.record import Record
from napari_gpcis.plugin.saving.recovery_file import (
    Packer,
    RecoveryFile,
    write_recovery,
)
from napari_gpcis.plugin.settings.preferences import PREFERENCES

if TYPE_CHECKING:
    from collections.abc import Callable

    from napari_gpcis.plugin.annotation.annotation import Annotation
    from napari_gpcis.plugin.annotation.controller import Controller


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

    def __init__(
        self, record: Record, thread: BackgroundThread, parent: QObject | None = None
    ) -> None:
        super().__init__(parent)
        self.file = RecoveryFile()
        self._record = record
        self._packer = Packer()
        self._warned = False
        self._thread = thread
        self._connections = Connections()
        self._timer = QTimer(self)  # no throttler: its periods go on after a write
        self._timer.setSingleShot(True)
        self._timer.timeout.connect(self.write)
        self.follow(record)

    def follow(self, record: Record) -> None:
        """Write another record from now on, which goes on with the same labels."""
        self._connections.end()
        self._record = record
        self._connections.connect(record.changed, self._on_changed)
        self._connections.connect(record.accepted, self.write)

    def write(self) -> None:
        """Write the record as it is now, on the thread, even if it is empty by now."""
        self._timer.stop()
        nothing = self._record.empty and self.file.path is None
        if not PREFERENCES.autosave or nothing or self.file.closing.is_set():
            return
        try:
            path = self.file.claim()
        except (OSError, Timeout) as error:
            self._warn(str(error))
            return
        saved = self._record.saved()
        labels, axes = self._record.labels.data, self._record.axes
        work = partial(write_recovery, path, saved, labels, axes, self._record.source)
        job = partial(work, self._packer, self.file.closing)
        self._thread.submit(self.file, job, failed=self._on_failed)

    def suspend(self) -> None:
        """Write what is pending, and release labels that are no longer in the viewer.

        Nothing but the prompts is kept in memory.
        """
        if self._timer.isActive():
            self.write()
        self._record.release()
        self._packer = Packer()

    def _on_changed(self) -> None:
        if not self._timer.isActive():
            self._timer.start(1000 * PREFERENCES.autosave_seconds)

    def _on_failed(self, error: Exception) -> None:
        self._warn(str(error))

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

    def __init__(self, controller: Controller, parent: QObject | None = None) -> None:
        super().__init__(parent)
        self.record: Record | None = None
        self._writers: list[tuple[Record, RecoveryWriter]] = []
        self._files: list[RecoveryFile] = []
        self._layers = controller.viewer.layers
        self._thread = BackgroundThread(self, "recovery files")
        controller.started.connect(self._on_started)
        controller.stopped.connect(self._on_stopped)

    @property
    def end(self) -> Callable[..., None]:
        """Function that removes all files, even after Qt has deleted this object.

        On a clean end the viewer has all masks: nothing is left to recover.
        """
        files, end_thread = self._files, self._thread.end_thread

        def end(*_: object) -> None:
            for file in files:
                file.closing.set()
            end_thread()
            for file in files:
                file.remove()

        return end

    def _on_started(self, annotation: Annotation) -> None:
        record = Record(annotation, self)
        labels = annotation.layers.labels
        for place, (earlier, writer) in enumerate(self._writers):
            if earlier.is_of(labels):  # stopped before, now it goes on
                record.add_earlier(earlier.saved())
                writer.follow(record)
                earlier.deleteLater()
                self._writers[place] = record, writer
                break
        else:
            writer = RecoveryWriter(record, self._thread, self)
            writer.failed.connect(self.failed)
            self._writers.append((record, writer))
            self._files.append(writer.file)
        self.record = record
        self._release_removed()

    def _release_removed(self) -> None:
        """Release labels that are no longer in the viewer."""
        for record, writer in self._writers:
            if not any(record.is_of(layer) for layer in self._layers):
                writer.suspend()

    def _on_stopped(self) -> None:
        if self.record is not None:
            self.record.end()
