"""Running work kept in a file, so that a crash takes nothing with it."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from filelock import Timeout
from qtpy.QtCore import QObject, QTimer, Signal

from napari_gpcis.plugin.connections import Connections
from napari_gpcis.plugin.packing import Packer
from napari_gpcis.plugin.saving.recovery_file import RecoveryFile, write_recovery
from napari_gpcis.plugin.settings.preferences import PREFERENCES

if TYPE_CHECKING:
    from napari_gpcis.plugin.background import Answer, InferenceThread
    from napari_gpcis.plugin.saving.record import Record


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
        self, record: Record, thread: InferenceThread, parent: QObject | None = None
    ) -> None:
        super().__init__(parent)
        self.file = RecoveryFile()
        self._record = record
        self._packer = Packer()
        self._told = False
        self._thread = thread
        self._thread.answered.connect(self._on_written)
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
        self._thread.submit(self.file, partial(work, self._packer, self.file.closing))

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

    def _on_written(self, answer: Answer) -> None:
        if answer.key is self.file and answer.error is not None:
            self._tell(str(answer.error))

    def _tell(self, why: str) -> None:
        """Say once that recovery does not work."""
        if not self._told:
            self._told = True
            self.failed.emit(why)
