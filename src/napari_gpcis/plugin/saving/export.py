"""Files of clicks, labels and exports, written off the GUI thread."""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from qtpy.QtCore import QObject, Signal

from napari_gpcis.errors import InputError
from napari_gpcis.export import (
    Calibration,
    by_planes,
    write_coco,
    write_table,
    write_tiff,
)
from napari_gpcis.imagefiles import label_files, write_labels
from napari_gpcis.imagefiles.folder import CLICKS, LABELS, files_of
from napari_gpcis.outlines import write_geojson, write_imagej
from napari_gpcis.plugin.background import BackgroundThread
from napari_gpcis.prompts import SavedAnnotation, write_prompts
from napari_gpcis.sparse_labels import SparseLabels
from napari_gpcis.wording import counted

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import ArrayLike

    from napari_gpcis.plugin.annotation.annotation import Pixels
    from napari_gpcis.plugin.saving.record import Record
    from napari_gpcis.sparse_labels import PlaneIndex

    Write = Callable[[Path, SparseLabels], None]

TRIES = 4
"""Copies on the thread before the window waits for one: work went on during each."""
SAVED = "Saved {} and {}."
SAVED_CLICKS = "Saved {}. The labels were not written: {}"
SAVED_LABELS = "Saved {}. The clicks were not written: {}"
EXPORTED = "Exported {}: {}."
NO_FILES = (
    "The image is no stack of files: Open Files as Stack makes one of several pictures."
)
OWN_IMAGE = "{} is a picture of the stack, and would be replaced."
NOT_WRITTEN = "{} was not written: {}"
NEITHER_WRITTEN = "Neither {} nor {} was written: {}"
CLICKS_ALONE = "Of the object being clicked the clicks alone: it is not accepted."
LEFT_OUT = "The object being clicked is left out: accept it first to have it there."
NO_MASKS = (
    "Accepted objects that have no mask yet are left out: {}. Their masks are made "
    "when their planes are shown."
)


def left_out(saved: SavedAnnotation, pixels: list[Pixels]) -> tuple[int, bool]:
    """Return which objects are not in saved labels.

    Parameters
    ----------
    saved, pixels
        The prompts, and the pixels that objects being clicked have changed.

    Returns
    -------
    int, bool
        Number of accepted objects without masks, and whether one is being clicked.
    """
    waiting = sum(len(plane.accepted) for plane in saved.planes)
    return waiting, bool(saved.unfinished_clicks or (pixels and not waiting))


class _Request:
    """A file that is to be written, of the record as it is now.

    Parameters
    ----------
    path, record
        The file and the record.
    make
        Returns a function that writes the file from the labels.
    labels_file
        Name of the labels file among the prompts, if these are to be written too.
    left
        How often another copy may be asked for.

    Attributes
    ----------
    write, version, saved, unfinished
        That function, the version of the record, its prompts, and the pixels of what is
        being clicked, which is left out of the labels and of all exports. Its clicks
        are among the prompts.
    """

    def __init__(
        self,
        path: Path,
        record: Record,
        make: Callable[[Record], Write],
        labels_file: str | None = None,
        left: int = TRIES,
    ) -> None:
        self.path, self.record, self.left = path, record, left
        self._make, self._labels_file = make, labels_file
        self.unfinished: list[Pixels] = record.unfinished()  # it draws the rest, too
        self.write, self.version = make(record), record.version
        self.saved = record.saved(labels_file)

    def with_left_out(self, words: str, unfinished: str) -> str:
        """Return what is said of the file, and of objects that are not in it.

        Parameters
        ----------
        words
            What is said of the file.
        unfinished
            What is said if an object is being clicked.
        """
        waiting, clicked = left_out(self.saved, self.unfinished)
        masks = NO_MASKS.format(waiting) if waiting else ""
        return " ".join(filter(None, (words, masks, unfinished if clicked else "")))

    @property
    def again(self) -> _Request:
        """The request as it is now."""
        return _Request(
            self.path, self.record, self._make, self._labels_file, self.left - 1
        )


class Saver(QObject):
    """Writer of files on a thread.

    Labels are copied on the thread too, and only the tiles in which anything is. If the
    work went on meanwhile, they are copied anew, so that clicks and labels in a file
    belong together. Clicks are written whatever becomes of the labels.

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
    def busy(self) -> bool:
        """True if a file is still to be written."""
        return self._thread.any_busy

    def close(self) -> None:
        """End the thread."""
        self._thread.close()

    def save(self, path: Path, record: Record) -> None:
        """Write the clicks, and the labels beside them."""
        _, labels = file_names(path)
        self._copy(_Request(labels, record, _tiff, labels.name))

    def export_labels(self, path: Path, record: Record) -> None:
        """Write the labels as OME-TIFF."""
        self._copy(_Request(path, record, _tiff))

    def export_table(self, path: Path, record: Record) -> None:
        """Write a row for each object as CSV."""
        self._copy(_Request(path, record, _table))

    def export_coco(self, path: Path, record: Record) -> None:
        """Write COCO annotations."""
        self._copy(_Request(path, record, _coco))

    def export_geojson(self, path: Path, record: Record) -> None:
        """Write outlines for QuPath as GeoJSON."""
        self._copy(_Request(path, record, _geojson))

    def export_imagej(self, path: Path, record: Record) -> None:
        """Write regions of interest for ImageJ."""
        self._copy(_Request(path, record, _imagej))

    def export_split(self, folder: Path, record: Record) -> None:
        """Write a label image for each file of a stack, see `split_files`."""
        self._copy(_Request(folder, record, _split))

    def _copy(self, request: _Request) -> None:
        """Ask for a copy of the labels, to be written as soon as it is there."""
        self._thread.submit(
            request.path,
            partial(_copied, request.record.labels.data, request.unfinished),
            partial(self._on_copied, request),
            partial(self._on_failed, request),
        )

    def _on_copied(
        self, request: _Request, labels: SparseLabels, _seconds: float
    ) -> None:
        """Write a copy, unless the work has gone on since it was asked for."""
        record = request.record
        if record.version != request.version:
            request = request.again
            if request.left > 0:
                self._copy(request)
                return
            labels = _copied(record.labels.data, request.unfinished, lambda: False)
        self._thread.submit(
            request.path,
            partial(_written, request, labels),
            partial(self._on_written, request),
            partial(self._on_failed, request),
        )

    def _on_written(self, request: _Request, count: int, _seconds: float) -> None:
        if request.saved.labels_file is not None:
            self._write_clicks(request, None)
            return
        words = EXPORTED.format(counted(count, "object"), request.path)
        self.saved.emit(request.with_left_out(words, LEFT_OUT))

    def _on_failed(self, request: _Request, error: Exception) -> None:
        if request.saved.labels_file is not None:
            self._write_clicks(request, error)
        else:
            self.failed.emit(NOT_WRITTEN.format(request.path, _why(error)))

    # Clicks -----------------------------------------------------------------------

    def _write_clicks(self, request: _Request, no_labels: Exception | None) -> None:
        """Write the clicks once the labels are written, or cannot be."""
        clicks, _ = file_names(request.path)
        saved = request.saved
        if no_labels is not None:
            saved = replace(saved, labels_file=None)
        self._thread.submit(
            clicks,
            partial(_write_prompts, clicks, saved),
            partial(self._on_clicks, request, no_labels),
            partial(self._on_no_clicks, request, no_labels),
        )

    def _on_clicks(
        self,
        request: _Request,
        no_labels: Exception | None,
        _none: None,
        _seconds: float,
    ) -> None:
        clicks, labels = file_names(request.path)
        if no_labels is not None:
            self.failed.emit(SAVED_CLICKS.format(clicks, _why(no_labels)))
            return
        request.record.settle(request.version)
        words = SAVED.format(clicks, labels)
        self.saved.emit(request.with_left_out(words, CLICKS_ALONE))

    def _on_no_clicks(
        self, request: _Request, no_labels: Exception | None, error: Exception
    ) -> None:
        clicks, labels = file_names(request.path)
        if no_labels is None:
            self.failed.emit(SAVED_LABELS.format(labels, _why(error)))
        else:
            why = _why(no_labels)
            if _why(error) != why:
                why = f"{why} {_why(error)}"
            self.failed.emit(NEITHER_WRITTEN.format(labels, clicks, why))


def file_names(path: Path) -> tuple[Path, Path]:
    """Return the two files of a name that the user typed: clicks and labels."""
    stem = path.name
    for ending in (CLICKS, LABELS, ".json", ".tif", ".tiff", Path(CLICKS).stem):
        if stem.lower().endswith(ending) and len(stem) > len(ending):
            stem = stem[: -len(ending)]
    return files_of(path.with_name(stem))


def split_files(folder: Path, record: Record) -> list[Path]:
    """Return the label images of the files of a stack.

    Raises
    ------
    InputError
        If the image is no stack of files, two of them would get the same label image,
        or one of them would be replaced.
    """
    files = [Path(name) for name in dict.fromkeys(record.plane_files.values())]
    if not files:
        raise InputError(NO_FILES)
    targets = label_files(files, folder)
    source = Path(record.source)
    roots = [
        source.parents[len(one.parts) - 1]
        for one in files
        if source.parts[-len(one.parts) :] == one.parts
    ]
    own = {(root / one).resolve() for root in roots for one in files}
    for target in targets:
        if target.resolve() in own:
            raise InputError(OWN_IMAGE.format(target))
    return targets


def calibration(record: Record, axes: tuple[int, int] | None = None) -> Calibration:
    """Return the size and unit of a pixel of the labels, and the names of its axes.

    Parameters
    ----------
    record
        The record.
    axes
        The two axes of the picture; by default those of the image itself.
    """
    labels = record.labels
    units = [str(unit) for unit in getattr(labels, "units", ())]
    names = [str(name) for name in getattr(labels, "axis_labels", ())]
    return Calibration.of(
        labels.ndim, labels.scale, units or "pixel", axes, names or None
    )


def _why(error: Exception) -> str:
    """Return what is wrong in words, as a sentence."""
    words = error.strerror if isinstance(error, OSError) else None
    words = words or str(error) or type(error).__name__
    return words if words.endswith(".") else f"{words}."


def _copied(
    labels: ArrayLike, unfinished: list[Pixels], cancelled: Callable[[], bool]
) -> SparseLabels:
    """Copy labels as they were before what is being clicked (on the thread)."""
    copy = SparseLabels.of(labels, cancelled=cancelled)
    for places, values in unfinished:
        copy.put(places, values)
    return copy


def _written(
    request: _Request, labels: SparseLabels, _cancelled: Callable[[], bool]
) -> int:
    """Write a file; return how many objects are in it."""
    request.write(request.path, labels)
    return labels.count


def _write_prompts(
    path: Path, saved: SavedAnnotation, _cancelled: Callable[[], bool]
) -> None:
    write_prompts(path, saved)


def _tiff(record: Record) -> Write:
    return partial(write_tiff, calibration=calibration(record))


def _table(record: Record) -> Write:
    known = calibration(record, record.axes)
    notes = record.notes()
    return partial(
        write_table,
        clicks={key: note.clicks for key, note in notes.items()},
        calibration=known,
        classes=record.classes,
        notes=notes,
        image=record.image,
    )


def _coco(record: Record) -> Write:
    name = Path(record.source or record.image_name).name
    known = calibration(record, record.axes)
    return partial(
        write_coco,
        file_name=name,
        calibration=known,
        file_names=record.plane_files,
        classes=record.classes,
    )


def _geojson(record: Record) -> Write:
    known = calibration(record, record.axes)
    return partial(write_geojson, calibration=known, classes=record.classes)


def _imagej(record: Record) -> Write:
    return partial(write_imagej, calibration=calibration(record, record.axes))


def _split(record: Record) -> Write:
    found: dict[str, list[PlaneIndex]] = {}
    for index, name in sorted(record.plane_files.items()):
        found.setdefault(name, []).append(index)
    targets = label_files([*map(Path, found)], Path())
    planes = dict(zip(targets, found.values(), strict=True))
    return partial(_write_split, axes=record.axes, planes=planes)


def _write_split(
    folder: Path,
    labels: SparseLabels,
    axes: tuple[int, int],
    planes: dict[Path, list[PlaneIndex]],
) -> None:
    """Write a label image for each file; ids below 0 are background.

    Parameters
    ----------
    folder, labels, axes
        Where to, the labels of all files, and the two axes of the picture.
    planes
        The planes of each file, by the name of its label image.
    """
    sparse = by_planes(labels, axes)
    for target, indices in planes.items():
        found = np.stack([np.maximum(sparse.plane(index), 0) for index in indices])
        sizes = (len(set(steps)) for steps in zip(*indices, strict=True))
        lead = [size for size in sizes if size > 1]
        path = folder / target
        path.parent.mkdir(parents=True, exist_ok=True)
        write_labels(path, found.reshape(*lead, *sparse.plane_shape))
