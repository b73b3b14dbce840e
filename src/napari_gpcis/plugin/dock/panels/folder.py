"""Section "Folder of images": one image after the other, with marks and progress."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from qtpy.QtCore import QSignalBlocker, QSize, Qt
from qtpy.QtWidgets import (
    QCheckBox,
    QFileDialog,
    QHBoxLayout,
    QListWidget,
    QListWidgetItem,
    QProgressBar,
    QPushButton,
)

from napari_gpcis.plugin.dock.base import Message
from napari_gpcis.plugin.dock.pages import FILES
from napari_gpcis.plugin.dock.panels.base import Panel
from napari_gpcis.plugin.dock.settling import Settling
from napari_gpcis.plugin.saving.folder import FolderNavigator

if TYPE_CHECKING:
    from napari.components import ViewerModel

    from napari_gpcis.imagefiles.folder import FolderImage
    from napari_gpcis.plugin.annotation.controller import Controller
    from napari_gpcis.plugin.saving.autosave import Autosaver
    from napari_gpcis.plugin.saving.restore import Restorer

OPEN, PREVIOUS, NEXT, DONE = "Open folder ...", "Previous", "Next", "Done"
OPEN_HELP = (
    "Annotate the images of a folder one after the other. Clicks and labels are saved "
    "beside each image when you go on, and the folder opens again where you left it."
)
PREVIOUS_HELP = "Save clicks and labels, and open the image before this one."
NEXT_HELP = "Save clicks and labels, and open the next image."
DONE_HELP = "Mark this image as done. The mark stays with the folder."
LIST_HELP = (
    "Images of the folder: done (\u2713), begun (\u2022), skipped (!). Double-click to "
    "open one."
)
BAR_HELP = "How many images of the folder are done."
IDLE = "Clicks and labels are saved beside each image when you go on."
COUNT = "%v of %m done"
LEFT_OUT = "{} of other kinds: {}"
ROWS_SEEN, LEAST_ROWS, NAMED = 6, 3, 12


class FolderPanel(Panel):
    """List of the images of a folder, with buttons to go on.

    Parameters
    ----------
    controller
        The annotation shown and commanded.
    """

    title: ClassVar[str] = "Folder of images"
    page: ClassVar[str] = FILES

    def __init__(self, controller: Controller) -> None:
        super().__init__(controller)
        self.navigator: FolderNavigator | None = None
        self._settling = Settling(controller, self)
        self._shown: Any = None
        self.open_button = QPushButton(OPEN)
        self.list = _ImageList()
        self.list.setMinimumHeight(self.list.height_of(LEAST_ROWS))
        self.list.setTextElideMode(Qt.TextElideMode.ElideMiddle)
        off = Qt.ScrollBarPolicy.ScrollBarAlwaysOff
        self.list.setHorizontalScrollBarPolicy(off)
        self.bar = QProgressBar()
        self.bar.setAccessibleName("Images done")
        self.bar.setFormat(COUNT)
        self.previous_button, self.next_button = (
            QPushButton(PREVIOUS),
            QPushButton(NEXT),
        )
        self.done = QCheckBox(DONE)
        self.message = Message(3)
        self.message.setMinimumWidth(1)  # a long name must not widen the page
        for part, about in (
            (self.open_button, OPEN_HELP),
            (self.list, LIST_HELP),
            (self.bar, BAR_HELP),
            (self.previous_button, PREVIOUS_HELP),
            (self.next_button, NEXT_HELP),
            (self.done, DONE_HELP),
        ):
            part.setToolTip(about)
        self.list.setAccessibleName(self.title)
        row = QHBoxLayout()
        for part in (self.previous_button, self.next_button, self.done):
            row.addWidget(part)
        top = QHBoxLayout()
        top.addWidget(self.open_button)
        top.addWidget(self.bar, stretch=1)
        self.column.addLayout(top)
        self.column.addLayout(row)
        self.column.addWidget(self.message)
        self.column.addWidget(self.list)
        self.message.setText(IDLE)
        self.open_button.clicked.connect(self._on_open)
        self.previous_button.clicked.connect(partial(self._go, -1))
        self.next_button.clicked.connect(partial(self._go, 1))
        self.done.clicked.connect(self._on_done)
        self.list.itemDoubleClicked.connect(self._on_row)
        self.show_state()

    def follow(
        self, viewer: ViewerModel, autosaver: Autosaver, restorer: Restorer
    ) -> None:
        """Connect what saves and restores."""
        navigator = FolderNavigator(viewer, self.controller, autosaver, restorer, self)
        self.navigator = navigator
        navigator.once_settled = partial(self._settling.once_settled, repeatable=False)
        navigator.changed.connect(self.show_state)
        navigator.said.connect(self._say)

    def stay(self) -> None:
        """Stay at the image that is open, if another one waits for masks."""
        if self._settling.pending and self.navigator is not None:
            self._settling.withdraw()
            self.navigator.stay()

    def close_links(self) -> None:
        """End the threads."""
        if self.navigator is not None:
            self.navigator.close()

    def show_state(self) -> None:
        """Show the images, which one is open, and how far the folder is."""
        navigator = self.navigator
        folder = None if navigator is None else navigator.folder
        busy = navigator is not None and navigator.busy
        self.open_button.setEnabled(navigator is not None and not busy)
        for part in (self.list, self.bar, self.previous_button, self.next_button):
            part.setVisible(folder is not None)
        self.done.setVisible(folder is not None)
        if folder is None:
            return
        if folder is not self._shown:
            self._shown = folder
            self.list.clear()
            for image in folder.images:
                self.list.addItem(QListWidgetItem(image.name))
            others = folder.left_out
            more = f"\n{LEFT_OUT.format(len(others), _named(others))}" if others else ""
            self.list.setToolTip(f"{folder.path}\n{LIST_HELP}{more}")
        for row, image in enumerate(folder.images):
            item = self.list.item(row)
            text = f"{_mark(image)} {image.name}"
            if item.text() != text:
                item.setText(text)
                item.setToolTip(image.problem or str(image.path))
        self.list.setCurrentRow(folder.current)
        self.bar.setMaximum(len(folder.images))
        self.bar.setValue(folder.done)
        self.previous_button.setEnabled(not busy and folder.current > 0)
        self.next_button.setEnabled(
            not busy and folder.current < len(folder.images) - 1
        )
        self.list.setEnabled(not busy)
        with QSignalBlocker(self.done):
            self.done.setChecked(folder.images[folder.current].done)

    def _on_open(self) -> None:
        folder = None if self.navigator is None else self.navigator.folder
        begin = "" if folder is None else str(folder.path)
        name = QFileDialog.getExistingDirectory(self, OPEN, begin)
        if name and self.navigator is not None:
            self.navigator.open(Path(name))

    def _go(self, step: int, *_: object) -> None:
        if self.navigator is not None:
            self.navigator.go(step)

    def _on_row(self, item: QListWidgetItem) -> None:
        if self.navigator is not None:
            self.navigator.go_to(self.list.row(item))

    def _on_done(self, done: bool) -> None:
        if self.navigator is not None:
            self.navigator.mark(done)

    def _say(self, words: str) -> None:
        self.message.setText(words or IDLE)
        self.message.setToolTip(words)


class _ImageList(QListWidget):
    """List that asks for the height of a few rows."""

    def sizeHint(self) -> QSize:
        """Return the height of a few rows, and no width of its own."""
        return QSize(120, self.height_of(ROWS_SEEN))

    def height_of(self, rows: int) -> int:
        """Return the height of so many rows, in pixels."""
        return rows * (self.fontMetrics().height() + 4) + 2 * self.frameWidth()


def _mark(image: FolderImage) -> str:
    """Return the mark before an image's name."""
    if image.problem:
        return "!"
    if image.done:
        return "\u2713"
    return "\u2022" if image.begun else "  "


def _named(names: tuple[str, ...]) -> str:
    """Return some names as a text."""
    more = ", ..." if len(names) > NAMED else ""
    return ", ".join(names[:NAMED]) + more
