"""Nothing lost: every annotation of a widget is recorded and kept for recovery."""

from __future__ import annotations

from typing import TYPE_CHECKING

from qtpy.QtCore import QObject, Signal

from napari_gpcis.plugin.background import InferenceThread
from napari_gpcis.plugin.saving.autosave import Recovery
from napari_gpcis.plugin.saving.record import Record

if TYPE_CHECKING:
    from collections.abc import Callable

    from napari_gpcis.plugin.annotation.annotation import Annotation
    from napari_gpcis.plugin.annotation.controller import Binding
    from napari_gpcis.plugin.saving.recovery_file import RecoveryFile


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
        self._thread = InferenceThread(self, "recovery files")
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
