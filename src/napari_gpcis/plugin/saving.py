"""Writing clicks, labels and exports to files, off the GUI thread."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from qtpy.QtCore import QObject, Signal

from napari_gpcis.export import Calibration, write_coco, write_table, write_tiff
from napari_gpcis.plugin.worker import InferenceThread
from napari_gpcis.prompts import SavedAnnotation, write_prompts

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

    from napari_gpcis.plugin.record import Record
    from napari_gpcis.plugin.worker import Answer

CLICKS = ".clicks.json"
LABELS = ".labels.tif"


class Saver(QObject):
    """Writes files on a thread; what came of it is told by signals.

    Parameters
    ----------
    parent
        Qt parent.
    """

    saved = Signal(str)
    """What was written, in words."""
    failed = Signal(str)
    """Why something was not written."""

    def __init__(self, parent: QObject | None = None) -> None:
        super().__init__(parent)
        self._thread = InferenceThread(self)
        self._thread.answered.connect(self._on_written)

    @property
    def end_thread(self) -> Callable[..., None]:
        """Ends the thread, even after Qt has deleted this object."""
        return self._thread.end_thread

    def close(self) -> None:
        """End the thread."""
        self._thread.close()

    def save(self, path: Path, record: Record) -> None:
        """Write the clicks, and the labels beside them."""
        clicks, labels = file_names(path)
        work = partial(
            _save,
            clicks,
            record.saved(labels.name),
            np.array(record.labels.data),
            calibration(record),
        )
        self._submit(path, work)

    def export_labels(self, path: Path, record: Record) -> None:
        """Write the labels as OME-TIFF."""
        labels = np.array(record.labels.data)
        self._submit(path, partial(_tiff, path, labels, calibration(record)))

    def export_table(self, path: Path, record: Record) -> None:
        """Write a row for each object as CSV."""
        labels, counts = np.array(record.labels.data), record.click_counts()
        self._submit(path, partial(_table, path, labels, counts, calibration(record)))

    def export_coco(self, path: Path, record: Record) -> None:
        """Write COCO annotations."""
        labels = np.array(record.labels.data)
        name = Path(str(getattr(record.image.source, "path", "") or record.image.name))
        known = calibration(record)
        self._submit(path, partial(_coco, path, labels, name.name, known))

    def _submit(self, path: Path, work: Callable[..., str]) -> None:
        self._thread.submit(str(path), work)

    def _on_written(self, answer: Answer) -> None:
        if answer.error is None:
            self.saved.emit(answer.value)
        else:
            why = str(answer.error) or type(answer.error).__name__
            self.failed.emit(f"{answer.key} was not written: {why}")


def file_names(path: Path) -> tuple[Path, Path]:
    """Return the two files of a name the person typed: clicks and labels."""
    stem = path.name
    for ending in (CLICKS, LABELS, ".json", ".tif"):
        stem = stem.removesuffix(ending)
    return path.with_name(stem + CLICKS), path.with_name(stem + LABELS)


def calibration(record: Record) -> Calibration:
    """Return what a pixel of the labels is."""
    labels = record.labels
    units = [str(unit) for unit in getattr(labels, "units", ())]
    return Calibration.of(labels.ndim, labels.scale, units or "pixel", axes=record.axes)


def _save(
    clicks: Path,
    saved: SavedAnnotation,
    labels: NDArray[Any],
    known: Calibration,
    _cancelled: Callable[[], bool],
) -> str:
    write_tiff(clicks.with_name(str(saved.labels_file)), labels, known)
    write_prompts(clicks, saved)
    return f"Saved {clicks.name} and {saved.labels_file}."


def _tiff(
    path: Path, labels: NDArray[Any], known: Calibration, _: Callable[[], bool]
) -> str:
    write_tiff(path, labels, known)
    return f"Exported {path.name}."


def _table(
    path: Path,
    labels: NDArray[Any],
    counts: dict[Any, int],
    known: Calibration,
    _: Callable[[], bool],
) -> str:
    write_table(path, labels, counts, known)
    return f"Exported {path.name}."


def _coco(
    path: Path,
    labels: NDArray[Any],
    name: str,
    known: Calibration,
    _: Callable[[], bool],
) -> str:
    write_coco(path, labels, name, known)
    return f"Exported {path.name}."
