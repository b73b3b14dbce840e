"""Autosaving: a recovery file of each annotation, written while work goes on."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any

from filelock import Timeout
from qtpy.QtCore import QObject, QTimer, Signal

from napari_gpcis.errors import in_words
from napari_gpcis.plugin.background import BackgroundThread
from napari_gpcis.plugin.connections import Connections
from napari_gpcis.plugin.saving.record import Record
from napari_gpcis.plugin.saving.recovery_file import RecoveryFile, remove_recovery
from napari_gpcis.plugin.saving.work import LEFT, CopyError, Removed, Work
from napari_gpcis.plugin.settings.preferences import PREFERENCES

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from napari.layers import Labels

    from napari_gpcis.plugin.annotation.annotation import Annotation
    from napari_gpcis.plugin.annotation.controller import Controller
    from napari_gpcis.plugin.saving.recovery_file import Recovered
    from napari_gpcis.prompts import SavedAnnotation


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
        elif self.work.is_late:
            self.write()

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
    taken_over = Signal(object)
    """Emitted with the recovery file of work that a closed widget has left: it goes on
    in its labels."""
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
                earlier.close()
                state = earlier.state
                unfinished = state.going_on(annotation)
                record.follow_up(state, clicks=unfinished is not None)
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
            left = LEFT.pop(labels, None)
            if left is not None:
                unfinished = left.state.going_on(annotation)
                clicks, active = unfinished is not None, left.state.active_class
                record.follow_up(left.state, clicks=clicks, active_class=active)
                whole = unfinished is not None or not left.state.saved.unfinished
                if whole and left.file is not None:
                    writer.take_over(left.file)
                    self.taken_over.emit(left.file)
        self.record = record
        self._release_removed()
        if unfinished is not None:
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
