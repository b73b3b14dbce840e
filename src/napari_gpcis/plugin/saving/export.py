"""Files of clicks, labels and exports, written off the GUI thread."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from qtpy.QtCore import QObject, Signal

from napari_gpcis.export import Calibration, write_coco, write_table, write_tiff
from napari_gpcis.plugin.background import BackgroundThread
from napari_gpcis.prompts import SavedAnnotation, write_prompts

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

    from napari_gpcis.plugin.saving.record import Record

    Write = Callable[[NDArray[Any]], str]

CLICKS = ".clicks.json"
LABELS = ".labels.tif"
TRIES = 4
"""Copies on the thread before the window waits for one: work went on during each."""


class _Request:
    """A file that is to be written, of the record as it is now.

    Parameters
    ----------
    path, record
        The file and the record.
    make
        Returns a function that writes the file from a copy of the labels.
    left
        How often another copy may be asked for.
    """

    def __init__(
        self, path: Path, record: Record, make: Callable[[], Write], left: int
    ) -> None:
        self.path, self.record, self.make, self.left = path, record, make, left
        self.write, self.version = make(), record.version


class Saver(QObject):
    """Writer of files on a thread.

    Labels are copied on the thread too: a stack of a gigabyte would hold the window
    for half a second. If the work went on meanwhile, they are copied anew, so that
    clicks and labels in a file belong together.

    Parameters
    ----------
    parent
        Qt parent.
    """

    saved = Signal(str)
    """Emitted with a message when a file was written."""
    failed = Signal(str)
    """Emitted with the reason if a file was not written."""

    def __init__(self, parent: QObject | None = None) -> None:
        super().__init__(parent)
        self._thread = BackgroundThread(self, "saving")

    @property
    def end_thread(self) -> Callable[..., None]:
        """Ends the thread, even after Qt has deleted this object."""
        return self._thread.end_thread

    @property
    def busy(self) -> bool:
        """True if a file is still to be written."""
        return self._thread.any_busy

    def close(self) -> None:
        """End the thread."""
        self._thread.close()

    def save(self, path: Path, record: Record) -> None:
        """Write the clicks, and the labels beside them."""
        clicks, labels = file_names(path)
        self._request(
            path,
            record,
            lambda: partial(
                _save, clicks, record.saved(labels.name), calibration(record)
            ),
        )

    def export_labels(self, path: Path, record: Record) -> None:
        """Write the labels as OME-TIFF."""
        self._request(path, record, lambda: partial(_tiff, path, calibration(record)))

    def export_table(self, path: Path, record: Record) -> None:
        """Write a row for each object as CSV."""
        self._request(
            path,
            record,
            lambda: partial(_table, path, record.click_counts(), calibration(record)),
        )

    def export_coco(self, path: Path, record: Record) -> None:
        """Write COCO annotations."""
        name = Path(record.source or record.image_name)
        self._request(
            path, record, lambda: partial(_coco, path, name.name, calibration(record))
        )

    def _request(
        self,
        path: Path,
        record: Record,
        make: Callable[[], Write],
        left: int = TRIES,
    ) -> None:
        """Ask for a copy of the labels, to be written as soon as it is there."""
        request = _Request(path, record, make, left)
        self._thread.submit(
            path,
            partial(_copied, record.labels.data),
            partial(self._on_copied, request),
            partial(self._on_failed, path),
        )

    def _on_failed(self, path: Path, error: Exception) -> None:
        why = str(error) or type(error).__name__
        self.failed.emit(f"{path} was not written: {why}")

    def _on_written(self, words: str, _seconds: float) -> None:
        self.saved.emit(words)

    def _on_copied(
        self, request: _Request, labels: NDArray[Any], _seconds: float
    ) -> None:
        """Write a copy, unless the work has gone on since it was asked for."""
        record, write = request.record, request.write
        if record.version != request.version:
            if request.left:
                self._request(request.path, record, request.make, request.left - 1)
                return
            labels, write = np.array(record.labels.data), request.make()
        self._thread.submit(
            request.path,
            partial(_written, write, labels),
            self._on_written,
            partial(self._on_failed, request.path),
        )


def _copied(labels: NDArray[Any], _cancelled: Callable[[], bool]) -> NDArray[Any]:
    return np.array(labels)


def _written(write: Write, labels: NDArray[Any], _cancelled: Callable[[], bool]) -> str:
    return write(labels)


def file_names(path: Path) -> tuple[Path, Path]:
    """Return the two files of a name that the user typed: clicks and labels."""
    stem = path.name
    for ending in (CLICKS, LABELS, ".json", ".tif"):
        stem = stem.removesuffix(ending)
    return path.with_name(stem + CLICKS), path.with_name(stem + LABELS)


def calibration(record: Record) -> Calibration:
    """Return the size and unit of a pixel of the labels."""
    labels = record.labels
    units = [str(unit) for unit in getattr(labels, "units", ())]
    return Calibration.of(labels.ndim, labels.scale, units or "pixel", axes=record.axes)


def _save(
    clicks: Path, saved: SavedAnnotation, known: Calibration, labels: NDArray[Any]
) -> str:
    write_tiff(clicks.with_name(str(saved.labels_file)), labels, known)
    write_prompts(clicks, saved)
    return f"Saved {clicks.name} and {saved.labels_file}."


def _tiff(path: Path, known: Calibration, labels: NDArray[Any]) -> str:
    write_tiff(path, labels, known)
    return f"Exported {path.name}."


def _table(
    path: Path, counts: dict[Any, int], known: Calibration, labels: NDArray[Any]
) -> str:
    write_table(path, labels, counts, known)
    return f"Exported {path.name}."


def _coco(path: Path, name: str, known: Calibration, labels: NDArray[Any]) -> str:
    write_coco(path, labels, name, known)
    return f"Exported {path.name}."
