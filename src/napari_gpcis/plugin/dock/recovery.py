"""Recovery of unsaved work: a banner that offers it, and autosaving for one widget."""

from __future__ import annotations

import time
from functools import partial
from typing import TYPE_CHECKING, NamedTuple

from napari.layers import Image
from napari.utils.notifications import show_error
from qtpy.QtCore import QObject, Signal
from qtpy.QtWidgets import QApplication, QMessageBox

from napari_gpcis.errors import InputError, in_words
from napari_gpcis.plugin.dock.base import breakable
from napari_gpcis.plugin.dock.closing import Answer, ask
from napari_gpcis.plugin.dock.notices import BLUE, Action, Banner
from napari_gpcis.plugin.dock.panels.files import FilesPanel
from napari_gpcis.plugin.dock.panels.folder import FolderPanel
from napari_gpcis.plugin.saving.autosave import Autosaver
from napari_gpcis.plugin.saving.identity import (
    ImageIdentity,
    Match,
    Pixels,
    compare_pixels,
    identity_of,
    match,
)
from napari_gpcis.plugin.saving.recovery_file import Recovered, unsaved_work
from napari_gpcis.plugin.saving.restore import Restorer
from napari_gpcis.plugin.saving.work import Removed
from napari_gpcis.plugin.viewer.planes import layer_shape

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence
    from pathlib import Path

    from napari.components import ViewerModel

    from napari_gpcis.plugin.annotation.controller import Controller
    from napari_gpcis.plugin.dock.panels.base import Panel
    from napari_gpcis.plugin.saving.record import Record


FOUND = "Unsaved work on {!r} ({}, {}) was found."
REMOVED = "A layer of unsaved work on {!r} ({}) was removed. The work is kept."
RESTORE, DISCARD = "Restore", "Discard"
RESTORE_HELP = "Show its objects in a new layer and go on. Open its image first."
GO_ON_HELP = "Bring back its objects, clicks and classes, and go on."
DISCARD_HELP = "Delete the recovery file for good."
OPEN_IMAGE = "Open its image first: {}."
ANOTHER = "Another image?"
QUESTION = (
    "The unsaved work ({}) is of {work}.\nThis image is {here}. {why}\n\n"
    "Are they the same image? The work is then restored on {name!r}."
)
OTHER_PIXELS = "It has other pixels."
ONE_VALUE = "Both have one value everywhere."
NOT_IN_MEMORY = "Pixels were not compared: this image is not in memory."
NOT_KEPT = "Pixels were not compared: those of the work are not known."
SEVERAL = "Other open images fit as well."
THIS_ONE = "The open {!r} {}."
IS_OTHER, IS_ASKED = "has other pixels", "was not confirmed to be the same"
OTHER_SHAPE, OTHER_FILE = "has another shape", "is of another file"
LAYER, REMOVED_LAYER = "{!r}", "{!r}, which was removed"
GONE = "It was restored or discarded in another window."


class RecoveryBanner(Banner):
    """Banner that offers to restore unsaved work, one piece after the other.

    First what is of the chosen image; of the same, and of others, what has just lost a
    layer before recovery files. It is hidden if there is none. Nothing is deleted
    before the user has chosen.

    Attributes
    ----------
    found
        The pieces of work.
    chosen
        Returns the chosen image.
    """

    wanted = Signal(object)
    """Emitted with :class:`.Recovered` or :class:`.Removed` work to be restored."""
    unwanted = Signal(object)
    """Emitted with :class:`.Removed` work that is to be discarded."""

    def __init__(self) -> None:
        super().__init__(keeps_room=False)
        self.found: list[Recovered | Removed] = [*unsaved_work()]
        self.chosen: Callable[[], Image | None] = lambda: None
        self.hint = ""
        self.restore, self.discard = self.buttons
        self._show()

    @property
    def offered(self) -> Recovered | Removed:
        """What is offered now.

        Raises
        ------
        IndexError
            If there is nothing.
        """
        image = self.chosen()
        if image is None:
            return self.found[0]
        here = identity_of(image)
        # the first of like
        return min(self.found, key=lambda one: match_of(one, image, here))

    def offer(self, removed: Removed) -> None:
        """Offer work that has just lost a layer, before recovery files."""
        self.found.insert(0, removed)
        self.hint = ""
        self._show()

    def done(self, recovered: Recovered | Removed) -> None:
        """Offer the next piece of work after one that was restored or discarded."""
        self.found = [one for one in self.found if one is not recovered]
        self.hint = ""
        self._show()

    def withdraw(self, file: Path) -> None:
        """Offer the work of a recovery file no more: it goes on by itself."""
        for one in self.found:
            if isinstance(one, Recovered) and one.file == file:
                self.done(one)

    def say(self, hint: str) -> None:
        """Show a hint, such as why nothing was restored yet."""
        self.hint = hint
        self._show()

    def _on_restore(self) -> None:
        self.wanted.emit(self.offered)

    def _on_discard(self) -> None:
        unwanted = self.offered
        if isinstance(unwanted, Removed):
            self.unwanted.emit(unwanted)
        else:
            unwanted.discard()
        self.done(unwanted)

    def _show(self) -> None:
        if not self.found:
            self.hide()
            return
        found = self.offered
        if isinstance(found, Removed):
            text, about = REMOVED.format(found.saved.image, found.amount), GO_ON_HELP
        else:
            day = time.strftime("%d %B, %H:%M", time.localtime(found.when))
            text = FOUND.format(found.saved.image, found.amount, day)
            about = RESTORE_HELP
        actions = (
            Action(RESTORE, about, self._on_restore),
            Action(DISCARD, DISCARD_HELP, self._on_discard),
        )
        self.show_notice(f"{text} {self.hint}".rstrip(), actions, BLUE)


class RecoveryManager(QObject):
    """Autosaving and restoring for one widget, connected to its banner and panels.

    Parameters
    ----------
    viewer
        The viewer.
    controller
        The annotation to save.
    parent
        Qt parent.
    """

    def __init__(
        self, viewer: ViewerModel, controller: Controller, parent: QObject | None = None
    ) -> None:
        super().__init__(parent)
        self._viewer = viewer
        self._controller = controller
        self.autosaver = Autosaver(controller, self)
        self.restorer = Restorer(viewer, controller, self.autosaver, self)
        self.restorer.confirm = self._confirm
        self._files: FilesPanel | None = None
        self.banner = RecoveryBanner()
        self.banner.wanted.connect(self._on_wanted)
        self.restorer.hinted.connect(self.banner.say)
        self.restorer.recovered.connect(self.banner.done)
        self.banner.unwanted.connect(self.autosaver.discard)
        self.autosaver.removed.connect(self.banner.offer)
        self.autosaver.settled.connect(self.banner.done)
        self.autosaver.taken_over.connect(self.banner.withdraw)

    def serve(self, panels: Iterable[Panel], image: Callable[[], Image | None]) -> None:
        """Connect the panels of files; ``image`` returns the chosen image."""
        self.banner.chosen = image
        self.banner.say("")
        for panel in panels:
            if isinstance(panel, FilesPanel):
                self._files = panel
                panel.follow(self.autosaver, self.restorer, image)
            elif isinstance(panel, FolderPanel):
                panel.follow(self._viewer, self.autosaver, self.restorer)

    @property
    def unsaved(self) -> bool:
        """True if there is work about which `may_close` asks."""
        return self._files is not None and bool(self.autosaver.unsaved)

    def may_close(self) -> bool:
        """Ask for all unsaved work what is to become of it; ``False`` to go on.

        Nothing is ended or discarded before all is answered. What long work has found
        by then belongs to what was asked about.
        """
        answers: dict[Record, Answer] = {}
        if self._files is not None:
            for record in self.autosaver.unsaved:
                save = partial(self._save, record, self._files)
                answers[record] = ask(record, self._where(record), save, self._files)
                if answers[record] is Answer.CANCEL:
                    return False
        self._end_work()
        for record, answer in answers.items():
            if answer is Answer.DISCARD:
                record.discard()
            elif answer is Answer.KEEP:
                record.keep(asked=True)
        return True

    def _where(self, record: Record) -> str:
        """Return the labels layer of a record in words, if its image has several."""
        if not self.autosaver.has_siblings(record):
            return ""
        shown = self.autosaver.is_shown(record)
        return (LAYER if shown else REMOVED_LAYER).format(record.layer_name)

    def _save(self, record: Record, files: FilesPanel) -> bool:
        """Ask for a file name and save; return whether it is saved."""
        released = record.released
        try:
            self.autosaver.bring_back(record)
        except (InputError, OSError) as error:
            show_error(in_words(error))
            return False
        try:
            if files.save_as(record, self._end_work):
                while files.busy:
                    QApplication.processEvents()
            return not record.unsaved
        finally:
            if released:
                record.release()

    def _end_work(self) -> None:
        annotation = self._controller.annotation
        if annotation is not None:
            annotation.end_work()

    @property
    def end(self) -> Callable[..., None]:
        """Function that stops the threads, even after Qt has deleted this object."""
        ends = self.autosaver.end, self.restorer.end_thread

        def end(*_: object) -> None:
            for one in ends:
                one()

        return end

    def _on_wanted(self, recovered: Recovered | Removed) -> None:
        images = [layer for layer in self._viewer.layers if isinstance(layer, Image)]
        image, sure = image_of(recovered, images, self.banner.chosen())
        if isinstance(recovered, Recovered) and not recovered.waiting:
            self.banner.say(GONE)
        elif image is None:
            self.banner.say(_open_first(recovered, _namesake(recovered, images)))
        elif not (sure or self._is_its_image(recovered, image)):
            self.banner.say(_open_first(recovered, image))
        elif isinstance(recovered, Removed):
            self.restorer.go_on(recovered, image)
        else:
            self.restorer.recover(recovered, image)

    def _is_its_image(self, recovered: Recovered | Removed, image: Image) -> bool:
        """Ask whether work is of an image, where nothing tells."""
        work, here = _identity(recovered), identity_of(image)
        words = QUESTION.format(
            recovered.amount,
            work=work.in_words,
            here=here.in_words,
            why=why_asked(work, here),
            name=here.name,
        )
        return self._confirm(words, RESTORE)

    def _confirm(self, words: str, action: str) -> bool:
        """Ask whether something is done on an image that may not be the right one."""
        box = QMessageBox(self._files or self.banner)
        box.setIcon(QMessageBox.Icon.Question)
        box.setWindowTitle(ANOTHER)
        box.setText(breakable(words))
        go_on = box.addButton(action, QMessageBox.ButtonRole.AcceptRole)
        no = box.addButton(QMessageBox.StandardButton.Cancel)
        box.setDefaultButton(no)
        box.setEscapeButton(no)
        box.exec()
        return box.clickedButton() is go_on


class Place(NamedTuple):
    """Image that work is restored on, and whether it is surely its own."""

    image: Image | None
    sure: bool


def image_of(
    recovered: Recovered | Removed,
    images: Sequence[Image],
    chosen: Image | None = None,
) -> Place:
    """Return the image that recovered work is restored on; ``None`` without one.

    It is that of its file, name and pixels, as far as they are known. Of work that has
    lost a layer it is the image itself, or the same, opened again.

    Parameters
    ----------
    recovered, images
        The work, and the images in the viewer.
    chosen
        The image that is taken where several are alike.
    """
    fits = {one: match_of(recovered, one) for one in images}
    possible = [one for one, fit in fits.items() if fit < Match.OTHER]
    if not possible:
        return Place(None, sure=False)
    name = recovered.saved.image
    possible.sort(key=lambda one: (fits[one], one.name != name, one != chosen))
    best = fits[possible[0]]
    alone = [*fits.values()].count(best) == 1
    sure = best <= Match.ALIKE or (best is Match.LIKELY and alone)
    return Place(possible[0], sure)


def match_of(
    recovered: Recovered | Removed, image: Image, here: ImageIdentity | None = None
) -> Match:
    """Return how surely work is of an image, whose identity may be known already."""
    if layer_shape(image) != recovered.saved.shape:
        return Match.OTHER
    work, here = _identity(recovered), here or identity_of(image)
    own = recovered.image_id if isinstance(recovered, Removed) else None
    return Match.SAME if str(image.unique_id) == own else match(work, here)


def _identity(recovered: Recovered | Removed) -> ImageIdentity:
    """Return what is known of the image of some work."""
    saved = recovered.saved
    return ImageIdentity(saved.image, recovered.source, saved.image_digest)


def why_asked(work: ImageIdentity, here: ImageIdentity) -> str:
    """Return why the user has to say whether an image is that of some work."""
    if match(work, here) is not Match.UNKNOWN:
        return SEVERAL
    pixels = compare_pixels(work, here)
    if pixels is Pixels.NOT_COMPARED:
        return NOT_KEPT if here.digest else NOT_IN_MEMORY
    return ONE_VALUE if pixels is Pixels.ONE_VALUE else OTHER_PIXELS


def _namesake(recovered: Recovered | Removed, images: Iterable[Image]) -> Image | None:
    """Return the image that has the name of that of some work."""
    name = recovered.saved.image
    return next((one for one in images if one.name == name), None)


def _open_first(recovered: Recovered | Removed, image: Image | None) -> str:
    """Return which image is to be opened, and why an open one is not taken."""
    work = _identity(recovered)
    words = OPEN_IMAGE.format(work.in_words)
    if image is None:
        return words
    here = identity_of(image)
    if layer_shape(image) != recovered.saved.shape:
        why = OTHER_SHAPE
    elif match_of(recovered, image, here) is Match.OTHER:
        why = OTHER_FILE
    else:
        other = compare_pixels(work, here) is Pixels.OTHER
        why = IS_OTHER if other else IS_ASKED
    return f"{words} {THIS_ONE.format(here.name, why)}"
