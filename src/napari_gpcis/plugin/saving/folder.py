"""A folder of images, annotated one after the other; nothing is left unsaved."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from napari.layers import Image
from qtpy.QtCore import QObject, Signal

from napari_gpcis.errors import InputError
from napari_gpcis.imagefiles import read_array, read_label_file, whole_numbers
from napari_gpcis.imagefiles.folder import ImageFolder
from napari_gpcis.inference.image import check_dtype
from napari_gpcis.plugin.background import BackgroundThread
from napari_gpcis.plugin.connections import Connections
from napari_gpcis.plugin.saving.export import Saver, left_out
from napari_gpcis.plugin.saving.identity import FILE, source_of
from napari_gpcis.plugin.saving.restore import Restored, Target, restore_file
from napari_gpcis.plugin.viewer.layers import is_made_for
from napari_gpcis.prompts import SavedAnnotation

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from napari.components import ViewerModel
    from numpy.typing import NDArray

    from napari_gpcis.imagefiles.folder import FolderImage
    from napari_gpcis.plugin.annotation.controller import Controller
    from napari_gpcis.plugin.annotation.jobs import Models
    from napari_gpcis.plugin.saving.autosave import Autosaver
    from napari_gpcis.plugin.saving.record import Record
    from napari_gpcis.plugin.saving.restore import Restorer

LONGEST = 36
"""Characters of a name in a message."""
SAVING, READING = "Saving {} ...", "Reading {} ..."
STAYED = "{} It stays open."
STAYS = "{} stays open: something else was chosen meanwhile."
OTHERS = (
    "Another labels layer of this image has work that is not saved: choose it, and "
    "press Save clicks and labels."
)
UNACCEPTED = (
    "{}: the object being clicked is not in the labels. It goes on when you come back."
)
NO_MASKS = (
    "{}: accepted objects that have no mask yet are not in the labels: {}. Their masks "
    "are made when you come back."
)
SKIPPED = "{} was skipped: {}"
NO_MORE = "No further image can be opened."
NOT_NOTED = "How far the folder is could not be written: {}"
NO_PLANE = "it has no rows and columns"
REFUSED = "it cannot be annotated"
NOT_SHOWN = "napari cannot show it ({})"
OTHER_SHAPE = "{} holds labels of shape {}, the image has shape {}"


class Opened(NamedTuple):
    """An image that was read, with the work that is saved beside it."""

    pixels: NDArray[Any]
    rgb: bool
    restored: Restored | None


class FolderNavigator(QObject):
    """Opens the images of a folder, and saves clicks and labels beside each.

    An image is closed only when its work is saved. What cannot be opened is named, and
    the next one is opened; where there is none, the one that was open is opened again.

    Parameters
    ----------
    viewer, controller
        The viewer, and the annotation.
    autosaver, restorer
        What records the work, and what shows it again.
    parent
        Qt parent.

    Attributes
    ----------
    folder
        The folder, ``None`` before one was opened.
    busy
        Whether something is being saved or read, or masks are waited for.
    once_settled
        Does something, named by its first argument, as soon as no mask is on its way;
        without a window at once.
    """

    changed = Signal()
    """Emitted when another image is open, or the marks or problems have changed."""
    said = Signal(str)
    """Emitted with a message for the user."""

    def __init__(
        self,
        viewer: ViewerModel,
        controller: Controller,
        autosaver: Autosaver,
        restorer: Restorer,
        parent: QObject | None = None,
    ) -> None:
        super().__init__(parent)
        self.folder: ImageFolder | None = None
        self.busy = False
        self._viewer, self._controller = viewer, controller
        self._autosaver, self._restorer = autosaver, restorer
        self._image: Image | None = None
        self._record: Record | None = None
        self._open_before: int | None = None
        self._then: Callable[[], None] | None = None
        self._problems: list[str] = []
        self.once_settled: Callable[[str, Callable[[], object]], object] = (
            lambda _, then: then()
        )
        self._saver = Saver(self)
        self._thread = BackgroundThread(self, "reading images")
        self._saver.saved.connect(self._on_saved)
        self._saver.failed.connect(self._on_not_saved)
        self._connections = Connections()
        self._connections.connect(controller.started, self._on_started)

    def close(self) -> None:
        """End the threads, and follow the annotation no more."""
        self._connections.end()
        self._saver.close()
        self._thread.close()

    @property
    def entry(self) -> FolderImage | None:
        """The image of the folder that is open, or is to be opened."""
        return None if self.folder is None else self.folder.images[self.folder.current]

    # What the user can do ---------------------------------------------------------

    def open(self, path: Path) -> None:
        """Open a folder at the image where it was left."""
        if self.busy:
            return
        try:
            folder = ImageFolder.open(path)
        except InputError as error:
            self.said.emit(str(error))
            return
        self._leave_settled(partial(self._begin, folder))

    def go_to(self, index: int, step: int = 1) -> None:
        """Save what is open and open another image of the folder.

        Parameters
        ----------
        index
            Its place in the folder; beyond either end nothing happens.
        step
            1 or -1: which image is tried next if it cannot be opened.
        """
        folder = self.folder
        if folder is not None and not self.busy and 0 <= index < len(folder.images):
            self._open_before = None if self._image is None else folder.current
            order = _order(folder, index, step, self._open_before)
            self._leave_settled(partial(self._open, order))

    def go(self, step: int) -> None:
        """Go to the next image (1) or to the one before (-1)."""
        folder = self.folder
        if folder is None:
            return
        if self.busy:
            return
        index, passed = folder.current + step, []
        while 0 <= index < len(folder.images) and folder.images[index].problem:
            passed.append(_why_skipped(folder.images[index]))
            index += step
        if 0 <= index < len(folder.images):
            self._problems += [one for one in passed if one not in self._problems]
            self.go_to(index, step)
        else:
            self.said.emit("\n".join([*passed, NO_MORE]))

    def mark(self, done: bool) -> None:
        """Mark the image as done, or not."""
        if self.folder is not None:
            try:
                self.folder.mark(self.folder.current, done=done)
            except OSError as error:
                self.said.emit(NOT_NOTED.format(error))
            self.changed.emit()

    # Leaving an image -------------------------------------------------------------

    def _leave_settled(self, then: Callable[[], None]) -> None:
        """Leave the image that is open as soon as the masks of all clicks are there."""
        self._set_busy("")
        self.once_settled("another image of the folder", partial(self._go_on, then))

    def stay(self) -> None:
        """Stay at the image that is open: masks are not waited for any more."""
        self.busy = False
        if self.entry is not None:
            self.said.emit(STAYS.format(shortened(self.entry.name)))
        self.changed.emit()

    def _go_on(self, then: Callable[[], None]) -> None:
        self.busy = False
        self._leave(then)
        self.changed.emit()

    def _leave(self, then: Callable[[], None]) -> None:
        """Save the work on the image that is open, close it, and go on."""
        record, entry = self._record, self.entry
        if any(one is not record and self._is_here(one) for one in self._unsaved()):
            self.said.emit(OTHERS)
            return
        annotation = self._controller.annotation
        if annotation is not None and annotation.image == self._image:
            annotation.end_work()  # what it has found is saved as well
        if record is None or entry is None or not self._to_save(record, entry):
            self._close_image()
            then()
            return
        self._then = then
        self._set_busy(SAVING.format(shortened(entry.name)))
        self._saver.save(entry.clicks, record)

    def _unsaved(self) -> list[Record]:
        """Return the unsaved work in the viewer."""
        return [one for one in self._autosaver.unsaved if not one.released]

    def _is_here(self, record: Record) -> bool:
        """Return whether a record is of the image that is open."""
        image = self._image
        return image is not None and record.source == source_of(image)

    def _to_save(self, record: Record, entry: FolderImage) -> bool:
        """Return whether there is anything that was not saved."""
        if record.released or not record.touched:
            return False
        return not record.empty or entry.begun or bool(np.any(record.labels.data))

    def _on_saved(self, _words: str) -> None:
        then, self._then = self._then, None
        self.busy = False
        entry, record = self.entry, self._record
        if entry is not None:
            entry.begun = True
            words = "" if record is None else _left_out(record, shortened(entry.name))
            if words and words not in self._problems:
                self._problems.append(words)
        if then is not None:
            self._leave(then)  # work may have gone on meanwhile

    def _on_not_saved(self, why: str) -> None:
        self._then, self.busy = None, False
        self.said.emit(STAYED.format(why))
        self.changed.emit()

    def _close_image(self) -> None:
        """Remove the image with its clicks and masks from the viewer."""
        image, self._image, self._record = self._image, None, None
        if image is None:
            return
        annotation, layers = self._controller.annotation, self._viewer.layers
        if annotation is not None and annotation.image == image:
            self._controller.stop()
        for layer in [one for one in layers if one == image or is_made_for(one, image)]:
            layers.remove(layer)

    # Opening an image -------------------------------------------------------------

    def _begin(self, folder: ImageFolder) -> None:
        self.folder, self._problems, self._open_before = folder, [], None
        self._open(_order(folder, folder.current, 1, None))

    def _open(self, order: Sequence[int]) -> None:
        """Read an image and what is saved beside it, on the thread.

        Parameters
        ----------
        order
            Places of the images to try: the first that can be opened is.
        """
        folder = self.folder
        if folder is None:
            return
        if not order:
            self.busy = False
            self.said.emit("\n".join([*self._problems, NO_MORE]))
            self._problems = []
            self.changed.emit()
            return
        entry = folder.images[order[0]]
        try:
            folder.go_to(order[0])
        except OSError as error:
            self._problems.append(NOT_NOTED.format(error))
        self._set_busy(READING.format(shortened(entry.name)))
        self._thread.submit(
            "read",
            partial(_read, entry, self._controller.models),
            partial(self._on_read, order),
            partial(self._on_failed, order),
        )

    def _on_read(
        self, order: Sequence[int], opened: Opened | None, _seconds: float
    ) -> None:
        entry = self.entry
        if opened is None or entry is None:
            return
        self.busy = False
        try:
            image = self._add_image(opened, entry)
        except Exception as error:  # napari raises what it likes of odd pixels
            self._close_image()
            why = NOT_SHOWN.format(str(error) or type(error).__name__)
            self._skip(order, why)
            return
        if opened.restored is not None:
            shown = self._restorer.show(opened.restored, image, from_file=True)
        else:
            shown = self._controller.start(image)
        if not shown:
            self._close_image()
            self._skip(order, REFUSED)
            return
        entry.problem = ""
        if self._problems and order[0] == self._open_before:
            self._problems.append(NO_MORE)
        self.said.emit("\n".join(self._problems))
        self._problems = []
        self.changed.emit()

    def _add_image(self, opened: Opened, entry: FolderImage) -> Image:
        """Return the layer of an image that was read, in the viewer."""
        metadata = {FILE: str(entry.path)}
        options: dict[str, Any] = {"name": entry.name, "metadata": metadata}
        image = self._image = Image(opened.pixels, rgb=opened.rgb, **options)
        self._viewer.add_layer(image)
        return image

    def _on_failed(self, order: Sequence[int], error: Exception) -> None:
        self.busy = False
        self._skip(order, str(error) or type(error).__name__)

    def _skip(self, order: Sequence[int], why: str) -> None:
        """Take note of why an image cannot be opened, and try the next."""
        folder = self.folder
        if folder is None:
            return
        image = folder.images[order[0]]
        image.problem = why
        self._problems.append(_why_skipped(image))
        self._open(order[1:])

    def _set_busy(self, words: str) -> None:
        self.busy = True
        self.said.emit(words)
        self.changed.emit()

    def _on_started(self, annotation: Any) -> None:
        """Take the record of the image that is open."""
        if self._image is not None and annotation.image == self._image:
            self._record = self._autosaver.record


def _order(
    folder: ImageFolder, index: int, step: int, open_now: int | None
) -> list[int]:
    """Return which images of a folder are tried one after the other.

    Parameters
    ----------
    folder, index, step
        The wanted one, and whether those after it (1) or before it (-1) follow.
    open_now
        The one that is open, which is the last resort; without one it is those of the
        other direction.
    """
    ends = {1: len(folder.images), -1: -1}
    onward = list(range(index, ends[step], step))
    if open_now is None:
        return onward + list(range(index - step, ends[-step], -step))
    return onward if open_now in onward else [*onward, open_now]


def _left_out(record: Record, name: str) -> str:
    """Return what is said of objects of an image that are not in its saved labels."""
    waiting, clicked = left_out(record.saved(), record.unfinished())
    masks = NO_MASKS.format(name, waiting) if waiting else ""
    return " ".join(filter(None, (masks, UNACCEPTED.format(name) if clicked else "")))


def _why_skipped(image: FolderImage) -> str:
    """Return why an image is skipped, with short names of its files."""
    why = image.problem
    for file in (image.path, image.clicks, image.labels):
        why = why.replace(str(file), shortened(file.name))
    return SKIPPED.format(shortened(image.name), why)


def _read(
    entry: FolderImage, models: Models, cancelled: Callable[[], bool]
) -> Opened | None:
    """Read an image, and what is saved beside it (on the thread).

    Raises
    ------
    InputError
        If either cannot be read, or they do not belong together.
    """
    if not entry.usable:
        raise InputError(entry.problem)
    pixels, axes = read_array(entry.path)
    check_dtype(pixels.dtype)
    pixels, rgb = as_layer(pixels, axes)
    shape = pixels.shape[:-1] if rgb else pixels.shape
    if len(shape) < 2 or min(shape) == 0:
        raise InputError(NO_PLANE)
    restored = None
    if entry.clicks.is_file():
        target = Target(entry.name, shape, pixels, rgb)
        restored = restore_file(entry.clicks, models, target, cancelled, compare=False)
        if restored is None:
            return None
    elif entry.labels.is_file():
        labels = whole_numbers(read_label_file(entry.labels)[0], "labels")
        if labels.size != np.prod(shape):
            raise InputError(OTHER_SHAPE.format(entry.labels, labels.shape, shape))
        labels = labels.reshape(shape)
        saved = SavedAnnotation(entry.name, shape, ())
        restored = Restored(saved, labels.astype(np.int32), "")
    return Opened(pixels, rgb, restored)


def shortened(name: str) -> str:
    """Return a file name that fits into a line of the window."""
    half = LONGEST // 2
    return name if len(name) <= LONGEST else f"{name[:half]}\u2026{name[-half:]}"


def as_layer(pixels: NDArray[Any], axes: str) -> tuple[NDArray[Any], bool]:
    """Return pixels as an image layer has them, and whether they are RGB or RGBA.

    Channels that are no colours come before rows and columns, as an axis to step
    through. Numbers longer than napari draws are rounded to 64 bits.

    Parameters
    ----------
    pixels, axes
        See `read_array`.
    """
    if pixels.dtype.kind == "f" and pixels.dtype.itemsize > 8:
        pixels = pixels.astype(np.float64)
    last, count = axes[-1:], pixels.shape[-1] if pixels.ndim else 0
    if last not in ("S", "C") or pixels.ndim < 3:
        return pixels, False
    if count in (3, 4) and (last == "S" or pixels.dtype == np.uint8):
        return pixels, True
    if count == 1:
        return pixels[..., 0], False
    return np.moveaxis(pixels, -1, -3), False
