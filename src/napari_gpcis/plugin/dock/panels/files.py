"""Section "Files": clicks and labels saved and opened, exports for other programs."""

from __future__ import annotations

import re
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar, NamedTuple

from napari.utils.notifications import show_error, show_warning
from qtpy.QtWidgets import (
    QFileDialog,
    QGridLayout,
    QLabel,
    QMessageBox,
    QPushButton,
)

from napari_gpcis.errors import InputError
from napari_gpcis.files import fitting_stem
from napari_gpcis.imagefiles.folder import CLICKS
from napari_gpcis.plugin.dock.base import Message
from napari_gpcis.plugin.dock.pages import FILES
from napari_gpcis.plugin.dock.panels.base import Panel
from napari_gpcis.plugin.dock.settling import Settling
from napari_gpcis.plugin.saving.export import NO_FILES, Saver, file_names, split_files
from napari_gpcis.plugin.saving.identity import base_name, place_of, source_of

if TYPE_CHECKING:
    from collections.abc import Callable

    from napari.layers import Image

    from napari_gpcis.plugin.annotation.annotation import Annotation
    from napari_gpcis.plugin.annotation.controller import Controller
    from napari_gpcis.plugin.saving.autosave import Autosaver
    from napari_gpcis.plugin.saving.record import Record
    from napari_gpcis.plugin.saving.restore import Restorer


class _Button(NamedTuple):
    """Button of the section: name, text, tooltip, ending of its file."""

    name: str
    title: str
    help: str
    ending: str


BUTTONS = (
    _Button(
        "save",
        "Save clicks and labels ...",
        "Two files: all clicks with the model's name, and the labels beside them. "
        "Opened again, the clicks give the same masks.",
        CLICKS,
    ),
    _Button(
        "open",
        "Open saved clicks ...",
        "Go on with clicks that were saved: the masks are made again in a new layer.",
        CLICKS,
    ),
    _Button(
        "labels",
        "Export labels (TIFF) ...",
        "The label image with the size of its pixels (OME-TIFF).",
        ".ome.tif",
    ),
    _Button(
        "table",
        "Export table (CSV) ...",
        "One row for each object: area, centroid, bounding box, number of clicks.",
        ".csv",
    ),
    _Button(
        "coco",
        "Export COCO ...",
        "Masks as COCO annotations (JSON), for training other programs.",
        ".coco.json",
    ),
    _Button(
        "geojson",
        "Export QuPath (GeoJSON) ...",
        "Outlines of the objects, which QuPath opens on the same image.",
        ".geojson",
    ),
    _Button(
        "imagej",
        "Export ImageJ (ROIs) ...",
        "Regions of interest for ImageJ's ROI Manager, named like the objects.",
        ".rois.zip",
    ),
    _Button(
        "split",
        "Export labels by picture ...",
        "A label image (TIFF) for each picture of files that were opened as a stack.",
        "",
    ),
)


EXPORT, EXPORT_HELP = "Export for other programs:", "Files without the clicks."
WRITING = "Writing ..."
REPLACE = "Replace what is there?"
REPLACED = "This file exists already and would be replaced:"
REPLACED_FILES = "These files exist already and would be replaced:"
NOT_KEPT = "Unsaved work is not kept for recovery: {}"
NOT_COPIED = "The clicks are not autosaved beside the image: {}"

_NOT_IN_NAMES = r'[<>:"/\\|?*\s]+'
"""Characters of layer names that file names had better not have."""

MOST_NAMED = 10
"""So many of the files that would be replaced are named."""
MORE = "and {} more"

COLUMNS = 2
"""Buttons beside each other: with more of them the dock would take from the image."""


class FilesPanel(Panel):
    """Buttons to save, open and export clicks and labels.

    Parameters
    ----------
    controller
        The annotation shown and commanded.
    """

    title: ClassVar[str] = "Files"
    page: ClassVar[str] = FILES
    unfolded: ClassVar[bool] = True

    def __init__(self, controller: Controller) -> None:
        super().__init__(controller)
        self._autosaver: Autosaver | None = None
        self._restorer: Restorer | None = None
        self._image: Callable[[], Image | None] = lambda: None
        self._folders: dict[Path | None, Path] = {}  # used last, by the image's own
        self._about: Image | None = None  # what the message is about
        self._warned: set[str] = set()
        self.saver = Saver(self)
        self._settling = Settling(controller, self)
        self.message = Message()
        self.message.setMinimumWidth(1)  # a long path must not widen the page
        self.message.hide()
        self.buttons: dict[str, QPushButton] = {}
        grid = QGridLayout()
        grid.setVerticalSpacing(2)
        for place, button in enumerate(BUTTONS):
            self._add(grid, place, button)
        self.column.addLayout(grid)
        self.column.addWidget(self.message)
        self.saver.saved.connect(self._say)
        self.saver.failed.connect(self._on_not_saved)
        self.show_on(controller.started, controller.stopped)
        controller.started.connect(self._on_started)
        self.show_state()

    def follow(
        self,
        autosaver: Autosaver,
        restorer: Restorer,
        image: Callable[[], Image | None],
    ) -> None:
        """Connect what saves and restores; ``image`` returns the chosen image."""
        self._autosaver, self._restorer, self._image = autosaver, restorer, image
        restorer.said.connect(self._say)
        autosaver.failed.connect(self._on_no_recovery)
        autosaver.not_copied.connect(self._on_not_copied)

    @property
    def record(self) -> Record | None:
        """Contents of the files that the buttons write."""
        return None if self._autosaver is None else self._autosaver.record

    def close_links(self) -> None:
        """End the thread."""
        self.saver.close()

    def show_state(self) -> None:
        """Enable the buttons that can be used; show nothing of another image."""
        image = self._image()
        if image is not None and self._about not in (None, image):
            self._say("")
        there = self.record is not None
        for name, button in self.buttons.items():
            button.setEnabled(self._image() is not None if name == "open" else there)

    @property
    def busy(self) -> bool:
        """True if a file is still to be written."""
        return self._settling.pending or self.saver.busy

    def write(self, name: str, path: Path, record: Record | None = None) -> None:
        """Write one of the files.

        Parameters
        ----------
        name, path
            Name of the button, and the file.
        record
            What is written, by default :attr:`record`.
        """
        record = record or self.record
        if record is not None:
            write = partial(self._write, name, path, record)
            self._settling.once_settled(f"{name} {path}", write)

    def _write(self, name: str, path: Path, record: Record) -> None:
        """Write a file: all masks are there that are going to be in it."""
        writers = {
            "save": self.saver.save,
            "labels": self.saver.export_labels,
            "table": self.saver.export_table,
            "coco": self.saver.export_coco,
            "geojson": self.saver.export_geojson,
            "imagej": self.saver.export_imagej,
            "split": self.saver.export_split,
        }
        folder = path if name == "split" else path.parent
        self._folders[_own_folder(record.source)] = folder
        self._say(WRITING)
        writers[name](path, record)

    def open_file(self, path: Path) -> None:
        """Open saved clicks for the chosen image."""
        image = self._image()
        if image is not None and self._restorer is not None:
            self._restorer.open_file(path, image)

    def _add(self, grid: QGridLayout, place: int, entry: _Button) -> None:
        button = QPushButton(entry.title)
        button.setToolTip(entry.help)
        button.clicked.connect(lambda: self._on_clicked(entry))
        self.buttons[entry.name] = button
        if place < 2:
            grid.addWidget(button, place, 0, 1, COLUMNS)
        else:
            short = entry.title.removeprefix("Export ")
            button.setText(short[0].upper() + short[1:])
            row, column = divmod(place - 2, COLUMNS)
            grid.addWidget(button, 3 + row, column)
        if place == 2:
            export = QLabel(EXPORT)
            export.setToolTip(EXPORT_HELP)
            grid.addWidget(export, 2, 0, 1, COLUMNS)

    def save_as(self, record: Record, before: Callable[[], object]) -> bool:
        """Ask for a file name and save clicks and labels; ``False`` if not wanted.

        Parameters
        ----------
        record
            What is saved.
        before
            Called before they are saved, once it is sure that they will be.
        """
        return self._write_as(BUTTONS[0], record, before)

    def _on_clicked(self, entry: _Button) -> None:
        if entry.name == "split":
            self._write_split(entry)
            return
        if entry.name != "open":
            if self.record is not None:
                self._write_as(entry, self.record)
            return
        image = self._image()
        source = "" if image is None else source_of(image)
        name, _ = QFileDialog.getOpenFileName(
            self, entry.title, self._begin_in("", source), "Clicks (*.json)"
        )
        if name:
            self._folders[_own_folder(source)] = Path(name).parent
            self.open_file(Path(name))

    def _write_as(
        self, entry: _Button, record: Record, before: Callable[[], object] = object
    ) -> bool:
        """Ask where to write a file, and before another one is replaced."""
        proposed = f"{fitting_stem(self._stem(record), entry.ending)}{entry.ending}"
        name, _ = QFileDialog.getSaveFileName(
            self,
            entry.title,
            self._begin_in(proposed, record.source),
            options=QFileDialog.Option.DontConfirmOverwrite,  # the ending may come yet
        )
        if not name:
            return False
        path = with_ending(Path(name), entry.ending)
        files = file_names(path) if entry.name == "save" else (path,)
        there = [file for file in files if file.exists()]
        if there and not self._may_replace(there):
            return False
        before()
        self.write(entry.name, path, record)
        return True

    def _write_split(self, entry: _Button) -> None:
        """Ask for a folder, and before label images that are there are replaced."""
        record = self.record
        if record is None:
            return
        if not record.plane_files:
            self._say(NO_FILES)
            return
        begin = self._begin_in("", record.source)
        name = QFileDialog.getExistingDirectory(self, entry.title, begin)
        if not name:
            return
        try:
            targets = split_files(Path(name), record)
        except InputError as error:
            self._say(str(error))
            return
        there = [target for target in targets if target.exists()]
        if not there or self._may_replace(there):
            self.write(entry.name, Path(name))

    def _stem(self, record: Record) -> str:
        """Return the name of a file without its ending.

        Where an image has several labels layers with work, it tells which.
        """
        stem = base_name(record.image_name)
        if self._autosaver is None or not self._autosaver.has_siblings(record):
            return stem
        return f"{stem}-{re.sub(_NOT_IN_NAMES, '_', record.layer_name)}"

    def _begin_in(self, name: str, source: str) -> str:
        """Return a file name in the folder used last, or else that of the image.

        That is the last one for images of the same folder: where two folders have
        images of one name, neither is proposed to replace files of the other.

        Parameters
        ----------
        name, source
            The name, and the file of the image.
        """
        own = _own_folder(source)
        folder = self._folders.get(own, own)
        return name if folder is None or not folder.is_dir() else str(folder / name)

    def _may_replace(self, files: list[Path]) -> bool:
        """Ask whether files may be replaced, naming each of them."""
        words = REPLACED if len(files) == 1 else REPLACED_FILES
        named, more = [*map(str, files[:MOST_NAMED])], len(files) - MOST_NAMED
        listed = "\n".join([*named, MORE.format(more)] if more > 0 else named)
        yes, no = QMessageBox.StandardButton.Yes, QMessageBox.StandardButton.No
        text = f"{words}\n{listed}"
        answer = QMessageBox.question(self, REPLACE, text, yes | no, no)
        return bool(answer == yes)

    def _on_not_saved(self, why: str) -> None:
        """Tell it on whatever page the user is: the window may be about to close."""
        self._say(why)
        show_error(why)

    def _on_no_recovery(self, why: str) -> None:
        self._warn(NOT_KEPT.format(why))

    def _on_not_copied(self, why: str) -> None:
        self._warn(NOT_COPIED.format(why))

    def _warn(self, words: str) -> None:
        """Tell what is not kept, once on whatever page the user is."""
        self._say(words)
        if words not in self._warned:
            self._warned.add(words)
            show_warning(words)

    def _on_started(self, annotation: Annotation) -> None:
        """Take away what was said about another image."""
        if self._about not in (None, annotation.image):
            self._say("")

    def _say(self, words: str) -> None:
        """Show a message; a long path can be read in its tooltip as well."""
        self.message.setText(words)
        self.message.setVisible(bool(words))
        self._about = self._image() if words else None
        self.message.setToolTip(words)


def _own_folder(source: str) -> Path | None:
    """Return the folder of an image's file, ``None`` if it is not from one."""
    return place_of(source).parent if source else None


def with_ending(path: Path, ending: str) -> Path:
    """Return a path with an ending, unless it has one of that kind.

    A name that would be too long is shortened.
    """
    suffix = f".{ending.rpartition('.')[2]}"
    same = (suffix, ".tiff") if suffix == ".tif" else (suffix,)
    if path.name.lower().endswith(same):
        return path.with_name(fitting_stem(path.stem, path.suffix) + path.suffix)
    return path.with_name(fitting_stem(path.name, ending) + ending)
