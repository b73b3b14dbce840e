"""Running work kept in a file, so that a crash takes nothing with it."""

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
    from napari_gpcis.plugin.annotation.controller import Binding


class Recovery(QObject):
    """Keeps the work of one record in a file while it goes on.

    Parameters
    ----------
    record
        The work.
    thread
        What writes.
    parent
        Qt parent.
    """

    failed = Signal(str)
    """The work could not be written, and why; said once."""

    def __init__(
        self, record: Record, thread: BackgroundThread, parent: QObject | None = None
    ) -> None:
        super().__init__(parent)
        self.file = RecoveryFile()
        self._record = record
        self._packer = Packer()
        self._told = False
        self._thread = thread
        self._connections = Connections()
        self._timer = QTimer(self)  # no throttler: its periods go on after a write
        self._timer.setSingleShot(True)
        self._timer.timeout.connect(self.write)
        self.follow(record)

    def follow(self, record: Record) -> None:
        """Keep the work of another record, which goes on with the same labels."""
        self._connections.end()
        self._record = record
        self._connections.connect(record.changed, self._on_changed)
        self._connections.connect(record.accepted, self.write)

    def write(self) -> None:
        """Write what there is now, on a thread; also that there is nothing any more."""
        self._timer.stop()
        nothing = self._record.empty and self.file.path is None
        if not PREFERENCES.autosave or nothing or self.file.closing.is_set():
            return
        try:
            path = self.file.claim()
        except (OSError, Timeout) as error:
            self._tell(str(error))
            return
        saved = self._record.saved()
        labels, axes = self._record.labels.data, self._record.axes
        work = partial(write_recovery, path, saved, labels, axes, self._record.source)
        job = partial(work, self._packer, self.file.closing)
        self._thread.submit(self.file, job, failed=self._on_failed)

    def rest(self) -> None:
        """Write what is still to be written, for labels that are no longer shown.

        Nothing but the prompts is kept in memory.
        """
        if self._timer.isActive():
            self.write()
        self._record.let_go()
        self._packer = Packer()

    def _on_changed(self) -> None:
        if not self._timer.isActive():
            self._timer.start(1000 * PREFERENCES.autosave_seconds)

    def _on_failed(self, error: Exception) -> None:
        self._tell(str(error))

    def _tell(self, why: str) -> None:
        """Say once that recovery does not work."""
        if not self._told:
            self._told = True
            self.failed.emit(why)


class Keeper(QObject):
    """Records what is done in one widget.

    Parameters
    ----------
    binding
        What annotates.
    parent
        Qt parent.

    Attributes
    ----------
    record
        The latest annotation's, even when it has ended; ``None`` before the first.
    """

    failed = Signal(str)
    """Recovery does not work, and why."""

    def __init__(self, binding: Binding, parent: QObject | None = None) -> None:
        super().__init__(parent)
        self.record: Record | None = None
        self._kept: list[tuple[Record, Recovery]] = []
        self._files: list[RecoveryFile] = []
        self._layers = binding.viewer.layers
        self._thread = BackgroundThread(self, "recovery files")
        binding.started.connect(self._on_started)
        binding.stopped.connect(self._on_stopped)

    @property
    def end(self) -> Callable[..., None]:
        """Ends cleanly, even after Qt has deleted this object.

        The viewer has all masks: nothing is left to recover.
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
        for place, (earlier, recovery) in enumerate(self._kept):
            if earlier.is_of(labels):  # stopped before, now it goes on
                record.add_earlier(earlier.saved())
                recovery.follow(record)
                earlier.deleteLater()
                self._kept[place] = record, recovery
                break
        else:
            recovery = Recovery(record, self._thread, self)
            recovery.failed.connect(self.failed)
            self._kept.append((record, recovery))
            self._files.append(recovery.file)
        self.record = record
        self._tidy()

    def _tidy(self) -> None:
        """Keep no labels in memory that are no longer in the viewer."""
        for record, recovery in self._kept:
            if not any(record.is_of(layer) for layer in self._layers):
                recovery.rest()

    def _on_stopped(self) -> None:
        if self.record is not None:
            self.record.end()
